//! The verdicts.

use std::fmt;

/// Imports that a message names, at most.
const NAMED_MAX: usize = 16;

/// Why a module can't run as an agent.
///
/// Its text is the end of a sentence that begins with the module's name: *`tool.wasm` is a component …*.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It does not begin as WebAssembly does; what it looks like instead.
    NotWasm(&'static str),
    /// It is a component.
    Component,
    /// It ends too early; where.
    Truncated(String),
    /// It is not valid, or needs a proposal that the engine does not have; what the validator says.
    Invalid(String),
    /// It imports what no host provides: each as `module.name`, and what about it is wrong.
    Imports(Vec<String>),
    /// It has no `_start`.
    NoStart,
    /// Its `_start` takes or returns values.
    StartType,
    /// It exports no memory named `memory`.
    NoMemory,
    /// A memory of it is one that WASI preview 1 can't be called with.
    Memory(BadMemory),
    /// It needs more memory from the start than it may have, both in bytes.
    MemoryLimit {
        /// What all of its memories have from the start.
        needed: u64,
        /// What it may have.
        limit: u64,
    },
}

/// What is wrong with a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadMemory {
    /// The exported one has 64-bit addresses.
    Wide,
    /// It is shared between threads.
    Shared,
    /// Its pages have another size than 64 KiB.
    Pages,
}

/// The exit code of a file that is not an agent, as env(1) has it.
const NOT_AN_AGENT: u8 = 126;

/// The exit code of an agent that could not be started, as env(1) has it.
const NOT_STARTED: u8 = 125;

impl Refusal {
    /// The name by which programs tell verdicts apart; the package's errors have it as their `code`.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::NotWasm(_) | Refusal::Truncated(_) | Refusal::Invalid(_) => "MODULE_INVALID",
            Refusal::Component => "MODULE_COMPONENT",
            Refusal::Imports(_) => "MODULE_IMPORTS",
            Refusal::NoStart => "MODULE_NO_START",
            Refusal::StartType => "MODULE_START_TYPE",
            Refusal::NoMemory => "MODULE_NO_MEMORY",
            Refusal::Memory(_) => "MODULE_MEMORY",
            Refusal::MemoryLimit { .. } => "MEMORY_LIMIT",
        }
    }

    /// The exit code that stands for it natively.
    pub fn exit_code(&self) -> u8 {
        match self {
            Refusal::MemoryLimit { .. } => NOT_STARTED,
            _ => NOT_AN_AGENT,
        }
    }

    /// What may help.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Refusal::Component => Some("build it for the target `wasm32-wasip1`"),
            Refusal::Truncated(_) => Some("copy or download the file again"),
            Refusal::Imports(_) => Some("`capfs-host inspect` lists everything that it imports"),
            Refusal::NoStart => Some("build it as a program with `main`"),
            Refusal::Memory(BadMemory::Wide) => {
                Some("build it for the target `wasm32-wasip1`, not for a 64-bit one")
            }
            Refusal::Memory(BadMemory::Shared) => {
                Some("build it for the target `wasm32-wasip1`, not for `wasm32-wasip1-threads`")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotWasm(found) => write!(f, "is not WebAssembly: {found}"),
            Refusal::Component => f.write_str(
                "is a component (WASI preview 2 or later); only WASI preview 1 modules run for now",
            ),
            Refusal::Truncated(place) => write!(f, "is cut short: {place}"),
            Refusal::Invalid(reason) => write!(f, "is not a valid WebAssembly module: {reason}"),
            Refusal::Imports(imports) => {
                let named = imports.len().min(NAMED_MAX);
                write!(
                    f,
                    "imports what no host provides: {}",
                    imports[..named].join(", ")
                )?;
                match imports.len() - named {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Refusal::NoStart => {
                f.write_str("has no `_start` function: it is a library, not a command")
            }
            Refusal::StartType => f.write_str(
                "has a `_start` that takes or returns values, which nobody would give or take",
            ),
            Refusal::NoMemory => {
                f.write_str("exports no memory named `memory`, so WASI calls can't reach its data")
            }
            Refusal::Memory(BadMemory::Wide) => f.write_str(
                "has a memory with 64-bit addresses, and WASI preview 1 has 32 bits for them",
            ),
            Refusal::Memory(BadMemory::Shared) => {
                f.write_str("has a memory that threads share, and an agent has one thread")
            }
            Refusal::Memory(BadMemory::Pages) => {
                f.write_str("has a memory whose pages are not of 64 KiB")
            }
            Refusal::MemoryLimit { needed, limit } => {
                write!(
                    f,
                    "needs {needed} bytes of memory to start, and may have {limit}"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}
