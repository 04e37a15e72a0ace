//! The index as a file: a line that names the format, notes, words, and a checksum. Numbers are LEB128; words are
//! sorted, and each says how much it begins as the one before.

use std::collections::{BTreeMap, BTreeSet};

use crate::index::{Entry, Index, Posting};
use crate::store::Stamp;

/// Another number is another format, and the index is made anew.
const FORMAT: &[u8] = b"index of notes, 1\n";

/// Bytes of the checksum at the end.
const CHECKSUM: usize = 8;

/// The file's bytes.
pub fn encode(index: &Index) -> Vec<u8> {
    let mut out = FORMAT.to_vec();
    number(&mut out, index.notes.len() as u64);
    let mut before = 0;
    for (note, entry) in &index.notes {
        number(&mut out, u64::from(note - before));
        before = *note;
        number(&mut out, entry.stamp.size);
        number(&mut out, entry.stamp.changed);
        number(&mut out, u64::from(entry.length));
        text(&mut out, &entry.title);
        text(&mut out, &entry.changed);
        number(&mut out, entry.tags.len() as u64);
        entry.tags.iter().for_each(|tag| text(&mut out, tag));
    }
    number(&mut out, index.words.len() as u64);
    let mut before = "";
    for (word, postings) in &index.words {
        let pairs = before.char_indices().zip(word.chars());
        let differs = pairs.take_while(|((_, one), other)| one == other).last();
        let shared = differs.map_or(0, |((at, c), _)| at + c.len_utf8());
        number(&mut out, shared as u64);
        text(&mut out, &word[shared..]);
        before = word;
        number(&mut out, postings.len() as u64);
        let mut note = 0;
        for posting in postings {
            number(&mut out, u64::from(posting.note - note));
            number(&mut out, u64::from(posting.count));
            note = posting.note;
        }
    }
    let sum = checksum(&out);
    out.extend(sum);
    out
}

/// The index in a file's bytes; none where they are not what [`encode`] made.
pub fn decode(bytes: &[u8]) -> Option<Index> {
    let (contents, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    if checksum(contents) != sum {
        return None;
    }
    let mut from = Reader(contents.strip_prefix(FORMAT)?);
    let mut index = Index::default();
    let mut note: u32 = 0;
    for _ in 0..from.number()? {
        note = note.checked_add(from.small()?)?;
        let stamp = Stamp {
            size: from.number()?,
            changed: from.number()?,
        };
        let length = from.small()?;
        let (title, changed) = (from.text()?, from.text()?);
        let tags = (0..from.number()?)
            .map(|_| from.text())
            .collect::<Option<BTreeSet<_>>>()?;
        let entry = Entry {
            stamp,
            length,
            title,
            changed,
            tags,
        };
        index.notes.insert(note, entry);
    }
    index.words = from.words()?;
    from.0.is_empty().then_some(index)
}

/// What is left to be read. Everything in it may be wrong.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.number()?.try_into().ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn words(&mut self) -> Option<BTreeMap<String, Vec<Posting>>> {
        let mut words = BTreeMap::new();
        let mut before = String::new();
        for _ in 0..self.number()? {
            let shared: usize = self.number()?.try_into().ok()?;
            let word = before.get(..shared)?.to_owned() + &self.text()?;
            let mut note: u32 = 0;
            let mut postings = Vec::new();
            for _ in 0..self.number()? {
                note = note.checked_add(self.small()?)?;
                let count = self.small()?;
                postings.push(Posting { note, count });
            }
            before.clone_from(&word);
            words.insert(word, postings);
        }
        Some(words)
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u64);
    out.extend(text.as_bytes());
}

/// FNV-1a ([the authors' page](http://www.isthe.com/chongo/tech/comp/fnv/)): against accidents, which is all that can befall a file of
/// one's own.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    sum.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        for (note, tag) in [(3, "home"), (400_000, "ärzte")] {
            let entry = Entry {
                stamp: Stamp {
                    size: 1 << 40,
                    changed: u64::MAX,
                },
                length: 7,
                title: "A title".to_owned(),
                changed: String::new(),
                tags: BTreeSet::from([tag.to_owned()]),
            };
            index.notes.insert(note, entry);
        }
        for word in ["garden", "gardener", "gärten", "gätter"] {
            let postings = [(3, 1), (400_000, 300)];
            let postings = postings.map(|(note, count)| Posting { note, count });
            index.words.insert(word.to_owned(), postings.to_vec());
        }
        index
    }

    #[test]
    fn round_trip() {
        assert_eq!(decode(&encode(&index())), Some(index()));
        assert_eq!(decode(&encode(&Index::default())), Some(Index::default()));
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = encode(&index());
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length} bytes");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert_eq!(decode(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn nonsense_with_a_checksum_is_refused() {
        let length = encode(&index()).len() - CHECKSUM;
        for at in FORMAT.len()..length {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut damaged = encode(&index())[..length].to_vec();
                damaged[at] = value;
                let sum = checksum(&damaged);
                damaged.extend(sum);
                // It may be another index, but it never panics and never takes memory that its file does not account for.
                let _ = decode(&damaged);
            }
        }
    }
}
