//! Directories made and removed, by every odd name.

use transcript::{
    FIRST, READ, make_directory, make_file, names, open, open_directory, remove_directory, show,
    stat_path, type_name, unlink,
};

fn main() {
    let _ = show("make", make_directory(FIRST, "dir"));
    let _ = show("again", make_directory(FIRST, "dir"));
    let _ = show("with a slash", make_directory(FIRST, "slash/"));
    let _ = show("nested", make_directory(FIRST, "dir/a"));
    let _ = show("deeper", make_directory(FIRST, "dir/a/b"));
    let _ = show("without its parent", make_directory(FIRST, "no/a"));
    make_file(FIRST, "file", b"").unwrap();
    let _ = show("over a file", make_directory(FIRST, "file"));
    let _ = show("below a file", make_directory(FIRST, "file/x"));
    let _ = show("dot", make_directory(FIRST, "."));
    let _ = show("dir/dot", make_directory(FIRST, "dir/."));
    let _ = show("dir/a/dot dot", make_directory(FIRST, "dir/a/.."));
    let _ = show("empty name", make_directory(FIRST, ""));
    let _ = show("type", stat_path(FIRST, 0, "dir").map(|stat| type_name(stat.filetype)));
    let _ = show("type by dots", stat_path(FIRST, 0, "dir/a/../../dir/.").map(|stat| type_name(stat.filetype)));
    let dir = open_directory(FIRST, "dir/a").unwrap();
    let _ = show("make by a handle", make_directory(dir, "c"));
    let _ = show("names", names(dir));

    let _ = show("remove a full one", remove_directory(FIRST, "dir"));
    let _ = show("unlink one", unlink(FIRST, "dir"));
    let _ = show("remove a file", remove_directory(FIRST, "file"));
    let _ = show("remove nothing", remove_directory(FIRST, "nothing"));
    let _ = show("remove below a file", remove_directory(FIRST, "file/x"));
    let _ = show("remove the inner ones", remove_directory(FIRST, "dir/a/b"));
    let _ = show("remove the inner ones", remove_directory(FIRST, "dir/a/c"));
    let _ = show("remove with a slash", remove_directory(FIRST, "dir/a/"));
    let _ = show("remove", remove_directory(FIRST, "dir"));
    let _ = show("open a file as a directory", open_directory(FIRST, "file"));
    let _ = show("open below a file", open(FIRST, "file/x", 0, READ));
    let _ = show("names", names(FIRST));
}
