//! Ways to trap. What was said before is heard, and the code says that it was a trap.

use std::hint::black_box;

#[expect(unconditional_recursion, reason = "the guest is to run out of stack")]
fn endless(depth: u64) -> u64 {
    black_box(endless(black_box(depth + 1)) + 1)
}

fn main() {
    let how = std::env::args().nth(1).unwrap();
    println!("about to {how}");
    match how.as_str() {
        "unreachable" => core::arch::wasm32::unreachable(),
        "overflow" => println!("{}", endless(0)),
        "stray" => {
            // SAFETY: an access out of bounds traps, which is the point.
            println!("{}", unsafe { black_box(0xffff_fff0u32 as *const u32).read_volatile() });
        }
        "panic" => panic!("as asked"),
        "abort" => std::process::abort(),
        _ => println!("no such way"),
    }
}
