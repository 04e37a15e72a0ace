//! Stored files natively: a folder of the agent's own, with what its contents may take.
//!
//! It is `files/NAME` in the folder where the program's capabilities keep what lasts, with a lock file beside it: one agent at a time
//! has it, as one has a tree in a browser. Other programs can read and change what is in it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use capfs::account::Account;
use capfs::{NodeRef, Op, Rights};
use capfs_devices::grant::Grant;
use capfs_devices::storage::{self, Quota, StorageTerms};

use crate::device::dir::{HostFolder, Ledger};
use crate::reserved::{Conflict, Reserved};

/// The tree of an agent that is granted none by name. The folder where it is is one agent's alone.
pub const OWN: &str = "own";

/// How long a folder is waited for that another agent has; as in a browser.
const HANDOVER_MAX: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 3_000 });

/// Between two looks.
const HANDOVER_STEP: Duration = Duration::from_millis(50);

/// A folder of the agent's own, for the agent of an account, in which contents may take `quota` bytes, in blocks of 4 KiB; over
/// it the guest gets `EDQUOT`. The folder is made if it is not there. Nothing that is reserved is in it.
///
/// # Errors
/// Whatever making or opening the folder, or counting what is in it, ends with; [`io::ErrorKind::PermissionDenied`] where it overlaps
/// with what is reserved.
pub fn folder(
    path: &Path,
    quota: u64,
    reserved: &Reserved,
    account: &Account,
) -> io::Result<(NodeRef, Arc<Ledger>)> {
    std::fs::create_dir_all(path)?;
    let folder = HostFolder::open(path)?;
    let bars = reserved
        .check_own(&folder)
        .map_err(|Conflict { why, hint }| {
            io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{why}, which no program may write; {hint}"),
            )
        })?;
    folder.limited(quota, bars, account)
}

/// What a grant of stored files stands for.
pub struct Stored {
    /// The tree.
    pub tree: NodeRef,
    /// Everything, or reading alone.
    pub rights: Rights,
    /// The files beside it, `quota` and `policy`, and where they are.
    pub beside: [(String, NodeRef); 2],
    /// Held for as long as the agent has the folder.
    pub lock: File,
}

/// Makes what a grant of stored files stands for, for the agent of an account; `state` is where the agent's capabilities keep what lasts, and nothing of what is
/// reserved may be in its folder.
///
/// # Errors
/// A message that says what is wrong with the grant, or why the folder can't be used.
pub fn granted(
    grant: &Grant,
    state: Option<&Path>,
    reserved: &Reserved,
    account: &Account,
) -> Result<Stored, String> {
    let terms = StorageTerms::new(grant, OWN).map_err(|error| error.to_string())?;
    let state = state.ok_or("stored files need a folder that they are in: --state DIR")?;
    let folders = state.join("files");
    let path = folders.join(&terms.name);
    let failed = |error: io::Error| format!("the folder `{}`: {error}", path.display());
    std::fs::create_dir_all(&folders).map_err(failed)?;
    let lock = folders.join(format!(".{}.lock", terms.name));
    let lock = File::options().create(true).append(true).open(lock);
    let lock = lock.map_err(failed)?;
    if !self::lock(&lock).map_err(failed)? {
        let name = &terms.name;
        return Err(format!(
            "the stored files `{name}` are in use by another agent"
        ));
    }
    let (tree, ledger) = folder(&path, terms.quota, reserved, account).map_err(failed)?;
    let beside = storage::files_beside(&grant.at, &terms, move || {
        Op::ok(Quota {
            used: ledger.used(),
            total: ledger.limit(),
        })
    });
    Ok(Stored {
        tree,
        rights: terms.rights,
        beside,
        lock,
    })
}

/// Takes the lock of a file or folder, which the system gives back when it is closed, however the process ends. `false` where
/// another has it for longer than [`HANDOVER_MAX`].
///
/// # Errors
/// Whatever locking ends with.
pub fn lock(file: &File) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if begun.elapsed() < HANDOVER_MAX => {
                std::thread::sleep(HANDOVER_STEP);
            }
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use capfs::testkit::{self, READ, READ_WRITE, edit, name, now, read_at, write_at};
    use capfs::{Errno, OpenFile, OpenHow, SetStat, WriteAt};
    use tempfile::TempDir;

    use super::*;

    const BLOCK: u64 = 4096;
    const QUOTA: u64 = 40 * BLOCK;

    /// The folder `own` of another, with the quota of these tests.
    fn own(state: &Path) -> io::Result<(NodeRef, Arc<Ledger>)> {
        folder(
            &state.join("own"),
            QUOTA,
            &Reserved::default(),
            &Account::unlimited(),
        )
    }

    fn stored() -> (TempDir, NodeRef, Arc<Ledger>) {
        let scratch = tempfile::tempdir().unwrap();
        let (root, ledger) = own(scratch.path()).unwrap();
        (scratch, root, ledger)
    }

    fn create(root: &NodeRef, file: &str) -> Box<dyn OpenFile> {
        now(edit(root).unwrap().create(name(file), READ_WRITE))
            .unwrap()
            .file
    }

    /// Writes as much as there is room for, and returns the bytes and the error that ended it.
    fn fill(file: &mut dyn OpenFile) -> (u64, Errno) {
        let mut total = 0;
        loop {
            match write_at(file, WriteAt::End, &[7; 3 * BLOCK as usize + 5]) {
                Ok(written) => total += written.bytes as u64,
                Err(errno) => return (total, errno),
            }
        }
    }

    #[test]
    fn passes_the_conformance_suite() {
        let kept = RefCell::new(Vec::new());
        testkit::writable(|| {
            let scratch = tempfile::tempdir().unwrap();
            let (root, _) = folder(
                scratch.path(),
                1 << 30,
                &Reserved::default(),
                &Account::unlimited(),
            )
            .unwrap();
            kept.borrow_mut().push(scratch);
            root
        });
    }

    #[test]
    fn one_agent_at_a_time_has_a_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let grant = Grant::from_flag("opfs,name=notes,quota=64KiB").unwrap();
        let first = granted(
            &grant,
            Some(scratch.path()),
            &Reserved::default(),
            &Account::unlimited(),
        )
        .unwrap();
        testkit::write(&first.tree, "f", b"kept").unwrap();
        let [(path, _), (_, policy)] = &first.beside;
        assert_eq!(path, "/cap/storage/quota");
        let mut policy = now(policy.open(READ)).unwrap();
        assert_eq!(
            read_at(&mut *policy, 0, 99).unwrap(),
            b"name notes\nquota 65536\nrights rw\nrepair no\n"
        );
        let again = granted(
            &grant,
            Some(scratch.path()),
            &Reserved::default(),
            &Account::unlimited(),
        );
        assert!(again.err().unwrap().contains("another agent"));
        drop(first);
        let again = granted(
            &grant,
            Some(scratch.path()),
            &Reserved::default(),
            &Account::unlimited(),
        )
        .unwrap();
        assert_eq!(testkit::read(&again.tree, "f").unwrap(), b"kept");
        let mut quota = now(again.beside[0].1.open(READ)).unwrap();
        assert_eq!(
            read_at(&mut *quota, 0, 99).unwrap(),
            b"used 4096\ntotal 65536\n"
        );
        assert!(granted(&grant, None, &Reserved::default(), &Account::unlimited()).is_err());
    }

    #[test]
    fn contents_take_at_most_the_quota() {
        let (_scratch, root, ledger) = stored();
        let mut file = create(&root, "f");
        assert_eq!(fill(&mut *file), (QUOTA, Errno::Dquot));
        assert_eq!(ledger.used(), QUOTA);
        // What is there can be overwritten.
        let written = write_at(&mut *file, WriteAt::Offset(100), &[1; 50_000]).unwrap();
        assert_eq!(written.bytes, 50_000);
        let mut other = create(&root, "g");
        assert_eq!(
            write_at(&mut *other, WriteAt::End, b"x").err(),
            Some(Errno::Dquot)
        );
        assert_eq!(now(other.allocate(0, 1)), Err(Errno::Dquot));
        // And cut.
        let change = SetStat {
            size: Some(10 * BLOCK + 1),
            ..SetStat::default()
        };
        now(file.set_stat(change)).unwrap();
        assert_eq!(ledger.used(), 11 * BLOCK);
        assert_eq!(fill(&mut *other).0, 29 * BLOCK);
        now(edit(&root).unwrap().rename(name("g"), &root, name("f"))).unwrap();
        assert_eq!(ledger.used(), QUOTA, "what was replaced is still open");
        drop(file);
        assert_eq!(ledger.used(), 29 * BLOCK);
        let how = OpenHow {
            truncate: true,
            ..READ_WRITE
        };
        now(testkit::walk(&root, "f").unwrap().open(how)).unwrap();
        assert_eq!(ledger.used(), 0);
    }

    #[test]
    fn a_name_that_goes_gives_its_room_back() {
        let (_scratch, root, ledger) = stored();
        let mut file = create(&root, "f");
        write_at(&mut *file, WriteAt::End, &[1; 9_000]).unwrap();
        let node = testkit::walk(&root, "f").unwrap();
        now(edit(&root).unwrap().link(name("g"), &node)).unwrap();
        now(edit(&root).unwrap().unlink(name("f"))).unwrap();
        assert_eq!(ledger.used(), 3 * BLOCK, "it has another name");
        now(edit(&root).unwrap().rename(name("g"), &root, name("g"))).unwrap();
        assert_eq!(ledger.used(), 3 * BLOCK, "nothing has changed");
        now(edit(&root).unwrap().unlink(name("g"))).unwrap();
        assert_eq!(ledger.used(), 3 * BLOCK, "it is still open");
        write_at(&mut *file, WriteAt::End, &[1; 9_000]).unwrap();
        assert_eq!(read_at(&mut *file, 17_999, 5).unwrap(), [1]);
        assert_eq!(ledger.used(), 5 * BLOCK);
        assert_eq!(fill(&mut *file), (QUOTA - 18_000, Errno::Dquot));
        drop(file);
        assert_eq!(ledger.used(), 0);
    }

    #[test]
    fn directories_and_links_count_as_a_block_each() {
        let (_scratch, root, ledger) = stored();
        let directory = |n: usize| {
            let made = now(edit(&root).unwrap().make_directory(name(&format!("d{n}"))));
            made.map(|_| ())
        };
        let blocks = (QUOTA / BLOCK) as usize;
        for n in 1..blocks {
            directory(n).unwrap();
        }
        now(edit(&root).unwrap().make_symlink(name("l"), "d1")).unwrap();
        assert_eq!(ledger.used(), QUOTA);
        assert_eq!(directory(blocks), Err(Errno::Dquot));
        let link = now(edit(&root).unwrap().make_symlink(name("m"), "d1"));
        assert_eq!(link, Err(Errno::Dquot));
        now(edit(&root).unwrap().remove_directory(name("d1"))).unwrap();
        now(edit(&root).unwrap().unlink(name("l"))).unwrap();
        assert_eq!(ledger.used(), QUOTA - 2 * BLOCK);
        assert_eq!(folder_used(&root), ledger.used());
    }

    /// What a folder takes, counted anew.
    fn folder_used(root: &NodeRef) -> u64 {
        let entries = testkit::list(root, 100).unwrap();
        entries.len() as u64 * BLOCK
    }

    #[test]
    fn holes_take_nothing() {
        let (_scratch, root, ledger) = stored();
        let mut file = create(&root, "f");
        write_at(&mut *file, WriteAt::Offset(1 << 30), b"x").unwrap();
        assert_eq!(ledger.used(), BLOCK);
        write_at(&mut *file, WriteAt::Offset(5), b"y").unwrap();
        assert_eq!(ledger.used(), 2 * BLOCK);
    }

    #[test]
    fn what_others_do_is_counted() {
        let (scratch, root, ledger) = stored();
        let path = scratch.path().join("own/theirs");
        std::fs::write(&path, vec![1; QUOTA as usize]).unwrap();
        // It is not known yet; then it goes again, and that is found when there seems to be no room.
        let (_, counted) = own(scratch.path()).unwrap();
        assert_eq!((ledger.used(), counted.used()), (0, QUOTA));
        std::fs::remove_file(&path).unwrap();
        let (root_again, counted) = own(scratch.path()).unwrap();
        assert_eq!(counted.used(), 0);
        assert_eq!(fill(&mut *create(&root_again, "f")).0, QUOTA);
        assert_eq!(
            fill(&mut *create(&root, "g")).0,
            QUOTA,
            "it looks when it is full"
        );
        assert_eq!(
            fill(&mut *create(&root, "h")),
            (0, Errno::Dquot),
            "and finds what there is"
        );
    }
}
