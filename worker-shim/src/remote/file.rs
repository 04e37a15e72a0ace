//! Open files of a tree that is elsewhere.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use capfs::{
    DirEntry, Entries, Errno, GuestSink, GuestSource, Interest, Listener, Op, OpenFile, Readiness,
    SetStat, Socket, Stat, WriteAt, Written,
};

use super::client::{Fid, later};
use super::connection::{Answer, Number};
use super::taken::{Ending, Taken};
use super::wire::{
    Code, DATA_MAX, Decoder, Encoder, FILE_WRITE_MAX, LIST_MAX, SEEKABLE, UNFINISHED, WRITE_MAX,
};

/// A transfer that has been asked for: where, and its answer.
struct Transfer {
    at: WriteAt,
    answer: Answer,
}

pub(super) struct RemoteFile {
    fid: Rc<Fid>,
    file: Number,
    seekable: bool,
    read: Option<Transfer>,
    write: Option<Transfer>,
    /// Whoever writes does not wait.
    nonblocking: bool,
    /// Of a stream.
    taken: Taken<Write>,
    /// Closing may begin something: opening did, or a stream has been written to.
    unfinished: bool,
    /// What a read brought and its caller had no room for, of a stream: it would be lost.
    rest: Vec<u8>,
    /// Waits that have been asked for, for reading and for writing.
    ready: [Option<Answer>; 2],
    subject: Subject,
}

/// What a file stands for, as the other side has said it last.
type Subject = Rc<RefCell<Option<String>>>;

/// A write that has returned already, and whose answer may tell what the file stands for.
struct Write {
    answer: Answer,
    subject: Subject,
}

impl Ending for Write {
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Errno>> {
        let results = ready!(self.answer.poll_results(context));
        if let Some(subject) = results.subject {
            self.subject.replace(Some(subject));
        }
        Poll::Ready(results.outcome.map(drop))
    }
}

/// An open file that is to be closed although nobody has got it.
struct Closing {
    fid: Rc<Fid>,
    /// None once somebody has got it, or there is no such file.
    file: Option<Number>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            self.fid
                .connection
                .tell(Code::Close, |request| request.u32(file.get()));
        }
    }
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        // Closing gives up what is under way: one message instead of one each would do, but order matters more.
        self.read = None;
        self.write = None;
        self.taken.give_up();
        self.ready = [None, None];
        self.fid
            .connection
            .tell(Code::Close, |request| request.u32(self.file.get()));
    }
}

impl RemoteFile {
    /// A file that is taken to be open.
    pub fn new(fid: Rc<Fid>, file: Number) -> RemoteFile {
        RemoteFile {
            fid,
            file,
            seekable: false,
            read: None,
            write: None,
            nonblocking: false,
            taken: Taken::default(),
            unfinished: false,
            rest: Vec::new(),
            ready: [None, None],
            subject: Subject::default(),
        }
    }

    /// The file that an answer opens, and what else the answer says.
    pub fn opened(fid: Rc<Fid>, file: Number, mut answer: Answer) -> Op<(RemoteFile, Vec<u8>)> {
        let mut closing = Closing {
            fid,
            file: Some(file),
        };
        Op::later(async move {
            let results = poll_fn(|context| answer.poll_results(context)).await;
            // Where it wasn't opened there is nothing to be closed.
            let bytes = results.outcome.inspect_err(|_| drop(closing.file.take()))?;
            let mut decoder = Decoder(&bytes);
            let told = decoder.u8()?;
            let rest = decoder.0.to_vec();
            let number = closing.file.take().ok_or(Errno::Io)?;
            let mut file = RemoteFile::new(closing.fid.clone(), number);
            file.seekable = told & SEEKABLE != 0;
            file.unfinished = told & UNFINISHED != 0;
            file.subject = Rc::new(RefCell::new(results.subject));
            Ok((file, rest))
        })
    }

    fn ask(&self, code: Code, fill: impl FnOnce(Encoder) -> Encoder) -> Answer {
        let number = self.file.get();
        self.fid
            .connection
            .call(code, |request| fill(request.u32(number)))
    }

    /// Whether a transfer is the one that is asked for now. A stream has no offsets.
    fn goes_on(&self, transfer: Option<&Transfer>, at: WriteAt) -> bool {
        transfer.is_some_and(|transfer| !self.seekable || transfer.at == at)
    }

    /// Asks for something when the write that has returned already has ended, if that went well.
    fn behind_taken(&self, code: Code, fill: impl FnOnce(Encoder) -> Encoder + 'static) -> Op<()> {
        let (taken, fid, number) = (self.taken.clone(), self.fid.clone(), self.file.get());
        Op::run(async move {
            taken.ended().await?;
            let request = |request: Encoder| fill(request.u32(number));
            fid.connection.call(code, request).await.map(drop)
        })
    }

    /// Waits for the answer to a transfer.
    fn poll_answer(
        &self,
        context: &mut Context<'_>,
        transfer: &mut Option<Transfer>,
    ) -> Poll<Result<Vec<u8>, Errno>> {
        let Some(under_way) = transfer else {
            return Poll::Ready(Err(Errno::Io));
        };
        let results = ready!(under_way.answer.poll_results(context));
        *transfer = None;
        if let Some(subject) = results.subject {
            self.subject.replace(Some(subject));
        }
        Poll::Ready(results.outcome)
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
            let length = sink.remaining().min(DATA_MAX) as u32;
            let answer = self.ask(Code::Read, |request| request.u64(offset).u32(length));
            self.read = Some(Transfer { at, answer });
        }
        let mut transfer = self.read.take();
        let outcome = self.poll_answer(context, &mut transfer);
        self.read = transfer;
        let bytes = ready!(outcome)?;
        let count = sink.put(&bytes);
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
        if !self.goes_on(self.write.as_ref(), at) {
            self.write = None;
            let most = match self.seekable {
                true => FILE_WRITE_MAX,
                false => WRITE_MAX,
            };
            let mut bytes = vec![0; source.remaining().min(most)];
            let taken = source.take(&mut bytes);
            if self.nonblocking && !self.seekable {
                let answer = self.ask(Code::WriteAll, |request| request.bytes(&bytes[..taken]));
                let subject = self.subject.clone();
                self.taken.begin(Write { answer, subject });
                return Poll::Ready(Ok(Written {
                    bytes: taken,
                    end: 0,
                }));
            }
            let answer = self.ask(Code::Write, |request| request.at(at).bytes(&bytes[..taken]));
            self.write = Some(Transfer { at, answer });
        }
        let mut transfer = self.write.take();
        let outcome = self.poll_answer(context, &mut transfer);
        self.write = transfer;
        let answer = ready!(outcome)?;
        let mut answer = Decoder(&answer);
        Poll::Ready(Ok(Written {
            bytes: answer.u32()? as usize,
            end: answer.u64()?,
        }))
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
            Some(transfer) if transfer.answer.has_come() => return Poll::Ready(Ok(ENDED)),
            Some(transfer) => {
                transfer.answer.register(context);
                return Poll::Pending;
            }
            None if self.seekable => return Poll::Ready(Ok(ENDED)),
            None => {}
        }
        let mut answer = match self.ready[index].take() {
            Some(answer) => answer,
            None => self.ask(Code::Ready, |request| request.interest(interest)),
        };
        let Poll::Ready(results) = answer.poll_results(context) else {
            self.ready[index] = Some(answer);
            return Poll::Pending;
        };
        let bytes = results.outcome?;
        let mut answer = Decoder(&bytes);
        Poll::Ready(Ok(Readiness {
            bytes: answer.u64()?,
            hangup: answer.u8()? == 1,
        }))
    }

    fn seekable(&self) -> bool {
        self.seekable
    }

    /// What is elsewhere was opened by its name, and begins at its start.
    fn position(&self) -> u64 {
        0
    }

    fn stat(&self) -> Op<Stat> {
        later(
            &self.fid,
            self.ask(Code::FileStat, |request| request),
            |fid, answer| fid.stat(answer),
        )
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        let answer = self.ask(Code::FileSetStat, |request| request.set_stat(change));
        later(&self.fid, answer, |_, _| Ok(()))
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        let answer = self.ask(Code::Allocate, |request| request.u64(offset).u64(length));
        later(&self.fid, answer, |_, _| Ok(()))
    }

    fn sync(&mut self, data_only: bool) -> Op<()> {
        self.behind_taken(Code::Sync, move |request| request.u8(data_only.into()))
    }

    fn set_nonblocking(&mut self, nonblocking: bool) {
        self.nonblocking = nonblocking;
    }

    /// What a read brings is still this file's.
    fn cancel(&mut self) {
        self.write = None;
    }

    fn finish(&mut self) -> Op<()> {
        match self.unfinished() {
            true => self.behind_taken(Code::Finish, |request| request),
            false => Op::ok(()),
        }
    }

    /// As far as this side knows: it is told of what opening began.
    fn unfinished(&self) -> bool {
        self.unfinished || self.taken.owes()
    }

    fn subject(&self) -> Option<String> {
        self.subject.borrow().clone()
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        self.fid.is_directory().then_some(self as &mut dyn Entries)
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
        let max = max.min(LIST_MAX) as u32;
        let answer = self.ask(Code::List, |request| request.u64(cookie).u32(max));
        later(&self.fid, answer, |_, answer| {
            let count = answer.u32()?;
            (0..count).map(|_| answer.entry()).collect()
        })
    }
}
