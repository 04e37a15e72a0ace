//! An index that something else than a crash has changed: it is noticed, and what can be read is kept.

use capfs::testkit::{self, edit, name, now};
use capfs::{Errno, NodeRef};

use super::disk::{Disk, Random};
use super::tree::{Dump, Tree, action, dump};
use super::{volume, volume_with};
use crate::{StorageError, StorageOptions, Volume};
use proptest::prelude::*;

/// Makes a volume in several commits, and says what it held after each.
fn history(disk: &Disk) -> Vec<Dump> {
    let volume = volume(disk);
    let root = volume.root();
    now(volume.open()).unwrap();
    let mut states = vec![dump(&root).unwrap()];
    let mut commit = |root: &NodeRef| {
        volume.sync().unwrap();
        states.push(dump(root).unwrap());
    };
    testkit::write(&root, "first", &[1; 10_000]).unwrap();
    commit(&root);
    let below = now(edit(&root).unwrap().make_directory(name("d"))).unwrap();
    testkit::write(&below, "second", &[2; 5_000]).unwrap();
    commit(&root);
    now(edit(&root)
        .unwrap()
        .rename(name("first"), &below, name("third")))
    .unwrap();
    now(edit(&root).unwrap().make_symlink(name("l"), "d/third")).unwrap();
    commit(&root);
    testkit::write(&below, "fourth", b"last").unwrap();
    commit(&root);
    drop((root, below));
    volume.release().unwrap();
    states
}

/// The half of the index that is in use.
fn used_half(disk: &Disk) -> usize {
    match disk.contents(1).len() {
        0 => 2,
        _ => 1,
    }
}

fn repaired(disk: &Disk) -> Volume {
    let options = StorageOptions {
        repair: true,
        ..StorageOptions::default()
    };
    volume_with(disk, options).0
}

/// Repairs the volume and checks that it can be used, and opened again without a repair.
fn check_repair(disk: &Disk) -> Dump {
    let volume = repaired(disk);
    let mut tree = Tree::new(volume.root());
    let _ = tree.make_directory("made");
    let found = dump(&volume.root()).unwrap();
    drop(tree);
    volume.release().unwrap();
    assert_eq!(dump(&super::volume(disk).root()).unwrap(), found);
    found
}

#[test]
fn every_spoilt_byte_is_noticed_or_means_nothing() {
    let disk = Disk::default();
    let states = history(&disk);
    let half = used_half(&disk);
    let good = disk.contents(half);
    let end = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut noticed = 0;
    for at in 0..end + 64 {
        let disk = Disk::default();
        history(&disk);
        disk.change(half, |bytes| bytes[at] ^= 0x55);
        let volume = volume(&disk);
        match dump(&volume.root()) {
            // Of the last transaction nobody can say whether it was finished.
            Ok(found) => assert!(states[states.len() - 2..].contains(&found), "byte {at}"),
            Err(errno) => {
                noticed += 1;
                assert_eq!(errno, Errno::Io);
                let error = volume.error().unwrap();
                assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
                // The file with the first contents has lost at most its name.
                let kept = check_repair(&disk);
                let contents = kept.values().filter(|held| match held {
                    super::tree::Held::File(_, contents) => *contents == [1; 10_000],
                    _ => false,
                });
                assert!(
                    contents.count() == 1 || at < 400,
                    "byte {at}: {:?}",
                    kept.keys()
                );
            }
        }
    }
    assert!(noticed > end / 2, "{noticed} of {end}");
}

#[test]
fn an_index_that_is_cut_is_an_old_state_or_noticed() {
    let disk = Disk::default();
    let states = history(&disk);
    let half = used_half(&disk);
    let good = disk.contents(half);
    let end = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for length in (0..end).step_by(7) {
        let disk = Disk::default();
        history(&disk);
        disk.change(half, |bytes| bytes.truncate(length));
        match dump(&volume(&disk).root()) {
            Ok(found) => assert!(states.contains(&found), "cut to {length}"),
            Err(errno) => {
                assert_eq!(errno, Errno::Io);
                check_repair(&disk);
            }
        }
    }
}

#[test]
fn missing_data_is_noticed() {
    let disk = Disk::default();
    history(&disk);
    disk.change(0, |bytes| bytes.truncate(4_096));
    let volume = volume(&disk);
    assert_eq!(dump(&volume.root()), Err(Errno::Io));
    let error = volume.error().unwrap().to_string();
    assert!(error.contains("not there"), "{error}");
    assert!(check_repair(&disk).contains_key("/d/third"));
}

#[test]
fn a_later_format_is_refused() {
    let disk = Disk::default();
    history(&disk);
    let half = used_half(&disk);
    disk.change(half, |bytes| crate::journal::tests_only_next_format(bytes));
    let volume = volume(&disk);
    assert_eq!(dump(&volume.root()), Err(Errno::Notsup));
    assert_eq!(
        volume.error(),
        Some(StorageError::Version { found: 3, known: 2 })
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is in the files, opening them ends, and a repair leaves a volume that works.
    #[test]
    fn anything_can_be_repaired(
        actions in prop::collection::vec(action(), 1..40),
        seed in 1u64..,
    ) {
        let disk = Disk::default();
        let first = volume(&disk);
        let mut tree = Tree::new(first.root());
        for action in &actions {
            let _ = tree.apply(action);
        }
        drop(tree);
        first.release().unwrap();
        let mut random = Random(seed);
        for _ in 0..1 + random.below(4) {
            let file = random.below(3);
            disk.change(file, |bytes| {
                match (random.below(4), bytes.len()) {
                    (_, 0) => {}
                    (0, length) => bytes.truncate(random.below(length)),
                    (1, length) => {
                        let from = random.below(length);
                        let to = (from + random.below(600)).min(length);
                        bytes[from..to].fill(0);
                    }
                    (_, length) => {
                        let front = length.min(4_000);
                        let at = random.below(front);
                        bytes[at] ^= 1 << random.below(8);
                    }
                }
            });
        }
        let _ = dump(&volume(&disk).root());
        check_repair(&disk);
    }
}
