//! Walking and changing the tree.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::MEMORY_DEPTH_MAX;
#[cfg(feature = "durable")]
use super::checkpoint::MemoryCheckpoint;
use super::content::Content;
use super::inode::{Body, Inode};
use super::names::Names;
use super::open::{MemoryDirectory, MemoryFile};
use crate::device::lock::lock;
#[cfg(feature = "durable")]
use crate::{Checkpoint, FileSystemStat};
use crate::{
    Directory, DirectoryFile, Durable, EditDirectory, Errno, FileKind, Handle, Name, Node, NodeRef,
    Op, OpenFile, OpenHow, Opened, Qid, SYMLINK_TARGET_MAX, SetStat, Stat,
};

impl Node for Inode {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(Inode::stat(self))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        match self.qid.kind {
            FileKind::Directory if how.write || how.truncate => Op::err(Errno::Isdir),
            FileKind::Directory => {
                Op::ok(Box::new(DirectoryFile(MemoryDirectory::new(self.share()))))
            }
            FileKind::RegularFile => {
                if how.truncate {
                    let change = SetStat {
                        size: Some(0),
                        ..SetStat::default()
                    };
                    if let Err(errno) = Inode::set_stat(self, change) {
                        return Op::err(errno);
                    }
                }
                Op::ok(Box::new(MemoryFile::new(self.share(), how)))
            }
            _ => Op::err(Errno::Loop),
        }
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        Inode::set_stat(self, change).into()
    }

    fn directory(&self) -> Option<&dyn Directory> {
        self.is_directory().then_some(self as &dyn Directory)
    }

    fn read_link(&self) -> Op<String> {
        match &self.state().body {
            Body::Symlink(target) => Op::ok(target.to_string()),
            _ => Op::err(Errno::Inval),
        }
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<Handle, Errno> {
        match self.state().nlink {
            // Nothing leads to it but who has it open.
            0 => Err(Errno::Nodev),
            _ => Ok(Handle::number(self.qid.path)),
        }
    }

    #[cfg(feature = "durable")]
    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }

    #[cfg(feature = "durable")]
    fn file_system_stat(&self) -> Op<FileSystemStat> {
        Op::ok(self.volume.quota.stat())
    }

    #[cfg(feature = "durable")]
    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        MemoryCheckpoint::open(&self.volume).into()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Files keep their numbers in an image of the file system.
impl Durable for Inode {
    fn resolve(
        &self,
        handles: &[Handle],
        covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        Op::ok(self.find(handles, covered))
    }
}

impl Directory for Inode {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        match self.child(name) {
            Ok(inode) => Op::ok(inode),
            Err(errno) => Op::err(errno),
        }
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl EditDirectory for Inode {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        self.add(name, || {
            Inode::new(&self.volume, Body::File(Content::default()))
        })
        .map(|inode| Opened {
            file: Box::new(MemoryFile::new(inode.clone(), how)),
            node: inode,
        })
        .into()
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        self.add(name, || {
            Inode::new(&self.volume, Body::Directory(Names::new(self.this.clone())))
        })
        .map(|inode| inode as NodeRef)
        .into()
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        if target.len() > SYMLINK_TARGET_MAX {
            return Op::err(Errno::Nametoolong);
        }
        self.add(name, || {
            Inode::new(&self.volume, Body::Symlink(target.into()))
        })
        .map(|_| ())
        .into()
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        let link = || {
            let inode = self.own(node)?;
            if inode.is_directory() {
                return Err(Errno::Perm);
            }
            self.add(name, || {
                let mut state = inode.state();
                inode.keep(&mut state)?;
                // Its last name is gone: there is nothing left to give a name to (link(2)).
                if state.nlink == 0 {
                    return Err(Errno::Noent);
                }
                state.nlink += 1;
                state.touch_status(&self.volume);
                drop(state);
                Ok(inode)
            })
            .map(|_| ())
        };
        link().into()
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        let unlink = || {
            let _tree = lock(&self.volume.tree);
            let inode = self.child(name)?;
            if inode.is_directory() {
                return Err(Errno::Isdir);
            }
            inode.keep_unlocked()?;
            self.remove(name)?;
            inode.lose_name();
            Ok(())
        };
        unlink().into()
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        let remove = || {
            let _tree = lock(&self.volume.tree);
            let inode = self.child(name)?;
            if !inode.is_directory() {
                return Err(Errno::Notdir);
            }
            if !inode.state().names()?.is_empty() {
                return Err(Errno::Notempty);
            }
            inode.keep_unlocked()?;
            self.remove(name)?;
            inode.lose_name();
            Ok(())
        };
        remove().into()
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        let rename = || {
            let to = self.own(to)?;
            let _tree = lock(&self.volume.tree);
            self.rename_locked(name, &to, to_name)
        };
        rename().into()
    }
}

impl Inode {
    /// The inode behind a node of this file system.
    fn own(&self, node: &NodeRef) -> Result<Arc<Inode>, Errno> {
        let inode = node.as_any().downcast_ref::<Inode>().ok_or(Errno::Xdev)?;
        if !Arc::ptr_eq(&inode.volume, &self.volume) {
            return Err(Errno::Xdev);
        }
        Ok(inode.share())
    }

    /// Looks for files at and below this one by their numbers, until all are found, but not at nor below those that are `covered`.
    fn find(&self, handles: &[Handle], covered: &HashSet<u64>) -> Vec<Result<NodeRef, Errno>> {
        let numbers = handles.iter().map(Handle::as_number);
        let mut wanted: HashSet<u64> = numbers.flatten().collect();
        let mut found: HashMap<u64, Arc<Inode>> = HashMap::new();
        let _tree = lock(&self.volume.tree);
        let mut pending = vec![self.share()];
        while let Some(inode) = pending.pop() {
            if wanted.is_empty() {
                break;
            }
            if let Body::Directory(names) = &inode.state().body {
                let here = names
                    .inodes()
                    .filter(|inode| inode.is_directory() || wanted.contains(&inode.qid.path))
                    .filter(|inode| !covered.contains(&inode.qid.path));
                pending.extend(here.cloned());
            }
            if wanted.remove(&inode.qid.path) {
                found.insert(inode.qid.path, inode);
            }
        }
        let found = |handle: &Handle| {
            let inode = found.get(&handle.as_number()?).ok_or(Errno::Stale)?;
            Ok(inode.clone() as NodeRef)
        };
        handles.iter().map(found).collect()
    }

    fn child(&self, name: Name<'_>) -> Result<Arc<Inode>, Errno> {
        let mut state = self.state();
        let found = state.names()?.get(name.as_str());
        found.cloned().ok_or(Errno::Noent)
    }

    /// Gives a new name to what `make` makes; it is only asked once everything else is right.
    fn add(
        &self,
        name: Name<'_>,
        make: impl FnOnce() -> Result<Arc<Inode>, Errno>,
    ) -> Result<Arc<Inode>, Errno> {
        let _tree = lock(&self.volume.tree);
        {
            let mut state = self.state();
            let names = state.names()?;
            if names.removed {
                return Err(Errno::Noent);
            }
            if names.get(name.as_str()).is_some() {
                return Err(Errno::Exist);
            }
            self.keep_name(&mut state, name)?;
        }
        self.volume.quota.charge_name(name.as_str())?;
        let inode = match make() {
            Ok(inode) => inode,
            Err(errno) => {
                self.volume.quota.release_name(name.as_str());
                return Err(errno);
            }
        };
        let mut state = self.state();
        if inode.is_directory() {
            state.nlink += 1;
        }
        state.names()?.put(name.as_str(), inode.clone());
        state.touch_now(&self.volume);
        Ok(inode)
    }

    /// Takes a name away. The tree is locked.
    fn remove(&self, name: Name<'_>) -> Result<(), Errno> {
        let mut state = self.state();
        self.keep_name(&mut state, name)?;
        let inode = state.names()?.remove(name.as_str()).ok_or(Errno::Noent)?;
        if inode.is_directory() {
            state.nlink -= 1;
        }
        state.touch_now(&self.volume);
        self.volume.quota.release_name(name.as_str());
        Ok(())
    }

    /// Notes that a name of this inode is gone. The tree is locked.
    fn lose_name(&self) {
        let mut state = self.state();
        match &mut state.body {
            Body::Directory(names) => {
                names.removed = true;
                state.nlink = 0;
            }
            _ => state.nlink -= 1,
        }
        state.touch_status(&self.volume);
    }

    fn rename_locked(&self, name: Name<'_>, to: &Inode, to_name: Name<'_>) -> Result<(), Errno> {
        let inode = self.child(name)?;
        let victim = {
            let mut state = to.state();
            let names = state.names()?;
            if names.removed {
                return Err(Errno::Noent);
            }
            names.get(to_name.as_str()).cloned()
        };
        let leaves = !std::ptr::eq(self, to);
        if leaves && inode.is_directory() && to.is_within(&inode)? {
            return Err(Errno::Inval);
        }
        if let Some(victim) = &victim {
            if Arc::ptr_eq(victim, &inode) {
                return Ok(());
            }
            match (inode.is_directory(), victim.is_directory()) {
                (true, false) => return Err(Errno::Notdir),
                (false, true) => return Err(Errno::Isdir),
                (true, true) if !victim.state().names()?.is_empty() => {
                    return Err(Errno::Notempty);
                }
                _ => {}
            }
        }

        for inode in victim.iter().chain([&inode]) {
            inode.keep_unlocked()?;
        }
        self.keep_name_unlocked(name)?;
        to.keep_name_unlocked(to_name)?;
        if victim.is_none() {
            let quota = &self.volume.quota;
            quota.charge_longer(name.as_str(), to_name.as_str())?;
        }
        let moved = u64::from(inode.is_directory());
        let replaced = u64::from(victim.as_ref().is_some_and(|victim| victim.is_directory()));
        if std::ptr::eq(self, to) {
            let mut state = self.state();
            state.names()?.rename(name.as_str(), to_name.as_str());
            state.nlink -= replaced;
            state.touch_now(&self.volume);
        } else {
            // For a moment both names are there, which rename(2) allows; none would be wrong.
            let mut state = to.state();
            state.names()?.put(to_name.as_str(), inode.clone());
            state.nlink = state.nlink + moved - replaced;
            state.touch_now(&self.volume);
            drop(state);
            let mut state = self.state();
            state.names()?.remove(name.as_str());
            state.nlink -= moved;
            state.touch_now(&self.volume);
        }
        if let Some(victim) = victim {
            victim.lose_name();
            self.volume.quota.release_name(name.as_str());
        }
        let mut state = inode.state();
        if let Body::Directory(names) = &mut state.body {
            names.parent = to.this.clone();
        }
        state.touch_status(&self.volume);
        Ok(())
    }

    /// Whether this directory is `above` or below it. The tree is locked.
    ///
    /// # Errors
    /// - [`Errno::Nametoolong`]: it lies deeper than [`MEMORY_DEPTH_MAX`]
    fn is_within(&self, above: &Inode) -> Result<bool, Errno> {
        let (mut at, mut depth) = (Some(self.share()), 0);
        while let Some(inode) = at {
            if std::ptr::eq(&*inode, above) {
                return Ok(true);
            }
            if depth > MEMORY_DEPTH_MAX {
                return Err(Errno::Nametoolong);
            }
            depth += 1;
            at = match &inode.state().body {
                Body::Directory(names) => names.parent.upgrade(),
                _ => None,
            };
        }
        Ok(false)
    }
}
