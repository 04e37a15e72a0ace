//! How a run waits, and how it is ended from outside.
//!
//! A run has one thread. A call that waits parks it; a waker, the clock or a [`Canceller`] unparks it. A
//! guest that computes is stopped by the engine's epoch instead, so a canceller does both.
//!
//! A run that has a [driver](Driver) does the network's work while it waits; while it computes, or sits in a call of the operating system, a [`Relief`] does.

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

/// Whose work it does meanwhile, and who does it while it doesn't wait.
struct Driven {
    driver: Arc<Driver>,
    relief: Option<Relief>,
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
                relief: None,
            }),
        }
    }

    /// From now on somebody does the work of its driver, if it has one, while it doesn't wait.
    ///
    /// # Errors
    /// The system gives no thread for it.
    pub fn relieve(&mut self) -> io::Result<()> {
        if let Some(driven) = &mut self.driven {
            driven.relief = Some(Relief::start(driven.driver.clone())?);
        }
        Ok(())
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
            (Some(Driven { driver, relief }), Some(nudge)) => {
                let _waiting = relief.as_ref().map(Relief::not_needed);
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

/// How long a run may be busy before its network is somebody else's work.
const BUSY: Duration = Duration::from_millis(5);

/// A thread that does a driver's work while the run does not wait, and sleeps while it does.
struct Relief {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// The run waits.
    waits: AtomicBool,
    /// How often it has waited.
    count: AtomicU32,
    /// The relief sleeps until it is woken.
    sleeps: AtomicBool,
    ended: AtomicBool,
}

impl Relief {
    fn start(driver: Arc<Driver>) -> io::Result<Relief> {
        let shared: Arc<Shared> = Arc::default();
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("relief".to_owned());
        let thread = thread.spawn(move || own.relieve(&driver))?;
        Ok(Relief {
            shared,
            thread: Some(thread),
        })
    }

    /// The run waits as long as what is returned is kept.
    fn not_needed(&self) -> Waiting<'_> {
        self.shared.count.fetch_add(1, Ordering::Relaxed);
        self.shared.waits.store(true, Ordering::Relaxed);
        Waiting(self)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

struct Waiting<'a>(&'a Relief);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Sequentially consistent, as the relief's own pair: one of the two sees the other.
        self.0.shared.waits.store(false, Ordering::SeqCst);
        if self.0.shared.sleeps.load(Ordering::SeqCst) {
            self.0.wake();
        }
    }
}

impl Shared {
    fn relieve(&self, driver: &Driver) {
        let mut count = 0;
        while !self.ended.load(Ordering::Acquire) {
            let before = std::mem::replace(&mut count, self.count.load(Ordering::Relaxed));
            match (before == count, self.waits.load(Ordering::Relaxed)) {
                // It has been busy ever since.
                (true, false) => driver.relieve(BUSY),
                (true, true) => self.sleep(),
                (false, _) => std::thread::park_timeout(BUSY),
            }
        }
    }

    /// Sleeps until the run no longer waits, and as long as it may be busy.
    fn sleep(&self) {
        self.sleeps.store(true, Ordering::SeqCst);
        while self.waits.load(Ordering::SeqCst) && !self.ended.load(Ordering::Acquire) {
            std::thread::park();
        }
        self.sleeps.store(false, Ordering::SeqCst);
        std::thread::park_timeout(BUSY);
    }
}

impl Drop for Relief {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use capfs_native_devices::net::{Network, NetworkOptions};

    use super::*;

    #[test]
    fn the_network_goes_on_while_a_run_sits_in_a_call() {
        let network = Network::driven(NetworkOptions::default());
        network.start().unwrap();
        let driver = network.driver().unwrap().map(Arc::new);
        let mut parker = Parker::driving(driver.unwrap());
        parker.relieve().unwrap();
        // Before it has waited, and after it has.
        for _ in 0..2 {
            let (tell, told) = std::sync::mpsc::channel();
            let slept = network.sleep(1);
            network.spawn(Box::pin(async move {
                slept.await;
                let _ = tell.send(());
            }));
            told.recv().unwrap();
            parker.park(Some(Duration::from_millis(30)));
        }
    }
}
