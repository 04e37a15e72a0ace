//! Thousands of entries, as many as the argument says: made, listed with a large and a small buffer, removed.

use transcript::{FIRST, list, make_directory, make_file, open_directory, remove_directory, show, unlink};

fn main() {
    let count: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    make_directory(FIRST, "dir").unwrap();
    let dir = open_directory(FIRST, "dir").unwrap();
    for number in 0..count {
        make_file(dir, &format!("entry{number:05}"), b"").unwrap();
    }
    for length in [65_536, 700] {
        let entries = list(dir, length).unwrap();
        let right = entries
            .iter()
            .enumerate()
            .all(|(number, entry)| entry.name == format!("entry{number:05}"));
        println!("{} entries by {length} bytes, each once: {right}", entries.len());
    }
    for number in (0..count).step_by(2) {
        unlink(dir, &format!("entry{number:05}")).unwrap();
    }
    println!("{} left", list(dir, 4096).unwrap().len());
    for number in (1..count).step_by(2) {
        unlink(dir, &format!("entry{number:05}")).unwrap();
    }
    println!("{} left", list(dir, 4096).unwrap().len());
    let _ = show("the directory is empty", remove_directory(FIRST, "dir"));
}
