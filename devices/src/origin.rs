//! Which servers may be spoken to: patterns for origins.
//!
//! A pattern is `SCHEME://HOST[:PORT]`, or `*` for every origin. HOST is a name, an address (IPv6 in brackets), `*`, or
//! `*.NAME` for every name below NAME, but not NAME itself. PORT is a number or `*`; left out, it is the
//! scheme's own. Compared with an origin as browsers have it (scheme, host, port:
//! [RFC 6454](https://www.rfc-editor.org/rfc/rfc6454)), whose host is lower-case and in ASCII.
//!
//! A pattern says nothing of where a name leads: a host that can tell refuses addresses that are not public
//! (`fetch` natively), unless the pattern names the address itself, or `localhost`.

use std::net::{Ipv4Addr, Ipv6Addr};

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
    /// `None` is every scheme.
    scheme: Option<String>,
    host: HostPattern,
    /// `None` is every port.
    port: Option<u16>,
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Any => true,
            HostPattern::Exactly(own) => own == host,
            HostPattern::Below(name) => host
                .strip_suffix(name.as_str())
                .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        }
    }

    /// Whether there can be a host that both match.
    fn meets(&self, other: &HostPattern) -> bool {
        match (self, other) {
            (HostPattern::Any, _) | (_, HostPattern::Any) => true,
            (HostPattern::Exactly(host), pattern) | (pattern, HostPattern::Exactly(host)) => {
                pattern.matches(host)
            }
            (HostPattern::Below(one), HostPattern::Below(two)) => {
                one == two || self.matches(two) || other.matches(one)
            }
        }
    }
}

impl OriginPattern {
    /// Reads the value of a term; `schemes` are those that the device speaks. A host is brought to the form in which origins
    /// have it; what no origin can have is refused, since a pattern that never matches would be a grant that isn't one.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn from_term(term: &Term, schemes: &[&str]) -> Result<OriginPattern, GrantError> {
        OriginPattern::parse(&term.value, schemes).map_err(|unlike| match unlike {
            Unlike::Form => term.expected(format!(
                "expected * or SCHEME://HOST[:PORT] ({}), where HOST may be *.NAME, and PORT *",
                schemes.join(", ")
            )),
            Unlike::Address => term.expected(
                "a host that ends in a number is an IPv4 address, written as four numbers: 127.0.0.1",
            ),
            Unlike::Below => term.expected("nothing is below an address: name the address itself"),
        })
    }

    fn parse(text: &str, schemes: &[&str]) -> Result<OriginPattern, Unlike> {
        let text = text.trim_end_matches('/').to_ascii_lowercase();
        if text == "*" {
            return Ok(OriginPattern {
                scheme: None,
                host: HostPattern::Any,
                port: None,
            });
        }
        let (scheme, rest) = text.split_once("://").ok_or(Unlike::Form)?;
        if !schemes.contains(&scheme) {
            return Err(Unlike::Form);
        }
        let (host, port) = match rest.rsplit_once(':') {
            // The colons inside of an IPv6 address are not before a port.
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port {
            Some("*") => None,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().map_err(|_| Unlike::Form)?)
            }
            Some(_) => return Err(Unlike::Form),
            None => default_port(scheme),
        };
        let host = match host.strip_prefix("*.") {
            _ if host == "*" => HostPattern::Any,
            Some(name) if name.starts_with('[') || ends_in_number(name) => {
                return Err(Unlike::Below);
            }
            Some(name) => HostPattern::Below(normal_host(name)?),
            None => HostPattern::Exactly(normal_host(host)?),
        };
        Ok(OriginPattern {
            scheme: Some(scheme.to_owned()),
            host,
            port,
        })
    }

    /// Whether an origin is meant.
    pub fn matches(&self, origin: &Origin) -> bool {
        self.host.matches(&origin.host)
            && self
                .scheme
                .as_ref()
                .is_none_or(|scheme| *scheme == origin.scheme)
            && self.port.is_none_or(|port| port == origin.port)
    }

    /// Whether there can be an origin that both patterns mean.
    pub fn meets(&self, other: &OriginPattern) -> bool {
        fn agree<T: PartialEq>(one: Option<&T>, two: Option<&T>) -> bool {
            one.zip(two).is_none_or(|(one, two)| one == two)
        }
        self.host.meets(&other.host)
            && agree(self.scheme.as_ref(), other.scheme.as_ref())
            && agree(self.port.as_ref(), other.port.as_ref())
    }

    /// Whether the pattern names this very host, not by a wildcard: only then may it be one that is not public.
    pub fn names_host(&self, host: &str) -> bool {
        matches!(&self.host, HostPattern::Exactly(own) if own == host)
    }
}

impl std::fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(scheme) = &self.scheme else {
            return f.write_str("*");
        };
        write!(f, "{scheme}://")?;
        match &self.host {
            HostPattern::Any => f.write_str("*")?,
            HostPattern::Exactly(host) => f.write_str(host)?,
            HostPattern::Below(name) => write!(f, "*.{name}")?,
        }
        match self.port {
            None => f.write_str(":*"),
            port if port == default_port(scheme) => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlike {
    /// It has another form.
    Form,
    /// An IPv4 address in a form that no origin has.
    Address,
    /// What is below an address.
    Below,
}

/// A host as origins have it ([URL standard, host parsing](https://url.spec.whatwg.org/#host-parsing)), of lower-case text.
fn normal_host(host: &str) -> Result<String, Unlike> {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(address) = bracketed {
        let address: Ipv6Addr = address.parse().map_err(|_| Unlike::Form)?;
        return Ok(format!("[{}]", normal_v6(address)));
    }
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(part) {
        return Err(Unlike::Form);
    }
    match ends_in_number(host) {
        // Of all its forms (`127.1`, `0x7f000001`, `0177.0.0.1`) an origin has this one.
        true if host.parse::<Ipv4Addr>().is_err() => Err(Unlike::Address),
        _ => Ok(host.to_owned()),
    }
}

/// Whether a host is an IPv4 address or nothing
/// ([URL standard, ends in a number](https://url.spec.whatwg.org/#ends-in-a-number-checker)).
fn ends_in_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = last
        .strip_prefix("0x")
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    !last.is_empty() && (digits(last) || hex)
}

/// An IPv6 address as the URL standard writes it, which is never in part as an IPv4 one
/// ([IPv6 serializer](https://url.spec.whatwg.org/#concept-ipv6-serializer)).
fn normal_v6(address: Ipv6Addr) -> String {
    match address.to_ipv4_mapped() {
        Some(_) => {
            let [.., high, low] = address.segments();
            format!("::ffff:{high:x}:{low:x}")
        }
        None => address.to_string(),
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
    fn patterns_that_mean_some_origin_both() {
        let pattern = |text| OriginPattern::parse(text, HTTP).unwrap();
        for (one, two, meet) in [
            ("*", "http://a.example:8080", true),
            ("*", "*", true),
            ("https://a.example", "https://a.example:443", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "https://a.example:8443", false),
            ("https://a.example:*", "https://a.example:8443", true),
            ("https://a.example", "https://b.example", false),
            ("https://*", "https://b.example", true),
            ("https://*.example", "https://b.example", true),
            ("https://*.example", "https://example", false),
            ("https://*.example", "https://*.b.example", true),
            ("https://*.example", "https://*.example", true),
            ("https://*.b.example", "https://*.xb.example", false),
            ("https://*.a.example", "https://*.b.example", false),
        ] {
            assert_eq!(pattern(one).meets(&pattern(two)), meet, "{one} {two}");
            assert_eq!(pattern(two).meets(&pattern(one)), meet, "{two} {one}");
        }
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
            "https://a:+80",
            "https://a: 80",
            "https://[::1",
            "https://[x]",
            "https://*.*.a",
        ] {
            assert_eq!(OriginPattern::parse(bad, HTTP), Err(Unlike::Form), "{bad}");
        }
        for bad in [
            "http://127.1",
            "http://127.0.0.1.",
            "http://0x7f000001",
            "http://0177.0.0.1",
            "http://2130706433:80",
            "http://a.example.0x",
            "http://256.0.0.1",
            "http://1.2.3.4.5",
        ] {
            assert_eq!(
                OriginPattern::parse(bad, HTTP),
                Err(Unlike::Address),
                "{bad}"
            );
        }
        for bad in ["http://*.127.0.0.1", "http://*.1", "http://*.[::1]"] {
            assert_eq!(OriginPattern::parse(bad, HTTP), Err(Unlike::Below), "{bad}");
        }
    }

    #[test]
    fn a_pattern_has_the_form_that_origins_have() {
        for (text, shown) in [
            ("HTTPS://A.Example:443/", "https://a.example"),
            ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
            (
                "http://[2001:DB8:0:0:1:0:0:1]:8080",
                "http://[2001:db8::1:0:0:1]:8080",
            ),
            ("http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]"),
            ("http://[::127.0.0.1]", "http://[::7f00:1]"),
            ("http://*.a.example:*", "http://*.a.example:*"),
            ("https://*:0443", "https://*"),
            ("*", "*"),
        ] {
            let pattern = OriginPattern::parse(text, HTTP).unwrap();
            assert_eq!(pattern.to_string(), shown);
        }
        assert!(matches("http://[0:0:0:0:0:0:0:1]", "http", "[::1]", 80));
        assert!(matches(
            "http://[::ffff:127.0.0.1]",
            "http",
            "[::ffff:7f00:1]",
            80
        ));
    }

    #[test]
    fn naming_a_host_is_not_matching_it() {
        let pattern = |text| OriginPattern::parse(text, HTTP).unwrap();
        assert!(pattern("http://127.0.0.1:8080").names_host("127.0.0.1"));
        assert!(!pattern("http://*:8080").names_host("127.0.0.1"));
        assert!(!pattern("*").names_host("localhost"));
    }
}
