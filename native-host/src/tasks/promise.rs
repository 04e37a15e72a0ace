//! What a child tells a call that waits for it.

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use capfs::Errno;
use capfs::device::parts::lock;

#[derive(Default)]
struct State {
    outcome: Option<Result<(), Errno>>,
    waiting: Option<Waker>,
}

/// The side of the child. Letting go of it unkept is `EIO` for whoever waits.
pub(super) struct Promise(Arc<Mutex<State>>);

/// Makes a promise, and a future that ends when it is kept.
pub(super) fn promise() -> (Promise, impl Future<Output = Result<(), Errno>>) {
    let state: Arc<Mutex<State>> = Arc::default();
    let promised = state.clone();
    let future = std::future::poll_fn(move |context| {
        let mut state = lock(&promised);
        match state.outcome {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    });
    (Promise(state), future)
}

impl Promise {
    /// Keeps it.
    pub(super) fn keep(self, outcome: Result<(), Errno>) {
        self.settle(outcome);
    }

    fn settle(&self, outcome: Result<(), Errno>) {
        let waiting = {
            let mut state = lock(&self.0);
            if state.outcome.is_none() {
                state.outcome = Some(outcome);
            }
            state.waiting.take()
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.settle(Err(Errno::Io));
    }
}
