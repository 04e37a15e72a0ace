//! A trailing slash demands a directory, in every call that takes a path.

use transcript::{
    CREATE, FIRST, FOLLOW, READ, READ_WRITE, close, link, make_directory, make_file, names, open, open_with,
    read_link, remove_directory, rename, show, stat_path, symlink, type_name, unlink,
};

fn main() {
    make_file(FIRST, "file", b"x").unwrap();
    make_directory(FIRST, "dir").unwrap();
    symlink("dir", FIRST, "to-dir").unwrap();
    symlink("file", FIRST, "to-file").unwrap();
    for path in ["file/", "file//", "file/.", "dir/", "dir//", "dir/.", "to-dir/", "to-file/", "missing/"] {
        let opened = open_with(FIRST, FOLLOW, path, 0, READ, 0).and_then(close);
        let _ = show(&format!("open {path}"), opened);
        let kind = stat_path(FIRST, 0, path).map(|stat| type_name(stat.filetype));
        let _ = show(&format!("stat {path}"), kind);
    }
    println!("create new/ is refused: {}", open(FIRST, "new/", CREATE, READ_WRITE).is_err());
    println!("create file/ is refused: {}", open(FIRST, "file/", CREATE, READ_WRITE).is_err());
    let _ = show("unlink file/", unlink(FIRST, "file/"));
    println!("unlink to-file/ is refused: {}", unlink(FIRST, "to-file/").is_err());
    let _ = show("rmdir file/", remove_directory(FIRST, "file/"));
    let _ = show("rename file/ to x", rename(FIRST, "file/", "x"));
    let _ = show("rename file to x/", rename(FIRST, "file", "x/"));
    let _ = show("rename dir/ to dir2/", rename(FIRST, "dir/", "dir2/"));
    let _ = show("rename dir2 to dir///", rename(FIRST, "dir2", "dir///"));
    let _ = show("link file to x/", link(FIRST, "file", "x/"));
    let _ = show("symlink x/", symlink("file", FIRST, "x/"));
    let _ = show("symlink dir/", symlink("file", FIRST, "dir/"));
    println!("readlink to-file/ is refused: {}", read_link(FIRST, "to-file/", 10).is_err());
    let _ = show("mkdir new/", make_directory(FIRST, "new/"));
    let _ = show("mkdir new//", make_directory(FIRST, "new//"));
    let _ = show("rmdir new/", remove_directory(FIRST, "new/"));
    let _ = show("names", names(FIRST));
}
