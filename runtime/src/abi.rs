//! The table of calls: WASI preview 1, and where the snapshot before it differs.
//!
//! Every host expands [`calls!`](crate::calls) once to define its imports, so that a call exists
//! either everywhere or nowhere. A test compares the table with the official witx.
//!
//! Sources:
//! [preview 1](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/witx/wasi_snapshot_preview1.witx),
//! [the snapshot before, `wasi_unstable`](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview0/witx/wasi_unstable.witx).

/// Calls `$callback! { … }` with the table of all calls that return an errno.
///
/// A row is `name(parameter: type, …);`. Types are `u32` (pointers, lengths, descriptors, flags), `u64`
/// and `i64`, as core WebAssembly passes them (`i32`, `i64`). Rows under `preview1` are imported from
/// `wasi_snapshot_preview1`; rows under `unstable` replace the call of that name (without
/// the `unstable_`) when it is imported from `wasi_unstable`. `proc_exit(u32)`, which returns nothing, is
/// in neither list: each host ends its guest in its own way.
#[macro_export]
macro_rules! calls {
    ($callback:path) => {
        $callback! {
            preview1 {
                args_get(argv: u32, argv_buf: u32);
                args_sizes_get(argc: u32, argv_buf_size: u32);
                environ_get(environ: u32, environ_buf: u32);
                environ_sizes_get(environc: u32, environ_buf_size: u32);
                clock_res_get(id: u32, resolution: u32);
                clock_time_get(id: u32, precision: u64, time: u32);
                fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
                fd_allocate(fd: u32, offset: u64, len: u64);
                fd_close(fd: u32);
                fd_datasync(fd: u32);
                fd_fdstat_get(fd: u32, stat: u32);
                fd_fdstat_set_flags(fd: u32, flags: u32);
                fd_fdstat_set_rights(fd: u32, rights_base: u64, rights_inheriting: u64);
                fd_filestat_get(fd: u32, buf: u32);
                fd_filestat_set_size(fd: u32, size: u64);
                fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, fst_flags: u32);
                fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nread: u32);
                fd_prestat_get(fd: u32, buf: u32);
                fd_prestat_dir_name(fd: u32, path: u32, path_len: u32);
                fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nwritten: u32);
                fd_read(fd: u32, iovs: u32, iovs_len: u32, nread: u32);
                fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, bufused: u32);
                fd_renumber(fd: u32, to: u32);
                fd_seek(fd: u32, offset: i64, whence: u32, newoffset: u32);
                fd_sync(fd: u32);
                fd_tell(fd: u32, offset: u32);
                fd_write(fd: u32, iovs: u32, iovs_len: u32, nwritten: u32);
                path_create_directory(fd: u32, path: u32, path_len: u32);
                path_filestat_get(fd: u32, flags: u32, path: u32, path_len: u32, buf: u32);
                path_filestat_set_times(fd: u32, flags: u32, path: u32, path_len: u32, atim: u64, mtim: u64, fst_flags: u32);
                path_link(old_fd: u32, old_flags: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32, new_path_len: u32);
                path_open(fd: u32, dirflags: u32, path: u32, path_len: u32, oflags: u32, rights_base: u64, rights_inheriting: u64, fdflags: u32, opened_fd: u32);
                path_readlink(fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, bufused: u32);
                path_remove_directory(fd: u32, path: u32, path_len: u32);
                path_rename(fd: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32, new_path_len: u32);
                path_symlink(old_path: u32, old_path_len: u32, fd: u32, new_path: u32, new_path_len: u32);
                path_unlink_file(fd: u32, path: u32, path_len: u32);
                poll_oneoff(subscriptions: u32, events: u32, nsubscriptions: u32, nevents: u32);
                proc_raise(signal: u32);
                random_get(buf: u32, buf_len: u32);
                sched_yield();
                sock_accept(fd: u32, flags: u32, connection: u32);
                sock_recv(fd: u32, ri_data: u32, ri_data_len: u32, ri_flags: u32, ro_datalen: u32, ro_flags: u32);
                sock_send(fd: u32, si_data: u32, si_data_len: u32, si_flags: u32, so_datalen: u32);
                sock_shutdown(fd: u32, how: u32);
            }
            unstable {
                unstable_fd_filestat_get(fd: u32, buf: u32);
                unstable_fd_seek(fd: u32, offset: i64, whence: u32, newoffset: u32);
                unstable_path_filestat_get(fd: u32, flags: u32, path: u32, path_len: u32, buf: u32);
                unstable_poll_oneoff(subscriptions: u32, events: u32, nsubscriptions: u32, nevents: u32);
            }
        }
    };
}

/// The type of a parameter, as core WebAssembly passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// 32 bits: a pointer, a length, a descriptor, flags.
    I32,
    /// 64 bits: an offset, rights, a time.
    I64,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The name under which [`Process`](crate::Process) has it.
    pub name: &'static str,
    /// The parameters; the result is an errno, an `i32`.
    pub params: &'static [Param],
}

macro_rules! param {
    (u32) => {
        Param::I32
    };
    (u64) => {
        Param::I64
    };
    (i64) => {
        Param::I64
    };
}

macro_rules! table {
    (preview1 { $($name:ident($($arg:ident: $ty:ident),*);)* } unstable { $($old:ident($($oarg:ident: $oty:ident),*);)* }) => {
        /// Every call of preview 1 but `proc_exit`.
        pub const PREVIEW1: &[Call] =
            &[$(Call { name: stringify!($name), params: &[$(param!($ty)),*] }),*];
        /// The calls that the snapshot before had in another form, `unstable_` before their names.
        pub const UNSTABLE: &[Call] =
            &[$(Call { name: stringify!($old), params: &[$(param!($oty)),*] }),*];
    };
}
calls!(table);

/// The module name of preview 1.
pub const PREVIEW1_MODULE: &str = "wasi_snapshot_preview1";

/// The module name of the snapshot before preview 1.
pub const UNSTABLE_MODULE: &str = "wasi_unstable";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preview1_has_all_46_functions() {
        // proc_exit is the one that the table leaves out.
        assert_eq!(PREVIEW1.len() + 1, 46);
    }
}
