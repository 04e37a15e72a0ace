//! Who an agent is: whose keys, files and databases are its own.
//!
//! A host gives an agent an identity, or it is the digest of its module: never the name of a file, which anybody can give to any
//! program.

use std::fmt::{self, Display, Write as _};

use sha2::{Digest, Sha256};

use crate::hex;

/// Bytes of a digest.
const SHA256: usize = 32;

/// Characters of an identity that a host gives, at most.
pub const ID_MAX: usize = 64;

/// Who an agent is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity(String);

/// What an identity that a host gives may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected letters, digits, `-`, `_` and `.`, {ID_MAX} at most, no `.` in front and no `.wasm` at the end"
)]
pub struct InvalidId;

impl Identity {
    /// An identity that a host gives: ASCII letters, digits, `-`, `_` and `.`, [`ID_MAX`] at most, with no `.` in front. So it is
    /// no digest.
    ///
    /// # Errors
    /// [`InvalidId`], also for what looks like the name of a module's file.
    pub fn named(id: &str) -> Result<Identity, InvalidId> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = (1..=ID_MAX).contains(&id.len()) && id.bytes().all(plain);
        match fits && !id.starts_with('.') && !id.ends_with(".wasm") {
            true => Ok(Identity(id.to_owned())),
            false => Err(InvalidId),
        }
    }

    /// That of a module nobody has given one: `sha256:` and the digest of its bytes in hexadecimal digits.
    pub fn of_module(wasm: &[u8]) -> Identity {
        Identity(digest(wasm))
    }

    /// It as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `sha256:` and the digest of some bytes in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A digest that somebody has written down, as [`digest`] has it; `None` where it is none: `sha256:` and 64 hexadecimal digits of either
/// case.
pub fn read_digest(text: &str) -> Option<String> {
    let bytes = hex::decode(text.strip_prefix("sha256:")?)?;
    (bytes.len() == SHA256).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities() {
        for good in ["notes", "a", "org.example.notes-2_x", &"x".repeat(64)] {
            assert_eq!(Identity::named(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            ".x",
            "a/b",
            "a b",
            "ünï",
            "a.wasm",
            "sha256:00",
            &"x".repeat(65),
        ] {
            assert_eq!(Identity::named(bad), Err(InvalidId), "{bad}");
        }
        // What is refused is what the message says.
        let said = InvalidId.to_string();
        for part in [
            "letters, digits, `-`, `_` and `.`",
            "64 at most",
            "no `.` in front",
            "no `.wasm` at the end",
        ] {
            assert!(said.contains(part), "{said}");
        }
        let empty = Identity::of_module(b"");
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.to_string(), format!("sha256:{hex}"));
    }

    #[test]
    fn digests_are_whole() {
        let own = digest(b"x");
        assert_eq!(read_digest(&own), Some(own.clone()));
        let (_, digits) = own.split_once(':').unwrap();
        let upper = format!("sha256:{}", digits.to_uppercase());
        assert_eq!(read_digest(&upper), Some(own.clone()));
        for bad in [
            "",
            "sha256:",
            digits,
            &own[..own.len() - 1],
            &own[..own.len() - 2],
            &format!("{own}00"),
            &format!("sha512:{digits}"),
            &format!("sha256: {}", &digits[1..]),
            &format!("sha256:{}g", &digits[1..]),
        ] {
            assert_eq!(read_digest(bad), None, "{bad}");
        }
    }
}
