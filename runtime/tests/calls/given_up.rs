//! Calls that are given up, calls that end with the program, and calls that take long.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use capfs::account::Account;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::pipe::pipe;
use capfs::device::socket::socket_pair;
use capfs::device::synthetic::SyntheticDir;
use capfs::testkit::{self, ManualClock, READ_WRITE};
use capfs::{
    BindFlags, Errno, GuestSink, GuestSource, Op, OpenFile, Rights, SetStat, Stat, WriteAt, Written,
};
use capfs_runtime::TRANSFER_MAX;

use crate::guest::{DATA, Guest, NONBLOCK, OUT, PATH, SIZE, SYNC, rights};

/// Ends what waits for it; shared by a test and its devices.
#[derive(Clone, Default)]
struct Go(Arc<Mutex<bool>>);

impl Go {
    fn go(&self) {
        *self.0.lock().unwrap() = true;
    }

    fn wait<T: Send + 'static>(&self, value: impl FnOnce() -> T + Send + 'static) -> Op<T> {
        let (go, mut value) = (self.0.clone(), Some(value));
        Op::later(std::future::poll_fn(move |_| {
            match (*go.lock().unwrap(), value.take()) {
                (true, Some(value)) => Poll::Ready(Ok(value())),
                (_, kept) => {
                    value = kept;
                    Poll::Pending
                }
            }
        }))
    }
}

/// What a ctl file was told, and has done.
type Done = Arc<Mutex<Vec<String>>>;

/// `/dev` with a `slow` stream, whose opening waits, another one, whose opening doesn't, and a `ctl` whose commands wait.
fn guest(go: &Go, done: &Done) -> Guest {
    let (opening, commands, done) = (go.clone(), go.clone(), done.clone());
    let file = |text: &'static [u8]| {
        let (reader, mut writer) = pipe(64);
        let mut context = Context::from_waker(Waker::noop());
        let written = writer.poll_write(&mut context, WriteAt::End, &mut { text });
        assert!(written.is_ready());
        Box::new(reader) as Box<dyn OpenFile>
    };
    let slow = move || opening.wait(move || file(b"slow"));
    let quick = move || Ok::<_, Errno>(file(b"quick"));
    let device = SyntheticDir::builder()
        .reads("slow", slow)
        .reads("quick", quick)
        .ctl("ctl", move |line: &str| {
            let (line, done) = (line.to_owned(), done.clone());
            commands.wait(move || done.lock().unwrap().push(line))
        })
        .build();
    Guest::with(&[], |config| {
        config
            .namespace
            .mount(device, "/dev", Rights::RW, BindFlags::REPLACE)
            .unwrap();
    })
}

fn try_to_open(guest: &mut Guest, path: &str) -> Poll<Result<u32, Errno>> {
    let len = guest.path(path);
    guest
        .call(|process, context, memory| {
            process.path_open(context, memory, 3, 0, PATH, len, 0, rights::READ, 0, 0, OUT)
        })
        .map_ok(|()| guest.u32_at(OUT))
}

#[test]
fn a_call_that_was_given_up_leaves_nothing_behind() {
    for told in [true, false] {
        let (go, done) = (Go::default(), Done::default());
        let mut guest = guest(&go, &done);
        assert!(try_to_open(&mut guest, "dev/slow").is_pending());
        if told {
            guest.process.cancel();
        }
        // Whatever comes next is itself, though the other would have ended by now.
        go.go();
        let len = guest.path("dev/quick");
        guest
            .now(|process, context, memory| {
                process.path_filestat_get(context, memory, 3, 0, PATH, len, DATA)
            })
            .unwrap();
        let quick = match try_to_open(&mut guest, "dev/quick") {
            Poll::Ready(opened) => opened.unwrap(),
            Poll::Pending => panic!("it waits for another"),
        };
        assert_eq!(quick, 4, "what was given up has no descriptor");
        assert_eq!(guest.read(quick, 9), Ok(b"quick".to_vec()));
        let out = guest
            .open("out", crate::guest::CREAT, rights::FILE)
            .unwrap();
        assert_eq!(guest.write(out, b"printed"), Ok(7));
        assert_eq!(guest.filestat(out).unwrap().size, 7);
        guest.close(out).unwrap();
    }
}

#[test]
fn the_same_call_for_something_else_is_another_once_it_was_given_up() {
    let (go, done) = (Go::default(), Done::default());
    let mut guest = guest(&go, &done);
    assert!(try_to_open(&mut guest, "dev/slow").is_pending());
    guest.process.cancel();
    assert_eq!(guest.process.deadline(), None);
    go.go();
    // At the same place in memory, and as long.
    assert_eq!(
        try_to_open(&mut guest, "dev/none"),
        Poll::Ready(Err(Errno::Noent))
    );
}

#[test]
fn bytes_of_a_read_that_was_given_up_stay_for_the_next() {
    let (reader, mut writer) = pipe(64);
    let mut guest = Guest::with(&[], |config| config.stdio[0] = Box::new(reader));
    let (iovs, count) = guest.iovecs(&[(DATA, 100)]);
    let read = guest
        .call(|process, context, memory| process.fd_read(context, memory, 0, iovs, count, OUT));
    assert!(read.is_pending());
    guest.process.cancel();
    let mut context = Context::from_waker(Waker::noop());
    let written = writer.poll_write(&mut context, WriteAt::End, &mut &b"hello"[..]);
    assert!(written.is_ready());
    assert_eq!(guest.read(0, 2), Ok(b"he".to_vec()));
    assert_eq!(guest.read(0, 9), Ok(b"llo".to_vec()));
}

#[test]
fn bytes_of_a_receive_of_all_that_was_given_up_stay_for_the_next() {
    const PEEK: u32 = 1;
    const WAITALL: u32 = 2;
    let (mut near, far) = socket_pair(64);
    let mut send = |bytes: &[u8]| {
        let mut context = Context::from_waker(Waker::noop());
        let sent = near.poll_write(&mut context, WriteAt::End, &mut { bytes });
        assert!(sent.is_ready());
    };
    let account = Account::new(1 << 20);
    let mut guest = Guest::with(&[], |config| {
        config.handed = vec![Box::new(far)];
        config.account = account.clone();
    });
    let before = account.used();
    let socket = 4;
    let receive = |guest: &mut Guest, len, flags| {
        let (iovs, count) = guest.iovecs(&[(DATA, len)]);
        let poll = guest.call(|process, context, memory| {
            process.sock_recv(context, memory, socket, iovs, count, flags, OUT, OUT + 4)
        });
        poll.map_ok(|()| guest.bytes(DATA, guest.u32_at(OUT)).to_vec())
    };
    // However often.
    for round in 0..3 {
        send(b"ab");
        assert!(receive(&mut guest, 8 + 2 * round, WAITALL).is_pending());
        send(b"cd");
        assert!(receive(&mut guest, 8 + 2 * round, WAITALL).is_pending());
        assert!(account.used() > before, "what is gathered is charged");
        guest.process.cancel();
        let peeked = receive(&mut guest, 3, PEEK);
        assert_eq!(peeked, Poll::Ready(Ok(b"abc".to_vec())));
        assert_eq!(receive(&mut guest, 1, 0), Poll::Ready(Ok(b"a".to_vec())));
        assert_eq!(guest.read(socket, 1), Ok(b"b".to_vec()));
        // Another call gives it up as well; what was given back once is in front again.
        assert!(receive(&mut guest, 8, WAITALL).is_pending());
        guest.filestat(socket).unwrap();
        send(b"ef");
        let all = receive(&mut guest, 4, WAITALL);
        assert_eq!(all, Poll::Ready(Ok(b"cdef".to_vec())));
        assert_eq!(account.used(), before);
    }
    send(b"gone");
    assert!(receive(&mut guest, 8, WAITALL).is_pending());
    guest.process.cancel();
    drop(near);
    let all = receive(&mut guest, 8, WAITALL);
    assert_eq!(all, Poll::Ready(Ok(b"gone".to_vec())));
    assert_eq!(receive(&mut guest, 8, 0), Poll::Ready(Ok(Vec::new())));
}

fn try_to_write(guest: &mut Guest, fd: u32, bytes: &[u8]) -> Poll<Result<u32, Errno>> {
    guest.put(DATA, bytes);
    let (iovs, count) = guest.iovecs(&[(DATA, bytes.len() as u32)]);
    guest
        .call(|process, context, memory| process.fd_write(context, memory, fd, iovs, count, OUT))
        .map_ok(|()| guest.u32_at(OUT))
}

#[test]
fn a_write_that_was_given_up_does_nothing() {
    let (go, done) = (Go::default(), Done::default());
    let mut guest = guest(&go, &done);
    let ctl = guest.open("dev/ctl", 0, rights::WRITE).unwrap();
    assert!(try_to_write(&mut guest, ctl, b"long command\n").is_pending());
    guest.process.cancel();
    go.go();
    assert_eq!(try_to_write(&mut guest, ctl, b"x\n"), Poll::Ready(Ok(2)));
    assert_eq!(*done.lock().unwrap(), ["x"]);
    assert_eq!(guest.process.usage().bytes_written, 2);
}

/// A file whose sync waits.
struct SlowSync {
    inner: Box<dyn OpenFile>,
    go: Go,
}

impl OpenFile for SlowSync {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        self.inner.poll_read(context, offset, sink)
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        self.inner.poll_write(context, at, source)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        self.inner.stat()
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        self.inner.set_stat(change)
    }

    fn sync(&mut self, _data_only: bool) -> Op<()> {
        self.go.wait(|| ())
    }
}

#[test]
fn a_write_whose_sync_is_given_up_has_happened() {
    let clock = Arc::new(ManualClock::new(1));
    let files = MemoryFs::new(clock, MemoryLimits::default()).root();
    let file = testkit::now(
        testkit::edit(&files)
            .unwrap()
            .create(testkit::name("f"), READ_WRITE),
    );
    let (go, inner) = (Go::default(), file.unwrap().file);
    let slow = SlowSync {
        inner,
        go: go.clone(),
    };
    let mut guest = Guest::with(&[], |config| config.handed = vec![Box::new(slow)]);
    let fd = 4;
    guest.set_flags(fd, SYNC).unwrap();
    guest.put(OUT, &[0xff; 4]);
    assert!(try_to_write(&mut guest, fd, b"taken").is_pending());
    assert!(guest.process.cancel(), "no byte is both taken and refused");
    assert_eq!(guest.u32_at(OUT), 5);
    assert_eq!(guest.tell(fd), Ok(5));
    assert!(!guest.process.cancel(), "nothing is under way any more");
    // The same write is another one.
    assert!(try_to_write(&mut guest, fd, b"again").is_pending());
    go.go();
    assert_eq!(try_to_write(&mut guest, fd, b"again"), Poll::Ready(Ok(5)));
    assert_eq!(testkit::read(&files, "f").unwrap(), b"takenagain");
    assert_eq!(guest.process.usage().bytes_written, 10);
}

#[test]
fn a_call_that_is_tried_often_is_one() {
    let (reader, mut writer) = pipe(64);
    let mut guest = Guest::with(&[], |config| config.stdio[0] = Box::new(reader));
    let (iovs, count) = guest.iovecs(&[(DATA, 100)]);
    let before = guest.process.usage().calls;
    let read = |guest: &mut Guest| {
        guest.call(|process, context, memory| process.fd_read(context, memory, 0, iovs, count, OUT))
    };
    for _ in 0..5 {
        assert!(read(&mut guest).is_pending());
        assert_eq!(guest.process.usage().calls, before + 1);
    }
    let mut context = Context::from_waker(Waker::noop());
    let written = writer.poll_write(&mut context, WriteAt::End, &mut &b"x"[..]);
    assert!(written.is_ready());
    assert!(read(&mut guest).is_ready());
    assert_eq!(guest.process.usage().calls, before + 1);
    // One that is given up, and one that takes its place.
    assert!(read(&mut guest).is_pending());
    guest.process.cancel();
    assert!(read(&mut guest).is_pending());
    assert_eq!(guest.process.usage().calls, before + 3);
    // So are one that lets the host look at its clock now and then, and one that waits for a device.
    let random = |guest: &mut Guest| {
        guest.call(|process, context, memory| process.random_get(context, memory, 0, SIZE))
    };
    let mut tries = 1;
    while random(&mut guest).is_pending() {
        tries += 1;
    }
    assert_eq!(guest.process.usage().calls, before + 4, "{tries} tries");
    let (go, done) = (Go::default(), Done::default());
    let mut guest = self::guest(&go, &done);
    let before = guest.process.usage().calls;
    for _ in 0..3 {
        assert!(try_to_open(&mut guest, "dev/slow").is_pending());
    }
    go.go();
    assert!(try_to_open(&mut guest, "dev/slow").is_ready());
    assert_eq!(guest.process.usage().calls, before + 1);
}

#[test]
fn without_waiting_no_byte_is_both_taken_and_refused() {
    let (go, done) = (Go::default(), Done::default());
    let mut guest = guest(&go, &done);
    let ctl = guest
        .open_in(3, "dev/ctl", 0, rights::WRITE, 0, NONBLOCK)
        .unwrap();
    assert_eq!(try_to_write(&mut guest, ctl, b"long\n"), Poll::Ready(Ok(5)));
    let again = Poll::Ready(Err(Errno::Again));
    assert_eq!(try_to_write(&mut guest, ctl, b"x\n"), again);
    guest.set_flags(ctl, 0).unwrap();
    assert!(try_to_write(&mut guest, ctl, b"y\n").is_pending());
    go.go();
    assert_eq!(try_to_write(&mut guest, ctl, b"y\n"), Poll::Ready(Ok(2)));
    assert_eq!(*done.lock().unwrap(), ["long", "y"]);
}

#[test]
fn closing_finishes_what_it_begins() {
    let (go, done) = (Go::default(), Done::default());
    let mut guest = guest(&go, &done);
    let ctl = guest.open("dev/ctl", 0, rights::WRITE).unwrap();
    assert_eq!(guest.write(ctl, b"start"), Ok(5));
    let mut close =
        |fd| guest.call(|process, context, memory| process.fd_close(context, memory, fd));
    assert!(close(ctl).is_pending());
    go.go();
    assert_eq!(close(ctl), Poll::Ready(Ok(())));
    assert_eq!(close(ctl), Poll::Ready(Err(Errno::Badf)));
    assert_eq!(*done.lock().unwrap(), ["start"]);
    // By another descriptor that takes its number.
    let (first, second) = (
        guest.open("dev/ctl", 0, rights::WRITE).unwrap(),
        guest.open("dev/ctl", 0, rights::WRITE).unwrap(),
    );
    assert_eq!(guest.write(second, b"again"), Ok(5));
    guest
        .now(|process, context, memory| process.fd_renumber(context, memory, first, second))
        .unwrap();
    assert_eq!(*done.lock().unwrap(), ["start", "again"]);
}

#[test]
fn a_program_that_exits_finishes_what_it_left_open() {
    let (go, done) = (Go::default(), Done::default());
    let mut guest = guest(&go, &done);
    let ctl = guest.open("dev/ctl", 0, rights::WRITE).unwrap();
    assert_eq!(guest.write(ctl, b"start"), Ok(5));
    guest.process.proc_exit(0);
    let waker = Waker::from(guest.alarm.clone());
    let mut context = Context::from_waker(&waker);
    assert!(guest.process.poll_finish(&mut context).is_pending());
    go.go();
    assert!(guest.process.poll_finish(&mut context).is_ready());
    assert_eq!(*done.lock().unwrap(), ["start"]);
    assert_eq!(guest.read(0, 1), Err(Errno::Badf));
}

#[test]
fn a_program_that_was_ended_begins_nothing_more() {
    let (go, done) = (Go::default(), Done::default());
    go.go();
    let mut guest = guest(&go, &done);
    let ctl = guest.open("dev/ctl", 0, rights::WRITE).unwrap();
    assert_eq!(guest.write(ctl, b"start"), Ok(5));
    drop(guest);
    assert_eq!(*done.lock().unwrap(), [""; 0]);
}

#[test]
fn long_calls_let_the_host_look_at_its_clock() {
    let mut guest = Guest::new(&[]);
    guest.memory.resize(4 << 20, 0);
    let len = (4 << 20) - SIZE;
    let mut looks = 0;
    loop {
        let filled =
            guest.call(|process, context, memory| process.random_get(context, memory, SIZE, len));
        match filled {
            Poll::Ready(filled) => break filled.unwrap(),
            Poll::Pending => looks += 1,
        }
        assert_eq!(guest.process.deadline(), Some(0), "it goes on at once");
    }
    assert!(looks >= 8, "{looks}");
    assert_eq!(guest.process.deadline(), None);
    let bytes = &guest.memory[SIZE as usize..];
    // They count up.
    assert!(
        bytes
            .windows(2)
            .all(|pair| pair[1] == pair[0].wrapping_add(1))
    );
}

#[test]
fn buffers_that_are_the_same_memory_move_no_more_than_one_call_may() {
    let zero = capfs::device::zero::Zero::node();
    let mut guest = Guest::with(&[], |config| {
        config
            .namespace
            .mount(zero, "/zero", Rights::RW, BindFlags::REPLACE)
            .unwrap();
    });
    guest.memory.resize(4 << 20, 1);
    let fd = guest.open("zero", 0, rights::READ | rights::WRITE).unwrap();
    let buffers = [(SIZE, (4 << 20) - SIZE); 100];
    let iovs = guest.iovecs(&buffers);
    guest
        .now(|process, context, memory| process.fd_read(context, memory, fd, iovs.0, iovs.1, OUT))
        .unwrap();
    assert_eq!(guest.u32_at(OUT), TRANSFER_MAX);
    guest
        .now(|process, context, memory| process.fd_write(context, memory, fd, iovs.0, iovs.1, OUT))
        .unwrap();
    assert_eq!(guest.u32_at(OUT), TRANSFER_MAX);
    // What is less is moved whole.
    let iovs = guest.iovecs(&buffers[..3]);
    guest
        .now(|process, context, memory| process.fd_write(context, memory, fd, iovs.0, iovs.1, OUT))
        .unwrap();
    assert_eq!(guest.u32_at(OUT), 3 * ((4 << 20) - SIZE));
}
