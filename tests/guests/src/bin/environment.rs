//! The environment is what was granted and nothing else, in the order in which it was granted.

use std::ffi::CStr;

use transcript::wasi;

fn main() {
    for name in ["GREETING", "EMPTY", "EQUALS", "PATH", "HOME"] {
        println!("{name} = {:?}", std::env::var(name).ok());
    }
    // std keeps no order; the raw call does.
    // SAFETY: the buffers have the sizes that the host asked for, and live across the calls.
    unsafe {
        let (count, size) = wasi::environ_sizes_get().unwrap();
        let mut pointers = vec![std::ptr::null_mut(); count];
        let mut bytes = vec![0u8; size];
        wasi::environ_get(pointers.as_mut_ptr(), bytes.as_mut_ptr()).unwrap();
        println!("{count} variables in {size} bytes");
        for pointer in pointers {
            println!("{:?}", CStr::from_ptr(pointer.cast()).to_str().unwrap());
        }
    }
}
