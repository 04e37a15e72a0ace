//! Copies standard input to standard output until its end, and counts on standard error.

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut buffer = [0; 1000];
    let mut total = 0;
    loop {
        let count = io::stdin().read(&mut buffer)?;
        if count == 0 {
            break;
        }
        total += count;
        io::stdout().write_all(&buffer[..count])?;
    }
    io::stdout().flush()?;
    eprintln!("{total} bytes");
    // The end stays the end.
    eprintln!("again: {} bytes", io::stdin().read(&mut buffer)?);
    Ok(())
}
