//! Events, by [NIP-01](https://github.com/nostr-protocol/nips/blob/master/01.md).

use serde_json::{Value, json};

use crate::hex;

/// The kind of a short text note.
pub const TEXT_NOTE: u16 = 1;

/// What is signed of an event, before it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// Whose it is: the x coordinate of a key on secp256k1.
    pub author: [u8; 32],
    /// Seconds since 1970.
    pub created: u64,
    /// What kind of event it is.
    pub kind: u16,
    /// Lists of texts, the first of which names what the others are.
    pub tags: Vec<Vec<String>>,
    /// Its text.
    pub content: String,
}

/// An event as relays hand it on. Nothing in it is known to be true before it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it says.
    pub unsigned: Unsigned,
    /// The SHA-256 of what it says, as it claims.
    pub id: [u8; 32],
    /// The author's signature of the id, as it claims.
    pub signature: [u8; 64],
}

impl Unsigned {
    /// The bytes whose SHA-256 is the id.
    pub fn serialised(&self) -> Vec<u8> {
        let author = hex::encode(&self.author);
        json!([0, author, self.created, self.kind, self.tags, self.content])
            .to_string()
            .into_bytes()
    }
}

impl Event {
    /// What events are sorted by, the oldest first.
    pub fn age(&self) -> (u64, [u8; 32]) {
        (self.unsigned.created, self.id)
    }

    /// As it is sent.
    pub fn to_json(&self) -> Value {
        json!({
            "id": hex::encode(&self.id),
            "pubkey": hex::encode(&self.unsigned.author),
            "created_at": self.unsigned.created,
            "kind": self.unsigned.kind,
            "tags": self.unsigned.tags,
            "content": self.unsigned.content,
            "sig": hex::encode(&self.signature),
        })
    }

    /// What was received, if it has the form of an event.
    pub fn from_json(value: &Value) -> Option<Event> {
        let text = |name| value.get(name).and_then(Value::as_str);
        let number = |name| value.get(name).and_then(Value::as_u64);
        let tag = |tag: &Value| {
            let words = tag.as_array()?.iter();
            words.map(|word| word.as_str().map(str::to_owned)).collect()
        };
        Some(Event {
            unsigned: Unsigned {
                author: hex::decode(text("pubkey")?)?,
                created: number("created_at")?,
                kind: number("kind")?.try_into().ok()?,
                tags: value
                    .get("tags")?
                    .as_array()?
                    .iter()
                    .map(tag)
                    .collect::<Option<_>>()?,
                content: text("content")?.to_owned(),
            },
            id: hex::decode(text("id")?)?,
            signature: hex::decode(text("sig")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned() -> Unsigned {
        Unsigned {
            author: [0xab; 32],
            created: 1_700_000_000,
            kind: TEXT_NOTE,
            tags: vec![vec!["t".to_owned(), "a\"b".to_owned()]],
            content: "line\n\ttab \\ \u{8}\u{c}\r grüße / \u{2028}\u{7f}".to_owned(),
        }
    }

    #[test]
    fn serialisation_escapes_what_nip_01_says() {
        let author = "ab".repeat(32);
        let expected = format!(
            r#"[0,"{author}",1700000000,1,[["t","a\"b"]],"line\n\ttab \\ \b\f\r grüße / {}{}"]"#,
            '\u{2028}', '\u{7f}'
        );
        assert_eq!(
            String::from_utf8(unsigned().serialised()).unwrap(),
            expected
        );
    }

    #[test]
    fn json_there_and_back() {
        let event = Event {
            unsigned: unsigned(),
            id: [1; 32],
            signature: [2; 64],
        };
        assert_eq!(Event::from_json(&event.to_json()), Some(event));
    }

    #[test]
    fn other_forms_are_none() {
        let event = Event {
            unsigned: unsigned(),
            id: [1; 32],
            signature: [2; 64],
        };
        let changes = [
            ("id", json!("01")),
            ("id", json!("AB".repeat(32))),
            ("pubkey", json!(null)),
            ("created_at", json!(-1)),
            ("created_at", json!("1")),
            ("created_at", json!(1.5)),
            ("kind", json!(65_536)),
            ("tags", json!([["a", 1]])),
            ("tags", json!({})),
            ("content", json!(["x"])),
            ("sig", json!("02".repeat(65))),
        ];
        for (name, value) in changes {
            let mut changed = event.to_json();
            changed[name] = value;
            assert_eq!(Event::from_json(&changed), None, "{name}");
        }
        assert_eq!(Event::from_json(&json!([])), None);
    }
}
