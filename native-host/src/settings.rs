//! What `run` was told, by a manifest and by the command line together.

use std::path::PathBuf;
use std::time::Duration;

use capfs::device::memory::MemoryLimits;
use capfs_devices::identity::Identity;
use capfs_host::grants::absolute;
use capfs_host::limits::FILES_MAX;
use capfs_host::listen::ListenGrant;
use capfs_host::manifest::{self, Manifest, ManifestError, Variable, Want};
use capfs_runtime::ClockGrant;

use crate::cli::{EnvArg, RunArgs};

/// Why it can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The manifest's fault.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Nothing says what is to be run.
    #[error("neither the manifest nor the command line names a program")]
    NoProgram,
    /// An argument that no program can be given.
    #[error("an argument is not UTF-8: {0}")]
    Argument(String),
    /// A variable of this process that no program can be given.
    #[error("the value of the variable `{0}` is not UTF-8")]
    Variable(String),
}

/// What a run is given. The command line adds to the manifest, and what it says of the same path, variable or limit
/// holds.
pub struct Settings {
    /// The program's file.
    pub program: PathBuf,
    /// The digest that its module must have, if a manifest says so.
    pub program_digest: Option<String>,
    /// Who it is, if somebody says so.
    pub id: Option<Identity>,
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Files and capabilities, the manifest's first.
    pub wants: Vec<Want>,
    /// Addresses to listen at.
    pub listen: Vec<ListenGrant>,
    /// What it may know of the time.
    pub clock: ClockGrant,
    /// Whether WASI's own call gives it random bytes.
    pub random: bool,
    /// Descriptors at once.
    pub max_files: u32,
    /// Bytes of its memory.
    pub max_memory: Option<usize>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Bounds of each file system in memory.
    pub memory_files: MemoryLimits,
}

impl Settings {
    /// Reads the manifest, if there is one, and puts both together.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn new(args: &RunArgs) -> Result<Settings, SettingsError> {
        let manifest = args.manifest.as_deref();
        let wanted = args.manifest_digest.as_deref();
        let manifest = manifest
            .map(|path| manifest::load(path, wanted))
            .transpose()?;
        let manifest = manifest.unwrap_or_default();
        let (program, own) = program(args, &manifest)?;
        let name = program.file_name().map_or_else(
            || program.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        let mut all = vec![name];
        all.extend(manifest.args);
        all.extend(own);
        let mut memory_files = MemoryLimits::default();
        if let Some(bytes) = manifest.limits.storage {
            memory_files.bytes = bytes;
        }
        Ok(Settings {
            program,
            program_digest: manifest.program_digest,
            id: args.id.clone().or(manifest.id),
            args: all,
            env: env(&manifest.env, &args.env)?,
            wants: wants(manifest.wants, args),
            listen: match args.listen.is_empty() {
                true => manifest.listen,
                false => args.listen.clone(),
            },
            clock: match args.clock {
                Some(clock) => clock.0,
                None => manifest.clock.unwrap_or(ClockGrant::Exact),
            },
            random: !args.no_random && manifest.random.unwrap_or(true),
            max_files: args
                .max_files
                .or(manifest.limits.files)
                .unwrap_or(FILES_MAX),
            max_memory: args
                .max_memory
                .map(|size| size.0)
                .or(manifest.limits.memory),
            timeout: args.timeout.map(|time| time.0).or(manifest.limits.time),
            memory_files,
        })
    }
}

/// The program, and the arguments of the command line for it.
fn program(args: &RunArgs, manifest: &Manifest) -> Result<(PathBuf, Vec<String>), SettingsError> {
    let mut words = args.program.iter().cloned();
    let program = match &manifest.program {
        Some(program) => program.clone(),
        None => words.next().ok_or(SettingsError::NoProgram)?.into(),
    };
    let own = words.map(|word| {
        let text = word.into_string();
        text.map_err(|word| SettingsError::Argument(word.display().to_string()))
    });
    Ok((program, own.collect::<Result<_, _>>()?))
}

/// The variables that are set, each name once, in the order in which they were named first. What is said last holds: an option is
/// overruled by one that is put behind it.
///
/// # Errors
/// - [`SettingsError::Variable`]: what is to be passed on is not UTF-8; it is no less set than others
fn env(manifest: &[Variable], own: &[EnvArg]) -> Result<Vec<(String, String)>, SettingsError> {
    let own: Vec<Variable> = own.iter().map(EnvArg::variable).collect();
    manifest::variables(manifest.iter().chain(&own)).map_err(SettingsError::Variable)
}

/// What the manifest asks for, but for what the command line has something else at its path for, and that.
fn wants(manifest: Vec<Want>, args: &RunArgs) -> Vec<Want> {
    let own: Vec<Want> = args
        .grants()
        .into_iter()
        .map(Want::of_command_line)
        .collect();
    let path = |want: &Want| absolute(want.grant.guest()).ok();
    let taken: Vec<_> = own.iter().filter_map(path).collect();
    let kept = manifest.into_iter();
    let kept = kept.filter(|want| path(want).is_none_or(|path| !taken.contains(&path)));
    kept.chain(own).collect()
}
