//! Files of a host that loses writes without saying so.
//!
//! Firefox takes writes for which the disk has no room, and neither they nor `flush` say that they are gone (Firefox 153: a synchronous access
//! handle on a full disk). So what is written there is kept until it has been read back, and written once more until then.

use std::cell::RefCell;

use capfs::Errno;

use crate::BlockFile;

/// Bytes that are kept of one file, at most; beyond them they are read back first. A volume has three files.
const PENDING_MAX: usize = 4 << 20;

/// Bytes that are written at once, at most.
const CHUNK: usize = 1 << 20;

/// Bytes up to which neighbours are put together, so that many small writes in a row are few.
const JOINED_MAX: usize = 64 << 10;

/// A file of which everything that is written is read back before it counts as durable.
pub struct ReadBack<F> {
    file: F,
    pending: RefCell<Pending>,
}

impl<F: BlockFile> ReadBack<F> {
    /// What was written by others before is believed.
    pub fn new(file: F) -> ReadBack<F> {
        ReadBack {
            file,
            pending: RefCell::default(),
        }
    }

    /// Makes sure that what was written has arrived: what isn't there is written once more.
    ///
    /// # Errors
    /// - `ENOSPC`: it still isn't there; it is kept, and tried again
    /// - what the file says
    fn arrive(&self, pending: &mut Pending) -> Result<(), Errno> {
        let mut read = Vec::new();
        for again in [false, true] {
            if again {
                for (start, part) in &pending.parts {
                    self.file.write_at(*start, part)?;
                }
            }
            self.file.flush()?;
            pending.forget(|start, part| {
                read.resize(part.len(), 0);
                let count = self.file.read_at(start, &mut read);
                count.is_ok_and(|count| count == part.len()) && read == part
            });
            if pending.parts.is_empty() {
                return Ok(());
            }
        }
        Err(Errno::Nospc)
    }
}

impl<F: BlockFile> BlockFile for ReadBack<F> {
    fn size(&self) -> Result<u64, Errno> {
        Ok(self.file.size()?.max(self.pending.borrow().end()))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let count = self.file.read_at(offset, into)?;
        Ok(self.pending.borrow().overlay(offset, into, count))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut pending = self.pending.borrow_mut();
        let mut offset = offset;
        for chunk in bytes.chunks(CHUNK) {
            if pending.bytes + chunk.len() > PENDING_MAX {
                self.arrive(&mut pending)?;
            }
            self.file.write_at(offset, chunk)?;
            pending.put(offset, chunk);
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.file.truncate(size)?;
        self.pending.borrow_mut().clear(size, u64::MAX);
        Ok(())
    }

    fn flush(&self) -> Result<(), Errno> {
        self.arrive(&mut self.pending.borrow_mut())
    }
}

/// Parts of a file that don't overlap, in their order. A list, for there are few, and a tree's code would be a fiftieth of a page's kernel.
#[derive(Default)]
struct Pending {
    parts: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

impl Pending {
    /// Where the last part ends.
    fn end(&self) -> u64 {
        let last = self.parts.last();
        last.map_or(0, |(start, part)| start + part.len() as u64)
    }

    /// The first part that ends behind `at`.
    fn first_behind(&self, at: u64) -> usize {
        self.parts
            .partition_point(|(start, part)| start + part.len() as u64 <= at)
    }

    /// A part has been written.
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        self.clear(offset, offset + bytes.len() as u64);
        self.bytes += bytes.len();
        let index = self.first_behind(offset);
        if let Some((start, part)) = index.checked_sub(1).map(|index| &mut self.parts[index])
            && *start + part.len() as u64 == offset
            && part.len() + bytes.len() <= JOINED_MAX
        {
            return part.extend_from_slice(bytes);
        }
        self.parts.insert(index, (offset, bytes.to_vec()));
    }

    /// What was there has been cut off, or is being written anew.
    fn clear(&mut self, from: u64, to: u64) {
        let mut index = self.first_behind(from);
        while let Some((start, part)) = self.parts.get_mut(index)
            && *start < to
        {
            let (begin, end) = (*start, *start + part.len() as u64);
            self.bytes -= (end.min(to) - begin.max(from)) as usize;
            let rest = (end > to).then(|| part.split_off((to - begin) as usize));
            part.truncate(from.saturating_sub(begin) as usize);
            match (part.is_empty(), rest) {
                (true, Some(rest)) => (*start, *part) = (to, rest),
                (true, None) => {
                    self.parts.remove(index);
                    continue;
                }
                (false, Some(rest)) => self.parts.insert(index + 1, (to, rest)),
                (false, None) => {}
            }
            index += 1;
        }
    }

    /// Puts what was written over what was read from `offset` on, of which the file had `have` bytes; answers how many there are.
    fn overlay(&self, offset: u64, into: &mut [u8], have: usize) -> usize {
        let end = offset + into.len() as u64;
        let mut known = have;
        for (start, part) in &self.parts[self.first_behind(offset)..] {
            if *start >= end {
                break;
            }
            let (from, to) = (offset.max(*start), end.min(start + part.len() as u64));
            let (at, until) = ((from - offset) as usize, (to - offset) as usize);
            if known < at {
                into[known..at].fill(0);
            }
            into[at..until].copy_from_slice(&part[(from - start) as usize..(to - start) as usize]);
            known = known.max(until);
        }
        known
    }

    /// Forgets the parts that have arrived.
    fn forget(&mut self, mut arrived: impl FnMut(u64, &[u8]) -> bool) {
        self.parts.retain(|(start, part)| !arrived(*start, part));
        self.bytes = self.parts.iter().map(|(_, part)| part.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::disk::Random;

    #[test]
    fn what_is_kept_is_what_was_written_last() {
        let mut random = Random(7);
        for _ in 0..200 {
            let mut pending = Pending::default();
            let mut model: Vec<Option<u8>> = vec![None; 200];
            for step in 0..40 {
                let (from, length) = (random.below(150), 1 + random.below(50));
                let range = from..from + length;
                if random.below(4) == 0 {
                    pending.clear(from as u64, range.end as u64);
                    model[range].fill(None);
                } else {
                    pending.put(from as u64, &vec![step; length]);
                    model[range].fill(Some(step));
                }
                let last = model.iter().rposition(Option::is_some);
                let last = last.map_or(0, |at| at + 1);
                let mut read = vec![0xff; 200];
                let known = pending.overlay(0, &mut read, 100);
                assert_eq!((known, pending.end()), (last.max(100), last as u64));
                for (at, value) in model.iter().enumerate().take(known) {
                    let there = if at < 100 { 0xff } else { 0 };
                    assert_eq!(read[at], value.unwrap_or(there), "at {at}");
                }
                let mut middle = vec![0xff; 30];
                assert_eq!(pending.overlay(60, &mut middle, 30), 30);
                assert_eq!(middle, read[60..90]);
                assert_eq!(pending.bytes, model.iter().flatten().count());
            }
        }
    }
}
