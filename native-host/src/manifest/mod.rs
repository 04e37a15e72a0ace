//! Manifests: what an agent requires, what it can do without, and its limits, in a file beside it.
//!
//! A manifest says in TOML or JSON what the options of `run` say, with places relative to its own folder, and for each
//! thing whether the agent can do without it. Everything that is wrong in a file is told at once, with its place.
//!
//! ```toml
//! [agent]
//! program = "feeds.wasm"
//!
//! [limits]
//! memory = "256MiB"
//!
//! [mounts]
//! "/data" = { type = "folder", host = "data", rights = "rw" }
//!
//! [[grants]]
//! device = "fetch"
//! origin = ["https://example.com", "https://*.example.org"]
//!
//! [[grants]]
//! device = "dom"
//! optional = true
//! without = "headlines are printed instead of shown"
//! ```
//!
//! A manifest asks; it is whoever runs it who grants, and so should read it first: `capfs-host inspect`.

mod read;
mod tree;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::env::VarError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capfs_devices::identity::{Identity, digest};
use capfs_runtime::ClockGrant;

use crate::grants::Grant;
use crate::listen::ListenGrant;
use crate::read::read_at_most;

/// Bytes of a manifest's file, at most.
const FILE_MAX: u64 = 256 << 10;

/// Things that are told to be wrong with a manifest; of the others it is said how many there are.
const PROBLEMS_MAX: usize = 100;

/// Where something stands in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The manifest, as it was named.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Whether an agent can run without something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Need {
    /// It can't.
    #[default]
    Required,
    /// It can, and maybe the manifest says what is missed then.
    Optional(Option<String>),
}

/// Something that is to be granted, and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// What.
    pub grant: Grant,
    /// Whether the agent can do without.
    pub need: Need,
    /// Where a manifest asks for it; nothing for the command line.
    pub place: Option<Place>,
}

impl Want {
    /// What the command line asks for.
    pub fn of_command_line(grant: Grant) -> Want {
        Want {
            grant,
            need: Need::Required,
            place: None,
        }
    }
}

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; without one, this machine's, if it is set.
    pub value: Option<String>,
}

/// What the agent may use, as far as the manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of memory.
    pub memory: Option<usize>,
    /// How long it may take.
    pub time: Option<Duration>,
    /// Descriptors at once.
    pub files: Option<u32>,
    /// Bytes of each file system in memory.
    pub storage: Option<u64>,
}

/// What a manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// That of its file, as `sha256:` and hexadecimal digits; empty where it was not read from one.
    pub digest: String,
    /// The program.
    pub program: Option<PathBuf>,
    /// The digest that the program's module must have, as `sha256:` and hexadecimal digits in lower case.
    pub program_digest: Option<String>,
    /// Who the program is.
    pub id: Option<Identity>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables.
    pub env: Vec<Variable>,
    /// What it may know of the time.
    pub clock: Option<ClockGrant>,
    /// Whether WASI's own call gives it random bytes.
    pub random: Option<bool>,
    /// Where it listens.
    pub listen: Vec<ListenGrant>,
    /// Its limits.
    pub limits: Bounds,
    /// Its files and capabilities, mounts first, each in the order of the file.
    pub wants: Vec<Want>,
}

/// Why a manifest can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The file can't be read.
    #[error("can't read the manifest `{path}`: {reason}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// What it says can't be understood: the first hundred things that are wrong, a line each, with its place in front, and how many more
    /// there are.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
    /// It is not the one that was looked at.
    #[error("the manifest `{path}` has the digest {digest}, and not {wanted}")]
    OtherDigest {
        /// The file.
        path: String,
        /// Its digest.
        digest: String,
        /// What it should be.
        wanted: String,
    },
}

impl ManifestError {
    /// What is wrong, each for a line of its own.
    pub fn lines(&self) -> Vec<String> {
        match self {
            ManifestError::Wrong(lines) => lines.clone(),
            error => vec![error.to_string()],
        }
    }
}

/// The value of a variable of this process, if it is set.
///
/// # Errors
/// Its name, if the value is not UTF-8: then nothing starts.
pub fn inherited(name: &str) -> Result<Option<String>, String> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(name.to_owned()),
    }
}

/// The variables that are set, each name once, in the order in which they were named first. What is said last holds.
///
/// # Errors
/// The name of a variable of this process that is to be passed on and is not UTF-8.
pub fn variables<'v>(
    all: impl IntoIterator<Item = &'v Variable>,
) -> Result<Vec<(String, String)>, String> {
    let mut last: Vec<&Variable> = Vec::new();
    let mut places = HashMap::new();
    for variable in all {
        match places.entry(&variable.name) {
            Entry::Occupied(place) => last[*place.get()] = variable,
            Entry::Vacant(place) => {
                place.insert(last.len());
                last.push(variable);
            }
        }
    }
    let mut set = Vec::new();
    for Variable { name, value } in last {
        let value = match value {
            Some(value) => Some(value.clone()),
            None => inherited(name)?,
        };
        set.extend(value.map(|value| (name.clone(), value)));
    }
    Ok(set)
}

/// Reads a manifest's file, once: JSON if its name ends so, TOML otherwise. Nothing but a manifest with the digest `wanted`, if it is given,
/// is taken.
///
/// # Errors
/// See [`ManifestError`].
pub fn load(path: &Path, wanted: Option<&str>) -> Result<Manifest, ManifestError> {
    let name = path.display().to_string();
    let failed = |reason: String| ManifestError::Read {
        path: name.clone(),
        reason,
    };
    let bytes = read_at_most(path, FILE_MAX).map_err(|error| failed(error.to_string()))?;
    let digest = digest(&bytes);
    if let Some(wanted) = wanted
        && wanted != digest
    {
        return Err(ManifestError::OtherDigest {
            path: name,
            digest,
            wanted: wanted.to_owned(),
        });
    }
    if bytes.starts_with(b"\0asm") {
        let reason = "it is a WebAssembly module: the program is named behind the options, or by the manifest";
        return Err(failed(reason.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))?;
    let json = path.extension().is_some_and(|end| end == "json");
    let folder = path.parent().unwrap_or(Path::new(""));
    let manifest = parse(&text, json, &name, folder)?;
    Ok(Manifest { digest, ..manifest })
}

/// Reads a manifest's text; `folder` is what its places are relative to.
///
/// # Errors
/// [`ManifestError::Wrong`]
pub fn parse(text: &str, json: bool, name: &str, folder: &Path) -> Result<Manifest, ManifestError> {
    // Some editors put a byte order mark in front, which TOML allows and JSON does not.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let places = Places::new(name, text);
    let wrong = |problems: Vec<tree::Problem>| {
        let told = problems.iter().take(PROBLEMS_MAX);
        let told = told.map(|problem| format!("{}: {}", places.at(problem.at), problem.text));
        let more = problems.len().saturating_sub(PROBLEMS_MAX);
        let more = (more > 0).then(|| format!("{name}: and {more} more"));
        ManifestError::Wrong(told.chain(more).collect())
    };
    let tree = match json {
        true => tree::from_json(text),
        false => tree::from_toml(text),
    };
    let tree = tree.map_err(|problem| wrong(vec![problem]))?;
    read::manifest(&tree, &places, folder).map_err(wrong)
}

/// Turns offsets into lines and columns.
struct Places<'a> {
    file: &'a str,
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(file: &'a str, text: &'a str) -> Places<'a> {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Places { file, text, lines }
    }

    /// The line in which an offset is, from 1.
    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= offset).max(1)
    }

    fn at(&self, offset: usize) -> Place {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line(offset);
        let before = &self.text[self.lines[line - 1]..offset];
        Place {
            file: self.file.to_owned(),
            line,
            column: before.chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
[agent]
program = "feeds.wasm"
digest = "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
args = ["--all", "naïve"]
inherit-env = ["TERM"]
clock = "100ms"
random = false
listen = "127.0.0.1:0"
[env]
LANG = "C"
[limits]
memory = "1.5MiB"
time = 250
files = 0x10
storage = "1GiB"
[mounts]
"/data" = { type = "folder", host = "data", rights = "rw" }
"/" = [{ type = "memory" }, { type = "archive", file = "a.tar", optional = true, without = "x" }]
[[grants]]
device = "fetch"
origin = ["https://example.com", "https://*.example.org:8443"]
max-body = 4096
[[grants]]
device = "task"
children = 3
required = false
"#;

    fn read(text: &str) -> Result<Manifest, ManifestError> {
        parse(text, false, "m.toml", Path::new("/folder"))
    }

    #[test]
    fn a_byte_order_mark_is_nothing() {
        for (text, json) in [
            ("\u{feff}{\"agent\": {}}", true),
            ("\u{feff}[agent]", false),
        ] {
            assert!(parse(text, json, "m", Path::new("/folder")).is_ok());
        }
    }

    #[test]
    fn everything_is_read() {
        let manifest = read(SAMPLE).unwrap();
        assert_eq!(manifest.program, Some(PathBuf::from("/folder/feeds.wasm")));
        assert_eq!(manifest.program_digest, Some(digest(b"")));
        assert_eq!(manifest.clock, Some(ClockGrant::Steps(100_000_000)));
        assert_eq!(
            manifest.limits,
            Bounds {
                memory: Some(3 << 19),
                time: Some(Duration::from_millis(250)),
                files: Some(16),
                storage: Some(1 << 30),
            }
        );
        let wants = manifest.wants.iter();
        let wants = wants.map(|want| (want.grant.guest(), want.grant.what()));
        let wants: Vec<_> = wants.collect();
        let what: Vec<(&str, &str)> = wants.iter().map(|(at, what)| (*at, &**what)).collect();
        assert_eq!(
            what,
            [
                ("/data", "folder /folder/data"),
                ("/", "memory"),
                ("/", "archive /folder/a.tar"),
                ("/cap/fetch", "fetch"),
                ("/task", "task"),
            ]
        );
        assert_eq!(manifest.wants[2].need, Need::Optional(Some("x".to_owned())));
        assert_eq!(manifest.wants[4].need, Need::Optional(None));
        let place = manifest.wants[3].place.as_ref().unwrap();
        assert_eq!(place.to_string(), "m.toml:20:1");
    }

    #[test]
    fn a_digest_is_whole() {
        for bad in ["", "sha256:00", "sha512:00"] {
            let error = read(&format!("agent = {{ digest = '{bad}' }}")).unwrap_err();
            let told = "m.toml:1:20: expected `sha256:` and 64 hexadecimal digits";
            assert_eq!(error.lines(), [told], "{bad}");
        }
    }

    #[test]
    fn a_manifest_full_of_mistakes_is_told_in_part() {
        let grants = "'random', ".repeat(20_000);
        let error = read(&format!("grants = [{grants}]")).unwrap_err();
        let lines = error.lines();
        assert_eq!(lines.len(), PROBLEMS_MAX + 1);
        assert!(lines[0].starts_with("m.toml:1:"), "{}", lines[0]);
        assert!(lines[0].contains("already, by line 1"), "{}", lines[0]);
        assert_eq!(lines[PROBLEMS_MAX], "m.toml: and 19900 more");
    }

    #[test]
    fn there_are_no_more_mounts_than_a_namespace_has() {
        let mounts = |count: usize| {
            let mounts = (0..count).map(|number| format!("\"/m{number}\" = {{ type = 'null' }}\n"));
            format!("[mounts]\n{}", mounts.collect::<String>())
        };
        assert_eq!(read(&mounts(1024)).unwrap().wants.len(), 1024);
        let lines = read(&mounts(1025)).unwrap_err().lines();
        assert!(
            lines[0].contains("1024 mounts and grants, and no more"),
            "{lines:?}"
        );
        let deep = "/a".repeat(100_000);
        let error = read(&format!("[mounts]\n\"{deep}\" = {{ type = 'null' }}")).unwrap_err();
        assert!(error.lines()[0].contains("4096 at most"), "{error}");
    }

    /// A generator of numbers (Knuth's MMIX), so that a failure comes again.
    fn next(state: &mut u64) -> usize {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) as usize
    }

    #[test]
    fn nothing_makes_it_panic() {
        const PARTS: &[&str] = &[
            "[",
            "]",
            "[[",
            "{",
            "}",
            "=",
            "\"",
            "'",
            ",",
            ".",
            ":",
            "\\",
            "\n",
            "\0",
            "é",
            "\u{202e}",
            "-1",
            "1e999",
            "18446744073709551616",
            "99999999999GiB",
            "true",
            "null",
            "1979-05-27",
            "grants",
            "at",
            "\"\"\"",
            "'''",
            "\\u12",
            "\\ud800",
            "/..",
            "#",
        ];
        let json = r#"{"agent":{"program":"p"},"limits":{"time":1},"grants":["random",{"device":"ws","origin":"*"}]}"#;
        let mut state = 1;
        for round in 0..20_000 {
            let is_json = round % 2 == 0;
            let mut text: Vec<char> = if is_json { json } else { SAMPLE }.chars().collect();
            for _ in 0..=next(&mut state) % 4 {
                let at = next(&mut state) % text.len();
                let until = (at + next(&mut state) % 12).min(text.len());
                let part = PARTS[next(&mut state) % PARTS.len()];
                text.splice(at..until, part.chars());
            }
            let text: String = text.into_iter().collect();
            let _ = parse(&text, is_json, "m", Path::new(""));
        }
    }
}
