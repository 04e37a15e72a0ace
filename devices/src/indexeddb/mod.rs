//! `/cap/storage/indexeddb`: databases of records, ordered by their keys, with indexes.
//!
//! ```text
//! policy                  what was granted
//! ctl                     create DB, delete DB
//! error                   why the last command failed
//! DB/ctl                  store S, index S I PATH
//! DB/batch                write changes and conditions, read: one transaction
//! DB/{version,error}      grows with each store and index; why the last operation failed
//! DB/S/data/KEY           a value
//! DB/S/count              how many there are
//! DB/S/index/I/KEY        the records that have this key in the index, one a line
//! DB/S/query              write a range, read keys
//! ```
//! Everything that a name, an index or a transaction means is decided here. A host has one ordered map of bytes with
//! transactions ([`Space`]): an object store of IndexedDB in a browser, a table of SQLite natively. New stores and
//! indexes are records of that map, so no upgrade waits for other tabs that have a database open.
//!
//! - Each write to a value, each removal and each command is one transaction: when it returns, it has been committed, with
//!   the entries of the indexes. A file that is created is there from its first write on, so that others never see it
//!   empty.
//! - A value is bytes. An index looks into values that are JSON, and orders those where its path leads to a number or a text:
//!   numbers first.

mod batch;
mod codec;
mod engine;
mod host;
mod pointer;
mod policy;
mod query;
mod record;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use capfs::account::{Account, Buffer, Holding};
use capfs::device::Device;
use capfs::device::conversations::LastError;
use capfs::device::parts::lock;
use capfs::device::synthetic::DynamicNames;
use capfs::{DirEntry, Errno, NodeRef, Op};

pub use batch::{BATCH_LINES_MAX, BATCH_MAX};
pub use codec::NAME_MAX;
pub use engine::{INDEXES_MAX, STORES_MAX};
pub use host::{Answer, Change, Decide, Failure, Held, Reading, Space};
pub use policy::{DATABASES, Policy, QUOTA};
pub use query::QUERY_MAX;

use batch::Batch;
use engine::Engine;
use store::Store;

use crate::exchange;
use crate::grant::{Grant, GrantError};

/// Bytes of the longest value: it is read and written whole.
pub const VALUE_MAX: usize = 16 << 20;

/// That the terms of a grant can be understood.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    Policy::from_grant(grant).map(drop)
}

/// Makes the device.
pub fn device(space: Arc<dyn Space>, policy: Policy, account: &Account) -> NodeRef {
    let text = policy.text();
    let engine = Arc::new(Engine {
        space,
        policy,
        device: Device::new(account),
    });
    let error = Arc::new(LastError::default());
    let databases = Arc::new(Databases {
        engine: engine.clone(),
        error: error.clone(),
        names: Names::default(),
    });
    let (commands, told) = (databases.clone(), error.clone());
    engine
        .device
        .directory()
        .text("policy", move || text.clone())
        .ctl("ctl", move |line: &str| {
            let (databases, line) = (commands.clone(), line.to_owned());
            Op::run(async move {
                let outcome = databases.command(&line).await;
                outcome.map_err(|failure| databases.error.explain(failure.errno, failure.text))
            })
        })
        .text("error", move || told.text())
        .dynamic(Listed(databases))
        .build()
}

/// Directories that were looked up, each with its number in listings.
#[derive(Default)]
struct Names(Mutex<Known>);

#[derive(Default)]
struct Known {
    last: u64,
    all: BTreeMap<String, (u64, NodeRef)>,
}

impl Names {
    fn get(&self, name: &str) -> Option<NodeRef> {
        let (_, node) = lock(&self.0).all.get(name).cloned()?;
        Some(node)
    }

    fn get_or(&self, name: &str, make: impl FnOnce() -> NodeRef) -> NodeRef {
        let mut known = lock(&self.0);
        if let Some((_, node)) = known.all.get(name) {
            return node.clone();
        }
        known.last += 1;
        let (number, node) = (known.last, make());
        known.all.insert(name.to_owned(), (number, node.clone()));
        node
    }

    fn forget(&self, name: &str) {
        lock(&self.0).all.remove(name);
    }

    /// Those of the names that are behind a cookie.
    fn list(
        &self,
        present: &[String],
        (cookie, max): (u64, usize),
        make: impl Fn(&str) -> NodeRef,
    ) -> Vec<DirEntry> {
        for name in present {
            self.get_or(name, || make(name));
        }
        let mut known = lock(&self.0);
        known.all.retain(|name, _| present.contains(name));
        let mut entries: Vec<_> = known
            .all
            .iter()
            .filter(|(_, (number, _))| *number > cookie)
            .map(|(name, (number, node))| DirEntry {
                name: name.clone(),
                qid: node.qid(),
                cookie: *number,
            })
            .collect();
        entries.sort_unstable_by_key(|entry| entry.cookie);
        entries.truncate(max);
        entries
    }
}

/// The databases of an agent.
struct Databases {
    engine: Arc<Engine>,
    error: Arc<LastError>,
    names: Names,
}

impl Databases {
    async fn command(&self, line: &str) -> Result<(), Failure> {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["create", db] => self.engine.create(db).await,
            ["delete", db] => {
                self.engine.delete(db).await?;
                self.names.forget(db);
                Ok(())
            }
            _ => Err(Failure::new(
                Errno::Inval,
                "there are the commands create DB, delete DB",
            )),
        }
    }

    fn directory(&self, db: &str) -> NodeRef {
        Database::directory(&self.engine, db)
    }
}

struct Listed(Arc<Databases>);

impl DynamicNames for Listed {
    fn find(&self, name: &str) -> Op<NodeRef> {
        if let Some(node) = self.0.names.get(name) {
            return Op::ok(node);
        }
        if !codec::is_name(name) {
            return Op::err(Errno::Noent);
        }
        let (databases, name) = (self.0.clone(), name.to_owned());
        Op::run(async move {
            match databases.engine.has_database(&name).await {
                Ok(true) => Ok(databases.names.get_or(&name, || databases.directory(&name))),
                Ok(false) => Err(Errno::Noent),
                Err(failure) => Err(databases.error.explain(failure.errno, failure.text)),
            }
        })
    }

    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let databases = self.0.clone();
        Op::run(async move {
            let present = databases.engine.databases().await;
            let present =
                present.map_err(|failure| databases.error.explain(failure.errno, failure.text))?;
            let make = |name: &str| databases.directory(name);
            Ok(databases.names.list(&present, (cookie, max), make))
        })
    }
}

/// One database.
struct Database {
    engine: Arc<Engine>,
    name: String,
    error: Arc<LastError>,
    stores: Names,
}

impl Database {
    fn directory(engine: &Arc<Engine>, name: &str) -> NodeRef {
        let database = Arc::new(Database {
            engine: engine.clone(),
            name: name.to_owned(),
            error: Arc::default(),
            stores: Names::default(),
        });
        let (commands, version) = (database.clone(), database.clone());
        let batches = database.clone();
        let error = database.error.clone();
        let device = &engine.device;
        device
            .directory()
            .ctl("ctl", move |line: &str| {
                let (database, line) = (commands.clone(), line.to_owned());
                Op::run(async move {
                    let outcome = database.command(&line).await;
                    outcome.map_err(|failure| database.error.explain(failure.errno, failure.text))
                })
            })
            .text("version", move || {
                let database = version.clone();
                Op::run(async move {
                    let version = database.engine.version(&database.name).await;
                    let version = version
                        .map_err(|failure| database.error.explain(failure.errno, failure.text))?;
                    Ok(version.to_string())
                })
            })
            .node(
                "batch",
                exchange::node(device, move || Batch {
                    engine: batches.engine.clone(),
                    db: batches.name.clone(),
                    error: batches.error.clone(),
                    text: Buffer::new(batches.engine.device.account(), Holding::Descriptors),
                }),
            )
            .text("error", move || error.text())
            .dynamic(Stores(database))
            .build()
    }

    async fn command(&self, line: &str) -> Result<(), Failure> {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["store", store] => self.engine.create_store(&self.name, store).await,
            ["index", store, index, path] => {
                self.engine
                    .create_index(&self.name, store, index, path)
                    .await
            }
            _ => Err(Failure::new(
                Errno::Inval,
                "there are the commands store NAME, index STORE NAME PATH",
            )),
        }
    }

    fn store(&self, name: &str) -> NodeRef {
        Store::new(&self.engine, &self.error, &self.name, name).directory()
    }
}

struct Stores(Arc<Database>);

impl DynamicNames for Stores {
    fn find(&self, name: &str) -> Op<NodeRef> {
        if let Some(node) = self.0.stores.get(name) {
            return Op::ok(node);
        }
        if !codec::is_name(name) {
            return Op::err(Errno::Noent);
        }
        let (database, name) = (self.0.clone(), name.to_owned());
        Op::run(async move {
            match database.engine.has_store(&database.name, &name).await {
                Ok(true) => Ok(database.stores.get_or(&name, || database.store(&name))),
                Ok(false) => Err(Errno::Noent),
                Err(failure) => Err(database.error.explain(failure.errno, failure.text)),
            }
        })
    }

    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let database = self.0.clone();
        Op::run(async move {
            let present = database.engine.stores(&database.name).await;
            let present =
                present.map_err(|failure| database.error.explain(failure.errno, failure.text))?;
            let make = |name: &str| database.store(name);
            Ok(database.stores.list(&present, (cookie, max), make))
        })
    }
}
