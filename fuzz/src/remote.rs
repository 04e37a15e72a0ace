//! What one side of a connection to a tree elsewhere says to the other. Whatever it is, it ends in answers or in the end of the connection,
//! and what was made for it is gone with that.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::testkit::{self, ManualClock};
use capfs::{Errno, FileKind, NodeRef, Op, OpenHow, WriteAt};
use capfs_remote::wire::{Frame, Request, Sizes, first_frame};
use capfs_remote::{Connection, Ended, Session, Transport, Trees};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "remote",
    about: "requests to a tree that is elsewhere, and answers",
    run,
    seeds,
};

const SIZES: Sizes = Sizes::for_writes_of(1 << 16);

/// The messages that were sent.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<Vec<u8>>>>);

impl Transport for Sent {
    fn send(&self, message: Vec<u8>) -> Result<(), Ended> {
        self.0.lock().expect("no panic before").push(message);
        Ok(())
    }
}

/// One tree, with a file in it.
struct Tree(NodeRef);

impl Trees for Tree {
    fn attach(&self, tree: u32, _path: &str) -> Op<NodeRef> {
        match tree {
            0 => Op::ok(self.0.clone()),
            _ => Op::err(Errno::Noent),
        }
    }

    fn revoke(&self, _tree: u32) {}
}

fn run(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(size) = first_frame(rest, SIZES) {
        let (frame, behind) = rest.split_at(size);
        rest = behind;
        let frame = Frame::read(frame, SIZES).expect("it is as long as it says");
        if let Ok(request) = Request::decode(frame) {
            let again = request.encode(frame.tag);
            let again = Frame::read(&again, SIZES).and_then(Request::decode);
            assert_eq!(again.as_ref(), Ok(&request));
        }
    }
    server(bytes);
    client(bytes);
}

fn server(bytes: &[u8]) {
    let limits = MemoryLimits {
        bytes: 1 << 20,
        nodes: 1 << 10,
    };
    let root = MemoryFs::new(Arc::new(ManualClock::new(1)), limits).root();
    testkit::write(&root, "f", b"content").expect("there is room");
    let sent = Sent::default();
    let trees = Box::new(Tree(root));
    let waker = Waker::noop().clone();
    let session = Session::new(trees, Box::new(sent.clone()), SIZES, waker);
    let taken = session.receive(bytes.to_vec());
    assert_eq!(taken.is_err(), session.has_ended());
    for message in sent.0.lock().expect("no panic before").iter() {
        let mut rest = message.as_slice();
        while !rest.is_empty() {
            let size = first_frame(rest, SIZES).expect("answers are well-formed");
            rest = &rest[size..];
        }
    }
}

fn client(bytes: &[u8]) {
    let connection = Connection::new(Box::new(Sent::default()), SIZES, None);
    let root = connection.attach(0, FileKind::Directory, "");
    let root = root.expect("a connection that is new has numbers");
    let name = testkit::name("f");
    let how = OpenHow::default();
    let found = testkit::directory(&root).expect("it is one").walk(name);
    let created = testkit::edit(&root).expect("it is one").create(name, how);
    let taken = connection.receive(bytes);
    assert!(taken.is_ok() || connection.has_ended());
    let mut context = Context::from_waker(Waker::noop());
    if let Op::Later(mut found) = found {
        let _ = found.as_mut().poll(&mut context);
    }
    if let Op::Later(mut created) = created
        && let Poll::Ready(Ok(mut opened)) = created.as_mut().poll(&mut context)
    {
        let at = WriteAt::End;
        let _ = opened.file.poll_write(&mut context, at, &mut &b"x"[..]);
        let _ = connection.receive(bytes);
        let _ = opened.file.poll_write(&mut context, at, &mut &b"x"[..]);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let how = OpenHow {
        read: true,
        write: true,
        truncate: false,
    };
    let (tree, path, fid) = (0, "", 0);
    let requests = [
        Request::Attach { new: 0, tree, path },
        Request::Walk {
            fid,
            steps: vec![(1, "f"), (2, "g")],
        },
        Request::Create {
            fid,
            name: "new",
            new_node: 3,
            new_file: 4,
            how,
        },
        Request::Write {
            fid: 4,
            at: WriteAt::End,
            data: b"some bytes",
        },
        Request::Read {
            fid: 4,
            offset: 0,
            count: 100,
        },
        Request::Open { fid, new: 5, how },
        Request::ReadDir {
            fid: 5,
            cookie: 0,
            count: 10,
        },
        Request::Rename {
            fid,
            name: "new",
            to: fid,
            to_name: "old",
        },
        Request::Flush { tag: 3 },
        Request::Clunk { fids: vec![1, 4] },
    ];
    let frames = requests.iter().enumerate();
    let frames: Vec<Vec<u8>> = frames
        .map(|(tag, request)| request.encode(tag as u16))
        .collect();
    // All that a client says, and, of answers, one to each of what the target asks.
    let walked = [
        &[29, 0, 0, 0, 111, 1, 0, 0, 0, 0, 0, 1, 0, 4][..],
        &[0; 13],
        &[0; 2],
    ];
    let created = [&[21, 0, 0, 0, 15, 2, 0, 4][..], &[0; 12], &[1]];
    let answers = [&[7, 0, 0, 0, 105, 0, 0][..]];
    let answers = answers.iter().chain(&walked).chain(&created);
    vec![
        frames.concat(),
        frames[..4].concat(),
        answers.copied().collect::<Vec<&[u8]>>().concat(),
    ]
}
