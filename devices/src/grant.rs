//! Grants: which capability is handed out, where it appears, and on which terms.
//!
//! # One grammar, three spellings
//! A grant is a device and terms; a term is a key with one or more values. All spellings come down to
//! that list, and one parser reads it:
//! - a flag: `fetch,origin=https://example.com,origin=https://*.example.org:8443,max-body=10MiB`. A comma or a
//!   backslash inside a value has a backslash before it.
//! - JSON, TOML, a TypeScript object: `{ "device": "fetch", "origin": ["https://example.com"], "max-body": "10MiB" }`.
//!   A list repeats its key, and numbers and booleans are what they are written as.
//!
//! `at` says where the device appears; left out, it is at its usual place ([`DeviceKind::path`]). Every other key is
//! the device's own. An unknown key is an error, never ignored: a limit that was misspelt would be none.
//!
//! What is not granted does not exist for the agent.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::host_header;
use crate::registry;
pub use crate::registry::DeviceKind;
use crate::storage::paths_beside;
use crate::units;

impl DeviceKind {
    /// The device with this name.
    pub fn of_name(name: &str) -> Option<DeviceKind> {
        DeviceKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Why a grant can't be understood. No value is in a message, for a term that was misspelt, or a comma without its backslash, could
/// make it one that was to stay secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// No device has this name.
    #[error("there is no device {}; there are {}", plain_name(name), names())]
    UnknownDevice {
        /// The name.
        name: String,
    },
    /// The device has no such term.
    #[error("`{device}` knows no term {}; it knows {known}", unknown_key(key, *behind_header))]
    UnknownTerm {
        /// The device.
        device: &'static str,
        /// The key.
        key: String,
        /// Whether it stands behind a header, whose value it may be a part of.
        behind_header: bool,
        /// The keys that it knows.
        known: String,
    },
    /// A term without `=`.
    #[error("term {place} has no value: expected KEY=VALUE; {COMMAS}")]
    NoValue {
        /// Which term it is, from 1.
        place: usize,
    },
    /// A value that does not fit its key.
    #[error("`{key}`: {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What should be there.
        expected: String,
    },
    /// A term that the device can't do without.
    #[error("`{device}` needs `{key}`: {why}")]
    Missing {
        /// The device.
        device: &'static str,
        /// The key.
        key: &'static str,
        /// Why.
        why: &'static str,
    },
}

/// A part of a flag, so that no comma in it ends it.
fn escaped(part: &str) -> String {
    part.replace('\\', "\\\\").replace(',', "\\,")
}

/// What may have gone wrong where a term is none.
const COMMAS: &str = "a comma inside of a value has a backslash before it";

/// Characters of a word that is shown, at most: names of devices and of terms are short.
const WORD_MAX: usize = 16;

/// A word that may be shown, in quotes, if it looks like a name at all.
fn plain_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    match name.len() <= WORD_MAX && name.bytes().all(plain) {
        true => format!("`{name}`"),
        false => "of that name".to_owned(),
    }
}

fn unknown_key(key: &str, behind_header: bool) -> String {
    match behind_header {
        true => format!("that is there behind a header ({COMMAS})"),
        false => plain_name(key),
    }
}

fn names() -> String {
    DeviceKind::ALL.map(DeviceKind::name).join(", ")
}

/// A key and a value of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The key.
    pub key: String,
    /// The value, as written.
    pub value: String,
}

impl Term {
    /// An error that says what should have been there.
    pub fn expected(&self, expected: impl Into<String>) -> GrantError {
        GrantError::Value {
            key: self.key.clone(),
            value: self.value.clone(),
            expected: expected.into(),
        }
    }

    /// The value as a number of bytes: `4096`, `64KiB`, `10MB`.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn size(&self) -> Result<u64, GrantError> {
        units::size(&self.value)
            .ok_or_else(|| self.expected("expected a size, such as 4096, 64KiB or 10MiB"))
    }

    /// The value as a length of time in milliseconds: `500ms`, `10s`, `2m`, `1h`; a bare number is milliseconds.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn millis(&self) -> Result<u64, GrantError> {
        let bare = self.value.parse();
        bare.ok()
            .or_else(|| units::millis(&self.value))
            .ok_or_else(|| self.expected("expected a length of time, such as 500ms, 10s or 2m"))
    }

    /// The value as a whole number that is at least 1.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn count(&self) -> Result<usize, GrantError> {
        match self.value.parse() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(self.expected("expected a whole number that is at least 1")),
        }
    }

    /// The value as `N/s` or `N/m`: so many in a second or a minute.
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn rate(&self) -> Result<Rate, GrantError> {
        let rate = || {
            let (count, unit) = self.value.split_once('/')?;
            let per_millis = match unit {
                "s" => 1_000,
                "m" => 60_000,
                _ => return None,
            };
            let count = count.parse().ok().filter(|count| *count > 0)?;
            Some(Rate { count, per_millis })
        };
        rate().ok_or_else(|| self.expected("expected a rate, such as 20/s or 100/m"))
    }

    /// The value as `yes` or `no` (or `true`, `false`).
    ///
    /// # Errors
    /// [`GrantError::Value`]
    pub fn yes(&self) -> Result<bool, GrantError> {
        match self.value.as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            _ => Err(self.expected("expected yes or no")),
        }
    }
}

/// So many in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// The span, in milliseconds.
    pub per_millis: u64,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = if self.per_millis == 1_000 { "s" } else { "m" };
        write!(f, "{}/{unit}", self.count)
    }
}

/// A device, where it appears, and the terms on which it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The device.
    pub device: DeviceKind,
    /// The absolute path at which it appears.
    pub at: String,
    /// Everything else, in the order in which it was written.
    pub terms: Vec<Term>,
}

impl Grant {
    /// A grant without terms at the device's usual place.
    pub fn new(device: DeviceKind) -> Grant {
        Grant {
            device,
            at: device.path().to_owned(),
            terms: Vec::new(),
        }
    }

    /// Reads a device's name and pairs of keys and values: what every spelling comes down to.
    ///
    /// # Errors
    /// See [`GrantError`]. Terms are read by the device later.
    pub fn from_pairs(
        device: &str,
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Grant, GrantError> {
        let kind = DeviceKind::of_name(device).ok_or_else(|| GrantError::UnknownDevice {
            name: device.to_owned(),
        })?;
        let mut grant = Grant::new(kind);
        for (key, value) in pairs {
            let term = Term { key, value };
            if term.key != "at" {
                grant.terms.push(term);
                continue;
            }
            let names = term.value.split('/').skip(1);
            let named = names.clone().any(|name| !name.is_empty());
            if !term.value.starts_with('/') || !named || names.into_iter().any(|name| name == "..")
            {
                return Err(term.expected("expected an absolute path below the root, without `..`"));
            }
            grant.at = term.value;
        }
        Ok(grant)
    }

    /// Reads a flag: `DEVICE[,KEY=VALUE]…`.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn from_flag(text: &str) -> Result<Grant, GrantError> {
        let mut parts = split(text).into_iter();
        let device = parts.next().unwrap_or_default();
        let pair = |(index, part): (usize, String)| match part.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(GrantError::NoValue { place: index + 1 }),
        };
        let pairs = parts.enumerate().map(pair);
        let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        Grant::from_pairs(&device, pairs)
    }

    /// What appears for the grant: itself, and what belongs beside it.
    fn paths(&self) -> Vec<String> {
        let mut paths = vec![self.at.clone()];
        if self.device == DeviceKind::Opfs {
            paths.extend(paths_beside(&self.at));
        }
        paths
    }

    /// The terms for people to read: what only the host may know is `***`, and so is whatever no device has.
    pub fn public_terms(&self) -> Vec<Term> {
        let hidden = || "***".to_owned();
        let shown = |term: &Term| match term.key.as_str() {
            "header" => Term {
                key: term.key.clone(),
                value: host_header::public(&term.value).unwrap_or_else(hidden),
            },
            key if key == "at" || registry::PUBLIC.contains(&key) => term.clone(),
            _ => Term {
                key: hidden(),
                value: hidden(),
            },
        };
        self.terms.iter().map(shown).collect()
    }

    /// The grant as a flag, with [public terms](Grant::public_terms).
    pub fn shown(&self) -> String {
        let mut shown = self.clone();
        shown.terms = self.public_terms();
        shown.to_flag()
    }

    /// The grant as a flag, which [`Grant::from_flag`] reads as the same grant.
    pub fn to_flag(&self) -> String {
        let mut flag = self.device.name().to_owned();
        let at = (self.at != self.device.path()).then_some(("at", self.at.as_str()));
        let terms = self.terms.iter().map(|term| (&*term.key, &*term.value));
        for (key, value) in at.into_iter().chain(terms) {
            let _ = write!(flag, ",{}={}", escaped(key), escaped(value));
        }
        flag
    }

    /// An error for a term that the device doesn't know, beside the keys that it knows: a constant of its own, so that no kernel has those of others.
    pub fn unknown(&self, term: &Term, known: &[&str]) -> GrantError {
        let before = self.terms.iter().take_while(|other| *other != term);
        let mut before = before.map(|other| other.key.as_str());
        GrantError::UnknownTerm {
            device: self.device.name(),
            behind_header: before.any(|key| key.starts_with("header")),
            key: term.key.clone(),
            known: match known {
                [] => "`at` alone".to_owned(),
                known => format!("at, {}", known.join(", ")),
            },
        }
    }

    /// That there are no terms, for a device that has none.
    ///
    /// # Errors
    /// [`GrantError::UnknownTerm`]
    pub fn no_terms(&self) -> Result<(), GrantError> {
        match self.terms.first() {
            Some(term) => Err(self.unknown(term, &[])),
            None => Ok(()),
        }
    }
}

/// Splits at commas that have no backslash before them.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let last = parts.len() - 1;
        match character {
            ',' => parts.push(String::new()),
            // A backslash at the very end stands for itself.
            '\\' => parts[last].push(characters.next().unwrap_or('\\')),
            other => parts[last].push(other),
        }
    }
    parts
}

/// Whether two paths are one.
pub(crate) fn same_path(one: &str, other: &str) -> bool {
    plain(one).eq(plain(other))
}

/// The names of a path.
fn plain(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !matches!(*name, "" | "."))
}

/// Where capabilities are that were granted. Each is found at once, however many there are.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Which grant has taken a path.
    by_path: HashMap<Arc<str>, usize>,
    /// The grants, as they are shown.
    shown: Vec<String>,
}

impl Places {
    /// Why a grant can't be given beside those that were, in words. Capabilities can't be united: at one path, the second one's terms
    /// would hold for nothing.
    pub fn clash(&self, grant: &Grant) -> Option<String> {
        let taken = |path: String| Some((*self.by_path.get(&*shortest(&path))?, path));
        let (other, path) = grant.paths().into_iter().find_map(taken)?;
        let other = &self.shown[other];
        let hint = "put the terms into one grant, or one of them elsewhere by `at=PATH`";
        Some(format!(
            "at `{path}` there is what `{other}` gives already; {hint}"
        ))
    }

    /// A grant was given: its paths are taken.
    pub fn take(&mut self, grant: &Grant) {
        for path in grant.paths() {
            let path = shortest(&path).into();
            self.by_path.insert(path, self.shown.len());
        }
        self.shown.push(grant.shown());
    }
}

/// A path in the one form that all that lead to the same have in common.
fn shortest(path: &str) -> String {
    plain(path).fold(String::new(), |path, name| path + "/" + name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(value: &str) -> Term {
        Term {
            key: "k".to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn at_one_path_there_is_one() {
        let grants = ["fetch,origin=*", "opfs", "ws,origin=*,at=/net/ws"];
        let mut places = Places::default();
        for flag in grants {
            places.take(&Grant::from_flag(flag).unwrap());
        }
        let clash = |flag: &str| places.clash(&Grant::from_flag(flag).unwrap());
        for (flag, path) in [
            ("fetch,origin=https://a.example", "/cap/fetch"),
            ("random,at=/net//ws/", "/net//ws/"),
            // The files beside it would be those of the other.
            ("opfs,name=more,at=/cap/storage/more", "/cap/storage/quota"),
            ("random,at=/cap/storage/policy", "/cap/storage/policy"),
        ] {
            let told = clash(flag).unwrap();
            assert!(
                told.starts_with(&format!("at `{path}` there is what `")),
                "{told}"
            );
        }
        for flag in ["random", "opfs,name=more,at=/more/files", "ws,origin=*"] {
            assert_eq!(clash(flag), None);
        }
    }

    #[test]
    fn thousands_of_grants_are_told_apart_at_once() {
        let mut places = Places::default();
        let at = |number: usize| Grant::from_flag(&format!("random,at=/many/{number}")).unwrap();
        let begun = std::time::Instant::now();
        for number in 0..50_000 {
            assert_eq!(places.clash(&at(number)), None);
            places.take(&at(number));
        }
        // Each against each would be more than a thousand million comparisons.
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        assert!(places.clash(&at(49_999)).is_some());
    }

    #[test]
    fn flags() {
        let grant = Grant::from_flag("fetch,origin=https://a.example,max-body=1MiB").unwrap();
        assert_eq!(
            (grant.device, &*grant.at),
            (DeviceKind::Fetch, "/cap/fetch")
        );
        assert_eq!(grant.terms[1].size(), Ok(1 << 20));
        let grant = Grant::from_flag("random,at=/dev/random").unwrap();
        assert_eq!(
            (grant.device, &*grant.at),
            (DeviceKind::Random, "/dev/random")
        );
        for bad in [
            "",
            "floppy",
            "fetch,",
            "fetch,origin",
            "fetch,=x",
            "random,at=dev",
            "random,at=/",
            "random,at=/a/../b",
        ] {
            assert!(Grant::from_flag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_survive_a_round_trip() {
        let grant = Grant::from_pairs(
            "fetch",
            [
                ("header", "https://a X-Key: a,b\\c"),
                ("at", "/net"),
                ("origin", "*"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        )
        .unwrap();
        assert_eq!(
            grant.to_flag(),
            "fetch,at=/net,header=https://a X-Key: a\\,b\\\\c,origin=*"
        );
        assert_eq!(Grant::from_flag(&grant.to_flag()), Ok(grant));
    }

    #[test]
    fn secrets_are_not_shown() {
        let flag = "fetch,origin=*,header=https://a:8443 X-Key: secret\\,:x,header=secret";
        assert_eq!(
            Grant::from_flag(flag).unwrap().shown(),
            "fetch,origin=*,header=https://a:8443 X-Key: ***,header=***"
        );
    }

    #[test]
    fn no_value_is_in_a_message() {
        const SECRET: &str = "s3cr3t";
        for flag in [
            // A term, a device, a comma, a value: each as somebody may get it wrong.
            "fetch,origin=*,headers=https://a X-Key: s3cr3t",
            "fetch,origin=*,header=https://a X-Key: a,s3cr3t=b",
            "fetch,origin=*,header=https://a X-Key: a,s3cr3t",
            "fetch,origin=*,header=X-Key: s3cr3t",
            "fetch,origin=*,header-file=https://a X-Key: s3cr3t",
            "fetch,origin=*,timeout=s3cr3t",
            "fetch,origin=https://s3cr3t@a",
            "fetch,https://a X-Key: s3cr3t=",
            "crypto,header=https://a X-Key: s3cr3t",
            "header=https://a X-Key: s3cr3t",
            "s3cr3t",
        ] {
            let error = match Grant::from_flag(flag) {
                Ok(grant) => {
                    if !flag.contains("origin=https") {
                        assert!(
                            !grant.shown().contains(SECRET)
                                || flag.contains("header-file")
                                || flag.contains("timeout"),
                            "{flag}"
                        );
                    }
                    crate::terms::check(&grant).expect_err(flag)
                }
                Err(error) => error,
            };
            assert!(!error.to_string().contains(SECRET), "{flag}: {error}");
        }
        let told = |flag: &str| {
            crate::terms::check(&Grant::from_flag(flag).unwrap())
                .unwrap_err()
                .to_string()
        };
        assert!(
            told("fetch,origin=*,headers=x")
                .starts_with("`fetch` knows no term `headers`; it knows at, origin")
        );
        assert!(told("fetch,origin=*,header=https://a X: a,b=c").contains("backslash"));
    }

    #[test]
    fn values() {
        assert_eq!(term("1.5KiB").size(), Ok(1536));
        assert!(term("1.0001KiB").size().is_err());
        assert!(term("99999999999GiB").size().is_err());
        assert!(term("-1").size().is_err());
        assert_eq!(term("2m").millis(), Ok(120_000));
        assert_eq!(term("250").millis(), Ok(250));
        assert_eq!(term("20/s").rate().unwrap().to_string(), "20/s");
        assert!(term("0/s").rate().is_err());
        assert!(term("0").count().is_err());
        assert_eq!(term("yes").yes(), Ok(true));
        assert!(term("maybe").yes().is_err());
    }

    #[test]
    fn names_are_unique_and_known() {
        for kind in DeviceKind::ALL {
            assert_eq!(DeviceKind::of_name(kind.name()), Some(kind));
        }
    }
}
