//! The engine, and modules for it.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;
use std::sync::OnceLock;

use capfs_devices::identity::digest;
use capfs_modules::{Facts, Refusal, translate};
use wasmparser::{Validator, WasmFeatures};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, Module, PoolingAllocationConfig};

use crate::cache::Cache;
use crate::compile::{Compiler, Failure, Watch};
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
    /// It can't run as an agent.
    #[error("`{path}` {refusal}")]
    Refused {
        /// The file.
        path: String,
        /// Why.
        refusal: Refusal,
    },
    /// It is not the module that was meant.
    #[error("`{path}` has the digest {digest}, and not {wanted}")]
    OtherDigest {
        /// The file.
        path: String,
        /// Its digest.
        digest: String,
        /// What it should be.
        wanted: String,
    },
    /// It was not compiled, whether it can run or not.
    #[error("`{path}` {failure}")]
    Compile {
        /// The file.
        path: String,
        /// Why.
        failure: Failure,
    },
}

impl ModuleError {
    /// Why the module of this name can't run.
    pub fn refused(path: &str, refusal: Refusal) -> ModuleError {
        ModuleError::Refused {
            path: path.to_owned(),
            refusal,
        }
    }

    /// That the bytes of a module have the digest that they must have, if there is one.
    ///
    /// # Errors
    /// [`ModuleError::OtherDigest`]
    pub fn check_digest(path: &str, wasm: &[u8], wanted: Option<&str>) -> Result<(), ModuleError> {
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let digest = digest(wasm);
        match digest == wanted {
            true => Ok(()),
            false => Err(ModuleError::OtherDigest {
                path: path.to_owned(),
                digest,
                wanted: wanted.to_owned(),
            }),
        }
    }

    /// A module that is not valid, for this reason.
    pub(crate) fn invalid(path: &str, reason: &wasmtime::Error) -> ModuleError {
        ModuleError::refused(path, Refusal::Invalid(format!("{reason:#}")))
    }

    fn failed(path: &str, failure: Failure) -> ModuleError {
        match failure {
            Failure::Invalid(reason) => ModuleError::refused(path, Refusal::Invalid(reason)),
            failure => ModuleError::Compile {
                path: path.to_owned(),
                failure,
            },
        }
    }
}

/// Bytes of stack for a guest's own frames: interpreters recurse deeply. It is address space, not
/// memory, until it is used.
const GUEST_STACK: usize = 8 << 20;

/// Bytes of stack for the own frames of a child: it is charged for all of them, for nobody is told which it touches. It is what browsers give a
/// worker.
pub const CHILD_STACK: usize = 1 << 20;

/// Bytes of stack of a child's thread: its own, and what a thread has for the calls that it makes and for what is done before it starts.
pub const CHILD_THREAD_STACK: usize = CHILD_STACK + (2 << 20);

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
    /// Bytes of stack for a guest's own frames.
    stack: usize,
    pooled: Option<Engine>,
    /// Made when it is needed, which is seldom.
    on_demand: OnceLock<Engine>,
}

impl Engines {
    /// Engines for this many agents at once.
    pub fn new(agents: u32) -> Engines {
        // Where so much address space can't be had (`ulimit -v`, say), the other engine does it all.
        let pooled = Engine::new(config(GUEST_STACK).allocation_strategy(pool(agents))).ok();
        Engines {
            stack: GUEST_STACK,
            pooled,
            on_demand: OnceLock::new(),
        }
    }

    /// Engines that reserve nothing.
    pub fn without_pool() -> Engines {
        Engines::of_stack(GUEST_STACK)
    }

    /// Engines that reserve nothing, for children: on threads of [`CHILD_THREAD_STACK`] bytes of stack.
    pub fn of_children() -> Engines {
        Engines::of_stack(CHILD_STACK)
    }

    fn of_stack(stack: usize) -> Engines {
        Engines {
            stack,
            pooled: None,
            on_demand: OnceLock::new(),
        }
    }

    /// The engine without a pool.
    pub fn on_demand(&self) -> &Engine {
        self.on_demand.get_or_init(|| engine_of(self.stack))
    }

    /// The engine whose pool a module fits into, as far as reading tells; or the other.
    fn fit_for(&self, facts: &Facts) -> &Engine {
        let memories = facts.memories.len() as u64;
        let fits = memories <= u64::from(POOLED_DEFINITIONS) && facts.tables <= POOLED_DEFINITIONS;
        match &self.pooled {
            Some(pooled) if fits => pooled,
            _ => self.on_demand(),
        }
    }

    fn is_pooled(&self, engine: &Engine) -> bool {
        let pooled = self.pooled.as_ref();
        pooled.is_some_and(|pooled| Engine::same(pooled, engine))
    }

    /// The engines in the order in which a module is to be tried on them, this one first.
    fn in_order<'e>(&'e self, first: &'e Engine) -> impl Iterator<Item = &'e Engine> {
        let next = self.is_pooled(first).then(|| self.on_demand());
        std::iter::once(first).chain(next)
    }
}

/// An engine without a pool.
///
/// # Panics
/// Never: the configuration is constant, and tested.
pub fn engine() -> Engine {
    engine_of(GUEST_STACK)
}

fn engine_of(stack: usize) -> Engine {
    Engine::new(&config(stack)).expect("a constant configuration that is tested")
}

/// A guest's own frames have `stack` bytes.
fn config(stack: usize) -> Config {
    let mut config = Config::new();
    config.max_wasm_stack(stack);
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

/// A module that can run.
pub struct Loaded {
    /// Its code.
    pub module: Module,
    /// Where the code came from.
    pub source: CodeSource,
    /// What was read of it.
    pub facts: Facts,
}

impl Loaded {
    /// That it needs no more bytes of memory from the start than it may have.
    ///
    /// # Errors
    /// [`Refusal::MemoryLimit`]
    pub fn fits(&self, limit: u64, name: &str) -> Result<(), ModuleError> {
        let needed = self.facts.memory_minimum();
        match needed > limit {
            true => Err(ModuleError::refused(
                name,
                Refusal::MemoryLimit { needed, limit },
            )),
            false => Ok(()),
        }
    }
}

/// Where a module is compiled whose code is not in the cache.
pub enum Compiling<'a> {
    /// On this thread, in this process, for as long and with as much memory as it takes: for a module that is trusted.
    Here,
    /// In a process of its own, which is watched.
    Apart(&'a Compiler, Watch<'a>),
}

/// Reads and compiles a module that is trusted, or loads its code from the cache.
///
/// # Errors
/// See [`ModuleError`].
pub fn load(engines: &Engines, path: &Path, cache: Option<&Cache>) -> Result<Loaded, ModuleError> {
    let name = path.display().to_string();
    load_bytes(engines, &read(path)?, &name, cache, Compiling::Here)
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

/// Checks a module without compiling it; `name` is for messages. Answers the module as it is compiled.
///
/// # Errors
/// See [`ModuleError`].
pub fn validate<'w>(
    engine: &Engine,
    wasm: &'w [u8],
    name: &str,
) -> Result<Cow<'w, [u8]>, ModuleError> {
    let Err(error) = Module::validate(engine, wasm) else {
        return Ok(Cow::Borrowed(wasm));
    };
    // With the older exception instructions it is valid in browsers, and so it is here.
    if Validator::new_with_features(older())
        .validate_all(wasm)
        .is_err()
    {
        return Err(ModuleError::invalid(name, &error));
    }
    let invalid =
        |error: &dyn Display| ModuleError::refused(name, Refusal::Invalid(error.to_string()));
    let translated = translate(wasm).map_err(|error| invalid(&error))?;
    Module::validate(engine, &translated).map_err(|error| invalid(&error))?;
    Ok(translated)
}

/// What the engine runs, and the older exception instructions.
fn older() -> WasmFeatures {
    WasmFeatures::default() | WasmFeatures::LEGACY_EXCEPTIONS
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
    compiling: Compiling<'_>,
) -> Result<Loaded, ModuleError> {
    let facts = read_facts(wasm, name)?;
    load_read(engines, wasm, name, facts, cache, compiling)
}

/// Reads what must be known of a module before it is compiled; `name` is for messages. Meanwhile it holds as much as
/// [`held`](capfs_modules::held) says.
///
/// # Errors
/// [`ModuleError::Refused`]
pub fn read_facts(wasm: &[u8], name: &str) -> Result<Facts, ModuleError> {
    capfs_modules::read(wasm).map_err(|refusal| ModuleError::refused(name, refusal))
}

/// Like [`load_bytes`], of a module of which the facts have been read.
///
/// # Errors
/// See [`ModuleError`].
pub fn load_read(
    engines: &Engines,
    wasm: &[u8],
    name: &str,
    facts: Facts,
    cache: Option<&Cache>,
    compiling: Compiling<'_>,
) -> Result<Loaded, ModuleError> {
    let engine = engines.fit_for(&facts);
    let keyed = cache.map(|cache| (cache, Cache::key(engine, wasm)));
    if let Some((cache, key)) = &keyed
        && let Some(entry) = cache.find(key)
        && let Some(module) = engines
            .in_order(engine)
            .find_map(|engine| entry.load(engine))
    {
        return Ok(Loaded {
            module,
            source: CodeSource::Cached,
            facts,
        });
    }
    let module = match compiling {
        Compiling::Here => {
            let module = here(engines, engine, wasm, name)?;
            if let Some((cache, key)) = &keyed {
                // A cache that can't be written costs time at the next start, nothing else.
                let _ = cache.store(key, &module);
            }
            module
        }
        Compiling::Apart(compiler, watch) => {
            let code = compiler.compile(wasm, watch);
            let code = code.map_err(|failure| ModuleError::failed(name, failure))?;
            let mut loaded = code.load(engine);
            if loaded.is_err() && engines.is_pooled(engine) {
                loaded = code.load(engines.on_demand());
            }
            if let Some((cache, key)) = &keyed {
                let _ = cache.store_code(key, &code);
            }
            let other = |error| Failure::Other(format!("its code can't be loaded: {error:#}"));
            loaded.map_err(|error| ModuleError::failed(name, other(error)))?
        }
    };
    Ok(Loaded {
        module,
        source: CodeSource::Compiled,
        facts,
    })
}

/// Compiles a module on this thread.
fn here(
    engines: &Engines,
    engine: &Engine,
    wasm: &[u8],
    name: &str,
) -> Result<Module, ModuleError> {
    // Everything that can be refused is refused before the first function is compiled.
    let valid = validate(engine, wasm, name)?;
    let mut compiled = Module::from_binary(engine, &valid);
    if compiled.is_err() && engines.is_pooled(engine) {
        // What else does not fit into the pool is noticed once it has been compiled; that is rare.
        compiled = Module::from_binary(engines.on_demand(), &valid);
    }
    compiled.map_err(|error| ModuleError::invalid(name, &error))
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    const TWO_MEMORIES: &str =
        r#"(module (memory (export "memory") 1) (memory 1) (func (export "_start")))"#;

    #[test]
    fn the_configurations_are_valid() {
        let engines = Engines::new(1);
        assert!(engines.pooled.is_some());
    }

    #[test]
    fn the_same_code_serves_all_engines() {
        let engines = Engines::new(1);
        let pooled = engines.pooled.as_ref().unwrap();
        let hashes: Vec<u64> = engines
            .in_order(pooled)
            .map(|engine| {
                let mut hasher = DefaultHasher::new();
                engine.precompile_compatibility_hash().hash(&mut hasher);
                hasher.finish()
            })
            .collect();
        assert_eq!(hashes[0], hashes[1]);
        let mut hasher = DefaultHasher::new();
        let children = Engines::of_children();
        let hash = children.on_demand().precompile_compatibility_hash();
        hash.hash(&mut hasher);
        assert_eq!(hashes[0], hasher.finish());
    }

    #[test]
    fn what_does_not_fit_into_the_pool_is_loaded_all_the_same() {
        let engines = Engines::new(1);
        let wasm = wat::parse_str(TWO_MEMORIES).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("code"));
        for source in [CodeSource::Compiled, CodeSource::Cached] {
            let loaded = load_bytes(&engines, &wasm, "two", Some(&cache), Compiling::Here).unwrap();
            assert_eq!(loaded.source, source);
        }
    }
}
