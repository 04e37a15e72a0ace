//! Writes to a stream that nobody reads any more fail, and the program may say so elsewhere.

use transcript::write;

fn main() {
    println!("first words");
    let block = [b'x'; 4096];
    let mut blocks = 0;
    let errno = loop {
        match write(1, &block) {
            Ok(_) => blocks += 1,
            Err(errno) => break errno.name(),
        }
        assert!(blocks < 100_000, "the stream never closes");
    };
    eprintln!("{errno}");
    eprintln!("again: {:?}", write(1, b"x").map_err(|errno| errno.name()));
}
