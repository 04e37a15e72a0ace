//! `fd_allocate` grows and never cuts; `fd_advise` checks its arguments and changes nothing.

use transcript::wasi::wasi_snapshot_preview1 as raw;
use transcript::{CREATE, FIRST, READ_WRITE, code_name, contents, open, show, stat, wasi, write};

fn main() {
    let fd = open(FIRST, "file", CREATE, READ_WRITE).unwrap();
    let size = || stat(fd).map(|stat| stat.size);
    let _ = show("write", write(fd, b"abc"));
    for (offset, length) in [(0, 2), (0, 6), (4, 1), (8, 2)] {
        // SAFETY: numbers are all that is passed.
        let outcome = unsafe { wasi::fd_allocate(fd, offset, length) };
        let _ = show(&format!("allocate {length} at {offset}"), outcome);
        let _ = show("size", size());
    }
    let _ = show("contents", contents(FIRST, "file"));
    // SAFETY: as above.
    unsafe {
        println!("nothing: {}", code_name(raw::fd_allocate(fd as i32, 0, 0)));
        println!("over the end of numbers is refused: {}", raw::fd_allocate(fd as i32, -1, -1) != 0);
        let _ = show("size", size());
        for advice in 0..=6 {
            let code = raw::fd_advise(fd as i32, 0, 10, advice);
            println!("advice {advice}: {}", code_name(code));
        }
        println!("advice beyond the end: {}", code_name(raw::fd_advise(fd as i32, 1 << 40, 10, 0)));
        println!("advice to nothing: {}", code_name(raw::fd_advise(99, 0, 0, 0)));
    }
    let _ = show("size", size());
}
