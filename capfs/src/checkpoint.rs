//! Devices that are put back as they were: what makes the tick of an agent a transaction.
//!
//! A host takes a checkpoint of each device that its agent may change ([`Node::checkpoint`](crate::Node::checkpoint)) before it
//! lets the agent go on. If all went well it commits them; if not it discards them, and every file, name, number and time is what it
//! was. What that takes grows with what was changed, not with what is there.
//!
//! # Devices that have no such thing
//! answer [`Errno::Notsup`]: what was done by way of them (a request that was sent, a host's folder) can't be undone by anybody. A
//! host that promises its agent that a failed tick leaves nothing behind may then refuse to mount the device, mount it for reading
//! only, keep what is to be done until the tick has succeeded, or do it under a key by which it is done once however often it is
//! asked for (see [`Operation`](crate::Operation) for what a gate tells it). It must not go on as if the device had been put back.

#[cfg(doc)]
use crate::Errno;
use crate::{MaybeSend, NodeRef, Op};

/// What a device was at one moment, kept until it is decided whether what was done since stays.
///
/// There is one of each device at a time. Dropping it discards, so that neither an error nor a panic of the host lets half of a tick
/// stay; one that is prepared is left undecided on a device that outlives its host. All of them are decided in two steps, as it is done between databases:
///
/// ```text
/// prepare each   -> whichever can't: discard all
/// decide            (the host's own record, in one write)
/// commit each    -> can't be refused any more
/// ```
///
/// # While it is open
/// Whatever changes a file keeps first what was there, in units of the device's own, and may be refused for it with the error that
/// says that there is no room ([`Errno::Nospc`]): taking a name away as well. What was removed or overwritten takes its room until the
/// end, as it does on file systems with snapshots. Reading is never refused.
///
/// Files that are open stay open over all of this, and show what they are then. A file that was made since is without a name once
/// that is discarded, like one that was removed, or it is `ESTALE`.
pub trait Checkpoint: MaybeSend {
    /// Makes sure that [`Checkpoint::commit`] can't be refused any more, after a crash of the host either. Nothing is to be changed from
    /// then on until it is decided. The host knows the decision by `id`, which goes up: a device that outlives the host tells it when it is used
    /// again and there was no answer yet.
    ///
    /// # Errors
    /// - [`Errno::Nospc`], [`Errno::Io`]: it can't; what is left is to discard
    fn prepare(&mut self, id: u64) -> Op<()> {
        let _ = id;
        Op::ok(())
    }

    /// Lets what was done stay, and forgets what was there.
    ///
    /// # Errors
    /// Of a device that outlives its host, if it has not prepared: as [`Checkpoint::prepare`]. Then all is as it was at the checkpoint.
    fn commit(self: Box<Self>) -> Op<()>;

    /// Puts everything back.
    ///
    /// # Errors
    /// - [`Errno::Io`]: the host's storage failed; what it has is what was there at the checkpoint, and files are `EIO` until it is opened anew
    fn discard(self: Box<Self>) -> Op<()>;
}

/// The checkpoints of several devices, as one.
pub struct Checkpoints(Vec<Box<dyn Checkpoint>>);

impl Checkpoints {
    /// Takes one of each device, of which `nodes` has one node each.
    ///
    /// # Errors
    /// As [`Node::checkpoint`](crate::Node::checkpoint), of the first that has none. Those that were taken are discarded.
    pub fn take(nodes: Vec<NodeRef>) -> Op<Checkpoints> {
        Op::run(async move {
            let mut taken = Vec::with_capacity(nodes.len());
            for node in nodes {
                taken.push(node.checkpoint().wait().await?);
            }
            Ok(Checkpoints(taken))
        })
    }
}

/// Awaits all, and tells the first error.
fn every(ops: Vec<Op<()>>) -> Op<()> {
    Op::run(async move {
        let mut all = Ok(());
        for op in ops {
            all = all.and(op.wait().await);
        }
        all
    })
}

impl Checkpoint for Checkpoints {
    fn prepare(&mut self, id: u64) -> Op<()> {
        every(self.0.iter_mut().map(|one| one.prepare(id)).collect())
    }

    /// # Errors
    /// Each is asked, whatever another answers: unless all of them have prepared, some may be committed and some not.
    fn commit(self: Box<Self>) -> Op<()> {
        every(self.0.into_iter().map(Checkpoint::commit).collect())
    }

    fn discard(self: Box<Self>) -> Op<()> {
        every(self.0.into_iter().map(Checkpoint::discard).collect())
    }
}

/// The checkpoint of a device that nothing changes, or of which nothing is kept.
#[cfg(feature = "durable")]
pub(crate) struct Unchanging;

#[cfg(feature = "durable")]
impl Unchanging {
    pub(crate) fn checkpoint() -> Op<Box<dyn Checkpoint>> {
        Op::ok(Box::new(Unchanging))
    }
}

#[cfg(feature = "durable")]
impl Checkpoint for Unchanging {
    fn commit(self: Box<Self>) -> Op<()> {
        Op::ok(())
    }

    fn discard(self: Box<Self>) -> Op<()> {
        Op::ok(())
    }
}
