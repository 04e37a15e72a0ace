//! Compiling in a process of its own.
//!
//! What it takes to compile a module is known when it has been compiled: a branch table of some kilobytes makes gigabytes of moves, a
//! few bytes declare a million locals. Nor can a thread that compiles be ended. So the command starts itself, as
//! `capfs-host compile`, with the module in one unnamed file and another for the code: a process can be ended at any moment, the
//! operating system bounds what it allocates (`RLIMIT_DATA`), and what it really has is charged to an account while it has it. It ends
//! with whoever started it, and does so only where there is no code in the cache.

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
use wasmtime::OutOfMemory;

use crate::engine::{ModuleError, engine, validate};
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

/// How long compiling may take before somebody is told.
const SLOW: Duration = Duration::from_secs(2);

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
    /// It was ended from outside.
    #[error("was ended while it was compiled")]
    Ended(Cancelled),
    /// Something else.
    #[error("can't be compiled: {0}")]
    Other(String),
}

/// Where modules are compiled.
#[derive(Clone, Debug)]
pub struct Compiler(PathBuf);

/// What a compilation is held to.
pub struct Watch<'a> {
    /// Ends it, and is parked meanwhile.
    pub parker: &'a Parker,
    /// Bytes that it may take.
    pub max: u64,
    /// What it takes is charged to this as well, if to anything, beside what is charged already.
    pub charge: Option<&'a mut Charge>,
    /// Told once it takes long.
    pub slow: &'a mut dyn FnMut(),
}

impl Compiler {
    /// By this command itself, which must know the verb `compile`.
    pub fn of_this_command() -> Compiler {
        // What runs, even if another file has its name by now.
        Compiler::at("/proc/self/exe")
    }

    /// By the command that this file is.
    pub fn at(command: impl Into<PathBuf>) -> Compiler {
        Compiler(command.into())
    }

    /// Compiles a module for [`engine`], in a process of its own.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) fn compile(&self, wasm: &[u8], watch: Watch<'_>) -> Result<SealedCode, Failure> {
        let other = |error: io::Error| Failure::Other(error.to_string());
        let Watch {
            parker,
            max,
            mut charge,
            slow,
        } = watch;
        let before = charge.as_ref().map_or(0, |charge| charge.bytes());
        // The process has its own copy of the module, which counts with what it has.
        let copied = before.saturating_add(wasm.len() as u64);
        let mut cover = |bytes: u64| match &mut charge {
            Some(charge) => charge.resize(bytes).map_err(|_| Failure::Memory(max)),
            None => Ok(()),
        };
        cover(copied)?;
        let mut module = unnamed("capfs-module").map_err(other)?;
        let code = unnamed("capfs-code").map_err(other)?;
        let said = unnamed("capfs-compiler").map_err(other)?;
        module.write_all(wasm).map_err(other)?;
        module.rewind().map_err(other)?;
        let mut process = self.start(max, &module, &code, &said).map_err(other)?;
        let begun = Instant::now();
        let mut told = false;
        let status = loop {
            if let Some(why) = parker.cancelled() {
                return Err(Failure::Ended(why));
            }
            if let Some(status) = process.0.try_wait().map_err(other)? {
                break status;
            }
            let written = code.metadata().map_err(other)?.len();
            let own = own_memory(process.0.id()).saturating_sub(OWN);
            let held = own.saturating_add(written);
            cover(copied.saturating_add(held))?;
            if held > max {
                return Err(Failure::Memory(max));
            }
            let passed = begun.elapsed();
            if passed > SLOW && !told {
                told = true;
                slow();
            }
            parker.park(Some((passed / 8).clamp(LOOKS[0], LOOKS[1])));
        };
        let written = code.metadata().map_err(other)?.len();
        cover(before.saturating_add(written))?;
        match status.success() {
            true => SealedCode::new(code).map_err(other),
            false => Err(failure(status, text(&said), max)),
        }
    }

    fn start(&self, max: u64, module: &File, code: &File, said: &File) -> io::Result<Ended> {
        let mut command = Command::new(&self.0);
        command
            .arg("compile")
            .args(["--max", &max.to_string()])
            .args(["--parent", &std::process::id().to_string()])
            .env_clear()
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

/// What the verb `compile` does: reads a module from standard input, writes its code for [`engine`] to standard output, and answers
/// with an exit code. It allocates `max` bytes at most, beside what it takes for itself, and ends with the process `parent`, which
/// must have started it.
pub fn serve(max: u64, parent: u32) -> u8 {
    let served = bound(max, parent).and_then(|()| compile());
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

/// Bounds this process.
fn bound(max: u64, parent: u32) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| Failure::Other(error.to_string());
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    // It may have ended before.
    if getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok() {
        return Err(Failure::Other("it is to be started by a run".to_owned()));
    }
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let beside = BESIDE.saturating_add(threads.saturating_mul(BESIDE_THREAD));
    let lower = |resource, to: u64| {
        let maximum = getrlimit(resource).maximum;
        let limit = Some(maximum.map_or(to, |maximum| maximum.min(to)));
        let limit = Rlimit {
            current: limit,
            maximum: limit,
        };
        setrlimit(resource, limit).map_err(failed)
    };
    lower(Resource::Data, max.saturating_add(beside))?;
    // An allocation that fails ends it by a signal that dumps its memory.
    lower(Resource::Core, 0)
}

fn compile() -> Result<(), Failure> {
    let other = |error: io::Error| Failure::Other(error.to_string());
    let mut wasm = Vec::new();
    io::stdin().lock().read_to_end(&mut wasm).map_err(other)?;
    let engine = engine();
    // Everything that can be refused is refused before the first function is compiled.
    let valid = validate(&engine, &wasm, "").map_err(|error| match error {
        ModuleError::Refused {
            refusal: Refusal::Invalid(text),
            ..
        } => Failure::Invalid(text),
        error => Failure::Other(error.to_string()),
    })?;
    let code = engine.precompile_module(&valid);
    let code = code.map_err(|error| match error.is::<OutOfMemory>() {
        true => Failure::Memory(0),
        false => Failure::Invalid(format!("{error:#}")),
    })?;
    // Not by the buffer of standard output, which looks for ends of lines.
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(other)?;
    File::from(output).write_all(&code).map_err(other)
}
