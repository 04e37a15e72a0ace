//! Attributes: types, sizes, links, and numbers that tell files apart.

use std::collections::HashSet;

use transcript::{FIRST, make_directory, make_file, show, stat, stat_path, symlink, type_name};

fn main() {
    make_file(FIRST, "empty", b"").unwrap();
    make_file(FIRST, "file", b"12345").unwrap();
    make_directory(FIRST, "dir").unwrap();
    make_file(FIRST, "dir/file", b"123").unwrap();
    symlink("dir/file", FIRST, "link").unwrap();
    let paths = [".", "empty", "file", "dir", "dir/file", "link"];
    for path in paths {
        let stat = stat_path(FIRST, 0, path).unwrap();
        print!("{path}: {}", type_name(stat.filetype));
        if stat.filetype == transcript::wasi::FILETYPE_REGULAR_FILE {
            print!(", {} bytes, {} name", stat.size, stat.nlink);
        }
        println!();
    }
    let stats = paths.map(|path| stat_path(FIRST, 0, path).unwrap());
    println!("six inodes: {}", stats.iter().map(|stat| stat.ino).collect::<HashSet<_>>().len() == 6);
    println!("one device: {}", stats.iter().all(|stat| stat.dev == stats[0].dev));
    println!("the same each time: {}", stat_path(FIRST, 0, "file").unwrap().ino == stats[2].ino);
    println!("the same by a handle: {}", stat(FIRST).unwrap().ino == stats[0].ino);
    let _ = show("missing", stat_path(FIRST, 0, "missing").map(|_| ()));
    let _ = show("below a file", stat_path(FIRST, 0, "file/x").map(|_| ()));
    let _ = show("an empty path", stat_path(FIRST, 0, "").map(|_| ()));
}
