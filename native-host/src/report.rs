//! What is said of a run when it has ended, or has not begun.

use std::time::Duration;

use capfs::NamespaceList;
use capfs_host::capabilities::Capabilities;
use capfs_host::engine::{CodeSource, ModuleError, Tier};
use capfs_host::grants::Lack;
use capfs_host::inspect::lacks;
use capfs_host::run::{Outcome, Report, codes};
use capfs_host::say;
use capfs_host::wait::Cancelled;
use capfs_native_devices::signals::Signal;
use capfs_runtime::ExitStatus;
use serde_json::json;

const TIMEOUT_HINT: &str =
    "`--timeout` sets how long it may take, being compiled and waiting included";

/// Says that a program's time was up before it had begun.
pub fn late(time: Duration, quiet: bool, json: bool) {
    let message = format!("the program was ended: its time of {time:?} was up before it began");
    if !quiet {
        say::error(&message);
        say::hint(TIMEOUT_HINT);
    }
    if json {
        let report = json!({ "code": codes::TIMEOUT, "reason": "timeout", "message": message });
        say::report(&report);
    }
}

/// Says on standard error what happened, unless the program ended itself.
pub fn explain(report: &Report, timeout: Option<Duration>) {
    match &report.outcome {
        Outcome::Exited(ExitStatus::Code(code)) if *code > 255 => {
            say::error(format!(
                "the program ended with code {code}, which is shown as 255"
            ));
        }
        Outcome::Exited(ExitStatus::Code(_)) => {}
        Outcome::OutOfMemory => {
            say::error("the program ran out of memory");
            say::hint("`--max-memory` sets how much it may have");
        }
        Outcome::Exited(ExitStatus::Signal(signal)) => {
            say::error(format!("the program raised signal {signal}"));
        }
        Outcome::Trapped(text) => say::error_lines(format!("the program trapped: {text}")),
        Outcome::Cancelled(Cancelled::Timeout) => {
            let time = timeout.unwrap_or_default();
            say::error(format!(
                "the program was ended: its time of {time:?} was up"
            ));
            say::hint(TIMEOUT_HINT);
        }
        Outcome::Cancelled(Cancelled::Signal(Signal::Interrupt)) => {
            say::error("the program was ended by Ctrl-C");
        }
        Outcome::Cancelled(Cancelled::Signal(signal)) => {
            say::error(format!("the program was ended by {}", signal.name()));
        }
        Outcome::Cancelled(Cancelled::Killed) => say::error("the program was killed"),
        Outcome::Refused(text, _) => {
            say::error(format!("the program could not be started: {text}"));
        }
    }
}

/// How a run was, as JSON.
pub fn as_json(
    report: &Report,
    load: Duration,
    (source, tier): (CodeSource, Tier),
    capabilities: &Capabilities,
    degraded: &[Lack],
    namespace: &NamespaceList,
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
        Outcome::Trapped(text) | Outcome::Refused(text, _) => Some(text),
        _ => None,
    };
    let account = report.account;
    let held = account.by_holding.into_iter();
    let held = held.map(|(holding, bytes)| (holding.name().to_owned(), bytes.into()));
    let held: serde_json::Map<_, _> = held.collect();
    json!({
        "code": report.outcome.code(),
        "reason": report.outcome.reason(),
        "message": message,
        "code_source": match source { CodeSource::Compiled => "compiled", CodeSource::Cached => "cache" },
        "tier": tier.name(),
        "load_us": micros(load),
        "instantiate_us": micros(report.instantiate),
        "run_us": micros(report.run),
        "memory_bytes": report.memory,
        "account": {
            "max": account.max,
            "peak": account.peak,
            "refused": account.refused,
            "held": held,
        },
        "calls": report.usage.calls,
        "bytes_read": report.usage.bytes_read,
        "bytes_written": report.usage.bytes_written,
        "files_peak": report.usage.files_peak,
        "namespace": namespace.to_string().lines().collect::<Vec<_>>(),
        "capabilities": granted,
        "degraded": lacks(degraded),
    })
}

/// A run that did not begin, for want of what is required, as JSON.
pub fn refused(missing: &[Lack]) -> serde_json::Value {
    json!({
        "code": codes::HOST,
        "reason": "refused",
        "message": "something that is required can't be given here",
        "missing": lacks(missing),
    })
}

/// A module that can't run, as JSON; `error` is what the package has as its error's code.
pub fn module_refused(error: &ModuleError, code: u8) -> serde_json::Value {
    let refusal = match error {
        ModuleError::Refused { refusal, .. } => Some(refusal.code()),
        ModuleError::OtherDigest { .. } => Some("MODULE_DIGEST"),
        _ => None,
    };
    json!({
        "code": code,
        "reason": "refused",
        "error": refusal,
        "message": error.to_string(),
    })
}
