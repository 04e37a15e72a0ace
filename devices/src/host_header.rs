//! Headers that a host adds for an origin: an agent uses a key that it never sees.

use crate::grant::{GrantError, Term};
use crate::message::{is_field_name, is_field_value, is_forbidden_header};
use crate::origin::{Origin, OriginPattern};

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
    /// [`GrantError::Value`], which does not repeat the value: it may be a secret.
    pub fn from_term(term: &Term, schemes: &[&str]) -> Result<HostHeader, GrantError> {
        let header = || {
            let (origin, header) = term.value.split_once(' ')?;
            let (name, value) = header.split_once(':')?;
            let (name, value) = (name.trim(), value.trim());
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
        let hidden = Term {
            key: term.key.clone(),
            value: "***".to_owned(),
        };
        let header = header().ok_or_else(|| hidden.expected("expected ORIGIN NAME: VALUE"))?;
        match is_forbidden_header(&header.name) && header.name != "cookie" {
            true => Err(hidden.expected(format!("`{}` is the host's own", header.name))),
            false => Ok(header),
        }
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
