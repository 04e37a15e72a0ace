//! What is read of databases is charged before it is held, and what is given up is given up.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use capfs::OpenFile;
use capfs_devices::indexeddb::{Answer, Decide, Held, Policy, Space, device};

use super::*;
use crate::indexeddb::SqliteSpace;

const MIB: usize = 1 << 20;

#[test]
fn a_value_is_charged_while_it_is_changed() {
    let (state, _root) = feeds();
    let account = Account::new(16 << 20);
    let root = charged("indexeddb", state.path(), &account);
    let value = "x".repeat(MIB);
    put(&root, "feeds/items", "large", &value).unwrap();
    assert!(
        account.usage().peak >= 2 * MIB as u64,
        "what is written, and what it becomes"
    );
    let node = walk(&root, "feeds/items/data/large").unwrap();
    let mut file = now(node.open(READ_WRITE)).unwrap();
    write_at(&mut *file, WriteAt::End, b"y").unwrap();
    drop(file);
    assert_eq!(account.used(), 0, "nothing is left");

    // The value that is there and what it becomes have room, with what is held already or without.
    let account = Account::new(3 * MIB as u64);
    let root = charged("indexeddb", state.path(), &account);
    let node = walk(&root, "feeds/items/data/large").unwrap();
    let mut file = now(node.open(READ_WRITE)).unwrap();
    write_at(&mut *file, WriteAt::Offset(0), b"z").unwrap();
    let more = vec![b'm'; MIB];
    let refused = write_at(&mut *file, WriteAt::End, &more);
    assert_eq!(refused.err(), Some(Errno::Nomem));
    let too_long = write_at(&mut *file, WriteAt::Offset(0), &vec![b'm'; 4 * MIB]);
    assert_eq!(too_long.err(), Some(Errno::Nomem));
    let refused = now(file.set_stat(SetStat {
        size: Some(2 * MIB as u64),
        ..SetStat::default()
    }));
    assert_eq!(refused, Err(Errno::Nomem));
    assert!(account.usage().peak <= 3 * MIB as u64);
    drop(file);
    assert_eq!(
        text(&root, "feeds/items/data/large"),
        format!("z{}y", &value[1..])
    );
    assert_eq!(account.used(), 0, "nothing is left");
}

#[test]
fn a_value_is_charged_before_it_is_read() {
    let (state, root) = feeds();
    put(&root, "feeds/items", "large", &"x".repeat(8 * MIB)).unwrap();
    put(&root, "feeds/items", "small", "y").unwrap();
    let account = Account::new(4 * MIB as u64);
    let root = charged("indexeddb", state.path(), &account);
    let path = "feeds/items/data/large";
    assert_eq!(testkit::stat(&root, path).unwrap().size, 8 * MIB as u64);
    let mut file = now(walk(&root, path).unwrap().open(READ)).unwrap();
    assert_eq!(now(file.stat()).unwrap().size, 8 * MIB as u64);
    assert!(
        account.usage().peak < 64 << 10,
        "to know its size is enough"
    );
    assert_eq!(read_at(&mut *file, 0, 10), Err(Errno::Nomem));
    assert!(account.usage().peak < 64 << 10, "nothing of it was read");
    assert_eq!(
        text(&root, "feeds/error"),
        "the agent may not hold the value\n"
    );
    assert_eq!(text(&root, "feeds/items/data/small"), "y");
    // Nor is it read to be changed, by itself or with others.
    let mut file = now(walk(&root, path).unwrap().open(READ_WRITE)).unwrap();
    let refused = write_at(&mut *file, WriteAt::Offset(0), b"z");
    assert_eq!(refused.err(), Some(Errno::Nomem));
    let mut batch = now(walk(&root, "feeds/batch").unwrap().open(READ_WRITE)).unwrap();
    write_at(
        &mut *batch,
        WriteAt::End,
        b"put items small z\nis items large x\n",
    )
    .unwrap();
    assert_eq!(read_at(&mut *batch, 0, 10), Err(Errno::Nomem));
    drop(batch);
    let indexed = ctl(&root, "feeds/ctl", "index items by /by");
    assert_eq!(indexed, Err(Errno::Nomem));
    assert!(account.usage().peak < 256 << 10);
    assert_eq!(text(&root, "feeds/items/data/small"), "y");
    drop(file);
    assert_eq!(account.used(), 0, "nothing is left");

    let account = Account::new(10 * MIB as u64);
    let root = charged("indexeddb", state.path(), &account);
    let mut file = now(walk(&root, path).unwrap().open(READ)).unwrap();
    read_at(&mut *file, 0, 10).unwrap();
    assert!(account.used() >= 8 * MIB as u64);
    // Once more from the start: what was read before is given back first.
    read_at(&mut *file, 0, 10).unwrap();
    drop(file);
    assert_eq!(account.used(), 0);
}

#[test]
fn keys_are_charged_before_they_are_listed() {
    const KEYS: usize = 500;
    let (state, root) = feeds();
    ctl(&root, "feeds/ctl", "index items by /by").unwrap();
    for number in 0..KEYS {
        let value = format!(r#"{{"by":"{number:0>200}"}}"#);
        put(&root, "feeds/items", &format!("{number:0>200}"), &value).unwrap();
    }
    let account = Account::new(64 << 10);
    let root = charged("indexeddb", state.path(), &account);
    let listed = |path: &str| {
        let mut open = now(walk(&root, path).unwrap().open(READ)).unwrap();
        testkit::list_from(&mut *open, 0, 10).map(|entries| entries.len())
    };
    assert_eq!(listed("feeds/items/data"), Err(Errno::Nomem));
    assert_eq!(listed("feeds/items/index/by"), Err(Errno::Nomem));
    assert_eq!(query(&root, "feeds/items", "\n"), Err(Errno::Nomem));
    let of_index = query(&root, "feeds/items", "index by\n");
    assert_eq!(of_index, Err(Errno::Nomem));
    assert_eq!(account.used(), 0, "nothing is left");
    assert!(account.usage().peak <= 64 << 10);
    let few = query(&root, "feeds/items", "limit 3\n").unwrap();
    assert_eq!(few.lines().count(), 3);

    let account = Account::new(MIB as u64);
    let root = charged("indexeddb", state.path(), &account);
    let mut open = now(walk(&root, "feeds/items/data").unwrap().open(READ)).unwrap();
    assert_eq!(testkit::list_from(&mut *open, 0, 10).unwrap().len(), 10);
    assert!(account.used() >= 200 * KEYS as u64, "they are kept");
    drop(open);
    let mut asking = now(walk(&root, "feeds/items/query").unwrap().open(READ_WRITE)).unwrap();
    write_at(&mut *asking, WriteAt::End, b"index by\n").unwrap();
    read_at(&mut *asking, 0, 10).unwrap();
    assert!(account.used() >= 200 * KEYS as u64, "so is an answer");
    drop(asking);
    assert_eq!(account.used(), 0);
}

#[test]
fn what_an_index_orders_by_is_charged() {
    let (state, root) = feeds();
    let value = |byte: &str| format!(r#"{{"by":"{}"}}"#, byte.repeat(MIB));
    put(&root, "feeds/items", "k", &value("a")).unwrap();
    let replaced = |byte, max: usize| {
        let account = Account::new(max as u64);
        let root = charged("indexeddb", state.path(), &account);
        let outcome = put(&root, "feeds/items", "k", &value(byte));
        assert_eq!(account.used(), 0, "nothing is left");
        outcome.map(|()| account.usage().peak as usize)
    };
    let plain = replaced("b", 16 * MIB).unwrap();
    for index in ["one", "two", "three", "four"] {
        ctl(&root, "feeds/ctl", &format!("index items {index} /by")).unwrap();
    }
    // The texts of the one that is there and of the other, each of which can be all of a value, are read of them as well.
    let indexed = replaced("c", 16 * MIB).unwrap();
    assert!(indexed >= plain + MIB, "{indexed}, {plain} without");
    assert!(indexed < plain + 3 * MIB, "one after the other of indexes");
    assert_eq!(replaced("d", plain + MIB / 2), Err(Errno::Nomem));
}

#[test]
fn what_is_refused_has_not_happened() {
    let quota = Account::unlimited;
    let memory = || Account::new(64 << 10);
    for (flag, account) in [
        ("indexeddb,quota=65536", quota as fn() -> Account),
        ("indexeddb", memory),
    ] {
        let kept = RefCell::new(Vec::new());
        let make_root = || {
            let (state, _root) = feeds();
            let root = charged(flag, state.path(), &account());
            kept.borrow_mut().push(state);
            walk(&root, "feeds/items/data").unwrap()
        };
        testkit::refuses(make_root, 100_000);
    }
}

#[test]
fn a_file_that_nobody_closes_makes_nothing() {
    let (_state, root) = feeds();
    put(&root, "feeds/items", "k", "what was there").unwrap();
    let data = walk(&root, "feeds/items/data").unwrap();
    drop(now(walk(&data, "k").unwrap().open(WRITE)).unwrap());
    drop(
        now(testkit::edit(&data)
            .unwrap()
            .create(testkit::name("new"), WRITE))
        .unwrap(),
    );
    assert_eq!(text(&root, "feeds/items/data/k"), "what was there");
    assert_eq!(names(&root, "feeds/items/data"), ["k"]);
    // Nothing is written where nothing is there to write.
    let mut file = now(walk(&data, "k").unwrap().open(READ_WRITE)).unwrap();
    let written = write_at(&mut *file, WriteAt::End, b"").unwrap();
    assert_eq!((written.bytes, written.end), (0, 14));
}

/// SQLite, as it would be elsewhere: an answer is begun when it is asked for a second time.
struct Elsewhere(Arc<SqliteSpace>);

fn elsewhere<T: Send + 'static>(
    space: &Arc<SqliteSpace>,
    ask: impl FnOnce(&SqliteSpace) -> Answer<T> + Send + 'static,
) -> Answer<T> {
    let space = space.clone();
    Box::pin(async move {
        let mut asked = false;
        poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        ask(&space).await
    })
}

impl Space for Elsewhere {
    fn get(&self, key: Vec<u8>, account: &Account) -> Answer<Option<Held<Vec<u8>>>> {
        let account = account.clone();
        elsewhere(&self.0, move |space| space.get(key, &account))
    }

    fn size(&self, key: Vec<u8>) -> Answer<Option<u64>> {
        elsewhere(&self.0, move |space| space.size(key))
    }

    fn keys(
        &self,
        low: Vec<u8>,
        high: Vec<u8>,
        limit: usize,
        reverse: bool,
        account: &Account,
    ) -> Answer<Held<Vec<Vec<u8>>>> {
        let account = account.clone();
        elsewhere(&self.0, move |space| {
            space.keys(low, high, limit, reverse, &account)
        })
    }

    fn count(&self, low: Vec<u8>, high: Vec<u8>) -> Answer<u64> {
        elsewhere(&self.0, move |space| space.count(low, high))
    }

    fn update(
        &self,
        reads: Vec<Vec<u8>>,
        account: &Account,
        decide: Box<dyn Decide>,
    ) -> Answer<()> {
        let account = account.clone();
        elsewhere(&self.0, move |space| space.update(reads, &account, decide))
    }
}

/// Polls a read or a write once, which waits, and gives it up.
fn given_up<T>(
    file: &mut dyn OpenFile,
    poll: impl FnOnce(&mut dyn OpenFile, &mut Context<'_>) -> Poll<T>,
) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(poll(file, &mut context).is_pending());
    file.cancel();
}

#[test]
fn a_write_that_is_given_up_has_not_happened_and_is_not_taken_for_the_next_one() {
    let (state, root) = feeds();
    put(&root, "feeds/items", "k", "what was there").unwrap();
    let account = Account::new(MIB as u64);
    let space = Arc::new(SqliteSpace::new(state.path().to_owned()));
    let root = device(Arc::new(Elsewhere(space)), Policy::default(), &account);
    let node = walk(&root, "feeds/items/data/k").unwrap();
    let first = |file: &mut dyn OpenFile, context: &mut Context<'_>| {
        file.poll_write(context, WriteAt::Offset(0), &mut &b"the first"[..])
    };
    let mut file = now(node.open(READ_WRITE)).unwrap();
    given_up(&mut *file, first);
    assert_eq!(account.used(), 0, "nothing is kept of it");
    given_up(&mut *file, |file, context| {
        file.poll_read(context, 0, &mut &mut [0; 10][..])
    });
    let second = write_at(&mut *file, WriteAt::End, b", and more").unwrap();
    assert_eq!((second.bytes, second.end), (10, 24));
    drop(file);
    assert_eq!(
        text(&root, "feeds/items/data/k"),
        "what was there, and more"
    );
    // One that was to replace all of the value leaves that to the next.
    let mut file = now(node.open(WRITE)).unwrap();
    given_up(&mut *file, first);
    write_at(&mut *file, WriteAt::End, b"new").unwrap();
    drop(file);
    assert_eq!(text(&root, "feeds/items/data/k"), "new");
    // Closing does it where none comes.
    let mut file = now(node.open(WRITE)).unwrap();
    given_up(&mut *file, first);
    now(file.finish()).unwrap();
    assert_eq!(text(&root, "feeds/items/data/k"), "");
    assert_eq!(account.used(), 0);
}
