//! What this device does beyond the conformance suite: quotas, stamps, depth.

use std::sync::Arc;

use super::*;
use crate::account::{Holding, STEP};
use crate::testkit::{
    self, ManualClock, READ, READ_WRITE, directory, edit, name, now, read_at, stat, write, write_at,
};
use crate::{Errno, SetStat, SetTime, WriteAt};

fn files(limits: MemoryLimits) -> MemoryFs {
    MemoryFs::new(Arc::new(ManualClock::new(1_000)), limits)
}

fn unused() -> MemoryUsage {
    MemoryUsage { bytes: 0, nodes: 0 }
}

#[test]
fn conforms() {
    testkit::writable(|| files(MemoryLimits::default()).root());
}

#[test]
fn what_is_refused_has_not_happened() {
    let limits = MemoryLimits {
        bytes: 64 << 10,
        nodes: 9,
    };
    testkit::refuses(|| files(limits).root(), 100_000);
}

#[test]
fn everything_is_given_back_with_the_last_close() {
    let files = files(MemoryLimits::default());
    let root = files.root();
    let node = write(&root, "f", &[1; 300_000]).unwrap();
    let below = now(edit(&root).unwrap().make_directory(name("d"))).unwrap();
    now(edit(&below).unwrap().make_symlink(name("l"), "target")).unwrap();
    now(edit(&below).unwrap().link(name("g"), &node)).unwrap();
    assert_eq!(files.usage().nodes, 3);
    let file = now(node.open(READ)).unwrap();
    drop(node);
    now(edit(&root).unwrap().unlink(name("f"))).unwrap();
    now(edit(&below).unwrap().unlink(name("g"))).unwrap();
    now(edit(&below).unwrap().unlink(name("l"))).unwrap();
    now(edit(&root).unwrap().remove_directory(name("d"))).unwrap();
    drop(below);
    let usage = files.usage();
    assert_eq!(usage.nodes, 1);
    assert!(usage.bytes >= 300_000);
    drop(file);
    assert_eq!(files.usage(), unused());
}

#[test]
fn what_a_rename_replaces_is_given_back() {
    let files = files(MemoryLimits {
        bytes: 1 << 20,
        nodes: 2,
    });
    let root = files.root();
    for _ in 0..10 {
        write(&root, "new", b"contents").unwrap();
        now(edit(&root).unwrap().rename(name("new"), &root, name("f"))).unwrap();
    }
    assert_eq!(files.usage().nodes, 1);
}

#[test]
fn nodes_and_names_run_out() {
    let files = files(MemoryLimits {
        bytes: 1 << 20,
        nodes: 3,
    });
    let root = files.root();
    let node = write(&root, "a", b"").unwrap();
    now(edit(&root).unwrap().link(name("b"), &node)).unwrap();
    now(edit(&root).unwrap().link(name("c"), &node)).unwrap();
    assert_eq!(
        now(edit(&root).unwrap().link(name("d"), &node)),
        Err(Errno::Nospc)
    );
    assert_eq!(write(&root, "d", b"").err(), Some(Errno::Nospc));
    assert_eq!(now(node.stat()).unwrap().nlink, 3);
    now(edit(&root).unwrap().unlink(name("b"))).unwrap();
    now(edit(&root).unwrap().make_directory(name("d"))).unwrap();
    let made = now(edit(&root).unwrap().make_symlink(name("e"), "x"));
    assert_eq!(made, Err(Errno::Nospc));
}

#[test]
fn bytes_run_out_and_come_back() {
    let files = files(MemoryLimits {
        bytes: 100_000,
        nodes: 10,
    });
    let root = files.root();
    let node = write(&root, "f", &[1; 65_536]).unwrap();
    let mut file = now(node.open(READ_WRITE)).unwrap();
    let full = write_at(&mut *file, WriteAt::End, &[2; 100_000]);
    assert_eq!(full.err(), Some(Errno::Nospc));
    assert_eq!(write(&root, "g", &[3; 65_536]).err(), Some(Errno::Nospc));
    let empty = SetStat {
        size: Some(0),
        ..SetStat::default()
    };
    now(file.set_stat(empty)).unwrap();
    now(edit(&root).unwrap().unlink(name("g"))).unwrap();
    assert_eq!(files.usage().bytes, 0);
    write_at(&mut *file, WriteAt::End, &[4; 65_536]).unwrap();
}

#[test]
fn an_account_bounds_it_beside_its_own_limits() {
    let account = Account::new(1 << 20);
    let clock = Arc::new(ManualClock::new(1_000));
    let files = MemoryFs::charged(clock, MemoryLimits::default(), &account);
    let root = files.root();
    let fill = |make: &dyn Fn(u64) -> Result<(), Errno>| {
        let mut made = 0;
        let errno = loop {
            match make(made) {
                Ok(()) => made += 1,
                Err(errno) => break errno,
            }
        };
        assert_eq!(errno, Errno::Nospc);
        assert!(account.left() < 80_000, "{} are left", account.left());
        // A file that could not be filled is there.
        let half = format!("{made:0>200}");
        let _ = now(edit(&root).unwrap().unlink(name(&half)));
        for number in 0..made {
            let number = format!("{number:0>200}");
            let edit = edit(&root).unwrap();
            now(edit.unlink(name(&number)))
                .or_else(|_| now(edit.remove_directory(name(&number))))
                .unwrap();
        }
        assert!(account.used() <= 2 * STEP);
        made
    };
    let called = |number: u64| format!("{number:0>200}");
    let links = fill(&|number| {
        let (called, target) = (called(number), "t".repeat(4000));
        now(edit(&root).unwrap().make_symlink(name(&called), &target))
    });
    assert!((200..300).contains(&links), "{links} links");
    let directories = fill(&|number| {
        let made = edit(&root).unwrap();
        now(made.make_directory(name(&called(number)))).map(drop)
    });
    assert!((1000..2000).contains(&directories), "{directories}");
    let contents = fill(&|number| write(&root, &called(number), &[1; 50_000]).map(drop));
    assert!((10..25).contains(&contents), "{contents} files");
    assert_eq!(files.usage(), unused());
    now(edit(&root).unwrap().make_directory(name("d"))).unwrap();
    drop(root);
    drop(files);
    assert_eq!(account.used(), 0);
}

#[test]
fn a_longer_name_needs_room() {
    let account = Account::new(1000);
    let clock = Arc::new(ManualClock::new(1_000));
    let files = MemoryFs::charged(clock, MemoryLimits::default(), &account);
    let root = files.root();
    write(&root, "f", b"").unwrap();
    let longer = |length: usize| {
        let to = "n".repeat(length);
        now(edit(&root).unwrap().rename(name("f"), &root, name(&to)))
    };
    account
        .charge(Holding::Memory, 400)
        .map(std::mem::forget)
        .unwrap();
    assert_eq!(longer(200), Err(Errno::Nospc));
    longer(50).unwrap();
}

#[test]
fn small_files_are_small() {
    let files = files(MemoryLimits::default());
    let root = files.root();
    for index in 0..100 {
        write(&root, &format!("f{index}"), b"a line\n").unwrap();
    }
    assert!(files.usage().bytes <= 100 * 512);
}

#[test]
fn stamps_say_what_happened() {
    let clock = Arc::new(ManualClock::new(1_000));
    let files = MemoryFs::new(clock.clone(), MemoryLimits::default());
    let root = files.root();
    let node = write(&root, "f", b"x").unwrap();
    let stamps = |path: &str| {
        let stat = stat(&root, path).unwrap();
        (stat.atime, stat.mtime, stat.ctime)
    };
    assert_eq!(stamps("f"), (1_000, 1_000, 1_000));

    clock.set(2_000);
    let mut file = now(node.open(READ_WRITE)).unwrap();
    write_at(&mut *file, WriteAt::End, b"").unwrap();
    assert_eq!(stamps("f"), (1_000, 1_000, 1_000), "nothing was written");
    write_at(&mut *file, WriteAt::End, b"y").unwrap();
    assert_eq!(stamps("f"), (1_000, 2_000, 2_000));

    clock.set(3_000);
    read_at(&mut *file, 0, 1).unwrap();
    assert_eq!(stamps("f"), (3_000, 2_000, 2_000));
    clock.set(4_000);
    read_at(&mut *file, 0, 1).unwrap();
    assert_eq!(
        stamps("f"),
        (3_000, 2_000, 2_000),
        "the second read says nothing new"
    );

    let set = SetStat {
        size: None,
        atime: Some(SetTime::Now),
        mtime: Some(SetTime::To(9_000)),
    };
    now(node.set_stat(set)).unwrap();
    assert_eq!(stamps("f"), (4_000, 9_000, 4_000));
    write_at(&mut *file, WriteAt::End, b"z").unwrap();
    assert_eq!(
        stamps("f").1,
        4_000,
        "a stamp from the future doesn't stick"
    );

    clock.set(5_000);
    now(edit(&root).unwrap().link(name("g"), &node)).unwrap();
    assert_eq!(stamps("f"), (4_000, 4_000, 5_000));
    let above = now(root.stat()).unwrap();
    assert_eq!((above.mtime, above.ctime), (5_000, 5_000));
}

#[test]
fn directories_count_their_subdirectories() {
    let files = files(MemoryLimits::default());
    let root = files.root();
    let nlink = |node: &NodeRef| now(node.stat()).unwrap().nlink;
    let one = now(edit(&root).unwrap().make_directory(name("one"))).unwrap();
    let two = now(edit(&root).unwrap().make_directory(name("two"))).unwrap();
    write(&root, "f", b"").unwrap();
    assert_eq!((nlink(&root), nlink(&one), nlink(&two)), (4, 2, 2));
    now(edit(&root).unwrap().rename(name("two"), &one, name("two"))).unwrap();
    assert_eq!((nlink(&root), nlink(&one), nlink(&two)), (3, 3, 2));
    now(edit(&root).unwrap().make_directory(name("new"))).unwrap();
    now(edit(&root).unwrap().rename(name("new"), &one, name("two"))).unwrap();
    assert_eq!((nlink(&root), nlink(&one), nlink(&two)), (3, 3, 0));
    now(edit(&root).unwrap().make_directory(name("new"))).unwrap();
    now(edit(&root).unwrap().make_directory(name("newer"))).unwrap();
    now(edit(&root)
        .unwrap()
        .rename(name("newer"), &root, name("new")))
    .unwrap();
    assert_eq!(nlink(&root), 4);
    now(edit(&root).unwrap().remove_directory(name("new"))).unwrap();
    assert_eq!(nlink(&root), 3);
}

#[test]
fn a_tree_deeper_than_the_stack_goes() {
    let files = files(MemoryLimits::default());
    let mut node = files.root();
    for _ in 0..200_000 {
        let below = now(edit(&node).unwrap().make_directory(name("d"))).unwrap();
        node = below;
    }
    drop(node);
    assert_eq!(files.usage().nodes, 200_000);
    drop(files);
}

#[test]
fn a_directory_is_moved_as_deep_as_can_be_told() {
    let files = files(MemoryLimits::default());
    let root = files.root();
    let make = |node: &NodeRef, text| now(edit(node).unwrap().make_directory(name(text))).unwrap();
    let mut deep = vec![make(&root, "d")];
    while deep.len() <= MEMORY_DEPTH_MAX + 1 {
        let below = make(deep.last().unwrap(), "d");
        deep.push(below);
    }
    make(&root, "moved");
    let top = edit(&root).unwrap();
    let below = |depth: usize| &deep[depth - 1];
    let into = |depth| now(top.rename(name("moved"), below(depth), name("moved")));
    assert_eq!(into(MEMORY_DEPTH_MAX + 1), Err(Errno::Nametoolong));
    let itself = top.rename(name("d"), below(MEMORY_DEPTH_MAX), name("e"));
    assert_eq!(now(itself), Err(Errno::Inval));
    assert_eq!(into(MEMORY_DEPTH_MAX), Ok(()));
    // Within its directory it goes nowhere, however deep.
    let deepest = below(MEMORY_DEPTH_MAX + 1);
    let renamed = edit(deepest).unwrap().rename(name("d"), deepest, name("e"));
    assert_eq!(now(renamed), Ok(()));
}

#[test]
fn other_file_systems_are_other_devices() {
    let (here, there) = (
        files(MemoryLimits::default()).root(),
        files(MemoryLimits::default()).root(),
    );
    let node = write(&here, "f", b"").unwrap();
    assert_eq!(
        now(edit(&there).unwrap().link(name("f"), &node)),
        Err(Errno::Xdev)
    );
    let moved = now(edit(&here).unwrap().rename(name("f"), &there, name("f")));
    assert_eq!(moved, Err(Errno::Xdev));
}

#[test]
fn a_rename_keeps_its_place_in_listings() {
    let files = files(MemoryLimits::default());
    let root = files.root();
    for index in 0..10 {
        write(&root, &format!("f{index}"), b"").unwrap();
    }
    let mut listing = now(root.open(READ)).unwrap();
    let (mut cookie, mut renamed) = (0, 0);
    loop {
        let entries = testkit::list_from(&mut *listing, cookie, 1).unwrap();
        let Some(entry) = entries.first() else { break };
        cookie = entry.cookie;
        renamed += 1;
        let to = format!("{}.bak", entry.name);
        now(edit(&root)
            .unwrap()
            .rename(name(&entry.name), &root, name(&to)))
        .unwrap();
    }
    assert_eq!(renamed, 10);
}

/// Threads that rename between two directories, in both directions: no lock waits for another for
/// ever, and no name is lost.
#[test]
fn threads_rename_against_each_other() {
    let files = files(MemoryLimits::default());
    let root = files.root();
    let one = now(edit(&root).unwrap().make_directory(name("one"))).unwrap();
    let two = now(edit(&root).unwrap().make_directory(name("two"))).unwrap();
    write(&one, "a", b"").unwrap();
    write(&two, "b", b"").unwrap();
    std::thread::scope(|scope| {
        for (name_of, from, to) in [("a", &one, &two), ("b", &two, &one)] {
            scope.spawn(move || {
                for _ in 0..500 {
                    let name = name(name_of);
                    now(edit(from).unwrap().rename(name, to, name)).unwrap();
                    assert!(now(directory(to).unwrap().walk(name)).is_ok());
                    now(edit(to).unwrap().rename(name, from, name)).unwrap();
                }
            });
        }
    });
    assert_eq!(testkit::names_in(&one).unwrap(), ["a"]);
    assert_eq!(testkit::names_in(&two).unwrap(), ["b"]);
}
