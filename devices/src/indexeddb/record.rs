//! `data/KEY`: a value as a file.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use capfs::account::{Charge, Holding};
use capfs::device::parts::{lock, set_device_stat, stream_stat};
use capfs::{
    BoxedFuture, Errno, FileKind, GuestSink, GuestSource, Node, Op, OpenFile, OpenHow, Qid,
    SetStat, Stat, WriteAt, Written,
};
use sha2::{Digest, Sha256};

use super::VALUE_MAX;
use super::host::{Failure, Held};
use super::store::Store;

/// Bytes that one write takes; of a longer one, the rest is left to the next write. A value of this size is one transaction.
const WRITE_MAX: usize = VALUE_MAX;

/// A record, as a node.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) store: Arc<Store>,
    pub(super) key: Arc<[u8]>,
}

impl Record {
    /// The identity of a key: the same each time, and none that is counted.
    pub(super) fn qid(store: &Store, key: &[u8]) -> Qid {
        let hash = Sha256::new()
            .chain_update(store.path().as_bytes())
            .chain_update([0])
            .chain_update(key);
        let (number, _) = hash
            .finalize()
            .split_first_chunk::<8>()
            .map_or((0, 0), |(number, _)| (u64::from_be_bytes(*number), 0));
        Qid::new(number | 1 << 63, FileKind::RegularFile)
    }

    fn stat_of(&self, size: u64) -> Stat {
        Stat {
            size,
            ..stream_stat(Record::qid(&self.store, &self.key))
        }
    }

    async fn value(self) -> Result<Held<Vec<u8>>, Errno> {
        let value = self.store.get(&self.key).await;
        self.store.explained(value)?.ok_or(Errno::Noent)
    }

    /// How many bytes the value has.
    async fn size(&self) -> Result<u64, Errno> {
        let size = self.store.size(&self.key).await;
        self.store.explained(size)?.ok_or(Errno::Noent)
    }

    /// Changes the value, in one transaction; what it becomes is charged until it is through, beside the one that is there. Returns
    /// the offset behind what was written. Only one that has been committed changes how the next one starts.
    async fn change(self, start: Arc<Mutex<Start>>, edit: Edit) -> Result<u64, Errno> {
        let account = self.store.engine.device.account().clone();
        let changed: Arc<Mutex<Changed>> = Arc::default();
        let (starts, changes) = (*lock(&start), changed.clone());
        let committed = self.store.change(&self.key, move |old| {
            let kept = match (starts, old) {
                // It was removed after it was truncated: there is nothing to be done.
                (Start::Emptied, None) if matches!(edit, Edit::Nothing) => return Ok(None),
                (Start::Kept | Start::Emptied, None) => {
                    return Err(Failure::new(Errno::Noent, "the record was removed"));
                }
                (Start::Kept, Some(old)) => &old[..],
                (Start::Emptied | Start::Made, _) => &[],
            };
            let length = edit.length(kept.len());
            if length > VALUE_MAX {
                let text = format!("a value has {VALUE_MAX} bytes at most");
                return Err(Failure::new(Errno::Fbig, text));
            }
            let charge = account.charge(Holding::Descriptors, length as u64);
            let text = "the agent may not hold the value";
            let charge = charge.map_err(|errno| Failure::new(errno, text))?;
            let mut value = Vec::with_capacity(kept.len().max(length));
            value.extend_from_slice(kept);
            let end = edit.apply(&mut value) as u64;
            *lock(&changes) = Changed {
                end,
                _charge: Some(charge),
            };
            Ok(Some(value))
        });
        let committed = committed.await;
        self.store.explained(committed)?;
        *lock(&start) = Start::Kept;
        let end = lock(&changed).end;
        Ok(end)
    }

    fn resize(&self, start: Arc<Mutex<Start>>, size: u64) -> Op<()> {
        if size > VALUE_MAX as u64 {
            return Op::err(Errno::Fbig);
        }
        let resized = self.clone().change(start, Edit::Resize(size as usize));
        Op::run(async move { resized.await.map(drop) })
    }

    /// Opens a record.
    pub(super) fn open(&self, how: OpenHow, start: Start) -> Box<dyn OpenFile> {
        Box::new(OpenRecord {
            record: self.clone(),
            how,
            start: Arc::new(Mutex::new(start)),
            snapshot: None,
            reading: None,
            writing: None,
        })
    }
}

/// How the first change of an open record begins. Every other begins with the value that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the value that is there.
    Kept,
    /// With no bytes: it was truncated by opening.
    Emptied,
    /// With no bytes: there was no record, and it is this change that makes one.
    Made,
}

/// What is done to a value.
enum Edit {
    /// Nothing more than what opening began.
    Nothing,
    Write {
        at: WriteAt,
        bytes: Vec<u8>,
        _charge: Charge,
    },
    /// It is cut, or zeroes are added.
    Resize(usize),
    /// Zeroes are added up to this length.
    Extend(usize),
}

impl Edit {
    /// How many bytes the value has afterwards.
    fn length(&self, before: usize) -> usize {
        match self {
            Edit::Nothing => before,
            Edit::Write { at, bytes, .. } => {
                let at = Edit::at(*at, before);
                at.saturating_add(bytes.len()).max(before)
            }
            Edit::Resize(length) => *length,
            Edit::Extend(length) => before.max(*length),
        }
    }

    /// Where a write begins.
    fn at(at: WriteAt, end: usize) -> usize {
        match at {
            WriteAt::Offset(offset) => usize::try_from(offset).unwrap_or(usize::MAX),
            WriteAt::End => end,
        }
    }

    /// Changes the value; returns the offset behind what was written, or the value's end.
    fn apply(self, value: &mut Vec<u8>) -> usize {
        let (before, length) = (value.len(), self.length(value.len()));
        value.resize(length, 0);
        let Edit::Write { at, bytes, .. } = self else {
            return length;
        };
        let at = Edit::at(at, before);
        let end = at + bytes.len();
        value[at..end].copy_from_slice(&bytes);
        end
    }
}

/// What a transaction has decided, and what is charged until it is through.
#[derive(Default)]
struct Changed {
    end: u64,
    _charge: Option<Charge>,
}

impl Node for Record {
    fn qid(&self) -> Qid {
        Record::qid(&self.store, &self.key)
    }

    fn stat(&self) -> Op<Stat> {
        let record = self.clone();
        Op::run(async move {
            let size = record.size().await?;
            Ok(record.stat_of(size))
        })
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let start = match how.truncate {
            true => Start::Emptied,
            false => Start::Kept,
        };
        Op::ok(self.open(how, start))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        match change.size {
            Some(size) => self.resize(Arc::new(Mutex::new(Start::Kept)), size),
            None => set_device_stat(change),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A write under way.
struct Writing {
    bytes: usize,
    /// Yields the offset behind what was written.
    done: BoxedFuture<Result<u64, Errno>>,
}

/// An open record.
struct OpenRecord {
    record: Record,
    how: OpenHow,
    /// What opening began is a part of the first change that is committed. Where none comes, closing makes it.
    start: Arc<Mutex<Start>>,
    /// The value as this descriptor read it last: reads agree with each other until it writes.
    snapshot: Option<Held<Vec<u8>>>,
    reading: Option<BoxedFuture<Result<Held<Vec<u8>>, Errno>>>,
    writing: Option<Writing>,
}

impl OpenRecord {
    /// Changes the value by another way than a write.
    fn change(&mut self, edit: Edit) -> Op<()> {
        self.snapshot = None;
        let changed = self.record.clone().change(self.start.clone(), edit);
        Op::run(async move { changed.await.map(drop) })
    }

    /// Begins a write.
    fn write(&self, at: WriteAt, source: &mut dyn GuestSource) -> Result<Writing, Errno> {
        let most = source.remaining().min(WRITE_MAX);
        let account = self.record.store.engine.device.account();
        let charge = account.charge(Holding::Descriptors, most as u64)?;
        let mut bytes = vec![0; most];
        let count = source.take(&mut bytes);
        bytes.truncate(count);
        let record = self.record.clone();
        if count == 0 {
            let (starts, at) = (*lock(&self.start), at);
            return Ok(Writing {
                bytes: 0,
                done: Box::pin(async move {
                    match at {
                        WriteAt::Offset(offset) => Ok(offset),
                        WriteAt::End if starts != Start::Kept => Ok(0),
                        WriteAt::End => record.size().await,
                    }
                }),
            });
        }
        if let WriteAt::Offset(offset) = at {
            let end = offset.checked_add(count as u64);
            let fits = end.is_some_and(|end| end <= VALUE_MAX as u64);
            fits.then_some(()).ok_or(Errno::Fbig)?;
        }
        let edit = Edit::Write {
            at,
            bytes,
            _charge: charge,
        };
        Ok(Writing {
            bytes: count,
            done: Box::pin(record.change(self.start.clone(), edit)),
        })
    }
}

impl OpenFile for OpenRecord {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if !self.how.read {
            return Poll::Ready(Err(Errno::Badf));
        }
        if self.unfinished() {
            return Poll::Ready(Ok(0));
        }
        // A read from the start sees what is there now.
        if self.reading.is_none() && (self.snapshot.is_none() || offset == 0) {
            self.snapshot = None;
            self.reading = Some(Box::pin(self.record.clone().value()));
        }
        if let Some(reading) = &mut self.reading {
            let Poll::Ready(outcome) = reading.as_mut().poll(context) else {
                return Poll::Pending;
            };
            self.reading = None;
            self.snapshot = Some(outcome?);
        }
        let value = self.snapshot.as_ref();
        let value = value.map_or(&[][..], |held| &held.what);
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| value.get(offset..));
        Poll::Ready(Ok(rest.map_or(0, |rest| sink.put(rest))))
    }

    /// # Errors
    /// - [`Errno::Fbig`]: a value of more than [`VALUE_MAX`] bytes
    /// - [`Errno::Dquot`], [`Errno::Nospc`]: no room
    /// - [`Errno::Nomem`]: the account has no room for the value as it is and as it is to be
    /// - [`Errno::Noent`]: store or database were deleted
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if !self.how.write {
            return Poll::Ready(Err(Errno::Badf));
        }
        if self.writing.is_none() {
            self.snapshot = None;
            self.writing = Some(self.write(at, source)?);
        }
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(Err(Errno::Io));
        };
        let Poll::Ready(outcome) = writing.done.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let bytes = writing.bytes;
        self.writing = None;
        Poll::Ready(outcome.map(|end| Written { bytes, end }))
    }

    /// A transaction that is given up has not happened, but for one whose commit is on its way.
    fn cancel(&mut self) {
        self.reading = None;
        self.writing = None;
    }

    /// Makes what opening began and no write has made: a record without bytes.
    ///
    /// # Errors
    /// As those of a write.
    fn finish(&mut self) -> Op<()> {
        match self.unfinished() {
            true => self.change(Edit::Nothing),
            false => Op::ok(()),
        }
    }

    fn unfinished(&self) -> bool {
        *lock(&self.start) != Start::Kept
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        match self.unfinished() {
            true => Op::ok(self.record.stat_of(0)),
            false => Node::stat(&self.record),
        }
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        let Some(size) = change.size else {
            return set_device_stat(change);
        };
        self.snapshot = None;
        self.record.resize(self.start.clone(), size)
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        match offset.checked_add(length) {
            Some(end) if end <= VALUE_MAX as u64 => self.change(Edit::Extend(end as usize)),
            _ => Op::err(Errno::Fbig),
        }
    }

    /// Every write has been committed when it returns; what is left is a record without any.
    fn sync(&mut self, _data_only: bool) -> Op<()> {
        self.finish()
    }

    fn subject(&self) -> Option<String> {
        Some(self.record.store.path())
    }
}
