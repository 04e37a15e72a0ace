//! Preopened directories: numbered from 3 in their order, named as granted, closed like any other.

use std::fs;

use transcript::{close, show, wasi};

fn name(fd: u32) -> Result<String, wasi::Errno> {
    // SAFETY: the buffer has the length that the host said, and lives across the call.
    unsafe {
        let stat = wasi::fd_prestat_get(fd)?;
        let mut bytes = vec![0; stat.u.dir.pr_name_len];
        wasi::fd_prestat_dir_name(fd, bytes.as_mut_ptr(), bytes.len())?;
        Ok(String::from_utf8(bytes).unwrap())
    }
}

fn main() {
    for fd in 0..8 {
        let _ = show(&format!("descriptor {fd}"), name(fd));
    }
    let mut short = [0; 2];
    // SAFETY: the buffer is 2 bytes long, as it says.
    let outcome = unsafe { wasi::fd_prestat_dir_name(4, short.as_mut_ptr(), 2) };
    println!("a name in a short buffer is refused: {}", outcome.is_err());
    println!("std: {:?}", fs::read_to_string("/data/file").ok());
    println!("std, the longer mount: {:?}", fs::read_to_string("/data/inner/file").ok());
    println!("std, relative: {:?}", fs::read_to_string("file").ok());
    let _ = show("close", close(4));
    let _ = show("close again", close(4));
    let _ = show("its name", name(4));
    let _ = show("its neighbour", name(5));
}
