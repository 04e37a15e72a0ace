//! Reading the text of a [`NamespaceList`].

use std::str::FromStr;

use super::list::{DeviceId, NamespaceList, Operation, RIGHTS, plain};
use super::{BindFlags, BindOrder};
use crate::{
    DEVICE_ID_MAX, Errno, NAME_MAX, NAMESPACE_ENTRIES_MAX, NAMESPACE_LINE_MAX, PATH_MAX, Rights,
};

/// What is wrong with the text of a [`NamespaceList`], and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {text}")]
pub struct NamespaceTextError {
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    /// What is wrong.
    pub text: String,
}

/// What is wrong at a byte of a line.
type Wrong = (usize, String);

/// A word, and the byte of the line at which it begins.
struct Word {
    at: usize,
    text: String,
    /// Whether any of it was quoted: then it is no option and no comment.
    quoted: bool,
}

impl FromStr for NamespaceList {
    type Err = NamespaceTextError;

    /// Reads the text of a list; [`Operation`]s have their [`Display`](std::fmt::Display) form in it, a line each.
    ///
    /// # Errors
    /// The first thing that is wrong: what is no operation, or more than [`NAMESPACE_ENTRIES_MAX`] of them; a line of more than
    /// [`NAMESPACE_LINE_MAX`] bytes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut list = NamespaceList::new();
        for (index, line) in text.lines().enumerate() {
            let read = read(line).and_then(|operation| match operation {
                Some(operation) => list.push(operation).map_err(|_| {
                    let most = NAMESPACE_ENTRIES_MAX;
                    (0, format!("there are more than {most} mounts and binds"))
                }),
                None => Ok(()),
            });
            read.map_err(|(at, text)| NamespaceTextError {
                line: index + 1,
                column: line[..at].chars().count() + 1,
                text,
            })?;
        }
        Ok(list)
    }
}

/// The operation of a line, if it has one.
fn read(line: &str) -> Result<Option<Operation>, Wrong> {
    if line.len() > NAMESPACE_LINE_MAX {
        let length = line.len();
        let text = format!(
            "a line of {length} bytes, where {NAMESPACE_LINE_MAX} are the most there can be"
        );
        return Err((0, text));
    }
    let words = words(line)?;
    let mut words = words.into_iter().peekable();
    let verb = match words.next() {
        None => return Ok(None),
        Some(word) if word.text.starts_with('#') && !word.quoted => return Ok(None),
        Some(word) => word,
    };
    let (flags, rights) = match verb.text.as_str() {
        "mount" | "bind" => options(&mut words, line.len())?,
        "unmount" => (BindFlags::REPLACE, Rights::all()),
        _ => return Err((verb.at, "expected `mount`, `bind` or `unmount`".to_owned())),
    };
    let mut next = |what: &str| {
        let missing = || (line.len(), format!("{what} is missing"));
        words.next().ok_or_else(missing)
    };
    let operation = match verb.text.as_str() {
        "mount" => Operation::Mount {
            device: device(&next("the device")?)?,
            at: path(&next("where it is mounted")?)?,
            tree: match words.next() {
                Some(tree) => path(&tree)?,
                None => "/".to_owned(),
            },
            flags,
            rights,
        },
        "bind" => Operation::Bind {
            from: path(&next("what is bound")?)?,
            at: path(&next("where it is bound")?)?,
            flags,
            rights,
        },
        _ => Operation::Unmount {
            at: path(&next("what is unmounted")?)?,
        },
    };
    match words.next() {
        Some(word) => Err((word.at, "this is one word too many".to_owned())),
        None => Ok(Some(operation)),
    }
}

/// The words of a line.
fn words(line: &str) -> Result<Vec<Word>, Wrong> {
    let blank = |char: char| matches!(char, ' ' | '\t');
    let mut words = Vec::new();
    let mut chars = line.char_indices().peekable();
    while let Some((at, char)) = chars.peek().copied() {
        if blank(char) {
            chars.next();
            continue;
        }
        // A comment says what it likes.
        if words.is_empty() && char == '#' {
            break;
        }
        let mut word = Word {
            at,
            text: String::new(),
            quoted: false,
        };
        if line[at..].starts_with("$'") {
            let (text, length) = escaped(&line[at..]).map_err(|(by, text)| (at + by, text))?;
            word.text = text;
            word.quoted = true;
            while chars.next_if(|(next, _)| *next < at + length).is_some() {}
            words.push(word);
            continue;
        }
        while let Some((at, char)) = chars.next_if(|(_, char)| !blank(*char)) {
            if char != '\'' {
                word.text.push(char);
                continue;
            }
            word.quoted = true;
            loop {
                match chars.next() {
                    None => return Err((at, "this quote has no end".to_owned())),
                    Some((_, '\'')) if chars.next_if(|(_, char)| *char == '\'').is_none() => break,
                    Some((_, char)) => word.text.push(char),
                }
            }
        }
        words.push(word);
    }
    Ok(words)
}

/// The word in `$'…'` at the start of a text, and the bytes that it takes there.
fn escaped(text: &str) -> Result<(String, usize), Wrong> {
    let mut bytes = Vec::new();
    let mut rest = text[2..].bytes().zip(2..);
    while let Some((byte, at)) = rest.next() {
        match byte {
            b'\'' if text[at + 1..].starts_with([' ', '\t']) || at + 1 == text.len() => {
                let word = String::from_utf8(bytes);
                let word = word.map_err(|_| (0, "this is not UTF-8".to_owned()))?;
                return Ok((word, at + 1));
            }
            b'\'' => return Err((at, "a word ends with this quote".to_owned())),
            b'\\' => match rest.next() {
                Some((byte @ (b'\\' | b'\''), _)) => bytes.push(byte),
                Some((b'x', _)) => {
                    let digits = text.get(at + 2..at + 4);
                    let byte = digits.filter(|digits| !digits.starts_with('+'));
                    let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                    bytes.push(byte.ok_or_else(|| (at, "expected two digits".to_owned()))?);
                    rest.nth(1);
                }
                _ => return Err((at, "expected `\\x`, `\\\\` or `\\'`".to_owned())),
            },
            byte => bytes.push(byte),
        }
    }
    Err((0, "this quote has no end".to_owned()))
}

/// The options that come next.
fn options(
    words: &mut std::iter::Peekable<impl Iterator<Item = Word>>,
    end: usize,
) -> Result<(BindFlags, Rights), Wrong> {
    let mut order = None;
    let (mut create, mut rights) = (false, None);
    let is_option = |word: &Word| word.text.starts_with('-') && !word.quoted;
    while let Some(word) = words.next_if(is_option) {
        if word.text == "-o" {
            let names = words.next();
            let names = names.ok_or_else(|| (end, "the rights are missing".to_owned()))?;
            if rights.replace(of_names(&names)?).is_some() {
                return Err((word.at, "the rights are there twice".to_owned()));
            }
            continue;
        }
        // Several letters may share a dash, as everywhere.
        for letter in word.text.chars().skip(1) {
            let again = match letter {
                'a' => order.replace(BindOrder::After).is_some(),
                'b' => order.replace(BindOrder::Before).is_some(),
                'c' => std::mem::replace(&mut create, true),
                _ => true,
            };
            if again {
                let text = "expected `-a` or `-b`, `-c`, and `-o` with rights, each once at most";
                return Err((word.at, text.to_owned()));
            }
        }
        if word.text == "-" {
            return Err((word.at, "an option without a letter".to_owned()));
        }
    }
    let order = order.unwrap_or(BindOrder::Replace);
    Ok((BindFlags { order, create }, rights.unwrap_or(Rights::all())))
}

fn of_names(word: &Word) -> Result<Rights, Wrong> {
    if word.text == "none" {
        return Ok(Rights::empty());
    }
    let mut rights = Rights::empty();
    for name in word.text.split(',') {
        let known = RIGHTS.iter().find(|(known, _)| *known == name);
        let Some((_, right)) = known else {
            let text =
                "expected `none`, or `read`, `write`, `create`, `remove` with commas between";
            return Err((word.at, text.to_owned()));
        };
        rights |= *right;
    }
    Ok(rights)
}

fn device(word: &Word) -> Result<DeviceId, Wrong> {
    DeviceId::new(&word.text).map_err(|errno| {
        let text = match errno {
            Errno::Nametoolong => format!("a device's name has {DEVICE_ID_MAX} bytes at most"),
            _ => format!("a device's name begins with its kind, of {NAME_MAX} bytes at most"),
        };
        (word.at, text)
    })
}

fn path(word: &Word) -> Result<String, Wrong> {
    plain(&word.text).map_err(|errno| {
        let text = match errno {
            Errno::Nametoolong => {
                format!("a path has {PATH_MAX} bytes at most, and each name in it {NAME_MAX}")
            }
            _ => "expected an absolute path without `..`".to_owned(),
        };
        (word.at, text)
    })
}
