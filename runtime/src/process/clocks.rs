//! Clocks and randomness.

use std::task::{Context, Poll};

use capfs::{Errno, Stat};

use super::pending::{Pending, call};
use super::{Process, RandomSource};
use crate::GuestMemory;

pub(super) const REALTIME: u32 = 0;
pub(super) const MONOTONIC: u32 = 1;
const PROCESS_CPU: u32 = 2;
const THREAD_CPU: u32 = 3;

/// Random bytes that are made at a time: bounds what one call keeps on the stack.
const RANDOM_CHUNK: usize = 1024;

/// Random bytes between two looks at the host's clock: what is made in a millisecond or two.
const RANDOM_PIECE: u32 = 256 << 10;

/// Where clocks were not granted, sleeps end in steps of so many nanoseconds, so that they are no stopwatch either.
const SLEEP_STEP: u64 = 1_000_000;

/// What a process may learn of the time, by every call that tells one: clocks, the time stamps of files, and waits, which
/// end no earlier than the granted clock shows their end. Sleeping is always possible: without a clock, it ends in
/// steps of a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockGrant {
    /// As finely as the host can tell it.
    #[default]
    Exact,
    /// In steps of so many nanoseconds (at least 1), against measuring what others do.
    Steps(u64),
    /// Nothing: every clock is `ENOTCAPABLE`, and every time stamp is 0.
    Nothing,
}

/// Randomness that was not granted: every call is `ENOTCAPABLE`.
pub struct NoRandom;

impl RandomSource for NoRandom {
    fn fill(&mut self, _into: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::Notcapable)
    }
}

impl Process {
    /// The value of a clock, as far as it was granted.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: no such clock
    /// - [`Errno::Notcapable`]: clocks were not granted
    fn granted_now(&self, id: u32) -> Result<u64, Errno> {
        match self.clock_grant {
            ClockGrant::Exact => self.now(id),
            ClockGrant::Steps(step) => self.now(id).map(|now| now - now % step.max(1)),
            ClockGrant::Nothing => Err(Errno::Notcapable),
        }
    }

    /// What stat tells, with time stamps as the granted clock would have made them: whoever changes a file and asks for its
    /// times asks for the time.
    #[inline]
    pub(super) fn granted_stat(&self, stat: Stat) -> Stat {
        let step = match self.clock_grant {
            ClockGrant::Exact => return stat,
            ClockGrant::Steps(step) => Some(step.max(1)),
            ClockGrant::Nothing => None,
        };
        let shown = |time: u64| step.map_or(0, |step| time - time % step);
        Stat {
            atime: shown(stat.atime),
            mtime: shown(stat.mtime),
            ctime: shown(stat.ctime),
            ..stat
        }
    }

    /// When a wait until `moment` ends: when the granted clock shows it, and so no earlier than an exact one.
    pub(super) fn granted_end(&self, moment: u64) -> u64 {
        let step = match self.clock_grant {
            ClockGrant::Exact => return moment,
            ClockGrant::Steps(step) => step.max(1),
            ClockGrant::Nothing => SLEEP_STEP,
        };
        moment.div_ceil(step).saturating_mul(step)
    }

    /// The value of a clock. A host that can't tell processor time shows the time since the start
    /// instead, which is an upper bound of it.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: no such clock
    pub(super) fn now(&self, id: u32) -> Result<u64, Errno> {
        match id {
            REALTIME => Ok(self.clock.realtime()),
            MONOTONIC => Ok(self.monotonic()),
            PROCESS_CPU | THREAD_CPU => Ok(self.cpu_time()),
            _ => Err(Errno::Inval),
        }
    }

    /// The monotonic clock as the process has it: that of its host, and what it had run before it was thawed here.
    #[inline]
    pub(super) fn monotonic(&self) -> u64 {
        self.clock.monotonic().wrapping_add_signed(self.ahead)
    }

    /// A moment of the process's monotonic clock on its host's.
    pub(super) fn of_host(&self, moment: u64) -> u64 {
        moment.saturating_add_signed(self.ahead.saturating_neg())
    }

    /// Processor time, with what it had used before it was thawed here.
    pub(super) fn cpu_time(&self) -> u64 {
        match self.clock.cpu_time() {
            Some(used) => used.saturating_add(self.used_before),
            None => self.monotonic().saturating_sub(self.started),
        }
    }

    /// `clock_res_get`: the smallest step of a clock.
    pub fn clock_res_get<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        id: u32,
        resolution: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        let step = match id {
            REALTIME => self.clock.realtime_resolution(),
            MONOTONIC | PROCESS_CPU | THREAD_CPU => self.clock.monotonic_resolution(),
            _ => return Poll::Ready(Err(Errno::Inval)),
        };
        let step = match self.clock_grant {
            ClockGrant::Exact => step,
            ClockGrant::Steps(granted) => step.max(granted),
            ClockGrant::Nothing => return Poll::Ready(Err(Errno::Notcapable)),
        };
        Poll::Ready(memory.write_u64(resolution, step))
    }

    /// `clock_time_get`: the value of a clock. `precision` is a wish; every clock answers as finely
    /// as it can.
    pub fn clock_time_get<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        id: u32,
        precision: u64,
        time: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        let _ = precision;
        Poll::Ready(
            self.granted_now(id)
                .and_then(|now| memory.write_u64(time, now)),
        )
    }

    /// `random_get`: fills a buffer with random bytes.
    pub fn random_get<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        buf: u32,
        buf_len: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(random_get(buf, buf_len));
        let mut filled = match self.resume(call) {
            Some(Pending::Filled(filled)) => filled,
            _ => 0,
        };
        self.usage.calls += 1;
        memory.check(buf, buf_len)?;
        let mut chunk = [0; RANDOM_CHUNK];
        let pause = filled.saturating_add(RANDOM_PIECE);
        while filled < buf_len {
            if filled >= pause {
                return self.pause(call(), Pending::Filled(filled));
            }
            let len = ((buf_len - filled) as usize).min(RANDOM_CHUNK);
            self.random.fill(&mut chunk[..len])?;
            memory.write(buf + filled, &chunk[..len])?;
            filled += len as u32;
        }
        Poll::Ready(Ok(()))
    }

    /// `sched_yield`: nothing else of this process could run, so it returns at once.
    pub fn sched_yield<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        _memory: &mut M,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        Poll::Ready(Ok(()))
    }
}
