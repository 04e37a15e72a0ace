//! The clocks and the randomness of the operating system.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

    fn realtime_resolution(&self) -> u64 {
        nanos(clock_getres(ClockId::Realtime)).max(1)
    }

    fn monotonic_resolution(&self) -> u64 {
        nanos(clock_getres(ClockId::Monotonic)).max(1)
    }
}

/// The clocks of one agent: the system's, and the processor time of its thread.
pub struct AgentClock {
    /// Processor time of the thread when the agent began.
    began: u64,
}

impl AgentClock {
    /// Clocks of an agent that runs on this thread from now on, and is the only one to ask them for its processor time.
    pub fn begin() -> AgentClock {
        AgentClock {
            began: AgentClock::of_thread(),
        }
    }

    fn of_thread() -> u64 {
        nanos(clock_gettime(ClockId::ThreadCPUTime))
    }
}

impl Clock for AgentClock {
    fn realtime(&self) -> u64 {
        SystemClock.realtime()
    }

    fn monotonic(&self) -> u64 {
        SystemClock.monotonic()
    }

    fn coarse(&self) -> u64 {
        SystemClock.coarse()
    }

    fn cpu_time(&self) -> Option<u64> {
        Some(AgentClock::of_thread().saturating_sub(self.began))
    }

    fn realtime_resolution(&self) -> u64 {
        SystemClock.realtime_resolution()
    }

    fn monotonic_resolution(&self) -> u64 {
        SystemClock.monotonic_resolution()
    }
}

/// The clocks of an agent that any thread may run: the host's, and the processor time of its turns.
pub(crate) struct TurnClock {
    host: Arc<dyn Clock>,
    /// Of turns that are over.
    spent: AtomicU64,
    /// That of the thread when the turn under way began.
    entered: AtomicU64,
}

impl TurnClock {
    /// Clocks of an agent that has had no turn yet.
    pub(crate) fn new(host: Arc<dyn Clock>) -> TurnClock {
        TurnClock {
            host,
            spent: AtomicU64::new(0),
            entered: AtomicU64::new(0),
        }
    }

    /// The agent runs on this thread until what is returned is dropped.
    pub(crate) fn turn(&self) -> TimedTurn<'_> {
        self.entered
            .store(AgentClock::of_thread(), Ordering::Relaxed);
        TimedTurn(self)
    }

    /// Processor time of the turn under way, which is asked on its thread.
    fn of_turn(&self) -> u64 {
        let entered = self.entered.load(Ordering::Relaxed);
        AgentClock::of_thread().saturating_sub(entered)
    }
}

/// A turn that is timed.
pub(crate) struct TimedTurn<'a>(&'a TurnClock);

impl Drop for TimedTurn<'_> {
    fn drop(&mut self) {
        self.0.spent.fetch_add(self.0.of_turn(), Ordering::Relaxed);
    }
}

impl Clock for TurnClock {
    fn realtime(&self) -> u64 {
        self.host.realtime()
    }

    fn monotonic(&self) -> u64 {
        self.host.monotonic()
    }

    fn coarse(&self) -> u64 {
        self.host.coarse()
    }

    fn cpu_time(&self) -> Option<u64> {
        Some(self.spent.load(Ordering::Relaxed) + self.of_turn())
    }

    fn realtime_resolution(&self) -> u64 {
        self.host.realtime_resolution()
    }

    fn monotonic_resolution(&self) -> u64 {
        self.host.monotonic_resolution()
    }
}

/// getrandom(2) and its like.
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), Errno> {
        getrandom::fill(into).map_err(|_| Errno::Io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_of_an_agent_is_that_of_its_thread() {
        let clock = AgentClock::begin();
        let used = || clock.cpu_time().unwrap();
        const WORK: u64 = 30_000_000;
        let before = used();
        // Another thread works for as long as it takes it to have used that much.
        let other = std::thread::spawn(|| {
            let clock = AgentClock::begin();
            while clock.cpu_time().unwrap() < WORK {
                std::hint::black_box(0);
            }
        });
        other.join().unwrap();
        assert!(used() - before < WORK / 2, "{}", used() - before);
        while used() < before + WORK {
            std::hint::black_box(0);
        }
    }
}
