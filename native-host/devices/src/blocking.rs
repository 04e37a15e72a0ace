//! Where what blocks is done: in place, or on threads beside those that run many agents.
//!
//! An agent with a thread of its own waits for its disk on that thread. One that shares a few threads with others hands such work to the [`Pool`] in
//! whose [scope](Pool::scope) its task is. A device asks where it is when it has work: it is the same device for both.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

tokio::task_local! {
    static POOL: Pool;
}

/// Does what blocks, on a bounded number of threads.
#[derive(Clone)]
pub struct Pool {
    runtime: Handle,
    turns: Arc<Semaphore>,
}

/// The pool of the task that this is called in; none where that may block.
pub fn pool() -> Option<Pool> {
    POOL.try_with(Pool::clone).ok()
}

impl Pool {
    /// On so many threads of the runtime's own for what blocks, at most. What is beyond waits for its turn without a thread.
    pub fn new(runtime: Handle, max: usize) -> Pool {
        Pool {
            runtime,
            turns: Arc::new(Semaphore::new(max.max(1))),
        }
    }

    /// A future in which devices hand what blocks to this pool.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        POOL.scope(self.clone(), future)
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
#[error("the runtime is being shut down")]
pub struct Stopped;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use capfs_devices::crypto::KeyStore;
    use capfs_devices::indexeddb::Space;

    use super::*;
    use crate::crypto::Keys;
    use crate::indexeddb::SqliteSpace;

    #[test]
    fn databases_and_keys_that_are_kept_are_for_the_pool() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let state = tempfile::tempdir().unwrap();
        let own = Pool::new(runtime.handle().clone(), 1);
        let space = SqliteSpace::new(state.path().to_owned());
        let keys = Keys::new(Some(state.path().to_owned()), None);
        runtime.block_on(own.scope(async {
            let turn = own.turns.clone().acquire_owned().await.unwrap();
            let (mut count, mut names) = (pin!(space.count(vec![0], vec![1])), pin!(keys.names()));
            let mut context = Context::from_waker(Waker::noop());
            // There is no turn for them.
            assert!(count.as_mut().poll(&mut context).is_pending());
            assert!(names.as_mut().poll(&mut context).is_pending());
            drop(turn);
            assert_eq!(count.await.unwrap(), 0);
            assert_eq!(names.await.unwrap(), [""; 0]);
        }));
        // Where the caller may block, they are done at once.
        let mut context = Context::from_waker(Waker::noop());
        assert!(
            space
                .count(vec![0], vec![1])
                .as_mut()
                .poll(&mut context)
                .is_ready()
        );
    }

    #[test]
    fn what_blocks_is_done_beside_the_task_and_no_more_of_it_than_there_are_turns() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let here = std::thread::current().id();
        assert!(pool().is_none());
        let own = Pool::new(runtime.handle().clone(), 1);
        runtime.block_on(own.scope(async {
            let pool = pool().unwrap();
            let (tell, told) = mpsc::channel();
            let (go, going) = mpsc::channel::<()>();
            let first = tell.clone();
            let waits = pool.run(move || {
                first.send("first begins").unwrap();
                going.recv().unwrap();
                first.send("first ends").unwrap();
                std::thread::current().id()
            });
            let second = pool.run(move || tell.send("second").unwrap());
            let on_another = async {
                // It goes on here while the first blocks.
                go.send(()).unwrap();
            };
            let (first, second, ()) = tokio::join!(waits, second, on_another);
            assert_ne!(first.unwrap(), here);
            second.unwrap();
            let order: Vec<_> = told.iter().collect();
            assert_eq!(order, ["first begins", "first ends", "second"]);
        }));
    }
}
