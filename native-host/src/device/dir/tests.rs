use std::cell::RefCell;
use std::collections::HashMap;

use capfs::testkit::{self, READ, edit, list_from, name, now, write};
use capfs::{FileKind, NodeRef, OpenFile};
use tempfile::TempDir;

use super::open;

fn folder() -> (TempDir, NodeRef) {
    let directory = tempfile::tempdir().unwrap();
    let root = open(directory.path()).unwrap();
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
