//! The host goes down at every single step of random work, and loses any part of what was not flushed.
//! What is found then is the tree as it was after some operation, not before the last that was synced.

use std::sync::Arc;

use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::testkit::ManualClock;
use proptest::prelude::*;

use super::disk::{Disk, Random};
use super::tree::{Action, DIRECTORIES, Dump, Tree, action, dump};
use super::{volume, volume_of};
use crate::limits::Geometry;
use crate::{COMMIT_EVERY, StorageOptions};

pub(super) fn reference() -> MemoryFs {
    MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default())
}

/// Does the actions until the host goes down; says which states may be found afterwards.
fn run(disk: &Disk, actions: &[Action], geometry: Geometry) -> Vec<Dump> {
    let (volume, clock) = volume_of(disk, StorageOptions::default(), geometry);
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
        // What is found does not depend on the sizes in which it was written.
        let geometry = if seed % 4 == 0 { Geometry::USUAL } else { Geometry::SMALL };
        let disk = Disk::default();
        let possible = run(&disk, &actions, geometry);
        check(&disk, &possible, seed);
        for step in 0..disk.steps() {
            let disk = Disk::default();
            disk.crash_at(step);
            let possible = run(&disk, &actions, geometry);
            for seed in 0..3 {
                check(&disk, &possible, seed * 7919 + step + 1);
            }
        }
    }

    /// The host goes down, comes back, and goes down again: what the first time left in the files is never
    /// taken for a part of what was written later.
    #[test]
    fn a_second_time_is_like_the_first(
        first in prop::collection::vec(action(), 1..30),
        second in prop::collection::vec(action(), 1..20),
        seed in 1u64..,
    ) {
        let mut random = Random(seed);
        let disk = Disk::default();
        run(&disk, &first, Geometry::SMALL);
        for _ in 0..8 {
            let crashed = Disk::default();
            crashed.crash_at(random.below(disk.steps() as usize) as u64);
            run(&crashed, &first, Geometry::SMALL);
            let left = crashed.after_crash(&mut random);
            // The same work on a copy that stays up says which states there are.
            let copy = left.after_crash(&mut random);
            let states = states(&copy, &second);
            for _ in 0..8 {
                let again = left.after_crash(&mut random);
                again.crash_at(random.below(copy.steps() as usize + 1) as u64);
                let synced = work(&again, &second);
                let found = dump(&volume(&again.after_crash(&mut random)).root()).unwrap();
                prop_assert!(states[synced..].contains(&found));
            }
        }
    }
}

/// Does the actions on what a disk holds, and says what there is before them and after each.
fn states(disk: &Disk, actions: &[Action]) -> Vec<Dump> {
    let volume = volume(disk);
    let mut tree = Tree::new(volume.root());
    let mut states = vec![dump(&tree.root).unwrap()];
    for action in actions {
        let _ = tree.apply(action);
        states.push(dump(&tree.root).unwrap());
    }
    states
}

/// Does the actions until the host goes down; says how many were done when it was synced last.
fn work(disk: &Disk, actions: &[Action]) -> usize {
    let volume = volume(disk);
    let mut tree = Tree::new(volume.root());
    let mut synced = 0;
    for (action, done) in actions.iter().zip(1..) {
        let result = tree.apply(action);
        if disk.crashed() {
            break;
        }
        if matches!(action, Action::Sync) && result.is_ok() {
            synced = done;
        }
    }
    drop(tree);
    let closed = volume.release();
    if !disk.crashed() && closed.is_ok() {
        synced = actions.len();
    }
    synced
}
