//! Ctl files.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::text::{Contents, TextSource, snapshot};
use crate::account::{Account, Buffer, Holding};
use crate::device::identity::fresh_qid;
use crate::device::null::set_device_stat;
use crate::device::pipe::stream_stat;
use crate::{
    BoxedFuture, Errno, FileKind, GuestSink, GuestSource, MaybeSend, MaybeSync, Node, Op, OpenFile,
    OpenHow, Qid, SetStat, Stat, WriteAt, Written,
};

/// Bytes in one command; a longer one is `ENOSPC`. It bounds what a guest that never ends its line makes
/// the host keep.
pub const CTL_LINE_MAX: usize = 16 << 10;

/// Bytes that one write to a ctl file takes; of a longer one, the rest is left to the next write. It bounds
/// how many commands the host does in one go.
pub const CTL_WRITE_MAX: usize = 64 << 10;

/// What a ctl file does; a closure that takes a line, and answers with a `Result` or an [`Op`], is one.
pub trait Command: MaybeSend + MaybeSync + 'static {
    /// Does the command in a line, which is not empty and neither begins nor ends with a blank. The write
    /// that carries it waits for its end, and so do the commands behind it.
    ///
    /// # Errors
    /// What the write that carried the command fails with.
    fn run(&self, line: &str) -> Op<()>;

    /// What the file stands for; see [`OpenFile::subject`].
    fn subject(&self) -> Option<String> {
        None
    }
}

impl<F, R> Command for F
where
    F: Fn(&str) -> R + MaybeSend + MaybeSync + 'static,
    R: Into<Op<()>>,
{
    fn run(&self, line: &str) -> Op<()> {
        self(line).into()
    }
}

/// A ctl file, as a node.
pub(super) struct CtlNode {
    qid: Qid,
    text: Option<Box<dyn TextSource>>,
    command: Commands,
    account: Account,
}

/// Who does the commands.
enum Commands {
    /// The same for everybody who has the file open.
    Shared(Arc<dyn Command>),
    /// One for each opening.
    OfEach(Box<dyn BeginCommands>),
}

trait BeginCommands: MaybeSend + MaybeSync + 'static {
    fn begin(&self) -> Arc<dyn Command>;
}

impl<F: Fn() -> Arc<dyn Command> + MaybeSend + MaybeSync + 'static> BeginCommands for F {
    fn begin(&self) -> Arc<dyn Command> {
        self()
    }
}

impl CtlNode {
    pub(super) fn of_each(
        begin: impl Fn() -> Arc<dyn Command> + MaybeSend + MaybeSync + 'static,
        account: &Account,
    ) -> Self {
        CtlNode {
            account: account.clone(),
            qid: fresh_qid(FileKind::CharacterDevice),
            text: None,
            command: Commands::OfEach(Box::new(begin)),
        }
    }

    pub(super) fn new(
        text: Option<Box<dyn TextSource>>,
        command: impl Command,
        account: &Account,
    ) -> Self {
        CtlNode {
            account: account.clone(),
            qid: fresh_qid(FileKind::CharacterDevice),
            text,
            command: Commands::Shared(Arc::new(command)),
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
        let contents = text.map_or_else(|| Op::ok(Vec::new()), |text| snapshot(&**text));
        let (qid, account) = (self.qid, self.account.clone());
        let command = match &self.command {
            Commands::Shared(command) => command.clone(),
            Commands::OfEach(each) => each.begin(),
        };
        contents.then(move |contents| {
            let opened = OpenCtl::new(qid, how, contents, command, &account);
            opened
                .map(|file| Box::new(file) as Box<dyn OpenFile>)
                .into()
        })
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open ctl file.
pub(in crate::device) struct OpenCtl {
    qid: Qid,
    how: OpenHow,
    /// What reading gives, taken when the file was opened.
    contents: Contents,
    /// Bytes of it that were read.
    read: usize,
    /// The line that has not ended yet.
    line: Buffer,
    command: Arc<dyn Command>,
    write: Option<Write>,
    account: Account,
}

/// A write that waits for one of its commands.
struct Write {
    /// Bytes that it took.
    bytes: usize,
    /// Those behind the command under way.
    rest: Buffer,
    command: BoxedFuture<Result<(), Errno>>,
}

impl OpenCtl {
    /// Opens a ctl file that reads as `contents`.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: the account has no room for them
    pub(in crate::device) fn new(
        qid: Qid,
        how: OpenHow,
        contents: Vec<u8>,
        command: Arc<dyn Command>,
        account: &Account,
    ) -> Result<Self, Errno> {
        Ok(OpenCtl {
            qid,
            how,
            contents: Contents::new(contents, account)?,
            read: 0,
            line: Buffer::new(account, Holding::Descriptors),
            command,
            write: None,
            account: account.clone(),
        })
    }

    /// Does the commands that end in `bytes`, as far as they need not wait.
    fn accept(&mut self, total: usize, mut bytes: &[u8]) -> Result<(), Errno> {
        while let Some(part) = bytes.split_inclusive(|byte| *byte == b'\n').next() {
            bytes = &bytes[part.len()..];
            if self.line.len() + part.len() > CTL_LINE_MAX {
                return Err(Errno::Nospc);
            }
            self.line.extend(part)?;
            if !part.ends_with(b"\n") {
                continue;
            }
            match self.end_line() {
                Op::Ready(result) => result?,
                Op::Later(command) => {
                    let mut rest = Buffer::new(&self.account, Holding::Descriptors);
                    rest.extend(bytes)?;
                    self.write = Some(Write {
                        bytes: total,
                        rest,
                        command,
                    });
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Op<()> {
        let (line, _charge) = self.line.take();
        match str::from_utf8(&line).map(str::trim) {
            Ok("") => Op::ok(()),
            Ok(line) => self.command.run(line),
            Err(_) => Op::err(Errno::Ilseq),
        }
    }

    /// Goes on with the write that waits until it has ended.
    fn poll_commands(
        &mut self,
        context: &mut Context<'_>,
        mut bytes: usize,
    ) -> Poll<Result<usize, Errno>> {
        while let Some(mut write) = self.write.take() {
            bytes = write.bytes;
            match write.command.as_mut().poll(context) {
                Poll::Pending => {
                    self.write = Some(write);
                    return Poll::Pending;
                }
                Poll::Ready(result) => result?,
            }
            self.accept(bytes, write.rest.bytes())?;
        }
        Poll::Ready(Ok(bytes))
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
        let count = sink.put(&self.contents.bytes()[self.read..]);
        self.read += count;
        Poll::Ready(Ok(count))
    }

    /// # Errors
    /// - whatever the command answers; what was written behind it is dropped
    /// - [`Errno::Nospc`]: a line of more than [`CTL_LINE_MAX`] bytes
    /// - [`Errno::Nomem`]: the account has no room for a line that has not ended, or for the commands that wait
    /// - [`Errno::Ilseq`]: not UTF-8
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if !self.how.write {
            return Poll::Ready(Err(Errno::Badf));
        }
        let mut begun = Ok(());
        let mut total = 0;
        if self.write.is_none() {
            let mut bytes = vec![0; source.remaining().min(CTL_WRITE_MAX)];
            total = source.take(&mut bytes);
            begun = self.accept(total, &bytes[..total]);
        }
        let outcome = match begun {
            Ok(()) => self.poll_commands(context, total),
            Err(errno) => Poll::Ready(Err(errno)),
        };
        if let Poll::Ready(Err(_)) = outcome {
            self.line.clear();
        }
        outcome.map(|result| result.map(|bytes| Written { bytes, end: 0 }))
    }

    fn subject(&self) -> Option<String> {
        self.command.subject()
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

    /// Does the command that no newline has ended yet.
    ///
    /// # Errors
    /// What the command answers.
    fn sync(&mut self, _data_only: bool) -> Op<()> {
        match self.write {
            Some(_) => Op::err(Errno::Busy),
            None => self.end_line(),
        }
    }
}

impl Drop for OpenCtl {
    fn drop(&mut self) {
        // Closing reports nothing and waits for nothing; a command that matters ends with a newline.
        if self.write.is_none() {
            let _ = self.end_line();
        }
    }
}
