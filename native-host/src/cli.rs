//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use capfs_devices::foreign::Foreign;
use capfs_devices::grant::{Grant as CapabilityGrant, GrantError};
use capfs_devices::identity::{Identity, read_digest};
use capfs_devices::{terms, units};
use capfs_host::audit::SIZE_MIN;
use capfs_host::compile::Tiers;
use capfs_host::grants::{DirGrant, Grant, MountGrant};
use capfs_host::listen::ListenGrant;
use capfs_host::manifest::Variable;
use capfs_runtime::ClockGrant;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  the program's own (255 for what is beyond), and where it has none:
  2    the command line can't be understood
  124  its time was up (--timeout)
  125  it could not be started: a folder is not there, its memory is over the limit
  126  the file is not an agent that can run here
  127  the file can't be read
  128+n  it raised signal n (WASI numbers them)
  128+n  the host was asked to end by signal n: 130 Ctrl-C, 143 SIGTERM
  134  it trapped
  137  it ran out of memory (--max-memory)";

/// Run WASI programs over a namespace of files, and let them touch nothing else.
#[derive(Debug, Parser)]
#[command(name = "capfs-host", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a WASI preview 1 program
    #[command(after_help = EXIT_CODES, override_usage = "capfs-host run [OPTIONS] <AGENT.wasm> [ARGS]...\n       capfs-host run [OPTIONS] --manifest <FILE> [--] [ARGS]...")]
    Run(Box<RunArgs>),
    /// Show what a module imports, exports and will need
    Inspect(InspectArgs),
    /// Look after what agents have stored in browsers
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Compile a module from standard input to standard output; `run` starts itself so
    #[command(hide = true)]
    Compile(CompileArgs),
}

/// `compile`.
#[derive(Debug, Args)]
pub struct CompileArgs {
    /// Bytes that it may take
    #[arg(long)]
    pub max: u64,

    /// The process that has started it, and ends it
    #[arg(long)]
    pub parent: Option<u32>,

    /// By the baseline compiler
    #[arg(long)]
    pub baseline: bool,

    /// For the cache in this folder, when the run has ended as well
    #[arg(long, value_name = "DIR", conflicts_with = "baseline")]
    pub behind: Option<PathBuf>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Read what the program requires, what it can do without, and its limits from this file (TOML, or .json)
    ///
    /// Options here add to it; those for the same path, variable or limit replace what it says. If it names a
    /// program, everything behind the options are arguments: options for the program itself stand behind `--`. See
    /// docs/manifest.md.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// Take no other manifest than the one with this digest, which `inspect --manifest` shows
    #[arg(long, value_name = "sha256:HEX", requires = "manifest", value_parser = manifest_digest)]
    pub manifest_digest: Option<String>,

    /// Who the program is: whose keys, files and databases it has; unless told, the digest of its module
    #[arg(long, value_name = "NAME", value_parser = Identity::named)]
    pub id: Option<Identity>,

    /// Grant a folder of this machine, read-only unless `rw`; GUEST is its name for the program
    #[arg(long, value_name = "HOST[::GUEST[:ro|rw]]")]
    pub dir: Vec<DirGrant>,

    /// Set an environment variable; without a value, pass on this machine's
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<EnvArg>,

    /// Mount a device: `memory`, `null`, `zero`, `ns` (what is mounted, as a text) or `archive=FILE` (a tar, plain or gzipped)
    ///
    /// Several mounts at one path are united: the first is searched first.
    #[arg(long, value_name = "DEVICE:PATH[:ro|rw]")]
    pub mount: Vec<MountGrant>,

    /// Grant a capability: `random`, `fetch,origin=https://example.com`, … (see docs/capabilities.md)
    ///
    /// It appears below `/cap`, or where `at=PATH` says. What isn't granted does not exist for the program.
    // Read by ourselves, for what is wrong in one would be repeated, secrets included.
    #[arg(long, value_name = "DEVICE[,KEY=VALUE]...")]
    grant: Vec<String>,

    /// Append one JSON object a line to this file for each operation on a capability
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,

    /// Let the audit's file have at most this size, 1MiB or more, 1GiB unless told: then what would be in it is refused
    #[arg(long, value_name = "SIZE", requires = "audit", value_parser = audit_size)]
    pub audit_max: Option<SizeArg>,

    /// Listen at a TCP address and hand the socket to the program, behind its directories
    ///
    /// It may be given several times. LISTEN_FDS and LISTEN_FDS_START tell the program how many
    /// listeners there are, and the first one's descriptor. With port 0 the system chooses one.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Vec<ListenGrant>,

    /// Keep what the program's capabilities store (keys, databases) in this folder, which is its own
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Seal the program's keys with the passphrase that is the first line of this file
    #[arg(long, value_name = "FILE", requires = "state")]
    pub passphrase_file: Option<PathBuf>,

    /// What it may know of the time: `exact` (unless told), `none`, or the length of a step, such as `100ms`
    #[arg(long, value_name = "exact|none|STEP")]
    pub clock: Option<ClockArg>,

    /// Refuse it random bytes by WASI's own call
    #[arg(long)]
    pub no_random: bool,

    /// End the program after this time, such as `500ms`, `10s`, `2m`, `1h`: all of it, compiling included
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<DurationArg>,

    /// Let it make this host hold at most this much, such as `64MiB`, `1GiB`, `500MB`: its memories, files in memory,
    /// descriptors, what is under way, and its children; 4GiB unless told
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<SizeArg>,

    /// Let it have at most this many descriptors open; 65536 unless told
    #[arg(long, value_name = "N")]
    pub max_files: Option<u32>,

    /// Say nothing of where it listens, that it is being compiled, and how it ended
    #[arg(long)]
    pub quiet: bool,

    /// At the end, write one JSON object to standard error: how it ended, what it used, times
    #[arg(long)]
    pub json: bool,

    /// Compile afresh, and keep nothing
    #[arg(long)]
    pub no_cache: bool,

    /// By which compiler its code is made, where it is not kept yet: `tiered` starts a module of 1 MiB or more with code of the baseline
    /// compiler, and has optimised code made for the next start, after this one has ended as well; `optimising` waits for that;
    /// `baseline` never makes it
    ///
    /// Unless told it is `tiered` on Linux on x86-64 with glibc, and `optimising` elsewhere. What the baseline compiler doesn't take, the other does.
    #[arg(long, value_name = "tiered|optimising|baseline")]
    compiler: Option<CompilerArg>,

    /// Filled from the order of the command line; see [`RunArgs::grants`].
    #[arg(skip)]
    ordered: Vec<Grant>,

    /// The program, unless the manifest names it, and behind it its arguments, `--help` included: none of them is an
    /// option of this command. Where the manifest names it, its own options stand behind `--`:
    /// `capfs-host run --manifest agent.toml -- --help`
    #[arg(
        value_name = "AGENT.wasm",
        required_unless_present = "manifest",
        trailing_var_arg = true
    )]
    pub program: Vec<OsString>,
}

impl Cli {
    /// Parses the process's arguments; ends it with a message when they are wrong.
    pub fn parse() -> Cli {
        let matches = Cli::command().try_get_matches();
        let matches = matches.unwrap_or_else(|error| with_place(error, std::env::args_os()).exit());
        let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let (Command::Run(args), Some(("run", matches))) =
            (&mut cli.command, matches.subcommand())
        {
            let indices = |name| matches.indices_of(name).into_iter().flatten();
            let dirs = indices("dir").zip(args.dir.iter().cloned().map(Grant::Dir));
            let mounts = indices("mount").zip(args.mount.iter().cloned().map(Grant::Mount));
            let read = args.grant.iter().map(|flag| capability(flag));
            let read = read.collect::<Result<Vec<_>, _>>();
            let grants = read.unwrap_or_else(|error| {
                let text = format!("can't understand a `--grant`: {}", Foreign(error));
                let mut whole = Cli::command();
                // Its verbs learn their whole names by it.
                whole.build();
                let run = whole.find_subcommand_mut("run");
                let run = run.expect("the verb that was parsed");
                run.error(ErrorKind::ValueValidation, text).exit()
            });
            let grants = indices("grant").zip(grants.into_iter().map(Grant::Capability));
            let mut ordered: Vec<(usize, Grant)> = dirs.chain(mounts).chain(grants).collect();
            ordered.sort_by_key(|(index, _)| *index);
            args.ordered = ordered.into_iter().map(|(_, grant)| grant).collect();
        }
        cli
    }
}

/// An error that says where options for the program stand, if it is about one that may have been meant for it.
fn with_place(mut error: clap::Error, words: impl Iterator<Item = OsString>) -> clap::Error {
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let unknown = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(unknown))) => unknown.clone(),
        _ => return error,
    };
    if words.get(1).is_none_or(|verb| verb != "run") {
        return error;
    }
    let after = |flag: &str| {
        let at = words.iter().position(|word| word == flag)?;
        words.get(at + 1).cloned()
    };
    let joined = || {
        words
            .iter()
            .find_map(|word| word.strip_prefix("--manifest="))
    };
    let manifest = after("--manifest").or_else(|| joined().map(str::to_owned));
    let tip = match manifest {
        Some(manifest) => format!(
            "options for the program stand behind `--`: capfs-host run --manifest {} -- {}",
            shell_word(&manifest),
            shell_word(&unknown)
        ),
        None => format!(
            "options for the program stand behind it: capfs-host run AGENT.wasm {}",
            shell_word(&unknown)
        ),
    };
    let tip = Foreign(tip).to_string();
    let tips = ContextValue::StyledStrs(vec![tip.into()]);
    error.insert(ContextKind::Suggested, tips);
    error
}

/// A word as a shell takes it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Reads a flag, and its terms as its device will.
fn capability(flag: &str) -> Result<CapabilityGrant, GrantError> {
    let grant = CapabilityGrant::from_flag(flag)?;
    terms::check(&grant)?;
    Ok(grant)
}

impl RunArgs {
    /// The compilers to be used.
    pub fn compiler(&self) -> Tiers {
        self.compiler.map_or(Tiers::DEFAULT, |compiler| compiler.0)
    }

    /// Everything granted, in the order of the command line.
    pub fn grants(&self) -> Vec<Grant> {
        self.ordered.clone()
    }
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Show as well what this manifest would grant it here, what is missing, what is degraded; ends with 125 if it could not be started
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// The folder that `run` would be given by its option of this name
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    pub json: bool,

    /// The module, unless the manifest names it: then it is what the manifest names, as for `run`
    #[arg(value_name = "AGENT.wasm", required_unless_present = "manifest")]
    pub agent: Option<PathBuf>,
}

/// `storage`.
#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Compare all that is stored with its checksums, and change nothing
    ///
    /// A tree of stored files is three files in a browser: `index-0`, `index-1` and `data`. Copies of them are checked, in DIR and in
    /// the folders in it. Natively stored files are plain files, for which there is nothing to check.
    #[command(after_help = CHECK_CODES)]
    Check(CheckArgs),
}

const CHECK_CODES: &str = "\
Exit codes, the highest of all trees:
  0    everything is as it was written
  1    something is damaged; each range of each file is named
  2    something can't be read, is in use, or was written by a later version; there is nothing stored in DIR";

/// `storage check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,

    /// The folder of one tree, or one with several in it
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `NAME[=VALUE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvArg {
    name: String,
    value: Option<String>,
}

impl FromStr for EnvArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        match name {
            "" => Err("expected NAME or NAME=VALUE".to_owned()),
            name => Ok(EnvArg {
                name: name.to_owned(),
                value,
            }),
        }
    }
}

impl EnvArg {
    /// The variable; without a value, this machine's is to be passed on.
    pub fn variable(&self) -> Variable {
        Variable {
            name: self.name.clone(),
            value: self.value.clone(),
        }
    }
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DurationArg(pub Duration);

impl FromStr for DurationArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let millis = units::millis(text).map(Duration::from_millis);
        let expected = "expected a length of time with its unit, such as 500ms, 10s, 2m or 1h";
        millis.map(DurationArg).ok_or_else(|| expected.to_owned())
    }
}

/// What a program may know of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockArg(pub ClockGrant);

impl FromStr for ClockArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let grant = match text {
            "exact" => ClockGrant::Exact,
            "none" => ClockGrant::Nothing,
            step => match step.parse::<DurationArg>()?.0.as_nanos().try_into() {
                Ok(0) | Err(_) => {
                    return Err("expected exact, none, or the length of a step".to_owned());
                }
                Ok(step) => ClockGrant::Steps(step),
            },
        };
        Ok(ClockArg(grant))
    }
}

/// By which compilers code is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CompilerArg(Tiers);

impl FromStr for CompilerArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tiered" => Ok(CompilerArg(Tiers::BaselineFirst)),
            "optimising" => Ok(CompilerArg(Tiers::Optimised)),
            "baseline" => Ok(CompilerArg(Tiers::Baseline)),
            _ => Err("expected tiered, optimising or baseline".to_owned()),
        }
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeArg(pub usize);

impl FromStr for SizeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = units::size(text).and_then(|bytes| bytes.try_into().ok());
        let expected = "expected a size, such as 4096, 64KiB, 10MB or 1GiB";
        bytes.map(SizeArg).ok_or_else(|| expected.to_owned())
    }
}

/// A digest, as it is compared.
fn manifest_digest(text: &str) -> Result<String, String> {
    let expected = "expected `sha256:` and 64 hexadecimal digits, as `capfs-host inspect --manifest` shows them";
    read_digest(text).ok_or_else(|| expected.to_owned())
}

/// The size of an audit's file, which must have room for its longest line.
fn audit_size(text: &str) -> Result<SizeArg, String> {
    let size: SizeArg = text.parse()?;
    match size.0 as u64 {
        SIZE_MIN.. => Ok(size),
        _ => Err(
            "expected 1MiB or more: what is left free of it must have room for the longest line"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_the_program_have_their_place() {
        let told = |words: &[&str]| {
            let error = Cli::command().try_get_matches_from(words).unwrap_err();
            let words = words.iter().map(OsString::from);
            with_place(error, words).to_string()
        };
        for (words, tip) in [
            (
                &["capfs-host", "run", "--manifest", "a.toml", "--since", "1"][..],
                "behind `--`: capfs-host run --manifest a.toml -- --since",
            ),
            (
                &["capfs-host", "run", "--manifest=it's.toml", "-a"],
                "behind `--`: capfs-host run --manifest 'it'\\''s.toml' -- -a",
            ),
            (
                &["capfs-host", "run", "--since", "a.wasm"],
                "behind it: capfs-host run AGENT.wasm --since",
            ),
        ] {
            let told = told(words);
            assert!(told.contains(tip), "{told}");
            assert!(!told.contains("as a value"), "{told}");
        }
        // Another verb has no program.
        let told = told(&["capfs-host", "inspect", "--since", "a.wasm"]);
        assert!(!told.contains("for the program"), "{told}");
    }

    #[test]
    fn units() {
        assert_eq!("1.5s".parse(), Ok(DurationArg(Duration::from_millis(1500))));
        assert_eq!("200ms".parse(), Ok(DurationArg(Duration::from_millis(200))));
        assert!("5".parse::<DurationArg>().is_err());
        assert!("-5s".parse::<DurationArg>().is_err());
        assert_eq!("1ms".parse(), Ok(ClockArg(ClockGrant::Steps(1_000_000))));
        assert_eq!("none".parse(), Ok(ClockArg(ClockGrant::Nothing)));
        assert!("0s".parse::<ClockArg>().is_err());
        assert_eq!("baseline".parse(), Ok(CompilerArg(Tiers::Baseline)));
        assert!("winch".parse::<CompilerArg>().is_err());
        assert_eq!("64MiB".parse(), Ok(SizeArg(64 << 20)));
        assert_eq!("4096".parse(), Ok(SizeArg(4096)));
        assert!("x".parse::<SizeArg>().is_err());
        assert_eq!(audit_size("1MiB"), Ok(SizeArg(1 << 20)));
        assert!(audit_size("1MB").is_err() && audit_size("x").is_err());
        let digest = "0123456789abcdef".repeat(4);
        let whole = format!("sha256:{digest}");
        assert_eq!(manifest_digest(&whole), Ok(whole.clone()));
        for bad in [&digest, &whole[..70], "sha256:", ""] {
            let error = manifest_digest(bad).unwrap_err();
            assert!(error.contains("`sha256:` and 64"), "{error}");
        }
    }
}
