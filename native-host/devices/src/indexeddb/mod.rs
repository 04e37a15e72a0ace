//! Databases in SQLite: one file, with one table.

#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::blocking;
use capfs::Errno;
use capfs::account::Account;
use capfs_devices::indexeddb::{Answer, Change, Decide, Failure, Held, Reading, Space};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

/// Bytes of a value that is read with its length, before it is charged.
const SHORT: usize = 4 << 10;

/// How long another process that writes is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// The databases of one agent, in `databases.sqlite` of its state folder. The file is made when something is written.
pub struct SqliteSpace(Arc<Databases>);

struct Databases {
    folder: PathBuf,
    connection: Mutex<Option<Connection>>,
}

fn failure(error: rusqlite::Error) -> Failure {
    let errno = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Errno::Nospc,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Errno::Busy,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            Errno::Acces
        }
        Some(ErrorCode::OutOfMemory) => Errno::Nomem,
        _ => Errno::Io,
    };
    let text = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "the file of the databases is damaged".to_owned()
        }
        _ => format!("SQLite says: {error}"),
    };
    Failure::new(errno, text)
}

impl SqliteSpace {
    /// The databases in a state folder.
    pub fn new(folder: PathBuf) -> SqliteSpace {
        SqliteSpace(Arc::new(Databases {
            folder,
            connection: Mutex::default(),
        }))
    }

    /// Does what SQLite does, which waits for a disk and for others that write.
    fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Answer<T> {
        match blocking::pool() {
            None => Box::pin(std::future::ready(self.0.with(work))),
            Some(pool) => {
                let databases = self.0.clone();
                Box::pin(async move {
                    let answer = pool.run(move || databases.with(work)).await;
                    answer.map_err(|stopped| Failure::new(Errno::Io, stopped.to_string()))?
                })
            }
        }
    }
}

impl Databases {
    fn open(&self) -> Result<Connection, Failure> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| {
            let text = format!("can't make the state folder: {}", error.kind());
            Failure::new(Errno::Acces, text)
        })?;
        let file = self.folder.join("databases.sqlite");
        // Nobody else's to read, as the folder may have been there; the log beside it is made alike.
        let made = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&file);
        made.map_err(|error| {
            let text = format!("can't make the database's file: {}", error.kind());
            Failure::new(Errno::Acces, text)
        })?;
        let connection = Connection::open(file).map_err(failure)?;
        let prepared = || {
            connection.busy_timeout(BUSY)?;
            // With a log beside it, readers don't wait for a writer; FULL syncs it at each commit.
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(
                "CREATE TABLE IF NOT EXISTS map (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID, STRICT",
            )
        };
        prepared().map_err(failure)?;
        Ok(connection)
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut held = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut *held {
            Some(connection) => connection,
            none => none.insert(self.open()?),
        };
        work(connection)
    }

    /// The value of a key, charged before SQLite reads it.
    fn value(
        connection: &Connection,
        key: &[u8],
        reading: &mut Reading,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut get = connection
            .prepare_cached(
                "SELECT length(value), CASE WHEN length(value) <= ?2 THEN value END FROM map WHERE key = ?1",
            )
            .map_err(failure)?;
        // Of a long value its length alone is read at first. It may be another by the second time.
        let mut charged = 0;
        loop {
            let most = i64::try_from(charged.max(SHORT)).unwrap_or(i64::MAX);
            let found = get.query_row(params![key, most], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
            });
            let Some((length, value)) = found.optional().map_err(failure)? else {
                return Ok(None);
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > charged {
                reading.value(length - charged)?;
                charged = length;
            }
            if value.is_some() {
                return Ok(value);
            }
        }
    }

    fn change(
        connection: &mut Connection,
        reads: &[Vec<u8>],
        account: &Account,
        decide: Box<dyn Decide>,
    ) -> Result<(), Failure> {
        // It is the only writer from here on: what is decided on what was read holds at the commit.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = transaction.map_err(failure)?;
        let mut reading = Reading::new(account);
        let mut values = Vec::with_capacity(reads.len());
        for key in reads {
            values.push(Databases::value(&transaction, key, &mut reading)?);
        }
        for change in decide.decide(values)? {
            let changed = match change {
                Change::Put(key, value) => transaction
                    .prepare_cached("INSERT OR REPLACE INTO map VALUES (?1, ?2)")
                    .and_then(|mut put| put.execute(params![key, value])),
                Change::Delete(key) => transaction
                    .prepare_cached("DELETE FROM map WHERE key = ?1")
                    .and_then(|mut delete| delete.execute([key])),
                Change::DeleteRange(low, high) => transaction
                    .prepare_cached("DELETE FROM map WHERE key >= ?1 AND key < ?2")
                    .and_then(|mut delete| delete.execute([low, high])),
            };
            changed.map_err(failure)?;
        }
        transaction.commit().map_err(failure)
    }
}

impl Space for SqliteSpace {
    fn get(&self, key: Vec<u8>, account: &Account) -> Answer<Option<Held<Vec<u8>>>> {
        let account = account.clone();
        self.answer(move |connection| {
            let mut reading = Reading::new(&account);
            let value = Databases::value(connection, &key, &mut reading)?;
            Ok(value.map(|value| reading.held(value)))
        })
    }

    fn size(&self, key: Vec<u8>) -> Answer<Option<u64>> {
        self.answer(move |connection| {
            let mut get = connection
                .prepare_cached("SELECT length(value) FROM map WHERE key = ?1")
                .map_err(failure)?;
            let size = get.query_row([key], |row| row.get::<_, i64>(0));
            let size = size.optional().map_err(failure)?;
            Ok(size.map(i64::cast_unsigned))
        })
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
        self.answer(move |connection| {
            let mut list = connection
                .prepare_cached(match reverse {
                    false => "SELECT key FROM map WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
                    true => "SELECT key FROM map WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3",
                })
                .map_err(failure)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = list.query(params![low, high, limit]).map_err(failure)?;
            let (mut reading, mut keys) = (Reading::new(&account), Vec::new());
            while let Some(row) = rows.next().map_err(failure)? {
                let key = row.get_ref(0).map_err(failure)?;
                let key = key.as_bytes().map_err(|error| failure(error.into()))?;
                reading.key(key.len())?;
                keys.push(key.to_vec());
            }
            Ok(reading.held(keys))
        })
    }

    fn count(&self, low: Vec<u8>, high: Vec<u8>) -> Answer<u64> {
        self.answer(move |connection| {
            let mut count = connection
                .prepare_cached("SELECT count(*) FROM map WHERE key >= ?1 AND key < ?2")
                .map_err(failure)?;
            let count = count.query_row([low, high], |row| row.get::<_, i64>(0));
            count.map(i64::cast_unsigned).map_err(failure)
        })
    }

    fn update(
        &self,
        reads: Vec<Vec<u8>>,
        account: &Account,
        decide: Box<dyn Decide>,
    ) -> Answer<()> {
        let account = account.clone();
        self.answer(move |connection| Databases::change(connection, &reads, &account, decide))
    }
}
