//! `capfs-host`: runs agents natively.

mod cli;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use capfs_host::cache::Cache;
use capfs_host::device::stdio::{Input, Output};
use capfs_host::engine::{CodeSource, ModuleError, engine, load};
use capfs_host::run::{Agent, Outcome, Report, RunConfig, cancel_on_interrupt, codes};
use capfs_host::{grants, inspect};

use cli::{Cli, Command, InspectArgs, RunArgs};
use serde_json::json;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run(args),
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
        ModuleError::NoStart { .. } => (codes::MODULE, Some("build it as a program with `main`")),
        _ => (codes::MODULE, None),
    };
    fail(code, &error.to_string(), hint)
}

fn inspect_module(args: InspectArgs) -> ExitCode {
    let cache = Cache::of_user();
    let module = match load(&engine(), &args.agent, cache.as_ref()) {
        Ok((module, _)) => module,
        Err(error) => return fail_module(&error),
    };
    let text = match args.json {
        true => format!("{:#}\n", inspect::as_json(&module)),
        false => inspect::as_text(&module),
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
    let engine = engine();
    let name = args.agent.display().to_string();
    let loaded = load(&engine, &args.agent, cache.as_ref());
    let (module, source) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return fail_module(&error),
    };
    let agent = match Agent::new(&engine, &module, &name) {
        Ok(agent) => agent,
        Err(error) => return fail_module(&error),
    };
    let load_time = begun.elapsed();
    let grants = args.grants();
    let (namespace, preopens) = match grants::namespace(&grants) {
        Ok(namespace) => namespace,
        Err(error) => return fail(codes::HOST, &error, None),
    };
    let program = args
        .agent
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let config = RunConfig {
        args: std::iter::once(program.unwrap_or_else(|| name.clone()))
            .chain(args.args)
            .collect(),
        env: args
            .env
            .into_iter()
            .filter_map(cli::EnvArg::resolve)
            .collect(),
        namespace,
        preopens,
        stdio: [
            Box::new(Input::new()),
            Box::new(Output::stdout()),
            Box::new(Output::stderr()),
        ],
        max_files: args.max_files,
        max_memory: args.max_memory.map(|size| size.0),
        timeout: args.timeout.map(|time| time.0),
    };
    let started = match cancel_on_interrupt() {
        Ok(started) => started,
        Err(error) => return fail(codes::HOST, &format!("can't handle Ctrl-C: {error}"), None),
    };
    let report = agent.run(config, started);
    if !args.quiet {
        explain(&report, args.timeout.map(|time| time.0));
    }
    if args.json {
        eprintln!("{}", as_json(&report, load_time, source));
    }
    ExitCode::from(report.outcome.code())
}

/// Says on standard error what happened, unless the program ended itself.
fn explain(report: &Report, timeout: Option<Duration>) {
    match &report.outcome {
        Outcome::Exited(capfs_runtime::ExitStatus::Code(_)) => {}
        Outcome::Exited(capfs_runtime::ExitStatus::Signal(signal)) => {
            eprintln!("error: the program raised signal {signal}");
        }
        Outcome::Trapped(text) => eprintln!("error: the program trapped: {text}"),
        Outcome::Cancelled(capfs_host::wait::Cancelled::Timeout) => {
            let time = timeout.unwrap_or_default();
            eprintln!("error: the program was ended: its time of {time:?} was up");
            eprintln!("hint: `--timeout` sets how long it may take, waiting included");
        }
        Outcome::Cancelled(capfs_host::wait::Cancelled::Interrupt) => {
            eprintln!("error: the program was ended by Ctrl-C");
        }
        Outcome::Refused(text) => eprintln!("error: the program could not be started: {text}"),
    }
}

fn as_json(report: &Report, load: Duration, source: CodeSource) -> serde_json::Value {
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
    })
}
