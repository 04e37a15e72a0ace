//! Hard links: one file by several names, counted, gone with the last of them.

use transcript::{
    FIRST, FOLLOW, READ, READ_WRITE, contents, link, make_directory, make_file, open, read,
    read_link, show, stat, stat_path, symlink, type_name, unlink, wasi, write,
};

fn main() {
    make_file(FIRST, "one", b"shared").unwrap();
    let _ = show("link", link(FIRST, "one", "two"));
    make_directory(FIRST, "dir").unwrap();
    let _ = show("link in another directory", link(FIRST, "one", "dir/three"));
    let count = |path| stat_path(FIRST, 0, path).map(|stat| stat.nlink);
    let _ = show("names of one", count("one"));
    let _ = show("names of dir/three", count("dir/three"));
    let inode = |path| stat_path(FIRST, 0, path).unwrap().ino;
    println!("the same file: {}", inode("one") == inode("two") && inode("two") == inode("dir/three"));
    let fd = open(FIRST, "two", 0, READ_WRITE).unwrap();
    let _ = show("write by one name", write(fd, b"SHA"));
    let _ = show("read by another", contents(FIRST, "dir/three"));
    let _ = show("unlink", unlink(FIRST, "one"));
    let _ = show("names left", stat(fd).map(|stat| stat.nlink));
    let _ = show("unlink", unlink(FIRST, "two"));
    let _ = show("unlink", unlink(FIRST, "dir/three"));
    let _ = show("names left", stat(fd).map(|stat| stat.nlink));
    let reader = open(FIRST, "two", 0, READ).err();
    println!("by name: {:?}", reader.map(|errno| errno.name()));
    let _ = show("by the handle", read(fd, 10));

    make_file(FIRST, "file", b"").unwrap();
    make_file(FIRST, "other", b"").unwrap();
    let _ = show("over a file", link(FIRST, "file", "other"));
    let _ = show("over itself", link(FIRST, "file", "file"));
    let _ = show("over a directory", link(FIRST, "file", "dir"));
    let _ = show("of a directory", link(FIRST, "dir", "dir2"));
    let _ = show("of nothing", link(FIRST, "nothing", "x"));
    let _ = show("into nothing", link(FIRST, "file", "nothing/x"));
    let _ = show("with a trailing slash", link(FIRST, "file", "x/"));
    symlink("file", FIRST, "soft").unwrap();
    let _ = show("of a symbolic link", link(FIRST, "soft", "soft2"));
    let _ = show("which is one too", stat_path(FIRST, 0, "soft2").map(|stat| type_name(stat.filetype)));
    let _ = show("and says", read_link(FIRST, "soft2", 20));
    // SAFETY: the paths are constants.
    let followed = unsafe { wasi::path_link(FIRST, FOLLOW, "soft", FIRST, "hard") };
    let _ = show("of what a link leads to", followed);
    let kind = stat_path(FIRST, 0, "hard").map(|stat| type_name(stat.filetype));
    let _ = show("which is a file", kind);
}
