//! `APPEND` writes at the end wherever the offset is, for each handle that has it.

use transcript::wasi::{FDFLAGS_APPEND, WHENCE_CUR, WHENCE_SET};
use transcript::{
    CREATE, FIRST, READ_WRITE, contents, open, open_with, read, seek, show, wasi, write,
};

fn main() {
    let plain = open(FIRST, "log", CREATE, READ_WRITE).unwrap();
    let _ = show("write", write(plain, b"one,"));
    let first = open_with(FIRST, 0, "log", 0, READ_WRITE, FDFLAGS_APPEND).unwrap();
    let second = open_with(FIRST, 0, "log", 0, READ_WRITE, FDFLAGS_APPEND).unwrap();
    let _ = show("first appends", write(first, b"two,"));
    let _ = show("second appends", write(second, b"three,"));
    let _ = show("first appends again", write(first, b"four,"));
    let _ = show("its offset", seek(first, 0, WHENCE_CUR));
    let _ = show("rewind", seek(first, 0, WHENCE_SET));
    let _ = show("read 4", read(first, 4));
    let _ = show("append from the middle", write(first, b"five,"));
    let _ = show("contents", contents(FIRST, "log"));
    // SAFETY: numbers are all that is passed.
    let _ = show("flag off", unsafe { wasi::fd_fdstat_set_flags(second, 0) });
    let _ = show("rewind", seek(second, 0, WHENCE_SET));
    let _ = show("overwrite", write(second, b"ONE"));
    // SAFETY: as above.
    let _ = show("flag on", unsafe { wasi::fd_fdstat_set_flags(plain, FDFLAGS_APPEND) });
    let _ = show("append", write(plain, b"six"));
    let _ = show("contents", contents(FIRST, "log"));
    // SAFETY: the results are written to the wrapper's own stack.
    for (name, fd) in [("plain", plain), ("first", first), ("second", second)] {
        let _ = show(name, unsafe { wasi::fd_fdstat_get(fd) }.map(|stat| stat.fs_flags));
    }
}
