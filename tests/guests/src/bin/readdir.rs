//! `fd_readdir`: entries cut by small buffers, resumed by cookies, and its refusals.

use transcript::{
    DIRECTORY, FIRST, READ, list, make_directory, make_file, open, open_directory, read_entries,
    show, symlink, wasi,
};

fn main() {
    make_directory(FIRST, "dir").unwrap();
    let dir = open_directory(FIRST, "dir").unwrap();
    let (entries, _) = read_entries(dir, 4096, 0).unwrap();
    let mut dots: Vec<_> = entries.iter().map(|entry| (entry.name.clone(), entry.filetype)).collect();
    dots.sort();
    println!("an empty one has {dots:?}");
    make_file(dir, "file", b"").unwrap();
    make_directory(dir, "directory").unwrap();
    symlink("file", dir, "link").unwrap();
    let long = "n".repeat(255);
    make_file(dir, &long, b"").unwrap();
    make_file(dir, "na\u{ef}ve \u{1f600}", b"").unwrap();

    for length in [4096, 512, 300] {
        println!("with buffers of {length} bytes:");
        for entry in list(dir, length).unwrap() {
            let name = if entry.name.len() > 100 { "a long name" } else { &entry.name };
            let stat = transcript::stat_path(dir, 0, &entry.name).unwrap();
            let same = stat.ino == entry.inode && stat.filetype.raw() == entry.filetype;
            println!("  {name} type {}, as stat says: {same}", entry.filetype);
        }
    }

    // Every cookie leads to what followed it.
    let (entries, _) = read_entries(dir, 4096, 0).unwrap();
    let resumed = entries.iter().enumerate().all(|(index, entry)| {
        let (rest, _) = read_entries(dir, 4096, entry.next).unwrap();
        rest.iter().map(|entry| &entry.name).eq(entries[index + 1..].iter().map(|entry| &entry.name))
    });
    println!("{} entries, resumed after each: {resumed}", entries.len());

    // A buffer that is too small is filled to its last byte.
    for length in [0, 1, 23, 24, 25] {
        let (whole, used) = read_entries(dir, length, 0).unwrap();
        println!("{length} bytes: {used} used, {} whole", whole.len());
    }
    let last = entries.last().unwrap().next;
    let _ = show("after the last", read_entries(dir, 4096, last).map(|(rest, used)| (rest.len(), used)));

    make_file(FIRST, "plain", b"").unwrap();
    let plain = open(FIRST, "plain", 0, READ).unwrap();
    println!("of a file is refused: {}", read_entries(plain, 100, 0).is_err());
    let blind = open(FIRST, "dir", wasi::OFLAGS_DIRECTORY, DIRECTORY & !wasi::RIGHTS_FD_READDIR);
    println!("opened without the right: {}", blind.is_ok());
}
