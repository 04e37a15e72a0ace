//! The names in a directory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Weak};

use super::inode::Inode;
#[cfg(feature = "durable")]
use super::undo::NamesUndo;
use crate::{DirEntry, Qid};

/// Names, for walking and for listing.
///
/// Cookies count up and are never used again, so a listing goes on from the last one that it
/// has seen whatever came and went meanwhile.
pub(super) struct Names {
    /// Where the directory is; none for the root.
    pub(super) parent: Weak<Inode>,
    /// The directory has been removed; nothing can be made in it any more.
    pub(super) removed: bool,
    pub(super) by_name: HashMap<Arc<str>, Slot>,
    by_cookie: BTreeMap<u64, (Arc<str>, Qid)>,
    pub(super) last_cookie: u64,
    #[cfg(feature = "durable")]
    pub(super) undo: NamesUndo,
}

/// Above every cookie; see [`Entries::list`](crate::Entries::list).
pub(super) const COOKIE_END: u64 = 1 << 42;

/// Names for which a directory keeps its room, however few it has.
const ROOM_KEPT: usize = 64;

#[derive(Clone)]
pub(super) struct Slot {
    pub(super) cookie: u64,
    pub(super) inode: Arc<Inode>,
}

impl Names {
    pub(super) fn new(parent: Weak<Inode>) -> Self {
        Names {
            parent,
            removed: false,
            by_name: HashMap::new(),
            by_cookie: BTreeMap::new(),
            last_cookie: 0,
            #[cfg(feature = "durable")]
            undo: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Inode>> {
        self.by_name.get(name).map(|slot| &slot.inode)
    }

    /// Makes a name, or gives one that exists to another inode; that keeps its place in listings.
    /// Returns the inode that had the name.
    pub(super) fn put(&mut self, name: &str, inode: Arc<Inode>) -> Option<Arc<Inode>> {
        if let Some(slot) = self.by_name.get_mut(name) {
            if let Some((_, qid)) = self.by_cookie.get_mut(&slot.cookie) {
                *qid = inode.qid;
            }
            return Some(std::mem::replace(&mut slot.inode, inode));
        }
        self.last_cookie += 1;
        self.insert(name.into(), self.last_cookie, inode);
        None
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<Inode>> {
        self.take(name).map(|slot| slot.inode)
    }

    /// Moves a name within the directory and returns the inode that it replaced.
    ///
    /// A fresh name takes the place of the old one in listings: a program that renames every
    /// entry as it lists them would otherwise meet each of them again, for ever.
    pub(super) fn rename(&mut self, name: &str, to_name: &str) -> Option<Arc<Inode>> {
        let slot = self.take(name)?;
        if self.by_name.contains_key(to_name) {
            return self.put(to_name, slot.inode);
        }
        self.insert(to_name.into(), slot.cookie, slot.inode);
        None
    }

    /// What the names are of.
    pub(super) fn inodes(&self) -> impl Iterator<Item = &Arc<Inode>> {
        self.by_name.values().map(|slot| &slot.inode)
    }

    pub(super) fn list(&self, cookie: u64, max: usize) -> Vec<DirEntry> {
        self.by_cookie
            .range((Bound::Excluded(cookie), Bound::Unbounded))
            .take(max)
            .map(|(cookie, (name, qid))| DirEntry {
                name: name.to_string(),
                qid: *qid,
                cookie: *cookie,
            })
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn last_cookie(&self) -> u64 {
        self.last_cookie
    }

    pub(super) fn set_last_cookie(&mut self, cookie: u64) {
        self.last_cookie = cookie;
    }

    /// Cookies, names, and what they are of, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &str, Qid)> {
        let entries = self.by_cookie.iter();
        entries.map(|(cookie, (name, qid))| (*cookie, &**name, *qid))
    }

    /// Gives a name its place again; whether it wasn't there.
    pub(super) fn restore(&mut self, name: &str, cookie: u64, inode: Arc<Inode>) -> bool {
        let new = !self.by_name.contains_key(name);
        if new {
            self.insert(name.into(), cookie, inode);
        }
        new
    }

    /// Takes every name out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Arc<str>, Arc<Inode>)> {
        self.by_cookie.clear();
        self.by_name.drain().map(|(name, slot)| (name, slot.inode))
    }

    pub(super) fn insert(&mut self, name: Arc<str>, cookie: u64, inode: Arc<Inode>) {
        self.by_cookie.insert(cookie, (name.clone(), inode.qid));
        self.by_name.insert(name, Slot { cookie, inode });
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Slot> {
        let slot = self.by_name.remove(name)?;
        self.by_cookie.remove(&slot.cookie);
        // Or a directory would go on holding room for all the names that it ever had.
        let names = self.by_name.len();
        if self.by_name.capacity() > ROOM_KEPT.max(4 * names) {
            self.by_name.shrink_to(2 * names);
        }
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryLimits;
    use super::super::inode::Volume;
    use super::*;
    use crate::account::Account;
    use crate::testkit::ManualClock;

    #[test]
    fn a_directory_keeps_no_room_for_names_that_it_had() {
        let clock = Arc::new(ManualClock::new(1));
        let volume = Volume::new(clock, MemoryLimits::default(), &Account::unlimited());
        let inode = Inode::root(Arc::new(volume));
        let mut names = Names::new(Weak::new());
        for number in 0..10_000 {
            names.put(&number.to_string(), inode.clone());
        }
        assert!(names.by_name.capacity() >= 10_000);
        for number in 0..9_990 {
            names.remove(&number.to_string()).unwrap();
            assert!(names.by_name.capacity() <= ROOM_KEPT.max(16 * (10_000 - number)));
        }
        assert!(names.by_name.capacity() <= ROOM_KEPT);
        assert_eq!(names.list(0, 100).len(), 10);
        assert!(names.get("9995").is_some());
    }
}
