//! The engine, and modules for it.

use std::path::Path;
use std::sync::OnceLock;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, Module, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::limits::TABLE_MAX;
use crate::read::{PROGRAM_MAX, read_at_most};

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
    /// `_start` takes or returns values.
    #[error(
        "`{path}` has a `_start` that takes or returns values, which nobody would give or take"
    )]
    StartType {
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

/// Memories and tables of one module that are set aside: real programs have one of each. A module with more
/// is given what it needs when it is instantiated.
const POOLED_DEFINITIONS: u32 = 1;

/// Bytes of the engine's own data about one instance, which grow with the functions that a module can take
/// the address of: a compiler of 30 MB has 100,000, at some 30 bytes each.
const INSTANCE_MAX: usize = 16 << 20;

/// Bytes of an instance's memory, and of its table, that are cleared for the next one instead of being given
/// back: clearing little is cheaper than asking for it again.
const KEPT: usize = 64 << 10;

/// The engines of this host: they compile alike, and differ in where an instance's memory comes from.
///
/// The *pooled* one reserves the address space of its agents once, and hands it on from an ended agent to the next
/// with its mappings in place: instantiating takes microseconds. What does not fit into its pool, a module
/// with several memories say, runs on the other, which asks the operating system each time. The same code
/// serves both.
pub struct Engines {
    pooled: Option<Engine>,
    /// Made when it is needed, which is seldom.
    on_demand: OnceLock<Engine>,
}

impl Engines {
    /// Engines for this many agents at once.
    pub fn new(agents: u32) -> Engines {
        // Where so much address space can't be had (`ulimit -v`, say), the other engine does it all.
        let pooled = Engine::new(config().allocation_strategy(pool(agents))).ok();
        Engines {
            pooled,
            on_demand: OnceLock::new(),
        }
    }

    /// Engines that reserve nothing.
    pub fn without_pool() -> Engines {
        Engines {
            pooled: None,
            on_demand: OnceLock::new(),
        }
    }

    /// The engine without a pool.
    pub fn on_demand(&self) -> &Engine {
        self.on_demand.get_or_init(engine)
    }

    /// The engines in the order in which a module is to be tried on them.
    fn in_order(&self) -> impl Iterator<Item = &Engine> {
        let on_demand = std::iter::once_with(|| self.on_demand());
        self.pooled.iter().chain(on_demand)
    }
}

/// An engine without a pool.
///
/// # Panics
/// Never: the configuration is constant, and tested.
pub fn engine() -> Engine {
    Engine::new(&config()).expect("a constant configuration that is tested")
}

fn config() -> Config {
    let mut config = Config::new();
    config.max_wasm_stack(GUEST_STACK);
    // It must not be smaller, though nothing here is asynchronous.
    config.async_stack_size(THREAD_STACK);
    // A guest that computes is stopped by advancing the epoch; see `wait`.
    config.epoch_interruption(true);
    config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config
}

/// Room for agents, each with a memory as large as 32 bits can address.
fn pool(agents: u32) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(agents)
        .total_memories(agents * POOLED_DEFINITIONS)
        .total_tables(agents * POOLED_DEFINITIONS)
        .total_gc_heaps(agents)
        .max_memories_per_module(POOLED_DEFINITIONS)
        .max_tables_per_module(POOLED_DEFINITIONS)
        .table_elements(TABLE_MAX)
        .max_core_instance_size(INSTANCE_MAX)
        .linear_memory_keep_resident(KEPT)
        .table_keep_resident(KEPT);
    InstanceAllocationStrategy::Pooling(pool)
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
    engines: &Engines,
    path: &Path,
    cache: Option<&Cache>,
) -> Result<(Module, CodeSource), ModuleError> {
    load_bytes(engines, &read(path)?, &path.display().to_string(), cache)
}

/// Reads a module's file.
///
/// # Errors
/// [`ModuleError::Read`]
pub fn read(path: &Path) -> Result<Vec<u8>, ModuleError> {
    read_at_most(path, PROGRAM_MAX).map_err(|source| ModuleError::Read {
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
    engines: &Engines,
    wasm: &[u8],
    name: &str,
    cache: Option<&Cache>,
) -> Result<(Module, CodeSource), ModuleError> {
    check_header(wasm, name)?;
    let first = engines.pooled.as_ref();
    let first = first.unwrap_or_else(|| engines.on_demand());
    let keyed = cache.map(|cache| (cache, Cache::key(first, wasm)));
    if let Some((cache, key)) = &keyed
        && let Some(entry) = cache.find(key)
        && let Some(module) = engines.in_order().find_map(|engine| entry.load(engine))
    {
        return Ok((module, CodeSource::Cached));
    }
    let mut compiled = Module::from_binary(first, wasm);
    if compiled.is_err() && engines.pooled.is_some() {
        // What does not fit into the pool is noticed once it has been compiled; that is rare enough.
        compiled = Module::from_binary(engines.on_demand(), wasm);
    }
    let module = compiled.map_err(|error| refused(wasm, name, &error))?;
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
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

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
    fn the_configurations_are_valid() {
        let engines = Engines::new(1);
        assert!(engines.pooled.is_some());
    }

    #[test]
    fn the_same_code_serves_both_engines() {
        let engines = Engines::new(1);
        let hashes: Vec<u64> = engines
            .in_order()
            .map(|engine| {
                let mut hasher = DefaultHasher::new();
                engine.precompile_compatibility_hash().hash(&mut hasher);
                hasher.finish()
            })
            .collect();
        assert_eq!(hashes[0], hashes[1]);
    }

    #[test]
    fn what_does_not_fit_into_the_pool_is_loaded_all_the_same() {
        let engines = Engines::new(1);
        let wasm = wat::parse_str("(module (memory 1) (memory 1))").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("code"));
        for source in [CodeSource::Compiled, CodeSource::Cached] {
            let (_, from) = load_bytes(&engines, &wasm, "two", Some(&cache)).unwrap();
            assert_eq!(from, source);
        }
    }
}
