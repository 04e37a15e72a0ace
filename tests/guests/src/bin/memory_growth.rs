//! Memory that grows until it is refused; the program goes on with what it has.

fn main() {
    let mut pages = core::arch::wasm32::memory_size(0);
    println!("below 16 MiB at first: {}", pages < 256);
    while core::arch::wasm32::memory_grow(0, 1) != usize::MAX {
        pages += 1;
        if pages == 65_536 {
            break;
        }
    }
    // Some hosts count what they hold beside the memory against the same limit.
    println!("close to 16 MiB at last: {}", (16 * 15..=16 * 16).contains(&pages));
    println!("as memory.size says: {}", core::arch::wasm32::memory_size(0) == pages);
    let last = (pages * 65_536 - 1) as *mut u8;
    // SAFETY: the byte is the last of the memory, and nothing else uses the page just grown.
    unsafe {
        last.write_volatile(7);
        println!("the last byte holds {}", last.read_volatile());
    }
}
