//! Checkpoints of files in memory against a naive copy of everything.

use std::sync::Arc;

use proptest::prelude::*;

use super::model_tests::{Action, NAMES, action};
use super::*;
use crate::testkit::{
    self, ManualClock, READ, READ_WRITE, directory, edit, name, now, read_at, walk, write_at,
};
use crate::{Checkpoint, Errno, OpenFile, OpenHow, SetStat, WriteAt};

fn files() -> MemoryFs {
    MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default())
}

fn taken(files: &MemoryFs) -> Box<dyn Checkpoint> {
    now(files.root().checkpoint()).expect("a checkpoint is taken")
}

#[test]
fn any_call_is_undone() {
    testkit::checkpoints(|| files().root());
}

/// A file system, what is open in it, and a clock that goes on by each thing that is done.
struct World {
    clock: Arc<ManualClock>,
    time: u64,
    files: MemoryFs,
    directories: Vec<NodeRef>,
    open: Vec<(NodeRef, Box<dyn OpenFile>)>,
    /// Files up to here are not closed.
    kept: usize,
}

/// Everything that can be seen of it.
#[derive(PartialEq, Eq)]
struct Copy {
    image: Vec<u8>,
    usage: MemoryUsage,
    open: Vec<(crate::Stat, Vec<u8>)>,
    directories: Vec<(crate::Stat, Vec<crate::DirEntry>)>,
}

impl World {
    fn new(limits: MemoryLimits) -> World {
        let clock = Arc::new(ManualClock::new(1));
        let files = MemoryFs::new(clock.clone(), limits);
        World {
            time: 1,
            clock,
            directories: vec![files.root()],
            files,
            open: Vec::new(),
            kept: 0,
        }
    }

    fn run(&mut self, actions: &[Action]) {
        for action in actions {
            self.time += 1;
            self.clock.set(self.time);
            // What is refused is refused: there may be no such file, or no room.
            let _ = self.apply(action);
        }
    }

    fn file(&mut self, at: usize) -> Result<&mut (NodeRef, Box<dyn OpenFile>), Errno> {
        let count = self.open.len().max(1);
        self.open.get_mut(at % count).ok_or(Errno::Badf)
    }

    fn directory(&self, at: usize) -> NodeRef {
        self.directories[at % self.directories.len()].clone()
    }

    fn apply(&mut self, action: &Action) -> Result<(), Errno> {
        match *action {
            Action::Create(d, n) => {
                let made = now(edit(&self.directory(d))?.create(name(NAMES[n]), READ_WRITE))?;
                self.open.push((made.node, made.file));
            }
            Action::MakeDirectory(d, n) => {
                let made = now(edit(&self.directory(d))?.make_directory(name(NAMES[n])))?;
                self.directories.push(made);
            }
            Action::MakeSymlink(d, n, length) => {
                let target = "t".repeat(length);
                now(edit(&self.directory(d))?.make_symlink(name(NAMES[n]), &target))?;
            }
            Action::Link(d, n, h) => {
                let node = self.file(h)?.0.clone();
                now(edit(&self.directory(d))?.link(name(NAMES[n]), &node))?;
            }
            Action::Unlink(d, n) => now(edit(&self.directory(d))?.unlink(name(NAMES[n])))?,
            Action::RemoveDirectory(d, n) => {
                now(edit(&self.directory(d))?.remove_directory(name(NAMES[n])))?;
            }
            Action::Rename(d, n, to, m) => {
                let (from, to) = (self.directory(d), self.directory(to));
                now(edit(&from)?.rename(name(NAMES[n]), &to, name(NAMES[m])))?;
            }
            Action::Open(d, n, truncate) => {
                let found = now(directory(&self.directory(d))?.walk(name(NAMES[n])))?;
                let how = OpenHow {
                    truncate,
                    ..READ_WRITE
                };
                let opened = now(found.open(how))?;
                self.open.push((found, opened));
            }
            Action::Close(h) => {
                let at = h % self.open.len().max(1);
                if (self.kept..self.open.len()).contains(&at) {
                    self.open.swap_remove(at);
                }
            }
            Action::Write(h, at, length, byte) => {
                let at = at.map_or(WriteAt::End, WriteAt::Offset);
                write_at(&mut *self.file(h)?.1, at, &vec![byte; length])?;
            }
            Action::Read(h, at, length) => {
                read_at(&mut *self.file(h)?.1, at, length)?;
            }
            Action::Resize(h, size) => {
                let change = SetStat {
                    size: Some(size),
                    ..SetStat::default()
                };
                now(self.file(h)?.1.set_stat(change))?;
            }
            Action::Allocate(h, at, length) => now(self.file(h)?.1.allocate(at, length))?,
        }
        Ok(())
    }

    /// Makes a copy; looking at the files again changes no time any more.
    fn copy(&mut self) -> Copy {
        let directories = self.directories.iter();
        let listed = directories.map(|node| testkit::list(node, 100).unwrap());
        let listed: Vec<_> = listed.collect();
        let open = self.open.iter_mut().map(|(_, file)| {
            let size = now(file.stat()).unwrap().size as usize;
            read_at(&mut **file, 0, size + 1).unwrap()
        });
        let contents: Vec<_> = open.collect();
        let stat = |node: &NodeRef| now(node.stat()).unwrap();
        Copy {
            image: self.files.image(),
            usage: self.files.usage(),
            open: self
                .open
                .iter()
                .map(|(node, _)| stat(node))
                .zip(contents)
                .collect(),
            directories: self.directories.iter().map(stat).zip(listed).collect(),
        }
    }

    fn tick(&mut self) {
        self.time += 1;
        self.clock.set(self.time);
    }

    /// Nothing may be in use once everything is removed.
    fn clear(self) {
        let World {
            files,
            directories,
            open,
            ..
        } = self;
        drop((directories, open));
        model_tests::remove_below(&files.root());
        assert_eq!(files.usage(), MemoryUsage { bytes: 0, nodes: 0 });
    }
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(action(), 1..60)
}

/// Those that all actions fit in, and some in which little does.
fn limits() -> impl Strategy<Value = MemoryLimits> {
    let tight =
        (2_000u64..600_000, 4u64..20).prop_map(|(bytes, nodes)| MemoryLimits { bytes, nodes });
    prop_oneof![Just(MemoryLimits::default()), tight]
}

proptest! {
    #[test]
    fn what_is_discarded_was_never_done(
        limits in limits(),
        before in actions(),
        meanwhile in actions(),
        after in actions(),
    ) {
        let (mut world, mut twin) = (World::new(limits), World::new(limits));
        for world in [&mut world, &mut twin] {
            world.run(&before);
            world.tick();
            world.copy();
        }
        let (there, time) = (world.copy(), world.time);
        let (directories, open) = (world.directories.len(), world.open.len());
        let checkpoint = taken(&world.files);
        world.kept = open;
        world.run(&meanwhile);
        world.directories.truncate(directories);
        world.open.truncate(open);
        now(checkpoint.discard()).unwrap();
        world.kept = 0;
        assert!(world.copy() == there, "the tree is not what it was");
        // And all goes on as if nothing had happened.
        (world.time, twin.time) = (time, time);
        for world in [&mut world, &mut twin] {
            world.run(&after);
            world.tick();
        }
        assert!(world.copy() == twin.copy(), "it goes on differently");
        world.clear();
    }

    #[test]
    fn what_is_committed_was_done_as_without(before in actions(), meanwhile in actions()) {
        let limits = MemoryLimits::default();
        let (mut world, mut twin) = (World::new(limits), World::new(limits));
        for world in [&mut world, &mut twin] {
            world.run(&before);
        }
        let checkpoint = taken(&world.files);
        for world in [&mut world, &mut twin] {
            world.run(&meanwhile);
        }
        now(checkpoint.commit()).unwrap();
        world.tick();
        twin.tick();
        // The room that tables of pages have may differ, which no file shows.
        let (there, other) = (world.copy(), twin.copy());
        assert!(there.open == other.open && there.directories == other.directories);
        assert_eq!(there.usage.nodes, other.usage.nodes);
        let trees = [&world.files, &twin.files].map(|files| testkit::picture(&files.root()));
        assert_eq!(trees[0], trees[1]);
        world.clear();
    }
}

/// A file of so many pages.
fn large(files: &MemoryFs, pages: usize) -> Box<dyn OpenFile> {
    let made = now(edit(&files.root())
        .unwrap()
        .create(name("large"), READ_WRITE))
    .unwrap();
    let mut file = made.file;
    let bytes = vec![7; content::PAGE];
    for _ in 0..pages {
        write_at(&mut *file, WriteAt::End, &bytes).unwrap();
    }
    file
}

#[test]
fn what_is_kept_grows_with_what_changes() {
    let files = files();
    let mut file = large(&files, 100);
    let before = files.usage().bytes;
    let checkpoint = taken(&files);
    assert_eq!(files.usage().bytes, before);
    write_at(&mut *file, WriteAt::Offset(70_000), b"x").unwrap();
    write_at(&mut *file, WriteAt::Offset(70_100), b"y").unwrap();
    let one_page = before + content::PAGE as u64;
    let kept = files.usage().bytes;
    assert!((one_page..one_page + 1_000).contains(&kept), "{kept}");
    now(checkpoint.discard()).unwrap();
    assert_eq!(files.usage().bytes, before);
}

#[test]
fn what_is_cut_off_is_moved_and_takes_no_more_room() {
    let files = files();
    drop(large(&files, 100));
    let before = files.usage().bytes;
    let image = files.image();
    let checkpoint = taken(&files);
    now(walk(&files.root(), "large").unwrap().open(OpenHow {
        truncate: true,
        ..READ_WRITE
    }))
    .unwrap();
    assert!((before..before + 10_000).contains(&files.usage().bytes));
    now(checkpoint.discard()).unwrap();
    assert!(files.image() == image);
    let checkpoint = taken(&files);
    now(edit(&files.root()).unwrap().unlink(name("large"))).unwrap();
    assert!(files.usage().bytes >= before, "it is kept");
    now(checkpoint.commit()).unwrap();
    assert_eq!(files.usage(), MemoryUsage { bytes: 0, nodes: 0 });
}

#[test]
fn what_there_is_no_room_to_keep_is_not_changed() {
    let limits = MemoryLimits {
        bytes: 100_000,
        nodes: 100,
    };
    let files = MemoryFs::new(Arc::new(ManualClock::new(1)), limits);
    let mut file = large(&files, 1);
    let checkpoint = taken(&files);
    let written = write_at(&mut *file, WriteAt::Offset(0), b"x");
    assert_eq!(written.unwrap_err(), Errno::Nospc);
    assert_eq!(read_at(&mut *file, 0, 1).unwrap(), [7]);
    // What is left is too little for a page, and enough for a name.
    now(edit(&files.root()).unwrap().unlink(name("large"))).unwrap();
    now(checkpoint.discard()).unwrap();
    assert_eq!(
        testkit::read(&files.root(), "large").unwrap(),
        vec![7; content::PAGE]
    );
    assert_eq!(
        write_at(&mut *file, WriteAt::Offset(0), b"x")
            .unwrap()
            .bytes,
        1
    );
}

#[test]
fn who_has_a_file_open_that_was_made_since_has_one_without_a_name() {
    let files = files();
    testkit::write(&files.root(), "old", b"old").unwrap();
    let checkpoint = taken(&files);
    let root = files.root();
    let made = now(edit(&root).unwrap().make_directory(name("made"))).unwrap();
    let mut held = now(edit(&made).unwrap().create(name("held"), READ_WRITE)).unwrap();
    write_at(&mut *held.file, WriteAt::End, b"held").unwrap();
    now(edit(&root)
        .unwrap()
        .rename(name("old"), &made, name("moved")))
    .unwrap();
    now(checkpoint.discard()).unwrap();
    assert_eq!(testkit::names_in(&root).unwrap(), ["old"]);
    assert_eq!(testkit::read(&root, "old").unwrap(), b"old");
    assert_eq!(read_at(&mut *held.file, 0, 9).unwrap(), b"held");
    assert_eq!(now(held.file.stat()).unwrap().nlink, 0);
    let again = now(edit(&root).unwrap().link(name("again"), &held.node));
    assert_eq!(again, Err(Errno::Noent));
    let below = now(edit(&made).unwrap().create(name("x"), READ_WRITE));
    assert_eq!(below.err(), Some(Errno::Noent), "its directory is gone");
    // Its number isn't given to another as long as it is there.
    let number = held.node.qid().path;
    let other = testkit::write(&root, "other", b"").unwrap();
    assert!(other.qid().path > number);
    drop((held, made));
    assert_eq!(files.usage().nodes, 2);
}

#[test]
fn a_checkpoint_keeps_nothing_alive_once_it_is_decided() {
    let clock = Arc::new(ManualClock::new(1));
    for stays in [true, false] {
        let account = Account::new(1 << 20);
        let files = MemoryFs::charged(clock.clone(), MemoryLimits::default(), &account);
        let root = files.root();
        // Each will have been below the other.
        let a = now(edit(&root).unwrap().make_directory(name("a"))).unwrap();
        let b = now(edit(&a).unwrap().make_directory(name("b"))).unwrap();
        let checkpoint = taken(&files);
        now(edit(&a).unwrap().rename(name("b"), &root, name("b"))).unwrap();
        now(edit(&root).unwrap().rename(name("a"), &b, name("a"))).unwrap();
        drop((files, root, a, b));
        match stays {
            true => now(checkpoint.commit()).unwrap(),
            false => drop(checkpoint),
        }
        assert_eq!(account.used(), 0);
    }
}

#[test]
fn a_deep_tree_that_was_removed_is_dropped_without_recursion() {
    let files = files();
    let mut deep = vec![files.root()];
    for _ in 0..100_000 {
        let made = edit(deep.last().unwrap())
            .unwrap()
            .make_directory(name("d"));
        deep.push(now(made).unwrap());
    }
    let checkpoint = taken(&files);
    deep.pop();
    while let Some(node) = deep.pop() {
        now(edit(&node).unwrap().remove_directory(name("d"))).unwrap();
    }
    now(checkpoint.commit()).unwrap();
    assert_eq!(files.usage(), MemoryUsage { bytes: 0, nodes: 0 });
    let checkpoint = taken(&files);
    let mut at = files.root();
    for _ in 0..100_000 {
        at = now(edit(&at).unwrap().make_directory(name("d"))).unwrap();
    }
    drop(at);
    now(checkpoint.discard()).unwrap();
    assert_eq!(files.usage(), MemoryUsage { bytes: 0, nodes: 0 });
    assert!(walk(&files.root(), "d").is_err());
    assert!(now(files.root().open(READ)).is_ok());
}
