//! The list of a namespace and its text.

use proptest::prelude::*;

use super::tests::{names, text};
use super::*;
use crate::device::memory::{MemoryFs, MemoryLimits};
use crate::testkit::{self, ManualClock, now, write};
use crate::{DEVICE_ID_MAX, NAME_MAX, NAMESPACE_LINE_MAX, PATH_MAX};

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

fn memory() -> NodeRef {
    let root = MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default()).root();
    let below = testkit::edit(&root).unwrap();
    let below = now(below.make_directory(testkit::name("sub"))).unwrap();
    write(&root, "top", b"above").unwrap();
    write(&below, "f", b"below").unwrap();
    root
}

fn stat(namespace: &Namespace, path: &str) -> (u64, u64) {
    let (device, stat) = now(namespace.stat(&namespace.root(), path, true)).unwrap();
    (device, stat.qid.path)
}

const EXAMPLE: &str = "\
mount -c memory:w /
mount -c -o read 'dir:/srv/two words' /srv
mount -a -c fetch:/cap/fetch /srv
bind -b -o read,write /srv/sub '/it''s'
bind -o none / /srv/''
unmount /srv
mount memory:w '/-dash' /sub
";

#[test]
fn a_list_reads_as_ns_prints_it() {
    // A quoted word may be a part of one.
    let plain = EXAMPLE
        .replace("/srv/''", "/srv")
        .replace("'/-dash'", "/-dash");
    let list: NamespaceList = EXAMPLE.parse().unwrap();
    assert_eq!(list.to_string(), plain);
    let devices: Vec<_> = list.devices().iter().map(DeviceId::as_str).collect();
    assert_eq!(
        devices,
        ["memory:w", "dir:/srv/two words", "fetch:/cap/fetch"]
    );
    let loose =
        "# a comment, with a quote ' in it\n\n\t mount  -bc -o remove,read  m:1  //a/./b/ \n";
    let list: NamespaceList = loose.parse().unwrap();
    assert_eq!(list.to_string(), "mount -b -c -o read,remove m:1 /a/b\n");
}

#[test]
fn an_agent_is_shown_no_name_of_a_device() {
    let list: NamespaceList = EXAMPLE.parse().unwrap();
    let shown = list.shown().to_string();
    assert_eq!(
        shown,
        "\
mount -c memory#2 /
mount -c -o read dir#3 /srv
mount -a -c fetch#4 /srv
bind -b -o read,write /srv/sub '/it''s'
bind -o none / /srv
unmount /srv
mount memory#2 /-dash
"
    );
    assert_eq!(shown.parse::<NamespaceList>().unwrap(), list.shown());
}

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    let wrong = |text: &str| {
        let error = text.parse::<NamespaceList>().unwrap_err();
        (error.line, error.column, error.text)
    };
    for (text, line, column, part) in [
        ("mount m:1 /a\nmont m:1 /b", 2, 1, "expected `mount`"),
        ("'#' x", 1, 1, "expected `mount`"),
        ("mount", 1, 6, "the device is missing"),
        ("mount m:1", 1, 10, "where it is mounted is missing"),
        ("mount m:1 a", 1, 11, "expected an absolute path"),
        ("mount m:1 /ä/../b", 1, 11, "expected an absolute path"),
        ("mount m:ä /a b", 1, 14, "expected an absolute path"),
        ("mount m:ä /a /b c", 1, 17, "one word too many"),
        ("mount -a -b m:1 /a", 1, 10, "each once at most"),
        ("mount -x m:1 /a", 1, 7, "each once at most"),
        ("mount - m:1 /a", 1, 7, "without a letter"),
        ("mount -o read -o read m:1 /a", 1, 15, "there twice"),
        ("mount -o", 1, 9, "the rights are missing"),
        ("mount -o read,,write m:1 /a", 1, 10, "expected `none`"),
        ("mount '' /a", 1, 7, "begins with its kind"),
        ("mount :a /a", 1, 7, "begins with its kind"),
        ("mount $'m\\x4' /a", 1, 10, "two digits"),
        ("mount $'m\\n' /a", 1, 10, "expected `\\x`"),
        ("mount $'m\\x+1' /a", 1, 10, "two digits"),
        ("mount $'m\\xff' /a", 1, 7, "not UTF-8"),
        ("mount $'m'x /a", 1, 10, "ends with this quote"),
        ("mount $'m\\' /a", 1, 7, "has no end"),
        ("mount m $'ä' /a", 1, 9, "absolute path"),
        ("bind /a", 1, 8, "where it is bound is missing"),
        ("\n\nbind '/a /b", 3, 6, "this quote has no end"),
        ("unmount -a /a", 1, 9, "expected an absolute path"),
        ("unmount /a /b", 1, 12, "one word too many"),
    ] {
        let (wrong_line, wrong_column, why) = wrong(text);
        assert_eq!(
            (wrong_line, wrong_column),
            (line, column),
            "{text:?}: {why}"
        );
        assert!(why.contains(part), "{text:?}: {why}");
    }
    let error = "x".parse::<NamespaceList>().unwrap_err().to_string();
    assert!(error.starts_with("line 1, column 1: expected"), "{error}");
}

#[test]
fn a_list_has_bounds() {
    let most = "unmount /a\n".repeat(NAMESPACE_ENTRIES_MAX);
    let mut list: NamespaceList = most.parse().unwrap();
    let more = Operation::Unmount {
        at: "/a".to_owned(),
    };
    assert_eq!(list.push(more), Err(Errno::Nospc));
    let error = (most + "\nunmount /b")
        .parse::<NamespaceList>()
        .unwrap_err();
    assert_eq!(error.line, NAMESPACE_ENTRIES_MAX + 2);
    let line = format!("#{}", " ".repeat(NAMESPACE_LINE_MAX));
    assert!(line.parse::<NamespaceList>().is_err());
    // One control character makes a name of the longest kind.
    let long = format!("/{}", "\u{1}".repeat(NAME_MAX)).repeat(PATH_MAX / (NAME_MAX + 1));
    let device = "m".repeat(NAME_MAX + 1);
    assert!(DeviceId::new(&device).is_err(), "a kind has a length");
    let device = format!("m:{}", "\u{1}".repeat(DEVICE_ID_MAX - 2));
    let longest = Operation::Mount {
        device: id(&device),
        tree: long.clone(),
        at: long,
        flags: BindFlags::AFTER.creating(),
        rights: Rights::all() - Rights::READ,
    };
    let mut list = NamespaceList::new();
    list.push(longest).unwrap();
    assert_eq!(list.to_string().parse(), Ok(list));
    assert_eq!(DeviceId::new(&(device + "'")), Err(Errno::Nametoolong));
}

#[test]
fn a_namespace_has_a_bound_for_what_was_done() {
    let mut namespace = Namespace::new();
    let root = memory();
    for _ in 0..NAMESPACE_ENTRIES_MAX / 2 {
        let mounted = namespace.mount(root.clone(), "/a", Rights::RW, BindFlags::REPLACE);
        mounted.unwrap();
        namespace.unmount("/a").unwrap();
    }
    let more = namespace.mount(root, "/a", Rights::RW, BindFlags::REPLACE);
    assert_eq!(more, Err(Errno::Nospc));
    assert_eq!(namespace.unmount("/a"), Err(Errno::Nospc));
}

#[test]
fn names_of_devices_can_be_made_of_anything() {
    let named = |name: &str| {
        let mut list = NamespaceList::new();
        let device = DeviceId::named("dir", name).unwrap();
        let operation = Operation::Mount {
            device,
            tree: "/".to_owned(),
            at: name.to_owned(),
            flags: BindFlags::REPLACE,
            rights: Rights::all(),
        };
        list.push(operation).unwrap();
        let text = list.to_string();
        assert_eq!(text.parse(), Ok(list));
        text
    };
    assert_eq!(named("/srv/x y"), "mount -c 'dir:/srv/x y' '/srv/x y'\n");
    assert_eq!(
        named("/a\nb\\ '\u{85}\u{7f}"),
        "mount -c $'dir:/a\\x0ab\\\\ \\'\\xc2\\x85\\x7f' $'/a\\x0ab\\\\ \\'\\xc2\\x85\\x7f'\n"
    );
    assert_eq!(id("$HOME").kind(), "$HOME");
    let taken = ["m:/a", "m:/a+2"];
    let distinct = |text: &str| {
        let distinct = id(text).distinct(|id| taken.contains(&id.as_str()));
        distinct.unwrap().to_string()
    };
    assert_eq!(
        (distinct("m:/a"), distinct("m:/b")),
        ("m:/a+3".to_owned(), "m:/b".to_owned())
    );
    let device = id("fetch:/cap/fetch");
    assert_eq!(device.kind(), "fetch");
    assert_eq!(id("null").kind(), "null");
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let mut namespace = Namespace::new();
    let device = || id("memory:w");
    let flags = BindFlags::REPLACE;
    namespace
        .mount_device(device(), memory(), "/w", Rights::RW, flags)
        .unwrap();
    let (list, listed) = (namespace.list().clone(), names(&namespace, "."));
    let file = testkit::walk(&memory(), "top").unwrap();
    let united = namespace.mount(file, "/new/deep", Rights::RW, BindFlags::AFTER);
    assert_eq!(united, Err(Errno::Notdir));
    assert_eq!(namespace.unmount("/other/deep"), Err(Errno::Inval));
    assert_eq!(
        namespace.bind("/w/none", "/third", flags, Rights::RW),
        Err(Errno::Noent)
    );
    for at in ["w", "/w/../a", "/a\0b"] {
        let mounted = namespace.mount(memory(), at, Rights::RW, flags);
        assert_eq!(mounted, Err(Errno::Inval), "{at:?}");
    }
    assert_eq!((namespace.list(), names(&namespace, ".")), (&list, listed));
    // Numbers of directories made for mounting aren't used up either.
    let mut other = Namespace::build(&list, |_| Ok(memory())).unwrap();
    for namespace in [&mut namespace, &mut other] {
        namespace
            .mount(memory(), "/x/y", Rights::RW, flags)
            .unwrap();
    }
    assert_eq!(stat(&namespace, "x"), stat(&other, "x"));
}

#[test]
fn mounts_of_one_device_have_one_number() {
    let mut namespace = Namespace::new();
    let root = memory();
    let mut mount = |device: &str, root: &NodeRef, at: &str| {
        let flags = BindFlags::REPLACE;
        let mounted = namespace.mount_device(id(device), root.clone(), at, Rights::RW, flags);
        mounted.unwrap();
    };
    mount("memory:w", &root, "/one");
    mount("memory:other", &memory(), "/between");
    mount("memory:w", &root, "/two");
    assert_eq!(stat(&namespace, "one/sub"), stat(&namespace, "two/sub"));
    assert_ne!(stat(&namespace, "one"), stat(&namespace, "between"));
    // What is mounted in it is there by whatever path leads to it.
    let null = crate::device::null::Null::node();
    namespace
        .mount(null, "/one/sub/f", Rights::RW, BindFlags::REPLACE)
        .unwrap();
    assert_eq!(text(&namespace, "two/sub/f").unwrap(), "");
    // But they remain two mounts: names don't move between them.
    let root = namespace.root();
    let moved = now(namespace.rename(&root, "one/top", &root, "two/moved"));
    assert_eq!(moved, Err(Errno::Xdev));
}

#[test]
fn a_part_of_a_device_is_mounted_by_a_list() {
    let list: NamespaceList = "mount m:1 /a /sub\nmount -c m:1 /b\nmount m:1 /c /top\n"
        .parse()
        .unwrap();
    let mut asked = 0;
    let namespace = Namespace::build(&list, |_| {
        asked += 1;
        Ok(memory())
    });
    let namespace = namespace.unwrap();
    assert_eq!(asked, 1, "a device is asked for once");
    assert_eq!(text(&namespace, "a/f").unwrap(), "below");
    assert_eq!(text(&namespace, "c").unwrap(), "above");
    assert_eq!(stat(&namespace, "a"), stat(&namespace, "b/sub"));
    assert_eq!(namespace.list(), &list);
}

#[test]
fn what_cannot_be_built_is_named() {
    let built = |text: &str| {
        let list: NamespaceList = text.parse().unwrap();
        let device = |device: &DeviceId| match device.kind() {
            "m" => Ok(memory()),
            "late" => Ok(testkit::late(&memory())),
            _ => Err(Errno::Nodev),
        };
        let error = Namespace::build(&list, device).err().unwrap();
        (error.index, error.errno, error.to_string())
    };
    let (index, errno, text) = built("mount m:1 /\nmount gone:2 /a\n");
    assert_eq!((index, errno), (1, Errno::Nodev));
    assert!(text.starts_with("`mount gone:2 /a`: "), "{text}");
    let of = |text: &str| {
        let (index, errno, _) = built(text);
        (index, errno)
    };
    assert_eq!(of("mount m:1 / /none\n"), (0, Errno::Noent));
    assert_eq!(of("mount m:1 / /top/x\n"), (0, Errno::Notdir));
    assert_eq!(of("mount late:1 / /sub\n"), (0, Errno::Again));
    assert_eq!(of("mount m:1 /\nbind /none /a\n"), (1, Errno::Noent));
    assert_eq!(of("unmount /\n"), (0, Errno::Inval));
}

fn path() -> impl Strategy<Value = String> {
    let name = "[^/\0]{1,8}".prop_filter("a name", |name| name != "." && name != "..");
    prop::collection::vec(name, 0..5).prop_map(|names| format!("/{}", names.join("/")))
}

fn operation() -> impl Strategy<Value = Operation> {
    let order = prop::sample::select(vec![
        BindOrder::Replace,
        BindOrder::Before,
        BindOrder::After,
    ]);
    let flags = (order, any::<bool>()).prop_map(|(order, create)| BindFlags { order, create });
    let rights = (0..16u8).prop_map(Rights::from_bits_truncate);
    let how = (flags, rights);
    let device = "[^:]{1,6}(:(?s:.){0,12})?".prop_map(|text| id(&text));
    prop_oneof![
        (device, path(), path(), how.clone()).prop_map(|(device, tree, at, (flags, rights))| {
            Operation::Mount {
                device,
                tree,
                at,
                flags,
                rights,
            }
        }),
        (path(), path(), how).prop_map(|(from, at, (flags, rights))| Operation::Bind {
            from,
            at,
            flags,
            rights,
        }),
        path().prop_map(|at| Operation::Unmount { at }),
    ]
}

proptest! {
    #[test]
    fn a_text_reads_back(operations in prop::collection::vec(operation(), 0..8)) {
        let mut list = NamespaceList::new();
        for operation in operations {
            list.push(operation).unwrap();
        }
        for list in [list.shown(), list] {
            let text = list.to_string();
            prop_assert_eq!(text.lines().count(), list.operations().len());
            prop_assert_eq!(text.parse::<NamespaceList>(), Ok(list));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(mount|bind|unmount|[ \t\n'#/a:,$\\\\-]|\\\\x[0-9]|-o|read){0,40}") {
        if let Ok(list) = text.parse::<NamespaceList>() {
            prop_assert_eq!(list.to_string().parse::<NamespaceList>(), Ok(list));
        }
    }
}
