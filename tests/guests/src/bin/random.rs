//! Random bytes: none, one, many, each time other ones.

use std::collections::HashSet;

use transcript::{show, wasi};

fn fill(length: usize) -> Result<Vec<u8>, wasi::Errno> {
    let mut bytes = vec![0; length];
    // SAFETY: the buffer lives across the call and is `length` bytes long.
    unsafe { wasi::random_get(bytes.as_mut_ptr(), length)? };
    Ok(bytes)
}

fn main() {
    let _ = show("none", fill(0).map(|bytes| bytes.len()));
    let draws: HashSet<_> = (0..100).map(|_| fill(16).unwrap()).collect();
    println!("{} different draws of 100", draws.len());
    // More than the 65,536 bytes that a browser gives at once.
    let many = fill(1_000_000).unwrap();
    let mut counts = [0u32; 256];
    for byte in &many {
        counts[*byte as usize] += 1;
    }
    // 3,906 are expected of each; a tenth off is ten standard deviations.
    println!("evenly spread: {}", counts.iter().all(|count| (3_300..4_500).contains(count)));
    println!("to the last byte: {}", many[999_000..].iter().any(|byte| *byte != 0));
}
