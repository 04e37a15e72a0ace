//! By which numbers an agent tells the files of a folder apart.
//!
//! Those of the host say how many files its disk has had, and are others on each host. So the files of a folder are numbered as the agent
//! first sees them, from 1, its root: what it sees as `ino` follows from what it has done and found. A file has one number by all its names, and
//! keeps it when it is renamed; what the agent makes has one that nothing had before. Names that are first seen in a listing are numbered in their order.
//!
//! How many are known is bounded: a file that was seen before the last 65,536 others may get another number when it is seen again, but never that of
//! another file. Where the account is small it is as many others as a sixteenth of it has room for.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::mem;
use std::sync::Mutex;

use cap_std::fs::{Metadata, MetadataExt};
use capfs::account::{Account, Charge, Holding};
use capfs::device::parts::{NumberHasher, lock};
use capfs::{Errno, FileKind, Qid};

use super::kind;
use crate::reserved::FileId;

/// Bytes that an account is charged for a file that has a number: what it takes at most, in a table that has just grown.
const NUMBER: u64 = 64;

/// Files that are known of one age, at most.
const KEPT: u64 = 65_536;

/// The part of an account, at most, that the files of one age take.
const SHARE: u64 = 16;

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

type Known = HashMap<FileId, u64, BuildHasherDefault<NumberHasher>>;

/// The files that were seen lately, and those of before. Nothing says which files are gone: others remove some, and to ask takes a call of the
/// system each. So when there are as many new ones as are kept, or the account has no room, those of before are forgotten.
struct Table {
    new: Known,
    old: Known,
    /// How many of the new ones there are before they are the old ones.
    kept: usize,
    last: u64,
    charge: Charge,
}

impl Table {
    fn of(&mut self, id: FileId) -> Result<u64, Errno> {
        if let Some(known) = self.new.get(&id) {
            return Ok(*known);
        }
        let number = match self.old.remove(&id) {
            Some(known) => known,
            None => {
                self.grow()?;
                self.last += 1;
                self.last
            }
        };
        if self.new.len() >= self.kept {
            self.age();
        }
        self.new.insert(id, number);
        Ok(number)
    }

    /// Takes room for one number.
    fn grow(&mut self) -> Result<(), Errno> {
        while let Err(error) = self.charge.grow(NUMBER) {
            if self.new.is_empty() && self.old.is_empty() {
                return Err(error);
            }
            self.age();
        }
        Ok(())
    }

    /// Forgets the old ones; the new ones are the old ones from now on.
    fn age(&mut self) {
        let gone = mem::replace(&mut self.old, mem::take(&mut self.new));
        self.charge.shrink(NUMBER * gone.len() as u64);
    }

    fn knows(&self, id: &FileId) -> bool {
        self.new.contains_key(id) || self.old.contains_key(id)
    }

    fn forget(&mut self, id: FileId) {
        if self
            .new
            .remove(&id)
            .or_else(|| self.old.remove(&id))
            .is_some()
        {
            self.charge.shrink(NUMBER);
        }
    }
}

impl Numbers {
    /// Those of a folder of which the agent of an account has seen nothing.
    pub fn new(account: &Account) -> Numbers {
        let kept = (account.max() / SHARE / NUMBER).clamp(1, KEPT);
        Numbers(Mutex::new(Table {
            new: Known::default(),
            old: Known::default(),
            kept: kept as usize,
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
        lock(&self.0).grow()?;
        Ok(Room(self))
    }

    /// The identity of a file that was just made: what the host called by the same number is gone.
    ///
    /// # Errors
    /// As [`Numbers::of`].
    pub(super) fn made(&self, seen: Seen) -> Result<Qid, Errno> {
        let mut table = lock(&self.0);
        table.forget(seen.id);
        Ok(Qid::new(table.of(seen.id)?, seen.kind))
    }

    /// Gives a file the number again that the agent knew it by, in a run before this one, unless it has one or another file has that.
    ///
    /// # Errors
    /// As [`Numbers::of`].
    pub(super) fn again(&self, seen: Seen, number: u64) -> Result<(), Errno> {
        let mut table = lock(&self.0);
        let taken = |table: &Table| {
            let all = table.new.values().chain(table.old.values());
            number <= table.last && all.copied().any(|other| other == number)
        };
        if number == 0 || table.knows(&seen.id) || taken(&table) {
            return Ok(());
        }
        let last = table.last.max(number);
        table.last = number - 1;
        let given = table.of(seen.id);
        table.last = last;
        given.map(drop)
    }

    /// Sees the names of a directory, and numbers the new ones in their order.
    ///
    /// # Errors
    /// As [`Numbers::of`].
    pub(super) fn list(&self, names: Vec<(String, Seen)>) -> Result<Vec<(String, Qid)>, Errno> {
        let mut table = lock(&self.0);
        let mut numbers = vec![0; names.len()];
        let mut news = Vec::new();
        for (index, (_, seen)) in names.iter().enumerate() {
            match table.knows(&seen.id) {
                true => numbers[index] = table.of(seen.id)?,
                false => news.push(index),
            }
        }
        news.sort_unstable_by(|one, other| names[*one].0.cmp(&names[*other].0));
        for index in news {
            numbers[index] = table.of(names[index].1.id)?;
        }
        let numbered = names.into_iter().zip(numbers);
        Ok(numbered
            .map(|((name, seen), number)| (name, Qid::new(number, seen.kind)))
            .collect())
    }
}
