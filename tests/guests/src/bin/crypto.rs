//! Digests, keys that are imported and what they answer, byte for byte; refusals, with their texts.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Result, Write};

const ROOT: &str = "/cap/crypto";

/// A conversation about a key: its `ctl`, and its number.
struct Key {
    ctl: File,
    number: String,
}

impl Key {
    fn new() -> Key {
        let mut ctl = open(&format!("{ROOT}/key/clone")).expect("a conversation");
        let mut number = [0; 20];
        let count = ctl.read(&mut number).expect("its number");
        let number = String::from_utf8_lossy(&number[..count]).trim().to_owned();
        Key { ctl, number }
    }

    fn path(&self, file: &str) -> String {
        format!("{ROOT}/key/{}/{file}", self.number)
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).expect("a text").trim().to_owned()
    }

    /// Writes a command and prints how it ended.
    fn tell(&mut self, command: &str) {
        let shown: String = command.chars().take(40).collect();
        match self.ctl.write_all(format!("{command}\n").as_bytes()) {
            Ok(()) => println!("{shown}: ok"),
            Err(error) => println!("{shown}: {:?}, {}", error.kind(), self.text("error")),
        }
    }

    fn ask(&self, file: &str, question: &[u8]) -> Result<Vec<u8>> {
        ask(&self.path(file), question)
    }

    /// Asks and prints the answer.
    fn show(&self, file: &str, question: &[u8]) {
        match self.ask(file, question) {
            Ok(answer) => println!("{file}: {}", String::from_utf8_lossy(&answer).trim()),
            Err(error) => println!("{file}: {:?}, {}", error.kind(), self.text("error")),
        }
    }

    fn describe(&self) {
        println!("{} [{}] {}", self.text("type"), self.text("usages"), self.text("pub"));
    }
}

fn open(path: &str) -> Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn ask(path: &str, question: &[u8]) -> Result<Vec<u8>> {
    let mut file = open(path)?;
    file.write_all(question)?;
    let mut answer = Vec::new();
    file.read_to_end(&mut answer)?;
    Ok(answer)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signature_of(mut key: Key, commands: &[&str], message: &[u8]) {
    commands.iter().for_each(|command| key.tell(command));
    key.describe();
    key.show("sign", message);
    let Ok(signature) = key.ask("sign", message) else { return };
    key.show("verify", &[&signature, message].concat());
    key.show("verify", &[&signature, message, b"!"].concat());
    key.show("verify", &[b"00\n", message].concat());
    key.show("verify", message);
    let public = key.text("pub");
    if !public.is_empty() {
        let algorithm = key.text("type").split(' ').next().unwrap_or_default().to_owned();
        let mut other = Key::new();
        other.tell(&format!("import public {algorithm} {public}"));
        other.describe();
        other.show("verify", &[&signature, message].concat());
        other.show("sign", message);
    }
}

fn main() {
    print!("{}", fs::read_to_string(format!("{ROOT}/policy")).expect("the policy"));
    let mut names: Vec<_> = fs::read_dir(format!("{ROOT}/key/{}", Key::new().number)).map_or_else(
        |error| vec![format!("{:?}", error.kind())],
        |all| all.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect(),
    );
    names.sort();
    println!("{names:?}");

    println!("-- digests");
    for name in ["sha256", "sha384", "sha512"] {
        let path = format!("{ROOT}/hash/{name}");
        for message in [&b""[..], b"abc", &[0x61; 200_000]] {
            let answer = ask(&path, message).expect("a digest");
            println!("{name}: {}", String::from_utf8_lossy(&answer).trim());
        }
    }
    let uuid = fs::read_to_string(format!("{ROOT}/uuid")).expect("a UUID");
    println!("uuid: {} {}", uuid.trim().len(), &uuid[14..15]);

    println!("-- ed25519 (RFC 8032, test 3)");
    let secret = "import raw ed25519 c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
    signature_of(Key::new(), &[secret], b"\xaf\x82");
    let pkcs8 = "import pkcs8 ed25519 MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
    signature_of(Key::new(), &[pkcs8], b"message");

    println!("-- ed25519, with what is good for every message");
    let mut key = Key::new();
    key.tell(&format!("import public ed25519 01{}", "00".repeat(31)));
    let forged = format!("01{}\n", "00".repeat(63));
    key.show("verify", &[forged.as_bytes(), b"pay 1"].concat());

    println!("-- hmac-sha256 (RFC 4231, case 2)");
    signature_of(Key::new(), &["import raw hmac-sha256 4a656665"], b"what do ya want for nothing?");
    signature_of(Key::new(), &[r#"import jwk hmac-sha256 {"kty":"oct","k":"SmVmZQ"}"#], b"");

    println!("-- schnorr-secp256k1 (BIP 340, vector 1)");
    let mut key = Key::new();
    key.tell("import raw schnorr-secp256k1 b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef");
    key.tell("aux 0000000000000000000000000000000000000000000000000000000000000001");
    key.describe();
    let message = b"\x24\x3f\x6a\x88\x85\xa3\x08\xd3\x13\x19\x8a\x2e\x03\x70\x73\x44\xa4\x09\x38\x22\x29\x9f\x31\xd0\x08\x2e\xfa\x98\xec\x4e\x6c\x89";
    key.show("sign", message);

    println!("-- ecdsa-p256 (RFC 6979, A.2.5)");
    let mut key = Key::new();
    key.tell("import public ecdsa-p256 0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    let signature = b"efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8\n";
    key.show("verify", &[&signature[..], b"sample"].concat());
    key.show("verify", &[&signature[..], b"simple"].concat());
    let (x, y) = ("YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y", "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk");
    let jwk = |x: &str, y: &str, d: &str| format!(r#"import jwk ecdsa-p256 {{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","d":"{d}"}}"#);
    let scalar = "ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE";
    let pkcs8 = "import pkcs8 ecdsa-p256 MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ";
    for secret in [&jwk(x, y, scalar), pkcs8] {
        let mut own = Key::new();
        own.tell(secret);
        own.describe();
        let signature = own.ask("sign", b"message").expect("a signature");
        for verifier in [&own, &key] {
            verifier.show("verify", &[&signature, &b"message"[..]].concat());
            verifier.show("verify", &[&signature, &b"another"[..]].concat());
        }
    }
    let (other_x, other_y) = ("ot4RZhoQK2YEegLsmQB_mHz4o6_X1-7UQ_NK55cOpso", "K9FygotZIe4kcDznLNKgbR4pDSgBN4Ab7uPatcPtV4o");
    let (zero, order) = ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE");
    for (what, secret) in [
        ("of another", jwk(other_x, other_y, scalar)),
        ("off the curve", jwk(x, x, scalar)),
        ("of no secret", jwk(x, y, zero)),
        ("of more than there are", jwk(x, y, order)),
    ] {
        // What is wrong is told in the words of each host.
        let refused = Key::new().ctl.write_all(format!("{secret}\n").as_bytes());
        println!("a public key {what}: {:?}", refused.map_err(|error| error.kind()));
    }
    let mut key = Key::new();
    key.tell("generate ecdsa-p256");
    let signature = key.ask("sign", b"message").expect("a signature");
    println!("{} {}", signature.len(), key.text("pub").len());
    key.show("verify", &[&signature, &b"message"[..]].concat());

    println!("-- aes-gcm (SP 800-38D)");
    let mut key = Key::new();
    key.tell("import raw aes-gcm feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    key.tell("aad feedfacedeadbeeffeedfacedeadbeefabaddad2");
    key.tell("iv cafebabefacedbaddecaf888");
    let sealed = key.ask("encrypt", b"some text").expect("encrypting");
    println!("{}", hex(&sealed));
    key.show("decrypt", &sealed);
    let again = key.ask("encrypt", b"some text").expect("encrypting");
    println!("another vector: {}", again[..12] != sealed[..12]);
    key.show("decrypt", &again);
    key.tell("aad");
    key.show("decrypt", &sealed);
    key.show("decrypt", b"short");
    key.show("sign", b"");

    println!("-- hkdf (RFC 5869, case 1)");
    let mut key = Key::new();
    key.tell("import raw hkdf 0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b");
    for command in ["salt 000102030405060708090a0b0c", "info f0f1f2f3f4f5f6f7f8f9", "length 42"] {
        key.tell(command);
    }
    key.show("derive", b"");
    for command in ["salt", "info", "length 8160"] {
        key.tell(command);
    }
    println!("{}", key.ask("derive", b"").expect("deriving").len());
    key.show("derive", b"x");

    println!("-- x25519 (RFC 7748, 6.1)");
    let mut key = Key::new();
    key.tell("import raw x25519 77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    key.describe();
    key.show("derive", b"");
    key.tell("peer de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    key.show("derive", b"");
    key.tell(&format!("peer {}", "00".repeat(32)));
    key.show("derive", b"");

    println!("-- what can be generated");
    for algorithm in ["ed25519", "ecdsa-p256", "hmac-sha256", "aes-gcm", "hkdf", "x25519", "schnorr-secp256k1"] {
        let mut key = Key::new();
        key.tell(&format!("generate {algorithm}"));
        println!("{} [{}] {}", key.text("type"), key.text("usages"), key.text("pub").len());
    }

    // An engine may fail at one of a hundred.
    let refused = (0..400).filter_map(|_| {
        let mut ctl = Key::new().ctl;
        ctl.write_all(b"generate ed25519\n").err()
    });
    println!("of 400 keys: {:?} not made", refused.map(|error| error.kind()).collect::<Vec<_>>());

    println!("-- refusals");
    let mut key = Key::new();
    // 2 is no y of a point of the curve.
    key.tell(&format!("import public ed25519 02{}", "00".repeat(31)));
    for command in [
        "sing", "generate", "generate rsa", "import", "import raw ed25519 00", "import public x25519 00", "usage fly", "iv 00", "length 0",
        "delete", "usage verify", "generate ed25519", "generate ed25519", "usage sign,verify",
    ] {
        key.tell(command);
    }
    key.show("sign", b"message");
    key.show("encrypt", b"message");
    key.tell("delete");
    key.show("sign", b"message");
    let long = vec![0; (4 << 20) + 1];
    key.show("sign", &long);
    let held: Vec<_> = std::iter::from_fn(|| open(&format!("{ROOT}/key/clone")).ok()).take(1_000).collect();
    println!("conversations: {}", held.len() + 1);
}
