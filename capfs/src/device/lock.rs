//! Taking a mutex that a panic elsewhere can't spoil.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, poisoned or not.
///
/// What the locks of this module guard is consistent between any two statements that could panic, so
/// a panic in one agent's thread must not take the files of the others with it.
#[cfg(not(all(loom, test)))]
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A mutex of either kind: under loom only what is tried out has loom's.
#[cfg(all(loom, test))]
pub fn lock<M: Lock + ?Sized>(mutex: &M) -> M::Guard<'_> {
    mutex.locked()
}

/// What [`lock`] locks under loom.
#[cfg(all(loom, test))]
pub trait Lock {
    /// What holds the lock.
    type Guard<'a>
    where
        Self: 'a;

    /// As [`lock`].
    fn locked(&self) -> Self::Guard<'_>;
}

#[cfg(all(loom, test))]
impl<T> Lock for Mutex<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(loom, test))]
impl<M: Lock + ?Sized> Lock for std::sync::Arc<M> {
    type Guard<'a>
        = M::Guard<'a>
    where
        M: 'a;

    fn locked(&self) -> M::Guard<'_> {
        (**self).locked()
    }
}

#[cfg(all(loom, test))]
impl<T> Lock for loom::sync::Mutex<T> {
    type Guard<'a>
        = loom::sync::MutexGuard<'a, T>
    where
        T: 'a;

    fn locked(&self) -> loom::sync::MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
