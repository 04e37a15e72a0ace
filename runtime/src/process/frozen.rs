//! What a process is while nothing of it runs.
//!
//! # Form
//! See [`capfs::encoding`] for numbers, texts and lists; [`FROZEN_MAX`] bytes at most.
//! ```text
//! "capfspro"  version: u32
//! namespace: the text of its list
//! arguments: count, of each a text; environment: count, of each a text, NAME=VALUE
//! clocks: monotonic: u64  start: u64  processor time: u64, in nanoseconds
//! usage: calls, bytes read, bytes written: u64  descriptors at most: u32
//! numbers: open files numbered so far: u64  of them, handed at the start: u64
//! descriptors: count, by ascending number, of each:
//!     number: u32  flags: u16 as u32  offset: u64  rights, its own and those that it hands on: u64
//!     name of a directory that was preopened: u8, 1 with a text behind it
//!     what it is: u8, then
//!         0, stale
//!         1, handed at the start     which, from 0: u64
//!         2, a directory             mount: u32  handle
//!         3, another file            mount: u32  handle  state
//! ```
//! It has no rights of mounts: those are what the namespace gives in which the process is thawed.

use std::fmt;

use capfs::encoding::{Decoder, Encoder, Malformed};
use capfs::{
    Errno, HANDLE_MAX, Handle, NAMESPACE_ENTRIES_MAX, NAMESPACE_LINE_MAX, NamespaceList,
    NamespaceTextError, PATH_MAX, SAVED_STATE_MAX, SavedPlace,
};

use super::Usage;
use super::fds::{FdFlags, Rights};

const MAGIC: &[u8; 8] = b"capfspro";

/// The version of the form. What was written by another can't be read.
const VERSION: u32 = 1;

/// Bytes of a frozen process at most: what 1,000 open texts of the largest size take, or some 15,000 files with the longest handles.
pub const FROZEN_MAX: usize = 64 << 20;

/// The most that a clock may show, in nanoseconds: 292 years, so that it still goes on for as long.
const CLOCK_MAX: u64 = u64::MAX >> 1;

/// Bytes of a descriptor at least.
const DESCRIPTOR_MIN: usize = 4 + 4 + 8 + 8 + 8 + 1 + 1;

/// Why bytes are no frozen process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrozenError {
    /// They are something else, of another version, or damaged.
    #[error("a frozen process: {0}")]
    Malformed(#[from] Malformed),
    /// Its namespace is none.
    #[error("the namespace of a frozen process: {0}")]
    Namespace(#[from] NamespaceTextError),
    /// They are more than [`FROZEN_MAX`].
    #[error("a frozen process has more than {FROZEN_MAX} bytes")]
    TooLarge,
}

/// A process at rest: all that it is besides its memory, its files' contents and what its host grants it.
///
/// [`Process::freeze`](super::Process::freeze) makes it, [`Process::thaw`](super::Process::thaw) goes on with it, here or on another host. It is
/// kept as bytes ([`Frozen::to_bytes`]); what it shows by [`Display`](fmt::Display) is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    pub(super) namespace: NamespaceList,
    pub(super) args: Vec<String>,
    /// `NAME=VALUE`.
    pub(super) env: Vec<String>,
    pub(super) clocks: Clocks,
    pub(super) usage: Usage,
    pub(super) handed: u64,
    pub(super) given: u64,
    pub(super) descriptors: Vec<FrozenDescriptor>,
}

/// What the clocks of a process showed, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clocks {
    pub(super) monotonic: u64,
    /// When it started, on its monotonic clock.
    pub(super) started: u64,
    pub(super) cpu_time: u64,
}

/// A descriptor at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrozenDescriptor {
    pub(super) fd: u32,
    pub(super) flags: FdFlags,
    pub(super) offset: u64,
    pub(super) base: Rights,
    pub(super) inheriting: Rights,
    pub(super) preopen: Option<String>,
    pub(super) file: FrozenFile,
}

/// What a descriptor was of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FrozenFile {
    Stale,
    Given(u64),
    Directory(SavedPlace),
    Other(SavedPlace, Vec<u8>),
}

impl Frozen {
    /// What its namespace was made of: it is thawed in one made of the same list.
    pub fn namespace(&self) -> &NamespaceList {
        &self.namespace
    }

    /// How many files it was handed when it started: standard input, output and errors, and whatever came behind its directories.
    pub fn handed(&self) -> usize {
        usize::try_from(self.given).unwrap_or(usize::MAX)
    }

    /// The numbers of descriptors that are stale already.
    pub fn stale(&self) -> impl Iterator<Item = u32> {
        let stale = |descriptor: &&FrozenDescriptor| descriptor.file == FrozenFile::Stale;
        self.descriptors
            .iter()
            .filter(stale)
            .map(|descriptor| descriptor.fd)
    }

    /// Its bytes.
    ///
    /// # Errors
    /// - [`Errno::Fbig`]: there are more than [`FROZEN_MAX`]
    pub fn to_bytes(&self) -> Result<Vec<u8>, Errno> {
        let mut bytes = Encoder::new(MAGIC, VERSION);
        bytes.bytes(self.namespace.to_string().as_bytes());
        for words in [&self.args, &self.env] {
            bytes.count(words.len());
            words.iter().for_each(|word| bytes.bytes(word.as_bytes()));
        }
        let Clocks {
            monotonic,
            started,
            cpu_time,
        } = self.clocks;
        let Usage {
            calls,
            bytes_read,
            bytes_written,
            files_peak,
        } = self.usage;
        for number in [
            monotonic,
            started,
            cpu_time,
            calls,
            bytes_read,
            bytes_written,
        ] {
            bytes.u64(number);
        }
        bytes.u32(files_peak);
        bytes.u64(self.handed);
        bytes.u64(self.given);
        bytes.count(self.descriptors.len());
        for descriptor in &self.descriptors {
            descriptor.encode(&mut bytes);
            if bytes.len() > FROZEN_MAX {
                return Err(Errno::Fbig);
            }
        }
        match bytes.len() <= FROZEN_MAX {
            true => Ok(bytes.finish()),
            false => Err(Errno::Fbig),
        }
    }

    /// Reads bytes of [`Frozen::to_bytes`].
    ///
    /// # Errors
    /// See [`FrozenError`]. No input makes this panic, or take more than a few times its own length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Frozen, FrozenError> {
        if bytes.len() > FROZEN_MAX {
            return Err(FrozenError::TooLarge);
        }
        let mut bytes = Decoder::new(bytes, "frozen process", MAGIC, VERSION)?;
        let longest = NAMESPACE_ENTRIES_MAX * NAMESPACE_LINE_MAX;
        let namespace = bytes.text(longest, "its namespace")?.parse()?;
        let args = words(&mut bytes, "an argument", |_| true)?;
        let env = words(&mut bytes, "a variable", |word| {
            word.split_once('=')
                .is_some_and(|(name, _)| !name.is_empty())
        })?;
        let monotonic = bytes.u64("the monotonic clock")?;
        let started = bytes.u64("the start")?;
        let cpu_time = bytes.u64("processor time")?;
        if monotonic > CLOCK_MAX || started > monotonic || cpu_time > CLOCK_MAX {
            return Err(bytes.wrong("what the clocks show").into());
        }
        let usage = Usage {
            calls: bytes.u64("usage")?,
            bytes_read: bytes.u64("usage")?,
            bytes_written: bytes.u64("usage")?,
            files_peak: bytes.u32("usage")?,
        };
        let handed = bytes.u64("the number of the last open file")?;
        let given = bytes.u64("the files that it was handed")?;
        if given > handed || handed > CLOCK_MAX {
            return Err(bytes.wrong("the files that it was handed").into());
        }
        let used = [usage.calls, usage.bytes_read, usage.bytes_written];
        if used.into_iter().any(|used| used > CLOCK_MAX) {
            return Err(bytes.wrong("usage").into());
        }
        let count = bytes.count(DESCRIPTOR_MIN, "descriptors")?;
        let mut descriptors: Vec<FrozenDescriptor> = Vec::with_capacity(count);
        for _ in 0..count {
            let descriptor = FrozenDescriptor::decode(&mut bytes, given)?;
            if descriptors
                .last()
                .is_some_and(|last| last.fd >= descriptor.fd)
            {
                return Err(bytes.wrong("the number of a descriptor").into());
            }
            descriptors.push(descriptor);
        }
        bytes.finish()?;
        Ok(Frozen {
            namespace,
            args,
            env,
            clocks: Clocks {
                monotonic,
                started,
                cpu_time,
            },
            usage,
            handed,
            given,
            descriptors,
        })
    }
}

/// Reads words without NUL.
fn words(
    bytes: &mut Decoder<'_>,
    what: &'static str,
    right: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Malformed> {
    let count = bytes.count(4, what)?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let word = bytes.text(FROZEN_MAX, what)?;
        if word.contains('\0') || !right(word) {
            return Err(bytes.wrong(what));
        }
        words.push(word.to_owned());
    }
    Ok(words)
}

impl FrozenDescriptor {
    fn encode(&self, bytes: &mut Encoder) {
        bytes.u32(self.fd);
        bytes.u32(u32::from(self.flags.bits()));
        bytes.u64(self.offset);
        bytes.u64(self.base.bits());
        bytes.u64(self.inheriting.bits());
        match &self.preopen {
            None => bytes.u8(0),
            Some(name) => {
                bytes.u8(1);
                bytes.bytes(name.as_bytes());
            }
        }
        let mut place = |kind: u8, place: &SavedPlace| {
            bytes.u8(kind);
            bytes.u32(place.mount);
            bytes.bytes(place.handle.bytes());
        };
        match &self.file {
            FrozenFile::Stale => bytes.u8(0),
            FrozenFile::Given(index) => {
                bytes.u8(1);
                bytes.u64(*index);
            }
            FrozenFile::Directory(at) => place(2, at),
            FrozenFile::Other(at, state) => {
                place(3, at);
                bytes.bytes(state);
            }
        }
    }

    fn decode(bytes: &mut Decoder<'_>, given: u64) -> Result<FrozenDescriptor, Malformed> {
        let fd = bytes.u32("the number of a descriptor")?;
        let flags = FdFlags::parse(bytes.u32("flags")?).map_err(|_| bytes.wrong("flags"))?;
        let offset = bytes.u64("an offset")?;
        if i64::try_from(offset).is_err() {
            return Err(bytes.wrong("an offset"));
        }
        let mut rights = || {
            let bits = bytes.u64("rights")?;
            Rights::from_bits(bits).ok_or_else(|| bytes.wrong("rights"))
        };
        let (base, inheriting) = (rights()?, rights()?);
        let preopen = match bytes.u8("the name of a directory")? {
            0 => None,
            1 => {
                let name = bytes.text(PATH_MAX, "the name of a directory")?;
                if name.contains('\0') {
                    return Err(bytes.wrong("the name of a directory"));
                }
                Some(name.to_owned())
            }
            _ => return Err(bytes.wrong("the name of a directory")),
        };
        let place = |bytes: &mut Decoder<'_>| {
            let mount = bytes.u32("a mount")?;
            let handle = bytes.bytes(HANDLE_MAX, "a handle")?;
            let handle = Handle::new(handle).map_err(|_| bytes.wrong("a handle"))?;
            Ok::<_, Malformed>(SavedPlace { mount, handle })
        };
        let file = match bytes.u8("what a descriptor is")? {
            0 => FrozenFile::Stale,
            1 => match bytes.u64("which file it was handed")? {
                index if index < given => FrozenFile::Given(index),
                _ => return Err(bytes.wrong("which file it was handed")),
            },
            2 => FrozenFile::Directory(place(bytes)?),
            3 => {
                let place = place(bytes)?;
                let state = bytes.bytes(SAVED_STATE_MAX, "the state of a file")?;
                FrozenFile::Other(place, state.to_vec())
            }
            _ => return Err(bytes.wrong("what a descriptor is")),
        };
        Ok(FrozenDescriptor {
            fd,
            flags,
            offset,
            base,
            inheriting,
            preopen,
            file,
        })
    }
}

/// A line for each thing, for people.
impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "process, version {VERSION}")?;
        write!(f, "{}", self.namespace)?;
        self.args
            .iter()
            .try_for_each(|arg| writeln!(f, "argument {arg:?}"))?;
        self.env
            .iter()
            .try_for_each(|word| writeln!(f, "variable {word:?}"))?;
        let Clocks {
            monotonic,
            started,
            cpu_time,
        } = self.clocks;
        writeln!(
            f,
            "clocks monotonic {monotonic} started {started} processor {cpu_time}"
        )?;
        let Usage {
            calls,
            bytes_read,
            bytes_written,
            files_peak,
        } = self.usage;
        writeln!(
            f,
            "usage calls {calls} read {bytes_read} written {bytes_written} files {files_peak}"
        )?;
        self.descriptors
            .iter()
            .try_for_each(|descriptor| writeln!(f, "{descriptor}"))
    }
}

impl fmt::Display for FrozenDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor {} ", self.fd)?;
        let place = |f: &mut fmt::Formatter<'_>, kind: &str, place: &SavedPlace| {
            write!(f, "{kind} of mount {} handle ", place.mount)?;
            let mut bytes = place.handle.bytes().iter();
            bytes.try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match &self.file {
            FrozenFile::Stale => write!(f, "stale")?,
            FrozenFile::Given(index) => write!(f, "handed {index}")?,
            FrozenFile::Directory(at) => place(f, "directory", at)?,
            FrozenFile::Other(at, state) => {
                place(f, "file", at)?;
                write!(f, " state {} bytes", state.len())?;
            }
        }
        if let Some(name) = &self.preopen {
            write!(f, " preopened {name:?}")?;
        }
        write!(
            f,
            " offset {} flags {:#x} rights {:#x} {:#x}",
            self.offset,
            self.flags.bits(),
            self.base.bits(),
            self.inheriting.bits()
        )
    }
}
