//! What is searched for: words, beginnings of words, phrases, tags, and what must not be there.

use cap::{Failure, Result, plain};

use crate::note::tag_name;
use crate::words::{Word, words};

/// Terms of a query, at most.
const TERMS_MAX: usize = 64;

/// Words in this order, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// The words, folded; never empty.
    pub words: Vec<String>,
    /// Whether the last one is a beginning.
    pub prefix: bool,
}

/// A query. A note must have everything that is wanted and nothing that is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What must be in the text.
    pub wanted: Vec<Phrase>,
    /// What must not be in it.
    pub unwanted: Vec<Phrase>,
    /// Tags that it must have.
    pub tags: Vec<String>,
    /// Tags that it must not have.
    pub unwanted_tags: Vec<String>,
}

impl Query {
    /// A query from the terms that were typed.
    ///
    /// # Errors
    /// A term without a word; nothing that is wanted; too many terms.
    pub fn new(terms: &[&str]) -> Result<Query> {
        if terms.len() > TERMS_MAX {
            return Err(Failure::new(
                "search",
                format!("it has more than {TERMS_MAX} terms"),
            ));
        }
        let mut query = Query::default();
        for term in terms {
            let (not, what) = match term.strip_prefix('-') {
                Some(what) => (true, what),
                None => (false, *term),
            };
            if what.starts_with('#') {
                let tags = if not {
                    &mut query.unwanted_tags
                } else {
                    &mut query.tags
                };
                tags.push(tag_name(what)?);
            } else {
                let phrases = if not {
                    &mut query.unwanted
                } else {
                    &mut query.wanted
                };
                phrases.push(Phrase::new(what)?);
            }
        }
        if query.wanted.is_empty() && query.tags.is_empty() {
            return Err(Failure::new(
                "search",
                "expected a word or a #tag to look for",
            ));
        }
        Ok(query)
    }
}

impl Phrase {
    /// A phrase as it was typed: `garden`, `gard*`, `"a phrase"`.
    fn new(typed: &str) -> Result<Phrase> {
        let (text, prefix) = match typed.strip_suffix('*') {
            Some(text) => (text, true),
            None => (typed, false),
        };
        let words: Vec<String> = words(text).map(|word| word.folded).collect();
        if words.is_empty() {
            return Err(Failure::new(plain(typed), "there is no word in it"));
        }
        Ok(Phrase { words, prefix })
    }

    /// Whether a word is the phrase's word of this index.
    fn matches(&self, index: usize, word: &Word) -> bool {
        let wanted = &self.words[index];
        if self.prefix && index + 1 == self.words.len() {
            word.folded.starts_with(wanted.as_str())
        } else {
            word.folded == *wanted
        }
    }

    /// Where the phrase is among the words of a text: the index of the first word of each time that it is there.
    pub fn places<'a>(&'a self, text: &'a [Word]) -> impl Iterator<Item = usize> + 'a {
        let places = text.windows(self.words.len()).enumerate();
        places
            .filter(|(_, place)| {
                let mut pairs = place.iter().enumerate();
                pairs.all(|(index, word)| self.matches(index, word))
            })
            .map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(typed: &str) -> Phrase {
        Phrase::new(typed).unwrap()
    }

    #[test]
    fn terms() {
        let query = Query::new(&["Über", "gard*", "a phrase", "-not", "#Home", "-#Work"]).unwrap();
        assert_eq!(query.wanted[0].words, ["uber"]);
        assert!(query.wanted[1].prefix);
        assert_eq!(query.wanted[2].words, ["a", "phrase"]);
        assert_eq!(query.unwanted[0].words, ["not"]);
        assert_eq!(
            (&query.tags[0], &query.unwanted_tags[0]),
            (&"home".to_owned(), &"work".to_owned())
        );
    }

    #[test]
    fn what_is_no_query() {
        for bad in [&[][..], &["-a"], &["…"], &["*"], &["#"], &["-"], &["a"; 65]] {
            assert!(Query::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn places_of_phrases() {
        let text: Vec<Word> = words("to be or not to become").collect();
        let places = |typed| phrase(typed).places(&text).collect::<Vec<_>>();
        assert_eq!(places("to be"), [0]);
        assert_eq!(places("to be*"), [0, 4]);
        assert_eq!(places("or"), [2]);
        assert_eq!(places("become to"), [0; 0]);
        assert_eq!(places("to be or not to become or"), [0; 0]);
    }
}
