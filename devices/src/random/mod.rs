//! `/cap/random`: bytes that can't be guessed, without end (random(4)).

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use capfs::account::Account;
use capfs::device::Device;
use capfs::device::parts::{set_device_stat, stream_stat};
use capfs::{
    Errno, FileKind, GuestSink, GuestSource, MaybeSend, MaybeSync, Node, NodeRef, Op, OpenFile,
    OpenHow, Qid, SetStat, Stat, WriteAt, Written,
};

use crate::capability::Capability;
use crate::description::Parts;
use crate::grant::{Grant, GrantError};

/// Where random bytes come from.
pub trait Entropy: MaybeSend + MaybeSync + 'static {
    /// Fills `into` with bytes that can't be guessed.
    ///
    /// # Errors
    /// - [`Errno::Io`]: the host's source failed
    fn fill(&self, into: &mut [u8]) -> Result<(), Errno>;
}

/// Bytes that one read gives at most: what the host's source gives at once.
pub const READ_MAX: usize = 64 << 10;

/// That the terms of a grant can be understood.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    grant.no_terms()
}

/// Makes the capability.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn build(grant: &Grant, parts: &Parts) -> Result<Capability, GrantError> {
    check(grant)?;
    let entropy = parts.entropy.clone();
    let root = device(entropy.clone());
    Ok(Capability::new(
        root,
        move |grant: &Grant, account: &Account| {
            let (entropy, account) = (entropy.clone(), account.clone());
            build(grant, &Parts { entropy, account })
        },
    ))
}

/// Makes the device. It holds nothing that could be charged.
pub fn device(entropy: Arc<dyn Entropy>) -> NodeRef {
    node(&Device::unlimited(), entropy)
}

/// The same as a file of another device.
pub(crate) fn node(device: &Device, entropy: Arc<dyn Entropy>) -> NodeRef {
    Arc::new(Random {
        qid: device.qid(FileKind::CharacterDevice),
        entropy,
    })
}

#[derive(Clone)]
struct Random {
    qid: Qid,
    entropy: Arc<dyn Entropy>,
}

impl Node for Random {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    /// # Errors
    /// - [`Errno::Acces`]: for writing
    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        match how.write {
            true => Op::err(Errno::Acces),
            false => Op::ok(Box::new(self.clone())),
        }
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl OpenFile for Random {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        let mut bytes = vec![0; sink.remaining().min(READ_MAX)];
        self.entropy.fill(&mut bytes)?;
        Poll::Ready(Ok(sink.put(&bytes)))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Badf))
    }

    fn seekable(&self) -> bool {
        false
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
    use capfs::testkit::{READ, READ_WRITE, now, read_at};

    use super::*;

    struct Sevens;

    impl Entropy for Sevens {
        fn fill(&self, into: &mut [u8]) -> Result<(), Errno> {
            into.fill(7);
            Ok(())
        }
    }

    #[test]
    fn gives_what_the_host_has_and_takes_nothing() {
        let node = device(Arc::new(Sevens));
        assert_eq!(now(node.open(READ_WRITE)).err(), Some(Errno::Acces));
        let mut file = now(node.open(READ)).unwrap();
        assert_eq!(read_at(&mut *file, 9, 3).unwrap(), [7; 3]);
        assert_eq!(
            read_at(&mut *file, 0, READ_MAX + 1).unwrap().len(),
            READ_MAX
        );
    }
}
