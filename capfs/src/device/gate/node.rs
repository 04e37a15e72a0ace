//! Nodes behind a gate.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use super::file::GatedFile;
use super::{OperationKind, Path, Shared};
#[cfg(feature = "durable")]
use crate::{Checkpoint, FileSystemStat};
use crate::{
    Directory, Durable, EditDirectory, Errno, Handle, Name, Node, NodeRef, Op, OpenFile, OpenHow,
    Opened, Qid, SetStat, Stat,
};

/// A node behind a gate.
struct GatedNode {
    inner: NodeRef,
    gate: Arc<Shared>,
    path: Path,
}

/// Puts the root of a device behind a gate.
pub(super) fn gated(inner: NodeRef, gate: Arc<Shared>) -> NodeRef {
    let path = Path::root(gate.watch.is_some());
    Arc::new(GatedNode { inner, gate, path })
}

impl GatedNode {
    fn child(&self, path: Path) -> impl FnOnce(NodeRef) -> NodeRef + use<> {
        let gate = self.gate.clone();
        move |inner| Arc::new(GatedNode { inner, gate, path }) as NodeRef
    }

    fn open_file(&self, path: Path) -> impl FnOnce(Box<dyn OpenFile>) -> Box<dyn OpenFile> + use<> {
        let gate = self.gate.clone();
        move |file| Box::new(GatedFile::new(file, gate, path)) as Box<dyn OpenFile>
    }

    fn edited(
        &self,
        kind: OperationKind,
        name: Name<'_>,
        edit: impl FnOnce(&dyn EditDirectory) -> Op<()>,
    ) -> Op<()> {
        let start = || match self.inner.directory().and_then(Directory::edit) {
            Some(directory) => edit(directory),
            None => Op::err(Errno::Rofs),
        };
        let path = match self.gate.child(&self.path, name.as_str()) {
            Ok(path) => path,
            Err(errno) => return Op::err(errno),
        };
        self.gate.through(kind, &path, None, start, |()| 0)
    }
}

/// The node of the device itself, for a device that must recognise its own.
fn inner(node: &NodeRef) -> Result<&NodeRef, Errno> {
    let node: &dyn Node = &**node;
    let gated = node.as_any().downcast_ref::<GatedNode>();
    gated.map(|gated| &gated.inner).ok_or(Errno::Xdev)
}

#[cfg_attr(feature = "durable", deny(clippy::missing_trait_methods))]
impl Node for GatedNode {
    fn qid(&self) -> Qid {
        self.inner.qid()
    }

    fn stat(&self) -> Op<Stat> {
        self.gate.through(
            OperationKind::Stat,
            &self.path,
            None,
            || self.inner.stat(),
            |_| 0,
        )
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        // A device is asked what the file stands for only if somebody wants to know.
        let subject = self.gate.watch.as_ref().and_then(|_| self.inner.subject());
        let start = || self.inner.open(how);
        self.gate
            .through(OperationKind::Open, &self.path, subject, start, |_| 0)
            .map(self.open_file(self.path.clone()))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        let start = || self.inner.set_stat(change);
        self.gate
            .through(OperationKind::Stat, &self.path, None, start, |()| 0)
    }

    fn directory(&self) -> Option<&dyn Directory> {
        self.inner.directory().map(|_| self as &dyn Directory)
    }

    fn read_link(&self) -> Op<String> {
        self.gate.past(|| self.inner.read_link())
    }

    fn subject(&self) -> Option<String> {
        self.inner.subject()
    }

    fn save(&self) -> Result<Handle, Errno> {
        self.inner.save()
    }

    #[cfg(feature = "durable")]
    fn reopen(&self, how: OpenHow, state: &[u8]) -> Op<Box<dyn OpenFile>> {
        let subject = self.gate.watch.as_ref().and_then(|_| self.inner.subject());
        let start = || self.inner.reopen(how, state);
        self.gate
            .through(OperationKind::Open, &self.path, subject, start, |_| 0)
            .map(self.open_file(self.path.clone()))
    }

    #[cfg(feature = "durable")]
    fn file_system_stat(&self) -> Op<FileSystemStat> {
        self.gate.past(|| self.inner.file_system_stat())
    }

    /// It is the host's doing, not the agent's: nothing is counted, and it is done however much was revoked.
    #[cfg(feature = "durable")]
    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        self.inner.checkpoint()
    }

    #[cfg(feature = "durable")]
    fn durable(&self) -> Option<&dyn Durable> {
        self.inner.durable().map(|_| self as &dyn Durable)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[deny(clippy::missing_trait_methods)]
impl Directory for GatedNode {
    /// Walking is not counted: it is part of whatever is done at its end.
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        self.walk_ahead(name, "")
    }

    fn walk_ahead(&self, name: Name<'_>, rest: &str) -> Op<NodeRef> {
        let walk = || match self.inner.directory() {
            Some(directory) => directory.walk_ahead(name, rest),
            None => Op::err(Errno::Notdir),
        };
        match self.gate.child(&self.path, name.as_str()) {
            Ok(path) => self.gate.past(walk).map(self.child(path)),
            Err(errno) => Op::err(errno),
        }
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        let directory = self.inner.directory()?;
        directory.edit().map(|_| self as &dyn EditDirectory)
    }
}

/// Finding a file again is no operation: opening it again is. What is found is known to an audit by the root's path.
impl Durable for GatedNode {
    fn resolve(
        &self,
        handles: &[Handle],
        covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        let Some(durable) = self.inner.durable() else {
            return Op::err(Errno::Nodev);
        };
        let (gate, path) = (self.gate.clone(), self.path.clone());
        self.gate
            .past(|| durable.resolve(handles, covered))
            .map(move |found| {
                let gated = |inner| {
                    let (gate, path) = (gate.clone(), path.clone());
                    Arc::new(GatedNode { inner, gate, path }) as NodeRef
                };
                found.into_iter().map(|node| node.map(gated)).collect()
            })
    }
}

impl EditDirectory for GatedNode {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        let start = || match self.inner.directory().and_then(Directory::edit) {
            Some(directory) => directory.create(name, how),
            None => Op::err(Errno::Rofs),
        };
        let path = match self.gate.child(&self.path, name.as_str()) {
            Ok(path) => path,
            Err(errno) => return Op::err(errno),
        };
        let (child, file) = (self.child(path.clone()), self.open_file(path.clone()));
        self.gate
            .through(OperationKind::Create, &path, None, start, |_| 0)
            .map(|opened| Opened {
                node: child(opened.node),
                file: file(opened.file),
            })
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        let start = || match self.inner.directory().and_then(Directory::edit) {
            Some(directory) => directory.make_directory(name),
            None => Op::err(Errno::Rofs),
        };
        let path = match self.gate.child(&self.path, name.as_str()) {
            Ok(path) => path,
            Err(errno) => return Op::err(errno),
        };
        self.gate
            .through(OperationKind::Create, &path, None, start, |_| 0)
            .map(self.child(path))
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        self.edited(OperationKind::Create, name, |directory| {
            directory.make_symlink(name, target)
        })
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        self.edited(OperationKind::Create, name, |directory| match inner(node) {
            Ok(node) => directory.link(name, node),
            Err(errno) => Op::err(errno),
        })
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        self.edited(OperationKind::Remove, name, |directory| {
            directory.unlink(name)
        })
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        self.edited(OperationKind::Remove, name, |directory| {
            directory.remove_directory(name)
        })
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        self.edited(OperationKind::Rename, name, |directory| match inner(to) {
            Ok(to) => directory.rename(name, to, to_name),
            Err(errno) => Op::err(errno),
        })
    }
}
