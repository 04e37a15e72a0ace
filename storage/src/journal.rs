//! The index: a snapshot of the metadata, and behind it a journal of what has changed since.
//!
//! # Format
//! There are two files and one of them is in use. A file is a sequence of frames, each of them
//! aligned to 8 bytes:
//!
//! ```text
//! magic "CFS1" | payload's length | generation | sequence | kind | checksum | payload, padded
//!     u32            u32              u64          u64      u32       u32
//! ```
//!
//! all little-endian; the checksum is over the frame's offset, its header and its payload. The frames of one
//! file have one generation and count up from 0: a *head* with the format's version, *snapshot* frames, a frame
//! that says that the snapshot is *complete*, and *transactions*. A transaction is one frame, so it is
//! there as a whole or not at all.
//!
//! # Replacing
//! When the journal has become long, a snapshot with the next generation is written to the other file and
//! flushed; then the old file is emptied and that is flushed; only then are transactions added to the new one.
//! Of two complete files the later generation counts. A generation is never used twice, so what an attempt
//! that was cut off has left is never taken for a part of the next.
//!
//! # Preparing
//! A transaction that others decide about is *prepared*: a frame of a kind of its own, at the end, flushed. To commit, its kind and
//! checksum become those of a transaction, which is one write of 8 bytes within a sector; to discard, its magic is cleared. Nothing is written behind it in between.
//! So a volume has one only if it stopped before that was decided, and who opens it must know.
//!
//! # Crash or damage
//! A transaction is flushed before the next one is written. So after a crash there may be a torn frame
//! at the end, and nothing valid behind it. A valid frame behind an invalid one means that something else
//! has spoilt it, and the volume says so instead of going back to an old state.

use capfs::Errno;

use crate::block_file::BlockFile;
use crate::checksum::crc32;
use crate::error::StorageError;
use crate::limits::{Geometry, INDEX_MAX, JOURNAL_MAX};

/// The version of the format that is written: 2 has the checksums of blocks, and link targets once.
pub(crate) const FORMAT: u32 = 2;
/// The oldest one that is read. An index of an earlier version is written anew when it has been read, so that no file has frames of both.
const FORMAT_OLDEST: u32 = 1;
const MAGIC: u32 = u32::from_le_bytes(*b"CFS1");
const HEADER: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Head = 1,
    Snapshot = 2,
    Complete = 3,
    Transaction = 4,
    Prepared = 5,
}

struct Frame<'a> {
    generation: u64,
    sequence: u64,
    kind: Kind,
    payload: &'a [u8],
    /// Where the next one begins.
    end: usize,
}

fn encode(generation: u64, sequence: u64, kind: Kind, offset: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity((HEADER + payload.len()).next_multiple_of(8));
    frame.extend(MAGIC.to_le_bytes());
    frame.extend((payload.len() as u32).to_le_bytes());
    frame.extend(generation.to_le_bytes());
    frame.extend(sequence.to_le_bytes());
    frame.extend((kind as u32).to_le_bytes());
    let sum = crc32(&[&offset.to_le_bytes(), &frame, payload]);
    frame.extend(sum.to_le_bytes());
    frame.extend(payload);
    frame.resize(frame.len().next_multiple_of(8), 0);
    frame
}

/// The frame at an offset, if there is a valid one.
fn decode(bytes: &[u8], offset: usize) -> Option<Frame<'_>> {
    let header = bytes.get(offset..offset.checked_add(HEADER)?)?;
    let word = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
    if word(0)? != MAGIC {
        return None;
    }
    let start = offset + HEADER;
    let payload = bytes.get(start..start.checked_add(word(4)? as usize)?)?;
    if crc32(&[&(offset as u64).to_le_bytes(), &header[..28], payload]) != word(28)? {
        return None;
    }
    let kind = match word(24)? {
        1 => Kind::Head,
        2 => Kind::Snapshot,
        3 => Kind::Complete,
        4 => Kind::Transaction,
        5 => Kind::Prepared,
        _ => return None,
    };
    Some(Frame {
        generation: long(8)?,
        sequence: long(16)?,
        kind,
        payload,
        end: (start + payload.len()).next_multiple_of(8),
    })
}

/// What one file holds.
struct Half {
    bytes: Vec<u8>,
    /// The format of its head; the present one without.
    format: u32,
    /// Of its head; 0 without one.
    generation: u64,
    /// The latest generation of any frame in it.
    latest: u64,
    /// Where the snapshot is complete.
    complete: Option<usize>,
    /// Behind the last frame that is in its place.
    end: usize,
    /// The number of frames up to there.
    sequence: u64,
    /// A valid frame lies behind one that isn't.
    damaged: bool,
}

impl Half {
    fn read(file: &dyn BlockFile) -> Result<Half, StorageError> {
        let size = file.size()?;
        if size > INDEX_MAX {
            return Err(StorageError::TooLong { bytes: size });
        }
        let size = usize::try_from(size).map_err(|_| Errno::Nomem)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| Errno::Nomem)?;
        bytes.resize(size, 0);
        let mut filled = 0;
        while filled < size {
            match file.read_at(filled as u64, &mut bytes[filled..])? {
                0 => return Err(Errno::Io.into()),
                count => filled += count,
            }
        }
        let mut half = Half {
            bytes,
            format: FORMAT,
            generation: 0,
            latest: 0,
            complete: None,
            end: 0,
            sequence: 0,
            damaged: false,
        };
        half.scan()?;
        Ok(half)
    }

    fn scan(&mut self) -> Result<(), StorageError> {
        while let Some(frame) = decode(&self.bytes, self.end) {
            let in_place = match frame.kind {
                Kind::Head => self.sequence == 0,
                Kind::Snapshot | Kind::Complete => self.sequence > 0 && self.complete.is_none(),
                Kind::Transaction => self.complete.is_some(),
                // It is the last one, and doesn't count yet.
                Kind::Prepared => false,
            };
            if frame.sequence != self.sequence
                || !in_place
                || (self.sequence > 0 && frame.generation != self.generation)
            {
                break;
            }
            if frame.kind == Kind::Head {
                let found = frame
                    .payload
                    .get(..4)
                    .and_then(|found| found.try_into().ok());
                let found = found.map_or(0, u32::from_le_bytes);
                if !(FORMAT_OLDEST..=FORMAT).contains(&found) {
                    return Err(StorageError::Version {
                        found,
                        known: FORMAT,
                    });
                }
                self.format = found;
                self.generation = frame.generation;
            }
            self.sequence += 1;
            let (kind, end) = (frame.kind, frame.end);
            if kind == Kind::Complete {
                self.complete = Some(end);
            }
            self.end = end;
        }
        self.latest = self.generation;
        for frame in frames_from(&self.bytes, self.end) {
            self.latest = self.latest.max(frame.generation);
            // What an earlier attempt has left has an earlier generation, and no transactions.
            self.damaged |= frame.kind == Kind::Transaction && frame.generation >= self.generation;
        }
        Ok(())
    }

    /// What is prepared at the end.
    #[cfg(feature = "durable")]
    fn prepared(&self) -> Option<Prepared> {
        let frame = decode(&self.bytes, self.end)?;
        let follows = frame.kind == Kind::Prepared
            && self.complete.is_some()
            && (frame.generation, frame.sequence) == (self.generation, self.sequence);
        follows.then(|| {
            let (generation, sequence) = (frame.generation, frame.sequence);
            let kind = Kind::Transaction;
            let frame_decided = encode(generation, sequence, kind, self.end as u64, frame.payload);
            Prepared::new(&frame_decided, frame.payload.to_vec())
        })
    }

    /// Hands out every payload of the index.
    fn replay(
        &self,
        file: usize,
        mut replay: impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<(), StorageError> {
        for (offset, payload) in self.payloads() {
            replay(payload).map_err(|what| StorageError::Damaged {
                what,
                file,
                offset: offset as u64,
            })?;
        }
        Ok(())
    }

    fn payloads(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.end {
                return None;
            }
            let frame = decode(&self.bytes, at)?;
            let found = (at, frame.kind, frame.payload);
            at = frame.end;
            Some(found)
        })
        .filter(|(_, kind, _)| matches!(kind, Kind::Snapshot | Kind::Transaction))
        .map(|(at, _, payload)| (at, payload))
    }
}

/// Every valid frame from an offset on, wherever it is.
fn frames_from(bytes: &[u8], from: usize) -> impl Iterator<Item = Frame<'_>> {
    let mut at = from;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            if bytes[at..].starts_with(b"CFS1")
                && let Some(frame) = decode(bytes, at)
            {
                at = frame.end;
                return Some(frame);
            }
            at += 8;
        }
        None
    })
}

/// Where kind and checksum are in a frame's header.
#[cfg(feature = "durable")]
const DECIDED: u64 = 24;

/// The index of an open volume.
pub(crate) struct Journal {
    files: [Box<dyn BlockFile>; 2],
    geometry: Geometry,
    /// Which of the files is in use.
    active: usize,
    /// The format of what is in it.
    format: u32,
    generation: u64,
    /// The latest generation that was ever begun.
    latest: u64,
    sequence: u64,
    /// Where the next transaction goes.
    end: u64,
    /// Where the snapshot ends.
    snapshot: u64,
    /// Bytes that the file in use has.
    capacity: u64,
    /// What is prepared, behind everything that counts.
    #[cfg(feature = "durable")]
    prepared: Option<Prepared>,
}

/// A transaction that doesn't count yet.
#[cfg(feature = "durable")]
struct Prepared {
    /// The last bytes of its header, as a transaction has them.
    decided: [u8; 8],
    length: u64,
    /// If it was found when the journal was opened.
    payload: Vec<u8>,
}

#[cfg(feature = "durable")]
impl Prepared {
    /// What will be the frame `decided`.
    fn new(decided: &[u8], payload: Vec<u8>) -> Prepared {
        let mut header = [0; 8];
        header.copy_from_slice(&decided[DECIDED as usize..HEADER]);
        Prepared {
            decided: header,
            length: decided.len() as u64,
            payload,
        }
    }
}

/// What [`Journal::open`] finds.
pub(crate) enum Found {
    /// A volume that was never used.
    Nothing(Journal),
    /// An index whose records have all been handed out.
    Index(Journal),
}

impl Journal {
    fn new(
        files: [Box<dyn BlockFile>; 2],
        geometry: Geometry,
        active: usize,
        latest: u64,
        half: Option<&Half>,
    ) -> Journal {
        Journal {
            files,
            geometry,
            active,
            format: half.map_or(FORMAT, |half| half.format),
            generation: half.map_or(0, |half| half.generation),
            latest,
            sequence: half.map_or(0, |half| half.sequence),
            end: half.map_or(0, |half| half.end as u64),
            snapshot: half.and_then(|half| half.complete).unwrap_or(0) as u64,
            capacity: half.map_or(0, |half| half.bytes.len() as u64),
            #[cfg(feature = "durable")]
            prepared: half.and_then(Half::prepared),
        }
    }

    /// Finds the index that counts and reads it into a new image: every payload is handed to `replay`, whose errors say what is
    /// wrong with it. With `repair`, what can be read of a damaged one is: another new image takes every payload by `salvage`, which
    /// passes over what makes no sense. `empty` says that there is no data, as in a volume that was never used.
    pub fn open<I>(
        files: [Box<dyn BlockFile>; 2],
        geometry: Geometry,
        (empty, repair): (bool, bool),
        new: impl Fn() -> I,
        replay: impl Fn(&mut I, &[u8]) -> Result<(), &'static str>,
        salvage: impl Fn(&mut I, &[u8]),
    ) -> Result<(Found, I), StorageError> {
        let halves = [Half::read(&*files[0])?, Half::read(&*files[1])?];
        let latest = latest(&halves);
        let choice = choose(&halves, empty);
        let mut image = new();
        if matches!(choice, Ok(None)) {
            for file in &files {
                file.truncate(0)?;
                file.flush()?;
            }
            let journal = Journal::new(files, geometry, 1, 0, None);
            return Ok((Found::Nothing(journal), image));
        }
        let unwritten = |files, file| Journal::new(files, geometry, file, latest, None);
        if repair && choice.is_err() {
            // The file that held the most stays until the new index is durable in the other one.
            let from = salvage_both(&halves, |payload| salvage(&mut image, payload));
            return Ok((Found::Index(unwritten(files, from)), image));
        }
        let file = choice?.unwrap_or_default();
        if let Err(error) = halves[file].replay(file, |payload| replay(&mut image, payload)) {
            if !repair {
                return Err(error);
            }
            // Whoever wrote it wrote what makes no sense; what follows may. It is read from the start into an image that knows
            // nothing yet: what was removed is known to be, and no number has had another meaning. The file stays until the
            // new index is durable in the other one.
            let mut image = new();
            for (_, payload) in halves[file].payloads() {
                salvage(&mut image, payload);
            }
            return Ok((Found::Index(unwritten(files, file)), image));
        }
        let journal = Journal::new(files, geometry, file, latest, Some(&halves[file]));
        Ok((Found::Index(journal), image))
    }

    /// Reads the index as [`open`](Journal::open) does and changes nothing. Says whether there is one.
    ///
    /// # Errors
    /// As [`open`](Journal::open) without repair.
    pub fn examine(
        files: &[Box<dyn BlockFile>; 2],
        empty: bool,
        replay: impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Result<bool, StorageError> {
        let halves = [Half::read(&*files[0])?, Half::read(&*files[1])?];
        let Some(file) = choose(&halves, empty)? else {
            return Ok(false);
        };
        halves[file].replay(file, replay)?;
        Ok(true)
    }

    /// Whether there is no index in either file that could be added to.
    pub fn is_unwritten(&self) -> bool {
        self.end == 0
    }

    /// Whether the index is of an earlier version and so must be written anew before anything is added.
    pub fn is_old(&self) -> bool {
        self.format != FORMAT
    }

    /// Gives back what an index takes that has been replaced.
    pub fn tidy(&self) {
        if !self.is_unwritten() {
            // It is emptied again when it is written, so nothing depends on this.
            let _ = self.files[1 - self.active].truncate(0);
        }
    }

    /// Makes room for `bytes` more bytes of journal, and as much again as `spare` says.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: the host has no room
    pub fn reserve(&mut self, bytes: u64, spare: u64) -> Result<(), Errno> {
        let needed = self.end + bytes + HEADER as u64 + 8;
        if needed + spare > self.geometry.index_max {
            return Err(Errno::Nospc);
        }
        if needed + spare <= self.capacity {
            return Ok(());
        }
        let wanted = needed + spare.max(self.geometry.index_step) + self.geometry.index_step;
        match self.files[self.active].truncate(wanted) {
            Ok(()) => {
                self.capacity = wanted;
                Ok(())
            }
            Err(_) if needed + spare <= self.capacity => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Adds a transaction and makes it durable.
    ///
    /// # Errors
    /// `Err((errno, fatal))`: when fatal, what is durable is not known any more; otherwise it was not
    /// added and can be tried again.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), (Errno, bool)> {
        let file = &self.files[self.active];
        let frame = encode(
            self.generation,
            self.sequence,
            Kind::Transaction,
            self.end,
            payload,
        );
        file.write_at(self.end, &frame)
            .map_err(|errno| (errno, false))?;
        file.flush().map_err(|errno| (errno, true))?;
        self.end += frame.len() as u64;
        self.capacity = self.capacity.max(self.end);
        self.sequence += 1;
        Ok(())
    }

    /// Adds a transaction that doesn't count until it is decided, and makes it durable.
    ///
    /// # Errors
    /// As [`append`](Journal::append).
    #[cfg(feature = "durable")]
    pub fn prepare(&mut self, payload: &[u8]) -> Result<(), (Errno, bool)> {
        let frame = |kind| encode(self.generation, self.sequence, kind, self.end, payload);
        let decided = Prepared::new(&frame(Kind::Transaction), Vec::new());
        let file = &self.files[self.active];
        file.write_at(self.end, &frame(Kind::Prepared))
            .map_err(|errno| (errno, false))?;
        file.flush().map_err(|errno| (errno, true))?;
        self.capacity = self.capacity.max(self.end + decided.length);
        self.prepared = Some(decided);
        Ok(())
    }

    /// The payload of what was prepared before the journal was opened.
    #[cfg(feature = "durable")]
    pub fn undecided(&mut self) -> Option<Vec<u8>> {
        let prepared = self.prepared.as_mut()?;
        Some(std::mem::take(&mut prepared.payload))
    }

    /// Lets what is prepared count, or not, if there is anything.
    ///
    /// # Errors
    /// What is durable is not known any more.
    #[cfg(feature = "durable")]
    pub fn decide(&mut self, counts: bool) -> Result<(), Errno> {
        let Some(prepared) = self.prepared.take() else {
            return Ok(());
        };
        let file = &self.files[self.active];
        match counts {
            true => file.write_at(self.end + DECIDED, &prepared.decided)?,
            false => file.write_at(self.end, &[0; 8])?,
        }
        file.flush()?;
        if counts {
            self.end += prepared.length;
            self.sequence += 1;
        }
        Ok(())
    }

    /// Whether the journal has become long enough to write the index anew.
    pub fn is_long(&self) -> bool {
        let journal = self.end - self.snapshot;
        journal
            > self
                .geometry
                .journal_min
                .max(4 * self.snapshot)
                .min(JOURNAL_MAX)
    }

    /// Writes the index anew: `fill` adds every record, and calls what it is given whenever it has some.
    ///
    /// # Errors
    /// As [`append`](Journal::append): when not fatal, the index is as it was. [`Errno::Nospc`] also for one that would be longer
    /// than an index may be.
    pub fn replace(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&mut Vec<u8>) -> Result<(), Errno>) -> Result<(), Errno>,
    ) -> Result<(), (Errno, bool)> {
        let (frame_min, index_max) = (self.geometry.transfer_max / 16, self.geometry.index_max);
        let to = 1 - self.active;
        self.latest += 1;
        let generation = self.latest;
        let file = &self.files[to];
        let (mut end, mut sequence) = (0, 0);
        let mut put = |kind: Kind, payload: &[u8]| {
            let frame = encode(generation, sequence, kind, end, payload);
            // A longer one could not be read again.
            if end + frame.len() as u64 > index_max {
                return Err(Errno::Nospc);
            }
            file.write_at(end, &frame)?;
            end += frame.len() as u64;
            sequence += 1;
            Ok(())
        };
        let write = || {
            file.truncate(0)?;
            put(Kind::Head, &FORMAT.to_le_bytes())?;
            let mut rest = Vec::new();
            fill(&mut |records| {
                rest.append(records);
                if rest.len() >= frame_min {
                    put(Kind::Snapshot, &rest)?;
                    rest.clear();
                }
                Ok(())
            })?;
            put(Kind::Snapshot, &rest)?;
            put(Kind::Complete, &[])
        };
        if let Err(errno) = write() {
            // It has no end, so it does not count; and its room is given back.
            let _ = file.truncate(0);
            return Err((errno, false));
        }
        file.flush().map_err(|errno| (errno, true))?;
        let old = &self.files[self.active];
        old.truncate(0)
            .and_then(|()| old.flush())
            .map_err(|errno| (errno, true))?;
        self.active = to;
        self.format = FORMAT;
        self.generation = generation;
        self.sequence = sequence;
        self.end = end;
        self.snapshot = end;
        self.capacity = end;
        Ok(())
    }
}

/// The latest generation that was ever begun.
fn latest(halves: &[Half; 2]) -> u64 {
    halves[0].latest.max(halves[1].latest)
}

/// Which file has the index that counts; `None` where the volume was never used. `empty` says that there is no data.
fn choose(halves: &[Half; 2], empty: bool) -> Result<Option<usize>, StorageError> {
    let chosen = (0..2)
        .filter(|file| halves[*file].complete.is_some())
        .max_by_key(|file| halves[*file].generation);
    let generation = chosen.map_or(0, |file| halves[file].generation);
    let damaged = (0..2).find(|file| halves[*file].damaged && halves[*file].latest >= generation);
    let (what, file) = match (damaged, chosen) {
        (Some(file), _) => ("a record does not have its checksum", file),
        (None, Some(file)) => return Ok(Some(file)),
        // The first index of a volume holds nothing until there are transactions.
        (None, None) if empty && latest(halves) <= 1 => return Ok(None),
        (None, None) => ("there is no index, but there are files", 0),
    };
    Err(StorageError::Damaged {
        what,
        file,
        offset: halves[file].end as u64,
    })
}

/// Hands out what can be read of both files, in the order in which it was written, and says which of them
/// held the most.
fn salvage_both(halves: &[Half; 2], mut salvage: impl FnMut(&[u8])) -> usize {
    let mut frames: Vec<_> = (0..2)
        .flat_map(|file| frames_from(&halves[file].bytes, 0).map(move |frame| (file, frame)))
        .filter(|(_, frame)| matches!(frame.kind, Kind::Snapshot | Kind::Transaction))
        .collect();
    frames.sort_by_key(|(_, frame)| (frame.generation, frame.sequence));
    for (_, frame) in &frames {
        salvage(frame.payload);
    }
    let held = |of: usize| -> usize {
        let frames = frames.iter().filter(|(file, _)| *file == of);
        frames.map(|(_, frame)| frame.payload.len()).sum()
    };
    usize::from(held(1) > held(0))
}

/// Makes an index's head that of the next format.
#[cfg(test)]
pub(crate) fn tests_only_next_format(bytes: &mut [u8]) {
    let generation = decode(bytes, 0).map_or(0, |head| head.generation);
    let head = encode(generation, 0, Kind::Head, 0, &(FORMAT + 1).to_le_bytes());
    bytes[..head.len()].copy_from_slice(&head);
}

/// An index of a format that has these records and no history.
#[cfg(test)]
pub(crate) fn tests_only_index(format: u32, records: &[u8]) -> Vec<u8> {
    let head = format.to_le_bytes();
    let frames = [
        (Kind::Head, &head[..]),
        (Kind::Snapshot, records),
        (Kind::Complete, &[]),
    ];
    let mut index = Vec::new();
    for ((kind, payload), sequence) in frames.into_iter().zip(0..) {
        index.extend(encode(1, sequence, kind, index.len() as u64, payload));
    }
    index
}
