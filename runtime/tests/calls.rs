//! What each call does and with which errno it fails, over a file system in memory.

mod guest;

use std::task::Poll;

use capfs::device::pipe::pipe;
use capfs::device::socket::{listener, socket_pair};
use capfs::{BindFlags, Errno, Rights};
use capfs_runtime::{ConfigError, ExitStatus, IOVECS_MAX, Preopen, Process, SUBSCRIPTIONS_MAX};
use guest::{
    APPEND, CREAT, DATA, DIRECTORY, EPOCH, EXCL, Guest, NONBLOCK, OUT, PATH, PathCall, SIZE, SYNC,
    TRUNC, TestClock, config, entries, memory, rights,
};

const START: u32 = 0;
const CURRENT: u32 = 1;
const END: u32 = 2;

const DIRECTORY_KIND: u8 = 3;
const FILE_KIND: u8 = 4;
const SYMLINK_KIND: u8 = 7;

#[test]
fn arguments_and_environment() {
    let mut guest = Guest::new(&[]);
    guest
        .now(|process, context, memory| process.args_sizes_get(context, memory, 0, 4))
        .unwrap();
    assert_eq!((guest.u32_at(0), guest.u32_at(4)), (2, 6 + 12));
    guest
        .now(|process, context, memory| process.args_get(context, memory, 0, 100))
        .unwrap();
    assert_eq!((guest.u32_at(0), guest.u32_at(4)), (100, 106));
    assert_eq!(guest.bytes(100, 18), b"guest\0an argument\0");
    guest
        .now(|process, context, memory| process.environ_sizes_get(context, memory, 0, 4))
        .unwrap();
    assert_eq!((guest.u32_at(0), guest.u32_at(4)), (1, 7));
    guest
        .now(|process, context, memory| process.environ_get(context, memory, 0, 100))
        .unwrap();
    assert_eq!(guest.bytes(100, 7), b"HOME=/\0");
    let fault =
        guest.now(|process, context, memory| process.args_get(context, memory, 0, SIZE - 17));
    assert_eq!(fault, Err(Errno::Fault));
}

#[test]
fn a_configuration_is_checked() {
    let clock = std::sync::Arc::new(TestClock::new(0));
    let make = |change: &dyn Fn(&mut capfs_runtime::ProcessConfig)| {
        let mut config = config(&clock, memory(&clock, &[("file", b"")]));
        change(&mut config);
        Process::new(config).map(|_| ())
    };
    assert!(make(&|_| {}).is_ok());
    let nul = make(&|config| config.args.push("a\0b".into()));
    assert!(matches!(nul, Err(ConfigError::Nul { .. })));
    let name = make(&|config| config.env.push(("A=B".into(), String::new())));
    assert!(matches!(name, Err(ConfigError::EnvName { .. })));
    let missing = make(&|config| {
        config.preopens.push(Preopen {
            name: "/x".into(),
            path: "/x".into(),
        });
    });
    assert!(matches!(
        missing,
        Err(ConfigError::Preopen {
            errno: Errno::Noent,
            ..
        })
    ));
    let file = make(&|config| {
        config.preopens.push(Preopen {
            name: "/f".into(),
            path: "/file".into(),
        });
    });
    assert!(matches!(
        file,
        Err(ConfigError::Preopen {
            errno: Errno::Notdir,
            ..
        })
    ));
    assert!(matches!(
        make(&|config| config.max_files = 3),
        Err(ConfigError::TooManyFiles)
    ));
}

#[test]
fn clocks() {
    let mut guest = Guest::new(&[]);
    guest.clock.set(5_000);
    let mut time = |id| {
        guest
            .now(|process, context, memory| process.clock_time_get(context, memory, id, 0, OUT))
            .map(|()| guest.u64_at(OUT))
    };
    assert_eq!(time(0), Ok(EPOCH + 5_000));
    assert_eq!(time(1), Ok(5_000));
    assert_eq!(
        time(2),
        Ok(4_000),
        "the time since the start, where the host can't tell more"
    );
    assert_eq!(time(3), Ok(4_000));
    assert_eq!(time(4), Err(Errno::Inval));
    let mut resolution = |id| {
        guest
            .now(|process, context, memory| process.clock_res_get(context, memory, id, OUT))
            .map(|()| guest.u64_at(OUT))
    };
    assert_eq!(resolution(0), Ok(1_000));
    assert_eq!(resolution(1), Ok(1));
    assert_eq!(resolution(9), Err(Errno::Inval));
}

#[test]
fn randomness_fills_any_length() {
    let mut guest = Guest::new(&[]);
    guest
        .now(|process, context, memory| process.random_get(context, memory, 10, 5_000))
        .unwrap();
    assert_eq!(guest.bytes(9, 3), [0, 1, 2]);
    assert_eq!(guest.bytes(5_009, 2), [(5_000 % 256) as u8, 0]);
    let fault =
        guest.now(|process, context, memory| process.random_get(context, memory, 10, u32::MAX));
    assert_eq!(fault, Err(Errno::Fault));
}

#[test]
fn endings() {
    let mut guest = Guest::new(&[]);
    let mut raise = |signal| {
        let result =
            guest.now(|process, context, memory| process.proc_raise(context, memory, signal));
        (result, guest.process.exit_status())
    };
    for ignored in [0, 16, 17, 22, 27] {
        assert_eq!(raise(ignored), (Ok(()), None));
    }
    assert_eq!(raise(31), (Err(Errno::Inval), None));
    assert_eq!(raise(256 + 6), (Err(Errno::Inval), None));
    assert_eq!(raise(6), (Ok(()), Some(ExitStatus::Signal(6))));
    guest.process.proc_exit(7);
    assert_eq!(guest.process.exit_status(), Some(ExitStatus::Code(7)));
    assert_eq!(ExitStatus::Signal(6).code(), 134);
}

#[test]
fn bytes_go_where_the_offset_is() {
    let mut guest = Guest::new(&[]);
    let fd = guest.open("file", CREAT | EXCL, rights::FILE).unwrap();
    assert_eq!(guest.write(fd, b"hello world"), Ok(11));
    assert_eq!(guest.tell(fd), Ok(11));
    assert_eq!(guest.seek(fd, -5, CURRENT), Ok(6));
    assert_eq!(guest.read(fd, 100), Ok(b"world".to_vec()));
    assert_eq!(guest.read(fd, 100), Ok(Vec::new()));
    assert_eq!(guest.seek(fd, -1, END), Ok(10));
    assert_eq!(guest.seek(fd, 0, START), Ok(0));
    assert_eq!(guest.seek(fd, -1, START), Err(Errno::Inval));
    assert_eq!(guest.seek(fd, i64::MIN, CURRENT), Err(Errno::Inval));
    assert_eq!(guest.seek(fd, i64::MAX, END), Err(Errno::Inval));
    assert_eq!(guest.seek(fd, 0, 3), Err(Errno::Inval));
    assert_eq!(guest.pread(fd, 5, 6), Ok(b"world".to_vec()));
    assert_eq!(guest.pwrite(fd, b"W", 6), Ok(1));
    assert_eq!(guest.tell(fd), Ok(0), "neither moved the offset");
    assert_eq!(guest.pread(fd, 1, u64::MAX), Err(Errno::Inval));
    assert_eq!(guest.read(fd, 11), Ok(b"hello World".to_vec()));
    // A hole.
    assert_eq!(guest.seek(fd, 4, CURRENT), Ok(15));
    assert_eq!(guest.write(fd, b"!"), Ok(1));
    assert_eq!(guest.pread(fd, 100, 11), Ok(b"\0\0\0\0!".to_vec()));
    assert_eq!(guest.filestat(fd).unwrap().size, 16);
}

#[test]
fn scattered_buffers() {
    let mut guest = Guest::new(&[]);
    let fd = guest.open("file", CREAT, rights::FILE).unwrap();
    guest.put(DATA, b"abcdefghij");
    let buffers: Vec<(u32, u32)> = (0..20).map(|at| (DATA + at % 10, at % 3)).collect();
    let expected: Vec<u8> = buffers
        .iter()
        .flat_map(|(addr, len)| guest.bytes(*addr, *len).to_vec())
        .collect();
    for count in [0, 1, 2, 7, 8, 9, 20] {
        guest.seek(fd, 0, START).unwrap();
        let (iovs, count) = guest.iovecs(&buffers[..count]);
        guest
            .now(|process, context, memory| process.fd_write(context, memory, fd, iovs, count, OUT))
            .unwrap();
        let written = guest.u32_at(OUT);
        assert_eq!(
            guest.pread(fd, written, 0),
            Ok(expected[..written as usize].to_vec())
        );
        guest.put(DATA, b"abcdefghij");
    }
    let (iovs, count) = guest.iovecs(&[(2_000, 3), (3_000, 0), (4_000, 4)]);
    guest.seek(fd, 0, START).unwrap();
    guest
        .now(|process, context, memory| process.fd_read(context, memory, fd, iovs, count, OUT))
        .unwrap();
    assert_eq!(guest.u32_at(OUT), 7);
    assert_eq!(
        [guest.bytes(2_000, 3), guest.bytes(4_000, 4)].concat(),
        expected[..7]
    );
}

#[test]
fn wrong_buffers_leave_everything_as_it_was() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    let fd = guest.open("file", 0, rights::FILE).unwrap();
    let mut read = |buffers: &[(u32, u32)], out| {
        let (iovs, count) = guest.iovecs(buffers);
        let result = guest
            .now(|process, context, memory| process.fd_read(context, memory, fd, iovs, count, out));
        assert_eq!(guest.tell(fd), Ok(0));
        result
    };
    assert_eq!(read(&[(DATA, 1), (SIZE, 1)], OUT), Err(Errno::Fault));
    assert_eq!(read(&[(DATA, u32::MAX)], OUT), Err(Errno::Fault));
    assert_eq!(read(&[(DATA, 1)], SIZE - 3), Err(Errno::Fault));
    assert_eq!(read(&[(DATA, 1)], u32::MAX), Err(Errno::Fault));
    let mut write = |iovs, count| {
        guest
            .now(|process, context, memory| process.fd_write(context, memory, fd, iovs, count, OUT))
    };
    assert_eq!(write(0, IOVECS_MAX + 1), Err(Errno::Inval));
    assert_eq!(write(0, u32::MAX), Err(Errno::Inval));
    assert_eq!(write(SIZE - 4, 1), Err(Errno::Fault));
    assert_eq!(write(u32::MAX, 1), Err(Errno::Fault));
    assert_eq!(guest.filestat(fd).unwrap().size, 3);
}

#[test]
fn appending() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    let fd = guest
        .open_in(3, "file", 0, rights::FILE, 0, APPEND)
        .unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().1, APPEND as u16);
    assert_eq!(guest.write(fd, b"d"), Ok(1));
    assert_eq!(guest.tell(fd), Ok(4));
    assert_eq!(guest.seek(fd, 0, START), Ok(0));
    assert_eq!(guest.write(fd, b"e"), Ok(1));
    assert_eq!(
        guest.pwrite(fd, b"f", 0),
        Ok(1),
        "at the end, as Linux does"
    );
    assert_eq!(guest.tell(fd), Ok(5));
    assert_eq!(guest.pread(fd, 10, 0), Ok(b"abcdef".to_vec()));
    guest.set_flags(fd, SYNC).unwrap();
    assert_eq!(guest.pwrite(fd, b"A", 0), Ok(1));
    assert_eq!(guest.pread(fd, 10, 0), Ok(b"Abcdef".to_vec()));
    assert_eq!(guest.set_flags(fd, 32), Err(Errno::Inval));
    assert_eq!(guest.set_flags(fd, 1 << 16), Err(Errno::Inval));
}

#[test]
fn rights_are_needed_and_only_narrow() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    let read_only = guest.open("file", 0, rights::READ).unwrap();
    assert_eq!(guest.read(read_only, 3), Ok(b"abc".to_vec()));
    assert_eq!(guest.write(read_only, b"x"), Err(Errno::Notcapable));
    assert_eq!(guest.seek(read_only, 0, START), Err(Errno::Notcapable));
    assert_eq!(guest.tell(read_only), Err(Errno::Notcapable));
    assert_eq!(guest.pread(read_only, 3, 0), Err(Errno::Notcapable));
    assert_eq!(guest.filestat(read_only), Err(Errno::Notcapable));
    let seeking = guest.open("file", 0, rights::SEEK).unwrap();
    assert_eq!(guest.tell(seeking), Ok(0), "the right to seek implies it");
    let telling = guest.open("file", 0, rights::TELL).unwrap();
    assert_eq!(guest.seek(telling, 0, CURRENT), Ok(0));
    assert_eq!(guest.seek(telling, 1, CURRENT), Err(Errno::Notcapable));

    let fd = guest
        .open("file", 0, rights::READ | rights::WRITE | rights::SEEK)
        .unwrap();
    let mut narrow = |base| {
        guest.now(|process, context, memory| {
            process.fd_fdstat_set_rights(context, memory, fd, base, 0)
        })
    };
    assert_eq!(narrow(rights::READ | rights::SEEK), Ok(()));
    assert_eq!(narrow(rights::READ | rights::WRITE), Err(Errno::Notcapable));
    assert_eq!(narrow(1 << 40), Err(Errno::Notcapable));
    assert_eq!(
        guest.fdstat(fd),
        Ok((FILE_KIND, 0, rights::READ | rights::SEEK, 0))
    );
    assert_eq!(guest.write(fd, b"x"), Err(Errno::Notcapable));
}

#[test]
fn rights_are_inherited() {
    let mut guest = Guest::new(&[("d/file", b"abc")]);
    let base = rights::PATH_OPEN;
    let fd = guest
        .open_in(3, "d", DIRECTORY, base, rights::READ, 0)
        .unwrap();
    assert_eq!(
        guest.fdstat(fd),
        Ok((DIRECTORY_KIND, 0, base, rights::READ))
    );
    assert!(guest.open_in(fd, "file", 0, rights::READ, 0, 0).is_ok());
    let more = guest.open_in(fd, "file", 0, rights::READ | rights::SEEK, 0, 0);
    assert_eq!(more, Err(Errno::Notcapable));
    let passed_on = guest.open_in(fd, "file", 0, 0, rights::SEEK, 0);
    assert_eq!(passed_on, Err(Errno::Notcapable));
    assert_eq!(
        guest.open_in(fd, "new", CREAT, 0, 0, 0),
        Err(Errno::Notcapable)
    );
    assert_eq!(
        guest.open_in(fd, "file", TRUNC, 0, 0, 0),
        Err(Errno::Notcapable)
    );
    let closed = guest.open_in(3, "d", DIRECTORY, 0, u64::MAX, 0).unwrap();
    assert_eq!(
        guest.open_in(closed, "file", 0, 0, 0, 0),
        Err(Errno::Notcapable)
    );
    assert_eq!(guest.readdir(closed, 100, 0), Err(Errno::Notcapable));
    // What makes no sense for a directory is left out.
    let base = guest.fdstat(3).unwrap().2;
    assert_eq!(
        base & (rights::SEEK | rights::SET_SIZE | rights::WRITE | rights::READ),
        0
    );
    assert_ne!(base & rights::PATH_SET_SIZE, 0);
}

#[test]
fn opening() {
    let mut guest = Guest::new(&[("d/file", b"abc")]);
    guest.symlink("file", "d/link").unwrap();
    assert_eq!(guest.open("new", 0, 0), Err(Errno::Noent));
    assert_eq!(guest.open("d/file", CREAT | EXCL, 0), Err(Errno::Exist));
    assert_eq!(guest.open("d/file", DIRECTORY, 0), Err(Errno::Notdir));
    assert_eq!(guest.open("d/file/", 0, 0), Err(Errno::Notdir));
    assert_eq!(
        guest.open("d", DIRECTORY, rights::READ | rights::WRITE),
        Err(Errno::Isdir)
    );
    assert_eq!(guest.open("d/link", 0, rights::READ), Err(Errno::Loop));
    assert_eq!(guest.open("../d", 0, 0), Err(Errno::Notcapable));
    assert_eq!(guest.open("/d", 0, 0), Err(Errno::Notcapable));
    assert_eq!(guest.open("", 0, 0), Err(Errno::Noent));
    assert_eq!(guest.open("d\0", 0, 0), Err(Errno::Inval));
    assert_eq!(guest.open("d", 16, 0), Err(Errno::Inval));
    assert_eq!(guest.open_in(3, "d", 0, 0, 0, 32), Err(Errno::Inval));
    assert_eq!(guest.open_in(0, "d", 0, 0, 0, 0), Err(Errno::Notdir));
    assert_eq!(guest.open_in(50, "d", 0, 0, 0, 0), Err(Errno::Badf));
    assert!(guest.open("d", 0, rights::READ).is_ok());
    let truncated = guest.open("d/file", TRUNC, rights::STAT).unwrap();
    assert_eq!(guest.filestat(truncated).unwrap().size, 0);
    let followed = guest.now(|process, context, memory| {
        memory[PATH as usize..][..6].copy_from_slice(b"d/link");
        process.path_open(context, memory, 3, 1, PATH, 6, 0, rights::READ, 0, 0, OUT)
    });
    assert_eq!(followed, Ok(()));
}

#[test]
fn paths_are_checked() {
    let mut guest = Guest::new(&[]);
    let mut make = |addr: u32, len: u32| {
        guest.now(|process, context, memory| {
            process.path_create_directory(context, memory, 3, addr, len)
        })
    };
    assert_eq!(make(PATH, 5_000), Err(Errno::Nametoolong));
    assert_eq!(make(PATH, u32::MAX), Err(Errno::Fault));
    assert_eq!(make(SIZE - 1, 2), Err(Errno::Fault));
    guest.put(PATH, &[0xff, 0xfe]);
    let not_utf8 = guest
        .now(|process, context, memory| process.path_create_directory(context, memory, 3, PATH, 2));
    assert_eq!(not_utf8, Err(Errno::Ilseq));
    let long = "x".repeat(256);
    assert_eq!(
        guest.on_path(PathCall::MakeDirectory, &long),
        Err(Errno::Nametoolong)
    );
    assert_eq!(guest.on_path(PathCall::MakeDirectory, &long[..255]), Ok(()));
}

#[test]
fn names() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    guest.on_path(PathCall::MakeDirectory, "d").unwrap();
    assert_eq!(
        guest.on_path(PathCall::MakeDirectory, "d"),
        Err(Errno::Exist)
    );
    guest.link("file", false, "d/hard").unwrap();
    assert_eq!(guest.path_filestat("d/hard", false).unwrap().nlink, 2);
    assert_eq!(guest.link("d", false, "e"), Err(Errno::Perm));
    assert_eq!(
        guest.on_path(PathCall::RemoveDirectory, "d"),
        Err(Errno::Notempty)
    );
    assert_eq!(
        guest.on_path(PathCall::RemoveDirectory, "file"),
        Err(Errno::Notdir)
    );
    assert_eq!(guest.on_path(PathCall::Unlink, "d"), Err(Errno::Isdir));
    guest.rename("d/hard", "moved").unwrap();
    guest.on_path(PathCall::RemoveDirectory, "d/").unwrap();
    guest.on_path(PathCall::Unlink, "file").unwrap();
    assert_eq!(guest.path_filestat("moved", false).unwrap().nlink, 1);
    assert_eq!(guest.path_filestat("file", false), Err(Errno::Noent));
}

#[test]
fn links() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    guest.symlink("file", "link").unwrap();
    assert_eq!(guest.symlink("/file", "absolute"), Err(Errno::Notcapable));
    assert_eq!(guest.symlink("file", "link"), Err(Errno::Exist));
    assert_eq!(
        guest.path_filestat("link", false).unwrap().kind,
        SYMLINK_KIND
    );
    assert_eq!(guest.path_filestat("link", true).unwrap().size, 3);
    let mut read = |path: &str, len| {
        let path_len = guest.path(path);
        guest
            .now(|process, context, memory| {
                process.path_readlink(context, memory, 3, PATH, path_len, DATA, len, OUT)
            })
            .map(|()| guest.bytes(DATA, guest.u32_at(OUT)).to_vec())
    };
    assert_eq!(read("link", 100), Ok(b"file".to_vec()));
    assert_eq!(read("link", 2), Ok(b"fi".to_vec()));
    assert_eq!(read("link", 0), Ok(Vec::new()));
    assert_eq!(read("file", 100), Err(Errno::Inval));
    assert_eq!(read("link", u32::MAX), Err(Errno::Fault));
    guest.link("link", true, "through").unwrap();
    assert_eq!(
        guest.path_filestat("through", false).unwrap().kind,
        FILE_KIND
    );
}

#[test]
fn times_and_sizes() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    let fd = guest.open("file", 0, rights::FILE).unwrap();
    let mut set = |atim, mtim, flags| {
        guest.now(|process, context, memory| {
            process.fd_filestat_set_times(context, memory, fd, atim, mtim, flags)
        })
    };
    assert_eq!(set(1, 2, 1 | 2), Err(Errno::Inval));
    assert_eq!(set(1, 2, 4 | 8), Err(Errno::Inval));
    assert_eq!(set(1, 2, 16), Err(Errno::Inval));
    assert_eq!(set(1, 2, 1 | 4), Ok(()));
    assert_eq!(guest.filestat(fd).unwrap().mtim, 2);
    let path_len = guest.path("file");
    let mut set_path = |flags| {
        guest.now(|process, context, memory| {
            process.path_filestat_set_times(context, memory, 3, 0, PATH, path_len, 7, 7, flags)
        })
    };
    assert_eq!(set_path(4), Ok(()));
    assert_eq!(set_path(12), Err(Errno::Inval));
    assert_eq!(guest.filestat(fd).unwrap().mtim, 7);
    let mut resize = |size| {
        guest
            .now(|process, context, memory| process.fd_filestat_set_size(context, memory, fd, size))
    };
    assert_eq!(resize(100), Ok(()));
    assert_eq!(resize(u64::MAX), Err(Errno::Inval));
    assert_eq!(guest.filestat(fd).unwrap().size, 100);
    let mut allocate = |offset, len| {
        guest.now(|process, context, memory| process.fd_allocate(context, memory, fd, offset, len))
    };
    assert_eq!(allocate(10, 10), Ok(()));
    assert_eq!(allocate(90, 20), Ok(()));
    assert_eq!(allocate(0, 0), Err(Errno::Inval));
    assert_eq!(allocate(u64::MAX, 1), Err(Errno::Fbig));
    assert_eq!(guest.filestat(fd).unwrap().size, 110);
    let mut advise = |advice| {
        guest.now(|process, context, memory| process.fd_advise(context, memory, fd, 0, 10, advice))
    };
    assert_eq!(advise(5), Err(Errno::Notcapable), "without the right");
    let fd = guest.open("file", 0, 1 << 7).unwrap();
    let mut advise = |advice| {
        guest.now(|process, context, memory| process.fd_advise(context, memory, fd, 0, 10, advice))
    };
    assert_eq!((advise(5), advise(6)), (Ok(()), Err(Errno::Inval)));
}

#[test]
fn a_read_only_mount_changes_by_no_way() {
    let mut guest = Guest::with(&[], |config| {
        let clock = std::sync::Arc::new(TestClock::new(1));
        let root = memory(&clock, &[("file", b"abc")]);
        config
            .namespace
            .mount(root, "/ro", Rights::RO, BindFlags::REPLACE)
            .unwrap();
    });
    assert_eq!(guest.open("ro/file", 0, rights::WRITE), Err(Errno::Rofs));
    assert_eq!(guest.open("ro/file", 0, rights::SET_SIZE), Err(Errno::Rofs));
    assert_eq!(guest.open("ro/file", 0, rights::ALLOCATE), Err(Errno::Rofs));
    assert_eq!(guest.open("ro/file", TRUNC, rights::READ), Err(Errno::Rofs));
    assert_eq!(guest.open("ro/new", CREAT, rights::READ), Err(Errno::Rofs));
    let fd = guest
        .open(
            "ro/file",
            0,
            rights::READ | rights::SET_TIMES | rights::STAT,
        )
        .unwrap();
    let before = guest.filestat(fd).unwrap();
    let times = guest.now(|process, context, memory| {
        process.fd_filestat_set_times(context, memory, fd, 9, 9, 1 | 4)
    });
    assert_eq!(times, Err(Errno::Rofs));
    assert_eq!(guest.filestat(fd), Ok(before));
    assert_eq!(guest.on_path(PathCall::Unlink, "ro/file"), Err(Errno::Rofs));
    assert_eq!(guest.rename("ro/file", "ro/other"), Err(Errno::Rofs));
    assert_eq!(guest.link("ro/file", false, "here"), Err(Errno::Xdev));
}

#[test]
fn descriptors_are_numbered_from_the_lowest() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    let fds: Vec<u32> = (0..5)
        .map(|_| guest.open("file", 0, rights::READ).unwrap())
        .collect();
    assert_eq!(fds, [4, 5, 6, 7, 8]);
    guest.close(7).unwrap();
    guest.close(5).unwrap();
    assert_eq!(guest.close(5), Err(Errno::Badf));
    assert_eq!(guest.close(u32::MAX), Err(Errno::Badf));
    assert_eq!(guest.open("file", 0, 0), Ok(5));
    assert_eq!(guest.open("file", 0, 0), Ok(7));
    let mut renumber = |from, to| {
        guest.now(|process, context, memory| process.fd_renumber(context, memory, from, to))
    };
    assert_eq!(renumber(5, 6), Ok(()));
    assert_eq!(renumber(5, 6), Err(Errno::Badf));
    assert_eq!(renumber(6, 5), Err(Errno::Badf));
    assert_eq!(renumber(6, 6), Ok(()));
    assert_eq!(guest.read(6, 1), Err(Errno::Notcapable), "it is what was 5");
    assert_eq!(guest.open("file", 0, 0), Ok(5));
}

#[test]
fn there_are_only_so_many_descriptors() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    for fd in 4..64 {
        assert_eq!(guest.open("file", 0, 0), Ok(fd));
    }
    assert_eq!(guest.open("new", CREAT, 0), Err(Errno::Mfile));
    assert_eq!(
        guest.path_filestat("new", false),
        Err(Errno::Noent),
        "nothing was made"
    );
    assert_eq!(guest.process.usage().files_peak, 64);
    guest.close(20).unwrap();
    assert_eq!(guest.open("new", CREAT, 0), Ok(20));
}

#[test]
fn preopened_directories() {
    let mut guest = Guest::new(&[]);
    guest
        .now(|process, context, memory| process.fd_prestat_get(context, memory, 3, OUT))
        .unwrap();
    assert_eq!((guest.u32_at(OUT), guest.u32_at(OUT + 4)), (0, 1));
    let mut name = |len| {
        guest.now(|process, context, memory| {
            process.fd_prestat_dir_name(context, memory, 3, DATA, len)
        })
    };
    assert_eq!(name(0), Err(Errno::Nametoolong));
    assert_eq!((name(1), name(2)), (Ok(()), Ok(())));
    assert_eq!(guest.bytes(DATA, 2), b"/\0");
    let mut prestat =
        |fd| guest.now(|process, context, memory| process.fd_prestat_get(context, memory, fd, OUT));
    assert_eq!(
        (prestat(0), prestat(4)),
        (Err(Errno::Badf), Err(Errno::Badf))
    );
    let opened = guest.open(".", DIRECTORY, 0).unwrap();
    let stats = (
        guest.filestat(3).unwrap(),
        guest.path_filestat(".", false).unwrap(),
    );
    assert_eq!(stats.0, stats.1);
    let mut prestat =
        |fd| guest.now(|process, context, memory| process.fd_prestat_get(context, memory, fd, OUT));
    assert_eq!(prestat(opened), Err(Errno::Badf));
    guest.close(3).unwrap();
    let closed =
        guest.now(|process, context, memory| process.fd_prestat_get(context, memory, 3, OUT));
    assert_eq!(closed, Err(Errno::Badf));
}

#[test]
fn directories_have_no_bytes() {
    let mut guest = Guest::new(&[]);
    assert_eq!(guest.read(3, 1), Err(Errno::Isdir));
    assert_eq!(guest.write(3, b"x"), Err(Errno::Isdir));
    assert_eq!(guest.seek(3, 0, START), Err(Errno::Badf));
    assert_eq!(guest.tell(3), Err(Errno::Badf));
    let size =
        guest.now(|process, context, memory| process.fd_filestat_set_size(context, memory, 3, 0));
    assert_eq!(size, Err(Errno::Badf));
    let allocate =
        guest.now(|process, context, memory| process.fd_allocate(context, memory, 3, 0, 1));
    assert_eq!(allocate, Err(Errno::Badf));
}

#[test]
fn listing() {
    let names: Vec<String> = (0..300).map(|index| format!("file.{index}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let mut guest = Guest::new(&files);
    let all = entries(&guest.readdir(3, 40_000, 0).unwrap());
    assert_eq!(all.len(), 302);
    assert_eq!((all[0].3.as_str(), all[1].3.as_str()), (".", ".."));
    assert_eq!(all[0].1, guest.filestat(3).unwrap().ino);
    assert_eq!(all[2].1, guest.path_filestat(&all[2].3, false).unwrap().ino);
    assert_eq!((all[1].2, all[2].2), (DIRECTORY_KIND, FILE_KIND));
    // A buffer of any size shows the same entries, and is full unless the listing has ended.
    for len in [24, 25, 26, 27, 33, 100, 256, 4096] {
        let (mut cookie, mut seen) = (0, Vec::new());
        loop {
            let bytes = guest.readdir(3, len, cookie).unwrap();
            let page = entries(&bytes);
            seen.extend(page.iter().map(|entry| entry.3.clone()));
            match page.last() {
                Some(last) => cookie = last.0,
                // Not even one fits: a guest makes its buffer larger.
                None => break,
            }
            if bytes.len() < len as usize {
                break;
            }
        }
        let whole = all.iter().map(|entry| entry.3.clone());
        if len >= 100 {
            assert_eq!(seen, whole.collect::<Vec<_>>());
        }
    }
    assert_eq!(guest.readdir(3, 0, 0), Ok(Vec::new()));
    assert_eq!(guest.readdir(3, 100, u64::MAX), Ok(Vec::new()));
    assert_eq!(guest.readdir(0, 100, 0), Err(Errno::Notdir));
    let fault = guest.now(|process, context, memory| {
        process.fd_readdir(context, memory, 3, DATA, u32::MAX, 0, OUT)
    });
    assert_eq!(fault, Err(Errno::Fault));
}

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
enum Wait {
    Clock {
        id: u32,
        timeout: u64,
        absolute: bool,
    },
    Read(u32),
    Write(u32),
}

/// Stores subscriptions; their userdata are their indices and 100.
fn subscribe(guest: &mut Guest, waits: &[Wait], unstable: bool) {
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
type Event = (u64, u16, u8, u16);

/// Polls, and returns the events.
fn poll(guest: &mut Guest, count: u32, unstable: bool) -> Poll<Result<Vec<Event>, Errno>> {
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

#[test]
fn the_snapshot_before() {
    let mut guest = Guest::new(&[("file", b"abcdef")]);
    let fd = guest.open("file", 0, rights::FILE).unwrap();
    guest.seek(fd, 2, START).unwrap();
    let mut seek = |offset, whence| {
        guest
            .now(|process, context, memory| {
                process.unstable_fd_seek(context, memory, fd, offset, whence, OUT)
            })
            .map(|()| guest.u64_at(OUT))
    };
    assert_eq!(seek(1, 0), Ok(3), "0 is the current offset");
    assert_eq!(seek(-1, 1), Ok(5), "1 is the end");
    assert_eq!(seek(1, 2), Ok(1), "2 is the start");
    let now = guest.filestat(fd).unwrap();
    guest.memory[OUT as usize..][..64].fill(0xaa);
    guest
        .now(|process, context, memory| process.unstable_fd_filestat_get(context, memory, fd, OUT))
        .unwrap();
    assert_eq!(guest.u64_at(OUT + 8), now.ino);
    assert_eq!((guest.u32_at(OUT + 20), guest.u64_at(OUT + 24)), (1, 6));
    assert_eq!(guest.bytes(OUT + 56, 1), [0xaa], "it is 56 bytes long");
    let path_len = guest.path("file");
    guest
        .now(|process, context, memory| {
            process.unstable_path_filestat_get(context, memory, 3, 0, PATH, path_len, OUT)
        })
        .unwrap();
    assert_eq!(guest.u64_at(OUT + 24), 6);
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

#[test]
fn syncing_and_yielding() {
    let mut guest = Guest::new(&[]);
    let fd = guest.open("file", CREAT, !(1 << 14)).unwrap();
    guest
        .now(|process, context, memory| process.fd_sync(context, memory, fd))
        .unwrap();
    guest
        .now(|process, context, memory| process.fd_datasync(context, memory, fd))
        .unwrap();
    guest
        .now(|process, context, memory| process.sched_yield(context, memory))
        .unwrap();
    let badf = guest.now(|process, context, memory| process.fd_sync(context, memory, 30));
    assert_eq!(badf, Err(Errno::Badf));
    assert!(guest.process.usage().calls >= 5);
}
