//! Checks of rename(2).

use super::{Check, edit, name, names_in, now, read, read_at, stat, walk, write};
use crate::testkit::READ;
use crate::{Errno, NodeRef};

pub(super) const CHECKS: &[Check] = &[
    ("files move within and between directories", moves),
    ("a file replaces a file", replaces),
    ("two names of one file stay", same_file),
    ("a directory replaces an empty directory", directories),
    ("kinds must match", kinds),
    ("a directory does not go into itself", into_itself),
    ("a directory that moved knows where it is", moved_parent),
    ("symbolic links move, not their targets", links),
    ("nothing moves into a directory that was removed", removed),
];

fn rename(from: &NodeRef, old: &str, to: &NodeRef, new: &str) -> Result<(), Errno> {
    now(edit(from)?.rename(name(old), to, name(new)))
}

fn make_directory(root: &NodeRef, directory: &str) -> NodeRef {
    now(edit(root).unwrap().make_directory(name(directory))).unwrap()
}

fn moves(root: &NodeRef) {
    let below = make_directory(root, "d");
    let node = write(root, "a", b"contents").unwrap();
    rename(root, "a", root, "b").unwrap();
    assert_eq!(names_in(root).unwrap(), ["b", "d"]);
    rename(root, "b", &below, "c").unwrap();
    assert_eq!(names_in(root).unwrap(), ["d"]);
    assert_eq!(names_in(&below).unwrap(), ["c"]);
    assert_eq!(read(root, "d/c").unwrap(), b"contents");
    assert_eq!(stat(root, "d/c").unwrap().qid, node.qid());
    assert_eq!(rename(root, "none", root, "x"), Err(Errno::Noent));
    assert_eq!(rename(root, "d", root, "d"), Ok(()));
}

fn replaces(root: &NodeRef) {
    write(root, "a", b"new").unwrap();
    let old = write(root, "b", b"old").unwrap();
    let mut open = now(old.open(READ)).unwrap();
    drop(old);
    rename(root, "a", root, "b").unwrap();
    assert_eq!(names_in(root).unwrap(), ["b"]);
    assert_eq!(read(root, "b").unwrap(), b"new");
    assert_eq!(read_at(&mut *open, 0, 9).unwrap(), b"old");
    assert_eq!(now(open.stat()).unwrap().nlink, 0);
}

fn same_file(root: &NodeRef) {
    let node = write(root, "a", b"x").unwrap();
    now(edit(root).unwrap().link(name("b"), &node)).unwrap();
    rename(root, "a", root, "b").unwrap();
    rename(root, "a", root, "a").unwrap();
    assert_eq!(names_in(root).unwrap(), ["a", "b"]);
    assert_eq!(stat(root, "a").unwrap().nlink, 2);
}

fn directories(root: &NodeRef) {
    let full = make_directory(root, "full");
    write(&full, "f", b"").unwrap();
    make_directory(root, "empty");
    assert_eq!(rename(root, "empty", root, "full"), Err(Errno::Notempty));
    rename(root, "full", root, "empty").unwrap();
    assert_eq!(names_in(root).unwrap(), ["empty"]);
    assert_eq!(names_in(&walk(root, "empty").unwrap()).unwrap(), ["f"]);
    let above = make_directory(root, "above");
    rename(root, "empty", &above, "in").unwrap();
    assert_eq!(read(root, "above/in/f").unwrap(), b"");
    // What is there holds what is moved, so it is not empty.
    assert_eq!(rename(&above, "in", root, "above"), Err(Errno::Notempty));
}

fn kinds(root: &NodeRef) {
    write(root, "f", b"").unwrap();
    make_directory(root, "d");
    assert_eq!(rename(root, "f", root, "d"), Err(Errno::Isdir));
    assert_eq!(rename(root, "d", root, "f"), Err(Errno::Notdir));
    assert_eq!(names_in(root).unwrap(), ["d", "f"]);
}

fn into_itself(root: &NodeRef) {
    let one = make_directory(root, "one");
    let two = make_directory(&one, "two");
    assert_eq!(rename(root, "one", &one, "x"), Err(Errno::Inval));
    assert_eq!(rename(root, "one", &two, "x"), Err(Errno::Inval));
    assert_eq!(rename(root, "one", &one, "two"), Err(Errno::Inval));
    assert_eq!(names_in(&one).unwrap(), ["two"]);
}

fn moved_parent(root: &NodeRef) {
    let one = make_directory(root, "one");
    let two = make_directory(root, "two");
    rename(root, "two", &one, "two").unwrap();
    assert_eq!(rename(root, "one", &two, "x"), Err(Errno::Inval));
    rename(&one, "two", root, "two").unwrap();
    rename(root, "one", &two, "one").unwrap();
    assert_eq!(names_in(root).unwrap(), ["two"]);
    assert_eq!(names_in(&two).unwrap(), ["one"]);
}

fn links(root: &NodeRef) {
    write(root, "f", b"x").unwrap();
    now(edit(root).unwrap().make_symlink(name("l"), "f")).unwrap();
    rename(root, "l", root, "m").unwrap();
    assert_eq!(now(walk(root, "m").unwrap().read_link()).unwrap(), "f");
    rename(root, "f", root, "m").unwrap();
    assert_eq!(read(root, "m").unwrap(), b"x");
    assert_eq!(names_in(root).unwrap(), ["m"]);
}

fn removed(root: &NodeRef) {
    let below = make_directory(root, "d");
    write(root, "f", b"").unwrap();
    now(edit(root).unwrap().remove_directory(name("d"))).unwrap();
    assert_eq!(rename(root, "f", &below, "g"), Err(Errno::Noent));
    assert_eq!(names_in(root).unwrap(), ["f"]);
}
