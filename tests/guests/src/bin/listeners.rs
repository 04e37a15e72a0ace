//! Sockets that were handed to the program: announced in the environment, behind the directories; accepted, peeked
//! at, received from, sent to, shut down, polled, with and without waiting.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::FromRawFd;

use transcript::wasi::{
    self, Event, Fd, Subscription, SubscriptionClock, SubscriptionFdReadwrite, SubscriptionU, SubscriptionUU,
};
use transcript::{close, read, show, type_name, write};

const HOUR: u64 = 3_600_000_000_000;

/// Waits until one of the descriptors can be read, or for so many nanoseconds.
fn readable(fds: &[Fd], timeout: u64) -> Vec<String> {
    let clock = SubscriptionClock { id: wasi::CLOCKID_MONOTONIC, timeout, precision: 0, flags: 0 };
    let mut subscriptions: Vec<_> = fds
        .iter()
        .map(|&fd| Subscription {
            userdata: fd.into(),
            u: SubscriptionU {
                tag: wasi::EVENTTYPE_FD_READ.raw(),
                u: SubscriptionUU { fd_read: SubscriptionFdReadwrite { file_descriptor: fd } },
            },
        })
        .collect();
    subscriptions.push(Subscription {
        userdata: u64::MAX,
        u: SubscriptionU { tag: wasi::EVENTTYPE_CLOCK.raw(), u: SubscriptionUU { clock } },
    });
    // SAFETY: an event is plain numbers, and there is a place for each subscription's.
    unsafe {
        let mut events: Vec<Event> = subscriptions.iter().map(|_| std::mem::zeroed()).collect();
        let count =
            wasi::poll_oneoff(subscriptions.as_ptr(), events.as_mut_ptr(), subscriptions.len());
        let events = events[..count.unwrap()].iter();
        let names = events.map(|event| match event.userdata {
            u64::MAX => "time".to_owned(),
            fd => {
                let hangup = event.fd_readwrite.flags & wasi::EVENTRWFLAGS_FD_READWRITE_HANGUP != 0;
                format!("{fd}{}", if hangup { " (the other side has ended)" } else { "" })
            }
        });
        names.collect()
    }
}

fn accept(fd: Fd, flags: u16) -> Result<Fd, wasi::Errno> {
    // SAFETY: the result is written to the wrapper's own stack.
    unsafe { wasi::sock_accept(fd, flags) }
}

fn receive(fd: Fd, length: usize, flags: u16) -> Result<String, wasi::Errno> {
    let mut buffer = vec![0; length];
    let iovec = wasi::Iovec { buf: buffer.as_mut_ptr(), buf_len: length };
    // SAFETY: the vector's buffer lives across the call.
    let (count, _) = unsafe { wasi::sock_recv(fd, &[iovec], flags)? };
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

fn send(fd: Fd, text: &str) -> Result<usize, wasi::Errno> {
    let iovec = wasi::Ciovec { buf: text.as_ptr(), buf_len: text.len() };
    // SAFETY: the slice lives across the call.
    unsafe { wasi::sock_send(fd, &[iovec], 0) }
}

fn variable(name: &str) -> Fd {
    std::env::var(name).unwrap().parse().unwrap()
}

fn by_calls(first: Fd, second: Fd) {
    // SAFETY: numbers are all that is passed.
    let kind = unsafe { wasi::fd_fdstat_get(first) }.unwrap().fs_filetype;
    println!("{first} is a {}", type_name(kind));
    // SAFETY: as above; the result is on the wrapper's own stack.
    let _ = show("a directory's name", unsafe { wasi::fd_prestat_get(first) }.map(|_| ()));
    let _ = show("receiving from a listener", receive(first, 1, 0));
    let _ = show("reading from a listener", read(first, 1));
    // SAFETY: numbers are all that is passed.
    show("not waiting", unsafe { wasi::fd_fdstat_set_flags(first, wasi::FDFLAGS_NONBLOCK) }).unwrap();
    let _ = show("accepting nobody", accept(first, 0));
    println!("nobody comes: {:?}", readable(&[first, second], 20_000_000));
    println!("come to the first");
    println!("somebody came: {:?}", readable(&[first, second], HOUR));
    let client = show("accepted", accept(first, wasi::FDFLAGS_NONBLOCK)).unwrap();
    let _ = show("receiving nothing", receive(client, 9, 0));
    let _ = show("accepting a connection", accept(client, 0));
    println!("say something");
    println!("it was said: {:?}", readable(&[client, second], HOUR));
    let _ = show("a look at it", receive(client, 4, wasi::RIFLAGS_RECV_PEEK));
    let _ = show("all of it", receive(client, 100, 0));
    // SAFETY: numbers are all that is passed.
    show("waiting again", unsafe { wasi::fd_fdstat_set_flags(client, 0) }).unwrap();
    println!("say more");
    let _ = show("in one piece", receive(client, 7, wasi::RIFLAGS_RECV_WAITALL));
    let _ = show("sent", send(client, "sent, "));
    let _ = show("written", write(client, b"written\n"));
    println!("go");
    println!("gone: {:?}", readable(&[client], HOUR));
    let _ = show("its end", receive(client, 9, 0));
    // SAFETY: numbers are all that is passed.
    let _ = show("shut down", unsafe { wasi::sock_shutdown(client, wasi::SDFLAGS_WR) });
    let _ = show("sending after that", send(client, "x"));
    show("closed", close(client)).unwrap();
}

/// As a program does that knows nothing of WASI.
fn by_the_standard_library(fd: Fd) {
    // SAFETY: the descriptor is the program's, and nobody else uses it.
    let listener = unsafe { TcpListener::from_raw_fd(fd as i32) };
    println!("come to the second, twice");
    for _ in 0..2 {
        let (mut client, _) = listener.accept().unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        print!("{text}");
        client.write_all(text.to_uppercase().as_bytes()).unwrap();
    }
}

fn main() {
    let (count, first) = (variable("LISTEN_FDS"), variable("LISTEN_FDS_START"));
    println!("{count} listeners from {first} on");
    by_calls(first, first + 1);
    by_the_standard_library(first + 1);
}
