//! Notes as JSON, one a line, to be kept elsewhere and taken in again.

use std::collections::BTreeSet;
use std::io::{BufRead, Read, Write};

use cap::{Failure, Result, Said};
use serde_json::{Value, json};

use crate::note::{Note, TEXT_MAX, time};
use crate::store::Store;

/// Bytes of a line, at most: a text in which every character is escaped, and what is said about it.
const LINE_MAX: usize = 6 * TEXT_MAX + (64 << 10);

/// Writes all notes, a line each.
///
/// # Errors
/// What reading them or writing says.
pub fn export(store: &Store, out: &mut dyn Write) -> Result<()> {
    for number in store.stamps()?.into_keys() {
        let note = store.shown(number)?;
        let line = json!({
            "number": number,
            "created": note.created,
            "changed": note.changed,
            "tags": note.tags,
            "text": note.text,
        });
        writeln!(out, "{line}").said("output")?;
    }
    Ok(())
}

/// What was taken in.
pub struct Imported {
    /// Notes that were added.
    pub added: usize,
    /// Notes that were there already: their text, and the time they were made at.
    pub known: usize,
}

/// Adds the notes of an export that aren't there yet, under new numbers. Where a line is no note, none are added.
///
/// # Errors
/// A line that is no note, what reading says, what the files say.
pub fn import(store: &Store, input: &mut dyn BufRead, now: &str) -> Result<Imported> {
    let mut notes = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut bounded = input.take(LINE_MAX as u64 + 1);
        if bounded.read_until(b'\n', &mut line).said("input")? == 0 {
            break;
        }
        let here = || format!("line {number}");
        if line.len() > LINE_MAX {
            return Err(Failure::new(
                here(),
                format!("it has more than {LINE_MAX} bytes"),
            ));
        }
        if !line.trim_ascii().is_empty() {
            notes.push(note(&line, now).map_err(|words| Failure::new(here(), words))?);
        }
    }
    let mut known = BTreeSet::new();
    for number in store.stamps()?.into_keys() {
        let note = store.shown(number)?;
        known.insert((note.created, note.text));
    }
    let all = notes.len();
    notes.retain(|note| known.insert((note.created.clone(), note.text.clone())));
    let imported = Imported {
        added: notes.len(),
        known: all - notes.len(),
    };
    if !notes.is_empty() {
        store.add(&notes)?;
    }
    Ok(imported)
}

/// The note of a line.
fn note(line: &[u8], now: &str) -> Result<Note, String> {
    let value: Value = serde_json::from_slice(line.trim_ascii()).map_err(|error| {
        // Of the place only the column: the line is another's to tell.
        let words = error.to_string();
        let what = words.split(" at line ").next().unwrap_or_default();
        format!("{what} at column {}", error.column())
    })?;
    let text = value.get("text").and_then(Value::as_str);
    let text = text.ok_or("expected an object with a \"text\"")?;
    let mut note = Note::new(text, now).map_err(|failure| failure.error.to_string())?;
    for (name, to) in [
        ("created", &mut note.created),
        ("changed", &mut note.changed),
    ] {
        match value.get(name) {
            None => {}
            Some(given) => {
                *to = given.as_str().and_then(time).ok_or_else(|| {
                    format!("expected a time such as 2026-01-31T09:05:00Z as \"{name}\"")
                })?;
            }
        }
    }
    let tags = match value.get("tags") {
        None => &Vec::new(),
        Some(tags) => tags.as_array().ok_or("expected a list of \"tags\"")?,
    };
    for tag in tags {
        let tag = tag.as_str().ok_or("expected a text as a tag")?;
        note.tag(tag).map_err(|failure| failure.to_string())?;
    }
    Ok(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-31T09:05:00Z";

    #[test]
    fn lines() {
        let line = br#"{"created":"2020-01-01T00:00:00Z","tags":["A"],"text":"x\ny\n","more":1}"#;
        let read = note(line, NOW).unwrap();
        assert_eq!(
            (read.created.as_str(), read.changed.as_str()),
            ("2020-01-01T00:00:00Z", NOW)
        );
        assert_eq!(read.text, "x\ny");
        assert!(read.tags.contains("a"));
        assert_eq!(note(br#"{"text":"x"}"#, NOW).unwrap().created, NOW);
    }

    #[test]
    fn what_is_no_note() {
        for bad in [
            "x",
            "[]",
            "{}",
            r#"{"text":" "}"#,
            r#"{"text":1}"#,
            r#"{"text":"x","tags":"a"}"#,
            r#"{"text":"x","tags":["a b"]}"#,
            r#"{"text":"x","created":"today"}"#,
            r#"{"text":"x""#,
        ] {
            assert!(note(bad.as_bytes(), NOW).is_err(), "{bad}");
        }
    }
}
