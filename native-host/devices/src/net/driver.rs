//! The network's work, done by the thread that waits for it.
//!
//! An agent that asks a server something and waits for the answer has nothing else to do. Where its own thread sends the request and reads the
//! answer meanwhile, no other has to be woken for it, and none has to wake it: on a small exchange that is a fifth to a third of the time.

use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;

/// A runtime that may be let go of anywhere: the last to do so may be one of its own threads, or wait for something else.
pub(super) struct Detached(Option<Runtime>);

impl Detached {
    pub(super) fn new(runtime: Runtime) -> Detached {
        Detached(Some(runtime))
    }
}

impl Deref for Detached {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken by its drop alone")
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Does the work of a [network](super::Network::driven) on the threads that have it. While nobody is in one of its calls, nothing is sent or
/// received.
pub struct Driver {
    /// Precise to the nanosecond, where the runtime's own timers count milliseconds.
    timer: AsyncFd<OwnedFd>,
    runtime: Arc<Detached>,
}

impl Driver {
    /// The driver of a runtime that has no threads.
    pub(super) fn new(runtime: Arc<Detached>) -> io::Result<Driver> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let timer = {
            let _inside = runtime.enter();
            #[expect(
                deprecated,
                reason = "the other constructor asks for what an `OwnedFd` has: it stays the same descriptor"
            )]
            AsyncFd::new(timer)?
        };
        Ok(Driver { timer, runtime })
    }

    /// Does what there is to do until somebody nudges, or so much time has passed.
    pub fn wait(&self, nudge: &Nudge, time: Option<Duration>) {
        // A timer of nothing is a timer that is stopped. Where it can't be set, a wait better ends early than never.
        let timed = time.filter(|time| !time.is_zero() && self.set_timer(*time));
        if time.is_some() && timed.is_none() {
            return;
        }
        self.runtime.block_on(poll_fn(|context| {
            nudge.waker.register(context.waker());
            if nudge.woken.swap(false, Ordering::Acquire) {
                return Poll::Ready(());
            }
            match timed {
                Some(_) => self.poll_timer(context),
                None => Poll::Pending,
            }
        }));
        if timed.is_some() {
            self.set_timer(Duration::ZERO);
        }
    }

    /// Ready when the timer's time has come. What is left of one that was stopped is no time that has come.
    fn poll_timer(&self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let Ok(mut ready) = ready!(self.timer.poll_read_ready(context)) else {
                return Poll::Ready(());
            };
            let expired = rustix::io::read(self.timer.get_ref(), &mut [0; 8]);
            ready.clear_ready();
            if expired != Err(rustix::io::Errno::AGAIN) {
                return Poll::Ready(());
            }
        }
    }

    /// Sets the timer, or stops it by a time of nothing; whether it could be set.
    fn set_timer(&self, time: Duration) -> bool {
        let value = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let spec = Itimerspec {
            it_interval: Timespec::default(),
            it_value: value,
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &spec).is_ok()
    }

    /// Does what there is to do for so long, for a thread that is busy otherwise.
    pub fn relieve(&self, time: Duration) {
        let relieving = async { tokio::time::sleep(time).await };
        self.runtime.block_on(relieving);
    }

    /// Does what there is to do as long as the process lives: connections have an after-life.
    pub fn serve(&self) -> ! {
        loop {
            self.runtime.block_on(std::future::pending::<()>());
        }
    }
}

/// Ends a [wait](Driver::wait), or the next one where there is none.
#[derive(Default)]
pub struct Nudge {
    woken: AtomicBool,
    waker: AtomicWaker,
}

impl Nudge {
    /// Ends it.
    pub fn nudge(&self) {
        self.woken.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Wake for Nudge {
    fn wake(self: Arc<Self>) {
        self.nudge();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Instant;

    use super::*;
    use crate::net::{Network, NetworkOptions};

    fn driven() -> (Network, Driver) {
        let network = Network::driven(NetworkOptions::default());
        network.start().unwrap();
        let driver = network.driver().unwrap().unwrap();
        (network, driver)
    }

    #[test]
    fn a_wait_does_the_networks_work_until_it_is_nudged() {
        let (network, driver) = driven();
        let nudge = Arc::new(Nudge::default());
        let (waker, slept) = (Waker::from(nudge.clone()), network.sleep(20));
        let began = Instant::now();
        network.spawn(Box::pin(async move {
            slept.await;
            waker.wake();
        }));
        driver.wait(&nudge, None);
        assert!(began.elapsed() >= Duration::from_millis(20));
        // Nudged before it: it doesn't wait.
        nudge.nudge();
        driver.wait(&nudge, None);
    }

    #[test]
    fn a_wait_ends_in_time() {
        let (_network, driver) = driven();
        let nudge = Nudge::default();
        for micros in [0, 1, 50, 700, 3_000] {
            let time = Duration::from_micros(micros);
            let began = Instant::now();
            driver.wait(&nudge, Some(time));
            assert!(began.elapsed() >= time, "{time:?}");
        }
        // What was left of a time must not end the next wait.
        nudge.nudge();
        driver.wait(&nudge, Some(Duration::from_micros(1)));
        let began = Instant::now();
        driver.wait(&nudge, Some(Duration::from_millis(5)));
        assert!(began.elapsed() >= Duration::from_millis(5));
    }

    #[test]
    fn another_thread_does_the_work_of_one_that_is_busy() {
        let (network, driver) = driven();
        let (tell, told) = std::sync::mpsc::channel();
        let slept = network.sleep(1);
        network.spawn(Box::pin(async move {
            slept.await;
            let _ = tell.send(());
        }));
        std::thread::scope(|scope| {
            scope.spawn(|| driver.relieve(Duration::from_millis(50)));
            told.recv().unwrap();
            // Both at once.
            let began = Instant::now();
            driver.wait(&Nudge::default(), Some(Duration::from_millis(5)));
            assert!(began.elapsed() >= Duration::from_millis(5));
        });
    }

    #[test]
    fn a_network_that_nobody_drives_has_threads() {
        let network = Network::driven(NetworkOptions::default());
        assert!(network.driver().unwrap().is_none());
        let (tell, told) = std::sync::mpsc::channel();
        network.start().unwrap();
        network.spawn(Box::pin(async move {
            let _ = tell.send(());
        }));
        told.recv().unwrap();
        assert!(network.driver().unwrap().is_none());
    }
}
