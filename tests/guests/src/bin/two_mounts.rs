//! Two mounts are two file systems: nothing is renamed or linked across, everything is copied.

use std::fs;

use transcript::{
    FIRST, SECOND, contents, make_directory, make_file, rename_across, show, stat_path, wasi,
};

fn main() {
    make_file(FIRST, "file", b"from the first").unwrap();
    make_directory(FIRST, "dir").unwrap();
    let _ = show("rename across", rename_across(FIRST, "file", SECOND, "file"));
    let _ = show("rename a directory across", rename_across(FIRST, "dir", SECOND, "dir"));
    // SAFETY: the paths are constants.
    let linked = unsafe { wasi::path_link(FIRST, 0, "file", SECOND, "file") };
    let _ = show("link across", linked);
    let _ = show("still there", contents(FIRST, "file"));
    let _ = show("not there", contents(SECOND, "file"));
    let device = |dir| stat_path(dir, 0, ".").unwrap().dev;
    println!("two devices: {}", device(FIRST) != device(SECOND));
    println!("std copies: {:?}", fs::copy("/first/file", "/second/file").ok());
    let _ = show("there", contents(SECOND, "file"));
    println!("std finds both: {:?}", fs::read_to_string("/second/file").ok());
    println!("and no other: {}", fs::read_to_string("/third/file").is_err());
    println!("nor the root: {}", fs::read_dir("/").is_err());
}
