//! Vectors of buffers: many, empty, overlapping, longer in sum than an address space.

use transcript::wasi::{Ciovec, Iovec, wasi_snapshot_preview1 as raw};
use transcript::{CREATE, FIRST, READ_WRITE, code_name, open, read_at, show, stat, wasi};

fn main() {
    let fd = open(FIRST, "file", CREATE, READ_WRITE).unwrap();
    let letters = b"abcdefghijklmnopqrstuvwxyz";
    let many: Vec<_> =
        (0..1000).map(|index| Ciovec { buf: &letters[index % 26], buf_len: index % 2 }).collect();
    // SAFETY: the letters are a constant.
    let _ = show("1,000 buffers, half of them empty", unsafe { wasi::fd_write(fd, &many) });
    let _ = show("their start", read_at(fd, 20, 0));
    // SAFETY: no buffer is passed.
    let _ = show("no buffers", unsafe { wasi::fd_write(fd, &[]) });
    let same = [Ciovec { buf: letters.as_ptr(), buf_len: 3 }; 4];
    // SAFETY: the letters are a constant.
    let _ = show("the same buffer four times", unsafe { wasi::fd_pwrite(fd, &same, 0) });
    let _ = show("they", read_at(fd, 12, 0));
    let mut bytes = [0u8; 8];
    let overlapping = [
        Iovec { buf: bytes.as_mut_ptr(), buf_len: 6 },
        Iovec { buf: bytes[2..].as_mut_ptr(), buf_len: 6 },
    ];
    // SAFETY: the bytes live across the call.
    let _ = show("overlapping ones to read into", unsafe { wasi::fd_pread(fd, &overlapping, 0) });

    let mut count = 0u32;
    let place = (&raw mut count) as i32;
    let size = stat(fd).unwrap().size;
    // Each buffer fits the memory; together they are more than 32 bits can count.
    let whole = core::arch::wasm32::memory_size(0) * 65_536 - 65_536;
    let huge: Vec<[i32; 2]> = vec![[1024, whole as i32]; usize::MAX / whole + 2];
    // SAFETY: the vectors are live; the host checks what they say.
    unsafe {
        let code = raw::fd_write(fd as i32, huge.as_ptr() as i32, huge.len() as i32, place);
        println!("a sum over 32 bits is refused: {}", code != 0);
        let code = raw::fd_write(fd as i32, huge.as_ptr() as i32, 1 << 29, place);
        println!("2^29 buffers: {}", code_name(code));
        let code = raw::fd_write(fd as i32, huge.as_ptr() as i32, -1, place);
        println!("2^32 - 1 buffers: {}", code_name(code));
        let code = raw::fd_read(fd as i32, huge.as_ptr() as i32, -1, place);
        println!("to read into: {}", code_name(code));
    }
    println!("nothing was written: {}", stat(fd).unwrap().size == size);
}
