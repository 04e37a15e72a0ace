//! A bounded queue of bytes.

use crate::account::{Account, Charge, Holding};
use crate::{Errno, GuestSink, GuestSource};

/// Bytes in the order in which they came, up to a capacity. Memory is taken with the first
/// byte.
pub(super) struct Ring {
    bytes: Box<[u8]>,
    capacity: usize,
    head: usize,
    length: usize,
    charge: Charge,
}

impl Ring {
    /// An empty ring for `capacity` bytes, at least 1, which are charged to an account once there is one in it.
    pub(super) fn new(capacity: usize, account: &Account) -> Self {
        Ring {
            charge: account.nothing(Holding::Transfers),
            bytes: Box::default(),
            capacity: capacity.max(1),
            head: 0,
            length: 0,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn room(&self) -> usize {
        self.capacity - self.length
    }

    /// Takes from `source` what fits and returns how many bytes.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: the account has no room for the ring
    pub(super) fn fill(&mut self, source: &mut dyn GuestSource) -> Result<usize, Errno> {
        if self.bytes.is_empty() {
            self.charge.resize(self.capacity as u64)?;
            self.bytes = vec![0; self.capacity].into_boxed_slice();
        }
        let mut total = 0;
        loop {
            let tail = (self.head + self.length) % self.capacity;
            let count = self
                .room()
                .min(self.capacity - tail)
                .min(source.remaining());
            if count == 0 {
                return Ok(total);
            }
            let taken = source.take(&mut self.bytes[tail..tail + count]);
            self.length += taken;
            total += taken;
            if taken < count {
                return Ok(total);
            }
        }
    }

    /// Puts what fits into `sink` and takes it away.
    pub(super) fn drain(&mut self, sink: &mut dyn GuestSink) -> usize {
        let total = self.peek(sink);
        self.length -= total;
        self.head = match self.length {
            0 => 0,
            _ => (self.head + total) % self.capacity,
        };
        total
    }

    /// Puts what fits into `sink` and keeps it.
    pub(super) fn peek(&self, sink: &mut dyn GuestSink) -> usize {
        let first = self.length.min(self.bytes.len() - self.head);
        let put = sink.put(&self.bytes[self.head..self.head + first]);
        if put < first {
            return put;
        }
        put + sink.put(&self.bytes[..self.length - first])
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.bytes = Box::default();
        (self.head, self.length) = (0, 0);
        self.charge.shrink(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_around_the_end() {
        let mut ring = Ring::new(5, &Account::unlimited());
        let mut expected = 0u8;
        let mut next = 0u8;
        for step in 0..50usize {
            let bytes: Vec<u8> = (0..step % 7).map(|i| next.wrapping_add(i as u8)).collect();
            let taken = ring.fill(&mut &bytes[..]).unwrap();
            assert_eq!(taken, bytes.len().min(taken + ring.room()));
            next = next.wrapping_add(taken as u8);
            let mut room = vec![0; step % 4];
            let mut peeked = vec![0; step % 4];
            let seen = ring.peek(&mut &mut peeked[..]);
            let put = ring.drain(&mut &mut room[..]);
            assert_eq!((seen, &peeked), (put, &room));
            for byte in &room[..put] {
                assert_eq!(*byte, expected);
                expected = expected.wrapping_add(1);
            }
        }
    }
}
