//! How a run waits, and how it is ended from outside.
//!
//! A run has one thread. A call that waits parks it; a waker, the clock or a [`Canceller`] unparks it. A
//! guest that computes is stopped by the engine's epoch instead, so a canceller does both.
//!
//! A run that has a [driver](Driver) does the network's work while it waits, and while it computes at each beat of a [`Pulse`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use capfs_native_devices::net::{Driver, Nudge};
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
    /// What wakes it where it waits in its driver.
    nudge: Option<Nudge>,
    cancelled: AtomicU8,
}

impl Parked {
    fn unpark(&self) {
        match &self.nudge {
            Some(nudge) => nudge.nudge(),
            None => self.thread.unpark(),
        }
    }
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }
}

/// Parks the thread that made it.
pub struct Parker {
    parked: Arc<Parked>,
    waker: Waker,
    driven: Option<Driven>,
}

/// Whose work it does meanwhile, and what reminds it of that while it doesn't wait.
struct Driven {
    driver: Arc<Driver>,
    pulse: Option<Pulse>,
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}

impl Parker {
    /// A parker of the current thread.
    pub fn new() -> Self {
        Parker::with(None)
    }

    /// A parker of the current thread, which does a driver's work while it is parked.
    pub fn driving(driver: Arc<Driver>) -> Self {
        Parker::with(Some(driver))
    }

    fn with(driver: Option<Arc<Driver>>) -> Self {
        let parked = Arc::new(Parked {
            thread: std::thread::current(),
            nudge: driver.is_some().then(Nudge::default),
            cancelled: AtomicU8::new(Cancelled::NOT),
        });
        Parker {
            waker: Waker::from(parked.clone()),
            parked,
            driven: driver.map(|driver| Driven {
                driver,
                pulse: None,
            }),
        }
    }

    /// A guest of this engine is about to compute: from now on it is reminded of its driver, if it has one.
    ///
    /// # Errors
    /// The system gives no thread for it.
    pub fn beat(&mut self, engine: &Engine) -> io::Result<()> {
        if let Some(driven) = &mut self.driven {
            driven.pulse = Some(Pulse::start(engine.clone())?);
        }
        Ok(())
    }

    /// Does what its driver can do at once.
    pub fn turn(&self) {
        if let Some(driven) = &self.driven {
            driven.driver.turn();
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
        match (&self.driven, &self.parked.nudge) {
            (Some(Driven { driver, pulse }), Some(nudge)) => {
                let _idle = pulse.as_ref().map(Pulse::rest);
                driver.wait(nudge, time);
            }
            _ => match time {
                Some(time) => std::thread::park_timeout(time),
                None => std::thread::park(),
            },
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
        self.parked.unpark();
    }
}

/// Between two beats: how long what has come for a guest that computes lies there, and what it has sent.
const BEAT: Duration = Duration::from_millis(5);

/// Advances the epoch of an engine again and again, so that a guest that computes without a wait looks up at times. It rests while the guest
/// waits for longer.
struct Pulse {
    beating: Arc<Beating>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Beating {
    /// The guest waits.
    idle: AtomicBool,
    /// How often it has waited.
    waits: AtomicU32,
    /// The pulse has stopped until it is woken.
    stopped: AtomicBool,
    ended: AtomicBool,
}

impl Pulse {
    fn start(engine: Engine) -> io::Result<Pulse> {
        let beating: Arc<Beating> = Arc::default();
        let own = beating.clone();
        let thread = std::thread::Builder::new().name("pulse".to_owned());
        let thread = thread.spawn(move || own.beat(&engine))?;
        Ok(Pulse {
            beating,
            thread: Some(thread),
        })
    }

    /// The guest waits as long as what is returned is kept.
    fn rest(&self) -> Resting<'_> {
        self.beating.waits.fetch_add(1, Ordering::Relaxed);
        self.beating.idle.store(true, Ordering::Relaxed);
        Resting(self)
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

struct Resting<'a>(&'a Pulse);

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        // Sequentially consistent, as the pulse's own pair: one of the two sees the other.
        self.0.beating.idle.store(false, Ordering::SeqCst);
        if self.0.beating.stopped.load(Ordering::SeqCst) {
            self.0.unpark();
        }
    }
}

impl Beating {
    fn beat(&self, engine: &Engine) {
        let mut waits = 0;
        while !self.ended.load(Ordering::Acquire) {
            let before = std::mem::replace(&mut waits, self.waits.load(Ordering::Relaxed));
            let idle = self.idle.load(Ordering::Relaxed);
            if !idle {
                engine.increment_epoch();
            }
            // It has waited since the last beat.
            if idle && before == waits {
                self.stopped.store(true, Ordering::SeqCst);
                while self.idle.load(Ordering::SeqCst) && !self.ended.load(Ordering::Acquire) {
                    std::thread::park();
                }
                self.stopped.store(false, Ordering::SeqCst);
            }
            std::thread::park_timeout(BEAT);
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.beating.ended.store(true, Ordering::Release);
        self.unpark();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
