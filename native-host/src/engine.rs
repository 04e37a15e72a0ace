//! The engine, and modules for it.

use std::path::Path;

use wasmtime::{Config, Engine, Module};

use crate::cache::Cache;

/// Why a file is not an agent that can run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The file can't be read.
    #[error("can't read `{path}`: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not start as WebAssembly does.
    #[error("`{path}` is not WebAssembly: {found}")]
    NotWasm {
        /// The file.
        path: String,
        /// What it looks like.
        found: &'static str,
    },
    /// The file is a component.
    #[error(
        "`{path}` is a component (WASI preview 2 or later); only WASI preview 1 modules run for now"
    )]
    Component {
        /// The file.
        path: String,
    },
    /// The file ends in the middle of a section.
    #[error("`{path}` is cut short: {what}")]
    Truncated {
        /// The file.
        path: String,
        /// Where it ends.
        what: String,
    },
    /// The module does not validate, or needs a proposal that the engine does not have.
    #[error("`{path}` is not a valid WebAssembly module: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// What the validator says.
        reason: String,
    },
    /// Imports that are not WASI's.
    #[error("`{path}` imports what no host provides: {}", .imports.join(", "))]
    UnknownImports {
        /// The file.
        path: String,
        /// `module.name`, each.
        imports: Vec<String>,
    },
    /// No `_start`.
    #[error("`{path}` has no `_start` function: it is a library, not a command")]
    NoStart {
        /// The file.
        path: String,
    },
    /// No memory.
    #[error("`{path}` exports no memory named `memory`, so WASI calls can't reach its data")]
    NoMemory {
        /// The file.
        path: String,
    },
}

/// Bytes of stack for a guest's own frames: interpreters recurse deeply. It is address space, not
/// memory, until it is used.
const GUEST_STACK: usize = 8 << 20;

/// Bytes of stack of a thread that runs an agent: the guest's, and as much for the calls that it makes.
/// On a smaller one, a guest that recurses without end would take the process down.
pub const THREAD_STACK: usize = 2 * GUEST_STACK;

/// The engine that every agent of this host runs on.
///
/// # Panics
/// Never: the configuration is constant, and tested.
pub fn engine() -> Engine {
    let mut config = Config::new();
    config.max_wasm_stack(GUEST_STACK);
    // It must not be smaller, though nothing here is asynchronous.
    config.async_stack_size(THREAD_STACK);
    // A guest that computes is stopped by advancing the epoch; see `wait`.
    config.epoch_interruption(true);
    config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    Engine::new(&config).expect("a constant configuration that is tested")
}

/// Where a module's code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeSource {
    /// Compiled just now.
    Compiled,
    /// Read from the cache.
    Cached,
}

/// Reads and compiles a module, or loads its code from the cache.
///
/// # Errors
/// See [`ModuleError`].
pub fn load(
    engine: &Engine,
    path: &Path,
    cache: Option<&Cache>,
) -> Result<(Module, CodeSource), ModuleError> {
    load_bytes(engine, &read(path)?, &path.display().to_string(), cache)
}

/// Reads a module's file.
///
/// # Errors
/// [`ModuleError::Read`]
pub fn read(path: &Path) -> Result<Vec<u8>, ModuleError> {
    std::fs::read(path).map_err(|source| ModuleError::Read {
        path: path.display().to_string(),
        source,
    })
}

/// Checks a module without compiling it; `name` is for messages.
///
/// # Errors
/// See [`ModuleError`].
pub fn validate(engine: &Engine, wasm: &[u8], name: &str) -> Result<(), ModuleError> {
    check_header(wasm, name)?;
    Module::validate(engine, wasm).map_err(|error| refused(wasm, name, &error))
}

/// Like [`load`], from memory; `name` is for messages.
///
/// # Errors
/// See [`ModuleError`].
pub fn load_bytes(
    engine: &Engine,
    wasm: &[u8],
    name: &str,
    cache: Option<&Cache>,
) -> Result<(Module, CodeSource), ModuleError> {
    check_header(wasm, name)?;
    let keyed = cache.map(|cache| (cache, Cache::key(engine, wasm)));
    if let Some((cache, key)) = &keyed
        && let Some(module) = cache.load(engine, key)
    {
        return Ok((module, CodeSource::Cached));
    }
    let module = Module::from_binary(engine, wasm).map_err(|error| refused(wasm, name, &error))?;
    if let Some((cache, key)) = &keyed {
        // A cache that can't be written costs time at the next start, nothing else.
        let _ = cache.store(key, &module);
    }
    Ok((module, CodeSource::Compiled))
}

/// Refuses what is not a core module by its first eight bytes.
fn check_header(wasm: &[u8], name: &str) -> Result<(), ModuleError> {
    const MAGIC: &[u8] = b"\0asm";
    const COMPONENT_LAYER: [u8; 2] = [1, 0];
    let path = name.to_owned();
    if !wasm.starts_with(MAGIC) {
        return Err(ModuleError::NotWasm {
            path,
            found: what_else(wasm),
        });
    }
    match wasm.get(6..8) == Some(&COMPONENT_LAYER) {
        true => Err(ModuleError::Component { path }),
        false => Ok(()),
    }
}

/// Why the engine refuses a module.
fn refused(wasm: &[u8], name: &str, error: &wasmtime::Error) -> ModuleError {
    let path = name.to_owned();
    match cut_short(wasm) {
        Some(what) => ModuleError::Truncated { path, what },
        None => ModuleError::Invalid {
            path,
            reason: format!("{error:#}"),
        },
    }
}

/// What a file is that isn't WebAssembly.
fn what_else(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "it is empty",
        [0x7f, b'E', b'L', b'F', ..] => "it is native code",
        [0x1f, 0x8b, ..] => "it is compressed by gzip",
        [b'P', b'K', 3, 4, ..] => "it is a zip archive",
        [b'#', b'!', ..] => "it is a script",
        _ if bytes.trim_ascii_start().starts_with(b"(") => {
            "it looks like the text format, which `wat2wasm` converts"
        }
        _ => "it does not start with \\0asm",
    }
}

/// Where a module ends too early, if it does: the engine's own message is about what it was reading.
fn cut_short(wasm: &[u8]) -> Option<String> {
    const HEADER: usize = 8;
    let mut at = HEADER;
    if wasm.len() < HEADER {
        return Some("it ends within its header".to_owned());
    }
    while at < wasm.len() {
        let mut length = 0usize;
        let mut body = at + 1;
        // Section sizes are LEB128 of at most 32 bits.
        for shift in (0..35).step_by(7) {
            let Some(byte) = wasm.get(body) else {
                return Some(format!("it ends in the head of the section at byte {at}"));
            };
            length |= usize::from(byte & 0x7f) << shift;
            body += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let end = body.saturating_add(length);
        if end > wasm.len() {
            let missing = end - wasm.len();
            return Some(format!(
                "{missing} bytes are missing from the section at byte {at}"
            ));
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::cut_short;

    #[test]
    fn modules_that_end_early() {
        assert!(cut_short(b"\0asm\x01\0\0").is_some());
        assert!(cut_short(b"\0asm\x01\0\0\0").is_none());
        assert!(cut_short(b"\0asm\x01\0\0\0\x01").is_some());
        assert!(cut_short(b"\0asm\x01\0\0\0\x01\x05\0").is_some());
        assert!(cut_short(b"\0asm\x01\0\0\0\x01\x01\x05").is_none());
        assert!(cut_short(b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\x0f").is_some());
    }

    #[test]
    fn the_configuration_is_valid() {
        super::engine();
    }
}
