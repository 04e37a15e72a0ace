//! 10,000 descriptors at once, and the limit that the case sets.

use transcript::{CREATE, FIRST, READ_WRITE, close, make_file, open, read_at, show, write};

fn main() {
    let wanted: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    make_file(FIRST, "file", b"shared").unwrap();
    let mut fds = Vec::new();
    let refused = loop {
        if fds.len() == wanted {
            break None;
        }
        match open(FIRST, "file", 0, READ_WRITE) {
            Ok(fd) => fds.push(fd),
            Err(errno) => break Some(errno.name()),
        }
    };
    println!("{} opened, then {refused:?}", fds.len());
    let mut sorted = fds.clone();
    sorted.dedup();
    println!("each its own number: {}", sorted.len() == fds.len());
    println!("the last one reads: {:?}", read_at(*fds.last().unwrap(), 10, 0));
    for fd in fds.drain(..) {
        close(fd).unwrap();
    }
    let again = open(FIRST, "new", CREATE, READ_WRITE).unwrap();
    let _ = show("after closing all", write(again, b"x"));
}
