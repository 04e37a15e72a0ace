//! Which servers may be spoken to: patterns for origins.
//!
//! A pattern is `SCHEME://HOST[:PORT]`, or `*` for every origin. HOST is a name, an address (IPv6 in brackets), `*`, or
//! `*.NAME` for every name below NAME, but not NAME itself. PORT is a number or `*`; left out, it is the
//! scheme's own. Compared with an origin as browsers have it (scheme, host, port:
//! [RFC 6454](https://www.rfc-editor.org/rfc/rfc6454)), whose host is lower-case and in ASCII.
//!
//! A pattern says nothing of where a name leads: a host that can tell refuses addresses that are not public
//! (`fetch` natively), unless the pattern names the address itself, or `localhost`.

use crate::grant::{GrantError, Term};

/// An origin, in the normal form of the URL standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `http`, `https`, `ws` or `wss`.
    pub scheme: String,
    /// Lower-case, in ASCII; an IPv6 address in brackets.
    pub host: String,
    /// The port, given or the scheme's own.
    pub port: u16,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match default_port(&self.scheme) == Some(self.port) {
            true => Ok(()),
            false => write!(f, ":{}", self.port),
        }
    }
}

/// The port that a scheme has where none is given.
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    Below(String),
    Exactly(String),
}

/// A pattern for origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    text: String,
    /// `None` is every scheme.
    scheme: Option<String>,
    host: HostPattern,
    /// `None` is every port.
    port: Option<u16>,
}

impl OriginPattern {
    /// Reads the value of a term; `schemes` are those that the device speaks.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn from_term(term: &Term, schemes: &[&str]) -> Result<OriginPattern, GrantError> {
        OriginPattern::parse(&term.value, schemes).ok_or_else(|| {
            term.expected(format!(
                "expected * or SCHEME://HOST[:PORT] ({}), where HOST may be *.NAME, and PORT *",
                schemes.join(", ")
            ))
        })
    }

    fn parse(text: &str, schemes: &[&str]) -> Option<OriginPattern> {
        let text = text.trim_end_matches('/').to_ascii_lowercase();
        if text == "*" {
            return Some(OriginPattern {
                text,
                scheme: None,
                host: HostPattern::Any,
                port: None,
            });
        }
        let (scheme, rest) = text.split_once("://")?;
        schemes.contains(&scheme).then_some(())?;
        let (host, port) = match rest.rsplit_once(':') {
            // The colons inside of an IPv6 address are not before a port.
            Some((host, port)) if !port.contains(']') => match port {
                "*" => (host, None),
                port => (host, Some(port.parse().ok()?)),
            },
            _ => (rest, Some(default_port(scheme)?)),
        };
        let plain = |name: &str| {
            let bracketed = name
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'));
            match bracketed {
                Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
                None => {
                    !name.is_empty()
                        && name
                            .chars()
                            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
                }
            }
        };
        let host = match host.strip_prefix("*.") {
            _ if host == "*" => HostPattern::Any,
            Some(name) => plain(name).then(|| HostPattern::Below(name.to_owned()))?,
            None => plain(host).then(|| HostPattern::Exactly(host.to_owned()))?,
        };
        Some(OriginPattern {
            scheme: Some(scheme.to_owned()),
            host,
            port,
            text,
        })
    }

    /// Whether an origin is meant.
    pub fn matches(&self, origin: &Origin) -> bool {
        let host = match &self.host {
            HostPattern::Any => true,
            HostPattern::Exactly(host) => *host == origin.host,
            HostPattern::Below(name) => origin
                .host
                .strip_suffix(name.as_str())
                .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        };
        host && self
            .scheme
            .as_ref()
            .is_none_or(|scheme| *scheme == origin.scheme)
            && self.port.is_none_or(|port| port == origin.port)
    }

    /// Whether the pattern names this very host, not by a wildcard: only then may it be one that is not public.
    pub fn names_host(&self, host: &str) -> bool {
        matches!(&self.host, HostPattern::Exactly(own) if own == host)
    }
}

impl std::fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: &[&str] = &["http", "https"];

    fn origin(scheme: &str, host: &str, port: u16) -> Origin {
        Origin {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port,
        }
    }

    fn matches(pattern: &str, scheme: &str, host: &str, port: u16) -> bool {
        let pattern = OriginPattern::parse(pattern, HTTP).unwrap();
        pattern.matches(&origin(scheme, host, port))
    }

    #[test]
    fn exact_origins() {
        assert!(matches("https://a.example", "https", "a.example", 443));
        assert!(matches("https://A.Example/", "https", "a.example", 443));
        assert!(!matches("https://a.example", "http", "a.example", 443));
        assert!(!matches("https://a.example", "https", "a.example", 444));
        assert!(!matches("https://a.example", "https", "b.a.example", 443));
        assert!(matches("http://[::1]:8080", "http", "[::1]", 8080));
        assert!(matches("http://[::1]", "http", "[::1]", 80));
    }

    #[test]
    fn wildcards() {
        assert!(matches("*", "http", "anything", 1));
        assert!(matches("https://*.a.example", "https", "b.a.example", 443));
        assert!(matches(
            "https://*.a.example",
            "https",
            "c.b.a.example",
            443
        ));
        assert!(!matches("https://*.a.example", "https", "a.example", 443));
        assert!(!matches("https://*.a.example", "https", ".a.example", 443));
        assert!(!matches("https://*.a.example", "https", "xa.example", 443));
        assert!(matches("http://a.example:*", "http", "a.example", 8080));
        assert!(matches("https://*", "https", "x", 443));
        assert!(!matches("https://*", "https", "x", 8443));
    }

    #[test]
    fn what_is_no_pattern() {
        for bad in [
            "",
            "a.example",
            "ftp://a",
            "https://",
            "https://*.",
            "https://a*b",
            "https://a/b",
            "https://u@a",
            "https://a:",
            "https://a:99999",
            "https://[::1",
            "https://[x]",
            "https://*.*.a",
        ] {
            assert_eq!(OriginPattern::parse(bad, HTTP), None, "{bad}");
        }
    }

    #[test]
    fn naming_a_host_is_not_matching_it() {
        let pattern = |text| OriginPattern::parse(text, HTTP).unwrap();
        assert!(pattern("http://127.0.0.1:8080").names_host("127.0.0.1"));
        assert!(!pattern("http://*:8080").names_host("127.0.0.1"));
        assert!(!pattern("*").names_host("localhost"));
    }
}
