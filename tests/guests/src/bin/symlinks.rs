//! Symbolic links: made, read, followed or not, relative to their directory, dangling, in loops.

use transcript::{
    CREATE, FIRST, FOLLOW, READ, READ_WRITE, contents, make_directory, make_file, names, open,
    open_directory, open_with, read_link, remove_directory, rename, show, stat_path, symlink, type_name,
    unlink, wasi,
};

fn main() {
    make_file(FIRST, "file", b"the file").unwrap();
    make_directory(FIRST, "dir").unwrap();
    make_file(FIRST, "dir/inner", b"the inner file").unwrap();
    for (target, path) in [
        ("file", "to-file"),
        ("dir", "to-dir"),
        ("../file", "dir/up"),
        ("inner", "dir/beside"),
        ("to-file", "to-link"),
        ("missing", "dangling"),
        ("loop-b", "loop-a"),
        ("loop-a", "loop-b"),
        ("itself", "itself"),
        ("./dir/../to-dir/./inner", "crooked"),
    ] {
        let _ = show(&format!("{path} -> {target}"), symlink(target, FIRST, path));
    }
    for path in
        ["to-file", "to-dir/inner", "dir/up", "dir/beside", "to-dir/up", "to-link", "crooked", "dangling", "loop-a", "itself", "itself/x"]
    {
        let _ = show(&format!("read {path}"), contents(FIRST, path));
    }
    for path in ["to-file", "to-dir", "dangling", "loop-a"] {
        let kind = |lookup| stat_path(FIRST, lookup, path).map(|stat| type_name(stat.filetype));
        let _ = show(&format!("{path} itself"), kind(0));
        let _ = show(&format!("{path} followed"), kind(FOLLOW));
    }
    let _ = show("says", read_link(FIRST, "crooked", 100));
    let _ = show("cut", read_link(FIRST, "crooked", 6));
    let _ = show("size", stat_path(FIRST, 0, "to-file").map(|stat| stat.size));
    let _ = show("of a file", read_link(FIRST, "file", 100));
    let _ = show("of a directory", read_link(FIRST, "dir", 100));
    let _ = show("of nothing", read_link(FIRST, "missing", 100));
    let _ = show("over a file", symlink("x", FIRST, "file"));
    let _ = show("over a link", symlink("x", FIRST, "to-file"));
    let _ = show("empty target", symlink("", FIRST, "empty"));

    let made = open_with(FIRST, FOLLOW, "dangling", wasi::OFLAGS_CREAT, READ_WRITE, 0).map(|_| ());
    let _ = show("create through a dangling link", made);
    let _ = show("the target is there", stat_path(FIRST, 0, "missing").map(|stat| stat.size));
    let exclusive = wasi::OFLAGS_CREAT | wasi::OFLAGS_EXCL;
    let made = open_with(FIRST, FOLLOW, "to-file", exclusive, READ_WRITE, 0).map(|_| ());
    let _ = show("create exclusively at a link", made);
    let _ = show("open a link without following", open(FIRST, "to-file", 0, READ).map(|_| ()));
    let _ = show("create at a link without following", open(FIRST, "to-file", CREATE, READ_WRITE).map(|_| ()));
    let _ = show("remove a link as a directory", remove_directory(FIRST, "to-dir"));
    let _ = show("rename a link", rename(FIRST, "to-link", "renamed"));
    let _ = show("it says", read_link(FIRST, "renamed", 100));
    let _ = show("unlink a link", unlink(FIRST, "to-file"));
    let _ = show("the file stays", contents(FIRST, "file"));
    let dir = open_with(FIRST, FOLLOW, "to-dir", wasi::OFLAGS_DIRECTORY, transcript::DIRECTORY, 0);
    let _ = show("list through a link", names(dir.unwrap()));
    let dir = open_directory(FIRST, "dir").unwrap();
    let _ = show("list", names(dir));
}
