//! The client's side of a connection: requests that were sent, and their answers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use capfs::Errno;
use js_sys::{Function, Uint8Array};
use wasm_bindgen::JsValue;

use super::numbers::Numbers;
use super::wire::{Code, Decoder, Encoder, SUBJECT};
use crate::wake;

/// Where an answer is put when it comes.
#[derive(Default)]
struct Slot {
    answer: Option<Vec<u8>>,
    /// Who is to be told, if it is not the kernel itself: that looks again after every message.
    waker: Option<Waker>,
}

/// The connection of this kernel to another; all trees that it has from there use it.
pub struct Connection {
    post: Function,
    lost: Cell<bool>,
    /// What has a number: a call that waits, with the place of its answer, or a node or an open file, with none.
    numbers: RefCell<Numbers<Option<Rc<RefCell<Slot>>>>>,
}

/// What a node or an open file is known by on the other side. Nothing else is given the number until this is dropped, which is to be after the
/// other side was told that it stands for nothing any more.
pub struct Number {
    connection: Rc<Connection>,
    value: u32,
}

impl Number {
    /// The number itself; 0 is nobody's.
    pub fn get(&self) -> u32 {
        self.value
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.connection.numbers.borrow_mut().remove(self.value);
    }
}

thread_local! {
    /// Those to peers that are there, by the peers' numbers. A peer that is gone has none, and its number may be another's then.
    static CONNECTIONS: RefCell<HashMap<u32, Rc<Connection>>> = RefCell::default();
}

/// The connection to a peer; made, with `post` to send requests by, when it is asked for first.
pub fn connection(peer: u32, post: Function) -> Rc<Connection> {
    CONNECTIONS.with_borrow_mut(|connections| {
        let made = || {
            Rc::new(Connection {
                post,
                lost: Cell::new(false),
                numbers: RefCell::default(),
            })
        };
        connections.entry(peer).or_insert_with(made).clone()
    })
}

/// Asks a peer to take away a tree that was made for this kernel.
pub fn revoke(peer: u32, tree: u32) {
    let known = CONNECTIONS.with_borrow(|all| all.get(&peer).cloned());
    if let Some(connection) = known {
        connection.tell(Code::Revoke, |request| request.u32(tree));
    }
}

/// Takes an answer of a peer.
pub fn answer(peer: u32, bytes: &[u8]) {
    let Some(connection) = CONNECTIONS.with_borrow(|all| all.get(&peer).cloned()) else {
        return;
    };
    let mut decoder = Decoder(bytes);
    let Ok(call) = decoder.u32() else {
        return;
    };
    // Nobody may wait any more: then the operation was given up.
    let slot = connection.waiting(call);
    if let Some(slot) = slot {
        put(&slot, decoder.0.to_vec());
    }
}

/// A peer is gone: whatever waits for it fails with `EIO`, and so does what is asked of its trees from now on. The connection stays for as
/// long as anything uses it, but nobody finds it any more.
pub fn lost(peer: u32) {
    let Some(connection) = CONNECTIONS.with_borrow_mut(|all| all.remove(&peer)) else {
        return;
    };
    connection.lost.set(true);
    let waiting = connection.numbers.borrow_mut().take();
    for slot in waiting.flatten() {
        put(&slot, failure());
    }
}

fn put(slot: &RefCell<Slot>, bytes: Vec<u8>) {
    let waker = {
        let mut slot = slot.borrow_mut();
        slot.answer = Some(bytes);
        slot.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What is answered in the place of a peer that is gone.
fn failure() -> Vec<u8> {
    Encoder::default().u32(Errno::Io.code().into()).finish()
}

/// An answer that has come, or will. Dropping it before gives the request up.
pub struct Answer {
    connection: Rc<Connection>,
    call: u32,
    slot: Rc<RefCell<Slot>>,
}

/// The results of a request, and the subject of its open file, if that has changed.
pub struct Results {
    pub outcome: Result<Vec<u8>, Errno>,
    pub subject: Option<String>,
}

impl Answer {
    /// Whether the answer is there.
    pub fn has_come(&self) -> bool {
        self.slot.borrow().answer.is_some()
    }

    /// Has the context woken when the answer comes.
    pub fn register(&self, context: &Context<'_>) {
        // What the kernel polls by itself it polls after every message.
        if !context.waker().will_wake(wake::waker()) {
            self.slot.borrow_mut().waker = Some(context.waker().clone());
        }
    }

    /// Waits for the results; the subject with them.
    pub fn poll_results(&mut self, context: &mut Context<'_>) -> Poll<Results> {
        let taken = self.slot.borrow_mut().answer.take();
        let Some(bytes) = taken else {
            self.register(context);
            return Poll::Pending;
        };
        Poll::Ready(results(&bytes).unwrap_or_else(|errno| Results {
            outcome: Err(errno),
            subject: None,
        }))
    }
}

fn results(bytes: &[u8]) -> Result<Results, Errno> {
    let mut decoder = Decoder(bytes);
    let status = decoder.u32()?;
    let subject = match status & SUBJECT {
        0 => None,
        _ => Some(decoder.text()?.to_owned()),
    };
    let code = status & !SUBJECT;
    let outcome = match u16::try_from(code).ok().and_then(Errno::from_code) {
        Some(errno) => Err(errno),
        None if code != 0 => Err(Errno::Proto),
        None => Ok(decoder.0.to_vec()),
    };
    Ok(Results { outcome, subject })
}

impl Future for Answer {
    type Output = Result<Vec<u8>, Errno>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_results(context).map(|results| results.outcome)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Still there: the other side works on it.
        let given_up = self.connection.waiting(self.call);
        if given_up.is_some() {
            self.connection
                .tell(Code::Flush, |request| request.u32(self.call));
        }
    }
}

impl Connection {
    /// A number for a node or an open file.
    pub fn number(self: &Rc<Self>) -> Number {
        let value = self.numbers.borrow_mut().give(None);
        Number {
            connection: self.clone(),
            value,
        }
    }

    /// Takes out where the answer to a call is put, if anybody waits for it. What isn't a call's number stays.
    fn waiting(&self, call: u32) -> Option<Rc<RefCell<Slot>>> {
        let mut numbers = self.numbers.borrow_mut();
        let slot = numbers.get_mut(call)?.take()?;
        numbers.remove(call);
        Some(slot)
    }

    fn post(&self, request: Vec<u8>) -> bool {
        let array = Uint8Array::from(request.as_slice());
        !self.lost.get() && self.post.call1(&JsValue::NULL, &array).is_ok()
    }

    /// Sends a request that is answered.
    pub fn call(self: &Rc<Self>, code: Code, fill: impl FnOnce(Encoder) -> Encoder) -> Answer {
        let slot = Rc::new(RefCell::new(Slot::default()));
        let call = self.numbers.borrow_mut().give(Some(slot.clone()));
        let request = fill(Encoder::default().u32(call).u8(code as u8)).finish();
        if !self.post(request) {
            // The other side is gone: say so instead of waiting for ever.
            self.waiting(call);
            slot.borrow_mut().answer = Some(failure());
        }
        Answer {
            connection: self.clone(),
            call,
            slot,
        }
    }

    /// Sends a request whose outcome shows in those that follow.
    pub fn tell(&self, code: Code, fill: impl FnOnce(Encoder) -> Encoder) {
        // If the other side is gone, it has let go of everything.
        self.post(fill(Encoder::default().u32(0).u8(code as u8)).finish());
    }
}
