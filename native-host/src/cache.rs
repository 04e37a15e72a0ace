//! Compiled code on disk.
//!
//! An entry's name is the SHA-256 of the module's bytes and a hash of everything of the engine that
//! compiled code depends on, so an entry is never wrong, only useless. It is written beside and renamed,
//! so it is never half there; its length is in its name, so one that lost its end is not used either.
//!
//! Loading compiled code runs it: whoever can write the folder can run code as this user. The folder is
//! therefore used only if it is this user's and nobody else can write it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
        let digest = Sha256::digest(wasm);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}-{:016x}", compatibility.finish())
    }

    /// The compiled module, if it is there and whole.
    pub fn load(&self, engine: &Engine, key: &str) -> Option<Module> {
        self.checked_folder(false).ok()?;
        let (path, len) = self.entry(key)?;
        if fs::metadata(&path).ok()?.len() != len {
            let _ = fs::remove_file(&path);
            return None;
        }
        // SAFETY: the file was written by `store` from `Module::serialize`, into a folder that nobody
        // else can write (checked above), whole (its length is in its name), and for this very engine
        // (its compatibility hash is in its name, and wasmtime checks it again).
        #[expect(unsafe_code, reason = "compiled code can only be loaded this way")]
        let module = unsafe { Module::deserialize_file(engine, &path) };
        match module {
            Ok(module) => {
                let _ = fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Some(module)
            }
            Err(_) => {
                let _ = fs::remove_file(&path);
                None
            }
        }
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
            .and_then(|()| fs::rename(&temporary, self.path(key, bytes.len() as u64)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        self.prune();
        written
    }

    fn path(&self, key: &str, len: u64) -> PathBuf {
        self.folder.join(format!("{key}-{len}.cwasm"))
    }

    /// The entry of a key, and the length that its name says.
    fn entry(&self, key: &str) -> Option<(PathBuf, u64)> {
        fs::read_dir(&self.folder)
            .ok()?
            .flatten()
            .find_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let len = name
                    .strip_prefix(key)?
                    .strip_prefix('-')?
                    .strip_suffix(".cwasm")?;
                Some((entry.path(), len.parse().ok()?))
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
