//! Stored files: what one run has written the next one finds; quota and policy are beside them, and the quota is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};

const TREE: &str = "/cap/storage/opfs";

fn names(path: &str) -> Vec<String> {
    let entries = fs::read_dir(path).expect("listing");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

fn quota() {
    print!("{}", fs::read_to_string("/cap/storage/quota").expect("the quota"));
}

/// Writes until there is no room.
fn fill(name: &str) {
    let mut file = File::create(format!("{TREE}/{name}")).expect("creating");
    let mut total = 0;
    let error = loop {
        match file.write(&[b'f'; 10_000]) {
            Ok(count) => total += count,
            Err(error) => break error,
        }
    };
    // 19 is EDQUOT.
    println!("{name}: {total} bytes, errno {:?}", error.raw_os_error());
}

fn main() {
    println!("/cap/storage holds {:?}", names("/cap/storage"));
    print!("{}", fs::read_to_string("/cap/storage/policy").expect("the policy"));
    println!("before: {:?}", names(TREE));
    quota();
    if std::env::args().nth(1).as_deref() == Some("again") {
        println!("log: {:?}", fs::read_to_string(format!("{TREE}/d/log")).expect("reading"));
        let sparse = fs::read(format!("{TREE}/sparse")).expect("reading");
        let zeroes = sparse.iter().filter(|byte| **byte == 0).count();
        println!("sparse: {} bytes, {zeroes} zeroes", sparse.len());
        fs::remove_dir_all(format!("{TREE}/d")).expect("removing");
        fs::remove_file(format!("{TREE}/sparse")).expect("removing");
        println!("emptied: {:?}", names(TREE));
        quota();
        return;
    }
    fs::create_dir(format!("{TREE}/d")).expect("making a directory");
    let mut log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(format!("{TREE}/new"))
        .expect("opening");
    for line in ["one", "two", "three"] {
        writeln!(log, "{line}").expect("appending");
    }
    log.sync_all().expect("a sync");
    drop(log);
    fs::rename(format!("{TREE}/new"), format!("{TREE}/d/log")).expect("renaming");
    let mut sparse = File::create_new(format!("{TREE}/sparse")).expect("creating");
    sparse.seek(SeekFrom::Start(3_000_000)).expect("seeking");
    sparse.write_all(b"end").expect("writing");
    sparse.sync_data().expect("a sync");
    quota();
    fill("full");
    let mut kept = Vec::new();
    let path = format!("{TREE}/full");
    File::open(&path).and_then(|mut file| file.read_to_end(&mut kept)).expect("reading");
    println!("kept: {}", kept.iter().all(|byte| *byte == b'f'));
    fs::remove_file(&path).expect("removing");
    quota();
}
