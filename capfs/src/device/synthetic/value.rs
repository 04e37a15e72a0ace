//! Value files: texts that can be replaced.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::text::{Contents, TextSource, snapshot};
use crate::account::{Account, Buffer, Holding};
use crate::device::Device;
use crate::device::pipe::stream_stat;
use crate::{
    Errno, FileKind, GuestSink, GuestSource, MaybeSend, MaybeSync, Node, Op, OpenFile, OpenHow,
    Qid, SetStat, Stat, WriteAt, Written,
};

/// Bytes in one value: 1 MiB. A longer one is `EMSGSIZE`. It bounds what a guest makes the host keep.
pub const VALUE_MAX: usize = 1 << 20;

/// Takes the new text of a value file; a closure is one.
pub trait ValueSink: MaybeSend + MaybeSync + 'static {
    /// Takes the text as it is by now: whoever writes in pieces hands over a longer one each time.
    ///
    /// # Errors
    /// What the write fails with.
    fn set(&self, text: &str) -> Result<(), Errno>;
}

impl<F> ValueSink for F
where
    F: Fn(&str) -> Result<(), Errno> + MaybeSend + MaybeSync + 'static,
{
    fn set(&self, text: &str) -> Result<(), Errno> {
        self(text)
    }
}

/// A value file, as a node.
pub(super) struct ValueNode {
    qid: Qid,
    source: Arc<dyn TextSource>,
    sink: Arc<dyn ValueSink>,
    account: Account,
}

impl ValueNode {
    pub(super) fn new(device: &Device, source: impl TextSource, sink: impl ValueSink) -> Self {
        ValueNode {
            account: device.account().clone(),
            qid: device.qid(FileKind::RegularFile),
            source: Arc::new(source),
            sink: Arc::new(sink),
        }
    }
}

impl Node for ValueNode {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        let qid = self.qid;
        snapshot(&*self.source).map(move |contents| Stat {
            size: contents.len() as u64,
            ..stream_stat(qid)
        })
    }

    /// Opened for writing, the file begins empty, whether it is to be truncated or not.
    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let contents = match how.read && !how.truncate {
            true => snapshot(&*self.source),
            false => Op::ok(Vec::new()),
        };
        let (qid, sink, account) = (self.qid, self.sink.clone(), self.account.clone());
        contents.then(move |contents| {
            let contents = Contents::new(contents, &account);
            let opened = contents.map(|contents| OpenValue {
                qid,
                how,
                contents,
                written: Buffer::new(&account, Holding::Descriptors),
                told: !how.truncate,
                sink,
                account,
            });
            opened
                .map(|file| Box::new(file) as Box<dyn OpenFile>)
                .into()
        })
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        match change.size {
            Some(0) => self.sink.set("").into(),
            Some(_) => Op::err(Errno::Inval),
            None => Op::ok(()),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open value file.
struct OpenValue {
    qid: Qid,
    how: OpenHow,
    /// What reading gives, taken when the file was opened.
    contents: Contents,
    written: Buffer,
    /// The sink knows what is in `written`.
    told: bool,
    sink: Arc<dyn ValueSink>,
    account: Account,
}

impl OpenValue {
    /// Hands the sink what was written, up to a character that has not ended yet.
    fn tell(&mut self) -> Result<(), Errno> {
        let written = self.written.bytes();
        let text = match str::from_utf8(written) {
            Ok(text) => text,
            Err(error) if error.error_len().is_some() => return Err(Errno::Ilseq),
            Err(error) => {
                str::from_utf8(&written[..error.valid_up_to()]).map_err(|_| Errno::Ilseq)?
            }
        };
        self.sink.set(text)?;
        self.told = true;
        Ok(())
    }

    /// Writes behind what is there from `begin` on; what the sink refuses is taken back.
    fn write(&mut self, begin: usize, source: &mut dyn GuestSource) -> Result<usize, Errno> {
        let before = self.written.len();
        let end = begin + source.remaining();
        let mut replaced = Buffer::new(&self.account, Holding::Descriptors);
        replaced.extend(&self.written.bytes()[begin..end.min(before)])?;
        let written = self.written.resize(end.max(before))?;
        let bytes = source.take(&mut written[begin..end]);
        let told = self.tell();
        if told.is_err() {
            let replaced = replaced.bytes();
            self.written.cut(before);
            let written = self.written.resize(before)?;
            written[begin..begin + replaced.len()].copy_from_slice(replaced);
        }
        told.map(|()| bytes)
    }
}

impl OpenFile for OpenValue {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if !self.how.read {
            return Poll::Ready(Err(Errno::Badf));
        }
        let rest = usize::try_from(offset).ok();
        let rest = rest.and_then(|offset| self.contents.bytes().get(offset..));
        Poll::Ready(Ok(rest.map_or(0, |rest| sink.put(rest))))
    }

    /// A text that is refused leaves the one before as it was.
    ///
    /// # Errors
    /// - whatever the sink answers
    /// - [`Errno::Msgsize`]: more than [`VALUE_MAX`] bytes
    /// - [`Errno::Nomem`]: the account has no room for it
    /// - [`Errno::Inval`]: behind a gap
    /// - [`Errno::Ilseq`]: not UTF-8
    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if !self.how.write {
            return Poll::Ready(Err(Errno::Badf));
        }
        let begin = match at {
            WriteAt::End => self.written.len(),
            WriteAt::Offset(offset) => match usize::try_from(offset) {
                Ok(offset) if offset <= self.written.len() => offset,
                _ => return Poll::Ready(Err(Errno::Inval)),
            },
        };
        let end = begin.saturating_add(source.remaining());
        if end > VALUE_MAX {
            return Poll::Ready(Err(Errno::Msgsize));
        }
        let written = self.write(begin, source).map(|bytes| Written {
            bytes,
            end: (begin + bytes) as u64,
        });
        Poll::Ready(written)
    }

    /// Tells the sink of a text that opening has truncated and no write has replaced.
    ///
    /// # Errors
    /// - whatever the sink answers
    /// - [`Errno::Ilseq`]: a character that was begun has not ended; the text before it has been taken
    fn finish(&mut self) -> Op<()> {
        if !self.told {
            return self.tell().into();
        }
        match str::from_utf8(self.written.bytes()) {
            Ok(_) => Op::ok(()),
            Err(_) => Op::err(Errno::Ilseq),
        }
    }

    fn unfinished(&self) -> bool {
        !self.told || str::from_utf8(self.written.bytes()).is_err()
    }

    /// As [`OpenValue::finish`].
    fn sync(&mut self, _data_only: bool) -> Op<()> {
        self.finish()
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        let contents = match self.how.write {
            true => self.written.bytes(),
            false => self.contents.bytes(),
        };
        Op::ok(Stat {
            size: contents.len() as u64,
            ..stream_stat(self.qid)
        })
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        match change.size {
            Some(0) => {
                let empty = Buffer::new(&self.account, Holding::Descriptors);
                let written = std::mem::replace(&mut self.written, empty);
                let told = self.tell();
                if told.is_err() {
                    self.written = written;
                }
                told.into()
            }
            Some(_) => Op::err(Errno::Inval),
            None => Op::ok(()),
        }
    }
}
