//! The part of a note that shows best why it was found.

use cap::plain;

use crate::query::Query;
use crate::words::{Word, words};

/// Characters of a snippet, about.
const SNIPPET: usize = 72;

/// Characters before the first word that was found, about.
const BEFORE: usize = 16;

/// A line of the text in which as much of the query is as there can be, what was found in brackets: `…buy [milk] and…`. Nothing where
/// the query has only tags.
pub fn snippet(text: &str, query: &Query) -> Option<String> {
    let words: Vec<Word> = words(text).collect();
    // Of each word that was found: its index, and to which phrase it belongs.
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (phrase_index, phrase) in query.wanted.iter().enumerate() {
        for at in phrase.places(&words) {
            found.extend((at..at + phrase.words.len()).map(|word| (word, phrase_index)));
        }
    }
    found.sort_unstable();
    found.dedup();
    let (begin, end) = best(text, &words, &found)?;
    let mut shown = String::new();
    let mut at = begin;
    for (word, _) in &found {
        let word = &words[*word];
        if word.begin < at || word.end > end {
            continue;
        }
        shown.push_str(&text[at..word.begin]);
        shown.push('[');
        shown.push_str(&text[word.begin..word.end]);
        shown.push(']');
        at = word.end;
    }
    shown.push_str(&text[at..end]);
    let cut = |outside: &str| if outside.trim().is_empty() { "" } else { "…" };
    Some(format!(
        "{}{}{}",
        cut(&text[..begin]),
        plain(&shown),
        cut(&text[end..])
    ))
}

/// Where the part begins and ends that has most phrases, and of those most words.
fn best(text: &str, words: &[Word], found: &[(usize, usize)]) -> Option<(usize, usize)> {
    let mut best = None;
    for (index, (first, _)) in found.iter().enumerate() {
        let (begin, end) = around(text, words, *first);
        let inside: Vec<usize> = found[index..]
            .iter()
            .take_while(|(word, _)| words[*word].end <= end)
            .map(|(_, phrase)| *phrase)
            .collect();
        let mut phrases = inside.clone();
        phrases.sort_unstable();
        phrases.dedup();
        let worth = (phrases.len(), inside.len());
        if best.is_none_or(|(most, _)| worth > most) {
            best = Some((worth, (begin, end)));
        }
    }
    best.map(|(_, place)| place)
}

/// The part around a word: whole words, some before it.
fn around(text: &str, words: &[Word], first: usize) -> (usize, usize) {
    if text.chars().nth(SNIPPET).is_none() {
        return (0, text.len());
    }
    let from = back(text, words[first].begin, BEFORE);
    let begin = words[..=first]
        .iter()
        .rev()
        .take_while(|word| word.begin >= from)
        .last()
        .map_or(words[first].begin, |word| word.begin);
    let begin = if from == 0 { 0 } else { begin };
    let limit = text[begin..]
        .char_indices()
        .nth(SNIPPET)
        .map_or(text.len(), |(at, _)| begin + at);
    if limit == text.len() {
        return (begin, limit);
    }
    let end = words[first..]
        .iter()
        .take_while(|word| word.end <= limit)
        .last()
        // A word longer than a snippet.
        .map_or(words[first].end, |word| word.end);
    (begin, end)
}

/// The byte that is so many characters before another.
fn back(text: &str, from: usize, characters: usize) -> usize {
    text[..from]
        .char_indices()
        .rev()
        .take(characters)
        .last()
        .map_or(from, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, terms: &[&str]) -> String {
        let query = Query::new(terms).unwrap();
        snippet(text, &query).unwrap_or_default()
    }

    #[test]
    fn short_texts_are_shown_whole() {
        assert_eq!(
            shown("Buy Milk\nand bread", &["milk", "bread"]),
            "Buy [Milk] and [bread]"
        );
        assert_eq!(shown("to be or not", &["to be"]), "[to] [be] or not");
        assert_eq!(shown("a\u{1b}[31m b", &["b"]), "a [31m [b]");
        assert_eq!(shown("words", &["#tag"]), "");
    }

    #[test]
    fn long_texts_are_cut_where_most_was_found() {
        let filler = "lorem ipsum dolor sit amet ".repeat(8);
        let text = format!("milk {filler}fresh milk with bread {filler}");
        assert_eq!(
            shown(&text, &["milk", "bread"]),
            "…sit amet fresh [milk] with [bread] lorem ipsum dolor sit amet lorem ipsum…"
        );
        let ends = format!("{filler}milk");
        assert_eq!(shown(&ends, &["milk"]), "…dolor sit amet [milk]");
    }

    #[test]
    fn long_words_and_wide_characters() {
        let long = "x".repeat(500);
        assert_eq!(
            shown(&format!("a {long} b"), &["x*"]),
            format!("a [{long}]…")
        );
        let text = "東京".repeat(100);
        assert!(shown(&text, &["京"]).starts_with("東[京]東[京]"));
    }
}
