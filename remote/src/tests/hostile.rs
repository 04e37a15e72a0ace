//! A side that does not keep to the protocol.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use capfs::testkit::READ;
use capfs::{DirEntry, Errno, FileKind, NAME_MAX, NodeRef, Op, OpenFile, Qid, Stat, Written};

use super::{Queue, SIZES, frames};
use crate::Connection;
use crate::wire::{ANSWERS_MAX, Asked, Frame, Kind, READ_MAX, Reply, Request, WireError, subject};

fn poll<T>(op: &mut Op<T>) -> Poll<Result<T, Errno>> {
    let mut context = Context::from_waker(Waker::noop());
    match op {
        Op::Later(future) => future.as_mut().poll(&mut context),
        Op::Ready(_) => panic!("nothing was asked"),
    }
}

fn read(file: &mut dyn OpenFile, room: usize) -> Poll<Result<usize, Errno>> {
    let mut context = Context::from_waker(Waker::noop());
    file.poll_read(&mut context, 0, &mut &mut vec![0; room][..])
}

/// A client whose server the test is.
struct Client {
    connection: Arc<Connection>,
    up: Queue,
}

impl Client {
    fn new() -> Client {
        let up = Queue::default();
        let connection = Connection::new(Box::new(up.clone()), SIZES, None);
        Client { connection, up }
    }

    fn root(&self, kind: FileKind) -> NodeRef {
        self.connection.attach(0, kind, "").unwrap()
    }

    /// The requests that it has sent, with their tags.
    fn asked(&self) -> Vec<(u16, Asked)> {
        let mut asked = Vec::new();
        while let Some(message) = self.up.next() {
            let frames = frames(&message).unwrap();
            let frames = frames.into_iter();
            asked.extend(frames.map(|frame| (frame.tag, Request::decode(frame).unwrap().asked())));
        }
        asked
    }

    /// Answers what it asks for next, after what it asks to be made.
    fn answer(&self, kind: Kind, reply: &Reply<'_>) -> Result<(), WireError> {
        for (tag, asked) in self.asked() {
            let reply = match (asked.kind, reply) {
                (asked, reply) if asked == kind => reply,
                (Kind::Open, _) => OPENED,
                _ => NODE,
            };
            self.connection.receive(&reply.encode(asked.kind, tag))?;
        }
        Ok(())
    }

    /// An open stream.
    fn stream(&self, root: &NodeRef) -> Box<dyn OpenFile> {
        let mut opening = root.open(READ);
        assert!(poll(&mut opening).is_pending());
        self.answer(Kind::Open, OPENED).unwrap();
        let Poll::Ready(Ok(file)) = poll(&mut opening) else {
            panic!("it was opened");
        };
        file
    }
}

const OPENED: &Reply<'static> = &Reply::Opened(crate::wire::Opening {
    seekable: false,
    unfinished: false,
});

const NODE: &Reply<'static> = &Reply::Node(Qid::new(1, FileKind::Directory), true);

fn entry(name: &str, cookie: u64) -> DirEntry {
    DirEntry {
        name: name.to_owned(),
        qid: Qid::new(cookie, FileKind::RegularFile),
        cookie,
    }
}

fn listed(entries: Vec<DirEntry>) -> (Result<(), WireError>, Result<usize, Errno>) {
    let client = Client::new();
    let mut file = match client.root(FileKind::Directory).open(READ) {
        Op::Ready(file) => file.unwrap(),
        Op::Later(_) => panic!("opening a directory does not wait"),
    };
    let mut listing = file.entries().unwrap().list(5, 3);
    assert!(poll(&mut listing).is_pending());
    let taken = client.answer(Kind::ReadDir, &Reply::Entries(entries));
    let Poll::Ready(entries) = poll(&mut listing) else {
        panic!("it was answered");
    };
    (taken, entries.map(|entries| entries.len()))
}

#[test]
fn a_listing_has_names_of_files_and_cookies_that_ascend() {
    let most = "n".repeat(NAME_MAX);
    let good = vec![entry("a", 6), entry(&most, 7), entry("\u{1b}[31m", 9)];
    assert_eq!(listed(good), (Ok(()), Ok(3)));
    let long = "n".repeat(NAME_MAX + 1);
    let longest = "n".repeat(60_000);
    let names = ["../../../etc/passwd", "/abs", "a/b", "", "..", ".", "x\0y"];
    for name in names.into_iter().chain([&*long, &*longest]) {
        let wrong = Err(WireError::Value("a name that no file has"));
        let outcome = listed(vec![entry("a", 6), entry(name, 7)]);
        assert!(outcome == (wrong, Err(Errno::Proto)), "{name:.20}");
    }
    for cookies in [[5, 6], [0, 6], [7, 7], [u64::MAX, 0]] {
        let wrong = Err(WireError::Value("cookies that don't ascend"));
        let entries = cookies.map(|cookie| entry("a", cookie)).to_vec();
        assert_eq!(listed(entries), (wrong, Err(Errno::Proto)), "{cookies:?}");
    }
    let four = (6..10).map(|cookie| entry("a", cookie)).collect();
    let wrong = Err(WireError::Value("more than was asked for"));
    assert_eq!(listed(four), (wrong, Err(Errno::Proto)));
}

#[test]
fn nothing_is_answered_that_no_tree_has() {
    let stat = |size| {
        Reply::Stat(Stat {
            qid: Qid::new(1, FileKind::RegularFile),
            nlink: 1,
            size,
            atime: 0,
            mtime: 0,
            ctime: 0,
        })
    };
    let written = |bytes, end| Reply::Written(Written { bytes, end });
    let walked = |count| {
        Reply::Walked(crate::wire::Walked {
            nodes: vec![(Qid::new(1, FileKind::Directory), true); count],
            stopped: None,
        })
    };
    let long = "t".repeat(4097);
    for (kind, good, bad) in [
        (Kind::GetAttr, stat(i64::MAX as u64), stat(1 << 63)),
        (Kind::Write, written(3, 0), written(4, 0)),
        (Kind::Write, written(3, 3), written(3, 1 << 63)),
        (Kind::Read, Reply::Data(b"123"), Reply::Data(b"1234")),
        (Kind::Walk, walked(3), walked(4)),
        (
            Kind::ReadLink,
            Reply::Target(&long[1..]),
            Reply::Target(&long),
        ),
        (Kind::ReadLink, Reply::Target("a"), Reply::Target("a\0b")),
    ] {
        let asked = Asked {
            kind,
            most: 3,
            behind: 0,
        };
        let decoded = |reply: &Reply<'_>| {
            let bytes = reply.encode(kind, 1);
            let frame = Frame::read(&bytes, SIZES).unwrap();
            Reply::decode(frame, asked).map(|_| ())
        };
        assert_eq!(decoded(&good), Ok(()), "{kind:?}");
        assert!(decoded(&bad).is_err(), "{kind:?}");
    }
    // A kind of file that there is not.
    let mut bytes = stat(1).encode(Kind::GetAttr, 1);
    bytes[7] = 8;
    let frame = Frame::read(&bytes, SIZES).unwrap();
    let stat = super::wire::all(Kind::GetAttr);
    assert!(Reply::decode(frame, stat).is_err());
}

#[test]
fn an_answer_longer_than_asked_for_ends_the_connection_when_it_comes() {
    let client = Client::new();
    let root = client.root(FileKind::RegularFile);
    let mut file = client.stream(&root);
    assert_eq!(read(&mut *file, 1), Poll::Pending);
    let long = vec![0; 16 << 20];
    let taken = client.answer(Kind::Read, &Reply::Data(&long));
    assert_eq!(taken, Err(WireError::Value("more than was asked for")));
    assert!(client.connection.has_ended());
    assert_eq!(read(&mut *file, 1), Poll::Ready(Err(Errno::Proto)));
}

#[test]
fn what_is_asked_for_and_not_looked_at_is_bounded() {
    let client = Client::new();
    let root = client.root(FileKind::RegularFile);
    let most = ANSWERS_MAX / READ_MAX;
    let mut files: Vec<_> = (0..=most).map(|_| client.stream(&root)).collect();
    let data = vec![0; READ_MAX];
    let (last, others) = files.split_last_mut().unwrap();
    for file in others.iter_mut() {
        assert_eq!(read(&mut **file, READ_MAX), Poll::Pending);
    }
    assert_eq!(
        read(&mut **last, READ_MAX),
        Poll::Ready(Err(Errno::Nobufs)),
        "there is room for no more"
    );
    client.answer(Kind::Read, &Reply::Data(&data)).unwrap();
    assert_eq!(
        read(&mut **last, READ_MAX),
        Poll::Ready(Err(Errno::Nobufs)),
        "they have come, and are kept"
    );
    // One is looked at, and one is given up.
    assert_eq!(read(&mut *others[0], READ_MAX), Poll::Ready(Ok(READ_MAX)));
    assert_eq!(read(&mut **last, READ_MAX), Poll::Pending);
    drop(files.pop());
    let mut file = client.stream(&root);
    assert_eq!(read(&mut *file, READ_MAX), Poll::Pending);
}

#[test]
fn what_files_stand_for_counts_as_well() {
    let client = Client::new();
    let root = client.root(FileKind::RegularFile);
    let text = "s".repeat(READ_MAX - 1);
    let most = ANSWERS_MAX / text.len();
    let waiting: Vec<_> = (0..=most).map(|_| root.stat()).collect();
    let asked = client.asked();
    let mut taken = Ok(());
    let mut told = 0;
    for (tag, _) in asked
        .into_iter()
        .filter(|(_, asked)| asked.kind == Kind::GetAttr)
    {
        // Again and again: the last one counts.
        for _ in 0..3 {
            taken = taken.and_then(|()| client.connection.receive(&subject(tag, &text)));
        }
        told += usize::from(taken.is_ok());
    }
    let (size, most_bytes) = (text.len(), ANSWERS_MAX);
    let too_long = WireError::TooLong {
        size,
        most: most_bytes,
    };
    assert_eq!((told, taken), (most, Err(too_long)));
    drop(waiting);
}
