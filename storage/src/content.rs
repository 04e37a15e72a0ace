//! The bytes of files: reading, writing, sizes. Everything goes through the cache, and a block that is
//! written goes to a place that the last commit does not refer to.

use capfs::{Errno, GuestSink, GuestSource, WriteAt, Written};

use crate::block_file::BlockFile;
use crate::cache::{Owner, Slot};
use crate::checksum::Sums;
use crate::commit::Run;
use crate::extents::{Extent, Mapping};
use crate::limits::{BLOCK, GROW_MAX, STORAGE_FILE_MAX};
use crate::record::Record;
use crate::state::{Effect, State};

/// What a hole reads as.
static ZEROES: [u8; BLOCK] = [0; BLOCK];

/// The block of an offset, and where in it. Offsets are at most [`STORAGE_FILE_MAX`].
fn locate(offset: u64) -> (u32, usize) {
    (
        (offset / BLOCK as u64) as u32,
        (offset % BLOCK as u64) as usize,
    )
}

/// Blocks for so many bytes.
fn blocks_for(bytes: u64) -> u32 {
    bytes.div_ceil(BLOCK as u64) as u32
}

fn saturate(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl State {
    /// Puts bytes from `offset` into `sink` and returns how many.
    pub fn read(
        &mut self,
        number: u64,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Result<usize, Errno> {
        let read_ahead_max = self.geometry.read_ahead_max;
        let content = self.content(number)?;
        let wanted = saturate(content.size.saturating_sub(offset)).min(sink.remaining());
        if wanted == 0 {
            return Ok(0);
        }
        // What follows the last read is read further ahead each time, and anything else not at all.
        content.read_ahead = match content.next_read == offset {
            true => (content.read_ahead * 2).clamp(4 * BLOCK, read_ahead_max),
            false => 0,
        };
        let mut done = 0;
        while done < wanted {
            let (block, within) = locate(offset + done as u64);
            let count = (BLOCK - within).min(wanted - done);
            let content = self.content(number)?;
            let put = if let Some(slot) = content.pages.get(&block) {
                let slot = *slot;
                self.cache.touch(slot);
                let put = sink.put(&self.cache.page(slot)[within..within + count]);
                (put, count)
            } else {
                match content.extents.lookup(block) {
                    Mapping::Mapped(extent) if extent.written => {
                        match self.read_run(number, block, within, wanted - done, extent, sink) {
                            Ok(put) => put,
                            Err(errno) if done == 0 => return Err(errno),
                            Err(_) => break,
                        }
                    }
                    _ => (sink.put(&ZEROES[..count]), count),
                }
            };
            done += put.0;
            if put.0 < put.1 {
                break;
            }
        }
        self.content(number)?.next_read = offset + done as u64;
        self.touch_access(number);
        Ok(done)
    }

    /// Reads blocks that are not in the cache, and puts up to `wanted` bytes of them into `sink`. Returns the
    /// bytes put and offered.
    fn read_run(
        &mut self,
        number: u64,
        block: u32,
        within: usize,
        wanted: usize,
        extent: Extent,
        sink: &mut dyn GuestSink,
    ) -> Result<(usize, usize), Errno> {
        let geometry = self.geometry;
        let content = self.content(number)?;
        let needed = blocks_for((within + wanted) as u64);
        let ahead = blocks_for(content.read_ahead as u64);
        let next_page = content.pages.range(block..).next();
        let there = extent
            .length
            .min(next_page.map_or(u32::MAX, |(next, _)| next - block))
            .min(blocks_for(content.size) - block)
            .min(geometry.batch());
        let offered = |blocks: u32| wanted.min(blocks as usize * BLOCK - within);
        if wanted < geometry.direct_min
            && let Some((slot, blocks)) = self.clean_run(there.min(needed.max(ahead)))
        {
            let into = self.cache.run_mut(slot, blocks as usize);
            let blocks = read_blocks(&*self.data, &self.sums, extent.start, into)?;
            for index in 0..blocks {
                let block = block + index;
                let owner = Owner { number, block };
                self.cache.put(slot + index, owner, false);
                self.content(number)?.pages.insert(block, slot + index);
            }
            let count = offered(blocks);
            let run = self.cache.run(slot, blocks as usize);
            return Ok((sink.put(&run[within..within + count]), count));
        }
        // Of a large read nobody asks for a part again.
        let blocks = there.min(needed);
        let bytes = blocks as usize * BLOCK;
        if self.transfer.len() < bytes {
            self.transfer.resize(bytes, 0);
        }
        let into = &mut self.transfer[..bytes];
        let blocks = read_blocks(&*self.data, &self.sums, extent.start, into)?;
        let count = offered(blocks);
        Ok((sink.put(&self.transfer[within..within + count]), count))
    }

    /// Up to `blocks` places in the cache side by side, for what is on the disk as well.
    fn clean_run(&mut self, blocks: u32) -> Option<(Slot, u32)> {
        let first = self.clean_slot()?;
        let mut count = 1;
        while count < blocks {
            match self.clean_slot() {
                Some(slot) if self.cache.adjoins(first + count - 1, slot) => count += 1,
                // Nobody has that place; it is given away on the next round.
                _ => break,
            }
        }
        Some((first, count))
    }

    /// Takes bytes from `source`, and returns how many and where they end. Where there is room for
    /// a part, that part is written.
    pub fn write(
        &mut self,
        number: u64,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Result<Written, Errno> {
        let size = self.content(number)?.size;
        let offset = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => size,
        };
        let offered = source.remaining();
        let mut written = Written {
            bytes: 0,
            end: offset,
        };
        if offered == 0 {
            return Ok(written);
        }
        let wanted = saturate(STORAGE_FILE_MAX.saturating_sub(offset)).min(offered);
        if wanted == 0 {
            return Err(Errno::Fbig);
        }
        self.begin(Effect::Grows)?;
        self.keep(number);
        while written.bytes < wanted {
            let (block, within) = locate(written.end);
            let left = wanted - written.bytes;
            if within == 0 && left >= self.geometry.direct_min {
                let blocks = left.min(self.geometry.transfer_max) / BLOCK;
                let direct = self.write_direct(number, block, blocks as u32, source);
                let bytes = match direct {
                    Ok(bytes) => bytes,
                    Err(errno) if written.bytes == 0 => return Err(errno),
                    Err(_) => break,
                };
                // Where there is no room for all of it, the pages below find out for how much there is.
                if let Some(bytes) = bytes {
                    written.bytes += bytes;
                    written.end += bytes as u64;
                    let content = self.content(number)?;
                    content.size = content.size.max(written.end);
                    if bytes < blocks * BLOCK {
                        break;
                    }
                    continue;
                }
            }
            let count = (BLOCK - within).min(left);
            let end = written.end + count as u64;
            let whole = within == 0 && (count == BLOCK || end >= self.content(number)?.size);
            let page = self.dirty_page(number, block, if whole { count } else { 0 });
            let slot = match page {
                Ok(slot) => slot,
                Err(errno) if written.bytes == 0 => return Err(errno),
                Err(_) => break,
            };
            let room = &mut self.cache.page(slot)[within..within + count];
            let taken = source.take(room);
            if whole {
                // What was in this place before must not be seen.
                room[taken..].fill(0);
            }
            written.bytes += taken;
            written.end += taken as u64;
            let content = self.content(number)?;
            content.size = content.size.max(written.end);
            if taken < count {
                break;
            }
        }
        let now = self.now_after(self.inode(number)?.mtime);
        self.inode_mut(number)?.touch(now);
        self.mark(number);
        Ok(written)
    }

    /// Writes whole blocks to free ones, past the cache. Returns the bytes that are written, which is not all where
    /// the host failed on the way; `None` where not all of it can be promised, and then nothing has been taken.
    fn write_direct(
        &mut self,
        number: u64,
        block: u32,
        blocks: u32,
        source: &mut dyn GuestSource,
    ) -> Result<Option<usize>, Errno> {
        let holes = self.holes(number, block, block + blocks)?;
        let holes: u64 = holes.iter().map(|(_, length)| u64::from(*length)).sum();
        let fits = self.used + holes <= self.limit;
        if !fits
            || self
                .make_available(blocks + self.geometry.keep_free)
                .is_err()
            || self.reserve_index(Effect::Shrinks).is_err()
        {
            return Ok(None);
        }
        let bytes = blocks as usize * BLOCK;
        if self.transfer.len() < bytes {
            self.transfer.resize(bytes, 0);
        }
        if source.take(&mut self.transfer[..bytes]) < bytes {
            return Err(Errno::Fault);
        }
        let mut done = 0;
        while done < blocks {
            let block = block + done;
            let goal = self.content(number)?.extents.follows(block);
            let goal = goal.filter(|start| self.space.is_free(*start));
            let (start, length) = self
                .space
                .allocate(goal, blocks - done)
                .ok_or(Errno::Nospc)?;
            let from = done as usize * BLOCK;
            let part = &self.transfer[from..from + length as usize * BLOCK];
            self.sums.note(start, part);
            let written = self.data.write_at(u64::from(start) * BLOCK as u64, part);
            if let Err(errno) = written {
                self.space.give_back(start, length);
                return match done {
                    0 => Err(errno),
                    _ => Ok(Some(from)),
                };
            }
            self.unflushed = true;
            self.forget_pages(number, block, length);
            let before = self.content(number)?.extents.blocks();
            self.map(&Run {
                number,
                block,
                start,
                length,
                in_place: false,
            })?;
            let after = self.content(number)?.extents.blocks();
            self.used += u64::from(after - before);
            done += length;
        }
        Ok(Some(bytes))
    }

    /// Forgets all pages that were not written out.
    #[cfg(feature = "durable")]
    pub fn drop_dirty(&mut self) {
        for (Owner { number, block }, slot) in self.cache.dirty_pages() {
            self.unpromise(number, block);
            self.cache.forget(slot);
            if let Ok(content) = self.content(number) {
                content.pages.remove(&block);
            }
        }
    }

    /// Forgets pages that have been replaced on the disk.
    fn forget_pages(&mut self, number: u64, block: u32, length: u32) {
        let Ok(content) = self.content(number) else {
            return;
        };
        let pages: Vec<_> = content
            .pages
            .range(block..block + length)
            .map(|(block, slot)| (*block, *slot))
            .collect();
        for (block, slot) in pages {
            if self.cache.is_dirty(slot) {
                self.unpromise(number, block);
            }
            self.cache.forget(slot);
            if let Ok(content) = self.content(number) {
                content.pages.remove(&block);
            }
        }
    }

    /// The page of a block, which is going to be changed. So many bytes of its front will be `overwritten`; if any
    /// are, nothing else of what was in it matters.
    fn dirty_page(&mut self, number: u64, block: u32, overwritten: usize) -> Result<Slot, Errno> {
        let content = self.content(number)?;
        if let Some(slot) = content.pages.get(&block).copied() {
            self.cache.touch(slot);
            if !self.cache.is_dirty(slot) {
                self.promise(number, block)?;
                self.cache.set_dirty(slot);
            }
            return Ok(slot);
        }
        self.promise(number, block)?;
        let slot = match self.slot() {
            Ok(slot) => slot,
            Err(errno) => {
                self.unpromise(number, block);
                return Err(errno);
            }
        };
        let content = self.content(number)?;
        let page = match content.extents.lookup(block) {
            Mapping::Mapped(extent) if extent.written && overwritten == 0 => Some(extent.start),
            _ => None,
        };
        let loaded = match page {
            Some(start) => {
                let read = read_blocks(&*self.data, &self.sums, start, self.cache.page(slot));
                read.map(drop)
            }
            None => {
                self.cache.page(slot)[overwritten..].fill(0);
                Ok(())
            }
        };
        if let Err(errno) = loaded {
            self.unpromise(number, block);
            return Err(errno);
        }
        self.cache.put(slot, Owner { number, block }, true);
        self.content(number)?.pages.insert(block, slot);
        Ok(slot)
    }

    /// Sets a block aside for a page that becomes dirty, if it needs one.
    fn promise(&mut self, number: u64, block: u32) -> Result<(), Errno> {
        self.reserve_index(Effect::Shrinks)?;
        match self.content(number)?.extents.lookup(block) {
            Mapping::Hole(_) => {
                if self.used >= self.limit {
                    return Err(Errno::Dquot);
                }
                self.make_available(1 + self.geometry.keep_free)?;
                self.used += 1;
            }
            // It goes to another place, and leaves its own.
            Mapping::Mapped(extent) if extent.written => self.make_available(1)?,
            // It has been set aside already.
            Mapping::Mapped(_) => return Ok(()),
        }
        self.space.reserve(1);
        Ok(())
    }

    /// Takes back what [`promise`](State::promise) has set aside.
    fn unpromise(&mut self, number: u64, block: u32) {
        let Ok(content) = self.content(number) else {
            return;
        };
        match content.extents.lookup(block) {
            Mapping::Hole(_) => self.used -= 1,
            Mapping::Mapped(extent) if extent.written => {}
            Mapping::Mapped(_) => return,
        }
        self.space.unreserve(1);
    }

    /// Makes sure that so many blocks are available.
    fn make_available(&mut self, blocks: u32) -> Result<(), Errno> {
        if self.space.available() >= blocks {
            return Ok(());
        }
        let missing = blocks - self.space.available();
        let generous =
            missing.max((self.space.total() / 8).clamp(self.geometry.grow_min, GROW_MAX));
        let grown = self.grow(generous).or_else(|_| self.grow(missing));
        if grown.is_err() && self.waiting_since.is_some() && !self.is_kept() {
            // What has been replaced or removed is free once that is durable.
            self.commit()?;
        }
        match self.space.available() >= blocks {
            true => Ok(()),
            false => Err(grown.err().unwrap_or(Errno::Nospc)),
        }
    }

    /// Extends the data file. The host says now that it has no room, not when the blocks are written.
    fn grow(&mut self, blocks: u32) -> Result<(), Errno> {
        let total = self.space.total().checked_add(blocks).ok_or(Errno::Nospc)?;
        self.data.truncate(u64::from(total) * BLOCK as u64)?;
        self.unflushed = true;
        self.space.grow(total);
        Ok(())
    }

    /// A place in the cache; dirty pages are written out if it must be.
    fn slot(&mut self) -> Result<Slot, Errno> {
        loop {
            match self.cache.take() {
                Some((slot, evicted)) => {
                    self.forget_page(evicted);
                    return Ok(slot);
                }
                None => self.write_out()?,
            }
        }
    }

    /// A place in the cache for what is on the disk as well.
    fn clean_slot(&mut self) -> Option<Slot> {
        let (slot, evicted) = self.cache.take_clean()?;
        self.forget_page(evicted);
        Some(slot)
    }

    fn forget_page(&mut self, evicted: Option<Owner>) {
        if let Some(owner) = evicted
            && let Ok(content) = self.content(owner.number)
        {
            content.pages.remove(&owner.block);
        }
    }

    /// Forgets the blocks from `keep` on, in the cache and on the disk.
    pub fn drop_blocks(&mut self, number: u64, keep: u32) {
        let Ok(content) = self.content(number) else {
            return;
        };
        let pages = content.pages.split_off(&keep);
        for (block, slot) in pages {
            if self.cache.is_dirty(slot) {
                self.unpromise(number, block);
            }
            self.cache.forget(slot);
        }
        self.keep_blocks(number, keep, u32::MAX);
        let mut freed = Vec::new();
        if let Ok(content) = self.content(number) {
            content
                .extents
                .remove(keep, u32::MAX, |start, length| freed.push((start, length)));
        }
        if freed.is_empty() {
            return;
        }
        for (start, length) in freed {
            self.used -= u64::from(length);
            self.space.defer(start, length);
        }
        self.log(Record::Unmap {
            number,
            block: keep,
            length: u32::MAX,
        });
    }

    /// Cuts a file, or extends it by a hole.
    pub fn set_size(&mut self, number: u64, size: u64) -> Result<(), Errno> {
        let old = self.content(number)?.size;
        if size > STORAGE_FILE_MAX {
            return Err(Errno::Fbig);
        }
        let effect = match size < old {
            true => Effect::Shrinks,
            false => Effect::Grows,
        };
        self.begin(effect)?;
        self.keep(number);
        if size < old {
            let (block, within) = locate(size);
            if within != 0 {
                self.clear_tail(number, block, within)?;
            }
            self.drop_blocks(number, blocks_for(size));
        }
        let now = self.now_after(self.inode(number)?.mtime);
        let inode = self.inode_mut(number)?;
        inode.content()?.size = size;
        inode.touch(now);
        self.mark(number);
        Ok(())
    }

    /// Clears what is behind the end in the last block: it must not come back when the file grows.
    fn clear_tail(&mut self, number: u64, block: u32, within: usize) -> Result<(), Errno> {
        let content = self.content(number)?;
        let written =
            matches!(content.extents.lookup(block), Mapping::Mapped(extent) if extent.written);
        if written || content.pages.contains_key(&block) {
            let slot = self.dirty_page(number, block, 0)?;
            self.cache.page(slot)[within..].fill(0);
        }
        Ok(())
    }

    /// Makes the file at least `offset + length` long, and sets aside the blocks of the range.
    pub fn allocate(&mut self, number: u64, offset: u64, length: u64) -> Result<(), Errno> {
        self.content(number)?;
        let end = offset
            .checked_add(length)
            .filter(|end| *end <= STORAGE_FILE_MAX)
            .ok_or(Errno::Fbig)?;
        self.begin(Effect::Grows)?;
        self.keep(number);
        if length > 0 {
            let holes = self.holes(number, locate(offset).0, blocks_for(end))?;
            let missing: u64 = holes.iter().map(|(_, length)| u64::from(*length)).sum();
            if self.used + missing > self.limit {
                return Err(Errno::Dquot);
            }
            let missing = u32::try_from(missing + u64::from(self.geometry.keep_free));
            self.make_available(missing.map_err(|_| Errno::Nospc)?)?;
            for (block, length) in holes {
                self.set_aside(number, block, length)?;
            }
        }
        let now = self.now_after(self.inode(number)?.mtime);
        let inode = self.inode_mut(number)?;
        let content = inode.content()?;
        content.size = content.size.max(end);
        inode.touch(now);
        self.mark(number);
        Ok(())
    }

    /// The runs of blocks that are nowhere, not even in the cache alone.
    fn holes(&mut self, number: u64, from: u32, to: u32) -> Result<Vec<(u32, u32)>, Errno> {
        let content = self.content(number)?;
        let mut holes = Vec::new();
        let mut block = from;
        while block < to {
            match content.extents.lookup(block) {
                Mapping::Mapped(extent) => block = block.saturating_add(extent.length),
                Mapping::Hole(length) => {
                    let end = block.saturating_add(length).min(to);
                    for (page, _) in content.pages.range(block..end) {
                        if block < *page {
                            holes.push((block, page - block));
                        }
                        block = page + 1;
                    }
                    if block < end {
                        holes.push((block, end - block));
                    }
                    block = end;
                }
            }
        }
        Ok(holes)
    }

    /// Maps a hole to blocks that read as zeroes until they are written. They must be available.
    fn set_aside(&mut self, number: u64, mut block: u32, mut length: u32) -> Result<(), Errno> {
        while length > 0 {
            let goal = self.content(number)?.extents.follows(block);
            let (start, count) = self.space.allocate(goal, length).ok_or(Errno::Nospc)?;
            let extent = Extent {
                start,
                length: count,
                written: false,
            };
            self.keep_blocks(number, block, count);
            let content = self.content(number)?;
            content.extents.insert(block, extent, |_, _| {});
            self.used += u64::from(count);
            self.log(Record::Map {
                number,
                block,
                start,
                length: count,
                written: false,
                sums: &[],
            });
            block += count;
            length -= count;
        }
        Ok(())
    }
}

/// Reads whole blocks, which must all be there. Returns how many are as they were written, from the first one on, at least one: what follows was not
/// asked for, maybe, and is an error when it is.
pub(crate) fn read_blocks(
    data: &dyn BlockFile,
    sums: &Sums,
    start: u32,
    into: &mut [u8],
) -> Result<u32, Errno> {
    let mut offset = u64::from(start) * BLOCK as u64;
    let mut rest = &mut *into;
    while !rest.is_empty() {
        let count = data.read_at(offset, rest)?;
        if count == 0 {
            return Err(Errno::Io);
        }
        offset += count as u64;
        rest = &mut rest[count..];
    }
    match sums.agreeing(start, into) {
        0 => Err(Errno::Io),
        blocks => Ok(blocks as u32),
    }
}
