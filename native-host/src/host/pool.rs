//! Where what blocks is done: on threads beside the workers, a bounded number of them.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Threads of a host's pool at once, unless told: a disk and the cores that derive keys are busy with fewer, and what is beyond waits
/// for its turn without a thread.
pub const BLOCKING_MAX: usize = 16;

/// Does what blocks.
#[derive(Clone)]
pub struct Pool {
    runtime: Handle,
    turns: Arc<Semaphore>,
}

impl Pool {
    /// On so many threads of the runtime's own for what blocks, at most.
    pub fn new(runtime: Handle, max: usize) -> Pool {
        Pool {
            runtime,
            turns: Arc::new(Semaphore::new(max.max(1))),
        }
    }

    /// Does `work` when it is its turn. What has begun is done to its end, even where nobody waits for it any longer.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Stopped)?;
        let done = self.runtime.spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        match done.await {
            Ok(done) => Ok(done),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Stopped),
            },
        }
    }
}

/// The runtime is being shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host's runtime is being shut down")]
pub struct Stopped;
