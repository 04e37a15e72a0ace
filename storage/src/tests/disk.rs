//! A host that loses what was not flushed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use capfs::{Errno, Op};

use crate::{BlockFile, BlockFiles, Opener, ReadBack};

/// Bytes that a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// A small generator of numbers that look random; the same for the same seed.
pub(crate) struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    pub fn chance(&mut self) -> bool {
        self.below(2) == 0
    }
}

enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write(offset, bytes) => {
                let start = *offset as usize;
                let end = start + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[start..end].copy_from_slice(bytes);
            }
            Change::Truncate(size) => to.resize(*size as usize, 0),
        }
    }
}

#[derive(Default)]
struct File {
    /// The size that is told instead of the true one.
    pretended: Option<u64>,
    durable: Vec<u8>,
    current: Vec<u8>,
    unflushed: Vec<Change>,
    /// The sectors that were ever written, on a disk that loses writes.
    written: BTreeSet<u64>,
}

impl File {
    fn used(&self) -> usize {
        self.written.len() * SECTOR
    }
}

#[derive(Default)]
struct State {
    files: [File; 3],
    /// Writes, truncations and flushes so far.
    steps: u64,
    /// The host goes down at this step.
    crash_at: Option<u64>,
    /// This step fails for want of room, and only this one.
    refuse_at: Option<u64>,
    /// Bytes in all files together.
    capacity: Option<u64>,
    /// Files may be made longer without room, and what is written for which there is none is lost without a word.
    loses: bool,
    /// What is written is read back.
    reads_back: bool,
    /// Somebody has the files open.
    open: bool,
}

/// Three files, and what has happened to them.
#[derive(Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub fn steps(&self) -> u64 {
        self.0.lock().unwrap().steps
    }

    pub fn crash_at(&self, step: u64) {
        self.0.lock().unwrap().crash_at = Some(step);
    }

    pub fn refuse_at(&self, step: u64) {
        self.0.lock().unwrap().refuse_at = Some(step);
    }

    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().unwrap().capacity = Some(bytes);
    }

    /// A disk that takes what it has no room for, and whether what is written is read back.
    pub fn losing(reads_back: bool) -> Disk {
        let disk = Disk::default();
        {
            let mut state = disk.0.lock().unwrap();
            (state.loses, state.reads_back) = (true, reads_back);
        }
        disk
    }

    pub fn crashed(&self) -> bool {
        let state = self.0.lock().unwrap();
        state.crash_at.is_some_and(|step| state.steps >= step)
    }

    pub fn is_open(&self) -> bool {
        self.0.lock().unwrap().open
    }

    /// Bytes of one file, 0 for the data; as they are now.
    pub fn contents(&self, file: usize) -> Vec<u8> {
        self.0.lock().unwrap().files[file].current.clone()
    }

    /// Spoils a file.
    pub fn change(&self, file: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock().unwrap();
        change(&mut state.files[file].current);
        state.files[file].durable = state.files[file].current.clone();
    }

    /// Says that a file has another size than it has.
    pub fn pretend_size(&self, file: usize, size: u64) {
        self.0.lock().unwrap().files[file].pretended = Some(size);
    }

    /// What a host finds after it went down: what was flushed, and of the rest any part, in any order.
    pub fn after_crash(&self, random: &mut Random) -> Disk {
        let state = self.0.lock().unwrap();
        let files = state.files.each_ref().map(|file| {
            let mut left = file.durable.clone();
            let mut order: Vec<_> = file.unflushed.iter().collect();
            // Mostly in order, as disks do; sometimes shuffled.
            if random.chance() {
                for index in (1..order.len()).rev() {
                    order.swap(index, random.below(index + 1));
                }
            }
            // Everything, nothing or a part.
            let kept = random.below(4);
            for change in order {
                match kept {
                    0 => break,
                    1 => change.apply(&mut left),
                    _ => tear(change, random, &mut left),
                }
            }
            File {
                pretended: None,
                durable: left.clone(),
                current: left,
                unflushed: Vec::new(),
                written: BTreeSet::new(),
            }
        });
        Disk(Arc::new(Mutex::new(State {
            files,
            ..State::default()
        })))
    }
}

/// Applies some sectors of a write.
fn tear(change: &Change, random: &mut Random, to: &mut Vec<u8>) {
    match change {
        Change::Write(offset, bytes) => {
            for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                if random.below(4) > 0 {
                    Change::Write(offset + (index * SECTOR) as u64, sector.to_vec()).apply(to);
                }
            }
        }
        Change::Truncate(_) if random.chance() => change.apply(to),
        Change::Truncate(_) => {}
    }
}

struct Handle {
    disk: Disk,
    file: usize,
}

impl Handle {
    fn change(&self, change: Change) -> Result<(), Errno> {
        let mut state = self.disk.0.lock().unwrap();
        let step = state.steps;
        let down = state.crash_at.is_some_and(|at| step >= at);
        if down && state.crash_at != Some(step) {
            return Err(Errno::Io);
        }
        state.steps += 1;
        if state.refuse_at == Some(step) {
            return Err(Errno::Nospc);
        }
        let size = match &change {
            Change::Write(offset, bytes) => offset + bytes.len() as u64,
            Change::Truncate(size) => *size,
        };
        let others = state.files.iter().enumerate();
        let others = others.filter(|(file, _)| *file != self.file);
        let others: usize = others.map(|(_, file)| file.current.len()).sum();
        let had = state.files[self.file].current.len() as u64;
        let limit = state.capacity.unwrap_or(1 << 40);
        if state.loses {
            let used: usize = state.files.iter().map(File::used).sum();
            let file = &mut state.files[self.file];
            if let Change::Write(offset, bytes) = &change {
                let sectors = offset / SECTOR as u64..size.div_ceil(SECTOR as u64);
                let more = sectors
                    .clone()
                    .filter(|sector| !file.written.contains(sector));
                if (used + more.count() * SECTOR) as u64 > limit {
                    let _ = bytes;
                    return Ok(());
                }
                file.written.extend(sectors);
            } else {
                file.written
                    .retain(|sector| *sector < size.div_ceil(SECTOR as u64));
            }
        } else if size > had && others as u64 + size > limit {
            return Err(Errno::Nospc);
        }
        let file = &mut state.files[self.file];
        change.apply(&mut file.current);
        file.unflushed.push(change);
        // The host goes down in the midst of it: it may have been done, in part or not at all.
        if down { Err(Errno::Io) } else { Ok(()) }
    }
}

impl BlockFile for Handle {
    fn size(&self) -> Result<u64, Errno> {
        let state = self.disk.0.lock().unwrap();
        let file = &state.files[self.file];
        Ok(file.pretended.unwrap_or(file.current.len() as u64))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let state = self.disk.0.lock().unwrap();
        let bytes = &state.files[self.file].current;
        let start = bytes.len().min(offset as usize);
        let count = into.len().min(bytes.len() - start);
        into[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.change(Change::Write(offset, bytes.to_vec()))
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.change(Change::Truncate(size))
    }

    fn flush(&self) -> Result<(), Errno> {
        let mut state = self.disk.0.lock().unwrap();
        let down = state.crash_at.is_some_and(|at| state.steps >= at);
        if down {
            state.steps += u64::from(state.crash_at == Some(state.steps));
            return Err(Errno::Io);
        }
        state.steps += 1;
        let file = &mut state.files[self.file];
        for change in file.unflushed.drain(..) {
            change.apply(&mut file.durable);
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.disk.0.lock().unwrap().open = false;
    }
}

impl Opener for Disk {
    fn open(&self) -> Op<BlockFiles> {
        let mut state = self.0.lock().unwrap();
        if std::mem::replace(&mut state.open, true) {
            return Op::err(Errno::Busy);
        }
        let reads_back = state.reads_back;
        drop(state);
        let handle = |file| -> Box<dyn BlockFile> {
            let handle = Handle {
                disk: self.clone(),
                file,
            };
            match reads_back {
                true => Box::new(ReadBack::new(handle)),
                false => Box::new(handle),
            }
        };
        Op::Ready(Ok(BlockFiles {
            data: handle(0),
            index: [handle(1), handle(2)],
        }))
    }
}
