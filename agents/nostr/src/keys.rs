//! Keys, by `/cap/crypto`: the secret is made there, kept there under a name, and never read.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};

use cap::{Conversation, Failure, Result, Said};

use crate::event::{Event, Unsigned};
use crate::hex;

const CRYPTO: &str = "/cap/crypto";
const ALGORITHM: &str = "schnorr-secp256k1";

/// A key that is kept under a name.
pub struct Key {
    dir: String,
    /// Its public half.
    pub public: [u8; 32],
}

impl Key {
    /// The key of this name; none if there is none.
    ///
    /// # Errors
    /// What the capability says; a name that is another kind of key's.
    pub fn kept(name: &str) -> Result<Option<Key>> {
        granted()?;
        let dir = format!("{CRYPTO}/key/by-name/{name}");
        let path = format!("{dir}/type");
        let kind = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            kind => kind.said(&path)?,
        };
        if kind.trim() != format!("{ALGORITHM} secret") {
            let words = format!("it is a key of another kind: {}", kind.trim());
            return Err(Failure::new(name, words));
        }
        let path = format!("{dir}/pub");
        let public = fs::read_to_string(&path).said(&path)?;
        let public = hex::decode(public.trim())
            .ok_or_else(|| Failure::new(&path, "expected 32 bytes in hexadecimal"))?;
        Ok(Some(Key { dir, public }))
    }

    /// Makes a key and keeps it under this name.
    ///
    /// # Errors
    /// What the capability says; that it keeps no keys.
    pub fn make(name: &str) -> Result<Key> {
        granted()?;
        let mut conversation = Conversation::open(&format!("{CRYPTO}/key"))?;
        conversation.command(&format!("generate {ALGORITHM}"))?;
        conversation
            .command(&format!("name {name}"))
            .map_err(|mut failure| {
                if cap::errno::name(&failure.error) == Some("ENOTSUP") {
                    name.clone_into(&mut failure.what);
                    failure.detail =
                        Some("keys are not kept here; natively that needs --state DIR".to_owned());
                }
                failure
            })?;
        drop(conversation);
        Key::kept(name)?.ok_or_else(|| Failure::new(name, "the key was not kept"))
    }

    /// Signs an event; the capability does.
    ///
    /// # Errors
    /// What the capability says.
    pub fn sign(&self, unsigned: Unsigned) -> Result<Event> {
        let id = sha256(&unsigned.serialised())?;
        let path = format!("{}/sign", self.dir);
        let answer = asked(&path, &id)?;
        let signature = std::str::from_utf8(&answer).ok();
        let signature = signature.and_then(|text| hex::decode(text.trim()));
        Ok(Event {
            unsigned,
            id,
            signature: signature
                .ok_or_else(|| Failure::new(&path, "expected 64 bytes in hexadecimal"))?,
        })
    }
}

/// Whether an event is its author's: the id is that of what it says, and the signature that of the id.
///
/// # Errors
/// What the capability says, the event aside.
pub fn is_genuine(event: &Event) -> Result<bool> {
    if sha256(&event.unsigned.serialised())? != event.id {
        return Ok(false);
    }
    let mut conversation = Conversation::open(&format!("{CRYPTO}/key"))?;
    let author = hex::encode(&event.unsigned.author);
    match conversation.command(&format!("import public {ALGORITHM} {author}")) {
        // Not every x is that of a point.
        Err(failure) if cap::errno::name(&failure.error) == Some("EINVAL") => return Ok(false),
        imported => imported?,
    }
    let signature = hex::encode(&event.signature);
    let question = [signature.as_bytes(), b"\n", &event.id].concat();
    let answer = conversation.ask("verify", &question)?;
    Ok(answer.trim_ascii() == b"valid")
}

/// Says so where the capability was not granted.
///
/// # Errors
/// That it was not.
pub fn granted() -> Result<()> {
    match fs::metadata(CRYPTO) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::new(
            CRYPTO,
            "it is not granted; it needs --grant crypto, and natively --state DIR to keep keys in",
        )),
    }
}

fn sha256(bytes: &[u8]) -> Result<[u8; 32]> {
    let path = format!("{CRYPTO}/hash/sha256");
    let answer = asked(&path, bytes)?;
    let digest = std::str::from_utf8(&answer).ok();
    let digest = digest.and_then(|text| hex::decode(text.trim()));
    digest.ok_or_else(|| Failure::new(&path, "expected 32 bytes in hexadecimal"))
}

/// Writes a question and reads its answer, on one descriptor.
fn asked(path: &str, question: &[u8]) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut ask = || {
        let mut file: File = OpenOptions::new().read(true).write(true).open(path)?;
        file.write_all(question)?;
        file.read_to_end(&mut answer)
    };
    ask().said(path)?;
    Ok(answer)
}
