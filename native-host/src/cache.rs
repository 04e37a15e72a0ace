//! Compiled code on disk.
//!
//! An entry's name is the SHA-256 of the module's bytes and a hash of everything of the engine that
//! compiled code depends on, so an entry is never wrong, only useless. It is written beside and renamed,
//! so it is never half there; its length and its
//! checksum are in its name, so one that lost its end or was damaged is not used either. The checksum
//! is against accidents: whoever could forge an entry could forge any digest of it too.
//!
//! Loading compiled code runs it: whoever can write the folder can run code as this user. The folder is
//! therefore used only if it is this user's and nobody else can write it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use capfs_modules::TRANSLATION;
use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module};

/// Bytes that the folder may hold; the entries unused for longest go first.
const CACHE_MAX: u64 = 1 << 30;

/// A folder of compiled modules.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache of this user: `CAPFS_CACHE_DIR`, or the system's folder for caches.
    pub fn of_user() -> Option<Cache> {
        if let Some(folder) = std::env::var_os("CAPFS_CACHE_DIR") {
            return Some(Cache {
                folder: folder.into(),
            });
        }
        let folders = directories::ProjectDirs::from("", "", "capfs")?;
        Some(Cache {
            folder: folders.cache_dir().join("code"),
        })
    }

    /// A cache in this folder, which is made when it is first needed.
    pub fn at(folder: impl Into<PathBuf>) -> Cache {
        Cache {
            folder: folder.into(),
        }
    }

    /// The name of a module's entry, without the length.
    pub fn key(engine: &Engine, wasm: &[u8]) -> String {
        let mut compatibility = DefaultHasher::new();
        engine
            .precompile_compatibility_hash()
            .hash(&mut compatibility);
        // Some modules are translated before they are compiled.
        TRANSLATION.hash(&mut compatibility);
        let digest = Sha256::digest(wasm);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}-{:016x}", compatibility.finish())
    }

    /// A module's entry, if it is there and whole.
    pub fn find(&self, key: &str) -> Option<Entry> {
        self.checked_folder(false).ok()?;
        let (path, seal) = self.entry(key)?;
        if !seal.matches(&path).unwrap_or(false) {
            let _ = fs::remove_file(&path);
            return None;
        }
        Some(Entry { path })
    }

    /// Keeps a compiled module.
    ///
    /// # Errors
    /// What writing ends with; the module can be used all the same.
    pub fn store(&self, key: &str, module: &Module) -> io::Result<()> {
        self.checked_folder(true)?;
        let bytes = module
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))?;
        let temporary = self.folder.join(format!(".{key}.{}", std::process::id()));
        let written = fs::File::create_new(&temporary)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&temporary, self.path(key, Seal::of(&bytes))));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        self.prune();
        written
    }

    fn path(&self, key: &str, seal: Seal) -> PathBuf {
        let Seal { len, sum } = seal;
        self.folder.join(format!("{key}-{len}-{sum:08x}.cwasm"))
    }

    /// The entry of a key, and what its name says of its contents.
    fn entry(&self, key: &str) -> Option<(PathBuf, Seal)> {
        fs::read_dir(&self.folder)
            .ok()?
            .flatten()
            .find_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let (len, sum) = name
                    .strip_prefix(key)?
                    .strip_prefix('-')?
                    .strip_suffix(".cwasm")?
                    .split_once('-')?;
                let seal = Seal {
                    len: len.parse().ok()?,
                    sum: u32::from_str_radix(sum, 16).ok()?,
                };
                Some((entry.path(), seal))
            })
    }

    /// Fails unless the folder is this user's alone.
    fn checked_folder(&self, make: bool) -> io::Result<()> {
        if make {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.folder)?;
        }
        let metadata = fs::metadata(&self.folder)?;
        let ours = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_dir() || !ours || metadata.mode() & 0o022 != 0 {
            let text = format!(
                "`{}` is not this user's, or others can write it",
                self.folder.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(())
    }

    fn prune(&self) {
        let Ok(folder) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = folder
            .flatten()
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in entries {
            if total <= CACHE_MAX {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total -= len;
            }
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Compiled code that is in the cache, checked.
pub struct Entry {
    path: PathBuf,
}

impl Entry {
    /// The module, unless it does not fit into this engine's pool.
    pub fn load(&self, engine: &Engine) -> Option<Module> {
        // SAFETY: the file was written by `Cache::store` from `Module::serialize`, into a folder that nobody
        // else can write, whole (both were checked by `Cache::find`), and for an engine that compiles as this
        // one does (its compatibility hash is in its name, and wasmtime checks it again).
        #[expect(unsafe_code, reason = "compiled code can only be loaded this way")]
        let module = unsafe { Module::deserialize_file(engine, &self.path) }.ok()?;
        // Entries that were used last stay longest.
        let used = fs::File::open(&self.path).and_then(|file| file.set_modified(SystemTime::now()));
        drop(used);
        Some(module)
    }
}

/// Length and CRC-32 of an entry.
#[derive(Clone, Copy)]
struct Seal {
    len: u64,
    sum: u32,
}

impl Seal {
    fn of(bytes: &[u8]) -> Seal {
        Seal {
            len: bytes.len() as u64,
            sum: crc32fast::hash(bytes),
        }
    }

    /// Whether a file is as its name says. Read in pieces that stay in the processor's cache, which is
    /// several times faster than reading it whole.
    fn matches(self, path: &Path) -> io::Result<bool> {
        // Asked before it is opened: opening a pipe would wait.
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() || metadata.len() != self.len {
            return Ok(false);
        }
        let mut file = fs::File::open(path)?;
        let mut hasher = crc32fast::Hasher::new();
        let mut piece = vec![0; 256 << 10];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hasher.finalize() == self.sum),
                count => hasher.update(&piece[..count]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn setup() -> (tempfile::TempDir, Cache, Engine, String, Module) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("code"));
        let engine = Engine::default();
        let wasm = wat::parse_str("(module (func (export \"f\")))").unwrap();
        let key = Cache::key(&engine, &wasm);
        let module = Module::new(&engine, &wasm).unwrap();
        (directory, cache, engine, key, module)
    }

    fn load(cache: &Cache, engine: &Engine, key: &str) -> Option<Module> {
        cache.find(key)?.load(engine)
    }

    #[test]
    fn what_was_kept_is_found() {
        let (_directory, cache, engine, key, module) = setup();
        assert!(load(&cache, &engine, &key).is_none());
        cache.store(&key, &module).unwrap();
        let found = load(&cache, &engine, &key).unwrap();
        assert!(found.get_export("f").is_some());
    }

    #[test]
    fn damaged_entries_are_not_used_and_are_replaced() {
        let (_directory, cache, engine, key, module) = setup();
        cache.store(&key, &module).unwrap();
        let path = cache.entry(&key).unwrap().0;
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        for bad in [&good[..good.len() - 1], &[][..], &flipped[..]] {
            fs::write(&path, bad).unwrap();
            assert!(load(&cache, &engine, &key).is_none());
            cache.store(&key, &module).unwrap();
            assert!(load(&cache, &engine, &key).is_some());
        }
    }

    #[test]
    fn a_pipe_is_no_entry() {
        let (_directory, cache, engine, key, module) = setup();
        cache.store(&key, &module).unwrap();
        let path = cache.entry(&key).unwrap().0;
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(load(&cache, &engine, &key).is_none());
        cache.store(&key, &module).unwrap();
        assert!(load(&cache, &engine, &key).is_some());
    }

    #[test]
    fn a_folder_that_others_can_write_is_not_used() {
        let (_directory, cache, engine, key, module) = setup();
        cache.store(&key, &module).unwrap();
        fs::set_permissions(cache.folder(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(load(&cache, &engine, &key).is_none());
        assert!(cache.store(&key, &module).is_err());
    }
}
