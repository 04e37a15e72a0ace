//! Reads lines: empty ones, a long one, a last one without its newline.

use std::io::{self, BufRead};

fn main() -> io::Result<()> {
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line?;
        if line.len() > 40 {
            println!("{}: {} bytes", number + 1, line.len());
        } else {
            println!("{}: {line:?}", number + 1);
        }
    }
    println!("the end");
    Ok(())
}
