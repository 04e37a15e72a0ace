//! Databases, stores and indexes over the host's map. Each change is one transaction.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use capfs::Errno;
use capfs::account::Account;
use capfs::device::Device;

use super::VALUE_MAX;
use super::batch::{Place, Step, Values};
use super::codec::{self, IndexKey};
use super::host::{Change, Failure, Held, Reading, Space};
use super::policy::Policy;

/// Stores of one database, at most.
pub const STORES_MAX: usize = 64;

/// Indexes of one store, at most: each is a write more for every record.
pub const INDEXES_MAX: usize = 16;

/// Bytes of the longest path of an index.
const PATH_MAX: usize = 256;

/// Records that are read one by one when an index is added, at most: it is one transaction.
const INDEXED_MAX: usize = 4096;

/// Times that adding an index is tried while others write.
const ATTEMPTS: usize = 8;

/// The databases of one agent.
pub(super) struct Engine {
    pub(super) space: Arc<dyn Space>,
    pub(super) policy: Policy,
    /// What openings of its files hold is charged to this.
    pub(super) device: Device,
}

fn failure(errno: Errno, text: impl Into<String>) -> Failure {
    Failure::new(errno, text)
}

fn damaged() -> Failure {
    failure(Errno::Io, "the database's own records are damaged")
}

/// What a database's record says.
#[derive(Clone, Copy)]
struct Meta {
    version: u32,
    /// Bytes of keys and values.
    used: u64,
    /// Transactions so far: whoever has read in several of them can tell that nothing came in between.
    writes: u64,
}

impl Meta {
    fn parse(value: Option<&Vec<u8>>, db: &str) -> Result<Meta, Failure> {
        let gone = || failure(Errno::Noent, format!("there is no database `{db}`"));
        let text = str::from_utf8(value.ok_or_else(gone)?).map_err(|_| damaged())?;
        let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next().flatten().ok_or_else(damaged);
        Ok(Meta {
            version: next()?.try_into().map_err(|_| damaged())?,
            used: next()?,
            writes: next()?,
        })
    }

    fn put(self, db: &str) -> Change {
        let text = format!("{} {} {}", self.version, self.used, self.writes + 1);
        Change::Put(codec::database(db), text.into_bytes())
    }
}

/// An index: its name and its path.
#[derive(Clone)]
pub(super) struct Index {
    pub(super) name: String,
    path: String,
}

fn indexes(value: Option<&Vec<u8>>, store: &str) -> Result<Vec<Index>, Failure> {
    let gone = || failure(Errno::Noent, format!("there is no store `{store}`"));
    let text = str::from_utf8(value.ok_or_else(gone)?).map_err(|_| damaged())?;
    let lines = text.lines().map(|line| {
        let (name, path) = line.split_once(' ').ok_or_else(damaged)?;
        Ok(Index {
            name: name.to_owned(),
            path: path.to_owned(),
        })
    });
    lines.collect()
}

/// Counts what changes take, and refuses what is over the quota, or more than the agent may hold meanwhile.
struct Ledger {
    meta: Meta,
    quota: u64,
    changes: Vec<Change>,
    /// For what is put together here: entries of indexes.
    reading: Reading,
}

impl Ledger {
    fn new(meta: Meta, quota: u64, account: &Account) -> Ledger {
        Ledger {
            meta,
            quota,
            changes: Vec::new(),
            reading: Reading::new(account),
        }
    }

    /// The entries that a record has in the indexes of its store. A text that is indexed can be as long as the value, which is charged
    /// once for all of them while they are read of it.
    fn entries_of(
        &mut self,
        (db, store, key): (&str, &str, &[u8]),
        all: &[Index],
        value: &[u8],
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let mut entries = Vec::new();
        if !all.is_empty() {
            self.reading.value(value.len())?;
        }
        for index in all {
            let Some(by) = IndexKey::of_value(value, &index.path) else {
                continue;
            };
            let prefix = codec::entries(db, store, &index.name);
            self.reading
                .key(prefix.len() + by.encoded_length() + key.len())?;
            entries.push([&prefix[..], &by.encode(), key].concat());
        }
        Ok(entries)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.meta.used += (key.len() + value.len()) as u64;
        self.changes.push(Change::Put(key, value));
    }

    fn delete(&mut self, key: Vec<u8>, value_length: usize) {
        let freed = (key.len() + value_length) as u64;
        self.meta.used = self.meta.used.saturating_sub(freed);
        self.changes.push(Change::Delete(key));
    }

    /// Puts a new value, or none, in the place of what is there, with the entries of both.
    fn replace(
        &mut self,
        (db, store, key): (&str, &str, &[u8]),
        all: &[Index],
        old: Option<&Vec<u8>>,
        new: Option<Vec<u8>>,
    ) -> Result<(), Failure> {
        if old == new.as_ref() {
            return Ok(());
        }
        let place = (db, store, key);
        let record = codec::record(db, store, key);
        if let Some(old) = old {
            for entry in self.entries_of(place, all, old)? {
                self.delete(entry, 0);
            }
            self.delete(record.clone(), old.len());
        }
        if let Some(new) = new {
            if new.len() > VALUE_MAX {
                let text = format!("a value has {VALUE_MAX} bytes at most");
                return Err(failure(Errno::Fbig, text));
            }
            for entry in self.entries_of(place, all, &new)? {
                self.put(entry, Vec::new());
            }
            self.put(record, new);
        }
        Ok(())
    }

    fn close(mut self, db: &str, before: u64) -> Result<Vec<Change>, Failure> {
        if self.meta.used > self.quota && self.meta.used > before {
            let text = format!("more than the {} bytes of the grant", self.quota);
            return Err(failure(Errno::Dquot, text));
        }
        self.changes.push(self.meta.put(db));
        Ok(self.changes)
    }
}

impl Engine {
    /// The names of the databases.
    pub(super) async fn databases(&self) -> Result<Vec<String>, Failure> {
        let (low, high) = codec::databases();
        // Those of an earlier grant may be more than those of this one.
        let keys = self
            .space
            .keys(low, high, 10_000, false, self.device.account());
        let keys = keys.await?.what;
        Ok(keys
            .iter()
            .filter_map(|key| codec::last_name(key))
            .collect())
    }

    /// Whether there is a value of a key.
    async fn has(&self, key: Vec<u8>) -> Result<bool, Failure> {
        let behind = [&key[..], &[0]].concat();
        Ok(self.space.count(key, behind).await? > 0)
    }

    /// The value of a key of the databases' own, which is short.
    async fn value(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, Failure> {
        let value = self.space.get(key, self.device.account()).await?;
        Ok(value.map(|held| held.what))
    }

    pub(super) async fn has_database(&self, db: &str) -> Result<bool, Failure> {
        self.has(codec::database(db)).await
    }

    pub(super) async fn version(&self, db: &str) -> Result<u32, Failure> {
        let meta = self.value(codec::database(db)).await?;
        Ok(Meta::parse(meta.as_ref(), db)?.version)
    }

    pub(super) async fn create(&self, db: &str) -> Result<(), Failure> {
        if !codec::is_name(db) {
            return Err(failure(
                Errno::Inval,
                "a name has 1 to 64 letters, digits, `.`, `_`, `-`",
            ));
        }
        let max = self.policy.databases();
        if self.databases().await?.len() >= max && !self.has_database(db).await? {
            let text = format!("there are {max} databases already");
            return Err(failure(Errno::Dquot, text));
        }
        let name = db.to_owned();
        let decide = move |values: Vec<Option<Vec<u8>>>| {
            if values[0].is_some() {
                let text = format!("there is a database `{name}` already");
                return Err(failure(Errno::Exist, text));
            }
            let meta = Meta {
                version: 1,
                used: 0,
                writes: 0,
            };
            Ok(vec![meta.put(&name)])
        };
        let reads = vec![codec::database(db)];
        self.space
            .update(reads, self.device.account(), Box::new(decide))
            .await
    }

    pub(super) async fn delete(&self, db: &str) -> Result<(), Failure> {
        let name = db.to_owned();
        let decide = move |values: Vec<Option<Vec<u8>>>| {
            Meta::parse(values[0].as_ref(), &name)?;
            let ranges = codec::all_of(&name);
            Ok(ranges
                .map(|(low, high)| Change::DeleteRange(low, high))
                .collect())
        };
        let reads = vec![codec::database(db)];
        self.space
            .update(reads, self.device.account(), Box::new(decide))
            .await
    }

    /// The names of a database's stores.
    pub(super) async fn stores(&self, db: &str) -> Result<Vec<String>, Failure> {
        let (low, high) = codec::range(codec::stores(db));
        let keys = self
            .space
            .keys(low, high, STORES_MAX, false, self.device.account());
        let keys = keys.await?.what;
        Ok(keys
            .iter()
            .filter_map(|key| codec::last_name(key))
            .collect())
    }

    pub(super) async fn has_store(&self, db: &str, store: &str) -> Result<bool, Failure> {
        self.has(codec::store(db, store)).await
    }

    pub(super) async fn create_store(&self, db: &str, store: &str) -> Result<(), Failure> {
        if !codec::is_name(store) {
            return Err(failure(
                Errno::Inval,
                "a name has 1 to 64 letters, digits, `.`, `_`, `-`",
            ));
        }
        if self.stores(db).await?.len() >= STORES_MAX {
            let text = format!("there are {STORES_MAX} stores already");
            return Err(failure(Errno::Nospc, text));
        }
        let (db, store) = (db.to_owned(), store.to_owned());
        let reads = vec![codec::database(&db), codec::store(&db, &store)];
        let decide = move |values: Vec<Option<Vec<u8>>>| {
            let mut meta = Meta::parse(values[0].as_ref(), &db)?;
            if values[1].is_some() {
                let text = format!("there is a store `{store}` already");
                return Err(failure(Errno::Exist, text));
            }
            meta.version += 1;
            let made = Change::Put(codec::store(&db, &store), Vec::new());
            Ok(vec![made, meta.put(&db)])
        };
        self.space
            .update(reads, self.device.account(), Box::new(decide))
            .await
    }

    /// The indexes of a store.
    pub(super) async fn indexes(&self, db: &str, store: &str) -> Result<Vec<Index>, Failure> {
        let value = self.value(codec::store(db, store)).await?;
        indexes(value.as_ref(), store)
    }

    /// Adds an index, and the entries of the records that are there, in one transaction.
    pub(super) async fn create_index(
        &self,
        db: &str,
        store: &str,
        index: &str,
        path: &str,
    ) -> Result<(), Failure> {
        let mut outcome = self.try_create_index(db, store, index, path).await;
        for _ in 1..ATTEMPTS {
            match &outcome {
                Err(failure) if failure.errno == Errno::Busy => {}
                _ => break,
            }
            outcome = self.try_create_index(db, store, index, path).await;
        }
        outcome
    }

    /// # Errors
    /// - [`Errno::Busy`]: somebody wrote while the records were listed
    async fn try_create_index(
        &self,
        db: &str,
        store: &str,
        index: &str,
        path: &str,
    ) -> Result<(), Failure> {
        let meta = self.value(codec::database(db)).await?;
        let listed = Meta::parse(meta.as_ref(), db)?.writes;
        let known = self.indexes(db, store).await?;
        let fits = path.starts_with('/') && path.len() <= PATH_MAX && !path.contains(' ');
        if !codec::is_name(index) || !fits {
            return Err(failure(
                Errno::Inval,
                "expected index STORE NAME PATH, where PATH has `/` before each name and no blanks",
            ));
        }
        if known.len() >= INDEXES_MAX {
            let text = format!("there are {INDEXES_MAX} indexes already");
            return Err(failure(Errno::Nospc, text));
        }
        let (low, high) = codec::range(codec::records(db, store));
        let listing = self.space.keys(
            low.clone(),
            high,
            INDEXED_MAX + 1,
            false,
            self.device.account(),
        );
        let Held {
            what: records,
            mut charge,
        } = listing.await?;
        if records.len() > INDEXED_MAX {
            let text = format!("an index is added to a store of {INDEXED_MAX} records at most");
            return Err(failure(Errno::TooBig, text));
        }
        // For those that are read, and to know whose they are.
        let both = charge.resize(2 * charge.bytes());
        both.map_err(|errno| failure(errno, "the agent may not hold so many keys"))?;
        let mut reads = vec![codec::database(db), codec::store(db, store)];
        reads.extend(records.iter().cloned());
        let index = Index {
            name: index.to_owned(),
            path: path.to_owned(),
        };
        let (db, store) = (db.to_owned(), store.to_owned());
        let (quota, account) = (self.policy.quota(), self.device.account().clone());
        let prefix = low.len();
        let decide = move |values: Vec<Option<Vec<u8>>>| {
            let mut meta = Meta::parse(values[0].as_ref(), &db)?;
            if meta.writes != listed {
                return Err(failure(Errno::Busy, "others are writing to the database"));
            }
            let mut all = indexes(values[1].as_ref(), &store)?;
            if all.iter().any(|other| other.name == index.name) {
                let text = format!("there is an index `{}` already", index.name);
                return Err(failure(Errno::Exist, text));
            }
            let before = meta.used;
            meta.version += 1;
            let mut ledger = Ledger::new(meta, quota, &account);
            let one = [index.clone()];
            for (record, value) in records.iter().zip(&values[2..]) {
                // Deleted since they were listed.
                let Some(value) = value else { continue };
                let place = (&*db, &*store, &record[prefix..]);
                for entry in ledger.entries_of(place, &one, value)? {
                    ledger.put(entry, Vec::new());
                }
            }
            all.push(index);
            let lines: Vec<String> = all
                .iter()
                .map(|index| format!("{} {}", index.name, index.path))
                .collect();
            let store = Change::Put(codec::store(&db, &store), lines.join("\n").into_bytes());
            ledger.changes.push(store);
            ledger.close(&db, before)
        };
        self.space
            .update(reads, self.device.account(), Box::new(decide))
            .await
    }

    /// The value of a record.
    pub(super) async fn get(
        &self,
        db: &str,
        store: &str,
        key: &[u8],
    ) -> Result<Option<Held<Vec<u8>>>, Failure> {
        let key = codec::record(db, store, key);
        self.space.get(key, self.device.account()).await
    }

    /// How many bytes the value of a record has. Nothing of it is held.
    pub(super) async fn size(
        &self,
        db: &str,
        store: &str,
        key: &[u8],
    ) -> Result<Option<u64>, Failure> {
        self.space.size(codec::record(db, store, key)).await
    }

    /// Whether there is a record.
    pub(super) async fn has_record(
        &self,
        db: &str,
        store: &str,
        key: &[u8],
    ) -> Result<bool, Failure> {
        self.has(codec::record(db, store, key)).await
    }

    /// Changes a record, and its entries, in one transaction: `change` gets the value that is there.
    pub(super) async fn change(
        &self,
        db: &str,
        store: &str,
        key: &[u8],
        change: impl FnOnce(Option<&Vec<u8>>) -> Result<Option<Vec<u8>>, Failure>
        + capfs::MaybeSend
        + 'static,
    ) -> Result<(), Failure> {
        let record = codec::record(db, store, key);
        let reads = vec![codec::database(db), codec::store(db, store), record];
        let (db, store, key) = (db.to_owned(), store.to_owned(), key.to_vec());
        let (quota, account) = (self.policy.quota(), self.device.account().clone());
        let decide = move |values: Vec<Option<Vec<u8>>>| {
            let meta = Meta::parse(values[0].as_ref(), &db)?;
            let all = indexes(values[1].as_ref(), &store)?;
            let old = values[2].as_ref();
            let new = change(old)?;
            let before = meta.used;
            let mut ledger = Ledger::new(meta, quota, &account);
            ledger.replace((&db, &store, &key), &all, old, new)?;
            ledger.close(&db, before)
        };
        self.space
            .update(reads, self.device.account(), Box::new(decide))
            .await
    }

    /// Takes steps, in one transaction: all of them or none.
    pub(super) async fn batch(&self, db: &str, steps: Vec<(Place, Step)>) -> Result<(), Failure> {
        let stores: BTreeSet<String> = steps.iter().map(|((store, _), _)| store.clone()).collect();
        let places: BTreeSet<Place> = steps.iter().map(|(place, _)| place.clone()).collect();
        let mut reads = vec![codec::database(db)];
        reads.extend(stores.iter().map(|store| codec::store(db, store)));
        reads.extend(
            places
                .iter()
                .map(|(store, key)| codec::record(db, store, key)),
        );
        let db = db.to_owned();
        let (quota, account) = (self.policy.quota(), self.device.account().clone());
        let decide = move |values: Vec<Option<Vec<u8>>>| {
            let mut values = values.into_iter();
            let meta = Meta::parse(values.next().flatten().as_ref(), &db)?;
            let mut all = BTreeMap::new();
            for store in stores {
                let known = indexes(values.next().flatten().as_ref(), &store)?;
                all.insert(store, known);
            }
            let old: BTreeMap<Place, Option<Vec<u8>>> = places.into_iter().zip(values).collect();
            let mut new = Values::of(&old);
            for (place, step) in steps {
                new.take(&place, step)?;
            }
            let before = meta.used;
            let mut ledger = Ledger::new(meta, quota, &account);
            for (place, new) in new.0 {
                let new = match new {
                    // As it was.
                    Some(Cow::Borrowed(_)) => continue,
                    Some(Cow::Owned(new)) => Some(new),
                    None => None,
                };
                let old = old.get(&place).and_then(Option::as_ref);
                let all = all.get(&place.0).map_or(&[][..], Vec::as_slice);
                ledger.replace((&db, &place.0, &place.1), all, old, new)?;
            }
            ledger.close(&db, before)
        };
        self.space
            .update(reads, self.device.account(), Box::new(decide))
            .await
    }

    /// Takes a record away.
    pub(super) async fn remove(&self, db: &str, store: &str, key: &[u8]) -> Result<(), Failure> {
        let gone = |old: Option<&Vec<u8>>| match old {
            Some(_) => Ok(None),
            None => Err(failure(Errno::Noent, "there is no such key")),
        };
        self.change(db, store, key, gone).await
    }

    /// How many records a store has.
    pub(super) async fn count(&self, db: &str, store: &str) -> Result<u64, Failure> {
        let (low, high) = codec::range(codec::records(db, store));
        self.space.count(low, high).await
    }

    /// Keys of records from `low` to before `high`, where there are such bounds.
    pub(super) async fn keys(
        &self,
        db: &str,
        store: &str,
        bounds: (Option<Vec<u8>>, Option<Vec<u8>>),
        limit: usize,
        reverse: bool,
    ) -> Result<Held<Vec<Vec<u8>>>, Failure> {
        let (from, to) = codec::range(codec::records(db, store));
        let prefix = from.len();
        let bound = |bound: Option<Vec<u8>>, all: Vec<u8>| match bound {
            Some(key) => codec::record(db, store, &key),
            None => all,
        };
        let (low, high) = (bound(bounds.0, from), bound(bounds.1, to));
        let keys = self
            .space
            .keys(low, high, limit, reverse, self.device.account());
        let mut keys = keys.await?;
        for key in &mut keys.what {
            key.drain(..prefix);
        }
        Ok(keys)
    }

    /// An index's entries from `low` to before `high`, where there are such bounds: what each is ordered by, and the
    /// record's key.
    pub(super) async fn entries(
        &self,
        (db, store, index): (&str, &str, &str),
        bounds: (Option<Vec<u8>>, Option<Vec<u8>>),
        limit: usize,
        reverse: bool,
    ) -> Result<Held<Vec<(IndexKey, Vec<u8>)>>, Failure> {
        let (from, to) = codec::range(codec::entries(db, store, index));
        let prefix = from.clone();
        let bound = |bound: Option<Vec<u8>>, all: Vec<u8>| match bound {
            Some(key) => [&prefix[..], &key].concat(),
            None => all,
        };
        let (low, high) = (bound(bounds.0, from), bound(bounds.1, to));
        let keys = self
            .space
            .keys(low, high, limit, reverse, self.device.account());
        let Held {
            what: keys,
            mut charge,
        } = keys.await?;
        // For the keys, and for what is read of them.
        let (once, each) = (charge.bytes(), size_of::<(IndexKey, Vec<u8>)>());
        let both = charge.resize(2 * once + (each * keys.len()) as u64);
        both.map_err(|errno| failure(errno, "the agent may not hold so many keys"))?;
        let entries = keys.iter().filter_map(|key| {
            let (by, key) = IndexKey::decode(&key[prefix.len()..])?;
            Some((by, key.to_vec()))
        });
        let what = entries.collect();
        charge.shrink(once);
        Ok(Held { what, charge })
    }
}
