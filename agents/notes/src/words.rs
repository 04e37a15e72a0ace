//! The words of a text, folded so that what reads alike is alike: `Über`, `über` and `uber` are one word.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Bytes of a folded word, at most; the rest of a longer one is left out.
const WORD_MAX: usize = 64;

/// A word: where it is in the text, and its folded form.
#[derive(Debug, PartialEq, Eq)]
pub struct Word {
    /// The byte at which it begins.
    pub begin: usize,
    /// The byte behind it.
    pub end: usize,
    /// What it is found by.
    pub folded: String,
}

/// The words of a text, in order. A word is a run of letters and digits; an ideograph or a syllable of kana, which are written
/// without blanks, is one by itself.
pub fn words(text: &str) -> impl Iterator<Item = Word> + '_ {
    let mut characters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        while characters.next_if(|(_, c)| !is_part(*c)).is_some() {}
        let (begin, first) = characters.next()?;
        let mut end = begin + first.len_utf8();
        if !is_alone(first) {
            while let Some((at, c)) = characters.next_if(|(_, c)| is_part(*c) && !is_alone(*c)) {
                end = at + c.len_utf8();
            }
        }
        let folded = fold(&text[begin..end]);
        Some(Word { begin, end, folded })
    })
    // A run of nothing but accents.
    .filter(|word| !word.folded.is_empty())
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

fn is_alone(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// A word in lower case, without accents, its compatible characters replaced (NFKD).
pub fn fold(word: &str) -> String {
    let mut folded = String::new();
    for c in word
        .nfkd()
        .filter(|c| !is_accent(*c))
        .flat_map(char::to_lowercase)
    {
        match c {
            'ß' => folded.push_str("ss"),
            'ς' => folded.push('σ'),
            // Some letters have one in lower case only.
            c if is_accent(c) => {}
            c => folded.push(c),
        }
        if folded.len() > WORD_MAX {
            folded.truncate(folded.floor_char_boundary(WORD_MAX));
            break;
        }
    }
    folded
}

/// Accents of the alphabets; other scripts' marks are letters of theirs.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).map(|word| word.folded).collect()
    }

    #[test]
    fn runs_of_letters_and_digits() {
        assert_eq!(
            folded("Buy 2 milk,  don't!"),
            ["buy", "2", "milk", "don", "t"]
        );
        assert_eq!(folded("…\n"), [""; 0]);
        let places: Vec<_> = words("ä, bc").map(|word| (word.begin, word.end)).collect();
        assert_eq!(places, [(0, 2), (4, 6)]);
    }

    #[test]
    fn what_reads_alike_is_alike() {
        assert_eq!(folded("ÜBER über u\u{308}ber"), ["uber"; 3]);
        assert_eq!(
            folded("Straße STRASSE ﬁnden"),
            ["strasse", "strasse", "finden"]
        );
        assert_eq!(folded("ΟΔΟΣ οδος İ"), ["οδοσ", "οδοσ", "i"]);
    }

    #[test]
    fn scripts_without_blanks_and_with_marks() {
        assert_eq!(folded("東京tower"), ["東", "京", "tower"]);
        assert_eq!(folded("हिन्दी").len(), 1);
        assert_eq!(folded("\u{301}"), [""; 0]);
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(folded(&"ж".repeat(1_000)), ["ж".repeat(32)]);
    }
}
