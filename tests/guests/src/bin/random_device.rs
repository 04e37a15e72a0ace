//! The random device: bytes of any number, which differ; nothing can be written.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};

fn main() {
    let path = std::env::args().nth(1).unwrap_or("/cap/random".to_owned());
    let top = path.rsplit_once('/').map_or("/", |(top, _)| top);
    let mut names: Vec<_> = fs::read_dir(top)
        .expect("listing")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    println!("{top} holds {names:?}");

    let mut file = File::open(&path).expect("opening");
    println!("a file: {}", file.metadata().expect("stat").is_file());
    let (mut first, mut second) = ([0; 32], [0; 32]);
    file.read_exact(&mut first).expect("reading");
    file.read_exact(&mut second).expect("reading again");
    println!("differ: {}", first != second);
    let mut many = vec![0; 1 << 20];
    file.read_exact(&mut many).expect("reading a mebibyte");
    let mut seen = [0u32; 256];
    many.iter().for_each(|byte| seen[usize::from(*byte)] += 1);
    // Each is expected 4,096 times; 4,800 is eleven standard deviations away.
    println!("even: {}", seen.iter().all(|count| (3_400..4_800).contains(count)));

    let written = OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write(b"x"));
    let kind = written.map_err(|error| error.kind());
    println!("writing: {}", kind == Err(ErrorKind::PermissionDenied));
}
