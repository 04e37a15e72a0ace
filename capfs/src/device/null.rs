//! `null`: always empty, and swallows what is written (null(4)).

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};

#[cfg(feature = "durable")]
use crate::checkpoint::Unchanging;
#[cfg(feature = "durable")]
use crate::{Checkpoint, SavedFile};
use crate::{
    Durable, Errno, FileKind, GuestSink, GuestSource, Handle, Node, NodeRef, Op, OpenFile, OpenHow,
    Qid, SetStat, Stat, WriteAt, Written,
};

/// The null device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl Null {
    /// The device as a node, to be mounted.
    pub fn node() -> NodeRef {
        Arc::new(Null)
    }
}

/// What stat tells of a device that has neither contents nor times.
pub(super) fn device_stat(kind: FileKind) -> Stat {
    Stat {
        qid: Qid::new(1, kind),
        nlink: 1,
        size: 0,
        atime: 0,
        mtime: 0,
        ctime: 0,
    }
}

/// Changes nothing about a device: its times can be set in vain, and a size can't be given to it, but
/// dropping its contents is what opening with `O_TRUNC` asks for.
pub fn set_device_stat(change: SetStat) -> Op<()> {
    match change.size {
        None | Some(0) => Op::ok(()),
        Some(_) => Op::err(Errno::Inval),
    }
}

/// The answers of a device with one file.
pub(in crate::device) fn only(node: NodeRef, handles: &[Handle]) -> Vec<Result<NodeRef, Errno>> {
    let number = node.qid().path;
    let resolved = handles.iter().map(|handle| match handle.as_number()? {
        found if found == number => Ok(node.clone()),
        _ => Err(Errno::Stale),
    });
    resolved.collect()
}

impl Node for Null {
    fn qid(&self) -> Qid {
        device_stat(FileKind::CharacterDevice).qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(device_stat(FileKind::CharacterDevice))
    }

    fn open(&self, _how: OpenHow) -> Op<Box<dyn OpenFile>> {
        Op::ok(Box::new(Null))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<Handle, Errno> {
        Ok(Handle::number(Node::qid(self).path))
    }

    #[cfg(feature = "durable")]
    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }

    #[cfg(feature = "durable")]
    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        Unchanging::checkpoint()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Durable for Null {
    fn resolve(
        &self,
        handles: &[Handle],
        _covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        Op::ok(only(Null::node(), handles))
    }
}

impl OpenFile for Null {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Ok(0))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Ok(swallow(source)))
    }

    fn seekable(&self) -> bool {
        false
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<SavedFile, Errno> {
        Node::save(self).map(SavedFile::of)
    }

    fn stat(&self) -> Op<Stat> {
        Node::stat(self)
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }
}

/// Accepts everything that `source` has, without looking at it.
pub(super) fn swallow(source: &mut dyn GuestSource) -> Written {
    Written {
        bytes: source.remaining(),
        end: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn is_empty_and_takes_everything() {
        let mut context = Context::from_waker(Waker::noop());
        let Op::Ready(Ok(mut file)) = Null::node().open(OpenHow::default()) else {
            panic!("null opens at once");
        };
        let mut room = [1; 8];
        let read = file.poll_read(&mut context, 5, &mut &mut room[..]);
        assert_eq!(read, Poll::Ready(Ok(0)));
        let written = file.poll_write(&mut context, WriteAt::End, &mut &[0; 100][..]);
        assert_eq!(written, Poll::Ready(Ok(Written { bytes: 100, end: 0 })));
    }
}
