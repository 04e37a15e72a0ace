//! Taking a mutex that a panic elsewhere can't spoil.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, poisoned or not.
///
/// What the locks of this module guard is consistent between any two statements that could panic, so
/// a panic in one agent's thread must not take the files of the others with it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
