//! Nothing leads out of a directory handle: `..`, absolute paths, links, renames and links across.

use transcript::{
    CREATE, FIRST, FOLLOW, READ, READ_WRITE, contents, link, make_directory, make_file, open,
    open_directory, open_with, read_link, remove_directory, rename, rename_across, show, stat_path,
    symlink, unlink,
};

fn main() {
    make_file(FIRST, "secret", b"secret").unwrap();
    make_directory(FIRST, "cell").unwrap();
    make_directory(FIRST, "cell/inner").unwrap();
    make_file(FIRST, "cell/mine", b"mine").unwrap();
    let cell = open_directory(FIRST, "cell").unwrap();

    for path in [
        "..",
        "../secret",
        "inner/../../secret",
        "./../secret",
        "/secret",
        "/",
        "//secret",
        "../cell/mine",
        "inner/../../cell/mine",
        "../../../../../../etc/passwd",
    ] {
        let _ = show(&format!("open {path}"), open(cell, path, 0, READ).map(|_| ()));
    }
    let _ = show("inside is inside", contents(cell, "inner/../mine"));
    let _ = show("and so is the handle itself", stat_path(cell, 0, "inner/..").map(|_| ()));

    let _ = show("create", open(cell, "../new", CREATE, READ_WRITE).map(|_| ()));
    let _ = show("mkdir", make_directory(cell, "../new"));
    let _ = show("rmdir", remove_directory(cell, "../cell"));
    let _ = show("unlink", unlink(cell, "../secret"));
    let _ = show("stat", stat_path(cell, 0, "../secret").map(|_| ()));
    let _ = show("rename out", rename(cell, "mine", "../mine"));
    let _ = show("rename in", rename(cell, "../secret", "mine"));
    let _ = show("link in", link(cell, "../secret", "mine2"));
    let _ = show("symlink outside", symlink("x", cell, "../x"));
    let _ = show("readlink outside", read_link(cell, "../x", 10));
    let _ = show("between handles, with the rights", rename_across(FIRST, "secret", cell, "taken"));
    let _ = show("and back", rename_across(cell, "taken", FIRST, "secret"));

    for (target, path) in [("../secret", "up"), ("inner/../../secret", "crooked"), ("..", "parent")] {
        symlink(target, cell, path).unwrap();
        let opened = open_with(cell, FOLLOW, path, 0, READ, 0).map(|_| ());
        let _ = show(&format!("link to {target}"), opened);
        let _ = show("stat it", stat_path(cell, FOLLOW, path).map(|_| ()));
    }
    let _ = show("through a link in the middle", contents(cell, "parent/secret"));
    let _ = show("create through a link", open_with(cell, FOLLOW, "parent/new", CREATE, READ_WRITE, 0).map(|_| ()));
    // The same links are harmless from the directory above.
    let _ = show("from above", contents(FIRST, "cell/up"));
    let _ = show("from above", contents(FIRST, "cell/parent/secret"));
    let _ = show("above the top", open(FIRST, "../x", 0, READ).map(|_| ()));
    let _ = show("the secret is untouched", contents(FIRST, "secret"));
}
