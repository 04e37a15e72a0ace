//! Putting a volume back as it was at a checkpoint, and deciding it together with others.
//!
//! # Design
//! A checkpoint begins with a commit, so the durable state is what there was. Until it is decided nothing is committed: `fd_sync` is
//! durable with the rest. What is dirty is written to free blocks when the cache is full, as always, and no block that was there is given
//! away. In memory a log has the inverse of every change, in order: the names that were there, where blocks were, inodes that were made
//! and that are gone; attributes are kept once. To discard, the log is gone through from its end. Files that were made since keep nothing.
//!
//! To *prepare*, everything is written out and a transaction is added to the journal that doesn't count yet
//! (see [`journal`](crate::journal)). To commit is one more write then, which can't be refused for want of room. A volume that stops in
//! between is told by its host what was decided when it is opened again.

use std::sync::Arc;

use capfs::Errno;

use crate::extents::Extent;
use crate::inode::{Body, Entry, Inode};
use crate::numbers::NumberMap;
use crate::state::State;

/// Bytes that the log may take. A tick that changes more is out of room; a guest could otherwise fill its host's memory by changing things
/// to and fro.
const UNDO_MAX: usize = 64 << 20;

/// Bytes that a change takes in the log, beside names and places of blocks.
const STEP: usize = 96;

/// The inverse of a change.
enum Step {
    /// A file was made.
    Made(u64),
    /// A file is gone.
    Gone(u64, Inode),
    /// A name stood for something else, or for nothing.
    Name(u64, Arc<str>, Option<Entry>),
    /// Blocks of a file were elsewhere: those that were anywhere.
    Blocks {
        number: u64,
        block: u32,
        length: u32,
        extents: Vec<(u32, Extent)>,
    },
}

/// What an inode was, apart from blocks and names.
struct Before {
    names: u64,
    atime: u64,
    mtime: u64,
    ctime: u64,
    body: BodyBefore,
}

enum BodyBefore {
    File { size: u64 },
    Directory(DirectoryBefore),
    Symlink,
}

/// What a directory was, apart from its names.
#[derive(Clone, Copy)]
pub(crate) struct DirectoryBefore {
    pub parent: u64,
    pub removed: bool,
    pub subdirectories: u64,
    pub last_cookie: u64,
}

/// An open checkpoint.
pub(crate) struct Undo {
    /// The number of the next inode, and what was counted.
    next: u64,
    names: usize,
    text: u64,
    used: u64,
    log: Vec<Step>,
    bytes: usize,
    before: NumberMap<Before>,
    /// It can be committed; nothing changes any more.
    prepared: bool,
}

impl State {
    /// Whether a checkpoint is open.
    pub fn is_kept(&self) -> bool {
        self.undo.is_some()
    }

    /// Checks that something may be changed.
    ///
    /// # Errors
    /// - [`Errno::Busy`]: a checkpoint is prepared and not decided yet
    /// - [`Errno::Nospc`]: there is no room to keep what changes
    pub fn changeable(&self) -> Result<(), Errno> {
        match &self.undo {
            Some(undo) if undo.prepared => Err(Errno::Busy),
            Some(undo) if undo.bytes > UNDO_MAX => Err(Errno::Nospc),
            _ => Ok(()),
        }
    }

    /// The log, if a file that was there is to be put back.
    fn undo_of(&mut self, number: u64) -> Option<&mut Undo> {
        self.undo.as_deref_mut().filter(|undo| number < undo.next)
    }

    fn add(&mut self, number: u64, bytes: usize, step: impl FnOnce(&Self) -> Option<Step>) {
        if self.undo_of(number).is_some()
            && let Some(step) = step(self)
            && let Some(undo) = &mut self.undo
        {
            undo.bytes += STEP + bytes;
            undo.log.push(step);
        }
    }

    /// Keeps the attributes of a file, before they are changed.
    pub fn keep(&mut self, number: u64) {
        let Some(undo) = self.undo.as_deref_mut().filter(|undo| number < undo.next) else {
            return;
        };
        let Some(inode) = self.nodes.get(&number) else {
            return;
        };
        undo.before.entry(number).or_insert_with(|| {
            undo.bytes += STEP;
            Before {
                names: inode.names,
                atime: inode.atime,
                mtime: inode.mtime,
                ctime: inode.ctime,
                body: match &inode.body {
                    Body::File(content) => BodyBefore::File { size: content.size },
                    Body::Directory(names) => BodyBefore::Directory(names.before()),
                    Body::Symlink(_) => BodyBefore::Symlink,
                },
            }
        });
    }

    /// Keeps what a name stands for, before that is changed.
    pub fn keep_name(&mut self, directory: u64, name: &str) {
        self.add(directory, name.len(), |state| {
            let names = state.inode(directory).ok()?.directory().ok()?;
            Some(Step::Name(directory, name.into(), names.entry(name)))
        });
    }

    /// Keeps where blocks of a file are, before they are elsewhere.
    pub fn keep_blocks(&mut self, number: u64, block: u32, length: u32) {
        if self.undo_of(number).is_none() {
            return;
        }
        let Ok(content) = self.content(number) else {
            return;
        };
        let extents = content.extents.within(block, length);
        self.add(number, extents.len() * 16, |_| {
            Some(Step::Blocks {
                number,
                block,
                length,
                extents,
            })
        });
    }

    /// Notes that a file was made.
    pub fn keep_made(&mut self, number: u64) {
        if let Some(undo) = &mut self.undo {
            undo.bytes += STEP;
            undo.log.push(Step::Made(number));
        }
    }

    /// Keeps a file that is gone.
    pub fn keep_gone(&mut self, number: u64, inode: Inode) {
        let bytes = size_of::<Inode>() + inode.target_bytes() as usize;
        self.add(number, bytes, |_| Some(Step::Gone(number, inode)));
    }

    /// Keeps what there is, until it is decided whether what is done from now on stays.
    ///
    /// # Errors
    /// - [`Errno::Busy`]: there is one that is not decided yet
    /// - as [`State::commit`]
    pub fn checkpoint(&mut self) -> Result<(), Errno> {
        if self.is_kept() {
            return Err(Errno::Busy);
        }
        self.commit_now()?;
        self.space.keep();
        self.holds += 1;
        self.undo = Some(Box::new(Undo {
            next: self.next,
            names: self.names,
            text: self.text,
            used: self.used,
            log: Vec::new(),
            bytes: 0,
            before: NumberMap::default(),
            prepared: false,
        }));
        Ok(())
    }

    /// Makes what was done durable, in such a way that it counts once that is decided.
    pub fn prepare(&mut self, id: u64) -> Result<(), Errno> {
        if let Some(errno) = self.failed {
            return Err(errno);
        }
        self.changeable_or_full()?;
        if self.waiting_since.is_some() {
            self.prepare_now(id)?;
        }
        if let Some(undo) = &mut self.undo {
            undo.prepared = true;
        }
        Ok(())
    }

    /// A log that is too long is no reason not to prepare.
    fn changeable_or_full(&self) -> Result<(), Errno> {
        match self.changeable() {
            Err(Errno::Busy) => Err(Errno::Busy),
            _ => Ok(()),
        }
    }

    /// Lets what was done stay.
    ///
    /// # Errors
    /// As [`State::commit`]; nothing of it is left then.
    pub fn commit_checkpoint(&mut self) -> Result<(), Errno> {
        let prepared = self.undo.as_ref().is_some_and(|undo| undo.prepared);
        let committed = match prepared {
            true => self.decide(true),
            false => self.commit_now(),
        };
        if committed.is_err() && !prepared {
            // It has failed already.
            let _ = self.discard_checkpoint();
            return committed;
        }
        if self.undo.take().is_some() {
            self.holds -= 1;
            self.space.keep_no_more();
        }
        committed?;
        // What has gone meanwhile, as files were closed, is not durable yet, and its blocks are not free.
        match self.waiting_since {
            None if prepared => self.committed(),
            None => {}
            Some(_) => {
                let _ = self.commit_now();
            }
        }
        Ok(())
    }

    /// Puts everything back.
    ///
    /// # Errors
    /// - [`Errno::Io`]: the host failed
    pub fn discard_checkpoint(&mut self) -> Result<(), Errno> {
        let Some(undo) = self.undo.take() else {
            return Ok(());
        };
        self.holds -= 1;
        let Undo {
            next,
            names,
            text,
            used,
            log,
            before,
            prepared,
            ..
        } = *undo;
        self.drop_dirty();
        let mut held = false;
        let mut restored: Vec<u64> = before.keys().copied().collect();
        for step in log.into_iter().rev() {
            match step {
                Step::Made(number) => held |= self.unmake(number),
                Step::Gone(number, mut inode) => {
                    // Of what is in no list of changes any more.
                    inode.changed = false;
                    restored.push(number);
                    self.nodes.insert(number, inode);
                }
                Step::Name(directory, name, entry) => {
                    if let Some(inode) = self.nodes.get_mut(&directory)
                        && let Ok(names) = inode.directory_mut()
                    {
                        names.restore(name, entry);
                    }
                }
                Step::Blocks {
                    number,
                    block,
                    length,
                    extents,
                } => self.remap(number, block, length, extents),
            }
        }
        for (number, before) in before {
            if let Some(inode) = self.nodes.get_mut(&number) {
                before.restore(inode);
            }
        }
        (self.names, self.text, self.used) = (names, text, used);
        self.space.discard();
        self.pending.clear();
        self.targets = 0;
        for number in std::mem::take(&mut self.changed) {
            if let Some(inode) = self.nodes.get_mut(&number) {
                inode.changed = false;
            }
        }
        self.waiting_since = None;
        // Numbers of files that somebody still has open are not given again: those are stale from now on.
        if !held {
            self.next = next;
        }
        let decided = match prepared {
            true => self.decide(false),
            false => Ok(()),
        };
        // What had no name at the checkpoint, and was closed since.
        for number in restored {
            self.end_if_gone(number);
        }
        decided
    }

    /// Ends a checkpoint that nobody will decide any more: one that is prepared is left for when the volume is opened again.
    pub fn abandon_checkpoint(&mut self) {
        if self.undo.as_ref().is_some_and(|undo| undo.prepared) {
            self.failed = self.failed.or(Some(Errno::Io));
        } else {
            // What the host could not do it has said to others.
            let _ = self.discard_checkpoint();
        }
    }

    /// Forgets a file that was made since; whether somebody has it open.
    fn unmake(&mut self, number: u64) -> bool {
        let Some(mut inode) = self.nodes.remove(&number) else {
            return false;
        };
        if let Ok(content) = inode.content() {
            for slot in content.pages.values() {
                self.cache.forget(*slot);
            }
        }
        self.holds -= inode.holds;
        inode.holds > 0
    }

    fn remap(&mut self, number: u64, block: u32, length: u32, extents: Vec<(u32, Extent)>) {
        let Some(inode) = self.nodes.get_mut(&number) else {
            return;
        };
        let Ok(content) = inode.content() else {
            return;
        };
        let end = block.saturating_add(length);
        let pages = content.pages.range(block..end);
        for block in pages.map(|(block, _)| *block).collect::<Vec<_>>() {
            if let Some(slot) = content.pages.remove(&block) {
                self.cache.forget(slot);
            }
        }
        content.extents.remove(block, length, |_, _| {});
        for (block, extent) in extents {
            content.extents.insert(block, extent, |_, _| {});
        }
    }
}

impl Before {
    fn restore(self, inode: &mut Inode) {
        inode.names = self.names;
        inode.atime = self.atime;
        inode.mtime = self.mtime;
        inode.ctime = self.ctime;
        match (self.body, &mut inode.body) {
            (BodyBefore::File { size }, Body::File(content)) => content.size = size,
            (BodyBefore::Directory(before), Body::Directory(names)) => names.restore_all(before),
            _ => {}
        }
    }
}
