//! Time, as hosts supply it.

use crate::{MaybeSend, MaybeSync};

/// Nanoseconds in a second.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// The clocks of a host. All values are nanoseconds.
pub trait Clock: MaybeSend + MaybeSync {
    /// Wall-clock time since the Unix epoch.
    fn realtime(&self) -> u64;

    /// Time since an arbitrary start; never goes back.
    fn monotonic(&self) -> u64;

    /// Wall-clock time that may lag by a few milliseconds, for timestamps of files: what
    /// `CLOCK_REALTIME_COARSE` is to `CLOCK_REALTIME` (see clock_gettime(2)).
    fn coarse(&self) -> u64 {
        self.realtime()
    }

    /// Processor time that the agent has used, where the host can tell it.
    fn cpu_time(&self) -> Option<u64> {
        None
    }

    /// The smallest step of [`Clock::realtime`].
    fn realtime_resolution(&self) -> u64 {
        1
    }

    /// The smallest step of [`Clock::monotonic`].
    fn monotonic_resolution(&self) -> u64 {
        1
    }
}
