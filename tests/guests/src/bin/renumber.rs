//! `fd_renumber` moves a descriptor over another, which is closed by it.

use transcript::{CREATE, FIRST, READ_WRITE, close, contents, open, show, stat, wasi, write};

fn renumber(from: u32, to: u32) -> Result<(), wasi::Errno> {
    // SAFETY: numbers are all that is passed, and no libc file is open on them.
    unsafe { wasi::fd_renumber(from, to) }
}

fn main() {
    let a = open(FIRST, "a", CREATE, READ_WRITE).unwrap();
    let b = open(FIRST, "b", CREATE, READ_WRITE).unwrap();
    let _ = show("write to a", write(a, b"a"));
    let _ = show("a over b", renumber(a, b));
    let _ = show("the old number", stat(a).map(|_| ()));
    let _ = show("write to the new number", write(b, b"A"));
    let _ = show("file a", contents(FIRST, "a"));
    let _ = show("file b", contents(FIRST, "b"));
    let _ = show("onto itself", renumber(b, b));
    let _ = show("still there", stat(b).map(|stat| stat.size));
    let _ = show("from nothing", renumber(a, b));
    let _ = show("to nothing", renumber(b, 1_000));
    let _ = show("close", close(b));
    let _ = show("close again", close(b));
    println!("the lowest free number is used: {}", open(FIRST, "c", CREATE, READ_WRITE) == Ok(a));
    let out = open(FIRST, "out", CREATE, READ_WRITE).unwrap();
    let _ = show("a file over stdout", renumber(out, 1));
    println!("into the file");
    eprintln!("the file: {:?}", contents(FIRST, "out"));
}
