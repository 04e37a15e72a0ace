//! `capfs-host`: runs agents natively.

mod cli;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use capfs_host::cache::Cache;
use capfs_host::capabilities::{Capabilities, audit_file};
use capfs_host::device::console::{ProcessTerminal, restore};
use capfs_host::device::stdio::HostStream;
use capfs_host::engine::{self, CodeSource, Engines, ModuleError, THREAD_STACK, engine, load};
use capfs_host::run::{Agent, Outcome, Report, RunConfig, cancel_on_interrupt, codes};
use capfs_host::wait::{Cancelled, Canceller};
use capfs_host::{grants, inspect, listen};

use capfs::OpenFile;
use capfs_native_devices::Host;
use cli::{Cli, Command, InspectArgs, RunArgs};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
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

fn fail_module(error: &ModuleError) -> ExitCode {
    let (code, hint) = match error {
        ModuleError::Read { .. } => (codes::NOT_FOUND, None),
        ModuleError::Component { .. } => (
            codes::MODULE,
            Some("build it for the target `wasm32-wasip1`"),
        ),
        ModuleError::UnknownImports { .. } => (
            codes::MODULE,
            Some("`capfs-host inspect` lists everything that it imports"),
        ),
        ModuleError::Truncated { .. } => (codes::MODULE, Some("copy or download the file again")),
        ModuleError::NoStart { .. } => (codes::MODULE, Some("build it as a program with `main`")),
        _ => (codes::MODULE, None),
    };
    fail(code, &error.to_string(), hint)
}

fn inspect_module(args: InspectArgs) -> ExitCode {
    let described = engine::read(&args.agent).and_then(|wasm| {
        let module = inspect::describe(&engine(), &wasm, &args.agent.display().to_string())?;
        Ok(match args.json {
            true => format!("{:#}\n", module.as_json()),
            false => module.as_text(),
        })
    });
    let text = match described {
        Ok(text) => text,
        Err(error) => return fail_module(&error),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(codes::HOST, &format!("can't write: {error}"), None),
    }
}

fn run(args: RunArgs) -> ExitCode {
    let begun = Instant::now();
    let cache = if args.no_cache {
        None
    } else {
        Cache::of_user()
    };
    let name = args.agent.display().to_string();
    let loaded = load(&Engines::new(1), &args.agent, cache.as_ref());
    let (module, source) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return fail_module(&error),
    };
    let agent = match Agent::new(&module, &name) {
        Ok(agent) => agent,
        Err(error) => return fail_module(&error),
    };
    let load_time = begun.elapsed();
    let grants = args.grants();
    let sink = match args.audit.as_deref().map(audit_file).transpose() {
        Ok(sink) => sink,
        Err(error) => {
            let text = format!("can't write the audit: {error}");
            return fail(codes::HOST, &text, None);
        }
    };
    let passphrase = args.passphrase_file.as_deref().map(first_line).transpose();
    let host = match passphrase {
        Ok(passphrase) => Host {
            state: args.state.clone(),
            passphrase,
            terminal: Some(Arc::new(ProcessTerminal)),
            ..Host::default()
        },
        Err(error) => {
            let text = format!("can't read the passphrase: {error}");
            return fail(codes::HOST, &text, None);
        }
    };
    let mut capabilities = Capabilities::new(host, &name, sink);
    let (namespace, preopens) = match grants::namespace(&grants, &mut capabilities) {
        Ok(namespace) => namespace,
        Err(error) => return fail(codes::HOST, &error, None),
    };
    let listening = match listen::listen(&args.listen, preopens.len()) {
        Ok(listening) => listening,
        Err(error) => return fail(codes::HOST, &error, None),
    };
    let program = args
        .agent
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
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
    let mut env: Vec<_> = args
        .env
        .into_iter()
        .filter_map(cli::EnvArg::resolve)
        .collect();
    listen::announce(&listening, &mut env);
    if !args.quiet {
        for socket in &listening {
            let (address, descriptor) = (socket.address, socket.descriptor);
            eprintln!("listening at {address}, descriptor {descriptor}");
        }
    }
    let config = RunConfig {
        args: std::iter::once(program.unwrap_or_else(|| name.clone()))
            .chain(args.args)
            .collect(),
        env,
        namespace,
        preopens,
        stdio: stdio.map(|stream| Box::new(stream) as Box<dyn OpenFile>),
        handed: listening
            .into_iter()
            .map(|socket| Box::new(socket.listener) as Box<dyn OpenFile>)
            .collect(),
        clock: args.clock.0,
        random: !args.no_random,
        max_files: args.max_files,
        max_memory: args.max_memory.map(|size| size.0),
        timeout: args.timeout.map(|time| time.0),
    };
    let started = match cancel_on_interrupt() {
        Ok(started) => started,
        Err(error) => return fail(codes::HOST, &format!("can't handle Ctrl-C: {error}"), None),
    };
    raise_file_limit();
    let timeout = config.timeout;
    let ended = run_apart(agent, config, started);
    restore();
    let report = match ended {
        Ok(Some(report)) => report,
        Ok(None) => Report {
            outcome: Outcome::Cancelled(Cancelled::Timeout),
            usage: capfs_runtime::Usage::default(),
            memory: 0,
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
        explain(&report, args.timeout.map(|time| time.0));
    }
    if args.json {
        eprintln!("{}", as_json(&report, load_time, source, &capabilities));
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
) -> std::io::Result<Option<Report>> {
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
        Err(RecvTimeoutError::Disconnected) => Err(std::io::Error::other("its thread has ended")),
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

/// Says on standard error what happened, unless the program ended itself.
fn explain(report: &Report, timeout: Option<Duration>) {
    match &report.outcome {
        Outcome::Exited(capfs_runtime::ExitStatus::Code(code)) if *code > 255 => {
            eprintln!("error: the program ended with code {code}, which is shown as 255");
        }
        Outcome::Exited(capfs_runtime::ExitStatus::Code(_)) => {}
        Outcome::OutOfMemory => {
            eprintln!("error: the program ran out of memory");
            eprintln!("hint: `--max-memory` sets how much it may have");
        }
        Outcome::Exited(capfs_runtime::ExitStatus::Signal(signal)) => {
            eprintln!("error: the program raised signal {signal}");
        }
        Outcome::Trapped(text) => eprintln!("error: the program trapped: {text}"),
        Outcome::Cancelled(Cancelled::Timeout) => {
            let time = timeout.unwrap_or_default();
            eprintln!("error: the program was ended: its time of {time:?} was up");
            eprintln!("hint: `--timeout` sets how long it may take, waiting included");
        }
        Outcome::Cancelled(Cancelled::Interrupt) => {
            eprintln!("error: the program was ended by Ctrl-C");
        }
        Outcome::Refused(text) => eprintln!("error: the program could not be started: {text}"),
    }
}

fn as_json(
    report: &Report,
    load: Duration,
    source: CodeSource,
    capabilities: &Capabilities,
) -> serde_json::Value {
    let granted = capabilities.usage().map(|(grant, usage)| {
        json!({
            "device": grant.device.name(),
            "at": grant.at,
            "operations": usage.operations,
            "errors": usage.errors,
            "bytes_read": usage.bytes_read,
            "bytes_written": usage.bytes_written,
        })
    });
    let granted: Vec<_> = granted.collect();
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let message = match &report.outcome {
        Outcome::Trapped(text) | Outcome::Refused(text) => Some(text),
        _ => None,
    };
    json!({
        "code": report.outcome.code(),
        "reason": report.outcome.reason(),
        "message": message,
        "code_source": match source { CodeSource::Compiled => "compiled", CodeSource::Cached => "cache" },
        "load_us": micros(load),
        "instantiate_us": micros(report.instantiate),
        "run_us": micros(report.run),
        "memory_bytes": report.memory,
        "calls": report.usage.calls,
        "bytes_read": report.usage.bytes_read,
        "bytes_written": report.usage.bytes_written,
        "files_peak": report.usage.files_peak,
        "capabilities": granted,
    })
}

/// The first line of a file that holds a secret, without its end.
fn first_line(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let text = Zeroizing::new(std::fs::read_to_string(path)?);
    match text.lines().next().unwrap_or_default() {
        "" => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "its first line is empty",
        )),
        line => Ok(Zeroizing::new(line.to_owned())),
    }
}
