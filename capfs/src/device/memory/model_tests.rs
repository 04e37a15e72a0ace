//! The file system against a naive model: the same random operations on both, the same answers
//! from both, and at the end the same tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::testkit::{
    self, ManualClock, READ_WRITE, directory, edit, name, now, read_at, write_at,
};
use crate::{Errno, FileKind, OpenFile, SetStat, WriteAt};

/// Few names, so that operations meet.
pub(super) const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
pub(super) enum Action {
    Create(usize, usize),
    MakeDirectory(usize, usize),
    MakeSymlink(usize, usize, usize),
    Link(usize, usize, usize),
    Unlink(usize, usize),
    RemoveDirectory(usize, usize),
    Rename(usize, usize, usize, usize),
    Open(usize, usize, bool),
    Close(usize),
    Write(usize, Option<u64>, usize, u8),
    Read(usize, u64, usize),
    Resize(usize, u64),
    Allocate(usize, u64, u64),
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    let index = || 0usize..6;
    let one_of = || 0..NAMES.len();
    // Around the ends of pages and of the first page's growth, and far from them.
    let offset = || {
        prop_oneof![
            0u64..600,
            65_000u64..66_000,
            131_000u64..132_000,
            0u64..400_000,
        ]
    };
    let length = || prop_oneof![0usize..10, 200usize..600, 60_000usize..140_000];
    prop_oneof![
        3 => (index(), one_of()).prop_map(|(d, n)| Action::Create(d, n)),
        3 => (index(), one_of()).prop_map(|(d, n)| Action::MakeDirectory(d, n)),
        1 => (index(), one_of(), 1usize..50).prop_map(|(d, n, l)| Action::MakeSymlink(d, n, l)),
        2 => (index(), one_of(), index()).prop_map(|(d, n, h)| Action::Link(d, n, h)),
        2 => (index(), one_of()).prop_map(|(d, n)| Action::Unlink(d, n)),
        1 => (index(), one_of()).prop_map(|(d, n)| Action::RemoveDirectory(d, n)),
        5 => (index(), one_of(), index(), one_of())
            .prop_map(|(d, n, to, m)| Action::Rename(d, n, to, m)),
        3 => (index(), one_of(), any::<bool>()).prop_map(|(d, n, t)| Action::Open(d, n, t)),
        1 => index().prop_map(Action::Close),
        5 => (index(), prop::option::of(offset()), length(), 1u8..)
            .prop_map(|(h, at, l, b)| Action::Write(h, at, l, b)),
        3 => (index(), offset(), length()).prop_map(|(h, at, l)| Action::Read(h, at, l)),
        2 => (index(), offset()).prop_map(|(h, s)| Action::Resize(h, s)),
        1 => (index(), offset(), 0u64..100_000).prop_map(|(h, at, l)| Action::Allocate(h, at, l)),
    ]
}

/// What a file is in the model, by a number.
enum ModelFile {
    File(Vec<u8>),
    Directory(BTreeMap<&'static str, usize>),
    Symlink(String),
}

#[derive(Default)]
struct Model {
    files: Vec<ModelFile>,
}

impl Model {
    fn add(&mut self, file: ModelFile) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }

    fn names(&self, index: usize) -> &BTreeMap<&'static str, usize> {
        match &self.files[index] {
            ModelFile::Directory(names) => names,
            _ => unreachable!("only directories are kept as such"),
        }
    }

    fn names_mut(&mut self, index: usize) -> &mut BTreeMap<&'static str, usize> {
        match &mut self.files[index] {
            ModelFile::Directory(names) => names,
            _ => unreachable!("only directories are kept as such"),
        }
    }

    fn contents(&mut self, index: usize) -> &mut Vec<u8> {
        match &mut self.files[index] {
            ModelFile::File(contents) => contents,
            _ => unreachable!("only regular files are open"),
        }
    }

    fn is_directory(&self, index: usize) -> bool {
        matches!(self.files[index], ModelFile::Directory(_))
    }

    fn find(&self, directory: usize, name: &str) -> Result<usize, Errno> {
        self.names(directory).get(name).copied().ok_or(Errno::Noent)
    }

    /// Names, counted the slow way.
    fn links(&self, index: usize) -> u64 {
        let names = self.files.iter().flat_map(|file| match file {
            ModelFile::Directory(names) => names.values().copied().collect(),
            _ => vec![],
        });
        names.filter(|named| *named == index).count() as u64
    }

    /// The directory is in the tree.
    fn lives(&self, directory: usize) -> bool {
        directory == 0 || self.links(directory) > 0
    }

    fn within(&self, directory: usize, above: usize) -> bool {
        directory == above
            || self.is_directory(above)
                && self
                    .names(above)
                    .values()
                    .any(|below| self.is_directory(*below) && self.within(directory, *below))
    }

    fn check_new(&self, directory: usize, name: &str) -> Result<(), Errno> {
        if !self.lives(directory) {
            return Err(Errno::Noent);
        }
        match self.find(directory, name) {
            Ok(_) => Err(Errno::Exist),
            Err(_) => Ok(()),
        }
    }

    fn rename(
        &mut self,
        from: usize,
        old: &'static str,
        to: usize,
        new: &'static str,
    ) -> Result<(), Errno> {
        let moved = self.find(from, old)?;
        if !self.lives(to) {
            return Err(Errno::Noent);
        }
        if self.is_directory(moved) && self.within(to, moved) {
            return Err(Errno::Inval);
        }
        if let Ok(victim) = self.find(to, new) {
            match (self.is_directory(moved), self.is_directory(victim)) {
                _ if moved == victim => return Ok(()),
                (true, false) => return Err(Errno::Notdir),
                (false, true) => return Err(Errno::Isdir),
                (true, true) if !self.names(victim).is_empty() => return Err(Errno::Notempty),
                _ => {}
            }
        }
        self.names_mut(to).insert(new, moved);
        self.names_mut(from).remove(old);
        Ok(())
    }
}

/// Both, and which of their files are the same.
struct Pair {
    files: MemoryFs,
    model: Model,
    directories: Vec<(NodeRef, usize)>,
    open: Vec<(NodeRef, Box<dyn OpenFile>, usize)>,
}

impl Pair {
    fn new() -> Self {
        let files = MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default());
        let mut model = Model::default();
        model.add(ModelFile::Directory(BTreeMap::new()));
        Pair {
            directories: vec![(files.root(), 0)],
            files,
            model,
            open: Vec::new(),
        }
    }

    fn directory(&self, index: usize) -> (NodeRef, usize) {
        self.directories[index % self.directories.len()].clone()
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Create(d, n) => {
                let (node, number) = self.directory(d);
                let real = now(edit(&node).unwrap().create(name(NAMES[n]), READ_WRITE));
                let model = self.model.check_new(number, NAMES[n]);
                assert_eq!(real.as_ref().err(), model.as_ref().err());
                if let Ok(opened) = real {
                    let file = self.model.add(ModelFile::File(Vec::new()));
                    self.model.names_mut(number).insert(NAMES[n], file);
                    self.open.push((opened.node, opened.file, file));
                }
            }
            Action::MakeDirectory(d, n) => {
                let (node, number) = self.directory(d);
                let real = now(edit(&node).unwrap().make_directory(name(NAMES[n])));
                let model = self.model.check_new(number, NAMES[n]);
                assert_eq!(real.as_ref().err(), model.as_ref().err());
                if let Ok(made) = real {
                    let file = self.model.add(ModelFile::Directory(BTreeMap::new()));
                    self.model.names_mut(number).insert(NAMES[n], file);
                    self.directories.push((made, file));
                }
            }
            Action::MakeSymlink(d, n, length) => {
                let (node, number) = self.directory(d);
                let target = "t".repeat(length);
                let real = now(edit(&node).unwrap().make_symlink(name(NAMES[n]), &target));
                assert_eq!(real, self.model.check_new(number, NAMES[n]));
                if real.is_ok() {
                    let file = self.model.add(ModelFile::Symlink(target));
                    self.model.names_mut(number).insert(NAMES[n], file);
                }
            }
            Action::Link(d, n, h) => {
                let (node, number) = self.directory(d);
                let Some((linked, _, file)) = pick(&mut self.open, h) else {
                    return;
                };
                let real = now(edit(&node).unwrap().link(name(NAMES[n]), linked));
                let model = self.model.check_new(number, NAMES[n]);
                let model = model.and(match self.model.links(*file) {
                    0 => Err(Errno::Noent),
                    _ => Ok(()),
                });
                assert_eq!(real, model);
                if real.is_ok() {
                    self.model.names_mut(number).insert(NAMES[n], *file);
                }
            }
            Action::Unlink(d, n) => {
                let (node, number) = self.directory(d);
                let real = now(edit(&node).unwrap().unlink(name(NAMES[n])));
                let model = self.model.find(number, NAMES[n]).and_then(|file| {
                    match self.model.is_directory(file) {
                        true => Err(Errno::Isdir),
                        false => Ok(()),
                    }
                });
                assert_eq!(real, model);
                if real.is_ok() {
                    self.model.names_mut(number).remove(NAMES[n]);
                }
            }
            Action::RemoveDirectory(d, n) => {
                let (node, number) = self.directory(d);
                let real = now(edit(&node).unwrap().remove_directory(name(NAMES[n])));
                let model = self.model.find(number, NAMES[n]).and_then(|file| {
                    if !self.model.is_directory(file) {
                        return Err(Errno::Notdir);
                    }
                    match self.model.names(file).is_empty() {
                        true => Ok(()),
                        false => Err(Errno::Notempty),
                    }
                });
                assert_eq!(real, model);
                if real.is_ok() {
                    self.model.names_mut(number).remove(NAMES[n]);
                }
            }
            Action::Rename(d, n, to, m) => {
                let ((from, number), (to, to_number)) = (self.directory(d), self.directory(to));
                let real = now(edit(&from)
                    .unwrap()
                    .rename(name(NAMES[n]), &to, name(NAMES[m])));
                assert_eq!(
                    real,
                    self.model.rename(number, NAMES[n], to_number, NAMES[m])
                );
            }
            Action::Open(d, n, truncate) => {
                let (node, number) = self.directory(d);
                let found = now(directory(&node).unwrap().walk(name(NAMES[n])));
                let model = self.model.find(number, NAMES[n]);
                assert_eq!(found.as_ref().err(), model.as_ref().err());
                let (Ok(found), Ok(file)) = (found, model) else {
                    return;
                };
                let how = crate::OpenHow {
                    truncate,
                    ..READ_WRITE
                };
                let opened = now(found.open(how));
                match self.model.files[file] {
                    ModelFile::File(_) => {
                        if truncate {
                            self.model.contents(file).clear();
                        }
                        self.open.push((found, opened.unwrap(), file));
                    }
                    ModelFile::Directory(_) => assert_eq!(opened.err(), Some(Errno::Isdir)),
                    ModelFile::Symlink(_) => assert_eq!(opened.err(), Some(Errno::Loop)),
                }
            }
            Action::Close(h) => {
                if !self.open.is_empty() {
                    self.open.swap_remove(h % self.open.len());
                }
            }
            Action::Write(h, at, length, byte) => {
                let Some((_, open, file)) = pick(&mut self.open, h) else {
                    return;
                };
                let bytes = vec![byte; length];
                let contents = self.model.contents(*file);
                let start = at.map_or(contents.len(), |at| at as usize);
                let at = at.map_or(WriteAt::End, WriteAt::Offset);
                let written = write_at(&mut **open, at, &bytes).unwrap();
                assert_eq!(
                    (written.bytes, written.end),
                    (length, (start + length) as u64)
                );
                if length > 0 {
                    contents.resize(contents.len().max(start + length), 0);
                    contents[start..start + length].fill(byte);
                }
            }
            Action::Read(h, at, length) => {
                let Some((_, open, file)) = pick(&mut self.open, h) else {
                    return;
                };
                let real = read_at(&mut **open, at, length).unwrap();
                let contents = self.model.contents(*file);
                let start = contents.len().min(at as usize);
                let end = contents.len().min(start + length);
                assert!(real == contents[start..end], "contents at {at} differ");
            }
            Action::Resize(h, size) => {
                let Some((_, open, file)) = pick(&mut self.open, h) else {
                    return;
                };
                let change = SetStat {
                    size: Some(size),
                    ..SetStat::default()
                };
                now(open.set_stat(change)).unwrap();
                self.model.contents(*file).resize(size as usize, 0);
            }
            Action::Allocate(h, at, length) => {
                let Some((_, open, file)) = pick(&mut self.open, h) else {
                    return;
                };
                now(open.allocate(at, length)).unwrap();
                let contents = self.model.contents(*file);
                contents.resize(contents.len().max((at + length) as usize), 0);
            }
        }
    }

    fn compare(&mut self) {
        self.compare_below(&self.files.root(), 0);
        for (node, number) in &self.directories {
            let subdirectories = self.model.names(*number).values();
            let subdirectories = subdirectories.filter(|file| self.model.is_directory(**file));
            let expected = match self.model.lives(*number) {
                true => 2 + subdirectories.count() as u64,
                false => 0,
            };
            assert_eq!(now(node.stat()).unwrap().nlink, expected);
        }
        for (_, open, file) in &mut self.open {
            let stat = now(open.stat()).unwrap();
            assert_eq!(stat.nlink, self.model.links(*file));
            let contents = self.model.contents(*file);
            assert_eq!(stat.size, contents.len() as u64);
            let real = read_at(&mut **open, 0, contents.len() + 1).unwrap();
            assert!(real == *contents, "contents differ");
        }
    }

    fn compare_below(&self, node: &NodeRef, number: usize) {
        let names = self.model.names(number);
        let expected: Vec<_> = names.keys().map(|name| name.to_string()).collect();
        assert_eq!(testkit::names_in(node).unwrap(), expected);
        for entry in testkit::list(node, 2).unwrap() {
            let found = testkit::walk(node, &entry.name).unwrap();
            assert_eq!(found.qid(), entry.qid);
            let file = names[entry.name.as_str()];
            match &self.model.files[file] {
                ModelFile::File(contents) => {
                    let real = testkit::read(node, &entry.name).unwrap();
                    assert!(real == *contents, "contents differ");
                }
                ModelFile::Directory(_) => {
                    assert_eq!(found.qid().kind, FileKind::Directory);
                    self.compare_below(&found, file);
                }
                ModelFile::Symlink(target) => {
                    assert_eq!(now(found.read_link()).as_ref(), Ok(target));
                }
            }
        }
    }

    /// Removes everything; nothing may be in use then.
    fn clear(self) {
        let Pair {
            files,
            directories,
            open,
            ..
        } = self;
        drop((directories, open));
        remove_below(&files.root());
        let unused = MemoryUsage { bytes: 0, nodes: 0 };
        assert_eq!(files.usage(), unused);
    }
}

fn pick<T>(from: &mut [T], index: usize) -> Option<&mut T> {
    match from.len() {
        0 => None,
        length => from.get_mut(index % length),
    }
}

pub(super) fn remove_below(node: &NodeRef) {
    for entry in testkit::list(node, 100).unwrap() {
        let edit = edit(node).unwrap();
        let name = name(&entry.name);
        match entry.qid.kind {
            FileKind::Directory => {
                remove_below(&testkit::walk(node, &entry.name).unwrap());
                now(edit.remove_directory(name)).unwrap();
            }
            _ => now(edit.unlink(name)).unwrap(),
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_the_model(actions in prop::collection::vec(action(), 1..120)) {
        let mut pair = Pair::new();
        for action in actions {
            pair.apply(action);
        }
        pair.compare();
        pair.clear();
    }
}
