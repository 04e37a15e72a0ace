//! Walks of several names, and how many messages they take.

use std::sync::Arc;

use capfs::device::gate::Gate;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::testkit::{self, ManualClock, edit, name, now, write};
use capfs::{BindFlags, Errno, Namespace, NodeRef, OpenAt, OpenHow, Rights};

use super::{Pair, memory};
use crate::wire::WALK_MAX;

/// `a/b/c/f`, and `a/link`, which is `b/c`.
fn tree() -> NodeRef {
    let root = memory();
    let mut node = root.clone();
    for part in ["a", "b", "c"] {
        node = now(edit(&node).unwrap().make_directory(name(part))).unwrap();
    }
    write(&node, "f", b"content").unwrap();
    let a = testkit::walk(&root, "a").unwrap();
    now(edit(&a).unwrap().make_symlink(name("link"), "b/c")).unwrap();
    root
}

fn mounted(root: NodeRef) -> Namespace {
    let mut namespace = Namespace::new();
    let flags = BindFlags::REPLACE.creating();
    namespace.mount(root, "/", Rights::RW, flags).unwrap();
    namespace
}

/// Where a path leads, and the messages that the client has sent for it.
fn walked(pair: &Pair, namespace: &Namespace, path: &str) -> (Result<bool, Errno>, usize) {
    pair.settle();
    let sent = pair.up.sent();
    let resolved = pair.end(namespace.resolve(&namespace.root(), path, true));
    let found = resolved.map(|resolved| resolved.place.is_some());
    (found, pair.up.sent() - sent)
}

#[test]
fn a_path_takes_one_message() {
    let pair = Pair::of(tree());
    let namespace = mounted(pair.root());
    for (path, found, messages) in [
        ("a", Ok(true), 1),
        ("a/b/c/f", Ok(true), 1),
        ("./a//b/./c/", Ok(true), 1),
        ("a/b/c/none", Ok(false), 1),
        ("a/none/c/f", Err(Errno::Noent), 1),
        ("a/b/c/f/g", Err(Errno::Notdir), 1),
        // A link is read where it is found, and what it says is walked to.
        ("a/link", Ok(true), 3),
        ("a/link/f", Ok(true), 3),
        // Going back ends a request.
        ("a/b/../b/c", Ok(true), 2),
    ] {
        assert_eq!(walked(&pair, &namespace, path), (found, messages), "{path}");
    }
    // And what is done at its end takes one more.
    let sent = pair.up.sent();
    let how = OpenAt {
        how: OpenHow {
            read: true,
            ..OpenHow::default()
        },
        ..OpenAt::default()
    };
    let opened = pair.end(namespace.open(&namespace.root(), "a/b/c/f", how));
    assert!(opened.is_ok());
    assert_eq!(pair.up.sent(), sent + 2);
}

#[test]
fn long_paths_take_one_for_each_sixteen_names() {
    let root = memory();
    let mut node = root.clone();
    let depth = 10 * WALK_MAX;
    for _ in 0..depth {
        node = now(edit(&node).unwrap().make_directory(name("d"))).unwrap();
    }
    let pair = Pair::of(root);
    let namespace = mounted(pair.root());
    let path = vec!["d"; depth].join("/");
    let (found, messages) = walked(&pair, &namespace, &path);
    // And fids that nobody uses any more are told on the way.
    assert_eq!(found, Ok(true));
    assert!((10..=13).contains(&messages), "{messages}");
}

#[test]
fn behind_a_gate_it_is_the_same() {
    let pair = Pair::of(tree());
    let (gate, root) = Gate::new(pair.root(), None);
    let namespace = mounted(root);
    assert_eq!(walked(&pair, &namespace, "a/b/c/f"), (Ok(true), 1));
    gate.revoke();
    let (found, messages) = walked(&pair, &namespace, "a/b/c/f");
    assert_eq!((found, messages), (Err(Errno::Nodev), 0));
}

#[test]
fn what_is_mounted_or_bound_on_the_way_stays_so() {
    let pair = Pair::of(tree());
    let mut namespace = mounted(pair.root());
    let limits = MemoryLimits::default();
    let over = MemoryFs::new(Arc::new(ManualClock::new(2)), limits).root();
    write(&over, "g", b"over").unwrap();
    // The tree answers later, and so a directory of the namespace's own stands in front of it.
    let flags = BindFlags::REPLACE.creating();
    namespace.mount(over, "/a/b", Rights::RW, flags).unwrap();
    assert_eq!(walked(&pair, &namespace, "a/b/g").0, Ok(true));
    assert_eq!(walked(&pair, &namespace, "a/b/c").0, Ok(false));
}

#[test]
fn what_was_found_ahead_is_used_once() {
    let files = tree();
    let pair = Pair::of(files.clone());
    let root = pair.root();
    let found = testkit::directory(&root)
        .unwrap()
        .walk_ahead(name("a"), "b/c");
    let a = pair.end(found).unwrap();
    let sent = pair.up.sent();
    let b = |asked: usize| {
        let found = pair.end(testkit::directory(&a).unwrap().walk(name("b")));
        assert_eq!(pair.up.sent() - sent, asked);
        found.map(drop)
    };
    assert_eq!(b(0), Ok(()));
    // It may be gone by now, so that it is asked for again.
    let at = testkit::walk(&files, "a").unwrap();
    let moved = edit(&at).unwrap().rename(name("b"), &at, name("moved"));
    now(moved).unwrap();
    assert_eq!(b(1), Err(Errno::Noent));
}
