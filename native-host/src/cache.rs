//! Compiled code on disk.
//!
//! An entry's name is the SHA-256 of the module's bytes and a hash of everything of the engine that
//! compiled code depends on, so an entry is never wrong, only useless. It is written beside and renamed,
//! so it is never half there; its length and its
//! checksum are in its name, so one that lost its end or was damaged is not used either. The checksum
//! is against accidents: whoever could forge an entry could forge any digest of it too.
//!
//! Loading compiled code runs it: whoever can write the folder can run code as this user. The folder is
//! therefore used only if it is this user's and nobody else can write it, and no agent is granted a folder with it in it
//! ([`reserved`](crate::reserved)). An entry is not mapped from its file: it is copied into a sealed memfd while it is
//! checked, which nobody can write (memfd_create(2)), so what runs is what was checked, whatever becomes of the file.

mod turn;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use capfs_modules::TRANSLATION;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module};

use crate::sealed::{SealedCode, unnamed};

pub(crate) use turn::Turn;

/// Bytes that the entries of programs may take; those unused for longest go first.
const CACHE_MAX: u64 = 1 << 30;

/// Bytes that the entries of child agents may take. They have a folder of their own, for an agent can start any number.
const CHILDREN_MAX: u64 = 256 << 20;

/// Bytes that the children of one run may add to it.
const CHILDREN_RUN_MAX: u64 = CHILDREN_MAX / 2;

/// Bytes of an entry, at most.
const ENTRY_MAX: u64 = CACHE_MAX;

/// What an entry's name ends with.
const SUFFIX: &str = ".cwasm";

/// How long a file that is being written may be there: what is older was left by a process that did not end well.
const WRITING_MAX: Duration = Duration::from_secs(3600);

/// Bytes that are read at once: they stay in the processor's cache, which is several times faster than reading all.
const PIECE: usize = 256 << 10;

/// A folder of compiled modules.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    /// Where entries are looked for as well, and none is kept.
    also: Option<PathBuf>,
    max: u64,
    /// Bytes that may still be kept in it.
    left: Arc<AtomicU64>,
}

impl Cache {
    /// The cache of this user: a folder of its own, `capfs-code`, in `CAPFS_CACHE_DIR`, or one in the system's folder for caches.
    pub fn of_user() -> Option<Cache> {
        let folder = match std::env::var_os("CAPFS_CACHE_DIR") {
            // Who compiles behind a program does so in another folder.
            Some(folder) => std::path::absolute(folder).ok()?.join("capfs-code"),
            None => {
                let folders = directories::ProjectDirs::from("", "", "capfs")?;
                folders.cache_dir().join("code")
            }
        };
        Some(Cache::at(folder))
    }

    /// A cache in this folder, which is made when it is first needed.
    pub fn at(folder: impl Into<PathBuf>) -> Cache {
        Cache {
            folder: folder.into(),
            also: None,
            max: CACHE_MAX,
            left: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// The cache for the children of one run: they use the code of programs, and what they add pushes out nothing but code
    /// of other children, and not all of that.
    pub fn of_children(&self) -> Cache {
        Cache {
            folder: self.folder.join("tasks"),
            also: Some(self.folder.clone()),
            max: CHILDREN_MAX,
            left: Arc::new(AtomicU64::new(CHILDREN_RUN_MAX)),
        }
    }

    /// The name of a module's entry, without the length.
    pub fn key(engine: &Engine, wasm: &[u8]) -> String {
        Cache::key_of(engine, &Cache::digest(wasm))
    }

    /// The digest that the names of a module's entries begin with.
    pub(crate) fn digest(wasm: &[u8]) -> String {
        let digest = Sha256::digest(wasm);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Like [`Cache::key`], of a module with this [digest](Cache::digest). Code of each compiler has a name of its own, for they call
    /// functions in different ways, which is a part of what an engine is compatible with.
    pub(crate) fn key_of(engine: &Engine, digest: &str) -> String {
        let mut compatibility = DefaultHasher::new();
        engine
            .precompile_compatibility_hash()
            .hash(&mut compatibility);
        // Some modules are translated before they are compiled.
        TRANSLATION.hash(&mut compatibility);
        format!("{digest}-{:016x}", compatibility.finish())
    }

    /// A module's entry, if it is there and whole.
    pub fn find(&self, key: &str) -> Option<Entry> {
        let mut folders = self.also.iter().chain([&self.folder]);
        folders.find_map(|folder| find_in(folder, key))
    }

    /// Keeps a compiled module.
    ///
    /// # Errors
    /// What writing ends with; the module can be used all the same.
    pub fn store(&self, key: &str, module: &Module) -> io::Result<()> {
        let bytes = module
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))?;
        self.keep(key, bytes.len() as u64, &mut &bytes[..])
    }

    /// Keeps code that was compiled elsewhere.
    ///
    /// # Errors
    /// What reading and writing end with; it can be used all the same.
    pub(crate) fn store_code(&self, key: &str, code: &SealedCode) -> io::Result<()> {
        let mut file = code.file();
        file.rewind()?;
        self.keep(key, file.metadata()?.len(), &mut file)
    }

    /// Keeps the bytes of compiled code.
    ///
    /// # Errors
    /// What writing ends with.
    pub(crate) fn store_bytes(&self, key: &str, mut code: &[u8]) -> io::Result<()> {
        self.keep(key, code.len() as u64, &mut code)
    }

    /// Removes a module's entry, if there is one.
    pub(crate) fn forget(&self, key: &str) {
        if let Some((path, _)) = entry(&self.folder, key) {
            let _ = fs::remove_file(path);
        }
    }

    /// Keeps code of this length.
    fn keep(&self, key: &str, len: u64, code: &mut dyn Read) -> io::Result<()> {
        let (order, relaxed) = (Ordering::Relaxed, Ordering::Relaxed);
        let less = |left: u64| left.checked_sub(len);
        if self.left.fetch_update(order, relaxed, less).is_err() {
            let text = "the children of this run have kept as much as they may";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        let written = self.write(key, code);
        if written.is_err() {
            // What isn't there takes nothing.
            let more = |left: u64| Some(left.saturating_add(len));
            let _ = self.left.fetch_update(order, relaxed, more);
        }
        written
    }

    fn write(&self, key: &str, code: &mut dyn Read) -> io::Result<()> {
        /// Tells what is written by one process apart.
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        self.make()?;
        check(&self.folder)?;
        let (process, number) = (std::process::id(), WRITTEN.fetch_add(1, Ordering::Relaxed));
        let temporary = self.folder.join(format!(".{key}.{process}.{number}"));
        let written = fs::File::create_new(&temporary)
            .and_then(|mut file| copy(code, &mut file))
            .and_then(|seal| fs::rename(&temporary, self.path(key, seal)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        self.prune();
        written
    }

    fn path(&self, key: &str, seal: Seal) -> PathBuf {
        let Seal { len, sum } = seal;
        self.folder.join(format!("{key}-{len}-{sum:08x}{SUFFIX}"))
    }

    /// Makes the folder, if it is not there.
    ///
    /// # Errors
    /// What making it ends with.
    pub fn make(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.folder)
    }

    /// Removes the entries that were unused for longest until the others are within the limit. Whatever is not an entry, by its
    /// name and its kind, is not this cache's: it counts for nothing and is left alone.
    fn prune(&self) {
        let Ok(folder) = fs::read_dir(&self.folder) else {
            return;
        };
        let now = SystemTime::now();
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in folder.flatten() {
            let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata())
            else {
                continue;
            };
            let (true, Ok(modified)) = (metadata.is_file(), metadata.modified()) else {
                continue;
            };
            let age = now.duration_since(modified).unwrap_or_default();
            match Kind::of(&name) {
                Some(Kind::Entry) => entries.push((modified, metadata.len(), entry.path())),
                Some(kind) if age > kind.age_max() => {
                    let _ = fs::remove_file(entry.path());
                }
                Some(_) | None => {}
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, len, _)| len).sum();
        for (_, len, path) in entries {
            if total <= self.max {
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

/// A module's entry in a folder, if it is there and whole.
fn find_in(folder: &Path, key: &str) -> Option<Entry> {
    check(folder).ok()?;
    let (path, seal) = entry(folder, key)?;
    match seal.open(&path) {
        Ok(Some(entry)) => Some(entry),
        Ok(None) => {
            let _ = fs::remove_file(&path);
            None
        }
        // It may be as it should: there is no room for the copy, say.
        Err(_) => None,
    }
}

/// The entry of a key, and what its name says of its contents.
fn entry(folder: &Path, key: &str) -> Option<(PathBuf, Seal)> {
    let mut entries = fs::read_dir(folder).ok()?.flatten();
    entries.find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let seal = name.strip_prefix(key)?.strip_prefix('-')?;
        Some((entry.path(), Seal::of_name(seal)?))
    })
}

/// Fails unless a folder is this user's alone.
fn check(folder: &Path) -> io::Result<()> {
    let metadata = fs::metadata(folder)?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !ours || metadata.mode() & 0o022 != 0 {
        let folder = folder.display();
        let text = format!("`{folder}` is not this user's, or others can write it");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// What a file of the cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An entry.
    Entry,
    /// One that is being written.
    Writing,
    /// Locked by who compiles it.
    Turn,
    /// That optimised code for it was begun behind a program, and not finished.
    Begun,
}

impl Kind {
    /// What a file of this kind is removed after, unless it is an entry.
    fn age_max(self) -> Duration {
        match self {
            Kind::Entry => Duration::MAX,
            Kind::Writing | Kind::Turn => WRITING_MAX,
            Kind::Begun => turn::BEGUN_MAX,
        }
    }

    /// By its name: `KEY-LENGTH-SUM.cwasm`, `.KEY.turn`, `.KEY.begun`, or `.KEY.PROCESS.NUMBER`, in older caches without the number.
    /// `None` is no file of a cache.
    fn of(name: &str) -> Option<Kind> {
        let (kind, name) = match name.strip_prefix('.') {
            Some(name) => (Kind::Writing, name),
            None => (Kind::Entry, name),
        };
        let (digest, rest) = name.split_at_checked(64)?;
        let (compatibility, rest) = rest.strip_prefix('-')?.split_at_checked(16)?;
        let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex(digest) || !hex(compatibility) {
            return None;
        }
        match kind {
            Kind::Entry => Seal::of_name(rest.strip_prefix('-')?).map(|_| kind),
            _ if rest == turn::TURN => Some(Kind::Turn),
            _ if rest == turn::BEGUN => Some(Kind::Begun),
            _ => {
                let (process, number) = match rest.strip_prefix('.')?.split_once('.') {
                    Some((process, number)) => (process, number),
                    None => (rest.strip_prefix('.')?, "0"),
                };
                let both = (process.parse::<u32>(), number.parse::<u64>());
                matches!(both, (Ok(_), Ok(_))).then_some(kind)
            }
        }
    }
}

/// Compiled code that was in the cache, checked, and copied to where nobody can write it.
pub struct Entry {
    file: fs::File,
    code: SealedCode,
}

impl Entry {
    /// The module, unless it does not fit into this engine's pool.
    pub fn load(&self, engine: &Engine) -> Option<Module> {
        // The file was written by `Cache::keep`, into a folder that nobody else can write, whole, and for an engine that compiles as
        // this one does: its compatibility hash is in its name.
        let module = self.code.load(engine).ok()?;
        // Entries that were used last stay longest.
        let _ = self.file.set_modified(SystemTime::now());
        Some(module)
    }
}

/// Copies all of some code, and answers what is to be in its name.
fn copy(from: &mut dyn Read, to: &mut fs::File) -> io::Result<Seal> {
    let mut hasher = crc32fast::Hasher::new();
    let (mut len, mut piece) = (0, vec![0; PIECE]);
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            let sum = hasher.finalize();
            return Ok(Seal { len, sum });
        }
        hasher.update(&piece[..count]);
        to.write_all(&piece[..count])?;
        len += count as u64;
    }
}

/// Length and CRC-32 of an entry.
#[derive(Clone, Copy)]
struct Seal {
    len: u64,
    sum: u32,
}

impl Seal {
    /// What the end of an entry's name says: `LENGTH-SUM.cwasm`.
    fn of_name(text: &str) -> Option<Seal> {
        let (len, sum) = text.strip_suffix(SUFFIX)?.split_once('-')?;
        let seal = Seal {
            len: len.parse().ok()?,
            sum: u32::from_str_radix(sum, 16).ok()?,
        };
        // Each number in one way: another spelling is no name of ours.
        let written = format!("{}-{:08x}", seal.len, seal.sum);
        (text.strip_suffix(SUFFIX) == Some(&written)).then_some(seal)
    }

    /// A copy of a file that is as its name says; `None` if it is not.
    fn open(self, path: &Path) -> io::Result<Option<Entry>> {
        // Neither a link is followed nor a pipe waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = fs::File::options()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(path);
        let mut file = match file {
            Ok(file) => file,
            // A link.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() != self.len || self.len > ENTRY_MAX {
            return Ok(None);
        }
        // Under another name somebody may write it who can write nothing here, an agent for one, and a checksum is soon forged.
        if metadata.nlink() > 1 {
            return Ok(None);
        }
        let mut code = unnamed("capfs-code")?;
        let mut hasher = crc32fast::Hasher::new();
        let mut piece = vec![0; PIECE.min(self.len as usize + 1)];
        let mut left = self.len;
        loop {
            let count = file.read(&mut piece)?;
            if count == 0 {
                break;
            }
            let Some(less) = left.checked_sub(count as u64) else {
                return Ok(None);
            };
            left = less;
            hasher.update(&piece[..count]);
            code.write_all(&piece[..count])?;
        }
        let code = SealedCode::new(code)?;
        Ok((left == 0 && hasher.finalize() == self.sum).then_some(Entry { file, code }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
    fn those_that_compile_the_same_at_once_all_keep_it() {
        let (_directory, cache, _, key, module) = setup();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        cache.store(&key, &module).unwrap();
                    }
                });
            }
        });
    }

    #[test]
    fn damaged_entries_are_not_used_and_are_replaced() {
        let (_directory, cache, engine, key, module) = setup();
        cache.store(&key, &module).unwrap();
        let path = entry(cache.folder(), &key).unwrap().0;
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
        let path = entry(cache.folder(), &key).unwrap().0;
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

    #[test]
    fn what_is_not_an_entry_counts_for_nothing_and_is_left_alone() {
        let (directory, mut cache, _, key, module) = setup();
        fs::create_dir_all(cache.folder()).unwrap();
        let theirs = [
            "thesis.tex".to_owned(),
            "photo.cwasm".to_owned(),
            ".profile".to_owned(),
            format!("{key}-12-00000000.cwasm.bak"),
            format!("{key}-012-00000000.cwasm"),
            format!("{}-12-00000000.cwasm", &key[1..]),
        ];
        for name in &theirs {
            fs::write(cache.folder().join(name), vec![7; 4096]).unwrap();
        }
        let folder = cache.folder().join(format!("{key}-7-00000000.cwasm"));
        fs::create_dir(&folder).unwrap();
        fs::write(directory.path().join("outside"), b"x").unwrap();
        // No entry fits: the one that is kept goes at once, and nothing else.
        cache.max = 0;
        cache.store(&key, &module).unwrap();
        let left = fs::read_dir(cache.folder()).unwrap().flatten();
        let mut left: Vec<_> = left.map(|entry| entry.path()).collect();
        let mut expected: Vec<_> = theirs
            .iter()
            .map(|name| cache.folder().join(name))
            .collect();
        expected.push(folder);
        left.sort();
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn what_a_writer_left_behind_goes_when_it_is_old() {
        let (_directory, cache, _, key, module) = setup();
        fs::create_dir_all(cache.folder()).unwrap();
        let [old, new] = ["1", "2.7"].map(|who| cache.folder().join(format!(".{key}.{who}")));
        for path in [&old, &new] {
            fs::write(path, b"half").unwrap();
        }
        let file = File::options().write(true).open(&old).unwrap();
        file.set_modified(SystemTime::now() - 2 * WRITING_MAX)
            .unwrap();
        cache.store(&key, &module).unwrap();
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn children_push_out_nothing_but_code_of_children() {
        let (_directory, cache, engine, key, module) = setup();
        cache.store(&key, &module).unwrap();
        let mut children = cache.of_children();
        assert!(
            load(&children, &engine, &key).is_some(),
            "they use what is there"
        );
        let size = module.serialize().unwrap().len() as u64;
        // Room for one; and this run may add two.
        children.max = size;
        children.left.store(2 * size, Ordering::Relaxed);
        let (rest, last) = key.split_at(key.len() - 1);
        let others = ["1", "2", "3", "4"]
            .into_iter()
            .filter(|name| *name != last);
        let others: Vec<String> = others.map(|name| format!("{rest}{name}")).collect();
        let [one, two, three] = [0, 1, 2].map(|index| others[index].clone());
        for name in [&one, &two] {
            children.store(name, &module).unwrap();
        }
        let refused = children.store(&three, &module).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
        assert!(
            entry(children.folder(), &one).is_none() || entry(children.folder(), &two).is_none()
        );
        assert!(load(&cache, &engine, &key).is_some());
        assert!(
            cache.find(&two).is_none(),
            "programs don't use what children have kept"
        );
    }

    #[test]
    fn what_could_not_be_written_takes_nothing_of_what_children_may_keep() {
        let (_directory, cache, engine, key, module) = setup();
        let children = cache.of_children();
        let size = module.serialize().unwrap().len() as u64;
        children.left.store(size, Ordering::Relaxed);
        children.make().unwrap();
        let folder =
            |mode| fs::set_permissions(children.folder(), fs::Permissions::from_mode(mode));
        folder(0o777).unwrap();
        for _ in 0..2 {
            let refused = children.store(&key, &module).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        }
        folder(0o700).unwrap();
        children.store(&key, &module).unwrap();
        assert!(load(&children, &engine, &key).is_some());
    }

    #[test]
    fn what_is_mapped_is_not_the_file() {
        let (_directory, cache, engine, key, module) = setup();
        cache.store(&key, &module).unwrap();
        let found = cache.find(&key).unwrap();
        let path = entry(cache.folder(), &key).unwrap().0;
        let len = fs::metadata(&path).unwrap().len();
        fs::write(&path, vec![0xcc; len as usize]).unwrap();
        assert!(found.load(&engine).unwrap().get_export("f").is_some());
        // Nor can anybody write the copy, or map it to be written.
        let mut copy = found.code.file();
        let refused = copy.write_all(b"x").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!(copy.set_len(0).is_err());
        let again = File::options()
            .write(true)
            .open(format!("/proc/self/fd/{}", copy.as_raw_fd()));
        let mut again = again.unwrap();
        let refused = again.write_all(b"x").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}
