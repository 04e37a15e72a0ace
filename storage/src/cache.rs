//! Blocks of files in memory, with what was written to them and is nowhere else yet.

use crate::limits::{BLOCK, Geometry};

/// The number of a page's place in the cache.
pub(crate) type Slot = u32;

/// Whose block a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub number: u64,
    pub block: u32,
}

#[derive(Clone, Copy, Default)]
struct Page {
    owner: Option<Owner>,
    dirty: bool,
    /// Was used since the hand came by.
    used: bool,
}

/// The pages of a volume. A clock's hand goes round over them and takes what was not used since its last round; so
/// pages that are filled one after the other lie side by side, and are written in one piece.
///
/// It begins small and grows when everything in it is used, for memory that was never touched is dearer than
/// memory that is in the processor's cache: what is only written, or read once, never makes it grow.
pub(crate) struct Cache {
    /// Memory is taken a segment at a time, of two to the power of so many pages.
    segment_shift: u32,
    pages_min: u32,
    pages_max: u32,
    segments: Vec<Box<[u8]>>,
    pages: Vec<Page>,
    dirty: u32,
    hand: u32,
}

impl Cache {
    /// An empty one.
    pub fn new(geometry: &Geometry) -> Self {
        debug_assert!(geometry.batch().is_power_of_two());
        Cache {
            segment_shift: geometry.batch().ilog2(),
            pages_min: (geometry.cache_min / BLOCK) as u32,
            pages_max: (geometry.cache_max / BLOCK) as u32,
            segments: Vec::new(),
            pages: Vec::new(),
            dirty: 0,
            hand: 0,
        }
    }

    /// Pages in a segment.
    fn segment(&self) -> usize {
        1 << self.segment_shift
    }

    /// The segment of a page, and where in it.
    fn place(&self, slot: Slot) -> (usize, usize) {
        let slot = slot as usize;
        let within = slot & (self.segment() - 1);
        (slot >> self.segment_shift, within * BLOCK)
    }

    /// Takes a place for another block; the owner of what was there must forget it. `None` when
    /// dirty pages must be written out first.
    pub fn take(&mut self) -> Option<(Slot, Option<Owner>)> {
        if self.dirty >= self.pages_min.max(self.pages.len() as u32) / 2 {
            return None;
        }
        self.take_clean()
    }

    /// As [`take`](Cache::take), for a page that will be clean.
    pub fn take_clean(&mut self) -> Option<(Slot, Option<Owner>)> {
        if self.hand as usize == self.pages.len() && self.hand < self.pages_min {
            return Some((self.add(), None));
        }
        self.take_unused().or_else(|| {
            if (self.pages.len() as u32) < self.pages_max {
                self.hand = self.pages.len() as u32;
                return Some((self.add(), None));
            }
            self.take_unused()
        })
    }

    /// Makes one more place, behind all others.
    fn add(&mut self) -> Slot {
        if self.pages.len() == self.segments.len() << self.segment_shift {
            let bytes = self.segment() * BLOCK;
            self.segments.push(vec![0; bytes].into());
        }
        self.pages.push(Page::default());
        self.hand += 1;
        self.hand - 1
    }

    /// Goes round once for a page that is neither dirty nor used.
    fn take_unused(&mut self) -> Option<(Slot, Option<Owner>)> {
        for _ in 0..self.pages.len() {
            if self.hand as usize >= self.pages.len() {
                // A segment that was begun is finished first.
                if !self.pages.len().is_multiple_of(self.segment()) {
                    return Some((self.add(), None));
                }
                self.hand = 0;
            }
            let slot = self.hand;
            self.hand += 1;
            let page = &mut self.pages[slot as usize];
            if page.dirty {
                continue;
            }
            if page.used {
                page.used = false;
                continue;
            }
            return Some((slot, page.owner.take()));
        }
        None
    }

    /// Says whose block a place holds from now on.
    pub fn put(&mut self, slot: Slot, owner: Owner, dirty: bool) {
        self.pages[slot as usize] = Page {
            owner: Some(owner),
            dirty,
            used: false,
        };
        self.dirty += u32::from(dirty);
    }

    /// How many pages are dirty.
    pub fn dirty(&self) -> u32 {
        self.dirty
    }

    pub fn is_dirty(&self, slot: Slot) -> bool {
        self.pages[slot as usize].dirty
    }

    pub fn set_dirty(&mut self, slot: Slot) {
        let page = &mut self.pages[slot as usize];
        if !page.dirty {
            page.dirty = true;
            self.dirty += 1;
        }
    }

    pub fn set_clean(&mut self, slot: Slot) {
        let page = &mut self.pages[slot as usize];
        if page.dirty {
            page.dirty = false;
            self.dirty -= 1;
        }
    }

    /// Forgets a page, whatever is in it.
    pub fn forget(&mut self, slot: Slot) {
        self.set_clean(slot);
        self.pages[slot as usize] = Page::default();
    }

    /// Notes that a page was found in the cache.
    pub fn touch(&mut self, slot: Slot) {
        self.pages[slot as usize].used = true;
    }

    /// The bytes of a page.
    pub fn page(&mut self, slot: Slot) -> &mut [u8] {
        let (segment, at) = self.place(slot);
        &mut self.segments[segment][at..at + BLOCK]
    }

    /// The bytes of pages that lie side by side.
    pub fn run(&self, slot: Slot, pages: usize) -> &[u8] {
        let (segment, at) = self.place(slot);
        &self.segments[segment][at..at + pages * BLOCK]
    }

    /// As [`run`](Cache::run), to be filled.
    pub fn run_mut(&mut self, slot: Slot, pages: usize) -> &mut [u8] {
        let (segment, at) = self.place(slot);
        &mut self.segments[segment][at..at + pages * BLOCK]
    }

    /// Whether `next` lies behind `slot`, so that one write takes both.
    pub fn adjoins(&self, slot: Slot, next: Slot) -> bool {
        next == slot + 1 && !(next as usize).is_multiple_of(self.segment())
    }

    /// The dirty pages by owner.
    pub fn dirty_pages(&self) -> Vec<(Owner, Slot)> {
        let mut dirty: Vec<_> = (0..)
            .zip(&self.pages)
            .filter(|(_, page)| page.dirty)
            .filter_map(|(slot, page)| Some((page.owner?, slot)))
            .collect();
        dirty.sort_unstable();
        dirty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry::SMALL;
    const PAGES_MIN: u32 = (GEOMETRY.cache_min / BLOCK) as u32;
    const PAGES_MAX: u32 = (GEOMETRY.cache_max / BLOCK) as u32;

    fn owner(block: u32) -> Owner {
        Owner { number: 1, block }
    }

    fn fill(cache: &mut Cache, pages: u32) {
        for block in 0..pages {
            let (slot, evicted) = cache.take().unwrap();
            assert_eq!((slot, evicted), (block, None));
            cache.put(slot, owner(block), false);
        }
    }

    #[test]
    fn what_is_used_stays_and_makes_the_cache_grow() {
        let mut cache = Cache::new(&GEOMETRY);
        fill(&mut cache, PAGES_MIN);
        cache.touch(0);
        assert_eq!(cache.take(), Some((1, Some(owner(1)))));
        for slot in 0..PAGES_MIN {
            cache.touch(slot);
        }
        for slot in PAGES_MIN..PAGES_MIN + GEOMETRY.batch() {
            assert_eq!(cache.take(), Some((slot, None)));
        }
        // Nothing has been used since.
        assert_eq!(cache.take().unwrap().0, 0);
    }

    #[test]
    fn it_has_an_end() {
        let mut cache = Cache::new(&GEOMETRY);
        for block in 0..3 * PAGES_MAX {
            let (slot, _) = cache.take().unwrap();
            assert!(slot < PAGES_MAX);
            cache.put(slot, owner(block), false);
            cache.touch(slot);
        }
    }

    #[test]
    fn dirty_pages_are_never_taken() {
        let mut cache = Cache::new(&GEOMETRY);
        let mut block = 0;
        while let Some((slot, _)) = cache.take() {
            cache.put(slot, owner(block), true);
            block += 1;
        }
        assert_eq!(block, PAGES_MIN / 2);
        for _ in 0..PAGES_MAX {
            let (slot, _) = cache.take_clean().unwrap();
            assert!(!cache.is_dirty(slot));
            cache.put(slot, owner(u32::MAX), false);
        }
        assert_eq!(cache.dirty_pages().len() as u32, PAGES_MIN / 2);
        cache.forget(0);
        assert!(cache.take().is_some());
    }
}
