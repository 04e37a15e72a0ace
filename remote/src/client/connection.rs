//! The client's side of a connection: tags and fids, requests that were sent, and their answers.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use capfs::account::{Account, Charge, Holding};
use capfs::device::parts::lock;
use capfs::{Errno, MaybeSend, Op};

use super::numbers::Numbers;
use crate::transport::Transport;
use crate::wire::{
    ANSWERS_MAX, Asked, ERROR, Frame, Kind, NO_TAG, REQUESTS_MAX, Reply, Request, SUBJECT, Sizes,
    WireError, first_frame, read_subject,
};

/// Fids of nodes that are let go of in one frame: they wait for the next request, which takes them along.
const CLUNKED_MAX: usize = 64;

/// What a tag stands for, until it is free again.
enum Slot {
    /// A request whose answer somebody waits for.
    Waiting {
        asked: Asked,
        /// What its answer may take, and the subject in front of that.
        held: Option<Charge>,
        waker: Option<Waker>,
        subject: Option<String>,
    },
    /// Its answer has come.
    Come(Answered),
    /// A request whose answer nobody waits for. When it has come, these fids stand for nothing.
    Nobody { kind: Kind, clunked: Vec<u32> },
    /// A request that was given up. An answer that crosses the flush is for nobody; the tag is free when the flush was answered.
    GivenUp { kind: Kind, answered: bool },
    /// The flush of the request with that tag.
    Flush(u16),
}

#[derive(Default)]
struct State {
    /// Why nothing is sent any more.
    ended: Option<Errno>,
    tags: Numbers<Slot>,
    fids: Numbers<()>,
    /// Fids of nodes that nobody uses any more, and the other side wasn't told so.
    clunked: Vec<u32>,
    /// The last request takes a name away: until the next, what nobody uses any more is let go of at once, for it may be what held the contents.
    prompt: bool,
}

/// A client's side of a connection. All trees that it has from the other side use it.
pub struct Connection {
    transport: Box<dyn Transport>,
    pub(super) sizes: Sizes,
    looks: Option<Waker>,
    /// Answers that were asked for, and that nobody has looked at.
    answers: Account,
    state: Mutex<State>,
}

/// The answer to a request.
pub(super) struct Answered {
    outcome: Result<Come, Errno>,
    /// What its open file stands for, if that has changed.
    pub subject: Option<String>,
}

/// An answer that has come, and was found to be one.
struct Come {
    asked: Asked,
    bytes: Vec<u8>,
    _held: Option<Charge>,
}

impl Answered {
    /// What it says.
    pub fn reply(&self, sizes: Sizes) -> Result<Reply<'_>, Errno> {
        let come = self.outcome.as_ref().map_err(|errno| *errno)?;
        let frame = Frame::read(&come.bytes, sizes).map_err(|_| Errno::Proto)?;
        Reply::decode(frame, come.asked).map_err(|_| Errno::Proto)?
    }
}

/// An answer that has come, or will. Dropping it before gives the request up.
pub(super) struct Answer {
    connection: Arc<Connection>,
    /// The request's tag, as long as this holds it; or why it was not sent.
    tag: Result<Option<u16>, Errno>,
}

impl Answer {
    /// Waits until the answer is there.
    pub fn poll_come(&self, context: &Context<'_>) -> Poll<()> {
        let Ok(Some(tag)) = self.tag else {
            return Poll::Ready(());
        };
        // Looked for and waited for under one lock: it may come at any time, on another thread.
        let mut state = lock(&self.connection.state);
        let ended = state.ended.is_some();
        let waker = match state.tags.get_mut(tag.into()) {
            Some(Slot::Waiting { waker, .. }) if !ended => waker,
            _ => return Poll::Ready(()),
        };
        let woken = context.waker();
        // Whoever looks again after every message needs no waking.
        let looks = &self.connection.looks;
        if !looks.as_ref().is_some_and(|looks| looks.will_wake(woken)) {
            match waker {
                Some(known) => known.clone_from(woken),
                None => *waker = Some(woken.clone()),
            }
        }
        Poll::Pending
    }

    /// Waits for the answer.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answered> {
        let failed = |errno| {
            Poll::Ready(Answered {
                outcome: Err(errno),
                subject: None,
            })
        };
        let tag = match self.tag {
            Ok(Some(tag)) => tag,
            Ok(None) => return failed(Errno::Io),
            Err(errno) => return failed(errno),
        };
        ready!(self.poll_come(context));
        self.tag = Ok(None);
        let mut state = lock(&self.connection.state);
        match (state.tags.take_back(tag.into()), state.ended) {
            (Some(Slot::Come(answered)), _) => Poll::Ready(answered),
            (_, ended) => failed(ended.unwrap_or(Errno::Io)),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Ok(Some(tag)) = self.tag {
            self.connection.give_up(tag);
        }
    }
}

/// A number for a node or an open file. When this is dropped, the other side lets go of what it stands for, and then it may be given again.
pub(super) struct Fid {
    connection: Arc<Connection>,
    number: u32,
    /// The other side may have it.
    held: bool,
    /// It is let go of at once: closing does something.
    open: bool,
}

impl Fid {
    pub fn get(&self) -> u32 {
        self.number
    }

    /// The other side has nothing by this number: there was nothing made for it.
    pub fn not_made(&mut self) {
        self.held = false;
    }
}

impl Drop for Fid {
    fn drop(&mut self) {
        match self.held {
            true => self.connection.clunk(self.number, self.open),
            false => {
                let mut state = lock(&self.connection.state);
                state.fids.take_back(self.number as usize);
            }
        }
    }
}

impl Connection {
    /// A connection that sends its requests by `transport`. Whoever has the waker `looks`, if any, polls again after every message that was
    /// received, without being woken.
    pub fn new(
        transport: Box<dyn Transport>,
        sizes: Sizes,
        looks: Option<Waker>,
    ) -> Arc<Connection> {
        Arc::new(Connection {
            transport,
            sizes,
            looks,
            answers: Account::new(ANSWERS_MAX as u64),
            state: Mutex::default(),
        })
    }

    /// Takes a message of the other side.
    ///
    /// # Errors
    /// What is wrong with it. Then the connection has ended, and whatever waits fails with `EPROTO`.
    pub fn receive(&self, mut message: &[u8]) -> Result<(), WireError> {
        let mut woken = VecDeque::new();
        let mut taken = Ok(());
        while taken.is_ok() && !message.is_empty() {
            taken = first_frame(message, self.sizes).and_then(|size| {
                let (frame, rest) = message.split_at(size);
                message = rest;
                let mut state = lock(&self.state);
                state.take(frame, self.sizes, &mut woken)
            });
        }
        // Nothing is locked: who is woken may come back here.
        woken.into_iter().for_each(Waker::wake);
        taken.inspect_err(|_| self.fail(Errno::Proto))
    }

    /// Nothing comes any more: whatever waits fails with `EIO`, and so does what is asked from now on.
    pub fn end(&self) {
        self.fail(Errno::Io);
    }

    /// Whether nothing comes any more.
    pub fn has_ended(&self) -> bool {
        lock(&self.state).ended.is_some()
    }

    fn fail(&self, errno: Errno) {
        let woken = lock(&self.state).fail(errno);
        woken.into_iter().for_each(Waker::wake);
    }

    fn send(&self, message: Vec<u8>) {
        if self.transport.send(message).is_err() {
            self.end();
        }
    }

    /// A fid that stands for nothing yet, of a node or of an open file.
    ///
    /// # Errors
    /// [`Errno::Nfile`]: there is none left
    pub(super) fn fid(self: &Arc<Self>, open: bool) -> Result<Fid, Errno> {
        let number = lock(&self.state).fids.give(u32::MAX as usize, ());
        let number = number.ok_or(Errno::Nfile)?;
        Ok(Fid {
            connection: self.clone(),
            number: number as u32,
            held: true,
            open,
        })
    }

    /// Sends a request; `slot` is what its tag stands for.
    fn request(&self, request: &Request<'_>, slot: Slot) -> Result<u16, Errno> {
        let (tag, message) = {
            let mut state = lock(&self.state);
            if let Some(errno) = state.ended {
                return Err(errno);
            }
            // What is taken away must be, however much waits.
            let urgent = matches!(request, Request::Revoke { .. });
            if state.tags.len() >= REQUESTS_MAX && !urgent {
                return Err(Errno::Nobufs);
            }
            let tag = state.tag(slot).ok_or(Errno::Nobufs)?;
            let mut message = request.encode(tag);
            state.clunks(&mut message);
            state.prompt = matches!(request, Request::Unlink { .. } | Request::Rename { .. });
            (tag, message)
        };
        self.send(message);
        Ok(tag)
    }

    /// Sends a request that is answered.
    pub(super) fn call(self: &Arc<Self>, request: &Request<'_>) -> Answer {
        let asked = request.asked();
        // There is room for the answer before it is asked for: what has come can't be refused.
        let held = self.answers.charge(Holding::Transfers, asked.room());
        let tag = held.map_err(|_| Errno::Nobufs).and_then(|held| {
            let slot = Slot::Waiting {
                asked,
                held: Some(held),
                waker: None,
                subject: None,
            };
            self.request(request, slot).map(Some)
        });
        Answer {
            connection: self.clone(),
            tag,
        }
    }

    /// Sends a request whose outcome shows in those that follow.
    pub(super) fn tell(&self, request: &Request<'_>) -> Result<(), Errno> {
        let slot = Slot::Nobody {
            kind: request.kind(),
            clunked: Vec::new(),
        };
        self.request(request, slot).map(drop)
    }

    /// Asks for something. `held` is kept until the answer has come; `read` takes the answer apart.
    pub(super) fn ask<T: MaybeSend + 'static>(
        self: &Arc<Self>,
        held: impl MaybeSend + 'static,
        request: &Request<'_>,
        read: impl FnOnce(Reply<'_>) -> Option<T> + MaybeSend + 'static,
    ) -> Op<T> {
        let answer = self.call(request);
        let sizes = self.sizes;
        Op::later(async move {
            let answered = come(answer).await;
            let reply = answered.reply(sizes)?;
            let outcome = read(reply).ok_or(Errno::Proto);
            drop(held);
            outcome
        })
    }

    /// Asks for what is answered without more.
    pub(super) fn done(
        self: &Arc<Self>,
        held: impl MaybeSend + 'static,
        request: &Request<'_>,
    ) -> Op<()> {
        self.ask(held, request, |reply| (reply == Reply::Done).then_some(()))
    }

    /// Takes a tree that the other side has made for this client away.
    pub fn revoke(&self, tree: u32) {
        // Where nobody is there any more, there is no tree either.
        let _ = self.tell(&Request::Revoke { tree });
    }

    fn give_up(&self, tag: u16) {
        let message = {
            let mut state = lock(&self.state);
            let ended = state.ended.is_some();
            let kind = match state.tags.get_mut(tag.into()) {
                Some(Slot::Waiting { asked, .. }) if !ended => asked.kind,
                // Nothing is under way for it.
                _ => {
                    state.tags.take_back(tag.into());
                    return;
                }
            };
            // There is one: there are four times as many as there may be requests.
            let Some(flush) = state.tag(Slot::Flush(tag)) else {
                return;
            };
            if let Some(slot) = state.tags.get_mut(tag.into()) {
                let answered = false;
                *slot = Slot::GivenUp { kind, answered };
            }
            Request::Flush { tag }.encode(flush)
        };
        self.send(message);
    }

    fn clunk(&self, fid: u32, now: bool) {
        let mut message = Vec::new();
        {
            let mut state = lock(&self.state);
            if state.ended.is_some() {
                state.fids.take_back(fid as usize);
                return;
            }
            state.clunked.push(fid);
            if now || state.prompt || state.clunked.len() >= CLUNKED_MAX {
                state.clunks(&mut message);
            }
        }
        if !message.is_empty() {
            self.send(message);
        }
    }
}

/// Waits for an answer.
pub(super) fn come(mut answer: Answer) -> impl Future<Output = Answered> {
    poll_fn(move |context| answer.poll(context))
}

impl State {
    /// Ends the connection; returns who waits.
    fn fail(&mut self, errno: Errno) -> Vec<Waker> {
        self.ended.get_or_insert(errno);
        let waiting = self.tags.iter_mut().filter_map(|slot| match slot {
            Slot::Waiting { waker, .. } => waker.take(),
            _ => None,
        });
        waiting.collect()
    }

    fn tag(&mut self, slot: Slot) -> Option<u16> {
        let tag = self.tags.give(NO_TAG.into(), slot)?;
        u16::try_from(tag).ok()
    }

    /// Adds to a message that fids are let go of, if there are any.
    fn clunks(&mut self, message: &mut Vec<u8>) {
        // If too many tags are taken they wait: each request must have one left to be flushed by.
        if self.clunked.is_empty() || self.tags.len() >= 2 * REQUESTS_MAX {
            return;
        }
        // No more than are told by one frame.
        let count = self.clunked.len().min(CLUNKED_MAX);
        let clunked: Vec<u32> = self.clunked[..count].to_vec();
        let fids = clunked.clone();
        let kind = Kind::Clunk;
        if let Some(tag) = self.tag(Slot::Nobody { kind, clunked }) {
            self.clunked.drain(..count);
            message.extend(Request::Clunk { fids }.encode(tag));
        }
    }

    /// Takes one frame.
    fn take(
        &mut self,
        bytes: &[u8],
        sizes: Sizes,
        woken: &mut VecDeque<Waker>,
    ) -> Result<(), WireError> {
        let frame = Frame::read(bytes, sizes)?;
        let tag = usize::from(frame.tag);
        if self.ended.is_some() {
            return Ok(());
        }
        let fits = |kind: Kind| match frame.kind == ERROR || frame.kind == kind.answer() {
            true => Ok(()),
            false => Err(WireError::Answer(frame.tag)),
        };
        if frame.tag == NO_TAG && frame.kind == ERROR {
            // The other side has ended it, and says why.
            let why = Reply::decode(frame, Request::Flush { tag: 0 }.asked())?;
            woken.extend(self.fail(why.err().unwrap_or(Errno::Proto)));
            return Ok(());
        }
        let slot = self.tags.get_mut(tag);
        match slot.ok_or(WireError::Tag(frame.tag))? {
            Slot::Waiting {
                subject,
                asked,
                held,
                ..
            } if frame.kind == SUBJECT => {
                let text = read_subject(frame.body)?;
                let (size, most) = (text.len(), ANSWERS_MAX);
                if let Some(held) = held {
                    let kept = held.resize(asked.room() + size as u64);
                    kept.map_err(|_| WireError::TooLong { size, most })?;
                }
                *subject = Some(text.to_owned());
            }
            Slot::GivenUp {
                answered: false, ..
            } if frame.kind == SUBJECT => {}
            slot @ Slot::Waiting { .. } => {
                let Slot::Waiting {
                    asked,
                    held,
                    waker,
                    subject,
                } = slot
                else {
                    return Ok(());
                };
                // What can't be read ends the connection now: who waits for it wouldn't know what the other side has made.
                let _ = Reply::decode(frame, *asked)?;
                woken.extend(waker.take());
                *slot = Slot::Come(Answered {
                    outcome: Ok(Come {
                        asked: *asked,
                        bytes: bytes.to_vec(),
                        _held: held.take(),
                    }),
                    subject: subject.take(),
                });
            }
            Slot::Come(_) | Slot::GivenUp { answered: true, .. } => {
                return Err(WireError::Tag(frame.tag));
            }
            Slot::GivenUp { kind, answered } => {
                fits(*kind)?;
                *answered = true;
            }
            Slot::Nobody { .. } if frame.kind == SUBJECT => {}
            Slot::Nobody { kind, clunked } => {
                fits(*kind)?;
                let clunked = std::mem::take(clunked);
                self.tags.take_back(tag);
                for fid in clunked {
                    self.fids.take_back(fid as usize);
                }
            }
            Slot::Flush(given_up) => {
                fits(Kind::Flush)?;
                let given_up = *given_up;
                self.tags.take_back(tag);
                self.tags.take_back(given_up.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Connection {
    /// How many tags and fids are given.
    pub(crate) fn numbers(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.tags.len(), state.fids.len())
    }
}
