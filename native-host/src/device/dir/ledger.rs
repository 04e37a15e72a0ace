//! What the files of a folder may take.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cap_std::fs::{Dir, Metadata, MetadataExt};
use capfs::Errno;

use crate::device::errors::errno;

/// Bytes in a block: contents are counted in these, as in a browser.
const BLOCK: u64 = 4096;

/// Counts what the contents of a folder's files take. What other programs do in the folder is found when there
/// seems to be no room: then everything is counted anew.
pub struct Ledger {
    limit: u64,
    root: Dir,
    used: Mutex<u64>,
}

impl Ledger {
    /// Counts what is in a folder.
    ///
    /// # Errors
    /// Whatever reading the folder ends with.
    pub(super) fn new(root: Dir, limit: u64) -> io::Result<Ledger> {
        let used = Mutex::new(measure(&root)?);
        Ok(Ledger { limit, root, used })
    }

    /// Bytes that files take, in blocks of 4 KiB.
    pub fn used(&self) -> u64 {
        *self.lock()
    }

    /// Bytes that files may take.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut used = self.lock();
        let before = look()?;
        let mut length = wanted(&before, self.limit.saturating_sub(*used));
        if length.is_none() {
            *used = measure(&self.root).map_err(errno)?;
            length = wanted(&before, self.limit.saturating_sub(*used));
        }
        let result = change(length.ok_or(Errno::Dquot)?);
        // Also where it failed: a part may have been done.
        let after = look()?;
        if after.named {
            *used = (*used + after.bytes).saturating_sub(before.bytes);
        }
        result
    }

    /// Notes that a file has lost a name.
    pub(super) fn lost(&self, file: &Metadata) {
        if file.is_file() && file.nlink() == 1 {
            let mut used = self.lock();
            *used = used.saturating_sub(Taken::of(file).bytes);
        }
    }
}

/// What a file takes.
pub(super) struct Taken {
    /// Bytes, in whole blocks.
    bytes: u64,
    /// Its size.
    size: u64,
    /// It has no holes.
    whole: bool,
    /// It has a name: what has none is not counted.
    named: bool,
}

impl Taken {
    pub(super) fn of(file: &Metadata) -> Taken {
        let size = file.len().next_multiple_of(BLOCK);
        // A file system may set aside more than a file has, and keep the smallest ones elsewhere.
        let set_aside = file.blocks().saturating_mul(512).next_multiple_of(BLOCK);
        let bytes = size.min(set_aside);
        Taken {
            bytes,
            size: file.len(),
            whole: bytes == size,
            named: file.nlink() > 0,
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

/// Bytes that the files below a directory take. A file with several names counts once for each that is found.
fn measure(root: &Dir) -> io::Result<u64> {
    let mut total: u64 = 0;
    let mut pending = vec![root.try_clone()?];
    let mut linked = std::collections::HashSet::new();
    while let Some(dir) = pending.pop() {
        for entry in dir.entries()? {
            let entry = entry?;
            // Gone since it was listed.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                use cap_fs_ext::DirExt;
                pending.push(dir.open_dir_nofollow(entry.file_name())?);
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || linked.insert((metadata.dev(), metadata.ino())))
            {
                total += Taken::of(&metadata).bytes;
            }
        }
    }
    Ok(total)
}
