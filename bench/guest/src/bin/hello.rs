//! The smallest program that can be seen: what it costs to start one.

fn main() {
    let text = b"hello\n";
    let iov = wasip1::Ciovec {
        buf: text.as_ptr(),
        buf_len: text.len(),
    };
    // SAFETY: the buffer outlives the call.
    let _ = unsafe { wasip1::fd_write(1, &[iov]) };
}
