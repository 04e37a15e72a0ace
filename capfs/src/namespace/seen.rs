//! Which names the listing of a union has met.
//!
//! A union shows the name of a later member only if no earlier one has it. Asking each earlier member about each name
//! costs the product of both; remembering what they listed costs one look-up. What is remembered of a name is a
//! hash of 64 bits with a key of its own, and a bounded number of them, which are charged to an account; a listing that has no memory of
//! its past (it began somewhere else than at the start, it went back too far, there are too many names or listings, the account
//! has no room) asks the members.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::account::{Account, Charge, Holding};
use crate::number_hash::NumberHasher;
use crate::{Errno, UNION_LISTINGS_MAX, UNION_NAMES_MAX};

/// Bytes that an account is charged for a name that is remembered: what it takes at most, in a table that has just grown.
const NAME: usize = 34;

/// Bytes that an account is charged for each member of a directory that is open beside the first, which is what a descriptor is charged for:
/// as much as for a descriptor, 1 KiB.
const MEMBER: u64 = 1 << 10;

/// How many listings remember names, and whom they and the members that are open are charged to. A clone counts the same.
#[derive(Clone, Default)]
pub(super) struct Listings {
    count: Arc<AtomicUsize>,
    account: Account,
}

impl Listings {
    /// Those of the agent of an account.
    pub(super) fn charged(account: &Account) -> Listings {
        Listings {
            count: Arc::default(),
            account: account.clone(),
        }
    }

    /// Begins to remember, if one more listing may.
    pub(super) fn begin(&self) -> Option<Seen> {
        let more = |count: usize| (count < UNION_LISTINGS_MAX).then_some(count + 1);
        self.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Seen {
            earlier: HashSet::default(),
            own: Vec::new(),
            member: 0,
            noted: 0,
            hasher: RandomState::new(),
            charge: self.account.nothing(Holding::Descriptors),
            _permit: Permit(self.count.clone()),
        })
    }

    /// Charges what an open directory of so many members holds.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: the account has no room for it
    pub(super) fn open(&self, members: usize) -> Result<Option<Charge>, Errno> {
        let further = members.saturating_sub(1) as u64;
        let charge = || self.account.charge(Holding::Descriptors, further * MEMBER);
        (further > 0).then(charge).transpose()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The names of a listing that began at the start and has left out nothing since.
pub(super) struct Seen {
    /// Those of members that have been listed to their end.
    earlier: HashSet<u64, BuildHasherDefault<NumberHasher>>,
    /// Those of the member that is being listed, with their cookies, in order: whoever reads on from an earlier cookie is shown them
    /// again, as they are by then.
    own: Vec<(u64, u64)>,
    /// The index of that member.
    member: usize,
    /// The cookie up to which it has been listed.
    noted: u64,
    hasher: RandomState,
    charge: Charge,
    _permit: Permit,
}

impl Seen {
    /// Goes on behind `cookie`, which is the member's; nothing if what lies before it isn't known.
    pub(super) fn resume(mut self, member: usize, cookie: u64) -> Option<Seen> {
        if member != self.member || cookie > self.noted {
            return None;
        }
        let kept = self.own.partition_point(|(other, _)| *other <= cookie);
        self.own.truncate(kept);
        self.noted = cookie;
        Some(self)
    }

    /// What is remembered of a name.
    pub(super) fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    /// Whether an earlier member has the name.
    pub(super) fn is_earlier(&self, hash: u64) -> bool {
        self.earlier.contains(&hash)
    }

    /// Whether any earlier member has any name.
    pub(super) fn has_earlier(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// Notes a name of the member; whether there was room for it.
    pub(super) fn note(&mut self, cookie: u64, hash: u64) -> bool {
        let names = self.earlier.len() + self.own.len();
        let mut room = || self.charge.cover(((names + 1) * NAME) as u64);
        if names >= UNION_NAMES_MAX || room().is_err() {
            return false;
        }
        self.own.push((cookie, hash));
        true
    }

    /// The member has been listed up to this cookie.
    pub(super) fn listed(&mut self, cookie: u64) {
        self.noted = cookie;
    }

    /// The member has been listed to its end, at `cookie`: on to the next.
    pub(super) fn next(&mut self, cookie: u64) {
        self.earlier.reserve(self.own.len());
        self.earlier
            .extend(self.own.drain(..).map(|(_, hash)| hash));
        self.member += 1;
        self.noted = cookie;
    }
}
