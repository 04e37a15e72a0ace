//! What a volume does when nothing is wrong, and when there is no room.

use capfs::testkit::{self, READ, READ_WRITE, edit, name, now, read_at, write_at};
use capfs::{Errno, OpenFile, SetStat, WriteAt};
use proptest::prelude::*;

use super::disk::{Disk, Random};
use super::tree::{DIRECTORIES, Tree, action, dump};
use super::{volume, volume_with};
use crate::{BLOCK, COMMIT_EVERY, StorageOptions, Volume};

const QUOTA: u64 = 40 * BLOCK as u64;

fn small(disk: &Disk) -> Volume {
    let options = StorageOptions {
        quota: QUOTA,
        ..StorageOptions::default()
    };
    volume_with(disk, options).0
}

fn create(volume: &Volume, file: &str) -> Box<dyn OpenFile> {
    let root = volume.root();
    now(edit(&root).unwrap().create(name(file), READ_WRITE))
        .unwrap()
        .file
}

/// Writes as much as there is room for, and returns the bytes and the error that ended it.
fn fill(file: &mut dyn OpenFile) -> (u64, Errno) {
    let mut total = 0;
    loop {
        match write_at(file, WriteAt::End, &[7; 3 * BLOCK]) {
            Ok(written) => total += written.bytes as u64,
            Err(errno) => return (total, errno),
        }
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

#[test]
fn passes_the_conformance_suite() {
    testkit::writable(|| volume(&Disk::default()).root());
}

#[test]
fn what_is_refused_has_not_happened() {
    testkit::refuses(|| small(&Disk::default()).root(), 2 * QUOTA as usize);
}

#[test]
fn everything_is_there_again() {
    let disk = Disk::default();
    let first = volume(&disk);
    let contents = pattern(100_000);
    let root = first.root();
    testkit::write(&root, "f", &contents).unwrap();
    let change = SetStat {
        mtime: Some(capfs::SetTime::To(12_345_678_900_000_000)),
        ..SetStat::default()
    };
    now(testkit::walk(&root, "f").unwrap().set_stat(change)).unwrap();
    let before = testkit::stat(&root, "f").unwrap();
    drop((root, first));
    assert!(!disk.is_open(), "what nobody uses is closed");

    let second = volume(&disk);
    assert_eq!(testkit::read(&second.root(), "f").unwrap(), contents);
    assert_eq!(
        testkit::stat(&second.root(), "f").unwrap().mtime,
        before.mtime
    );
    assert_eq!(second.usage().used, 25 * BLOCK as u64);
    assert_eq!(second.usage().nodes, 1);
}

#[test]
fn one_volume_at_a_time_has_the_files() {
    let disk = Disk::default();
    let (first, second) = (volume(&disk), volume(&disk));
    testkit::write(&first.root(), "f", b"first").unwrap();
    assert_eq!(now(second.root().stat()), Err(Errno::Busy));
    let mut root = now(second.root().open(READ)).unwrap();
    assert_eq!(testkit::list_from(&mut *root, 0, 9), Err(Errno::Busy));
    assert_eq!(now(second.open()), Err(Errno::Busy));
    assert_eq!(second.error().unwrap().errno(), Errno::Busy);
    let mut open = now(testkit::walk(&first.root(), "f").unwrap().open(READ)).unwrap();

    first.release().unwrap();
    assert_eq!(read_at(&mut *open, 0, 9), Err(Errno::Stale));
    now(second.open()).unwrap();
    assert_eq!(second.error(), None);
    assert_eq!(testkit::read(&second.root(), "f").unwrap(), b"first");
    assert_eq!(testkit::read(&first.root(), "f"), Err(Errno::Busy));
    drop(open);

    // When the second lets go the first can be read again, and does not keep the files.
    testkit::write(&second.root(), "g", b"second").unwrap();
    second.release().unwrap();
    let mut open = now(testkit::walk(&first.root(), "g").unwrap().open(READ)).unwrap();
    assert!(disk.is_open());
    assert_eq!(read_at(&mut *open, 0, 9).unwrap(), b"second");
    drop(open);
    assert!(!disk.is_open());
}

#[test]
fn a_file_without_a_name_takes_room_until_it_is_closed() {
    let disk = Disk::default();
    let volume = small(&disk);
    let mut file = create(&volume, "f");
    let (written, errno) = fill(&mut *file);
    assert_eq!((written, errno), (QUOTA, Errno::Dquot));
    now(edit(&volume.root()).unwrap().unlink(name("f"))).unwrap();
    assert_eq!(volume.usage().used, QUOTA);
    assert_eq!(read_at(&mut *file, QUOTA - 3, 9).unwrap(), [7; 3]);
    drop(file);
    assert_eq!((volume.usage().used, volume.usage().nodes), (0, 0));

    // A host that goes down while it is open gives the room back as well.
    let mut file = create(&volume, "g");
    fill(&mut *file);
    now(edit(&volume.root()).unwrap().unlink(name("g"))).unwrap();
    volume.sync().unwrap();
    let left = disk.after_crash(&mut Random(1));
    let again = small(&left);
    now(again.open()).unwrap();
    assert_eq!((again.usage().used, again.usage().nodes), (0, 0));
    assert_eq!(fill(&mut *create(&again, "h")).0, QUOTA);
}

#[test]
fn the_quota_counts_blocks_and_no_holes() {
    let volume = small(&Disk::default());
    let mut file = create(&volume, "f");
    write_at(&mut *file, WriteAt::Offset(1 << 40), b"x").unwrap();
    assert_eq!(volume.usage().used, BLOCK as u64);
    now(file.allocate(0, QUOTA - BLOCK as u64)).unwrap();
    assert_eq!(volume.usage().used, QUOTA);
    let full = write_at(&mut *file, WriteAt::Offset(1 << 30), b"x");
    assert_eq!(full.err(), Some(Errno::Dquot));
    let mut other = create(&volume, "other");
    assert_eq!(now(other.allocate(0, 1)), Err(Errno::Dquot));
    // What has been set aside, and what is there, can be written and written again.
    for round in 0..5 {
        for block in 0..39 {
            let written = write_at(
                &mut *file,
                WriteAt::Offset(block * BLOCK as u64),
                &[round; BLOCK],
            );
            assert_eq!(written.unwrap().bytes, BLOCK);
        }
        volume.sync().unwrap();
    }
    let change = SetStat {
        size: Some(10),
        ..SetStat::default()
    };
    now(file.set_stat(change)).unwrap();
    assert_eq!(volume.usage().used, BLOCK as u64);
    assert_eq!(fill(&mut *other).0, QUOTA - BLOCK as u64);
}

#[test]
fn blocks_that_were_set_aside_read_as_zeroes() {
    let disk = Disk::default();
    let first = volume(&disk);
    let mut file = create(&first, "f");
    write_at(&mut *file, WriteAt::End, &[9; 5 * BLOCK]).unwrap();
    first.sync().unwrap();
    now(edit(&first.root()).unwrap().unlink(name("f"))).unwrap();
    drop(file);
    first.sync().unwrap();
    let mut file = create(&first, "g");
    now(file.allocate(0, 5 * BLOCK as u64)).unwrap();
    write_at(&mut *file, WriteAt::Offset(2 * BLOCK as u64 + 5), b"x").unwrap();
    let mut expected = vec![0; 5 * BLOCK];
    expected[2 * BLOCK + 5] = b'x';
    assert_eq!(testkit::read(&first.root(), "g").unwrap(), expected);
    drop(file);
    drop(first);
    assert_eq!(testkit::read(&volume(&disk).root(), "g").unwrap(), expected);
}

#[test]
fn what_is_set_aside_goes_into_the_gaps_that_there_are() {
    let disk = Disk::default();
    let volume = small(&disk);
    let blocks = QUOTA as usize / BLOCK;
    for number in 0..blocks {
        let mut file = create(&volume, &number.to_string());
        write_at(&mut *file, WriteAt::End, &[9; BLOCK]).unwrap();
    }
    volume.sync().unwrap();
    for number in (0..blocks).step_by(2) {
        let root = volume.root();
        now(edit(&root).unwrap().unlink(name(&number.to_string()))).unwrap();
    }
    volume.sync().unwrap();
    let mut file = create(&volume, "f");
    let room = QUOTA / 2;
    now(file.allocate(BLOCK as u64, room)).unwrap();
    assert_eq!(volume.usage().used, QUOTA);
    let mut expected = vec![0; BLOCK + room as usize];
    assert_eq!(testkit::read(&volume.root(), "f").unwrap(), expected);
    // All of it can be written, though there is no more room.
    for (at, block) in expected.chunks_mut(BLOCK).enumerate().skip(1) {
        block.fill(at as u8);
        let offset = WriteAt::Offset((at * BLOCK) as u64);
        assert_eq!(write_at(&mut *file, offset, block).unwrap().bytes, BLOCK);
    }
    now(file.sync(false)).unwrap();
    drop((file, volume));
    let again = small(&disk);
    assert_eq!(testkit::read(&again.root(), "f").unwrap(), expected);
    for number in (1..blocks).step_by(2) {
        let kept = testkit::read(&again.root(), &number.to_string()).unwrap();
        assert_eq!(kept, [9; BLOCK], "{number}");
    }
}

#[test]
fn a_full_host_loses_nothing_that_was_taken() {
    for capacity in [300_000, 400_000, 1_000_000] {
        let disk = Disk::default();
        disk.set_capacity(capacity);
        let first = volume(&disk);
        let mut file = create(&first, "f");
        let (written, errno) = fill(&mut *file);
        assert_eq!(errno, Errno::Nospc);
        assert!(written > 0);
        now(file.sync(false)).unwrap();
        // It can be overwritten, in part and again.
        for round in 1..20 {
            write_at(&mut *file, WriteAt::Offset(round * 1000), &[8; 10_000]).unwrap();
            now(file.sync(true)).unwrap();
        }
        let contents = testkit::read(&first.root(), "f").unwrap();
        assert_eq!(contents.len() as u64, written);
        drop(file);
        first.release().unwrap();
        let again = volume(&disk);
        assert_eq!(testkit::read(&again.root(), "f").unwrap(), contents);
        // And emptied, which makes room.
        now(edit(&again.root()).unwrap().unlink(name("f"))).unwrap();
        let (room, _) = fill(&mut *create(&again, "g"));
        assert!(room + 10 * BLOCK as u64 > written, "{room} of {written}");
    }
}

/// Writes and syncs until a host that loses writes says that it is full. Answers how much was synced.
fn fill_synced(file: &mut dyn OpenFile) -> u64 {
    let mut synced = 0;
    for _ in 0..1_000 {
        let written = write_at(file, WriteAt::End, &[7; 3 * BLOCK]);
        match written.and_then(|written| now(file.sync(false)).map(|()| written.bytes)) {
            Ok(bytes) => synced += bytes as u64,
            Err(errno) => {
                assert_eq!(errno, Errno::Nospc);
                return synced;
            }
        }
    }
    panic!("it is never full");
}

#[test]
fn a_host_that_loses_writes_loses_nothing_that_was_synced() {
    for capacity in [300_000, 400_000, 1_000_000] {
        let disk = Disk::losing(true);
        disk.set_capacity(capacity);
        let first = volume(&disk);
        let mut file = create(&first, "f");
        let synced = fill_synced(&mut *file);
        assert!(synced > 0);
        // Its worker is ended now: what was synced is there.
        let after = volume(&disk.after_crash(&mut Random(capacity)));
        let kept = testkit::read(&after.root(), "f").unwrap();
        assert!(kept.len() as u64 >= synced);
        assert!(kept.iter().all(|byte| *byte == 7));
        // Or there is room again: then everything is.
        disk.set_capacity(1 << 30);
        now(file.sync(false)).unwrap_or_else(|errno| panic!("{capacity}: {errno:?}"));
        let contents = testkit::read(&first.root(), "f").unwrap();
        assert!(contents.iter().all(|byte| *byte == 7));
        drop(file);
        first.release().unwrap();
        assert_eq!(testkit::read(&volume(&disk).root(), "f").unwrap(), contents);
    }
}

#[test]
fn such_a_host_says_nothing_itself() {
    let disk = Disk::losing(false);
    disk.set_capacity(300_000);
    let volume = volume(&disk);
    let mut file = create(&volume, "f");
    for _ in 0..200 {
        write_at(&mut *file, WriteAt::End, &[7; 3 * BLOCK]).unwrap();
        now(file.sync(false)).unwrap();
    }
}

#[test]
fn changes_are_committed_after_a_while() {
    let disk = Disk::default();
    let (volume, clock) = volume_with(&disk, StorageOptions::default());
    let mut file = create(&volume, "f");
    write_at(&mut *file, WriteAt::End, b"early").unwrap();
    volume.tick();
    assert_eq!(volume.usage().commits, 0);
    clock.set(1 + COMMIT_EVERY);
    volume.tick();
    assert_eq!(volume.usage().commits, 1);
    volume.tick();
    volume.sync().unwrap();
    assert_eq!(volume.usage().commits, 1, "nothing has changed");
}

#[test]
fn small_writes_are_gathered() {
    let disk = Disk::default();
    let volume = volume(&disk);
    let mut file = create(&volume, "f");
    for part in pattern(64 << 10).chunks(100) {
        write_at(&mut *file, WriteAt::End, part).unwrap();
    }
    let before = disk.steps();
    volume.sync().unwrap();
    // Two pieces of contents, a flush, a transaction and its flush.
    assert!(
        disk.steps() - before <= 5,
        "{} steps",
        disk.steps() - before
    );
    for index in 0..8 {
        let mut file = create(&volume, &format!("small{index}"));
        write_at(&mut *file, WriteAt::End, b"a few bytes").unwrap();
    }
    let before = disk.steps();
    volume.sync().unwrap();
    assert!(
        disk.steps() - before <= 5,
        "{} steps",
        disk.steps() - before
    );
}

#[test]
fn many_files_are_open_at_once() {
    let disk = Disk::default();
    let first = volume(&disk);
    let mut files: Vec<_> = (0..2_000)
        .map(|index| create(&first, &format!("f{index}")))
        .collect();
    for (index, file) in files.iter_mut().enumerate() {
        write_at(&mut **file, WriteAt::End, index.to_string().as_bytes()).unwrap();
    }
    for (index, file) in files.iter_mut().enumerate() {
        assert_eq!(
            read_at(&mut **file, 0, 9).unwrap(),
            index.to_string().as_bytes()
        );
    }
    drop(files);
    first.release().unwrap();
    let again = volume(&disk);
    assert_eq!(testkit::names_in(&again.root()).unwrap().len(), 2_000);
    assert_eq!(testkit::read(&again.root(), "f1999").unwrap(), b"1999");
}

#[test]
fn the_host_gets_back_what_is_not_needed() {
    let disk = Disk::default();
    let volume = volume(&disk);
    let mut file = create(&volume, "f");
    write_at(&mut *file, WriteAt::End, &pattern(1 << 20)).unwrap();
    volume.sync().unwrap();
    assert!(disk.contents(0).len() > 1 << 20);
    drop(file);
    now(edit(&volume.root()).unwrap().unlink(name("f"))).unwrap();
    volume.sync().unwrap();
    assert!(disk.contents(0).len() < 1 << 18);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_files_in_memory(actions in prop::collection::vec(action(), 1..150)) {
        let disk = Disk::default();
        let (volume, clock) = volume_with(&disk, StorageOptions::default());
        let memory = super::crash::reference();
        let (mut tree, mut model) = (Tree::new(volume.root()), Tree::new(memory.root()));
        for directory in DIRECTORIES {
            tree.make_directory(directory).unwrap();
            model.make_directory(directory).unwrap();
        }
        for (action, time) in actions.iter().zip(1..) {
            clock.set(time * COMMIT_EVERY / 10);
            assert_eq!(tree.apply(action), model.apply(action), "{action:?}");
        }
        let expected = dump(&memory.root()).unwrap();
        assert_eq!(dump(&volume.root()).unwrap(), expected);
        drop(tree);
        volume.release().unwrap();
        let again = super::volume(&disk);
        assert_eq!(dump(&again.root()).unwrap(), expected);
        // Everything that was used is given back.
        let mut tree = Tree::new(again.root());
        tree.remove_everything().unwrap();
        assert_eq!((again.usage().used, again.usage().nodes), (0, 0));
    }

    /// One step of the host fails for want of room, whichever: what was taken is not lost.
    #[test]
    fn a_refusal_loses_nothing(
        actions in prop::collection::vec(action(), 1..60),
        step in 0u64..120,
    ) {
        let disk = Disk::default();
        let volume = volume(&disk);
        now(volume.open()).unwrap();
        let memory = super::crash::reference();
        let (mut tree, mut model) = (Tree::new(volume.root()), Tree::new(memory.root()));
        for directory in DIRECTORIES {
            tree.make_directory(directory).unwrap();
            model.make_directory(directory).unwrap();
        }
        disk.refuse_at(disk.steps() + step);
        for action in &actions {
            match tree.apply(action) {
                // It was refused, and has done nothing; a sync can be tried again.
                Err(Errno::Nospc) => continue,
                found => assert_eq!(found, model.apply(action), "{action:?}"),
            }
        }
        let _ = volume.sync();
        volume.sync().unwrap();
        let expected = dump(&memory.root()).unwrap();
        assert_eq!(dump(&volume.root()).unwrap(), expected);
        drop(tree);
        // The step that is refused may be the release's own: what was synced is there all the same.
        match volume.release() {
            Ok(()) | Err(Errno::Nospc) => {}
            Err(errno) => panic!("{errno:?}"),
        }
        assert_eq!(dump(&super::volume(&disk).root()).unwrap(), expected);
    }
}

/// A volume, and the same on a copy of its disk.
#[cfg(feature = "durable")]
fn image(disk: Disk) -> testkit::Image {
    let volume = volume(&disk);
    testkit::Image {
        root: volume.root(),
        again: Box::new(move || {
            volume.sync().unwrap();
            image(disk.after_crash(&mut Random(1)))
        }),
    }
}

#[cfg(feature = "durable")]
#[test]
fn what_is_open_is_found_again_after_any_call_as_it_was() {
    testkit::durable_but_listings(|| image(Disk::default()));
}

#[cfg(feature = "durable")]
#[test]
fn no_other_file_is_found_by_the_number_of_one_that_is_gone() {
    use std::collections::HashSet;

    let disk = Disk::default();
    let first = volume(&disk);
    let root = first.root();
    testkit::write(&root, "a", b"").unwrap();
    let node = testkit::write(&root, "f", b"old").unwrap();
    let mut file = now(node.open(READ)).unwrap();
    let handles = [node.save().unwrap()];
    assert_eq!(file.save().unwrap().node(), &handles[0]);
    now(edit(&root).unwrap().unlink(name("f"))).unwrap();
    assert_eq!(node.save(), Err(Errno::Nodev), "it has no name");
    assert_eq!(file.save(), Err(Errno::Nodev));
    assert_eq!(read_at(&mut *file, 0, 9).unwrap(), b"old");
    drop((node, file));
    // Until the index is written anew, and has nothing of it any more.
    for _ in 0..1_000 {
        for (from, to) in [("a", "b"), ("b", "a")] {
            now(edit(&root).unwrap().rename(name(from), &root, name(to))).unwrap();
            first.sync().unwrap();
        }
    }
    drop(root);
    first.release().unwrap();
    let again = volume(&disk);
    let other = testkit::write(&again.root(), "other", b"other").unwrap();
    assert!(other.qid().path > handles[0].as_number().unwrap());
    let found = now(again
        .root()
        .durable()
        .unwrap()
        .resolve(&handles, &HashSet::new()));
    assert_eq!(found.unwrap().remove(0).err(), Some(Errno::Stale));
}

#[cfg(feature = "durable")]
#[test]
fn files_are_found_below_where_they_are_looked_for_and_not_behind_what_covers_them() {
    use std::collections::HashSet;

    let volume = volume(&Disk::default());
    let root = volume.root();
    let mut tree = Tree::new(root.clone());
    for directory in DIRECTORIES {
        tree.make_directory(directory).unwrap();
    }
    let nodes = ["x", "x/y"].map(|path| testkit::walk(&root, path).unwrap());
    let outside = testkit::write(&root, "f", b"").unwrap();
    let inside = testkit::write(&nodes[1], "g", b"").unwrap();
    let handles = [&outside, &inside, &nodes[1]].map(|node| node.save().unwrap());
    let found = |base: &capfs::NodeRef, covered: &[u64]| {
        let covered: HashSet<u64> = covered.iter().copied().collect();
        let found = now(base.durable().unwrap().resolve(&handles, &covered)).unwrap();
        let found = found
            .into_iter()
            .map(|node| node.ok().map(|node| node.qid().path));
        found.collect::<Vec<_>>()
    };
    let [f, g, y] = [&outside, &inside, &nodes[1]].map(|node| node.qid().path);
    assert_eq!(found(&root, &[]), [Some(f), Some(g), Some(y)]);
    assert_eq!(found(&nodes[0], &[]), [None, Some(g), Some(y)]);
    assert_eq!(found(&root, &[y]), [Some(f), None, None]);
    assert_eq!(found(&nodes[1], &[y]), [None, Some(g), Some(y)]);
}

#[cfg(feature = "durable")]
#[test]
fn it_tells_what_there_is_room_for() {
    let volume = small(&Disk::default());
    let root = volume.root();
    let told = || now(root.file_system_stat()).unwrap();
    let empty = told();
    assert_eq!((empty.block_size as usize, empty.blocks), (BLOCK, 40));
    assert_eq!((empty.free, empty.free_files), (40, empty.files));
    testkit::write(&root, "f", &[1; 3 * BLOCK + 1]).unwrap();
    assert_eq!((told().free, told().free_files), (36, empty.files - 1));
    let mut file = create(&volume, "g");
    assert_eq!(fill(&mut *file).0, 36 * BLOCK as u64);
    assert_eq!(told().free, 0);
}
