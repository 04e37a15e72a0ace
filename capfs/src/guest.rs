//! Guest memory as a device sees it: bytes to take, room to fill.
//!
//! A device never gets a pointer into a guest. It gets the bytes that a write offers (a
//! [`GuestSource`]) or the room that a read offers (a [`GuestSink`]), already checked against the
//! guest's memory, for the length of one poll. Natively both are slices of the guest's memory; in a
//! browser they copy between two WebAssembly memories. In neither case is there a `Vec` in between.

use crate::Errno;

/// The bytes that a write offers, front to back, over all its iovecs.
pub trait GuestSource {
    /// Bytes not yet taken.
    fn remaining(&self) -> usize;

    /// Copies the next bytes into `into`, as many as fit and remain, and returns how many.
    fn take(&mut self, into: &mut [u8]) -> usize;

    /// Hands `drain` the next bytes where they are, as many as lie side by side, and takes as many as
    /// it returns. `None` where the guest's memory is not in the host's address space; the device then
    /// uses [`GuestSource::take`].
    ///
    /// It saves a device that hands bytes on to an operating system one copy.
    ///
    /// # Errors
    /// What `drain` fails with; nothing is taken then.
    fn in_place(
        &mut self,
        drain: &mut dyn FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Option<Result<usize, Errno>> {
        let _ = drain;
        None
    }
}

/// The room that a read offers, front to back, over all its iovecs.
pub trait GuestSink {
    /// Bytes of room not yet filled.
    fn remaining(&self) -> usize;

    /// Copies `bytes` into the room, as many as fit, and returns how many.
    fn put(&mut self, bytes: &[u8]) -> usize;

    /// Hands `fill` the next room where it is, as much as lies side by side, and counts as filled as
    /// many bytes as it returns. `None` where the guest's memory is not in the host's address space;
    /// the device then uses [`GuestSink::put`].
    ///
    /// # Errors
    /// What `fill` fails with; nothing counts as filled then.
    fn in_place(
        &mut self,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<usize, Errno>,
    ) -> Option<Result<usize, Errno>> {
        let _ = fill;
        None
    }
}

impl GuestSource for &[u8] {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn take(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.len());
        let (now, rest) = self.split_at(count);
        into[..count].copy_from_slice(now);
        *self = rest;
        count
    }

    fn in_place(
        &mut self,
        drain: &mut dyn FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Option<Result<usize, Errno>> {
        Some(drain(self).map(|count| {
            let count = count.min(self.len());
            *self = &self[count..];
            count
        }))
    }
}

impl GuestSink for &mut [u8] {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.len());
        let (now, rest) = std::mem::take(self).split_at_mut(count);
        now.copy_from_slice(&bytes[..count]);
        *self = rest;
        count
    }

    fn in_place(
        &mut self,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<usize, Errno>,
    ) -> Option<Result<usize, Errno>> {
        Some(fill(self).map(|count| {
            let count = count.min(self.len());
            *self = &mut std::mem::take(self)[count..];
            count
        }))
    }
}
