//! What of this machine's no agent may reach through a folder that it was granted: compiled code, state, the audit, its own
//! manifest, files with secrets; where agents share a host, that of all of them.
//!
//! Whoever writes compiled code runs it as this user, whoever writes a manifest grants, and who reads a state folder has the keys in
//! it. So such a folder is refused, and told by what it is, not by its name: by device and inode of each directory that leads
//! there, through links and all that is `..`. What a bind mount or a second name of a file hides from that is found when it is walked
//! to: a directory or file that is reserved is `EACCES` wherever it appears ([`Bars`]).

mod own;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, fstatfs, openat};

pub use own::OwnPaths;

/// Links on the way to one thing that are followed, as Linux does.
const LINKS_MAX: usize = 40;

/// A file or directory of this machine, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The one with this number on this device.
    pub fn new(device: u64, inode: u64) -> FileId {
        FileId { device, inode }
    }
}

impl From<Stat> for FileId {
    fn from(stat: Stat) -> FileId {
        FileId::new(stat.st_dev, stat.st_ino)
    }
}

/// From what something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Danger {
    /// Being changed: nothing in it is secret.
    Written,
    /// Being read, too.
    Read,
}

/// Something that is reserved.
#[derive(Debug)]
struct Thing {
    what: &'static str,
    hint: &'static str,
    path: PathBuf,
    danger: Danger,
    /// Whether folders of the agent's own are in it.
    has_own: bool,
    /// Where it is; found when somebody is granted a folder, which is not each time.
    place: OnceLock<Place>,
}

/// Where something is.
#[derive(Debug)]
struct Place {
    /// Itself, if it is there.
    own: Option<FileId>,
    /// Every directory that leads to it, from the root on.
    within: BTreeSet<FileId>,
}

/// What is reserved in a run.
#[derive(Clone, Debug, Default)]
pub struct Reserved(Vec<Arc<Thing>>);

/// Where a granted folder is: itself first, then every directory that it is in.
#[derive(Debug)]
pub(crate) struct Granted {
    above: Vec<FileId>,
    writable: bool,
}

impl Granted {
    /// The folder of this path; `None` where there is none.
    pub(crate) fn at(path: &Path, writable: bool) -> Option<Granted> {
        let above = above(directory(CWD, path).ok()?);
        (!above.is_empty()).then_some(Granted { above, writable })
    }
}

/// Why a folder can't be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The reason.
    pub why: String,
    /// What may help.
    pub hint: &'static str,
}

/// What is `EACCES` in a folder, wherever it appears.
#[derive(Clone, Debug, Default)]
pub struct Bars(
    /// In order: it is looked at for each file, and there may be many agents.
    Arc<[FileId]>,
);

impl Bars {
    /// Whether something is one of them.
    pub fn has(&self, id: FileId) -> bool {
        self.0.binary_search(&id).is_ok()
    }
}

impl Reserved {
    /// Reserves a file or folder, which need not be there yet; `what` it is, with its article, and what a user can do
    /// who is told of it.
    pub fn add(&mut self, what: &'static str, path: &Path, danger: Danger, hint: &'static str) {
        self.put(what, path, danger, hint, false);
    }

    /// Reserves a folder that folders of the agent's own are in: those alone are not, see [`Reserved::check_own`].
    pub fn add_around_own(
        &mut self,
        what: &'static str,
        path: &Path,
        danger: Danger,
        hint: &'static str,
    ) {
        self.put(what, path, danger, hint, true);
    }

    fn put(
        &mut self,
        what: &'static str,
        path: &Path,
        danger: Danger,
        hint: &'static str,
        has_own: bool,
    ) {
        self.0.push(Arc::new(Thing {
            what,
            hint,
            path: path.to_owned(),
            danger,
            has_own,
            place: OnceLock::new(),
        }));
    }

    /// Reserves what others reserve, too.
    pub(crate) fn add_all(&mut self, others: &Reserved) {
        self.0.extend(others.0.iter().cloned());
    }

    /// The same for other agents, which have nothing of their own in it.
    pub(crate) fn for_others(&self) -> Reserved {
        let mut others = Reserved::default();
        for thing in &self.0 {
            others.put(thing.what, &thing.path, thing.danger, thing.hint, false);
        }
        others
    }

    /// What of it a folder overlaps with that was granted before, to whom may not have it.
    pub(crate) fn within_reach(&self, granted: &Granted) -> Option<String> {
        let [own, ..] = &granted.above[..] else {
            return None;
        };
        let reached = self.0.iter().find(|thing| {
            let place = thing.place.get_or_init(|| find(&thing.path));
            let there = place.within.contains(own)
                || place.own.is_some_and(|id| granted.above.contains(&id));
            there && (granted.writable || thing.danger == Danger::Read)
        });
        reached.map(|thing| format!("{}, `{}`", thing.what, thing.path.display()))
    }

    /// Whether a folder can be granted, and what is barred in it.
    ///
    /// # Errors
    /// What it overlaps with.
    pub fn check(&self, folder: impl AsFd, writable: bool) -> Result<Bars, Conflict> {
        self.compare(folder, writable, false)
    }

    /// The same of a folder that is the agent's own, in the state folder: it writes all that is in it.
    ///
    /// # Errors
    /// What it overlaps with.
    pub fn check_own(&self, folder: impl AsFd) -> Result<Bars, Conflict> {
        self.compare(folder, true, true)
    }

    fn compare(&self, folder: impl AsFd, writable: bool, its_own: bool) -> Result<Bars, Conflict> {
        let above = above(folder);
        let Some(own) = above.first() else {
            return Err(Conflict {
                why: "it can't be told from what no agent may have".to_owned(),
                hint: "its permissions, and those of the folders that it is in, must let it be searched",
            });
        };
        let mut bars = Vec::new();
        for thing in &self.0 {
            if thing.danger == Danger::Written && !writable {
                continue;
            }
            let place = thing.place.get_or_init(|| find(&thing.path));
            let how = match place.own {
                Some(id) if id == *own => "it is",
                Some(id) if its_own && thing.has_own && above.contains(&id) => {
                    bars.push(id);
                    continue;
                }
                Some(id) if above.contains(&id) => "it is in",
                _ if place.within.contains(own) => "it contains",
                _ => {
                    bars.extend(place.own);
                    continue;
                }
            };
            let (what, path) = (thing.what, thing.path.display());
            return Err(Conflict {
                why: format!("{how} {what}, `{path}`"),
                hint: thing.hint,
            });
        }
        bars.sort_unstable();
        bars.dedup();
        Ok(Bars(bars.into()))
    }
}

/// A directory and those that it is in, up to the root, as far as they can be searched.
fn above(folder: impl AsFd) -> Vec<FileId> {
    let mut found = Vec::new();
    let Ok(mut id) = fstat(&folder).map(FileId::from) else {
        return found;
    };
    let mut next = directory(folder, "..".as_ref());
    loop {
        found.push(id);
        let Ok(folder) = next else {
            return found;
        };
        let Ok(parent) = fstat(&folder).map(FileId::from) else {
            return found;
        };
        // The root is its own parent.
        if parent == id {
            return found;
        }
        id = parent;
        next = directory(folder, "..".as_ref());
    }
}

fn directory(at: impl AsFd, path: &Path) -> rustix::io::Result<rustix::fd::OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

fn find(path: &Path) -> Place {
    let own = fs::metadata(path).ok();
    let mut within = BTreeSet::new();
    lead(path, &mut LINKS_MAX.clone(), &mut within);
    Place {
        own: own.map(|own| FileId::new(own.dev(), own.ino())),
        within,
    }
}

/// Collects the directories in which some name of a path is looked up, links included.
fn lead(path: &Path, links: &mut usize, within: &mut BTreeSet<FileId>) {
    let mut deepest = true;
    for part in path.ancestors() {
        let parent = match part.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => continue,
        };
        let target = fs::read_link(part).ok();
        // A directory that is no link is in the one before it, so the last says it all; but it may not be there yet.
        if (target.is_some() || deepest)
            && let Ok(folder) = directory(CWD, parent)
        {
            within.extend(above(folder));
            deepest = false;
        }
        if let (Some(target), Some(left)) = (target, links.checked_sub(1)) {
            *links = left;
            lead(&parent.join(target), links, within);
        }
    }
}

/// Whether something is a part of procfs: there a file can be the memory of a process, this one's and its code included.
///
/// # Errors
/// What the system answers.
pub fn is_procfs(file: impl AsFd) -> io::Result<bool> {
    /// `PROC_SUPER_MAGIC` of statfs(2).
    const PROCFS: u64 = 0x9fa0;
    Ok(fstatfs(file)?.f_type as u64 == PROCFS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn checked(reserved: &Reserved, folder: &Path, writable: bool) -> Option<String> {
        let folder = fs::File::open(folder).unwrap();
        let conflict = reserved.check(folder, writable).err()?;
        Some(conflict.why)
    }

    fn reserving(path: &Path, danger: Danger) -> Reserved {
        let mut reserved = Reserved::default();
        reserved.add("the state folder", path, danger, "elsewhere");
        reserved
    }

    #[test]
    fn overlap_is_told_in_both_directions_and_through_links() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        for folder in ["work/state/keys", "work/more", "beside", "links"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink(root.join("work"), root.join("links/one")).unwrap();
        symlink("../links/one/state", root.join("links/two")).unwrap();
        for path in [
            "work/state",
            "work/../work/more/../state",
            "links/one/state",
            "links/two",
        ] {
            let reserved = reserving(&root.join(path), Danger::Read);
            for (folder, how) in [
                ("work", "it contains"),
                ("work/state", "it is the"),
                ("work/state/keys", "it is in"),
                ("links/two/keys", "it is in"),
                (".", "it contains"),
            ] {
                let why = checked(&reserved, &root.join(folder), false).unwrap_or_default();
                assert!(why.starts_with(how), "{path} {folder}: {why}");
            }
            for folder in ["beside", "work/more"] {
                assert_eq!(checked(&reserved, &root.join(folder), true), None);
            }
        }
        // Who can change a link on the way can lead elsewhere.
        let reserved = reserving(&root.join("links/two"), Danger::Written);
        assert!(checked(&reserved, &root.join("links"), true).is_some());
        assert_eq!(checked(&reserved, &root.join("links"), false), None);
    }

    #[test]
    fn what_is_not_there_yet_is_reserved_too() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        symlink("nowhere/x", root.join("a/dangling")).unwrap();
        for path in ["a/b/c/d", "a/dangling", "a/dangling/c"] {
            let reserved = reserving(&root.join(path), Danger::Written);
            assert!(
                checked(&reserved, &root.join("a"), true).is_some(),
                "{path}"
            );
        }
        let reserved = reserving(&root.join("a/b/c/d"), Danger::Written);
        assert!(checked(&reserved, &root.join("a/b"), true).is_some());
        fs::create_dir(root.join("beside")).unwrap();
        assert_eq!(checked(&reserved, &root.join("beside"), true), None);
    }

    #[test]
    fn links_without_an_end_are_not_followed_for_ever() {
        let scratch = tempfile::tempdir().unwrap();
        symlink("loop/loop", scratch.path().join("loop")).unwrap();
        let reserved = reserving(&scratch.path().join("loop"), Danger::Read);
        assert!(checked(&reserved, scratch.path(), false).is_some());
    }
}
