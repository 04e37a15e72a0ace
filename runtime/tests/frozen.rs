//! Processes at rest: what is kept, what the host decides that goes on with them, and what is refused.

mod guest;

/// Files are answered for at once.
const LATE: bool = false;

use std::task::Poll;

use capfs::account::Account;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::parts::open_text;
use capfs::device::pipe::{PIPE_BUF, pipe};
use capfs::device::zero::Zero;
use capfs::testkit::ManualClock;
use capfs::{BindFlags, DeviceId, Errno, Namespace, Rights};
use capfs_runtime::{ClockGrant, ConfigError, Frozen, Thawed};
use guest::{
    APPEND, CREAT, DATA, DIRECTORY, Guest, NONBLOCK, OUT, PATH, host, null, rights, thawed,
};

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
const PROCESSOR: u32 = 2;

fn shows(guest: &mut Guest, id: u32) -> u64 {
    let shown =
        guest.now(|process, context, memory| process.clock_time_get(context, memory, id, 0, OUT));
    shown.unwrap();
    guest.u64_at(OUT)
}

#[test]
fn descriptors_go_on_as_they_were() {
    let mut guest = Guest::new(&[("d/file", b"one two three")]);
    let read = guest
        .open("d/file", 0, rights::READ | rights::SEEK)
        .unwrap();
    let both = guest
        .open_in(3, "d/file", 0, rights::FILE, 0, APPEND)
        .unwrap();
    let directory = guest.open("d", DIRECTORY, rights::READDIR).unwrap();
    let gap = guest.open("d/file", 0, rights::READ).unwrap();
    let last = guest.open("d/file", 0, rights::READ).unwrap();
    guest.close(gap).unwrap();
    assert_eq!(guest.read(read, 4).unwrap(), b"one ");
    let listed = guest.readdir(directory, 4096, 0).unwrap();
    let used = guest.process.usage();
    assert_eq!(guest.moves(64), []);
    assert_eq!(guest.process.usage(), used);
    assert_eq!(guest.read(read, 4).unwrap(), b"two ");
    assert_eq!(guest.write(read, b"x"), Err(Errno::Notcapable));
    guest.write(both, b" four").unwrap();
    assert_eq!(guest.read(read, 100).unwrap(), b"three four");
    assert_eq!(guest.readdir(directory, 4096, 0).unwrap(), listed);
    assert_eq!(guest.open("d/file", 0, rights::READ).unwrap(), gap);
    assert_eq!(guest.open("d/file", 0, rights::READ).unwrap(), last + 1);
    assert_eq!(
        guest.process.namespace().list().to_string(),
        "mount -c unnamed:2 /\n"
    );
}

#[test]
fn clocks_go_on_from_where_they_were() {
    let mut guest = Guest::new(&[]);
    guest.clock.set(5_000);
    assert_eq!(
        (shows(&mut guest, MONOTONIC), shows(&mut guest, PROCESSOR)),
        (5_000, 4_000)
    );
    for _ in 0..3 {
        guest.moves(64);
        let host = capfs::clock::Clock::monotonic(&*guest.clock);
        assert_eq!(
            shows(&mut guest, REALTIME),
            host + guest::EPOCH,
            "the wall clock is the host's"
        );
        let before = shows(&mut guest, MONOTONIC);
        assert_eq!(before % 500, 0, "no time has passed");
        guest.clock.set(host + 500);
        assert_eq!(shows(&mut guest, MONOTONIC), before + 500);
    }
    assert_eq!(
        (shows(&mut guest, MONOTONIC), shows(&mut guest, PROCESSOR)),
        (6_500, 5_500)
    );
}

#[test]
fn a_wait_ends_when_the_clock_of_the_process_says_so() {
    let mut guest = Guest::new(&[]);
    guest.clock.set(10_000);
    guest.moves(64);
    let host = capfs::clock::Clock::monotonic(&*guest.clock);
    for (absolute, timeout) in [(0_u16, 300_u64), (1, 10_300)] {
        let at = 512;
        guest.put(at, &[0; 48]);
        guest.put(at + 16, &MONOTONIC.to_le_bytes());
        guest.put(at + 24, &timeout.to_le_bytes());
        guest.put(at + 40, &absolute.to_le_bytes());
        guest.clock.set(host);
        let wait = |guest: &mut Guest| {
            guest.call(|process, context, memory| {
                process.poll_oneoff(context, memory, at, 768, 1, OUT)
            })
        };
        assert_eq!(wait(&mut guest), Poll::Pending);
        assert_eq!(guest.process.deadline(), Some(host + 300));
        assert_eq!(guest.process.freeze(), Err(Errno::Busy));
        guest.clock.set(host + 300);
        assert_eq!(wait(&mut guest), Poll::Ready(Ok(())));
        assert!(guest.process.freeze().is_ok());
    }
}

#[test]
fn what_waits_or_has_ended_is_not_frozen() {
    let (reader, _writer) = pipe(PIPE_BUF);
    let mut guest = Guest::with(&[], |config| config.stdio[0] = Box::new(reader));
    let read =
        guest.call(|process, context, memory| process.fd_read(context, memory, 0, 64, 0, OUT));
    assert_eq!(read, Poll::Ready(Ok(())));
    let (iovs, count) = guest.iovecs(&[(DATA, 5)]);
    let read = guest
        .call(|process, context, memory| process.fd_read(context, memory, 0, iovs, count, OUT));
    assert_eq!(read, Poll::Pending);
    assert_eq!(guest.process.freeze(), Err(Errno::Busy));
    guest.process.cancel();
    assert!(guest.process.freeze().is_ok());
    guest.process.proc_exit(0);
    assert_eq!(guest.process.freeze(), Err(Errno::Srch));
}

/// Every call with a stale descriptor.
fn every_call(guest: &mut Guest, fd: u32) -> Vec<Result<(), Errno>> {
    let (iovs, count) = guest.iovecs(&[(DATA, 5)]);
    let path = guest.path("file");
    vec![
        guest.now(|p, c, m| p.fd_read(c, m, fd, iovs, count, OUT)),
        guest.now(|p, c, m| p.fd_pread(c, m, fd, iovs, count, 0, OUT)),
        guest.now(|p, c, m| p.fd_write(c, m, fd, iovs, count, OUT)),
        guest.now(|p, c, m| p.fd_pwrite(c, m, fd, iovs, count, 0, OUT)),
        guest.now(|p, c, m| p.fd_seek(c, m, fd, 0, 0, OUT)),
        guest.now(|p, c, m| p.fd_tell(c, m, fd, OUT)),
        guest.now(|p, c, m| p.fd_sync(c, m, fd)),
        guest.now(|p, c, m| p.fd_datasync(c, m, fd)),
        guest.now(|p, c, m| p.fd_allocate(c, m, fd, 0, 1)),
        guest.now(|p, c, m| p.fd_advise(c, m, fd, 0, 1, 0)),
        guest.now(|p, c, m| p.fd_fdstat_get(c, m, fd, OUT)),
        guest.now(|p, c, m| p.fd_fdstat_set_flags(c, m, fd, 0)),
        guest.now(|p, c, m| p.fd_fdstat_set_rights(c, m, fd, 0, 0)),
        guest.now(|p, c, m| p.fd_filestat_get(c, m, fd, OUT)),
        guest.now(|p, c, m| p.fd_filestat_set_size(c, m, fd, 1)),
        guest.now(|p, c, m| p.fd_filestat_set_times(c, m, fd, 0, 0, 0)),
        guest.now(|p, c, m| p.fd_prestat_get(c, m, fd, OUT)),
        guest.now(|p, c, m| p.fd_readdir(c, m, fd, DATA, 100, 0, OUT)),
        guest.now(|p, c, m| p.fd_renumber(c, m, fd, 3)),
        guest.now(|p, c, m| p.path_open(c, m, fd, 0, PATH, path, 0, 0, 0, 0, OUT)),
        guest.now(|p, c, m| p.path_create_directory(c, m, fd, PATH, path)),
        guest.now(|p, c, m| p.path_filestat_get(c, m, fd, 0, PATH, path, OUT)),
        guest.now(|p, c, m| p.path_unlink_file(c, m, fd, PATH, path)),
        guest.now(|p, c, m| p.sock_accept(c, m, fd, 0, OUT)),
        guest.now(|p, c, m| p.sock_recv(c, m, fd, iovs, count, 0, OUT, OUT + 8)),
        guest.now(|p, c, m| p.sock_send(c, m, fd, iovs, count, 0, OUT)),
        guest.now(|p, c, m| p.sock_shutdown(c, m, fd, 1)),
    ]
}

#[test]
fn what_is_not_found_again_is_stale_until_it_is_closed() {
    let mut guest = Guest::new(&[("file", b"text"), ("d/x", b"")]);
    let file = guest.open("file", 0, rights::FILE).unwrap();
    let directory = guest
        .open("d", DIRECTORY, rights::READDIR | rights::PATH_OPEN)
        .unwrap();
    let other = guest.open("d/x", CREAT, rights::FILE).unwrap();
    guest.on_path(guest::PathCall::Unlink, "file").unwrap();
    guest.on_path(guest::PathCall::Unlink, "d/x").unwrap();
    guest
        .on_path(guest::PathCall::RemoveDirectory, "d")
        .unwrap();
    assert_eq!(guest.moves(64), [file, directory, other]);
    // It stays so, and nobody gets the number.
    assert_eq!(guest.moves(64), [file, directory, other]);
    for fd in [file, directory] {
        for (index, answer) in every_call(&mut guest, fd).into_iter().enumerate() {
            assert_eq!(answer, Err(Errno::Stale), "call {index}");
        }
    }
    let new = guest.open("new", CREAT, rights::FILE).unwrap();
    assert_eq!(new, other + 1);
    // Another descriptor may take its place.
    guest
        .now(|p, c, m| p.fd_renumber(c, m, new, other))
        .unwrap();
    assert_eq!(guest.write(other, b"x"), Ok(1));
    for fd in [file, directory] {
        assert_eq!(guest.close(fd), Ok(()));
        assert_eq!(guest.close(fd), Err(Errno::Badf));
    }
    assert_eq!(guest.open("new", 0, rights::READ).unwrap(), file);
    assert_eq!(guest.moves(64), []);
}

#[test]
fn what_a_process_was_handed_is_handed_again() {
    let text = |text: &str| open_text(text.into(), &Account::unlimited()).unwrap();
    let mut guest = Guest::with(&[], |config| {
        config.stdio[0] = text("input that goes on");
        config.handed.push(null());
    });
    assert_eq!(guest.read(0, 6).unwrap(), b"input ");
    guest.set_flags(2, NONBLOCK).unwrap();
    guest.close(1).unwrap();
    let frozen = guest.process.freeze().unwrap();
    assert_eq!(frozen.handed(), 4);
    let mut host = host(&guest.clock, guest.process.namespace().clone());
    host.handed = vec![Some(text("input that goes on")), Some(null()), None];
    let Thawed { process, stale } = thawed(&frozen, host).unwrap();
    guest.process = process;
    assert_eq!(stale, [2, 4]);
    assert_eq!(guest.read(0, 4).unwrap(), b"that");
    assert_eq!(guest.write(1, b"x"), Err(Errno::Badf), "it was closed");
    assert_eq!(guest.write(2, b"x"), Err(Errno::Stale));
}

#[test]
fn a_pipe_that_was_opened_is_stale() {
    let (reader, writer) =
        capfs::device::pipe::pipe_nodes(PIPE_BUF, &capfs::device::Device::unlimited());
    let mut guest = Guest::with(&[], |config| {
        for (at, node) in [("/r", reader), ("/w", writer), ("/zero", Zero::node())] {
            let flags = BindFlags::REPLACE;
            config.namespace.mount(node, at, Rights::RW, flags).unwrap();
        }
    });
    let fds = ["r", "w", "zero"].map(|name| {
        let base = if name == "w" {
            rights::WRITE
        } else {
            rights::READ
        };
        guest.open(name, 0, base).unwrap()
    });
    let frozen = guest.process.freeze().unwrap();
    assert_eq!(frozen.stale().collect::<Vec<_>>(), fds[..2]);
    let host = host(&guest.clock, guest.process.namespace().clone());
    let Thawed { process, stale } = thawed(&frozen, host).unwrap();
    guest.process = process;
    assert_eq!(stale, fds[..2]);
    assert_eq!(guest.read(fds[2], 2).unwrap(), [0, 0]);
}

#[test]
fn a_host_decides_what_a_process_may_do_there() {
    let mut guest = Guest::new(&[("file", b"text")]);
    let write = guest.open("file", 0, rights::FILE).unwrap();
    let read = guest.open("file", 0, rights::READ).unwrap();
    let frozen = guest.process.freeze().unwrap();
    let root = guest.files.root();
    let namespace = |allowed: Rights| {
        let mut namespace = Namespace::new();
        let id = DeviceId::new("memory:/").unwrap();
        namespace
            .mount_device(id, root.clone(), "/", allowed, BindFlags::REPLACE)
            .unwrap();
        namespace
    };
    let mut narrow = host(&guest.clock, namespace(Rights::RO));
    narrow.clock_grant = ClockGrant::Nothing;
    let Thawed { process, stale } = thawed(&frozen, narrow).unwrap();
    assert_eq!(stale, [write], "it could write");
    guest.process = process;
    assert_eq!(guest.read(read, 4).unwrap(), b"text");
    let shown = guest.now(|p, c, m| p.clock_time_get(c, m, MONOTONIC, 0, OUT));
    assert_eq!(shown, Err(Errno::Notcapable));
    let mut few = host(&guest.clock, namespace(Rights::RW));
    few.max_files = 5.into();
    assert!(matches!(
        thawed(&frozen, few).err(),
        Some(ConfigError::TooManyFiles)
    ));
    let mut poor = host(&guest.clock, namespace(Rights::RW));
    poor.account = Account::new(100);
    assert!(matches!(
        thawed(&frozen, poor).err(),
        Some(ConfigError::Memory)
    ));
}

#[test]
fn bytes_that_are_no_process_are_refused_with_a_reason() {
    let mut guest = Guest::new(&[("file", b"text")]);
    guest.open("file", 0, rights::FILE).unwrap();
    let bytes = guest.process.freeze().unwrap().to_bytes().unwrap();
    let reason = |bytes: &[u8]| Frozen::from_bytes(bytes).unwrap_err().to_string();
    assert_eq!(
        reason(b"nothing at all"),
        "a frozen process: this is no frozen process"
    );
    let mut newer = bytes.clone();
    newer[8] = 2;
    assert_eq!(
        reason(&newer),
        "a frozen process: version 2 can't be read, only version 1"
    );
    for end in 0..bytes.len() {
        assert!(Frozen::from_bytes(&bytes[..end]).is_err(), "{end}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(
        reason(&longer),
        "a frozen process: 1 bytes too many at the end"
    );
    // Whatever a byte becomes, it is refused, or is a process that can be thawed or not.
    for at in 0..bytes.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            if let Ok(frozen) = Frozen::from_bytes(&damaged) {
                let _ = frozen.to_string();
                let again = Frozen::from_bytes(&frozen.to_bytes().unwrap());
                assert!(again.as_ref() == Ok(&frozen), "byte {at} is {byte}");
                let namespace = guest.process.namespace().clone();
                let _ = thawed(&frozen, host(&guest.clock, namespace));
            }
        }
    }
}

#[test]
fn it_shows_what_it_is() {
    let mut guest = Guest::new(&[("file", b"text")]);
    guest.open("file", 0, rights::READ).unwrap();
    let shown = guest.process.freeze().unwrap().to_string();
    for line in [
        "process, version 1",
        "mount -c unnamed:2 /",
        "argument \"an argument\"",
        "variable \"HOME=/\"",
        "clocks monotonic 1000 started 1000 processor 0",
        "descriptor 0 handed 0 ",
        "descriptor 3 directory of mount 1 handle 0100000000000000 preopened \"/\" ",
        "descriptor 4 file of mount 1 handle 0200000000000000 state 0 bytes offset 0 flags 0x0 ",
    ] {
        let mut lines = shown.lines();
        assert!(
            lines.any(|shown| shown.starts_with(line)),
            "{line}: {shown}"
        );
    }
}

#[test]
fn what_a_thawed_process_holds_is_charged() {
    let mut guest = Guest::new(&[]);
    for _ in 0..20 {
        guest.open("file", CREAT, rights::FILE).unwrap();
    }
    let frozen = guest.process.freeze().unwrap();
    let account = Account::new(1 << 20);
    let files = MemoryFs::new(
        std::sync::Arc::new(ManualClock::new(0)),
        MemoryLimits::default(),
    );
    let namespace = Namespace::build(frozen.namespace(), |_| Ok(files.root())).unwrap();
    let mut host = host(&guest.clock, namespace);
    host.account = account.clone();
    let Thawed { process, stale } = thawed(&frozen, host).unwrap();
    assert_eq!(stale.len(), 20);
    assert!((1 << 20) - account.left() >= 24 << 10);
    drop(process);
    assert_eq!(account.left(), 1 << 20);
}
