//! An unlinked file lives as long as a handle to it; its name is free at once.

use transcript::wasi::WHENCE_SET;
use transcript::{
    CREATE, FIRST, READ_WRITE, close, contents, make_directory, make_file, names, open,
    open_directory, read, remove_directory, seek, show, stat, unlink, write,
};

fn main() {
    let old = open(FIRST, "file", CREATE, READ_WRITE).unwrap();
    let _ = show("write", write(old, b"old contents"));
    let _ = show("unlink", unlink(FIRST, "file"));
    let _ = show("by name", contents(FIRST, "file"));
    let _ = show("names", stat(old).map(|stat| stat.nlink));
    let _ = show("write on", write(old, b", more"));
    make_file(FIRST, "file", b"new").unwrap();
    let _ = show("rewind", seek(old, 0, WHENCE_SET));
    let _ = show("the handle reads", read(old, 100));
    let _ = show("the name says", contents(FIRST, "file"));
    let _ = show("close", close(old));
    let _ = show("again", unlink(FIRST, "file"));
    let _ = show("and again", unlink(FIRST, "file"));

    make_directory(FIRST, "dir").unwrap();
    let dir = open_directory(FIRST, "dir").unwrap();
    let _ = show("remove an open directory", remove_directory(FIRST, "dir"));
    let _ = show("it is empty", names(dir));
    let _ = show("no file can be made in it", make_file(dir, "x", b""));
    let _ = show("no directory either", make_directory(dir, "x"));
    let _ = show("names", names(FIRST));
}
