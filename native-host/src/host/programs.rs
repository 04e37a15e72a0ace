//! Programs, and the code that a host keeps of them.
//!
//! A program is found by the digest of its module; of a file that has not changed since it was read, that is known without reading it. So the
//! second start of a program reads nothing, compiles nothing and loads nothing. What was unused for longest goes when there is too much code.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use capfs_devices::identity::digest;
use capfs_native_devices::blocking::Pool;
use tokio::sync::OnceCell;
use wasmtime::Engine;

use super::adapter::Adapter;
use super::fiber::{self, Entry};
use super::{HostUsage, LaunchError};
use crate::cache::Cache;
use crate::compile::{Compiler, Failure, Watch, allowed};
use crate::engine::{self, Compiling, Engines, Loaded, ModuleError, load_bytes};
use crate::linker::linker_with;
use crate::wait::{Cancelled, Canceller, Parker};

/// Bytes of code that a host keeps, unless told.
pub const CODE_MAX: u64 = 512 << 20;

/// Bytes of a module that is [compiled in this process](super::HostBuilder::compile_here), at most: clang has 31 MB.
pub const COMPILED_HERE_MAX: usize = 32 << 20;

/// Files of which it is remembered what is in them.
const FILES_MAX: usize = 4096;

/// How long a file must have been left alone for its time stamps to tell one content from another: they are as coarse as a tick of
/// the system's clock, or of another machine's.
const SETTLED: Duration = Duration::from_secs(2);

/// A program: a WebAssembly module, and what it is called.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    File(PathBuf),
    Bytes(Arc<[u8]>, Arc<OnceLock<String>>),
}

impl Program {
    /// The module in a file. It is looked at with each launch, and read where it has changed.
    pub fn file(path: impl Into<PathBuf>) -> Program {
        let path = path.into();
        Program {
            name: path.display().to_string(),
            source: Source::File(path),
        }
    }

    /// A module of these bytes, with a name for messages.
    pub fn bytes(name: impl Into<String>, wasm: impl Into<Arc<[u8]>>) -> Program {
        Program {
            name: name.into(),
            source: Source::Bytes(wasm.into(), Arc::default()),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it finds as its own name.
    pub(super) fn argument(&self) -> String {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        name.to_owned()
    }

    fn read(&self) -> Result<Read, ModuleError> {
        match &self.source {
            Source::Bytes(wasm, known) => Ok(Read {
                digest: known.get_or_init(|| digest(wasm)).clone(),
                wasm: wasm.clone(),
                file: None,
            }),
            Source::File(path) => {
                // Looked at before and after: what was read is what has these time stamps.
                let before = FileState::of(path);
                let wasm = engine::read(path)?;
                let file = before.filter(|before| FileState::of(path).as_ref() == Some(before));
                Ok(Read {
                    digest: digest(&wasm),
                    wasm: wasm.into(),
                    file: file.filter(FileState::is_settled),
                })
            }
        }
    }
}

/// A module that was read.
struct Read {
    wasm: Arc<[u8]>,
    digest: String,
    file: Option<FileState>,
}

/// What tells a file's contents from others without reading them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FileState {
    id: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    fn of(path: &Path) -> Option<FileState> {
        let metadata = path.metadata().ok().filter(Metadata::is_file)?;
        Some(FileState {
            id: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether it has been left alone for long enough.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let settled = now.unwrap_or_default().saturating_sub(SETTLED).as_secs();
        let changed = self.changed.0.max(self.modified.0);
        u64::try_from(changed).is_ok_and(|changed| changed < settled)
    }
}

/// A program that is ready to be run any number of times.
#[derive(Clone)]
pub(super) struct Linked {
    pub(super) program: Entry,
    /// The digest of its module.
    pub(super) digest: String,
    /// Bytes of memory that it needs from the start.
    pub(super) minimum: u64,
    /// Bytes that an instance of it takes.
    pub(super) instance: u64,
    /// Bytes of its code.
    code: u64,
}

/// The programs of a host.
pub(super) struct Programs {
    engines: Engines,
    /// Made with the first program; `None` if the engine does not take it.
    adapter: OnceLock<Option<Adapter>>,
    cache: Option<Cache>,
    compiler: Option<Compiler>,
    pool: Pool,
    /// Where programs are compiled in this process.
    compiling: Pool,
    max: u64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Counts uses.
    now: u64,
    /// By the digest of the module.
    programs: HashMap<String, Slot>,
    /// Those that launches wait for, by the same.
    modules: HashMap<String, Weak<Wanted>>,
    /// Digests of files' contents.
    files: HashMap<FileState, String>,
    /// Bytes of code.
    code: u64,
    /// Programs that were compiled, or loaded from the cache.
    loaded: u64,
}

#[derive(Default)]
struct Slot {
    linked: Arc<OnceCell<Linked>>,
    used: u64,
    /// Bytes of its code, once it counts.
    code: u64,
}

/// Whether a launch still waits for what is compiled, and what ends that when none does.
#[derive(Default)]
pub(super) struct Interest(Mutex<(bool, Option<Canceller>)>);

impl Interest {
    /// From now on `canceller` ends what is compiled.
    pub(super) fn compiles(&self, canceller: Option<Canceller>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match canceller {
            Some(canceller) if state.0 => canceller.cancel(Cancelled::Killed),
            canceller => state.1 = canceller,
        }
    }
}

/// A launch that asks for a program which is not kept yet. However it ends, the program is counted, or what was there for it goes.
struct Claim<'a> {
    programs: &'a Programs,
    module: Arc<Wanted>,
    linked: Arc<OnceCell<Linked>>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.programs.settle(&self.module.digest, &self.linked);
    }
}

/// A module that launches wait for: one for all of them, for its bytes may be many.
struct Wanted {
    programs: Arc<Programs>,
    wasm: Arc<[u8]>,
    digest: String,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let mut kept = self.programs.kept();
        let gone = |module: &Weak<Wanted>| module.strong_count() == 0;
        if kept.modules.get(&self.digest).is_some_and(gone) {
            kept.modules.remove(&self.digest);
        }
    }
}

/// The launch that waits. Dropped, it does so no more.
#[derive(Default)]
pub(super) struct Waits(Arc<Interest>);

impl Waits {
    pub(super) fn interest(&self) -> Arc<Interest> {
        self.0.clone()
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        if let Some(canceller) = state.1.take() {
            canceller.cancel(Cancelled::Killed);
        }
    }
}

impl Programs {
    pub(super) fn new(
        engines: Engines,
        cache: Option<Cache>,
        compiler: Option<Compiler>,
        pool: Pool,
        compiling: Pool,
        max: u64,
    ) -> Programs {
        Programs {
            engines,
            adapter: OnceLock::new(),
            cache,
            compiler,
            pool,
            compiling,
            max,
            kept: Mutex::default(),
        }
    }

    /// What loads them.
    pub(super) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// The engine of them all.
    pub(super) fn engine(&self) -> &Engine {
        self.engines.on_demand()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A program, ready to run; with the digest `wanted`, where there is one. Of those that ask for the same one at once, one compiles it,
    /// with `memory` bytes at most, and the others wait. Its compiler ends with the launch that waits for it.
    pub(super) async fn get(
        self: &Arc<Self>,
        program: &Program,
        wanted: Option<&str>,
        memory: u64,
    ) -> Result<Linked, LaunchError> {
        let is_wanted = |digest: &str| match wanted {
            Some(wanted) if wanted != digest => Err(ModuleError::OtherDigest {
                path: program.name.clone(),
                digest: digest.to_owned(),
                wanted: wanted.to_owned(),
            }),
            _ => Ok(()),
        };
        if let Some(linked) = self.known(program) {
            is_wanted(&linked.digest)?;
            return Ok(linked);
        }
        let (reading, programs) = (program.clone(), self.clone());
        let read = self.pool.run(move || programs.read(&reading));
        let (module, file) = read.await??;
        is_wanted(&module.digest)?;
        let claim = self.claim(module, file);
        let made = claim.linked.get_or_try_init(|| {
            let (programs, name, module) =
                (self.clone(), program.name.clone(), claim.module.clone());
            let waits = Waits::default();
            let interest = waits.interest();
            async move {
                let _waits = waits;
                // What nobody can end holds no thread that others wait for.
                let pool = match &self.compiler {
                    Some(_) => &self.pool,
                    None => &self.compiling,
                };
                let made = pool.run(move || programs.load(&name, &module, memory, &interest));
                Ok::<_, LaunchError>(made.await??)
            }
        });
        made.await.cloned()
    }

    /// Reads a module. Where another launch holds the same one, that is what is returned: of a module that many read, no more copies are there
    /// than threads that read it.
    fn read(
        self: &Arc<Self>,
        program: &Program,
    ) -> Result<(Arc<Wanted>, Option<FileState>), ModuleError> {
        let Read { wasm, digest, file } = program.read()?;
        let mut kept = self.kept();
        let held = kept.modules.get(&digest).and_then(Weak::upgrade);
        let module = held.unwrap_or_else(|| {
            let module = Arc::new(Wanted {
                programs: self.clone(),
                wasm,
                digest: digest.clone(),
            });
            kept.modules.insert(digest, Arc::downgrade(&module));
            module
        });
        Ok((module, file))
    }

    /// A program that is kept, if it can be known without reading it that it is this one.
    fn known(&self, program: &Program) -> Option<Linked> {
        let digest = match &program.source {
            Source::Bytes(_, digest) => digest.get()?.clone(),
            Source::File(path) => {
                let state = FileState::of(path)?;
                self.kept().files.get(&state)?.clone()
            }
        };
        let mut kept = self.kept();
        kept.now += 1;
        let now = kept.now;
        let entry = kept.programs.get_mut(&digest)?;
        entry.used = now;
        entry.linked.get().cloned()
    }

    /// The place of a program that was read.
    fn claim(&self, module: Arc<Wanted>, file: Option<FileState>) -> Claim<'_> {
        let mut kept = self.kept();
        if let Some(file) = file {
            if kept.files.len() >= FILES_MAX {
                kept.files.clear();
            }
            kept.files.insert(file, module.digest.clone());
        }
        kept.now += 1;
        let now = kept.now;
        let slot = kept.programs.entry(module.digest.clone()).or_default();
        slot.used = now;
        Claim {
            programs: self,
            module,
            linked: slot.linked.clone(),
        }
    }

    /// Counts a program that was made, and lets go of others where there is too much; of one that could not be made nothing is kept.
    fn settle(&self, digest: &str, cell: &Arc<OnceCell<Linked>>) {
        let mut kept = self.kept();
        let code = cell.get().map(|linked| linked.code);
        let counted = match kept.programs.get_mut(digest) {
            Some(entry) if Arc::ptr_eq(&entry.linked, cell) => match code {
                Some(code) if entry.code == 0 => {
                    entry.code = code;
                    code
                }
                Some(_) => 0,
                // Somebody else may be making it.
                None if Arc::strong_count(cell) <= 2 => {
                    kept.programs.remove(digest);
                    0
                }
                None => 0,
            },
            _ => 0,
        };
        if counted > 0 {
            kept.loaded += 1;
            kept.code += counted;
        }
        while kept.code > self.max && kept.programs.len() > 1 {
            let made = kept.programs.iter().filter(|(_, entry)| entry.code > 0);
            let oldest = made.min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(digest, _)| digest.clone()) else {
                break;
            };
            let gone = kept.programs.remove(&oldest);
            kept.code -= gone.map_or(0, |entry| entry.code);
        }
    }

    fn load(
        &self,
        name: &str,
        module: &Wanted,
        memory: u64,
        interest: &Interest,
    ) -> Result<Linked, ModuleError> {
        let wasm = &*module.wasm;
        let (parker, mut meanwhile) = (Parker::new(), || ());
        interest.compiles(Some(parker.canceller(self.engine())));
        let compiling = match &self.compiler {
            Some(compiler) => {
                let watch = Watch {
                    parker: &parker,
                    max: allowed(wasm.len(), memory),
                    charge: None,
                    meanwhile: &mut meanwhile,
                };
                Compiling::Apart(compiler, watch)
            }
            None if wasm.len() > COMPILED_HERE_MAX => {
                let failure = Failure::Large(COMPILED_HERE_MAX as u64);
                return Err(ModuleError::failed(name, failure));
            }
            None => Compiling::Here,
        };
        let loaded = load_bytes(&self.engines, wasm, name, self.cache.as_ref(), compiling);
        interest.compiles(None);
        let loaded = loaded?;
        let program = self.link(&loaded, name)?;
        let range = loaded.module.image_range();
        Ok(Linked {
            program,
            digest: module.digest.clone(),
            minimum: loaded.facts.memory_minimum(),
            instance: loaded.instance,
            // What the engine holds of its definitions is many times what they are in the file.
            code: (range.end as u64 - range.start as u64)
                .saturating_add(loaded.facts.weight())
                .max(1),
        })
    }

    /// Resolves the imports of a module.
    ///
    /// # Errors
    /// [`Refusal::Imports`](capfs_modules::Refusal::Imports)
    pub(super) fn link(&self, loaded: &Loaded, name: &str) -> Result<Entry, ModuleError> {
        // It finds what can't be answered, with or without the adapter.
        let linker = linker_with(&loaded.module, name, fiber::define)?;
        let adapter = || {
            self.adapter
                .get_or_init(|| Adapter::new(self.engine()).ok())
        };
        let adapted = match loaded.facts.start {
            None => adapter().as_ref().and_then(|it| it.adapt(&loaded.module)),
            Some(_) => None,
        };
        Ok(match adapted {
            Some(adapted) => Entry::Adapted(adapted),
            None => {
                let program = linker.instantiate_pre(&loaded.module);
                Entry::Direct(program.map_err(|error| ModuleError::invalid(name, &error))?)
            }
        })
    }

    /// Adds what is kept.
    pub(super) fn count(&self, usage: &mut HostUsage) {
        let kept = self.kept();
        usage.programs = kept.programs.len();
        usage.code = kept.code;
        usage.loaded = kept.loaded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_many_wait_for_is_there_once() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let pool = Pool::new(runtime.handle().clone(), 1);
        let programs = Programs::new(
            Engines::on_fibers(1 << 20),
            None,
            None,
            pool.clone(),
            pool,
            CODE_MAX,
        );
        let programs = Arc::new(programs);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("program.wasm");
        std::fs::write(&file, "no module, which is found later").unwrap();
        let read = |program: Program| programs.read(&program).unwrap().0;
        let modules = [
            read(Program::file(&file)),
            read(Program::file(&file)),
            read(Program::bytes("a", std::fs::read(&file).unwrap())),
        ];
        assert!(
            modules
                .iter()
                .all(|module| Arc::ptr_eq(module, &modules[0]))
        );
        drop(modules);
        assert!(programs.kept().modules.is_empty());
    }
}
