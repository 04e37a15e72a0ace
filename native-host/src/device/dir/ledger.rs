//! What the files of a folder may take.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cap_std::fs::{Dir, Metadata, MetadataExt};
use capfs::Errno;

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
pub struct Ledger {
    limit: u64,
    root: Dir,
    counted: Mutex<Count>,
}

/// Identity of a file: device and inode.
type Id = (u64, u64);

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
        let room = |counted: &Count| match (counted.names, counted.used + bytes) {
            (names, _) if names >= NAMES_MAX => Err(Errno::Nospc),
            (_, used) if bytes > 0 && used > self.limit => Err(Errno::Dquot),
            _ => Ok(()),
        };
        if let Err(errno) = room(&counted) {
            match counted.look(&self.root)? {
                true => room(&counted)?,
                false => return Err(errno),
            }
        }
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

    /// Notes that something has lost a name. A file that has lost its last one counts until nobody has it open.
    pub(super) fn lost(&self, file: &Metadata) {
        let mut counted = self.lock();
        counted.names = counted.names.saturating_sub(1);
        let last = file.is_dir() || file.nlink() <= 1;
        if !last {
            return;
        }
        let taken = Taken::of(file);
        match counted.open.get_mut(&taken.id) {
            Some(open) => open.nameless = Some(taken.bytes),
            None => counted.adjust(taken.bytes, 0),
        }
    }

    /// Notes that a file was opened.
    pub(super) fn opened(self: Arc<Self>, file: &Metadata) -> Counted {
        let id = Taken::of(file).id;
        self.lock().open.entry(id).or_default().handles += 1;
        Counted { ledger: self, id }
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
}

impl Taken {
    pub(super) fn of(file: &Metadata) -> Taken {
        let id = (file.dev(), file.ino());
        if !file.is_file() {
            return Taken {
                id,
                bytes: BLOCK,
                size: 0,
                whole: true,
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
fn measure(root: &Dir) -> io::Result<(u64, u64)> {
    let (mut total, mut names) = (0, 0);
    let mut pending = vec![root.try_clone()?];
    let mut linked = std::collections::HashSet::new();
    while let Some(dir) = pending.pop() {
        for entry in dir.entries()? {
            let entry = entry?;
            // Gone since it was listed.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            names += 1;
            if metadata.is_dir() {
                use cap_fs_ext::DirExt;
                pending.push(dir.open_dir_nofollow(entry.file_name())?);
            } else if metadata.nlink() > 1 && !linked.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            total += Taken::of(&metadata).bytes;
        }
    }
    Ok((total, names))
}
