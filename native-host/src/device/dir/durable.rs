//! By what a file of a folder is found again.
//!
//! A handle is the path of a file below its folder, and which file it is: its number, when it was made, and whether it is on the folder's own file
//! system. The path is asked of the system when it is needed (`/proc/self/fd`), so it is that of after a rename, and walking costs
//! nothing for it. A file that has another path once it is to be found isn't looked for, and one that was put in its place isn't taken for it.
//!
//! ```text
//! number that the agent knows it by: u64  inode: u64  made, in nanoseconds: u64  same file system: u8  path
//! ```

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_fs_ext::DirExt;
use cap_std::fs::{Dir, Metadata, MetadataExt};
use capfs::{Durable, Errno, Handle, NodeRef, Op};

use super::numbers::Seen;
use super::{Folder, Leaf, Numbers, Tree, errno};
use crate::reserved::FileId;

/// Bytes in front of the path.
const HEAD: usize = 25;

/// Names that are looked at for another one of a file, at most: some milliseconds, for each file that a guest has open and has taken the name of.
const SEARCH_MAX: usize = 1 << 10;

/// Which file something is, as long as its file system is kept.
#[derive(PartialEq, Eq)]
struct Which {
    inode: u64,
    /// Nanoseconds since 1970; 0 where the file system doesn't say. A number is given again as soon as a file is gone.
    made: u64,
    /// It is on the file system of the folder. Numbers of these are others after a reboot.
    own: bool,
}

impl Which {
    fn of(metadata: &Metadata, folder: u64) -> Which {
        let made = metadata.created().ok().and_then(|made| {
            let since = made.into_std().duration_since(std::time::UNIX_EPOCH);
            u64::try_from(since.ok()?.as_nanos()).ok()
        });
        Which {
            inode: metadata.ino(),
            made: made.unwrap_or(0),
            own: metadata.dev() == folder,
        }
    }
}

/// The handle of what is open, or of a name in it.
///
/// # Errors
/// - [`Errno::Nodev`]: it has no name any more, or none below the folder, or one that is too long or no text; or the system doesn't say which
pub(super) fn handle(
    tree: &Arc<Tree>,
    number: u64,
    open: &impl AsFd,
    name: Option<(&str, FileId)>,
) -> Result<Handle, Errno> {
    let root = path_of(tree.root.as_fd())?;
    let mut path = path_of(open.as_fd())?;
    path.extend(name.map(|(name, _)| name));
    let top = tree.root.dir_metadata().map_err(errno)?;
    // By the path, as it will be found again: the system may say where a file was that is gone.
    let look = |path: &Path| match path.as_os_str().is_empty() {
        true => Some(top.clone()),
        false => tree.root.symlink_metadata(path).ok(),
    };
    let below = path.strip_prefix(&root).ok();
    let below = below.and_then(|path| Some((path.to_owned(), look(path)?)));
    let (id, names) = match name {
        Some((_, id)) => (id, 0),
        None => {
            let status = rustix::fs::fstat(open.as_fd()).map_err(|_| Errno::Nodev)?;
            (FileId::from(status), status.st_nlink)
        }
    };
    let is_it = |found: &Metadata| FileId::new(found.dev(), found.ino()) == id;
    let (below, found) = below
        .filter(|(_, found)| is_it(found))
        .or_else(|| {
            let path = (names > 0).then(|| other_name(&tree.root, &is_it))??;
            let found = look(&path).filter(is_it)?;
            Some((path, found))
        })
        .ok_or(Errno::Nodev)?;
    let below = below.to_str().ok_or(Errno::Nodev)?;
    let which = Which::of(&found, top.dev());
    let mut bytes = Vec::with_capacity(HEAD + below.len());
    for part in [number, which.inode, which.made] {
        bytes.extend(part.to_le_bytes());
    }
    bytes.push(u8::from(which.own));
    bytes.extend(below.as_bytes());
    Handle::new(bytes).map_err(|_| Errno::Nodev)
}

/// A name of a file in a folder whose own, by which it was opened, is gone. It is looked for among the first [`SEARCH_MAX`] names.
fn other_name(root: &Dir, is_it: &impl Fn(&Metadata) -> bool) -> Option<PathBuf> {
    let mut pending = vec![PathBuf::new()];
    let mut left = SEARCH_MAX;
    while let Some(path) = pending.pop() {
        let opened = match path.as_os_str().is_empty() {
            true => root.try_clone(),
            false => root.open_dir_nofollow(&path),
        };
        let Ok(entries) = opened.and_then(|dir| dir.entries()) else {
            continue;
        };
        for entry in entries.filter_map(Result::ok) {
            left = left.checked_sub(1)?;
            let path = path.join(entry.file_name());
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(path),
                Ok(metadata) if is_it(&metadata) => return Some(path),
                _ => {}
            }
        }
    }
    None
}

fn path_of(open: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
    let link = format!("/proc/self/fd/{}", open.as_raw_fd());
    std::fs::read_link(link).map_err(|_| Errno::Nodev)
}

impl Durable for Folder {
    fn resolve(
        &self,
        handles: &[Handle],
        covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        let find = |handle: &Handle| self.find_again(handle.bytes(), covered);
        Op::ok(handles.iter().map(find).collect())
    }
}

impl Folder {
    fn find_again(&self, handle: &[u8], covered: &HashSet<u64>) -> Result<NodeRef, Errno> {
        let (head, path) = handle.split_at_checked(HEAD).ok_or(Errno::Stale)?;
        let part = |at: usize| {
            let bytes = head[at..at + 8].try_into();
            bytes.map_or(0, u64::from_le_bytes)
        };
        let which = Which {
            inode: part(8),
            made: part(16),
            own: head[24] == 1,
        };
        let path = std::str::from_utf8(path).map_err(|_| Errno::Stale)?;
        let found = self.walk_again(path, covered, |metadata, folder| {
            match Which::of(metadata, folder) == which {
                true => self.tree.numbers.again(Seen::new(metadata), part(0)),
                false => Err(Errno::Stale),
            }
        });
        found.map_err(|error| match error {
            Errno::Nomem => error,
            _ => Errno::Stale,
        })
    }

    /// Walks from the top of the folder to what is to be found, by way of this node; `check` says whether it is, and numbers it.
    fn walk_again(
        &self,
        path: &str,
        covered: &HashSet<u64>,
        check: impl Fn(&Metadata, u64) -> Result<(), Errno>,
    ) -> Result<NodeRef, Errno> {
        let own = self.id()?;
        let top = Folder::top(self.tree.clone()).map_err(errno)?;
        let folder = top.device;
        let mut passed = top.id()? == own;
        let mut at: NodeRef = Arc::new(top);
        let mut components = Path::new(path).components().peekable();
        while let Some(component) = components.next() {
            let Component::Normal(name) = component else {
                return Err(Errno::Stale);
            };
            let name = name.to_str().ok_or(Errno::Stale)?;
            let below = Folder::of(&at)?;
            if components.peek().is_none() {
                // So that it is numbered as it was before it is found.
                let metadata = below.dir.symlink_metadata(name).map_err(errno)?;
                check(&metadata, folder)?;
            }
            let next = below.find(name, Numbers::of)?;
            if passed && covered.contains(&next.qid().path) {
                return Err(Errno::Stale);
            }
            if let Ok(next) = Folder::of(&next) {
                passed |= next.id()? == own;
            }
            at = next;
        }
        // What was walked to may be another than what was looked at.
        let metadata = match (Folder::of(&at), at.as_any().downcast_ref::<Leaf>()) {
            (Ok(found), _) => found.dir.dir_metadata(),
            (_, Some(leaf)) => leaf.parent.symlink_metadata(&leaf.name),
            _ => return Err(Errno::Stale),
        };
        let metadata = metadata.map_err(errno)?;
        check(&metadata, folder)?;
        match passed {
            true => Ok(at),
            false => Err(Errno::Stale),
        }
    }

    fn id(&self) -> Result<FileId, Errno> {
        let metadata = self.dir.dir_metadata().map_err(errno)?;
        Ok(FileId::new(metadata.dev(), metadata.ino()))
    }
}
