//! A note as a file: some lines about it, an empty one, its text. Any text file is a note, too.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cap::{Failure, Result, plain, shortened};

/// Bytes of a note's text, at most.
pub const TEXT_MAX: usize = 1 << 20;

/// Tags of a note, at most.
const TAGS_MAX: usize = 64;

/// Bytes of a tag, at most.
const TAG_MAX: usize = 64;

/// Characters of a title, at most.
const TITLE_MAX: usize = 72;

/// A note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// When it was made, as `2026-01-31T09:05:00Z`; empty where that isn't known.
    pub created: String,
    /// When it was changed last.
    pub changed: String,
    /// Its tags, without `#`.
    pub tags: BTreeSet<String>,
    /// Its text.
    pub text: String,
}

impl Note {
    /// A new note.
    ///
    /// # Errors
    /// A text that is empty or too long.
    pub fn new(text: &str, now: &str) -> Result<Note> {
        let mut note = Note {
            created: now.to_owned(),
            ..Note::default()
        };
        note.replace(text, now)?;
        Ok(note)
    }

    /// Gives it another text.
    ///
    /// # Errors
    /// A text that is empty or too long.
    pub fn replace(&mut self, text: &str, now: &str) -> Result<()> {
        let text = text.trim_end();
        if text.trim().is_empty() {
            return Err(Failure::new("note", "it would have no text"));
        }
        if text.len() > TEXT_MAX {
            let words = format!("its text would have more than {TEXT_MAX} bytes");
            return Err(Failure::new("note", words));
        }
        self.text = text.to_owned();
        self.changed = now.to_owned();
        Ok(())
    }

    /// Adds a tag.
    ///
    /// # Errors
    /// What is no tag; too many of them.
    pub fn tag(&mut self, tag: &str) -> Result<()> {
        let tag = tag_name(tag)?;
        if self.tags.len() >= TAGS_MAX && !self.tags.contains(&tag) {
            return Err(Failure::new(
                tag,
                format!("a note has at most {TAGS_MAX} tags"),
            ));
        }
        self.tags.insert(tag);
        Ok(())
    }

    /// Its first line with something in it, fit to be shown.
    pub fn title(&self) -> String {
        let line = self.text.lines().find(|line| !line.trim().is_empty());
        shortened(&plain(line.unwrap_or_default()), TITLE_MAX)
    }

    /// Its tags as they are shown: `  #home #work`.
    pub fn shown_tags<'a>(tags: impl IntoIterator<Item = &'a String>) -> String {
        let mut shown = String::new();
        for (index, tag) in tags.into_iter().enumerate() {
            let _ = write!(shown, "{}#{tag}", if index == 0 { "  " } else { " " });
        }
        shown
    }

    /// The contents of its file.
    pub fn to_file(&self) -> String {
        let tags = self.tags.iter().map(String::as_str);
        format!(
            "created: {}\nchanged: {}\ntags: {}\n\n{}\n",
            self.created,
            self.changed,
            tags.collect::<Vec<_>>().join(" "),
            self.text
        )
    }

    /// A note from its file's contents. What does not begin as `to_file` writes it is all text.
    pub fn from_file(contents: &str) -> Note {
        let contents = contents.replace("\r\n", "\n");
        Note::headed(&contents).unwrap_or_else(|| Note {
            text: contents.trim_end().to_owned(),
            ..Note::default()
        })
    }

    fn headed(contents: &str) -> Option<Note> {
        let (head, text) = contents.split_once("\n\n")?;
        let mut note = Note {
            text: text.trim_end().to_owned(),
            ..Note::default()
        };
        let mut named = BTreeSet::new();
        for line in head.lines() {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            match name {
                "created" => note.created = time(value)?,
                "changed" => note.changed = time(value)?,
                "tags" => {
                    for tag in value.split_whitespace() {
                        note.tag(tag).ok()?;
                    }
                }
                _ => return None,
            }
            if !named.insert(name) {
                return None;
            }
        }
        Some(note)
    }
}

/// A time of the form that notes have, or none.
pub fn time(text: &str) -> Option<String> {
    let form = "0000-00-00T00:00:00Z";
    let fits = text.len() == form.len()
        && form
            .bytes()
            .zip(text.bytes())
            .all(|(form, byte)| match form {
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            });
    (fits || text.is_empty()).then(|| text.to_owned())
}

/// A tag as it is kept: in lower case, without the `#` before it.
///
/// # Errors
/// What is no tag.
pub fn tag_name(tag: &str) -> Result<String> {
    let name = tag.strip_prefix('#').unwrap_or(tag).to_lowercase();
    let good = !name.is_empty()
        && name.len() <= TAG_MAX
        && !name.starts_with('-')
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '/'));
    if good {
        return Ok(name);
    }
    Err(Failure::new(
        plain(tag),
        format!("a tag has letters, digits, -, _ and /, {TAG_MAX} bytes at most"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let mut note = Note::new("Title\n\ntext: more\n\n", "2026-01-31T09:05:00Z").unwrap();
        note.tag("#Home").unwrap();
        note.tag("über/1").unwrap();
        let file = note.to_file();
        assert!(file.ends_with("tags: home über/1\n\nTitle\n\ntext: more\n"));
        assert_eq!(Note::from_file(&file), note);
        assert_eq!(Note::from_file(&file.replace('\n', "\r\n")), note);
    }

    #[test]
    fn any_text_is_a_note() {
        for text in [
            "just text",
            "a: b\n\nc",
            "created: yesterday\n\nc",
            "tags: a\ntags: b\n\nc",
            "tags: a,b\n\nc",
            "",
        ] {
            let note = Note::from_file(text);
            assert_eq!((note.text.as_str(), note.tags.len()), (text, 0));
        }
        assert_eq!(Note::from_file("tags: a b\n\nc").tags.len(), 2);
    }

    #[test]
    fn titles_are_fit_to_be_shown() {
        let title = |text: &str| {
            let text = text.to_owned();
            Note {
                text,
                ..Note::default()
            }
            .title()
        };
        assert_eq!(title("\n \n a \u{1b}[2J  b\nc"), "a [2J b");
        assert_eq!(title(&"x".repeat(100)).chars().count(), TITLE_MAX);
        assert_eq!(title(""), "");
    }

    #[test]
    fn limits() {
        let now = "2026-01-31T09:05:00Z";
        assert!(Note::new(" \n", now).is_err());
        assert!(Note::new(&"x".repeat(TEXT_MAX + 1), now).is_err());
        let mut note = Note::new("x", now).unwrap();
        for bad in ["", "#", "a b", "-a", "a,b", &"x".repeat(65)] {
            assert!(note.tag(bad).is_err(), "{bad}");
        }
        for number in 0..TAGS_MAX {
            note.tag(&number.to_string()).unwrap();
        }
        assert!(note.tag("more").is_err());
        assert!(note.tag("1").is_ok());
    }
}
