//! Clocks and randomness, as far as a process was granted them.

mod guest;

use capfs::Errno;
use capfs_runtime::{ClockGrant, NoRandom};
use guest::{Guest, OUT};

#[test]
fn clocks_go_in_steps() {
    let mut guest = Guest::with(&[], |config| config.clock_grant = ClockGrant::Steps(1_000));
    guest.clock.set(5_678);
    guest
        .now(|process, context, memory| process.clock_time_get(context, memory, 1, 0, OUT))
        .unwrap();
    assert_eq!(guest.u64_at(OUT), 5_000);
    guest
        .now(|process, context, memory| process.clock_res_get(context, memory, 1, OUT))
        .unwrap();
    assert_eq!(guest.u64_at(OUT), 1_000);
}

#[test]
fn what_was_not_granted_is_refused() {
    let mut guest = Guest::with(&[], |config| {
        config.clock_grant = ClockGrant::Nothing;
        config.random = Box::new(NoRandom);
    });
    let refused = Err(Errno::Notcapable);
    for id in 0..4 {
        let time = guest
            .now(|process, context, memory| process.clock_time_get(context, memory, id, 0, OUT));
        assert_eq!(time, refused);
        let step =
            guest.now(|process, context, memory| process.clock_res_get(context, memory, id, OUT));
        assert_eq!(step, refused);
    }
    let random = guest.now(|process, context, memory| process.random_get(context, memory, OUT, 8));
    assert_eq!(random, refused);
}
