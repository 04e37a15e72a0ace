//! Measures capabilities from inside: `devices NAME COUNT TIMES [ADDRESS]`, with what it needs below `/cap`.
//!
//! Each repetition prints `NAME COUNT NANOSECONDS`, as `calls` does. What comes back is looked at, so that nothing
//! wins by doing nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Instant;

/// Bytes that are read at once of a body.
const PIECE: usize = 256 << 10;

/// Bytes of a message or a body that is small.
const SMALL: usize = 100;

/// Bytes of a message that is large.
const LARGE: usize = 64 << 10;

/// Messages that are under way at once, where they need not be waited for one by one.
const UNDER_WAY: u64 = 16;

fn opened(path: &str) -> File {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A conversation: its `ctl`, which holds it, and its directory.
fn conversation(device: &str) -> (File, String) {
    let mut ctl = opened(&format!("{device}/clone"));
    let mut number = [0; 20];
    let length = ctl.read(&mut number).expect("the conversation's number");
    let number = std::str::from_utf8(&number[..length]).expect("a number");
    let directory = format!("{device}/{}", number.trim());
    (ctl, directory)
}

fn tell(ctl: &mut File, command: &str) {
    let written = ctl.write_all(format!("{command}\n").as_bytes());
    written.unwrap_or_else(|error| panic!("{command}: {error}"));
}

fn body(directory: &str, buffer: &mut [u8]) -> u64 {
    let path = format!("{directory}/body");
    let mut body = File::open(&path).unwrap_or_else(|error| {
        panic!("{error}: {}", fs::read_to_string(format!("{directory}/error")).unwrap_or_default())
    });
    let mut total = 0;
    loop {
        match body.read(buffer).expect("the body") {
            0 => return total,
            count => total += count as u64,
        }
    }
}

/// One body of `count` bytes.
fn fetch_large(count: u64, address: &str) -> u64 {
    let (mut ctl, directory) = conversation("/cap/fetch");
    let mut buffer = vec![0; PIECE];
    let begun = Instant::now();
    tell(&mut ctl, &format!("url {address}/{count}"));
    assert_eq!(body(&directory, &mut buffer), count, "the whole body");
    nanoseconds(begun)
}

/// `count` bodies, one after the other.
fn fetch_small(count: u64, address: &str) -> u64 {
    let (mut ctl, directory) = conversation("/cap/fetch");
    let mut buffer = vec![0; PIECE];
    tell(&mut ctl, &format!("url {address}/{SMALL}"));
    let begun = Instant::now();
    for _ in 0..count {
        assert_eq!(body(&directory, &mut buffer), SMALL as u64, "the whole body");
    }
    nanoseconds(begun)
}

/// `count` messages that come back, `under_way` of them at once.
fn echo<const SIZE: usize>(count: u64, under_way: u64, address: &str) -> u64 {
    let (mut ctl, directory) = conversation("/cap/ws");
    tell(&mut ctl, &format!("binary\nconnect {address}/"));
    let mut data = opened(&format!("{directory}/data"));
    let message = vec![7; SIZE];
    let mut buffer = vec![0; SIZE];
    let begun = Instant::now();
    let mut sent = 0;
    for received in 0..count {
        while sent < count && sent < received + under_way {
            data.write_all(&message).expect("a message");
            sent += 1;
        }
        assert_eq!(data.read(&mut buffer).expect("its echo"), SIZE, "the whole message");
    }
    nanoseconds(begun)
}

const STORED: &str = "/cap/storage/opfs/bench";

/// What is measured of storing a file.
#[derive(Clone, Copy)]
enum Part {
    Writing,
    Syncing,
}

/// `count` pieces into a new file, and until they are stored.
fn stored<const SIZE: usize>(count: u64, part: Part) -> u64 {
    let piece = vec![7; SIZE];
    drop(fs::remove_file(STORED));
    let begun = Instant::now();
    let mut file = File::create(STORED).expect("a stored file");
    for _ in 0..count {
        file.write_all(&piece).expect("a write");
    }
    let written = nanoseconds(begun);
    file.sync_all().expect("a sync");
    match part {
        Part::Writing => written,
        Part::Syncing => nanoseconds(begun) - written,
    }
}

/// `count` pieces of the file that was written last.
fn stored_read<const SIZE: usize>(count: u64) -> u64 {
    let mut file = opened(STORED);
    let wanted = SIZE as u64 * count;
    if file.metadata().expect("its size").len() < wanted {
        let rest = vec![7; wanted as usize];
        file.write_all(&rest).expect("a write");
        file.sync_all().expect("a sync");
        file.seek(SeekFrom::Start(0)).expect("its start");
    }
    let mut piece = vec![0; SIZE];
    let begun = Instant::now();
    for _ in 0..count {
        file.read_exact(&mut piece).expect("a read");
        assert_eq!(piece[SIZE - 1], 7, "what was written");
    }
    nanoseconds(begun)
}

/// `count` records, each in a transaction of its own.
fn records(count: u64) -> u64 {
    let root = "/cap/storage/indexeddb";
    // The database may be there from the repetition before.
    drop(fs::write(format!("{root}/ctl"), "delete bench\n"));
    fs::write(format!("{root}/ctl"), "create bench\n").expect("a database");
    fs::write(format!("{root}/bench/ctl"), "store s\n").expect("a store");
    let value = vec![7; SMALL];
    let begun = Instant::now();
    for number in 0..count {
        fs::write(format!("{root}/bench/s/data/k{number}"), &value).expect("a record");
    }
    nanoseconds(begun)
}

/// `count` digests of 1 KiB.
fn digests(count: u64) -> u64 {
    let mut hash = opened("/cap/crypto/hash/sha256");
    let message = [7; 1024];
    let mut answer = [0; 128];
    let begun = Instant::now();
    for _ in 0..count {
        hash.write_all(&message).expect("a message");
        assert_eq!(hash.read(&mut answer).expect("its digest"), 65, "a digest and a newline");
        assert_eq!(hash.read(&mut answer).expect("the end"), 0, "nothing behind it");
    }
    nanoseconds(begun)
}

/// `count` Ed25519 signatures of 32 bytes.
fn signatures(count: u64) -> u64 {
    let (mut ctl, directory) = conversation("/cap/crypto/key");
    tell(&mut ctl, "generate ed25519");
    let mut sign = opened(&format!("{directory}/sign"));
    let mut answer = [0; 256];
    let begun = Instant::now();
    for _ in 0..count {
        sign.write_all(&[7; 32]).expect("a message");
        assert_eq!(sign.read(&mut answer).expect("its signature"), 129, "a signature and a newline");
        assert_eq!(sign.read(&mut answer).expect("the end"), 0, "nothing behind it");
    }
    nanoseconds(begun)
}

/// `count` times the metadata of a device's file: a walk of four names.
fn walks(count: u64) -> u64 {
    let (_ctl, directory) = conversation("/cap/fetch");
    let path = format!("{directory}/ctl");
    let begun = Instant::now();
    for _ in 0..count {
        fs::metadata(&path).expect("its metadata");
    }
    nanoseconds(begun)
}

/// `count` commands that ask nothing of the outside.
fn commands(count: u64) -> u64 {
    let (mut ctl, _directory) = conversation("/cap/fetch");
    let begun = Instant::now();
    for _ in 0..count {
        ctl.write_all(b"timeout 1000\n").expect("a command");
    }
    nanoseconds(begun)
}

fn nanoseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).expect("less than some centuries")
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |index: usize| args.get(index).and_then(|text| text.parse::<u64>().ok());
    let (Some(name), Some(count), Some(times)) = (args.get(1), number(2), number(3)) else {
        panic!("usage: devices NAME COUNT TIMES [ADDRESS]");
    };
    let address = args.get(4).map_or("", String::as_str);
    for _ in 0..times {
        let taken = match name.as_str() {
            "fetch-large" => fetch_large(count, address),
            "fetch-small" => fetch_small(count, address),
            "echo" => echo::<SMALL>(count, 1, address),
            "echo-many" => echo::<SMALL>(count, UNDER_WAY, address),
            "echo-large" => echo::<LARGE>(count, UNDER_WAY, address),
            "store-4k" => stored::<4096>(count, Part::Writing),
            "sync-4k" => stored::<4096>(count, Part::Syncing),
            "store-1m" => stored::<{ 1 << 20 }>(count, Part::Writing),
            "load-4k" => stored_read::<4096>(count),
            "load-1m" => stored_read::<{ 1 << 20 }>(count),
            "records" => records(count),
            "digests" => digests(count),
            "signatures" => signatures(count),
            "walks" => walks(count),
            "commands" => commands(count),
            _ => panic!("there is nothing called {name} to measure"),
        };
        println!("{name} {count} {taken}");
    }
}
