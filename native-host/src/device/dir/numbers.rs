//! By which numbers an agent tells the files of a folder apart.
//!
//! Those of the host say how many files its disk has had, and are others on each host. So the files of a folder are numbered as the agent
//! first sees them, from 1, its root: what it sees as `ino` follows from what it has done and found. A file has one number by all its names, and
//! keeps it when it is renamed; what the agent makes has one that nothing had before. Names that are first seen in a listing are numbered in their order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasherDefault;
use std::sync::Mutex;

use cap_std::fs::{Metadata, MetadataExt};
use capfs::account::{Account, Charge, Holding};
use capfs::device::parts::{NumberHasher, lock};
use capfs::{Errno, FileKind, Qid};

use super::kind;
use crate::reserved::FileId;

/// Bytes that an account is charged for a file that has a number: what it takes at most, in a table that has just grown.
const NUMBER: u64 = 64;

/// So many files are kept whether they are there or not: to look whether a file goes with a name takes a call of the system, which has to be
/// worth it.
const KEPT: usize = 4096;

/// Which file something is, and what kind of one.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) id: FileId,
    pub(super) kind: FileKind,
}

impl Seen {
    pub(super) fn new(metadata: &Metadata) -> Seen {
        Seen {
            id: FileId::new(metadata.dev(), metadata.ino()),
            kind: kind(metadata.file_type()),
        }
    }
}

/// Room for one number.
pub(super) struct Room<'a>(&'a Numbers);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).charge.shrink(NUMBER);
    }
}

/// The numbers of the files of one folder. Whoever has the folder twice has one of these for both.
pub struct Numbers(Mutex<Table>);

struct Table {
    known: HashMap<FileId, u64, BuildHasherDefault<NumberHasher>>,
    last: u64,
    charge: Charge,
}

impl Table {
    fn of(&mut self, id: FileId) -> Result<u64, Errno> {
        let Table {
            known,
            last,
            charge,
        } = self;
        match known.entry(id) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(new) => {
                charge.grow(NUMBER)?;
                *last += 1;
                Ok(*new.insert(*last))
            }
        }
    }
}

impl Numbers {
    /// Those of a folder of which the agent of an account has seen nothing.
    pub fn new(account: &Account) -> Numbers {
        Numbers(Mutex::new(Table {
            known: HashMap::default(),
            last: 0,
            charge: account.nothing(Holding::Descriptors),
        }))
    }

    /// The identity of a file.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: the account has no room for one more
    pub(super) fn of(&self, seen: Seen) -> Result<Qid, Errno> {
        let number = lock(&self.0).of(seen.id)?;
        Ok(Qid::new(number, seen.kind))
    }

    /// Room for the number of a file that is about to be made, which is not made where there is none. It is let go of just before the file is
    /// numbered.
    ///
    /// # Errors
    /// As [`Numbers::of`].
    pub(super) fn room(&self) -> Result<Room<'_>, Errno> {
        lock(&self.0).charge.grow(NUMBER)?;
        Ok(Room(self))
    }

    /// The identity of a file that was just made: what the host called by the same number is gone.
    ///
    /// # Errors
    /// As [`Numbers::of`].
    pub(super) fn made(&self, seen: Seen) -> Result<Qid, Errno> {
        let mut table = lock(&self.0);
        if table.known.remove(&seen.id).is_some() {
            table.charge.shrink(NUMBER);
        }
        Ok(Qid::new(table.of(seen.id)?, seen.kind))
    }

    /// Sees the names of a directory, and numbers the new ones in their order.
    ///
    /// # Errors
    /// As [`Numbers::of`].
    pub(super) fn list(&self, names: Vec<(String, Seen)>) -> Result<Vec<(String, Qid)>, Errno> {
        let mut table = lock(&self.0);
        let news = names
            .iter()
            .filter(|(_, seen)| !table.known.contains_key(&seen.id));
        let mut news: Vec<&(String, Seen)> = news.collect();
        news.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (_, seen) in news {
            table.of(seen.id)?;
        }
        let numbered = names.into_iter().map(|(name, seen)| {
            let number = table.of(seen.id)?;
            Ok((name, Qid::new(number, seen.kind)))
        });
        numbered.collect()
    }

    /// Whether it is time to tell which files are gone.
    pub(super) fn are_many(&self) -> bool {
        lock(&self.0).known.len() >= KEPT
    }

    /// Forgets a file that has lost its last name. Whoever has it open knows its number.
    pub(super) fn forget(&self, id: FileId) {
        let mut table = lock(&self.0);
        if table.known.remove(&id).is_some() {
            table.charge.shrink(NUMBER);
        }
    }
}
