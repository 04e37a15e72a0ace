//! A guest program as the file layer sees it.
//!
//! - `fds`: the descriptor table, rights, flags
//! - `iovecs`: scattered guest memory as a source or sink of bytes
//! - `layout`: structures as they lie in guest memory, of both snapshots
//! - `freeze`, `frozen`: what a process is at rest, as a value and as bytes, and how it goes on elsewhere
//! - `pending`: the call under way, and how it is given up
//! - one file for each family of calls: `startup` (arguments, environment), `clocks` (with randomness),
//!   `files` (bytes of descriptors), `status` (what is known about descriptors), `directories`,
//!   `paths`, `poll`, `sockets`, `exit`
//!
//! # Calls that wait
//! At most one call is under way, so its state is one field, [`Process::pending`], with the call's name and arguments.
//! A call starts by taking what is pending, if it is its own; a host that won't call again says so by
//! [`Process::cancel`].

mod clocks;
mod directories;
mod exit;
mod fds;
mod files;
mod freeze;
mod frozen;
mod iovecs;
mod layout;
mod paths;
mod pending;
mod poll;
mod sockets;
mod startup;
mod status;

use std::sync::Arc;

use capfs::account::{Account, Charge, Holding};
use capfs::clock::Clock;
use capfs::{BoxedFuture, Errno, FileKind, MaybeSend, Namespace, OpenFile, OpenHow};
pub use fds::{DESCRIPTOR, FileLimit};
use fds::{Descriptor, DescriptorTable, Rights};
use pending::UnderWay;

pub use clocks::{ClockGrant, NoRandom};
pub use exit::ExitStatus;
pub use freeze::{Host, Thawed};
pub use frozen::{FROZEN_MAX, Frozen, FrozenError};
pub use iovecs::{IOVECS_MAX, TRANSFER_MAX};
pub use poll::SUBSCRIPTIONS_MAX;

/// Where random bytes come from.
pub trait RandomSource: MaybeSend {
    /// Fills `into` with bytes that can't be guessed.
    ///
    /// # Errors
    /// - [`Errno::Io`]: the host's source failed
    fn fill(&mut self, into: &mut [u8]) -> Result<(), Errno>;
}

/// A directory that the guest finds open when it starts.
pub struct Preopen {
    /// The name that the guest sees, and at which its C library looks paths up.
    pub name: String,
    /// The absolute path in the namespace.
    pub path: String,
}

/// Everything that a process is made of.
pub struct ProcessConfig {
    /// Arguments, the program's name first. No NUL inside.
    pub args: Vec<String>,
    /// Environment. No NUL inside, no `=` in names.
    pub env: Vec<(String, String)>,
    /// The files that there are.
    pub namespace: Namespace,
    /// Descriptors 0, 1 and 2.
    pub stdio: [Box<dyn OpenFile>; 3],
    /// Descriptors from 3 on.
    pub preopens: Vec<Preopen>,
    /// Descriptors behind the preopened directories: listeners and connections, say.
    pub handed: Vec<Box<dyn OpenFile>>,
    /// The host's clocks.
    pub clock: Arc<dyn Clock>,
    /// What of them it may know.
    pub clock_grant: ClockGrant,
    /// The host's randomness.
    pub random: Box<dyn RandomSource>,
    /// Descriptors that may be open at once, at most; over it the guest gets `EMFILE`.
    pub max_files: FileLimit,
    /// What it makes its host hold is charged to this: [`DESCRIPTOR`] bytes for each open descriptor, over which it gets
    /// `ENOMEM`, and its arguments and environment.
    pub account: Account,
}

/// Why a process can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// C strings end at a NUL.
    #[error("{what} contains a NUL byte")]
    Nul {
        /// Which string.
        what: String,
    },
    /// An environment variable whose name is empty or contains `=`.
    #[error("`{name}` can't be the name of an environment variable")]
    EnvName {
        /// The name.
        name: String,
    },
    /// A preopened directory that can't be opened.
    #[error("can't open the directory `{path}`: {errno}")]
    Preopen {
        /// Its path in the namespace.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// More descriptors than `max_files` at the start.
    #[error("more descriptors are handed to the program than it may have open")]
    TooManyFiles,
    /// What it is started with is more than its account has room for.
    #[error(
        "the descriptors, arguments and variables that it is started with need more memory than it may have"
    )]
    Memory,
}

impl ConfigError {
    /// What stands for it where a process that makes another is told.
    pub fn errno(&self) -> Errno {
        match self {
            ConfigError::Nul { .. } | ConfigError::EnvName { .. } => Errno::Inval,
            ConfigError::Preopen { errno, .. } => *errno,
            ConfigError::TooManyFiles => Errno::Mfile,
            ConfigError::Memory => Errno::Nomem,
        }
    }

    /// Why there is no place for a descriptor.
    fn no_place(errno: Errno) -> ConfigError {
        match errno {
            Errno::Nomem => ConfigError::Memory,
            _ => ConfigError::TooManyFiles,
        }
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// WASI calls, those that were refused included. One that waits is one, however often it is tried. `proc_exit`, which no program
    /// returns from, is none.
    pub calls: u64,
    /// Bytes that descriptors gave.
    pub bytes_read: u64,
    /// Bytes that descriptors took.
    pub bytes_written: u64,
    /// Descriptors that were open at once, at most.
    pub files_peak: u32,
}

/// A guest program: its descriptors, arguments, namespace, and the call under way.
pub struct Process {
    args: Vec<String>,
    env: Vec<String>,
    /// For the two above.
    _words: Charge,
    namespace: Namespace,
    /// To whom is charged what a call gathers.
    account: Account,
    fds: DescriptorTable,
    clock: Arc<dyn Clock>,
    clock_grant: ClockGrant,
    random: Box<dyn RandomSource>,
    /// When it started, on its monotonic clock.
    started: u64,
    /// What its monotonic clock is ahead of its host's, in nanoseconds: it goes on where it was when the process was frozen.
    ahead: i64,
    /// Processor time that it had used, in nanoseconds, when it was frozen.
    used_before: u64,
    /// How many open files were numbered.
    handed: u64,
    /// How many of them it was handed when it started: those with the first numbers.
    given: u64,
    pending: Option<UnderWay>,
    /// What closing began, of a program that has ended.
    closing: Vec<BoxedFuture<Result<(), Errno>>>,
    deadline: Option<u64>,
    exit: Option<ExitStatus>,
    usage: Usage,
    /// Buffers for the paths of one call, kept so that a call allocates none.
    path: Vec<u8>,
    other_path: Vec<u8>,
}

impl Process {
    /// Makes a process that is about to run. It is waited for where the directories that the process finds open are of a device
    /// that answers later; dropping the future gives the process up.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub async fn new(config: ProcessConfig) -> Result<Self, ConfigError> {
        let args = startup::checked_args(config.args)?;
        let env = startup::checked_env(config.env)?;
        let words = args.iter().chain(&env);
        let words = words.map(|word| (size_of::<String>() + word.capacity()) as u64);
        let account = &config.account;
        let words = account.charge(Holding::Programs, words.sum());
        let mut process = Process {
            args,
            env,
            _words: words.map_err(|_| ConfigError::Memory)?,
            namespace: config.namespace,
            fds: DescriptorTable::new(config.max_files, account),
            account: account.clone(),
            started: config.clock.monotonic(),
            clock: config.clock,
            clock_grant: config.clock_grant,
            random: config.random,
            ahead: 0,
            used_before: 0,
            handed: 0,
            given: 0,
            pending: None,
            closing: Vec::new(),
            deadline: None,
            exit: None,
            usage: Usage::default(),
            path: Vec::new(),
            other_path: Vec::new(),
        };
        for file in config.stdio {
            process.hand(file, Rights::STDIO).await?;
        }
        for preopen in config.preopens {
            process.preopen(preopen).await?;
        }
        for file in config.handed {
            process.hand(file, Rights::all()).await?;
        }
        process.given = process.handed;
        Ok(process)
    }

    /// When to call again, in nanoseconds of the monotonic clock, though nothing woke the waker.
    ///
    /// It is set while a call waits for a clock.
    pub fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// How the process ended, once it has said so itself.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.exit
    }

    /// The files that the process sees.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The files that the process sees, to mount more or fewer. Descriptors that are open stay open.
    pub fn namespace_mut(&mut self) -> &mut Namespace {
        &mut self.namespace
    }

    /// What the process has used so far.
    pub fn usage(&self) -> Usage {
        Usage {
            files_peak: self.fds.peak(),
            ..self.usage
        }
    }

    async fn hand(&mut self, file: Box<dyn OpenFile>, rights: Rights) -> Result<(), ConfigError> {
        let stat = file.stat().wait().await;
        let kind = stat.map_or(FileKind::Unknown, |stat| stat.qid.kind);
        let position = file.position();
        let mut descriptor = Descriptor::new(file, kind, rights, rights);
        descriptor.number = self.next_number();
        descriptor.offset = position;
        self.fds.insert(descriptor).map_err(ConfigError::no_place)?;
        Ok(())
    }

    /// The number of an open file that no device numbers, as a guest sees it: of a stream or a socket that the process was handed,
    /// or accepted. So it differs from that of every other, and tells of nothing but this process.
    fn next_number(&mut self) -> u64 {
        self.handed += 1;
        self.handed
    }

    async fn preopen(&mut self, preopen: Preopen) -> Result<(), ConfigError> {
        if preopen.name.contains('\0') {
            return Err(ConfigError::Nul {
                what: "the name of a directory".to_owned(),
            });
        }
        let failed = |errno| ConfigError::Preopen {
            path: preopen.path.clone(),
            errno,
        };
        let relative = preopen.path.trim_matches('/');
        let root = self.namespace.root();
        let place = if relative.is_empty() {
            root
        } else {
            let resolved = self.namespace.resolve(&root, relative, true);
            let resolved = resolved.wait().await;
            resolved
                .and_then(|found| found.place.ok_or(Errno::Noent))
                .map_err(failed)?
        };
        if place.kind() != FileKind::Directory {
            return Err(failed(Errno::Notdir));
        }
        let how = OpenHow {
            read: true,
            ..OpenHow::default()
        };
        let file = self.namespace.open_place(&place, how).wait().await;
        let file = file.map_err(failed)?;
        let mut descriptor =
            Descriptor::new(file, FileKind::Directory, Rights::DIRECTORY, Rights::all()).at(place);
        descriptor.preopen = Some(preopen.name);
        self.fds.insert(descriptor).map_err(ConfigError::no_place)?;
        Ok(())
    }
}
