//! Finds notes by a query and puts the best first, by [BM25](https://en.wikipedia.org/wiki/Okapi_BM25).

use std::collections::BTreeMap;

use cap::Result;

use crate::index::{Index, Posting};
use crate::query::{Phrase, Query};
use crate::store::Store;
use crate::words::{Word, words};

/// How soon further occurrences of a word count for less.
const SATURATION: f64 = 1.2;

/// How much a long note counts for less.
const LENGTH: f64 = 0.75;

/// What notes have in common with a part of the query: their scores, by number.
type Scores = BTreeMap<u32, f64>;

/// The numbers of the notes that a query finds, the best first; of equal ones, the newest.
///
/// # Errors
/// What reading the notes says.
pub fn search(store: &Store, index: &Index, query: &Query) -> Result<Vec<u32>> {
    let mut found: Scores = index
        .notes
        .iter()
        .filter(|(_, entry)| {
            query.tags.iter().all(|tag| entry.tags.contains(tag))
                && !query
                    .unwanted_tags
                    .iter()
                    .any(|tag| entry.tags.contains(tag))
        })
        .map(|(number, _)| (*number, 0.0))
        .collect();
    for phrase in &query.wanted {
        found = both(&found, &scores(index, phrase));
    }
    // The index knows which words a note has, not in which order.
    let in_order = |phrase: &&Phrase| phrase.words.len() > 1;
    let wanted: Vec<_> = query.wanted.iter().filter(in_order).collect();
    let unwanted: Vec<_> = query.unwanted.iter().filter(in_order).collect();
    for phrase in query.unwanted.iter().filter(|phrase| !in_order(phrase)) {
        let without = scores(index, phrase);
        found.retain(|number, _| !without.contains_key(number));
    }
    if !wanted.is_empty() || !unwanted.is_empty() {
        let mut kept = Scores::new();
        for (number, score) in found {
            let note = match store.shown(number) {
                Ok(note) => note,
                // Removed meanwhile.
                Err(failure) if failure.error.raw_os_error().is_none() => continue,
                Err(failure) => return Err(failure),
            };
            let text: Vec<Word> = words(&note.text).collect();
            let has = |phrase: &&Phrase| phrase.places(&text).next().is_some();
            if wanted.iter().all(has) && !unwanted.iter().any(has) {
                kept.insert(number, score);
            }
        }
        found = kept;
    }
    let mut ranked: Vec<(u32, f64)> = found.into_iter().collect();
    ranked.sort_by(|(one, worse), (other, better)| better.total_cmp(worse).then(other.cmp(one)));
    Ok(ranked.into_iter().map(|(number, _)| number).collect())
}

/// The notes that have all words of a phrase.
fn scores(index: &Index, phrase: &Phrase) -> Scores {
    let last = phrase.words.len() - 1;
    let words = phrase.words.iter().enumerate();
    words
        .map(|(at, word)| score(index, &counts(index, word, phrase.prefix && at == last)))
        .reduce(|one, other| both(&one, &other))
        .unwrap_or_default()
}

/// How often each note has a word, or a word that begins so.
fn counts(index: &Index, word: &str, prefix: bool) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    let mut add = |postings: &[Posting]| {
        for posting in postings {
            *counts.entry(posting.note).or_default() += posting.count;
        }
    };
    if prefix {
        let from = index.words.range(word.to_owned()..);
        for (_, postings) in from.take_while(|(other, _)| other.starts_with(word)) {
            add(postings);
        }
    } else if let Some(postings) = index.words.get(word) {
        add(postings);
    }
    counts
}

/// How well notes fit a word that they have so often.
fn score(index: &Index, counts: &BTreeMap<u32, u32>) -> Scores {
    let (all, having) = (index.notes.len() as f64, counts.len() as f64);
    let rarity = (1.0 + (all - having + 0.5) / (having + 0.5)).ln();
    let lengths = index.notes.values().map(|entry| f64::from(entry.length));
    let usual = (lengths.sum::<f64>() / all).max(1.0);
    counts
        .iter()
        .filter_map(|(number, count)| {
            let length = f64::from(index.notes.get(number)?.length);
            let count = f64::from(*count);
            let damping = SATURATION * (1.0 - LENGTH + LENGTH * length / usual);
            let score = rarity * count * (SATURATION + 1.0) / (count + damping);
            Some((*number, score))
        })
        .collect()
}

/// The notes that are in both, with the sums of their scores.
fn both(one: &Scores, other: &Scores) -> Scores {
    one.iter()
        .filter_map(|(number, score)| Some((*number, score + other.get(number)?)))
        .collect()
}
