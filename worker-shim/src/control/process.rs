//! The agent's process: what it may use, its start, its waits and its end.

use std::task::Context;

use capfs::Errno;
use capfs::account::Holding;
use capfs_runtime::{ClockGrant, ExitStatus, NoRandom, Preopen, Process, ProcessConfig};
use capfs_worker_calls::{Guest, Patience, Running, with_running};
use wasm_bindgen::prelude::*;

use super::{machine, named, not_ended, sentence};
use crate::machine::{Agent, Kind, account, limit, with_machine};
use crate::protocol::{
    AccountUsage, HeldBytes, JsAccountUsage, JsProcessStart, JsProcessUsage, OpenDirectory,
    ProcessStart, ProcessUsage, Variable,
};
use crate::wake::waker;
use crate::{opfs, web};

/// Bounds what the kernel holds for its agent together with the agent's memory, in bytes. Called before anything else is made.
#[wasm_bindgen]
pub fn limit_memory(bytes: f64) -> Result<(), JsValue> {
    match limit(bytes as u64) {
        true => Ok(()),
        false => Err(named(Errno::Busy)),
    }
}

/// What the account of the kernel stands at.
#[wasm_bindgen]
pub fn account_usage() -> JsAccountUsage {
    let usage = account().usage();
    let held = |kind: Holding| {
        let held = usage
            .by_holding
            .into_iter()
            .find(|(known, _)| *known == kind);
        held.map_or(0.0, |(_, bytes)| bytes as f64)
    };
    AccountUsage {
        max: usage.max as f64,
        used: usage.used as f64,
        peak: usage.peak as f64,
        refused: usage.refused as f64,
        held: HeldBytes {
            memory: held(Holding::Memory),
            tables: held(Holding::Tables),
            files: held(Holding::Files),
            descriptors: held(Holding::Descriptors),
            transfers: held(Holding::Transfers),
            programs: held(Holding::Programs),
        },
    }
    .told()
}

/// What WASI's own calls give the process that is made next: `clock_step` is nanoseconds, 0 for exact clocks and
/// negative for none; `random` whether there are random bytes.
#[wasm_bindgen]
pub fn allow(clock_step: f64, random: bool) {
    with_machine(|machine| {
        machine.random = random;
        machine.clock_grant = match clock_step {
            0.0 => ClockGrant::Exact,
            step if step > 0.0 => ClockGrant::Steps(step as u64),
            _ => ClockGrant::Nothing,
        };
    });
}

/// Makes the process, after the streams. It waits where its directories are of a device that answers later, such as one of the page's.
///
/// # Errors
/// The name of an errno, or a sentence that says what can't be opened, or that the agent has been ended meanwhile.
#[wasm_bindgen]
pub async fn start(with: JsProcessStart) -> Result<(), JsValue> {
    let ProcessStart {
        args,
        env,
        preopens,
        clock_only,
        files,
    } = ProcessStart::of(&with)?;
    not_ended()?;
    let config = machine(|machine| {
        let streams = machine
            .streams
            .as_ref()
            .ok_or_else(|| named(Errno::Inval))?;
        let (input, outputs, tty) = (&streams.input, &streams.outputs, streams.tty);
        let variables = env.into_iter();
        let directories = preopens.into_iter();
        let account = account();
        machine.namespace.charge(&account);
        Ok(ProcessConfig {
            args,
            env: variables
                .map(|Variable { name, value }| (name, value))
                .collect(),
            namespace: machine.namespace.clone(),
            stdio: [input.open(tty), outputs[0].open(tty), outputs[1].open(tty)],
            preopens: directories
                .map(|OpenDirectory { name, path }| Preopen { name, path })
                .collect(),
            handed: Vec::new(),
            clock: machine.clock.clone(),
            clock_grant: machine.clock_grant,
            random: match machine.random {
                true => Box::new(web::WebRandom::new()),
                false => Box::new(NoRandom),
            },
            max_files: (files as u32).into(),
            account,
        })
    })?;
    let process = Process::new(config).await;
    let process = process.map_err(|error| sentence(&error))?;
    not_ended()?;
    let patience = match clock_only {
        true => Patience::ClockOnly,
        false => Patience::Anything,
    };
    capfs_worker_calls::replace(Some(Running {
        process,
        guest: None,
        patience,
        waker: waker(),
    }));
    Ok(())
}

/// Connects the process with the agent's memory, after the adapter has filled the table from `base` on.
#[wasm_bindgen]
pub fn attach(base: u32, direct: bool) {
    with_running(|running| running.guest = Some(Guest::new(base, direct)));
}

/// Takes the wall clock, in milliseconds, and returns the bytes of the agent's memory.
#[wasm_bindgen]
pub fn tick(wall: f64) -> f64 {
    web::tick(wall);
    opfs::tick();
    with_running(|running| running.guest.as_mut().map_or(0, Guest::measure)).unwrap_or(0) as f64
}

/// Closes what a program that has ended by its own will left open; whether that is done. If not, it is to be asked again when
/// something has happened.
#[wasm_bindgen]
pub fn finish() -> bool {
    let mut context = Context::from_waker(waker());
    with_running(|running| running.process.poll_finish(&mut context).is_ready()).unwrap_or(true)
}

/// Gives up the call that waits: the agent is ended, and won't make it again.
#[wasm_bindgen]
pub fn give_up() {
    with_running(|running| running.process.cancel());
}

/// When the pending call ends by itself, in milliseconds of `performance.now()`; infinite if never.
#[wasm_bindgen]
pub fn deadline() -> f64 {
    with_running(|running| running.process.deadline())
        .flatten()
        .map_or(f64::INFINITY, |nanos| nanos as f64 / 1e6)
}

/// Closes what the process has open, once it has ended and its end was asked for, and gives up what goes on behind its capabilities; the
/// namespace stays.
#[wasm_bindgen]
pub fn end_process() {
    // Dropped when the machine is free again: closing tells other kernels, by way of JavaScript.
    let ended = capfs_worker_calls::replace(None);
    let known = with_machine(|machine| {
        machine.agent = Agent::Ended;
        let held = machine.held.iter();
        let kinds = held.map(|held| held.kind.clone()).collect::<Vec<_>>();
        (machine.streams.take(), kinds)
    });
    let (streams, kinds) = known.unwrap_or_default();
    if let Some(streams) = streams {
        streams.end();
    }
    drop(ended);
    kinds.iter().for_each(Kind::end);
}

/// The code that the process has ended with, as a shell knows it.
#[wasm_bindgen]
pub fn exit_code() -> Option<u32> {
    with_running(|running| running.process.exit_status().map(ExitStatus::code)).flatten()
}

/// The signal that the process has ended with, if it was one, as WASI numbers them.
#[wasm_bindgen]
pub fn exit_signal() -> Option<u8> {
    match with_running(|running| running.process.exit_status()).flatten() {
        Some(ExitStatus::Signal(signal)) => Some(signal),
        _ => None,
    }
}

/// What the process has used; none where there is none.
#[wasm_bindgen]
pub fn usage() -> Option<JsProcessUsage> {
    with_running(|running| {
        let usage = running.process.usage();
        ProcessUsage {
            calls: usage.calls as f64,
            bytes_read: usage.bytes_read as f64,
            bytes_written: usage.bytes_written as f64,
            files_peak: f64::from(usage.files_peak),
        }
        .told()
    })
}
