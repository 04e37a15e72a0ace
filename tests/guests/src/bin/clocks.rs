//! Clocks: the monotonic one never goes back, the real one shows this century, others are refused.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use transcript::code_name;
use transcript::wasi::{self, wasi_snapshot_preview1 as raw};

fn main() {
    let mut last = 0;
    let monotonic = (0..10_000).all(|_| {
        // SAFETY: the result is written to the wrapper's own stack.
        let now = unsafe { wasi::clock_time_get(wasi::CLOCKID_MONOTONIC, 0) }.unwrap();
        let right = now >= last;
        last = now;
        right
    });
    println!("monotonic: {monotonic}");
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(30));
    let slept = start.elapsed();
    println!("it slept: {}", slept >= Duration::from_millis(29) && slept < Duration::from_secs(60));
    let year = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 31_556_952 + 1970;
    println!("a year of this century: {}", (2024..2100).contains(&year));
    let mut time = 0u64;
    for id in [0, 1, 4, 99, -1] {
        // SAFETY: the result's place is a live local.
        let (get, resolution) = unsafe {
            let place = (&raw mut time) as i32;
            (raw::clock_time_get(id, 0, place), raw::clock_res_get(id, place))
        };
        println!("clock {id}: {}, {}", code_name(get), code_name(resolution));
    }
    // SAFETY: the results are written to the wrappers' own stacks.
    let resolution = unsafe { wasi::clock_res_get(wasi::CLOCKID_MONOTONIC) }.unwrap();
    println!("a resolution of at most a second: {}", (1..=1_000_000_000).contains(&resolution));
}
