//! What `poll_oneoff` says is left of a file, which is what `FIONREAD` of C libraries asks for. Where a file's size isn't known on the spot, as on
//! a tree that answers later, it says 1.

use transcript::wasi::{self, Event, Subscription, SubscriptionFdReadwrite, SubscriptionU, SubscriptionUU};
use transcript::{FIRST, READ_WRITE, make_file, open, read, show};

fn main() {
    make_file(FIRST, "file", b"twelve bytes").unwrap();
    let fd = open(FIRST, "file", 0, READ_WRITE).unwrap();
    let wanted = Subscription {
        userdata: 1,
        u: SubscriptionU {
            tag: wasi::EVENTTYPE_FD_READ.raw(),
            u: SubscriptionUU { fd_read: SubscriptionFdReadwrite { file_descriptor: fd } },
        },
    };
    let left = || {
        // SAFETY: an event is plain numbers, and its place lives across the call.
        unsafe {
            let mut event: Event = std::mem::zeroed();
            wasi::poll_oneoff(&wanted, &mut event, 1).map(|_| event.fd_readwrite.nbytes)
        }
    };
    let _ = show("left at the start", left());
    let _ = show("five bytes", read(fd, 5));
    let _ = show("left behind them", left());
    let _ = show("the rest", read(fd, 100));
    let _ = show("left at the end", left());
}
