//! Optimised code that is made behind a program that runs.
//!
//! A program that has begun with code of the baseline compiler has optimised code at its next start. It must not be kept by that at its end,
//! and most programs have ended long before: so what compiles is a process that is nobody's, as `git gc` is after a command of git's. It has
//! a session of its own, a low priority, and nothing of the run's but the module; what it makes goes into the cache, and nowhere else.
//!
//! Nobody watches it, so its bounds are the system's: memory as for any program that is compiled (`RLIMIT_DATA`), processor time by the
//! module's size (`RLIMIT_CPU`), and where memory is short it is the first to be ended. One runs at a time for each cache; one that was stopped
//! is waited for an hour. What it did not finish is not begun again for a day.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::Stdio;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Resource, nice, setsid};

use crate::cache::Cache;
use crate::compile::{Compiler, Failure, bound, code_for, end_with, given, lower, unnamed_module};
use crate::engine::{Tier, engine_of};

/// Seconds of processor time that any module may take, and as many more for each MB of it. pandoc (59 MB) takes 350, clang (31 MB) 42.
const SECONDS: u64 = 60;
const SECONDS_PER_MB: u64 = 20;

/// What nice(1) makes a command's priority unless told: a tenth of what others have, where they want all there is. With the lowest one there
/// would never be optimised code on a machine that always has something to do.
const NICE: i32 = 10;

/// Has optimised code of a module made for the entry of this name, which `max` bytes may be taken for; unless somebody makes it already, or
/// it could not be made lately. Answers whether it is being made.
///
/// # Errors
/// The process can't be started. Then the code is made at another start.
pub fn start(
    compiler: &Compiler,
    cache: &Cache,
    key: &str,
    wasm: &[u8],
    max: u64,
) -> io::Result<bool> {
    if cache.was_begun(key) {
        return Ok(false);
    }
    let Some(turn) = cache.turn(key)? else {
        return Ok(false);
    };
    let module = unnamed_module(wasm)?;
    let mut command = compiler.command();
    command
        .args(["--max", &max.to_string()])
        .args(["--parent", &std::process::id().to_string()])
        .arg("--behind")
        .arg(cache.folder())
        .stdin(module)
        // What it writes goes to the cache: it has its turn for as long as it has this open.
        .stdout(turn.hand_on()?)
        .stderr(Stdio::null());
    Ok(command.status()?.success())
}

/// Leaves the run that has started this process, and starts the one that [compiles](serve): whoever has started that has ended, so nobody
/// has to wait for it.
///
/// # Errors
/// It was not started by a run, or can't start anything.
pub fn leave(max: u64, parent: u32, folder: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Other(error.to_string());
    end_with(parent)?;
    setsid().map_err(|error| failed(&error))?;
    keep_nothing().map_err(|error| failed(&error))?;
    let mut command = Compiler::of_this_command().command();
    command
        .args(["--max", &max.to_string()])
        .arg("--behind")
        .arg(folder)
        // A folder that somebody wants to unmount.
        .current_dir("/");
    let started = command.spawn();
    started.map(drop).map_err(|error| failed(&error))
}

/// Keeps whatever this process was started with, but for its standard streams, from what it starts: a lock, or a pipe whose end somebody
/// waits for.
fn keep_nothing() -> io::Result<()> {
    /// Those of the standard streams.
    const STREAMS: i32 = 3;
    for entry in fs::read_dir("/proc/self/fd")? {
        let Ok(Ok(number)) = entry?.file_name().into_string().map(|name| name.parse()) else {
            continue;
        };
        let number: i32 = number;
        if number < STREAMS {
            continue;
        }
        // SAFETY: it is open, for this process has one thread, which has just read so and has closed nothing since.
        #[expect(unsafe_code, reason = "of what is not ours there is only a number")]
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl_setfd(descriptor.as_fd(), FdFlags::CLOEXEC)?;
    }
    Ok(())
}

/// What the process does that is nobody's: makes optimised code of the module on its standard input, and keeps it in a cache. Its standard
/// output is the lock of that.
///
/// # Errors
/// Why there is none; nobody is told.
pub fn serve(max: u64, folder: &Path) -> Result<(), Failure> {
    let other = |error: io::Error| Failure::Other(error.to_string());
    let missing = || Failure::Other("there is no compiler for this machine".to_owned());
    let (cache, wasm) = (Cache::at(folder), given()?);
    let engine = engine_of(Tier::Optimised).ok_or_else(missing)?;
    let digest = Cache::digest(&wasm);
    let key = Cache::key_of(&engine, &digest);
    let Some(_alone) = cache.behind().map_err(other)? else {
        cache.end_turn(&key);
        return Ok(());
    };
    cache.begin(&key).map_err(other)?;
    bound(max)?;
    let megabytes = (wasm.len() as u64).div_ceil(1_000_000);
    lower(
        Resource::Cpu,
        SECONDS + SECONDS_PER_MB.saturating_mul(megabytes),
    )?;
    yield_to_others();
    let code = code_for(&engine, &wasm)?;
    // A full disk is no fault of the module's.
    cache
        .store_bytes(&key, &code)
        .inspect_err(|_| cache.finish(&key))
        .map_err(other)?;
    // It is of no use any more.
    if let Some(baseline) = engine_of(Tier::Baseline) {
        cache.forget(&Cache::key_of(&baseline, &digest));
    }
    cache.finish(&key);
    cache.end_turn(&key);
    Ok(())
}

/// Lets everybody else have the processor, and the memory.
fn yield_to_others() {
    let _ = nice(NICE);
    // A session of its own may be a group of its own for the scheduler (sched(7)), in which a priority says nothing to others.
    let _ = fs::write("/proc/self/autogroup", NICE.to_string());
    // The first that is ended where there is no memory.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}
