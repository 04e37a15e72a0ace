//! What one agent makes its host hold, counted in one place.
//!
//! Whatever an agent can make grow on its host's side (linear memories, tables, files in memory, what a descriptor
//! gathers, bodies and messages under way, programs of its children) is *charged* to its [`Account`] before it is
//! allocated, and given back when the [`Charge`] is dropped. So there is one limit, and no way around it by way of another
//! device. A child's account is a part of its parent's: what the child holds counts for both.
//!
//! A device is made for one agent and takes its account when it is made. Sizes are what was asked for, not what an allocator makes of
//! it, so that a program runs out at the same point on every host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Errno;

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Linear memories, all of a program's.
    Memory,
    /// Tables of a program.
    Tables,
    /// File systems in memory: contents, names, link targets.
    Files,
    /// Open descriptors, and what is gathered in them: a question to a key, a value that is written, a line of commands.
    Descriptors,
    /// What is under way to or from the outside: bodies, messages, connections that are ending.
    Transfers,
    /// Programs of children, read and compiled.
    Programs,
}

impl Holding {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Holding; 6] = [
        Holding::Memory,
        Holding::Tables,
        Holding::Files,
        Holding::Descriptors,
        Holding::Transfers,
        Holding::Programs,
    ];

    /// One word for it, as reports have it.
    pub const fn name(self) -> &'static str {
        match self {
            Holding::Memory => "memory",
            Holding::Tables => "tables",
            Holding::Files => "files",
            Holding::Descriptors => "descriptors",
            Holding::Transfers => "transfers",
            Holding::Programs => "programs",
        }
    }
}

/// The account of one agent. Clones are the same account.
#[derive(Clone, Debug)]
pub struct Account(Arc<Ledger>);

#[derive(Debug)]
struct Ledger {
    /// Bytes that may be held at once.
    max: u64,
    used: AtomicU64,
    peak: AtomicU64,
    by_holding: [AtomicU64; Holding::ALL.len()],
    /// Charges that were refused.
    refused: AtomicU64,
    parent: Option<Account>,
}

impl Account {
    /// An account of so many bytes.
    pub fn new(max: u64) -> Account {
        Account::with_parent(max, None)
    }

    /// An account that counts and refuses nothing: of a host's own trees, and in tests.
    pub fn unlimited() -> Account {
        Account::new(u64::MAX)
    }

    /// A child's account, of at most so many bytes, which are taken from this one as they are used.
    pub fn child(&self, max: u64) -> Account {
        Account::with_parent(max, Some(self.clone()))
    }

    fn with_parent(max: u64, parent: Option<Account>) -> Account {
        Account(Arc::new(Ledger {
            max,
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            by_holding: Default::default(),
            refused: AtomicU64::new(0),
            parent,
        }))
    }

    /// Takes so many bytes, before they are allocated.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: over the limit of this account or of one above it; nothing was taken
    pub fn charge(&self, holding: Holding, bytes: u64) -> Result<Charge, Errno> {
        self.take(holding, bytes)?;
        Ok(Charge {
            account: self.clone(),
            holding,
            bytes,
        })
    }

    /// Bytes that can still be charged, by this account's limit and those above it.
    pub fn left(&self) -> u64 {
        let own = self.0.max.saturating_sub(self.used());
        match &self.0.parent {
            Some(parent) => own.min(parent.left()),
            None => own,
        }
    }

    /// Bytes held now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// What is held now, and what was.
    pub fn usage(&self) -> AccountUsage {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AccountUsage {
            max: self.0.max,
            used: load(&self.0.used),
            peak: load(&self.0.peak),
            by_holding: Holding::ALL.map(|holding| (holding, load(self.counter(holding)))),
            refused: load(&self.0.refused),
        }
    }

    fn counter(&self, holding: Holding) -> &AtomicU64 {
        &self.0.by_holding[holding as usize]
    }

    // The counters guard no other memory, so relaxed ordering is enough.
    fn take(&self, holding: Holding, bytes: u64) -> Result<(), Errno> {
        let ledger = &*self.0;
        let more = |used: u64| used.checked_add(bytes).filter(|total| *total <= ledger.max);
        let taken = ledger
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        let Ok(before) = taken else {
            ledger.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Errno::Nomem);
        };
        if let Some(parent) = &ledger.parent
            && let Err(errno) = parent.take(holding, bytes)
        {
            ledger.used.fetch_sub(bytes, Ordering::Relaxed);
            ledger.refused.fetch_add(1, Ordering::Relaxed);
            return Err(errno);
        }
        ledger.peak.fetch_max(before + bytes, Ordering::Relaxed);
        self.counter(holding).fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, holding: Holding, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        self.counter(holding).fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.0.parent {
            parent.give_back(holding, bytes);
        }
    }
}

/// What an account stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountUsage {
    /// Bytes that may be held at once.
    pub max: u64,
    /// Bytes held now.
    pub used: u64,
    /// The most that was held at once.
    pub peak: u64,
    /// Bytes held now, by what for.
    pub by_holding: [(Holding, u64); Holding::ALL.len()],
    /// Charges that were refused.
    pub refused: u64,
}

/// Bytes that were charged. Dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    account: Account,
    holding: Holding,
    bytes: u64,
}

impl Charge {
    /// Bytes that are charged by it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Charges another number of bytes in place of the present one: more, before they are allocated, or fewer, after they were freed.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: over a limit; the former charge stands
    pub fn resize(&mut self, bytes: u64) -> Result<(), Errno> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.account.take(self.holding, more)?,
            None => self.account.give_back(self.holding, self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Charges so many bytes more.
    ///
    /// # Errors
    /// As [`Charge::resize`].
    pub fn grow(&mut self, more: u64) -> Result<(), Errno> {
        self.resize(self.bytes.checked_add(more).ok_or(Errno::Nomem)?)
    }

    /// Gives so many bytes back, or what there is.
    pub fn shrink(&mut self, fewer: u64) {
        let fewer = fewer.min(self.bytes);
        self.account.give_back(self.holding, fewer);
        self.bytes -= fewer;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.give_back(self.holding, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(account: &Account, holding: Holding) -> u64 {
        let by_holding = account.usage().by_holding;
        by_holding[holding as usize].1
    }

    #[test]
    fn what_is_over_the_limit_is_refused_and_nothing_of_it_taken() {
        let account = Account::new(100);
        let charge = account.charge(Holding::Files, 60).unwrap();
        assert_eq!(
            account.charge(Holding::Transfers, 41).unwrap_err(),
            Errno::Nomem
        );
        assert_eq!((account.used(), account.left()), (60, 40));
        assert_eq!(held(&account, Holding::Transfers), 0);
        drop(charge);
        assert_eq!((account.used(), account.usage().peak), (0, 60));
        assert_eq!(account.usage().refused, 1);
    }

    #[test]
    fn a_charge_grows_and_shrinks() {
        let account = Account::new(100);
        let mut charge = account.charge(Holding::Descriptors, 10).unwrap();
        charge.grow(90).unwrap();
        assert_eq!(charge.grow(1), Err(Errno::Nomem));
        assert_eq!(charge.grow(u64::MAX), Err(Errno::Nomem));
        assert_eq!((charge.bytes(), account.used()), (100, 100));
        charge.shrink(70);
        assert_eq!((charge.bytes(), account.used()), (30, 30));
        charge.shrink(u64::MAX);
        charge.resize(5).unwrap();
        assert_eq!(held(&account, Holding::Descriptors), 5);
        assert_eq!(account.usage().peak, 100);
    }

    #[test]
    fn a_child_takes_from_its_parent_and_gives_back() {
        let parent = Account::new(100);
        let child = parent.child(80);
        let own = parent.charge(Holding::Memory, 30).unwrap();
        assert_eq!(child.left(), 70);
        let charge = child.charge(Holding::Memory, 70).unwrap();
        assert_eq!(
            child.charge(Holding::Memory, 1).unwrap_err(),
            Errno::Nomem,
            "the parent has no more, although the child may have"
        );
        assert_eq!((child.used(), parent.used()), (70, 100));
        assert_eq!(held(&child, Holding::Memory), 70);
        drop(own);
        let over = child.charge(Holding::Memory, 11).unwrap_err();
        assert_eq!(over, Errno::Nomem, "the child's own limit");
        drop(charge);
        assert_eq!((child.used(), parent.used()), (0, 0));
    }
}
