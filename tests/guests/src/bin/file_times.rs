//! Times are set to the nanosecond, kept, and move with changes.

use transcript::wasi::{
    FSTFLAGS_ATIM, FSTFLAGS_ATIM_NOW, FSTFLAGS_MTIM, FSTFLAGS_MTIM_NOW, Filestat,
};
use transcript::{
    CREATE, FIRST, FOLLOW, READ_WRITE, make_directory, make_file, open, show, stat, stat_path, symlink,
    wasi, write,
};

const OLD: u64 = 1_000_000_000_123_456_789;
const OLDER: u64 = 987_654_321_000_000_001;

fn set(fd: u32, atim: u64, mtim: u64, flags: u16) -> Result<(), wasi::Errno> {
    // SAFETY: numbers are all that is passed.
    unsafe { wasi::fd_filestat_set_times(fd, atim, mtim, flags) }
}

fn set_path(lookup: u32, path: &str, mtim: u64, flags: u16) -> Result<(), wasi::Errno> {
    // SAFETY: the path is a valid slice.
    unsafe { wasi::path_filestat_set_times(FIRST, lookup, path, 0, mtim, flags) }
}

fn times(stat: Filestat) -> (u64, u64) {
    (stat.atim, stat.mtim)
}

fn main() {
    // SAFETY: the result is written to the wrapper's own stack.
    let now = unsafe { wasi::clock_time_get(wasi::CLOCKID_REALTIME, 0) }.unwrap();
    let fd = open(FIRST, "file", CREATE, READ_WRITE).unwrap();
    // Some disks keep times coarser than the clock: hence the second's allowance.
    let recent = |time: u64| time + 1_000_000_000 >= now && time < now + 600_000_000_000;
    println!("a new file is new: {}", recent(stat(fd).unwrap().mtim));
    let _ = show("set both", set(fd, OLDER, OLD, FSTFLAGS_ATIM | FSTFLAGS_MTIM));
    let _ = show("times", stat(fd).map(times));
    let _ = show("set one", set(fd, 5, 6, FSTFLAGS_MTIM));
    let _ = show("times", stat(fd).map(times));
    let _ = show("set nothing", set(fd, 7, 8, 0));
    let _ = show("times", stat(fd).map(times));
    let _ = show("set by path", set_path(FOLLOW, "file", OLD, FSTFLAGS_MTIM));
    let _ = show("times", stat_path(FIRST, 0, "file").map(times));
    let _ = show("to now", set(fd, 0, 0, FSTFLAGS_MTIM_NOW));
    println!("is now: {}", recent(stat(fd).unwrap().mtim));
    let _ = show("back", set(fd, 0, OLD, FSTFLAGS_MTIM));
    let _ = show("write", write(fd, b"x"));
    println!("a write moves it: {}", recent(stat(fd).unwrap().mtim));
    let _ = show("set and now, mtim", set(fd, 0, 0, FSTFLAGS_MTIM | FSTFLAGS_MTIM_NOW));
    let _ = show("set and now, atim", set(fd, 0, 0, FSTFLAGS_ATIM | FSTFLAGS_ATIM_NOW));
    let _ = show("by path", set_path(0, "file", 0, FSTFLAGS_MTIM | FSTFLAGS_MTIM_NOW));

    symlink("file", FIRST, "link").unwrap();
    let _ = show("set the link's own", set_path(0, "link", OLDER, FSTFLAGS_MTIM));
    let _ = show("the link's", stat_path(FIRST, 0, "link").map(|stat| stat.mtim));
    println!("the file's stays: {}", recent(stat(fd).unwrap().mtim));
    let _ = show("set through the link", set_path(FOLLOW, "link", OLD, FSTFLAGS_MTIM));
    let _ = show("the file's", stat(fd).map(|stat| stat.mtim));
    let _ = show("of nothing", set_path(0, "missing", 0, FSTFLAGS_MTIM));

    make_directory(FIRST, "dir").unwrap();
    let _ = show("a directory's", set_path(0, "dir", OLD, FSTFLAGS_MTIM));
    let _ = show("time", stat_path(FIRST, 0, "dir").map(|stat| stat.mtim));
    make_file(FIRST, "dir/new", b"").unwrap();
    println!("a new entry moves it: {}", recent(stat_path(FIRST, 0, "dir").unwrap().mtim));
}
