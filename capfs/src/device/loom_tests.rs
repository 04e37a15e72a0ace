//! Wakers under every order in which threads can run: nobody who waits is forgotten.
//!
//! Loom takes the place of mutexes and atomics (see `sync`), tries the orders one after the other, and fails where all threads that are
//! left wait. `npm test -- --only loom` runs it; how much it tries is bounded there.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use loom::future::block_on;
use loom::thread;

use super::Device;
use super::gate::{Gate, REVOKED};
use super::lock::lock;
use super::pipe::{pipe, pipe_nodes};
use super::socket::listener;
use super::sync::Mutex;
use super::waiters::Waiters;
use crate::testkit::READ;
use crate::{
    Directory, Errno, FileKind, Interest, Name, Node, NodeRef, Op, OpenFile, OpenHow, Qid, SetStat,
    Stat, WriteAt,
};

fn read(file: &mut dyn OpenFile) -> Result<usize, Errno> {
    let mut bytes = [0; 4];
    block_on(poll_fn(|context| {
        file.poll_read(context, 0, &mut &mut bytes[..])
    }))
}

fn write(file: &mut dyn OpenFile, bytes: &[u8]) -> Result<usize, Errno> {
    let written = block_on(poll_fn(|context| {
        file.poll_write(context, WriteAt::End, &mut { bytes })
    }));
    written.map(|written| written.bytes)
}

fn opened(node: &NodeRef) -> Box<dyn OpenFile> {
    match node.open(READ) {
        Op::Ready(Ok(file)) => file,
        _ => panic!("a pipe is opened at once"),
    }
}

#[test]
fn a_reader_learns_of_what_was_written_and_of_the_end() {
    loom::model(|| {
        let (mut reader, mut writer) = pipe(4);
        let writing = thread::spawn(move || write(&mut writer, b"ab"));
        assert_eq!(read(&mut reader), Ok(2));
        assert_eq!(writing.join().unwrap(), Ok(2));
        assert_eq!(read(&mut reader), Ok(0));
    });
}

#[test]
fn a_writer_learns_of_room_and_of_the_last_reader() {
    loom::model(|| {
        let (mut reader, mut writer) = pipe(2);
        write(&mut writer, b"ab").unwrap();
        let reading = thread::spawn(move || read(&mut reader));
        let written = write(&mut writer, b"cd");
        assert!(matches!(written, Ok(2) | Err(Errno::Pipe)));
        assert_eq!(reading.join().unwrap(), Ok(2));
        assert_eq!(write(&mut writer, b"ef"), Err(Errno::Pipe));
    });
}

#[test]
fn whoever_waits_for_readiness_learns_of_it() {
    loom::model(|| {
        let (mut reader, mut writer) = pipe(4);
        let writing = thread::spawn(move || write(&mut writer, b"a"));
        let ready = poll_fn(|context| reader.poll_ready(context, Interest::Read));
        assert!(block_on(ready).is_ok());
        assert_eq!(writing.join().unwrap(), Ok(1));
    });
}

#[test]
fn whoever_waits_at_a_listener_gets_the_connection() {
    loom::model(|| {
        let (mut listener, connector) = listener(1, 4);
        let connecting = thread::spawn(move || connector.connect().is_ok());
        let accepted = block_on(poll_fn(|context| {
            let listener = listener.listener().expect("a listener");
            listener.poll_accept(context)
        }));
        assert!(accepted.is_ok());
        assert!(connecting.join().unwrap());
    });
}

/// An event that several requests wait for.
#[derive(Default)]
struct Event(Mutex<(bool, Waiters)>);

impl Event {
    fn poll(&self, file: u64, context: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if state.0 {
            return Poll::Ready(());
        }
        let crowded = state.1.register(file, context);
        drop(state);
        crowded.wake();
        Poll::Pending
    }

    fn happen(&self) {
        let mut state = lock(&self.0);
        state.0 = true;
        let woken = state.1.take();
        drop(state);
        woken.wake();
    }
}

#[test]
fn all_requests_are_woken_at_one_file_and_at_several() {
    for files in [[1, 1], [1, 2]] {
        loom::model(move || {
            let event = Arc::new(Event::default());
            let waiting = files.map(|file| {
                let event = event.clone();
                thread::spawn(move || block_on(poll_fn(|context| event.poll(file, context))))
            });
            event.happen();
            for waiting in waiting {
                waiting.join().unwrap();
            }
        });
    }
}

#[test]
fn a_read_ends_when_its_gate_is_shut() {
    loom::model(|| {
        let (node, writer) = pipe_nodes(4, &Device::unlimited());
        let (gate, node) = Gate::new(node, None);
        let mut file = opened(&node);
        let shutting = thread::spawn(move || gate.revoke());
        assert_eq!(read(&mut *file), Err(REVOKED));
        shutting.join().unwrap();
        drop(writer);
    });
}

/// A directory that never answers.
struct Mute;

impl Node for Mute {
    fn qid(&self) -> Qid {
        Qid::new(1, FileKind::Directory)
    }

    fn stat(&self) -> Op<Stat> {
        Op::later(std::future::pending())
    }

    fn open(&self, _how: OpenHow) -> Op<Box<dyn OpenFile>> {
        Op::later(std::future::pending())
    }

    fn set_stat(&self, _change: SetStat) -> Op<()> {
        Op::later(std::future::pending())
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Directory for Mute {
    fn walk(&self, _name: Name<'_>) -> Op<NodeRef> {
        Op::later(std::future::pending())
    }
}

#[test]
fn a_walk_and_a_stat_end_when_their_gate_is_shut() {
    loom::model(|| {
        let (gate, root) = Gate::new(Arc::new(Mute), None);
        let walking = {
            let root = root.clone();
            thread::spawn(move || {
                let directory = root.directory().expect("a directory");
                let walk = directory.walk(Name::new("name").expect("a name"));
                block_on(walk.wait()).err()
            })
        };
        let stat = root.stat();
        gate.revoke();
        assert_eq!(block_on(stat.wait()).err(), Some(REVOKED));
        assert_eq!(walking.join().unwrap(), Some(REVOKED));
    });
}
