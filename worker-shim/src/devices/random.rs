//! Random bytes of the browser.

use capfs::Errno;
use capfs_devices::random::Entropy;

use crate::web;

/// `crypto.getRandomValues`.
pub struct WebEntropy;

impl Entropy for WebEntropy {
    fn fill(&self, into: &mut [u8]) -> Result<(), Errno> {
        web::random(into)
    }
}
