//! An index that something else than a crash has changed: it is noticed, and what can be read is kept.

use capfs::testkit::{self, edit, name, now};
use capfs::{Errno, FileKind, NodeRef};

use super::disk::{Disk, Random};
use super::tree::{Dump, Tree, action, dump};
use super::{volume, volume_of, volume_with};
use crate::journal::tests_only_index;
use crate::limits::Geometry;
use crate::record::{Attributes, Record};
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

fn node(number: u64, kind: FileKind) -> Record<'static> {
    let attributes = Attributes {
        kind,
        size: 0,
        atime: 1,
        mtime: 1,
        ctime: 1,
        target: None,
    };
    Record::Node { number, attributes }
}

fn named(name: &str, number: u64) -> Record<'_> {
    Record::Name {
        directory: 1,
        name,
        number,
    }
}

/// Records of an index with a file that was a directory before, and one that makes no sense between others.
fn senseless() -> Vec<u8> {
    let nowhere = Record::Map {
        number: 3,
        block: 0,
        start: 0,
        length: 0,
        written: false,
        sums: &[],
    };
    let mut records = Vec::new();
    for record in [
        node(1, FileKind::Directory),
        node(2, FileKind::Directory),
        named("was", 2),
        Record::Unname {
            directory: 1,
            name: "was",
        },
        Record::Gone { number: 2 },
        node(2, FileKind::RegularFile),
        named("is", 2),
        nowhere,
        node(3, FileKind::RegularFile),
        named("behind", 3),
    ] {
        record.encode(&mut records);
    }
    records
}

#[test]
fn a_repair_reads_from_the_start_and_passes_over_what_makes_no_sense() {
    let disk = Disk::default();
    disk.change(0, |data| data.resize(2 * crate::BLOCK, 0));
    disk.change(1, |index| *index = tests_only_index(2, &senseless()));
    let refused = volume(&disk);
    assert_eq!(dump(&refused.root()).err(), Some(Errno::Io));
    drop(refused);
    let repaired = repaired(&disk);
    let names = testkit::names_in(&repaired.root()).unwrap();
    assert_eq!(names, ["behind", "is"]);
    for name in names {
        assert_eq!(testkit::read(&repaired.root(), &name).unwrap(), b"");
    }
}

#[test]
fn an_index_is_not_written_longer_than_it_may_be() {
    let mut records = Vec::new();
    node(1, FileKind::Directory).encode(&mut records);
    for number in 2..100 {
        node(number, FileKind::RegularFile).encode(&mut records);
        named(&format!("{number:0>100}"), number).encode(&mut records);
    }
    // One that is written anew when it is opened.
    let disk = Disk::default();
    disk.change(0, |data| data.resize(2 * crate::BLOCK, 0));
    disk.change(1, |index| *index = tests_only_index(1, &records));
    let short = Geometry {
        index_max: 8 << 10,
        ..Geometry::SMALL
    };
    let (refused, _) = volume_of(&disk, StorageOptions::default(), short);
    assert_eq!(now(refused.open()), Err(Errno::Nospc));
    drop(refused);
    let whole = volume(&disk);
    assert_eq!(testkit::names_in(&whole.root()).unwrap().len(), 98);
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
