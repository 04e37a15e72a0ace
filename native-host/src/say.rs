//! What the host tells people, on standard error. Whatever is in it that isn't the host's (names of files and of functions, texts of
//! manifests and modules, what servers say) is made harmless here, so nobody has to think of it elsewhere.

use std::fmt::Display;
use std::io::{self, Write};

use capfs_devices::foreign::{Foreign, ForeignLines, is_harmful};
use serde_json::Value;

/// What went wrong.
pub fn error(text: impl Display) {
    line(format_args!("error: {}", Foreign(text)));
}

/// What went wrong, in several lines, each part of which that is not the host's is [`Foreign`] already.
pub fn error_lines(text: impl Display) {
    line(format_args!("error: {}", ForeignLines(text)));
}

/// What may help.
pub fn hint(text: impl Display) {
    line(format_args!("hint: {}", Foreign(text)));
}

/// What may be wrong.
pub fn warning(text: impl Display) {
    line(format_args!("warning: {}", Foreign(text)));
}

/// Anything else: `WORD: TEXT`.
pub fn note(word: &str, text: impl Display) {
    line(format_args!("{word}: {}", Foreign(text)));
}

/// How something ended, as JSON on one line.
pub fn report(value: &Value) {
    line(json(value, false));
}

/// Writes a line, of which nothing is harmful, to standard error.
///
/// What can't be told is dropped: a full disk, or a reader who has gone, must not change how a run ends.
pub fn line(text: impl Display) {
    line_to(&mut io::stderr(), text);
}

/// In one write: standard error has no buffer, and lines of several processes may share it.
fn line_to(to: &mut impl Write, text: impl Display) {
    let _ = to.write_all(format!("{text}\n").as_bytes());
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

    /// Takes whole writes, as a pipe does.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_write() {
        let mut writes = Writes::default();
        line_to(
            &mut writes,
            format_args!("error: {}", Foreign("naïve\x1b[2J, and more of it")),
        );
        let written = "error: naïve\u{fffd}[2J, and more of it\n";
        assert_eq!(writes.0, [written.as_bytes()]);
    }

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
