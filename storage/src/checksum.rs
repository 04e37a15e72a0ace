//! Checksums: they find what a crash has torn and what a disk has spoilt.
//!
//! Frames of the index have CRC-32, as in gzip (RFC 1952, section 8). Blocks have 32 bits of [XXH64](https://xxhash.com), which is many times
//! as fast: every byte that a program writes and reads passes it.

use xxhash_rust::xxh64::xxh64;

use crate::limits::BLOCK;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                0xedb8_8320 ^ (value >> 1)
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// The checksum of several pieces, one behind the other.
pub(crate) fn crc32(pieces: &[&[u8]]) -> u32 {
    let bytes = pieces.iter().copied().flatten();
    !bytes.fold(!0, |sum: u32, byte| {
        TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8)
    })
}

/// Bytes of a block's checksum.
pub(crate) const SUM: usize = 4;

/// In place of a checksum that is not known: that of a block which an earlier version has written.
const UNKNOWN: u32 = 0;

fn block_sum(block: &[u8]) -> u32 {
    match xxh64(block, 0) as u32 {
        UNKNOWN => 1,
        sum => sum,
    }
}

/// The checksums of the blocks of the data file, in the order of the blocks and as the index has them.
#[derive(Default)]
pub(crate) struct Sums(Vec<u8>);

impl Sums {
    /// Notes the checksums of blocks that are about to be written, from `start` on.
    pub fn note(&mut self, start: u32, blocks: &[u8]) {
        let range = self.room(start, blocks.len() / BLOCK);
        let sums = self.0[range].chunks_exact_mut(SUM);
        for (sum, block) in sums.zip(blocks.chunks_exact(BLOCK)) {
            sum.copy_from_slice(&block_sum(block).to_le_bytes());
        }
    }

    /// Takes checksums from the index; those of blocks from `total` on, which the data file does not have, are left out.
    pub fn take(&mut self, start: u32, sums: &[u8], total: u32) {
        let there = total.saturating_sub(start) as usize * SUM;
        let sums = &sums[..sums.len().min(there)];
        if sums.is_empty() {
            return;
        }
        let range = self.room(start, sums.len() / SUM);
        self.0[range].copy_from_slice(sums);
    }

    /// The checksums of blocks, for the index.
    pub fn of(&mut self, start: u32, length: u32) -> &[u8] {
        let range = self.room(start, length as usize);
        &self.0[range]
    }

    /// How many of the blocks that have been read are as they were written, from the first one on and as far as that is known.
    pub fn agreeing(&self, start: u32, blocks: &[u8]) -> usize {
        let sums = self.0.get(start as usize * SUM..).unwrap_or_default();
        let mut known = sums.chunks_exact(SUM).zip(blocks.chunks_exact(BLOCK));
        let spoilt = known.position(|(sum, block)| {
            sum != UNKNOWN.to_le_bytes() && sum != block_sum(block).to_le_bytes()
        });
        spoilt.unwrap_or(blocks.len() / BLOCK)
    }

    /// Whether a block's checksum is known.
    pub fn is_known(&self, start: u32) -> bool {
        let sum = self
            .0
            .get(start as usize * SUM..)
            .and_then(|sums| sums.get(..SUM));
        sum.is_some_and(|sum| sum != UNKNOWN.to_le_bytes())
    }

    /// Where the checksums of blocks are; there is room for them then.
    fn room(&mut self, start: u32, length: usize) -> std::ops::Range<usize> {
        let from = start as usize * SUM;
        let range = from..from + length * SUM;
        if self.0.len() < range.end {
            self.0.resize(range.end, 0);
        }
        range
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_told_from_any_other() {
        let mut sums = Sums::default();
        let mut blocks = vec![7; 3 * BLOCK];
        sums.note(5, &blocks);
        assert_eq!(sums.agreeing(5, &blocks), 3);
        assert_eq!(sums.agreeing(6, &blocks[BLOCK..]), 2);
        blocks[BLOCK + 9] ^= 1;
        assert_eq!(sums.agreeing(5, &blocks), 1);
        assert_eq!(sums.agreeing(6, &blocks[BLOCK..]), 0);
        assert_eq!(sums.agreeing(7, &blocks[2 * BLOCK..]), 1);
        // Of blocks that nobody has noted nothing is known.
        assert_eq!(
            (sums.agreeing(2, &blocks), sums.agreeing(1000, &blocks)),
            (3, 3)
        );
    }

    #[test]
    fn checksums_come_back_from_the_index_for_blocks_that_are_there() {
        let (mut sums, mut again) = (Sums::default(), Sums::default());
        let blocks = vec![9; 4 * BLOCK];
        sums.note(2, &blocks);
        again.take(2, sums.of(2, 4), 4);
        assert_eq!(again.agreeing(2, &blocks), 4);
        assert_eq!(again.agreeing(2, &[8; BLOCK]), 0);
        assert_eq!(
            again.agreeing(4, &[8; BLOCK]),
            1,
            "the data file ends before"
        );
        again.take(u32::MAX, &[1; 4 * SUM], 4);
    }

    #[test]
    fn agrees_with_the_known_value() {
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[]), 0);
    }
}
