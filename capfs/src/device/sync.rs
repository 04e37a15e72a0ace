//! What gates, pipes and sockets are synchronised by: the standard library's, or in its tests loom's, which tries every order in
//! which threads can run (see `loom_tests`).

#[cfg(all(loom, test))]
pub(super) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(all(loom, test)))]
pub(super) use std::sync::{Mutex, MutexGuard, atomic};
