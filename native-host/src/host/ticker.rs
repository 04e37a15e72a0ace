//! The one thread that takes guests which compute off their worker, again and again.
//!
//! A guest looks at its engine's epoch at every loop and function; where that has moved on, it hands its worker to the next task. While no guest
//! runs nobody moves it on: a host of sleeping agents wakes no processor.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// How long a guest has its worker at a time, at most: what waits for the worker meanwhile waits so long for each guest that computes on
/// it. A fifth of what a neighbour may be delayed, so that there is room for several, and long enough that handing over, a microsecond or
/// two, is not felt.
pub const TICK: Duration = Duration::from_millis(2);

/// Ticks without a guest that runs, after which the thread sleeps until there is one: waking it costs more than a few ticks.
const IDLE: u32 = 25;

/// Moves the epoch of an engine on while guests run.
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    engine: Engine,
    /// Guests that run at this moment.
    running: AtomicUsize,
    sleeps: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub fn start(engine: Engine) -> io::Result<Ticker> {
        let shared = Arc::new(Shared {
            engine,
            running: AtomicUsize::new(0),
            sleeps: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let own = shared.clone();
        let thread = std::thread::Builder::new().name("capfs-ticker".to_owned());
        let thread = thread.stack_size(64 << 10).spawn(move || own.tick())?;
        Ok(Ticker {
            shared,
            thread: Some(thread),
        })
    }

    /// A guest runs until what is returned is dropped.
    pub fn turn(&self) -> Turn<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        // Sequentially consistent, as the thread's own pair: one of the two sees the other.
        if self.shared.sleeps.load(Ordering::SeqCst) {
            self.wake();
        }
        Turn(self)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn tick(&self) {
        let mut idle = 0;
        while !self.ended.load(Ordering::SeqCst) {
            if idle < IDLE {
                std::thread::park_timeout(TICK);
            } else {
                self.sleeps.store(true, Ordering::SeqCst);
                if self.running.load(Ordering::SeqCst) == 0 && !self.ended.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.sleeps.store(false, Ordering::SeqCst);
            }
            match self.running.load(Ordering::SeqCst) {
                0 => idle += 1,
                _ => idle = 0,
            }
            self.engine.increment_epoch();
        }
    }
}

/// A guest that runs.
pub struct Turn<'a>(&'a Ticker);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::engine;

    #[test]
    fn it_ends_asleep_and_awake() {
        let ticker = Ticker::start(engine()).unwrap();
        let shared = ticker.shared.clone();
        while !shared.sleeps.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        drop(ticker);
        let ticker = Ticker::start(engine()).unwrap();
        drop(ticker.turn());
        drop(ticker);
        assert_eq!(shared.running.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_turn_wakes_it() {
        let ticker = Ticker::start(engine()).unwrap();
        while !ticker.shared.sleeps.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let turn = ticker.turn();
        while ticker.shared.sleeps.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        drop(turn);
    }
}
