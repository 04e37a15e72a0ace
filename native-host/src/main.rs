//! `capfs-host`: runs agents natively.

mod cli;
mod reload;
mod report;
mod settings;

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use capfs_host::cache::Cache;
use capfs_host::capabilities::{Capabilities, audit_file};
use capfs_host::device::console::{ProcessTerminal, restore};
use capfs_host::device::stdio::HostStream;
use capfs_host::engine::{self, Engines, ModuleError, THREAD_STACK, engine, load};
use capfs_host::grants::{self, Lack};
use capfs_host::inspect::{self, Asked};
use capfs_host::limits::MEMORY_MAX;
use capfs_host::listen;
use capfs_host::manifest::{self, ManifestError};
use capfs_host::read::read_at_most;
use capfs_host::run::{Agent, Outcome, Report, RunConfig, cancel_on_interrupt, codes};
use capfs_host::tasks::Family;
use capfs_host::wait::{Cancelled, Canceller};

use capfs::OpenFile;
use capfs::account::Account;
use capfs_native_devices::Host;
use capfs_runtime::FileLimit;
use cli::{Cli, Command, InspectArgs, RunArgs};
use rustix::fs::{Access, access};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::{Settings, SettingsError};
use zeroize::Zeroizing;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run(*args),
        Command::Inspect(args) => inspect_module(args),
    }
}

/// Says what went wrong, and what may help.
fn fail(code: u8, error: &str, hint: Option<&str>) -> ExitCode {
    eprintln!("error: {error}");
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(code)
}

fn fail_module(error: &ModuleError, json: bool) -> ExitCode {
    let (code, hint) = match error {
        ModuleError::Refused { refusal, .. } => (refusal.exit_code(), refusal.hint()),
        _ => (codes::NOT_FOUND, None),
    };
    let failed = fail(code, &error.to_string(), hint);
    if json {
        eprintln!("{}", report::module_refused(error, code));
    }
    failed
}

/// The exit code for a command line that can't be understood, which is clap's.
const USAGE: u8 = 2;

/// What can't be given, a line each.
fn fail_lacking(lacks: &[Lack], hint: Option<&str>) -> ExitCode {
    for lack in lacks {
        eprintln!("error: {lack}");
    }
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(codes::HOST)
}

fn fail_settings(error: &SettingsError) -> ExitCode {
    let code = match error {
        SettingsError::Manifest(ManifestError::Read { .. }) => codes::NOT_FOUND,
        SettingsError::Argument(_) => USAGE,
        _ => codes::HOST,
    };
    for line in error.to_string().lines() {
        eprintln!("error: {line}");
    }
    match error {
        SettingsError::NoProgram => {
            fail_hint(code, "`[agent] program` names it, or the command line")
        }
        _ => ExitCode::from(code),
    }
}

fn fail_hint(code: u8, hint: &str) -> ExitCode {
    eprintln!("hint: {hint}");
    ExitCode::from(code)
}

fn inspect_module(args: InspectArgs) -> ExitCode {
    let manifest = args.manifest.as_deref().map(manifest::load).transpose();
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(error) => return fail_settings(&error.into()),
    };
    let named = manifest
        .as_ref()
        .and_then(|manifest| manifest.program.clone());
    let Some(program) = args.agent.or(named) else {
        return fail_settings(&SettingsError::NoProgram);
    };
    let name = program.display().to_string();
    let asked = manifest.map(|manifest| {
        let host = Host {
            state: args.state,
            terminal: Some(Arc::new(ProcessTerminal)),
            ..Host::default()
        };
        Asked::examine(manifest, &Capabilities::new(host, &name, Family::alone()))
    });
    let described = engine::read(&program).and_then(|wasm| {
        let module = inspect::describe(&engine(), &wasm, &name)?;
        Ok(match args.json {
            true => format!("{:#}\n", module.as_json(asked.as_ref())),
            false => module.as_text(asked.as_ref()),
        })
    });
    let text = match described {
        Ok(text) => text,
        Err(error) => return fail_module(&error, false),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(codes::HOST, &format!("can't write: {error}"), None),
    }
}

fn run(args: RunArgs) -> ExitCode {
    let begun = Instant::now();
    let settings = match Settings::new(&args) {
        Ok(settings) => settings,
        Err(error) => return fail_settings(&error),
    };
    let cache = if args.no_cache {
        None
    } else {
        Cache::of_user()
    };
    let name = settings.program.display().to_string();
    // One agent takes its memory once: there is nothing to hand on.
    let loaded = load(&Engines::without_pool(), &settings.program, cache.as_ref());
    let max_memory = settings.max_memory.map_or(MEMORY_MAX, |max| max as u64);
    let ready = loaded.and_then(|loaded| {
        loaded.fits(max_memory, &name)?;
        Ok((Agent::new(&loaded.module, &name)?, loaded.source))
    });
    let (agent, source) = match ready {
        Ok(ready) => ready,
        Err(error) => return fail_module(&error, args.json),
    };
    let load_time = begun.elapsed();
    let sink = match args.audit.as_deref().map(audit_file).transpose() {
        Ok(sink) => sink,
        Err(error) => {
            let file = args.audit.as_deref().unwrap_or(Path::new("")).display();
            let text = format!("can't write the audit to `{file}`: {error}");
            return fail(codes::HOST, &text, None);
        }
    };
    if let Some(state) = &args.state
        && let Err(error) = state_folder(state)
    {
        let text = format!("can't use the state folder `{}`: {error}", state.display());
        return fail(codes::HOST, &text, None);
    }
    let account = Account::new(max_memory);
    let passphrase = args.passphrase_file.as_deref().map(first_line).transpose();
    let host = match passphrase {
        Ok(passphrase) => Host {
            state: args.state.clone(),
            passphrase,
            account: account.clone(),
            terminal: Some(Arc::new(ProcessTerminal)),
            ..Host::default()
        },
        Err(error) => {
            let file = args
                .passphrase_file
                .as_deref()
                .unwrap_or(Path::new(""))
                .display();
            let text = format!("can't read a passphrase from `{file}`: {error}");
            return fail(codes::HOST, &text, None);
        }
    };
    let max_files: FileLimit = settings.max_files.into();
    let (clock, random) = (settings.clock, settings.random);
    let family = Family::new(
        cache,
        account.clone(),
        max_files.clone(),
        clock,
        random,
        sink,
    );
    let mut capabilities = Capabilities::new(host, &name, family);
    let granted = grants::namespace(&settings.wants, settings.memory_files, &mut capabilities);
    let granted = match granted {
        Ok(granted) => granted,
        Err(missing) => {
            if args.json {
                eprintln!("{}", report::refused(&missing));
            }
            let hint = args.manifest.as_ref().map(|manifest| {
                let manifest = manifest.display();
                format!(
                    "`capfs-host inspect --manifest {manifest}` shows everything that it asks for"
                )
            });
            return fail_lacking(&missing, hint.as_deref());
        }
    };
    let listening = match listen::listen(&settings.listen, granted.preopens.len()) {
        Ok(listening) => listening,
        Err(error) => return fail(codes::HOST, &error, None),
    };
    let stdio = match HostStream::standard() {
        Ok(stdio) => stdio,
        Err(error) => {
            return fail(
                codes::HOST,
                &format!("can't use the standard streams: {error}"),
                None,
            );
        }
    };
    let mut env = settings.env;
    listen::announce(&listening, &mut env);
    if !args.quiet {
        for lack in &granted.degraded {
            eprintln!("degraded: {lack}");
        }
        for socket in &listening {
            let (address, descriptor) = (socket.address, socket.descriptor);
            eprintln!("listening at {address}, descriptor {descriptor}");
        }
    }
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
        timeout: settings.timeout,
    };
    let started = match cancel_on_interrupt() {
        Ok(started) => started,
        Err(error) => return fail(codes::HOST, &format!("can't handle Ctrl-C: {error}"), None),
    };
    if let Some(manifest) = args.manifest {
        let reloaded = reload::on_signal(manifest, granted.revocable, args.quiet);
        if let Err(error) = reloaded {
            let text = format!("can't handle SIGHUP: {error}");
            return fail(codes::HOST, &text, None);
        }
    }
    raise_file_limit();
    let timeout = config.timeout;
    capabilities.begin(&config.namespace);
    let ended = run_apart(agent, config, started);
    capabilities.end(GRACE);
    restore();
    let report = match ended {
        Ok(Some(report)) => report,
        Ok(None) => Report {
            outcome: Outcome::Cancelled(Cancelled::Timeout),
            usage: capfs_runtime::Usage::default(),
            memory: 0,
            account: capabilities.account().usage(),
            instantiate: Duration::ZERO,
            run: timeout.unwrap_or_default(),
        },
        Err(error) => {
            return fail(
                codes::HOST,
                &format!("can't run the program: {error}"),
                None,
            );
        }
    };
    if !args.quiet {
        report::explain(&report, timeout);
    }
    if args.json {
        let report = report::as_json(&report, load_time, source, &capabilities, &granted.degraded);
        eprintln!("{report}");
    }
    ExitCode::from(report.outcome.code())
}

/// How long a guest has to notice that its time is up. What takes longer is a call of the operating
/// system that may never return.
const GRACE: Duration = Duration::from_millis(500);

/// Runs the program on a thread of its own: with the stack that it needs, and so that one which sits in
/// a call of the operating system (a pipe that nobody empties, say) is left there when its time is up.
/// `None` is such a one.
fn run_apart(
    agent: Agent,
    config: RunConfig,
    started: impl FnOnce(Canceller) + Send + 'static,
) -> io::Result<Option<Report>> {
    let timeout = config.timeout;
    let (done, outcome) = mpsc::channel();
    std::thread::Builder::new()
        .name("agent".to_owned())
        .stack_size(THREAD_STACK)
        .spawn(move || {
            let _ = done.send(agent.run(config, started));
        })?;
    let report = match timeout {
        Some(timeout) => outcome.recv_timeout(timeout.saturating_add(GRACE)),
        None => outcome.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    match report {
        Ok(report) => Ok(Some(report)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("its thread has ended")),
    }
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

/// Makes sure of the folder for what lasts before the agent runs, which would not know what to do about it.
fn state_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // Keys that are kept already can be used where nothing can be written.
    Ok(access(path, Access::READ_OK | Access::EXEC_OK)?)
}

/// Bytes of a file that holds a passphrase, at most.
const PASSPHRASE_MAX: u64 = 64 << 10;

/// The first line of a file that holds a secret, without its end.
fn first_line(path: &Path) -> io::Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(read_at_most(path, PASSPHRASE_MAX)?);
    let text = str::from_utf8(&bytes).map_err(io::Error::other)?;
    match text.lines().next().unwrap_or_default() {
        "" => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its first line is empty",
        )),
        line => Ok(Zeroizing::new(line.to_owned())),
    }
}
