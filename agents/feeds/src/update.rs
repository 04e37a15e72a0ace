//! Asks a server for a feed, and only for what has changed ([RFC 9110, section 13](https://www.rfc-editor.org/rfc/rfc9110#section-13)).

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;

use cap::{Conversation, Failure, Result, Said};

use crate::parse::parse;
use crate::store::Subscription;

/// Where requests are made.
const FETCH: &str = "/cap/fetch";

/// Bytes of a feed, at most.
const DOCUMENT_MAX: u64 = 8 << 20;

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server says that nothing changed.
    Unchanged,
    /// The feed was taken.
    Taken {
        /// Entries that were not there before.
        new: usize,
        /// All that it has.
        entries: usize,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Unchanged => f.write_str("unchanged"),
            Outcome::Taken { new, entries } => write!(f, "{new} new of {entries}"),
        }
    }
}

/// What to ask by for changes: a header of one line, whatever the server has sent, for what is kept is sent again.
fn validator(question: &str, value: &str) -> Option<String> {
    let value = value.trim();
    let one_line = !value.is_empty() && !value.contains(char::is_control);
    one_line.then(|| format!("{question}: {value}"))
}

/// Fetches a feed and keeps it, if it changed and can be understood; otherwise what is kept stays.
///
/// # Errors
/// What the network, the grant or the server says; a feed that isn't one.
pub fn update(feed: &Subscription) -> Result<Outcome> {
    let mut request = Conversation::open(FETCH)?;
    let mut ask = |line: &str| request.command(line);
    ask(&format!("url {}", feed.url))?;
    ask("header accept: application/rss+xml, application/atom+xml, application/xml, text/xml")?;
    for validator in feed.validators() {
        ask(&format!("header {validator}"))?;
    }
    let mut document = Vec::new();
    let body = request.open_file("body")?;
    let read = body.take(DOCUMENT_MAX + 1).read_to_end(&mut document);
    request.explained(read.said(&feed.url))?;
    let status = request.text("status")?;
    match status.split(' ').next() {
        Some("304") => return Ok(Outcome::Unchanged),
        Some("200") => {}
        _ => return Err(Failure::new(&feed.url, format!("the server says {status}"))),
    }
    if document.len() as u64 > DOCUMENT_MAX {
        return Err(Failure::new(
            &feed.url,
            format!("it has more than {DOCUMENT_MAX} bytes"),
        ));
    }
    let content = parse(&document).map_err(|words| Failure::new(&feed.url, words))?;
    let before: BTreeSet<String> = match feed.content() {
        Ok(old) => old.entries.into_iter().map(|entry| entry.id).collect(),
        Err(_) => BTreeSet::new(),
    };
    let mut validators = Vec::new();
    for (header, question) in [
        ("etag", "if-none-match"),
        ("last-modified", "if-modified-since"),
    ] {
        // A header that the server did not send is no file.
        if let Ok(value) = std::fs::read_to_string(request.path(&format!("headers/{header}"))) {
            validators.extend(validator(question, &value));
        }
    }
    feed.keep(&document, &validators)?;
    let new = content
        .entries
        .iter()
        .filter(|entry| !before.contains(&entry.id))
        .count();
    Ok(Outcome::Taken {
        new,
        entries: content.entries.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::validator;

    #[test]
    fn a_validator_is_one_header() {
        assert_eq!(
            validator("if-none-match", "W/\"1\"\n").as_deref(),
            Some("if-none-match: W/\"1\"")
        );
        for bad in ["", "\n", "\"a\"\nx-forwarded-user: admin", "a\rb", "a\u{0}"] {
            assert_eq!(validator("if-none-match", bad), None, "{bad:?}");
        }
    }
}
