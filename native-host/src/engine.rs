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
    #[error("`{path}` is not WebAssembly: it does not start with \\0asm")]
    NotWasm {
        /// The file.
        path: String,
    },
    /// The file is a component.
    #[error(
        "`{path}` is a component (WASI preview 2 or later); only WASI preview 1 modules run for now"
    )]
    Component {
        /// The file.
        path: String,
    },
    /// The module does not validate, or ends too early.
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

/// The engine that every agent of this host runs on.
///
/// # Panics
/// Never: the configuration is constant, and tested.
pub fn engine() -> Engine {
    let mut config = Config::new();
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
    let name = path.display().to_string();
    let wasm = std::fs::read(path).map_err(|source| ModuleError::Read {
        path: name.clone(),
        source,
    })?;
    load_bytes(engine, &wasm, &name, cache)
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
    const MAGIC: &[u8] = b"\0asm";
    const COMPONENT_LAYER: [u8; 2] = [1, 0];
    let path = name.to_owned();
    if !wasm.starts_with(MAGIC) {
        return Err(ModuleError::NotWasm { path });
    }
    if wasm.get(6..8) == Some(&COMPONENT_LAYER) {
        return Err(ModuleError::Component { path });
    }
    let keyed = cache.map(|cache| (cache, Cache::key(engine, wasm)));
    if let Some((cache, key)) = &keyed
        && let Some(module) = cache.load(engine, key)
    {
        return Ok((module, CodeSource::Cached));
    }
    let module = Module::from_binary(engine, wasm).map_err(|error| ModuleError::Invalid {
        path,
        reason: format!("{error:#}"),
    })?;
    if let Some((cache, key)) = &keyed {
        // A cache that can't be written costs time at the next start, nothing else.
        let _ = cache.store(key, &module);
    }
    Ok((module, CodeSource::Compiled))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_configuration_is_valid() {
        super::engine();
    }
}
