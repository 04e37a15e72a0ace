//! A file is stamped with the time of its change, whatever the program did before: many quick calls, a sleep, or long work without any call.

use std::fs::{self, File};
use std::hint::black_box;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

/// How far a stamp may be from the clock. Some disks keep times no finer than this.
const NEAR: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_millis(200);

/// Works for as long as that without a call.
fn compute() {
    let mut rounds = 1_000_000_u64;
    loop {
        let begun = SystemTime::now();
        (0..rounds).for_each(|round| drop(black_box(round)));
        if begun.elapsed().is_ok_and(|took| took >= LONG) {
            return;
        }
        rounds *= 2;
    }
}

fn quick_calls(count: usize) {
    (0..count).for_each(|_| drop(fs::metadata("/").expect("the root")));
}

/// Whether what `change` does is stamped as of now at `path`.
fn stamped(path: &str, change: impl FnOnce()) -> bool {
    change();
    let stamp = fs::metadata(path).and_then(|metadata| metadata.modified()).expect("a stamp");
    let now = SystemTime::now();
    match now.duration_since(stamp) {
        Ok(before) => before < NEAR,
        Err(ahead) => ahead.duration() < NEAR,
    }
}

fn main() {
    let mut late = Vec::new();
    for calls in [0, 1, 30, 63, 64, 65, 200, 2000] {
        let file = File::create("/written").expect("a file");
        quick_calls(calls);
        sleep(LONG);
        let write = || drop(std::io::Write::write(&mut &file, b"x").expect("a write"));
        if !stamped("/written", write) {
            late.push(format!("a write after {calls} calls and a sleep"));
        }
        quick_calls(calls);
        compute();
        if !stamped("/made", || drop(File::create("/made").expect("a file"))) {
            late.push(format!("a file after {calls} calls and work"));
        }
        quick_calls(calls);
        compute();
        if !stamped("/", || fs::rename("/made", "/moved").expect("a rename")) {
            late.push(format!("a directory after {calls} calls and work"));
        }
    }
    println!("late: {late:?}");
}
