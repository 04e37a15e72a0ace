//! The namespace over memory file systems.

use std::sync::Arc;

use super::*;
use crate::device::memory::{MemoryFs, MemoryLimits};
use crate::device::null::Null;
use crate::testkit::{ManualClock, late, list, name, now, read_at, write};
use crate::{OpenFile, OpenHow, PATH_MAX, SetStat};

pub(super) fn memory(files: &[(&str, &str)]) -> NodeRef {
    let root = at_once(files);
    // This file is two modules.
    match module_path!().ends_with("late_tests") {
        true => late(&root),
        false => root,
    }
}

/// Files that are answered for at once, as those below which something is mounted must be.
fn at_once(files: &[(&str, &str)]) -> NodeRef {
    let root = MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default()).root();
    for (file, text) in files {
        let mut directory = root.clone();
        let (parents, last) = file.rsplit_once('/').unwrap_or(("", file));
        for parent in parents.split('/').filter(|part| !part.is_empty()) {
            let known = now(directory.directory().unwrap().walk(name(parent)));
            directory = known.unwrap_or_else(|_| {
                let edit = directory.directory().unwrap().edit().unwrap();
                now(edit.make_directory(name(parent))).unwrap()
            });
        }
        write(&directory, last, text.as_bytes()).unwrap();
    }
    root
}

pub(super) fn mounted(mounts: &[(&str, NodeRef, Rights, BindFlags)]) -> Namespace {
    let mut namespace = Namespace::new();
    for (at, root, rights, flags) in mounts {
        namespace.mount(root.clone(), at, *rights, *flags).unwrap();
    }
    namespace
}

pub(super) fn text(namespace: &Namespace, path: &str) -> Result<String, Errno> {
    let how = OpenHow {
        read: true,
        ..OpenHow::default()
    };
    let at = OpenAt {
        follow: true,
        how,
        ..OpenAt::default()
    };
    let (_, mut file) = now(namespace.open(&namespace.root(), path, at))?;
    Ok(String::from_utf8(read_at(&mut *file, 0, 4096)?).unwrap())
}

pub(super) fn create(namespace: &Namespace, path: &str) -> Result<Box<dyn OpenFile>, Errno> {
    let how = OpenHow {
        write: true,
        ..OpenHow::default()
    };
    let at = OpenAt {
        follow: true,
        create: true,
        how,
        ..OpenAt::default()
    };
    now(namespace.open(&namespace.root(), path, at)).map(|(_, file)| file)
}

pub(super) fn names(namespace: &Namespace, path: &str) -> Vec<String> {
    let resolved = now(namespace.resolve(&namespace.root(), path, true)).unwrap();
    let how = OpenHow {
        read: true,
        ..OpenHow::default()
    };
    let mut file = now(namespace.open_place(&resolved.place.unwrap(), how)).unwrap();
    let mut names = Vec::new();
    let mut cookie = 0;
    loop {
        let entries = now(file.entries().unwrap().list(cookie, 2)).unwrap();
        let Some(last) = entries.last() else {
            return names;
        };
        assert!(last.cookie > cookie, "cookies ascend");
        cookie = last.cookie;
        names.extend(entries.into_iter().map(|entry| entry.name));
    }
}

#[test]
fn an_empty_namespace_has_nothing() {
    let namespace = Namespace::new();
    assert_eq!(names(&namespace, "."), [""; 0]);
    assert_eq!(text(&namespace, "x").unwrap_err(), Errno::Noent);
    assert_eq!(create(&namespace, "x").err(), Some(Errno::Rofs));
}

#[test]
fn a_mount_point_is_made_where_there_is_none() {
    let namespace = mounted(&[
        (
            "/a/b",
            memory(&[("f", "inner")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
        (
            "/a/c",
            memory(&[("g", "other")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
    ]);
    assert_eq!(text(&namespace, "a/b/f").unwrap(), "inner");
    assert_eq!(text(&namespace, "a/../a/c/./g").unwrap(), "other");
    assert_eq!(names(&namespace, "a"), ["b", "c"]);
}

#[test]
fn a_mount_point_is_made_in_front_of_a_device_that_lacks_it() {
    let root = at_once(&[("etc/f", "outer")]);
    let namespace = mounted(&[
        ("/", root.clone(), Rights::RW, BindFlags::REPLACE),
        ("/tmp", memory(&[]), Rights::RW, BindFlags::REPLACE),
        (
            "/etc/deep/er",
            memory(&[("g", "deep")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
    ]);
    // What a mount can't find at once is made in front of the device, and is listed first.
    let mut listed = names(&namespace, ".");
    listed.sort();
    assert_eq!(listed, ["etc", "tmp"]);
    assert_eq!(text(&namespace, "etc/f").unwrap(), "outer");
    assert_eq!(text(&namespace, "etc/deep/er/g").unwrap(), "deep");
    assert!(create(&namespace, "tmp/new").is_ok());
    assert!(create(&namespace, "new").is_ok());
    let of_device = list(&root, 10).unwrap();
    assert!(
        of_device.iter().any(|entry| entry.name == "new"),
        "made in the device"
    );
    assert!(
        of_device.iter().all(|entry| entry.name != "tmp"),
        "the device is not touched"
    );
}

#[test]
fn a_file_can_be_mounted() {
    let namespace = mounted(&[("/dev/null", Null::node(), Rights::RW, BindFlags::REPLACE)]);
    assert_eq!(text(&namespace, "dev/null").unwrap(), "");
    assert_eq!(names(&namespace, "dev"), ["null"]);
    assert_eq!(text(&namespace, "dev/null/x").unwrap_err(), Errno::Notdir);
}

#[test]
fn unions_are_searched_in_order_and_list_each_name_once() {
    let (first, second) = (
        memory(&[("f", "1"), ("a", "1")]),
        memory(&[("f", "2"), ("b", "2")]),
    );
    let mut namespace = mounted(&[
        ("/u", first.clone(), Rights::RW, BindFlags::REPLACE),
        ("/u", second.clone(), Rights::RW, BindFlags::AFTER),
    ]);
    assert_eq!(text(&namespace, "u/f").unwrap(), "1");
    assert_eq!(text(&namespace, "u/b").unwrap(), "2");
    assert_eq!(names(&namespace, "u"), ["f", "a", "b"]);
    let third = memory(&[("f", "3")]);
    namespace
        .mount(
            third.clone(),
            "/u",
            Rights::RW,
            BindFlags::BEFORE.creating(),
        )
        .unwrap();
    assert_eq!(text(&namespace, "u/f").unwrap(), "3");
    create(&namespace, "u/new").unwrap();
    assert_eq!(
        list(&third, 10).unwrap().len(),
        2,
        "the first member that may takes new files"
    );
    now(namespace.unlink(&namespace.root(), "u/b")).unwrap();
    assert_eq!(
        list(&second, 10).unwrap().len(),
        1,
        "taken from the member that had it"
    );
}

#[test]
fn rights_only_narrow() {
    let mut namespace = mounted(&[(
        "/ro",
        memory(&[("f", "text")]),
        Rights::RO,
        BindFlags::REPLACE,
    )]);
    namespace
        .bind("/ro", "/again", BindFlags::REPLACE, Rights::RW)
        .unwrap();
    let root = namespace.root();
    for path in ["ro/f", "again/f"] {
        let how = OpenHow {
            read: true,
            truncate: true,
            write: false,
        };
        let at = OpenAt {
            follow: true,
            how,
            ..OpenAt::default()
        };
        assert_eq!(
            now(namespace.open(&root, path, at)).err(),
            Some(Errno::Rofs)
        );
        let change = SetStat {
            size: Some(0),
            ..SetStat::default()
        };
        assert_eq!(
            now(namespace.set_stat(&root, path, true, change)),
            Err(Errno::Rofs)
        );
        assert_eq!(now(namespace.unlink(&root, path)), Err(Errno::Rofs));
        assert_eq!(text(&namespace, path).unwrap(), "text");
    }
    assert_eq!(create(&namespace, "ro/new").err(), Some(Errno::Rofs));
    assert_eq!(
        now(namespace.make_directory(&root, "again/d")),
        Err(Errno::Rofs)
    );
}

#[test]
fn names_are_made_and_taken_away_by_the_rights_of_their_mount() {
    let refused = Err(Errno::Rofs);
    let seen = |rights| {
        let files = memory(&[("f", "f"), ("g", "g"), ("h", "h"), ("d/x", "")]);
        let namespace = mounted(&[(
            "/m",
            files,
            Rights::READ | Rights::WRITE | rights,
            BindFlags::REPLACE,
        )]);
        let root = namespace.root();
        let makes = [
            now(namespace.make_directory(&root, "m/new-directory")),
            now(namespace.make_symlink("f", &root, "m/new-symlink")),
            now(namespace.link(&root, "m/f", false, &root, "m/new-link")),
            create(&namespace, "m/new").map(drop),
        ];
        // A rename to a new name takes one and makes one; to a name that exists it takes that, too.
        let moves = [
            now(namespace.rename(&root, "m/f", &root, "m/f2")),
            now(namespace.rename(&root, "m/g", &root, "m/h")),
        ];
        let takes = [
            now(namespace.unlink(&root, "m/d/x")),
            now(namespace.remove_directory(&root, "m/d")),
        ];
        let texts = ["m/f", "m/f2", "m/h"].map(|path| text(&namespace, path).ok());
        (makes, moves, takes, texts.map(Option::unwrap_or_default))
    };
    let unmoved = ["f", "", "h"].map(str::to_owned);
    let moved = ["", "f", "g"].map(str::to_owned);
    assert_eq!(
        seen(Rights::CREATE),
        ([Ok(()); 4], [refused; 2], [refused; 2], unmoved.clone())
    );
    assert_eq!(
        seen(Rights::REMOVE),
        ([refused; 4], [refused; 2], [Ok(()); 2], unmoved.clone())
    );
    assert_eq!(
        seen(Rights::empty()),
        ([refused; 4], [refused; 2], [refused; 2], unmoved)
    );
    assert_eq!(
        seen(Rights::CREATE | Rights::REMOVE),
        ([Ok(()); 4], [Ok(()); 2], [Ok(()); 2], moved)
    );
}

#[test]
fn names_do_not_cross_mounts_even_of_one_device() {
    let device = memory(&[("f", "text")]);
    let mut namespace = mounted(&[("/ro", device, Rights::RO, BindFlags::REPLACE)]);
    namespace
        .mount(memory(&[]), "/rw", Rights::RW, BindFlags::REPLACE)
        .unwrap();
    let root = namespace.root();
    assert_eq!(
        now(namespace.link(&root, "ro/f", false, &root, "rw/f")),
        Err(Errno::Xdev)
    );
    let shared = memory(&[("f", "text"), ("d/g", "")]);
    let mut namespace = mounted(&[("/all", shared, Rights::RW, BindFlags::REPLACE)]);
    namespace
        .bind("/all", "/some", BindFlags::REPLACE, Rights::RO)
        .unwrap();
    let root = namespace.root();
    assert_eq!(
        now(namespace.link(&root, "some/f", false, &root, "all/h")),
        Err(Errno::Xdev)
    );
    assert_eq!(
        now(namespace.rename(&root, "all/f", &root, "some/h")),
        Err(Errno::Rofs)
    );
}

#[test]
fn a_walk_does_not_leave_its_start() {
    let namespace = mounted(&[(
        "/",
        memory(&[("d/f", "in"), ("out", "out")]),
        Rights::RW,
        BindFlags::REPLACE,
    )]);
    let root = namespace.root();
    let d = now(namespace.resolve(&root, "d", true))
        .unwrap()
        .place
        .unwrap();
    for (target, link) in [("../out", "up"), ("/out", "absolute"), ("f", "inside")] {
        now(namespace.make_symlink(target, &d, link)).unwrap();
    }
    let at = |base: &Place, path: &str| now(namespace.resolve(base, path, true)).map(|_| ());
    for path in [
        "..",
        "../out",
        "/out",
        "/",
        "up",
        "absolute",
        "x/../../out",
        "./.././out",
    ] {
        let errno = at(&d, path).unwrap_err();
        assert!(
            matches!(errno, Errno::Notcapable | Errno::Noent),
            "{path}: {errno}"
        );
    }
    assert_eq!(at(&d, "up"), Err(Errno::Notcapable));
    assert_eq!(at(&d, "inside"), Ok(()));
    assert_eq!(text(&namespace, "d/up").unwrap(), "out");
    assert_eq!(
        text(&namespace, "d/absolute").unwrap(),
        "out",
        "from the namespace's own root"
    );
}

#[test]
fn links_end_somewhere() {
    let namespace = mounted(&[("/", memory(&[]), Rights::RW, BindFlags::REPLACE)]);
    let root = namespace.root();
    now(namespace.make_symlink("loop", &root, "loop")).unwrap();
    now(namespace.make_symlink("missing", &root, "dangling")).unwrap();
    let resolve = |path: &str| now(namespace.resolve(&root, path, true)).map(|_| ());
    assert_eq!(resolve("loop"), Err(Errno::Loop));
    assert_eq!(resolve("dangling/x"), Err(Errno::Noent));
    drop(create(&namespace, "dangling").unwrap());
    assert_eq!(
        text(&namespace, "missing").unwrap(),
        "",
        "made where the link points"
    );
    assert_eq!(resolve("missing/"), Err(Errno::Notdir));
    assert_eq!(resolve(""), Err(Errno::Noent));
    assert_eq!(resolve(&"x".repeat(256)), Err(Errno::Nametoolong));
    assert_eq!(resolve(&"x/".repeat(2049)), Err(Errno::Nametoolong));
}

#[test]
fn mount_points_are_busy() {
    let namespace = mounted(&[
        ("/", memory(&[("m/f", "")]), Rights::RW, BindFlags::REPLACE),
        ("/m", memory(&[]), Rights::RW, BindFlags::REPLACE),
    ]);
    let root = namespace.root();
    assert_eq!(
        now(namespace.remove_directory(&root, "m")),
        Err(Errno::Busy)
    );
    assert_eq!(
        now(namespace.rename(&root, "m", &root, "n")),
        Err(Errno::Busy)
    );
    assert_eq!(
        now(namespace.remove_directory(&root, ".")),
        Err(Errno::Inval)
    );
}

#[test]
fn a_clone_is_of_its_own() {
    let mut parent = mounted(&[("/a", memory(&[("f", "a")]), Rights::RW, BindFlags::REPLACE)]);
    let mut child = parent.clone();
    child
        .mount(memory(&[("f", "b")]), "/b", Rights::RW, BindFlags::REPLACE)
        .unwrap();
    child
        .mount(memory(&[("f", "c")]), "/a", Rights::RW, BindFlags::REPLACE)
        .unwrap();
    assert_eq!(text(&parent, "b/f").unwrap_err(), Errno::Noent);
    assert_eq!(text(&parent, "a/f").unwrap(), "a");
    assert_eq!(text(&child, "a/f").unwrap(), "c");
    parent.unmount("/a").unwrap();
    assert_eq!(names(&parent, "a"), [""; 0]);
    assert_eq!(text(&child, "a/f").unwrap(), "c");
    assert_eq!(parent.unmount("/a"), Err(Errno::Inval));
    assert_eq!(
        parent.mount(memory(&[]), "a", Rights::RW, BindFlags::AFTER),
        Err(Errno::Inval)
    );
    assert_eq!(
        parent.mount(memory(&[]), "/../a", Rights::RW, BindFlags::AFTER),
        Err(Errno::Inval)
    );
}

/// Directories that are only there to be mounted on lie within each other, and go one within the other.
#[test]
fn mount_points_are_as_deep_as_a_path() {
    let deepest = "/a".repeat(PATH_MAX / 2);
    let mut namespace = Namespace::new();
    let mut mount =
        |at: &str| namespace.mount(memory(&[("f", "x")]), at, Rights::RW, BindFlags::REPLACE);
    for deep in [format!("{deepest}/"), "/a".repeat(100_000)] {
        assert_eq!(mount(&deep), Err(Errno::Nametoolong));
    }
    mount(&deepest).unwrap();
    assert_eq!(names(&namespace, &deepest[1..]), ["f"]);
    drop(namespace);
}
