//! Who compiles what: of those that start the same module at once, one compiles it, and the others find its code.
//!
//! A turn is a lock of the system (flock(2)), which goes with its process, whatever that ends by; its file is empty. Where a file system has no
//! locks, or the folder can't be written, everybody compiles for itself.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::{Cache, check};

/// What the name of a turn's file ends with, behind that of the entry.
pub(super) const TURN: &str = ".turn";

/// What the name of a file ends with that says that an entry was begun.
pub(super) const BEGUN: &str = ".begun";

/// The file that whoever compiles behind a program has locked: one for all modules.
const BEHIND: &str = ".behind";

/// How long it is remembered that optimised code was begun behind a program and not finished: it took more than it may, or was ended, and
/// would be again.
pub(super) const BEGUN_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long whoever compiles behind a program is left alone with that, however busy the machine is: by its processor time alone it would take
/// some minutes, but it may have been stopped.
const BEHIND_MAX: Duration = Duration::from_secs(3600);

/// The right to compile what an entry is for, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    file: File,
    /// Removed at its end.
    path: Option<PathBuf>,
}

impl Turn {
    /// Its lock, for another process: that has it for as long as it has the file open, and [ends](Cache::end_turn) it.
    pub fn hand_on(mut self) -> io::Result<File> {
        let file = self.file.try_clone()?;
        self.path = None;
        Ok(file)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

impl Cache {
    /// The right to compile what an entry is for; `None` while somebody else has it.
    ///
    /// # Errors
    /// There is no way to tell: what making and locking a file end with.
    pub(crate) fn turn(&self, key: &str) -> io::Result<Option<Turn>> {
        let path = self.beside(key, TURN);
        let turn = self.lock(&path)?;
        Ok(turn.map(|file| Turn {
            file,
            path: Some(path),
        }))
    }

    /// Ends a turn that was handed on.
    pub(crate) fn end_turn(&self, key: &str) {
        let _ = fs::remove_file(self.beside(key, TURN));
    }

    /// The right to compile behind a program, which one process has at a time; `None` while another has it, an hour at most.
    ///
    /// # Errors
    /// As [`Cache::turn`].
    pub(crate) fn behind(&self) -> io::Result<Option<File>> {
        let path = self.folder.join(BEHIND);
        let mut behind = self.lock(&path)?;
        if behind.is_none() && !is_of_last(BEHIND_MAX, &path) {
            // What that one has locked is nobody's lock any more.
            let _ = fs::remove_file(&path);
            behind = self.lock(&path)?;
        }
        if let Some(file) = &behind {
            file.set_modified(SystemTime::now())?;
        }
        Ok(behind)
    }

    /// Remembers that an entry is begun, until it is there.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn begin(&self, key: &str) -> io::Result<()> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
            .open(self.beside(key, BEGUN))?;
        file.set_modified(SystemTime::now())
    }

    /// Forgets that an entry was begun: it is there, or it is no fault of the module's that it isn't.
    pub(crate) fn finish(&self, key: &str) {
        let _ = fs::remove_file(self.beside(key, BEGUN));
    }

    /// Whether an entry was begun lately, and not finished.
    pub(crate) fn was_begun(&self, key: &str) -> bool {
        is_of_last(BEGUN_MAX, &self.beside(key, BEGUN))
    }

    fn beside(&self, key: &str, end: &str) -> PathBuf {
        self.folder.join(format!(".{key}{end}"))
    }

    /// A file that this process alone has locked, which is made if it is not there.
    fn lock(&self, path: &Path) -> io::Result<Option<File>> {
        self.make()?;
        check(&self.folder)?;
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it may have removed it since it was opened: then it is no lock that anybody else sees.
        let own = file.metadata()?;
        let there = fs::symlink_metadata(path);
        let same = there.is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()));
        Ok(same.then_some(file))
    }
}

/// Whether a file was changed within the last so long. A clock that has been set back since doesn't make that longer.
fn is_of_last(time: Duration, path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|file| file.modified());
    modified.is_ok_and(|modified| {
        let age = SystemTime::now().duration_since(modified);
        age.unwrap_or_else(|ahead| ahead.duration()) < time
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> (tempfile::TempDir, Cache, String) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("code"));
        let key = format!("{}-{}", "a".repeat(64), "0".repeat(16));
        (directory, cache, key)
    }

    #[test]
    fn a_turn_is_one_at_a_time() {
        let (_directory, cache, key) = setup();
        let other = key.replace('a', "b");
        let turn = cache.turn(&key).unwrap().unwrap();
        assert!(cache.turn(&key).unwrap().is_none());
        assert!(cache.turn(&other).unwrap().is_some());
        drop(turn);
        let turn = cache.turn(&key).unwrap().unwrap();
        let handed = turn.hand_on().unwrap();
        assert!(cache.turn(&key).unwrap().is_none());
        cache.end_turn(&key);
        drop(handed);
        assert!(cache.turn(&key).unwrap().is_some());
        assert_eq!(fs::read_dir(cache.folder()).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_that_was_removed_is_none() {
        let (_directory, cache, key) = setup();
        let stale = cache.turn(&key).unwrap().unwrap();
        cache.end_turn(&key);
        let turn = cache.turn(&key).unwrap().unwrap();
        // It takes away what is not its own any more, which costs a second compilation and nothing else.
        drop(stale);
        assert!(cache.turn(&key).unwrap().is_some());
        drop(turn);
    }

    #[test]
    fn a_folder_that_others_can_write_has_no_turns() {
        use std::os::unix::fs::PermissionsExt;
        let (_directory, cache, key) = setup();
        cache.make().unwrap();
        fs::set_permissions(cache.folder(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(cache.turn(&key).is_err());
    }

    #[test]
    fn who_compiles_behind_a_program_and_is_stopped_is_waited_for_an_hour() {
        let (_directory, cache, _) = setup();
        let stopped = cache.behind().unwrap().unwrap();
        assert!(cache.behind().unwrap().is_none());
        let since = |file: &File, time: Duration| file.set_modified(SystemTime::now() - time);
        since(&stopped, BEHIND_MAX / 2).unwrap();
        assert!(cache.behind().unwrap().is_none());
        since(&stopped, 2 * BEHIND_MAX).unwrap();
        let next = cache.behind().unwrap().unwrap();
        assert!(cache.behind().unwrap().is_none());
        // When it goes on and ends, the other has its turn still.
        drop(stopped);
        assert!(cache.behind().unwrap().is_none());
        drop(next);
        assert!(cache.behind().unwrap().is_some());
    }

    #[test]
    fn what_was_begun_is_remembered_for_a_day() {
        let (_directory, cache, key) = setup();
        cache.make().unwrap();
        assert!(!cache.was_begun(&key));
        cache.begin(&key).unwrap();
        assert!(cache.was_begun(&key));
        let file = File::options().write(true).open(cache.beside(&key, BEGUN));
        let old = SystemTime::now() - 2 * BEGUN_MAX;
        let file = file.unwrap();
        file.set_modified(old).unwrap();
        assert!(!cache.was_begun(&key));
        file.set_modified(SystemTime::now() + 2 * BEGUN_MAX)
            .unwrap();
        assert!(!cache.was_begun(&key));
        cache.begin(&key).unwrap();
        assert!(cache.was_begun(&key));
        cache.finish(&key);
        assert!(!cache.was_begun(&key));
    }

    #[test]
    fn nothing_is_begun_by_a_link() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let (directory, cache, key) = setup();
        cache.make().unwrap();
        let other = directory.path().join("other");
        symlink(&other, cache.beside(&key, BEGUN)).unwrap();
        assert!(cache.begin(&key).is_err());
        assert!(!other.exists());
        fs::remove_file(cache.beside(&key, BEGUN)).unwrap();
        cache.begin(&key).unwrap();
        let mode = fs::metadata(cache.beside(&key, BEGUN))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
