//! Where the blocks of a file are.

use std::collections::BTreeMap;

/// A run of blocks in the data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub start: u32,
    pub length: u32,
    /// The blocks hold contents; otherwise they are set aside and read as zeroes.
    pub written: bool,
}

/// What is at a block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// Nothing, for so many blocks.
    Hole(u32),
    /// The rest of an extent from here on.
    Mapped(Extent),
}

/// The blocks of one file, by their number in the file.
#[derive(Default)]
pub(crate) struct Extents {
    map: BTreeMap<u32, Extent>,
    blocks: u32,
}

impl Extents {
    /// Blocks that are mapped.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Every extent with the block of the file that it begins at, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Extent)> {
        self.map.iter().map(|(block, extent)| (*block, *extent))
    }

    pub fn lookup(&self, block: u32) -> Mapping {
        if let Some((first, extent)) = self.map.range(..=block).next_back() {
            let into = block - first;
            if into < extent.length {
                return Mapping::Mapped(Extent {
                    start: extent.start + into,
                    length: extent.length - into,
                    written: extent.written,
                });
            }
        }
        let next = self.map.range(block..).next();
        Mapping::Hole(next.map_or(u32::MAX - block, |(next, _)| next - block))
    }

    /// What is mapped of a run of blocks.
    #[cfg(feature = "durable")]
    pub fn within(&self, block: u32, length: u32) -> Vec<(u32, Extent)> {
        let end = block.saturating_add(length);
        let first = self.map.range(..=block).next_back();
        let from = first.map_or(block, |(first, _)| *first);
        let parts = self.map.range(from..end).filter_map(|(first, extent)| {
            let (start, stop) = (block.max(*first), end.min(first + extent.length));
            let part = Extent {
                start: extent.start + (start - first),
                length: stop.checked_sub(start).filter(|length| *length > 0)?,
                written: extent.written,
            };
            Some((start, part))
        });
        parts.collect()
    }

    /// The block of the data file behind the one where `block - 1` is, if it is anywhere.
    pub fn follows(&self, block: u32) -> Option<u32> {
        match self.lookup(block.checked_sub(1)?) {
            Mapping::Mapped(extent) => Some(extent.start + 1),
            Mapping::Hole(_) => None,
        }
    }

    /// Maps a run of blocks and gives `freed` the runs of the data file that they were in before.
    pub fn insert(&mut self, block: u32, extent: Extent, freed: impl FnMut(u32, u32)) {
        self.remove(block, extent.length, freed);
        self.blocks += extent.length;
        let mut first = block;
        let mut whole = extent;
        if let Some((before, previous)) = self.map.range(..block).next_back()
            && before + previous.length == block
            && previous.start + previous.length == extent.start
            && previous.written == extent.written
        {
            first = *before;
            whole.start = previous.start;
            whole.length += previous.length;
        }
        if let Some(end) = block.checked_add(extent.length)
            && let Some(next) = self.map.get(&end).copied()
            && next.start == extent.start + extent.length
            && next.written == extent.written
        {
            whole.length += next.length;
            self.map.remove(&end);
        }
        self.map.insert(first, whole);
    }

    /// Makes a hole and gives `freed` the runs of the data file that were in its place.
    pub fn remove(&mut self, block: u32, length: u32, mut freed: impl FnMut(u32, u32)) {
        let end = block.saturating_add(length);
        while let Some((first, extent)) = self
            .map
            .range(..end)
            .next_back()
            .map(|(first, extent)| (*first, *extent))
        {
            let extent_end = first + extent.length;
            if extent_end <= block {
                break;
            }
            self.map.remove(&first);
            let (from, to) = (first.max(block), extent_end.min(end));
            if first < from {
                self.map.insert(
                    first,
                    Extent {
                        length: from - first,
                        ..extent
                    },
                );
            }
            if to < extent_end {
                self.map.insert(
                    to,
                    Extent {
                        start: extent.start + (to - first),
                        length: extent_end - to,
                        ..extent
                    },
                );
            }
            self.blocks -= to - from;
            freed(extent.start + (from - first), to - from);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: usize = 64;

    #[derive(Clone, Debug)]
    enum Change {
        Insert(u32, u32, u32, bool),
        Remove(u32, u32),
    }

    fn change() -> impl Strategy<Value = Change> {
        let run = || (0..SPAN as u32).prop_flat_map(|at| (Just(at), 1..=SPAN as u32 - at));
        prop_oneof![
            (run(), 0u32..1000, any::<bool>()).prop_map(|((at, length), start, written)| {
                Change::Insert(at, length, start, written)
            }),
            run().prop_map(|(at, length)| Change::Remove(at, length)),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_table(changes in prop::collection::vec(change(), 1..40)) {
            let mut extents = Extents::default();
            let mut table: [Option<(u32, bool)>; SPAN] = [None; SPAN];
            for change in changes {
                let mut freed = Vec::new();
                let free = |start, length| freed.extend(start..start + length);
                let (at, length) = match change {
                    Change::Insert(at, length, start, written) => {
                        extents.insert(at, Extent { start, length, written }, free);
                        (at, length)
                    }
                    Change::Remove(at, length) => {
                        extents.remove(at, length, free);
                        (at, length)
                    }
                };
                let mut expected = Vec::new();
                for block in at..at + length {
                    let slot = &mut table[block as usize];
                    expected.extend(slot.map(|(start, _)| start));
                    *slot = match change {
                        Change::Insert(at, _, start, written) => Some((start + block - at, written)),
                        Change::Remove(..) => None,
                    };
                }
                freed.sort_unstable();
                expected.sort_unstable();
                assert_eq!(freed, expected);
            }
            #[cfg(feature = "durable")]
            for (from, to) in [(0, SPAN), (SPAN / 4, SPAN / 2), (SPAN / 3, SPAN)] {
                let parts = extents.within(from as u32, (to - from) as u32);
                let blocks = parts.iter().flat_map(|(block, extent)| {
                    let start = extent.start;
                    (0..extent.length).map(move |at| (block + at, (start + at, extent.written)))
                });
                let places = (0..).zip(&table[..to]).skip(from);
                let expected = places.filter_map(|(block, place)| Some((block, (*place)?)));
                assert_eq!(blocks.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
            let mapped = table.iter().flatten().count();
            assert_eq!(extents.blocks() as usize, mapped);
            for (block, expected) in table.iter().enumerate() {
                match extents.lookup(block as u32) {
                    Mapping::Mapped(extent) => assert_eq!(Some((extent.start, extent.written)), *expected),
                    Mapping::Hole(length) => {
                        let end = (block + length as usize).min(SPAN);
                        assert!(table[block..end].iter().all(Option::is_none));
                        assert!(length > 0);
                    }
                }
            }
        }
    }
}
