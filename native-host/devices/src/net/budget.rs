//! What a server may cost without giving anything: a budget for each connection, so that a flood ends the flooder's connection and
//! never takes the threads of the network, which all agents share.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

/// A bucket of tokens: so many at once, and so many more each second.
#[derive(Debug)]
pub struct Budget {
    burst: AtomicI64,
    per_second: i64,
    left: AtomicI64,
    /// Milliseconds from `began` until which it was refilled.
    refilled: AtomicU64,
    began: Instant,
    what: &'static str,
}

/// A server went on with what brings nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server sent too much that is no content: over {burst} {what} at once, and {per_second} a second"
)]
pub struct Flood {
    burst: i64,
    per_second: i64,
    what: &'static str,
}

impl Budget {
    /// A full bucket; `what` says what is counted by it.
    pub fn new(burst: i64, per_second: i64, what: &'static str) -> Budget {
        Budget {
            burst: AtomicI64::new(burst),
            per_second,
            left: AtomicI64::new(burst),
            refilled: AtomicU64::new(0),
            began: Instant::now(),
            what,
        }
    }

    /// Takes so many.
    ///
    /// # Errors
    /// [`Flood`]: there are not so many left; nothing was taken
    pub fn take(&self, count: usize) -> Result<(), Flood> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let before = self.left.fetch_sub(count, Ordering::Relaxed);
        if before.saturating_sub(count) >= 0 || self.refill() {
            return Ok(());
        }
        self.left.fetch_add(count, Ordering::Relaxed);
        Err(Flood {
            burst: self.burst.load(Ordering::Relaxed),
            per_second: self.per_second,
            what: self.what,
        })
    }

    /// Gives so many back, for what has turned out to bring something.
    pub fn give(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let after = self.left.fetch_add(count, Ordering::Relaxed) + count;
        let burst = self.burst.load(Ordering::Relaxed);
        if after > burst {
            self.left.fetch_min(burst, Ordering::Relaxed);
        }
    }

    /// Makes the bucket larger by so many, which are in it.
    pub fn widen(&self, count: i64) {
        self.burst.fetch_add(count, Ordering::Relaxed);
        self.left.fetch_add(count, Ordering::Relaxed);
    }

    /// Makes it smaller again. What was taken meanwhile and not given back is owed.
    pub fn narrow(&self, count: i64) {
        self.burst.fetch_sub(count, Ordering::Relaxed);
        self.left.fetch_sub(count, Ordering::Relaxed);
    }

    /// Fills up what has come with time; whether that is enough. The clock is read only when the bucket is empty.
    fn refill(&self) -> bool {
        let now = self.began.elapsed().as_millis() as u64;
        let before = self.refilled.swap(now, Ordering::Relaxed);
        let come = now.saturating_sub(before) as i64 * self.per_second / 1_000;
        let come = come.min(self.burst.load(Ordering::Relaxed));
        self.left.fetch_add(come, Ordering::Relaxed) + come >= 0
    }
}

impl From<Flood> for io::Error {
    fn from(flood: Flood) -> io::Error {
        io::Error::other(flood)
    }
}

/// The flood that an error of a connection is about, if it is.
pub fn flood_in(error: &io::Error) -> Option<&Flood> {
    error.get_ref()?.downcast_ref()
}

/// Bytes that one connection may bring before it is the others' turn.
const TURN_MAX: usize = 256 << 10;

/// How much a connection has brought since it last waited: tokio doesn't look at its clock, nor at other sockets, before a task waits.
#[derive(Debug, Default)]
pub struct Turn(usize);

impl Turn {
    /// Waits for the others, where it is their turn.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.0 < TURN_MAX {
            return Poll::Ready(());
        }
        self.0 = 0;
        std::pin::pin!(tokio::task::yield_now()).poll(context)
    }

    /// So many bytes have come.
    pub fn took(&mut self, bytes: usize) {
        self.0 += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(100, 0, "bytes");
        for _ in 0..10 {
            budget.take(100).unwrap();
            budget.give(100);
        }
        // More than it holds it never has.
        budget.give(1_000);
        budget.take(100).unwrap();
        let flood = budget.take(1).unwrap_err();
        assert_eq!(
            flood.to_string(),
            "the server sent too much that is no content: over 100 bytes at once, and 0 a second"
        );
        assert_eq!(flood_in(&flood.clone().into()), Some(&flood));
        assert!(budget.take(usize::MAX).is_err());
    }

    #[test]
    fn it_can_be_made_larger_for_a_while() {
        let budget = Budget::new(100, 0, "bytes");
        budget.widen(50);
        budget.take(150).unwrap();
        let flood = budget.take(1).unwrap_err();
        assert!(flood.to_string().contains("over 150 bytes"), "{flood}");
        budget.give(120);
        budget.narrow(50);
        budget.take(70).unwrap();
        budget.take(1).unwrap_err();
        // What is left of the larger one is nothing more.
        budget.widen(50);
        budget.give(1_000);
        budget.narrow(50);
        budget.take(101).unwrap_err();
        budget.take(100).unwrap();
    }

    #[test]
    fn it_fills_up_with_time() {
        let budget = Budget::new(10, 1_000_000, "frames");
        let began = Instant::now();
        let mut taken = 0;
        while began.elapsed().as_millis() < 20 {
            taken += usize::from(budget.take(1).is_ok());
            budget.give(0);
        }
        assert!(taken > 10, "only what was there at first could be taken");
    }
}
