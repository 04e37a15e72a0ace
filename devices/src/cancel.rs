//! Futures that are given up: because somebody says so, or because time is up.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use capfs::device::parts::lock;
use capfs::{BoxedFuture, Errno, MaybeSend};

use crate::outside::{Failure, Outside};

/// Whether something was given up.
#[derive(Default)]
pub struct Cancel {
    set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Cancel {
    pub fn new() -> Arc<Cancel> {
        Arc::default()
    }

    /// Gives it up.
    pub fn set(&self) {
        self.set.store(true, Ordering::Release);
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Runs a future to its end, or until it is given up.
    pub fn unless(
        self: Arc<Self>,
        future: impl Future<Output = ()> + MaybeSend + 'static,
    ) -> BoxedFuture<()> {
        let mut future: BoxedFuture<()> = Box::pin(future);
        Box::pin(poll_fn(move |context| {
            *lock(&self.waker) = Some(context.waker().clone());
            match self.is_set() {
                true => Poll::Ready(()),
                false => future.as_mut().poll(context),
            }
        }))
    }
}

/// Runs a future to its end, or for so many milliseconds.
///
/// # Errors
/// Its own, and `ETIMEDOUT`.
pub async fn within<T>(
    host: &(impl Outside + ?Sized),
    millis: u64,
    mut future: BoxedFuture<Result<T, Failure>>,
    text: impl Fn() -> String,
) -> Result<T, Failure> {
    let mut timer = host.sleep(millis);
    poll_fn(move |context| {
        if let Poll::Ready(result) = future.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        let elapsed = timer.as_mut().poll(context);
        elapsed.map(|()| Err(Failure::new(Errno::Timedout, text())))
    })
    .await
}
