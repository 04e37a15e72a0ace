//! Names out of modules, for messages.

use capfs::is_harmful;

/// Characters of a name that are shown, at most.
const SHOWN_MAX: usize = 80;

/// A name out of a module, made harmless for terminals, logs and pages: each [harmful](is_harmful) character is written as an
/// escape; what is too long is cut off.
pub fn shown(name: &str) -> String {
    let mut text = String::new();
    for (count, char) in name.chars().enumerate() {
        if count == SHOWN_MAX {
            text.push('…');
            break;
        }
        match char {
            '\\' => text.push('\\'),
            // `escape_debug` knows controls of ASCII by name, separators, marks and unassigned characters; quotes are no danger.
            '"' | '\'' => text.push(char),
            '\x7f'.. if is_harmful(char) => text.extend(char.escape_unicode()),
            _ => text.extend(char.escape_debug()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_escaped() {
        assert_eq!(shown("fd_write"), "fd_write");
        assert_eq!(shown("\u{1b}[2J\r\n\t\0"), "\\u{1b}[2J\\r\\n\\t\\0");
        assert_eq!(
            shown("a\u{202e}b\u{9b}c\u{200b}"),
            "a\\u{202e}b\\u{9b}c\\u{200b}"
        );
        for hidden in ['\u{34f}', '\u{115f}', '\u{3164}', '\u{ffa0}', '\u{e0041}'] {
            let escape = hidden.escape_unicode().to_string();
            assert_eq!(shown(&format!("a{hidden}")), format!("a{escape}"));
        }
        assert_eq!(shown("größe 文"), "größe 文");
    }

    #[test]
    fn long_names_are_cut() {
        let name = "x".repeat(SHOWN_MAX + 1);
        assert_eq!(shown(&name).chars().count(), SHOWN_MAX + 1);
        assert!(shown(&name).ends_with('…'));
        assert_eq!(shown(&name[1..]), name[1..]);
    }
}
