//! Blocks that are not as they were written, volumes of an earlier version, and what is counted.

use capfs::testkit::{self, READ_WRITE, edit, name, now, read_at, write_at};
use capfs::{Errno, FileKind, WriteAt};

use super::disk::Disk;
use super::tree::dump;
use super::{volume, volume_of, volume_with};
use crate::journal::tests_only_index;
use crate::limits::{Geometry, INDEX_MAX, STORAGE_TEXT_MAX};
use crate::record::{Attributes, Record};
use crate::{BLOCK, CheckReport, Opener, SpoiltBlocks, StorageError, StorageOptions, check};

fn checked(disk: &Disk) -> Result<CheckReport, StorageError> {
    check(&now(disk.open()).unwrap())
}

/// A volume with a file of so many blocks, each different.
fn with_file(disk: &Disk, blocks: usize) -> Vec<u8> {
    let contents: Vec<u8> = (0..blocks * BLOCK)
        .map(|index| (index / BLOCK + index % 251) as u8)
        .collect();
    let volume = volume(disk);
    let below = now(edit(&volume.root()).unwrap().make_directory(name("d"))).unwrap();
    testkit::write(&below, "f", &contents).unwrap();
    testkit::write(&volume.root(), "g", b"other").unwrap();
    drop(below);
    volume.release().unwrap();
    contents
}

/// Spoils a bit of the block of the data file that begins so.
fn spoil(disk: &Disk, block: &[u8]) {
    disk.change(0, |bytes| {
        let mut blocks = bytes.chunks_exact_mut(BLOCK);
        let found = blocks.find(|held| *held == block).unwrap();
        found[BLOCK - 1] ^= 0x10;
    });
}

#[test]
fn a_spoilt_block_is_an_error_and_never_contents() {
    for blocks in [3, 24] {
        let disk = Disk::default();
        let contents = with_file(&disk, blocks);
        let sound = checked(&disk).unwrap();
        assert_eq!(
            (sound.sound, sound.unknown, sound.nodes),
            (blocks as u64 + 1, 0, 3)
        );
        assert!(sound.is_sound());
        spoil(&disk, &contents[BLOCK..2 * BLOCK]);
        spoil(&disk, &contents[2 * BLOCK..3 * BLOCK]);
        let spoilt = SpoiltBlocks {
            path: "/d/f".to_owned(),
            offset: BLOCK as u64,
            length: 2 * BLOCK as u64,
        };
        assert_eq!(checked(&disk).unwrap().spoilt, [spoilt]);

        let volume = volume(&disk);
        let below = testkit::walk(&volume.root(), "d").unwrap();
        let node = testkit::walk(&below, "f").unwrap();
        let mut file = now(node.open(READ_WRITE)).unwrap();
        assert_eq!(read_at(&mut *file, BLOCK as u64 + 9, 1), Err(Errno::Io));
        let changed = write_at(&mut *file, WriteAt::Offset(BLOCK as u64 + 9), b"x");
        assert_eq!(changed.map(|written| written.bytes), Err(Errno::Io));
        assert_eq!(read_at(&mut *file, 0, 9).unwrap(), contents[..9]);
        assert_eq!(testkit::read(&volume.root(), "g").unwrap(), b"other");
        // What is written anew as a whole is sound again.
        let whole = [7; 2 * BLOCK];
        write_at(&mut *file, WriteAt::Offset(BLOCK as u64), &whole).unwrap();
        drop((file, node, below));
        volume.release().unwrap();
        assert!(checked(&disk).unwrap().is_sound());
    }
}

#[test]
fn a_check_changes_nothing() {
    let disk = Disk::default();
    assert_eq!(checked(&disk).unwrap(), CheckReport::default());
    with_file(&disk, 2);
    let before: Vec<_> = (0..3).map(|file| disk.contents(file)).collect();
    let steps = disk.steps();
    checked(&disk).unwrap();
    let after: Vec<_> = (0..3).map(|file| disk.contents(file)).collect();
    assert!(before == after && disk.steps() == steps);
    let half = if disk.contents(1).is_empty() { 2 } else { 1 };
    disk.change(half, |bytes| bytes[40] ^= 1);
    assert!(matches!(checked(&disk), Err(StorageError::Damaged { .. })));
}

#[test]
fn a_volume_of_the_first_format_is_read_and_goes_on_in_the_present_one() {
    let attributes = |kind, size, target| Attributes {
        kind,
        size,
        atime: 1,
        mtime: 2,
        ctime: 3,
        target,
    };
    let mut records = Vec::new();
    for (number, kind, size, target) in [
        (1, FileKind::Directory, 0, None),
        (2, FileKind::RegularFile, 5, None),
        (3, FileKind::SymbolicLink, 0, Some("f")),
    ] {
        let attributes = attributes(kind, size, target);
        Record::Node { number, attributes }.encode(&mut records);
    }
    for (name, number) in [("f", 2), ("l", 3)] {
        let directory = 1;
        Record::Name {
            directory,
            name,
            number,
        }
        .encode(&mut records);
    }
    Record::Map {
        number: 2,
        block: 0,
        start: 1,
        length: 1,
        written: true,
        sums: &[],
    }
    .encode(&mut records);
    let disk = Disk::default();
    disk.change(0, |data| {
        data.resize(2 * BLOCK, 0);
        data[BLOCK..BLOCK + 5].copy_from_slice(b"older");
    });
    disk.change(1, |index| *index = tests_only_index(1, &records));
    assert_eq!(checked(&disk).unwrap().unknown, 1);
    let first = volume(&disk);
    assert_eq!(testkit::read(&first.root(), "f").unwrap(), b"older");
    let node = testkit::walk(&first.root(), "f").unwrap();
    let mut file = now(node.open(READ_WRITE)).unwrap();
    write_at(&mut *file, WriteAt::Offset(0), b"newer").unwrap();
    drop((node, file));
    let before = dump(&first.root()).unwrap();
    first.release().unwrap();
    let again = volume(&disk);
    assert_eq!(dump(&again.root()).unwrap(), before);
    drop(again);
    let report = checked(&disk).unwrap();
    assert_eq!((report.sound, report.unknown), (1, 0));
}

#[test]
fn what_was_open_when_a_volume_was_closed_refers_to_nothing() {
    let disk = Disk::default();
    let volume = volume(&disk);
    let root = volume.root();
    let opened = now(edit(&root).unwrap().create(name("a"), READ_WRITE)).unwrap();
    let (node, mut file) = (opened.node, opened.file);
    volume.release().unwrap();
    // Opened anew by the root; the next file gets the number that the first one would have.
    now(edit(&root).unwrap().unlink(name("a"))).unwrap();
    now(volume.open()).unwrap();
    testkit::write(&root, "b", b"of another").unwrap();
    assert_eq!(read_at(&mut *file, 0, 9), Err(Errno::Stale));
    let written = write_at(&mut *file, WriteAt::End, b"x");
    assert_eq!(written.map(|written| written.bytes), Err(Errno::Stale));
    assert_eq!(now(node.stat()), Err(Errno::Stale));
    assert_eq!(
        now(edit(&root).unwrap().link(name("c"), &node)),
        Err(Errno::Stale)
    );
    drop((node, file));
    assert_eq!(testkit::read(&root, "b").unwrap(), b"of another");
}

#[test]
fn directories_and_links_count() {
    let disk = Disk::default();
    let options = StorageOptions {
        quota: 4 * BLOCK as u64,
        ..StorageOptions::default()
    };
    let (volume, _) = volume_with(&disk, options);
    let root = volume.root();
    let directory = now(edit(&root).unwrap().make_directory(name("d"))).unwrap();
    for link in ["k", "l"] {
        now(edit(&root).unwrap().make_symlink(name(link), "d")).unwrap();
    }
    testkit::write(&root, "f", b"1").unwrap();
    assert_eq!(volume.usage().used, 4 * BLOCK as u64);
    let refused = now(edit(&root).unwrap().make_directory(name("e"))).map(|_| ());
    assert_eq!(refused, Err(Errno::Dquot));
    let refused = now(edit(&root).unwrap().make_symlink(name("m"), "d"));
    assert_eq!(refused, Err(Errno::Dquot));
    // A directory without a name counts until nobody has it any more.
    now(edit(&root).unwrap().remove_directory(name("d"))).unwrap();
    assert_eq!(volume.usage().used, 4 * BLOCK as u64);
    drop(directory);
    now(edit(&root).unwrap().unlink(name("k"))).unwrap();
    assert_eq!(volume.usage().used, 2 * BLOCK as u64);
    drop((root, volume));
    let (again, _) = volume_with(&disk, options);
    now(again.open()).unwrap();
    assert_eq!(again.usage().used, 2 * BLOCK as u64);
}

#[test]
fn names_and_targets_have_a_limit_of_their_own() {
    let disk = Disk::default();
    let options = StorageOptions {
        quota: 1 << 40,
        ..StorageOptions::default()
    };
    let (volume, _) = volume_with(&disk, options);
    let root = volume.root();
    let target = "t".repeat(capfs::SYMLINK_TARGET_MAX);
    let made = (0..).position(|index| {
        let link = format!("{index:08}");
        let made = now(edit(&root).unwrap().make_symlink(name(&link), &target));
        assert!(matches!(made, Ok(()) | Err(Errno::Nospc)), "{made:?}");
        made.is_err()
    });
    let each = capfs::SYMLINK_TARGET_MAX as u64 + 8;
    assert_eq!(made, Some((STORAGE_TEXT_MAX / each) as usize));
    // A target is written once, not with every change of its link's times.
    volume.sync().unwrap();
    let length = || disk.contents(1).len().max(disk.contents(2).len());
    let before = length();
    for index in 0..100 {
        let (link, to) = (format!("{index:08}"), format!("{index:07}n"));
        now(edit(&root).unwrap().rename(name(&link), &root, name(&to))).unwrap();
        volume.sync().unwrap();
    }
    assert!(
        length() < before + (100 << 10),
        "{} to {}",
        before,
        length()
    );
    drop(root);
    volume.release().unwrap();
    let (again, _) = volume_with(&disk, options);
    now(again.open()).unwrap();
    assert_eq!(again.usage().nodes, STORAGE_TEXT_MAX / each);
}

#[test]
fn an_index_of_any_length_is_told() {
    let disk = Disk::default();
    with_file(&disk, 1);
    disk.pretend_size(1, INDEX_MAX + 1);
    let volume = volume(&disk);
    assert_eq!(now(volume.open()), Err(Errno::Io));
    let bytes = INDEX_MAX + 1;
    assert_eq!(volume.error(), Some(StorageError::TooLong { bytes }));
    assert_eq!(checked(&disk), Err(StorageError::TooLong { bytes }));
}

#[test]
fn a_repair_keeps_the_file_that_holds_the_most() {
    let disk = Disk::default();
    let contents = with_file(&disk, 2);
    let half = if disk.contents(1).is_empty() { 2 } else { 1 };
    // The other file has one late frame, as an attempt to write the index anew leaves it, and this one has lost its head.
    disk.change(3 - half, |bytes| {
        *bytes = tests_only_index(2, &[]);
        bytes.truncate(40);
    });
    disk.change(half, |bytes| bytes[9] ^= 1);
    let options = StorageOptions {
        repair: true,
        ..StorageOptions::default()
    };
    // The host goes down before the repair is durable: what could be read before can be read again.
    disk.crash_at(disk.steps() + 1);
    let _ = now(volume_with(&disk, options).0.open());
    let left = disk.after_crash(&mut super::disk::Random(1));
    let (repaired, _) = volume_with(&left, options);
    let below = testkit::walk(&repaired.root(), "d").unwrap();
    assert_eq!(testkit::read(&below, "f").unwrap(), contents);
}

/// What a write has taken a commit has room for, wherever the host is full: contents in large pieces leave many checksums in the index.
#[test]
fn a_host_that_is_full_says_so_when_it_is_written_to() {
    for spare in [0, 40] {
        let disk = Disk::default();
        let (volume, _) = volume_of(&disk, StorageOptions::default(), Geometry::SMALL);
        let root = volume.root();
        let made = now(edit(&root).unwrap().create(name("f"), READ_WRITE));
        let mut file = made.unwrap().file;
        volume.sync().unwrap();
        disk.set_capacity((70 << 20) + (spare << 10));
        let written = write_at(&mut *file, WriteAt::End, &vec![3; 80 << 20]);
        assert!(written.is_ok() || written == Err(Errno::Nospc));
        assert_eq!(volume.sync(), Ok(()), "{spare} KiB to spare");
    }
}
