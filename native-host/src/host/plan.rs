//! What an agent is launched with.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use capfs::device::memory::MemoryLimits;
use capfs_devices::audit::Sink;
use capfs_devices::identity::{Identity, InvalidId};
use capfs_runtime::ClockGrant;
use zeroize::Zeroizing;

use super::Program;
use crate::grants::{DirGrant, Grant, MountGrant};
use crate::limits::{FILES_MAX, MEMORY_MAX};
use crate::listen::ListenGrant;
use crate::manifest::{self, ManifestError, Want, variables};

/// Who an agent is on a host: one that runs has its id alone. Its keys, files and databases are found by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AgentId(Identity);

impl AgentId {
    /// Letters, digits, `-`, `_` and `.`, 64 at most.
    ///
    /// # Errors
    /// [`InvalidId`]
    pub fn new(id: &str) -> Result<AgentId, InvalidId> {
        Identity::named(id).map(AgentId)
    }

    /// It as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.0
    }
}

impl FromStr for AgentId {
    type Err = InvalidId;

    fn from_str(id: &str) -> Result<AgentId, InvalidId> {
        AgentId::new(id)
    }
}

impl Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a manifest is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The manifest's fault.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Nothing says what is to be run.
    #[error("the manifest names no program")]
    NoProgram,
    /// A variable of this process that no program can be given.
    #[error("the value of the variable `{0}` is not UTF-8")]
    Variable(String),
}

/// A program, and everything that it is given. Nothing is given that isn't said.
pub struct Plan {
    pub(super) program: Program,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) wants: Vec<Want>,
    pub(super) clock: ClockGrant,
    pub(super) random: bool,
    pub(super) max_memory: u64,
    pub(super) max_files: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) memory_files: MemoryLimits,
    pub(super) state: Option<PathBuf>,
    pub(super) passphrase: Option<Zeroizing<String>>,
    pub(super) audit: Option<Arc<dyn Sink>>,
    pub(super) listen: Vec<ListenGrant>,
    pub(super) digest: Option<String>,
    /// The file that says it all, which no agent may write.
    pub(super) manifest: Option<PathBuf>,
}

impl Plan {
    /// A program without arguments, variables and files, that may hold 4 GiB and run as long as it likes.
    pub fn new(program: Program) -> Plan {
        Plan {
            program,
            args: Vec::new(),
            env: Vec::new(),
            wants: Vec::new(),
            clock: ClockGrant::Exact,
            random: true,
            max_memory: MEMORY_MAX,
            max_files: FILES_MAX,
            timeout: None,
            memory_files: MemoryLimits::default(),
            state: None,
            passphrase: None,
            audit: None,
            listen: Vec::new(),
            digest: None,
            manifest: None,
        }
    }

    /// What a manifest says (docs/manifest.md), and who the agent is, if it says so. What it asks for is granted; what it can do without is
    /// among [`Agent::degraded`](super::Agent::degraded) where this host lacks it.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn from_manifest(path: &Path) -> Result<(Option<AgentId>, Plan), PlanError> {
        let manifest = manifest::load(path, None)?;
        let program = manifest.program.ok_or(PlanError::NoProgram)?;
        let mut plan = Plan::new(Program::file(program));
        plan.args = manifest.args;
        plan.env = variables(&manifest.env).map_err(PlanError::Variable)?;
        plan.wants = manifest.wants;
        plan.clock = manifest.clock.unwrap_or(plan.clock);
        plan.random = manifest.random.unwrap_or(plan.random);
        plan.max_memory = manifest.limits.memory.map_or(MEMORY_MAX, |max| max as u64);
        plan.max_files = manifest.limits.files.unwrap_or(FILES_MAX);
        plan.timeout = manifest.limits.time;
        if let Some(bytes) = manifest.limits.storage {
            plan.memory_files.bytes = bytes;
        }
        plan.listen = manifest.listen;
        plan.digest = manifest.program_digest;
        plan.manifest = Some(path.to_owned());
        Ok((manifest.id.map(AgentId), plan))
    }

    /// No module but the one with this digest is run, which is written as `capfs-host inspect` shows it.
    pub fn digest(self, digest: impl Into<String>) -> Plan {
        Plan {
            digest: Some(digest.into()),
            ..self
        }
    }

    /// One more argument. The program's own name is in front of them.
    pub fn arg(mut self, arg: impl Into<String>) -> Plan {
        self.args.push(arg.into());
        self
    }

    /// A variable; the last value of a name holds.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Plan {
        let name = name.into();
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value.into()));
        self
    }

    /// A folder, a device or a capability: as on the command line, several at one path are united.
    pub fn grant(mut self, grant: impl Into<Grant>) -> Plan {
        self.wants.push(Want::of_command_line(grant.into()));
        self
    }

    /// What it may know of the time; everything unless told.
    pub fn clock(self, clock: ClockGrant) -> Plan {
        Plan { clock, ..self }
    }

    /// Whether WASI's own call gives it random bytes; it does unless told.
    pub fn random(self, random: bool) -> Plan {
        Plan { random, ..self }
    }

    /// Bytes that it may make this host hold, its own memory among them.
    pub fn max_memory(self, max_memory: u64) -> Plan {
        Plan { max_memory, ..self }
    }

    /// Descriptors that it may have open.
    pub fn max_files(self, max_files: u32) -> Plan {
        Plan { max_files, ..self }
    }

    /// How long it may take, from the call of [`Host::launch`](super::Host::launch): compiling and waiting included.
    pub fn timeout(self, timeout: Duration) -> Plan {
        Plan {
            timeout: Some(timeout),
            ..self
        }
    }

    /// Bounds of each file system in memory, beside what it may hold.
    pub fn memory_files(self, memory_files: MemoryLimits) -> Plan {
        Plan {
            memory_files,
            ..self
        }
    }

    /// The folder where its capabilities keep what lasts, which no other agent has meanwhile.
    pub fn state(self, folder: impl Into<PathBuf>) -> Plan {
        Plan {
            state: Some(folder.into()),
            ..self
        }
    }

    /// Seals its keys, instead of a key in that folder.
    pub fn passphrase(self, passphrase: Zeroizing<String>) -> Plan {
        Plan {
            passphrase: Some(passphrase),
            ..self
        }
    }

    /// Takes its audit.
    pub fn audit(self, sink: Arc<dyn Sink>) -> Plan {
        Plan {
            audit: Some(sink),
            ..self
        }
    }
}

impl From<DirGrant> for Grant {
    fn from(grant: DirGrant) -> Grant {
        Grant::Dir(grant)
    }
}

impl From<MountGrant> for Grant {
    fn from(grant: MountGrant) -> Grant {
        Grant::Mount(grant)
    }
}

impl From<capfs_devices::grant::Grant> for Grant {
    fn from(grant: capfs_devices::grant::Grant) -> Grant {
        Grant::Capability(grant)
    }
}
