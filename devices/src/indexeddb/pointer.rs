//! What a path leads to in JSON, without the rest.
//!
//! A value of 16 MiB can be eight million numbers, which take thirty times as much when they are read into a tree. Whatever the path
//! passes by is left out: that it is JSON is checked, but not what its texts stand for, nor how deep it is.

use std::fmt;

use serde_core::Deserializer;
use serde_core::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A number or a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Leaf {
    Number(f64),
    Text(String),
}

/// The number or the text that a path leads to: names and numbers of elements with `/` before each
/// ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)). `None` for anything else, and for what is not JSON.
pub(super) fn leaf(json: &[u8], path: &str) -> Option<Leaf> {
    let steps: Vec<String> = match path.strip_prefix('/') {
        Some(rest) => rest.split('/').map(unescaped).collect(),
        None if path.is_empty() => Vec::new(),
        None => return None,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let found = Find(&steps).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    found
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The number of an element, in the one way to write it.
fn element(step: &str) -> Option<usize> {
    let plain = step == "0" || !step.starts_with(['0', '+']);
    plain.then(|| step.parse().ok())?
}

/// What the rest of a path leads to in what is read next.
struct Find<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<Leaf>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<Leaf>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        // Minus zero is zero.
        Ok(self.0.is_empty().then_some(Leaf::Number(number + 0.0)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let is_it = self.0.is_empty();
        Ok(is_it.then(|| Leaf::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let wanted = self.0.split_first();
        let wanted = wanted.and_then(|(step, rest)| Some((element(step)?, rest)));
        let mut found = None;
        for index in 0.. {
            let more = match wanted {
                Some((at, rest)) if at == index => {
                    let leaf = elements.next_element_seed(Find(rest))?;
                    let more = leaf.is_some();
                    found = leaf.flatten();
                    more
                }
                _ => elements.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(found)
    }

    /// Of several with one name the last counts.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let Some((step, rest)) = self.0.split_first() else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(None);
        };
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Is(step))? {
            match is_it {
                true => found = members.next_value_seed(Find(rest))?,
                false => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Whether what is read next is this name.
struct Is<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tree of the whole says.
    fn by_tree(json: &[u8], path: &str) -> Option<Leaf> {
        let value: serde_json::Value = serde_json::from_slice(json).ok()?;
        match value.pointer(path)? {
            serde_json::Value::Number(number) => Some(Leaf::Number(number.as_f64()? + 0.0)),
            serde_json::Value::String(text) => Some(Leaf::Text(text.clone())),
            _ => None,
        }
    }

    #[test]
    fn paths_lead_where_they_lead_in_a_tree() {
        let texts = [
            r#"{"a":{"b":[1,"x",{"c":-0.0}]},"a/b":2,"m~n":3,"":4," ":5}"#,
            r#"{"a":1,"b":{"b":7},"a":{"b":"last"}}"#,
            r#"{"a":{"b":1},"a":2}"#,
            r#"[[0,1],[2,[3]],"\u00e9\n",true,null,18446744073709551615,-5,1e3]"#,
            r#""text""#,
            "12",
            "-0",
            "null",
            "{}",
            "[]",
            r#"{"a":1} x"#,
            r#"{"a":1"#,
            r#"{"a":01}"#,
            "",
            "not json",
        ];
        let paths = [
            "", "/", "/a", "/a/b", "/a/b/0", "/a/b/1", "/a/b/2/c", "/a/b/-", "/a/b/00", "/a/b/+1",
            "/a~1b", "/m~0n", "/ ", "/0", "/0/1", "/1/1/0", "/2", "/3", "/4", "/5", "/6", "/7",
            "/8", "a", "/b/b",
        ];
        for text in texts {
            for path in paths {
                let json = text.as_bytes();
                assert_eq!(leaf(json, path), by_tree(json, path), "{path} in {text}");
            }
        }
        assert_eq!(leaf(b"\xff", ""), None);
        let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
        let beside = format!(r#"{{"deep":{deep},"half":"\ud800","a":1}}"#);
        assert_eq!(leaf(beside.as_bytes(), "/a"), Some(Leaf::Number(1.0)));
        assert_eq!(leaf(beside.as_bytes(), "/half"), None);
    }
}
