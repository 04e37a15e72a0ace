//! Counting what a file system uses.

use std::sync::Mutex;

use super::{MemoryLimits, MemoryUsage};
use crate::Errno;
use crate::account::{Account, Charge, Holding};
use crate::device::lock::lock;
#[cfg(feature = "durable")]
use crate::{FileSystemStat, NAME_MAX};

/// Bytes that an account is charged for a file, a directory or a link beside what it holds: what one takes on a 64-bit
/// host.
const INODE: u64 = 256;

/// Bytes that an account is charged for a name beside its own: its places in the two maps of a directory.
const NAME: u64 = 256;

/// Bytes in the blocks that are told.
#[cfg(feature = "durable")]
const BLOCK: u64 = 4096;

/// What is used, and what may be: by the limits of the file system itself, and by the account of the agent that it is for.
pub(super) struct Quota {
    limits: MemoryLimits,
    state: Mutex<State>,
}

struct State {
    bytes: u64,
    inodes: u64,
    names: u64,
    /// Bytes of everything, inodes and names included.
    held: u64,
    charge: Charge,
}

impl State {
    fn hold(&mut self, more: u64) -> Result<(), Errno> {
        let held = self.held.checked_add(more).ok_or(Errno::Nospc)?;
        // A file system that can't grow is full, whoever it is that has no room left.
        self.charge.cover(held).map_err(|_| Errno::Nospc)?;
        self.held = held;
        Ok(())
    }

    fn release(&mut self, fewer: u64) {
        self.held -= fewer;
        // Less is never refused.
        let _ = self.charge.cover(self.held);
    }
}

impl Quota {
    pub(super) fn new(limits: MemoryLimits, account: &Account) -> Self {
        Quota {
            limits,
            state: Mutex::new(State {
                bytes: 0,
                inodes: 0,
                names: 0,
                held: 0,
                charge: account.nothing(Holding::Files),
            }),
        }
    }

    pub(super) fn limits(&self) -> MemoryLimits {
        self.limits
    }

    pub(super) fn usage(&self) -> MemoryUsage {
        let state = lock(&self.state);
        MemoryUsage {
            bytes: state.bytes,
            nodes: state.inodes,
        }
    }

    /// In blocks of 4 KiB: what the limits leave, and what the account does where that is less.
    #[cfg(feature = "durable")]
    pub(super) fn stat(&self) -> FileSystemStat {
        let state = lock(&self.state);
        let left = state.charge.account().left();
        let left = left.saturating_add(state.charge.bytes() - state.held);
        let free = left.min(self.limits.bytes - state.bytes);
        FileSystemStat {
            block_size: BLOCK as u32,
            blocks: (state.bytes + free) / BLOCK,
            free: free / BLOCK,
            files: self.limits.nodes,
            free_files: self.limits.nodes - state.inodes,
            name_max: NAME_MAX as u32,
        }
    }

    pub(super) fn charge_bytes(&self, count: u64) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        let bytes = more(state.bytes, count, self.limits.bytes)?;
        state.hold(count)?;
        state.bytes = bytes;
        Ok(())
    }

    pub(super) fn release_bytes(&self, count: u64) {
        let mut state = lock(&self.state);
        state.bytes -= count;
        state.release(count);
    }

    pub(super) fn charge_inode(&self) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        let inodes = more(state.inodes, 1, self.limits.nodes)?;
        state.hold(INODE)?;
        state.inodes = inodes;
        Ok(())
    }

    pub(super) fn release_inode(&self) {
        let mut state = lock(&self.state);
        state.inodes -= 1;
        state.release(INODE);
    }

    pub(super) fn charge_name(&self, name: &str) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        let names = more(state.names, 1, self.limits.nodes)?;
        state.hold(NAME + name.len() as u64)?;
        state.names = names;
        Ok(())
    }

    pub(super) fn release_name(&self, name: &str) {
        let mut state = lock(&self.state);
        state.names -= 1;
        state.release(NAME + name.len() as u64);
    }

    /// What a checkpoint keeps of a name counts as contents.
    #[cfg(feature = "durable")]
    pub(super) fn charge_kept_name(&self, name: &str) -> Result<(), Errno> {
        self.charge_bytes(NAME + name.len() as u64)
    }

    #[cfg(feature = "durable")]
    pub(super) fn release_kept_name(&self, name: &str) {
        self.release_bytes(NAME + name.len() as u64);
    }

    /// What was kept of a name is a name again, which takes as much.
    #[cfg(feature = "durable")]
    pub(super) fn restore_name(&self, name: &str) {
        let mut state = lock(&self.state);
        state.bytes -= NAME + name.len() as u64;
        state.names += 1;
    }

    /// A name becomes another, which takes the difference.
    pub(super) fn charge_longer(&self, name: &str, to_name: &str) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        let (before, after) = (name.len() as u64, to_name.len() as u64);
        match after.checked_sub(before) {
            Some(more) => state.hold(more)?,
            None => state.release(before - after),
        }
        Ok(())
    }
}

fn more(used: u64, count: u64, limit: u64) -> Result<u64, Errno> {
    let total = used.checked_add(count).filter(|total| *total <= limit);
    total.ok_or(Errno::Nospc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "durable")]
    #[test]
    fn what_is_free_is_what_limits_and_account_leave() {
        let account = Account::new(100 * BLOCK);
        let limits = |blocks: u64| MemoryLimits {
            bytes: blocks * BLOCK,
            nodes: 10,
        };
        let told = |quota: &Quota| {
            let stat = quota.stat();
            (stat.blocks, stat.free, stat.files, stat.free_files)
        };
        let (small, large) = (
            Quota::new(limits(20), &account),
            Quota::new(limits(1 << 20), &account),
        );
        assert_eq!(told(&small), (20, 20, 10, 10));
        assert_eq!(told(&large), (100, 100, 10, 10), "the account has no more");
        small.charge_bytes(5 * BLOCK).unwrap();
        small.charge_inode().unwrap();
        assert_eq!(told(&small), (20, 15, 10, 9));
        let (blocks, free, ..) = told(&large);
        assert_eq!(blocks, free, "nothing of it is used here");
        assert!((90..95).contains(&free), "{free}");
        small.release_bytes(5 * BLOCK);
        small.release_inode();
        assert_eq!(told(&small).1, 20);
    }

    #[test]
    fn a_shorter_name_needs_no_room() {
        let account = Account::new(1 << 20);
        let quota = Quota::new(MemoryLimits::default(), &account);
        quota.charge_name("a-long-name").unwrap();
        while quota.charge_bytes(1).is_ok() {}
        assert_eq!(account.left(), 0);
        assert_eq!(
            quota.charge_longer("a-long-name", "a-longer-name"),
            Err(Errno::Nospc)
        );
        quota.charge_longer("a-long-name", "as-long-too").unwrap();
        quota.charge_longer("as-long-too", "short").unwrap();
        quota.charge_bytes(6).unwrap();
        assert_eq!(quota.charge_bytes(1), Err(Errno::Nospc));
    }
}
