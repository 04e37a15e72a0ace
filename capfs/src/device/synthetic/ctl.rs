//! Ctl files.

use std::any::Any;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use super::text::{Contents, TextSource, snapshot};
use crate::account::{Account, Buffer, Holding};
use crate::device::Device;
use crate::device::lock::lock;
use crate::device::null::set_device_stat;
use crate::device::pipe::stream_stat;
use crate::maybe_send::boxed;
use crate::{
    BoxedFuture, Errno, FileKind, GuestSink, GuestSource, Interest, MaybeSend, MaybeSync, Node, Op,
    OpenFile, OpenHow, Qid, Readiness, SetStat, Stat, WriteAt, Written,
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
        device: &Device,
        begin: impl Fn() -> Arc<dyn Command> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        CtlNode {
            account: device.account().clone(),
            qid: device.qid(FileKind::CharacterDevice),
            text: None,
            command: Commands::OfEach(Box::new(begin)),
        }
    }

    pub(super) fn new(
        device: &Device,
        text: Option<Box<dyn TextSource>>,
        command: impl Command,
    ) -> Self {
        CtlNode {
            account: device.account().clone(),
            qid: device.qid(FileKind::CharacterDevice),
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
    /// The line that has not ended yet. The command that ends it takes it away when that has been done, so that one that is
    /// given up leaves it as it was.
    line: Arc<Mutex<Buffer>>,
    command: Arc<dyn Command>,
    /// Whoever writes does not wait for commands.
    nonblocking: bool,
    /// The write under way, which is shared with who waits for it by another way.
    write: Arc<Mutex<Option<Write>>>,
    account: Account,
    /// What became of a write that nobody waited for, to be told by the next.
    owed: Result<(), Errno>,
}

/// A write that waits for one of its commands.
struct Write {
    /// Bytes that it took.
    bytes: usize,
    /// It has returned already: its writer does not wait.
    taken: bool,
    work: BoxedFuture<Result<(), Errno>>,
}

/// Goes on with the write that waits until it has ended; returns the bytes that it took.
fn poll_write(
    write: &Mutex<Option<Write>>,
    context: &mut Context<'_>,
) -> Poll<Result<usize, Errno>> {
    let mut write = lock(write);
    let Some(waits) = &mut *write else {
        return Poll::Ready(Ok(0));
    };
    let bytes = waits.bytes;
    let outcome = ready!(waits.work.as_mut().poll(context));
    *write = None;
    Poll::Ready(outcome.map(|()| bytes))
}

/// Does the commands that end in `given`, of which the first began with what `line` holds, one after the other, and keeps there
/// what has not ended. What is behind a command that fails is dropped.
async fn run(
    command: Arc<dyn Command>,
    line: Arc<Mutex<Buffer>>,
    given: Buffer,
) -> Result<(), Errno> {
    for part in given.bytes().split_inclusive(|byte| *byte == b'\n') {
        let begun = lock(&line).len();
        if begun + part.len() > CTL_LINE_MAX {
            // Nothing could end it any more.
            lock(&line).clear();
            return Err(Errno::Nospc);
        }
        if !part.ends_with(b"\n") {
            lock(&line).extend(part)?;
        } else if begun == 0 {
            end_line(&*command, part).wait().await?;
        } else {
            end_begun(&*command, &line, part).wait().await?;
        }
    }
    Ok(())
}

/// Does the command that the line begins and `rest` ends. When it has ended, the line has gone.
///
/// # Errors
/// - whatever the command answers
/// - [`Errno::Nomem`]: the account has no room for it; the line stays
fn end_begun(command: &dyn Command, line: &Arc<Mutex<Buffer>>, rest: &[u8]) -> Op<()> {
    let done = {
        let mut begun = lock(line);
        let length = begun.len();
        if let Err(errno) = begun.extend(rest) {
            return Op::err(errno);
        }
        let done = end_line(command, begun.bytes());
        begun.cut(length);
        done
    };
    let line = line.clone();
    done.then_result(move |done| {
        lock(&line).clear();
        done.into()
    })
}

/// What is around a command and no part of it: blanks, and the line's end. What else Unicode takes for white space may be
/// a byte of something.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

fn end_line(command: &dyn Command, line: &[u8]) -> Op<()> {
    match str::from_utf8(line).map(|line| line.trim_matches(BLANKS)) {
        Ok("") => Op::ok(()),
        Ok(line) => command.run(line),
        Err(_) => Op::err(Errno::Ilseq),
    }
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
            line: Arc::new(Mutex::new(Buffer::new(account, Holding::Descriptors))),
            command,
            nonblocking: false,
            write: Arc::default(),
            account: account.clone(),
            owed: Ok(()),
        })
    }

    /// Goes on with a write that has returned already, until its outcome is owed to the next.
    fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let taken = lock(&self.write).as_ref().is_some_and(|write| write.taken);
        if taken {
            self.owed = ready!(poll_write(&self.write, context)).map(drop);
        }
        Poll::Ready(())
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

    /// The write of somebody who does not wait returns when its bytes are taken, and the next one begins when their
    /// commands have ended.
    ///
    /// # Errors
    /// - whatever the command answers; what was written behind it is dropped
    /// - what became of an earlier write that was not waited for; then nothing of this one is taken
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
        ready!(self.poll_taken(context));
        std::mem::replace(&mut self.owed, Ok(()))?;
        let begun = lock(&self.write).is_some();
        if !begun {
            let mut given = Buffer::new(&self.account, Holding::Descriptors);
            let most = source.remaining().min(CTL_WRITE_MAX);
            let total = source.take(given.resize(most)?);
            given.cut(total);
            let (command, line) = (self.command.clone(), self.line.clone());
            *lock(&self.write) = Some(Write {
                bytes: total,
                taken: false,
                work: boxed(run(command, line, given)),
            });
        }
        let written = |bytes| Written { bytes, end: 0 };
        let outcome = poll_write(&self.write, context);
        if outcome.is_pending()
            && self.nonblocking
            && let Some(write) = &mut *lock(&self.write)
        {
            write.taken = true;
            return Poll::Ready(Ok(written(write.bytes)));
        }
        outcome.map_ok(written)
    }

    /// It can be written when what was written before has been done.
    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        if interest == Interest::Write {
            ready!(self.poll_taken(context));
        }
        Poll::Ready(Ok(Readiness {
            bytes: 1,
            hangup: false,
        }))
    }

    fn set_nonblocking(&mut self, nonblocking: bool) {
        self.nonblocking = nonblocking;
    }

    /// A command that has begun is given up, and those behind it don't begin. What earlier writes have begun of it is there for the
    /// next write.
    fn cancel(&mut self) {
        lock(&self.write).take_if(|write| !write.taken);
    }

    /// Does the command that no newline has ended yet.
    ///
    /// # Errors
    /// What the command answers.
    fn finish(&mut self) -> Op<()> {
        let owed = std::mem::replace(&mut self.owed, Ok(()));
        let (command, line, write) = (self.command.clone(), self.line.clone(), self.write.clone());
        Op::run(async move {
            owed?;
            poll_fn(|context| poll_write(&write, context)).await?;
            end_begun(&*command, &line, b"").wait().await
        })
    }

    fn unfinished(&self) -> bool {
        self.owed.is_err() || lock(&self.write).is_some() || !lock(&self.line).is_empty()
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

    /// As [`OpenCtl::finish`].
    fn sync(&mut self, _data_only: bool) -> Op<()> {
        self.finish()
    }
}
