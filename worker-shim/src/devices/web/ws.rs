//! WebSockets by the browser's `WebSocket`.
//!
//! A browser takes whatever comes and says nothing of when what was sent has gone, so both sides are bounded here: messages
//! that nobody reads end the connection, and writers look again, by a timer, whether there is room.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use capfs::{BoxedFuture, Errno, GuestSink};
use capfs_devices::address::Addresses;
use capfs_devices::ws::host::{
    Connect, Connected, Connector, Events, Failure, Hold, Host, Kind, Message, Payload, Socket,
    Status,
};
use capfs_devices::ws::inbox::Inbox;
use capfs_devices::ws::{LINGER, RECEIVE_MAX, SEND_WINDOW};
use js_sys::{ArrayBuffer, Function, JsString, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::fetch::failure;
use super::network::{Network, in_node};
use super::outside::Web;
use super::timer;

#[wasm_bindgen]
extern "C" {
    type WebSocket;
    #[wasm_bindgen(constructor, catch)]
    fn new(url: &str, protocols: Vec<String>) -> Result<WebSocket, JsValue>;
    #[wasm_bindgen(method, setter, js_name = binaryType)]
    fn set_binary_type(this: &WebSocket, kind: &str);
    #[wasm_bindgen(method, getter)]
    fn protocol(this: &WebSocket) -> String;
    #[wasm_bindgen(method, getter, js_name = bufferedAmount)]
    fn buffered_amount(this: &WebSocket) -> f64;
    #[wasm_bindgen(method, catch, js_name = send)]
    fn send_text(this: &WebSocket, text: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = send)]
    fn send_bytes(this: &WebSocket, bytes: &Uint8Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &WebSocket, code: u16, reason: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, setter, js_name = onopen)]
    fn set_onopen(this: &WebSocket, handler: Option<&Function>);
    #[wasm_bindgen(method, setter, js_name = onmessage)]
    fn set_onmessage(this: &WebSocket, handler: Option<&Function>);
    #[wasm_bindgen(method, setter, js_name = onclose)]
    fn set_onclose(this: &WebSocket, handler: Option<&Function>);

    type MessageEvent;
    #[wasm_bindgen(method, getter)]
    fn data(this: &MessageEvent) -> JsValue;

    type CloseEvent;
    #[wasm_bindgen(method, getter)]
    fn code(this: &CloseEvent) -> u16;
    #[wasm_bindgen(method, getter)]
    fn reason(this: &CloseEvent) -> String;
    #[wasm_bindgen(method, getter, js_name = wasClean)]
    fn was_clean(this: &CloseEvent) -> bool;
}

/// What the server is told when a message is over the limit, or nobody reads: a page can't say 1009.
const TOO_MUCH: u16 = 4009;

/// Milliseconds between two looks at whether there is room to send.
const LOOK_EVERY: u64 = 5;

/// Bytes that are copied at once from JavaScript's memory on their way to the agent's.
const COPY: usize = 64 << 10;

impl Host for Web {
    /// A page doesn't see addresses; its browser keeps it from those that are not for it. Node does.
    fn connector(&self, addresses: Arc<dyn Addresses>) -> Arc<dyn Connector> {
        Arc::new(WebConnector(in_node().then(|| Network::new(addresses))))
    }

    fn adds_headers(&self) -> bool {
        false
    }

    fn receives(&self) -> usize {
        RECEIVE_MAX
    }
}

struct WebConnector(Option<Network>);

impl Connector for WebConnector {
    fn connect(&self, wanted: Connect) -> BoxedFuture<Result<Connected, Failure>> {
        Box::pin(connect(self.0.clone(), wanted))
    }
}

async fn connect(network: Option<Network>, wanted: Connect) -> Result<Connected, Failure> {
    if let Some(network) = network {
        // Before the socket looks the name up again: it can't be told which address to take.
        let checked = network.check(&wanted.url.href);
        let checked = checked.map_err(|error| failure(&error))?;
        let checked = JsFuture::from(checked).await;
        checked.map_err(|error| failure(&error))?;
    }
    let origin = &wanted.url.origin;
    let remote = format!("{}!{}", origin.host, origin.port);
    let opened = WebSocket::new(&wanted.url.href, wanted.protocols);
    let socket = opened.map_err(|_| {
        let text = "the browser does not let this page connect there";
        Failure::new(Errno::Acces, text)
    })?;
    // Charged, and counted, until the browser says that the connection is closed.
    let hold = Hold::new((wanted.hold, wanted.charge));
    let link = Link::new(socket, wanted.max_message, wanted.events, hold);
    let state = link.0.clone();
    poll_fn(|context| {
        *state.opener.borrow_mut() = Some(context.waker().clone());
        match (state.opened.get(), &*state.status.borrow()) {
            (true, _) => Poll::Ready(Ok(())),
            (false, Status::Open | Status::Closing) => Poll::Pending,
            // A browser tells no more.
            (false, _) => Poll::Ready(Err(Failure::new(
                Errno::Io,
                "the connection could not be made",
            ))),
        }
    })
    .await?;
    Ok(Connected {
        protocol: state.socket.protocol(),
        local: String::new(),
        remote,
        socket: Arc::new(link),
    })
}

struct State {
    socket: WebSocket,
    opened: Cell<bool>,
    opener: RefCell<Option<Waker>>,
    status: RefCell<Status>,
    inbox: RefCell<Inbox>,
    events: Arc<dyn Events>,
    max_message: usize,
    /// Somebody looks whether there is room.
    looking: Cell<bool>,
    /// Kept until the browser says that the connection is closed.
    hold: RefCell<Option<Hold>>,
}

impl State {
    fn opened(&self) {
        self.opened.set(true);
        self.tell_opener();
    }

    fn tell_opener(&self) {
        let opener = self.opener.borrow_mut().take();
        if let Some(opener) = opener {
            opener.wake();
        }
    }

    fn came(&self, data: &JsValue) {
        if *self.status.borrow() != Status::Open {
            return;
        }
        let message = match data.dyn_ref::<JsString>() {
            // A string has at least a third as many units as it has bytes.
            Some(text) if text.length() as usize > self.max_message => None,
            Some(text) => Some(Message {
                kind: Kind::Text,
                payload: Box::new(Text(String::from(text).into_bytes())),
            }),
            None => Some(Message {
                kind: Kind::Binary,
                payload: Box::new(Binary::new(data)),
            }),
        };
        let message = message.filter(|message| message.payload.length() <= self.max_message);
        let failure = match message {
            None => {
                let text = format!("a message of more than {} bytes came", self.max_message);
                Some(Failure::new(Errno::Msgsize, text))
            }
            Some(message) => {
                let mut inbox = self.inbox.borrow_mut();
                inbox.push(message);
                let text = "messages came faster than they were read";
                inbox.is_full().then(|| Failure::new(Errno::Nobufs, text))
            }
        };
        if let Some(failure) = failure {
            let _ = self.socket.close(TOO_MUCH, &failure.text);
            *self.status.borrow_mut() = Status::Failed(failure);
        }
        self.events.changed();
    }

    fn closed(&self, event: &CloseEvent) {
        // Whoever hears of the end may connect again at once.
        drop(self.hold.take());
        {
            let mut status = self.status.borrow_mut();
            if let Status::Open | Status::Closing = *status {
                *status = match event.was_clean() {
                    true => Status::Closed {
                        code: event.code(),
                        reason: event.reason(),
                    },
                    false => Status::Failed(Failure::new(
                        Errno::Connreset,
                        "the connection was broken off",
                    )),
                };
            }
        }
        self.tell_opener();
        self.events.changed();
    }

    /// The other side has had its time to answer a close. The connection counts until the browser lets go of it.
    fn lingered(&self) {
        {
            let mut status = self.status.borrow_mut();
            if *status != Status::Closing {
                return;
            }
            let text = "the other side does not let the connection be closed";
            *status = Status::Failed(Failure::new(Errno::Timedout, text));
        }
        self.events.changed();
    }

    fn has_room(&self) -> bool {
        self.socket.buffered_amount() < SEND_WINDOW as f64
    }
}

/// The agent's end, and what JavaScript calls while it lives.
struct Link(Rc<State>, [Closure<dyn FnMut(JsValue)>; 3]);

impl Link {
    fn new(socket: WebSocket, max_message: usize, events: Arc<dyn Events>, hold: Hold) -> Link {
        socket.set_binary_type("arraybuffer");
        let state = Rc::new(State {
            socket,
            opened: Cell::new(false),
            opener: RefCell::default(),
            status: RefCell::new(Status::Open),
            inbox: RefCell::new(Inbox::new(RECEIVE_MAX)),
            events,
            max_message,
            looking: Cell::new(false),
            hold: RefCell::new(Some(hold)),
        });
        let handler = |act: fn(&State, JsValue)| {
            let state = state.clone();
            Closure::new(move |event: JsValue| act(&state, event))
        };
        let handlers = [
            handler(|state, _| state.opened()),
            handler(|state, event| state.came(&event.unchecked_into::<MessageEvent>().data())),
            handler(|state, event| state.closed(event.unchecked_ref())),
        ];
        let function = |at: usize| Some(handlers[at].as_ref().unchecked_ref());
        state.socket.set_onopen(function(0));
        state.socket.set_onmessage(function(1));
        state.socket.set_onclose(function(2));
        Link(state, handlers)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Nobody hears of its end from now on, so this is the end for whoever looks whether there is room: what a socket had to send when
        // it was closed counts as buffered for ever.
        self.0.status.replace(Status::Closed {
            code: 1000,
            reason: String::new(),
        });
        // Before the closures go.
        self.0.socket.set_onopen(None);
        self.0.socket.set_onmessage(None);
        // The connection counts until it is closed. How long that may take is the browser's affair.
        match self.0.hold.take() {
            Some(hold) => {
                let closed = Closure::once_into_js(move || drop(hold));
                self.0.socket.set_onclose(Some(closed.unchecked_ref()));
            }
            None => self.0.socket.set_onclose(None),
        }
        let _ = self.0.socket.close(1000, "");
        let _ = &self.1;
    }
}

impl Socket for Link {
    fn receive(&self) -> Option<Message> {
        self.0.inbox.borrow_mut().pop()
    }

    fn waiting(&self) -> Option<usize> {
        self.0.inbox.borrow().waiting()
    }

    fn has_room(&self) -> bool {
        let room = self.0.has_room();
        if !room && !self.0.looking.replace(true) {
            let state = self.0.clone();
            spawn_local(async move {
                while !state.has_room() && *state.status.borrow() == Status::Open {
                    timer::sleep(LOOK_EVERY).await;
                }
                state.looking.set(false);
                state.events.changed();
            });
        }
        room
    }

    fn send(&self, kind: Kind, message: Vec<u8>) -> Result<(), Failure> {
        let closed = || Failure::new(Errno::Pipe, "closed");
        if *self.0.status.borrow() != Status::Open {
            return Err(closed());
        }
        let sent = match kind {
            Kind::Text => {
                let text = String::from_utf8(message);
                let text = text.map_err(|error| Failure::new(Errno::Ilseq, error.to_string()))?;
                self.0.socket.send_text(&text)
            }
            Kind::Binary => self.0.socket.send_bytes(&Uint8Array::from(&*message)),
        };
        sent.map_err(|_| closed())
    }

    fn close(&self, code: u16, reason: &str) {
        {
            let mut status = self.0.status.borrow_mut();
            if *status != Status::Open {
                return;
            }
            *status = Status::Closing;
        }
        // What was sent goes first, as the standard says.
        let _ = self.0.socket.close(code, reason);
        // A browser waits for the other side for a minute, or as long as it likes: the agent needn't.
        let state = self.0.clone();
        spawn_local(async move {
            timer::sleep(LINGER).await;
            state.lingered();
        });
    }

    fn status(&self) -> Status {
        self.0.status.borrow().clone()
    }
}

/// A text, as UTF-8.
struct Text(Vec<u8>);

impl Payload for Text {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn put(&self, at: usize, sink: &mut dyn GuestSink) -> usize {
        sink.put(&self.0[at..])
    }
}

/// Bytes in JavaScript's memory.
struct Binary {
    bytes: Uint8Array,
    length: usize,
}

impl Binary {
    fn new(data: &JsValue) -> Binary {
        let bytes = Uint8Array::new(data.unchecked_ref::<ArrayBuffer>());
        Binary {
            length: bytes.length() as usize,
            bytes,
        }
    }
}

impl Payload for Binary {
    fn length(&self) -> usize {
        self.length
    }

    fn put(&self, at: usize, sink: &mut dyn GuestSink) -> usize {
        let count = (self.length - at).min(sink.remaining());
        let mut copy = vec![0; count.min(COPY)];
        let mut done = 0;
        while done < count {
            let part = (count - done).min(COPY);
            let from = (at + done) as u32;
            let copy = &mut copy[..part];
            self.bytes.subarray(from, from + part as u32).copy_to(copy);
            let put = sink.put(copy);
            done += put;
            if put < part {
                break;
            }
        }
        done
    }
}
