//! The host goes down at every single step of random work, and loses any part of what was not flushed.
//! What is found then is the tree as it was after some operation, not before the last that was synced.

use std::sync::Arc;

use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::testkit::ManualClock;
use proptest::prelude::*;

use super::disk::{Disk, Random};
use super::tree::{Action, DIRECTORIES, Dump, Tree, action, dump};
use super::{volume, volume_with};
use crate::{COMMIT_EVERY, StorageOptions};

pub(super) fn reference() -> MemoryFs {
    MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default())
}

/// Does the actions until the host goes down; says which states may be found afterwards.
fn run(disk: &Disk, actions: &[Action]) -> Vec<Dump> {
    let (volume, clock) = volume_with(disk, StorageOptions::default());
    let memory = reference();
    let mut possible = vec![dump(&memory.root()).unwrap()];
    let mut model = Tree::new(memory.root());
    for directory in DIRECTORIES {
        model.make_directory(directory).unwrap();
        possible.push(dump(&memory.root()).unwrap());
    }
    let mut tree = Tree::new(volume.root());
    for directory in DIRECTORIES {
        if tree.make_directory(directory).is_err() {
            return possible;
        }
    }
    let mut time = 1;
    for action in actions {
        if let Action::Wait = action {
            time += COMMIT_EVERY;
            clock.set(time);
        }
        let expected = model.apply(action);
        let after = dump(&memory.root()).unwrap();
        let found = tree.apply(action);
        if disk.crashed() {
            possible.push(after);
            return possible;
        }
        assert_eq!(found, expected, "{action:?}");
        if let Action::Sync = action {
            possible.clear();
        }
        possible.push(after);
    }
    drop(tree);
    match volume.release() {
        Ok(()) => possible.split_off(possible.len() - 1),
        Err(_) => possible,
    }
}

fn check(disk: &Disk, possible: &[Dump], seed: u64) {
    let left = disk.after_crash(&mut Random(seed));
    let again = volume(&left);
    let found = dump(&again.root()).unwrap_or_else(|errno| {
        panic!(
            "after a crash with seed {seed}: {errno}, {:?}",
            again.error()
        )
    });
    assert!(
        possible.contains(&found),
        "seed {seed}: found {:?}, which is none of {} states",
        found.keys(),
        possible.len()
    );
    // It goes on from there.
    let mut tree = Tree::new(again.root());
    let _ = tree.apply(&Action::Create(0, 3));
    let _ = tree.apply(&Action::Write(0, Some(0), 9_000, 7));
    let before = dump(&again.root()).unwrap();
    drop(tree);
    again.release().unwrap();
    assert_eq!(dump(&volume(&left).root()).unwrap(), before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_moment_leaves_a_state_that_was(
        actions in prop::collection::vec(action(), 1..40),
        seed in 1u64..,
    ) {
        let disk = Disk::default();
        let possible = run(&disk, &actions);
        check(&disk, &possible, seed);
        for step in 0..disk.steps() {
            let disk = Disk::default();
            disk.crash_at(step);
            let possible = run(&disk, &actions);
            for seed in 0..3 {
                check(&disk, &possible, seed * 7919 + step + 1);
            }
        }
    }
}
