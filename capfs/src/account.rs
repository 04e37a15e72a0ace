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
    /// Programs of children, read and compiled, and what programs are started with: arguments and environment.
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

/// Bytes in which an account is charged for many small things, by [`Charge::cover`]: 16 KiB.
pub const STEP: u64 = 16 << 10;

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
    /// Tells the bytes of memories that are bounded elsewhere and count here.
    outside: Option<fn() -> u64>,
}

impl Account {
    /// An account of so many bytes.
    pub fn new(max: u64) -> Account {
        Account::with(max, None, None)
    }

    /// An account of so many bytes, of which memories take what `outside` says whenever it is asked: where an engine bounds
    /// these by itself.
    pub fn beside(max: u64, outside: fn() -> u64) -> Account {
        Account::with(max, None, Some(outside))
    }

    /// An account that counts and refuses nothing: of a host's own trees, and in tests.
    pub fn unlimited() -> Account {
        Account::new(u64::MAX)
    }

    /// A child's account, of at most so many bytes, which are taken from this one as they are used.
    pub fn child(&self, max: u64) -> Account {
        Account::with(max, Some(self.clone()), None)
    }

    fn with(max: u64, parent: Option<Account>, outside: Option<fn() -> u64>) -> Account {
        Account(Arc::new(Ledger {
            max,
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            by_holding: Default::default(),
            refused: AtomicU64::new(0),
            parent,
            outside,
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

    /// Bytes that may be held at once, by this account's own limit.
    pub fn max(&self) -> u64 {
        self.0.max
    }

    /// A charge of nothing, to be grown.
    pub fn nothing(&self, holding: Holding) -> Charge {
        Charge {
            account: self.clone(),
            holding,
            bytes: 0,
        }
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
        let used = self.0.used.load(Ordering::Relaxed);
        used.saturating_add(self.outside())
    }

    fn outside(&self) -> u64 {
        self.0.outside.map_or(0, |outside| outside())
    }

    /// What is held now, and what was.
    pub fn usage(&self) -> AccountUsage {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let outside = self.outside();
        let held = |holding| match holding {
            Holding::Memory => load(self.counter(holding)) + outside,
            _ => load(self.counter(holding)),
        };
        let used = load(&self.0.used) + outside;
        AccountUsage {
            max: self.0.max,
            used,
            peak: load(&self.0.peak).max(used),
            by_holding: Holding::ALL.map(|holding| (holding, held(holding))),
            refused: load(&self.0.refused),
        }
    }

    fn counter(&self, holding: Holding) -> &AtomicU64 {
        &self.0.by_holding[holding as usize]
    }

    // The counters guard no other memory, so relaxed ordering is enough.
    fn take(&self, holding: Holding, bytes: u64) -> Result<(), Errno> {
        let ledger = &*self.0;
        let outside = self.outside();
        let max = ledger.max.saturating_sub(outside);
        let more = |used: u64| used.checked_add(bytes).filter(|total| *total <= max);
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
        let now = before.saturating_add(bytes).saturating_add(outside);
        ledger.peak.fetch_max(now, Ordering::Relaxed);
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

impl Default for Account {
    /// An account that refuses nothing.
    fn default() -> Account {
        Account::unlimited()
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
    /// Whose it is.
    #[cfg(feature = "durable")]
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

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

    /// Charges at least so many bytes, in steps of [`STEP`] where there is room for them, so that many small changes
    /// cost little.
    ///
    /// # Errors
    /// As [`Charge::resize`].
    pub fn cover(&mut self, bytes: u64) -> Result<(), Errno> {
        if (bytes..bytes.saturating_add(2 * STEP)).contains(&self.bytes) && bytes > 0 {
            return Ok(());
        }
        let whole = bytes.checked_next_multiple_of(STEP).ok_or(Errno::Nomem)?;
        if bytes > self.bytes && whole - self.bytes > self.account.left() {
            return self.resize(bytes);
        }
        // Whoever shares the account may have taken the room meanwhile.
        self.resize(whole).or_else(|_| self.resize(bytes))
    }

    /// Whether so many bytes could be charged by it now.
    ///
    /// # Errors
    /// As [`Charge::resize`]; nothing is changed otherwise.
    pub fn check(&self, bytes: u64) -> Result<(), Errno> {
        if bytes <= self.bytes || bytes - self.bytes <= self.account.left() {
            return Ok(());
        }
        self.account.0.refused.fetch_add(1, Ordering::Relaxed);
        Err(Errno::Nomem)
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

/// Bytes that are gathered, charged by what is allocated for them.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    charge: Charge,
}

impl Buffer {
    /// An empty one.
    pub fn new(account: &Account, holding: Holding) -> Buffer {
        Buffer {
            bytes: Vec::new(),
            charge: account.nothing(holding),
        }
    }

    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds bytes behind those that are there.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: over a limit, or the host has none; nothing was added
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.reserve(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Cuts it, or adds zeroes, and gives what is in it to be changed.
    ///
    /// # Errors
    /// As [`Buffer::extend`].
    pub fn resize(&mut self, length: usize) -> Result<&mut [u8], Errno> {
        self.reserve(length.saturating_sub(self.bytes.len()))?;
        self.bytes.resize(length, 0);
        Ok(&mut self.bytes)
    }

    /// Gives up what is behind so many bytes, and keeps the memory.
    pub fn cut(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Gives up what is in it, and its memory.
    pub fn clear(&mut self) {
        self.bytes = Vec::new();
        self.charge.shrink(u64::MAX);
    }

    /// Takes everything out of it, with its charge.
    pub fn take(&mut self) -> (Vec<u8>, Charge) {
        let empty = self.charge.account.nothing(self.charge.holding);
        let charge = std::mem::replace(&mut self.charge, empty);
        (std::mem::take(&mut self.bytes), charge)
    }

    /// Makes room for so many bytes more; twice what there is where there are few, so that it seldom moves.
    fn reserve(&mut self, more: usize) -> Result<(), Errno> {
        let length = self.bytes.len();
        let needed = length.checked_add(more).ok_or(Errno::Nomem)?;
        let capacity = self.bytes.capacity();
        if needed <= capacity {
            return Ok(());
        }
        let roomy = needed.max(capacity.saturating_mul(2));
        let charged = match self.charge.resize(roomy as u64) {
            Ok(()) => roomy,
            Err(_) => {
                self.charge.resize(needed as u64)?;
                needed
            }
        };
        if self.bytes.try_reserve_exact(charged - length).is_err() {
            self.charge.resize(capacity as u64)?;
            return Err(Errno::Nomem);
        }
        Ok(())
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

    #[test]
    fn small_things_are_covered_in_steps_and_to_the_last_byte() {
        let account = Account::new(3 * STEP + 10);
        let mut charge = account.nothing(Holding::Files);
        charge.cover(1).unwrap();
        assert_eq!(charge.bytes(), STEP);
        charge.cover(STEP).unwrap();
        charge.cover(2 * STEP + 5).unwrap();
        assert_eq!(charge.bytes(), 3 * STEP);
        charge.cover(3 * STEP + 10).unwrap();
        assert_eq!((charge.bytes(), account.left()), (3 * STEP + 10, 0));
        assert_eq!(charge.cover(3 * STEP + 11), Err(Errno::Nomem));
        charge.cover(2 * STEP).unwrap();
        assert_eq!(
            charge.bytes(),
            3 * STEP + 10,
            "little is not given back at once"
        );
        charge.cover(1).unwrap();
        assert_eq!(charge.bytes(), STEP);
        charge.cover(0).unwrap();
        assert_eq!(account.used(), 0);
        assert_eq!(charge.cover(u64::MAX), Err(Errno::Nomem));
    }

    #[test]
    fn a_step_for_which_the_room_goes_meanwhile_is_not_needed() {
        static ASKED: AtomicU64 = AtomicU64::new(0);
        // There is room for a step when it is looked for, and none any more when it is taken.
        let outside = || match ASKED.fetch_add(1, Ordering::Relaxed) {
            0 => 0,
            _ => 3 * STEP - 10,
        };
        let account = Account::beside(3 * STEP, outside);
        let mut charge = account.nothing(Holding::Files);
        charge.cover(7).unwrap();
        assert_eq!(charge.bytes(), 7);
        assert_eq!(charge.cover(11), Err(Errno::Nomem));
    }

    #[test]
    fn a_buffer_is_charged_before_it_grows() {
        let account = Account::new(100);
        let mut buffer = Buffer::new(&account, Holding::Descriptors);
        buffer.extend(&[1; 30]).unwrap();
        buffer.extend(&[2; 1]).unwrap();
        assert_eq!((buffer.len(), account.used()), (31, 60));
        buffer.extend(&[3; 69]).unwrap();
        assert_eq!(
            (buffer.len(), account.used()),
            (100, 100),
            "what fits exactly"
        );
        assert_eq!(buffer.extend(&[4]), Err(Errno::Nomem));
        assert_eq!(buffer.resize(101).unwrap_err(), Errno::Nomem);
        assert_eq!(buffer.bytes()[30], 2);
        let (bytes, charge) = buffer.take();
        assert_eq!(
            (bytes.len(), charge.bytes(), account.used()),
            (100, 100, 100)
        );
        drop(charge);
        buffer.resize(10).unwrap().fill(9);
        assert_eq!(buffer.bytes(), [9; 10]);
        buffer.clear();
        assert_eq!((buffer.is_empty(), account.used()), (true, 0));
    }

    #[test]
    fn what_is_bounded_elsewhere_counts() {
        let account = Account::beside(100, || 60);
        assert_eq!((account.used(), account.left()), (60, 40));
        assert_eq!(
            account.charge(Holding::Files, 41).unwrap_err(),
            Errno::Nomem
        );
        let charge = account.charge(Holding::Files, 40).unwrap();
        assert_eq!(held(&account, Holding::Memory), 60);
        assert_eq!((account.usage().used, account.usage().peak), (100, 100));
        drop(charge);
        assert_eq!(account.used(), 60);
    }
}
