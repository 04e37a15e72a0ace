//! Headers that a host adds for an origin: an agent uses a key that no file of its shows it. What the server repeats of it is an answer
//! like any other.

use crate::grant::{GrantError, Term};
use crate::message::{is_field_name, is_field_value, is_forbidden_header, trimmed};
use crate::origin::{Origin, OriginPattern};

/// What is public of `ORIGIN NAME: VALUE`, whose value may be a secret. A colon in the origin comes earlier.
pub(crate) fn public(value: &str) -> Option<String> {
    let (origin, header) = value.split_once(' ')?;
    let (name, _) = header.split_once(':')?;
    Some(format!("{origin} {name}: ***"))
}

/// Where the value of a header is that is in no term itself: `ORIGIN NAME: PREFIX@PLACE`, such as
/// `https://api.example Authorization: Bearer @/run/secrets/token`. PREFIX is put in front of what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderSource<'a> {
    /// `ORIGIN NAME: PREFIX`.
    pub head: &'a str,
    /// A path, or the name of a variable.
    pub place: &'a str,
}

impl<'a> HeaderSource<'a> {
    /// Terms of this kind.
    pub const KEYS: [&'static str; 2] = ["header-file", "header-env"];

    /// Reads a term, if it is of this kind and as it should be.
    pub fn of(term: &'a Term) -> Option<HeaderSource<'a>> {
        let header = HeaderSource::KEYS.contains(&&*term.key);
        let (head, place) = term.value.split_once('@')?;
        (header && !place.is_empty()).then_some(HeaderSource { head, place })
    }

    /// The term for the header itself.
    pub fn with(&self, value: &str) -> Term {
        Term {
            key: "header".to_owned(),
            value: format!("{}{value}", self.head),
        }
    }

    /// That a term can be understood; which origins its header is for.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn check(term: &Term, schemes: &[&str]) -> Result<OriginPattern, GrantError> {
        // Whatever is there: its place is a header's.
        let header = HeaderSource::of(term).map(|source| source.with("x"));
        let what = match &*term.key {
            "header-env" => "VARIABLE",
            _ => "FILE",
        };
        let expected = || {
            term.expected(format!(
                "expected ORIGIN NAME: @{what}, and maybe a prefix before the @"
            ))
        };
        match HostHeader::from_term(&header.ok_or_else(expected)?, schemes) {
            Ok(header) => Ok(header.origin),
            Err(GrantError::Value { expected: own, .. }) if own.starts_with('`') => {
                Err(term.expected(own))
            }
            Err(_) => Err(expected()),
        }
    }
}

/// A header that the host adds to requests for an origin.
pub struct HostHeader {
    origin: OriginPattern,
    name: String,
    value: String,
}

impl HostHeader {
    /// Reads the value of a term: `ORIGIN NAME: VALUE`.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn from_term(term: &Term, schemes: &[&str]) -> Result<HostHeader, GrantError> {
        let header = || {
            let (origin, header) = term.value.split_once(' ')?;
            let (name, value) = header.split_once(':')?;
            let (name, value) = (trimmed(name), trimmed(value));
            let origin = Term {
                key: term.key.clone(),
                value: origin.to_owned(),
            };
            let origin = OriginPattern::from_term(&origin, schemes).ok()?;
            (is_field_name(name) && is_field_value(value)).then(|| HostHeader {
                origin,
                name: name.to_ascii_lowercase(),
                value: value.to_owned(),
            })
        };
        let header = header().ok_or_else(|| term.expected("expected ORIGIN NAME: VALUE"))?;
        match is_forbidden_header(&header.name) && header.name != "cookie" {
            true => Err(term.expected(format!("`{}` is the host's own", header.name))),
            false => Ok(header),
        }
    }

    /// Which origins it is for.
    pub fn origin(&self) -> &OriginPattern {
        &self.origin
    }

    /// Whether it is for an origin.
    pub fn is_for(&self, origin: &Origin) -> bool {
        self.origin.matches(origin)
    }

    /// Its name, in lower case, and its value.
    pub fn pair(&self) -> (String, String) {
        (self.name.clone(), self.value.clone())
    }

    /// What `policy` says of it.
    pub fn text(&self) -> String {
        format!("{} {}: ***", self.origin, self.name)
    }
}
