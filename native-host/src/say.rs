//! What the host tells people, on standard error. Whatever is in it that isn't the host's (names of files and of functions, texts of
//! manifests and modules, what servers say) is made harmless here, so nobody has to think of it elsewhere.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use capfs_devices::foreign::{Foreign, ForeignLines, is_harmful};
use rustix::termios::tcgetwinsize;
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

/// Like [`note`], where it is for people alone: if standard error is a terminal.
pub fn aside(word: &str, text: impl Display) {
    if io::stderr().is_terminal() {
        note(word, text);
    }
}

/// How something ended, as JSON on one line.
pub fn report(value: &Value) {
    line(json(value, false));
}

/// Columns of the status that stands on the terminal.
static STATUS: AtomicUsize = AtomicUsize::new(0);

/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

/// Shows what goes on, if standard error is a terminal, until [`end_status`] or the next line.
pub fn status(text: impl Display) {
    let stderr = io::stderr();
    if !stderr.is_terminal() {
        return;
    }
    let size = tcgetwinsize(&stderr).map_or(0, |size| size.ws_col.into());
    let columns = match size {
        0 => COLUMNS,
        size => size,
    };
    // In the last column some go on to the next line, and what stands in the line before is not to be taken back.
    let text = cut(&Foreign(text).to_string(), columns - 1);
    let before = STATUS.swap(width(&text), Ordering::AcqRel);
    let _ = (&stderr).write_all(format!("{}{text}", erased(before)).as_bytes());
}

/// Takes the status back, if one is shown.
pub fn end_status() {
    let shown = STATUS.swap(0, Ordering::AcqRel);
    if shown > 0 {
        let _ = io::stderr().write_all(erased(shown).as_bytes());
    }
}

/// What takes so many columns back, on any terminal that there is.
fn erased(columns: usize) -> String {
    match columns {
        0 => String::new(),
        columns => format!("\r{}\r", " ".repeat(columns)),
    }
}

/// Columns that a text takes, at most.
fn width(text: &str) -> usize {
    let columns = |character: char| if character.is_ascii() { 1 } else { 2 };
    text.chars().map(columns).sum()
}

/// As much of a text as fits into so many columns.
fn cut(text: &str, columns: usize) -> String {
    let mut cut = text.to_owned();
    while width(&cut) > columns {
        cut.pop();
    }
    cut
}

/// Writes a line, of which nothing is harmful, to standard error.
///
/// What can't be told is dropped: a full disk, or a reader who has gone, must not change how a run ends.
pub fn line(text: impl Display) {
    let shown = STATUS.swap(0, Ordering::AcqRel);
    line_to(&mut io::stderr(), format_args!("{}{text}", erased(shown)));
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
    fn a_status_fits_into_a_line_and_is_taken_back() {
        assert_eq!(cut("compiling a.wasm…", 40), "compiling a.wasm…");
        assert_eq!(cut("compiling 世界.wasm…", 13), "compiling 世");
        assert_eq!(cut("compiling", 0), "");
        assert_eq!(erased(width("ab…")), "\r    \r");
        assert_eq!(erased(0), "");
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
