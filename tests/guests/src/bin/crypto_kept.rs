//! Keys that are kept under a name, found again, narrowed and deleted.

use std::fs::{self, OpenOptions};
use std::io::{Read, Result, Write};

const KEYS: &str = "/cap/crypto/key";

fn tell(key: &str, command: &str) {
    let outcome = OpenOptions::new().write(true).open(format!("{KEYS}/{key}/ctl"));
    let outcome = outcome.and_then(|mut ctl| ctl.write_all(format!("{command}\n").as_bytes()));
    match outcome {
        Ok(()) => println!("{command}: ok"),
        Err(error) => println!("{command}: {:?}, {}", error.kind(), text(key, "error")),
    }
}

fn text(key: &str, file: &str) -> String {
    let text = fs::read_to_string(format!("{KEYS}/{key}/{file}"));
    text.map_or_else(|error| format!("{:?}", error.kind()), |text| text.trim().to_owned())
}

fn ask(key: &str, file: &str, question: &[u8]) -> Result<Vec<u8>> {
    let mut file = OpenOptions::new().read(true).write(true).open(format!("{KEYS}/{key}/{file}"))?;
    file.write_all(question)?;
    let mut answer = Vec::new();
    file.read_to_end(&mut answer)?;
    Ok(answer)
}

fn begin() -> String {
    fs::read_to_string(format!("{KEYS}/new")).expect("a conversation").trim().to_owned()
}

fn kept() -> Vec<String> {
    let entries = fs::read_dir(format!("{KEYS}/by-name")).expect("listing");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn main() {
    // What an earlier run has left.
    for name in kept() {
        let ctl = OpenOptions::new().write(true).open(format!("{KEYS}/by-name/{name}/ctl"));
        ctl.and_then(|mut ctl| ctl.write_all(b"delete\n")).expect("deleting");
    }
    for algorithm in ["ed25519", "ecdsa-p256", "hmac-sha256", "schnorr-secp256k1"] {
        let key = begin();
        tell(&key, &format!("generate {algorithm}"));
        tell(&key, &format!("name {algorithm}"));
        tell(&key, "name other");
        let (public, signature) = (text(&key, "pub"), ask(&key, "sign", b"message").expect("signing"));
        tell(&key, "close");
        let named = format!("by-name/{algorithm}");
        println!("{} [{}] {}", text(&named, "type"), text(&named, "usages"), text(&named, "name"));
        println!("the same: {}", text(&named, "pub") == public);
        let answer = ask(&named, "verify", &[&signature, &b"message"[..]].concat()).expect("verifying");
        print!("{}", String::from_utf8_lossy(&answer));
    }
    println!("{:?}", kept());
    let key = begin();
    tell(&key, "name early");
    tell(&key, "generate aes-gcm");
    tell(&key, "name ed25519");
    tell(&key, "name ../x");
    tell("by-name/ed25519", "usage verify");
    println!("{:?}", ask("by-name/ed25519", "sign", b"message").map_err(|error| error.kind()));
    tell("by-name/ed25519", "usage sign,verify");
    println!("{}", text("by-name/none", "type"));
    for name in kept() {
        tell(&format!("by-name/{name}"), "delete");
    }
    println!("{:?} {}", kept(), text("by-name/ed25519", "type"));
}
