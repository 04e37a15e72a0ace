//! What is discarded was never done, and a volume that stops anywhere is what was decided.

use capfs::testkit::{self, READ_WRITE, edit, name, now, picture, read_at, write_at};
use capfs::{Checkpoint, Errno, WriteAt};
use proptest::prelude::*;

use super::disk::{Disk, Random};
use super::tree::{Action, DIRECTORIES, Dump, Tree, action, dump};
use super::{volume, volume_of, volume_with};
use crate::limits::Geometry;
use crate::{BLOCK, StorageError, StorageOptions, Volume};

fn taken(volume: &Volume) -> Box<dyn Checkpoint> {
    now(volume.root().checkpoint()).unwrap()
}

#[test]
fn any_call_is_undone() {
    testkit::checkpoints(|| volume(&Disk::default()).root());
}

/// A volume, and what is done on it.
struct World {
    disk: Disk,
    volume: Volume,
    tree: Tree,
}

impl World {
    fn new(quota: u64) -> World {
        let disk = Disk::default();
        let options = StorageOptions {
            quota,
            ..StorageOptions::default()
        };
        let volume = volume_with(&disk, options).0;
        let mut tree = Tree::new(volume.root());
        for directory in DIRECTORIES {
            tree.make_directory(directory).unwrap();
        }
        World { disk, volume, tree }
    }

    fn run(&mut self, actions: &[Action]) -> Vec<Result<Vec<u8>, Errno>> {
        let actions = actions.iter();
        actions.map(|action| self.tree.apply(action)).collect()
    }

    fn used(&self) -> (u64, u64) {
        let usage = self.volume.usage();
        (usage.used, usage.nodes)
    }
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(action(), 1..40)
}

fn quota() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(1 << 30),
        (10u64..60).prop_map(|blocks| blocks * BLOCK as u64)
    ]
}

proptest! {
    #[test]
    fn what_is_discarded_was_never_done(
        quota in quota(),
        before in actions(),
        meanwhile in actions(),
        after in actions(),
        (prepares, closed) in (any::<bool>(), 0usize..4),
    ) {
        let (mut world, mut twin) = (World::new(quota), World::new(quota));
        world.run(&before);
        twin.run(&before);
        let root = world.tree.root.clone();
        let (there, used) = (picture(&root), world.used());
        let mut checkpoint = taken(&world.volume);
        let mut held = std::mem::take(&mut world.tree.open);
        world.run(&meanwhile);
        world.tree.open.clear();
        if prepares {
            now(checkpoint.prepare(1)).unwrap();
        }
        now(checkpoint.discard()).unwrap();
        assert_eq!(picture(&root), there);
        assert_eq!(world.used(), used);
        // And all goes on as if nothing had happened.
        for _ in 0..closed.min(held.len()) {
            held.pop();
            twin.tree.open.pop();
        }
        world.tree.open = held;
        assert_eq!(world.run(&after), twin.run(&after));
        assert_eq!(picture(&root), picture(&twin.tree.root));
        assert_eq!(world.used(), twin.used());
        world.tree.open.clear();
        let there = dump(&root).unwrap();
        world.volume.release().unwrap();
        drop((world.tree, root));
        assert_eq!(dump(&volume(&world.disk).root()).unwrap(), there);
    }

    #[test]
    fn what_is_committed_was_done_as_without(
        quota in quota(),
        before in actions(),
        meanwhile in actions(),
        prepares in any::<bool>(),
    ) {
        let (mut world, mut twin) = (World::new(quota), World::new(quota));
        world.run(&before);
        twin.run(&before);
        let mut checkpoint = taken(&world.volume);
        prop_assert_eq!(world.run(&meanwhile), twin.run(&meanwhile));
        if prepares {
            now(checkpoint.prepare(1)).unwrap();
        }
        world.tree.open.clear();
        twin.tree.open.clear();
        now(checkpoint.commit()).unwrap();
        prop_assert_eq!(picture(&world.tree.root), picture(&twin.tree.root));
        prop_assert_eq!(world.used(), twin.used());
        // It is durable: the host goes down.
        let there = dump(&world.tree.root).unwrap();
        let left = volume(&world.disk.after_crash(&mut Random(1)));
        prop_assert_eq!(dump(&left.root()).unwrap(), there);
        // And nothing of it is kept any more.
        world.tree.remove_everything().unwrap();
        prop_assert_eq!(world.used(), (0, 0));
    }
}

/// How far a tick came before its host went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Nowhere,
    Checkpointed,
    /// The host has written down that it is to be committed, or discarded.
    Decided(bool),
}

/// A tick on a volume whose host may go down; what there was before it and after it.
fn tick(
    disk: &Disk,
    before: &[Action],
    meanwhile: &[Action],
    commits: bool,
) -> (Came, Option<(Dump, Dump)>) {
    let options = StorageOptions::default();
    let (volume, _) = volume_of(disk, options, Geometry::SMALL);
    let mut tree = Tree::new(volume.root());
    for directory in DIRECTORIES {
        if tree.make_directory(directory).is_err() {
            return (Came::Nowhere, None);
        }
    }
    for action in before {
        let _ = tree.apply(action);
    }
    tree.open.clear();
    let Ok(there) = dump(&tree.root) else {
        return (Came::Nowhere, None);
    };
    let Ok(mut checkpoint) = now(tree.root.checkpoint()) else {
        return (Came::Nowhere, None);
    };
    for action in meanwhile {
        let _ = tree.apply(action);
    }
    tree.open.clear();
    let after = dump(&tree.root).unwrap_or_default();
    let states = Some((there, after));
    if now(checkpoint.prepare(7)).is_err() {
        return (Came::Checkpointed, states);
    }
    // What becomes of it is decided here, whatever becomes of the volume.
    let _ = match commits {
        true => now(checkpoint.commit()),
        false => now(checkpoint.discard()),
    };
    (Came::Decided(commits), states)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_volume_that_stops_anywhere_is_what_was_decided(
        before in actions(),
        meanwhile in actions(),
        commits in any::<bool>(),
        seed in 1u64..,
    ) {
        let whole = Disk::default();
        let (came, _) = tick(&whole, &before, &meanwhile, commits);
        prop_assert_eq!(came, Came::Decided(commits));
        for step in 0..=whole.steps() {
            let disk = Disk::default();
            disk.crash_at(step);
            let (came, states) = tick(&disk, &before, &meanwhile, commits);
            for round in 0..3 {
                let left = disk.after_crash(&mut Random(seed % 1_000 + 31 * step + round + 1));
                let told = volume(&left);
                told.decide(if came == Came::Decided(true) { 7 } else { 6 });
                let untold = volume(&left.after_crash(&mut Random(1)));
                if now(untold.open()).is_err() {
                    prop_assert_eq!(untold.error(), Some(StorageError::Undecided { id: 7 }));
                }
                let found = dump(&told.root()).unwrap();
                match (came, &states) {
                    (Came::Decided(true), Some((_, after))) => prop_assert_eq!(&found, after),
                    (Came::Nowhere, _) | (_, None) => {}
                    (_, Some((there, _))) => prop_assert_eq!(&found, there),
                }
                // It goes on from there, and what was decided stays so.
                let mut tree = Tree::new(told.root());
                let _ = tree.apply(&Action::Create(0, 3));
                tree.open.clear();
                let there = dump(&tree.root).unwrap();
                drop(tree);
                told.release().unwrap();
                prop_assert_eq!(dump(&volume(&left).root()).unwrap(), there);
            }
        }
    }
}

#[test]
fn one_that_is_prepared_and_dropped_is_undecided() {
    let disk = Disk::default();
    let first = volume(&disk);
    testkit::write(&first.root(), "old", b"old").unwrap();
    let mut checkpoint = taken(&first);
    testkit::write(&first.root(), "new", b"new").unwrap();
    now(checkpoint.prepare(3)).unwrap();
    let refused = testkit::write(&first.root(), "more", b"").map(|_| ());
    assert_eq!(refused, Err(Errno::Busy), "it is prepared");
    assert_eq!(testkit::read(&first.root(), "new").unwrap(), b"new");
    drop(checkpoint);
    assert_eq!(
        first.release(),
        Err(Errno::Io),
        "nobody knows what is to be"
    );
    let second = volume(&disk);
    assert_eq!(now(second.open()), Err(Errno::Busy));
    assert_eq!(second.error(), Some(StorageError::Undecided { id: 3 }));
    second.decide(3);
    assert_eq!(testkit::names_in(&second.root()).unwrap(), ["new", "old"]);
}

#[test]
fn a_volume_that_is_released_meanwhile_is_put_back() {
    let disk = Disk::default();
    let first = volume(&disk);
    testkit::write(&first.root(), "old", b"old").unwrap();
    let checkpoint = taken(&first);
    testkit::write(&first.root(), "new", b"new").unwrap();
    first.release().unwrap();
    assert_eq!(now(checkpoint.commit()), Err(Errno::Stale));
    assert_eq!(testkit::names_in(&volume(&disk).root()).unwrap(), ["old"]);
}

#[test]
fn what_is_synced_meanwhile_is_durable_with_the_rest() {
    let disk = Disk::default();
    let first = volume(&disk);
    let root = first.root();
    let checkpoint = taken(&first);
    let mut made = now(edit(&root).unwrap().create(name("f"), READ_WRITE)).unwrap();
    write_at(&mut *made.file, WriteAt::End, &[1; 3 * BLOCK]).unwrap();
    now(made.file.sync(false)).unwrap();
    first.sync().unwrap();
    let names = |disk: &Disk| testkit::names_in(&volume(disk).root()).unwrap();
    assert!(names(&disk.after_crash(&mut Random(1))).is_empty());
    now(checkpoint.commit()).unwrap();
    assert_eq!(names(&disk.after_crash(&mut Random(1))), ["f"]);
}

#[test]
fn who_has_a_file_open_that_was_made_since_has_a_stale_one() {
    let disk = Disk::default();
    let first = volume(&disk);
    let root = first.root();
    let checkpoint = taken(&first);
    let mut made = now(edit(&root).unwrap().create(name("f"), READ_WRITE)).unwrap();
    write_at(&mut *made.file, WriteAt::End, b"made").unwrap();
    now(checkpoint.discard()).unwrap();
    assert_eq!(read_at(&mut *made.file, 0, 9), Err(Errno::Stale));
    let other = testkit::write(&root, "other", b"other").unwrap();
    assert!(other.qid().path > made.node.qid().path, "no number twice");
    drop(made);
    assert_eq!(testkit::read(&root, "other").unwrap(), b"other");
    assert_eq!(first.usage().nodes, 1);
}

#[test]
fn a_file_that_came_back_is_written_like_any_other() {
    for prepares in [false, true] {
        let disk = Disk::default();
        let first = volume(&disk);
        let root = first.root();
        testkit::write(&root, "f", b"one").unwrap();
        let mut checkpoint = taken(&first);
        now(edit(&root).unwrap().unlink(name("f"))).unwrap();
        if prepares {
            now(checkpoint.prepare(1)).unwrap();
        }
        now(checkpoint.discard()).unwrap();
        let mut file = now(testkit::walk(&root, "f").unwrap().open(READ_WRITE)).unwrap();
        write_at(&mut *file, WriteAt::End, b" two").unwrap();
        drop((file, root));
        first.release().unwrap();
        let read = testkit::read(&volume(&disk).root(), "f").unwrap();
        assert_eq!(read, b"one two");
    }
}
