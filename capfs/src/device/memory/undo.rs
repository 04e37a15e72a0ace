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

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::content::Content;
use super::inode::{Body, Inode, State, Times};
use super::names::{Names, Slot};
use super::quota::Quota;
use crate::device::lock::lock;
use crate::{Errno, Name};

/// Bytes charged for an inode that has kept what it was, beside pages and names.
pub(super) const BEFORE: u64 = 256;

/// Bytes charged for a page that a checkpoint keeps, beside its own.
const KEPT_PAGE: u64 = 64;

/// What is kept of an inode, of contents and of names.
pub(super) type InodeUndo = Option<Box<Before>>;
pub(super) type PagesUndo = Option<Box<KeptPages>>;
pub(super) type NamesUndo = Option<Box<KeptNames>>;

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
    /// Whether there is something to keep.
    #[inline]
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
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

/// What contents were at a checkpoint. Until it is decided the table of pages doesn't shrink, so that putting it back takes no memory.
pub(super) struct KeptPages {
    size: u64,
    charged: u64,
    /// Entries of the table of pages, and room for them.
    entries: usize,
    room: usize,
    /// Pages as they were, of those that have changed since; holes have no bytes.
    pages: BTreeMap<usize, Vec<u8>>,
    /// What they have been charged for.
    held: u64,
    /// The table would have shrunk.
    cut: bool,
}

impl Content {
    /// What is charged for what is kept.
    pub(super) fn held(&self) -> u64 {
        self.undo.as_ref().map_or(0, |kept| kept.held)
    }

    /// From now on pages are kept as they are.
    pub(super) fn begin_undo(&mut self) {
        self.undo = Some(Box::new(KeptPages {
            size: self.size,
            charged: self.charged,
            entries: self.pages.len(),
            room: self.pages.capacity(),
            pages: BTreeMap::new(),
            held: 0,
            cut: false,
        }));
    }

    /// Keeps a page as it is, if that is to be kept and isn't yet. To be called before it is changed.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: there is no room for it
    #[inline]
    pub(super) fn keep(&mut self, quota: &Quota, index: usize) -> Result<(), Errno> {
        match &mut self.undo {
            Some(kept) => kept.keep(quota, index, self.pages.get(index)),
            None => Ok(()),
        }
    }

    /// Forgets what was kept.
    pub(super) fn commit(&mut self, quota: &Quota) {
        if let Some(kept) = self.undo.take() {
            if kept.cut {
                self.shrink_table(quota, self.pages.len());
            }
            quota.release_bytes(kept.held);
        }
    }

    /// Puts back what was kept.
    pub(super) fn discard(&mut self, quota: &Quota) {
        let now = self.charged();
        if let Some(kept) = self.undo.take() {
            self.pages.truncate(kept.entries);
            self.pages.resize_with(kept.entries, Vec::new);
            for (index, page) in kept.pages {
                self.pages[index] = page;
            }
            self.pages.shrink_to(kept.room);
            self.size = kept.size;
            self.charged = kept.charged;
            quota.release_bytes(now - self.charged);
        }
    }

    /// Gives back what the table has too much, or notes that it would.
    pub(super) fn cut_table(&mut self, quota: &Quota, entries: usize) {
        match &mut self.undo {
            Some(kept) => kept.cut = true,
            None => self.shrink_table(quota, entries),
        }
    }

    /// Keeps the pages from an index on, which are about to be cut off: they are moved, and leave holes.
    pub(super) fn keep_cut(&mut self, quota: &Quota, first: usize) -> Result<(), Errno> {
        let Some(kept) = &mut self.undo else {
            return Ok(());
        };
        let end = kept.entries.min(self.pages.len());
        let cut = self.pages.get_mut(first..end).unwrap_or_default();
        let there = |kept: &KeptPages, index: usize, page: &Vec<u8>| {
            page.capacity() > 0 && !kept.pages.contains_key(&index)
        };
        let pages = || (first..end).zip(0..);
        let count = pages().filter(|(index, place)| there(kept, *index, &cut[*place]));
        let cost = count.count() as u64 * KEPT_PAGE;
        quota.charge_bytes(cost)?;
        kept.held += cost;
        for (index, place) in pages() {
            if there(kept, index, &cut[place]) {
                let page = std::mem::take(&mut cut[place]);
                self.charged -= page.capacity() as u64;
                kept.held += page.capacity() as u64;
                kept.pages.insert(index, page);
            }
        }
        Ok(())
    }
}

impl KeptPages {
    #[cold]
    fn keep(&mut self, quota: &Quota, index: usize, page: Option<&Vec<u8>>) -> Result<(), Errno> {
        if index >= self.entries || self.pages.contains_key(&index) {
            return Ok(());
        }
        let room = page.map_or(0, Vec::capacity);
        let cost = KEPT_PAGE + room as u64;
        quota.charge_bytes(cost)?;
        let mut copy = Vec::new();
        if copy.try_reserve_exact(room).is_err() {
            quota.release_bytes(cost);
            return Err(Errno::Nospc);
        }
        copy.extend_from_slice(page.map_or(&[], Vec::as_slice));
        self.held += cost;
        self.pages.insert(index, copy);
        Ok(())
    }
}

/// What a directory was at a checkpoint.
pub(super) struct KeptNames {
    parent: Weak<Inode>,
    removed: bool,
    last_cookie: u64,
    /// What each name stood for that has been made, taken away or given to another file since.
    names: HashMap<Arc<str>, Option<Slot>>,
}

impl Names {
    /// From now on what names stand for is kept.
    pub(super) fn begin_undo(&mut self) {
        self.undo = Some(Box::new(KeptNames {
            parent: self.parent.clone(),
            removed: self.removed,
            last_cookie: self.last_cookie,
            names: HashMap::new(),
        }));
    }

    /// Keeps what a name stands for, if that is to be kept and isn't yet.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: there is no room for it
    pub(super) fn keep(&mut self, quota: &Quota, name: &str) -> Result<(), Errno> {
        let Some(kept) = &mut self.undo else {
            return Ok(());
        };
        if kept.names.contains_key(name) {
            return Ok(());
        }
        quota.charge_kept_name(name)?;
        let (name, slot) = match self.by_name.get_key_value(name) {
            Some((name, slot)) => (name.clone(), Some(slot.clone())),
            None => (name.into(), None),
        };
        kept.names.insert(name, slot);
        Ok(())
    }

    /// Forgets what was kept; returns what it was of.
    pub(super) fn commit(&mut self, quota: &Quota) -> Vec<Arc<Inode>> {
        let kept = self.undo.take();
        let names = kept.into_iter().flat_map(|kept| kept.names);
        let release = |(name, slot): (Arc<str>, Option<Slot>)| {
            quota.release_kept_name(&name);
            slot.map(|slot| slot.inode)
        };
        names.filter_map(release).collect()
    }

    /// Puts back what was kept; returns what has lost its name.
    pub(super) fn discard(&mut self, quota: &Quota) -> Vec<Arc<Inode>> {
        let Some(kept) = self.undo.take() else {
            return Vec::new();
        };
        let mut lost = Vec::new();
        for name in kept.names.keys() {
            if let Some(slot) = self.take(name) {
                quota.release_name(name);
                lost.push(slot.inode);
            }
        }
        for (name, slot) in kept.names {
            match slot {
                Some(slot) => {
                    quota.restore_name(&name);
                    self.insert(name, slot.cookie, slot.inode);
                }
                None => quota.release_kept_name(&name),
            }
        }
        self.parent = kept.parent;
        self.removed = kept.removed;
        self.last_cookie = kept.last_cookie;
        lost
    }
}
