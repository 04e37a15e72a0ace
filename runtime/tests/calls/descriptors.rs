//! Descriptors: their numbers, their rights, those that are there from the start.

use crate::guest::{CREAT, DATA, DIRECTORY, EXCL, Guest, OUT, TRUNC, rights};
use crate::{CURRENT, DIRECTORY_KIND, FILE_KIND, START};
use capfs::Errno;
use capfs::account::Account;
use capfs_runtime::DESCRIPTOR;

/// Takes rights away.
pub fn narrow(guest: &mut Guest, fd: u32, base: u64, inheriting: u64) -> Result<(), Errno> {
    guest.now(|process, context, memory| {
        process.fd_fdstat_set_rights(context, memory, fd, base, inheriting)
    })
}

#[test]
fn a_file_can_do_what_it_was_opened_for() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    // Whatever else was asked for: the programs of the world ask as they like.
    let read_only = guest.open("file", 0, rights::READ).unwrap();
    assert_eq!(guest.read(read_only, 3), Ok(b"abc".to_vec()));
    assert_eq!(guest.write(read_only, b"x"), Err(Errno::Notcapable));
    assert_eq!(guest.seek(read_only, 1, START), Ok(1));
    assert_eq!(guest.tell(read_only), Ok(1));
    assert_eq!(guest.pread(read_only, 3, 2), Ok(b"c".to_vec()));
    assert_eq!(guest.filestat(read_only).unwrap().size, 3);
    let write_only = guest.open("file", 0, rights::WRITE).unwrap();
    assert_eq!(guest.read(write_only, 3), Err(Errno::Notcapable));
    assert_eq!(guest.pwrite(write_only, b"d", 3), Ok(1));
    let neither = guest.open("file", 0, 0).unwrap();
    assert_eq!(guest.read(neither, 3), Err(Errno::Notcapable));
    assert_eq!(guest.write(neither, b"x"), Err(Errno::Notcapable));
    assert_eq!(guest.filestat(neither).unwrap().size, 4);
}

#[test]
fn rights_that_were_taken_away_are_needed_and_only_narrow() {
    let mut guest = Guest::new(&[("file", b"abc")]);
    let fd = guest
        .open("file", 0, rights::READ | rights::WRITE | rights::SEEK)
        .unwrap();
    let (read_seek, none) = (rights::READ | rights::SEEK, 0);
    assert_eq!(narrow(&mut guest, fd, read_seek, none), Ok(()));
    assert_eq!(
        narrow(&mut guest, fd, rights::READ | rights::WRITE, none),
        Err(Errno::Notcapable)
    );
    assert_eq!(
        narrow(&mut guest, fd, 1 << 40, none),
        Err(Errno::Notcapable)
    );
    assert_eq!(guest.fdstat(fd), Ok((FILE_KIND, 0, read_seek, 0)));
    assert_eq!(guest.write(fd, b"x"), Err(Errno::Notcapable));
    assert_eq!(guest.filestat(fd), Err(Errno::Notcapable));
    assert_eq!(guest.tell(fd), Ok(0), "the right to seek implies it");
    let advised =
        guest.now(|process, context, memory| process.fd_advise(context, memory, fd, 0, 10, 0));
    assert_eq!(advised, Err(Errno::Notcapable));

    let telling = guest.open("file", 0, rights::READ).unwrap();
    assert_eq!(narrow(&mut guest, telling, rights::TELL, none), Ok(()));
    assert_eq!(guest.seek(telling, 0, CURRENT), Ok(0));
    assert_eq!(guest.seek(telling, 1, CURRENT), Err(Errno::Notcapable));
    assert_eq!(narrow(&mut guest, telling, 0, none), Ok(()));
    assert_eq!(guest.tell(telling), Err(Errno::Notcapable));
}

#[test]
fn what_is_asked_of_a_directory_binds_nothing_below_it() {
    let mut guest = Guest::new(&[("d/e/file", b"abc")]);
    // What Zig's `openDir` and Go's `os.Root` ask for.
    let zig = rights::PATH_OPEN | rights::READDIR | rights::STAT;
    let mut directory = guest.open_in(3, "d", DIRECTORY, zig, zig, 0).unwrap();
    directory = guest.open_in(directory, "e", DIRECTORY, 0, 0, 0).unwrap();
    let base = rights::READ | rights::WRITE;
    let fd = guest
        .open_in(directory, "new", CREAT | EXCL, base, 0, 0)
        .unwrap();
    assert_eq!(guest.write(fd, b"x"), Ok(1));
    assert!(guest.open_in(directory, "file", TRUNC, base, 0, 0).is_ok());
    let everything = guest.fdstat(3).unwrap();
    assert_eq!(guest.fdstat(directory), Ok(everything));
}

#[test]
fn what_was_taken_from_a_directory_is_not_handed_on() {
    let mut guest = Guest::new(&[("d/file", b"abc"), ("d/e/file", b"abc")]);
    let fd = guest.open("d", DIRECTORY, rights::PATH_OPEN).unwrap();
    let base = rights::PATH_OPEN;
    assert_eq!(narrow(&mut guest, fd, base, base | rights::READ), Ok(()));
    assert_eq!(
        guest.fdstat(fd),
        Ok((DIRECTORY_KIND, 0, base, base | rights::READ))
    );
    let file = guest.open_in(fd, "file", 0, rights::READ, 0, 0).unwrap();
    assert_eq!(guest.read(file, 3), Ok(b"abc".to_vec()));
    assert_eq!(guest.filestat(file), Err(Errno::Notcapable));
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
    assert_eq!(guest.readdir(fd, 100, 0), Err(Errno::Notcapable));
    let below = guest.open_in(fd, "e", DIRECTORY, 0, 0, 0).unwrap();
    assert!(guest.open_in(below, "file", 0, rights::READ, 0, 0).is_ok());
    assert_eq!(
        guest.open_in(below, "file", 0, rights::WRITE, 0, 0),
        Err(Errno::Notcapable)
    );
    assert_eq!(narrow(&mut guest, fd, 0, 0), Ok(()));
    assert_eq!(
        guest.open_in(fd, "file", 0, 0, 0, 0),
        Err(Errno::Notcapable)
    );
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
