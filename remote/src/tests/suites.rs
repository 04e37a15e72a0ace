//! The conformance suites of devices, over a connection whose two sides are on two threads.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};

use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::parts::lock;
use capfs::testkit::{self, ManualClock, late};
use capfs::{FileKind, NodeRef};

use super::{Roots, SIZES, memory};
use crate::{Connection, Ended, Session, Transport};

enum Event {
    Message(Vec<u8>),
    Woken,
    End,
}

/// Hands a message to the server's thread.
struct Up(Mutex<Sender<Event>>);

impl Transport for Up {
    fn send(&self, message: Vec<u8>) -> Result<(), Ended> {
        let sent = lock(&self.0).send(Event::Message(message));
        sent.map_err(|_| Ended)
    }

    fn waiting(&self) -> usize {
        0
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // The thread may have ended.
        let _ = lock(&self.0).send(Event::End);
    }
}

/// Hands a message to the client where it is.
struct Down(Arc<Mutex<Weak<Connection>>>);

impl Transport for Down {
    fn send(&self, message: Vec<u8>) -> Result<(), Ended> {
        let client = lock(&self.0).upgrade().ok_or(Ended)?;
        client.receive(&message).map_err(|_| Ended)
    }

    fn waiting(&self) -> usize {
        0
    }
}

/// Has the server's thread look at what was woken.
struct Look(Mutex<Sender<Event>>);

impl Wake for Look {
    fn wake(self: Arc<Self>) {
        // The thread may have ended.
        let _ = lock(&self.0).send(Event::Woken);
    }
}

/// The tree, as it is seen over a connection. The server's thread ends when nobody uses it any more.
fn remote(root: NodeRef) -> NodeRef {
    let (events, received): (Sender<Event>, Receiver<Event>) = channel();
    let client = Arc::new(Mutex::new(Weak::new()));
    let look = Arc::new(Look(Mutex::new(events.clone())));
    let roots = Roots {
        all: vec![root],
        ..Roots::default()
    };
    let (trees, down) = (Box::new(roots), Box::new(Down(client.clone())));
    let session = Session::new(trees, down, SIZES, Waker::from(look));
    let back = client;
    std::thread::spawn(move || {
        for event in received {
            match event {
                Event::Message(message) => assert_eq!(session.receive(message), Ok(())),
                Event::Woken => session.advance(),
                Event::End => break,
            }
        }
    });
    let connection = Connection::new(Box::new(Up(Mutex::new(events))), SIZES, None);
    *lock(&back) = Arc::downgrade(&connection);
    let root = connection.attach(0, FileKind::Directory, "");
    root.expect("a connection that is new has numbers")
}

#[test]
fn a_tree_elsewhere_is_as_good_as_one_here() {
    testkit::writable(|| remote(memory()));
}

#[test]
fn so_is_one_that_is_late_there() {
    testkit::writable(|| remote(late(&memory())));
}

#[test]
fn a_tree_elsewhere_of_a_tree_elsewhere_too() {
    testkit::writable(|| remote(remote(memory())));
}

#[test]
fn what_has_no_room_says_so() {
    let limits = MemoryLimits {
        bytes: 1 << 16,
        ..MemoryLimits::default()
    };
    let clock = Arc::new(ManualClock::new(1));
    testkit::refuses(
        || remote(MemoryFs::new(clock.clone(), limits).root()),
        1 << 17,
    );
}
