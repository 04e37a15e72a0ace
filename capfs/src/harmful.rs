//! Characters that text of others is not shown with.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_something_or_is_not_seen_is_harmful() {
        for harmful in [
            '\0',
            '\t',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{2028}',
            '\u{202e}',
            '\u{2066}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{e0041}',
        ] {
            assert!(is_harmful(harmful), "{harmful:?}");
        }
        for plain in [' ', 'a', '~', '\u{a0}', 'ß', '文', '…', '😀'] {
            assert!(!is_harmful(plain), "{plain:?}");
        }
    }
}
