//! Writes to a stream that nobody reads any more fail, and the program may say so elsewhere.

use std::time::Duration;

use transcript::write;

fn main() {
    println!("first words");
    // It is said that the reader has left; when the stream knows of it is another matter.
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    let mut lines = 0;
    let errno = loop {
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
