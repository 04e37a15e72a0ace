//! A directory can't become its own descendant, nor replace its ancestor.

use transcript::{FIRST, make_directory, names, open_directory, rename, show};

fn main() {
    for path in ["top", "top/middle", "top/middle/low"] {
        make_directory(FIRST, path).unwrap();
    }
    let _ = show("into itself", rename(FIRST, "top", "top/inner"));
    let _ = show("into a child", rename(FIRST, "top", "top/middle/inner"));
    let _ = show("over a descendant", rename(FIRST, "top", "top/middle/low"));
    let _ = show("over its parent", rename(FIRST, "top/middle/low", "top/middle"));
    let _ = show("over its grandparent", rename(FIRST, "top/middle/low", "top"));
    let _ = show("a sibling's prefix is no ancestor", rename(FIRST, "top/middle", "top/middle-more"));
    let _ = show("out of its parent", rename(FIRST, "top/middle-more/low", "low"));
    let _ = show("and the parent into it", rename(FIRST, "top", "low/top"));
    let _ = show("names", names(FIRST));
    let low = open_directory(FIRST, "low").unwrap();
    let _ = show("below", names(low));
}
