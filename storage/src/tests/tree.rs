//! Random operations on a tree, and what a tree holds: on the volume, and on a memory file system that says
//! what is right.

use std::collections::BTreeMap;

use capfs::testkit::{self, READ, READ_WRITE, edit, name, now, read_at, write_at};
use capfs::{Errno, FileKind, NodeRef, OpenFile, OpenHow, SetStat, WriteAt};
use proptest::prelude::*;

/// Few names, so that operations meet.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// What every tree begins with.
pub(super) const DIRECTORIES: [&str; 2] = ["x", "x/y"];
const PLACES: [&str; 3] = ["", DIRECTORIES[0], DIRECTORIES[1]];

#[derive(Clone, Debug)]
pub(super) enum Action {
    Create(usize, usize),
    MakeDirectory(usize, usize),
    MakeSymlink(usize, usize, usize),
    Link(usize, usize, usize, usize),
    Remove(usize, usize),
    Rename(usize, usize, usize, usize),
    Open(usize, usize, bool),
    Close(usize),
    Write(usize, Option<u64>, usize, u8),
    Resize(usize, u64),
    Allocate(usize, u64, u64),
    Read(usize, u64, usize),
    Sync,
    /// Seconds go by.
    Wait,
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    let directory = || 0..PLACES.len();
    let one_of = || 0..NAMES.len();
    let index = || 0usize..6;
    // Around the ends of blocks, and far from them.
    let offset = || prop_oneof![0u64..200, 4_000u64..4_200, 8_100u64..8_300, 0u64..200_000];
    let length = || prop_oneof![0usize..10, 4_000usize..4_200, 4_096usize..40_000];
    prop_oneof![
        4 => (directory(), one_of()).prop_map(|(d, n)| Action::Create(d, n)),
        2 => (directory(), one_of()).prop_map(|(d, n)| Action::MakeDirectory(d, n)),
        1 => (directory(), one_of(), 1usize..50).prop_map(|(d, n, l)| Action::MakeSymlink(d, n, l)),
        2 => (directory(), one_of(), directory(), one_of())
            .prop_map(|(d, n, e, m)| Action::Link(d, n, e, m)),
        3 => (directory(), one_of()).prop_map(|(d, n)| Action::Remove(d, n)),
        4 => (directory(), one_of(), directory(), one_of())
            .prop_map(|(d, n, e, m)| Action::Rename(d, n, e, m)),
        3 => (directory(), one_of(), any::<bool>()).prop_map(|(d, n, t)| Action::Open(d, n, t)),
        1 => index().prop_map(Action::Close),
        8 => (index(), prop::option::of(offset()), length(), 1u8..)
            .prop_map(|(h, at, l, b)| Action::Write(h, at, l, b)),
        3 => (index(), offset()).prop_map(|(h, s)| Action::Resize(h, s)),
        1 => (index(), offset(), 0u64..50_000).prop_map(|(h, at, l)| Action::Allocate(h, at, l)),
        2 => (index(), offset(), length()).prop_map(|(h, at, l)| Action::Read(h, at, l)),
        2 => Just(Action::Sync),
        1 => Just(Action::Wait),
    ]
}

/// A tree and what of it is open.
pub(super) struct Tree {
    pub root: NodeRef,
    pub open: Vec<Box<dyn OpenFile>>,
}

impl Tree {
    pub fn new(root: NodeRef) -> Tree {
        Tree {
            root,
            open: Vec::new(),
        }
    }

    /// Makes a directory whose parent is there.
    pub fn make_directory(&mut self, path: &str) -> Result<(), Errno> {
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = testkit::walk(&self.root, parent)?;
        now(edit(&parent)?.make_directory(name(last))).map(|_| ())
    }

    fn file(&mut self, index: usize) -> Option<&mut Box<dyn OpenFile>> {
        match self.open.len() {
            0 => None,
            length => self.open.get_mut(index % length),
        }
    }

    /// Closes and removes everything.
    pub fn remove_everything(&mut self) -> Result<(), Errno> {
        self.open.clear();
        remove_below(&self.root)
    }

    /// Does it, and says what came out as far as that can be compared.
    pub fn apply(&mut self, action: &Action) -> Result<Vec<u8>, Errno> {
        let directory = |index: usize| testkit::walk(&self.root, PLACES[index]);
        match *action {
            Action::Create(d, n) => {
                let opened = now(edit(&directory(d)?)?.create(name(NAMES[n]), READ_WRITE))?;
                self.open.push(opened.file);
            }
            Action::MakeDirectory(d, n) => {
                now(edit(&directory(d)?)?.make_directory(name(NAMES[n])))?;
            }
            Action::MakeSymlink(d, n, length) => {
                let target = "t".repeat(length);
                now(edit(&directory(d)?)?.make_symlink(name(NAMES[n]), &target))?;
            }
            Action::Link(d, n, e, m) => {
                let node = testkit::walk(&directory(d)?, NAMES[n])?;
                now(edit(&directory(e)?)?.link(name(NAMES[m]), &node))?;
            }
            Action::Remove(d, n) => {
                let parent = directory(d)?;
                match now(edit(&parent)?.unlink(name(NAMES[n]))) {
                    Err(Errno::Isdir) => now(edit(&parent)?.remove_directory(name(NAMES[n])))?,
                    result => result?,
                }
            }
            Action::Rename(d, n, e, m) => {
                let (from, to) = (directory(d)?, directory(e)?);
                now(edit(&from)?.rename(name(NAMES[n]), &to, name(NAMES[m])))?;
            }
            Action::Open(d, n, truncate) => {
                let node = testkit::walk(&directory(d)?, NAMES[n])?;
                let how = OpenHow {
                    truncate,
                    ..READ_WRITE
                };
                let file = now(node.open(how))?;
                self.open.push(file);
            }
            Action::Close(index) => {
                if !self.open.is_empty() {
                    let index = index % self.open.len();
                    self.open.swap_remove(index);
                }
            }
            Action::Write(index, at, length, byte) => {
                let mut at = at.map_or(WriteAt::End, WriteAt::Offset);
                if let Some(file) = self.file(index) {
                    let mut rest = length;
                    // Where only a part was taken, the next one says why.
                    while rest > 0 {
                        let written = write_at(&mut **file, at, &vec![byte; rest])?;
                        rest -= written.bytes;
                        at = WriteAt::Offset(written.end);
                    }
                }
            }
            Action::Resize(index, size) => {
                let change = SetStat {
                    size: Some(size),
                    ..SetStat::default()
                };
                if let Some(file) = self.file(index) {
                    now(file.set_stat(change))?;
                }
            }
            Action::Allocate(index, at, length) => {
                if let Some(file) = self.file(index) {
                    now(file.allocate(at, length))?;
                }
            }
            Action::Read(index, at, length) => {
                if let Some(file) = self.file(index) {
                    return read_at(&mut **file, at, length);
                }
            }
            Action::Sync => now(now(self.root.open(READ))?.sync(false))?,
            Action::Wait => {}
        }
        Ok(Vec::new())
    }
}

fn remove_below(node: &NodeRef) -> Result<(), Errno> {
    for entry in testkit::list(node, 100)? {
        if entry.qid.kind == FileKind::Directory {
            remove_below(&testkit::walk(node, &entry.name)?)?;
            now(edit(node)?.remove_directory(name(&entry.name)))?;
        } else {
            now(edit(node)?.unlink(name(&entry.name)))?;
        }
    }
    Ok(())
}

/// Reads a file to its end, where a read may give the front of what was asked for.
fn read_whole(file: &mut dyn OpenFile, size: usize) -> Result<Vec<u8>, Errno> {
    let mut contents = Vec::new();
    while contents.len() < size {
        let at = contents.len() as u64;
        contents.extend(read_at(file, at, size - contents.len() + 1)?);
    }
    assert_eq!(contents.len(), size);
    Ok(contents)
}

/// What a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    File(u64, Vec<u8>),
    /// A file that has blocks which are not as they were written.
    Spoilt(u64),
    Directory(u64),
    Symlink(String),
}

pub(super) type Dump = BTreeMap<String, Held>;

/// Everything below a directory.
pub(super) fn dump(root: &NodeRef) -> Result<Dump, Errno> {
    let mut dump = Dump::new();
    let mut pending = vec![(String::new(), root.clone())];
    while let Some((path, node)) = pending.pop() {
        let stat = now(node.stat())?;
        let held = match node.qid().kind {
            FileKind::Directory => {
                for entry in testkit::list(&node, 3)? {
                    let below = testkit::walk(&node, &entry.name)?;
                    assert_eq!(below.qid(), entry.qid);
                    pending.push((format!("{path}/{}", entry.name), below));
                }
                Held::Directory(stat.nlink)
            }
            FileKind::SymbolicLink => Held::Symlink(now(node.read_link())?),
            _ => {
                let mut file = now(node.open(READ))?;
                match read_whole(&mut *file, stat.size as usize) {
                    Err(Errno::Io) => Held::Spoilt(stat.nlink),
                    contents => Held::File(stat.nlink, contents?),
                }
            }
        };
        dump.insert(path, held);
    }
    Ok(dump)
}
