//! Text of others made fit to be shown: a terminal obeys nothing in it.

/// Text on one line: control characters and runs of white space become single blanks.
pub fn plain(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if is_obeyed(c) { ' ' } else { c })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text with its lines and tabs; other control characters become `�`.
pub fn printable(text: &str) -> String {
    let seen = |c| if is_obeyed(c) { '\u{fffd}' } else { c };
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| if matches!(c, '\n' | '\t') { c } else { seen(c) })
        .collect()
}

/// What does not stand for itself: control characters, and marks that change the direction in which text is shown, so that it
/// reads otherwise than it is.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first characters of a text, with `…` where some were left out.
pub fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(characters.saturating_sub(1)).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_obeyed() {
        assert_eq!(
            plain(" a\u{1b}[31m\n\tb \u{9b}1m\u{202e}c "),
            "a [31m b 1m c"
        );
        assert_eq!(
            printable("a\r\n\tb\u{1b}[2J\u{2066}\r"),
            "a\n\tb\u{fffd}[2J\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn shortening() {
        assert_eq!(shortened("ä€x", 3), "ä€x");
        assert_eq!(shortened("ä€ xy", 4), "ä€…");
        assert_eq!(shortened("", 0), "");
    }
}
