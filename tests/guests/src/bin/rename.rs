//! Renames: to new names, over files and directories, onto itself, and what is refused.

use transcript::{
    FIRST, READ, contents, link, make_directory, make_file, names, open, open_directory, read,
    rename, rename_across, show, stat_path,
};

fn main() {
    make_file(FIRST, "a", b"contents of a").unwrap();
    make_file(FIRST, "b", b"contents of b").unwrap();
    let _ = show("to a new name", rename(FIRST, "a", "c"));
    let _ = show("the old name", contents(FIRST, "a"));
    let _ = show("the new name", contents(FIRST, "c"));
    let open_b = open(FIRST, "b", 0, READ).unwrap();
    let _ = show("over a file", rename(FIRST, "c", "b"));
    let _ = show("the file", contents(FIRST, "b"));
    let _ = show("the replaced one, still open", read(open_b, 100));
    let _ = show("onto itself", rename(FIRST, "b", "b"));
    let _ = show("still there", contents(FIRST, "b"));
    let _ = show("missing", rename(FIRST, "missing", "b"));
    let _ = show("into a missing directory", rename(FIRST, "b", "no/b"));
    let _ = show("below a file", rename(FIRST, "b", "b/b"));

    // Two names of one file: POSIX says that nothing happens.
    let _ = show("second name", link(FIRST, "b", "b2"));
    let _ = show("over its other name", rename(FIRST, "b", "b2"));
    let _ = show("names", names(FIRST));

    make_directory(FIRST, "d1").unwrap();
    make_directory(FIRST, "d2").unwrap();
    make_file(FIRST, "d1/inside", b"inside").unwrap();
    let _ = show("a directory over an empty one", rename(FIRST, "d1", "d2"));
    let _ = show("what is in it", contents(FIRST, "d2/inside"));
    make_directory(FIRST, "d1").unwrap();
    let _ = show("over one that is not empty", rename(FIRST, "d1", "d2"));
    let _ = show("a directory over a file", rename(FIRST, "d1", "b"));
    let _ = show("a file over a directory", rename(FIRST, "b", "d1"));
    let d1 = open_directory(FIRST, "d1").unwrap();
    let d2 = open_directory(FIRST, "d2").unwrap();
    let _ = show("between directory handles", rename_across(d2, "inside", d1, "moved"));
    let _ = show("there", names(d1));
    let _ = show("gone", names(d2));
    let _ = show("rename an open directory", rename(FIRST, "d1", "d3"));
    let _ = show("its handle still reads it", names(d1));
    let _ = show("and makes files in it", make_file(d1, "late", b""));
    let _ = show("stat by path", stat_path(FIRST, 0, "d3/late").map(|stat| stat.size));
    let _ = show("names", names(FIRST));
}
