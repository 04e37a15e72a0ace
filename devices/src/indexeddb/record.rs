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

    /// Replaces the value by what `change` makes of it, in one transaction: at most `more` bytes longer. It is charged until it is
    /// through, beside the one that is there.
    async fn change(
        self,
        more: usize,
        may_make: bool,
        change: impl FnOnce(&mut Vec<u8>) -> Result<(), Failure> + capfs::MaybeSend + 'static,
    ) -> Result<(), Errno> {
        let account = self.store.engine.device.account().clone();
        let held: Arc<Mutex<Option<Charge>>> = Arc::default();
        let holds = held.clone();
        let changed = self.store.change(&self.key, move |old| {
            if old.is_none() && !may_make {
                return Err(Failure::new(Errno::Noent, "the record was removed"));
            }
            let length = old.map_or(0, Vec::len);
            let charge = account.charge(Holding::Descriptors, (length + more) as u64);
            let text = "the agent may not hold the value";
            *lock(&holds) = Some(charge.map_err(|errno| Failure::new(errno, text))?);
            let mut value = Vec::with_capacity(length + more);
            value.extend_from_slice(old.map_or(&[], Vec::as_slice));
            change(&mut value)?;
            Ok(Some(value))
        });
        let changed = changed.await;
        drop(held);
        self.store.explained(changed)
    }

    fn set_size(&self, fresh: bool, change: SetStat) -> Op<()> {
        let Some(size) = change.size else {
            return set_device_stat(change);
        };
        if size > VALUE_MAX as u64 {
            return Op::err(Errno::Fbig);
        }
        let size = size as usize;
        let resized = self.clone().change(size, fresh, move |value| {
            value.resize(size, 0);
            Ok(())
        });
        Op::run(resized)
    }

    /// Opens a record; with `fresh` it has no value yet, or is to lose the one that it has, by the first write.
    pub(super) fn open(&self, how: OpenHow, fresh: bool) -> Box<dyn OpenFile> {
        Box::new(OpenRecord {
            record: self.clone(),
            how,
            fresh,
            snapshot: None,
            reading: None,
            writing: None,
        })
    }
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
        Op::ok(self.open(how, how.truncate))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        self.set_size(false, change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A write under way.
struct Writing {
    bytes: usize,
    end: u64,
    /// It is the one that replaces all of the value.
    fresh: bool,
    done: BoxedFuture<Result<(), Errno>>,
}

/// An open record.
struct OpenRecord {
    record: Record,
    how: OpenHow,
    /// The first write replaces all of the value. Where none comes, closing does.
    fresh: bool,
    /// The value as this descriptor read it last: reads agree with each other until it writes.
    snapshot: Option<Held<Vec<u8>>>,
    reading: Option<BoxedFuture<Result<Held<Vec<u8>>, Errno>>>,
    writing: Option<Writing>,
}

impl OpenRecord {
    /// What makes the fresh value that no write has made.
    fn settle(&mut self) -> Op<()> {
        if !std::mem::take(&mut self.fresh) {
            return Op::ok(());
        }
        self.snapshot = None;
        Op::run(self.record.clone().change(0, true, |value| {
            value.clear();
            Ok(())
        }))
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
        if self.fresh {
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
            let offset = match at {
                WriteAt::Offset(offset) => Some(offset),
                WriteAt::End => None,
            };
            let most = source.remaining().min(WRITE_MAX);
            let account = self.record.store.engine.device.account();
            let charge = account.charge(Holding::Descriptors, most as u64)?;
            let mut bytes = vec![0; most];
            let count = source.take(&mut bytes);
            bytes.truncate(count);
            if count == 0 {
                let end = offset.unwrap_or(0);
                return Poll::Ready(Ok(Written { bytes: 0, end }));
            }
            let end = offset.unwrap_or(0).checked_add(count as u64);
            let Some(end) = end.filter(|end| *end <= VALUE_MAX as u64) else {
                return Poll::Ready(Err(Errno::Fbig));
            };
            let fresh = std::mem::take(&mut self.fresh);
            self.snapshot = None;
            let more = offset.map_or(count, |_| end as usize);
            let write = self.record.clone().change(more, fresh, move |value| {
                let _charge = charge;
                if fresh {
                    value.clear();
                }
                let at = offset.map_or(value.len(), |offset| offset as usize);
                let end = at + bytes.len();
                if value.len() < end {
                    value.resize(end, 0);
                }
                value[at..end].copy_from_slice(&bytes);
                Ok(())
            });
            self.writing = Some(Writing {
                bytes: count,
                end,
                fresh,
                done: Box::pin(write),
            });
        }
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(Err(Errno::Io));
        };
        let Poll::Ready(outcome) = writing.done.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let (bytes, end) = (writing.bytes, writing.end);
        self.writing = None;
        Poll::Ready(outcome.map(|()| Written { bytes, end }))
    }

    /// A transaction that is given up has not happened, but for one whose commit is on its way.
    fn cancel(&mut self) {
        self.reading = None;
        if let Some(writing) = self.writing.take() {
            self.fresh |= writing.fresh;
        }
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        match self.fresh {
            true => Op::ok(self.record.stat_of(0)),
            false => Node::stat(&self.record),
        }
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        let fresh = self.fresh;
        self.fresh = fresh && change.size.is_none();
        self.snapshot = None;
        self.record.set_size(fresh, change)
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        let end = offset
            .checked_add(length)
            .filter(|end| *end <= VALUE_MAX as u64);
        let Some(end) = end else {
            return Op::err(Errno::Fbig);
        };
        let fresh = std::mem::take(&mut self.fresh);
        self.snapshot = None;
        let end = end as usize;
        Op::run(self.record.clone().change(end, fresh, move |value| {
            if fresh {
                value.clear();
            }
            if value.len() < end {
                value.resize(end, 0);
            }
            Ok(())
        }))
    }

    /// Every write has been committed when it returns; what is left is a value without any.
    fn sync(&mut self, _data_only: bool) -> Op<()> {
        self.settle()
    }

    fn subject(&self) -> Option<String> {
        Some(self.record.store.path())
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        // Closing reports nothing; a host that answers later goes on with it by itself.
        if let Op::Later(settled) = self.settle() {
            self.record.store.detach(settled);
        }
    }
}
