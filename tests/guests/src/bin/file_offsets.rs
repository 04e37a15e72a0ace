//! `fd_pread` and `fd_pwrite` leave the handle's offset alone and take several buffers at once.

use transcript::wasi::{Ciovec, Iovec, WHENCE_CUR};
use transcript::{
    CREATE, FIRST, READ, READ_WRITE, contents, open, read, read_at, seek, show, wasi, write,
    write_at,
};

fn main() {
    let fd = open(FIRST, "file", CREATE, READ_WRITE).unwrap();
    let _ = show("write", write(fd, b"hello world"));
    let _ = show("pread 5 at 6", read_at(fd, 5, 6));
    let _ = show("pread over the end", read_at(fd, 50, 9));
    let _ = show("pread at the end", read_at(fd, 50, 11));
    let _ = show("pwrite", write_at(fd, b"HE", 0));
    let _ = show("pwrite past the end", write_at(fd, b"!", 13));
    let _ = show("contents", contents(FIRST, "file"));
    let _ = show("offset", seek(fd, 0, WHENCE_CUR));
    let _ = show("write goes on", write(fd, b"?"));
    let _ = show("contents", contents(FIRST, "file"));

    let parts = [&b"ab"[..], b"", b"cde", b"f"];
    let iovecs: Vec<Ciovec> =
        parts.iter().map(|part| Ciovec { buf: part.as_ptr(), buf_len: part.len() }).collect();
    // SAFETY: the parts are constants.
    let _ = show("gather", unsafe { wasi::fd_pwrite(fd, &iovecs, 1) });
    let mut first = [0; 3];
    let mut second = [0; 30];
    let iovecs = [
        Iovec { buf: first.as_mut_ptr(), buf_len: first.len() },
        Iovec { buf: std::ptr::null_mut(), buf_len: 0 },
        Iovec { buf: second.as_mut_ptr(), buf_len: second.len() },
    ];
    // SAFETY: the buffers live across the call.
    let count = unsafe { wasi::fd_pread(fd, &iovecs, 0) };
    let _ = show("scatter", count);
    println!("{:?}", String::from_utf8_lossy(&first));
    println!("{:?}", String::from_utf8_lossy(&second[..count.unwrap() - 3]));
    let _ = show("nothing to write", write_at(fd, b"", 1_000));
    let _ = show("nothing to read", read_at(fd, 0, 1_000));
    println!("an offset beyond every file is refused: {}", write_at(fd, b"x", u64::MAX).is_err());

    let reader = open(FIRST, "file", 0, READ).unwrap();
    println!("a read-only handle can't write: {}", write_at(reader, b"x", 0).is_err());
    let _ = show("and reads from its own offset", read(reader, 4));
}
