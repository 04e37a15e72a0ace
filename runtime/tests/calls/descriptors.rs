//! Descriptors: their numbers, their rights, those that are there from the start.

use crate::guest::{CREAT, DATA, DIRECTORY, Guest, OUT, TRUNC, rights};
use crate::{CURRENT, DIRECTORY_KIND, FILE_KIND, START};
use capfs::Errno;
use capfs::account::Account;
use capfs_runtime::DESCRIPTOR;

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
fn descriptors_are_charged_to_an_account() {
    const ROOM: u64 = 12;
    let account = Account::new(ROOM * DESCRIPTOR);
    let own = account.clone();
    let mut guest = Guest::with(&[("file", b"abc")], |config| {
        config.account = own;
        // What they are charged for would blur the sum.
        config.args.clear();
        config.env.clear();
    });
    for fd in 4..12 {
        assert_eq!(guest.open("file", 0, 0), Ok(fd));
    }
    assert_eq!(account.left(), 0);
    assert_eq!(guest.open("new", CREAT, 0), Err(Errno::Nomem));
    assert_eq!(
        guest.path_filestat("new", false),
        Err(Errno::Noent),
        "nothing was made"
    );
    assert!(account.usage().refused > 0);
    guest.close(10).unwrap();
    assert_eq!(guest.open("new", CREAT, 0), Ok(10));
    drop(guest);
    assert_eq!(account.used(), 0);
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
