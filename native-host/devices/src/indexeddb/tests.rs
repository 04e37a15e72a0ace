//! The tree, over SQLite.

mod held;

use std::fs;
use std::path::Path;

use capfs::account::Account;
use capfs::testkit::{self, READ, READ_WRITE, now, read_at, walk, write_at};
use capfs::{Errno, NodeRef, OpenHow, SetStat, WriteAt};
use capfs_devices::grant::Grant;
use tempfile::TempDir;

use crate::Host;

const WRITE: OpenHow = OpenHow {
    read: false,
    write: true,
    truncate: true,
};

fn granted(flag: &str, state: &Path) -> NodeRef {
    charged(flag, state, &Account::unlimited())
}

fn charged(flag: &str, state: &Path, account: &Account) -> NodeRef {
    let host = Host {
        state: Some(state.to_owned()),
        account: account.clone(),
        ..Host::default()
    };
    host.device(&Grant::from_flag(flag).unwrap()).unwrap()
}

fn ctl(root: &NodeRef, path: &str, command: &str) -> Result<(), Errno> {
    let mut file = now(walk(root, path)?.open(WRITE))?;
    write_at(&mut *file, WriteAt::End, format!("{command}\n").as_bytes())?;
    Ok(())
}

fn text(root: &NodeRef, path: &str) -> String {
    String::from_utf8(testkit::read(root, path).unwrap()).unwrap()
}

fn put(root: &NodeRef, store: &str, key: &str, value: &str) -> Result<(), Errno> {
    let data = walk(root, &format!("{store}/data"))?;
    let mut file = match now(data.directory().unwrap().walk(testkit::name(key))) {
        Ok(node) => now(node.open(WRITE))?,
        Err(Errno::Noent) => {
            let edit = data.directory().unwrap().edit().unwrap();
            now(edit.create(testkit::name(key), WRITE))?.file
        }
        Err(errno) => return Err(errno),
    };
    write_at(&mut *file, WriteAt::Offset(0), value.as_bytes())?;
    Ok(())
}

fn remove(root: &NodeRef, store: &str, key: &str) -> Result<(), Errno> {
    let data = walk(root, &format!("{store}/data"))?;
    now(data
        .directory()
        .unwrap()
        .edit()
        .unwrap()
        .unlink(testkit::name(key)))
}

fn query(root: &NodeRef, store: &str, query: &str) -> Result<String, Errno> {
    let mut file = now(walk(root, &format!("{store}/query"))?.open(READ_WRITE))?;
    write_at(&mut *file, WriteAt::End, query.as_bytes())?;
    Ok(String::from_utf8(read_at(&mut *file, 0, 4096)?).unwrap())
}

fn names(root: &NodeRef, path: &str) -> Vec<String> {
    testkit::names_in(&walk(root, path).unwrap()).unwrap()
}

fn feeds() -> (TempDir, NodeRef) {
    let state = TempDir::new().unwrap();
    let root = granted("indexeddb", state.path());
    ctl(&root, "ctl", "create feeds").unwrap();
    ctl(&root, "feeds/ctl", "store items").unwrap();
    (state, root)
}

#[test]
fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;

    let (state, root) = feeds();
    put(&root, "feeds/items", "a", "1").unwrap();
    for entry in fs::read_dir(state.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{entry:?}");
    }
}

#[test]
fn databases_and_stores() {
    let (state, root) = feeds();
    assert_eq!(ctl(&root, "ctl", "create feeds"), Err(Errno::Exist));
    assert_eq!(
        text(&root, "error"),
        "there is a database `feeds` already\n"
    );
    for bad in [
        "create",
        "create a/b",
        "create .a",
        "create ctl",
        "destroy feeds",
        "create a b",
    ] {
        assert_eq!(ctl(&root, "ctl", bad), Err(Errno::Inval), "{bad}");
    }
    assert_eq!(ctl(&root, "feeds/ctl", "store items"), Err(Errno::Exist));
    assert_eq!(ctl(&root, "feeds/ctl", "store version"), Err(Errno::Inval));
    assert_eq!(text(&root, "feeds/version"), "2\n");
    assert_eq!(names(&root, ""), ["ctl", "error", "feeds", "policy"]);
    assert_eq!(
        names(&root, "feeds"),
        ["batch", "ctl", "error", "items", "version"]
    );
    assert_eq!(
        names(&root, "feeds/items"),
        ["count", "data", "index", "query"]
    );
    put(&root, "feeds/items", "a", "1").unwrap();

    let again = granted("indexeddb", state.path());
    assert_eq!(text(&again, "feeds/items/data/a"), "1");
    ctl(&root, "ctl", "delete feeds").unwrap();
    assert_eq!(walk(&root, "feeds").err(), Some(Errno::Noent));
    assert_eq!(ctl(&root, "ctl", "delete feeds"), Err(Errno::Noent));
    // Who had it open is told.
    assert_eq!(put(&again, "feeds/items", "b", "2"), Err(Errno::Noent));
    assert_eq!(
        text(&again, "feeds/error"),
        "there is no database `feeds`\n"
    );
    ctl(&root, "ctl", "create feeds").unwrap();
    assert_eq!(names(&root, "feeds"), ["batch", "ctl", "error", "version"]);
}

#[test]
fn values_are_files() {
    let (_state, root) = feeds();
    let store = "feeds/items";
    put(&root, store, "a", "first").unwrap();
    put(&root, store, "b%20%2F", "second").unwrap();
    put(&root, store, "a", "1").unwrap();
    assert_eq!(text(&root, "feeds/items/data/a"), "1");
    assert_eq!(names(&root, "feeds/items/data"), ["a", "b%20%2F"]);
    assert_eq!(text(&root, "feeds/items/count"), "2\n");
    assert_eq!(put(&root, store, "b c", "x"), Err(Errno::Inval));
    assert_eq!(put(&root, store, "é", "x"), Err(Errno::Inval));
    remove(&root, store, "a").unwrap();
    assert_eq!(remove(&root, store, "a"), Err(Errno::Noent));
    assert_eq!(walk(&root, "feeds/items/data/a").err(), Some(Errno::Noent));

    let mut file = now(walk(&root, "feeds/items/data/b%20%2F")
        .unwrap()
        .open(READ_WRITE))
    .unwrap();
    assert_eq!(write_at(&mut *file, WriteAt::End, b"!").unwrap().bytes, 1);
    write_at(&mut *file, WriteAt::Offset(0), b"S").unwrap();
    assert_eq!(read_at(&mut *file, 0, 99).unwrap(), b"Second!");
    assert_eq!(read_at(&mut *file, 3, 2).unwrap(), b"on");
    let change = SetStat {
        size: Some(3),
        ..SetStat::default()
    };
    now(file.set_stat(change)).unwrap();
    assert_eq!(now(file.stat()).unwrap().size, 3);
    let far = write_at(&mut *file, WriteAt::Offset(u64::MAX), b"x");
    assert_eq!(far.err(), Some(Errno::Fbig));
    let far = write_at(&mut *file, WriteAt::Offset(16 << 20), b"x");
    assert_eq!(far.err(), Some(Errno::Fbig));
    // Deleted behind an open descriptor's back.
    remove(&root, store, "b%20%2F").unwrap();
    assert_eq!(read_at(&mut *file, 0, 9), Err(Errno::Noent));
}

#[test]
fn a_created_file_is_there_from_its_first_write() {
    let (_state, root) = feeds();
    let data = walk(&root, "feeds/items/data").unwrap();
    let create = |name| {
        let edit = data.directory().unwrap().edit().unwrap();
        now(edit.create(testkit::name(name), READ_WRITE))
            .unwrap()
            .file
    };
    let mut file = create("a");
    assert_eq!(text(&root, "feeds/items/count"), "0\n");
    now(file.finish()).unwrap();
    assert_eq!(text(&root, "feeds/items/data/a"), "");
    let mut file = create("b");
    now(file.sync(false)).unwrap();
    assert_eq!(text(&root, "feeds/items/count"), "2\n");
}

#[test]
fn a_record_that_was_removed_stays_removed() {
    let (_state, root) = feeds();
    put(&root, "feeds/items", "gone", "secret").unwrap();
    let node = walk(&root, "feeds/items/data/gone").unwrap();
    let mut file = now(node.open(READ_WRITE)).unwrap();
    assert_eq!(read_at(&mut *file, 0, 6).unwrap(), b"secret");
    remove(&root, "feeds/items", "gone").unwrap();
    let written = write_at(&mut *file, WriteAt::Offset(6), b"y");
    assert_eq!(written.unwrap_err(), Errno::Noent);
    let resized = SetStat {
        size: Some(3),
        ..SetStat::default()
    };
    assert_eq!(now(file.set_stat(resized)), Err(Errno::Noent));
    assert_eq!(names(&root, "feeds/items/data"), Vec::<String>::new());
}

#[test]
fn each_name_that_an_index_lists_can_be_opened() {
    let (_state, root) = feeds();
    ctl(&root, "feeds/ctl", "index items date /date").unwrap();
    for (key, value) in [
        ("long", format!(r#"{{"date":"{}"}}"#, "x".repeat(256))),
        (
            "escaped",
            format!(r#"{{"date":"{}"}}"#, "\u{e9}".repeat(50)),
        ),
        ("fits", format!(r#"{{"date":"{}"}}"#, "x".repeat(255))),
        ("small", r#"{"date":5e-324}"#.to_owned()),
        ("large", r#"{"date":1.7e308}"#.to_owned()),
        ("plain", r#"{"date":1.5}"#.to_owned()),
    ] {
        put(&root, "feeds/items", key, &value).unwrap();
    }
    let listed = names(&root, "feeds/items/index/date");
    assert_eq!(listed[..3], ["=1.5", "=1.7e308", "=5e-324"]);
    assert_eq!(listed.len(), 4, "{listed:?}");
    for name in listed {
        walk(&root, &format!("feeds/items/index/date/{name}")).unwrap();
    }
}

#[test]
fn indexes_follow_the_values() {
    let (_state, root) = feeds();
    let store = "feeds/items";
    put(&root, store, "a", r#"{"age":10,"name":"Ann"}"#).unwrap();
    put(&root, store, "b", r#"{"age":9.5,"name":"Bob"}"#).unwrap();
    ctl(&root, "feeds/ctl", "index items age /age").unwrap();
    ctl(&root, "feeds/ctl", "index items name /name").unwrap();
    put(&root, store, "c", r#"{"age":10,"name":"x/y"}"#).unwrap();
    put(&root, store, "d", "no JSON").unwrap();
    assert_eq!(names(&root, "feeds/items/index"), ["age", "name"]);
    assert_eq!(names(&root, "feeds/items/index/age"), ["=10", "=9.5"]);
    assert_eq!(
        names(&root, "feeds/items/index/name"),
        ["Ann", "Bob", "x%2Fy"]
    );
    assert_eq!(text(&root, "feeds/items/index/age/=10"), "a\nc\n");
    put(&root, store, "a", r#"{"age":"old"}"#).unwrap();
    assert_eq!(text(&root, "feeds/items/index/age/=10"), "c\n");
    assert_eq!(text(&root, "feeds/items/index/age/old"), "a\n");
    assert_eq!(
        walk(&root, "feeds/items/index/name/Ann").err(),
        Some(Errno::Noent)
    );
    remove(&root, store, "c").unwrap();
    assert_eq!(names(&root, "feeds/items/index/age"), ["=9.5", "old"]);
    assert_eq!(query(&root, store, "index age").as_deref(), Ok("b\na\n"));
    assert_eq!(
        query(&root, store, "index age range =9 =10").as_deref(),
        Ok("b\n")
    );
    assert_eq!(query(&root, store, "index none"), Err(Errno::Noent));
    for bad in [
        "index items age /age",
        "index items x age",
        "index none x /x",
        "index items a/b /x",
    ] {
        assert!(ctl(&root, "feeds/ctl", bad).is_err(), "{bad}");
    }
    assert_eq!(text(&root, "feeds/version"), "4\n");
}

#[test]
fn batches_are_done_whole_or_not_at_all() {
    let (_state, root) = feeds();
    ctl(&root, "feeds/ctl", "store read").unwrap();
    ctl(&root, "feeds/ctl", "index items n /n").unwrap();
    let batch = |lines: &str| {
        let mut file = now(walk(&root, "feeds/batch")?.open(READ_WRITE))?;
        write_at(&mut *file, WriteAt::End, lines.as_bytes())?;
        read_at(&mut *file, 0, 99)
    };
    let committed = Ok(b"committed\n".to_vec());
    let lines = "absent items a\nput items a {\"n\":1}\nput read a x%0Ay\n";
    assert_eq!(batch(lines), committed);
    assert_eq!(text(&root, "feeds/read/data/a"), "x\ny");
    assert_eq!(text(&root, "feeds/items/index/n/=1"), "a\n");
    assert_eq!(batch(lines), Err(Errno::Canceled));
    assert_eq!(text(&root, "feeds/error"), "`a` of `items` is there\n");
    assert_eq!(batch("put items b 1\nis read a x\n"), Err(Errno::Canceled));
    assert_eq!(batch("put items b 1\ndelete read c\n"), Err(Errno::Noent));
    assert_eq!(batch("put items b 1\nput none c 1\n"), Err(Errno::Noent));
    assert_eq!(batch("put items b 1\nswap items a b\n"), Err(Errno::Inval));
    assert_eq!(text(&root, "feeds/items/count"), "1\n");
    let lines =
        "is items a {\"n\":1}\ndelete items a\nput items b {\"n\":2}\nput items b {\"n\":3}";
    assert_eq!(batch(lines), committed);
    assert_eq!(names(&root, "feeds/items/data"), ["b"]);
    assert_eq!(names(&root, "feeds/items/index/n"), ["=3"]);
    assert_eq!(batch(""), committed);
    assert_eq!(batch(&"put items b 1\n".repeat(1025)), Err(Errno::TooBig));
}

#[test]
fn queries() {
    let (_state, root) = feeds();
    let store = "feeds/items";
    for key in ["a", "b", "c", "d"] {
        put(&root, store, key, "x").unwrap();
    }
    assert_eq!(query(&root, store, "range b d").as_deref(), Ok("b\nc\n"));
    assert_eq!(
        query(&root, store, "range * c reverse").as_deref(),
        Ok("b\na\n")
    );
    assert_eq!(query(&root, store, "limit 1").as_deref(), Ok("a\n"));
    assert_eq!(query(&root, store, "range d *").as_deref(), Ok("d\n"));
    assert_eq!(query(&root, store, "range d a").as_deref(), Ok(""));
    assert_eq!(query(&root, store, "select"), Err(Errno::Inval));
}

#[test]
fn many_records_are_listed_once_each() {
    let (_state, root) = feeds();
    for number in 0..1_100 {
        put(&root, "feeds/items", &format!("k{number:05}"), "x").unwrap();
    }
    let listed = names(&root, "feeds/items/data");
    assert_eq!(listed.len(), 1_100);
    assert!(listed.is_sorted());
}

#[test]
fn the_quota() {
    let state = TempDir::new().unwrap();
    let root = granted("indexeddb,quota=1000,databases=1", state.path());
    ctl(&root, "ctl", "create a").unwrap();
    assert_eq!(ctl(&root, "ctl", "create b"), Err(Errno::Dquot));
    ctl(&root, "a/ctl", "store s").unwrap();
    let large = "x".repeat(900);
    put(&root, "a/s", "one", &large).unwrap();
    assert_eq!(put(&root, "a/s", "two", &large), Err(Errno::Dquot));
    assert_eq!(
        text(&root, "a/error"),
        "more than the 1000 bytes of the grant\n"
    );
    assert_eq!(walk(&root, "a/s/data/two").err(), Some(Errno::Noent));
    put(&root, "a/s", "one", &large).unwrap();
    remove(&root, "a/s", "one").unwrap();
    put(&root, "a/s", "two", &large).unwrap();
}

#[test]
fn without_a_folder_there_are_none() {
    let grant = Grant::from_flag("indexeddb").unwrap();
    assert!(Host::default().device(&grant).is_err());
}

#[test]
fn a_damaged_file_is_an_error() {
    let (state, root) = feeds();
    drop(root);
    for file in fs::read_dir(state.path()).unwrap() {
        fs::write(file.unwrap().path(), vec![7; 10_000]).unwrap();
    }
    let root = granted("indexeddb", state.path());
    assert_eq!(walk(&root, "feeds").err(), Some(Errno::Io));
    assert_eq!(
        text(&root, "error"),
        "the file of the databases is damaged\n"
    );
}

#[test]
fn two_agents_at_once() {
    let (state, root) = feeds();
    let folder = state.path().to_owned();
    let other = std::thread::spawn(move || {
        let root = granted("indexeddb", &folder);
        for number in 0..50 {
            put(&root, "feeds/items", &format!("other{number}"), "x").unwrap();
        }
    });
    for number in 0..50 {
        put(&root, "feeds/items", &format!("own{number}"), "x").unwrap();
    }
    other.join().unwrap();
    assert_eq!(text(&root, "feeds/items/count"), "100\n");
    let file = now(walk(&root, "feeds/items/data/own1").unwrap().open(READ));
    assert!(file.is_ok());
}
