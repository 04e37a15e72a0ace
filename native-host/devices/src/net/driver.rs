//! The network's work, done by the thread that waits for it.
//!
//! An agent that asks a server something and waits for the answer has nothing else to do. Where its own thread sends the request and reads the
//! answer meanwhile, no other has to be woken for it, and none has to wake it: on a small exchange that is a third of the time.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;

/// Does the work of a [network](super::Network::driven) on the thread that has it. While nobody is in one of its calls, nothing is sent or
/// received.
pub struct Driver {
    /// Precise to the nanosecond, where the runtime's own timers count milliseconds.
    timer: AsyncFd<OwnedFd>,
    runtime: Arc<Runtime>,
}

impl Driver {
    /// The driver of a runtime that has no threads.
    pub(super) fn new(runtime: Arc<Runtime>) -> io::Result<Driver> {
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
            return self.turn();
        }
        self.runtime.block_on(poll_fn(|context| {
            nudge.waker.register(context.waker());
            if nudge.woken.swap(false, Ordering::Acquire) {
                return Poll::Ready(());
            }
            match timed {
                Some(_) => self.timer.poll_read_ready(context).map(|ready| {
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                }),
                None => Poll::Pending,
            }
        }));
        // An event of its that comes later would end the next wait.
        if timed.is_some() {
            self.set_timer(Duration::ZERO);
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

    /// Does what can be done at once.
    pub fn turn(&self) {
        self.runtime.block_on(async {
            // The first looks at what has come, the second lets those go on who wait for it.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        });
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
    fn a_turn_lets_those_go_on_who_wait_for_what_has_come() {
        let (network, driver) = driven();
        let (tell, told) = std::sync::mpsc::channel();
        let slept = network.sleep(1);
        network.spawn(Box::pin(async move {
            slept.await;
            let _ = tell.send(());
        }));
        while told.try_recv().is_err() {
            driver.turn();
        }
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
