//! Text files.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::device::identity::fresh_qid;
use crate::device::pipe::stream_stat;
use crate::{
    Errno, FileKind, GuestSink, GuestSource, MaybeSend, MaybeSync, Node, NodeRef, Op, OpenFile,
    OpenHow, Qid, SetStat, Stat, WriteAt, Written,
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
            text.push('\n');
        }
        text.into_bytes()
    })
}

/// Makes a text file that is in no directory, to be mounted by itself or to come and go.
pub fn text_file(source: impl TextSource) -> NodeRef {
    Arc::new(TextNode::new(source))
}

/// A text file, as a node.
pub(super) struct TextNode {
    qid: Qid,
    source: Box<dyn TextSource>,
}

impl TextNode {
    pub(super) fn new(source: impl TextSource) -> Self {
        TextNode {
            qid: fresh_qid(FileKind::RegularFile),
            source: Box::new(source),
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
    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        if how.write || how.truncate {
            return Op::err(Errno::Acces);
        }
        let qid = self.qid;
        snapshot(&*self.source)
            .map(move |contents| Box::new(OpenText { qid, contents }) as Box<dyn OpenFile>)
    }

    fn set_stat(&self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Acces)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open file that reads as these bytes.
pub fn open_text(contents: Vec<u8>) -> Box<dyn OpenFile> {
    let qid = fresh_qid(FileKind::RegularFile);
    Box::new(OpenText { qid, contents })
}

/// A snapshot of a text file.
pub(in crate::device) struct OpenText {
    pub(in crate::device) qid: Qid,
    pub(in crate::device) contents: Vec<u8>,
}

impl OpenFile for OpenText {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        let rest = usize::try_from(offset).ok();
        let rest = rest.and_then(|offset| self.contents.get(offset..));
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
            size: self.contents.len() as u64,
            ..stream_stat(self.qid)
        })
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Acces)
    }

    fn allocate(&mut self, _offset: u64, _length: u64) -> Op<()> {
        Op::err(Errno::Badf)
    }
}
