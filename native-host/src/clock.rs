//! The clocks and the randomness of the operating system.

use capfs::Errno;
use capfs::clock::{Clock, NANOS_PER_SEC};
use capfs_runtime::RandomSource;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

/// clock_gettime(2).
pub struct SystemClock;

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(NANOS_PER_SEC)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

impl Clock for SystemClock {
    fn realtime(&self) -> u64 {
        nanos(clock_gettime(ClockId::Realtime))
    }

    fn monotonic(&self) -> u64 {
        nanos(clock_gettime(ClockId::Monotonic))
    }

    #[cfg(target_os = "linux")]
    fn coarse(&self) -> u64 {
        nanos(clock_gettime(ClockId::RealtimeCoarse))
    }

    fn cpu_time(&self) -> Option<u64> {
        Some(nanos(clock_gettime(ClockId::ProcessCPUTime)))
    }

    fn realtime_resolution(&self) -> u64 {
        nanos(clock_getres(ClockId::Realtime)).max(1)
    }

    fn monotonic_resolution(&self) -> u64 {
        nanos(clock_getres(ClockId::Monotonic)).max(1)
    }
}

/// getrandom(2) and its like.
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), Errno> {
        getrandom::fill(into).map_err(|_| Errno::Io)
    }
}
