//! A chain of links is followed up to a bound, and no longer one.

use transcript::{FIRST, contents, make_file, show, symlink};

fn main() {
    make_file(FIRST, "0", b"the end of the chain").unwrap();
    for number in 1..=50 {
        symlink(&(number - 1).to_string(), FIRST, &number.to_string()).unwrap();
    }
    for number in [1, 10, 30] {
        let _ = show(&format!("{number} links"), contents(FIRST, &number.to_string()));
    }
    let _ = show("50 links", contents(FIRST, "50"));
}
