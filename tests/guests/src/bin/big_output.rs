//! Several megabytes through standard output, in pieces of every size.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let line: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    let mut out = io::stdout().lock();
    let mut total = 0;
    let mut size = 1;
    while total < 8_000_000 {
        out.write_all(&line[..size])?;
        total += size;
        size = size * 7 % 99_991 + 1;
    }
    out.flush()?;
    eprintln!("{total} bytes");
    Ok(())
}
