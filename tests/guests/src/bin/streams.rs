//! Writes alternate between the two output streams; each keeps its order, nothing is lost.

use std::io::{self, Write};

use transcript::{show, write};

fn main() -> io::Result<()> {
    for number in 0..50 {
        println!("out {number}");
        eprintln!("err {number}");
    }
    // Unbuffered writes and a line without its newline.
    let _ = show("stdout takes", write(1, b"raw out\n"));
    let _ = show("stderr takes", write(2, b"raw err\n"));
    let _ = show("stdin refuses", write(0, b"no\n").map(|_| ()));
    print!("no newline at the end");
    io::stdout().flush()?;
    Ok(())
}
