//! Names: opening, making, moving, linking, and what is known about files.

use crate::guest::{
    CREAT, DATA, DIRECTORY, EXCL, Guest, OUT, PATH, PathCall, SIZE, TRUNC, TestClock, memory,
    rights,
};
use crate::{FILE_KIND, SYMLINK_KIND};
use capfs::{BindFlags, Errno, Rights};

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
    // Asking for the rights that change a size opens nothing to be written, and changes no size.
    for right in [rights::SET_SIZE, rights::ALLOCATE] {
        let fd = guest.open("ro/file", 0, rights::READ | right).unwrap();
        assert_eq!(guest.read(fd, 4), Ok(b"abc".to_vec()));
        let resized = guest
            .now(|process, context, memory| process.fd_filestat_set_size(context, memory, fd, 1));
        assert_eq!(resized, Err(Errno::Notcapable));
        let allocated =
            guest.now(|process, context, memory| process.fd_allocate(context, memory, fd, 0, 99));
        assert_eq!(allocated, Err(Errno::Notcapable));
        guest.close(fd).unwrap();
    }
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
