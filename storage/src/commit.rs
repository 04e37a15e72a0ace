//! Making changes durable.
//!
//! What is dirty in the cache is written to free blocks, and the data file is flushed; then everything that has
//! changed goes into one transaction at the end of the journal, and that is flushed. So the durable
//! state is at every moment the one of a commit, contents included.

use capfs::Errno;

use crate::cache::{Owner, Slot};
use crate::checksum::Sums;
use crate::extents::{Extent, Mapping};
use crate::inode::Body;
use crate::limits::BLOCK;
use crate::record::Record;
use crate::state::State;

/// Blocks in one record of the index: what is read of a spoilt one is lost.
const MAP_MAX: u32 = 1024;

/// Pieces of memory up to which each is written from where it is, rather than gathered.
const PIECES_MAX: usize = 2;

/// Blocks that follow each other in a file and on the disk.
pub(crate) struct Run {
    pub number: u64,
    pub block: u32,
    pub start: u32,
    pub length: u32,
    /// They stay where they were set aside.
    pub in_place: bool,
}

/// Runs that follow each other on the disk.
#[derive(Default)]
struct Batch {
    runs: Vec<Run>,
    slots: Vec<Slot>,
}

impl Batch {
    fn end(&self) -> Option<u32> {
        self.runs.last().map(|run| run.start + run.length)
    }
}

impl State {
    /// Notes that what is durable is not known any more.
    fn fail(&mut self, errno: Errno) -> Errno {
        self.failed = Some(errno);
        errno
    }

    /// Makes everything durable that has changed; while a checkpoint is open that happens when it is decided.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: the host has no room; nothing is lost, and it can be tried again
    /// - [`Errno::Io`]: the host failed
    pub fn commit(&mut self) -> Result<(), Errno> {
        match self.is_kept() {
            true => self.failed.map_or(Ok(()), Err),
            false => self.commit_now(),
        }
    }

    /// As [`State::commit`], whatever is open.
    pub fn commit_now(&mut self) -> Result<(), Errno> {
        if let Some(errno) = self.failed {
            return Err(errno);
        }
        if self.waiting_since.is_none() {
            return Ok(());
        }
        let mut payload = Vec::new();
        self.write_records(&mut payload)?;
        if let Err((errno, fatal)) = self.journal.append(&payload) {
            return Err(if fatal { self.fail(errno) } else { errno });
        }
        self.recorded();
        self.committed();
        if self.journal.is_long() {
            // Where there is no room for it the journal gets longer, and that is all.
            match self.rewrite_index() {
                Err(errno) if self.failed.is_some() => return Err(errno),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes contents durable, and adds the records of everything that has changed.
    fn write_records(&mut self, payload: &mut Vec<u8>) -> Result<(), Errno> {
        self.write_out()?;
        if self.unflushed {
            let flushed = self.data.flush();
            // Without room nothing is lost, and it can be tried again.
            flushed.map_err(|errno| match errno {
                Errno::Nospc => errno,
                _ => self.fail(errno),
            })?;
            self.unflushed = false;
        }
        payload.reserve(self.pending.len() + 64 * self.changed.len());
        for number in &self.changed {
            if let Some(inode) = self.nodes.get(number) {
                let attributes = inode.attributes();
                let number = *number;
                Record::Node { number, attributes }.encode(payload);
            }
        }
        payload.extend_from_slice(&self.pending);
        Ok(())
    }

    /// Notes that everything that has changed is in the journal.
    fn recorded(&mut self) {
        self.pending.clear();
        for number in std::mem::take(&mut self.changed) {
            if let Some(inode) = self.nodes.get_mut(&number) {
                inode.changed = false;
                inode.recorded = true;
            }
        }
        self.targets = 0;
        self.waiting_since = None;
    }

    /// Notes that what is in the journal counts: what it has replaced is free.
    pub fn committed(&mut self) {
        self.space.committed();
        self.commits += 1;
        self.trim();
    }

    /// Adds everything that has changed to the journal, where it doesn't count until that is decided.
    #[cfg(feature = "durable")]
    pub fn prepare_now(&mut self, id: u64) -> Result<(), Errno> {
        let mut payload = Vec::new();
        Record::Decided { id }.encode(&mut payload);
        self.write_records(&mut payload)?;
        if let Err((errno, fatal)) = self.journal.prepare(&payload) {
            return Err(if fatal { self.fail(errno) } else { errno });
        }
        self.recorded();
        Ok(())
    }

    /// Lets what was prepared count, or not.
    #[cfg(feature = "durable")]
    pub fn decide(&mut self, counts: bool) -> Result<(), Errno> {
        let decided = self.journal.decide(counts);
        decided.map_err(|errno| self.fail(errno))
    }

    /// Writes the index anew, without its history. Nothing may wait for a commit.
    pub fn rewrite_index(&mut self) -> Result<(), Errno> {
        let (nodes, sums) = (&self.nodes, &mut self.sums);
        let last = self.next - 1;
        let written = self.journal.replace(|put| {
            let mut records = Vec::new();
            if !nodes.contains_key(&last) {
                // The last number that was given is known by this.
                Record::Gone { number: last }.encode(&mut records);
            }
            for (number, inode) in nodes {
                let number = *number;
                let attributes = inode.whole_attributes();
                Record::Node { number, attributes }.encode(&mut records);
                match &inode.body {
                    Body::File(content) => {
                        for (block, extent) in content.extents.iter() {
                            map_records(number, block, extent, sums, &mut records);
                        }
                    }
                    Body::Directory(names) => {
                        // In the order of listings, so that they are in the same order when the volume is opened again.
                        for (name, qid) in names.in_order() {
                            Record::Name {
                                directory: number,
                                name,
                                number: qid.path,
                            }
                            .encode(&mut records);
                        }
                    }
                    Body::Symlink(_) => {}
                }
                put(&mut records)?;
            }
            Ok(())
        });
        written.map_err(|(errno, fatal)| if fatal { self.fail(errno) } else { errno })
    }

    /// Gives free blocks at the end of the data file back to the host, where there are many.
    fn trim(&mut self) {
        let tail = self.space.tail();
        let total = self.space.total();
        if tail >= self.geometry.trim_min && tail >= total / 4 {
            self.cut_tail(self.geometry.grow_min);
        }
    }

    /// Gives free blocks at the end of the data file back to the host, all but `keep`.
    pub fn cut_tail(&mut self, keep: u32) {
        let unpromised = self.space.tail().min(self.space.available());
        let Some(cut) = unpromised.checked_sub(keep).filter(|cut| *cut > 0) else {
            return;
        };
        let size = u64::from(self.space.total() - cut) * BLOCK as u64;
        if self.data.truncate(size).is_ok() {
            self.unflushed = true;
            self.space.cut(cut);
        }
    }

    /// Writes the dirty pages to the data file, in as few pieces as can be. They are not durable yet.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: the host has no room; what wasn't written stays dirty
    /// - [`Errno::Io`]: the host failed
    pub fn write_out(&mut self) -> Result<(), Errno> {
        let dirty = self.cache.dirty_pages();
        let mut batch = Batch::default();
        let mut rest = &dirty[..];
        while let Some((first, _)) = rest.first() {
            let room = self.geometry.batch() - batch.slots.len() as u32;
            let placed = self.place_run(rest, batch.end(), room);
            let run = match placed {
                Ok(run) => run,
                Err(errno) => {
                    self.give_up(&batch);
                    return Err(errno);
                }
            };
            debug_assert_eq!((run.number, run.block), (first.number, first.block));
            let adjoins = batch.end().is_none_or(|end| end == run.start);
            if !adjoins {
                let full = std::mem::take(&mut batch);
                if let Err(errno) = self.write_batch(&full) {
                    self.give_up(&Batch {
                        runs: vec![run],
                        slots: Vec::new(),
                    });
                    return Err(errno);
                }
            }
            let (pages, others) = rest.split_at(run.length as usize);
            rest = others;
            batch.slots.extend(pages.iter().map(|(_, slot)| *slot));
            batch.runs.push(run);
            if batch.slots.len() as u32 == self.geometry.batch() {
                let full = std::mem::take(&mut batch);
                self.write_batch(&full)?;
            }
        }
        self.write_batch(&batch)
    }

    /// Finds a place for the first pages of `dirty` that belong together, `room` at most.
    fn place_run(
        &mut self,
        dirty: &[(Owner, Slot)],
        batch_end: Option<u32>,
        room: u32,
    ) -> Result<Run, Errno> {
        let Owner { number, block } = dirty[0].0;
        let following = dirty.iter().zip(block..);
        let following = following
            .take_while(|((owner, _), block)| owner.number == number && owner.block == *block)
            .take(room as usize)
            .count() as u32;
        let extents = &self.content(number)?.extents;
        if let Mapping::Mapped(extent) = extents.lookup(block)
            && !extent.written
        {
            return Ok(Run {
                number,
                block,
                start: extent.start,
                length: extent.length.min(following),
                in_place: true,
            });
        }
        // Up to the next block that has been set aside.
        let mut length = 0;
        while length < following {
            length += match extents.lookup(block + length) {
                Mapping::Mapped(extent) if extent.written => extent.length,
                Mapping::Mapped(_) => break,
                Mapping::Hole(length) => length,
            };
        }
        let follows = extents.follows(block);
        let follows = follows.filter(|start| self.space.is_free(*start));
        let (start, length) = self
            .space
            .allocate(follows.or(batch_end), length.min(following))
            .ok_or(Errno::Nospc)?;
        self.space.unreserve(length);
        Ok(Run {
            number,
            block,
            start,
            length,
            in_place: false,
        })
    }

    /// Takes the places of runs back that could not be written; their pages are still dirty.
    fn give_up(&mut self, batch: &Batch) {
        for run in batch.runs.iter().filter(|run| !run.in_place) {
            self.space.give_back(run.start, run.length);
            self.space.reserve(run.length);
        }
    }

    /// Writes pages to where they have been placed, and says in the index where that is.
    fn write_batch(&mut self, batch: &Batch) -> Result<(), Errno> {
        let Some(first) = batch.runs.first() else {
            return Ok(());
        };
        if let Err(errno) = self.write_slots(first.start, &batch.slots) {
            self.give_up(batch);
            return Err(errno);
        }
        self.unflushed = true;
        for run in &batch.runs {
            self.map(run)?;
        }
        for slot in &batch.slots {
            self.cache.set_clean(*slot);
        }
        Ok(())
    }

    /// Says that blocks of a file are where they have been written.
    pub fn map(&mut self, run: &Run) -> Result<(), Errno> {
        let extent = Extent {
            start: run.start,
            length: run.length,
            written: true,
        };
        self.keep_blocks(run.number, run.block, run.length);
        let mut freed = Vec::new();
        let extents = &mut self.content(run.number)?.extents;
        extents.insert(run.block, extent, |start, length| {
            freed.push((start, length))
        });
        if !run.in_place {
            for (start, length) in freed {
                self.space.defer(start, length);
            }
        }
        map_records(
            run.number,
            run.block,
            extent,
            &mut self.sums,
            &mut self.pending,
        );
        self.wait_for_commit();
        Ok(())
    }

    fn write_slots(&mut self, start: u32, slots: &[Slot]) -> Result<(), Errno> {
        let offset = |index: usize| (u64::from(start) + index as u64) * BLOCK as u64;
        for (slot, block) in slots.iter().zip(start..) {
            self.sums.note(block, self.cache.run(*slot, 1));
        }
        let cache = &self.cache;
        let pieces = slots.chunk_by(|slot, next| cache.adjoins(*slot, *next));
        if pieces.clone().take(PIECES_MAX + 1).count() <= PIECES_MAX {
            let mut index = 0;
            for piece in pieces {
                let bytes = self.cache.run(piece[0], piece.len());
                self.data.write_at(offset(index), bytes)?;
                index += piece.len();
            }
            return Ok(());
        }
        self.transfer.clear();
        for piece in pieces {
            let bytes = self.cache.run(piece[0], piece.len());
            self.transfer.extend_from_slice(bytes);
        }
        self.data.write_at(offset(0), &self.transfer)
    }
}

/// Adds the records that say where blocks of a file are, with the checksums of those that are written.
fn map_records(number: u64, block: u32, extent: Extent, sums: &mut Sums, records: &mut Vec<u8>) {
    let mut done = 0;
    while done < extent.length {
        let length = match extent.written {
            true => MAP_MAX.min(extent.length - done),
            false => extent.length,
        };
        let start = extent.start + done;
        Record::Map {
            number,
            block: block + done,
            start,
            length,
            written: extent.written,
            sums: match extent.written {
                true => sums.of(start, length),
                false => &[],
            },
        }
        .encode(records);
        done += length;
    }
}
