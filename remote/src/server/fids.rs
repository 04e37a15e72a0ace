//! What a client's fids stand for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use capfs::{Errno, NodeRef, OpenFile};

use crate::wire::REQUESTS_MAX;

/// Nodes and open files of one client, at most: somewhat more than its own descriptors and mounts can hold.
pub(crate) const FIDS_MAX: usize = 1 << 18;

/// Wakers kept for one number that is about to be made: more than requests can wait at once.
const WAITING_MAX: usize = 2 * REQUESTS_MAX;

/// An open file. Several requests may be under way on it; each borrows it for the length of one poll.
pub(super) struct SharedFile {
    pub file: Mutex<Box<dyn OpenFile>>,
    /// The subject that the client knows.
    pub told: Mutex<Option<String>>,
    /// What wakes the requests on it: one for all of them, so that a device has one to keep, however often and by however many it is
    /// polled.
    pub waker: OnceLock<Waker>,
}

/// A node, or an open file.
#[derive(Clone)]
pub(super) enum Held {
    Node(NodeRef),
    File(Arc<SharedFile>),
}

enum Slot {
    /// The request with this serial number is about to make it; these wait for that.
    Making(u64, Vec<Waker>),
    Here(Held),
}

/// Nodes and open files, by the client's numbers.
#[derive(Default)]
pub(super) struct Fids {
    all: HashMap<u32, Slot>,
    last_serial: u64,
    /// Who waited for a number that was made, or was let go of: to be woken when nothing is locked.
    pub woken: Vec<Waker>,
}

impl Fids {
    /// The serial number of what was begun last.
    pub fn last(&self) -> u64 {
        self.last_serial
    }

    /// What a number stands for. Waits for the request that is about to make it, if that was begun before another: none waits for itself, and no two
    /// for each other.
    pub fn poll_get(
        &mut self,
        number: u32,
        last: u64,
        context: &Context<'_>,
    ) -> Poll<Option<Held>> {
        match self.all.get_mut(&number) {
            Some(Slot::Here(held)) => Poll::Ready(Some(held.clone())),
            Some(Slot::Making(begun, waiting)) if *begun <= last => {
                let waker = context.waker();
                if !waiting.iter().any(|known| known.will_wake(waker)) {
                    // Those of requests that were given up are there, too: who still waits asks again.
                    if waiting.len() >= WAITING_MAX {
                        self.woken.append(waiting);
                    }
                    waiting.push(waker.clone());
                }
                Poll::Pending
            }
            _ => Poll::Ready(None),
        }
    }

    /// The open file that a number stands for now.
    pub fn file(&self, number: u32) -> Option<&Arc<SharedFile>> {
        match self.all.get(&number)? {
            Slot::Here(Held::File(file)) => Some(file),
            _ => None,
        }
    }

    /// Reserves a number for what a request makes; returns a serial number to end that by.
    ///
    /// # Errors
    /// - [`Errno::Nfile`]: it has as many as it may have
    /// - [`Errno::Badf`]: the number stands for something
    pub fn begin(&mut self, number: u32) -> Result<u64, Errno> {
        if self.all.len() >= FIDS_MAX {
            return Err(Errno::Nfile);
        }
        if self.all.contains_key(&number) {
            return Err(Errno::Badf);
        }
        self.last_serial += 1;
        let slot = Slot::Making(self.last_serial, Vec::new());
        self.all.insert(number, slot);
        Ok(self.last_serial)
    }

    /// Ends what `begin` began: the number stands for something now, or for nothing. Returns what was made for a number that was let go of
    /// meanwhile.
    #[must_use = "to be dropped when nothing is locked"]
    pub fn end(&mut self, number: u32, serial: u64, made: Option<Held>) -> Option<Held> {
        match self.all.get_mut(&number) {
            Some(Slot::Making(begun, waiting)) if *begun == serial => self.woken.append(waiting),
            _ => return made,
        }
        match made {
            Some(held) => self.all.insert(number, Slot::Here(held)),
            None => self.all.remove(&number),
        };
        None
    }

    /// Lets go of a number. Who waits for it to be made learns that it stands for nothing.
    #[must_use = "to be dropped when nothing is locked"]
    pub fn remove(&mut self, number: u32) -> Option<Held> {
        match self.all.remove(&number)? {
            Slot::Here(held) => Some(held),
            Slot::Making(_, mut waiting) => {
                self.woken.append(&mut waiting);
                None
            }
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.all.len()
    }
}
