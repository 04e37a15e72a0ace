//! What one side of a connection to a tree elsewhere says to the other. Whatever it is, it ends in answers or in the end of the connection,
//! and what was made for it is gone with that.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::testkit::{self, ManualClock};
use capfs::{
    DirEntry, Errno, FileKind, Name, NodeRef, Op, OpenHow, Qid, SYMLINK_TARGET_MAX, Stat, WriteAt,
    Written,
};
use capfs_remote::wire::{
    FRAME_HEAD, Frame, Kind, Opening, READ_MAX, Reply, Request, Sizes, Walked, first_frame,
};
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

    fn waiting(&self) -> usize {
        0
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
    let kept = root.clone();
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
            assert!(
                size <= FRAME_HEAD + 4 + READ_MAX,
                "an answer of {size} bytes"
            );
            rest = &rest[size..];
        }
    }
    let names = testkit::names_in(&kept).expect("it is still a tree");
    assert!(names.iter().all(|name| Name::new(name).is_ok()));
}

/// What an operation has come to, if it has.
fn outcome<T>(operation: &mut Op<T>) -> Option<T> {
    match operation {
        Op::Later(future) => {
            let polled = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Ready(outcome) => outcome.ok(),
                Poll::Pending => None,
            }
        }
        Op::Ready(_) => None,
    }
}

/// Requests of a client before it looks at an answer.
const FIRST: usize = 6;

/// Entries that are asked for.
const LISTED: usize = 3;

/// Bytes that are asked for.
const READ: usize = 5;

/// Returns how many answers came to something.
fn client(bytes: &[u8]) -> usize {
    let connection = Connection::new(Box::new(Sent::default()), SIZES, None);
    let root = connection.attach(0, FileKind::Directory, "");
    let root = root.expect("a connection that is new has numbers");
    let name = testkit::name("f");
    let how = OpenHow::default();
    let mut found = testkit::directory(&root).expect("it is one").walk(name);
    let mut created = testkit::edit(&root).expect("it is one").create(name, how);
    let read = OpenHow { read: true, ..how };
    let mut directory = match root.open(read) {
        Op::Ready(Ok(file)) => file,
        _ => return 0,
    };
    let entries = directory.entries().expect("it is a directory");
    let mut listing = entries.list(0, LISTED);
    let mut stat = root.stat();
    let mut told = 0;
    // As many answers as there are requests, and the rest when more was asked.
    let mut first = 0;
    for _ in 0..FIRST {
        first += first_frame(&bytes[first..], SIZES).unwrap_or(bytes.len() - first);
    }
    let (first, rest) = bytes.split_at(first);
    let taken = connection.receive(first);
    assert!(taken.is_ok() || connection.has_ended());
    if let Some(entries) = outcome(&mut listing) {
        told += 1;
        assert!(entries.len() <= LISTED);
        assert!(entries.iter().all(|entry| Name::new(&entry.name).is_ok()));
        let cookies: Vec<u64> = entries.iter().map(|entry| entry.cookie).collect();
        assert!(cookies.is_sorted_by(|one, next| one < next) && !cookies.contains(&0));
    }
    if let Some(stat) = outcome(&mut stat) {
        told += 1;
        assert!(i64::try_from(stat.size).is_ok());
    }
    let (found, created) = (outcome(&mut found), outcome(&mut created));
    told += usize::from(found.is_some()) + usize::from(created.is_some());
    let mut target = found.map(|found| found.read_link());
    let mut file = created.map(|created| created.file);
    let mut room = [0; READ + 1];
    for _ in 0..2 {
        let mut context = Context::from_waker(Waker::noop());
        if let Some(file) = &mut file {
            let written = file.poll_write(&mut context, WriteAt::End, &mut &b"x"[..]);
            if let Poll::Ready(Ok(written)) = written {
                told += 1;
                assert!(written.bytes <= 1 && i64::try_from(written.end).is_ok());
            }
            let count = file.poll_read(&mut context, 0, &mut &mut room[..READ]);
            if let Poll::Ready(Ok(count)) = count {
                told += 1;
                assert!(count <= READ);
            }
            assert_eq!(room[READ], 0);
        }
        let taken = connection.receive(rest);
        assert!(taken.is_ok() || connection.has_ended());
    }
    if let Some(target) = target.as_mut().and_then(outcome) {
        told += 1;
        assert!(target.len() <= SYMLINK_TARGET_MAX && !target.contains('\0'));
    }
    told
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
    // All that a client says, and, of answers, one to each of what the target asks, in the order of its tags.
    let file = Qid::new(1, FileKind::RegularFile);
    let opening = Opening {
        seekable: true,
        unfinished: false,
    };
    let entry = |name: &str, cookie| DirEntry {
        name: name.to_owned(),
        qid: file,
        cookie,
    };
    let stat = Stat {
        qid: file,
        nlink: 1,
        size: 7,
        atime: 0,
        mtime: 0,
        ctime: 0,
    };
    let walked = Reply::Walked(Walked {
        nodes: vec![(Qid::new(2, FileKind::SymbolicLink), false)],
        stopped: None,
    });
    let listed = Reply::Entries(vec![entry("f", 1), entry("g", 2)]);
    let end = Written { bytes: 1, end: 8 };
    let answers = [
        (0, Kind::Attach, Reply::Node(file, true)),
        (1, Kind::Walk, walked),
        (2, Kind::Create, Reply::Created(file, opening)),
        (3, Kind::Open, Reply::Opened(opening)),
        (4, Kind::ReadDir, listed),
        (5, Kind::GetAttr, Reply::Stat(stat)),
        // And to what it asks then: the numbers are used again.
        (0, Kind::ReadLink, Reply::Target("../f")),
        (1, Kind::Write, Reply::Written(end)),
        (2, Kind::Read, Reply::Data(b"12345")),
    ];
    let answers = answers.iter();
    let answers = answers.flat_map(|(tag, kind, reply)| reply.encode(*kind, *tag));
    vec![frames.concat(), frames[..4].concat(), answers.collect()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_seen_to_its_end() {
        let answers = &seeds()[2];
        assert_eq!(client(answers), 7, "each that somebody waits for");
    }
}
