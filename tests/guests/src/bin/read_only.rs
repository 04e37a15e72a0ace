//! A read-only mount: all reading works, no writing, and no way in by a link, a rename or a size.

use transcript::{
    CREATE, DIRECTORY, FIRST, READ, READ_WRITE, SECOND, close, contents, link, make_directory,
    make_file, names, open, open_directory, remove_directory, rename, rename_across, show, stat,
    stat_path, symlink, unlink, wasi,
};

fn main() {
    let _ = show("read", contents(FIRST, "file"));
    let _ = show("names", names(FIRST));
    let _ = show("stat", stat_path(FIRST, 0, "dir/inner").map(|stat| stat.size));
    let _ = show("open to read", open(FIRST, "file", 0, READ).and_then(close));
    for (name, outcome) in [
        ("open to write", open(FIRST, "file", 0, READ_WRITE).and_then(close)),
        ("truncate", open(FIRST, "file", wasi::OFLAGS_TRUNC, READ).and_then(close)),
        ("create", open(FIRST, "new", CREATE, READ_WRITE).and_then(close)),
        ("create for reading", open(FIRST, "new", wasi::OFLAGS_CREAT, READ).and_then(close)),
        ("mkdir", make_directory(FIRST, "new")),
        ("rmdir", remove_directory(FIRST, "dir")),
        ("unlink", unlink(FIRST, "file")),
        ("rename", rename(FIRST, "file", "new")),
        ("link", link(FIRST, "file", "new")),
        ("symlink", symlink("file", FIRST, "new")),
        // SAFETY: the path is a constant.
        ("set times", unsafe {
            wasi::path_filestat_set_times(FIRST, 0, "file", 0, 0, wasi::FSTFLAGS_MTIM)
        }),
        ("below", make_file(FIRST, "dir/new", b"")),
    ] {
        let refused = matches!(outcome, Err(wasi::ERRNO_ROFS | wasi::ERRNO_NOTCAPABLE | wasi::ERRNO_PERM));
        println!("{name} is refused: {refused}");
    }
    // By a handle that was opened to read.
    let fd = open(FIRST, "file", 0, READ).unwrap();
    // SAFETY: numbers are all that is passed.
    unsafe {
        println!("set a size: {}", wasi::fd_filestat_set_size(fd, 0).is_err());
        println!("allocate: {}", wasi::fd_allocate(fd, 0, 100).is_err());
        println!("set times: {}", wasi::fd_filestat_set_times(fd, 0, 0, wasi::FSTFLAGS_MTIM).is_err());
    }
    println!("write: {}", transcript::write(fd, b"x").is_err());
    // By another handle, and by the writable mount beside it.
    let dir = open(FIRST, "dir", wasi::OFLAGS_DIRECTORY, DIRECTORY).or_else(|_| open_directory(FIRST, "dir"));
    println!("by a directory's handle: {}", make_file(dir.unwrap(), "new", b"").is_err());
    make_file(SECOND, "mine", b"mine").unwrap();
    println!("rename into it: {}", rename_across(SECOND, "mine", FIRST, "mine").is_err());
    println!("rename out of it: {}", rename_across(FIRST, "file", SECOND, "file").is_err());
    // SAFETY: the paths are constants.
    println!("link out of it: {}", unsafe { wasi::path_link(FIRST, 0, "file", SECOND, "file") }.is_err());
    let _ = show("the file is whole", contents(FIRST, "file"));
    let _ = show("its size", stat(fd).map(|stat| stat.size));
    let _ = show("names", names(FIRST));
    let _ = show("names beside", names(SECOND));
}
