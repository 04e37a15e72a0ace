//! Holes read as zeros and count in the size.

use transcript::wasi::WHENCE_SET;
use transcript::{CREATE, FIRST, READ_WRITE, open, read_at, seek, show, stat, write, write_at};

fn main() {
    let fd = open(FIRST, "sparse", CREATE, READ_WRITE).unwrap();
    let _ = show("seek", seek(fd, 100_000, WHENCE_SET));
    let _ = show("size before the write", stat(fd).map(|stat| stat.size));
    let _ = show("write", write(fd, b"end"));
    let _ = show("size", stat(fd).map(|stat| stat.size));
    let _ = show("in the hole", read_at(fd, 4, 50_000));
    let _ = show("at its edge", read_at(fd, 6, 99_998));
    let _ = show("write far off", write_at(fd, b"far", 1_000_000));
    let _ = show("size", stat(fd).map(|stat| stat.size));
    let zeros = (0..10).all(|step| {
        let text = read_at(fd, 65_536, 100_003 + step * 65_536).unwrap();
        text.bytes().all(|byte| byte == 0) && text.len() == 65_536
    });
    println!("the second hole is zeros: {zeros}");
    let _ = show("the end", read_at(fd, 100, 999_999));
    let _ = show("past the end", read_at(fd, 100, 1_000_003));
    let _ = show("far past the end", read_at(fd, 100, 1 << 62));
}
