//! Never ends by itself: it spins, sleeps, waits for input or calls without end, until it is ended.

use std::io::{Read, Write};
use std::time::Duration;

use transcript::wasi;

fn main() {
    let how = std::env::args().nth(1).unwrap();
    println!("{how} for ever");
    std::io::stdout().flush().unwrap();
    let mut number = 0u64;
    loop {
        match how.as_str() {
            "spin" => number = std::hint::black_box(number + 1),
            "sleep" => std::thread::sleep(Duration::from_secs(3600)),
            "read" => {
                let _ = std::io::stdin().read(&mut [0]).unwrap();
            }
            // SAFETY: no pointer is passed.
            "call" => unsafe { wasi::sched_yield() }.unwrap(),
            _ => return,
        }
    }
}
