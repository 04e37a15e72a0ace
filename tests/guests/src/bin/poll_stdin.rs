//! `poll_oneoff` on standard input: a time-out while nothing comes, then an input that ends a long wait.

use transcript::wasi::{
    self, Event, Subscription, SubscriptionClock, SubscriptionFdReadwrite, SubscriptionU, SubscriptionUU,
};
use transcript::{read, show};

const MS: u64 = 1_000_000;

fn wait(timeout: u64) -> Vec<(u64, &'static str, u8)> {
    let stdin = SubscriptionFdReadwrite { file_descriptor: 0 };
    let clock =
        SubscriptionClock { id: wasi::CLOCKID_MONOTONIC, timeout, precision: 0, flags: 0 };
    let subscriptions = [
        Subscription {
            userdata: 1,
            u: SubscriptionU {
                tag: wasi::EVENTTYPE_FD_READ.raw(),
                u: SubscriptionUU { fd_read: stdin },
            },
        },
        Subscription {
            userdata: 2,
            u: SubscriptionU { tag: wasi::EVENTTYPE_CLOCK.raw(), u: SubscriptionUU { clock } },
        },
    ];
    // SAFETY: an event is plain numbers, and the places for them live across the call.
    unsafe {
        let mut events: [Event; 2] = std::mem::zeroed();
        let count = wasi::poll_oneoff(subscriptions.as_ptr(), events.as_mut_ptr(), 2).unwrap();
        events[..count]
            .iter()
            .map(|event| (event.userdata, event.error.name(), event.type_.raw()))
            .collect()
    }
}

fn main() {
    println!("nothing comes: {:?}", wait(20 * MS));
    println!("your turn");
    println!("something came: {:?}", wait(3_600_000 * MS));
    let _ = show("it is", read(0, 100));
    println!("the end, please");
    println!("the end came: {:?}", wait(3_600_000 * MS));
    let _ = show("it is", read(0, 100));
}
