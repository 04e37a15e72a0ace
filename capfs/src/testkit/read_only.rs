//! Checks of a tree that can't be changed.

use super::{READ, READ_WRITE, directory, late, list, name, now, read_at, walk};
use crate::{Directory, Errno, FileKind, NodeRef, OpenHow, SetStat, SetTime};

/// Checks a whole tree that can't be changed: that listing, walking and stat agree, that contents are
/// as long as stat says, and that every way of changing anything is refused.
///
/// # Panics
/// When a check fails.
pub fn read_only(root: &NodeRef) {
    check_tree(root);
    // And where everything comes later.
    check_tree(&late(root));
}

fn check_tree(root: &NodeRef) {
    let mut pending = vec![root.clone()];
    while let Some(node) = pending.pop() {
        refuses_changes(&node);
        match node.qid().kind {
            FileKind::Directory => check_directory(&node, &mut pending),
            FileKind::SymbolicLink => {
                let target = now(node.read_link()).unwrap();
                assert_eq!(target.len() as u64, now(node.stat()).unwrap().size);
                assert!(now(node.open(READ)).is_err(), "links aren't opened");
            }
            FileKind::RegularFile => check_file(&node),
            _ => {}
        }
    }
}

fn refuses_changes(node: &NodeRef) {
    let truncate = OpenHow {
        truncate: true,
        ..READ_WRITE
    };
    for how in [READ_WRITE, truncate] {
        let errno = now(node.open(how))
            .err()
            .expect("opening for writing fails");
        let refusals = [
            Errno::Rofs,
            Errno::Perm,
            Errno::Acces,
            Errno::Isdir,
            Errno::Loop,
        ];
        assert!(refusals.contains(&errno), "{errno} refuses writing");
    }
    let touch = SetStat {
        mtime: Some(SetTime::To(1)),
        ..SetStat::default()
    };
    let before = now(node.stat()).unwrap();
    assert!(now(node.set_stat(touch)).is_err(), "times stay");
    assert_eq!(now(node.stat()).unwrap(), before);
    assert_eq!(before.qid, node.qid());
    if let Some(directory) = node.directory() {
        assert!(directory.edit().is_none(), "names stay");
    }
}

fn check_directory(node: &NodeRef, pending: &mut Vec<NodeRef>) {
    let entries = list(node, 1000).unwrap();
    assert_eq!(
        entries,
        list(node, 3).unwrap(),
        "listing doesn't depend on its steps"
    );
    let mut names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), entries.len(), "every name is listed once");
    for entry in &entries {
        let found = walk(node, &entry.name).unwrap();
        assert_eq!(found.qid(), entry.qid);
        pending.push(found);
    }
    let missing: &dyn Directory = directory(node).unwrap();
    let absent = (0..).map(|index| format!("absent{index}"));
    let mut absent = absent.filter(|name| !entries.iter().any(|entry| entry.name == *name));
    let absent = absent.next().expect("names are endless");
    assert_eq!(now(missing.walk(name(&absent))).err(), Some(Errno::Noent));
    let mut file = now(node.open(READ)).unwrap();
    assert_eq!(read_at(&mut *file, 0, 1), Err(Errno::Isdir));
}

fn check_file(node: &NodeRef) {
    let mut file = now(node.open(READ)).unwrap();
    let size = now(file.stat()).unwrap().size;
    let mut length = 0;
    loop {
        let part = read_at(&mut *file, length, 1 << 16).unwrap();
        if part.is_empty() {
            break;
        }
        length += part.len() as u64;
    }
    assert_eq!(length, size, "contents are as long as stat says");
    assert_eq!(read_at(&mut *file, size, 1).unwrap(), b"");
    assert_eq!(read_at(&mut *file, u64::MAX, 1).unwrap(), b"");
    assert!(node.directory().is_none());
    assert!(file.entries().is_none());
}
