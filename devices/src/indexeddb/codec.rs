//! Keys of the host's map, names of files, and the values that an index orders.
//!
//! ```text
//! 1 DB 0                              VERSION USED         a database: its version, and the bytes that it takes
//! 2 DB 0 STORE 0                      NAME PATH …          a store: its indexes, one a line
//! 3 DB 0 STORE 0 KEY                  the value
//! 4 DB 0 STORE 0 INDEX 0 ENTRY KEY    nothing              an index's entry
//! ```
//! ENTRY is 16 and eight bytes that order as the number does, or 32, the text with 0 as 0 255, and 0 1.

use super::pointer::{self, Leaf};

/// Bytes of the longest name of a database, store or index.
pub const NAME_MAX: usize = 64;

/// Whether a database, store or index may have this name.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reserved = matches!(name, "batch" | "ctl" | "error" | "policy" | "version");
    (1..=NAME_MAX).contains(&name.len())
        && !name.starts_with('.')
        && !reserved
        && name.bytes().all(plain)
}

fn joined(tag: u8, parts: &[&str]) -> Vec<u8> {
    let mut key = vec![tag];
    for part in parts {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key
}

pub(super) fn database(db: &str) -> Vec<u8> {
    joined(1, &[db])
}

pub(super) fn databases() -> (Vec<u8>, Vec<u8>) {
    (vec![1], vec![2])
}

pub(super) fn store(db: &str, store: &str) -> Vec<u8> {
    joined(2, &[db, store])
}

pub(super) fn stores(db: &str) -> Vec<u8> {
    joined(2, &[db])
}

pub(super) fn records(db: &str, store: &str) -> Vec<u8> {
    joined(3, &[db, store])
}

pub(super) fn record(db: &str, store: &str, key: &[u8]) -> Vec<u8> {
    [&records(db, store)[..], key].concat()
}

pub(super) fn entries(db: &str, store: &str, index: &str) -> Vec<u8> {
    joined(4, &[db, store, index])
}

/// Everything of a database.
pub(super) fn all_of(db: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let db = db.to_owned();
    (1..=4).map(move |tag| range(joined(tag, &[&db])))
}

/// What begins with a prefix that is not of 255s alone: from it to before what follows.
pub(super) fn range(prefix: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let mut high = prefix.clone();
    while high.pop_if(|last| *last == 255).is_some() {}
    if let Some(last) = high.last_mut() {
        *last += 1;
    }
    (prefix, high)
}

/// The name at the end of a key of a database or a store.
pub(super) fn last_name(key: &[u8]) -> Option<String> {
    let name = key
        .strip_suffix(&[0])?
        .rsplit(|byte| matches!(byte, 0..=2))
        .next()?;
    String::from_utf8(name.to_vec()).ok()
}

/// A key as a file's name: letters, digits, `_`, `-`, `~` and a `.` that is not the first byte stand for themselves, every
/// other byte is `%` and two upper-case digits. So each key has one name, and no name is special.
pub(super) fn escape(key: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(key.len());
    for (at, byte) in key.iter().enumerate() {
        match byte {
            b'_' | b'-' | b'~' => name.push(char::from(*byte)),
            b'.' if at > 0 => name.push('.'),
            byte if byte.is_ascii_alphanumeric() => name.push(char::from(*byte)),
            byte => {
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    name
}

/// The key that has this name; `None` for what is not as [`escape`] writes it.
pub(super) fn unescape(name: &str) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        key.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        });
    }
    (!key.is_empty() && escape(&key) == name).then_some(key)
}

/// From so many characters on a number is written with an exponent.
const DIGITS_MAX: usize = 24;

/// What an index orders a value by.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum IndexKey {
    Number(f64),
    Text(String),
}

impl IndexKey {
    /// What a path leads to in a value that is JSON, as [`pointer::leaf`] has it.
    pub(super) fn of_value(value: &[u8], path: &str) -> Option<IndexKey> {
        let key = match pointer::leaf(value, path)? {
            Leaf::Number(number) => IndexKey::Number(number),
            Leaf::Text(text) => IndexKey::Text(text),
        };
        // Nobody could open what is called by more.
        key.has_room().then_some(key)
    }

    /// Whether its name is one that a file can have. A name has a byte at least for each of a text, so that of a long text, which would
    /// be three times as long, isn't made.
    fn has_room(&self) -> bool {
        match self {
            IndexKey::Text(text) if text.len() > capfs::NAME_MAX => false,
            key => key.name().len() <= capfs::NAME_MAX,
        }
    }

    /// Its name: a text escaped, or `=` and a number, with an exponent where it would have more than [`DIGITS_MAX`] digits.
    pub(super) fn name(&self) -> String {
        match self {
            IndexKey::Number(number) => {
                let (plain, short) = (format!("={number}"), format!("={number:e}"));
                if plain.len() > DIGITS_MAX {
                    short
                } else {
                    plain
                }
            }
            IndexKey::Text(text) if text.is_empty() => "=".to_owned(),
            IndexKey::Text(text) => escape(text.as_bytes()),
        }
    }

    pub(super) fn of_name(name: &str) -> Option<IndexKey> {
        let key = match name.strip_prefix('=') {
            Some("") => IndexKey::Text(String::new()),
            Some(number) => IndexKey::Number(
                number
                    .parse()
                    .ok()
                    .filter(|number: &f64| number.is_finite())?,
            ),
            None => IndexKey::Text(String::from_utf8(unescape(name)?).ok()?),
        };
        (key.name() == name).then_some(key)
    }

    /// How many bytes [`IndexKey::encode`] gives.
    pub(super) fn encoded_length(&self) -> usize {
        match self {
            IndexKey::Number(_) => 9,
            IndexKey::Text(text) => 3 + text.len() + text.bytes().filter(|byte| *byte == 0).count(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            IndexKey::Number(number) => {
                let bits = number.to_bits();
                let ordered = match bits >> 63 {
                    0 => bits ^ (1 << 63),
                    _ => !bits,
                };
                [&[16][..], &ordered.to_be_bytes()].concat()
            }
            IndexKey::Text(text) => {
                let mut bytes = vec![32];
                for byte in text.bytes() {
                    bytes.push(byte);
                    if byte == 0 {
                        bytes.push(255);
                    }
                }
                bytes.extend_from_slice(&[0, 1]);
                bytes
            }
        }
    }

    /// Reads an entry behind its index's prefix: what it is ordered by, and the record's key.
    pub(super) fn decode(entry: &[u8]) -> Option<(IndexKey, &[u8])> {
        let (tag, rest) = entry.split_first()?;
        if *tag == 16 {
            let (bytes, key) = rest.split_first_chunk::<8>()?;
            let ordered = u64::from_be_bytes(*bytes);
            let bits = match ordered >> 63 {
                1 => ordered ^ (1 << 63),
                _ => !ordered,
            };
            return Some((IndexKey::Number(f64::from_bits(bits)), key));
        }
        let mut text = Vec::new();
        let mut at = 0;
        loop {
            match (rest.get(at)?, rest.get(at + 1)) {
                (0, Some(255)) => {
                    text.push(0);
                    at += 2;
                }
                (0, Some(1)) => break,
                (0, _) => return None,
                (byte, _) => {
                    text.push(*byte);
                    at += 1;
                }
            }
        }
        Some((
            IndexKey::Text(String::from_utf8(text).ok()?),
            &rest[at + 2..],
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys() {
        for (key, name) in [
            (&b"plain-1_~"[..], "plain-1_~"),
            (b".", "%2E"),
            (b"a.b", "a.b"),
            (b"..", "%2E."),
            (b"a/b c%", "a%2Fb%20c%25"),
            (b"\x00\xff", "%00%FF"),
        ] {
            assert_eq!(escape(key), name);
            assert_eq!(unescape(name).as_deref(), Some(key));
        }
        for bad in ["", ".", "a b", "%2e", "%41", "%4", "%", "%G0", "é"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }

    #[test]
    fn entries_are_ordered_as_what_they_stand_for() {
        let keys = [
            IndexKey::Number(f64::MIN),
            IndexKey::Number(-1.5),
            IndexKey::Number(0.0),
            IndexKey::Number(1e-300),
            IndexKey::Number(2.0),
            IndexKey::Number(10.0),
            IndexKey::Text(String::new()),
            IndexKey::Text("a".to_owned()),
            IndexKey::Text("a\0".to_owned()),
            IndexKey::Text("a\0b".to_owned()),
            IndexKey::Text("aa".to_owned()),
            IndexKey::Text("é".to_owned()),
        ];
        for pair in keys.windows(2) {
            assert!(pair[0].encode() < pair[1].encode(), "{pair:?}");
        }
        for key in keys {
            let entry = [&key.encode()[..], b"record\0\x01"].concat();
            assert_eq!(
                IndexKey::decode(&entry),
                Some((key.clone(), &b"record\0\x01"[..]))
            );
            assert_eq!(key.encode().len(), key.encoded_length());
            assert_eq!(IndexKey::of_name(&key.name()), Some(key));
        }
        assert_eq!(IndexKey::decode(b"\x20ab"), None);
        assert_eq!(IndexKey::of_name("=1.0"), None);
        assert_eq!(IndexKey::of_name("=inf"), None);
    }

    #[test]
    fn paths_into_values() {
        let value = br#"{"a":{"b":[1,"x"]},"n":-0.0,"t":true}"#;
        let at = |path| IndexKey::of_value(value, path).map(|key| key.name());
        assert_eq!(at("/a/b/1").as_deref(), Some("x"));
        assert_eq!(at("/a/b/0").as_deref(), Some("=1"));
        assert_eq!(at("/n").as_deref(), Some("=0"));
        assert_eq!(
            (at("/t"), at("/a"), at("/none"), at("")),
            (None, None, None, None)
        );
        assert_eq!(IndexKey::of_value(b"not json", "/a"), None);
    }
}
