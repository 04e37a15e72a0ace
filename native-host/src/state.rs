//! State folders: where what an agent's capabilities keep lasts.
//!
//! A folder has one owner: the file `owner` in it says whose keys, files and databases it has, by an [identity](Identity).
//! One run at a time has it: it is locked as a whole (flock(2)) for as long as the run lasts. A folder without an owner becomes that of the first
//! agent that is given it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use capfs_devices::identity::Identity;
use capfs_devices::storage::own_name;
use capfs_native_devices::remove_unfinished_keys;
use rustix::fs::{Access, access};

use crate::read::read_at_most;
use crate::storage::{OWN, lock};

/// Bytes of the file that names the owner, at most.
const OWNER_MAX: u64 = 4096;

/// Why a state folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It can't be made, read or locked.
    #[error("can't use the state folder `{}`: {source}", .path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could put something into it.
    #[error("can't use the state folder `{}`: it is another user's, or others can write it", .path.display())]
    Open {
        /// The folder.
        path: PathBuf,
    },
    /// It is another agent's.
    #[error("the state folder `{}` belongs to `{owner}`, and this program is `{identity}`", .path.display())]
    Owned {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who wanted it.
        identity: String,
    },
    /// Another run has it.
    #[error("the state folder `{}` is in use by a program that runs", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

impl StateError {
    /// What may help.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            StateError::Unusable { .. } => None,
            StateError::Open { .. } => Some("`chmod go-w` on it, or another folder"),
            StateError::Owned { .. } => Some(
                "`--id NAME` says who a program is, whatever becomes of its file; where the folder is to be handed on, \
                 remove the file `owner` in it",
            ),
            StateError::InUse { .. } => {
                Some("each program that runs has a folder of its own: --state DIR")
            }
        }
    }
}

/// A state folder that a run has. As long as it is not [kept](State::keep), what was made for it goes with it: a run that is refused
/// leaves no folder and makes nobody an owner.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    /// It was nobody's.
    adopted: bool,
    /// What was not there.
    made: Made,
    /// Locked.
    _folder: File,
}

/// Folders that are made for a run, the innermost first: those that are empty go when this is dropped.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Of the folders that a path is made of, those that are not there.
    fn missing(path: &Path) -> Made {
        let all = path.ancestors();
        let missing = all.take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        Made(missing.map(Path::to_owned).collect())
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What can't be removed is as if another had made it, and a folder with something in it stays.
        for folder in &self.0 {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

impl State {
    /// Takes a folder for an agent; it is made if it is not there. `program` is the path of its module, by whose name older
    /// folders have its stored files.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn claim(path: &Path, identity: &Identity, program: &str) -> Result<State, StateError> {
        let unusable = |source| StateError::Unusable {
            path: path.to_owned(),
            source,
        };
        let mut made = Made::missing(path);
        let mut builder = DirBuilder::new();
        let created = builder.recursive(true).mode(0o700).create(path);
        created.map_err(unusable)?;
        // Keys that are kept already can be used where nothing can be written.
        let readable = access(path, Access::READ_OK | Access::EXEC_OK);
        readable.map_err(|error| unusable(error.into()))?;
        let folder = File::open(path).map_err(unusable)?;
        let metadata = folder.metadata().map_err(unusable)?;
        let user = rustix::process::geteuid().as_raw();
        // What is root's can be trusted by everybody: it may be handed in read-only.
        if metadata.mode() & 0o022 != 0 || ![user, 0].contains(&metadata.uid()) {
            let path = path.to_owned();
            return Err(StateError::Open { path });
        }
        if !lock(&folder).map_err(unusable)? {
            // It is there for the run that has it.
            made.keep();
            let path = path.to_owned();
            return Err(StateError::InUse { path });
        }
        // From here on what was made goes while it is locked.
        let mut state = State {
            path: path.to_owned(),
            adopted: false,
            made,
            _folder: folder,
        };
        state.adopted = match owner(path).map_err(unusable)? {
            Some(owner) if owner == identity.as_str() => false,
            Some(owner) => {
                return Err(StateError::Owned {
                    path: path.to_owned(),
                    owner,
                    identity: identity.to_string(),
                });
            }
            None => match adopt(path, identity, program) {
                Ok(anew) => anew,
                // Nothing can be kept in it, so it can stay nobody's.
                Err(error) if is_read_only(&error) => false,
                Err(error) => return Err(unusable(error)),
            },
        };
        // Whoever was writing here was killed, or the folder would be locked.
        remove_unfinished_keys(path);
        Ok(state)
    }

    /// The agent begins: it is its folder from now on.
    pub fn keep(&mut self) {
        self.adopted = false;
        self.made.keep();
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // While it is locked. What can't be removed is as if another had made it.
        if self.adopted {
            let _ = fs::remove_file(self.path.join("owner"));
        }
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Whose a state folder is, if it is anybody's.
///
/// # Errors
/// The file that says so can't be read.
pub fn owner(path: &Path) -> io::Result<Option<String>> {
    match read_at_most(&path.join("owner"), OWNER_MAX) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a folder an agent's that was nobody's; whether nothing else had to be changed for it.
///
/// # Errors
/// It can't be written: it is as it was.
fn adopt(path: &Path, identity: &Identity, program: &str) -> io::Result<bool> {
    let (files, own) = (path.join("files"), path.join("files").join(OWN));
    let older = files.join(own_name(program));
    let renames = older.is_dir() && !own.exists();
    let beside = path.join(".owner");
    let write = || {
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        writeln!(file, "{identity}")?;
        file.sync_all()?;
        if renames {
            fs::rename(&older, &own)?;
        }
        fs::rename(&beside, path.join("owner")).inspect_err(|_| {
            if renames {
                let _ = fs::rename(&own, &older);
            }
        })
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })?;
    Ok(!renames)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn named(id: &str) -> Identity {
        Identity::named(id).unwrap()
    }

    #[test]
    fn a_folder_is_one_agent_s_and_one_run_s() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("state");
        let claim = |id: &str| State::claim(&path, &named(id), "a.wasm");
        // A run that does not begin leaves nothing.
        drop(claim("a").unwrap());
        assert!(!path.exists());
        let mut first = claim("a").unwrap();
        first.keep();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(claim("a"), Err(StateError::InUse { .. })));
        drop(first);
        let refused = claim("b").unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("belongs to `a`, and this program is `b`")
        );
        drop(claim("a").unwrap());
        fs::remove_file(path.join("owner")).unwrap();
        drop(claim("b").unwrap());
        assert_eq!(owner(&path).unwrap(), None);
        claim("b").unwrap().keep();
        assert_eq!(owner(&path).unwrap().as_deref(), Some("b"));
    }

    /// Nothing can be written where it is written: as on a disk that is full.
    #[test]
    fn a_folder_whose_owner_cannot_be_written_is_as_it_was() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path();
        fs::create_dir_all(path.join("files/notes")).unwrap();
        let claim = || State::claim(path, &named("a"), "bin/notes.wasm");
        let left = || {
            let names = fs::read_dir(path).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        };
        symlink("/dev/full", path.join(".owner")).unwrap();
        let refused = claim().unwrap_err();
        assert!(refused.to_string().contains("No space left"), "{refused}");
        assert_eq!(left(), ["files"]);
        assert!(path.join("files/notes").exists());
        // Then it can.
        drop(claim().unwrap());
        assert!(path.join("files").join(OWN).exists());
    }

    #[test]
    fn folders_that_were_made_for_a_refused_run_go() {
        let scratch = tempfile::tempdir().unwrap();
        let there = scratch.path().join("there");
        fs::create_dir(&there).unwrap();
        let path = there.join("a/b/state");
        drop(State::claim(&path, &named("a"), "a.wasm").unwrap());
        assert!(there.exists() && !there.join("a").exists());
        let mut kept = State::claim(&path, &named("a"), "a.wasm").unwrap();
        kept.keep();
        drop(kept);
        drop(State::claim(&there.join("a/c"), &named("a"), "a.wasm").unwrap());
        assert!(path.join("owner").exists() && !there.join("a/c").exists());
    }

    #[test]
    fn a_folder_from_before_is_adopted_with_its_files() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path();
        fs::create_dir_all(path.join("files/notes")).unwrap();
        fs::write(path.join("files/notes/f"), "kept").unwrap();
        drop(State::claim(path, &named("org.example.notes"), "bin/notes.wasm").unwrap());
        assert_eq!(
            fs::read(path.join("files").join(OWN).join("f")).unwrap(),
            b"kept"
        );
    }

    #[test]
    fn what_a_killed_run_was_writing_goes() {
        let scratch = tempfile::tempdir().unwrap();
        let keys = scratch.path().join("keys");
        fs::create_dir(&keys).unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let names = [
            ".tmp2Ab9xY",
            ".writing-2Ab9xY",
            ".tmp-mine",
            ".writing",
            "a.key",
            "master",
        ];
        for name in names {
            fs::write(keys.join(name), "x").unwrap();
        }
        let left = || {
            let mut left: Vec<String> = fs::read_dir(&keys)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            left.sort();
            left
        };
        let mut first = State::claim(scratch.path(), &named("a"), "a.wasm").unwrap();
        first.keep();
        assert_eq!(left(), [".tmp-mine", ".writing", "a.key", "master"]);
        // Of a run that goes on nothing is touched.
        fs::write(keys.join(".writing-abcdef"), "x").unwrap();
        let second = State::claim(scratch.path(), &named("a"), "a.wasm");
        assert!(matches!(second, Err(StateError::InUse { .. })));
        drop(first);
        assert_eq!(left().len(), 5);
        // Nor of another agent's, whoever asks for it.
        let other = State::claim(scratch.path(), &named("b"), "a.wasm");
        assert!(matches!(other, Err(StateError::Owned { .. })));
        assert_eq!(left().len(), 5);
        drop(State::claim(scratch.path(), &named("a"), "a.wasm").unwrap());
        assert_eq!(left().len(), 4);
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o775)).unwrap();
        let refused = State::claim(scratch.path(), &named("a"), "a.wasm");
        assert!(matches!(refused, Err(StateError::Open { .. })));
    }
}
