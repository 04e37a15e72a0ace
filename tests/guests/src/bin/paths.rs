//! Paths at their limits: long ones, long names, empty ones, zeros and bytes that are no text.

use transcript::wasi::wasi_snapshot_preview1 as raw;
use transcript::{FIRST, code_name, contents, make_file, names, show, stat_path};

fn create(path: &[u8]) -> &'static str {
    let mut fd = 0u32;
    // SAFETY: the path is a valid slice and the result's place a live local.
    let code = unsafe {
        let length = path.len() as i32;
        raw::path_open(FIRST as i32, 0, path.as_ptr() as i32, length, 1, 0, 0, 0, (&raw mut fd) as i32)
    };
    code_name(code)
}

fn main() {
    println!("a name of 255 bytes: {}", create(&[b'n'; 255]));
    println!("a name of 256 bytes: {}", create(&[b'n'; 256]));
    println!("a name of 70,000 bytes: {}", create(&[b'n'; 70_000]));
    println!("70,000 bytes of directories: {}", create("d/".repeat(35_000).as_bytes()));
    println!("70,000 bytes of dots: {}", create("./".repeat(35_000).as_bytes()));
    println!("70,000 slashes and a name: {}", create(&[&[b'/'; 70_000][..], b"x"].concat()));
    println!("an empty path: {}", create(b""));
    println!("a zero at the end is refused: {}", create(b"zero\0") != "SUCCESS");
    println!("a zero inside is refused: {}", create(b"ze\0ro") != "SUCCESS");
    println!("no UTF-8: {}", create(b"\xff\xfe"));
    println!("half a letter: {}", create(b"caf\xc3"));
    println!("a surrogate: {}", create(b"\xed\xa0\x80"));
    for name in ["space name", "new\nline", "back\\slash", "star*", "caf\u{e9}", "\u{1f600}", "...", "-rf", "~"] {
        let _ = show(&format!("{name:?}"), make_file(FIRST, name, name.as_bytes()));
        println!("  is itself: {}", contents(FIRST, name).as_deref() == Ok(name));
    }
    // The two spellings of one letter are two names.
    let _ = show("decomposed", stat_path(FIRST, 0, "cafe\u{301}").map(|_| ()));
    let mut names = names(FIRST).unwrap();
    names.retain(|name| name.len() < 100);
    println!("{names:?}");
}
