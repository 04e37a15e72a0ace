//! Bytes of files: offsets, scattered buffers, appending, syncing.

use crate::guest::{APPEND, CREAT, DATA, EXCL, Guest, OUT, SIZE, SYNC, rights};
use crate::{CURRENT, END, START};
use capfs::Errno;
use capfs_runtime::IOVECS_MAX;

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
