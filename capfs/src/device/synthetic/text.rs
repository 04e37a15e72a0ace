//! Text files.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::account::{Account, Charge, Holding};
#[cfg(feature = "durable")]
use crate::checkpoint::Unchanging;
use crate::device::Device;
use crate::device::null::only;
use crate::device::pipe::stream_stat;
#[cfg(feature = "durable")]
use crate::{Checkpoint, SavedFile};
use crate::{
    Durable, Errno, FileKind, GuestSink, GuestSource, Handle, MaybeSend, MaybeSync, Node, NodeRef,
    Op, OpenFile, OpenHow, Qid, SetStat, Stat, WriteAt, Written,
};

/// What a text file says; a closure that returns a `String`, or an [`Op`] of one, is one.
pub trait TextSource: MaybeSend + MaybeSync + 'static {
    /// The text now. A newline is added if it has no last one.
    ///
    /// # Errors
    /// What opening the file, or stat of it, fails with.
    fn text(&self) -> Op<String>;
}

impl<F, R> TextSource for F
where
    F: Fn() -> R + MaybeSend + MaybeSync + 'static,
    R: Into<Op<String>>,
{
    fn text(&self) -> Op<String> {
        self().into()
    }
}

/// The contents that a file with this text has.
pub(super) fn snapshot(source: &dyn TextSource) -> Op<Vec<u8>> {
    source.text().map(|mut text| {
        if !text.is_empty() && !text.ends_with('\n') {
            // No more room than that: it is charged for as long as the file is open.
            text.reserve_exact(1);
            text.push('\n');
        }
        text.into_bytes()
    })
}

/// What reading an open file gives, charged for as long as it is open.
pub(in crate::device) struct Contents {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl Contents {
    /// # Errors
    /// - [`Errno::Nomem`]: the account has no room for them
    pub(in crate::device) fn new(bytes: Vec<u8>, account: &Account) -> Result<Contents, Errno> {
        let charge = account.charge(Holding::Descriptors, bytes.capacity() as u64)?;
        Ok(Contents {
            bytes,
            _charge: charge,
        })
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Makes a text file that is in no directory, to be mounted by itself or to come and go.
pub fn text_file(device: &Device, source: impl TextSource) -> NodeRef {
    Arc::new(TextNode::new(device, source))
}

/// A text file, as a node.
#[derive(Clone)]
pub(super) struct TextNode {
    qid: Qid,
    source: Arc<dyn TextSource>,
    account: Account,
}

impl TextNode {
    pub(super) fn new(device: &Device, source: impl TextSource) -> Self {
        TextNode {
            account: device.account().clone(),
            qid: device.qid(FileKind::RegularFile),
            source: Arc::new(source),
        }
    }
}

impl Node for TextNode {
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

    /// # Errors
    /// - [`Errno::Acces`]: for writing
    /// - [`Errno::Nomem`]: the account has no room for the text
    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        if how.write || how.truncate {
            return Op::err(Errno::Acces);
        }
        let (qid, account) = (self.qid, self.account.clone());
        snapshot(&*self.source).then(move |contents| {
            let contents = Contents::new(contents, &account);
            let opened = contents.map(|contents| OpenText { qid, contents });
            opened
                .map(|file| Box::new(file) as Box<dyn OpenFile>)
                .into()
        })
    }

    fn set_stat(&self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Acces)
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<Handle, Errno> {
        Ok(Handle::number(self.qid.path))
    }

    /// The file goes on to show what it showed.
    #[cfg(feature = "durable")]
    fn reopen(&self, how: OpenHow, state: &[u8]) -> Op<Box<dyn OpenFile>> {
        if how.write || how.truncate {
            return Op::err(Errno::Acces);
        }
        let contents = Contents::new(state.to_vec(), &self.account);
        let qid = self.qid;
        let opened = contents.map(|contents| OpenText { qid, contents });
        opened
            .map(|file| Box::new(file) as Box<dyn OpenFile>)
            .into()
    }

    #[cfg(feature = "durable")]
    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }

    #[cfg(feature = "durable")]
    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        Unchanging::checkpoint()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A text that is mounted by itself is found by its number, too.
impl Durable for TextNode {
    fn resolve(
        &self,
        handles: &[Handle],
        _covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        Op::ok(only(Arc::new(self.clone()), handles))
    }
}

/// An open file that reads as these bytes.
///
/// # Errors
/// - [`Errno::Nomem`]: the account has no room for them
pub fn open_text(contents: Vec<u8>, account: &Account) -> Result<Box<dyn OpenFile>, Errno> {
    let qid = Qid::unnumbered(FileKind::RegularFile);
    let contents = Contents::new(contents, account)?;
    Ok(Box::new(OpenText { qid, contents }))
}

/// A snapshot of a text file.
pub(in crate::device) struct OpenText {
    pub(in crate::device) qid: Qid,
    pub(in crate::device) contents: Contents,
}

impl OpenFile for OpenText {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        let rest = usize::try_from(offset).ok();
        let rest = rest.and_then(|offset| self.contents.bytes().get(offset..));
        Poll::Ready(Ok(rest.map_or(0, |rest| sink.put(rest))))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Badf))
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(Stat {
            size: self.contents.bytes().len() as u64,
            ..stream_stat(self.qid)
        })
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Acces)
    }

    fn allocate(&mut self, _offset: u64, _length: u64) -> Op<()> {
        Op::err(Errno::Badf)
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<SavedFile, Errno> {
        match self.qid.path {
            // Of no node.
            0 => Err(Errno::Nodev),
            number => SavedFile::with_state(Handle::number(number), self.contents.bytes().to_vec()),
        }
    }
}
