//! What the files of a folder may take.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, Metadata, MetadataExt};
use capfs::{Errno, FileSystemStat, NAME_MAX};
use rustix::fs::{Mode, OFlags, SeekFrom, StatVfs};

use super::file::Held;
use super::options;
use crate::device::errors::errno;

/// Bytes in a block: contents are counted in these, as in a browser. A directory and a symbolic link count as one.
const BLOCK: u64 = 4096;

/// Names in a folder, as in a browser; over it the guest gets `ENOSPC`.
const NAMES_MAX: u64 = 1 << 18;

/// Between two times that a whole folder is counted: it can take long, and a guest that writes to a full one asks for it each time.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Counts what the files of a folder take, directories, symbolic links and files without a name that are open included. What other
/// programs do in the folder is found when there seems to be no room: then everything is counted anew, once a second at
/// most.
///
/// Whatever looks at the folder and changes what it takes, or opens a file, holds the lock from the look to the count: a parent and its
/// children share one folder, and do so at the same time.
pub struct Ledger {
    limit: u64,
    root: Dir,
    counted: Mutex<Count>,
}

/// Identity of a file: device and inode.
type Id = (u64, u64);

fn id(file: &Metadata) -> Id {
    (file.dev(), file.ino())
}

#[derive(Default)]
struct Count {
    /// Bytes, of what has a name and of what has none.
    used: u64,
    /// Names in all directories.
    names: u64,
    open: HashMap<Id, Open>,
    /// When the folder was last counted because it seemed full.
    looked: Option<Instant>,
}

/// A file that is open.
#[derive(Default)]
struct Open {
    handles: u32,
    /// Bytes that it takes, once it has no name.
    nameless: Option<u64>,
}

impl Count {
    /// Counts the whole folder anew, unless that was done just now. Says whether it was.
    fn look(&mut self, root: &Dir) -> Result<bool, Errno> {
        if self.looked.is_some_and(|at| at.elapsed() < COUNT_EVERY) {
            return Ok(false);
        }
        let (named, names) = measure(root).map_err(errno)?;
        let nameless = self.open.values().filter_map(|open| open.nameless);
        self.used = named + nameless.sum::<u64>();
        self.names = names;
        self.looked = Some(Instant::now());
        Ok(true)
    }

    /// What takes `before` takes `after` from now on.
    fn adjust(&mut self, before: u64, after: u64) {
        self.used = (self.used + after).saturating_sub(before);
    }

    /// Notes that something has lost a name. A file that has lost its last one counts until nobody has it open.
    fn lost(&mut self, taken: &Taken) {
        self.names = self.names.saturating_sub(1);
        if taken.names > 1 {
            return;
        }
        match self.open.get_mut(&taken.id) {
            Some(open) => open.nameless = Some(taken.bytes),
            None => self.adjust(taken.bytes, 0),
        }
    }

    /// Notes that a file was opened. Another program may have taken its name away just before.
    fn opened(&mut self, taken: &Taken) -> Id {
        let open = self.open.entry(taken.id).or_default();
        open.handles += 1;
        if taken.names == 0 {
            open.nameless.get_or_insert(taken.bytes);
        }
        taken.id
    }

    /// Makes sure that there is room for a name, and for so many bytes more.
    fn room(&mut self, root: &Dir, limit: u64, bytes: u64) -> Result<(), Errno> {
        let room = |counted: &Count| match (counted.names, counted.used + bytes) {
            (names, _) if names >= NAMES_MAX => Err(Errno::Nospc),
            (_, used) if bytes > 0 && used > limit => Err(Errno::Dquot),
            _ => Ok(()),
        };
        match room(self) {
            Err(_) if self.look(root)? => room(self),
            result => result,
        }
    }
}

/// What there is room for on the host's file system, and by the limit of a folder.
pub(super) fn file_system_stat(host: &StatVfs, ledger: Option<&Ledger>) -> FileSystemStat {
    // What is for the superuser alone is not free.
    let stat = FileSystemStat {
        block_size: u32::try_from(host.f_frsize).unwrap_or(u32::MAX),
        blocks: host.f_blocks,
        free: host.f_bavail,
        files: host.f_files,
        free_files: host.f_favail,
        name_max: (host.f_namemax as u32).min(NAME_MAX as u32),
    };
    let Some(ledger) = ledger else {
        return stat;
    };
    let counted = ledger.lock();
    let host_free = stat.free.saturating_mul(host.f_frsize) / BLOCK;
    let free = ledger.limit.saturating_sub(counted.used) / BLOCK;
    FileSystemStat {
        block_size: BLOCK as u32,
        blocks: ledger.limit / BLOCK,
        free: free.min(host_free),
        files: NAMES_MAX,
        free_files: NAMES_MAX.saturating_sub(counted.names),
        ..stat
    }
}

impl Ledger {
    /// Counts what is in a folder.
    ///
    /// # Errors
    /// Whatever reading the folder ends with.
    pub(super) fn new(root: Dir, limit: u64) -> io::Result<Ledger> {
        let (used, names) = measure(&root)?;
        let counted = Count {
            used,
            names,
            ..Count::default()
        };
        Ok(Ledger {
            limit,
            root,
            counted: Mutex::new(counted),
        })
    }

    /// Bytes that files take, in blocks of 4 KiB.
    pub fn used(&self) -> u64 {
        self.lock().used
    }

    /// Bytes that files may take.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    fn lock(&self) -> MutexGuard<'_, Count> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a change of one file, and counts what it takes afterwards. `wanted(taken, room)` says for how many
    /// bytes of `room` the change will do, given what the file takes.
    ///
    /// # Errors
    /// - [`Errno::Dquot`]: the change needs more room than there is
    /// - whatever `change` or `look` fails with
    pub(super) fn change<T>(
        &self,
        look: impl Fn() -> Result<Taken, Errno>,
        wanted: impl Fn(&Taken, u64) -> Option<u64>,
        change: impl FnOnce(u64) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut counted = self.lock();
        let before = look()?;
        let mut length = wanted(&before, self.limit.saturating_sub(counted.used));
        if length.is_none() && counted.look(&self.root)? {
            length = wanted(&before, self.limit.saturating_sub(counted.used));
        }
        let result = change(length.ok_or(Errno::Dquot)?);
        // Also where it failed: a part may have been done.
        let after = look()?;
        counted.adjust(before.bytes, after.bytes);
        if let Some(open) = counted.open.get_mut(&after.id)
            && open.nameless.is_some()
        {
            open.nameless = Some(after.bytes);
        }
        result
    }

    /// Makes a name for something that takes so many bytes more.
    ///
    /// # Errors
    /// - [`Errno::Dquot`], [`Errno::Nospc`]: there is no room for it
    /// - whatever `make` fails with
    pub(super) fn make<T>(
        &self,
        bytes: u64,
        make: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut counted = self.lock();
        counted.room(&self.root, self.limit, bytes)?;
        let made = make()?;
        counted.adjust(0, bytes);
        counted.names += 1;
        Ok(made)
    }

    /// As [`make`](Ledger::make), for a directory or a symbolic link.
    ///
    /// # Errors
    /// As [`make`](Ledger::make).
    pub(super) fn make_block<T>(
        &self,
        make: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.make(BLOCK, make)
    }

    /// Takes a name away, or puts something else in its place; `goes` looks at what will lose it, if anything does.
    ///
    /// # Errors
    /// Whatever `change` fails with.
    pub(super) fn take_away(
        &self,
        goes: impl FnOnce() -> Option<Taken>,
        change: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut counted = self.lock();
        let goes = goes();
        change()?;
        if let Some(taken) = goes {
            counted.lost(&taken);
        }
        Ok(())
    }

    /// Opens a file that is there.
    ///
    /// # Errors
    /// Whatever `open`, or looking at the file, fails with.
    pub(super) fn open(
        self: &Arc<Self>,
        open: impl FnOnce() -> Result<File, Errno>,
    ) -> Result<Held, Errno> {
        let mut counted = self.lock();
        let file = open()?;
        self.held(&mut counted, file)
    }

    /// Makes a file that is not there, and opens it.
    ///
    /// # Errors
    /// As [`make`](Ledger::make), and [`open`](Ledger::open).
    pub(super) fn create(
        self: &Arc<Self>,
        create: impl FnOnce() -> Result<File, Errno>,
    ) -> Result<Held, Errno> {
        let mut counted = self.lock();
        counted.room(&self.root, self.limit, 0)?;
        let file = create()?;
        counted.names += 1;
        self.held(&mut counted, file)
    }

    fn held(self: &Arc<Self>, counted: &mut Count, file: File) -> Result<Held, Errno> {
        let id = counted.opened(&Taken::of_open(&file).map_err(errno)?);
        let ledger = self.clone();
        Ok(Held {
            counted: Some(Counted { ledger, id }),
            file,
        })
    }

    /// Notes that a file was closed.
    fn closed(&self, id: Id) {
        let mut counted = self.lock();
        let Some(open) = counted.open.get_mut(&id) else {
            return;
        };
        open.handles -= 1;
        if open.handles > 0 {
            return;
        }
        let nameless = open.nameless.unwrap_or_default();
        counted.open.remove(&id);
        counted.adjust(nameless, 0);
    }
}

/// That a file is open. Dropping it says that it was closed.
pub(super) struct Counted {
    ledger: Arc<Ledger>,
    id: Id,
}

impl std::ops::Deref for Counted {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ledger.closed(self.id);
    }
}

/// What a file takes.
pub(super) struct Taken {
    id: Id,
    /// Bytes, in whole blocks.
    bytes: u64,
    /// Its size.
    size: u64,
    /// It has no holes.
    whole: bool,
    /// How many names it has; 1 for a directory, which has no others.
    names: u64,
}

impl Taken {
    /// What an open file takes.
    ///
    /// # Errors
    /// Whatever looking at it ends with.
    pub(super) fn of_open(file: &File) -> io::Result<Taken> {
        let mut taken = Taken::of(&Metadata::from_file(file)?);
        taken.look_for_holes(file);
        Ok(taken)
    }

    /// What something in a directory takes.
    ///
    /// # Errors
    /// Whatever looking at it ends with.
    pub(super) fn of_name(dir: &Dir, name: impl AsRef<Path>) -> io::Result<Taken> {
        let metadata = dir.symlink_metadata(&name)?;
        Ok(Taken::of_entry(dir, name, &metadata))
    }

    /// As [`of_name`](Taken::of_name), where its metadata are known.
    fn of_entry(dir: &Dir, name: impl AsRef<Path>, metadata: &Metadata) -> Taken {
        let mut taken = Taken::of(metadata);
        if !taken.whole {
            let mut options = options();
            options.read(true);
            // Where it can't be read, what the file system has set aside will do.
            if let Ok(file) = dir.open_with(name, &options) {
                taken.look_for_holes(&file.into_std());
            }
        }
        taken
    }

    fn of(file: &Metadata) -> Taken {
        let id = id(file);
        if !file.is_file() {
            let names = if file.is_dir() { 1 } else { file.nlink() };
            return Taken {
                id,
                bytes: BLOCK,
                size: 0,
                whole: true,
                names,
            };
        }
        let size = file.len().next_multiple_of(BLOCK);
        // A file system may set aside more than a file has, and keep the smallest ones elsewhere.
        let set_aside = file.blocks().saturating_mul(512).next_multiple_of(BLOCK);
        let bytes = size.min(set_aside);
        Taken {
            id,
            bytes,
            size: file.len(),
            whole: bytes == size,
            names: file.nlink(),
        }
    }

    /// Whether it is of this very file.
    pub(super) fn is(&self, file: &Metadata) -> bool {
        self.id == id(file)
    }

    /// A file system that finds places for what was written later (ext4's delayed allocation) says for a moment, while it does,
    /// that a file takes less. A file without holes takes its size whatever it says.
    fn look_for_holes(&mut self, file: &File) {
        if self.whole {
            return;
        }
        // Nobody reads or writes where this leaves the file's own offset.
        if let Ok(hole) = rustix::fs::seek(file, SeekFrom::Hole(0))
            && hole >= self.size
        {
            self.bytes = self.size.next_multiple_of(BLOCK);
            self.whole = true;
        }
    }

    /// How many of `length` bytes at `offset`, or at the end, fit into `room`, if any do.
    pub(super) fn fit(&self, offset: Option<u64>, length: u64, room: u64) -> Option<u64> {
        let offset = offset.unwrap_or(self.size);
        let first = offset / BLOCK;
        let first_new = match self.whole {
            true => first.max(self.size.div_ceil(BLOCK)),
            false => first,
        };
        let end = first_new.saturating_add(room / BLOCK).saturating_mul(BLOCK);
        match end.saturating_sub(offset).min(length) {
            0 if length > 0 => None,
            fits => Some(fits),
        }
    }
}

/// Bytes that everything below a directory takes, and how many names there are. The bytes of a file with several names count once.
///
/// However wide and deep the tree is, a handful of descriptors is open: it is walked down by names and up by `..`.
///
/// # Errors
/// Whatever reading the folder ends with; `EBUSY` where another program has moved a directory meanwhile.
pub(super) fn measure(root: &Dir) -> io::Result<(u64, u64)> {
    let mut sum = Sum::default();
    let mut dir = root.try_clone()?;
    let mut path = vec![sum.add(&dir)?];
    while let Some(level) = path.last_mut() {
        if let Some(name) = level.below.pop() {
            let below = match dir.open_dir_nofollow(name) {
                Ok(below) => below,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            let level = sum.add(&below)?;
            if !level.below.is_empty() {
                path.push(level);
                dir = below;
            }
            continue;
        }
        path.pop();
        if let Some(above) = path.last() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let up = rustix::fs::openat(&dir, "..", flags, Mode::empty())?;
            dir = Dir::from_std_file(File::from(up));
            if id(&dir.dir_metadata()?) != above.id {
                return Err(rustix::io::Errno::BUSY.into());
            }
        }
    }
    Ok((sum.bytes, sum.names))
}

/// Whether a directory that was listed is no more, or is something else by now.
fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno as Os;
    matches!(
        Os::from_io_error(error),
        Some(Os::NOENT | Os::NOTDIR | Os::LOOP)
    )
}

/// A directory of the path that is walked.
struct Level {
    id: Id,
    /// Directories in it that are still to be looked at.
    below: Vec<OsString>,
}

/// What has been counted so far.
#[derive(Default)]
struct Sum {
    bytes: u64,
    names: u64,
    /// Files with several names of which one was met.
    linked: HashSet<Id>,
}

impl Sum {
    /// Counts what is in a directory itself.
    fn add(&mut self, dir: &Dir) -> io::Result<Level> {
        let mut below = Vec::new();
        for entry in dir.entries()? {
            let entry = entry?;
            // Gone since it was listed.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            self.names += 1;
            if metadata.is_dir() {
                below.push(entry.file_name());
            } else if metadata.nlink() > 1 && !self.linked.insert(id(&metadata)) {
                continue;
            }
            self.bytes += Taken::of_entry(dir, entry.file_name(), &metadata).bytes;
        }
        let id = id(&dir.dir_metadata()?);
        Ok(Level { id, below })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use cap_std::ambient_authority;
    use capfs::account::Account;
    use capfs::testkit::{self, READ_WRITE, edit, name, now, write_at};
    use capfs::{OpenHow, WriteAt};

    use super::*;
    use crate::device::dir::HostFolder;
    use crate::reserved::Bars;

    fn dir(path: &Path) -> Dir {
        Dir::open_ambient_dir(path, ambient_authority()).unwrap()
    }

    fn counted(ledger: &Ledger) -> (u64, u64) {
        let counted = ledger.lock();
        assert!(counted.open.is_empty(), "nothing is open");
        (counted.used, counted.names)
    }

    #[test]
    fn what_several_threads_do_at_once_is_counted() {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let scratch = tempfile::tempdir().unwrap();
        let folder = HostFolder::open(scratch.path()).unwrap();
        let (root, ledger) = folder
            .limited(1 << 30, Bars::default(), &Account::unlimited())
            .unwrap();
        let work = |mut state: u64| {
            let mut next = move |below: usize| {
                // Knuth's MMIX.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % below
            };
            let mut open = Vec::new();
            for _ in 0..4_000 {
                let [one, other] = [NAMES[next(3)], NAMES[next(3)]];
                let root_edit = edit(&root).unwrap();
                // What one thread finds, another may have taken away: most of these fail now and then.
                match next(6) {
                    0 => {
                        if let Ok(mut made) = now(root_edit.create(name(one), READ_WRITE)) {
                            let bytes = vec![1; next(20_000)];
                            write_at(&mut *made.file, WriteAt::End, &bytes).unwrap();
                            open.push(made.file);
                        }
                    }
                    1 => {
                        let how = OpenHow {
                            truncate: next(2) == 0,
                            ..READ_WRITE
                        };
                        let file = testkit::walk(&root, one).and_then(|node| now(node.open(how)));
                        if let Ok(mut file) = file {
                            write_at(&mut *file, WriteAt::End, &[1; 5_000]).unwrap();
                            open.push(file);
                        }
                    }
                    2 => {
                        let _ = now(root_edit.unlink(name(one)));
                    }
                    3 => {
                        let _ = now(root_edit.rename(name(one), &root, name(other)));
                    }
                    4 => {
                        let node = testkit::walk(&root, one);
                        let _ = node.and_then(|node| now(root_edit.link(name(other), &node)));
                    }
                    _ => open.truncate(next(4)),
                }
                open.truncate(8);
            }
        };
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // While the file system finds places for them, files seem to take less.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for path in NAMES {
                        let _ =
                            File::open(scratch.path().join(path)).and_then(|file| file.sync_all());
                    }
                }
            });
            let workers: Vec<_> = (0..4).map(|seed| scope.spawn(move || work(seed))).collect();
            // Also where one has failed.
            let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            done.store(true, Ordering::Relaxed);
            assert!(ended.iter().all(Result::is_ok), "none has failed");
        });
        assert_eq!(counted(&ledger), measure(&dir(scratch.path())).unwrap());
        for name_left in NAMES {
            let _ = now(edit(&root).unwrap().unlink(name(name_left)));
        }
        assert_eq!(counted(&ledger), (0, 0));
    }

    #[test]
    fn trees_of_any_width_and_depth_are_counted() {
        const WIDE: u64 = 300;
        const DEEP: u64 = 400;
        let scratch = tempfile::tempdir().unwrap();
        let root = dir(scratch.path());
        for number in 0..WIDE {
            root.create_dir_all(format!("wide/{number}/below")).unwrap();
        }
        root.write("wide/7/f", [1; 5_000]).unwrap();
        root.hard_link("wide/7/f", &root, "g").unwrap();
        // Each by the one above: the whole is longer than a path can be.
        let mut deepest = root.try_clone().unwrap();
        for _ in 0..DEEP {
            deepest.create_dir("one-within-the-other").unwrap();
            deepest = deepest.open_dir("one-within-the-other").unwrap();
        }
        let directories = 1 + 2 * WIDE + DEEP;
        let measured = measure(&root).unwrap();
        assert_eq!(measured, (directories * BLOCK + 2 * BLOCK, directories + 2));
    }
}
