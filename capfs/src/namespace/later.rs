//! A device that never answers at once.

use std::any::Any;
use std::sync::Arc;
use std::task::Poll;

use crate::forward::{forward_node, forward_open_file};
use crate::{
    DirEntry, Directory, EditDirectory, Entries, Errno, MaybeSend, Name, Node, NodeRef, Op,
    OpenFile, OpenHow, Opened, SetStat, Stat,
};

/// The same device; what it answers comes after a wake for nothing.
pub(super) fn later(inner: NodeRef) -> NodeRef {
    Arc::new(Later { inner })
}

/// Puts an answer off until it has been asked for twice.
fn put_off<T: MaybeSend + 'static>(op: Op<T>) -> Op<T> {
    Op::later(async move {
        let mut asked = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        op.wait().await
    })
}

struct Later {
    inner: NodeRef,
}

impl Later {
    fn inside(&self) -> Result<&dyn Directory, Errno> {
        self.inner.directory().ok_or(Errno::Notdir)
    }

    fn edited<T: MaybeSend + 'static>(
        &self,
        change: impl FnOnce(&dyn EditDirectory) -> Op<T>,
    ) -> Op<T> {
        let edit = self
            .inside()
            .and_then(|directory| directory.edit().ok_or(Errno::Rofs));
        put_off(edit.map_or_else(Op::err, change))
    }
}

fn inner(node: &NodeRef) -> Result<&NodeRef, Errno> {
    let node: &dyn Node = &**node;
    let node = node.as_any().downcast_ref::<Later>();
    node.map(|node| &node.inner).ok_or(Errno::Xdev)
}

impl Node for Later {
    forward_node!(inner: qid);

    fn stat(&self) -> Op<Stat> {
        put_off(self.inner.stat())
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let open = |inner| Box::new(LaterFile { inner }) as Box<dyn OpenFile>;
        put_off(self.inner.open(how).map(open))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        put_off(self.inner.set_stat(change))
    }

    fn directory(&self) -> Option<&dyn Directory> {
        self.inner.directory().map(|_| self as &dyn Directory)
    }

    fn read_link(&self) -> Op<String> {
        put_off(self.inner.read_link())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Directory for Later {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        put_off(
            self.inside()
                .map_or_else(Op::err, |inner| inner.walk(name).map(later)),
        )
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl EditDirectory for Later {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        self.edited(|edit| {
            edit.create(name, how).map(|opened| Opened {
                node: later(opened.node),
                file: Box::new(LaterFile { inner: opened.file }),
            })
        })
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        self.edited(|edit| edit.make_directory(name).map(later))
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        self.edited(|edit| edit.make_symlink(name, target))
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        self.edited(|edit| inner(node).map_or_else(Op::err, |node| edit.link(name, node)))
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        self.edited(|edit| edit.unlink(name))
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        self.edited(|edit| edit.remove_directory(name))
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        self.edited(|edit| inner(to).map_or_else(Op::err, |to| edit.rename(name, to, to_name)))
    }
}

struct LaterFile {
    inner: Box<dyn OpenFile>,
}

impl OpenFile for LaterFile {
    forward_open_file!(inner: poll_read poll_write poll_ready seekable subject);

    fn stat(&self) -> Op<Stat> {
        put_off(self.inner.stat())
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        put_off(self.inner.set_stat(change))
    }

    fn sync(&mut self, data_only: bool) -> Op<()> {
        put_off(self.inner.sync(data_only))
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        self.inner.entries()?;
        Some(self)
    }
}

impl Entries for LaterFile {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        match self.inner.entries() {
            Some(entries) => put_off(entries.list(cookie, max)),
            None => Op::err(Errno::Notdir),
        }
    }
}
