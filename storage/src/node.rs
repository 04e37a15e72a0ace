//! Files of a volume as nodes: walking and changing the tree.

use std::any::Any;
use std::sync::Arc;

use capfs::{
    Directory, EditDirectory, Errno, FileKind, Name, Node, NodeRef, Op, OpenFile, OpenHow, Opened,
    Qid, SetStat, Stat,
};

#[cfg(feature = "durable")]
use crate::checkpoint::StorageCheckpoint;
use crate::inode::{Body, Content, ROOT};
use crate::open::{StorageDirectory, StorageFile};
use crate::state::State;
use crate::volume::{Hold, Shared};
#[cfg(feature = "durable")]
use capfs::{Checkpoint, Durable, FileSystemStat, Handle};
#[cfg(feature = "durable")]
use std::collections::HashSet;

/// A file, a directory or a symbolic link of a volume.
pub(crate) struct StorageNode {
    hold: Hold,
    qid: Qid,
}

impl StorageNode {
    pub fn root(shared: Arc<Shared>) -> Self {
        StorageNode {
            hold: Hold::root(shared),
            qid: Qid::new(ROOT, FileKind::Directory),
        }
    }

    fn counted(shared: Arc<Shared>, qid: Qid) -> Self {
        StorageNode {
            hold: Hold::counted(shared, qid),
            qid,
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.hold.shared
    }

    /// Another node of this volume.
    fn own<'a>(&self, node: &'a NodeRef) -> Result<&'a StorageNode, Errno> {
        let node = node.as_any().downcast_ref::<StorageNode>();
        let node = node.filter(|node| Arc::ptr_eq(node.shared(), self.shared()));
        node.ok_or(Errno::Xdev)
    }
}

impl Node for StorageNode {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        let number = self.qid.path;
        self.hold.run(move |state| state.stat(number))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let number = self.qid.path;
        let shared = self.shared().clone();
        match self.qid.kind {
            FileKind::Directory if how.write || how.truncate => Op::err(Errno::Isdir),
            // Nothing needs to be known of it, and a process begins with its directories open: that must not fail
            // because another has the volume just then.
            FileKind::Directory if number == ROOT => {
                Op::ok(Box::new(StorageDirectory::new(Hold::root(shared))))
            }
            FileKind::Directory => self
                .hold
                .run(move |state| state.hold(number))
                .map(move |qid| {
                    let hold = Hold::counted(shared, qid);
                    Box::new(StorageDirectory::new(hold)) as Box<dyn OpenFile>
                }),
            FileKind::RegularFile => self
                .hold
                .run(move |state| {
                    if how.truncate {
                        state.set_size(number, 0)?;
                    }
                    state.hold(number)
                })
                .map(move |qid| {
                    let hold = Hold::counted(shared, qid);
                    Box::new(StorageFile::new(hold, how)) as Box<dyn OpenFile>
                }),
            _ => Op::err(Errno::Loop),
        }
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        let number = self.qid.path;
        self.hold.run(move |state| state.set_stat(number, change))
    }

    fn directory(&self) -> Option<&dyn Directory> {
        (self.qid.kind == FileKind::Directory).then_some(self as &dyn Directory)
    }

    fn read_link(&self) -> Op<String> {
        let number = self.qid.path;
        self.hold.run(move |state| state.read_link(number))
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<Handle, Errno> {
        self.hold.save()
    }

    #[cfg(feature = "durable")]
    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }

    #[cfg(feature = "durable")]
    fn file_system_stat(&self) -> Op<FileSystemStat> {
        self.hold.run(|state| Ok(state.file_system_stat()))
    }

    #[cfg(feature = "durable")]
    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        let shared = self.shared().clone();
        self.hold
            .run(State::checkpoint)
            .map(move |()| StorageCheckpoint::opened(shared))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Files keep their numbers as long as the volume is kept, and none is given twice.
#[cfg(feature = "durable")]
impl Durable for StorageNode {
    fn resolve(
        &self,
        handles: &[Handle],
        covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        let numbers: Vec<_> = handles.iter().map(Handle::as_number).collect();
        let (base, covered, shared) = (self.qid.path, covered.clone(), self.shared().clone());
        self.hold
            .run(move |state| {
                let found = state.find_below(base, numbers.iter().flatten(), &covered);
                let hold = |number: Result<u64, Errno>| {
                    let number = number?;
                    match found.contains(&number) {
                        true => state.hold(number),
                        false => Err(Errno::Stale),
                    }
                };
                Ok(numbers.into_iter().map(hold).collect::<Vec<_>>())
            })
            .map(move |found| {
                let node = |qid: Result<Qid, Errno>| {
                    qid.map(|qid| Arc::new(StorageNode::counted(shared.clone(), qid)) as NodeRef)
                };
                found.into_iter().map(node).collect()
            })
    }
}

impl StorageNode {
    /// Runs `action` with this directory's number and a name that was checked.
    fn named<T: capfs::MaybeSend + 'static>(
        &self,
        name: Name<'_>,
        action: impl FnOnce(&mut State, u64, Name<'_>) -> Result<T, Errno> + capfs::MaybeSend + 'static,
    ) -> Op<T> {
        let number = self.qid.path;
        let name = name.as_str().to_owned();
        self.hold
            .run(move |state| action(state, number, Name::new(&name)?))
    }
}

impl Directory for StorageNode {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        let shared = self.shared().clone();
        self.named(name, |state, directory, name| {
            let number = state.walk(directory, name)?;
            state.hold(number)
        })
        .map(move |qid| Arc::new(StorageNode::counted(shared, qid)) as NodeRef)
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl EditDirectory for StorageNode {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        let shared = self.shared().clone();
        self.named(name, |state, directory, name| {
            let number = state.create(directory, name, Body::File(Content::default()))?;
            // Once for the node and once for the open file.
            state.hold(number)?;
            state.hold(number)
        })
        .map(move |qid| Opened {
            file: Box::new(StorageFile::new(Hold::counted(shared.clone(), qid), how)),
            node: Arc::new(StorageNode::counted(shared, qid)),
        })
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        let shared = self.shared().clone();
        self.named(name, |state, directory, name| {
            let number = state.make_directory(directory, name)?;
            state.hold(number)
        })
        .map(move |qid| Arc::new(StorageNode::counted(shared, qid)) as NodeRef)
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        let target = target.into();
        self.named(name, |state, directory, name| {
            state
                .create(directory, name, Body::Symlink(target))
                .map(|_| ())
        })
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        let node = match self.own(node) {
            Ok(node) => node,
            Err(errno) => return Op::err(errno),
        };
        let (directory, number) = (self.qid.path, node.qid.path);
        let name = name.as_str().to_owned();
        self.hold.run_with(&node.hold, move |state| {
            state.link(directory, Name::new(&name)?, number)
        })
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        self.named(name, |state, directory, name| state.unlink(directory, name))
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        self.named(name, |state, directory, name| {
            state.remove_directory(directory, name)
        })
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        let to = match self.own(to) {
            Ok(to) => to,
            Err(errno) => return Op::err(errno),
        };
        let (from, target) = (self.qid.path, to.qid.path);
        let (name, to_name) = (name.as_str().to_owned(), to_name.as_str().to_owned());
        self.hold.run_with(&to.hold, move |state| {
            state.rename(from, Name::new(&name)?, target, Name::new(&to_name)?)
        })
    }
}
