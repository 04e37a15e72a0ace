//! The answer of the control plane: now, or later.

use std::task::{Context, Poll, Waker};

use crate::maybe_send::boxed;
use crate::{BoxedFuture, Errno, MaybeSend};

/// What a control operation answers: its result at once, or a future that owns everything it needs.
///
/// Devices that have their answer in memory return [`Op::Ready`] and cost no allocation. A device
/// that must ask the outside world (a host's asynchronous API, a server at the other end of a
/// channel) returns [`Op::Later`]; whoever called awaits it and nothing of the caller is borrowed
/// meanwhile. Dropping the future cancels the operation.
#[must_use = "an operation that is not looked at may not have happened"]
pub enum Op<T> {
    /// The operation has ended.
    Ready(Result<T, Errno>),
    /// The operation ends when this future does.
    Later(BoxedFuture<Result<T, Errno>>),
}

impl<T: MaybeSend + 'static> Op<T> {
    /// An operation that has succeeded.
    pub fn ok(value: T) -> Self {
        Op::Ready(Ok(value))
    }

    /// An operation that has failed.
    pub fn err(errno: Errno) -> Self {
        Op::Ready(Err(errno))
    }

    /// An operation that ends when `future` does.
    pub fn later(future: impl Future<Output = Result<T, Errno>> + MaybeSend + 'static) -> Self {
        Op::Later(boxed(future))
    }

    /// Runs `future` as far as it goes without waiting: what has its answer in memory ends here, and
    /// the rest goes on when the operation is awaited.
    pub fn run(future: impl Future<Output = Result<T, Errno>> + MaybeSend + 'static) -> Self {
        let mut future = boxed(future);
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(result) => Op::Ready(result),
            Poll::Pending => Op::Later(future),
        }
    }

    /// Changes the value of a success; an error passes through.
    pub fn map<U: MaybeSend + 'static>(
        self,
        change: impl FnOnce(T) -> U + MaybeSend + 'static,
    ) -> Op<U> {
        match self {
            Op::Ready(result) => Op::Ready(result.map(change)),
            Op::Later(future) => Op::later(async move { future.await.map(change) }),
        }
    }

    /// Goes on with another operation after a success; an error passes through.
    pub fn then<U: MaybeSend + 'static>(
        self,
        next: impl FnOnce(T) -> Op<U> + MaybeSend + 'static,
    ) -> Op<U> {
        self.then_result(|result| match result {
            Ok(value) => next(value),
            Err(errno) => Op::err(errno),
        })
    }

    /// Goes on with another operation, whatever this one ended with.
    pub fn then_result<U: MaybeSend + 'static>(
        self,
        next: impl FnOnce(Result<T, Errno>) -> Op<U> + MaybeSend + 'static,
    ) -> Op<U> {
        match self {
            Op::Ready(result) => next(result),
            Op::Later(future) => Op::later(async move { next(future.await).wait().await }),
        }
    }

    /// Awaits the end of the operation.
    ///
    /// # Errors
    /// Whatever the operation ended with.
    pub async fn wait(self) -> Result<T, Errno> {
        match self {
            Op::Ready(result) => result,
            Op::Later(future) => future.await,
        }
    }
}

impl<T> From<Result<T, Errno>> for Op<T> {
    fn from(result: Result<T, Errno>) -> Self {
        Op::Ready(result)
    }
}

impl From<String> for Op<String> {
    fn from(value: String) -> Self {
        Op::ok(value)
    }
}
