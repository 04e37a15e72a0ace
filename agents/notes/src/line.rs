//! A line of words: `'…'` and `"…"` hold blanks together, `\` takes the meaning from the character behind it.

/// The words of a line.
///
/// # Errors
/// A sentence: what is not closed.
pub fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    // `Some` within a word, which may be empty: ''.
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            (c, Some(end)) if c == end => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            // An apostrophe within a word is one.
            ('"', None) | ('\'', None) if c == '"' || word.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None) => match characters.next() {
                Some(literal) => word.get_or_insert_default().push(literal),
                None => return Err("there is nothing behind the \\"),
            },
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(
            split(" add  don't 'a  b' \"\" c\\ d").unwrap(),
            ["add", "don't", "a  b", "", "c d"]
        );
        assert_eq!(split("").unwrap(), [""; 0]);
        assert!(split("'a").is_err());
        assert!(split("a\\").is_err());
    }
}
