//! The right that each call at a directory needs, as the witx names them.

use std::sync::Arc;

use crate::descriptors::narrow;
use crate::guest::{
    CREAT, DATA, DIRECTORY, Guest, OTHER_PATH, OUT, PATH, TRUNC, TestClock, memory, rights,
};
use capfs::{BindFlags, Errno, Rights as MountRights};
use capfs_runtime::Preopen;

/// A call at two directories, of which many calls use the first alone.
type Call = fn(&mut Guest, u32, u32) -> Result<(), Errno>;

/// Each call, and the rights that it needs at the first directory and at the second.
const CALLS: [(&str, u64, u64, Call); 16] = [
    ("path_create_directory", 1 << 9, 0, |guest, from, _| {
        let len = guest.path("new");
        guest.now(|process, context, memory| {
            process.path_create_directory(context, memory, from, PATH, len)
        })
    }),
    (
        "path_open, creating",
        1 << 10 | 1 << 13,
        0,
        |guest, from, _| guest.open_in(from, "new", CREAT, 0, 0, 0).map(drop),
    ),
    ("path_link", 1 << 11, 1 << 12, |guest, from, to| {
        let (len, other) = (guest.path("file"), guest.other_path("new"));
        guest.now(|process, context, memory| {
            process.path_link(context, memory, from, 0, PATH, len, to, OTHER_PATH, other)
        })
    }),
    ("path_open", 1 << 13, 0, |guest, from, _| {
        guest.open_in(from, "file", 0, 0, 0, 0).map(drop)
    }),
    ("fd_readdir", 1 << 14, 0, |guest, from, _| {
        guest.readdir(from, 100, 0).map(drop)
    }),
    ("path_readlink", 1 << 15, 0, |guest, from, _| {
        let len = guest.path("link");
        guest.now(|process, context, memory| {
            process.path_readlink(context, memory, from, PATH, len, DATA, 100, OUT)
        })
    }),
    ("path_rename", 1 << 16, 1 << 17, |guest, from, to| {
        let (len, other) = (guest.path("file"), guest.other_path("new"));
        guest.now(|process, context, memory| {
            process.path_rename(context, memory, from, PATH, len, to, OTHER_PATH, other)
        })
    }),
    ("path_filestat_get", 1 << 18, 0, |guest, from, _| {
        let len = guest.path("file");
        guest.now(|process, context, memory| {
            process.path_filestat_get(context, memory, from, 0, PATH, len, OUT)
        })
    }),
    (
        "path_open, truncating",
        1 << 13 | 1 << 19,
        0,
        |guest, from, _| guest.open_in(from, "file", TRUNC, 0, 0, 0).map(drop),
    ),
    ("path_filestat_set_times", 1 << 20, 0, |guest, from, _| {
        let len = guest.path("file");
        guest.now(|process, context, memory| {
            process.path_filestat_set_times(context, memory, from, 0, PATH, len, 9, 9, 1 | 4)
        })
    }),
    ("fd_filestat_get", 1 << 21, 0, |guest, from, _| {
        guest.filestat(from).map(drop)
    }),
    ("fd_filestat_set_times", 1 << 23, 0, |guest, from, _| {
        guest.now(|process, context, memory| {
            process.fd_filestat_set_times(context, memory, from, 9, 9, 1 | 4)
        })
    }),
    ("path_symlink", 1 << 24, 0, |guest, from, _| {
        let (len, other) = (guest.path("file"), guest.other_path("new"));
        guest.now(|process, context, memory| {
            process.path_symlink(context, memory, PATH, len, from, OTHER_PATH, other)
        })
    }),
    ("path_remove_directory", 1 << 25, 0, |guest, from, _| {
        let len = guest.path("empty");
        guest.now(|process, context, memory| {
            process.path_remove_directory(context, memory, from, PATH, len)
        })
    }),
    ("path_unlink_file", 1 << 26, 0, |guest, from, _| {
        let len = guest.path("file");
        guest.now(|process, context, memory| {
            process.path_unlink_file(context, memory, from, PATH, len)
        })
    }),
    ("fd_sync", 1 << 4, 0, |guest, from, _| {
        guest.now(|process, context, memory| process.fd_sync(context, memory, from))
    }),
];

/// A guest with two directories.
fn guest() -> (Guest, u32, u32) {
    let mut guest = Guest::new(&[("from/file", b"abc"), ("to/other", b"")]);
    let from = guest.open("from", DIRECTORY, rights::PATH_OPEN).unwrap();
    let to = guest.open("to", DIRECTORY, rights::PATH_OPEN).unwrap();
    let (len, other) = (guest.path("file"), guest.other_path("link"));
    guest
        .now(|process, context, memory| {
            process.path_symlink(context, memory, PATH, len, from, OTHER_PATH, other)
        })
        .unwrap();
    let len = guest.path("empty");
    guest
        .now(|process, context, memory| {
            process.path_create_directory(context, memory, from, PATH, len)
        })
        .unwrap();
    (guest, from, to)
}

#[test]
fn each_call_at_a_directory_needs_its_rights_and_no_others() {
    for (name, at_from, at_to, call) in CALLS {
        let (mut all, from, _) = guest();
        let (_, _, everything, handed_on) = all.fdstat(from).unwrap();
        let outcome = |base_from: u64, base_to: u64| {
            let (mut guest, from, to) = guest();
            narrow(&mut guest, from, base_from, handed_on).unwrap();
            narrow(&mut guest, to, base_to, handed_on).unwrap();
            call(&mut guest, from, to)
        };
        assert_eq!(outcome(at_from, at_to), Ok(()), "{name}, with these alone");
        for bit in (0..64).map(|bit| 1 << bit) {
            let refused = Err(Errno::Notcapable);
            if at_from & bit != 0 {
                assert_eq!(outcome(everything & !bit, everything), refused, "{name}");
            }
            if at_to & bit != 0 {
                assert_eq!(outcome(everything, everything & !bit), refused, "{name}");
            }
        }
    }
}

/// What changes something, and what C libraries ask for beside writing.
const CHANGING: u64 = 0x079b_1600 | rights::WRITE | rights::ALLOCATE | rights::SET_SIZE;
const DATASYNC: u64 = 1;
const BESIDE_WRITE: u64 = DATASYNC | rights::ALLOCATE | rights::SET_SIZE;

/// A guest with a directory that is mounted with these rights, as descriptor 4, and maybe another one in it.
fn mounted(mount: MountRights, inner: Option<MountRights>) -> Guest {
    Guest::with(&[("file", b"abc")], |config| {
        let clock = Arc::new(TestClock::new(0));
        let outer = memory(&clock, &[("file", b"abc"), ("dir/file", b"d")]);
        let namespace = &mut config.namespace;
        namespace
            .mount(outer, "/m", mount, BindFlags::REPLACE)
            .unwrap();
        if let Some(rights) = inner {
            let inner = memory(&clock, &[("file", b"inner")]);
            namespace
                .mount(inner, "/m/dir/inner", rights, BindFlags::REPLACE)
                .unwrap();
        }
        config.preopens.push(Preopen {
            name: "/m".to_owned(),
            path: "/m".to_owned(),
        });
    })
}

#[test]
fn of_what_may_not_be_written_the_rights_to_are_not_told() {
    let (_, _, base, handed_on) = mounted(MountRights::RW, None).fdstat(4).unwrap();
    let mut guest = mounted(MountRights::RO, None);
    let told = guest.fdstat(4).unwrap();
    assert_eq!(
        (told.2, told.3),
        (base & !CHANGING, handed_on & !CHANGING | BESIDE_WRITE)
    );
    let dir = guest.open_in(4, "dir", DIRECTORY, 0, 0, 0).unwrap();
    assert_eq!(guest.fdstat(dir).unwrap(), told);
    let file = guest.open_in(4, "file", 0, rights::READ, 0, 0).unwrap();
    let of_file = guest.fdstat(file).unwrap().2;
    assert!(
        of_file & rights::READ != 0 && of_file & CHANGING == 0,
        "{of_file:x}"
    );

    // They are there all the same, and it is the mount that refuses.
    let mut refused =
        |path: &str, oflags, rights| guest.open_in(4, path, oflags, rights, told.3, 0);
    assert_eq!(refused("file", 0, rights::WRITE), Err(Errno::Rofs));
    assert_eq!(refused("file", TRUNC, rights::READ), Err(Errno::Rofs));
    assert_eq!(refused("new", CREAT, rights::READ), Err(Errno::Rofs));
    // A C library that wants to write asks for as much of that as it was told.
    let opened_to_write = (handed_on & told.3) & !rights::READ;
    assert_eq!(refused("file", 0, opened_to_write), Err(Errno::Rofs));
    assert_eq!(refused("none", 0, opened_to_write), Err(Errno::Noent));
    assert!(refused("file", 0, opened_to_write & !BESIDE_WRITE | rights::READ).is_ok());
    // Others ask for what they like.
    let any = guest.open_in(4, "file", 0, opened_to_write | rights::READ, 0, 0);
    assert!(any.is_ok());
    let len = guest.path("made");
    let made = guest.now(|process, context, memory| {
        process.path_create_directory(context, memory, 4, PATH, len)
    });
    assert_eq!(made, Err(Errno::Rofs));
}

#[test]
fn what_may_be_written_somewhere_is_told_to_be() {
    let (_, _, base, handed_on) = mounted(MountRights::RW, None).fdstat(4).unwrap();
    for inner in [MountRights::RW, MountRights::RO] {
        // What else is mounted in it may be for anything.
        let mut guest = mounted(MountRights::RO, Some(inner));
        let told = guest.fdstat(4).unwrap();
        assert_eq!((told.2, told.3), (base, handed_on));
        let inner = guest.open_in(4, "dir/inner/file", 0, rights::WRITE, handed_on, 0);
        assert!(matches!(inner, Ok(_) | Err(Errno::Rofs)));
    }
    // So may a union of which one part is written.
    let mut guest = Guest::with(&[("file", b"abc")], |config| {
        let clock = Arc::new(TestClock::new(0));
        for (rights, flags) in [
            (MountRights::RO, BindFlags::REPLACE),
            (MountRights::RW, BindFlags::AFTER.creating()),
        ] {
            let root = memory(&clock, &[]);
            config.namespace.mount(root, "/m", rights, flags).unwrap();
        }
        config.preopens.push(Preopen {
            name: "/m".to_owned(),
            path: "/m".to_owned(),
        });
    });
    let told = guest.fdstat(4).unwrap();
    assert_eq!((told.2, told.3), (base, handed_on));
}
