//! Stream files.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::device::Device;
use crate::device::null::set_device_stat;
use crate::device::pipe::stream_stat;
use crate::{
    Checkpoint, Directory, Durable, Entries, Errno, FileKind, FileSystemStat, GuestSink,
    GuestSource, Handle, Interest, Listener, MaybeSend, MaybeSync, Node, NodeRef, Op, OpenFile,
    OpenHow, Qid, Readiness, SavedFile, SetStat, Socket, Stat, WriteAt, Written,
};

/// Where a stream file's open files come from; a closure that makes one, and answers with a `Result` or
/// an [`Op`], is a source.
pub trait StreamSource: MaybeSend + MaybeSync + 'static {
    /// Makes an open file for one direction of one opening.
    ///
    /// # Errors
    /// What opening the stream file fails with.
    fn open(&self) -> Op<Box<dyn OpenFile>>;

    /// What the file stands for before it is open; see [`Node::subject`].
    fn subject(&self) -> Option<String> {
        None
    }
}

impl<F, R> StreamSource for F
where
    F: Fn() -> R + MaybeSend + MaybeSync + 'static,
    R: Into<Op<Box<dyn OpenFile>>>,
{
    fn open(&self) -> Op<Box<dyn OpenFile>> {
        self().into()
    }
}

/// A stream file by itself. A direction without a source can't be opened.
pub fn stream_node(
    device: &Device,
    reads: Option<Box<dyn StreamSource>>,
    writes: Option<Box<dyn StreamSource>>,
) -> NodeRef {
    Arc::new(StreamNode::new(device, reads, writes))
}

/// A stream file, as a node. A direction without a source can't be opened.
pub(super) struct StreamNode {
    qid: Qid,
    reads: Option<Box<dyn StreamSource>>,
    writes: Option<Box<dyn StreamSource>>,
}

impl StreamNode {
    pub(super) fn new(
        device: &Device,
        reads: Option<Box<dyn StreamSource>>,
        writes: Option<Box<dyn StreamSource>>,
    ) -> Self {
        StreamNode {
            qid: device.qid(FileKind::CharacterDevice),
            reads,
            writes,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Node for StreamNode {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    /// # Errors
    /// - [`Errno::Acces`]: for a direction that the stream doesn't have
    /// - whatever its source answers
    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let side = |wanted: bool, source: &Option<Box<dyn StreamSource>>| match source {
            _ if !wanted => Op::ok(None),
            Some(source) => source.open().map(Some),
            None => Op::err(Errno::Acces),
        };
        let qid = self.qid;
        let writer = side(how.write, &self.writes);
        side(how.read, &self.reads).then(move |reader| {
            writer.map(move |writer| {
                Box::new(OpenStream {
                    qid,
                    reader,
                    writer,
                }) as Box<dyn OpenFile>
            })
        })
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn directory(&self) -> Option<&dyn Directory> {
        None
    }

    fn read_link(&self) -> Op<String> {
        Op::err(Errno::Inval)
    }

    fn subject(&self) -> Option<String> {
        let sides = [&self.reads, &self.writes];
        sides.into_iter().flatten().find_map(|side| side.subject())
    }

    /// What a stream has moved is in nobody's file.
    fn save(&self) -> Result<Handle, Errno> {
        Err(Errno::Nodev)
    }

    fn reopen(&self, _how: OpenHow, _state: &[u8]) -> Op<Box<dyn OpenFile>> {
        Op::err(Errno::Stale)
    }

    fn durable(&self) -> Option<&dyn Durable> {
        None
    }

    fn file_system_stat(&self) -> Op<FileSystemStat> {
        Op::err(Errno::Notsup)
    }

    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        Op::err(Errno::Notsup)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The directions of a stream that are open.
struct OpenStream {
    qid: Qid,
    reader: Option<Box<dyn OpenFile>>,
    writer: Option<Box<dyn OpenFile>>,
}

impl OpenStream {
    fn sides(&mut self) -> impl Iterator<Item = &mut Box<dyn OpenFile>> {
        [&mut self.reader, &mut self.writer].into_iter().flatten()
    }
}

#[deny(clippy::missing_trait_methods)]
impl OpenFile for OpenStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        match &mut self.reader {
            Some(reader) => reader.poll_read(context, offset, sink),
            None => Poll::Ready(Err(Errno::Badf)),
        }
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        match &mut self.writer {
            Some(writer) => writer.poll_write(context, at, source),
            None => Poll::Ready(Err(Errno::Badf)),
        }
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        let side = match interest {
            Interest::Read => &mut self.reader,
            Interest::Write => &mut self.writer,
        };
        match side {
            Some(side) => side.poll_ready(context, interest),
            None => Poll::Ready(Err(Errno::Badf)),
        }
    }

    fn set_nonblocking(&mut self, nonblocking: bool) {
        for side in self.sides() {
            side.set_nonblocking(nonblocking);
        }
    }

    fn cancel(&mut self) {
        for side in self.sides() {
            side.cancel();
        }
    }

    fn finish(&mut self) -> Op<()> {
        let finished = self.sides().map(|side| side.finish());
        let both = finished.reduce(|first, second| {
            first.then_result(|first| second.then_result(move |second| first.and(second).into()))
        });
        both.unwrap_or(Op::ok(()))
    }

    fn unfinished(&self) -> bool {
        let sides = [&self.reader, &self.writer];
        sides.into_iter().flatten().any(|side| side.unfinished())
    }

    fn subject(&self) -> Option<String> {
        let sides = [&self.reader, &self.writer];
        sides.into_iter().flatten().find_map(|side| side.subject())
    }

    fn seekable(&self) -> bool {
        false
    }

    fn position(&self) -> u64 {
        0
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn allocate(&mut self, _offset: u64, _length: u64) -> Op<()> {
        Op::err(Errno::Spipe)
    }

    /// What was written is where it goes when the writing side says so.
    fn sync(&mut self, data_only: bool) -> Op<()> {
        match &mut self.writer {
            Some(writer) => writer.sync(data_only),
            None => Op::ok(()),
        }
    }

    fn save(&self) -> Result<SavedFile, Errno> {
        Err(Errno::Nodev)
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        None
    }

    fn socket(&mut self) -> Option<&mut dyn Socket> {
        None
    }

    fn listener(&mut self) -> Option<&mut dyn Listener> {
        None
    }
}
