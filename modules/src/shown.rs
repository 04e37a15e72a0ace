//! Names out of modules, for messages.

/// Characters of a name that are shown, at most.
const SHOWN_MAX: usize = 80;

/// A name out of a module, made harmless for terminals, logs and pages: what controls them, or turns the order of
/// letters round, is written as an escape; what is too long is cut off.
pub fn shown(name: &str) -> String {
    let mut text = String::new();
    for (count, char) in name.chars().enumerate() {
        if count == SHOWN_MAX {
            text.push('…');
            break;
        }
        match char {
            '\\' => text.push('\\'),
            // `escape_debug` knows controls, separators, marks and unassigned characters; quotes are no danger.
            '"' | '\'' => text.push(char),
            _ if turns(char) => text.extend(char.escape_unicode()),
            _ => text.extend(char.escape_debug()),
        }
    }
    text
}

/// Whether a character changes how those around it are shown, and has no shape of its own.
fn turns(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
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
