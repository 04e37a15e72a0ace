//! How a run waits, and how it is ended from outside.
//!
//! A run has one thread. A call that waits parks it; a waker, the clock or a [`Canceller`] unparks it. A
//! guest that computes is stopped by the engine's epoch instead, so a canceller does both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use capfs_native_devices::signals::Signal;
use wasmtime::Engine;

/// Why a run was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Its time was up.
    Timeout,
    /// Its parent, or the end of its parent.
    Killed,
    /// The host was asked to end (Ctrl-C, kill(1)).
    Signal(Signal),
}

impl Cancelled {
    /// What stands for nothing.
    const NOT: u8 = 0;

    /// It as a number; signals are their own.
    const fn number(self) -> u8 {
        match self {
            Cancelled::Timeout => 0x80,
            Cancelled::Killed => 0x81,
            Cancelled::Signal(signal) => signal.number(),
        }
    }

    fn of_number(number: u8) -> Option<Cancelled> {
        let signals = Signal::ALL.map(Cancelled::Signal).into_iter();
        let mut all = signals.chain([Cancelled::Timeout, Cancelled::Killed]);
        all.find(|why| why.number() == number)
    }
}

struct Parked {
    thread: Thread,
    cancelled: AtomicU8,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.thread.unpark();
    }
}

/// Parks the thread that made it.
pub struct Parker {
    parked: Arc<Parked>,
    waker: Waker,
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}

impl Parker {
    /// A parker of the current thread.
    pub fn new() -> Self {
        let thread = std::thread::current();
        let parked = Arc::new(Parked {
            thread,
            cancelled: AtomicU8::new(Cancelled::NOT),
        });
        Parker {
            waker: Waker::from(parked.clone()),
            parked,
        }
    }

    /// Wakes the thread.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Why the run is to end, if it is.
    pub fn cancelled(&self) -> Option<Cancelled> {
        match self.parked.cancelled.load(Ordering::Acquire) {
            Cancelled::NOT => None,
            number => Cancelled::of_number(number),
        }
    }

    /// Parks until woken, or for at most `time`. It may return early.
    pub fn park(&self, time: Option<Duration>) {
        match time {
            Some(time) => std::thread::park_timeout(time),
            None => std::thread::park(),
        }
    }

    /// Waits for what a future gives, unless the run is ended before.
    ///
    /// # Errors
    /// Why it was ended.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> Result<T, Cancelled> {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(&self.waker);
        loop {
            if let Some(why) = self.cancelled() {
                return Err(why);
            }
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return Ok(value);
            }
            self.park(None);
        }
    }

    /// Something that ends the run from another thread.
    pub fn canceller(&self, engine: &Engine) -> Canceller {
        Canceller {
            parked: self.parked.clone(),
            engine: engine.clone(),
        }
    }
}

/// Ends a run from another thread, whether it computes or waits.
#[derive(Clone)]
pub struct Canceller {
    parked: Arc<Parked>,
    engine: Engine,
}

impl Canceller {
    /// Ends the run; the first reason stays.
    pub fn cancel(&self, why: Cancelled) {
        let _ = self.parked.cancelled.compare_exchange(
            Cancelled::NOT,
            why.number(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        self.engine.increment_epoch();
        self.parked.thread.unpark();
    }
}
