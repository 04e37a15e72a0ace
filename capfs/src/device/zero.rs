//! `zero`: endless zeroes, and swallows what is written (zero(4)).

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::null::{device_stat, only, set_device_stat, swallow};
#[cfg(feature = "durable")]
use crate::checkpoint::Unchanging;
#[cfg(feature = "durable")]
use crate::{Checkpoint, SavedFile};
use crate::{
    Durable, Errno, FileKind, GuestSink, GuestSource, Handle, Node, NodeRef, Op, OpenFile, OpenHow,
    Qid, SetStat, Stat, WriteAt, Written,
};

/// The zero device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zero;

impl Zero {
    /// The device as a node, to be mounted.
    pub fn node() -> NodeRef {
        Arc::new(Zero)
    }
}

impl Node for Zero {
    fn qid(&self) -> Qid {
        device_stat(FileKind::CharacterDevice).qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(device_stat(FileKind::CharacterDevice))
    }

    fn open(&self, _how: OpenHow) -> Op<Box<dyn OpenFile>> {
        Op::ok(Box::new(Zero))
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

impl Durable for Zero {
    fn resolve(
        &self,
        handles: &[Handle],
        _covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        Op::ok(only(Zero::node(), handles))
    }
}

impl OpenFile for Zero {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        static ZEROES: [u8; 4096] = [0; 4096];
        let mut count = 0;
        loop {
            match sink.put(&ZEROES) {
                0 => return Poll::Ready(Ok(count)),
                put => count += put,
            }
        }
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

#[cfg(test)]
mod tests {
    use crate::testkit;
    use std::task::Waker;

    use super::*;

    #[test]
    fn fills_whatever_room_there_is() {
        let mut context = Context::from_waker(Waker::noop());
        for size in [0, 1, 4096, 10_000] {
            let mut room = vec![1; size];
            let read = Zero.poll_read(&mut context, u64::MAX, &mut &mut room[..]);
            assert_eq!(read, Poll::Ready(Ok(size)));
            assert!(room.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn has_nothing_to_put_back() {
        for node in [Zero::node(), super::super::null::Null::node()] {
            testkit::checkpoints_reading(&node);
        }
    }

    #[test]
    fn is_found_again_wherever_it_is() {
        fn image(node: fn() -> NodeRef) -> testkit::Image {
            testkit::Image {
                root: node(),
                again: Box::new(move || image(node)),
            }
        }
        for node in [Zero::node, super::super::null::Null::node] {
            testkit::durable_reading(|| image(node), &[], &["test"]);
        }
    }
}
