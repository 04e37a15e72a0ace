//! Sizes set: shorter, longer (with zeros), by `O_TRUNC`, while other handles are open.

use transcript::wasi::{OFLAGS_TRUNC, WHENCE_CUR};
use transcript::{
    CREATE, FIRST, READ, READ_WRITE, close, contents, make_file, open, read, seek, show, stat,
    wasi, write,
};

fn resize(fd: u32, size: u64) -> Result<(), wasi::Errno> {
    // SAFETY: numbers are all that is passed.
    unsafe { wasi::fd_filestat_set_size(fd, size) }
}

fn main() {
    make_file(FIRST, "file", b"abcdefgh").unwrap();
    let fd = open(FIRST, "file", 0, READ_WRITE).unwrap();
    let other = open(FIRST, "file", 0, READ).unwrap();
    let _ = show("read 6", read(fd, 6));
    let _ = show("cut to 3", resize(fd, 3));
    let _ = show("offset stays", seek(fd, 0, WHENCE_CUR));
    let _ = show("read past the cut", read(fd, 10));
    let _ = show("seen by the other handle", read(other, 10));
    let _ = show("write after the cut", write(fd, b"Z"));
    let _ = show("contents", contents(FIRST, "file"));
    let _ = show("grow to 10", resize(fd, 10));
    let _ = show("contents", contents(FIRST, "file"));
    let _ = show("cut to 0", resize(fd, 0));
    let _ = show("size", stat(other).map(|stat| stat.size));
    let _ = show("a read-only handle", resize(other, 1).map_err(|_| wasi::ERRNO_INVAL));
    println!("a size beyond every file is refused: {}", resize(fd, u64::MAX).is_err());
    let _ = show("size", stat(fd).map(|stat| stat.size));
    let _ = close(fd);

    make_file(FIRST, "file", b"abcdefgh").unwrap();
    let emptied = open(FIRST, "file", OFLAGS_TRUNC, READ_WRITE).unwrap();
    let _ = show("size after O_TRUNC", stat(other).map(|stat| stat.size));
    let _ = show("write", write(emptied, b"x"));
    let again = open(FIRST, "file", CREATE, READ_WRITE).unwrap();
    let _ = show("size after another", stat(emptied).map(|stat| stat.size));
    let _ = show("the first handle writes on", write(emptied, b"y"));
    let _ = show("contents", contents(FIRST, "file"));
    let _ = close(again);
}
