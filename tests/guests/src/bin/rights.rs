//! Rights only narrow, and a call without its right is refused.

use transcript::wasi::{
    RIGHTS_FD_FILESTAT_GET, RIGHTS_FD_READ, RIGHTS_FD_SEEK, RIGHTS_FD_WRITE, RIGHTS_PATH_OPEN,
    WHENCE_SET,
};
use transcript::{
    FIRST, READ_WRITE, close, make_directory, make_file, open, open_directory, read, seek, show, stat,
    wasi, write,
};

fn set(fd: u32, base: u64, inheriting: u64) -> Result<(), wasi::Errno> {
    // SAFETY: numbers are all that is passed.
    unsafe { wasi::fd_fdstat_set_rights(fd, base, inheriting) }
}

fn has(fd: u32, right: u64) -> bool {
    // SAFETY: the result is written to the wrapper's own stack.
    unsafe { wasi::fd_fdstat_get(fd) }.unwrap().fs_rights_base & right == right
}

fn main() {
    make_file(FIRST, "file", b"contents").unwrap();
    let rights = RIGHTS_FD_READ | RIGHTS_FD_WRITE | RIGHTS_FD_SEEK | RIGHTS_FD_FILESTAT_GET;
    let fd = open(FIRST, "file", 0, rights).unwrap();
    println!("as asked: {}", has(fd, rights));
    let _ = show("drop write", set(fd, rights & !RIGHTS_FD_WRITE, 0));
    println!("write is gone: {}", !has(fd, RIGHTS_FD_WRITE));
    println!("writing is refused: {}", write(fd, b"x").is_err());
    let _ = show("reading is not", read(fd, 4));
    let _ = show("take it back", set(fd, rights, 0));
    let _ = show("keep the rest", set(fd, rights & !RIGHTS_FD_WRITE, 0));
    let _ = show("drop seek", set(fd, RIGHTS_FD_READ, 0));
    println!("seeking is refused: {}", seek(fd, 0, WHENCE_SET).is_err());
    println!("stat is refused: {}", stat(fd).is_err());
    let _ = show("reading is not", read(fd, 4));
    let _ = show("drop all", set(fd, 0, 0));
    println!("reading is refused: {}", read(fd, 4).is_err());
    let _ = show("closing is not", close(fd));
    let _ = show("of nothing", set(fd, 0, 0));

    make_directory(FIRST, "dir").unwrap();
    make_file(FIRST, "dir/file", b"x").unwrap();
    let dir = open_directory(FIRST, "dir").unwrap();
    // What a directory hands on narrows as well.
    let _ = show("hand on reading alone", set(dir, transcript::DIRECTORY, RIGHTS_FD_READ));
    let _ = show("open to read", open(dir, "file", 0, RIGHTS_FD_READ).and_then(close));
    let _ = show("open to write", open(dir, "file", 0, READ_WRITE).and_then(close));
    let _ = show("hand on more", set(dir, transcript::DIRECTORY, READ_WRITE));
    let _ = show("no opening at all", set(dir, transcript::DIRECTORY & !RIGHTS_PATH_OPEN, 0));
    let _ = show("open", open(dir, "file", 0, 0).and_then(close));
}
