//! Which blocks of the data file are free.

use std::collections::BTreeMap;

/// Free runs that are looked at for one that is long enough, before the longest of them is taken.
const SEARCH_MAX: usize = 128;

/// The blocks of the data file.
///
/// A block that the durable state still refers to is not free: what is replaced or removed is *deferred*
/// until the change is durable. So a volume that stops anywhere has every block of its last commit.
#[derive(Default)]
pub(crate) struct Space {
    total: u32,
    free: BTreeMap<u32, u32>,
    free_blocks: u32,
    deferred: Vec<(u32, u32)>,
    deferred_blocks: u32,
    /// Promised to what is in the cache alone.
    reserved: u32,
    /// Taken since a checkpoint, if one is open.
    #[cfg(feature = "durable")]
    taken: Option<Vec<(u32, u32)>>,
}

impl Space {
    /// Blocks of the data file.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Free blocks that are not promised to anybody.
    pub fn available(&self) -> u32 {
        self.free_blocks - self.reserved
    }

    /// Blocks that will be free after the next commit.
    pub fn deferred(&self) -> u32 {
        self.deferred_blocks
    }

    /// Promises blocks; there must be as many [`available`](Space::available).
    pub fn reserve(&mut self, blocks: u32) {
        self.reserved += blocks;
        debug_assert!(self.reserved <= self.free_blocks, "promises can be kept");
    }

    /// Takes a promise back.
    pub fn unreserve(&mut self, blocks: u32) {
        self.reserved -= blocks;
    }

    /// Adds free blocks at the end of the data file.
    pub fn grow(&mut self, total: u32) {
        let from = self.total;
        self.total = total;
        self.release(from, total - from);
    }

    /// Free blocks at the end of the data file.
    pub fn tail(&self) -> u32 {
        match self.free.last_key_value() {
            Some((start, length)) if start + length == self.total => *length,
            _ => 0,
        }
    }

    /// Forgets free blocks at the end of the data file.
    pub fn cut(&mut self, blocks: u32) {
        if let Some((start, length)) = self.free.pop_last() {
            debug_assert!(start + length == self.total && blocks <= length);
            if length > blocks {
                self.free.insert(start, length - blocks);
            }
            self.total -= blocks;
            self.free_blocks -= blocks;
        }
    }

    /// Whether a free run begins here.
    pub fn is_free(&self, start: u32) -> bool {
        self.free.contains_key(&start)
    }

    /// Takes up to `want` free blocks in one run: from `goal` on if those are free, else the
    /// lowest run that is long enough, else a long one.
    pub fn allocate(&mut self, goal: Option<u32>, want: u32) -> Option<(u32, u32)> {
        let at_goal = goal.and_then(|goal| self.free.get_key_value(&goal));
        let (start, length) = match at_goal {
            Some((start, length)) => (*start, *length),
            None => {
                let mut longest = None;
                for (start, length) in self.free.iter().take(SEARCH_MAX) {
                    if longest.is_none_or(|(_, most)| *length > most) {
                        longest = Some((*start, *length));
                    }
                    if *length >= want {
                        break;
                    }
                }
                // The end of the data file, where it has grown, is the best that is left.
                let last = self.free.last_key_value();
                match (longest, last) {
                    (Some((_, most)), Some((start, length))) if most < want && *length > most => {
                        (*start, *length)
                    }
                    (longest, _) => longest?,
                }
            }
        };
        let take = length.min(want);
        self.free.remove(&start);
        if take < length {
            self.free.insert(start + take, length - take);
        }
        self.free_blocks -= take;
        #[cfg(feature = "durable")]
        if let Some(taken) = &mut self.taken {
            taken.push((start, take));
        }
        Some((start, take))
    }

    /// Takes exactly these blocks, if all of them are free.
    pub fn claim(&mut self, start: u32, length: u32) -> bool {
        let Some((first, free)) = self.free.range(..=start).next_back() else {
            return false;
        };
        let (first, free) = (*first, *free);
        let Some(end) = start.checked_add(length) else {
            return false;
        };
        if end > first + free {
            return false;
        }
        self.free.remove(&first);
        if first < start {
            self.free.insert(first, start - first);
        }
        if end < first + free {
            self.free.insert(end, first + free - end);
        }
        self.free_blocks -= length;
        true
    }

    /// Gives back what was [allocated](Space::allocate), and has not been used.
    pub fn give_back(&mut self, start: u32, length: u32) {
        #[cfg(feature = "durable")]
        if let Some(taken) = &mut self.taken
            && let Some(index) = taken.iter().rposition(|run| *run == (start, length))
        {
            taken.swap_remove(index);
        }
        self.release(start, length);
    }

    /// Notes from now on what is taken. Nothing may be deferred.
    #[cfg(feature = "durable")]
    pub fn keep(&mut self) {
        debug_assert!(self.deferred.is_empty());
        self.taken = Some(Vec::new());
    }

    /// What was taken stays so.
    #[cfg(feature = "durable")]
    pub fn keep_no_more(&mut self) {
        self.taken = None;
    }

    /// Gives back what was taken, and nothing of what was deferred. Nothing may be promised.
    #[cfg(feature = "durable")]
    pub fn discard(&mut self) {
        debug_assert_eq!(self.reserved, 0);
        self.deferred.clear();
        self.deferred_blocks = 0;
        for (start, length) in self.taken.take().unwrap_or_default() {
            self.release(start, length);
        }
    }

    /// Gives blocks back that the durable state does not refer to.
    fn release(&mut self, start: u32, length: u32) {
        if length == 0 {
            return;
        }
        let (mut first, mut whole) = (start, length);
        if let Some((before, free)) = self.free.range(..start).next_back()
            && before + free == start
        {
            first = *before;
            whole += free;
        }
        if let Some(after) = self.free.remove(&(start + length)) {
            whole += after;
        }
        self.free.insert(first, whole);
        self.free_blocks += length;
    }

    /// Gives blocks back after the next commit.
    pub fn defer(&mut self, start: u32, length: u32) {
        self.deferred.push((start, length));
        self.deferred_blocks += length;
    }

    /// Frees what was deferred: the change is durable.
    pub fn committed(&mut self) {
        for (start, length) in std::mem::take(&mut self.deferred) {
            self.release(start, length);
        }
        self.deferred_blocks = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(total: u32) -> Space {
        let mut space = Space::default();
        space.grow(total);
        space
    }

    #[test]
    fn runs_join_when_they_are_given_back() {
        let mut space = space(10);
        assert_eq!(space.allocate(None, 4), Some((0, 4)));
        assert_eq!(space.allocate(Some(4), 4), Some((4, 4)));
        assert_eq!(space.allocate(None, 4), Some((8, 2)));
        assert_eq!(space.allocate(None, 1), None);
        space.release(0, 2);
        space.release(4, 2);
        space.release(2, 2);
        assert_eq!(space.allocate(None, 9), Some((0, 6)));
    }

    #[test]
    fn what_is_deferred_is_not_free() {
        let mut space = space(4);
        space.allocate(None, 4);
        space.defer(1, 2);
        assert_eq!((space.available(), space.deferred()), (0, 2));
        assert_eq!(space.allocate(None, 1), None);
        space.committed();
        assert_eq!((space.available(), space.deferred()), (2, 0));
        assert_eq!(space.allocate(None, 4), Some((1, 2)));
    }

    #[test]
    fn only_free_blocks_can_be_claimed() {
        let mut space = space(10);
        assert!(space.claim(3, 4));
        assert!(!space.claim(2, 2));
        assert!(!space.claim(6, 1));
        assert!(!space.claim(9, 2));
        assert!(!space.claim(u32::MAX, 2));
        assert!(space.claim(0, 3) && space.claim(7, 3));
        assert_eq!(space.available(), 0);
    }

    #[test]
    fn the_end_is_cut_off() {
        let mut space = space(10);
        space.claim(0, 4);
        assert_eq!(space.tail(), 6);
        space.cut(5);
        assert_eq!((space.total(), space.tail(), space.available()), (5, 1, 1));
        space.grow(8);
        assert_eq!(space.allocate(None, 8), Some((4, 4)));
        assert_eq!(space.tail(), 0);
    }
}
