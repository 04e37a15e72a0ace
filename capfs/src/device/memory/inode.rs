//! What a file is, whatever its names.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::MemoryLimits;
use super::content::Content;
use super::names::Names;
use super::quota::Quota;
#[cfg(feature = "durable")]
use super::undo::InodeUndo;
use super::undo::Undo;
use crate::account::Account;
use crate::clock::Clock;
use crate::device::lock::lock;
use crate::{Errno, FileKind, Qid, SetStat, SetTime, Stat};

/// What the files of one file system share.
pub(super) struct Volume {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) quota: Quota,
    /// Held by whoever changes names, before any inode's lock.
    pub(super) tree: Mutex<()>,
    pub(super) next_path: AtomicU64,
    pub(super) undo: Undo,
}

impl Volume {
    pub(super) fn new(clock: Arc<dyn Clock>, limits: MemoryLimits, account: &Account) -> Self {
        Volume {
            clock,
            quota: Quota::new(limits, account),
            tree: Mutex::new(()),
            next_path: AtomicU64::new(1),
            undo: Undo::default(),
        }
    }

    /// Now, for a stamp that replaces `old`. The coarse clock may lag behind a stamp that was taken
    /// from the fine one; a stamp must not step back for that.
    pub(super) fn now_after(&self, old: u64) -> u64 {
        match self.clock.coarse() {
            coarse if coarse >= old => coarse,
            _ => self.clock.realtime(),
        }
    }
}

/// A file, a directory or a symbolic link.
pub(super) struct Inode {
    /// Itself: opening and naming need an `Arc`.
    pub(super) this: Weak<Inode>,
    pub(super) volume: Arc<Volume>,
    pub(super) qid: Qid,
    state: Mutex<State>,
}

/// What can change about an inode.
pub(super) struct State {
    pub(super) nlink: u64,
    pub(super) atime: u64,
    pub(super) mtime: u64,
    pub(super) ctime: u64,
    pub(super) body: Body,
    /// What it was at the checkpoint, if there is one and it has changed since.
    #[cfg(feature = "durable")]
    pub(super) before: InodeUndo,
}

/// What an inode holds.
pub(super) enum Body {
    /// A regular file's bytes.
    File(Content),
    /// A directory's names.
    Directory(Names),
    /// A symbolic link's target.
    Symlink(Box<str>),
}

impl Body {
    fn kind(&self) -> FileKind {
        match self {
            Body::File(_) => FileKind::RegularFile,
            Body::Directory(_) => FileKind::Directory,
            Body::Symlink(_) => FileKind::SymbolicLink,
        }
    }
}

/// Nanoseconds since the Unix epoch.
pub(super) struct Times {
    pub(super) atime: u64,
    pub(super) mtime: u64,
    pub(super) ctime: u64,
}

impl Inode {
    /// The root of a new file system. It has no name and isn't counted.
    pub(super) fn root(volume: Arc<Volume>) -> Arc<Inode> {
        Inode::build(volume, Body::Directory(Names::new(Weak::new())))
    }

    /// A file with one name, which the caller gives to it.
    pub(super) fn new(volume: &Arc<Volume>, body: Body) -> Result<Arc<Inode>, Errno> {
        volume.quota.charge_inode()?;
        if let Body::Symlink(target) = &body
            && let Err(errno) = volume.quota.charge_bytes(target.len() as u64)
        {
            volume.quota.release_inode();
            return Err(errno);
        }
        Ok(Inode::build(volume.clone(), body))
    }

    fn build(volume: Arc<Volume>, body: Body) -> Arc<Inode> {
        let kind = body.kind();
        let nlink = if kind == FileKind::Directory { 2 } else { 1 };
        let now = volume.clock.realtime();
        volume.undo.begins();
        Arc::new_cyclic(|this| Inode {
            this: this.clone(),
            qid: Qid::new(volume.next_path.fetch_add(1, Ordering::Relaxed), kind),
            volume,
            state: Mutex::new(State {
                nlink,
                atime: now,
                mtime: now,
                ctime: now,
                body,
                #[cfg(feature = "durable")]
                before: None,
            }),
        })
    }

    /// A file as an image has it, which has no name yet. The root isn't counted.
    pub(super) fn restore(
        volume: &Arc<Volume>,
        number: u64,
        times: Times,
        body: Body,
    ) -> Result<Arc<Inode>, Errno> {
        if number != ROOT_PATH {
            volume.quota.charge_inode()?;
        }
        if let Body::Symlink(target) = &body {
            volume.quota.charge_bytes(target.len() as u64)?;
        }
        let kind = body.kind();
        let Times {
            atime,
            mtime,
            ctime,
        } = times;
        Ok(Arc::new_cyclic(|this| Inode {
            this: this.clone(),
            qid: Qid::new(number, kind),
            volume: volume.clone(),
            state: Mutex::new(State {
                nlink: if number == ROOT_PATH { 2 } else { 0 },
                atime,
                mtime,
                ctime,
                body,
                #[cfg(feature = "durable")]
                before: None,
            }),
        }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn is_directory(&self) -> bool {
        self.qid.kind == FileKind::Directory
    }

    /// The `Arc` that this is in.
    pub(super) fn share(&self) -> Arc<Inode> {
        self.this
            .upgrade()
            .expect("an inode is only reached through its Arc")
    }

    pub(super) fn stat(&self) -> Stat {
        let state = self.state();
        Stat {
            qid: self.qid,
            nlink: state.nlink,
            size: match &state.body {
                Body::File(content) => content.size(),
                Body::Directory(_) => 0,
                Body::Symlink(target) => target.len() as u64,
            },
            atime: state.atime,
            mtime: state.mtime,
            ctime: state.ctime,
        }
    }

    pub(super) fn set_stat(&self, change: SetStat) -> Result<(), Errno> {
        let mut state = self.state();
        let state = &mut *state;
        self.keep(state)?;
        if let Some(size) = change.size {
            match &mut state.body {
                Body::File(content) => content.set_size(&self.volume.quota, size)?,
                Body::Directory(_) => return Err(Errno::Isdir),
                Body::Symlink(_) => return Err(Errno::Inval),
            }
            state.touch_now(&self.volume);
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let now = self.volume.clock.realtime();
            let stamp = |time| match time {
                SetTime::Now => now,
                SetTime::To(time) => time,
            };
            state.atime = change.atime.map_or(state.atime, stamp);
            state.mtime = change.mtime.map_or(state.mtime, stamp);
            state.ctime = now;
        }
        Ok(())
    }
}

impl Inode {
    /// Stamps a read, if there has been no read since the last change: what the mount option
    /// `relatime` does, so that reading costs no clock. Where there is no room to keep the old stamp, there is no new one.
    pub(super) fn touch_access(&self, state: &mut State) {
        if (state.atime <= state.mtime || state.atime <= state.ctime) && self.keep(state).is_ok() {
            state.atime = self.volume.now_after(state.atime);
        }
    }
}

impl State {
    /// The names of a directory.
    pub(super) fn names(&mut self) -> Result<&mut Names, Errno> {
        match &mut self.body {
            Body::Directory(names) => Ok(names),
            _ => Err(Errno::Notdir),
        }
    }

    /// Stamps a change of names or of length. It is rare enough for the fine clock: the coarse one may be as old as what the agent has
    /// computed since its last call.
    pub(super) fn touch_now(&mut self, volume: &Volume) {
        let now = volume.clock.realtime();
        self.mtime = now;
        self.ctime = now;
    }

    /// Stamps a change of contents.
    pub(super) fn touch(&mut self, volume: &Volume) {
        let now = volume.now_after(self.mtime);
        self.mtime = now;
        self.ctime = now;
    }

    /// Stamps a change of what stat tells.
    pub(super) fn touch_status(&mut self, volume: &Volume) {
        self.ctime = volume.clock.realtime();
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        self.volume.undo.ends(self.qid.path);
        let quota = &self.volume.quota;
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        match &mut state.body {
            Body::File(content) => quota.release_bytes(content.charged()),
            Body::Symlink(target) => quota.release_bytes(target.len() as u64),
            Body::Directory(names) => {
                // One by one: a guest may have nested directories deeper than the stack.
                let mut pending: Vec<(Arc<str>, Arc<Inode>)> = names.drain().collect();
                while let Some((name, inode)) = pending.pop() {
                    quota.release_name(&name);
                    if let Some(mut inode) = Arc::into_inner(inode) {
                        let state = inode.state.get_mut();
                        if let Body::Directory(names) =
                            &mut state.unwrap_or_else(PoisonError::into_inner).body
                        {
                            pending.extend(names.drain());
                        }
                    }
                }
                if self.qid.path == ROOT_PATH {
                    return;
                }
            }
        }
        quota.release_inode();
    }
}

/// The root's qid path: the first that a volume gives out.
const ROOT_PATH: u64 = 1;
