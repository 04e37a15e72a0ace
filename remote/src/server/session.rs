//! One client's connection.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use capfs::device::parts::lock;
use capfs::{BoxedFuture, Errno};

use super::Trees;
use super::fids::{Fids, Held};
use super::perform::perform;
use super::woken::{Whom, Woken};
use crate::transport::Transport;
use crate::wire::{
    FRAME_HEAD, Frame, NO_TAG, READ_MAX, REQUESTS_MAX, Reply, Request, Sizes, WireError, errno,
    first_frame,
};

/// What one client has here: its fids, and its requests under way. Dropping it lets go of everything.
pub struct Session(Arc<Shared>);

pub(super) struct Shared {
    transport: Box<dyn Transport>,
    pub trees: Box<dyn Trees>,
    pub sizes: Sizes,
    woken: Arc<Woken>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ended: bool,
    fids: Fids,
    tasks: HashMap<u64, Task>,
    last_task: u64,
    /// Those that are about an open file, by its number.
    on_files: BTreeSet<(u32, u64)>,
    /// All of them, by their tags.
    by_tag: BTreeSet<(u32, u64)>,
    /// Bytes of the requests under way.
    bytes: usize,
    /// Answers that go out together.
    out: Vec<u8>,
}

/// A request under way.
struct Task {
    tag: u16,
    /// The fid that it is about: letting go of an open file gives it up.
    on: Option<u32>,
    bytes: usize,
    /// Taken out while it is polled.
    work: Option<BoxedFuture<Vec<u8>>>,
    /// The same each time that it is polled, unless it is about a file that is there: then that one's is.
    waker: Waker,
}

impl Session {
    /// A client's connection to these trees, which is answered by `transport`. `owner` is woken when [`Session::advance`] has something to do.
    pub fn new(
        trees: Box<dyn Trees>,
        transport: Box<dyn Transport>,
        sizes: Sizes,
        owner: Waker,
    ) -> Session {
        Session(Arc::new(Shared {
            transport,
            trees,
            sizes,
            woken: Woken::new(owner),
            state: Mutex::default(),
        }))
    }

    /// The message that ends the connection of a client that is not known, by `ESTALE`.
    pub fn refusal() -> Vec<u8> {
        errno(NO_TAG, Errno::Stale)
    }

    /// Takes a message of the client. What it asks for is answered now, or from [`Session::advance`].
    ///
    /// # Errors
    /// What is wrong with it. Then the connection has ended, the client is told so, and everything of it is let go of.
    pub fn receive(&self, message: Vec<u8>) -> Result<(), WireError> {
        let (mut message, mut at) = (message, 0);
        let mut taken = Ok(());
        while taken.is_ok() && at < message.len() {
            taken = first_frame(&message[at..], self.0.sizes).and_then(|size| {
                let from = at;
                at += size;
                match from == 0 && at == message.len() {
                    // Mostly there is one, and then it is not copied.
                    true => self.take(std::mem::take(&mut message)),
                    false => self.take(message[from..at].to_vec()),
                }
            });
        }
        if taken.is_err() && !self.has_ended() {
            self.end();
            let _ = self.0.transport.send(errno(NO_TAG, Errno::Proto));
        }
        self.0.send();
        taken
    }

    /// Goes on with the requests that were woken.
    pub fn advance(&self) {
        for whom in self.0.woken.take() {
            match whom {
                Whom::Task(task) => self.0.poll(task),
                Whom::File(file) => {
                    let all: Vec<u64> = {
                        let state = lock(&self.0.state);
                        let all = state.on_files.range((file, 0)..=(file, u64::MAX));
                        all.map(|(_, task)| *task).collect()
                    };
                    all.into_iter().for_each(|task| self.0.poll(task));
                }
            }
        }
        self.0.send();
    }

    /// Lets go of everything that the client has here, and gives up what is under way. Nothing is answered any more.
    pub fn end(&self) {
        let gone = {
            let mut state = lock(&self.0.state);
            let ended = State {
                ended: true,
                ..State::default()
            };
            std::mem::replace(&mut *state, ended)
        };
        // Nothing is locked: what a device does when it is let go of may come back here.
        drop(gone);
    }

    /// Whether the connection has ended.
    pub fn has_ended(&self) -> bool {
        lock(&self.0.state).ended
    }

    /// Takes one frame.
    fn take(&self, bytes: Vec<u8>) -> Result<(), WireError> {
        let shared = &self.0;
        let (tag, kind, on) = {
            let frame = Frame::read(&bytes, shared.sizes)?;
            if frame.tag == NO_TAG {
                return Err(WireError::Tag(frame.tag));
            }
            let request = Request::decode(frame)?;
            let kind = request.kind();
            let mut state = lock(&shared.state);
            if state.ended {
                return Ok(());
            }
            if state.tagged(frame.tag).is_some() {
                return Err(WireError::Tag(frame.tag));
            }
            match request {
                Request::Flush { tag } => {
                    let given_up = state.tagged(tag).and_then(|task| state.end(task));
                    drop(state);
                    drop(given_up);
                    shared.answer(Reply::Done.encode(kind, frame.tag));
                    return Ok(());
                }
                Request::Clunk { fids } => {
                    drop(state);
                    fids.into_iter().for_each(|fid| shared.clunk(fid));
                    shared.answer(Reply::Done.encode(kind, frame.tag));
                    return Ok(());
                }
                Request::Revoke { tree } => {
                    drop(state);
                    shared.trees.revoke(tree);
                    shared.answer(Reply::Done.encode(kind, frame.tag));
                    return Ok(());
                }
                _ => {}
            }
            let full = state.tasks.len() >= REQUESTS_MAX
                || state.bytes + bytes.len() > shared.sizes.msize();
            if full {
                drop(state);
                shared.answer(errno(frame.tag, Errno::Nobufs));
                return Ok(());
            }
            (frame.tag, kind, request.on())
        };
        let size = bytes.len();
        let work = perform(shared.clone(), bytes, kind, tag);
        let task = {
            let mut state = lock(&shared.state);
            state.last_task += 1;
            let number = state.last_task;
            let task = Task {
                tag,
                on,
                bytes: size,
                work: Some(Box::pin(work)),
                waker: shared.woken.waker(Whom::Task(number)),
            };
            state.begin(number, task);
            number
        };
        shared.poll(task);
        Ok(())
    }
}

#[cfg(test)]
impl Session {
    /// How many fids and requests it has.
    pub(crate) fn numbers(&self) -> (usize, usize) {
        let state = lock(&self.0.state);
        assert_eq!(state.tasks.len(), state.by_tag.len());
        (state.fids.len(), state.tasks.len())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

impl State {
    /// The request that has this tag.
    fn tagged(&self, tag: u16) -> Option<u64> {
        let mut tagged = self.by_tag.range((tag.into(), 0)..=(tag.into(), u64::MAX));
        tagged.next().map(|(_, task)| *task)
    }

    fn begin(&mut self, number: u64, task: Task) {
        self.bytes += task.bytes;
        if let Some(fid) = task.on {
            self.on_files.insert((fid, number));
        }
        self.by_tag.insert((task.tag.into(), number));
        self.tasks.insert(number, task);
    }

    fn end(&mut self, number: u64) -> Option<Task> {
        let task = self.tasks.remove(&number)?;
        self.bytes -= task.bytes;
        if let Some(fid) = task.on {
            self.on_files.remove(&(fid, number));
        }
        self.by_tag.remove(&(task.tag.into(), number));
        Some(task)
    }
}

impl Shared {
    /// Looks at the fids.
    pub fn fids<T>(&self, look: impl FnOnce(&mut Fids) -> T) -> T {
        look(&mut lock(&self.state).fids)
    }

    /// Polls a request, and answers it if it has ended. Nothing is locked meanwhile.
    fn poll(self: &Arc<Self>, task: u64) {
        let taken = {
            let mut state = lock(&self.state);
            let State { tasks, fids, .. } = &mut *state;
            tasks.get_mut(&task).and_then(|task| {
                let work = task.work.take()?;
                let file = task.on.and_then(|fid| {
                    let made = || self.woken.waker(Whom::File(fid));
                    Some(fids.file(fid)?.waker.get_or_init(made).clone())
                });
                Some((work, file.unwrap_or_else(|| task.waker.clone())))
            })
        };
        let Some((mut work, waker)) = taken else {
            return;
        };
        let outcome = work.as_mut().poll(&mut Context::from_waker(&waker));
        let mut state = lock(&self.state);
        match (outcome, state.tasks.get_mut(&task)) {
            (Poll::Pending, Some(under_way)) => under_way.work = Some(work),
            (Poll::Ready(answer), Some(_)) => {
                let ended = state.end(task);
                drop(state);
                drop((ended, work));
                self.answer(answer);
            }
            // Given up while it was polled.
            (_, None) => {
                drop(state);
                drop(work);
            }
        }
    }

    fn clunk(&self, fid: u32) {
        let (held, given_up) = {
            let mut state = lock(&self.state);
            // What goes on with a node goes on without its fid.
            let tasks: Vec<u64> = match state.fids.file(fid).is_some() {
                true => {
                    let on = state.on_files.range((fid, 0)..=(fid, u64::MAX));
                    on.map(|(_, task)| *task).collect()
                }
                false => Vec::new(),
            };
            let given_up = tasks.into_iter().filter_map(|task| state.end(task));
            let given_up: Vec<Task> = given_up.collect();
            (state.fids.remove(fid), given_up)
        };
        // Each was asked by the client itself, which has given up as well: but its tag waits for an answer.
        for task in &given_up {
            self.answer(errno(task.tag, Errno::Badf));
        }
        // Requests first: they may be about the file.
        drop(given_up);
        drop::<Option<Held>>(held);
    }

    /// Puts an answer to those that go out.
    fn answer(&self, frame: Vec<u8>) {
        let full = {
            let mut state = lock(&self.state);
            match state.ended {
                true => return,
                false if state.out.is_empty() => {
                    state.out = frame;
                    None
                }
                false if state.out.len() + frame.len() > READ_MAX + FRAME_HEAD => {
                    Some(std::mem::replace(&mut state.out, frame))
                }
                false => {
                    state.out.extend(frame);
                    None
                }
            }
        };
        if let Some(message) = full {
            // If the client is gone, nobody misses the answer.
            let _ = self.transport.send(message);
        }
    }

    /// Sends the answers that there are.
    fn send(&self) {
        let message = std::mem::take(&mut lock(&self.state).out);
        if !message.is_empty() {
            let _ = self.transport.send(message);
        }
    }
}
