//! What the host tells people, on standard error. Whatever is in it that isn't the host's (names of files and of functions, texts of
//! manifests and modules, what servers say) is made harmless here, so nobody has to think of it elsewhere.

use std::fmt::Display;

use capfs_devices::foreign::{Foreign, ForeignLines, is_harmful};
use serde_json::Value;

/// What went wrong.
pub fn error(text: impl Display) {
    eprintln!("error: {}", Foreign(text));
}

/// What went wrong, in several lines, each part of which that is not the host's is [`Foreign`] already.
pub fn error_lines(text: impl Display) {
    eprintln!("error: {}", ForeignLines(text));
}

/// What may help.
pub fn hint(text: impl Display) {
    eprintln!("hint: {}", Foreign(text));
}

/// What may be wrong.
pub fn warning(text: impl Display) {
    eprintln!("warning: {}", Foreign(text));
}

/// Anything else: `WORD: TEXT`.
pub fn note(word: &str, text: impl Display) {
    eprintln!("{word}: {}", Foreign(text));
}

/// JSON whose strings do nothing to a screen either.
pub fn json(value: &Value, pretty: bool) -> String {
    let text = match pretty {
        true => format!("{value:#}"),
        false => value.to_string(),
    };
    // Beyond ASCII there are only characters of strings, and in ASCII the serialiser has escaped them.
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character >= '\x7f' && is_harmful(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_what_it_is() {
        let value = serde_json::json!({ "a\u{202e}": ["\u{9b}\u{7f}\u{e0041}\x1b", "ü"] });
        for pretty in [false, true] {
            let text = json(&value, pretty);
            assert!(!text.replace('\n', "").chars().any(is_harmful), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }
}
