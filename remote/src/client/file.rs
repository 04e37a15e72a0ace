//! Open files of a tree that is elsewhere.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use capfs::device::parts::lock;
use capfs::{
    DirEntry, Entries, Errno, FileKind, GuestSink, GuestSource, Interest, Listener, Op, OpenFile,
    Qid, Readiness, SetStat, Socket, Stat, WriteAt, Written,
};

use super::connection::{Answer, Answered, Connection, Fid};
use super::taken::{Ending, Taken};
use crate::wire::{READ_MAX, Reply, Request};

/// A transfer that has been asked for: where, and its answer.
struct Transfer {
    at: WriteAt,
    answer: Answer,
}

/// An open file that is to be closed although nobody has got it. The node is kept as long as the file.
pub(super) struct Closing {
    pub connection: Arc<Connection>,
    pub node: Arc<Fid>,
    pub file: Fid,
    pub qid: Qid,
}

impl Closing {
    /// The file that an answer opens, and the node's identity.
    pub fn opened(mut self, answered: Answered) -> Result<(RemoteFile, Qid), Errno> {
        let opened = match answered.reply(self.connection.sizes) {
            Ok(Reply::Opened(opened)) => Ok(opened),
            Ok(Reply::Created(qid, opened)) => {
                self.qid = qid;
                Ok(opened)
            }
            Ok(_) => Err(Errno::Proto),
            Err(errno) => {
                // Where it wasn't opened there is nothing to be closed.
                self.file.not_made();
                Err(errno)
            }
        }?;
        let qid = self.qid;
        let mut file = RemoteFile::new(self);
        file.seekable = opened.seekable;
        file.unfinished = opened.unfinished;
        *lock(&file.subject) = answered.subject;
        Ok((file, qid))
    }
}

pub(super) struct RemoteFile {
    // What is under way is given up before the file is closed: fields are dropped in their order.
    read: Option<Transfer>,
    write: Option<Transfer>,
    /// Of a stream.
    taken: Taken<Write>,
    /// Waits that have been asked for, for reading and for writing.
    ready: [Option<Answer>; 2],
    open: Closing,
    seekable: bool,
    /// Whoever writes does not wait.
    nonblocking: bool,
    /// Closing may begin something: opening did, or a stream has been written to.
    unfinished: bool,
    /// What a read brought and its caller had no room for, of a stream: it would be lost.
    rest: Vec<u8>,
    subject: Subject,
}

/// What a file stands for, as the other side has said it last.
type Subject = Arc<Mutex<Option<String>>>;

/// A write that has returned already, and whose answer may tell what the file stands for.
struct Write {
    answer: Answer,
    connection: Arc<Connection>,
    subject: Subject,
}

impl Ending for Write {
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Errno>> {
        let answered = ready!(self.answer.poll(context));
        let outcome = answered.reply(self.connection.sizes).map(drop);
        if let Some(subject) = answered.subject {
            *lock(&self.subject) = Some(subject);
        }
        Poll::Ready(outcome)
    }
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        // Whoever waits for its end has a part in it as well.
        self.taken.give_up();
    }
}

impl RemoteFile {
    /// A file that is taken to be open.
    pub fn new(open: Closing) -> RemoteFile {
        RemoteFile {
            read: None,
            write: None,
            taken: Taken::default(),
            ready: [None, None],
            open,
            seekable: false,
            nonblocking: false,
            unfinished: false,
            rest: Vec::new(),
            subject: Subject::default(),
        }
    }

    fn fid(&self) -> u32 {
        self.open.file.get()
    }

    fn call(&self, request: &Request<'_>) -> Answer {
        self.open.connection.call(request)
    }

    fn done(&self, request: &Request<'_>) -> Op<()> {
        self.open.connection.done(self.open.node.clone(), request)
    }

    /// Whether a transfer is the one that is asked for now. A stream has no offsets.
    fn goes_on(&self, transfer: Option<&Transfer>, at: WriteAt) -> bool {
        transfer.is_some_and(|transfer| !self.seekable || transfer.at == at)
    }

    /// Asks for something when the write that has returned already has ended, if that went well.
    fn behind_taken(&self, request: Request<'static>) -> Op<()> {
        let (taken, node) = (self.taken.clone(), self.open.node.clone());
        let connection = self.open.connection.clone();
        Op::run(async move {
            taken.ended().await?;
            connection.done(node, &request).wait().await
        })
    }

    /// Waits for the answer to a transfer.
    fn poll_answer(
        &self,
        context: &mut Context<'_>,
        transfer: &mut Option<Transfer>,
    ) -> Poll<Result<Answered, Errno>> {
        let Some(under_way) = transfer else {
            return Poll::Ready(Err(Errno::Io));
        };
        let mut answered = ready!(under_way.answer.poll(context));
        *transfer = None;
        if let Some(subject) = answered.subject.take() {
            *lock(&self.subject) = Some(subject);
        }
        Poll::Ready(Ok(answered))
    }
}

const ENDED: Readiness = Readiness {
    bytes: 1,
    hangup: false,
};

#[deny(clippy::missing_trait_methods)]
impl OpenFile for RemoteFile {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        if !self.rest.is_empty() {
            let count = sink.put(&self.rest);
            self.rest.drain(..count);
            return Poll::Ready(Ok(count));
        }
        // What was ready to be read is read now.
        self.ready[0] = None;
        let at = WriteAt::Offset(offset);
        if !self.goes_on(self.read.as_ref(), at) {
            // One that was given up for another is forgotten.
            self.read = None;
            let length = sink.remaining().min(READ_MAX);
            let answer = self.call(&Request::Read {
                fid: self.fid(),
                offset,
                count: length as u32,
            });
            self.read = Some(Transfer { at, answer });
        }
        let mut transfer = self.read.take();
        let outcome = self.poll_answer(context, &mut transfer);
        self.read = transfer;
        let answered = ready!(outcome)?;
        let bytes = match answered.reply(self.open.connection.sizes)? {
            Reply::Data(bytes) => bytes,
            _ => return Poll::Ready(Err(Errno::Proto)),
        };
        let count = sink.put(bytes);
        if !self.seekable {
            self.rest.extend_from_slice(&bytes[count..]);
        }
        Poll::Ready(Ok(count))
    }

    /// The write of somebody who does not wait returns when its bytes are on their way; the next one begins when the
    /// other side has written them all.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        self.ready[1] = None;
        ready!(self.taken.poll_ended(context));
        self.taken.take_owed()?;
        self.unfinished |= !self.seekable;
        let connection = self.open.connection.clone();
        if !self.goes_on(self.write.as_ref(), at) {
            self.write = None;
            let most = connection.sizes.write_max(self.seekable);
            let mut bytes = vec![0; source.remaining().min(most)];
            let taken = source.take(&mut bytes);
            let (fid, data) = (self.fid(), &bytes[..taken]);
            if self.nonblocking && !self.seekable {
                let answer = self.call(&Request::WriteAll { fid, data });
                let subject = self.subject.clone();
                self.taken.begin(Write {
                    answer,
                    connection,
                    subject,
                });
                return Poll::Ready(Ok(Written {
                    bytes: taken,
                    end: 0,
                }));
            }
            let answer = self.call(&Request::Write { fid, at, data });
            self.write = Some(Transfer { at, answer });
        }
        let mut transfer = self.write.take();
        let outcome = self.poll_answer(context, &mut transfer);
        self.write = transfer;
        let answered = ready!(outcome)?;
        match answered.reply(connection.sizes)? {
            Reply::Written(written) => Poll::Ready(Ok(written)),
            _ => Poll::Ready(Err(Errno::Proto)),
        }
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        if interest == Interest::Write {
            ready!(self.taken.poll_ended(context));
        }
        let (transfer, index) = match interest {
            Interest::Read => (&self.read, 0),
            Interest::Write => (&self.write, 1),
        };
        if index == 0 && !self.rest.is_empty() {
            let bytes = self.rest.len() as u64;
            return Poll::Ready(Ok(Readiness {
                bytes,
                hangup: false,
            }));
        }
        // A transfer under way takes what there is, so its answer is what to wait for.
        match transfer {
            Some(transfer) => return transfer.answer.poll_come(context).map(|()| Ok(ENDED)),
            None if self.seekable => return Poll::Ready(Ok(ENDED)),
            None => {}
        }
        let fid = self.fid();
        let mut answer = match self.ready[index].take() {
            Some(answer) => answer,
            None => self.call(&Request::Ready { fid, interest }),
        };
        let Poll::Ready(answered) = answer.poll(context) else {
            self.ready[index] = Some(answer);
            return Poll::Pending;
        };
        match answered.reply(self.open.connection.sizes)? {
            Reply::Ready(readiness) => Poll::Ready(Ok(readiness)),
            _ => Poll::Ready(Err(Errno::Proto)),
        }
    }

    fn seekable(&self) -> bool {
        self.seekable
    }

    /// What is elsewhere was opened by its name, and begins at its start.
    fn position(&self) -> u64 {
        0
    }

    fn stat(&self) -> Op<Stat> {
        let (fid, qid) = (self.fid(), self.open.qid);
        let connection = &self.open.connection;
        let request = Request::GetAttr { fid };
        connection.ask(self.open.node.clone(), &request, move |reply| match reply {
            Reply::Stat(stat) => Some(Stat { qid, ..stat }),
            _ => None,
        })
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        let fid = self.fid();
        self.done(&Request::SetAttr { fid, change })
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        let fid = self.fid();
        self.done(&Request::Allocate {
            fid,
            offset,
            length,
        })
    }

    fn sync(&mut self, data_only: bool) -> Op<()> {
        let fid = self.fid();
        self.behind_taken(Request::Sync { fid, data_only })
    }

    fn set_nonblocking(&mut self, nonblocking: bool) {
        self.nonblocking = nonblocking;
    }

    /// What a read brings is still this file's.
    fn cancel(&mut self) {
        self.write = None;
    }

    fn finish(&mut self) -> Op<()> {
        let fid = self.fid();
        match self.unfinished() {
            true => self.behind_taken(Request::Finish { fid }),
            false => Op::ok(()),
        }
    }

    /// As far as this side knows: it is told of what opening began.
    fn unfinished(&self) -> bool {
        self.unfinished || self.taken.owes()
    }

    fn subject(&self) -> Option<String> {
        lock(&self.subject).clone()
    }

    fn save(&self) -> Result<capfs::SavedFile, Errno> {
        Err(Errno::Nodev)
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        (self.open.qid.kind == FileKind::Directory).then_some(self as &mut dyn Entries)
    }

    /// Sockets are not handed over a connection.
    fn socket(&mut self) -> Option<&mut dyn Socket> {
        None
    }

    /// Nor are listeners.
    fn listener(&mut self) -> Option<&mut dyn Listener> {
        None
    }
}

impl Entries for RemoteFile {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let request = Request::ReadDir {
            fid: self.fid(),
            cookie,
            count: u32::try_from(max).unwrap_or(u32::MAX),
        };
        let connection = &self.open.connection;
        connection.ask(self.open.node.clone(), &request, move |reply| match reply {
            Reply::Entries(entries) => Some(entries),
            _ => None,
        })
    }
}
