//! Directories with names that are served.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ctl::{Command, CtlNode};
use super::stream::{StreamNode, StreamSource};
use super::text::{TextNode, TextSource};
use super::value::{ValueNode, ValueSink};
use crate::device::Device;
use crate::device::pipe::stream_stat;
#[cfg(feature = "durable")]
use crate::{Checkpoint, Checkpoints};
use crate::{
    DirEntry, Directory, DirectoryFile, Durable, Entries, Errno, FileKind, Handle, MaybeSend,
    MaybeSync, Name, Node, NodeRef, Op, OpenDirectory, OpenFile, OpenHow, Qid, SetStat, Stat,
};

/// Names that come and go, such as the conversations of a device.
pub trait DynamicNames: MaybeSend + MaybeSync + 'static {
    /// Finds a name. A name gives the same node for as long as it means the same.
    ///
    /// # Errors
    /// - [`Errno::Noent`]: no such name
    fn find(&self, name: &str) -> Op<NodeRef>;

    /// Lists up to `max` names behind `cookie`, as [`Entries::list`] does. Cookies are at
    /// least 1 and below 2^41. A conversation's number, plus one, is a good cookie.
    ///
    /// # Errors
    /// What listing the directory fails with.
    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>>;
}

/// A directory with fixed names, and maybe dynamic ones behind them.
pub struct SyntheticDir {
    qid: Qid,
    names: Vec<(&'static str, NodeRef)>,
    dynamic: Option<Box<dyn DynamicNames>>,
}

impl SyntheticDir {
    /// Begins the root of a device of a host's own. Where there are directories below it, [`Device::directory`] begins each.
    pub fn builder() -> SyntheticBuilder {
        Device::unlimited().directory()
    }

    pub(in crate::device) fn of(device: &Device) -> SyntheticBuilder {
        SyntheticBuilder {
            device: device.clone(),
            names: Vec::new(),
            dynamic: None,
        }
    }
}

/// A directory that is being put together. Names are listed in the order in which they are added.
///
/// # Panics
/// Every method that adds a name panics when it can't be one (see [`Name::new`]) or is there already: the
/// names are the program's own.
#[must_use = "a directory is made by `build`"]
pub struct SyntheticBuilder {
    device: Device,
    names: Vec<(&'static str, NodeRef)>,
    dynamic: Option<Box<dyn DynamicNames>>,
}

impl SyntheticBuilder {
    /// Adds a text file.
    pub fn text(self, name: &'static str, source: impl TextSource) -> Self {
        let node = TextNode::new(&self.device, source);
        self.node(name, Arc::new(node))
    }

    /// Whether the directory is of this device.
    pub(in crate::device) fn is_of(&self, device: &Device) -> bool {
        self.device.is(device)
    }

    /// Puts a node in front of the names that are there.
    pub(in crate::device) fn first(mut self, name: &'static str, node: NodeRef) -> Self {
        self = self.node(name, node);
        self.names.rotate_right(1);
        self
    }

    /// Adds a ctl file that reads as empty.
    pub fn ctl(self, name: &'static str, command: impl Command) -> Self {
        let node = CtlNode::new(&self.device, None, command);
        self.node(name, Arc::new(node))
    }

    /// Adds a ctl file that reads as a text, such as the number of its conversation.
    pub fn ctl_with_text(
        self,
        name: &'static str,
        source: impl TextSource,
        command: impl Command,
    ) -> Self {
        let node = CtlNode::new(&self.device, Some(Box::new(source)), command);
        self.node(name, Arc::new(node))
    }

    /// Adds a ctl file each opening of which takes commands by something of its own, which is dropped when it is
    /// closed.
    pub fn ctl_of_each(
        self,
        name: &'static str,
        begin: impl Fn() -> Arc<dyn Command> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        let node = CtlNode::of_each(&self.device, begin);
        self.node(name, Arc::new(node))
    }

    /// Adds a text that can be replaced.
    pub fn value(self, name: &'static str, source: impl TextSource, sink: impl ValueSink) -> Self {
        let node = ValueNode::new(&self.device, source, sink);
        self.node(name, Arc::new(node))
    }

    /// Adds a stream that can be read.
    pub fn reads(self, name: &'static str, reads: impl StreamSource) -> Self {
        let node = StreamNode::new(&self.device, Some(Box::new(reads)), None);
        self.node(name, Arc::new(node))
    }

    /// Adds a stream that can be written.
    pub fn writes(self, name: &'static str, writes: impl StreamSource) -> Self {
        let node = StreamNode::new(&self.device, None, Some(Box::new(writes)));
        self.node(name, Arc::new(node))
    }

    /// Adds a stream that can be read and written; what it is opened for decides which of the sources
    /// are asked.
    pub fn stream(
        self,
        name: &'static str,
        reads: impl StreamSource,
        writes: impl StreamSource,
    ) -> Self {
        let node = StreamNode::new(&self.device, Some(Box::new(reads)), Some(Box::new(writes)));
        self.node(name, Arc::new(node))
    }

    /// Adds a directory.
    pub fn dir(self, name: &'static str, directory: SyntheticBuilder) -> Self {
        let own = directory.is_of(&self.device);
        assert!(own, "{name:?} is of another device");
        self.node(name, directory.build())
    }

    /// Adds any node. Its identity must be one that no other file of the device has: of another device's node it may not be.
    pub fn node(mut self, name: &'static str, node: NodeRef) -> Self {
        assert!(Name::new(name).is_ok(), "{name:?} can't be a name");
        let taken = self.names.iter().any(|(other, _)| *other == name);
        assert!(!taken, "{name:?} is there already");
        let (device, number) = (node.qid().device, node.qid().path);
        let known = self.names.iter().map(|(_, other)| other.qid());
        let mut known = known.filter(|other| (other.device, other.path) == (device, number));
        assert!(
            known.next().is_none(),
            "{name:?} has the identity of another file"
        );
        self.names.push((name, node));
        self
    }

    /// Adds names that come and go, listed behind the fixed ones, which hide them.
    pub fn dynamic(mut self, names: impl DynamicNames) -> Self {
        self.dynamic = Some(Box::new(names));
        self
    }

    /// Makes the directory.
    pub fn build(self) -> NodeRef {
        Arc::new(DirectoryNode(Arc::new(SyntheticDir {
            qid: self.device.qid(FileKind::Directory),
            names: self.names,
            dynamic: self.dynamic,
        })))
    }
}

impl SyntheticDir {
    fn fixed(&self, name: &str) -> Option<&NodeRef> {
        let mut names = self.names.iter();
        names
            .find(|(other, _)| *other == name)
            .map(|(_, node)| node)
    }

    fn stat(&self) -> Stat {
        let directories = self.names.iter();
        let directories = directories.filter(|(_, node)| node.qid().kind == FileKind::Directory);
        Stat {
            nlink: 2 + directories.count() as u64,
            ..stream_stat(self.qid)
        }
    }

    /// Cookies up to the number of fixed names are theirs, in order; the dynamic ones' follow.
    fn list_fixed(&self, cookie: u64, max: usize) -> Vec<DirEntry> {
        let from = cookie.min(self.names.len() as u64) as usize;
        let names = self.names.iter().enumerate().skip(from).take(max);
        names
            .map(|(place, (name, node))| DirEntry {
                name: (*name).to_owned(),
                qid: node.qid(),
                cookie: place as u64 + 1,
            })
            .collect()
    }

    async fn list(self: Arc<Self>, cookie: u64, max: usize) -> Result<Vec<DirEntry>, Errno> {
        let fixed = self.names.len() as u64;
        let mut entries = self.list_fixed(cookie, max);
        let Some(dynamic) = &self.dynamic else {
            return Ok(entries);
        };
        let mut after = cookie.saturating_sub(fixed);
        while entries.len() < max {
            let more = dynamic.list(after, max - entries.len()).wait().await?;
            let Some(last) = more.last() else { break };
            after = last.cookie;
            let visible = more
                .into_iter()
                .filter(|entry| self.fixed(&entry.name).is_none());
            entries.extend(visible.map(|entry| DirEntry {
                cookie: entry.cookie + fixed,
                ..entry
            }));
        }
        Ok(entries)
    }
}

/// A directory as a node, and open.
#[derive(Clone)]
struct DirectoryNode(Arc<SyntheticDir>);

impl Node for DirectoryNode {
    fn qid(&self) -> Qid {
        self.0.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(self.0.stat())
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        if how.write || how.truncate {
            return Op::err(Errno::Isdir);
        }
        Op::ok(Box::new(DirectoryFile(self.clone())))
    }

    fn set_stat(&self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Rofs)
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<Handle, Errno> {
        Ok(Handle::number(self.0.qid.path))
    }

    #[cfg(feature = "durable")]
    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }

    /// A tree is put back if everything in it is.
    #[cfg(feature = "durable")]
    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        if self.0.dynamic.is_some() {
            return Op::err(Errno::Notsup);
        }
        let nodes = self.0.names.iter().map(|(_, node)| node.clone());
        Checkpoints::take(nodes.collect()).map(|all| Box::new(all) as Box<dyn Checkpoint>)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What is fixed in a tree is numbered as it is made, and so alike wherever it is.
impl Durable for DirectoryNode {
    fn resolve(
        &self,
        handles: &[Handle],
        covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        let mut known = HashMap::new();
        let mut pending: Vec<NodeRef> = vec![Arc::new(self.clone())];
        while let Some(node) = pending.pop() {
            if let Some(DirectoryNode(directory)) = node.as_any().downcast_ref() {
                let names = directory.names.iter();
                let shown = names.filter(|(_, node)| !covered.contains(&node.qid().path));
                pending.extend(shown.map(|(_, node)| node.clone()));
            }
            if let Ok(handle) = node.save() {
                known.insert(handle, node);
            }
        }
        let resolved = handles
            .iter()
            .map(|handle| known.get(handle).cloned().ok_or(Errno::Stale));
        Op::ok(resolved.collect())
    }
}

impl Directory for DirectoryNode {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        let name = name.as_str();
        match (self.0.fixed(name), &self.0.dynamic) {
            (Some(node), _) => Op::ok(node.clone()),
            (None, Some(dynamic)) => dynamic.find(name),
            (None, None) => Op::err(Errno::Noent),
        }
    }
}

impl OpenDirectory for DirectoryNode {
    fn stat(&self) -> Op<Stat> {
        Op::ok(self.0.stat())
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Rofs)
    }
}

impl Entries for DirectoryNode {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        Op::run(self.0.clone().list(cookie, max))
    }
}
