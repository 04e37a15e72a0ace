//! Text that isn't the host's: of manifests, modules, agents, servers. It is shown to people through [`Foreign`] alone.
//!
//! A terminal does what escape sequences say, and reorders, joins or hides what other characters tell it to: so whoever writes
//! such text could make it look like another, or like a line of the host's own.

use std::fmt::{self, Display, Write as _};

/// What a harmful character is shown as.
const SHOWN: char = char::REPLACEMENT_CHARACTER;

/// Whether a character does something to a screen, or is nothing to be seen there: controls of ASCII and C1 (ECMA-48), the ends
/// of lines of Unicode, what changes the direction of text (UAX #9) or is ignored by default (UAX #44,
/// `Default_Ignorable_Code_Point`), and what annotations and music are structured by. Blanks and line breaks of ASCII are harmful, too:
/// who lets them through says so.
pub fn is_harmful(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

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
