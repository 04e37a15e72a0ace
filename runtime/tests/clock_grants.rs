//! Clocks and randomness, as far as a process was granted them.

mod guest;

/// Whether the files are answered for later.
const LATE: bool = false;

use capfs::Errno;
use capfs::clock::Clock;
use capfs_runtime::{ClockGrant, NoRandom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use guest::{EPOCH, Guest, OUT, PATH, rights};

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

/// A `subscription` to a clock, at 1024, of 48 bytes.
fn subscribe(guest: &mut Guest, index: u32, id: u32, timeout: u64, absolute: bool) {
    let mut bytes = [0; 48];
    bytes[0] = index as u8;
    bytes[16..20].copy_from_slice(&id.to_le_bytes());
    bytes[24..32].copy_from_slice(&timeout.to_le_bytes());
    bytes[40] = u8::from(absolute);
    guest.put(1024 + 48 * index, &bytes);
}

/// Polls the first `count` subscriptions; the number of events, or of the first one's error.
fn poll(guest: &mut Guest, count: u32) -> Poll<Result<u32, u16>> {
    let polled = guest.call(|process, context, memory| {
        process.poll_oneoff(context, memory, 1024, 8192, count, OUT)
    });
    polled.map(|polled| {
        polled.unwrap();
        match guest.u16_at(8192 + 8) {
            0 => Ok(guest.u32_at(OUT)),
            error => Err(error),
        }
    })
}

#[test]
fn no_wait_ends_before_the_granted_clock_shows_its_end() {
    for (id, epoch) in [(0, EPOCH), (1, 0)] {
        let mut guest = Guest::with(&[], |config| {
            config.clock_grant = ClockGrant::Steps(1_000_000)
        });
        guest.clock.set(5_000_100);
        // The clock shows 5 ms: a binary search for the moment finds nothing finer.
        subscribe(&mut guest, 0, id, epoch + 5_000_001, true);
        assert_eq!(poll(&mut guest, 1), Poll::Pending);
        assert_eq!(guest.process.deadline(), Some(6_000_000));
        guest.clock.set(5_999_999);
        assert_eq!(poll(&mut guest, 1), Poll::Pending);
        guest.clock.set(6_000_000);
        assert_eq!(poll(&mut guest, 1), Poll::Ready(Ok(1)));
        subscribe(&mut guest, 0, id, epoch + 6_000_000, true);
        assert_eq!(poll(&mut guest, 1), Poll::Ready(Ok(1)));
    }
}

#[test]
fn a_sleep_is_no_stopwatch() {
    for (grant, step) in [
        (ClockGrant::Steps(10_000_000), 10_000_000),
        (ClockGrant::Nothing, 1_000_000),
    ] {
        let mut guest = Guest::with(&[], |config| config.clock_grant = grant);
        guest.clock.set(3);
        subscribe(&mut guest, 0, 1, 1, false);
        assert_eq!(poll(&mut guest, 1), Poll::Pending);
        assert_eq!(guest.process.deadline(), Some(step));
        guest.clock.set(step);
        assert_eq!(poll(&mut guest, 1), Poll::Ready(Ok(1)));
        // Not waiting at all tells nothing.
        guest.clock.set(step + 3);
        subscribe(&mut guest, 0, 1, 0, false);
        assert_eq!(poll(&mut guest, 1), Poll::Ready(Ok(1)));
    }
}

#[test]
fn absolute_moments_need_a_clock() {
    let mut guest = Guest::with(&[], |config| config.clock_grant = ClockGrant::Nothing);
    for id in [0, 1] {
        subscribe(&mut guest, 0, id, 7, true);
        let refused = Poll::Ready(Err(Errno::Notcapable.code()));
        assert_eq!(poll(&mut guest, 1), refused);
    }
}

#[test]
fn time_stamps_tell_what_the_granted_clock_does() {
    const NOW: u64 = EPOCH + 5_678_901;
    for (grant, shown) in [
        (ClockGrant::Exact, NOW),
        (ClockGrant::Steps(1_000_000), EPOCH + 5_000_000),
        (ClockGrant::Nothing, 0),
    ] {
        let mut guest = Guest::with(&[("file", b"abc")], |config| config.clock_grant = grant);
        guest.clock.set(NOW - EPOCH);
        let len = guest.path("file");
        const BOTH_NOW: u32 = 2 | 8;
        guest
            .now(|process, context, memory| {
                process.path_filestat_set_times(context, memory, 3, 0, PATH, len, 0, 0, BOTH_NOW)
            })
            .unwrap();
        let fd = guest.open("file", 0, rights::FILE).unwrap();
        guest
            .now(|process, context, memory| {
                process.fd_filestat_set_times(context, memory, fd, 0, 0, BOTH_NOW)
            })
            .unwrap();
        guest.write(fd, b"x").unwrap();
        assert_eq!(guest.filestat(fd).unwrap().mtim, shown);
        // Access, modification and change, by path as well.
        guest.path_filestat("file", false).unwrap();
        for at in [40, 48, 56] {
            assert_eq!(guest.u64_at(OUT + at), shown, "{grant:?}, at {at}");
        }
    }
}

/// A clock that goes on each time that it is read, as one of a fine resolution does.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn realtime(&self) -> u64 {
        EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[test]
fn what_waits_equally_long_is_due_together() {
    let clock = Arc::new(Ticking(AtomicU64::new(0)));
    let mut guest = Guest::with(&[], |config| config.clock = clock.clone());
    for (index, id) in [1, 0, 1].into_iter().enumerate() {
        subscribe(&mut guest, index as u32, id, 1_000, false);
    }
    assert_eq!(poll(&mut guest, 3), Poll::Pending);
    // To the nanosecond: what was asked for last isn't due later.
    let begun = clock.0.load(Ordering::Relaxed);
    for now in begun.. {
        clock.0.store(now, Ordering::Relaxed);
        if let Poll::Ready(happened) = poll(&mut guest, 3) {
            assert_eq!(happened, Ok(3));
            break;
        }
    }
    for index in 0..2 {
        subscribe(&mut guest, index, 0, EPOCH + 9_000, true);
    }
    for now in 8_900.. {
        clock.0.store(now, Ordering::Relaxed);
        if let Poll::Ready(happened) = poll(&mut guest, 2) {
            assert_eq!(happened, Ok(2));
            break;
        }
    }
}
