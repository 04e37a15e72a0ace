//! Directories that exist only so that something can be mounted on them.
//!
//! They are persistent: adding a name makes a new directory with the same identity, so a namespace
//! that was cloned keeps the one it knows.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    DirEntry, Directory, DirectoryFile, Entries, Errno, FileKind, Name, Node, NodeRef, Op,
    OpenDirectory, OpenFile, OpenHow, Qid, SetStat, Stat,
};

#[derive(Clone)]
pub(super) struct Skeleton {
    id: u64,
    children: Arc<BTreeMap<String, NodeRef>>,
}

impl Skeleton {
    /// An empty directory with this number, which no other of its namespace has.
    pub(super) fn new(id: u64) -> Self {
        Skeleton {
            id,
            children: Arc::default(),
        }
    }

    /// Nested directories for all names but the first, outermost and innermost; the first name is
    /// that of the outermost in whatever it is put into. `number` gives each its number.
    pub(super) fn chain(names: &[&str], mut number: impl FnMut() -> u64) -> (NodeRef, NodeRef) {
        let last: NodeRef = Arc::new(Skeleton::new(number()));
        let mut first = last.clone();
        for name in names.iter().skip(1).rev() {
            first = Arc::new(Skeleton::new(number()).with(name, first));
        }
        (first, last)
    }

    /// The same directory with one name more.
    pub(super) fn with(&self, name: &str, child: NodeRef) -> Skeleton {
        let mut children = BTreeMap::clone(&self.children);
        children.insert(name.to_owned(), child);
        Skeleton {
            id: self.id,
            children: Arc::new(children),
        }
    }

    /// Whether a node is a skeleton, of whichever namespace.
    pub(super) fn is(node: &NodeRef) -> bool {
        let node: &dyn Node = &**node;
        node.as_any().is::<Skeleton>()
    }

    /// The skeleton that a node is.
    pub(super) fn of(node: &NodeRef) -> Option<Skeleton> {
        node.as_any().downcast_ref().cloned()
    }

    /// Its directories.
    pub(super) fn children(&self) -> impl Iterator<Item = &NodeRef> {
        self.children.values()
    }

    fn status(&self) -> Stat {
        let nlink = 2 + self.children.len() as u64;
        Stat {
            qid: self.qid(),
            nlink,
            size: 0,
            atime: 0,
            mtime: 0,
            ctime: 0,
        }
    }
}

impl Node for Skeleton {
    fn qid(&self) -> Qid {
        Qid::new(self.id, FileKind::Directory)
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(self.status())
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

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Directory for Skeleton {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        Op::Ready(
            self.children
                .get(name.as_str())
                .cloned()
                .ok_or(Errno::Noent),
        )
    }
}

impl OpenDirectory for Skeleton {
    fn stat(&self) -> Op<Stat> {
        Op::ok(self.status())
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Rofs)
    }
}

impl Entries for Skeleton {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let start = usize::try_from(cookie).unwrap_or(usize::MAX);
        let entries = self.children.iter().zip(1..).skip(start).take(max);
        Op::ok(
            entries
                .map(|((name, node), cookie)| DirEntry {
                    name: name.clone(),
                    qid: node.qid(),
                    cookie,
                })
                .collect(),
        )
    }
}
