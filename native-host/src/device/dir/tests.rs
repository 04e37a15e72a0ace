use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use capfs::account::{Account, Holding};
use capfs::testkit::{self, READ, edit, list_from, name, now, walk, write};
use capfs::{Errno, FileKind, Handle, NodeRef, Op, OpenFile, OpenHow, SetStat};
use capfs_native_devices::blocking::Pool;
use tempfile::TempDir;

use super::{HostFolder, Numbers};
use crate::reserved::{Bars, Danger, Reserved};

fn open(path: &Path, bars: Bars) -> NodeRef {
    opened(path, bars, &Account::unlimited())
}

fn opened(path: &Path, bars: Bars, account: &Account) -> NodeRef {
    let folder = HostFolder::open(path).unwrap();
    let numbers = Arc::new(Numbers::new(account));
    folder.root(bars, account, numbers).unwrap()
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
        let root = opened(scratch.path(), Bars::default(), account);
        (now(root.open(READ)).unwrap(), account.used())
    };
    // What is kept has room for it, but not what it takes to read it.
    let account = Account::new(2 * 100 * NAMES as u64);
    let (mut file, before) = opened(&account);
    assert_eq!(list_from(&mut *file, 0, 1), Err(Errno::Nomem));
    assert_eq!(
        account.used(),
        before,
        "nothing is held by what was refused"
    );

    let account = Account::new(1 << 20);
    let (mut file, before) = opened(&account);
    list_from(&mut *file, 0, 1).unwrap();
    // What was seen has a number for as long as the folder is there.
    let numbers = NAMES as u64 * 64;
    let held = account.used() - before - numbers;
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
    let left = account.used() - before - numbers;
    assert!(left < held / 100, "what has gone is given back");
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
    let account = Account::unlimited();
    let numbers = Arc::new(Numbers::new(&account));
    let root = folder.root(bars, &account, numbers).unwrap();
    assert_eq!(walk(&root, "f").err(), Some(Errno::Acces));
    assert!(walk(&root, "g").is_ok());
}

#[test]
fn procfs_is_nobody_s() {
    assert!(HostFolder::open(Path::new("/proc/self")).is_err());
    let root = open(Path::new("/"), Bars::default());
    assert_eq!(walk(&root, "proc").err(), Some(Errno::Acces));
    assert!(walk(&root, "dev").is_ok());
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
    let node = walk(&root, "f").unwrap();
    std::fs::rename(&other, &path).unwrap();
    let mut file = now(node.open(READ)).unwrap();
    assert_eq!(
        testkit::read_at(&mut *file, 0, 9).err(),
        Some(Errno::Notsup)
    );
    assert_eq!(now(file.stat()).err(), Some(Errno::Notsup));
    assert_eq!(now(file.sync(true)).err(), Some(Errno::Notsup));
}

fn number(root: &NodeRef, path: &str) -> u64 {
    let node = walk(root, path).unwrap();
    let stat = now(node.stat()).unwrap();
    assert_eq!(stat.qid, node.qid(), "{path}");
    stat.qid.path
}

/// What an agent does with a folder, and the numbers that it sees meanwhile.
fn history(scratch: &Path, root: &NodeRef) -> Vec<u64> {
    let host_s = |path: &str| std::fs::symlink_metadata(scratch.join(path)).unwrap().ino();
    let edit = edit(root).unwrap();
    let mut seen = vec![root.qid().path, number(root, "there")];
    let mut listing = now(root.open(READ)).unwrap();
    let listed = list_from(&mut *listing, 0, 1000).unwrap();
    for entry in &listed {
        assert_eq!(entry.qid.path, number(root, &entry.name), "{}", entry.name);
        assert_ne!(entry.qid.path, host_s(&entry.name), "{}", entry.name);
    }
    let mut listed: Vec<_> = listed
        .iter()
        .map(|entry| (&entry.name, entry.qid.path))
        .collect();
    listed.sort();
    seen.extend(listed.iter().map(|(_, number)| number));

    write(root, "made", b"text").unwrap();
    let made = number(root, "made");
    let node = walk(root, "made").unwrap();
    now(edit.link(name("linked"), &node)).unwrap();
    let below = now(edit.make_directory(name("below"))).unwrap();
    now(edit.rename(name("made"), &below, name("moved"))).unwrap();
    assert_eq!(number(root, "linked"), made, "one file, another name");
    assert_eq!(number(root, "below/moved"), made, "the same after a rename");
    now(edit.make_symlink(name("symbolic"), "linked")).unwrap();
    seen.extend(["linked", "below", "symbolic"].map(|path| number(root, path)));

    // As long as it is open, also without a name.
    let file = now(walk(root, "linked").unwrap().open(READ)).unwrap();
    now(edit.unlink(name("linked"))).unwrap();
    now(testkit::edit(&below).unwrap().unlink(name("moved"))).unwrap();
    write(root, "other", b"").unwrap();
    assert_eq!(now(file.stat()).unwrap().qid.path, made);
    drop(file);
    // The host may give its number to the next one.
    for _ in 0..4 {
        write(root, "linked", b"").unwrap();
        seen.push(number(root, "linked"));
        now(edit.unlink(name("linked"))).unwrap();
        now(edit.make_directory(name("linked"))).unwrap();
        seen.push(number(root, "linked"));
        now(edit.remove_directory(name("linked"))).unwrap();
        now(edit.make_symlink(name("linked"), "x")).unwrap();
        seen.push(number(root, "linked"));
        now(edit.unlink(name("linked"))).unwrap();
    }
    let mut once = seen.clone();
    once.sort_unstable();
    once.dedup();
    // The root and what was there were seen twice.
    assert!(
        once.len() >= seen.len() - 1,
        "no number is given twice: {seen:?}"
    );
    seen
}

#[test]
fn numbers_follow_from_what_the_agent_has_done() {
    let made = |names: &[&str]| {
        let (scratch, root) = folder();
        for name in names {
            std::fs::write(scratch.path().join(name), b"").unwrap();
        }
        history(scratch.path(), &root)
    };
    // The host lists and numbers them in another order.
    let first = made(&["a", "b", "c", "there"]);
    assert_eq!(made(&["there", "c", "b", "a"]), first);
    assert_eq!(first[..6], [1, 2, 3, 4, 5, 2]);
}

#[test]
fn a_folder_that_is_there_twice_has_the_same_numbers() {
    let scratch = tempfile::tempdir().unwrap();
    let account = Account::unlimited();
    let numbers = Arc::new(Numbers::new(&account));
    let [one, other] = [(), ()].map(|()| {
        let folder = HostFolder::open(scratch.path()).unwrap();
        folder
            .root(Bars::default(), &account, numbers.clone())
            .unwrap()
    });
    write(&one, "a", b"").unwrap();
    write(&other, "b", b"").unwrap();
    for path in ["a", "b"] {
        assert_eq!(number(&one, path), number(&other, path));
    }
    assert_eq!(one.qid(), other.qid());
}

#[test]
fn what_numbers_take_is_charged_and_bounded() {
    let scratch = tempfile::tempdir().unwrap();
    let account = Account::new(1 << 20);
    let root = opened(scratch.path(), Bars::default(), &account);
    let edit = edit(&root).unwrap();
    let begin = account.used();
    for index in 0..20_000 {
        // Some are replaced rather than removed, and some of them have a second name.
        now(edit.make_symlink(name("s"), "target")).unwrap();
        match index % 3 {
            0 => now(edit.unlink(name("s"))).unwrap(),
            1 => now(edit.rename(name("s"), &root, name("t"))).unwrap(),
            _ => {
                let node = walk(&root, "s").unwrap();
                now(edit.link(name("u"), &node)).unwrap();
                now(edit.unlink(name("s"))).unwrap();
                assert_eq!(number(&root, "u"), node.qid().path);
                now(edit.unlink(name("u"))).unwrap();
            }
        }
    }
    let used = account.used() - begin;
    assert!(
        used <= (1 << 20) / 8 + 1024,
        "{used} bytes are kept of what is gone"
    );
    drop(root);
    assert_eq!(account.used(), 0);
    // Where there is no room for another number, the oldest is given back for it.
    let root = opened(scratch.path(), Bars::default(), &account);
    std::fs::write(scratch.path().join("new"), b"").unwrap();
    let rest = account.charge(Holding::Files, account.left()).unwrap();
    let mut seen = vec![root.qid().path, number(&root, "new")];
    for made in ["one", "other"] {
        write(&root, made, b"").unwrap();
        seen.push(number(&root, made));
    }
    assert_eq!(seen, [1, 2, 3, 4]);
    assert_eq!(account.left(), 0);
    drop(rest);
    // Where there is none at all, there is no folder.
    let _rest = account.charge(Holding::Files, account.left()).unwrap();
    let folder = HostFolder::open(scratch.path()).unwrap();
    let numbers = Arc::new(Numbers::new(&account));
    let refused = folder.root(Bars::default(), &account, numbers);
    assert!(refused.is_err());
}

/// A folder in which others make and remove files, more of them than an agent can have numbers for.
#[test]
fn what_others_remove_is_not_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let account = Account::new(1 << 20);
    let root = opened(scratch.path(), Bars::default(), &account);
    let begin = account.used();
    let mut last = 1;
    for round in 0..20 {
        let path = |file| scratch.path().join(format!("{round}-{file:04}"));
        for file in 0..1_500 {
            std::fs::write(path(file), b"").unwrap();
        }
        let mut listing = now(root.open(READ)).unwrap();
        let mut listed = list_from(&mut *listing, 0, 9_999).unwrap();
        drop(listing);
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        // The host gives the numbers of those that are gone to the next, so that some may be those of before; none stands for two files.
        let mut numbers: Vec<u64> = listed.iter().map(|entry| entry.qid.path).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 1_500, "round {round}");
        last = last.max(*numbers.last().unwrap());
        let used = account.used() - begin;
        assert!(
            used <= (1 << 20) / 8 + 1024,
            "{used} bytes in round {round}"
        );
        for file in 0..1_500 {
            std::fs::remove_file(path(file)).unwrap();
        }
    }
    assert!(last > 1_500, "some of the numbers were new");
}

#[test]
fn names_are_read_beside_agents_that_share_threads() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let (_directory, root) = folder();
    write(&root, "f", b"").unwrap();
    let mut file = now(root.open(READ)).unwrap();
    let pool = Pool::new(runtime.handle().clone(), 1);
    runtime.block_on(pool.scope(async {
        // What is pending is done elsewhere.
        let listed = file.entries().unwrap().list(0, 10);
        assert!(matches!(listed, Op::Later(_)));
        let listed = listed.wait().await.unwrap();
        assert_eq!(listed.len(), 1);
        // What was read is in memory.
        let rest = file.entries().unwrap().list(listed[0].cookie, 10);
        assert!(matches!(rest, Op::Ready(Ok(rest)) if rest.is_empty()));
    }));
}

/// A folder, and the same for whoever comes back to it on this host.
fn image(path: &Path, numbers: &Arc<Numbers>) -> testkit::Image {
    let folder = HostFolder::open(path).unwrap();
    let account = Account::unlimited();
    let (again, known) = (path.to_owned(), numbers.clone());
    testkit::Image {
        root: folder
            .root(Bars::default(), &account, numbers.clone())
            .unwrap(),
        again: Box::new(move || image(&again, &known)),
    }
}

#[test]
fn what_is_open_is_found_again_after_any_call_as_it_was() {
    let kept = RefCell::new(Vec::new());
    testkit::durable_but_listings(|| {
        let directory = tempfile::tempdir().unwrap();
        let numbers = Arc::new(Numbers::new(&Account::unlimited()));
        let made = image(directory.path(), &numbers);
        kept.borrow_mut().push(directory);
        made
    });
}

fn resolve(root: &NodeRef, handles: &[Handle], covered: &[u64]) -> Vec<Result<u64, Errno>> {
    let covered = covered.iter().copied().collect();
    let found = now(root.durable().unwrap().resolve(handles, &covered)).unwrap();
    let number = |node: Result<NodeRef, Errno>| node.map(|node| node.qid().path);
    found.into_iter().map(number).collect()
}

#[test]
fn files_are_found_again_where_they_were_and_as_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    std::fs::create_dir_all(path("d/e")).unwrap();
    for name in ["stays", "moves", "goes", "replaced", "d/e/deep", "unseen"] {
        std::fs::write(path(name), name).unwrap();
    }
    let root = open(scratch.path(), Bars::default());
    let names = [
        "stays", "moves", "goes", "replaced", "d", "d/e", "d/e/deep", "",
    ];
    let nodes = names.map(|name| walk(&root, name).unwrap());
    let handles = nodes.each_ref().map(|node| node.save().unwrap());
    let numbers = nodes.each_ref().map(|node| node.qid().path);
    assert_eq!(resolve(&root, &handles, &[]), numbers.map(Ok));
    let [_, _, _, _, d, e, deep, top] = numbers;
    // Below what it is asked of alone, and not behind what covers it.
    let below = resolve(&nodes[4], &handles, &[]);
    assert_eq!(below[..4], [Err(Errno::Stale); 4]);
    assert_eq!(below[4..], [Ok(d), Ok(e), Ok(deep), Err(Errno::Stale)]);
    let stale = Err(Errno::Stale);
    assert_eq!(
        resolve(&root, &handles, &[e])[4..],
        [Ok(d), stale, stale, Ok(top)]
    );
    assert_eq!(resolve(&nodes[5], &handles, &[e])[5..7], [Ok(e), Ok(deep)]);

    let mut file = now(nodes[2].open(READ)).unwrap();
    assert_eq!(file.save().unwrap().node(), &handles[2]);
    std::fs::rename(path("moves"), path("moved")).unwrap();
    std::fs::remove_file(path("goes")).unwrap();
    assert_eq!(file.save().err(), Some(Errno::Nodev), "it has no name");
    assert_eq!(nodes[2].save().err(), Some(Errno::Nodev));
    std::fs::remove_file(path("replaced")).unwrap();
    std::fs::write(path("replaced"), "by another").unwrap();
    std::fs::write(path("goes"), "is there again").unwrap();
    assert_eq!(file.save().err(), Some(Errno::Nodev), "it is another");
    assert_eq!(testkit::read_at(&mut *file, 0, 9).unwrap(), b"goes");
    // For an agent that has seen nothing else here, they have the numbers that they had.
    let again = open(scratch.path(), Bars::default());
    walk(&again, "unseen").unwrap();
    let found = resolve(&again, &handles, &[]);
    assert_eq!(found[1..4], [stale; 3]);
    assert!(found[0].is_ok());
    assert_eq!(found[5..], [Ok(e), Ok(deep), Ok(top)]);
    let all: HashSet<u64> = found.iter().flatten().copied().collect();
    assert_eq!(all.len(), 5, "no number twice: {found:?}");
    // A folder that is elsewhere has other files, whatever their names are.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("stays"), "stays").unwrap();
    let elsewhere = open(other.path(), Bars::default());
    assert_eq!(resolve(&elsewhere, &handles, &[]), [stale; 8]);
}

#[test]
fn no_handle_leads_out_of_a_folder() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), scratch.path().join("link")).unwrap();
    let inside = scratch.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(scratch.path().join("beside"), "beside").unwrap();
    let whole = open(scratch.path(), Bars::default());
    let secret = open(outside.path(), Bars::default());
    let root = open(&inside, Bars::default());
    let saved = |node: &NodeRef, name: &str| {
        let handle = walk(node, name).unwrap().save().unwrap();
        let bytes = handle.bytes().to_vec();
        bytes[..bytes.len() - name.len()].to_vec()
    };
    let (secret, beside) = (saved(&secret, "secret"), saved(&whole, "beside"));
    let forged = |head: &[u8], path: &str| Handle::new([head, path.as_bytes()].concat()).unwrap();
    for handle in [
        forged(&secret, "link/secret"),
        forged(&secret, "secret"),
        forged(&beside, "../beside"),
        forged(&beside, "/beside"),
        forged(&beside, "inside/../beside"),
        forged(&beside, "./beside"),
        forged(&beside[..10], ""),
        forged(&beside, ""),
    ] {
        for node in [&root, &whole] {
            let found = resolve(node, std::slice::from_ref(&handle), &[]);
            assert_eq!(found, [Err(Errno::Stale)], "{:?}", handle.bytes());
        }
    }
}

#[test]
fn what_is_reserved_is_not_found_by_a_handle() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("f"), "").unwrap();
    let root = open(scratch.path(), Bars::default());
    let handle = walk(&root, "f").unwrap().save().unwrap();
    let own = tempfile::tempdir().unwrap();
    let secret = own.path().join("master");
    std::fs::hard_link(scratch.path().join("f"), &secret).unwrap();
    let mut reserved = Reserved::default();
    reserved.add("a secret", &secret, Danger::Read, "");
    let folder = HostFolder::open(scratch.path()).unwrap();
    let barred = open(scratch.path(), reserved.check(&folder, false).unwrap());
    assert_eq!(resolve(&barred, &[handle], &[]), [Err(Errno::Stale)]);
}

#[test]
fn a_folder_tells_what_there_is_room_for() {
    let (directory, root) = folder();
    let system = rustix::fs::statvfs(directory.path()).unwrap();
    let told = now(root.file_system_stat()).unwrap();
    let blocks = (u64::from(told.block_size), told.blocks);
    assert_eq!(blocks, (system.f_frsize, system.f_blocks));
    assert!(told.free <= told.blocks && told.name_max == 255);
    let account = Account::unlimited();
    let limited = HostFolder::open(directory.path()).unwrap();
    let (limited, _) = limited.limited(40_960, Bars::default(), &account).unwrap();
    write(&limited, "f", &[1; 5_000]).unwrap();
    let told = now(limited.file_system_stat()).unwrap();
    assert_eq!((told.block_size, told.blocks, told.free), (4_096, 10, 8));
    assert_eq!(told.files - told.free_files, 1);
}

#[test]
fn what_takes_long_by_its_size_is_done_beside_agents_that_share_threads() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let (directory, root) = folder();
    let large = directory.path().join("large");
    let pool = Pool::new(runtime.handle().clone(), 1);
    let writing = OpenHow {
        write: true,
        ..OpenHow::default()
    };
    let resize = |size| SetStat {
        size: Some(size),
        ..SetStat::default()
    };
    runtime.block_on(pool.scope(async {
        write(&root, "large", b"").unwrap();
        let node = walk(&root, "large").unwrap();
        let mut file = now(node.open(writing)).unwrap();
        // What is small is done at once.
        assert!(matches!(file.allocate(0, 4096), Op::Ready(Ok(()))));
        let allocated = file.allocate(0, 32 << 20);
        assert!(matches!(allocated, Op::Later(_)));
        allocated.wait().await.unwrap();
        assert_eq!(std::fs::metadata(&large).unwrap().len(), 32 << 20);
        assert!(matches!(file.set_stat(resize(31 << 20)), Op::Ready(Ok(()))));
        let shrunk = file.set_stat(resize(1));
        assert!(matches!(shrunk, Op::Later(_)));
        shrunk.wait().await.unwrap();
        assert_eq!(std::fs::metadata(&large).unwrap().len(), 1);
        assert!(matches!(file.set_stat(resize(32 << 20)), Op::Ready(Ok(()))));
        let edit = edit(&root).unwrap();
        let removed = edit.unlink(name("large"));
        assert!(matches!(removed, Op::Later(_)));
        removed.wait().await.unwrap();
        assert!(!large.exists());
        let sized = |size: u64| {
            let file = std::fs::File::create(&large).unwrap();
            file.set_len(size).unwrap();
        };
        sized(32 << 20);
        write(&root, "small", b"x").unwrap();
        let replaced = edit.rename(name("small"), &root, name("large"));
        assert!(matches!(replaced, Op::Later(_)));
        replaced.wait().await.unwrap();
        assert_eq!(std::fs::read(&large).unwrap(), b"x");
        sized(32 << 20);
        let empty = OpenHow {
            truncate: true,
            ..writing
        };
        let emptied = walk(&root, "large").unwrap().open(empty);
        assert!(matches!(emptied, Op::Later(_)));
        let emptied = emptied.wait().await.unwrap();
        assert_eq!(now(emptied.stat()).unwrap().size, 0);
        assert!(matches!(
            walk(&root, "large").unwrap().open(empty),
            Op::Ready(Ok(_))
        ));
        write(&root, "small", b"x").unwrap();
        assert!(matches!(edit.unlink(name("small")), Op::Ready(Ok(()))));
    }));
}
