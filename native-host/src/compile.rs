//! Compiling in a process of its own.
//!
//! What it takes to compile a module is known when it has been compiled: a branch table of some kilobytes makes gigabytes of moves, a
//! few bytes declare a million locals. Nor can a thread that compiles be ended. So the command starts itself, as
//! `capfs-host compile`, with the module in one unnamed file and another for the code: a process can be ended at any moment, the
//! operating system bounds what it allocates (`RLIMIT_DATA`), and what it really has is charged to an account while it has it. It ends
//! with whoever started it, and does so only where there is no code in the cache. What is compiled [behind](crate::behind) a program
//! that runs is another matter.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use capfs::account::Charge;
use capfs_modules::Refusal;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};
use wasmtime::{Engine, OutOfMemory};

use crate::cache::{Cache, Turn};
use crate::engine::{ModuleError, Tier, engine_of, validate};
use crate::say;
use crate::sealed::{SealedCode, unnamed};
use crate::wait::{Cancelled, Parker};

/// Bytes that compiling the program of a run may take at least, whatever `--max-memory` is: it is no work of the program's, and
/// happens once.
const PROGRAM_LEAST: u64 = 1 << 30;

/// As much for each of its bytes. On two cores Python takes 12, clang 38 and pandoc 125; more cores compile more at once.
const PROGRAM_TIMES: u64 = 512;

/// Bytes that compiling the program of a run may take, which has `len` bytes and may hold `max`.
pub fn allowed(len: usize, max: u64) -> u64 {
    let by_size = (len as u64).saturating_mul(PROGRAM_TIMES);
    max.max(PROGRAM_LEAST).max(by_size)
}

/// Bytes that a compiler may allocate beside what it is allowed: what it takes for itself, and what it touches little of.
const BESIDE: u64 = 64 << 20;

/// Bytes that a compiler has whatever it compiles. They are charged to nobody: how many compile at once is bounded by how many children
/// there may be.
const OWN: u64 = 16 << 20;

/// Bytes beside that for each of its threads: a stack, and the heap that an allocator sets aside.
const BESIDE_THREAD: u64 = 4 << 20;

/// Bytes of what a compiler says that are read.
const TEXT_MAX: usize = 16 << 10;

/// How long somebody waits for what another process compiles, before it does so itself: that one may be stopped.
const TURN_MAX: Duration = Duration::from_secs(60);

/// Bytes of a module, at least, that begins with code of the baseline compiler: for less, optimised code is there in about a second.
const LARGE: usize = 1 << 20;

/// Between two looks at a compiler, at least and at most; between them, an eighth of the time since it began.
const LOOKS: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(10)];

/// Exit code of a compiler: the module is not valid.
const INVALID: u8 = 1;

/// Exit code of a compiler: it may not have as much memory as it needs.
const NO_MEMORY: u8 = 3;

/// Exit code of a compiler: something else went wrong.
const FAILED: u8 = 4;

/// Why a module was not compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It is not valid; what the validator says.
    #[error("is not valid: {0}")]
    Invalid(String),
    /// It takes more memory than it may, in bytes.
    #[error("needs more than {0} bytes of memory to be compiled")]
    Memory(u64),
    /// It has more bytes than what is compiled in the host's own process.
    #[error("has more than {0} bytes, and there is no compiler beside this process")]
    Large(u64),
    /// It was ended from outside.
    #[error("was ended while it was compiled")]
    Ended(Cancelled),
    /// Something else.
    #[error("can't be compiled: {0}")]
    Other(String),
}

/// By which compilers programs are compiled, where there is no code of theirs in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiers {
    /// By the optimising one, whose code is waited for.
    Optimised,
    /// A large one by the baseline compiler; optimised code is made [behind](crate::behind) it, for the next start. Without a cache, which
    /// would take that, as [`Tiers::Optimised`].
    BaselineFirst,
    /// By the baseline compiler, whatever its size, and whether there is optimised code or not; what that does not take by the other.
    Baseline,
}

impl Tiers {
    /// As it is unless told: code of the baseline compiler is run where wasmtime takes what goes wrong in it for a matter of security, which is
    /// for targets of its first tier.
    pub const DEFAULT: Tiers = match cfg!(all(
        target_arch = "x86_64",
        target_os = "linux",
        target_env = "gnu"
    )) {
        true => Tiers::BaselineFirst,
        false => Tiers::Optimised,
    };

    /// Whether a module of `len` bytes begins with code of the baseline compiler, with or without a cache.
    pub(crate) fn begin(self, len: usize, cached: bool) -> bool {
        match self {
            Tiers::Optimised => false,
            Tiers::BaselineFirst => cached && len >= LARGE,
            Tiers::Baseline => true,
        }
    }
}

/// Where modules are compiled, and by which compilers.
#[derive(Clone, Debug)]
pub struct Compiler {
    command: PathBuf,
    tiers: Tiers,
}

/// What a compilation is held to.
pub struct Watch<'a> {
    /// Ends it, and is parked meanwhile.
    pub parker: &'a Parker,
    /// Bytes that it may take.
    pub max: u64,
    /// What it takes is charged to this as well, if to anything, beside what is charged already.
    pub charge: Option<&'a mut Charge>,
    /// Called again and again while it goes on, at each look.
    pub meanwhile: &'a mut dyn FnMut(),
}

impl Watch<'_> {
    /// Waits until nobody else compiles what an entry of the cache has this name for. `None` is that nobody can be waited for, or not any
    /// longer.
    pub(crate) fn turn(&mut self, cache: &Cache, key: &str) -> Result<Option<Turn>, Failure> {
        let begun = Instant::now();
        loop {
            if let Some(why) = self.parker.cancelled() {
                return Err(Failure::Ended(why));
            }
            match cache.turn(key) {
                Ok(Some(turn)) => return Ok(Some(turn)),
                Ok(None) if begun.elapsed() < TURN_MAX => self.look_later(begun),
                // Without locks it is compiled as often as it is started.
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// Has what it takes charged.
    fn cover(&mut self, bytes: u64) -> Result<(), Failure> {
        match &mut self.charge {
            Some(charge) => charge.resize(bytes).map_err(|_| Failure::Memory(self.max)),
            None => Ok(()),
        }
    }

    /// Parks until the next look at what began then.
    fn look_later(&mut self, begun: Instant) {
        (self.meanwhile)();
        let time = (begun.elapsed() / 8).clamp(LOOKS[0], LOOKS[1]);
        self.parker.park(Some(time));
    }
}

impl Compiler {
    /// By this command itself, which must know the verb `compile`.
    pub fn of_this_command() -> Compiler {
        // What runs, even if another file has its name by now.
        Compiler::at("/proc/self/exe")
    }

    /// By the command that this file is.
    pub fn at(command: impl Into<PathBuf>) -> Compiler {
        Compiler {
            command: command.into(),
            tiers: Tiers::Optimised,
        }
    }

    /// The same, by these compilers.
    pub fn with(self, tiers: Tiers) -> Compiler {
        Compiler { tiers, ..self }
    }

    /// By which compilers.
    pub fn tiers(&self) -> Tiers {
        self.tiers
    }

    /// The command, with its verb.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.command);
        command.arg("compile").env_clear();
        command
    }

    /// Compiles a module for the engine of a tier, in a process of its own.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) fn compile(
        &self,
        tier: Tier,
        wasm: &[u8],
        watch: &mut Watch<'_>,
    ) -> Result<SealedCode, Failure> {
        let before = watch.charge.as_ref().map_or(0, |charge| charge.bytes());
        let compiled = self.compile_beside(tier, wasm, before, watch);
        if compiled.is_err() {
            // Another compiler may be tried. It is less, so it is not refused.
            let _ = watch.cover(before);
        }
        compiled
    }

    /// Charges what it takes beside the bytes `before`.
    fn compile_beside(
        &self,
        tier: Tier,
        wasm: &[u8],
        before: u64,
        watch: &mut Watch<'_>,
    ) -> Result<SealedCode, Failure> {
        let other = |error: io::Error| Failure::Other(error.to_string());
        let max = watch.max;
        // The process has its own copy of the module, which counts with what it has.
        let copied = before.saturating_add(wasm.len() as u64);
        watch.cover(copied)?;
        let module = unnamed_module(wasm).map_err(other)?;
        let code = unnamed("capfs-code").map_err(other)?;
        let said = unnamed("capfs-compiler").map_err(other)?;
        let process = self.start(tier, max, &module, &code, &said);
        let mut process = process.map_err(other)?;
        let begun = Instant::now();
        let status = loop {
            if let Some(why) = watch.parker.cancelled() {
                return Err(Failure::Ended(why));
            }
            if let Some(status) = process.0.try_wait().map_err(other)? {
                break status;
            }
            let written = code.metadata().map_err(other)?.len();
            let own = own_memory(process.0.id()).saturating_sub(OWN);
            let held = own.saturating_add(written);
            watch.cover(copied.saturating_add(held))?;
            if held > max {
                return Err(Failure::Memory(max));
            }
            watch.look_later(begun);
        };
        let written = code.metadata().map_err(other)?.len();
        watch.cover(before.saturating_add(written))?;
        match status.success() {
            true => SealedCode::new(code).map_err(other),
            false => Err(failure(status, text(&said), max)),
        }
    }

    fn start(
        &self,
        tier: Tier,
        max: u64,
        module: &File,
        code: &File,
        said: &File,
    ) -> io::Result<Ended> {
        let mut command = self.command();
        command
            .args(["--max", &max.to_string()])
            .args(["--parent", &std::process::id().to_string()])
            .args((tier == Tier::Baseline).then_some("--baseline"))
            .stdin(module.try_clone()?)
            .stdout(code.try_clone()?)
            .stderr(said.try_clone()?);
        let started = command.spawn().map(Ended);
        started.map_err(|error| {
            let text = format!("the compiler, a process of its own, can't be started: {error}");
            io::Error::new(error.kind(), text)
        })
    }
}

/// A module in a file of no folder, from its beginning.
pub(crate) fn unnamed_module(wasm: &[u8]) -> io::Result<File> {
    let mut module = unnamed("capfs-module")?;
    module.write_all(wasm)?;
    module.rewind()?;
    Ok(module)
}

/// A process that is ended when it is not wanted any more.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // One that has ended already is not signalled.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process has of memory that is nobody else's, in bytes; nothing where it has just ended.
fn own_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    // Some systems don't tell it apart.
    let size = line("RssAnon:").or_else(|| line("VmRSS:"));
    let kib = size.and_then(|size| size.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.unwrap_or(0_u64).saturating_mul(1 << 10)
}

/// What a compiler has said.
fn text(said: &File) -> String {
    let mut bytes = vec![0; TEXT_MAX];
    let count = said.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..count])
        .trim_end()
        .to_owned()
}

fn failure(status: ExitStatus, text: String, max: u64) -> Failure {
    /// What an allocation that fails ends with: abort(3).
    const ABORTED: i32 = 6;
    match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(INVALID) => Failure::Invalid(text),
        (Some(code), _) if code == i32::from(NO_MEMORY) => Failure::Memory(max),
        (_, Some(ABORTED)) if text.contains("memory allocation of") => Failure::Memory(max),
        _ => Failure::Other(format!("the compiler ended with {status}: {text}")),
    }
}

/// What the verb `compile` does: reads a module from standard input, writes its code for the engine of a tier to standard output, and
/// answers with an exit code. It allocates `max` bytes at most, beside what it takes for itself, and ends with the process `parent`, which
/// must have started it.
pub fn serve(tier: Tier, max: u64, parent: u32) -> u8 {
    let served = end_with(parent)
        .and_then(|()| bound(max))
        .and_then(|()| compile(tier));
    match served {
        Ok(()) => 0,
        Err(Failure::Invalid(text)) => {
            say::line(text);
            INVALID
        }
        Err(Failure::Memory(_)) => NO_MEMORY,
        Err(failure) => {
            say::line(failure);
            FAILED
        }
    }
}

/// Ends this process with the one that must have started it.
pub(crate) fn end_with(parent: u32) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| Failure::Other(error.to_string());
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    // It may have ended before.
    if getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok() {
        return Err(Failure::Other("it is to be started by a run".to_owned()));
    }
    Ok(())
}

/// Bounds what this process allocates.
pub(crate) fn bound(max: u64) -> Result<(), Failure> {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let beside = BESIDE.saturating_add(threads.saturating_mul(BESIDE_THREAD));
    lower(Resource::Data, max.saturating_add(beside))?;
    // An allocation that fails ends it by a signal that dumps its memory.
    lower(Resource::Core, 0)
}

/// Lowers a limit of this process.
pub(crate) fn lower(resource: Resource, to: u64) -> Result<(), Failure> {
    let maximum = getrlimit(resource).maximum;
    let limit = Some(maximum.map_or(to, |maximum| maximum.min(to)));
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(resource, limit).map_err(|error| Failure::Other(error.to_string()))
}

/// The module that standard input has.
pub(crate) fn given() -> Result<Vec<u8>, Failure> {
    let mut wasm = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut wasm);
    read.map_err(|error| Failure::Other(error.to_string()))?;
    Ok(wasm)
}

/// Code of a module for an engine, in this process.
pub(crate) fn code_for(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, Failure> {
    // Everything that can be refused is refused before the first function is compiled.
    let valid = validate(engine, wasm, "").map_err(|error| match error {
        ModuleError::Refused {
            refusal: Refusal::Invalid(text),
            ..
        } => Failure::Invalid(text),
        error => Failure::Other(error.to_string()),
    })?;
    let code = engine.precompile_module(&valid);
    code.map_err(|error| match error.is::<OutOfMemory>() {
        true => Failure::Memory(0),
        false => Failure::Invalid(format!("{error:#}")),
    })
}

fn compile(tier: Tier) -> Result<(), Failure> {
    let other = |error: io::Error| Failure::Other(error.to_string());
    let engine = engine_of(tier);
    let engine = engine.ok_or_else(|| {
        let text = format!("there is no {} compiler for this machine", tier.name());
        Failure::Other(text)
    })?;
    let code = code_for(&engine, &given()?)?;
    // Not by the buffer of standard output, which looks for ends of lines.
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(other)?;
    File::from(output).write_all(&code).map_err(other)
}

#[cfg(test)]
mod tests {
    use capfs::account::{Account, Holding};

    use super::*;

    #[test]
    fn a_compiler_that_fails_leaves_the_charge_as_it_was() {
        let account = Account::new(1 << 20);
        let mut charge = account.charge(Holding::Programs, 100).unwrap();
        let mut meanwhile = || ();
        let mut watch = Watch {
            parker: &Parker::new(),
            max: 1 << 30,
            charge: Some(&mut charge),
            meanwhile: &mut meanwhile,
        };
        for command in ["/nowhere/capfs-host", "/bin/false"] {
            let failed = Compiler::at(command).compile(Tier::Optimised, &[0; 4096], &mut watch);
            assert!(failed.is_err());
        }
        assert_eq!(charge.bytes(), 100);
    }

    #[test]
    fn what_is_large_begins_with_the_baseline_compiler() {
        let begin = |tiers: Tiers, len, cached| tiers.begin(len, cached);
        assert!(begin(Tiers::BaselineFirst, LARGE, true));
        assert!(!begin(Tiers::BaselineFirst, LARGE - 1, true));
        assert!(!begin(Tiers::BaselineFirst, LARGE, false));
        assert!(!begin(Tiers::Optimised, usize::MAX, true));
        assert!(begin(Tiers::Baseline, 8, false));
    }
}
