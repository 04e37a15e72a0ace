//! The engine, and modules for it.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;
use std::sync::OnceLock;

use capfs_devices::identity::digest;
use capfs_modules::{Facts, Refusal, translate};
use wasmparser::{Validator, WasmFeatures};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Strategy,
};

use crate::cache::Cache;
use crate::compile::{Compiler, Failure, Tiers, Watch};
use crate::instance;
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

    /// That a module was not compiled, for this reason.
    pub(crate) fn failed(path: &str, failure: Failure) -> ModuleError {
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

/// Bytes of stack for a guest's own frames where its code is of the baseline compiler, which gives every local a place in its frame: a
/// function's is twice as large, and that of one with many locals several times.
const BASELINE_STACK: usize = 4 * GUEST_STACK;

/// Bytes of stack for the own frames of a child: it is charged for all of them, for nobody is told which it touches. It is what browsers give a
/// worker.
pub const CHILD_STACK: usize = 1 << 20;

/// Bytes of stack of a child's thread: its own, and what a thread has for the calls that it makes and for what is done before it starts.
pub const CHILD_THREAD_STACK: usize = CHILD_STACK + (2 << 20);

/// Bytes of stack of a thread that runs an agent: the guest's, whichever its code is, and [`CALLS_STACK`] for the calls that it makes.
/// On a smaller one, a guest that recurses without end would take the process down.
pub const THREAD_STACK: usize = BASELINE_STACK + CALLS_STACK;

/// Bytes of an own stack for the calls that a guest makes: what a child's thread has for them.
const FIBER_CALLS_STACK: usize = CHILD_THREAD_STACK - CHILD_STACK;

/// Bytes of stack for the calls that a guest makes.
const CALLS_STACK: usize = 8 << 20;

/// Which compiler code is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The optimising one, Cranelift: it takes several times as long.
    Optimised,
    /// The baseline compiler, Winch: one pass over the module, and code that runs more slowly.
    Baseline,
}

impl Tier {
    /// One word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Optimised => "optimised",
            Tier::Baseline => "baseline",
        }
    }
}

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
/// serves both. Code of the baseline compiler calls in another way, and has an engine of its own.
pub struct Engines {
    /// Bytes of stack for a guest's own frames.
    stack: usize,
    /// Bytes of a stack that a guest is run on where it has one of its own.
    fiber: usize,
    pooled: Option<Engine>,
    /// Made when it is needed, which is seldom.
    on_demand: OnceLock<Engine>,
    /// As that; `None` where there is no baseline compiler for this machine.
    baseline: OnceLock<Option<Engine>>,
}

impl Engines {
    /// Engines for this many agents at once.
    pub fn new(agents: u32) -> Engines {
        // Where so much address space can't be had (`ulimit -v`, say), the other engine does it all.
        let pooled =
            Engine::new(config(GUEST_STACK, THREAD_STACK).allocation_strategy(pool(agents))).ok();
        Engines {
            stack: GUEST_STACK,
            fiber: THREAD_STACK,
            pooled,
            on_demand: OnceLock::new(),
            baseline: OnceLock::new(),
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

    /// Engines that reserve nothing, for agents that any thread may run: each has a stack of its own, of which its own frames have `stack` bytes.
    /// There is no baseline compiler: agents share one epoch, and the stack of each is charged as it is.
    pub fn on_fibers(stack: usize) -> Engines {
        Engines {
            fiber: stack.saturating_add(FIBER_CALLS_STACK),
            baseline: OnceLock::from(None),
            ..Engines::of_stack(stack)
        }
    }

    fn of_stack(stack: usize) -> Engines {
        Engines {
            stack,
            fiber: THREAD_STACK,
            pooled: None,
            on_demand: OnceLock::new(),
            baseline: OnceLock::new(),
        }
    }

    /// The engine without a pool.
    pub fn on_demand(&self) -> &Engine {
        self.on_demand
            .get_or_init(|| optimising(self.stack, self.fiber))
    }

    /// The engine for code of the baseline compiler, if there is one for this machine. Children have none: their stacks are too small for it.
    pub fn baseline(&self) -> Option<&Engine> {
        let enough = self.stack >= GUEST_STACK;
        let made = || engine_with(Tier::Baseline, BASELINE_STACK, THREAD_STACK).filter(|_| enough);
        self.baseline.get_or_init(made).as_ref()
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
    optimising(GUEST_STACK, THREAD_STACK)
}

/// The engine for code of a compiler; `None` if there is no such compiler for this machine.
pub(crate) fn engine_of(tier: Tier) -> Option<Engine> {
    // It compiles, and runs nothing.
    engine_with(tier, GUEST_STACK, THREAD_STACK)
}

fn engine_with(tier: Tier, stack: usize, fiber: usize) -> Option<Engine> {
    let mut config = config(stack, fiber);
    if tier == Tier::Baseline {
        // It takes fewer of WebAssembly's proposals; what it does not take is not valid for it.
        config.strategy(Strategy::Winch);
    }
    Engine::new(&config).ok()
}

/// An engine without a pool, for code of the optimising compiler.
///
/// # Panics
/// Never: the configuration is constant, and tested.
fn optimising(stack: usize, fiber: usize) -> Engine {
    engine_with(Tier::Optimised, stack, fiber).expect("a constant configuration that is tested")
}

/// A guest's own frames have `stack` bytes, and those and what it calls `fiber`, where it has a stack of its own.
fn config(stack: usize, fiber: usize) -> Config {
    let mut config = Config::new();
    config.max_wasm_stack(stack);
    // It must not be smaller, though most here is not asynchronous.
    config.async_stack_size(fiber);
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
    /// Which compiler it is from.
    pub tier: Tier,
    /// What an entry of the cache with optimised code for it would be named by, where there is none yet and the code is not.
    pub optimised_key: Option<String>,
    /// What was read of it.
    pub facts: Facts,
    /// Bytes that an instance of it takes, at most, beside its memories and the elements of its tables.
    pub instance: u64,
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
    let first = engines.fit_for(&facts);
    let keys = cache.map(|cache| Keys {
        cache,
        digest: Cache::digest(wasm),
    });
    let optimised = Place::new(engines.in_order(first).collect(), keys.as_ref());
    let optimised_key = |tier| match (tier, &optimised.keyed) {
        (Tier::Baseline, Some((_, key))) => Some(key.clone()),
        _ => None,
    };
    let (tier, module, source) = match compiling {
        Compiling::Here => match optimised.find() {
            Some(module) => (Tier::Optimised, module, CodeSource::Cached),
            None => {
                let module = here(engines, first, wasm, name)?;
                if let Some((cache, key)) = &optimised.keyed {
                    // A cache that can't be written costs time at the next start, nothing else.
                    let _ = cache.store(key, &module);
                }
                (Tier::Optimised, module, CodeSource::Compiled)
            }
        },
        Compiling::Apart(compiler, watch) => {
            let baseline = compiler.tiers().begin(wasm.len(), cache.is_some());
            let baseline = baseline.then(|| engines.baseline()).flatten();
            let baseline = baseline.map(|engine| Place::new(vec![engine], keys.as_ref()));
            let found = apart(compiler, watch, wasm, &optimised, baseline.as_ref());
            found.map_err(|failure| ModuleError::failed(name, failure))?
        }
    };
    Ok(Loaded {
        module,
        source,
        tier,
        optimised_key: optimised_key(tier),
        instance: instance::size(wasm, &facts),
        facts,
    })
}

/// Code, which compiler it is from, and where it came from.
type Found = (Tier, Module, CodeSource);

/// Finds or compiles a module, in a process of its own: by the baseline compiler, if there is a place for what that makes, and nothing better.
fn apart(
    compiler: &Compiler,
    mut watch: Watch<'_>,
    wasm: &[u8],
    optimised: &Place<'_>,
    baseline: Option<&Place<'_>>,
) -> Result<Found, Failure> {
    if let Some(baseline) = baseline {
        if compiler.tiers() != Tiers::Baseline
            && let Some(module) = optimised.find()
        {
            return Ok((Tier::Optimised, module, CodeSource::Cached));
        }
        match baseline.find_or_compile(Tier::Baseline, compiler, wasm, &mut watch) {
            Err(failure @ Failure::Ended(_)) => return Err(failure),
            // There are proposals that it does not know; and whatever else it fails with, the other compiler has the last word.
            Err(_) => {}
            found => return found,
        }
    }
    optimised.find_or_compile(Tier::Optimised, compiler, wasm, &mut watch)
}

/// What entries of the cache for one module are named by.
struct Keys<'a> {
    cache: &'a Cache,
    digest: String,
}

/// Where code of one compiler for one module is kept and loaded.
struct Place<'a> {
    /// The engines that it can be loaded by, in the order in which they are tried.
    engines: Vec<&'a Engine>,
    /// The cache, and the name of its entry there.
    keyed: Option<(&'a Cache, String)>,
}

impl<'a> Place<'a> {
    /// All of the engines take the same code.
    fn new(engines: Vec<&'a Engine>, keys: Option<&Keys<'a>>) -> Place<'a> {
        let keyed = engines.first().zip(keys);
        let keyed = keyed.map(|(engine, keys)| (keys.cache, Cache::key_of(engine, &keys.digest)));
        Place { engines, keyed }
    }

    /// The code that is kept, if there is any.
    fn find(&self) -> Option<Module> {
        let (cache, key) = self.keyed.as_ref()?;
        let entry = cache.find(key)?;
        self.engines.iter().find_map(|engine| entry.load(engine))
    }

    /// The code that is kept; or else what is compiled now, in a process of its own, and kept. Of those that come here at once with the
    /// same module one compiles it.
    fn find_or_compile(
        &self,
        tier: Tier,
        compiler: &Compiler,
        wasm: &[u8],
        watch: &mut Watch<'_>,
    ) -> Result<Found, Failure> {
        let cached = |module| (tier, module, CodeSource::Cached);
        if let Some(module) = self.find() {
            return Ok(cached(module));
        }
        let mut turn = None;
        if let Some((cache, key)) = &self.keyed {
            turn = watch.turn(cache, key)?;
            // Somebody may have made it meanwhile.
            if let Some(module) = self.find() {
                return Ok(cached(module));
            }
        }
        let code = compiler.compile(tier, wasm, watch)?;
        let mut loaded = Err(wasmtime::Error::msg("there is no engine for it"));
        for engine in &self.engines {
            // What does not fit into a pool is noticed when it is loaded.
            loaded = code.load(engine);
            if loaded.is_ok() {
                break;
            }
        }
        if let Some((cache, key)) = &self.keyed {
            let _ = cache.store_code(key, &code);
        }
        drop(turn);
        let other = |error| Failure::Other(format!("its code can't be loaded: {error:#}"));
        Ok((tier, loaded.map_err(other)?, CodeSource::Compiled))
    }
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
