//! What a file is, whatever its names.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use capfs::{DirEntry, Errno, FileKind, Qid, Stat};

use crate::cache::Slot;
use crate::extents::Extents;
use crate::limits::NODE_BLOCKS;
use crate::record::Attributes;
#[cfg(feature = "durable")]
use crate::undo::DirectoryBefore;

/// The number of the root directory.
pub(crate) const ROOT: u64 = 1;

/// A file, a directory or a symbolic link.
pub(crate) struct Inode {
    /// Names that it has; a directory's are counted by [`Inode::stat`].
    pub names: u64,
    /// Nodes and open files that refer to it: as long as there are any, it lives without a name.
    pub holds: u64,
    pub atime: u64,
    pub mtime: u64,
    pub ctime: u64,
    /// Its attributes are to be written with the next commit.
    pub changed: bool,
    /// It is in the index: what never changes needs not be written again.
    pub recorded: bool,
    pub body: Body,
}

/// What an inode holds.
pub(crate) enum Body {
    File(Content),
    Directory(Names),
    Symlink(Box<str>),
}

/// A regular file's bytes: where they are.
#[derive(Default)]
pub(crate) struct Content {
    pub size: u64,
    pub extents: Extents,
    /// The blocks that are in the cache.
    pub pages: BTreeMap<u32, Slot>,
    /// Where a read goes on that follows the last one.
    pub next_read: u64,
    /// Bytes to read ahead.
    pub read_ahead: usize,
}

impl Inode {
    pub fn new(body: Body, now: u64) -> Self {
        Inode {
            names: 0,
            holds: 0,
            atime: now,
            mtime: now,
            ctime: now,
            changed: false,
            recorded: false,
            body,
        }
    }

    /// An inode as the index has it.
    pub fn from_attributes(attributes: &Attributes<'_>) -> Self {
        let body = match attributes.kind {
            FileKind::Directory => Body::Directory(Names::default()),
            FileKind::SymbolicLink => Body::Symlink(attributes.target.unwrap_or_default().into()),
            _ => Body::File(Content::default()),
        };
        let mut inode = Inode::new(body, 0);
        inode.recorded = true;
        inode.set_attributes(attributes);
        inode
    }

    pub fn set_attributes(&mut self, attributes: &Attributes<'_>) {
        self.atime = attributes.atime;
        self.mtime = attributes.mtime;
        self.ctime = attributes.ctime;
        if let Body::File(content) = &mut self.body {
            content.size = attributes.size;
        }
    }

    /// What a commit writes: what may have changed, and all of what is new.
    pub fn attributes(&self) -> Attributes<'_> {
        let mut attributes = self.whole_attributes();
        if self.recorded {
            attributes.target = None;
        }
        attributes
    }

    /// Everything, for an index without a history.
    pub fn whole_attributes(&self) -> Attributes<'_> {
        Attributes {
            kind: self.kind(),
            size: match &self.body {
                Body::File(content) => content.size,
                _ => 0,
            },
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            target: match &self.body {
                Body::Symlink(target) => Some(target),
                _ => None,
            },
        }
    }

    pub fn kind(&self) -> FileKind {
        match self.body {
            Body::File(_) => FileKind::RegularFile,
            Body::Directory(_) => FileKind::Directory,
            Body::Symlink(_) => FileKind::SymbolicLink,
        }
    }

    /// Blocks that it counts as by itself, beside those of its contents. The root is free.
    pub fn own_blocks(&self, number: u64) -> u64 {
        match self.body {
            Body::File(_) => 0,
            Body::Directory(_) if number == ROOT => 0,
            Body::Directory(_) | Body::Symlink(_) => NODE_BLOCKS,
        }
    }

    /// Bytes of a link's target.
    pub fn target_bytes(&self) -> u64 {
        match &self.body {
            Body::Symlink(target) => target.len() as u64,
            _ => 0,
        }
    }

    pub fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }

    pub fn content(&mut self) -> Result<&mut Content, Errno> {
        match &mut self.body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(Errno::Isdir),
            Body::Symlink(_) => Err(Errno::Inval),
        }
    }

    pub fn directory(&self) -> Result<&Names, Errno> {
        match &self.body {
            Body::Directory(names) => Ok(names),
            _ => Err(Errno::Notdir),
        }
    }

    pub fn directory_mut(&mut self) -> Result<&mut Names, Errno> {
        match &mut self.body {
            Body::Directory(names) => Ok(names),
            _ => Err(Errno::Notdir),
        }
    }

    pub fn stat(&self, number: u64) -> Stat {
        let (nlink, size) = match &self.body {
            Body::File(content) => (self.names, content.size),
            Body::Directory(names) if names.removed => (0, 0),
            Body::Directory(names) => (2 + names.subdirectories, 0),
            Body::Symlink(target) => (self.names, target.len() as u64),
        };
        Stat {
            qid: Qid::new(number, self.kind()),
            nlink,
            size,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
        }
    }

    /// Stamps a change of contents.
    pub fn touch(&mut self, now: u64) {
        self.mtime = now;
        self.ctime = now;
    }

    /// Stamps a read, if there has been none since the last change, as the mount option `relatime` does.
    pub fn touch_access(&mut self, now: u64) -> bool {
        let due = self.atime <= self.mtime || self.atime <= self.ctime;
        let due = due && self.atime < now;
        if due {
            self.atime = now;
        }
        due
    }
}

/// The names in a directory, for walking and for listing.
///
/// Cookies count up and are never used again while the volume is open, so a listing goes on from the
/// last one that it has seen whatever came and went meanwhile.
#[derive(Default)]
pub(crate) struct Names {
    /// Where the directory is; the root is in itself.
    pub parent: u64,
    /// The directory has been removed; nothing can be made in it any more.
    pub removed: bool,
    pub subdirectories: u64,
    by_name: HashMap<Arc<str>, Entry>,
    by_cookie: BTreeMap<u64, Arc<str>>,
    last_cookie: u64,
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub qid: Qid,
    cookie: u64,
}

impl Names {
    pub fn below(parent: u64) -> Self {
        Names {
            parent,
            ..Names::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<Qid> {
        self.by_name.get(name).map(|entry| entry.qid)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Qid)> {
        self.by_name
            .iter()
            .map(|(name, entry)| (&**name, entry.qid))
    }

    /// The names in the order in which they are listed.
    pub fn in_order(&self) -> impl Iterator<Item = (&str, Qid)> {
        let names = self.by_cookie.values();
        names.filter_map(|name| Some((&**name, self.get(name)?)))
    }

    /// Keeps the names of files that `keep` says yes to.
    pub fn retain(&mut self, keep: impl Fn(Qid) -> bool) {
        self.by_name.retain(|_, entry| keep(entry.qid));
        let by_name = &self.by_name;
        self.by_cookie.retain(|_, name| by_name.contains_key(name));
    }

    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.by_name.values_mut()
    }

    /// Makes a name, or gives one that exists to another file; that keeps its place in listings.
    pub fn put(&mut self, name: &str, qid: Qid) {
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.qid = qid;
            return;
        }
        self.last_cookie += 1;
        self.insert(name.into(), self.last_cookie, qid);
    }

    pub fn remove(&mut self, name: &str) -> Option<Qid> {
        self.take(name).map(|entry| entry.qid)
    }

    /// Moves a name within the directory. A fresh name takes the place of the old one in listings: a
    /// program that renames every entry as it lists them would otherwise meet each of them again, for ever.
    pub fn rename(&mut self, name: &str, to_name: &str) {
        let Some(entry) = self.take(name) else { return };
        if self.by_name.contains_key(to_name) {
            self.put(to_name, entry.qid);
        } else {
            self.insert(to_name.into(), entry.cookie, entry.qid);
        }
    }

    /// What a name stands for, and its place.
    #[cfg(feature = "durable")]
    pub fn entry(&self, name: &str) -> Option<Entry> {
        self.by_name.get(name).copied()
    }

    /// What the directory is, apart from its names.
    #[cfg(feature = "durable")]
    pub fn before(&self) -> DirectoryBefore {
        DirectoryBefore {
            parent: self.parent,
            removed: self.removed,
            subdirectories: self.subdirectories,
            last_cookie: self.last_cookie,
        }
    }

    /// Lets a name stand for what it stood for, in its place.
    #[cfg(feature = "durable")]
    pub fn restore(&mut self, name: Arc<str>, entry: Option<Entry>) {
        self.take(&name);
        if let Some(entry) = entry {
            self.insert(name, entry.cookie, entry.qid);
        }
    }

    /// The counterpart of [`Names::before`].
    #[cfg(feature = "durable")]
    pub fn restore_all(&mut self, before: DirectoryBefore) {
        self.parent = before.parent;
        self.removed = before.removed;
        self.subdirectories = before.subdirectories;
        self.last_cookie = before.last_cookie;
    }

    pub fn list(&self, cookie: u64, max: usize) -> Vec<DirEntry> {
        self.by_cookie
            .range((Bound::Excluded(cookie), Bound::Unbounded))
            .take(max)
            .filter_map(|(cookie, name)| {
                Some(DirEntry {
                    name: name.to_string(),
                    qid: self.get(name)?,
                    cookie: *cookie,
                })
            })
            .collect()
    }

    fn insert(&mut self, name: Arc<str>, cookie: u64, qid: Qid) {
        self.by_cookie.insert(cookie, name.clone());
        self.by_name.insert(name, Entry { qid, cookie });
    }

    fn take(&mut self, name: &str) -> Option<Entry> {
        let entry = self.by_name.remove(name)?;
        self.by_cookie.remove(&entry.cookie);
        Some(entry)
    }
}
