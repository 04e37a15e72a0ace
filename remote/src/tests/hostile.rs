//! A side that does not keep to the protocol.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use capfs::device::Device;
use capfs::device::parts::lock;
use capfs::device::pipe::pipe_nodes;
use capfs::testkit::{READ, write};
use capfs::{DirEntry, Errno, FileKind, NAME_MAX, NodeRef, Op, OpenFile, Qid, Stat, Written};

use super::{Pair, Queue, SIZES, frames, memory};
use crate::wire::{
    ANSWERS_MAX, Asked, Frame, Kind, READ_MAX, Reply, Request, WireError, errno, subject,
};
use crate::{Connection, Session, Transport, Trees};

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

/// A server that has opened a file of 1 MiB as 2.
fn opened() -> Pair {
    let files = memory();
    write(&files, "f", &vec![1; 1 << 20]).unwrap();
    let pair = Pair::of(files);
    for (tag, request) in [
        attach(0, 0),
        Request::Walk {
            fid: 0,
            steps: vec![(1, "f")],
        },
        open(1, 2),
    ]
    .into_iter()
    .enumerate()
    {
        pair.server.receive(request.encode(tag as u16)).unwrap();
    }
    while pair.down.next().is_some() {}
    pair
}

fn attach(new: u32, tree: u32) -> Request<'static> {
    Request::Attach {
        new,
        tree,
        path: "",
    }
}

fn open(fid: u32, new: u32) -> Request<'static> {
    Request::Open {
        fid,
        new,
        how: READ,
    }
}

fn reading(fid: u32) -> Request<'static> {
    Request::Read {
        fid,
        offset: 0,
        count: READ_MAX as u32,
    }
}

/// The answers that have come, by type and tag.
fn answers(down: &Queue) -> Vec<(u8, u16)> {
    let mut answers = Vec::new();
    while let Some(message) = down.next() {
        let frames = frames(&message).unwrap();
        answers.extend(frames.into_iter().map(|frame| (frame.kind, frame.tag)));
    }
    answers
}

#[test]
fn a_client_that_takes_no_answers_is_not_served_meanwhile() {
    const READS: u16 = 2_000;
    let most = (4 << 20) + 2 * READ_MAX;
    let all: Vec<Vec<u8>> = (0..READS).map(|tag| reading(2).encode(tag)).collect();
    let messages = [
        all.clone(),
        vec![all.concat()],
        all.chunks(7).map(<[_]>::concat).collect(),
    ];
    for messages in messages {
        let pair = opened();
        for message in messages {
            assert_eq!(pair.server.receive(message), Ok(()));
        }
        assert!(pair.down.waiting() <= most);
        // One that is given up before its turn, and nothing is said of it before that.
        let flush = Request::Flush { tag: READS - 1 };
        pair.server.receive(flush.encode(READS)).unwrap();
        let mut told = Vec::new();
        while pair.down.waiting() > 0 {
            assert!(pair.down.waiting() <= most);
            told.extend(answers(&pair.down));
            pair.server.advance();
        }
        let expected = (0..READS).map(|tag| (Kind::Read.answer(), tag));
        let expected = expected.chain([(Kind::Flush.answer(), READS)]);
        assert!(told.into_iter().eq(expected), "in their order");
    }
}

#[test]
fn what_is_kept_of_such_a_client_is_bounded() {
    let pair = opened();
    let many = reading(2).encode(0).repeat(1_000);
    let mut kept = 0;
    let taken = loop {
        match pair.server.receive(many.clone()) {
            Ok(()) => kept += many.len(),
            wrong => break wrong,
        }
    };
    assert!(matches!(taken, Err(WireError::TooLong { .. })), "{taken:?}");
    assert!(kept > SIZES.msize() - 2 * many.len() && kept < SIZES.msize() + many.len());
    assert!(pair.server.has_ended());
    let last = answers(&pair.down).pop();
    assert_eq!(last, Some((crate::wire::ERROR, crate::wire::NO_TAG)));
}

#[test]
fn answers_to_what_waits_are_bounded() {
    let (reader, writer) = pipe_nodes(8, &Device::unlimited());
    let pair = Pair::of(reader);
    for request in [attach(0, 0), open(0, 1)] {
        pair.server.receive(request.encode(0)).unwrap();
    }
    answers(&pair.down);
    let most = (ANSWERS_MAX / READ_MAX) as u16;
    for tag in 0..most + 10 {
        pair.server.receive(reading(1).encode(tag)).unwrap();
    }
    let refused: Vec<_> = (most..most + 10)
        .map(|tag| (crate::wire::ERROR, tag))
        .collect();
    assert_eq!(
        (pair.server.numbers().1, answers(&pair.down)),
        (most.into(), refused)
    );
    // Those that are given up make room.
    pair.server
        .receive(Request::Flush { tag: 0 }.encode(most))
        .unwrap();
    pair.server.receive(reading(1).encode(0)).unwrap();
    assert_eq!(answers(&pair.down), [(Kind::Flush.answer(), most)]);
    drop(writer);
}

/// A tree that is there when the test says so.
#[derive(Clone, Default)]
struct Late(Arc<Mutex<Coming>>);

#[derive(Default)]
struct Coming {
    outcome: Option<Result<NodeRef, Errno>>,
    waker: Option<Waker>,
}

impl Late {
    fn come(&self, outcome: Result<NodeRef, Errno>) {
        let waker = {
            let mut state = lock(&self.0);
            state.outcome = Some(outcome);
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Trees for Late {
    fn attach(&self, _tree: u32, _path: &str) -> Op<NodeRef> {
        let late = self.clone();
        Op::run(poll_fn(move |context| {
            let mut state = lock(&late.0);
            match state.outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }

    fn revoke(&self, _tree: u32) {}
}

#[test]
fn no_request_waits_for_what_it_makes_itself() {
    let pair = Pair::of(memory());
    let name = "d";
    let requests = [
        open(7, 7),
        Request::Walk {
            fid: 7,
            steps: vec![(7, name)],
        },
        Request::Walk {
            fid: 7,
            steps: vec![(8, name), (7, name)],
        },
        Request::MakeDirectory {
            fid: 7,
            name,
            new: 7,
        },
        Request::Create {
            fid: 7,
            name,
            new_node: 7,
            new_file: 8,
            how: READ,
        },
        Request::Create {
            fid: 7,
            name,
            new_node: 8,
            new_file: 7,
            how: READ,
        },
    ];
    for request in requests {
        pair.server.receive(request.encode(3)).unwrap();
        let message = pair.down.next().expect("it is answered at once");
        assert_eq!(message, errno(3, Errno::Badf), "{request:?}");
        assert_eq!(pair.server.numbers(), (0, 0));
    }
}

#[test]
fn no_two_requests_wait_for_each_other() {
    let (late, down) = (Late::default(), Queue::default());
    let waker = Waker::noop().clone();
    let server = Session::new(Box::new(late.clone()), Box::new(down.clone()), SIZES, waker);
    server.receive(attach(2, 0).encode(0)).unwrap();
    server.receive(open(2, 1).encode(1)).unwrap();
    late.come(Err(Errno::Noent));
    server.advance();
    assert_eq!(answers(&down), [(crate::wire::ERROR, 0)]);
    // The second wasn't polled since; what it waits for would be made by one that waits for it.
    server.receive(open(1, 2).encode(2)).unwrap();
    server.advance();
    server.advance();
    let failed = [(crate::wire::ERROR, 1), (crate::wire::ERROR, 2)];
    assert_eq!(
        (answers(&down), server.numbers()),
        (failed.to_vec(), (0, 0))
    );
}

/// Trees that go on with their session while it polls them.
#[derive(Clone, Default)]
struct Inside(Arc<OnceLock<Session>>);

impl Trees for Inside {
    fn attach(&self, _tree: u32, _path: &str) -> Op<NodeRef> {
        let (inside, mut polled) = (self.clone(), 0);
        Op::run(poll_fn(move |context| {
            polled += 1;
            if polled > 1 {
                return Poll::Ready(Ok(memory()));
            }
            context.waker().wake_by_ref();
            inside.0.get().unwrap().advance();
            Poll::Pending
        }))
    }

    fn revoke(&self, _tree: u32) {}
}

#[test]
fn a_wake_that_comes_while_a_request_is_polled_is_not_lost() {
    let (trees, down) = (Inside::default(), Queue::default());
    let waker = Waker::noop().clone();
    let server = Session::new(
        Box::new(trees.clone()),
        Box::new(down.clone()),
        SIZES,
        waker,
    );
    let server = trees.0.get_or_init(|| server);
    server.receive(attach(1, 0).encode(0)).unwrap();
    server.advance();
    assert_eq!(answers(&down), [(Kind::Attach.answer(), 0)]);
    server.end();
}

/// An owner that goes on with its session as soon as it is woken.
#[derive(Default)]
struct Eager(OnceLock<Arc<Session>>);

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        self.0.get().unwrap().advance();
    }
}

#[test]
fn nothing_is_locked_when_the_owner_is_woken() {
    let (late, down, owner) = (Late::default(), Queue::default(), Arc::<Eager>::default());
    let waker = Waker::from(owner.clone());
    let server = Session::new(Box::new(late.clone()), Box::new(down.clone()), SIZES, waker);
    let server = owner.0.get_or_init(|| Arc::new(server));
    // By a number that is let go of before it stands for anything.
    server.receive(attach(1, 0).encode(0)).unwrap();
    server.receive(open(1, 2).encode(1)).unwrap();
    server
        .receive(Request::Clunk { fids: vec![1] }.encode(2))
        .unwrap();
    assert!(answers(&down).contains(&(crate::wire::ERROR, 1)));
    // And by one that is made.
    server.receive(attach(3, 0).encode(3)).unwrap();
    server.receive(open(3, 4).encode(4)).unwrap();
    late.come(Ok(memory()));
    assert!(answers(&down).contains(&(Kind::Open.answer(), 4)));
    server.end();
}
