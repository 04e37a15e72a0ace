//! `sock_*` on what is no socket, and on nothing.

use transcript::wasi::wasi_snapshot_preview1 as raw;
use transcript::{CREATE, FIRST, READ_WRITE, code_name, open};

fn main() {
    let file = open(FIRST, "file", CREATE, READ_WRITE).unwrap() as i32;
    let mut buffer = [0u8; 8];
    let iovec = [buffer.as_mut_ptr() as i32, buffer.len() as i32];
    let (mut count, mut flags) = (0u32, 0u16);
    for (name, fd) in [("a file", file), ("stdout", 1), ("a directory", 3), ("nothing", 99)] {
        // SAFETY: every pointer is to a live local.
        unsafe {
            let count = (&raw mut count) as i32;
            let flags = (&raw mut flags) as i32;
            let iovs = iovec.as_ptr() as i32;
            println!("{name}: accept {}", code_name(raw::sock_accept(fd, 0, count)));
            println!("{name}: recv {}", code_name(raw::sock_recv(fd, iovs, 1, 0, count, flags)));
            println!("{name}: send {}", code_name(raw::sock_send(fd, iovs, 1, 0, count)));
            println!("{name}: shutdown {}", code_name(raw::sock_shutdown(fd, 3)));
        }
    }
}
