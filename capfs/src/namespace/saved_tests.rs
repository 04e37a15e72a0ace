//! Places that are found again: mount points, unions, skeletons, binds, and what they don't let through.

use super::*;
use crate::Handle;
use crate::device::memory::{MemoryFs, MemoryLimits};
use crate::testkit::{self, ManualClock, READ, READ_WRITE, late, now};

fn files(names: &[&str]) -> MemoryFs {
    let files = MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default());
    for name in names {
        let below = now(testkit::edit(&files.root())
            .unwrap()
            .make_directory(testkit::name(name)));
        testkit::write(&below.unwrap(), "file", name.as_bytes()).unwrap();
    }
    files
}

const LIST: &str = "\
mount -c memory:a /data/a
mount -c memory:b /data/b
bind -a /data/b /data/a
bind -o read /data/a/x /only
mount -c -o read memory:a /sub /x
unmount /data/b
mount -c memory:b /data/a/y/deep
";

/// A namespace of the list; nothing that its devices have changes in between.
fn namespace(is_late: bool) -> Namespace {
    let (a, b) = (files(&["x", "y"]).root(), files(&["z"]).root());
    Namespace::build(&LIST.parse().unwrap(), |id| {
        let root = if id.as_str() == "memory:a" { &a } else { &b };
        // A late device can't be bound from.
        Ok(if is_late { late(root) } else { root.clone() })
    })
    .unwrap()
}

fn place(namespace: &Namespace, path: &str) -> Place {
    let resolved = now(namespace.resolve(&namespace.root(), path, true)).unwrap();
    resolved.place.unwrap_or_else(|| panic!("{path} is there"))
}

/// What can be told of a place.
fn told(namespace: &Namespace, place: &Place) -> (u64, u64, Rights, Vec<String>) {
    let mut file = now(namespace.open_place(place, READ)).unwrap();
    let names = testkit::list_from(&mut *file, 0, 100).unwrap();
    let names = names
        .into_iter()
        .map(|entry| format!("{} {:?}", entry.name, entry.qid));
    let number = place.node().qid().path;
    (place.device(), number, place.rights(), names.collect())
}

const PATHS: [&str; 9] = [
    ".",
    "data",
    "data/a",
    "data/a/x",
    "data/a/y",
    "data/a/y/deep",
    "data/a/z",
    "only",
    "sub",
];

#[test]
fn every_directory_is_found_again_as_it_is() {
    let (from, to) = (namespace(false), namespace(false));
    let places: Vec<Place> = PATHS.iter().map(|path| place(&from, path)).collect();
    let saved: Vec<SavedPlace> = places
        .iter()
        .map(|place| from.save(place).unwrap())
        .collect();
    let restored = now(to.restore(&saved)).unwrap();
    for ((path, before), after) in PATHS.iter().zip(&places).zip(restored) {
        let after = after.unwrap_or_else(|errno| panic!("{path}: {errno}"));
        assert_eq!(told(&from, before), told(&to, &after), "{path}");
        assert_eq!(after.origin(), before.origin(), "{path}");
        assert_eq!(after.is_union(), before.is_union(), "{path}");
    }
}

#[test]
fn rights_are_those_of_the_namespace_in_which_a_place_is_found() {
    let from = namespace(false);
    let narrow: String = LIST
        .lines()
        .map(|line| {
            format!(
                "{}\n",
                line.replace("mount -c memory:a", "mount -c -o read memory:a")
            )
        })
        .collect();
    let root = files(&["x", "y", "z"]).root();
    let to = Namespace::build(&narrow.parse().unwrap(), |_| Ok(root.clone())).unwrap();
    let file = place(&from, "data/a/x/file");
    let found = now(to.restore(&[from.save(&file).unwrap()])).unwrap();
    let found = found[0].clone().unwrap();
    assert_eq!(found.rights(), Rights::READ);
    assert_eq!(
        now(to.reopen(&found, READ_WRITE, &[])).err(),
        Some(Errno::Rofs)
    );
    assert!(now(to.reopen(&found, READ, &[])).is_ok());
}

#[test]
fn a_handle_leads_nowhere_but_into_what_was_mounted() {
    let namespace = namespace(false);
    let inside = namespace.save(&place(&namespace, "sub/file")).unwrap();
    let outside = namespace.save(&place(&namespace, "data/a/y/file")).unwrap();
    let bound = namespace.save(&place(&namespace, "only/file")).unwrap();
    assert_ne!((inside.mount, bound.mount), (outside.mount, outside.mount));
    let saved: Vec<SavedPlace> = [inside.mount, bound.mount, outside.mount, 0, 99]
        .into_iter()
        .map(|mount| SavedPlace {
            mount,
            handle: outside.handle.clone(),
        })
        .collect();
    let found = now(namespace.restore(&saved)).unwrap();
    let found: Vec<bool> = found.into_iter().map(|place| place.is_ok()).collect();
    assert_eq!(found[..3], [false, false, true]);
    assert!(!found[4], "no such mount");
    let nothing = SavedPlace {
        mount: 0,
        handle: Handle::number(1 << 40),
    };
    let found = now(namespace.restore(&[nothing])).unwrap();
    assert_eq!(found[0].as_ref().err(), Some(&Errno::Stale));
}

/// Bytes that say of a file that it was reached where something else stands now, with fewer rights, or to hide it.
#[test]
fn a_handle_leads_nowhere_that_is_covered() {
    let list = "\
mount -c memory:a /
bind -o read /x /x
mount memory:b /y
bind -b /x /z
";
    let (a, b) = (files(&["x", "y", "z"]).root(), files(&["w"]).root());
    let made = Namespace::build(&list.parse().unwrap(), |id| {
        Ok(if id.as_str() == "memory:a" {
            a.clone()
        } else {
            b.clone()
        })
    });
    let namespace = made.unwrap();
    let plain = namespace.save(&place(&namespace, ".")).unwrap();
    let forged = |path: &str| SavedPlace {
        mount: plain.mount,
        handle: testkit::walk(&a, path).unwrap().save().unwrap(),
    };
    let opened = |saved: SavedPlace| {
        let found = now(namespace.restore(&[saved])).unwrap();
        found
            .into_iter()
            .next()
            .unwrap()
            .map(|place| place.rights())
    };
    for path in ["x/file", "y", "y/file"] {
        assert_eq!(opened(forged(path)).err(), Some(Errno::Stale), "{path}");
    }
    // What a union has kept of itself isn't.
    assert!(opened(forged("z/file")).unwrap().contains(Rights::WRITE));
    let known = namespace.save(&place(&namespace, "x/file")).unwrap();
    assert!(!opened(known).unwrap().contains(Rights::WRITE));
}

#[test]
fn what_was_unmounted_since_is_stale() {
    let (from, mut to) = (namespace(false), namespace(false));
    let saved = from.save(&place(&from, "only/file")).unwrap();
    to.unmount("/only").unwrap();
    assert_eq!(
        now(to.restore(&[saved])).unwrap()[0].as_ref().err(),
        Some(&Errno::Stale)
    );
}

#[test]
fn devices_that_answer_later_are_waited_for() {
    let make = || {
        let mut namespace = Namespace::new();
        for (name, at) in [("memory:a", "/a"), ("memory:b", "/b")] {
            let root = late(&files(&["x"]).root());
            let id = DeviceId::new(name).unwrap();
            namespace
                .mount_device(id, root, at, Rights::RW, BindFlags::REPLACE)
                .unwrap();
        }
        namespace
    };
    let (from, to) = (make(), make());
    let saved: Vec<SavedPlace> = ["a/x/file", "b/x", "a", "."]
        .map(|path| from.save(&place(&from, path)).unwrap())
        .to_vec();
    let restored = to.restore(&saved);
    assert!(matches!(restored, Op::Later(_)));
    let restored = now(restored).unwrap();
    let numbers = restored.into_iter().map(|place| place.unwrap().device());
    assert_eq!(numbers.collect::<Vec<_>>(), [2, 3, 2, 1]);
}

#[test]
fn a_view_is_not_found_again_and_says_so() {
    let inner = namespace(false);
    let mut outer = Namespace::new();
    let view = inner.view(place(&inner, "data"));
    outer
        .mount(view, "/", Rights::RW, BindFlags::REPLACE)
        .unwrap();
    assert_eq!(outer.save(&place(&outer, "a/x")), Err(Errno::Nodev));
    let file = now(place(&outer, "a/x/file").node().open(READ)).unwrap();
    assert!(file.save().is_ok(), "what is behind it could be");
}
