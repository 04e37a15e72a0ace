//! What several devices at one place add up to: identities, listings, stat, sync, names that stay in their member.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::tests::{create, memory, mounted, names, text};
use super::*;
use crate::account::Account;
use crate::device::memory::{MemoryFs, MemoryLimits};
use crate::device::null::Null;
use crate::forward::{forward_node, forward_open_file};
use crate::testkit::{self, ManualClock, READ, READ_WRITE, late, list_from, now, write};
use crate::{
    DirEntry, Directory, EditDirectory, Node, OpenFile, OpenHow, Opened, SetStat, SetTime,
};

fn place(namespace: &Namespace, path: &str) -> Place {
    let resolved = now(namespace.resolve(&namespace.root(), path, true)).unwrap();
    resolved.place.unwrap()
}

/// What a guest takes a file by: `dev` and `ino`.
fn identity(namespace: &Namespace, path: &str) -> (u64, u64) {
    let (device, stat) = now(namespace.stat(&namespace.root(), path, false)).unwrap();
    (device, stat.qid.path)
}

fn child_of(parent: &Namespace, binds: &[(&str, &str)]) -> Namespace {
    let mut child = Namespace::new();
    for (from, to) in binds {
        let view = parent.view(place(parent, from));
        child
            .mount(view, to, Rights::RW, BindFlags::REPLACE)
            .unwrap();
    }
    child
}

#[test]
fn a_mount_over_a_view_is_found_nowhere_else() {
    let all = [
        ("/", memory(&[("of", "/")]), Rights::RW, BindFlags::REPLACE),
        (
            "/tmp",
            memory(&[("of", "/tmp")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
        (
            "/work",
            memory(&[("of", "/work")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
    ];
    let mut parent = mounted(&all);
    // As deep as children may go.
    for _ in 0..5 {
        let mut child = child_of(&parent, &[(".", "/"), ("tmp", "/scratch")]);
        assert_eq!(text(&child, "scratch/of").unwrap(), "/tmp");
        assert_eq!(text(&child, "tmp/of").unwrap(), "/tmp");
        assert_eq!(text(&child, "work/of").unwrap(), "/work");
        assert_eq!(text(&child, "of").unwrap(), "/");
        let mut seen = HashMap::new();
        for path in ["of", "tmp/of", "work/of", ".", "tmp", "work"] {
            let other = seen.insert(identity(&child, path), path);
            assert_eq!(other, None, "{path} is another file");
        }
        child
            .mount(
                memory(&[("of", "over")]),
                "/work",
                Rights::RW,
                BindFlags::REPLACE,
            )
            .unwrap();
        assert_eq!(text(&child, "work/of").unwrap(), "over");
        assert_eq!(text(&child, "tmp/of").unwrap(), "/tmp");
        assert_eq!(text(&child, "of").unwrap(), "/");
        child.unmount("/work").unwrap();
        parent = child;
    }
}

#[test]
fn a_listing_shows_what_is_mounted_over_another_device_of_a_view() {
    // In `a` of the parent lie the root of a device, and a directory of the skeleton.
    let parent = mounted(&[
        ("/a", memory(&[("f", "")]), Rights::RW, BindFlags::REPLACE),
        ("/a/b", memory(&[]), Rights::RW, BindFlags::REPLACE),
    ]);
    let mut child = child_of(&parent, &[(".", "/")]);
    child
        .mount(Null::node(), "/a/b", Rights::RW, BindFlags::REPLACE)
        .unwrap();
    let mut file = now(child.open_place(&place(&child, "a"), READ)).unwrap();
    let entries = list_from(&mut *file, 0, 9).unwrap();
    let listed = entries.iter().find(|entry| entry.name == "b").unwrap();
    assert_eq!(listed.qid.kind, FileKind::CharacterDevice);
}

#[test]
fn several_mounts_in_front_of_a_root_leave_it_there() {
    let mut namespace = mounted(&[(
        "/",
        memory(&[("f", "root")]),
        Rights::RW,
        BindFlags::REPLACE,
    )]);
    for name in ["a", "b", "c"] {
        let at = format!("/{name}");
        let device = memory(&[("f", name)]);
        namespace
            .mount(device, &at, Rights::RW, BindFlags::REPLACE)
            .unwrap();
        assert_eq!(text(&namespace, &format!("{name}/f")).unwrap(), name);
        assert_eq!(text(&namespace, "f").unwrap(), "root");
    }
    assert_eq!(names(&namespace, "."), ["a", "b", "c", "f"]);
}

#[test]
fn numbers_tell_nothing_of_others_and_are_the_same_each_time() {
    let build = || {
        let mut namespace = mounted(&[
            ("/a/b", memory(&[("f", "")]), Rights::RW, BindFlags::REPLACE),
            ("/a/c", memory(&[("f", "")]), Rights::RW, BindFlags::REPLACE),
        ]);
        namespace
            .bind("/a/b", "/d", BindFlags::REPLACE, Rights::RO)
            .unwrap();
        let paths = [".", "a", "a/b", "a/b/f", "a/c/f", "d/f"];
        paths.map(|path| identity(&namespace, path))
    };
    let first = build();
    assert_eq!(first, [(1, 1), (1, 3), (2, 1), (2, 2), (3, 2), (2, 2)]);
    let refused = Namespace::new().mount(memory(&[]), "/..", Rights::RW, BindFlags::REPLACE);
    assert_eq!(refused, Err(Errno::Inval));
    assert_eq!(build(), first);
}

#[test]
fn a_view_is_the_device_that_it_shows() {
    let clock = Arc::new(ManualClock::new(1));
    testkit::writable(|| {
        let files = MemoryFs::new(clock.clone(), MemoryLimits::default()).root();
        let namespace = mounted(&[("/", files, Rights::RW, BindFlags::REPLACE)]);
        namespace.view(namespace.root())
    });
    // And one through a child's child, whose devices lie behind a view.
    testkit::writable(|| {
        let files = MemoryFs::new(clock.clone(), MemoryLimits::default()).root();
        let namespace = mounted(&[("/d", files, Rights::RW, BindFlags::REPLACE)]);
        let child = child_of(&namespace, &[(".", "/")]);
        child.view(place(&child, "d"))
    });
}

fn archive(range: std::ops::Range<usize>, more: &[&str]) -> NodeRef {
    let root = memory(&[]);
    let names = range.map(|index| format!("n{index}"));
    for name in names.chain(more.iter().map(|name| name.to_string())) {
        write(&root, &name, b"").unwrap();
    }
    root
}

/// All names, `step` at a time, from the start.
fn listed(file: &mut dyn OpenFile, step: usize) -> Vec<String> {
    let (mut cookie, mut names) = (0, Vec::new());
    loop {
        let entries = list_from(file, cookie, step).unwrap();
        let Some(last) = entries.last() else {
            return names;
        };
        cookie = last.cookie;
        names.extend(entries.into_iter().map(|entry| entry.name));
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// Two members with the same 200 names, and a few that only one of them has.
fn overlapping(wrap: fn(NodeRef) -> NodeRef) -> (Namespace, Vec<String>) {
    let (first, second) = (archive(0..200, &["a"]), archive(0..200, &["b", "c", "d"]));
    let third = archive(100..205, &["a", "c", "e"]);
    let mut namespace = mounted(&[
        ("/u", wrap(first), Rights::RW, BindFlags::REPLACE),
        ("/u", wrap(second), Rights::RW, BindFlags::AFTER),
        ("/u", wrap(third), Rights::RW, BindFlags::AFTER),
    ]);
    namespace
        .mount(memory(&[]), "/u/mounted", Rights::RW, BindFlags::REPLACE)
        .unwrap();
    let mut all: Vec<String> = (0..205).map(|index| format!("n{index}")).collect();
    all.extend(["a", "b", "c", "d", "e", "mounted"].map(str::to_owned));
    (namespace, sorted(all))
}

#[test]
fn a_union_lists_everything_once_at_every_step() {
    for wrap in [|node| node, (|node| late(&node)) as fn(NodeRef) -> NodeRef] {
        let (namespace, all) = overlapping(wrap);
        for step in [1, 3, 128, 1000] {
            let mut file = now(namespace.open_place(&place(&namespace, "u"), READ)).unwrap();
            assert_eq!(sorted(listed(&mut *file, step)), all, "{step} at a time");
            assert_eq!(sorted(listed(&mut *file, step)), all, "once more");
        }
    }
}

#[test]
fn a_listing_goes_on_from_every_cookie() {
    let (namespace, all) = overlapping(|node| node);
    let open = || now(namespace.open_place(&place(&namespace, "u"), READ)).unwrap();
    let mut file = open();
    let mut entries: Vec<DirEntry> = Vec::new();
    loop {
        let cookie = entries.last().map_or(0, |entry| entry.cookie);
        let part = list_from(&mut *file, cookie, 50).unwrap();
        if part.is_empty() {
            break;
        }
        entries.extend(part);
    }
    assert_eq!(entries.len(), all.len());
    for (place, entry) in entries.iter().enumerate().step_by(7) {
        let rest = &entries[place + 1..];
        // Another opening finds the cookie by listing up to it.
        for file in [&mut file, &mut open()] {
            let part = list_from(&mut **file, entry.cookie, 20).unwrap();
            assert_eq!(part.is_empty(), rest.is_empty());
            // A part may end where its member does.
            assert_eq!(part, rest[..part.len()]);
        }
    }
    assert_eq!(list_from(&mut *open(), u64::MAX >> 1, 20).unwrap(), []);
}

#[test]
fn a_listing_holds_as_much_as_is_said() {
    let (namespace, all) = overlapping(|node| node);
    let open = || now(namespace.open_place(&place(&namespace, "u"), READ)).unwrap();
    let mut half_read: Vec<_> = (0..2 * crate::UNION_LISTINGS_MAX).map(|_| open()).collect();
    for file in &mut half_read {
        list_from(&mut **file, 0, 50).unwrap();
    }
    assert_eq!(namespace.table.listings.count(), crate::UNION_LISTINGS_MAX);
    for file in &mut half_read {
        assert_eq!(
            sorted(listed(&mut **file, 9)),
            all,
            "with or without a memory"
        );
    }
    assert_eq!(
        namespace.table.listings.count(),
        0,
        "nothing is kept at the end"
    );
    list_from(&mut *half_read[0], 0, 50).unwrap();
    assert_eq!(namespace.table.listings.count(), 1);
    drop(half_read);
    assert_eq!(namespace.table.listings.count(), 0);
}

#[test]
fn what_a_listing_remembers_is_charged() {
    let (mut namespace, all) = overlapping(|node| node);
    for (room, remembers) in [(1 << 20, true), (1 << 10, false)] {
        let unbounded = Account::unlimited();
        namespace.charge(&unbounded);
        let file = now(namespace.open_place(&place(&namespace, "u"), READ)).unwrap();
        let members = unbounded.used();
        drop(file);
        let max = members + room;
        let account = Account::new(max);
        namespace.charge(&account);
        let mut file = now(namespace.open_place(&place(&namespace, "u"), READ)).unwrap();
        list_from(&mut *file, 0, 1).unwrap();
        let half_read = account.used() - members;
        assert_eq!(sorted(listed(&mut *file, 9)), all, "with room or without");
        let usage = account.usage();
        assert!(half_read > 0 && half_read <= max);
        assert_eq!(usage.peak >= 400 * 16, remembers, "{}", usage.peak);
        assert_eq!(usage.refused == 0, remembers);
        assert_eq!(account.used(), members, "nothing is kept at the end");
        drop(file);
        assert_eq!(account.used(), 0);
    }
}

#[test]
fn a_union_is_listed_while_names_come_and_go() {
    let (first, second) = (archive(0..60, &[]), archive(30..90, &[]));
    let namespace = mounted(&[
        ("/u", first.clone(), Rights::RW, BindFlags::REPLACE),
        ("/u", second.clone(), Rights::RW, BindFlags::AFTER),
    ]);
    let mut file = now(namespace.open_place(&place(&namespace, "u"), READ)).unwrap();
    let (mut cookie, mut seen) = (0, Vec::new());
    for round in 0.. {
        let entries = list_from(&mut *file, cookie, 7).unwrap();
        let Some(last) = entries.last() else { break };
        cookie = last.cookie;
        seen.extend(entries.into_iter().map(|entry| entry.name));
        // What was listed goes from the member that it was listed of, and is still in the other.
        let gone = testkit::edit(&first).unwrap();
        if round < 30 {
            let _ = now(gone.unlink(testkit::name(&format!("n{}", 30 + round))));
            write(&second, &format!("late{round}"), b"").unwrap();
            let _ = write(&first, &format!("n{}", 60 + round), b"");
        }
    }
    let all = sorted(seen.clone());
    let mut once = all.clone();
    once.dedup();
    assert_eq!(once, all, "nothing is listed twice");
    for index in 0..90 {
        let name = format!("n{index}");
        assert!(all.contains(&name), "{name} was there all along");
    }
}

/// A directory that counts how often it is committed.
struct Committed {
    inner: NodeRef,
    count: Arc<AtomicUsize>,
}

impl Node for Committed {
    forward_node!(inner: qid stat set_stat directory);

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let count = self.count.clone();
        self.inner.open(how).map(move |inner| {
            let file: Box<dyn OpenFile> = Box::new(CommittedFile { inner, count });
            file
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct CommittedFile {
    inner: Box<dyn OpenFile>,
    count: Arc<AtomicUsize>,
}

impl OpenFile for CommittedFile {
    forward_open_file!(inner: poll_read poll_write seekable stat set_stat entries);

    fn sync(&mut self, data_only: bool) -> Op<()> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.inner.sync(data_only)
    }
}

#[test]
fn a_united_directory_is_committed_whole() {
    let committed = |count: &Arc<AtomicUsize>| -> NodeRef {
        Arc::new(Committed {
            inner: memory(&[("f", "")]),
            count: count.clone(),
        })
    };
    let (first, second) = (Arc::default(), Arc::default());
    let namespace = mounted(&[
        ("/data", committed(&first), Rights::RW, BindFlags::REPLACE),
        ("/data", committed(&second), Rights::RW, BindFlags::AFTER),
        ("/data/cache", memory(&[]), Rights::RW, BindFlags::REPLACE),
    ]);
    let mut file = now(namespace.open_place(&place(&namespace, "data"), READ)).unwrap();
    for (count, data_only) in [(1, false), (2, true)] {
        now(file.sync(data_only)).unwrap();
        assert_eq!(first.load(Ordering::Relaxed), count);
        assert_eq!(second.load(Ordering::Relaxed), count);
    }
}

#[test]
fn a_directory_in_which_something_is_mounted_speaks_for_itself() {
    let mut namespace = mounted(&[
        (
            "/data",
            memory(&[("f", "")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
        ("/data/cache", memory(&[]), Rights::RW, BindFlags::REPLACE),
        ("/ro", memory(&[("f", "")]), Rights::RO, BindFlags::REPLACE),
        ("/ro/cache", memory(&[]), Rights::RW, BindFlags::REPLACE),
    ]);
    let root = namespace.root();
    let change = SetStat {
        mtime: Some(SetTime::To(77)),
        ..SetStat::default()
    };
    assert_eq!(now(namespace.set_stat(&root, "data", true, change)), Ok(()));
    let (device, stat) = now(namespace.stat(&root, "data", true)).unwrap();
    assert_eq!((device, stat.mtime), (2, 77));
    let mut file = now(namespace.open_place(&place(&namespace, "data"), READ)).unwrap();
    assert_eq!(now(file.stat()).unwrap(), stat);
    let change = SetStat {
        mtime: Some(SetTime::To(78)),
        ..change
    };
    now(file.set_stat(change)).unwrap();
    let (_, stat) = now(namespace.stat(&root, "data", true)).unwrap();
    assert_eq!(stat.mtime, 78);
    let refused = now(namespace.set_stat(&root, "ro", true, change));
    assert_eq!(refused, Err(Errno::Rofs));
    assert_eq!(place(&namespace, "ro").rights(), Rights::RO);
    assert_eq!(place(&namespace, "data").rights(), Rights::RW);
    // Where nothing else is, the skeleton speaks.
    namespace
        .mount(memory(&[]), "/x/y", Rights::RW, BindFlags::REPLACE)
        .unwrap();
    let root = namespace.root();
    let refused = now(namespace.set_stat(&root, "x", true, change));
    assert_eq!(refused, Err(Errno::Rofs));
}

#[test]
fn a_union_shows_no_names_of_a_member_that_may_not_be_read() {
    let hidden = Rights::RW - Rights::READ;
    let namespace = mounted(&[
        ("/d", memory(&[("f", "")]), hidden, BindFlags::REPLACE),
        ("/d/cache", memory(&[]), Rights::RW, BindFlags::REPLACE),
    ]);
    let opened = now(namespace.open_place(&place(&namespace, "d"), READ));
    assert_eq!(opened.err(), Some(Errno::Acces));
    let none = OpenHow::default();
    let mut file = now(namespace.open_place(&place(&namespace, "d"), none)).unwrap();
    assert_eq!(list_from(&mut *file, 0, 9), Err(Errno::Acces));
    assert_eq!(text(&namespace, "d/f").err(), Some(Errno::Acces));
}

#[test]
fn what_a_directory_was_opened_for_says_nothing_of_listing_it() {
    let hidden = Rights::RW - Rights::READ;
    let namespace = mounted(&[
        (
            "/plain",
            memory(&[("f", "")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
        ("/u", memory(&[("f", "")]), Rights::RW, BindFlags::REPLACE),
        ("/u", memory(&[("g", "")]), Rights::RW, BindFlags::AFTER),
        ("/hidden", memory(&[("f", "")]), hidden, BindFlags::REPLACE),
        (
            "/half",
            memory(&[("f", "")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
        ("/half", memory(&[("g", "")]), hidden, BindFlags::AFTER),
    ]);
    for (directory, expected) in [
        ("plain", Ok(1)),
        ("u", Ok(2)),
        ("hidden", Err(Errno::Acces)),
        ("half", Err(Errno::Acces)),
    ] {
        let place = place(&namespace, directory);
        let mut for_nothing = now(namespace.open_place(&place, OpenHow::default())).unwrap();
        let counted = match list_from(&mut *for_nothing, 0, 1) {
            Ok(_) => Ok(listed(&mut *for_nothing, 9).len()),
            Err(errno) => Err(errno),
        };
        assert_eq!(counted, expected, "{directory}");
        let for_reading = now(namespace.open_place(&place, READ));
        assert_eq!(for_reading.err(), expected.err(), "{directory}");
    }
}

#[test]
fn open_members_are_charged() {
    const MEMBERS: u64 = 8;
    let mounts: Vec<_> = (0..MEMBERS)
        .map(|index| {
            (
                "/u",
                memory(&[(&*format!("f{index}"), "")]),
                Rights::RW,
                if index == 0 {
                    BindFlags::REPLACE
                } else {
                    BindFlags::AFTER
                },
            )
        })
        .collect();
    let mut namespace = mounted(&mounts);
    let account = Account::new((3 * (MEMBERS - 1)) << 10);
    namespace.charge(&account);
    let open = || now(namespace.open_place(&place(&namespace, "u"), READ));
    let first = open().unwrap();
    assert_eq!(account.used(), (MEMBERS - 1) << 10);
    let others = [open().unwrap(), open().unwrap()];
    assert_eq!(open().err(), Some(Errno::Nomem));
    drop(first);
    drop(open().unwrap());
    drop(others);
    assert_eq!(account.used(), 0);
}

#[test]
fn a_name_moves_within_its_member() {
    let (first, second) = (memory(&[("a", "1")]), memory(&[("b", "2"), ("d/e", "3")]));
    let namespace = mounted(&[
        ("/u", first, Rights::RW, BindFlags::REPLACE),
        ("/u", second.clone(), Rights::RW, BindFlags::AFTER),
    ]);
    let root = namespace.root();
    let rename = |from: &str, to: &str| now(namespace.rename(&root, from, &root, to));
    assert_eq!(rename("u/b", "u/c"), Ok(()));
    assert_eq!(text(&namespace, "u/c").unwrap(), "2");
    assert_eq!(testkit::names_in(&second).unwrap(), ["c", "d"]);
    assert_eq!(rename("u/c", "u/d/c"), Ok(()));
    assert_eq!(rename("u/d/e", "u/e"), Ok(()));
    assert_eq!(testkit::names_in(&second).unwrap(), ["d", "e"]);
    assert_eq!(rename("u/a", "u/b"), Ok(()));
    // What is there can't be replaced from elsewhere.
    assert_eq!(rename("u/e", "u/b"), Err(Errno::Xdev));
    let link = now(namespace.link(&root, "u/e", false, &root, "u/new"));
    assert_eq!(link, Err(Errno::Xdev), "new names are made elsewhere");
    assert_eq!(names(&namespace, "u"), ["b", "d", "e"]);
}

/// A directory in which somebody else is faster: what is to be made is there, what was found is gone.
struct Contended {
    inner: NodeRef,
    /// Names that come, and names that go, before the next change.
    rivals: Mutex<Vec<&'static str>>,
}

impl Contended {
    fn rival(&self) -> Option<&'static str> {
        self.rivals.lock().unwrap().pop()
    }
}

impl Node for Contended {
    forward_node!(inner: qid stat open set_stat);

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Directory for Contended {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        testkit::directory(&self.inner).unwrap().walk(name)
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl EditDirectory for Contended {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        let edit = testkit::edit(&self.inner).unwrap();
        match self.rival() {
            Some("comes") => drop(write(&self.inner, name.as_str(), b"theirs")),
            Some("comes and goes") => return Op::err(Errno::Exist),
            _ => {}
        }
        edit.create(name, how)
    }

    fn make_directory(&self, _name: Name<'_>) -> Op<NodeRef> {
        Op::err(Errno::Notsup)
    }

    fn make_symlink(&self, _name: Name<'_>, _target: &str) -> Op<()> {
        Op::err(Errno::Notsup)
    }

    fn link(&self, _name: Name<'_>, _node: &NodeRef) -> Op<()> {
        Op::err(Errno::Notsup)
    }

    fn unlink(&self, _name: Name<'_>) -> Op<()> {
        Op::err(Errno::Notsup)
    }

    fn remove_directory(&self, _name: Name<'_>) -> Op<()> {
        Op::err(Errno::Notsup)
    }

    fn rename(&self, _name: Name<'_>, _to: &NodeRef, _to_name: Name<'_>) -> Op<()> {
        Op::err(Errno::Notsup)
    }
}

#[test]
fn whoever_is_faster_a_file_is_made_or_opened() {
    for wrap in [|node| node, (|node| late(&node)) as fn(NodeRef) -> NodeRef] {
        let contended = |rivals: &[&'static str]| {
            let device = Contended {
                inner: memory(&[]),
                rivals: Mutex::new(rivals.to_vec()),
            };
            let root = wrap(Arc::new(device));
            mounted(&[("/", root, Rights::RW, BindFlags::REPLACE)])
        };
        let namespace = contended(&["comes"]);
        drop(create(&namespace, "f").unwrap());
        assert_eq!(text(&namespace, "f").unwrap(), "theirs");
        let namespace = contended(&["comes", "comes and goes", "comes and goes"]);
        drop(create(&namespace, "f").unwrap());
        assert_eq!(text(&namespace, "f").unwrap(), "theirs");
        let namespace = contended(&["comes and goes"]);
        drop(create(&namespace, "f").unwrap());
        assert_eq!(text(&namespace, "f").unwrap(), "");
        let namespace = contended(&["comes and goes"; 50]);
        assert_eq!(create(&namespace, "f").err(), Some(Errno::Busy));
        // Exclusively means what it says.
        let at = OpenAt {
            create: true,
            exclusive: true,
            how: READ_WRITE,
            ..OpenAt::default()
        };
        let namespace = contended(&["comes"]);
        let opened = now(namespace.open(&namespace.root(), "f", at));
        assert_eq!(opened.err(), Some(Errno::Exist));
    }
}

#[test]
fn trees_are_mounted_outer_ones_first_in_whatever_order_they_come() {
    let device = || memory(&[("own", "x")]);
    let file = || crate::device::zero::Zero::node();
    let list = |mounts: Vec<(&str, NodeRef)>| -> Vec<_> {
        let mounts = mounts.into_iter();
        mounts
            .enumerate()
            .map(|(number, (at, root))| Mounted {
                at: at.to_owned(),
                device: DeviceId::named("memory", &number.to_string()).unwrap(),
                root,
                rights: Rights::RW,
            })
            .collect()
    };
    for turned in [false, true] {
        let mut mounts = list(vec![
            ("/", device()),
            ("/a/b", device()),
            ("/a//./b/c", file()),
            ("/a/d", file()),
        ]);
        if turned {
            mounts.reverse();
        }
        let mut namespace = Namespace::new();
        namespace.mount_all(&mounts).unwrap();
        for (path, expected) in [(".", "a own"), ("a", "b d"), ("a/b", "c own")] {
            assert_eq!(names(&namespace, path).join(" "), expected);
        }
    }
    // What is at one path is united, however that is written: of files nothing can be.
    let mut namespace = Namespace::new();
    let united = list(vec![("/a/", device()), ("/a", memory(&[("more", "y")]))]);
    namespace.mount_all(&united).unwrap();
    assert_eq!(names(&namespace, "a").join(" "), "own more");
    for (mounts, index) in [
        (vec![("/a/b", device()), ("/a", file())], 0),
        (vec![("/a", file()), ("/a", device())], 1),
        (vec![("/a", device()), ("/b", device()), ("/a", file())], 2),
    ] {
        let mounted = Namespace::new().mount_all(&list(mounts));
        assert_eq!(mounted, Err((index, Errno::Notdir)));
    }
}

#[test]
fn what_something_is_mounted_on_is_not_removable() {
    let namespace = mounted(&[
        (
            "/",
            memory(&[("a/b/c", "x"), ("d", "x")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
        (
            "/a/b",
            memory(&[("e", "x")]),
            Rights::RW,
            BindFlags::REPLACE,
        ),
        (
            "/a/ro",
            memory(&[("f", "x")]),
            Rights::RO,
            BindFlags::REPLACE,
        ),
    ]);
    let removable = |path: &str| {
        let place = now(namespace.removable(&namespace.root(), path))?;
        Ok((place.kind(), namespace.has_mounts_beside(&place)))
    };
    assert_eq!(removable("d"), Ok((FileKind::RegularFile, true)));
    assert_eq!(removable("a/b/e"), Ok((FileKind::RegularFile, false)));
    for (path, errno) in [
        ("a/b", Errno::Busy),
        ("a/ro", Errno::Busy),
        ("a/ro/f", Errno::Rofs),
        (".", Errno::Inval),
        ("a/x", Errno::Noent),
    ] {
        assert_eq!(removable(path), Err(errno), "{path}");
    }
}
