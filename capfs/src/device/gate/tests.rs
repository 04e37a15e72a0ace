//! Gates in front of real devices.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::device::Device;
use crate::device::memory::{MemoryFs, MemoryLimits};
use crate::device::pipe::pipe_nodes;
use crate::device::synthetic::{StreamSource, SyntheticDir};
use crate::testkit::{self, ManualClock, READ, READ_WRITE, now, walk};
use crate::{Directory, FileKind, Name, Node, Op, OpenFile, OpenHow, Qid, SetStat, Stat, WriteAt};

/// A clock that moves by one whenever it is asked.
struct Counting(AtomicU64);

impl Clock for Counting {
    fn realtime(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn monotonic(&self) -> u64 {
        self.realtime()
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Observer for Lines {
    fn observe(&self, operation: &Operation<'_>) {
        let Operation {
            kind,
            path,
            amount,
            outcome,
            duration,
            ..
        } = operation;
        assert!(*duration > 0);
        let outcome = outcome.map_or_else(Errno::name, |()| "ok");
        lock(&self.0).push(format!("{} {path} {amount} {outcome}", kind.name()));
    }
}

/// Without a limit.
fn watch(observer: Arc<dyn Observer>, clock: Arc<dyn Clock>) -> Option<Watch> {
    Some(Watch {
        observer,
        clock,
        account: Account::unlimited(),
    })
}

fn files() -> NodeRef {
    MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default()).root()
}

#[test]
fn a_device_behind_a_gate_is_the_same_device() {
    testkit::writable(|| Gate::new(files(), None).1);
}

#[test]
fn counts_and_tells() {
    let lines = Arc::new(Lines::default());
    let clock = Arc::new(Counting(AtomicU64::new(0)));
    let (gate, root) = Gate::new(files(), watch(lines.clone(), clock));
    testkit::write(&root, "a", b"hello").unwrap();
    assert_eq!(testkit::read(&root, "a").unwrap(), b"hello");
    assert_eq!(testkit::stat(&root, "b").err(), Some(Errno::Noent));
    let made = now(testkit::edit(&root)
        .unwrap()
        .make_directory(testkit::name("a")));
    assert_eq!(made.err(), Some(Errno::Exist));
    assert_eq!(
        *lock(&lines.0),
        [
            "create a 0 ok",
            "write a 5 ok",
            "open a 0 ok",
            "read a 5 ok",
            "read a 0 ok",
            "create a 0 EEXIST"
        ]
    );
    assert_eq!(
        gate.usage(),
        GateUsage {
            operations: 6,
            errors: 1,
            bytes_read: 5,
            bytes_written: 5
        }
    );
}

/// An observer that can take note of so many operations.
struct Room(AtomicU64, Lines);

impl Observer for Room {
    fn observe(&self, operation: &Operation<'_>) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.observe(operation);
    }

    fn ready(&self) -> Result<(), Errno> {
        match self.0.load(Ordering::Relaxed) {
            0 => Err(Errno::Nospc),
            _ => Ok(()),
        }
    }
}

#[test]
fn what_nobody_can_be_told_of_is_counted_and_not_done() {
    let room = Arc::new(Room(AtomicU64::new(2), Lines::default()));
    let clock = Arc::new(Counting(AtomicU64::new(0)));
    let (gate, root) = Gate::new(files(), watch(room.clone(), clock));
    let mut file = now(testkit::edit(&root)
        .unwrap()
        .create(testkit::name("a"), READ_WRITE))
    .unwrap()
    .file;
    testkit::write_at(&mut *file, WriteAt::End, b"x").unwrap();
    let write = testkit::write_at(&mut *file, WriteAt::End, b"y");
    assert_eq!(write.err(), Some(Errno::Nospc));
    assert_eq!(testkit::read_at(&mut *file, 0, 5), Err(Errno::Nospc));
    let made = now(testkit::edit(&root)
        .unwrap()
        .make_directory(testkit::name("b")));
    assert_eq!(made.err(), Some(Errno::Nospc));
    assert_eq!(*lock(&room.1.0), ["create a 0 ok", "write a 1 ok"]);
    assert_eq!((gate.usage().operations, gate.usage().errors), (5, 3));
    room.0.store(2, Ordering::Relaxed);
    assert_eq!(testkit::read_at(&mut *file, 0, 5).unwrap(), b"x");
    assert_eq!(testkit::stat(&root, "b").err(), Some(Errno::Noent));
}

#[test]
fn what_is_refused_while_it_waits_is_given_up() {
    let go = Arc::new(AtomicBool::new(false));
    let done = Arc::new(Mutex::new(Vec::new()));
    let (may, note) = (go.clone(), done.clone());
    let ctl = SyntheticDir::builder().ctl("ctl", move |line: &str| {
        let (may, note, line) = (may.clone(), note.clone(), line.to_owned());
        Op::later(poll_fn(move |_| match may.load(Ordering::Relaxed) {
            true => {
                lock(&note).push(line.clone());
                Poll::Ready(Ok(()))
            }
            false => Poll::Pending,
        }))
    });
    let room = Arc::new(Room(AtomicU64::new(9), Lines::default()));
    let clock = Arc::new(Counting(AtomicU64::new(0)));
    let (gate, root) = Gate::new(ctl.build(), watch(room.clone(), clock));
    let mut file = now(walk(&root, "ctl").unwrap().open(READ_WRITE)).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut write = |file: &mut dyn OpenFile, bytes: &[u8]| {
        let written = file.poll_write(&mut context, WriteAt::End, &mut { bytes });
        written.map_ok(|written| written.bytes)
    };
    assert_eq!(write(&mut *file, b"start\n"), Poll::Pending);
    room.0.store(0, Ordering::Relaxed);
    let refused = write(&mut *file, b"start\n");
    assert_eq!(refused, Poll::Ready(Err(Errno::Nospc)));
    room.0.store(9, Ordering::Relaxed);
    go.store(true, Ordering::Relaxed);
    assert_eq!(write(&mut *file, b"kill\n"), Poll::Ready(Ok(5)));
    assert_eq!(*lock(&done), ["kill"]);
    let told = ["open ctl 0 ok", "write ctl 0 ENOSPC", "write ctl 5 ok"];
    assert_eq!(*lock(&room.1.0), told);
    // By a revocation, too.
    go.store(false, Ordering::Relaxed);
    assert_eq!(write(&mut *file, b"start\n"), Poll::Pending);
    gate.revoke();
    go.store(true, Ordering::Relaxed);
    assert_eq!(write(&mut *file, b"start\n"), Poll::Ready(Err(REVOKED)));
    assert_eq!(*lock(&done), ["kill"]);
}

#[test]
fn what_is_told_has_an_end() {
    let lines = Arc::new(Lines::default());
    let clock = Arc::new(Counting(AtomicU64::new(0)));
    let (_gate, root) = Gate::new(files(), watch(lines.clone(), clock));
    let name = "n".repeat(255);
    let (mut node, mut depth) = (root, 0);
    let refused = loop {
        let made = now(testkit::edit(&node)
            .unwrap()
            .make_directory(testkit::name(&name)));
        match made {
            Ok(made) => node = made,
            Err(errno) => break errno,
        }
        depth += 1;
    };
    assert_eq!(
        (refused, depth),
        (Errno::Nametoolong, WATCHED_PATH_MAX / 256)
    );
    assert_eq!(walk(&node, &name).err(), Some(Errno::Nametoolong));
    assert_eq!(lock(&lines.0).len(), depth);
}

#[test]
fn long_paths_that_are_told_are_charged() {
    let account = Account::new(40_000);
    let watch = Watch {
        observer: Arc::new(Lines::default()),
        clock: Arc::new(Counting(AtomicU64::new(0))),
        account: account.clone(),
    };
    let (_gate, root) = Gate::new(files(), Some(watch));
    testkit::write(&root, "short", b"x").unwrap();
    let short = now(walk(&root, "short").unwrap().open(READ)).unwrap();
    assert_eq!(account.used(), 0, "a descriptor pays for it");
    let mut node = root;
    for _ in 0..30 {
        let name = "n".repeat(255);
        let directory = testkit::edit(&node).unwrap();
        node = now(directory.make_directory(testkit::name(&name))).unwrap();
    }
    let used = account.used();
    assert!((30 * 255..30 * 256).contains(&used), "{used}");
    // One path for all that are open of one node, and as long as one of them is.
    let open: Vec<Box<dyn OpenFile>> = (0..100).map(|_| now(node.open(READ)).unwrap()).collect();
    assert_eq!(account.used(), used);
    drop(node);
    assert_eq!(account.used(), used);
    drop((open, short));
    assert_eq!(account.used(), 0);
}

#[test]
fn a_path_that_there_is_no_room_for_is_refused() {
    let account = Account::new(1000);
    let watch = Watch {
        observer: Arc::new(Lines::default()),
        clock: Arc::new(Counting(AtomicU64::new(0))),
        account: account.clone(),
    };
    let (_gate, mut node) = Gate::new(files(), Some(watch));
    let name = "n".repeat(255);
    let refused = loop {
        let directory = testkit::edit(&node).unwrap();
        match now(directory.make_directory(testkit::name(&name))) {
            Ok(made) => node = made,
            Err(errno) => break errno,
        }
    };
    assert_eq!(refused, Errno::Nomem);
    assert_eq!(walk(&node, &name).err(), Some(Errno::Nomem));
}

#[test]
fn nothing_goes_through_after_it_was_shut() {
    let (gate, root) = Gate::new(files(), None);
    testkit::write(&root, "a", b"hello").unwrap();
    let mut file = now(walk(&root, "a").unwrap().open(READ_WRITE)).unwrap();
    gate.revoke();
    assert!(gate.is_revoked());
    assert_eq!(testkit::read_at(&mut *file, 0, 5), Err(REVOKED));
    let write = testkit::write_at(&mut *file, WriteAt::End, b"x");
    assert_eq!(write.err(), Some(REVOKED));
    assert_eq!(now(file.stat()).err(), Some(REVOKED));
    assert_eq!(walk(&root, "a").err(), Some(REVOKED));
    assert_eq!(now(root.open(READ)).err(), Some(REVOKED));
}

#[test]
fn who_waits_learns_that_it_was_shut() {
    let (reader, writer) = pipe_nodes(8, &Device::unlimited());
    let (gate, node) = Gate::new(reader, None);
    let mut file = now(node.open(READ)).unwrap();
    let mut bytes = [0; 4];
    let mut context = Context::from_waker(Waker::noop());
    assert!(
        file.poll_read(&mut context, 0, &mut &mut bytes[..])
            .is_pending()
    );
    let waiting = std::thread::spawn(move || {
        testkit::wait(|context| {
            let polled = file.poll_read(context, 0, &mut &mut bytes[..]);
            if polled.is_pending() {
                // Shut only once somebody waits, however the threads run.
                gate.revoke();
            }
            match polled {
                Poll::Pending => Poll::Pending,
                Poll::Ready(result) => Poll::Ready(result),
            }
        })
    });
    assert_eq!(waiting.join().unwrap(), Err(REVOKED));
    drop(writer);
}

/// A stream that waits for ever to be opened.
struct Silent;

impl StreamSource for Silent {
    fn open(&self) -> Op<Box<dyn OpenFile>> {
        Op::later(std::future::pending())
    }
}

#[test]
fn who_waits_for_an_opening_learns_that_it_was_shut() {
    let device = SyntheticDir::builder().reads("body", Silent).build();
    let (gate, root) = Gate::new(device, None);
    let body = walk(&root, "body").unwrap();
    let waiting = std::thread::spawn(move || {
        let mut opening = Box::pin(body.open(READ).wait());
        testkit::wait(|context| {
            let polled = opening.as_mut().poll(context);
            if polled.is_pending() {
                // Shut only once somebody waits, however the threads run.
                gate.revoke();
            }
            polled.map(|opened| opened.map(drop))
        })
    });
    assert_eq!(waiting.join().unwrap(), Err(REVOKED));
}

/// A directory, and a link, whose device never answers.
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

    fn read_link(&self) -> Op<String> {
        Op::later(std::future::pending())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Directory for Mute {
    fn walk(&self, _name: Name<'_>) -> Op<NodeRef> {
        Op::later(std::future::pending())
    }
}

/// Waits for an operation on a device that never answers; its gate is shut once it waits.
fn ended_by_revocation<T>(start: fn(&NodeRef) -> Op<T>) -> Option<Errno> {
    let (gate, root) = Gate::new(Arc::new(Mute), None);
    let Op::Later(mut waiting) = start(&root) else {
        panic!("the device can't have answered");
    };
    testkit::wait(|context| {
        let polled = waiting.as_mut().poll(context);
        if polled.is_pending() {
            gate.revoke();
        }
        polled
    })
    .err()
}

#[test]
fn whatever_waits_learns_that_it_was_shut() {
    let walk = |root: &NodeRef| {
        let directory = testkit::directory(root).unwrap();
        directory.walk(testkit::name("name"))
    };
    let walked = ended_by_revocation(walk);
    assert_eq!(walked, Some(REVOKED));
    assert_eq!(ended_by_revocation(|root| root.read_link()), Some(REVOKED));
    assert_eq!(ended_by_revocation(|root| root.stat()), Some(REVOKED));
    assert_eq!(ended_by_revocation(|root| root.open(READ)), Some(REVOKED));
    let changed = ended_by_revocation(|root| root.set_stat(SetStat::default()));
    assert_eq!(changed, Some(REVOKED));
}

/// A stream that stands for an address, which is not granted.
struct Refused;

impl StreamSource for Refused {
    fn open(&self) -> Op<Box<dyn OpenFile>> {
        Op::err(Errno::Acces)
    }

    fn subject(&self) -> Option<String> {
        Some("https://a/".to_owned())
    }
}

struct Subjects(Mutex<Vec<String>>);

impl Observer for Subjects {
    fn observe(&self, operation: &Operation<'_>) {
        let subject = operation.subject.unwrap_or_default();
        lock(&self.0).push(format!("{} {subject}", operation.kind.name()));
    }
}

#[test]
fn what_was_refused_is_told_with_what_it_stands_for() {
    let subjects = Arc::new(Subjects(Mutex::default()));
    let clock = Arc::new(Counting(AtomicU64::new(0)));
    let device = SyntheticDir::builder().reads("body", Refused).build();
    let (_gate, root) = Gate::new(device, watch(subjects.clone(), clock));
    assert_eq!(testkit::read(&root, "body").err(), Some(Errno::Acces));
    assert_eq!(*lock(&subjects.0), ["open https://a/"]);
}

#[test]
fn closing_what_was_taken_away_fails_only_where_something_is_left_to_do() {
    let files = MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default()).root();
    testkit::write(&files, "f", b"contents").unwrap();
    let ctl = SyntheticDir::builder().ctl("f", |_: &str| Ok(())).build();
    for (root, written, expected) in [
        (files, b"more", Ok(())),
        (ctl.clone(), b"all\n", Ok(())),
        (ctl, b"half", Err(REVOKED)),
    ] {
        let (gate, root) = Gate::new(root, None);
        let node = walk(&root, "f").unwrap();
        let mut unused = now(node.open(READ_WRITE)).unwrap();
        let mut file = now(node.open(READ_WRITE)).unwrap();
        testkit::write_at(&mut *file, WriteAt::End, written).unwrap();
        gate.revoke();
        assert_eq!(now(file.finish()), expected);
        assert_eq!(now(unused.finish()), Ok(()));
    }
}
