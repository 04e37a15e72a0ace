//! The bytes of a regular file, in pages.

use super::MEMORY_FILE_MAX;
use super::quota::Quota;
#[cfg(feature = "durable")]
use super::undo::PagesUndo;
use crate::encoding::{Decoder, Encoder, Malformed};
use crate::{Errno, GuestSink, GuestSource};

/// Bytes in a page. Large enough that finding one is nothing beside copying it, small
/// enough that a file with holes is cheap; also WebAssembly's own page.
pub(super) const PAGE: usize = 1 << PAGE_SHIFT;
const PAGE_SHIFT: u32 = 16;

/// What the first page is allocated with; it doubles from there up to [`PAGE`].
const FIRST_PAGE_MIN: usize = 256;

/// Bytes charged for an entry in the table of pages: what one takes on a 64-bit host. The same
/// everywhere, so that a program runs out of room at the same point on every host.
const TABLE_ENTRY: u64 = 24;

/// What a hole reads as.
static ZEROES: [u8; 4096] = [0; 4096];

/// Pages and a size.
///
/// A page holds the front of its bytes and what is behind its length reads as zeroes, up to the
/// size of the file. Bytes of a page that are behind the size are zeroes or not there, so that
/// extending a file shows nothing old. A page's capacity may be more than its length:
/// that is room that has been charged for (see [`Content::allocate`]).
#[derive(Default)]
pub(super) struct Content {
    pub(super) size: u64,
    pub(super) pages: Vec<Vec<u8>>,
    /// What this file has been charged for.
    pub(super) charged: u64,
    #[cfg(feature = "durable")]
    pub(super) undo: PagesUndo,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that this file has been charged for and that its end must give back.
    pub(super) fn charged(&self) -> u64 {
        self.charged + self.held()
    }

    pub(super) fn shrink_table(&mut self, quota: &Quota, entries: usize) {
        let had = self.pages.capacity();
        self.pages.shrink_to(entries);
        let freed = (had - self.pages.capacity()) as u64 * TABLE_ENTRY;
        self.charged -= freed;
        quota.release_bytes(freed);
    }

    /// Puts bytes from `offset` into `sink` and returns how many.
    pub(super) fn read(&self, offset: u64, sink: &mut dyn GuestSink) -> usize {
        let wanted = saturate(self.size.saturating_sub(offset)).min(sink.remaining());
        let mut done = 0;
        while done < wanted {
            let (index, within) = locate(offset + done as u64);
            let count = (PAGE - within).min(wanted - done);
            let page = self.pages.get(index).map_or(&[][..], Vec::as_slice);
            let there = page.get(within..).unwrap_or(&[]);
            let bytes = match there.len() {
                0 => &ZEROES[..count.min(ZEROES.len())],
                length => &there[..count.min(length)],
            };
            let put = sink.put(bytes);
            done += put;
            if put < bytes.len() {
                break;
            }
        }
        done
    }

    /// Takes bytes from `source` to `offset` and returns how many. Where there is room
    /// for a part, that part is written.
    pub(super) fn write(
        &mut self,
        quota: &Quota,
        offset: u64,
        source: &mut dyn GuestSource,
    ) -> Result<usize, Errno> {
        let offered = source.remaining();
        if offered == 0 {
            return Ok(0);
        }
        let wanted = saturate(MEMORY_FILE_MAX.saturating_sub(offset)).min(offered);
        if wanted == 0 {
            return Err(Errno::Fbig);
        }
        let mut done = 0;
        while done < wanted {
            let (index, within) = locate(offset + done as u64);
            let count = (PAGE - within).min(wanted - done);
            let range = within..within + count;
            match self.keep(quota, index) {
                Ok(()) => {}
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            let room = match self.pages.get_mut(index) {
                Some(page) if page.len() >= range.end => &mut page[range],
                _ => match self.extend_page(quota, index, range.end) {
                    Ok(page) => &mut page[range],
                    Err(errno) if done == 0 => return Err(errno),
                    Err(_) => break,
                },
            };
            let taken = source.take(room);
            done += taken;
            if taken < count {
                break;
            }
        }
        self.size = self.size.max(offset + done as u64);
        Ok(done)
    }

    /// Cuts the file, or extends it by a hole.
    pub(super) fn set_size(&mut self, quota: &Quota, size: u64) -> Result<(), Errno> {
        if size > MEMORY_FILE_MAX {
            return Err(Errno::Fbig);
        }
        if size < self.size {
            let (index, within) = locate(size);
            let keep = if within == 0 { index } else { index + 1 };
            if within != 0 {
                self.keep(quota, index)?;
            }
            let first = keep.min(self.pages.len());
            self.keep_cut(quota, first)?;
            let mut freed = 0;
            for page in self.pages.drain(first..) {
                freed += page.capacity() as u64;
            }
            if within != 0
                && let Some(page) = self.pages.get_mut(index)
            {
                page.truncate(within);
            }
            self.charged -= freed;
            quota.release_bytes(freed);
            self.cut_table(quota, keep);
        }
        self.size = size;
        Ok(())
    }

    /// Makes the file at least `offset + length` long and takes the memory that writing there would
    /// need, or changes nothing.
    pub(super) fn allocate(
        &mut self,
        quota: &Quota,
        offset: u64,
        length: u64,
    ) -> Result<(), Errno> {
        let end = offset
            .checked_add(length)
            .filter(|end| *end <= MEMORY_FILE_MAX)
            .ok_or(Errno::Fbig)?;
        if length > 0 {
            let (first, _) = locate(offset);
            let (last, last_within) = locate(end - 1);
            let capacity_for = |index: usize| match index {
                0 => page_capacity(0, if last == 0 { last_within + 1 } else { PAGE }),
                _ => PAGE,
            };
            let missing_of = |content: &Content, index: usize| {
                let has = content.pages.get(index).map_or(0, Vec::capacity);
                capacity_for(index).saturating_sub(has) as u64
            };
            for index in first..=last {
                if missing_of(self, index) > 0 {
                    self.keep(quota, index)?;
                }
            }
            // Everything is asked for at once, so that a request that is too large costs nothing.
            let entries = (last + 1).saturating_sub(self.pages.capacity()) as u64;
            let missing: u64 = (first..=last).map(|index| missing_of(self, index)).sum();
            let total = missing + entries * TABLE_ENTRY;
            quota.charge_bytes(total)?;
            quota.release_bytes(total);
            for index in first..=last {
                self.reserve_page(quota, index, capacity_for(index))?;
            }
        }
        self.size = self.size.max(end);
        Ok(())
    }

    /// Makes a page at least `length` long. Slow path of a write.
    #[cold]
    fn extend_page(
        &mut self,
        quota: &Quota,
        index: usize,
        length: usize,
    ) -> Result<&mut Vec<u8>, Errno> {
        let page = self.reserve_page(quota, index, length)?;
        // The part that is about to be written is cleared just before, while it is on its way into the cache anyway; and
        // some that was charged for, so that a program which writes byte by byte comes here seldom.
        let ahead = length.next_multiple_of(FIRST_PAGE_MIN).min(page.capacity());
        page.resize(ahead, 0);
        Ok(page)
    }

    /// Makes room for so many entries in the table of pages: for twice those that there are, if there is room for them,
    /// so that a file which grows moves it seldom.
    fn extend_table(&mut self, quota: &Quota, entries: usize) -> Result<(), Errno> {
        let had = self.pages.capacity();
        let cost = |entries: usize| (entries - had) as u64 * TABLE_ENTRY;
        let mut room = entries.max(2 * had);
        if let Err(errno) = quota.charge_bytes(cost(room)) {
            if room == entries {
                return Err(errno);
            }
            room = entries;
            quota.charge_bytes(cost(room))?;
        }
        let more = room - self.pages.len();
        if self.pages.try_reserve_exact(more).is_err() {
            quota.release_bytes(cost(room));
            return Err(Errno::Nospc);
        }
        self.charged += cost(room);
        Ok(())
    }

    /// Makes room for `length` bytes in a page.
    fn reserve_page(
        &mut self,
        quota: &Quota,
        index: usize,
        length: usize,
    ) -> Result<&mut Vec<u8>, Errno> {
        if index >= self.pages.len() {
            if index >= self.pages.capacity() {
                self.extend_table(quota, index + 1)?;
            }
            self.pages.resize_with(index + 1, Vec::new);
        }
        let page = &mut self.pages[index];
        let had = page.capacity();
        if had < length {
            let capacity = page_capacity(index, length);
            let cost = (capacity - had) as u64;
            quota.charge_bytes(cost)?;
            // A host without memory is a full device, not a crash.
            if page.try_reserve_exact(capacity - page.len()).is_err() {
                quota.release_bytes(cost);
                return Err(Errno::Nospc);
            }
            debug_assert_eq!(page.capacity(), capacity, "capacities are what is charged");
            self.charged += cost;
        }
        Ok(page)
    }
}

/// The most entries that a table of pages has room for: it doubles.
const TABLE_MAX: u64 = 2 * (MEMORY_FILE_MAX >> PAGE_SHIFT);

/// Contents, as an image has them.
pub(super) struct PagesImage<'a> {
    size: u64,
    entries: usize,
    room: usize,
    /// Index, room, and bytes.
    pages: Vec<(usize, usize, &'a [u8])>,
}

impl<'a> PagesImage<'a> {
    pub(super) fn decode(image: &mut Decoder<'a>) -> Result<PagesImage<'a>, Malformed> {
        let size = image.u64("a size")?;
        if size > MEMORY_FILE_MAX {
            return Err(image.wrong("a size"));
        }
        let entries = image.u32("entries of a table")?;
        let room = image.u32("the room of a table")?;
        if entries > room || u64::from(room) > TABLE_MAX {
            return Err(image.wrong("the room of a table"));
        }
        let count = image.count(12, "pages")?;
        let (mut pages, mut next) = (Vec::with_capacity(count), 0);
        for _ in 0..count {
            let index = image.u32("the index of a page")?;
            if index < next || index >= entries {
                return Err(image.wrong("the index of a page"));
            }
            next = index + 1;
            let index = index as usize;
            let room = image.u32("the room of a page")? as usize;
            let bytes = image.bytes(room, "a page")?;
            if room == 0 || room > PAGE || room != page_capacity(index, room) {
                return Err(image.wrong("the room of a page"));
            }
            // What is behind the size reads as zeroes once the file grows.
            let within = size.saturating_sub((index as u64) << PAGE_SHIFT);
            let behind = bytes.get(saturate(within)..).unwrap_or(&[]);
            if behind.iter().any(|byte| *byte != 0) {
                return Err(image.wrong("what is behind the end of a file"));
            }
            pages.push((index, room, bytes));
        }
        Ok(PagesImage {
            size,
            entries: entries as usize,
            room: room as usize,
            pages,
        })
    }
}

impl Content {
    /// Puts the contents into an image.
    pub(super) fn encode(&self, image: &mut Encoder) {
        image.u64(self.size);
        image.count(self.pages.len());
        image.count(self.pages.capacity());
        let there = || {
            let pages = self.pages.iter().enumerate();
            pages.filter(|(_, page)| page.capacity() > 0)
        };
        image.count(there().count());
        for (index, page) in there() {
            image.count(index);
            image.count(page.capacity());
            image.bytes(page);
        }
    }

    /// Makes contents that an image has.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: there is no room for them
    pub(super) fn restore(image: PagesImage<'_>, quota: &Quota) -> Result<Content, Errno> {
        let mut content = Content {
            size: image.size,
            ..Content::default()
        };
        if image.room > 0 {
            quota.charge_bytes(image.room as u64 * TABLE_ENTRY)?;
            content.charged += image.room as u64 * TABLE_ENTRY;
            let room = content.pages.try_reserve_exact(image.room);
            room.map_err(|_| Errno::Nospc)?;
            content.pages.resize_with(image.entries, Vec::new);
        }
        for (index, room, bytes) in image.pages {
            content
                .reserve_page(quota, index, room)?
                .extend_from_slice(bytes);
        }
        Ok(content)
    }
}

/// What a page is allocated with when `length` bytes of it are needed.
fn page_capacity(index: usize, length: usize) -> usize {
    match index {
        0 => length.next_power_of_two().clamp(FIRST_PAGE_MIN, PAGE),
        _ => PAGE,
    }
}

/// The page of an offset, and where in it. Offsets are at most [`MEMORY_FILE_MAX`], whose page number
/// fits into any `usize`.
fn locate(offset: u64) -> (usize, usize) {
    (
        (offset >> PAGE_SHIFT) as usize,
        (offset as usize) & (PAGE - 1),
    )
}

fn saturate(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::MemoryLimits;
    use super::*;
    use crate::account::Account;

    fn quota(bytes: u64) -> Quota {
        Quota::new(MemoryLimits { bytes, nodes: 1 }, &Account::unlimited())
    }

    fn write(
        content: &mut Content,
        quota: &Quota,
        at: u64,
        mut bytes: &[u8],
    ) -> Result<usize, Errno> {
        content.write(quota, at, &mut bytes)
    }

    fn read(content: &Content, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; length];
        let count = content.read(at, &mut &mut bytes[..]);
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn pages_join_without_a_seam() {
        let quota = quota(1 << 20);
        let mut content = Content::default();
        let bytes: Vec<u8> = (0..PAGE * 2 + 100).map(|i| (i % 251) as u8).collect();
        assert_eq!(write(&mut content, &quota, 50, &bytes), Ok(bytes.len()));
        assert_eq!(read(&content, 50, bytes.len() + 10), bytes);
        assert_eq!(read(&content, 0, 50), [0; 50]);
        assert_eq!(
            read(&content, PAGE as u64 - 1, 2),
            bytes[PAGE - 51..PAGE - 49]
        );
    }

    #[test]
    fn holes_read_as_zeroes_and_cost_their_entries() {
        let quota = quota(1 << 20);
        let mut content = Content::default();
        let far = 10 * PAGE as u64 + 5;
        assert_eq!(write(&mut content, &quota, far, b"x"), Ok(1));
        assert_eq!(content.charged(), PAGE as u64 + 11 * TABLE_ENTRY);
        assert_eq!(quota.usage().bytes, content.charged());
        let bytes = read(&content, 0, PAGE * 11);
        assert_eq!(bytes.len() as u64, far + 1);
        assert!(bytes[..far as usize].iter().all(|byte| *byte == 0));
        assert_eq!(bytes[far as usize], b'x');
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let quota = quota(1 << 20);
        let mut content = Content::default();
        write(&mut content, &quota, 0, &[1; 1000]).unwrap();
        content.set_size(&quota, 10).unwrap();
        content.set_size(&quota, 1000).unwrap();
        assert_eq!(read(&content, 0, 12), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
        write(&mut content, &quota, 500, b"y").unwrap();
        assert_eq!(read(&content, 499, 3), [0, b'y', 0]);
        content.set_size(&quota, 0).unwrap();
        assert_eq!((content.charged(), quota.usage().bytes), (0, 0));
    }

    #[test]
    fn what_is_cleared_ahead_is_no_part_of_the_file() {
        let quota = quota(1 << 20);
        let mut content = Content::default();
        for at in 0..3 {
            assert_eq!(write(&mut content, &quota, at, b"x"), Ok(1));
        }
        assert_eq!(content.pages[0].len(), FIRST_PAGE_MIN);
        assert_eq!(content.size(), 3);
        assert_eq!(content.charged(), FIRST_PAGE_MIN as u64 + TABLE_ENTRY);
        assert_eq!(read(&content, 0, 10), b"xxx");
        content.set_size(&quota, 5).unwrap();
        assert_eq!(read(&content, 0, 10), b"xxx\0\0");
        // The last page has no more room than the others.
        let end = 2 * PAGE as u64 - 1;
        assert_eq!(write(&mut content, &quota, end, b"yz"), Ok(2));
        assert_eq!(content.pages[1].len(), PAGE);
        assert_eq!(read(&content, end - 1, 4), b"\0yz");
    }

    #[test]
    fn a_full_device_takes_what_fits() {
        let quota = quota(2 * PAGE as u64);
        let mut content = Content::default();
        let bytes = vec![7; 4 * PAGE];
        assert_eq!(write(&mut content, &quota, 0, &bytes), Ok(PAGE));
        assert_eq!(
            write(&mut content, &quota, PAGE as u64, b"z"),
            Err(Errno::Nospc)
        );
        assert_eq!(content.size(), PAGE as u64);
        assert_eq!(write(&mut content, &quota, 5, b"z"), Ok(1));
    }

    #[test]
    fn offsets_at_the_end_of_numbers_are_too_big() {
        let quota = quota(1 << 20);
        let mut content = Content::default();
        for offset in [MEMORY_FILE_MAX, u64::MAX - 1, u64::MAX] {
            assert_eq!(write(&mut content, &quota, offset, b"xy"), Err(Errno::Fbig));
            assert_eq!(read(&content, offset, 2), b"");
            assert_eq!(content.allocate(&quota, offset, 2), Err(Errno::Fbig));
        }
        assert_eq!(
            content.set_size(&quota, MEMORY_FILE_MAX + 1),
            Err(Errno::Fbig)
        );
        assert_eq!(content.set_size(&quota, MEMORY_FILE_MAX), Ok(()));
        assert_eq!(content.charged(), 0);
    }

    #[test]
    fn allocated_room_is_there_when_the_device_is_full() {
        let quota = quota(4 * PAGE as u64);
        let mut content = Content::default();
        content.allocate(&quota, 10, 2 * PAGE as u64).unwrap();
        assert_eq!(content.size(), 10 + 2 * PAGE as u64);
        assert_eq!(
            content.allocate(&quota, 0, 8 * PAGE as u64),
            Err(Errno::Nospc)
        );
        let rest = quota.limits().bytes - quota.usage().bytes;
        quota.charge_bytes(rest).unwrap();
        assert_eq!(
            write(&mut content, &quota, 10, &vec![1; 2 * PAGE]),
            Ok(2 * PAGE)
        );
    }
}
