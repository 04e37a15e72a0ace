//! Asks, waits for the answer, and asks again: standard input that comes while the guest waits.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut total = 0;
    loop {
        print!("number? ");
        io::stdout().flush()?;
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            println!();
            println!("the end of the input; the sum is {total}");
            return Ok(());
        }
        match line.trim().parse::<i64>() {
            Ok(number) => total += number,
            Err(error) => println!("{:?}: {error}", line.trim()),
        }
    }
}
