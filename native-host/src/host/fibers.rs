//! What runs a process on a stack of its own: for children that an agent starts, as for itself.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use capfs::account::Account;
use capfs_native_devices::blocking::Stopped;
use capfs_runtime::{ConfigError, NoRandom, Process, ProcessConfig};
use tokio::sync::Semaphore;

use super::fiber::{self, Course, Ending, Entry};
use super::programs::Waits;
use super::{Inner, RUNNING};
use crate::clock::{SystemRandom, TurnClock};
use crate::engine::{Engines, Loaded, ModuleError};
use crate::run::{Report, RunConfig};
use crate::wait::{Cancelled, Parker};

/// The threads of a host, and what belongs to them, for one agent and those that it starts.
#[derive(Clone)]
pub(crate) struct Fibers {
    inner: Arc<Inner>,
    /// One of an agent's family compiles at a time: they take their turns with those of other agents.
    turn: Arc<Semaphore>,
}

/// A process, and the clocks that it has.
pub(crate) struct Started {
    process: Process,
    clock: Arc<TurnClock>,
}

impl Fibers {
    pub(super) fn new(inner: Arc<Inner>) -> Fibers {
        Fibers {
            inner,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    pub(crate) fn engines(&self) -> &Engines {
        self.inner.programs.engines()
    }

    /// Bytes that each is charged while it runs.
    pub(crate) fn running(&self) -> u64 {
        self.inner.stack.saturating_add(RUNNING)
    }

    /// Runs a future as a task, in which devices hand what blocks to the pool.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let scoped = self.inner.pool.scope(future);
        drop(self.inner.runtime.spawn(scoped));
    }

    /// Waits for what a future gives, unless the run is ended before.
    pub(crate) async fn unless_ended<T>(
        &self,
        ending: &Ending,
        future: impl Future<Output = T>,
    ) -> Result<T, Cancelled> {
        self.course(ending).wait_for(future).await
    }

    /// Does what compiles, on threads for nothing else, of which there are as many as processors. What has begun when the run is ended is
    /// ended by its parker, and waited for.
    ///
    /// # Errors
    /// The run is ended before it is its turn, or the runtime is being shut down.
    pub(crate) async fn compile<T: Send + 'static>(
        &self,
        ending: &Ending,
        work: impl FnOnce(&Parker) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let waits = Waits::default();
        let begun = Arc::new(AtomicBool::new(false));
        let (interest, begins) = (waits.interest(), begun.clone());
        let (engine, turn) = (self.inner.programs.engine().clone(), self.turn.clone());
        let done = async {
            let turn = turn.acquire_owned().await.map_err(|_| Stopped)?;
            let work = move || {
                begins.store(true, Ordering::SeqCst);
                let parker = Parker::new();
                interest.compiles(Some(parker.canceller(&engine)));
                let done = work(&parker);
                interest.compiles(None);
                drop(turn);
                done
            };
            self.inner.compiling.run(work).await
        };
        let mut done = pin!(done);
        match self.unless_ended(ending, &mut done).await {
            Ok(done) => done,
            Err(_) => {
                drop(waits);
                match begun.load(Ordering::SeqCst) {
                    true => done.await,
                    false => Err(Stopped),
                }
            }
        }
    }

    /// Resolves the imports of a module.
    pub(crate) fn link(&self, loaded: &Loaded, name: &str) -> Result<Entry, ModuleError> {
        self.inner.programs.link(loaded, name)
    }

    /// Makes a process of what is said about a run.
    pub(crate) async fn process(&self, config: RunConfig) -> Result<Started, ConfigError> {
        let clock = Arc::new(TurnClock::new(self.inner.clock.clone()));
        let process = Process::new(ProcessConfig {
            args: config.args,
            env: config.env,
            namespace: config.namespace,
            stdio: config.stdio,
            preopens: config.preopens,
            handed: config.handed,
            clock: clock.clone(),
            clock_grant: config.clock,
            random: match config.random {
                true => Box::new(SystemRandom),
                false => Box::new(NoRandom),
            },
            max_files: config.max_files,
            account: config.account,
        });
        Ok(Started {
            process: process.await?,
            clock,
        })
    }

    /// Runs it to its end.
    pub(crate) async fn run(
        &self,
        program: &Entry,
        started: Started,
        account: &Account,
        ending: &Ending,
    ) -> Report {
        let Started { process, clock } = started;
        fiber::run(program, process, clock, account, &self.course(ending)).await
    }

    fn course<'a>(&'a self, ending: &'a Ending) -> Course<'a> {
        Course {
            ticker: &self.inner.ticker,
            ending,
            until: None,
        }
    }
}
