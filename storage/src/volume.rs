//! A volume as its users see it: opened when it is used, closed when nobody needs it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

#[cfg(feature = "durable")]
use capfs::Handle;
use capfs::clock::Clock;
use capfs::{Errno, MaybeSend, NodeRef, Op, Qid};

use crate::block_file::Opener;
use crate::error::StorageError;
use crate::inode::ROOT;
use crate::limits::{BLOCK, Geometry};
use crate::node::StorageNode;
use crate::state::State;

/// How a volume is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageOptions {
    /// Bytes that the contents of its files may take, in blocks of [`BLOCK`]; over it the guest gets
    /// `EDQUOT`. Holes and names cost nothing.
    pub quota: u64,
    /// Opens a damaged volume with what can be read of it. Files whose names are lost are
    /// then in `lost+found`, and blocks that can't be told whose they are read as zeroes.
    pub repair: bool,
}

impl Default for StorageOptions {
    /// 1 GiB, and no repair.
    fn default() -> Self {
        StorageOptions {
            quota: 1 << 30,
            repair: false,
        }
    }
}

/// What a volume holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageUsage {
    /// Bytes that the contents of files take, in blocks.
    pub used: u64,
    /// Bytes that they may take.
    pub total: u64,
    /// Files, directories and symbolic links, without the root.
    pub nodes: u64,
    /// Commits since the volume was opened.
    pub commits: u64,
}

/// A file system in three files of its host.
///
/// A clone is the same volume. It is opened by the first call that needs it, which then answers later
/// if the opener does; [`Volume::open`] does that beforehand. One volume at a time can have the
/// files open: what another has open is `EBUSY`.
#[derive(Clone)]
pub struct Volume {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    slot: Mutex<Slot>,
    opener: Box<dyn Opener>,
    clock: Arc<dyn Clock>,
    options: StorageOptions,
    geometry: Geometry,
}

/// Whether the files are open.
struct Slot {
    stage: Stage,
    /// Counts how often they were opened: what refers to a file from an earlier time refers to nothing, for numbers are used again.
    session: u64,
    /// They are closed as soon as nobody refers to any file.
    lingering: bool,
    error: Option<StorageError>,
    /// The last id that was decided to be committed, if that is known.
    decided: Option<u64>,
    /// As of when it was closed.
    usage: StorageUsage,
}

enum Stage {
    Closed,
    Opening(Vec<Waker>),
    Open(Box<State>),
}

/// Locks the slot, poisoned or not: between two statements that could panic the state is consistent, and a
/// panic in one agent's thread must not take the files of another with it.
fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Volume {
    /// Makes a volume on files that `opener` opens. Nothing is opened yet.
    pub fn new(opener: impl Opener, clock: Arc<dyn Clock>, options: StorageOptions) -> Self {
        Volume::with_geometry(opener, clock, options, Geometry::USUAL)
    }

    pub(crate) fn with_geometry(
        opener: impl Opener,
        clock: Arc<dyn Clock>,
        options: StorageOptions,
        geometry: Geometry,
    ) -> Self {
        Volume {
            shared: Arc::new(Shared {
                slot: Mutex::new(Slot {
                    stage: Stage::Closed,
                    session: 0,
                    lingering: true,
                    error: None,
                    decided: None,
                    usage: StorageUsage {
                        total: options.quota,
                        ..StorageUsage::default()
                    },
                }),
                opener: Box::new(opener),
                clock,
                options,
                geometry,
            }),
        }
    }

    /// The root directory.
    pub fn root(&self) -> NodeRef {
        Arc::new(StorageNode::root(self.shared.clone()))
    }

    /// Opens the volume's files, if they are not open. From then on everything answers at once.
    ///
    /// # Errors
    /// - [`Errno::Busy`]: another agent or tab has it open
    /// - [`Errno::Io`]: it is damaged, or the host failed; [`Volume::error`] says what it is
    /// - [`Errno::Nospc`]: the host has no room
    /// - [`Errno::Notsup`]: a later version has written it
    pub fn open(&self) -> Op<()> {
        let shared = self.shared.clone();
        Op::run(async move { shared.opened().await })
    }

    /// Makes everything durable that has changed, if the volume is open.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: the host has no room; nothing is lost, and it can be tried again
    /// - [`Errno::Io`]: the host failed, and the last commit is what is durable
    pub fn sync(&self) -> Result<(), Errno> {
        match &mut lock(&self.shared.slot).stage {
            Stage::Open(state) => state.commit(),
            _ => Ok(()),
        }
    }

    /// Makes durable what has waited for long enough; to be called when time passes and nobody uses
    /// the volume. What fails is tried again and reported to whoever asks for it to be durable.
    pub fn tick(&self) {
        if let Stage::Open(state) = &mut lock(&self.shared.slot).stage
            && state.is_due()
        {
            let _ = state.commit();
        }
    }

    /// Says that whoever decides about what is prepared ([`capfs::Checkpoint::prepare`]) has committed everything up to `last`, and nothing behind it. It is to be
    /// called before the volume is opened; one that stopped in between can't be opened without ([`StorageError::Undecided`]).
    pub fn decide(&self, last: u64) {
        lock(&self.shared.slot).decided = Some(last);
    }

    /// Makes everything durable and closes the files, so that another volume can open them. What is still
    /// open gets `ESTALE`. Whoever uses the root from now on opens the files again, and they are closed
    /// when the last node or open file goes.
    ///
    /// # Errors
    /// As [`Volume::sync`]; the files are closed all the same.
    pub fn release(&self) -> Result<(), Errno> {
        let mut slot = lock(&self.shared.slot);
        slot.lingering = false;
        slot.close()
    }

    /// What the volume holds, or held when it was last open.
    pub fn usage(&self) -> StorageUsage {
        lock(&self.shared.slot).usage()
    }

    /// Why the volume could not be opened, when that was last tried.
    pub fn error(&self) -> Option<StorageError> {
        lock(&self.shared.slot).error.clone()
    }
}

impl Slot {
    fn usage(&self) -> StorageUsage {
        match &self.stage {
            Stage::Open(state) => StorageUsage {
                used: state.used_bytes(),
                total: self.usage.total,
                nodes: state.nodes.len() as u64 - 1,
                commits: state.commits,
            },
            _ => self.usage,
        }
    }

    fn close(&mut self) -> Result<(), Errno> {
        let Stage::Open(state) = &mut self.stage else {
            return Ok(());
        };
        state.abandon_checkpoint();
        let committed = state.commit();
        self.usage = self.usage();
        self.stage = Stage::Closed;
        committed
    }

    fn close_if_unused(&mut self) {
        if let Stage::Open(state) = &self.stage
            && !self.lingering
            && state.holds == 0
        {
            // Nobody is left to be told; what could not be committed is as if the host had gone down.
            let _ = self.close();
        }
    }
}

impl Shared {
    /// Runs `action` on the volume: at once if it is open, else when it has been opened.
    fn run<T: MaybeSend + 'static>(
        self: &Arc<Self>,
        action: impl FnOnce(&mut State) -> Result<T, Errno> + MaybeSend + 'static,
    ) -> Op<T> {
        if let Stage::Open(state) = &mut lock(&self.slot).stage {
            return Op::Ready(action(state));
        }
        let shared = self.clone();
        Op::run(async move {
            shared.opened().await?;
            let mut slot = lock(&shared.slot);
            let result = match &mut slot.stage {
                Stage::Open(state) => action(state),
                _ => Err(Errno::Stale),
            };
            slot.close_if_unused();
            result
        })
    }

    /// How often the volume was opened.
    #[cfg(feature = "durable")]
    pub fn session(&self) -> u64 {
        lock(&self.slot).session
    }

    /// Runs `action` on the volume, if it is open since the session that is meant.
    pub fn within<T>(
        &self,
        session: u64,
        action: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut slot = lock(&self.slot);
        let current = slot.session;
        match &mut slot.stage {
            Stage::Open(state) if session == current => action(state),
            _ => Err(Errno::Stale),
        }
    }

    /// Opens the files, once for all who wait for it.
    async fn opened(self: &Arc<Self>) -> Result<(), Errno> {
        let begins = poll_fn(|context| {
            let mut slot = lock(&self.slot);
            match &mut slot.stage {
                Stage::Open(_) => Poll::Ready(false),
                Stage::Opening(waiting) => {
                    waiting.push(context.waker().clone());
                    Poll::Pending
                }
                Stage::Closed => {
                    slot.stage = Stage::Opening(Vec::new());
                    Poll::Ready(true)
                }
            }
        });
        if !begins.await {
            return Ok(());
        }
        let attempt = Attempt(self);
        let decided = lock(&self.slot).decided;
        let opened = match self.opener.open().wait().await {
            Ok(files) => State::open(
                files,
                self.clock.clone(),
                self.geometry,
                self.options.quota / BLOCK as u64,
                self.options.repair,
                decided,
            ),
            Err(errno) => Err(errno.into()),
        };
        let mut slot = lock(&self.slot);
        let result = match opened {
            Ok(state) => {
                slot.session += 1;
                slot.error = None;
                attempt.end(&mut slot, Stage::Open(Box::new(state)));
                Ok(())
            }
            Err(error) => {
                let errno = error.errno();
                slot.error = Some(error);
                attempt.end(&mut slot, Stage::Closed);
                Err(errno)
            }
        };
        drop(slot);
        result
    }
}

/// An attempt to open the files; one that is given up lets another begin.
struct Attempt<'a>(&'a Arc<Shared>);

impl Attempt<'_> {
    fn end(self, slot: &mut Slot, stage: Stage) {
        conclude(slot, stage);
        std::mem::forget(self);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        conclude(&mut lock(&self.0.slot), Stage::Closed);
    }
}

fn conclude(slot: &mut Slot, stage: Stage) {
    if let Stage::Opening(waiting) = std::mem::replace(&mut slot.stage, stage) {
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let slot = self.slot.get_mut().unwrap_or_else(PoisonError::into_inner);
        // As at a close that nobody waits for.
        let _ = slot.close();
    }
}

/// A reference to a file of a volume: while there is one, the file lives.
pub(crate) struct Hold {
    pub shared: Arc<Shared>,
    pub number: u64,
    /// When the volume was opened that it belongs to; none for the mount's root, which always lives.
    session: Option<u64>,
}

impl Hold {
    /// A reference to the root, which is good for as long as there is a volume.
    pub fn root(shared: Arc<Shared>) -> Self {
        Hold {
            shared,
            number: ROOT,
            session: None,
        }
    }

    /// Takes over a reference that has been counted.
    pub fn counted(shared: Arc<Shared>, qid: Qid) -> Self {
        let session = Some(lock(&shared.slot).session);
        Hold {
            shared,
            number: qid.path,
            session,
        }
    }

    /// Runs `action` on the volume. By a reference to the root it is opened if it must be; any other is good only as long as the
    /// volume stays open.
    ///
    /// # Errors
    /// - [`Errno::Stale`]: the volume was closed since, and maybe opened anew
    pub fn run<T: MaybeSend + 'static>(
        &self,
        action: impl FnOnce(&mut State) -> Result<T, Errno> + MaybeSend + 'static,
    ) -> Op<T> {
        match self.session {
            Some(session) => self.shared.within(session, action).into(),
            None => self.shared.run(action),
        }
    }

    /// By what the file is found again.
    ///
    /// # Errors
    /// - [`Errno::Nodev`]: it has no name any more
    #[cfg(feature = "durable")]
    pub fn save(&self) -> Result<Handle, Errno> {
        let number = self.number;
        let named = |state: &mut State| Ok(state.inode(number)?.names > 0);
        match number == ROOT || self.now(named)? {
            true => Ok(Handle::number(number)),
            false => Err(Errno::Nodev),
        }
    }

    /// Runs `action` on the volume, if it is open.
    ///
    /// # Errors
    /// As [`Hold::run`].
    pub fn now<T>(&self, action: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
        match self.session {
            Some(session) => self.shared.within(session, action),
            None => match &mut lock(&self.shared.slot).stage {
                Stage::Open(state) => action(state),
                _ => Err(Errno::Stale),
            },
        }
    }

    /// As [`Hold::run`], with another reference of the same volume, which must be good as well.
    pub fn run_with<T: MaybeSend + 'static>(
        &self,
        other: &Hold,
        action: impl FnOnce(&mut State) -> Result<T, Errno> + MaybeSend + 'static,
    ) -> Op<T> {
        match (self.session, other.session) {
            (Some(own), Some(others)) if own != others => Op::err(Errno::Stale),
            (Some(session), _) | (None, Some(session)) => {
                self.shared.within(session, action).into()
            }
            (None, None) => self.shared.run(action),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut slot = lock(&self.shared.slot);
        let current = slot.session;
        if let Stage::Open(state) = &mut slot.stage
            && self.session == Some(current)
        {
            state.unhold(self.number);
            slot.close_if_unused();
        }
    }
}
