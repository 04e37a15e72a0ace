//! `poll_oneoff` with clocks: relative, absolute, past, several at once.

use transcript::wasi::{
    self, CLOCKID_MONOTONIC, CLOCKID_REALTIME, Clockid, Errno, Event, Subscription,
    SubscriptionClock, SubscriptionU, SubscriptionUU,
};
use transcript::show;

const MS: u64 = 1_000_000;

fn clock(userdata: u64, id: Clockid, timeout: u64, flags: u16) -> Subscription {
    Subscription {
        userdata,
        u: SubscriptionU {
            tag: wasi::EVENTTYPE_CLOCK.raw(),
            u: SubscriptionUU { clock: SubscriptionClock { id, timeout, precision: 0, flags } },
        },
    }
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

fn now(id: Clockid) -> u64 {
    // SAFETY: the result is written to the wrapper's own stack.
    unsafe { wasi::clock_time_get(id, 0) }.unwrap()
}

fn main() {
    let absolute = wasi::SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
    for (name, id) in [("monotonic", CLOCKID_MONOTONIC), ("realtime", CLOCKID_REALTIME)] {
        let start = now(CLOCKID_MONOTONIC);
        let _ = show(&format!("{name}, relative"), poll(&[clock(1, id, 20 * MS, 0)]));
        println!("it waited: {}", now(CLOCKID_MONOTONIC) - start >= 19 * MS);
        let start = now(CLOCKID_MONOTONIC);
        let _ = show(&format!("{name}, absolute"), poll(&[clock(2, id, now(id) + 20 * MS, absolute)]));
        println!("it waited: {}", now(CLOCKID_MONOTONIC) - start >= 15 * MS);
        let _ = show(&format!("{name}, past"), poll(&[clock(3, id, 1, absolute)]));
        let _ = show(&format!("{name}, zero"), poll(&[clock(4, id, 0, 0)]));
    }
    let far = 3_600_000 * MS;
    let mono = CLOCKID_MONOTONIC;
    let _ = show("the sooner one", poll(&[clock(5, mono, far, 0), clock(6, mono, 5 * MS, 0)]));
    let both = [clock(7, mono, 0, 0), clock(8, mono, 0, 0)];
    let _ = show("both at once", poll(&both));
    let _ = show("never is beaten", poll(&[clock(9, mono, u64::MAX, 0), clock(10, mono, MS, 0)]));
    let _ = show("nothing to wait for", poll(&[]));
}
