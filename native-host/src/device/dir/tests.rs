use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use capfs::account::{Account, Holding};
use capfs::testkit::{self, READ, edit, list_from, name, now, write};
use capfs::{Errno, FileKind, NodeRef, OpenFile};
use tempfile::TempDir;

use super::HostFolder;
use crate::reserved::{Bars, Danger, Reserved};

fn open(path: &Path, bars: Bars) -> NodeRef {
    let folder = HostFolder::open(path).unwrap();
    folder.root(bars, &Account::unlimited()).unwrap()
}

fn folder() -> (TempDir, NodeRef) {
    let directory = tempfile::tempdir().unwrap();
    let root = open(directory.path(), Bars::default());
    (directory, root)
}

#[test]
fn folders_of_the_host_have_posix_meaning() {
    let kept = RefCell::new(Vec::new());
    testkit::writable(|| {
        let (directory, root) = folder();
        kept.borrow_mut().push(directory);
        root
    });
}

/// The cookie of each name, and that listing from it goes on behind it.
fn cookies(file: &mut dyn OpenFile) -> HashMap<String, u64> {
    let entries = list_from(file, 0, 1000).unwrap();
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(
            list_from(file, entry.cookie, 1000).unwrap(),
            entries[index + 1..]
        );
    }
    entries
        .into_iter()
        .map(|entry| (entry.name, entry.cookie))
        .collect()
}

#[test]
fn cookies_outlive_a_restart_of_the_listing() {
    let (_directory, root) = folder();
    for index in 0..20 {
        write(&root, &format!("f{index}"), b"").unwrap();
    }
    let mut file = now(root.open(READ)).unwrap();
    let before = cookies(&mut *file);
    for index in 0..10 {
        now(edit(&root).unwrap().unlink(name(&format!("f{index}")))).unwrap();
        write(&root, &format!("new{index}"), b"").unwrap();
    }
    let after = cookies(&mut *file);
    assert_eq!(after.len(), 20);
    for (name, cookie) in &after {
        match name.starts_with("new") {
            true => assert!(
                before.values().all(|old| old < cookie),
                "{name} comes behind"
            ),
            false => assert_eq!(before[name], *cookie, "{name} stays where it was"),
        }
    }
}

#[test]
fn listings_are_charged_before_they_are_read() {
    const NAMES: usize = 1000;
    let scratch = tempfile::tempdir().unwrap();
    let name = |index: usize| format!("{index:0>100}");
    for index in 0..NAMES {
        std::fs::write(scratch.path().join(name(index)), b"").unwrap();
    }
    let opened = |account: &Account| {
        let folder = HostFolder::open(scratch.path()).unwrap();
        let root = folder.root(Bars::default(), account).unwrap();
        now(root.open(READ)).unwrap()
    };
    // What is kept has room for it, but not what it takes to read it.
    let account = Account::new(2 * 100 * NAMES as u64);
    let mut file = opened(&account);
    assert_eq!(list_from(&mut *file, 0, 1), Err(Errno::Nomem));
    assert_eq!(account.used(), 0, "nothing is held by what was refused");

    let account = Account::new(1 << 20);
    let mut file = opened(&account);
    list_from(&mut *file, 0, 1).unwrap();
    let held = account.used();
    assert!(held >= 100 * NAMES as u64, "{held}");
    assert!(account.usage().peak >= 2 * held);
    // One that can't be read again is still there.
    let other = account.charge(Holding::Files, account.left()).unwrap();
    assert_eq!(list_from(&mut *file, 0, 1), Err(Errno::Nomem));
    assert_eq!(list_from(&mut *file, 1, NAMES).unwrap().len(), NAMES - 1);
    drop(other);
    for index in 1..NAMES {
        std::fs::remove_file(scratch.path().join(name(index))).unwrap();
    }
    assert_eq!(list_from(&mut *file, 0, NAMES).unwrap().len(), 1);
    assert!(account.used() < held / 100, "what has gone is given back");
    drop(file);
    assert_eq!(account.used(), 0);
}

#[test]
fn a_name_that_stands_for_something_else_is_told_as_that() {
    let (_directory, root) = folder();
    write(&root, "f", b"").unwrap();
    let mut file = now(root.open(READ)).unwrap();
    assert_eq!(
        list_from(&mut *file, 0, 9).unwrap()[0].qid.kind,
        FileKind::RegularFile
    );
    now(edit(&root).unwrap().unlink(name("f"))).unwrap();
    now(edit(&root).unwrap().make_directory(name("f"))).unwrap();
    assert_eq!(
        list_from(&mut *file, 0, 9).unwrap()[0].qid.kind,
        FileKind::Directory
    );
}

#[test]
fn directories_are_synced() {
    let (_directory, root) = folder();
    let below = now(edit(&root).unwrap().make_directory(name("d"))).unwrap();
    for node in [&root, &below] {
        let mut file = now(node.open(READ)).unwrap();
        for data_only in [false, true] {
            now(file.sync(data_only)).unwrap();
        }
    }
}

#[test]
fn what_is_reserved_can_t_be_reached_by_another_name() {
    let scratch = tempfile::tempdir().unwrap();
    let [shared, own] = ["shared", "own"].map(|name| scratch.path().join(name));
    for folder in [&shared, &own] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(own.join("master"), b"secret").unwrap();
    // A second name, which no directory that leads there tells of.
    std::fs::hard_link(own.join("master"), shared.join("f")).unwrap();
    std::fs::write(shared.join("g"), b"").unwrap();
    let mut reserved = Reserved::default();
    reserved.add("a secret", &own.join("master"), Danger::Read, "");
    let folder = HostFolder::open(&shared).unwrap();
    let bars = reserved.check(&folder, false).unwrap();
    let root = folder.root(bars, &Account::unlimited()).unwrap();
    assert_eq!(testkit::walk(&root, "f").err(), Some(Errno::Acces));
    assert!(testkit::walk(&root, "g").is_ok());
}

#[test]
fn procfs_is_nobody_s() {
    assert!(HostFolder::open(Path::new("/proc/self")).is_err());
    let root = open(Path::new("/"), Bars::default());
    assert_eq!(testkit::walk(&root, "proc").err(), Some(Errno::Acces));
    assert!(testkit::walk(&root, "dev").is_ok());
}

/// A name that stands for something else once it has been walked to: what is opened by it is told when it is used.
#[test]
fn what_took_a_file_s_name_is_not_used() {
    let (scratch, root) = folder();
    let path = scratch.path().join("f");
    let other = scratch.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&other).status();
    assert!(made.unwrap().success());
    std::fs::write(&path, b"text").unwrap();
    let node = testkit::walk(&root, "f").unwrap();
    std::fs::rename(&other, &path).unwrap();
    let mut file = now(node.open(READ)).unwrap();
    assert_eq!(
        testkit::read_at(&mut *file, 0, 9).err(),
        Some(Errno::Notsup)
    );
    assert_eq!(now(file.stat()).err(), Some(Errno::Notsup));
    assert_eq!(now(file.sync(true)).err(), Some(Errno::Notsup));
}
