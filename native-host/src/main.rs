//! `capfs-host`: runs agents natively.

// They panic where nothing can be written; `say` does not.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod cli;
mod closing;
mod ends;
mod progress;
mod reload;
mod report;
mod settings;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capfs_host::audit::{AuditFile, SIZE_DEFAULT};
use capfs_host::behind;
use capfs_host::cache::Cache;
use capfs_host::capabilities::Capabilities;
use capfs_host::compile::{self, Compiler, Failure, Tiers, Watch};
use capfs_host::device::console::{ProcessTerminal, restore};
use capfs_host::device::stdio::HostStream;
use capfs_host::engine::{
    self, CodeSource, Compiling, Engines, ModuleError, Tier, engine, load_bytes,
};
use capfs_host::grants::{self, Grant, Lack};
use capfs_host::inspect::{self, Asked};
use capfs_host::limits::MEMORY_MAX;
use capfs_host::listen;
use capfs_host::manifest::{self, Manifest, ManifestError, Want};
use capfs_host::read::first_line;
use capfs_host::reserved::OwnPaths;
use capfs_host::run::{Agent, Outcome, RunConfig, codes};
use capfs_host::state::{State, StateError};
use capfs_host::tasks::{Family, FamilyConfig};
use capfs_host::wait::Parker;
use capfs_host::{say, secrets, volumes};

use capfs::OpenFile;
use capfs::account::{Account, Holding};
use capfs_devices::audit::Sink;
use capfs_devices::identity::Identity;
use capfs_modules::Refusal;
use capfs_native_devices::Host;
use capfs_native_devices::net::{Network, NetworkOptions};
use capfs_native_devices::signals::{self, Signal};
use capfs_runtime::FileLimit;
use cli::{CheckArgs, Cli, Command, CompileArgs, InspectArgs, RunArgs, StorageCommand};
use closing::{AuditedRun, Closing, Refused};
use ends::{Beginning, Ends, GRACE};
use progress::{Progress, file_name};
use reload::{GrantedByManifest, Source};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::{Settings, SettingsError};
use zeroize::Zeroizing;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run(*args),
        Command::Inspect(args) => inspect_module(args),
        Command::Storage(StorageCommand::Check(args)) => check_storage(&args),
        Command::Compile(args) => compile(&args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failed) => failed.tell(),
    }
}

/// The exit code for a command line that can't be understood, which is clap's.
const USAGE: u8 = 2;

/// Why a command ends without having done what it should.
struct Failed {
    code: u8,
    /// What went wrong, a line each.
    errors: Vec<String>,
    /// What may help.
    hints: BTreeSet<String>,
}

impl Failed {
    fn new(code: u8, error: impl Into<String>) -> Failed {
        Failed {
            code,
            errors: vec![error.into()],
            hints: BTreeSet::new(),
        }
    }

    /// The host's own fault, or its machine's.
    fn host(error: impl Into<String>) -> Failed {
        Failed::new(codes::HOST, error)
    }

    fn hint(mut self, hint: Option<&str>) -> Failed {
        self.hints.extend(hint.map(str::to_owned));
        self
    }

    fn tell(&self) -> ExitCode {
        self.errors.iter().for_each(say::error);
        self.hints.iter().for_each(say::hint);
        ExitCode::from(self.code)
    }
}

/// How a command ends for a module that can't be run.
fn module_code(error: &ModuleError) -> u8 {
    match error {
        ModuleError::Refused { refusal, .. } => refusal.exit_code(),
        ModuleError::OtherDigest { .. } => codes::MODULE,
        ModuleError::Compile { .. } => codes::HOST,
        _ => codes::NOT_FOUND,
    }
}

/// Whether a file may be a manifest, by its name.
fn has_manifests_name(path: &str) -> bool {
    let end = Path::new(path).extension();
    end.is_some_and(|end| end == "toml" || end == "json")
}

impl From<ModuleError> for Failed {
    fn from(error: ModuleError) -> Failed {
        let manifest;
        let hint = match &error {
            ModuleError::Refused {
                refusal: Refusal::NotWasm(_),
                path,
            } if has_manifests_name(path) => {
                manifest = format!("a manifest is told by its option: `--manifest {path}`");
                Some(manifest.as_str())
            }
            ModuleError::Refused { refusal, .. } => refusal.hint(),
            ModuleError::OtherDigest { .. } => Some(
                "`digest` in the manifest's `[agent]` names the module that may run; `capfs-host inspect` shows a file's",
            ),
            ModuleError::Compile {
                failure: Failure::Memory(_),
                ..
            } => Some("a larger `--max-memory` lets it take as much"),
            _ => None,
        };
        let code = module_code(&error);
        Failed::new(code, error.to_string()).hint(hint)
    }
}

impl From<SettingsError> for Failed {
    fn from(error: SettingsError) -> Failed {
        let (code, hint) = match &error {
            SettingsError::Manifest(ManifestError::Read { .. }) => (codes::NOT_FOUND, None),
            SettingsError::Manifest(ManifestError::OtherDigest { .. }) => (
                codes::HOST,
                Some("`capfs-host inspect --manifest` shows what it says now, and its digest"),
            ),
            SettingsError::Argument(_) | SettingsError::Variable(_) => (USAGE, None),
            SettingsError::NoProgram => (
                codes::HOST,
                Some("`[agent] program` names it, or the command line"),
            ),
            SettingsError::Manifest(_) => (codes::HOST, None),
        };
        let errors = match &error {
            SettingsError::Manifest(error) => error.lines(),
            error => vec![error.to_string()],
        };
        let failed = Failed::new(code, "").hint(hint);
        Failed { errors, ..failed }
    }
}

impl From<StateError> for Failed {
    fn from(error: StateError) -> Failed {
        Failed::host(error.to_string()).hint(error.hint())
    }
}

impl From<Vec<Lack>> for Failed {
    fn from(lacks: Vec<Lack>) -> Failed {
        Failed {
            code: codes::HOST,
            errors: lacks.iter().map(ToString::to_string).collect(),
            hints: lacks
                .iter()
                .filter_map(|lack| lack.hint)
                .map(str::to_owned)
                .collect(),
        }
    }
}

fn inspect_module(args: InspectArgs) -> Result<u8, Failed> {
    let manifest = args.manifest.as_deref();
    let manifest = manifest.map(|path| manifest::load(path, None)).transpose();
    let mut manifest = manifest.map_err(SettingsError::from)?;
    // As `run` has it: where the manifest names the program, what else is named is an argument of it.
    let program = match &mut manifest {
        Some(Manifest {
            program: Some(program),
            args: own,
            ..
        }) => {
            own.extend(args.agent.map(|word| word.display().to_string()));
            program.clone()
        }
        _ => args.agent.ok_or(SettingsError::NoProgram)?,
    };
    let name = program.display().to_string();
    let wasm = engine::read(&program)?;
    let module = inspect::describe(&engine(), &wasm, &name)?;
    let cache = Cache::of_user();
    let asked = manifest.map(|manifest| {
        let own = OwnPaths {
            cache: cache.as_ref().map(Cache::folder),
            state: args.state.as_deref(),
            manifest: args.manifest.as_deref(),
            ..OwnPaths::default()
        };
        let reserved = own.reserved(&manifest.wants);
        let host = Host {
            state: args.state.clone(),
            terminal: Some(Arc::new(ProcessTerminal)),
            ..Host::default()
        };
        let capabilities = Capabilities::new(host, &name, Family::alone(), reserved);
        Asked::examine(manifest, &module, &capabilities)
    });
    let text = match args.json {
        true => say::json(&module.as_json(asked.as_ref()), true) + "\n",
        false => module.as_text(asked.as_ref()),
    };
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| Failed::host(format!("can't write: {error}")))?;
    // As `run` would end.
    Ok(match asked {
        Some(asked) if !asked.is_module() => codes::MODULE,
        Some(asked) if asked.has_all() && !asked.starts() => USAGE,
        Some(asked) if !asked.starts() => codes::HOST,
        _ => 0,
    })
}

/// The exit code where nothing that is stored can be read.
const UNREADABLE: u8 = 2;

fn check_storage(args: &CheckArgs) -> Result<u8, Failed> {
    let found = volumes::find(&args.folder);
    let found = found.map_err(|error| Failed::new(UNREADABLE, error.to_string()))?;
    if found.is_empty() {
        let folder = args.folder.display();
        let error = format!("there is nothing in `{folder}` that a browser has stored");
        let hint = "a tree of stored files is a folder with the files `index-0`, `index-1` and `data`; natively it is a plain folder";
        return Err(Failed::new(UNREADABLE, error).hint(Some(hint)));
    }
    let all: Vec<_> = found.into_iter().map(volumes::examine).collect();
    let text = match args.json {
        true => say::json(&volumes::as_json(&all), true) + "\n",
        false => volumes::as_text(&all),
    };
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|error| Failed::new(UNREADABLE, format!("can't write: {error}")))?;
    let codes = all.iter().map(|checked| checked.verdict.code());
    Ok(codes.max().unwrap_or(UNREADABLE))
}

/// What `run` has started this command for.
fn compile(args: &CompileArgs) -> Result<u8, Failed> {
    let done = match (&args.behind, args.parent) {
        (Some(folder), Some(parent)) => behind::leave(args.max, parent, folder),
        (Some(folder), None) => behind::serve(args.max, folder),
        (None, parent) => {
            let tier = match args.baseline {
                true => Tier::Baseline,
                false => Tier::Optimised,
            };
            return Ok(compile::serve(tier, args.max, parent.unwrap_or_default()));
        }
    };
    done.map(|()| 0)
        .map_err(|failure| Failed::host(failure.to_string()))
}

fn run(args: RunArgs) -> Result<u8, Failed> {
    let closing = Closing::default();
    let _refused = Refused(&closing);
    launch(args, &closing)
}

/// Starts a program with what it is given, and waits for its end.
fn launch(args: RunArgs, closing: &Closing) -> Result<u8, Failed> {
    let begun = Instant::now();
    let by_manifest = GrantedByManifest::default();
    let source = args.manifest.clone().map(|path| Source {
        path,
        quiet: args.quiet,
    });
    let handle_signals = || {
        let hung_up = source.clone().map(|source| by_manifest.reread(source));
        let ends = Ends::by_signals(hung_up, closing.clone());
        ends.map_err(|error| Failed::host(format!("can't handle signals: {error}")))
    };
    // Compiling takes its time, and process 1 is ended by no signal that it does not handle; nor is another by a SIGHUP that is ignored,
    // which takes something away all the same. Any other process is, and starts faster as long as it has one thread.
    let misses_hang_up = || signals::wanted(&[Signal::HangUp]).is_empty();
    let early = std::process::id() == 1 || source.is_some() && misses_hang_up();
    let early = early.then(&handle_signals).transpose()?;
    let within = |time: Duration| {
        let (quiet, json) = (args.quiet, args.json);
        let left = time.saturating_sub(begun.elapsed());
        let closing = closing.clone();
        let late = move || {
            let told = || report::late(time, quiet, json);
            closing.exit(codes::TIMEOUT, "timeout", told);
        };
        Beginning::within(left, codes::TIMEOUT, late).map_err(|error| {
            let text = format!("there is no thread that could end the program in time: {error}");
            Failed::host(text)
        })
    };
    // Reading the manifest takes time as well: it may be a pipe.
    let told = args
        .timeout
        .as_ref()
        .map(|time| within(time.0))
        .transpose()?;
    let settings = Settings::new(&args)?;
    let beginning = match told {
        Some(told) => Some(told),
        None => settings.timeout.map(within).transpose()?,
    };
    if !args.quiet && args.grants().iter().any(is_header_in_argument) {
        say::warning(
            "a header in an argument can be read by everybody on this machine, by ps(1) say; \
             where it is a secret, `header-file=` and `header-env=` take it from elsewhere",
        );
    }
    if !args.quiet {
        warn_of_open_secrets(&settings.wants, args.passphrase_file.as_deref());
    }
    let cache = if args.no_cache {
        None
    } else {
        Cache::of_user()
    };
    let name = settings.program.display().to_string();
    let max_memory = settings.max_memory.map_or(MEMORY_MAX, |max| max as u64);
    let compiler = Compiler::of_this_command();
    let load = || {
        let wasm = engine::read(&settings.program)?;
        // These bytes, and no others, are compiled.
        ModuleError::check_digest(&name, &wasm, settings.program_digest.as_deref())?;
        let mut progress = Progress::new(&name, wasm.len(), cache.is_some(), args.quiet);
        let max = compile::allowed(wasm.len(), max_memory);
        let watch = Watch {
            parker: &Parker::new(),
            max,
            charge: None,
            meanwhile: &mut || progress.look(),
        };
        let first = compiler.clone().with(args.compiler());
        let compiling = Compiling::Apart(&first, watch);
        // One agent takes its memory once: there is nothing to hand on.
        let engines = Engines::without_pool();
        let loaded = load_bytes(&engines, &wasm, &name, cache.as_ref(), compiling)?;
        drop(progress);
        loaded.fits(max_memory, &name)?;
        let agent = Agent::new(&loaded.module, &name)?;
        if let (Tiers::BaselineFirst, Some(cache), Some(key)) =
            (first.tiers(), &cache, &loaded.optimised_key)
        {
            // Where it can't be started, the next start has no optimised code either, and starts it again.
            let begun = behind::start(&compiler, cache, key, &wasm, max).unwrap_or(false);
            if begun && loaded.source == CodeSource::Compiled && !args.quiet {
                let name = file_name(&name);
                let text = format!(
                    "{name} starts with code that was compiled quickly; a later start has faster code, as soon as that is made"
                );
                say::aside("compiled", text);
            }
        }
        Ok((agent, (loaded.source, loaded.tier), loaded.instance, wasm))
    };
    let (agent, origin, instance, wasm) = load().inspect_err(|error: &ModuleError| {
        if args.json {
            say::report(&report::module_refused(error, module_code(error)));
        }
    })?;
    let load_time = begun.elapsed();
    // Nobody asks who it is where nothing lasts.
    let lasts = args.state.is_some() || args.audit.is_some();
    let identity = settings.id.clone();
    let identity = identity.or_else(|| lasts.then(|| Identity::of_module(&wasm)));
    drop(wasm);
    // What may be another's comes before anything is made.
    let mut listening = listen::listen(&settings.listen).map_err(Failed::host)?;
    // From here on a signal finds something to settle.
    let early = match early {
        None if lasts => Some(handle_signals()?),
        early => early,
    };
    if let (Some(path), Some(identity)) = (&args.state, &identity) {
        closing.claim(|| State::claim(path, identity, &name))?;
    }
    let audit = match (&args.audit, &identity) {
        (Some(path), Some(identity)) => Some(begin_audit(path, &args, &name, identity, closing)?),
        _ => None,
    };
    let sink = audit.map(|file| file as Arc<dyn Sink>);
    let account = Account::new(max_memory);
    let instance = account.charge(Holding::Programs, instance);
    let _instance = instance.map_err(|_| {
        Failed::host("an instance of the program needs more memory than it may have")
    })?;
    let passphrase = args.passphrase_file.as_deref();
    let network = Network::driven(NetworkOptions::default());
    let host = Host {
        network: network.clone(),
        state: args.state.clone(),
        account: account.clone(),
        passphrase: passphrase.map(read_passphrase).transpose()?,
        terminal: Some(Arc::new(ProcessTerminal)),
    };
    let max_files: FileLimit = settings.max_files.into();
    let (clock, random) = (settings.clock, settings.random);
    let family = Family::new(FamilyConfig {
        compiler: Some(compiler),
        cache,
        account: account.clone(),
        files: max_files.clone(),
        clock,
        random,
        sink,
    });
    // Whether this run uses it or not: the next one will.
    let of_user = Cache::of_user();
    let own = OwnPaths {
        cache: of_user.as_ref().map(Cache::folder),
        state: args.state.as_deref(),
        audit: args.audit.as_deref(),
        manifest: args.manifest.as_deref(),
        passphrase,
    };
    let reserved = own.reserved(&settings.wants);
    let mut capabilities = Capabilities::new(host, &name, family, reserved);
    // Each folder that is granted takes some of them.
    raise_file_limit();
    let granted = grants::namespace(&settings.wants, settings.memory_files, &mut capabilities);
    let granted = granted.map_err(|missing| {
        if args.json {
            say::report(&report::refused(&missing));
        }
        let hint = args.manifest.as_ref().map(|manifest| {
            let manifest = manifest.display();
            format!("`capfs-host inspect --manifest {manifest}` shows everything that it asks for")
        });
        Failed::from(missing).hint(hint.as_deref())
    })?;
    listen::behind(granted.preopens.len(), &mut listening);
    let stdio = HostStream::standard()
        .map_err(|error| Failed::host(format!("can't use the standard streams: {error}")))?;
    let mut env = settings.env;
    listen::announce(&listening, &mut env);
    if !args.quiet {
        for lack in &granted.degraded {
            say::note("degraded", lack);
        }
        for entries in &granted.left_out {
            say::note("left out", entries);
        }
        for socket in &listening {
            let (address, descriptor) = (socket.address, socket.descriptor);
            say::line(format_args!(
                "listening at {address}, descriptor {descriptor}"
            ));
        }
    }
    let list = granted.namespace.list().clone();
    let config = RunConfig {
        args: settings.args,
        env,
        namespace: granted.namespace,
        preopens: granted.preopens,
        stdio: stdio.map(|stream| Box::new(stream) as Box<dyn OpenFile>),
        handed: listening
            .into_iter()
            .map(|socket| Box::new(socket.listener) as Box<dyn OpenFile>)
            .collect(),
        clock,
        random,
        max_files,
        account,
        timeout: settings
            .timeout
            .map(|time| time.saturating_sub(begun.elapsed())),
        driver: network.driver().map_err(no_driver)?.map(Arc::new),
    };
    let ends = match early {
        Some(ends) => ends,
        None => handle_signals()?,
    };
    by_manifest.set(granted.revocable, source.as_ref());
    let state = closing.begun();
    drop(beginning);
    capabilities.begin(&config.namespace);
    let ended = ends.run(agent, config, capabilities.account());
    capabilities.end(GRACE);
    restore();
    let report = ended.map_err(|error| Failed::host(format!("can't run the program: {error}")))?;
    // What is told of an end from outside may have nowhere to go: a pipe that nobody empties must not keep the process.
    let code = report.outcome.code();
    let cancelled = matches!(report.outcome, Outcome::Cancelled(_));
    let telling = cancelled.then(|| Beginning::within(GRACE, code, || {}));
    closing.ended(code, report.outcome.reason());
    drop(state);
    if !args.quiet {
        report::explain(&report, settings.timeout);
    }
    if args.json {
        say::report(&report::as_json(
            &report,
            load_time,
            origin,
            &capabilities,
            &granted.degraded,
            &list,
        ));
    }
    drop(telling);
    Ok(code)
}

fn no_driver(error: io::Error) -> Failed {
    Failed::host(format!("can't use the network: {error}"))
}

/// Whether a grant of the command line has a header's value in it.
fn is_header_in_argument(grant: &Grant) -> bool {
    match grant {
        Grant::Capability(grant) => grant.terms.iter().any(|term| term.key == "header"),
        _ => false,
    }
}

/// Warns of files with secrets that others can read.
fn warn_of_open_secrets(wants: &[Want], passphrase: Option<&Path>) {
    let grants = wants.iter().filter_map(|want| match &want.grant {
        Grant::Capability(grant) => Some(grant),
        _ => None,
    });
    let files = grants.flat_map(secrets::files).chain(passphrase);
    for file in files.filter(|file| secrets::is_readable_by_others(file)) {
        let file = file.display();
        say::warning(format!(
            "others can read `{file}`, which has a secret: `chmod go-r` keeps it"
        ));
    }
}

/// Opens the audit, and says in it that a program starts.
fn begin_audit(
    path: &Path,
    args: &RunArgs,
    agent: &str,
    identity: &Identity,
    closing: &Closing,
) -> Result<Arc<AuditFile>, Failed> {
    let max = args.audit_max.map_or(SIZE_DEFAULT, |size| size.0 as u64);
    let begin = || {
        let file = AuditFile::open(path, max)?;
        file.begin(agent, identity.as_str())?;
        let agent = agent.to_owned();
        Ok(AuditedRun { file, agent })
    };
    closing.begin(begin).map_err(|error| {
        let path = path.display();
        Failed::host(format!("can't write the audit to `{path}`: {error}"))
    })
}

fn read_passphrase(path: &Path) -> Result<Zeroizing<String>, Failed> {
    first_line(path).map_err(|error| {
        let path = path.display();
        Failed::host(format!("can't read a passphrase from `{path}`: {error}"))
    })
}

/// Takes as many descriptors as the operating system lets us have, for a guest's open files are ours.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // What can't be raised shows as `EMFILE` in the guest.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}
