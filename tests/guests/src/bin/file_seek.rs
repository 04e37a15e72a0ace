//! Offsets: from the start, the offset and the end, past the end, and what is refused.

use transcript::wasi::{WHENCE_CUR, WHENCE_END, WHENCE_SET, wasi_snapshot_preview1 as raw};
use transcript::{CREATE, FIRST, READ_WRITE, code_name, open, read, seek, show, stat, wasi, write};

fn main() {
    let fd = open(FIRST, "file", CREATE, READ_WRITE).unwrap();
    let _ = show("write", write(fd, b"0123456789"));
    // SAFETY: the result is written to the wrapper's own stack.
    let _ = show("tell", unsafe { wasi::fd_tell(fd) });
    let _ = show("to 3", seek(fd, 3, WHENCE_SET));
    let _ = show("read 2", read(fd, 2));
    let _ = show("2 on", seek(fd, 2, WHENCE_CUR));
    let _ = show("read 1", read(fd, 1));
    let _ = show("4 back", seek(fd, -4, WHENCE_CUR));
    let _ = show("read 1", read(fd, 1));
    let _ = show("1 before the end", seek(fd, -1, WHENCE_END));
    let _ = show("read 5", read(fd, 5));
    let _ = show("read at the end", read(fd, 5));
    let _ = show("past the end", seek(fd, 5, WHENCE_END));
    let _ = show("read past the end", read(fd, 5));
    let _ = show("size", stat(fd).map(|stat| stat.size));
    let _ = show("before the start", seek(fd, -1, WHENCE_SET));
    let _ = show("16 back", seek(fd, -16, WHENCE_CUR));
    let _ = show("11 before the end", seek(fd, -11, WHENCE_END));
    // A refused seek leaves the offset alone.
    let _ = show("where", seek(fd, 0, WHENCE_CUR));
    let _ = show("the last offset", seek(fd, i64::MAX, WHENCE_SET));
    println!("one more is refused: {}", seek(fd, 1, WHENCE_CUR).is_err());
    let _ = show("the first", seek(fd, i64::MIN, WHENCE_END));
    let mut offset = 0u64;
    for whence in [3, 255, 256, -1] {
        // SAFETY: the result's place is a live local.
        let code = unsafe { raw::fd_seek(fd as i32, 0, whence, (&raw mut offset) as i32) };
        println!("whence {whence}: {}", code_name(code));
    }
}
