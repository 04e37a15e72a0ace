//! The standard library's everyday file calls.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};

fn main() -> std::io::Result<()> {
    println!("given: {:?}", fs::read_to_string("/given.txt")?);
    fs::write("/new.txt", "one\ntwo\n")?;
    OpenOptions::new().append(true).open("/new.txt")?.write_all(b"three\n")?;
    for line in BufReader::new(File::open("/new.txt")?).lines() {
        println!("line {:?}", line?);
    }
    println!("length {}", fs::metadata("/new.txt")?.len());
    fs::write("/new.txt", "shorter")?;
    println!("rewritten: {:?}", fs::read_to_string("/new.txt")?);
    println!("copied {} bytes", fs::copy("/new.txt", "/copy.txt")?);
    println!("copy: {:?}", fs::read_to_string("/copy.txt")?);

    let mut both = OpenOptions::new().read(true).write(true).open("/copy.txt")?;
    both.write_all(b"SH")?;
    let mut rest = String::new();
    both.read_to_string(&mut rest)?;
    println!("after the write: {rest:?}, whole: {:?}", fs::read_to_string("/copy.txt")?);

    let blob: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write("/blob", &blob)?;
    println!("a blob of {} bytes is the same: {}", blob.len(), fs::read("/blob")? == blob);

    println!("missing: {:?}", File::open("/missing").unwrap_err().kind());
    println!("exists: {:?}", File::create_new("/blob").unwrap_err().kind());
    println!("not writable: {:?}", File::open("/blob")?.write(b"x").is_err());
    println!("not readable: {:?}", File::create("/blob")?.read(&mut [0]).is_err());
    fs::remove_file("/blob")?;
    println!("removed: {}", !fs::exists("/blob")?);
    Ok(())
}
