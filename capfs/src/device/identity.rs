//! Identities for files that no file system numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{FileKind, Qid};

/// A qid that nothing else in the process has from here, so that programs that compare their
/// standard input's identity with their standard output's can tell them apart.
pub fn fresh_qid(kind: FileKind) -> Qid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Qid::new(NEXT.fetch_add(1, Ordering::Relaxed), kind)
}
