//! Structures as they lie in guest memory, of both snapshots.

use capfs::{DirEntry, Errno, FileKind, Stat};

use super::fds::{FdFlags, Rights};
use crate::GuestMemory;

/// Which snapshot's structures a call means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Snapshot {
    /// `wasi_snapshot_preview1`.
    Preview1,
    /// `wasi_unstable`.
    Unstable,
}

impl Snapshot {
    /// Bytes of a `filestat`.
    pub(super) const fn filestat_size(self) -> u32 {
        match self {
            Snapshot::Preview1 => 64,
            Snapshot::Unstable => 56,
        }
    }

    /// Stores a `filestat`. In `wasi_unstable`, `nlink` has 32 bits and lies right behind the type.
    pub(super) fn store_filestat<M: GuestMemory + ?Sized>(
        self,
        memory: &mut M,
        addr: u32,
        device: u64,
        stat: &Stat,
    ) -> Result<(), Errno> {
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&device.to_le_bytes());
        bytes[8..16].copy_from_slice(&stat.qid.path.to_le_bytes());
        bytes[16] = stat.qid.kind as u8;
        let tail = match self {
            Snapshot::Preview1 => {
                bytes[24..32].copy_from_slice(&stat.nlink.to_le_bytes());
                32
            }
            Snapshot::Unstable => {
                let nlink = u32::try_from(stat.nlink).unwrap_or(u32::MAX);
                bytes[20..24].copy_from_slice(&nlink.to_le_bytes());
                24
            }
        };
        for (index, value) in [stat.size, stat.atime, stat.mtime, stat.ctime]
            .iter()
            .enumerate()
        {
            bytes[tail + index * 8..tail + index * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        memory.write(addr, &bytes[..self.filestat_size() as usize])
    }

    /// Bytes of a `subscription`.
    pub(super) const fn subscription_size(self) -> u32 {
        match self {
            Snapshot::Preview1 => 48,
            Snapshot::Unstable => 56,
        }
    }

    /// Reads a `subscription`. In `wasi_unstable`, a clock has an identifier in front.
    pub(super) fn load_subscription<M: GuestMemory + ?Sized>(
        self,
        memory: &mut M,
        addr: u32,
    ) -> Result<Subscription, Errno> {
        let mut bytes = [0; 56];
        let size = self.subscription_size() as usize;
        memory.read(addr, &mut bytes[..size])?;
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let clock = match self {
            Snapshot::Preview1 => 16,
            Snapshot::Unstable => 24,
        };
        let wanted = match bytes[8] {
            0 => Wanted::Clock {
                id: u32_at(clock),
                timeout: u64_at(clock + 8),
                absolute: match u16::from_le_bytes([bytes[clock + 24], bytes[clock + 25]]) {
                    0 => false,
                    1 => true,
                    _ => return Err(Errno::Inval),
                },
            },
            1 => Wanted::Read { fd: u32_at(16) },
            2 => Wanted::Write { fd: u32_at(16) },
            _ => return Err(Errno::Inval),
        };
        Ok(Subscription {
            userdata: u64_at(0),
            wanted,
        })
    }
}

/// What a guest waits for.
#[derive(Clone, Copy)]
pub(super) struct Subscription {
    pub(super) userdata: u64,
    pub(super) wanted: Wanted,
}

/// The kinds of a [`Subscription`].
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Clock {
        id: u32,
        timeout: u64,
        absolute: bool,
    },
    Read {
        fd: u32,
    },
    Write {
        fd: u32,
    },
}

/// What happened to a [`Subscription`].
pub(super) struct Event {
    pub(super) userdata: u64,
    pub(super) error: Option<Errno>,
    /// The tag of the subscription: 0 clock, 1 read, 2 write.
    pub(super) kind: u8,
    pub(super) bytes: u64,
    pub(super) hangup: bool,
}

impl Event {
    pub(super) const SIZE: u32 = 32;

    pub(super) fn store<M: GuestMemory + ?Sized>(
        &self,
        memory: &mut M,
        addr: u32,
    ) -> Result<(), Errno> {
        let mut bytes = [0; Event::SIZE as usize];
        bytes[..8].copy_from_slice(&self.userdata.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.error.map_or(0, Errno::code).to_le_bytes());
        bytes[10] = self.kind;
        bytes[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[24..26].copy_from_slice(&u16::from(self.hangup).to_le_bytes());
        memory.write(addr, &bytes)
    }
}

/// Stores an `fdstat`, 24 bytes.
pub(super) fn store_fdstat<M: GuestMemory + ?Sized>(
    memory: &mut M,
    addr: u32,
    kind: FileKind,
    flags: FdFlags,
    base: Rights,
    inheriting: Rights,
) -> Result<(), Errno> {
    let mut bytes = [0; 24];
    bytes[0] = kind as u8;
    bytes[2..4].copy_from_slice(&flags.bits().to_le_bytes());
    bytes[8..16].copy_from_slice(&base.bits().to_le_bytes());
    bytes[16..].copy_from_slice(&inheriting.bits().to_le_bytes());
    memory.write(addr, &bytes)
}

/// Bytes of a `dirent` without its name.
pub(super) const DIRENT_SIZE: usize = 24;

/// The head of a `dirent`: the cookie behind it, inode, length of the name, type.
pub(super) fn dirent(entry: &DirEntry) -> [u8; DIRENT_SIZE] {
    let mut bytes = [0; DIRENT_SIZE];
    bytes[..8].copy_from_slice(&entry.cookie.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.qid.path.to_le_bytes());
    bytes[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
    bytes[20] = entry.qid.kind as u8;
    bytes
}
