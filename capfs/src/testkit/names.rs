//! Checks of names: making and taking them away, links, listing.

use std::collections::HashSet;

use super::{
    COOKIE_END, Check, READ, READ_WRITE, directory, edit, list, list_from, name, names_in, now,
    read, read_at, stat, walk, write, write_at,
};
use crate::{Errno, FileKind, NodeRef, WriteAt};

pub(super) const CHECKS: &[Check] = &[
    ("a new tree is empty", empty),
    ("names are made once", once),
    ("directories nest", nest),
    ("only what fits is taken away", remove),
    ("nothing is made in a directory that was removed", removed),
    ("a file has as many names as it was given", hard_links),
    ("a symbolic link keeps its target", symbolic_links),
    ("names are any text", any_text),
    ("listing is complete at every step", listing),
    ("listing goes on while names come and go", listing_survives),
];

fn empty(root: &NodeRef) {
    assert_eq!(root.qid().kind, FileKind::Directory);
    assert_eq!(names_in(root).unwrap(), [""; 0]);
    assert_eq!(walk(root, "f").err(), Some(Errno::Noent));
    assert_eq!(stat(root, "").unwrap().qid, root.qid());
}

fn once(root: &NodeRef) {
    write(root, "f", b"first").unwrap();
    now(edit(root).unwrap().make_directory(name("d"))).unwrap();
    for taken in ["f", "d"] {
        let edit = edit(root).unwrap();
        assert_eq!(
            now(edit.create(name(taken), READ_WRITE)).err(),
            Some(Errno::Exist)
        );
        assert_eq!(
            now(edit.make_directory(name(taken))).err(),
            Some(Errno::Exist)
        );
        assert_eq!(now(edit.make_symlink(name(taken), "x")), Err(Errno::Exist));
        let node = walk(root, "f").unwrap();
        assert_eq!(now(edit.link(name(taken), &node)), Err(Errno::Exist));
    }
    assert_eq!(read(root, "f").unwrap(), b"first");
    assert_eq!(names_in(root).unwrap(), ["d", "f"]);
}

fn nest(root: &NodeRef) {
    let mut node = root.clone();
    for depth in 0..20 {
        let below = now(edit(&node).unwrap().make_directory(name("d"))).unwrap();
        write(&node, "f", depth.to_string().as_bytes()).unwrap();
        node = below;
    }
    let path = format!("{}f", "d/".repeat(19));
    assert_eq!(read(root, &path).unwrap(), b"19");
    assert_eq!(walk(root, "f/f").err(), Some(Errno::Notdir));
    assert!(directory(&walk(root, "f").unwrap()).is_err());
}

fn remove(root: &NodeRef) {
    let edit_root = edit(root).unwrap();
    write(root, "f", b"").unwrap();
    let node = now(edit_root.make_directory(name("d"))).unwrap();
    write(&node, "g", b"").unwrap();
    assert_eq!(now(edit_root.unlink(name("none"))), Err(Errno::Noent));
    assert_eq!(
        now(edit_root.remove_directory(name("none"))),
        Err(Errno::Noent)
    );
    assert_eq!(now(edit_root.unlink(name("d"))), Err(Errno::Isdir));
    assert_eq!(
        now(edit_root.remove_directory(name("f"))),
        Err(Errno::Notdir)
    );
    assert_eq!(
        now(edit_root.remove_directory(name("d"))),
        Err(Errno::Notempty)
    );
    now(edit(&node).unwrap().unlink(name("g"))).unwrap();
    now(edit_root.remove_directory(name("d"))).unwrap();
    now(edit_root.unlink(name("f"))).unwrap();
    assert_eq!(names_in(root).unwrap(), [""; 0]);
}

fn removed(root: &NodeRef) {
    let node = now(edit(root).unwrap().make_directory(name("d"))).unwrap();
    now(edit(root).unwrap().remove_directory(name("d"))).unwrap();
    let edit = edit(&node).unwrap();
    assert_eq!(
        now(edit.create(name("f"), READ_WRITE)).err(),
        Some(Errno::Noent)
    );
    assert_eq!(
        now(edit.make_directory(name("f"))).err(),
        Some(Errno::Noent)
    );
    assert_eq!(now(edit.make_symlink(name("f"), "x")), Err(Errno::Noent));
}

fn hard_links(root: &NodeRef) {
    let node = write(root, "f", b"one").unwrap();
    let below = now(edit(root).unwrap().make_directory(name("d"))).unwrap();
    now(edit(&below).unwrap().link(name("g"), &node)).unwrap();
    assert_eq!(stat(root, "f").unwrap().nlink, 2);
    assert_eq!(stat(root, "d/g").unwrap().qid, node.qid());
    let mut file = now(walk(root, "d/g").unwrap().open(READ_WRITE)).unwrap();
    write_at(&mut *file, WriteAt::End, b" two").unwrap();
    assert_eq!(read(root, "f").unwrap(), b"one two");
    now(edit(root).unwrap().unlink(name("f"))).unwrap();
    assert_eq!(stat(root, "d/g").unwrap().nlink, 1);
    assert_eq!(read(root, "d/g").unwrap(), b"one two");
    assert_eq!(
        now(edit(root).unwrap().link(name("h"), &below)),
        Err(Errno::Perm)
    );
}

fn symbolic_links(root: &NodeRef) {
    for (link, target) in [
        ("a", "f"),
        ("b", "../../up"),
        ("c", "/abs/olute"),
        ("d", "d"),
    ] {
        now(edit(root).unwrap().make_symlink(name(link), target)).unwrap();
        let node = walk(root, link).unwrap();
        assert_eq!(node.qid().kind, FileKind::SymbolicLink);
        assert_eq!(now(node.read_link()).unwrap(), target);
        assert_eq!(now(node.stat()).unwrap().size, target.len() as u64);
        assert!(now(node.open(READ)).is_err());
        assert!(node.directory().is_none());
    }
    now(edit(root).unwrap().unlink(name("d"))).unwrap();
    assert_eq!(names_in(root).unwrap(), ["a", "b", "c"]);
}

fn any_text(root: &NodeRef) {
    let long = "n".repeat(255);
    let mut names = vec![
        " ",
        "...",
        "a b",
        "\\",
        "ünï→🦀",
        "-rf",
        "*",
        "tab\t",
        long.as_str(),
    ];
    for name in &names {
        write(root, name, name.as_bytes()).unwrap();
    }
    for name in &names {
        assert_eq!(read(root, name).unwrap(), name.as_bytes());
    }
    names.sort();
    assert_eq!(names_in(root).unwrap(), names);
}

fn listing(root: &NodeRef) {
    for index in 0..57 {
        write(root, &format!("f{index}"), b"").unwrap();
    }
    now(edit(root).unwrap().make_directory(name("d"))).unwrap();
    now(edit(root).unwrap().make_symlink(name("l"), "f0")).unwrap();
    for step in [1, 7, 59, 1000] {
        let entries = list(root, step).unwrap();
        let names: HashSet<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        assert_eq!((entries.len(), names.len()), (59, 59), "steps of {step}");
        for entry in entries {
            assert_eq!(walk(root, &entry.name).unwrap().qid(), entry.qid);
        }
    }
    let mut file = now(root.open(READ)).unwrap();
    assert_eq!(list_from(&mut *file, COOKIE_END - 1, 10).unwrap(), []);
    assert_eq!(list_from(&mut *file, 0, 0).unwrap(), []);
    let mut plain = now(walk(root, "f0").unwrap().open(READ)).unwrap();
    assert!(plain.entries().is_none());
    assert_eq!(read_at(&mut *plain, 0, 1).unwrap(), b"");
}

/// Reads a directory five names at a time and changes it meanwhile: what was there all along is
/// listed once, and what was taken away before its turn may be left out.
fn listing_survives(root: &NodeRef) {
    let edit = edit(root).unwrap();
    for index in 0..40 {
        write(root, &format!("stays{index}"), b"").unwrap();
        write(root, &format!("goes{index}"), b"").unwrap();
    }
    let mut file = now(root.open(READ)).unwrap();
    let mut seen = Vec::new();
    let mut cookie = 0;
    for round in 0.. {
        let entries = list_from(&mut *file, cookie, 5).unwrap();
        let Some(last) = entries.last() else { break };
        cookie = last.cookie;
        seen.extend(entries.into_iter().map(|entry| entry.name));
        if round < 40 {
            now(edit.unlink(name(&format!("goes{round}")))).unwrap();
            write(root, &format!("comes{round}"), b"").unwrap();
        }
    }
    let once: HashSet<_> = seen.iter().collect();
    assert_eq!(once.len(), seen.len(), "no name is listed twice");
    for index in 0..40 {
        assert!(
            once.contains(&format!("stays{index}")),
            "stays{index} is listed"
        );
    }
}
