//! Prints every file below the mounts that it was given, then tries to add one to each.

use std::fs;
use std::path::Path;

fn walk(path: &Path) {
    let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            println!("{}/", path.display());
            walk(&path);
        } else if kind.is_symlink() {
            println!("{} -> {}", path.display(), fs::read_link(&path).unwrap().display());
        } else {
            let bytes = fs::read(&path).unwrap();
            println!("{} {:?}", path.display(), String::from_utf8_lossy(&bytes));
        }
    }
}

fn main() {
    for root in std::env::args().skip(1) {
        println!("{root}:");
        walk(Path::new(&root));
        let new = Path::new(&root).join("new");
        let written = fs::write(&new, "new").is_ok();
        println!("{root} takes a new file: {written}");
        if written {
            println!("{:?}", fs::read_to_string(&new).unwrap());
            println!("in the listing: {}", fs::read_dir(&root).unwrap().any(|e| e.unwrap().file_name() == "new"));
        }
    }
}
