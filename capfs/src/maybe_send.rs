//! The one place where targets differ on `Send`, and on who else is there.
//!
//! Natively an agent may be moved between threads while it sleeps, so nodes, open files and futures
//! are `Send`. In a browser (or in workerd) there is one thread and JavaScript values are not
//! `Send`, so there the bounds ask for nothing.

use std::future::Future;
use std::pin::Pin;

#[cfg(not(target_family = "wasm"))]
mod target {
    /// `Send` where agents move between threads; no requirement where there is one thread.
    pub trait MaybeSend: Send {}
    impl<T: Send + ?Sized> MaybeSend for T {}
    /// `Sync` where agents move between threads; no requirement where there is one thread.
    pub trait MaybeSync: Sync {}
    impl<T: Sync + ?Sized> MaybeSync for T {}
    pub(super) type Boxed<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
}

#[cfg(target_family = "wasm")]
mod target {
    /// `Send` where agents move between threads; no requirement where there is one thread.
    pub trait MaybeSend {}
    impl<T: ?Sized> MaybeSend for T {}
    /// `Sync` where agents move between threads; no requirement where there is one thread.
    pub trait MaybeSync {}
    impl<T: ?Sized> MaybeSync for T {}
    pub(super) type Boxed<T> = std::pin::Pin<Box<dyn Future<Output = T>>>;
}

pub use target::{MaybeSend, MaybeSync};

/// A boxed future that is `Send` wherever the host needs it to be.
pub type BoxedFuture<T> = target::Boxed<T>;

/// Boxes a future as a [`BoxedFuture`].
pub(crate) fn boxed<T>(future: impl Future<Output = T> + MaybeSend + 'static) -> BoxedFuture<T> {
    let pinned: Pin<Box<_>> = Box::pin(future);
    pinned
}

/// Lets others have their turn, where there are others: long work of one agent must not hold up a host of many. In a
/// kernel there is one agent, and not every kernel can wait.
pub(crate) async fn breathe() {
    #[cfg(not(target_family = "wasm"))]
    {
        let mut asked = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}
