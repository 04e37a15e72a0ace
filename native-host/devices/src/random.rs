//! Random bytes of the operating system.

use capfs::Errno;
use capfs_devices::random::Entropy;

/// The system's generator (getrandom(2)).
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, into: &mut [u8]) -> Result<(), Errno> {
        getrandom::fill(into).map_err(|_| Errno::Io)
    }
}
