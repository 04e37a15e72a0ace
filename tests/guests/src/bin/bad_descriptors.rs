//! Every call refuses a descriptor that isn't open, whatever else it was given.

use transcript::code_name;
use transcript::wasi::wasi_snapshot_preview1 as raw;

fn main() {
    let mut place = [0u8; 64];
    let place = place.as_mut_ptr() as i32;
    let iovec = [place, 8];
    let iovs = iovec.as_ptr() as i32;
    let path = c"path".as_ptr() as i32;
    for fd in [99, i32::MAX, -1] {
        // SAFETY: every pointer is to a live local.
        let codes = unsafe {
            [
                ("fd_advise", raw::fd_advise(fd, 0, 0, 0)),
                ("fd_allocate", raw::fd_allocate(fd, 0, 1)),
                ("fd_close", raw::fd_close(fd)),
                ("fd_datasync", raw::fd_datasync(fd)),
                ("fd_fdstat_get", raw::fd_fdstat_get(fd, place)),
                ("fd_fdstat_set_flags", raw::fd_fdstat_set_flags(fd, 0)),
                ("fd_fdstat_set_rights", raw::fd_fdstat_set_rights(fd, 0, 0)),
                ("fd_filestat_get", raw::fd_filestat_get(fd, place)),
                ("fd_filestat_set_size", raw::fd_filestat_set_size(fd, 0)),
                ("fd_filestat_set_times", raw::fd_filestat_set_times(fd, 0, 0, 0)),
                ("fd_pread", raw::fd_pread(fd, iovs, 1, 0, place)),
                ("fd_prestat_get", raw::fd_prestat_get(fd, place)),
                ("fd_prestat_dir_name", raw::fd_prestat_dir_name(fd, place, 8)),
                ("fd_pwrite", raw::fd_pwrite(fd, iovs, 1, 0, place)),
                ("fd_read", raw::fd_read(fd, iovs, 1, place)),
                ("fd_readdir", raw::fd_readdir(fd, place, 32, 0, place)),
                ("fd_renumber", raw::fd_renumber(fd, fd)),
                ("fd_seek", raw::fd_seek(fd, 0, 0, place)),
                ("fd_sync", raw::fd_sync(fd)),
                ("fd_tell", raw::fd_tell(fd, place)),
                ("fd_write", raw::fd_write(fd, iovs, 1, place)),
                ("path_create_directory", raw::path_create_directory(fd, path, 4)),
                ("path_filestat_get", raw::path_filestat_get(fd, 0, path, 4, place)),
                ("path_filestat_set_times", raw::path_filestat_set_times(fd, 0, path, 4, 0, 0, 0)),
                ("path_link from", raw::path_link(fd, 0, path, 4, 3, path, 4)),
                ("path_open", raw::path_open(fd, 0, path, 4, 0, 0, 0, 0, place)),
                ("path_readlink", raw::path_readlink(fd, path, 4, place, 8, place)),
                ("path_remove_directory", raw::path_remove_directory(fd, path, 4)),
                ("path_rename from", raw::path_rename(fd, path, 4, 3, path, 4)),
                ("path_symlink", raw::path_symlink(path, 4, fd, path, 4)),
                ("path_unlink_file", raw::path_unlink_file(fd, path, 4)),
            ]
        };
        for (name, code) in codes {
            println!("{name}({fd}): {}", code_name(code));
        }
    }
}
