//! Scattered guest memory as a source or sink of bytes.

use capfs::{Errno, GuestSink, GuestSource};

use crate::GuestMemory;

/// Buffers in one call: POSIX's `IOV_MAX` on Linux. A guest could otherwise make one call arbitrarily
/// long.
pub const IOVECS_MAX: u32 = 1024;

/// Bytes that one call moves at most; of more, it moves so many and says so. Buffers may be the same memory many times over,
/// so a guest could otherwise hold its host for seconds. It is more than any message that must not be cut.
pub const TRANSFER_MAX: u32 = 32 << 20;

/// Buffers that are kept without allocating.
const INLINE: usize = 8;

#[derive(Clone, Copy, Default)]
struct Buffer {
    addr: u32,
    len: u32,
}

/// The buffers of a call, all of them inside of the guest's memory.
pub(super) struct Iovecs {
    inline: [Buffer; INLINE],
    spilled: Vec<Buffer>,
    count: usize,
    total: u32,
}

impl Iovecs {
    /// A list of `count` buffers, which [`Iovecs::load`] reads.
    #[inline]
    pub(super) fn new(count: u32) -> Self {
        Iovecs {
            inline: [Buffer::default(); INLINE],
            spilled: Vec::new(),
            count: count as usize,
            total: 0,
        }
    }

    /// Reads and checks the pairs of address and length at `addr`. Into what the caller has: returned, the list would be copied at
    /// every call.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: more than [`IOVECS_MAX`] buffers, or more than 4 GiB in all
    /// - [`Errno::Fault`]: the list or a buffer is not in the guest's memory
    pub(super) fn load<M: GuestMemory + ?Sized>(
        &mut self,
        memory: &mut M,
        addr: u32,
    ) -> Result<(), Errno> {
        if self.count > IOVECS_MAX as usize {
            return Err(Errno::Inval);
        }
        memory.check(addr, self.count as u32 * 8)?;
        for index in 0..self.count {
            let pair = memory.read_u64(addr + index as u32 * 8)?;
            let buffer = Buffer {
                addr: pair as u32,
                len: (pair >> 32) as u32,
            };
            memory.check(buffer.addr, buffer.len)?;
            self.total = self.total.checked_add(buffer.len).ok_or(Errno::Inval)?;
            if self.count <= INLINE {
                self.inline[index] = buffer;
            } else {
                self.spilled.push(buffer);
            }
        }
        self.total = self.total.min(TRANSFER_MAX);
        Ok(())
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// The buffers as a source or sink that starts behind the first `skip` bytes.
    pub(super) fn cursor<'a, M: GuestMemory + ?Sized>(
        &'a self,
        memory: &'a mut M,
        skip: u32,
    ) -> Cursor<'a, M> {
        let buffers = match self.count <= INLINE {
            true => &self.inline[..self.count],
            false => &self.spilled[..],
        };
        let mut cursor = Cursor {
            memory,
            buffers,
            inside: 0,
            remaining: self.total as usize,
        };
        cursor.advance(skip as usize);
        cursor
    }
}

/// A place in the buffers of a call.
pub(super) struct Cursor<'a, M: ?Sized> {
    memory: &'a mut M,
    /// Buffers not yet passed.
    buffers: &'a [Buffer],
    /// Bytes passed of the first of them.
    inside: u32,
    remaining: usize,
}

impl<M: GuestMemory + ?Sized> Cursor<'_, M> {
    /// The next run of up to `max` bytes.
    fn run(&mut self, max: usize) -> Option<(u32, usize)> {
        loop {
            let buffer = *self.buffers.first()?;
            let left = (buffer.len - self.inside) as usize;
            if left == 0 {
                self.buffers = &self.buffers[1..];
                self.inside = 0;
            } else {
                // More than one call moves stays for the next.
                let left = left.min(max).min(self.remaining);
                return (left > 0).then_some((buffer.addr + self.inside, left));
            }
        }
    }

    fn pass(&mut self, bytes: usize) {
        self.inside += bytes as u32;
        self.remaining -= bytes;
    }

    /// Passes what a device says that it moved, of a run of `len` bytes.
    fn pass_within(&mut self, count: usize, len: usize) -> usize {
        let count = count.min(len);
        self.pass(count);
        count
    }

    fn advance(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let Some((_, len)) = self.run(bytes) else {
                return;
            };
            self.pass(len);
            bytes -= len;
        }
    }
}

// The buffers were checked when they were loaded, and a guest's memory never shrinks, so copying can't
// fail; were it to fail all the same, nothing more would be moved.
impl<M: GuestMemory + ?Sized> GuestSource for Cursor<'_, M> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    #[inline]
    fn take(&mut self, into: &mut [u8]) -> usize {
        let mut taken = 0;
        while taken < into.len() {
            let Some((addr, len)) = self.run(into.len() - taken) else {
                break;
            };
            if self
                .memory
                .read(addr, &mut into[taken..taken + len])
                .is_err()
            {
                break;
            }
            self.pass(len);
            taken += len;
        }
        taken
    }

    fn in_place(
        &mut self,
        drain: &mut dyn FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Option<Result<usize, Errno>> {
        let Some((addr, len)) = self.run(usize::MAX) else {
            return Some(drain(&[]));
        };
        let result = drain(self.memory.slice(addr, len)?);
        Some(result.map(|count| self.pass_within(count, len)))
    }
}

impl<M: GuestMemory + ?Sized> GuestSink for Cursor<'_, M> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> usize {
        let mut given = 0;
        while given < bytes.len() {
            let Some((addr, len)) = self.run(bytes.len() - given) else {
                break;
            };
            if self.memory.write(addr, &bytes[given..given + len]).is_err() {
                break;
            }
            self.pass(len);
            given += len;
        }
        given
    }

    fn in_place(
        &mut self,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<usize, Errno>,
    ) -> Option<Result<usize, Errno>> {
        let Some((addr, len)) = self.run(usize::MAX) else {
            return Some(fill(&mut []));
        };
        let result = fill(self.memory.slice(addr, len)?);
        Some(result.map(|count| self.pass_within(count, len)))
    }
}
