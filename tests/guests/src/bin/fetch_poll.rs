//! Waiting for a body together with a clock, and reading without waiting.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;

use transcript::conversation::Conversation;
use transcript::wasi;

fn poll(fd: u32, millis: u64) -> Vec<&'static str> {
    let clock = wasi::SubscriptionClock { id: wasi::CLOCKID_MONOTONIC, timeout: millis * 1_000_000, precision: 0, flags: 0 };
    let subscriptions = [
        wasi::Subscription {
            userdata: 1,
            u: wasi::SubscriptionU {
                tag: wasi::EVENTTYPE_FD_READ.raw(),
                u: wasi::SubscriptionUU { fd_read: wasi::SubscriptionFdReadwrite { file_descriptor: fd } },
            },
        },
        wasi::Subscription {
            userdata: 2,
            u: wasi::SubscriptionU { tag: wasi::EVENTTYPE_CLOCK.raw(), u: wasi::SubscriptionUU { clock } },
        },
    ];
    let mut events: [wasi::Event; 2] = [const { unsafe { std::mem::zeroed() } }; 2];
    // SAFETY: both arrays have two elements and live across the call.
    let count = unsafe { wasi::poll_oneoff(subscriptions.as_ptr(), events.as_mut_ptr(), 2) };
    let happened = &events[..count.expect("polling")];
    happened.iter().map(|event| if event.userdata == 1 { "body" } else { "clock" }).collect()
}

fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let mut agent = Conversation::begin("/cap/fetch").expect("a conversation");
    agent.tell(&format!("url {server}/stall-body")).expect("a URL");
    let mut body = File::open(agent.path("body")).expect("a body");
    let fd = body.as_raw_fd() as u32;
    println!("first: {:?}", poll(fd, 10_000));
    let mut part = [0; 100];
    let count = body.read(&mut part).expect("a part");
    println!("{}", String::from_utf8_lossy(&part[..count]));
    println!("then: {:?}", poll(fd, 50));
    // SAFETY: a number is all that is passed.
    unsafe { wasi::fd_fdstat_set_flags(fd, wasi::FDFLAGS_NONBLOCK).expect("flags") };
    let read = body.read(&mut part).map_err(|error| error.kind());
    println!("without waiting: {:?}", read == Err(ErrorKind::WouldBlock));
}
