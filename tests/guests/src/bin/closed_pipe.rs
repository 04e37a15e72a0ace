//! Writes to a stream that nobody reads any more fail, and the program may say so elsewhere.

use std::time::Duration;

use transcript::write;

fn main() {
    println!("first words");
    let mut lines = 0;
    let errno = loop {
        // Slowly: the reader leaves after the first words and reads nothing of these.
        std::thread::sleep(Duration::from_millis(20));
        match write(1, b"more words\n") {
            Ok(_) => lines += 1,
            Err(errno) => break errno.name(),
        }
        assert!(lines < 3_000, "the stream never closes");
    };
    eprintln!("{errno}");
    eprintln!("again: {:?}", write(1, b"x").map_err(|errno| errno.name()));
}
