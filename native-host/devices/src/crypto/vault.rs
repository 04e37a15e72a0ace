//! Keys in files, sealed.
//!
//! A folder has `master` and a file `NAME.key` for each key; nobody but the user may read them.
//! ```text
//! NAME.key   "capfskey" 1 NONCE(12) AES-256-GCM(master, LINE "\n" BYTES), with "capfskey" 1 NAME authenticated
//!            LINE is `ALGORITHM secret|public USAGES`; BYTES are the seed, scalar, key or public key
//! master     "capfsmst" 1 0 KEY(32), or, under a passphrase,
//!            "capfsmst" 1 1 MEMORY TIME LANES SALT(16) NONCE(12) AES-256-GCM(argon2id(passphrase), KEY), the three costs
//!            four bytes each, little-endian, and everything in front of the nonce authenticated
//! ```
//! A file is written beside its place, synced, and moved there, so that a crash leaves the old one or the new one.
//! Without a passphrase the seal protects keys in copies of the folder that lack `master`, and from damage going unseen; who
//! can read all of the folder has the keys. So a folder that others can write, or a `master` that others can read, is refused, and
//! a `master` that is lost is never replaced while there are keys that it sealed. Older files that are put back are not noticed: whoever
//! can do that can put back all of the folder.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use argon2::{Algorithm as Argon2Algorithm, Argon2, Params, Version};
use capfs::Errno;
use capfs_devices::crypto::{Algorithm, Failure, Material, SECRET_MAX, Stored, Usages};
use tempfile::Builder;
use zeroize::Zeroizing;

use super::key::SoftKey;

const KEY_MAGIC: &[u8] = b"capfskey\x01";
const MASTER_MAGIC: &[u8] = b"capfsmst\x01";
/// What the name of a file begins with that is being written.
const UNFINISHED: &str = ".writing-";

/// The same of those that a version before this one wrote, which had as many letters and digits behind it.
const UNFINISHED_BEFORE: (&str, usize) = (".tmp", 6);

const NONCE: usize = 12;
const SALT: usize = 16;

/// Bytes of a file that is read at most: everything that is longer is damaged.
const FILE_MAX: u64 = SECRET_MAX as u64 + 1024;

/// Costs of a passphrase: 64 MiB, three passes, one lane (RFC 9106, section 4, for machines with less memory).
const COSTS: [u32; 3] = [64 << 10, 3, 1];

/// Costs above which a file counts as damaged, so that it can't take the host's memory or time: 1 GiB, …
const COSTS_MAX: [u32; 3] = [1 << 20, 64, 16];

pub(super) struct Vault {
    folder: PathBuf,
    passphrase: Option<Zeroizing<String>>,
    master: Mutex<Option<Arc<Aes256Gcm>>>,
}

fn io(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let errno = match error.kind() {
        ErrorKind::StorageFull => Errno::Nospc,
        ErrorKind::QuotaExceeded => Errno::Dquot,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Errno::Acces,
        _ => Errno::Io,
    };
    // The path is the host's own and no affair of the agent's: its last name says enough.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Failure::new(errno, format!("can't {what} `{name}`: {}", error.kind()))
}

fn damaged(what: &str) -> Failure {
    Failure::new(Errno::Io, format!("{what} is damaged"))
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Failure> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes)
        .map_err(|_| Failure::new(Errno::Io, "the system has no random numbers"))?;
    Ok(bytes)
}

/// Fails if somebody else has these rights on a file or folder, or it is somebody else's. What is root's can be trusted by everybody.
fn check_mode(path: &Path, metadata: &fs::Metadata, rights: u32) -> Result<(), Failure> {
    let user = rustix::process::geteuid().as_raw();
    if metadata.mode() & rights == 0 && [user, 0].contains(&metadata.uid()) {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let what = match rights & 0o044 {
        0 => "write",
        _ => "read or write",
    };
    let text = format!("`{name}`, where keys are kept, is another user's, or others can {what} it");
    Err(Failure::new(Errno::Acces, text))
}

/// The contents of a file that is not longer than it can be; `None` where there is none.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read", path, &error)),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAX as usize + 1));
    let taken = file.take(FILE_MAX + 1).read_to_end(&mut bytes);
    taken.map_err(|error| io("read", path, &error))?;
    Ok(Some(bytes))
}

/// As [`read`], of a file that nobody else may read.
fn read_master(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    match fs::metadata(path) {
        Ok(metadata) => check_mode(path, &metadata, 0o077)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read", path, &error)),
    }
    read(path)
}

fn cipher(key: &[u8]) -> Result<Aes256Gcm, Failure> {
    Aes256Gcm::new_from_slice(key).map_err(|_| damaged("the master key"))
}

/// Removes what was being written into a folder of keys when its writer was killed. Nobody else may have the folder meanwhile. What can't be
/// removed stays: it is in nobody's way.
pub(super) fn remove_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let (before, letters) = UNFINISHED_BEFORE;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let rest = name.strip_prefix(before);
        let older = rest.is_some_and(|rest| {
            rest.len() == letters && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && (older || name.starts_with(UNFINISHED)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Vault {
    pub(super) fn new(folder: PathBuf, passphrase: Option<Zeroizing<String>>) -> Vault {
        Vault {
            folder,
            passphrase,
            master: Mutex::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// Writes a file as a whole, for its owner alone. `false` if there is one and it may not be replaced.
    fn write(&self, path: &Path, bytes: &[u8], replace: bool) -> Result<bool, Failure> {
        let failed = |error: std::io::Error| io("write", path, &error);
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.folder);
        made.map_err(failed)?;
        // Readable by the owner alone, whatever the umask.
        let unfinished = Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder);
        let mut file = unfinished.map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        let moved = match replace {
            true => file.persist(path),
            false => file.persist_noclobber(path),
        };
        match moved {
            Ok(_) => {}
            Err(error) if !replace && error.error.kind() == ErrorKind::AlreadyExists => {
                return Ok(false);
            }
            Err(error) => return Err(failed(error.error)),
        }
        let folder = File::open(&self.folder).map_err(failed)?;
        folder.sync_all().map_err(failed)?;
        Ok(true)
    }

    /// That nobody else can put files into the folder, if it is there.
    fn check_folder(&self) -> Result<(), Failure> {
        match fs::metadata(&self.folder) {
            Ok(metadata) => check_mode(&self.folder, &metadata, 0o022),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io("read", &self.folder, &error)),
        }
    }

    /// The master key; with `make`, a new one where there is none and never was.
    fn master(&self, make: bool) -> Result<Option<Arc<Aes256Gcm>>, Failure> {
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(master) = &*master {
            return Ok(Some(master.clone()));
        }
        let path = self.folder.join("master");
        self.check_folder()?;
        let mut contents = read_master(&path)?;
        if contents.is_none() && make {
            if !self.names()?.is_empty() {
                let text = "the master key is missing, and there are keys that it sealed";
                return Err(Failure::new(Errno::Io, text));
            }
            let made = self.make_master()?;
            // Another process may have made one meanwhile: then that is it.
            self.write(&path, &made, false)?;
            contents = read_master(&path)?;
        }
        let Some(contents) = contents else {
            return Ok(None);
        };
        let key = Arc::new(self.open_master(&contents)?);
        *master = Some(key.clone());
        Ok(Some(key))
    }

    fn make_master(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let key = random::<32>()?;
        let mut contents = Zeroizing::new(MASTER_MAGIC.to_vec());
        let Some(passphrase) = &self.passphrase else {
            contents.push(0);
            contents.extend_from_slice(&*key);
            return Ok(contents);
        };
        contents.push(1);
        for cost in COSTS {
            contents.extend_from_slice(&cost.to_le_bytes());
        }
        let salt = random::<SALT>()?;
        contents.extend_from_slice(&*salt);
        let cipher = of_passphrase(passphrase, &*salt, COSTS)?;
        seal(&cipher, &mut contents, &[], &*key)?;
        Ok(contents)
    }

    fn open_master(&self, contents: &[u8]) -> Result<Aes256Gcm, Failure> {
        let broken = || damaged("the master key");
        let rest = contents.strip_prefix(MASTER_MAGIC).ok_or_else(broken)?;
        let refused = |text| Err(Failure::new(Errno::Acces, text));
        match (rest, &self.passphrase) {
            ([0, key @ ..], None) if key.len() == 32 => cipher(key),
            ([0, ..], Some(_)) => {
                refused("the keys were kept without a passphrase, and the host was given one")
            }
            ([1, ..], None) => {
                refused("the keys are kept under a passphrase, which the host was not given")
            }
            ([1, rest @ ..], Some(passphrase)) => {
                let (costs, rest) = rest.split_first_chunk::<12>().ok_or_else(broken)?;
                let (salt, sealed) = rest.split_first_chunk::<SALT>().ok_or_else(broken)?;
                let (costs, _) = costs.as_chunks::<4>();
                let costs = [costs[0], costs[1], costs[2]].map(u32::from_le_bytes);
                if costs.iter().zip(COSTS_MAX).any(|(cost, max)| *cost > max) {
                    return Err(broken());
                }
                let head = &contents[..contents.len() - sealed.len()];
                let outer = of_passphrase(passphrase, salt, costs)?;
                match unseal(&outer, sealed, head) {
                    Some(key) => cipher(&key),
                    None => refused("the passphrase is wrong, or the master key is damaged"),
                }
            }
            _ => Err(broken()),
        }
    }

    pub(super) fn names(&self) -> Result<Vec<String>, Failure> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io("list", &self.folder, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io("list", &self.folder, &error))?;
            let name = entry.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".key")) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(super) fn load(&self, name: &str) -> Result<Option<Stored>, Failure> {
        let path = self.path(name);
        let Some(contents) = read(&path)? else {
            return Ok(None);
        };
        let broken = || damaged("the key's file");
        let master = self.master(false)?;
        let master = master.ok_or_else(|| Failure::new(Errno::Io, "the master key is missing"))?;
        let sealed = contents.strip_prefix(KEY_MAGIC).ok_or_else(broken)?;
        let head = [KEY_MAGIC, name.as_bytes()].concat();
        let opened = unseal(&master, sealed, &head).ok_or_else(broken)?;
        let end = opened.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(broken)?;
        let line = str::from_utf8(&opened[..end]).map_err(|_| broken())?;
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let algorithm = Algorithm::of_name(word()).ok_or_else(broken)?;
        let secret = word() == "secret";
        let usages = Usages::parse(word()).ok_or_else(broken)?;
        let bytes = opened[end + 1..].to_vec();
        let material = match secret {
            true => Material {
                secret: Some(Zeroizing::new(bytes)),
                public: None,
            },
            false => Material {
                secret: None,
                public: Some(bytes),
            },
        };
        let key = SoftKey::import(algorithm, material).map_err(|_| broken())?;
        Ok(Some(Stored {
            key: Arc::new(key),
            usages,
        }))
    }

    pub(super) fn save(
        &self,
        name: &str,
        key: &SoftKey,
        usages: Usages,
        replace: bool,
    ) -> Result<(), Failure> {
        use capfs_devices::crypto::Key as _;
        let master = self.master(true)?;
        let master = master.ok_or_else(|| Failure::new(Errno::Io, "the master key is missing"))?;
        let kind = if key.secret() { "secret" } else { "public" };
        let line = format!("{} {kind} {usages}\n", key.algorithm().name());
        let plain = Zeroizing::new([line.as_bytes(), key.bytes()].concat());
        let mut contents = KEY_MAGIC.to_vec();
        seal(&master, &mut contents, name.as_bytes(), &plain)?;
        match self.write(&self.path(name), &contents, replace)? {
            true => Ok(()),
            false => {
                let text = format!("a key is kept as `{name}` already");
                Err(Failure::new(Errno::Exist, text))
            }
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io("remove", &path, &error)),
        }
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| io("remove", &path, &error))
    }
}

/// Appends a nonce and what is sealed with it; what is in front, and `more`, is authenticated.
fn seal(
    cipher: &Aes256Gcm,
    contents: &mut Vec<u8>,
    more: &[u8],
    plain: &[u8],
) -> Result<(), Failure> {
    let nonce = random::<NONCE>()?;
    let head = [contents, more].concat();
    let payload = Payload {
        msg: plain,
        aad: &head,
    };
    let sealed = cipher.encrypt((&*nonce).into(), payload);
    let sealed = sealed.map_err(|_| Failure::new(Errno::Io, "the key is too long to seal"))?;
    contents.extend_from_slice(&*nonce);
    contents.extend_from_slice(&sealed);
    Ok(())
}

fn unseal(cipher: &Aes256Gcm, sealed: &[u8], head: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let payload = Payload {
        msg: sealed,
        aad: head,
    };
    let plain = cipher.decrypt(nonce.into(), payload).ok()?;
    Some(Zeroizing::new(plain))
}

fn of_passphrase(passphrase: &str, salt: &[u8], costs: [u32; 3]) -> Result<Aes256Gcm, Failure> {
    let broken = |_| damaged("the master key");
    let [memory, time, lanes] = costs;
    let params = Params::new(memory, time, lanes, Some(32)).map_err(broken)?;
    let argon2 = Argon2::new(Argon2Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Zeroizing::new([0; 32]);
    let derived = argon2.hash_password_into(passphrase.as_bytes(), salt, &mut *key);
    derived.map_err(broken)?;
    cipher(&*key)
}
