//! `poll_oneoff` on descriptors: files are always ready, bad ones report their error.

use transcript::wasi::{
    self, Errno, Event, Subscription, SubscriptionClock, SubscriptionFdReadwrite, SubscriptionU,
    SubscriptionUU,
};
use transcript::{FIRST, READ_WRITE, make_file, open, read, show};

fn subscribe(userdata: u64, fd: u32, write: bool) -> Subscription {
    let file = SubscriptionFdReadwrite { file_descriptor: fd };
    let (tag, u) = if write {
        (wasi::EVENTTYPE_FD_WRITE, SubscriptionUU { fd_write: file })
    } else {
        (wasi::EVENTTYPE_FD_READ, SubscriptionUU { fd_read: file })
    };
    Subscription { userdata, u: SubscriptionU { tag: tag.raw(), u } }
}

fn poll(subscriptions: &[Subscription]) -> Result<Vec<(u64, &'static str, u8)>, Errno> {
    // SAFETY: an event is plain numbers, and the places for them live across the call.
    unsafe {
        let mut events: Vec<Event> = vec![std::mem::zeroed(); subscriptions.len()];
        let count =
            wasi::poll_oneoff(subscriptions.as_ptr(), events.as_mut_ptr(), subscriptions.len())?;
        let mut seen: Vec<_> = events[..count]
            .iter()
            .map(|event| (event.userdata, event.error.name(), event.type_.raw()))
            .collect();
        seen.sort();
        Ok(seen)
    }
}

fn main() {
    make_file(FIRST, "file", b"twelve bytes").unwrap();
    let fd = open(FIRST, "file", 0, READ_WRITE).unwrap();
    let _ = show("read", poll(&[subscribe(1, fd, false)]));
    let _ = show("write", poll(&[subscribe(2, fd, true)]));
    let _ = show("both", poll(&[subscribe(3, fd, false), subscribe(4, fd, true)]));
    let _ = show("stdout", poll(&[subscribe(5, 1, true)]));
    let _ = show("no such descriptor", poll(&[subscribe(6, 99, false)]));
    let _ = show("beside a good one", poll(&[subscribe(7, 99, true), subscribe(8, fd, true)]));
    let hour = Subscription {
        userdata: 9,
        u: SubscriptionU {
            tag: wasi::EVENTTYPE_CLOCK.raw(),
            u: SubscriptionUU {
                clock: SubscriptionClock {
                    id: wasi::CLOCKID_MONOTONIC,
                    timeout: 3_600_000_000_000,
                    precision: 0,
                    flags: 0,
                },
            },
        },
    };
    let _ = show("beside a far clock", poll(&[hour, subscribe(10, fd, false)]));
    let _ = show("polling read nothing", read(fd, 100));
    let many: Vec<_> = (0..500).map(|number| subscribe(number, fd, number % 2 == 0)).collect();
    let _ = show("five hundred", poll(&many).map(|events| events.len()));
}
