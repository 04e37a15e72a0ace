//! Hashing numbers that hosts hand out.

use std::hash::Hasher;

/// Mixes numbers which hosts hand out in sequence, such as those of devices, files and waiters: a guest can't choose them.
#[derive(Default)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // Fibonacci hashing: the odd number nearest to 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_in_sequence_are_spread() {
        let hash = |number: u64| {
            let mut hasher = NumberHasher::default();
            hasher.write_u64(number);
            hasher.finish()
        };
        // A table takes the place of an entry from the low bits, and its tag from the seven highest.
        let places: HashSet<u64> = (0..4096).map(|number| hash(number) % 4096).collect();
        let tags: HashSet<u64> = (0..4096).map(|number| hash(number) >> 57).collect();
        assert_eq!((places.len(), tags.len()), (4096, 128));
    }

    #[test]
    fn the_order_of_two_numbers_counts() {
        let hash = |bytes: &[u8]| {
            let mut hasher = NumberHasher::default();
            hasher.write(bytes);
            hasher.finish()
        };
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
        assert_ne!(hash(&[1]), hash(&[2]));
    }
}
