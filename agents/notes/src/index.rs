//! The index: which words are in which notes. It is derived from the notes' files and never trusted over them: before it is used,
//! what has changed since it was written is read again, by size and time of change as make(1) does; a damaged one is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};

use cap::Result;

use crate::index_file;
use crate::note::Note;
use crate::store::{Stamp, Store};
use crate::words::words;

/// The index's file, beside the notes.
const NAME: &str = "index";

/// Bytes of an index, at most; a larger file is none.
const INDEX_MAX: u64 = 256 << 20;

/// How much more a word in the title counts than one below it.
const TITLE_WEIGHT: u32 = 3;

/// What is known of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its file when it was read.
    pub stamp: Stamp,
    /// Its words, weighted.
    pub length: u32,
    /// Its title.
    pub title: String,
    /// When it was changed last, as it says itself.
    pub changed: String,
    /// Its tags.
    pub tags: BTreeSet<String>,
}

/// How often a word is in a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The note's number.
    pub note: u32,
    /// How often, weighted.
    pub count: u32,
}

/// The index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// All notes.
    pub notes: BTreeMap<u32, Entry>,
    /// All words, each with the notes that have it, by number.
    pub words: BTreeMap<String, Vec<Posting>>,
}

impl Index {
    /// The index of the notes as they are. It is kept where something has changed.
    ///
    /// # Errors
    /// What reading the notes says. That it can't be kept is told, and does no harm.
    pub fn of(store: &Store) -> Result<Index> {
        let (mut index, written) = kept(store).unwrap_or_default();
        if index.update(store, written)? {
            keep(store, &index);
        }
        Ok(index)
    }

    /// Reads what has changed since the index was written; whether anything had. What changed at that very time, as far as the clock
    /// can tell, may have changed behind it.
    fn update(&mut self, store: &Store, written: u64) -> Result<bool> {
        let stamps = store.stamps()?;
        let current = |number: &u32, entry: &Entry| {
            stamps.get(number) == Some(&entry.stamp) && entry.stamp.changed < written
        };
        let stale: BTreeSet<u32> = self
            .notes
            .iter()
            .filter(|(number, entry)| !current(number, entry))
            .map(|(number, _)| *number)
            .collect();
        self.forget(&stale);
        let missing: Vec<_> = stamps
            .iter()
            .filter(|(number, _)| !self.notes.contains_key(number))
            .collect();
        let changed = !stale.is_empty() || !missing.is_empty();
        for (number, stamp) in missing {
            match store.shown(*number) {
                Ok(note) => self.learn(*number, *stamp, &note),
                // Removed meanwhile.
                Err(failure) if failure.error.raw_os_error().is_none() => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(changed)
    }

    fn forget(&mut self, notes: &BTreeSet<u32>) {
        if notes.is_empty() {
            return;
        }
        self.notes.retain(|number, _| !notes.contains(number));
        self.words.retain(|_, postings| {
            postings.retain(|posting| !notes.contains(&posting.note));
            !postings.is_empty()
        });
    }

    fn learn(&mut self, number: u32, stamp: Stamp, note: &Note) {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let lead = note.text.len() - note.text.trim_start().len();
        let title_end = note.text[lead..].find('\n');
        let title_end = title_end.map_or(note.text.len(), |end| lead + end);
        for word in words(&note.text) {
            let weight = if word.begin < title_end {
                TITLE_WEIGHT
            } else {
                1
            };
            *counts.entry(word.folded).or_default() += weight;
        }
        let entry = Entry {
            stamp,
            length: counts.values().sum(),
            title: note.title(),
            changed: note.changed.clone(),
            tags: note.tags.clone(),
        };
        self.notes.insert(number, entry);
        for (word, count) in counts {
            let postings = self.words.entry(word).or_default();
            let at = postings.partition_point(|posting| posting.note < number);
            let posting = Posting {
                note: number,
                count,
            };
            postings.insert(at, posting);
        }
    }
}

/// The index that was kept, and when, in nanoseconds since 1970.
fn kept(store: &Store) -> Option<(Index, u64)> {
    let written = store.stamp(NAME)?.changed;
    let mut bytes = Vec::new();
    let file = File::open(store.beside(NAME)).ok()?;
    file.take(INDEX_MAX).read_to_end(&mut bytes).ok()?;
    Some((index_file::decode(&bytes)?, written))
}

fn keep(store: &Store, index: &Index) {
    if index.notes.is_empty() {
        // Nobody needs it, and there may not even be a folder.
        let _ = fs::remove_file(store.beside(NAME));
    } else if let Err(failure) = store.write(NAME, &index_file::encode(index))
        && !is_read_only(&failure.error)
    {
        eprintln!("the index was not kept: {failure}");
    }
}

/// Whether a folder was granted to be read alone.
fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
    ) || cap::errno::name(error) == Some("ENOTCAPABLE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(texts: &[&str]) -> Index {
        let mut index = Index::default();
        for (number, text) in (1..).zip(texts) {
            let stamp = Stamp {
                size: 0,
                changed: 0,
            };
            let note = Note {
                text: (*text).to_owned(),
                ..Note::default()
            };
            index.learn(number, stamp, &note);
        }
        index
    }

    #[test]
    fn words_of_the_title_count_more() {
        let index = index(&["\nMilk and bread\nmilk", "bread"]);
        let counts = |word: &str| -> Vec<_> {
            let postings = index.words[word].iter();
            postings
                .map(|posting| (posting.note, posting.count))
                .collect()
        };
        assert_eq!(counts("milk"), [(1, 4)]);
        assert_eq!(counts("bread"), [(1, 3), (2, 3)]);
        assert_eq!(index.notes[&1].length, 10);
    }

    #[test]
    fn what_is_forgotten_is_gone() {
        let mut three = index(&["a b", "b c", "c d"]);
        three.forget(&BTreeSet::from([2, 3]));
        assert_eq!(three, index(&["a b"]));
    }
}
