//! An agent that never waits: it computes, and looks again and again for what has come. Larger than what a connection takes in at once.

use std::fs::File;
use std::hint::black_box;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;

use transcript::conversation::Conversation;
use transcript::wasi;

const LENGTH: usize = 5_000_000;

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let mut agent = Conversation::begin("/cap/fetch").expect("a conversation");
    agent.tell(&format!("url {server}/bytes?length={LENGTH}")).expect("a URL");
    let mut body = File::open(agent.path("body")).expect("a body");
    // SAFETY: a number is all that is passed.
    unsafe { wasi::fd_fdstat_set_flags(body.as_raw_fd() as u32, wasi::FDFLAGS_NONBLOCK).expect("flags") };
    let (mut part, mut total, mut empty) = (vec![0; 64 << 10], 0, 0);
    loop {
        match body.read(&mut part) {
            Ok(0) => break,
            Ok(count) => total += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => empty += 1,
            Err(error) => panic!("{error}"),
        }
        let mut sum = 0_u64;
        for number in 0..100_000 {
            sum = black_box(sum + number);
        }
    }
    println!("{}, looked in vain: {}", total == LENGTH, empty > 0);
}
