//! Sleeps by turns with writing: a program that waits keeps all it has.

use std::time::{Duration, Instant};

fn main() {
    let data: Vec<u64> = (0..1000).collect();
    let start = Instant::now();
    for round in 1..=5 {
        std::thread::sleep(Duration::from_millis(10));
        println!("round {round}");
    }
    println!("at least 50 ms: {}", start.elapsed() >= Duration::from_millis(49));
    println!("the sum is {}", data.iter().sum::<u64>());
}
