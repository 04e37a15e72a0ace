//! Descriptor flags are kept, changed and checked; all of them read and write as usual.

use transcript::wasi::{
    FDFLAGS_APPEND, FDFLAGS_DSYNC, FDFLAGS_NONBLOCK, FDFLAGS_RSYNC, FDFLAGS_SYNC,
    wasi_snapshot_preview1 as raw,
};
use transcript::{CREATE, FIRST, READ_WRITE, close, code_name, open, open_with, read_at, show, wasi, write};

fn main() {
    for (name, flags) in [
        ("none", 0),
        ("append", FDFLAGS_APPEND),
        ("nonblock", FDFLAGS_NONBLOCK),
        ("sync", FDFLAGS_SYNC),
        ("dsync", FDFLAGS_DSYNC),
        ("rsync", FDFLAGS_RSYNC),
    ] {
        match open_with(FIRST, 0, name, CREATE, READ_WRITE, flags) {
            Ok(fd) => {
                let _ = show(&format!("{name}: write"), write(fd, b"text"));
                let _ = show(&format!("{name}: read"), read_at(fd, 4, 0));
                let _ = close(fd);
            }
            Err(errno) => println!("{name}: {}", errno.name()),
        }
    }
    let fd = open(FIRST, "file", CREATE, READ_WRITE).unwrap();
    // SAFETY: numbers are passed, and results written to the wrappers' own stacks.
    unsafe {
        let flags = || wasi::fd_fdstat_get(fd).map(|stat| stat.fs_flags);
        let _ = show("flags", flags());
        let _ = show("set append", wasi::fd_fdstat_set_flags(fd, FDFLAGS_APPEND));
        let _ = show("flags", flags());
        let _ = show("set nonblock", wasi::fd_fdstat_set_flags(fd, FDFLAGS_NONBLOCK));
        let _ = show("flags", flags());
        let _ = show("clear", wasi::fd_fdstat_set_flags(fd, 0));
        let _ = show("flags", flags());
        let _ = show("of nothing", wasi::fd_fdstat_set_flags(99, 0));
        println!("unknown flags: {}", code_name(raw::fd_fdstat_set_flags(fd as i32, 32)));
        let _ = show("sync", wasi::fd_sync(fd));
        let _ = show("datasync", wasi::fd_datasync(fd));
    }
}
