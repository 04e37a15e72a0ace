//! Putting a file system in memory back as it was at a checkpoint.
//!
//! # Design
//! While a checkpoint is open, whatever changes an inode first keeps what is about to change, once: its attributes
//! ([`Before`]), of contents the pages (`KeptPages`), of a directory the names
//! (`KeptNames`). The inode is noted in the volume's log. To commit, each inode in the log forgets what it has
//! kept; to discard, each puts it back. So both take as long as what was changed.
//!
//! What is kept is charged before it is kept, as contents of the file system. So an undo needs no room, and can't be refused: all that it
//! does is to give back.
//!
//! A file that was made since keeps nothing. It is found by the names that it has got, and loses them.
//!
//! *Locks*: to open, to commit and to discard take the tree's lock, so names stand still meanwhile. The log's is taken last, under an inode's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::inode::{Body, Inode, State, Times};
use crate::device::lock::lock;
use crate::{Errno, Name};

/// Bytes charged for an inode that has kept what it was, beside pages and names.
pub(super) const BEFORE: u64 = 256;

/// The log of a volume.
#[derive(Default)]
pub(super) struct Undo {
    pub(super) open: AtomicBool,
    /// The first number that was given since the checkpoint.
    pub(super) first: AtomicU64,
    /// Files that were made since, and that are still there.
    pub(super) made: AtomicU64,
    /// Those that have kept what they were; `None` if no checkpoint is open.
    pub(super) changed: Mutex<Option<Vec<Arc<Inode>>>>,
}

impl Undo {
    /// Whether there is something to keep. It is known at compile time where there are no checkpoints.
    #[inline]
    fn is_open(&self) -> bool {
        cfg!(feature = "durable") && self.open.load(Ordering::Relaxed)
    }

    pub(super) fn is_new(&self, number: u64) -> bool {
        number >= self.first.load(Ordering::Relaxed)
    }

    /// Notes that a file is made. The tree is locked.
    pub(super) fn begins(&self) {
        if self.is_open() {
            self.made.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a file is gone.
    pub(super) fn ends(&self, number: u64) {
        if self.is_open() && self.is_new(number) {
            self.made.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What an inode was, apart from its contents and names.
#[cfg_attr(
    not(feature = "durable"),
    expect(dead_code, reason = "nothing is kept")
)]
pub(super) struct Before {
    pub(super) nlink: u64,
    pub(super) times: Times,
}

impl Inode {
    /// Keeps what the inode is, if there is a checkpoint that it has kept nothing for yet. To be called before anything of it is changed.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: there is no room for it; nothing may be changed
    #[inline]
    pub(super) fn keep(&self, state: &mut State) -> Result<(), Errno> {
        match self.volume.undo.is_open() {
            false => Ok(()),
            true => self.keep_once(state),
        }
    }

    /// [`Inode::keep`], of an inode that is not locked.
    pub(super) fn keep_unlocked(&self) -> Result<(), Errno> {
        match self.volume.undo.is_open() {
            false => Ok(()),
            true => self.keep_once(&mut self.state()),
        }
    }

    /// As [`Inode::keep`], of a directory that is not locked, before one of its names is taken away or given to another file.
    pub(super) fn keep_name_unlocked(&self, name: Name<'_>) -> Result<(), Errno> {
        match self.volume.undo.is_open() {
            false => Ok(()),
            true => self.keep_name(&mut self.state(), name),
        }
    }

    /// As [`Inode::keep`], before a name of this directory is made, taken away, or given to another file.
    pub(super) fn keep_name(&self, state: &mut State, name: Name<'_>) -> Result<(), Errno> {
        self.keep(state)?;
        state.names()?.keep(&self.volume.quota, name.as_str())
    }

    #[cold]
    fn keep_once(&self, state: &mut State) -> Result<(), Errno> {
        let undo = &self.volume.undo;
        if state.before.is_some() || undo.is_new(self.qid.path) {
            return Ok(());
        }
        let mut changed = lock(&undo.changed);
        // It may have been closed by another thread just now.
        let Some(changed) = &mut *changed else {
            return Ok(());
        };
        self.volume.quota.charge_bytes(BEFORE)?;
        match &mut state.body {
            Body::File(content) => content.begin_undo(),
            Body::Directory(names) => names.begin_undo(),
            Body::Symlink(_) => {}
        }
        state.before = Some(Box::new(Before {
            nlink: state.nlink,
            times: Times {
                atime: state.atime,
                mtime: state.mtime,
                ctime: state.ctime,
            },
        }));
        changed.push(self.share());
        Ok(())
    }
}
