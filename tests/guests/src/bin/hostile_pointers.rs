//! Pointers that lead out of memory: every call answers with an error and touches nothing.

use transcript::wasi::wasi_snapshot_preview1 as raw;
use transcript::{CREATE, FIRST, READ_WRITE, code_name, contents, make_directory, make_file, open, show, symlink};

fn main() {
    make_file(FIRST, "file", b"untouched").unwrap();
    make_directory(FIRST, "dir").unwrap();
    symlink("file", FIRST, "link").unwrap();
    let fd = open(FIRST, "file", 0, READ_WRITE).unwrap() as i32;
    let _ = open(FIRST, "other", CREATE, READ_WRITE);
    let dir = FIRST as i32;
    let mut place = [0u8; 64];
    let good = place.as_mut_ptr() as i32;
    let file = c"file".as_ptr() as i32;
    let link = c"link".as_ptr() as i32;
    let new = c"new!".as_ptr() as i32;
    // The first byte beyond the memory, the last bytes of the address space, one byte inside.
    let end = (core::arch::wasm32::memory_size(0) * 65_536) as i32;
    for (where_, bad) in [("the end", end), ("the top", -8), ("the last byte", end - 1)] {
        let outside = [bad, 8];
        let outside = outside.as_ptr() as i32;
        let inside = [good, 8];
        let inside = inside.as_ptr() as i32;
        println!("at {where_}:");
        // SAFETY: a host must not touch what these pointers name; good ones are to live locals.
        let codes = unsafe {
            [
                ("args_get", raw::args_get(bad, good)),
                ("args_get buffer", raw::args_get(good, bad)),
                ("args_sizes_get", raw::args_sizes_get(bad, good)),
                ("args_sizes_get size", raw::args_sizes_get(good, bad)),
                ("environ_get", raw::environ_get(bad, good)),
                ("environ_sizes_get", raw::environ_sizes_get(bad, good)),
                ("environ_sizes_get size", raw::environ_sizes_get(good, bad)),
                ("clock_res_get", raw::clock_res_get(0, bad)),
                ("clock_time_get", raw::clock_time_get(0, 0, bad)),
                ("fd_fdstat_get", raw::fd_fdstat_get(fd, bad)),
                ("fd_filestat_get", raw::fd_filestat_get(fd, bad)),
                ("fd_pread iovecs", raw::fd_pread(fd, bad, 1, 0, good)),
                ("fd_pread buffer", raw::fd_pread(fd, outside, 1, 0, good)),
                ("fd_pread count", raw::fd_pread(fd, inside, 1, 0, bad)),
                ("fd_prestat_get", raw::fd_prestat_get(dir, bad)),
                ("fd_pwrite iovecs", raw::fd_pwrite(fd, bad, 1, 0, good)),
                ("fd_pwrite buffer", raw::fd_pwrite(fd, outside, 1, 0, good)),
                ("fd_read iovecs", raw::fd_read(fd, bad, 1, good)),
                ("fd_read buffer", raw::fd_read(fd, outside, 1, good)),
                ("fd_readdir buffer", raw::fd_readdir(dir, bad, 64, 0, good)),
                ("fd_readdir count", raw::fd_readdir(dir, good, 32, 0, bad)),
                ("fd_seek", raw::fd_seek(fd, 0, 0, bad)),
                ("fd_tell", raw::fd_tell(fd, bad)),
                ("fd_write iovecs", raw::fd_write(fd, bad, 1, good)),
                ("fd_write buffer", raw::fd_write(fd, outside, 1, good)),
                ("path_create_directory", raw::path_create_directory(dir, bad, 4)),
                ("path_filestat_get path", raw::path_filestat_get(dir, 0, bad, 4, good)),
                ("path_filestat_get stat", raw::path_filestat_get(dir, 0, file, 4, bad)),
                ("path_filestat_set_times", raw::path_filestat_set_times(dir, 0, bad, 4, 0, 0, 0)),
                ("path_link old", raw::path_link(dir, 0, bad, 4, dir, new, 4)),
                ("path_link new", raw::path_link(dir, 0, file, 4, dir, bad, 4)),
                ("path_open path", raw::path_open(dir, 0, bad, 4, 0, 0, 0, 0, good)),
                ("path_open result", raw::path_open(dir, 0, file, 4, 0, 0, 0, 0, bad)),
                ("path_readlink path", raw::path_readlink(dir, bad, 4, good, 8, good)),
                ("path_readlink buffer", raw::path_readlink(dir, link, 4, bad, 8, good)),
                ("path_readlink count", raw::path_readlink(dir, link, 4, good, 8, bad)),
                ("path_remove_directory", raw::path_remove_directory(dir, bad, 4)),
                ("path_rename old", raw::path_rename(dir, bad, 4, dir, new, 4)),
                ("path_rename new", raw::path_rename(dir, file, 4, dir, bad, 4)),
                ("path_symlink old", raw::path_symlink(bad, 4, dir, new, 4)),
                ("path_symlink new", raw::path_symlink(file, 4, dir, bad, 4)),
                ("path_unlink_file", raw::path_unlink_file(dir, bad, 4)),
                ("poll_oneoff in", raw::poll_oneoff(bad, good, 1, good)),
                ("random_get", raw::random_get(bad, 8)),
            ]
        };
        for (name, code) in codes {
            println!("  {name}: {}", code_name(code));
        }
    }
    // Lengths that wrap around the address space.
    let wrapping = [good, -1];
    // SAFETY: as above.
    unsafe {
        println!("a buffer of 4 GiB: {}", code_name(raw::fd_write(fd, wrapping.as_ptr() as i32, 1, good)));
        println!("random over everything: {}", code_name(raw::random_get(good, -1)));
    }
    let _ = show("the file", contents(FIRST, "file"));
    let _ = show("no new name", contents(FIRST, "new!"));
}
