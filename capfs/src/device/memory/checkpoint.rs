//! To commit and to discard: see [`undo`](super::undo).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inode::{Body, Inode, Volume};
use super::undo::BEFORE;
use crate::device::lock::lock;
use crate::{Checkpoint, Errno, Op};

impl Inode {
    /// Forgets what was kept. What is returned is to be dropped once no lock is held.
    fn commit(&self) -> Vec<Arc<Inode>> {
        let quota = &self.volume.quota;
        let mut state = self.state();
        state.before = None;
        quota.release_bytes(BEFORE);
        match &mut state.body {
            Body::File(content) => content.commit(quota),
            Body::Directory(names) => return names.commit(quota),
            Body::Symlink(_) => {}
        }
        Vec::new()
    }

    /// Puts back what was kept. What is returned has lost a name here.
    fn discard(&self) -> Vec<Arc<Inode>> {
        let quota = &self.volume.quota;
        let mut state = self.state();
        let state = &mut *state;
        if let Some(before) = state.before.take() {
            state.nlink = before.nlink;
            state.atime = before.times.atime;
            state.mtime = before.times.mtime;
            state.ctime = before.times.ctime;
        }
        quota.release_bytes(BEFORE);
        match &mut state.body {
            Body::File(content) => content.discard(quota),
            Body::Directory(names) => return names.discard(quota),
            Body::Symlink(_) => {}
        }
        Vec::new()
    }

    /// Takes a file that was made since the checkpoint out of the tree; what is returned was in it.
    fn end(&self) -> Vec<Arc<Inode>> {
        let mut state = self.state();
        state.nlink = 0;
        let Body::Directory(names) = &mut state.body else {
            return Vec::new();
        };
        names.removed = true;
        let release = |(name, inode): (Arc<str>, Arc<Inode>)| {
            self.volume.quota.release_name(&name);
            inode
        };
        names.drain().map(release).collect()
    }
}

/// The open checkpoint of a file system.
pub(super) struct MemoryCheckpoint {
    volume: Arc<Volume>,
    decided: bool,
}

impl MemoryCheckpoint {
    /// # Errors
    /// - [`Errno::Busy`]: there is one
    pub(super) fn open(volume: &Arc<Volume>) -> Result<Box<dyn Checkpoint>, Errno> {
        let _tree = lock(&volume.tree);
        let undo = &volume.undo;
        let mut changed = lock(&undo.changed);
        if changed.is_some() {
            return Err(Errno::Busy);
        }
        *changed = Some(Vec::new());
        let first = volume.next_path.load(Ordering::Relaxed);
        undo.first.store(first, Ordering::Relaxed);
        undo.made.store(0, Ordering::Relaxed);
        undo.open.store(true, Ordering::Relaxed);
        Ok(Box::new(MemoryCheckpoint {
            volume: volume.clone(),
            decided: false,
        }))
    }

    fn decide(&mut self, stays: bool) {
        if std::mem::replace(&mut self.decided, true) {
            return;
        }
        let undo = &self.volume.undo;
        let _tree = lock(&self.volume.tree);
        let changed = lock(&undo.changed).take().unwrap_or_default();
        if stays {
            undo.open.store(false, Ordering::Relaxed);
            let dropped: Vec<_> = changed.iter().map(|inode| inode.commit()).collect();
            // Only once nothing has kept anything: what is dropped may be the last of what has others in it.
            drop((changed, dropped));
            return;
        }
        let mut pending: Vec<_> = changed.iter().flat_map(|inode| inode.discard()).collect();
        drop(changed);
        while let Some(inode) = pending.pop() {
            if undo.is_new(inode.qid.path) {
                pending.extend(inode.end());
            }
        }
        // Unless somebody has one of them open, it is as if their numbers had never been given.
        if undo.made.load(Ordering::Relaxed) == 0 {
            let first = undo.first.load(Ordering::Relaxed);
            self.volume.next_path.store(first, Ordering::Relaxed);
        }
        undo.open.store(false, Ordering::Relaxed);
    }
}

impl Checkpoint for MemoryCheckpoint {
    fn commit(mut self: Box<Self>) -> Op<()> {
        self.decide(true);
        Op::ok(())
    }

    fn discard(mut self: Box<Self>) -> Op<()> {
        self.decide(false);
        Op::ok(())
    }
}

impl Drop for MemoryCheckpoint {
    fn drop(&mut self) {
        self.decide(false);
    }
}
