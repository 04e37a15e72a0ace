//! How keys and events are written for people, by [NIP-19](https://github.com/nostr-protocol/nips/blob/master/19.md).

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use cap::{Failure, Result, plain};

use crate::hex;

/// A public key: `npub1…`.
pub fn npub(key: &[u8; 32]) -> String {
    named("npub", key)
}

/// An event's id: `note1…`.
pub fn note(id: &[u8; 32]) -> String {
    named("note", id)
}

fn named(prefix: &str, bytes: &[u8; 32]) -> String {
    let encoded = Hrp::parse(prefix)
        .ok()
        .and_then(|prefix| bech32::encode::<Bech32>(prefix, bytes).ok());
    // Both prefixes are good, and 32 bytes are not too many.
    encoded.unwrap_or_else(|| hex::encode(bytes))
}

/// A public key from `npub1…` or hexadecimal.
///
/// # Errors
/// What is neither.
pub fn public_key(text: &str) -> Result<[u8; 32]> {
    if text.starts_with("nsec1") {
        // Not shown again.
        return Err(Failure::new(
            "nsec1…",
            "it is a secret key, which nobody should be told; expected npub1…",
        ));
    }
    let decoded = || {
        let parts = CheckedHrpstring::new::<Bech32>(text).ok()?;
        let bytes: Vec<u8> = parts.byte_iter().collect();
        (parts.hrp().as_str() == "npub")
            .then_some(bytes)?
            .try_into()
            .ok()
    };
    hex::decode(text).or_else(decoded).ok_or_else(|| {
        let words = "expected a public key, npub1… or 64 hexadecimal digits";
        Failure::new(plain(text), words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of NIP-19.
    const HEX: &str = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e";
    const NPUB: &str = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";

    #[test]
    fn keys() {
        let key = hex::decode(HEX).unwrap();
        assert_eq!(npub(&key), NPUB);
        assert_eq!(public_key(NPUB).unwrap(), key);
        assert_eq!(public_key(HEX).unwrap(), key);
        assert!(note(&key).starts_with("note1"));
    }

    #[test]
    fn what_is_no_key() {
        for bad in [
            "",
            "npub1",
            &NPUB.replace("elf", "elg"),
            &note(&[1; 32]),
            &HEX[1..],
            &HEX.to_uppercase(),
        ] {
            assert!(public_key(bad).is_err(), "{bad}");
        }
        let secret = public_key("nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5");
        assert!(!secret.unwrap_err().to_string().contains("vl029"));
    }
}
