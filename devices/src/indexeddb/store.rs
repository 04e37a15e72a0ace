//! A store: its records, its indexes, its queries.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use capfs::account::{Buffer, Charge, Holding};
use capfs::device::conversations::LastError;
use capfs::device::parts::{lock, set_device_stat, stream_stat};
use capfs::device::synthetic::{DynamicNames, text_file};
use capfs::{
    DirEntry, Directory, EditDirectory, Entries, Errno, FileKind, GuestSink, GuestSource,
    MaybeSend, Name, Node, NodeRef, Op, OpenFile, OpenHow, Opened, Qid, SetStat, Stat, WriteAt,
    Written,
};

use super::codec::{self, IndexKey};
use super::engine::Engine;
use super::host::{Failure, Held};
use super::query::Query;
use super::record::{Record, Start};
use crate::exchange;

/// Names that are read from the host in one piece.
const PIECE: usize = 1000;

/// A store of a database.
pub(super) struct Store {
    pub(super) engine: Arc<Engine>,
    pub(super) db: String,
    pub(super) name: String,
    /// The database's.
    pub(super) error: Arc<LastError>,
    /// The identity of `data`.
    data: Qid,
    indexes: Mutex<BTreeMap<String, NodeRef>>,
}

impl Store {
    pub(super) fn new(
        engine: &Arc<Engine>,
        error: &Arc<LastError>,
        db: &str,
        name: &str,
    ) -> Arc<Store> {
        Arc::new(Store {
            engine: engine.clone(),
            db: db.to_owned(),
            name: name.to_owned(),
            error: error.clone(),
            data: engine.device.qid(FileKind::Directory),
            indexes: Mutex::default(),
        })
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.db, self.name)
    }

    pub(super) fn explained<T>(&self, outcome: Result<T, Failure>) -> Result<T, Errno> {
        outcome.map_err(|failure| self.error.explain(failure.errno, failure.text))
    }

    pub(super) async fn get(&self, key: &[u8]) -> Result<Option<Held<Vec<u8>>>, Failure> {
        self.engine.get(&self.db, &self.name, key).await
    }

    pub(super) async fn size(&self, key: &[u8]) -> Result<Option<u64>, Failure> {
        self.engine.size(&self.db, &self.name, key).await
    }

    async fn has(&self, key: &[u8]) -> Result<bool, Errno> {
        let there = self.engine.has_record(&self.db, &self.name, key).await;
        self.explained(there)
    }

    pub(super) async fn change(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&Vec<u8>>) -> Result<Option<Vec<u8>>, Failure> + MaybeSend + 'static,
    ) -> Result<(), Failure> {
        self.engine.change(&self.db, &self.name, key, change).await
    }

    /// Its directory.
    pub(super) fn directory(self: Arc<Store>) -> NodeRef {
        let (count, query) = (self.clone(), self.clone());
        let device = &self.engine.device.clone();
        device
            .directory()
            .node("data", Arc::new(Data(self.clone())))
            .dir("index", device.directory().dynamic(Indexes(self)))
            .text("count", move || {
                let store = count.clone();
                Op::run(async move {
                    let counted = store.engine.count(&store.db, &store.name).await;
                    Ok(store.explained(counted)?.to_string())
                })
            })
            .node("query", exchange::node(device, move || Query::new(&query)))
            .build()
    }
}

/// `data`, as a node and open.
#[derive(Clone)]
struct Data(Arc<Store>);

impl Node for Data {
    fn qid(&self) -> Qid {
        self.0.data
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(Stat {
            nlink: 2,
            ..stream_stat(self.qid())
        })
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        if how.write || how.truncate {
            return Op::err(Errno::Isdir);
        }
        Op::ok(Box::new(Listing {
            data: self.clone(),
            listed: Arc::default(),
        }))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Data {
    fn record(&self, name: &str) -> Option<Record> {
        Some(Record {
            store: self.0.clone(),
            key: codec::unescape(name)?.into(),
        })
    }
}

impl Directory for Data {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        let Some(record) = self.record(name.as_str()) else {
            return Op::err(Errno::Noent);
        };
        Op::run(async move {
            match record.store.has(&record.key).await? {
                true => Ok(Arc::new(record) as NodeRef),
                false => Err(Errno::Noent),
            }
        })
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl EditDirectory for Data {
    /// The key is there from the first write on, or when the file is synced or closed without one.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: no key has this name
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        let Some(record) = self.record(name.as_str()) else {
            let text = "bytes that are not letters, digits, `_`, `-`, `~`, `.` are written as % and two upper-case digits";
            return Op::err(self.0.error.explain(Errno::Inval, text));
        };
        Op::run(async move {
            if record.store.has(&record.key).await? {
                return Err(Errno::Exist);
            }
            let file = record.open(how, Start::Made);
            let node: NodeRef = Arc::new(record);
            Ok(Opened { node, file })
        })
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

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        let Some(record) = self.record(name.as_str()) else {
            return Op::err(Errno::Noent);
        };
        Op::run(async move {
            let store = &record.store;
            let removed = store
                .engine
                .remove(&store.db, &store.name, &record.key)
                .await;
            store.explained(removed)
        })
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        self.walk(name).then(|_| Op::err(Errno::Notdir))
    }

    /// Records are not moved: a key is a part of what its value means.
    fn rename(&self, _name: Name<'_>, _to: &NodeRef, _to_name: Name<'_>) -> Op<()> {
        Op::err(Errno::Notsup)
    }
}

/// What `data` has listed so far, in the order of the keys.
#[derive(Default)]
struct Listed {
    keys: Vec<Vec<u8>>,
    ended: bool,
    /// For them.
    charges: Vec<Charge>,
}

/// `data` open.
struct Listing {
    data: Data,
    listed: Arc<Mutex<Listed>>,
}

impl OpenFile for Listing {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Err(Errno::Isdir))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Isdir))
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        self.data.stat()
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        Some(self)
    }
}

impl Entries for Listing {
    /// A cookie is the place among the names listed so far; from the start they are listed anew.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: the account has no room for the next names, [`PIECE`] at most
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let (store, listed) = (self.data.0.clone(), self.listed.clone());
        Op::run(async move {
            let from = usize::try_from(cookie).map_err(|_| Errno::Inval)?;
            if from == 0 {
                *lock(&listed) = Listed::default();
            }
            let after = {
                let listed = lock(&listed);
                let short = listed.keys.len() < from.saturating_add(max) && !listed.ended;
                // The key behind the last one: itself and a zero.
                let next = listed.keys.last().map(|key| [&key[..], &[0]].concat());
                short.then_some(next)
            };
            if let Some(low) = after {
                let most = PIECE.max(max);
                let bounds = (low, None);
                let keys = store
                    .engine
                    .keys(&store.db, &store.name, bounds, most, false);
                let keys = store.explained(keys.await)?;
                let mut listed = lock(&listed);
                listed.ended = keys.what.len() < most;
                listed.keys.extend(keys.what);
                listed.charges.push(keys.charge);
            }
            let listed = lock(&listed);
            let entries = listed.keys.iter().enumerate().skip(from).take(max);
            Ok(entries
                .map(|(place, key)| DirEntry {
                    name: codec::escape(key),
                    qid: Record::qid(&store, key),
                    cookie: place as u64 + 1,
                })
                .collect())
        })
    }
}

/// The directories of the indexes.
struct Indexes(Arc<Store>);

impl DynamicNames for Indexes {
    fn find(&self, name: &str) -> Op<NodeRef> {
        let (store, name) = (self.0.clone(), name.to_owned());
        Op::run(async move {
            let all = store.engine.indexes(&store.db, &store.name).await;
            let all = store.explained(all)?;
            let known = all.iter().any(|index| index.name == name);
            known.then_some(()).ok_or(Errno::Noent)?;
            Ok(store.clone().index(&name))
        })
    }

    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let store = self.0.clone();
        Op::run(async move {
            let all = store.engine.indexes(&store.db, &store.name).await;
            let all = store.explained(all)?;
            // Indexes are added behind the others and never taken away.
            let behind = all.iter().enumerate().skip(cookie as usize).take(max);
            Ok(behind
                .map(|(place, index)| DirEntry {
                    name: index.name.clone(),
                    qid: store.clone().index(&index.name).qid(),
                    cookie: place as u64 + 1,
                })
                .collect())
        })
    }
}

impl Store {
    /// The directory of an index, the same each time.
    fn index(self: Arc<Store>, name: &str) -> NodeRef {
        let mut all = lock(&self.indexes);
        if let Some(node) = all.get(name) {
            return node.clone();
        }
        let names = IndexNames {
            store: Arc::downgrade(&self),
            index: name.to_owned(),
        };
        let directory = self.engine.device.directory();
        let node = directory.dynamic(names).build();
        all.insert(name.to_owned(), node.clone());
        node
    }
}

/// What an index orders records by: each name is a file that has the records' names, one a line.
struct IndexNames {
    /// The store has the directory that this is in.
    store: Weak<Store>,
    index: String,
}

/// Entries of an index that are listed, or that one of its files holds, at most.
const ENTRIES_MAX: usize = 100_000;

impl DynamicNames for IndexNames {
    fn find(&self, name: &str) -> Op<NodeRef> {
        let by = IndexKey::of_name(name);
        let (Some(store), Some(by)) = (self.store.upgrade(), by) else {
            return Op::err(Errno::Noent);
        };
        let index = self.index.clone();
        Op::run(async move {
            if store.entries(&index, Some(&by), 1).await?.what.is_empty() {
                return Err(Errno::Noent);
            }
            let device = store.engine.device.clone();
            let text = move || {
                let (store, index, by) = (store.clone(), index.clone(), by.clone());
                Op::run(async move {
                    let entries = store.entries(&index, Some(&by), ENTRIES_MAX).await?;
                    let mut names =
                        Buffer::new(store.engine.device.account(), Holding::Descriptors);
                    for (place, (_, key)) in entries.what.iter().enumerate() {
                        if place > 0 {
                            names.extend(b"\n")?;
                        }
                        names.extend(codec::escape(key).as_bytes())?;
                    }
                    let (names, _charge) = names.take();
                    String::from_utf8(names).map_err(|_| Errno::Io)
                })
            };
            Ok(text_file(&device, text))
        })
    }

    /// A cookie is the place among the names, which are read anew each time: names that come or go meanwhile may
    /// be listed twice or not at all.
    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let Some(store) = self.store.upgrade() else {
            return Op::err(Errno::Nodev);
        };
        let index = self.index.clone();
        Op::run(async move {
            let Held {
                what: mut entries,
                charge: _charge,
            } = store.entries(&index, None, ENTRIES_MAX).await?;
            entries.dedup_by(|one, other| one.0 == other.0);
            let behind = entries.iter().enumerate().skip(cookie as usize).take(max);
            Ok(behind
                .map(|(place, (by, _))| DirEntry {
                    name: by.name(),
                    qid: store.engine.device.qid(FileKind::RegularFile),
                    cookie: place as u64 + 1,
                })
                .collect())
        })
    }
}

impl Store {
    /// Entries of an index, all of them or those of one key.
    async fn entries(
        &self,
        index: &str,
        by: Option<&IndexKey>,
        limit: usize,
    ) -> Result<Held<Vec<(IndexKey, Vec<u8>)>>, Errno> {
        let bounds = match by.map(IndexKey::encode) {
            Some(low) => {
                let (low, high) = codec::range(low);
                (Some(low), Some(high))
            }
            None => (None, None),
        };
        let index = (&*self.db, &*self.name, index);
        let entries = self.engine.entries(index, bounds, limit, false).await;
        self.explained(entries)
    }
}
