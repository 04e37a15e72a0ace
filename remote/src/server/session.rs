//! One client's connection.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use capfs::account::{Account, Charge, Holding};
use capfs::device::parts::lock;
use capfs::{BoxedFuture, Errno};

use super::Trees;
use super::fids::{Fids, Held};
use super::perform::perform;
use super::woken::{Whom, Woken};
use crate::transport::Transport;
use crate::wire::{
    ANSWERS_MAX, FRAME_HEAD, Frame, NO_TAG, READ_MAX, REQUESTS_MAX, Reply, Request, Sizes,
    WireError, errno, first_frame,
};

/// Bytes of answers that wait to be taken by the client, at most, for a request of it to be taken.
const WAITING_MAX: usize = 4 << 20;

/// Whether what is asked for is kept at all. The ports of a kernel can't know what waits, so that its code needs none of it.
const KEEPS: bool = !cfg!(target_family = "wasm");

/// What one client has here: its fids, and its requests under way. Dropping it lets go of everything.
///
/// Messages have an order, so that [`receive`](Session::receive) is for one caller at a time. All else may be called beside it, by other threads and by
/// whatever it calls itself.
pub struct Session(Arc<Shared>);

pub(super) struct Shared {
    transport: Box<dyn Transport>,
    pub trees: Box<dyn Trees>,
    pub sizes: Sizes,
    woken: Arc<Woken>,
    /// Answers to the requests under way.
    answers: Account,
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
    /// What has come while too many answers waited, in its order.
    held: VecDeque<Vec<u8>>,
    /// Bytes of it.
    held_bytes: usize,
    /// Somebody takes of it.
    taking: bool,
}

/// A request under way.
struct Task {
    tag: u16,
    /// The fid that it is about: letting go of an open file gives it up.
    on: Option<u32>,
    bytes: usize,
    /// What its answer may take.
    _answer: Charge,
    /// Taken out while it is polled.
    work: Option<BoxedFuture<Vec<u8>>>,
    /// It was woken while it was polled.
    woken: bool,
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
            answers: Account::new(ANSWERS_MAX as u64),
            state: Mutex::default(),
        }))
    }

    /// The message that ends the connection of a client that is not known, by `ESTALE`.
    pub fn refusal() -> Vec<u8> {
        errno(NO_TAG, Errno::Stale)
    }

    /// Takes a message of the client. What it asks for is answered now, or from [`Session::advance`]. While too many answers wait to be taken by the
    /// client ([`Transport::waiting`]), what it asks for is kept, and done later in its order.
    ///
    /// # Errors
    /// What is wrong with it, also if more is kept than may be under way. Then the connection has ended, the client is told so, and everything of it is let go of.
    pub fn receive(&self, message: Vec<u8>) -> Result<(), WireError> {
        let free = !KEEPS || {
            let state = lock(&self.0.state);
            state.held.is_empty() && !state.taking
        };
        let taken = match free {
            true => self.take_all(message),
            false => self
                .hold(message, VecDeque::push_back)
                .and_then(|()| self.take_held()),
        };
        self.taken(taken)
    }

    /// Ends the connection if what was taken was wrong, and sends the answers that there are.
    fn taken(&self, taken: Result<(), WireError>) -> Result<(), WireError> {
        if taken.is_err() && !self.has_ended() {
            self.end();
            let _ = self.0.transport.send(errno(NO_TAG, Errno::Proto));
        }
        self.0.send();
        taken
    }

    /// Takes the frames of a message, and keeps what is left when too many answers wait.
    fn take_all(&self, message: Vec<u8>) -> Result<(), WireError> {
        let (mut message, mut at) = (message, 0);
        while at < message.len() {
            if KEEPS && self.0.is_full() {
                return self.hold(message.split_off(at), VecDeque::push_front);
            }
            let from = at;
            at += first_frame(&message[at..], self.0.sizes)?;
            match from == 0 && at == message.len() {
                // Mostly there is one, and then it is not copied.
                true => self.take(std::mem::take(&mut message))?,
                false => self.take(message[from..at].to_vec())?,
            }
        }
        Ok(())
    }

    /// Keeps a message until there is room for its answers.
    fn hold(
        &self,
        message: Vec<u8>,
        place: fn(&mut VecDeque<Vec<u8>>, Vec<u8>),
    ) -> Result<(), WireError> {
        let mut state = lock(&self.0.state);
        if state.ended {
            return Ok(());
        }
        let size = state.held_bytes + message.len();
        let most = self.0.sizes.msize();
        if size > most {
            return Err(WireError::TooLong { size, most });
        }
        state.held_bytes = size;
        place(&mut state.held, message);
        Ok(())
    }

    /// Takes what was kept, as long as there is room.
    fn take_held(&self) -> Result<(), WireError> {
        while !self.0.is_full() {
            let next = {
                let mut state = lock(&self.0.state);
                if state.taking {
                    // Whoever does looks again.
                    break;
                }
                let next = state.held.pop_front();
                state.held_bytes -= next.as_ref().map_or(0, Vec::len);
                state.taking = next.is_some();
                next
            };
            let Some(message) = next else {
                break;
            };
            let taken = self.take_all(message);
            lock(&self.0.state).taking = false;
            taken?;
        }
        Ok(())
    }

    /// Goes on with the requests that were woken, and with those that there is room for now.
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
        let taken = match KEEPS {
            true => self.take_held(),
            false => Ok(()),
        };
        // The client is told.
        let _ = self.taken(taken);
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
        let (tag, kind, on, answer) = {
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
            drop(state);
            let answer = shared
                .answers
                .charge(Holding::Transfers, request.asked().room());
            let (Ok(answer), false) = (answer, full) else {
                shared.answer(errno(frame.tag, Errno::Nobufs));
                return Ok(());
            };
            (frame.tag, kind, request.on(), answer)
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
                _answer: answer,
                work: Some(Box::pin(work)),
                woken: false,
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

/// Ends looking at the state, and wakes whoever waited for what has changed.
fn unlock(mut state: MutexGuard<'_, State>) {
    let woken = std::mem::take(&mut state.fids.woken);
    drop(state);
    // Nothing is locked: who is woken may come back here.
    woken.into_iter().for_each(Waker::wake);
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
        let mut state = lock(&self.state);
        let seen = look(&mut state.fids);
        unlock(state);
        seen
    }

    /// Too many answers wait to be taken by the client.
    fn is_full(&self) -> bool {
        let out = lock(&self.state).out.len();
        // Nothing is locked: it may come back here.
        out + self.transport.waiting() > WAITING_MAX
    }

    /// Polls a request, and answers it if it has ended. Nothing is locked meanwhile.
    fn poll(self: &Arc<Self>, task: u64) {
        loop {
            let taken = {
                let mut state = lock(&self.state);
                let State { tasks, fids, .. } = &mut *state;
                tasks.get_mut(&task).and_then(|task| {
                    let Some(work) = task.work.take() else {
                        // Whoever polls it now does so again: it may have seen nothing of what it was woken for.
                        task.woken = true;
                        return None;
                    };
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
                (Poll::Pending, Some(under_way)) => {
                    under_way.work = Some(work);
                    if !std::mem::take(&mut under_way.woken) {
                        return;
                    }
                }
                (Poll::Ready(answer), Some(_)) => {
                    let ended = state.end(task);
                    drop(state);
                    drop((ended, work));
                    return self.answer(answer);
                }
                // Given up while it was polled.
                (_, None) => {
                    drop(state);
                    return drop(work);
                }
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
            let held = state.fids.remove(fid);
            unlock(state);
            (held, given_up)
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
