//! The tree that an archive's index is, and its nodes.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{ARCHIVE_NODES_MAX, ArchiveBytes, ArchiveError, LeftOut, shown};
use crate::account::{Account, Charge, Holding};
#[cfg(feature = "durable")]
use crate::checkpoint::Unchanging;
#[cfg(feature = "durable")]
use crate::{Checkpoint, SavedFile};
use crate::{
    DirEntry, Directory, Durable, Entries, Errno, FileKind, GuestSink, GuestSource, Handle, Name,
    Node, NodeRef, Op, OpenFile, OpenHow, Qid, SetStat, Stat, WriteAt, Written,
};

/// All files of an archive; they refer to each other by index, so that a tree of any
/// depth is dropped in one sweep.
pub(super) struct Tree {
    bytes: Box<dyn ArchiveBytes>,
    files: Vec<File>,
    left_out: Option<LeftOut>,
    /// Bytes that `charge` covers.
    held: u64,
    charge: Charge,
}

/// Bytes that an account is charged for each file, as for one in memory.
const FILE: u64 = 256;

/// Bytes that it is charged for each name, beside its length.
const NAME: u64 = 256;

/// The index of the root directory.
pub(super) const ROOT: usize = 0;

struct File {
    mtime: u64,
    nlink: u64,
    body: Body,
}

/// What a file of an archive is.
pub(super) enum Body {
    /// Contents: a range of the archive's bytes.
    File(Range<usize>),
    /// Names.
    Directory(Names),
    /// A target.
    Symlink(String),
    /// What is left out: its name is taken, and shows nothing. A hard link to it is left out as well.
    LeftOut,
}

/// The names in a directory; the cookie of a name is its place in the order, from 1.
#[derive(Default)]
pub(super) struct Names {
    places: HashMap<Arc<str>, usize>,
    order: Vec<(Arc<str>, usize)>,
}

impl Tree {
    pub(super) fn new(bytes: Box<dyn ArchiveBytes>, account: &Account) -> Self {
        let root = File {
            mtime: 0,
            nlink: 2,
            body: Body::Directory(Names::default()),
        };
        Tree {
            bytes,
            files: vec![root],
            left_out: None,
            held: 0,
            charge: account.nothing(Holding::Files),
        }
    }

    pub(super) fn left_out(&self) -> Option<&LeftOut> {
        self.left_out.as_ref()
    }

    /// Counts an entry that is left out.
    pub(super) fn leave_out(&mut self, path: &str) {
        match &mut self.left_out {
            Some(left_out) => left_out.entries += 1,
            none => {
                *none = Some(LeftOut {
                    first: shown(path),
                    entries: 1,
                });
            }
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    pub(super) fn is_directory(&self, index: usize) -> bool {
        matches!(self.files[index].body, Body::Directory(_))
    }

    pub(super) fn set_mtime(&mut self, index: usize, mtime: u64) {
        self.files[index].mtime = mtime;
    }

    pub(super) fn is_left_out(&self, index: usize) -> bool {
        matches!(self.files[index].body, Body::LeftOut)
    }

    /// Charges so many bytes more of the index.
    fn hold(&mut self, more: u64) -> Result<(), ArchiveError> {
        self.held += more;
        let held = self.charge.cover(self.held);
        held.map_err(|_| ArchiveError::NoMemory)
    }

    /// Finds a name in a directory, also one of what is left out; none in anything else.
    pub(super) fn find(&self, directory: usize, name: &str) -> Option<usize> {
        match &self.files[directory].body {
            Body::Directory(names) => {
                let place = names.places.get(name)?;
                Some(names.order[*place].1)
            }
            _ => None,
        }
    }

    /// Adds a file that has no name yet.
    pub(super) fn add(&mut self, mtime: u64, body: Body) -> Result<usize, ArchiveError> {
        if self.files.len() > ARCHIVE_NODES_MAX {
            return Err(ArchiveError::TooManyFiles);
        }
        let target = match &body {
            Body::Symlink(target) => target.len() as u64,
            _ => 0,
        };
        self.hold(FILE + target)?;
        let nlink = match body {
            Body::Directory(_) => 1,
            _ => 0,
        };
        self.files.push(File { mtime, nlink, body });
        Ok(self.files.len() - 1)
    }

    /// Gives a file a name, in place of what had it, with all that is in that. The directory is one.
    pub(super) fn name(
        &mut self,
        directory: usize,
        name: &str,
        file: usize,
    ) -> Result<(), ArchiveError> {
        // Each time that one is given: whoever writes it anew pays anew.
        self.hold(NAME + name.len() as u64)?;
        self.files[file].nlink += 1;
        let Body::Directory(names) = &mut self.files[directory].body else {
            return Ok(());
        };
        let old = match names.places.get(name) {
            Some(place) => Some(std::mem::replace(&mut names.order[*place].1, file)),
            None => {
                let name: Arc<str> = name.into();
                names.places.insert(name.clone(), names.order.len());
                names.order.push((name, file));
                None
            }
        };
        if self.is_directory(file) {
            self.files[directory].nlink += 1;
        }
        if let Some(old) = old {
            if self.is_directory(old) {
                self.files[directory].nlink -= 1;
            }
            self.unname(old);
        }
        Ok(())
    }

    /// A name of a file is gone, and if it was a directory all that it had. Every name goes once at most, so an archive makes this no more
    /// work than it has names.
    fn unname(&mut self, index: usize) {
        let mut gone = vec![index];
        while let Some(index) = gone.pop() {
            self.files[index].nlink -= 1;
            if let Body::Directory(names) = &mut self.files[index].body {
                gone.extend(std::mem::take(names).order.iter().map(|(_, file)| file));
            }
        }
    }

    /// The files at and below one, but those with the numbers `covered`. Every name is looked at once, so a tree that is no tree ends as well.
    fn below(&self, index: usize, covered: &HashSet<u64>) -> HashSet<usize> {
        let mut found = HashSet::from([index]);
        let mut pending = vec![index];
        while let Some(index) = pending.pop() {
            if let Body::Directory(names) = &self.files[index].body {
                let names = names.order.iter().map(|(_, file)| *file);
                let shown = names.filter(|file| {
                    !self.is_left_out(*file) && !covered.contains(&self.qid(*file).path)
                });
                pending.extend(shown.filter(|file| found.insert(*file)));
            }
        }
        found
    }

    fn kind(&self, index: usize) -> FileKind {
        match self.files[index].body {
            Body::File(_) => FileKind::RegularFile,
            Body::Directory(_) => FileKind::Directory,
            Body::Symlink(_) => FileKind::SymbolicLink,
            Body::LeftOut => FileKind::Unknown,
        }
    }

    fn qid(&self, index: usize) -> Qid {
        Qid::new(index as u64 + 1, self.kind(index))
    }

    fn stat(&self, index: usize) -> Stat {
        let file = &self.files[index];
        Stat {
            qid: self.qid(index),
            nlink: file.nlink,
            size: match &file.body {
                Body::File(range) => range.len() as u64,
                Body::Directory(_) | Body::LeftOut => 0,
                Body::Symlink(target) => target.len() as u64,
            },
            atime: file.mtime,
            mtime: file.mtime,
            ctime: file.mtime,
        }
    }
}

/// A file of an archive: as a node, and, since nothing about it ever changes, open as well.
#[derive(Clone)]
pub(super) struct ArchiveNode {
    tree: Arc<Tree>,
    index: usize,
}

impl ArchiveNode {
    pub(super) fn root(tree: &Arc<Tree>) -> NodeRef {
        Arc::new(ArchiveNode {
            tree: tree.clone(),
            index: ROOT,
        })
    }

    fn body(&self) -> &Body {
        &self.tree.files[self.index].body
    }
}

impl Node for ArchiveNode {
    fn qid(&self) -> Qid {
        self.tree.qid(self.index)
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(self.tree.stat(self.index))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        match self.body() {
            Body::Symlink(_) => Op::err(Errno::Loop),
            _ if how.write || how.truncate => Op::err(Errno::Rofs),
            _ => Op::ok(Box::new(self.clone())),
        }
    }

    fn set_stat(&self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Rofs)
    }

    fn directory(&self) -> Option<&dyn Directory> {
        match self.body() {
            Body::Directory(_) => Some(self),
            _ => None,
        }
    }

    fn read_link(&self) -> Op<String> {
        match self.body() {
            Body::Symlink(target) => Op::ok(target.clone()),
            _ => Op::err(Errno::Inval),
        }
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<Handle, Errno> {
        Ok(Handle::number(self.index as u64))
    }

    #[cfg(feature = "durable")]
    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }

    #[cfg(feature = "durable")]
    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        Unchanging::checkpoint()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An archive of the same bytes numbers its files alike.
impl Durable for ArchiveNode {
    fn resolve(
        &self,
        handles: &[Handle],
        covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        let below = self.tree.below(self.index, covered);
        let resolved = handles.iter().map(|handle| {
            let index = usize::try_from(handle.as_number()?).map_err(|_| Errno::Stale)?;
            match below.contains(&index) {
                true => Ok(Arc::new(ArchiveNode {
                    tree: self.tree.clone(),
                    index,
                }) as NodeRef),
                false => Err(Errno::Stale),
            }
        });
        Op::ok(resolved.collect())
    }
}

impl Directory for ArchiveNode {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        let found = self.tree.find(self.index, name.as_str());
        match found.filter(|index| !self.tree.is_left_out(*index)) {
            Some(index) => Op::ok(Arc::new(ArchiveNode {
                tree: self.tree.clone(),
                index,
            })),
            None => Op::err(Errno::Noent),
        }
    }
}

impl OpenFile for ArchiveNode {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        let Body::File(range) = self.body() else {
            return Poll::Ready(Err(Errno::Isdir));
        };
        let contents = self.tree.bytes().get(range.clone()).unwrap_or(&[]);
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| contents.get(at..));
        Poll::Ready(Ok(rest.map_or(0, |rest| sink.put(rest))))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(match self.body() {
            Body::Directory(_) => Errno::Isdir,
            _ => Errno::Badf,
        }))
    }

    fn seekable(&self) -> bool {
        matches!(self.body(), Body::File(_))
    }

    fn stat(&self) -> Op<Stat> {
        Node::stat(self)
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Rofs)
    }

    fn allocate(&mut self, _offset: u64, _length: u64) -> Op<()> {
        Op::err(Errno::Rofs)
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<SavedFile, Errno> {
        Node::save(self).map(SavedFile::of)
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        match self.body() {
            Body::Directory(_) => Some(self),
            _ => None,
        }
    }
}

impl Entries for ArchiveNode {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let Body::Directory(names) = self.body() else {
            return Op::err(Errno::Notdir);
        };
        let from = usize::try_from(cookie).unwrap_or(usize::MAX);
        let entries = names.order.iter().enumerate().skip(from);
        let shown = entries.filter(|(_, (_, index))| !self.tree.is_left_out(*index));
        Op::ok(
            shown
                .take(max)
                .map(|(place, (name, index))| DirEntry {
                    name: name.to_string(),
                    qid: self.tree.qid(*index),
                    cookie: place as u64 + 1,
                })
                .collect(),
        )
    }
}
