//! Streams that wait, waiting for several things at once, and sockets.

use std::task::Poll;

use crate::CURRENT;
use crate::guest::{DATA, EPOCH, Guest, NONBLOCK, OUT};
use capfs::Errno;
use capfs::account::{Account, Holding};
use capfs::device::pipe::pipe;
use capfs::device::socket::{listener, socket_pair};
use capfs_runtime::SUBSCRIPTIONS_MAX;

#[test]
fn streams() {
    let (reader, writer) = pipe(16);
    let (output, mut collected) = {
        let (reader, writer) = pipe(16);
        (writer, Some(reader))
    };
    let mut guest = Guest::with(&[], |config| {
        config.stdio[0] = Box::new(reader);
        config.stdio[1] = Box::new(output);
    });
    assert_eq!(guest.seek(0, 0, CURRENT), Err(Errno::Spipe));
    assert_eq!(guest.tell(0), Err(Errno::Spipe));
    assert_eq!(guest.pread(0, 1, 0), Err(Errno::Spipe));
    assert_eq!(guest.pwrite(1, b"x", 0), Err(Errno::Spipe));
    guest.set_flags(0, NONBLOCK).unwrap();
    assert_eq!(guest.read(0, 4), Err(Errno::Again));
    guest.set_flags(0, 0).unwrap();
    // A read waits, and is woken by a write.
    let (iovs, count) = guest.iovecs(&[(DATA, 100)]);
    let read = |guest: &mut Guest| {
        guest.call(|process, context, memory| process.fd_read(context, memory, 0, iovs, count, OUT))
    };
    assert!(read(&mut guest).is_pending());
    assert_eq!(guest.process.deadline(), None);
    let woken = guest.alarm.count();
    let mut writer = writer;
    assert_eq!(put(&mut writer, b"hello"), 5);
    assert_eq!(guest.alarm.count(), woken + 1);
    assert_eq!(read(&mut guest), Poll::Ready(Ok(())));
    assert_eq!(guest.bytes(DATA, guest.u32_at(OUT)), b"hello");
    drop(writer);
    assert_eq!(guest.read(0, 4), Ok(Vec::new()), "the end");
    assert_eq!(guest.write(1, b"bytes"), Ok(5));
    collected.take();
    assert_eq!(guest.write(1, b"bytes"), Err(Errno::Pipe));
    assert_eq!(
        (
            guest.process.usage().bytes_read,
            guest.process.usage().bytes_written
        ),
        (5, 5)
    );
}

fn put(file: &mut dyn capfs::OpenFile, bytes: &[u8]) -> usize {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match file.poll_write(&mut context, capfs::WriteAt::End, &mut &bytes[..]) {
        Poll::Ready(Ok(written)) => written.bytes,
        other => panic!("{other:?}"),
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Wait {
    Clock {
        id: u32,
        timeout: u64,
        absolute: bool,
    },
    Read(u32),
    Write(u32),
}

/// Stores subscriptions; their userdata are their indices and 100.
pub(crate) fn subscribe(guest: &mut Guest, waits: &[Wait], unstable: bool) {
    let (each, clock) = if unstable { (56, 24) } else { (48, 16) };
    for (index, wait) in waits.iter().enumerate() {
        let mut bytes = [0; 56];
        bytes[0] = 100 + index as u8;
        match wait {
            Wait::Clock {
                id,
                timeout,
                absolute,
            } => {
                bytes[clock..clock + 4].copy_from_slice(&id.to_le_bytes());
                bytes[clock + 8..clock + 16].copy_from_slice(&timeout.to_le_bytes());
                bytes[clock + 24] = u8::from(*absolute);
            }
            Wait::Read(fd) | Wait::Write(fd) => {
                bytes[8] = if matches!(wait, Wait::Read(_)) { 1 } else { 2 };
                bytes[16..20].copy_from_slice(&fd.to_le_bytes());
            }
        }
        guest.put(1024 + index as u32 * each, &bytes[..each as usize]);
    }
}

/// Userdata, error, kind, hangup.
pub(crate) type Event = (u64, u16, u8, u16);

/// Polls, and returns the events.
pub(crate) fn poll(
    guest: &mut Guest,
    count: u32,
    unstable: bool,
) -> Poll<Result<Vec<Event>, Errno>> {
    let poll = guest.call(|process, context, memory| {
        if unstable {
            process.unstable_poll_oneoff(context, memory, 1024, 8192, count, OUT)
        } else {
            process.poll_oneoff(context, memory, 1024, 8192, count, OUT)
        }
    });
    let guest = &*guest;
    poll.map_ok(|()| {
        (0..guest.u32_at(OUT))
            .map(|index| {
                let at = 8192 + index * 32;
                (
                    guest.u64_at(at),
                    guest.u16_at(at + 8),
                    guest.bytes(at + 10, 1)[0],
                    guest.u16_at(at + 24),
                )
            })
            .collect()
    })
}

#[test]
fn waiting_for_clocks() {
    for unstable in [false, true] {
        let mut guest = Guest::new(&[]);
        let in_50 = Wait::Clock {
            id: 1,
            timeout: 50,
            absolute: false,
        };
        let at_realtime = Wait::Clock {
            id: 0,
            timeout: EPOCH + 1_030,
            absolute: true,
        };
        let at_monotonic = Wait::Clock {
            id: 1,
            timeout: 1_040,
            absolute: true,
        };
        subscribe(&mut guest, &[in_50, at_realtime, at_monotonic], unstable);
        assert!(poll(&mut guest, 3, unstable).is_pending());
        assert_eq!(guest.process.deadline(), Some(1_030));
        guest.clock.set(1_029);
        assert!(poll(&mut guest, 3, unstable).is_pending());
        assert_eq!(guest.process.deadline(), Some(1_030), "it does not move");
        guest.clock.set(1_045);
        let events = poll(&mut guest, 3, unstable);
        assert_eq!(
            events,
            Poll::Ready(Ok(vec![(101, 0, 0, 0), (102, 0, 0, 0)]))
        );
        assert_eq!(guest.process.deadline(), None);
        // The next call is a new one.
        assert!(poll(&mut guest, 1, unstable).is_pending());
        assert_eq!(guest.process.deadline(), Some(1_095));
        guest.clock.set(2_000);
        assert_eq!(
            poll(&mut guest, 1, unstable),
            Poll::Ready(Ok(vec![(100, 0, 0, 0)]))
        );
    }
}

#[test]
fn what_many_subscriptions_keep_is_charged() {
    const COUNT: usize = 140;
    let account = Account::new(1 << 20);
    let own = account.clone();
    let mut guest = Guest::with(&[], |config| config.account = own);
    let in_50 = Wait::Clock {
        id: 1,
        timeout: 50,
        absolute: false,
    };
    subscribe(&mut guest, &[in_50; COUNT], false);
    let before = account.used();
    assert!(poll(&mut guest, COUNT as u32, false).is_pending());
    let held = account.used() - before;
    assert!(held >= 16 * COUNT as u64, "{held}");
    assert!(poll(&mut guest, COUNT as u32, false).is_pending());
    assert_eq!(account.used(), before + held, "once for a call");
    guest.process.cancel();
    assert_eq!(account.used(), before);
    let others = account.charge(Holding::Files, account.left()).unwrap();
    let refused = poll(&mut guest, COUNT as u32, false);
    assert_eq!(refused, Poll::Ready(Err(Errno::Nomem)));
    assert!(
        poll(&mut guest, 3, false).is_pending(),
        "a few need no room"
    );
    drop(others);
    assert!(poll(&mut guest, COUNT as u32, false).is_pending());
    guest.clock.set(2_000);
    let Poll::Ready(Ok(events)) = poll(&mut guest, COUNT as u32, false) else {
        panic!("it is time");
    };
    assert_eq!(events.len(), COUNT);
}

#[test]
fn a_wait_for_a_time_of_day_follows_the_clock_when_it_is_set() {
    const SECOND: u64 = 1_000_000_000;
    let mut guest = Guest::new(&[]);
    let in_an_hour = Wait::Clock {
        id: 0,
        timeout: EPOCH + 3600 * SECOND,
        absolute: true,
    };
    subscribe(&mut guest, &[in_an_hour], false);
    assert!(poll(&mut guest, 1, false).is_pending());
    // It looks again long before that.
    assert_eq!(guest.process.deadline(), Some(1_000 + SECOND));
    guest.clock.set(2 * SECOND);
    assert!(poll(&mut guest, 1, false).is_pending());
    assert_eq!(guest.process.deadline(), Some(3 * SECOND));
    guest.clock.set_ahead(3600 * SECOND);
    let events = poll(&mut guest, 1, false);
    assert_eq!(events, Poll::Ready(Ok(vec![(100, 0, 0, 0)])));
    assert_eq!(guest.process.deadline(), None);
}

#[test]
fn waiting_for_descriptors_and_clocks() {
    let (reader, mut writer) = pipe(16);
    let mut guest = Guest::with(&[], |config| config.stdio[0] = Box::new(reader));
    let clock = Wait::Clock {
        id: 1,
        timeout: u64::MAX,
        absolute: false,
    };
    subscribe(&mut guest, &[Wait::Read(0), clock], false);
    assert!(poll(&mut guest, 2, false).is_pending());
    let woken = guest.alarm.count();
    put(&mut writer, b"x");
    assert!(guest.alarm.count() > woken);
    assert_eq!(
        poll(&mut guest, 2, false),
        Poll::Ready(Ok(vec![(100, 0, 1, 0)]))
    );
    drop(writer);
    assert_eq!(
        poll(&mut guest, 1, false),
        Poll::Ready(Ok(vec![(100, 0, 1, 1)]))
    );
    subscribe(&mut guest, &[Wait::Read(40), Wait::Write(1), clock], false);
    let badf = Errno::Badf.code();
    let events = poll(&mut guest, 3, false);
    assert_eq!(
        events,
        Poll::Ready(Ok(vec![(100, badf, 1, 0), (101, 0, 2, 0)]))
    );
    let unknown = Wait::Clock {
        id: 9,
        timeout: 0,
        absolute: false,
    };
    subscribe(&mut guest, &[unknown], false);
    let inval = Errno::Inval.code();
    assert_eq!(
        poll(&mut guest, 1, false),
        Poll::Ready(Ok(vec![(100, inval, 0, 0)]))
    );
    assert_eq!(poll(&mut guest, 0, false), Poll::Ready(Err(Errno::Inval)));
    assert_eq!(
        poll(&mut guest, SUBSCRIPTIONS_MAX + 1, false),
        Poll::Ready(Err(Errno::Inval))
    );
    assert_eq!(
        poll(&mut guest, SUBSCRIPTIONS_MAX, false),
        Poll::Ready(Err(Errno::Fault))
    );
}

/// What is handed to a process, or accepted by it, has numbers of the process: they differ, and tell of nothing else.
#[test]
fn streams_have_numbers_of_their_process() {
    let numbers = || {
        let (accepting, connector) = listener(2, 8);
        let connections = [connector.connect().unwrap(), connector.connect().unwrap()];
        let mut guest = Guest::with(&[], |config| {
            config.stdio[0] = Box::new(pipe(16).0);
            config.handed = vec![Box::new(socket_pair(8).0), Box::new(accepting)];
        });
        for connection in 6..8 {
            let accepted = guest
                .now(|process, context, memory| process.sock_accept(context, memory, 5, 0, OUT));
            assert_eq!(accepted.map(|()| guest.u32_at(OUT)), Ok(connection));
        }
        drop(connections);
        let stat = |fd| guest.filestat(fd).unwrap();
        [0, 1, 2, 4, 5, 6, 7]
            .map(stat)
            .map(|stat| (stat.dev, stat.ino))
    };
    assert_eq!(numbers(), [1, 2, 3, 4, 5, 6, 7].map(|number| (0, number)));
    assert_eq!(numbers(), numbers());
}

#[test]
fn sockets() {
    let (near, far) = socket_pair(8);
    let (accepting, connector) = listener(2, 8);
    let mut guest = Guest::with(&[], |config| {
        config.handed = vec![Box::new(far), Box::new(accepting)];
    });
    let mut near = near;
    let (socket, listening) = (4, 5);
    let receive = |guest: &mut Guest, fd, len, flags| {
        let (iovs, count) = guest.iovecs(&[(DATA, len)]);
        let poll = guest.call(|process, context, memory| {
            process.sock_recv(context, memory, fd, iovs, count, flags, OUT, OUT + 4)
        });
        let guest = &*guest;
        poll.map_ok(|()| guest.bytes(DATA, guest.u32_at(OUT)).to_vec())
    };
    const PEEK: u32 = 1;
    const WAITALL: u32 = 2;
    put(&mut near, b"abcd");
    assert_eq!(
        receive(&mut guest, socket, 2, PEEK),
        Poll::Ready(Ok(b"ab".to_vec()))
    );
    assert_eq!(
        receive(&mut guest, socket, 3, 0),
        Poll::Ready(Ok(b"abc".to_vec()))
    );
    assert!(receive(&mut guest, socket, 4, WAITALL).is_pending());
    put(&mut near, b"efg");
    assert_eq!(
        receive(&mut guest, socket, 4, WAITALL),
        Poll::Ready(Ok(b"defg".to_vec()))
    );
    assert_eq!(
        receive(&mut guest, socket, 4, 4),
        Poll::Ready(Err(Errno::Inval))
    );
    assert_eq!(
        receive(&mut guest, 1, 4, 0),
        Poll::Ready(Err(Errno::Notsock))
    );
    assert_eq!(receive(&mut guest, 40, 4, 0), Poll::Ready(Err(Errno::Badf)));
    let mut shutdown = |fd, how| {
        guest.now(|process, context, memory| process.sock_shutdown(context, memory, fd, how))
    };
    assert_eq!(shutdown(1, 1), Err(Errno::Notsock));
    assert_eq!(shutdown(40, 1), Err(Errno::Badf));
    assert_eq!(shutdown(socket, 0), Err(Errno::Inval));
    assert_eq!(shutdown(socket, 4), Err(Errno::Inval));
    assert_eq!(shutdown(socket, 2), Ok(()));
    assert_eq!(guest.write(socket, b"x"), Err(Errno::Pipe));

    let mut accept = |fd, flags| {
        guest
            .call(|process, context, memory| process.sock_accept(context, memory, fd, flags, OUT))
            .map_ok(|()| guest.u32_at(OUT))
    };
    assert_eq!(accept(1, 0), Poll::Ready(Err(Errno::Notsock)));
    assert!(accept(listening, NONBLOCK).is_pending());
    let mut client = connector.connect().unwrap();
    assert_eq!(accept(listening, NONBLOCK), Poll::Ready(Ok(6)));
    assert_eq!(guest.read(6, 1), Err(Errno::Again), "it does not block");
    put(&mut client, b"hi");
    assert_eq!(guest.read(6, 8), Ok(b"hi".to_vec()));
    guest.put(DATA, b"yo");
    let (data, count) = guest.iovecs(&[(DATA, 2)]);
    let mut send = |flags| {
        guest.now(|process, context, memory| {
            process.sock_send(context, memory, 6, data, count, flags, OUT)
        })
    };
    assert_eq!((send(1), send(0)), (Err(Errno::Inval), Ok(())));
}
