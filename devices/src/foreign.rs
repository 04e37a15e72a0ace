//! Text that isn't the host's: of manifests, modules, agents, servers. It is shown to people through [`Foreign`] alone.
//!
//! A terminal does what escape sequences say, and reorders, joins or hides what other characters tell it to: so whoever writes
//! such text could make it look like another, or like a line of the host's own.

use std::fmt::{self, Display, Write as _};

pub use capfs::is_harmful;

/// What a harmful character is shown as.
const SHOWN: char = char::REPLACEMENT_CHARACTER;

/// Shows text that isn't the host's, on one line: `\u{fffd}` stands for each [harmful](is_harmful) character but the tab.
#[derive(Clone, Copy, Debug)]
pub struct Foreign<T>(pub T);

impl<T: Display> Display for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Harmless(f, false), "{}", self.0)
    }
}

/// As [`Foreign`], for text of several lines, whose ends it keeps.
#[derive(Clone, Copy, Debug)]
pub struct ForeignLines<T>(pub T);

impl<T: Display> Display for ForeignLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Harmless(f, true), "{}", self.0)
    }
}

/// Writes what is harmless.
struct Harmless<'a, 'b>(&'a mut fmt::Formatter<'b>, bool);

impl fmt::Write for Harmless<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            '\t' => self.0.write_char(character),
            '\n' if self.1 => self.0.write_char(character),
            harmful if is_harmful(harmful) => self.0.write_char(SHOWN),
            other => self.0.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_hides_or_reorders_is_shown_as_something_else() {
        for harmful in [
            "\x1b[2J",
            "\r",
            "\n",
            "\u{9b}1A",
            "\u{7f}",
            "\u{85}",
            "\u{ad}",
            "\u{200b}",
            "\u{200d}",
            "\u{200e}",
            "\u{202e}",
            "\u{2066}",
            "\u{2028}",
            "\u{feff}",
            "\u{fe0f}",
            "\u{e0041}",
            "\u{3164}",
            "\0",
        ] {
            let shown = Foreign(format!("a{harmful}b")).to_string();
            assert!(shown.starts_with("a\u{fffd}"), "{harmful:?}: {shown:?}");
            assert!(!shown.chars().any(is_harmful), "{harmful:?}: {shown:?}");
        }
        let kept = "naïve\ttext 漢字 עברית e\u{301} 👍 — “ok”";
        assert_eq!(Foreign(kept).to_string(), kept);
        assert_eq!(ForeignLines("a\nb\r\n").to_string(), "a\nb\u{fffd}\n");
    }
}
