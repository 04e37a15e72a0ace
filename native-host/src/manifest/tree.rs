//! What a manifest's file says, as a tree that knows where each thing stands; the same for every notation.

use std::fmt;

use serde_core::Deserializer as _;
use serde_core::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Tables and lists within each other, at most. A manifest has four.
const DEPTH_MAX: usize = 16;

/// Something that is wrong, and the byte at which it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// An offset into the file.
    pub at: usize,
    /// What is wrong.
    pub text: String,
}

impl Problem {
    /// What is wrong at a byte of the file.
    pub fn new(at: usize, text: impl Into<String>) -> Problem {
        let text = text.into();
        Problem { at, text }
    }
}

/// A value, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// An offset into the file.
    pub at: usize,
    /// The value.
    pub value: Value,
}

/// A key of a table, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// An offset into the file.
    pub at: usize,
    /// The key.
    pub name: String,
}

/// What a file can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number, as it is written, in decimal.
    Number(String),
    /// Yes or no.
    Yes(bool),
    /// Several values.
    List(Vec<Node>),
    /// Values by their keys, in the order in which they are written.
    Table(Vec<(Key, Node)>),
    /// What no manifest has anything for: a date, nothing at all.
    Other(&'static str),
}

impl Value {
    /// What it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::Number(_) => "a number",
            Value::Yes(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }
}

/// Dots in a file, at most: each can make one more table within others, and the parser counts only those in brackets.
const DOTS_MAX: usize = 4096;

/// Reads TOML.
///
/// # Errors
/// Where it is none.
pub fn from_toml(text: &str) -> Result<Node, Problem> {
    if let Some((at, _)) = text.match_indices('.').nth(DOTS_MAX) {
        return Err(Problem::new(
            at,
            format!("there are more than {DOTS_MAX} dots"),
        ));
    }
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Problem::new(at, error.message())
    })?;
    toml_table(0, document.get_ref(), 0)
}

fn toml_table(at: usize, table: &DeTable<'_>, depth: usize) -> Result<Node, Problem> {
    if depth > DEPTH_MAX {
        return Err(Problem::new(at, "too many tables within each other"));
    }
    let entry = |(key, node): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        let name = key.get_ref().clone().into_owned();
        let at = key.span().start;
        Ok((Key { at, name }, toml_value(node, depth + 1)?))
    };
    let mut entries = table.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|(key, _)| key.at);
    let value = Value::Table(entries);
    Ok(Node { at, value })
}

fn toml_value(node: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Problem> {
    let at = node.span().start;
    let value = match node.get_ref() {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number.to_string()),
            Err(_) => Value::Other("a number that is too large"),
        },
        DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Value::Yes(*yes),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(list) if depth <= DEPTH_MAX => {
            let nodes = list.iter().map(|node| toml_value(node, depth + 1));
            Value::List(nodes.collect::<Result<_, _>>()?)
        }
        DeValue::Array(_) => return Err(Problem::new(at, "too many lists within each other")),
        DeValue::Table(table) => return toml_table(at, table, depth),
    };
    Ok(Node { at, value })
}

/// Reads JSON.
///
/// # Errors
/// Where it is none.
pub fn from_json(text: &str) -> Result<Node, Problem> {
    let raw: &RawValue = serde_json::from_str(text)
        .map_err(|error| Problem::new(offset(text, error.line(), error.column()), said(&error)))?;
    Json { whole: text }.node(raw, 0)
}

/// serde_json's message without its own place.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

/// The byte at a line and a column, both from 1; the column counts bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let before: usize = lines.map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}

struct Json<'a> {
    whole: &'a str,
}

impl Json<'_> {
    /// Where a part of the text begins.
    fn at(&self, part: &RawValue) -> usize {
        let begin = self.whole.as_ptr() as usize;
        (part.get().as_ptr() as usize).saturating_sub(begin)
    }

    fn node(&self, raw: &RawValue, depth: usize) -> Result<Node, Problem> {
        let (at, text) = (self.at(raw), raw.get());
        if depth > DEPTH_MAX {
            return Err(Problem::new(
                at,
                "too many lists and tables within each other",
            ));
        }
        let wrong = |error: serde_json::Error| Problem::new(at, said(&error));
        let value = match text.as_bytes().first() {
            Some(b'{') => {
                let mut deserializer = serde_json::Deserializer::from_str(text);
                let pairs = deserializer.deserialize_map(Pairs).map_err(wrong)?;
                Value::Table(self.table(pairs, depth)?)
            }
            Some(b'[') => {
                let list: Vec<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
                let nodes = list.into_iter().map(|raw| self.node(raw, depth + 1));
                Value::List(nodes.collect::<Result<_, _>>()?)
            }
            Some(b'"') => Value::Text(serde_json::from_str(text).map_err(wrong)?),
            Some(b't') => Value::Yes(true),
            Some(b'f') => Value::Yes(false),
            Some(b'n') => Value::Other("null"),
            _ => Value::Number(text.to_owned()),
        };
        Ok(Node { at, value })
    }

    fn table(
        &self,
        pairs: Vec<(&RawValue, &RawValue)>,
        depth: usize,
    ) -> Result<Vec<(Key, Node)>, Problem> {
        let mut table: Vec<(Key, Node)> = Vec::with_capacity(pairs.len());
        let mut seen = std::collections::BTreeSet::new();
        for (key, value) in pairs {
            let at = self.at(key);
            let name: String =
                serde_json::from_str(key.get()).map_err(|error| Problem::new(at, said(&error)))?;
            if !seen.insert(name.clone()) {
                return Err(Problem::new(at, format!("there are two `{name}`")));
            }
            table.push((Key { at, name }, self.node(value, depth + 1)?));
        }
        Ok(table)
    }
}

/// A table's keys and values, none lost, as they stand in the text.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_one_tree() {
        let toml = from_toml("a = 'x'\nb = [1, 0x10, true]\n[c]\n\"d e\" = 1.5\n").unwrap();
        let json = from_json(r#"{"a":"x","b":[1,16,true],"c":{"d e":1.5}}"#).unwrap();
        assert_eq!(without_places(&toml), without_places(&json));
        let Value::Table(entries) = &toml.value else {
            panic!("it is a table");
        };
        let places = entries.iter().map(|(key, node)| (key.at, node.at));
        assert_eq!(places.collect::<Vec<_>>(), [(0, 4), (8, 12), (29, 28)]);
        let Value::Table(entries) = &json.value else {
            panic!("it is a table");
        };
        let places = entries.iter().map(|(key, node)| (key.at, node.at));
        assert_eq!(places.collect::<Vec<_>>(), [(1, 5), (9, 13), (25, 29)]);
    }

    fn without_places(node: &Node) -> String {
        match &node.value {
            Value::List(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(without_places).collect();
                format!("{nodes:?}")
            }
            Value::Table(entries) => {
                let entries = entries.iter();
                let entries = entries.map(|(key, node)| (key.name.clone(), without_places(node)));
                format!("{:?}", entries.collect::<Vec<_>>())
            }
            value => format!("{value:?}"),
        }
    }

    #[test]
    fn what_is_wrong_is_found_where_it_stands() {
        assert_eq!(from_toml("a = 1\na = 2\n").unwrap_err().at, 6);
        assert_eq!(from_json("{\"a\":1,\n\"a\":2}").unwrap_err().at, 8);
        assert_eq!(from_json("{\"a\":1,\n x}").unwrap_err().at, 9);
        assert_eq!(from_json("").unwrap_err().at, 0);
    }

    #[test]
    fn depth_is_bounded() {
        let many = 100_000;
        let dotted = format!("{}a = 1", "a.".repeat(many));
        let table = format!("[{}a]", "a . ".repeat(many));
        let lists = format!("a = {}", "[".repeat(many));
        let tables = format!("a = {}", "{b=".repeat(many));
        for text in [dotted, table, lists, tables] {
            assert!(from_toml(&text).is_err());
        }
        let mut quoted = "\"a\".".repeat(many);
        quoted.push_str("b = 1");
        assert!(from_toml(&quoted).is_err());
        for (begin, end) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{}1{}", begin.repeat(many), end.repeat(many));
            assert!(from_json(&text).is_err());
        }
    }
}
