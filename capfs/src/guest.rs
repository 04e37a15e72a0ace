//! Guest memory as a device sees it: bytes to take, room to fill.
//!
//! A device never gets a pointer into a guest. It gets the bytes that a write offers (a
//! [`GuestSource`]) or the room that a read offers (a [`GuestSink`]), already checked against the
//! guest's memory, for the length of one poll. Natively both are slices of the guest's memory; in a
//! browser they copy between two WebAssembly memories. In neither case is there a `Vec` in between.

/// The bytes that a write offers, front to back, over all its iovecs.
pub trait GuestSource {
    /// Bytes not yet taken.
    fn remaining(&self) -> usize;

    /// Copies the next bytes into `into`, as many as fit and remain, and returns how many.
    fn take(&mut self, into: &mut [u8]) -> usize;
}

/// The room that a read offers, front to back, over all its iovecs.
pub trait GuestSink {
    /// Bytes of room not yet filled.
    fn remaining(&self) -> usize;

    /// Copies `bytes` into the room, as many as fit, and returns how many.
    fn put(&mut self, bytes: &[u8]) -> usize;
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
}
