//! Ctl files.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::text::{TextSource, snapshot};
use crate::device::identity::fresh_qid;
use crate::device::null::set_device_stat;
use crate::device::pipe::stream_stat;
use crate::{
    Errno, FileKind, GuestSink, GuestSource, MaybeSend, MaybeSync, Node, Op, OpenFile, OpenHow,
    Qid, SetStat, Stat, WriteAt, Written,
};

/// Bytes in one command; a longer one is `ENOSPC`. It bounds what a guest that never ends its line makes
/// the host keep.
pub const CTL_LINE_MAX: usize = 16 << 10;

/// Bytes that one write to a ctl file takes; of a longer one, the rest is left to the next write. It bounds
/// how many commands the host does in one go.
pub const CTL_WRITE_MAX: usize = 64 << 10;

/// What a ctl file does; a closure that takes a line is one.
pub trait Command: MaybeSend + MaybeSync + 'static {
    /// Does the command in a line, which is not empty and neither begins nor ends with a blank.
    ///
    /// # Errors
    /// What the write that carried the command fails with.
    fn run(&self, line: &str) -> Result<(), Errno>;
}

impl<F: Fn(&str) -> Result<(), Errno> + MaybeSend + MaybeSync + 'static> Command for F {
    fn run(&self, line: &str) -> Result<(), Errno> {
        self(line)
    }
}

/// A ctl file, as a node.
pub(super) struct CtlNode {
    qid: Qid,
    text: Option<Box<dyn TextSource>>,
    command: Arc<dyn Command>,
}

impl CtlNode {
    pub(super) fn new(text: Option<Box<dyn TextSource>>, command: impl Command) -> Self {
        CtlNode {
            qid: fresh_qid(FileKind::CharacterDevice),
            text,
            command: Arc::new(command),
        }
    }
}

impl Node for CtlNode {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let text = self.text.as_ref().filter(|_| how.read);
        Op::ok(Box::new(OpenCtl {
            qid: self.qid,
            how,
            contents: text.map_or(Vec::new(), |text| snapshot(&**text)),
            read: 0,
            line: Vec::new(),
            command: self.command.clone(),
        }))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open ctl file.
struct OpenCtl {
    qid: Qid,
    how: OpenHow,
    /// What reading gives, taken when the file was opened.
    contents: Vec<u8>,
    /// Bytes of it that were read.
    read: usize,
    /// The line that has not ended yet.
    line: Vec<u8>,
    command: Arc<dyn Command>,
}

impl OpenCtl {
    /// Takes bytes and does the commands that end in them.
    fn accept(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > CTL_LINE_MAX {
                return Err(Errno::Nospc);
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_line()?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), Errno> {
        let line = std::mem::take(&mut self.line);
        let line = str::from_utf8(&line).map_err(|_| Errno::Ilseq)?.trim();
        match line {
            "" => Ok(()),
            line => self.command.run(line),
        }
    }
}

impl OpenFile for OpenCtl {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if !self.how.read {
            return Poll::Ready(Err(Errno::Badf));
        }
        let count = sink.put(&self.contents[self.read..]);
        self.read += count;
        Poll::Ready(Ok(count))
    }

    /// # Errors
    /// - whatever the command answers; what was written behind it is dropped
    /// - [`Errno::Nospc`]: a line of more than [`CTL_LINE_MAX`] bytes
    /// - [`Errno::Ilseq`]: not UTF-8
    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if !self.how.write {
            return Poll::Ready(Err(Errno::Badf));
        }
        let mut buffer = [0; 1024];
        let mut bytes = 0;
        while bytes < CTL_WRITE_MAX {
            let count = match source.take(&mut buffer) {
                0 => break,
                count => count,
            };
            bytes += count;
            if let Err(errno) = self.accept(&buffer[..count]) {
                self.line.clear();
                return Poll::Ready(Err(errno));
            }
        }
        Poll::Ready(Ok(Written { bytes, end: 0 }))
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }
}

impl Drop for OpenCtl {
    fn drop(&mut self) {
        // Closing reports nothing; a command that matters ends with a newline.
        let _ = self.end_line();
    }
}
