//! An open volume: its tree, and what every change has to do.

#[cfg(feature = "durable")]
use std::collections::HashSet;
use std::sync::Arc;

use capfs::clock::Clock;
use capfs::{DirEntry, Errno, Name, Qid, SYMLINK_TARGET_MAX, SetStat, SetTime, Stat};

use crate::block_file::BlockFile;
use crate::cache::Cache;
use crate::checksum::Sums;
use crate::inode::{Body, Content, Inode, Names, ROOT};
use crate::journal::Journal;
use crate::limits::{
    BLOCK, COMMIT_EVERY, DEFERRED_MAX, Geometry, PENDING_MAX, STORAGE_DEPTH_MAX, STORAGE_NODES_MAX,
    STORAGE_TEXT_MAX,
};
use crate::numbers::NumberMap;
use crate::record::Record;
use crate::space::Space;
#[cfg(feature = "durable")]
use crate::undo::Undo;

/// Bytes that one inode's attributes take in the index, at most, without a link's target.
const ATTRIBUTES_MAX: u64 = 64;

/// Bytes that the records of one change take in the index, at most: two names and a link's target, or where a piece of contents is with its
/// checksums.
const CHANGE_MAX: u64 = 8 << 10;

/// Bytes that a dirty page takes in the index, at most: a record of its own, with its checksum.
const PAGE_MAX: u64 = 32;

/// Whether a change takes room or gives it back: the last room is for what gives back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Grows,
    Shrinks,
}

/// A volume whose files are open.
pub(crate) struct State {
    pub nodes: NumberMap<Inode>,
    /// The number of the next inode; none is used twice.
    pub next: u64,
    /// Names in all directories.
    pub names: usize,
    /// Bytes of all names and link targets.
    pub text: u64,
    /// References from outside, to any inode.
    pub holds: u64,
    pub cache: Cache,
    pub space: Space,
    pub sums: Sums,
    pub journal: Journal,
    pub data: Box<dyn BlockFile>,
    pub clock: Arc<dyn Clock>,
    pub geometry: Geometry,
    /// Blocks that files may take.
    pub limit: u64,
    /// Blocks that files take: mapped ones, dirty ones in holes, and some for each directory and link.
    pub used: u64,
    /// Records of changes that are not in the index yet.
    pub pending: Vec<u8>,
    /// Inodes whose attributes are to be written.
    pub changed: Vec<u64>,
    /// Bytes of link targets among them that are not in the index yet.
    pub targets: u64,
    /// Since when something waits for a commit.
    pub waiting_since: Option<u64>,
    /// Blocks have been written to the data file that were not flushed.
    pub unflushed: bool,
    /// A flush has failed: nothing can be promised any more, and what is durable is the last commit.
    pub failed: Option<Errno>,
    /// Where blocks are gathered that go into one write, or come from one read.
    pub transfer: Vec<u8>,
    /// Commits since the volume was opened.
    pub commits: u64,
    /// What there was at the checkpoint, if one is open.
    #[cfg(feature = "durable")]
    pub undo: Option<Box<Undo>>,
}

impl State {
    pub fn inode(&self, number: u64) -> Result<&Inode, Errno> {
        self.nodes.get(&number).ok_or(Errno::Stale)
    }

    pub fn inode_mut(&mut self, number: u64) -> Result<&mut Inode, Errno> {
        self.nodes.get_mut(&number).ok_or(Errno::Stale)
    }

    pub fn content(&mut self, number: u64) -> Result<&mut Content, Errno> {
        self.inode_mut(number)?.content()
    }

    /// Now, for a stamp that replaces `old`: a stamp doesn't step back because the coarse clock lags.
    pub fn now_after(&self, old: u64) -> u64 {
        match self.clock.coarse() {
            coarse if coarse >= old => coarse,
            _ => self.clock.realtime(),
        }
    }

    /// Notes that something waits for a commit.
    pub fn wait_for_commit(&mut self) {
        if self.waiting_since.is_none() {
            self.waiting_since = Some(self.clock.coarse());
        }
    }

    /// Notes that an inode's attributes have changed.
    pub fn mark(&mut self, number: u64) {
        if let Some(inode) = self.nodes.get_mut(&number)
            && !inode.changed
        {
            inode.changed = true;
            self.changed.push(number);
        }
        self.wait_for_commit();
    }

    pub fn log(&mut self, record: Record<'_>) {
        record.encode(&mut self.pending);
        self.wait_for_commit();
    }

    /// What every change begins with: commits what has waited for long, and makes sure that the index
    /// can take the change.
    pub fn begin(&mut self, effect: Effect) -> Result<(), Errno> {
        if let Some(errno) = self.failed {
            return Err(errno);
        }
        self.changeable()?;
        if self.is_due() {
            // What can't be committed now is kept, and whoever asks for it to be durable is told.
            let _ = self.commit();
            if let Some(errno) = self.failed {
                return Err(errno);
            }
        }
        let reserved = self.reserve_index(effect);
        if reserved.is_ok() || self.is_kept() {
            return reserved;
        }
        // The host is full: an index without its history is shorter, and free blocks can be given back.
        self.commit()?;
        self.cut_tail(0);
        let _ = self.rewrite_index();
        if let Some(errno) = self.failed {
            return Err(errno);
        }
        self.reserve_index(effect)
    }

    /// Makes sure that the index can take what waits for a commit, what is dirty in the cache, and one more change.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: the host has no room, or the index is as long as one may be
    pub fn reserve_index(&mut self, effect: Effect) -> Result<(), Errno> {
        let attributes = (self.changed.len() as u64 + 2) * ATTRIBUTES_MAX + self.targets;
        let spare = match effect {
            Effect::Grows => self.geometry.index_step,
            Effect::Shrinks => 0,
        };
        let pages = u64::from(self.cache.dirty()) * PAGE_MAX;
        let bytes = self.pending.len() as u64 + attributes + pages + CHANGE_MAX;
        self.journal.reserve(bytes, spare)
    }

    /// Whether changes have waited for a commit for long enough.
    pub fn is_due(&self) -> bool {
        let Some(since) = self.waiting_since.filter(|_| !self.is_kept()) else {
            return false;
        };
        self.pending.len() > PENDING_MAX
            || self.space.deferred() > DEFERRED_MAX
            || self.clock.coarse().abs_diff(since) >= COMMIT_EVERY
    }

    pub fn stat(&self, number: u64) -> Result<Stat, Errno> {
        Ok(self.inode(number)?.stat(number))
    }

    pub fn set_stat(&mut self, number: u64, change: SetStat) -> Result<(), Errno> {
        if let Some(size) = change.size {
            self.set_size(number, size)?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            self.begin(Effect::Grows)?;
            self.keep(number);
            let now = self.clock.realtime();
            let stamp = |time| match time {
                SetTime::Now => now,
                SetTime::To(time) => time,
            };
            let inode = self.inode_mut(number)?;
            inode.atime = change.atime.map_or(inode.atime, stamp);
            inode.mtime = change.mtime.map_or(inode.mtime, stamp);
            inode.ctime = now;
            self.mark(number);
        }
        Ok(())
    }

    pub fn read_link(&self, number: u64) -> Result<String, Errno> {
        match &self.inode(number)?.body {
            Body::Symlink(target) => Ok(target.to_string()),
            _ => Err(Errno::Inval),
        }
    }

    pub fn list(&mut self, number: u64, cookie: u64, max: usize) -> Result<Vec<DirEntry>, Errno> {
        let entries = self.inode(number)?.directory()?.list(cookie, max);
        self.touch_access(number);
        Ok(entries)
    }

    pub fn touch_access(&mut self, number: u64) {
        if self.changeable().is_err() {
            return;
        }
        let now = self.clock.coarse();
        self.keep(number);
        let inode = self.nodes.get_mut(&number);
        if inode.is_some_and(|inode| inode.touch_access(now)) {
            self.mark(number);
        }
    }

    /// One more reference from outside.
    pub fn hold(&mut self, number: u64) -> Result<Qid, Errno> {
        let inode = self.inode_mut(number)?;
        inode.holds += 1;
        let kind = inode.kind();
        self.holds += 1;
        Ok(Qid::new(number, kind))
    }

    /// One reference less.
    pub fn unhold(&mut self, number: u64) {
        if let Some(inode) = self.nodes.get_mut(&number) {
            inode.holds -= 1;
            self.holds -= 1;
        }
        self.end_if_gone(number);
    }

    /// Gives back what a file used that has no name, and that nobody refers to.
    pub fn end_if_gone(&mut self, number: u64) {
        let gone = |inode: &Inode| inode.names == 0 && inode.holds == 0 && number != ROOT;
        if !self.nodes.get(&number).is_some_and(gone) {
            return;
        }
        self.drop_blocks(number, 0);
        if let Some(inode) = self.nodes.remove(&number) {
            self.used -= inode.own_blocks(number);
            self.text -= inode.target_bytes();
            self.keep_gone(number, inode);
        }
        self.log(Record::Gone { number });
    }

    pub fn walk(&self, directory: u64, name: Name<'_>) -> Result<u64, Errno> {
        self.find(directory, name).map(|qid| qid.path)
    }

    /// Which of these files are `base` or below it, and reached without those that are `covered`.
    #[cfg(feature = "durable")]
    pub fn find_below<'a>(
        &self,
        base: u64,
        wanted: impl Iterator<Item = &'a u64>,
        covered: &HashSet<u64>,
    ) -> HashSet<u64> {
        let mut wanted: HashSet<u64> = wanted.copied().collect();
        let mut found = HashSet::new();
        let mut pending = vec![base];
        while let Some(number) = pending.pop() {
            if wanted.remove(&number) {
                found.insert(number);
            }
            if wanted.is_empty() {
                break;
            }
            if let Ok(names) = self.inode(number).and_then(Inode::directory) {
                let below = names.iter().map(|(_, qid)| qid);
                let below = below.filter(|qid| {
                    qid.kind == capfs::FileKind::Directory || wanted.contains(&qid.path)
                });
                let below = below.map(|qid| qid.path);
                pending.extend(below.filter(|number| !covered.contains(number)));
            }
        }
        found
    }

    fn find(&self, directory: u64, name: Name<'_>) -> Result<Qid, Errno> {
        let names = self.inode(directory)?.directory()?;
        names.get(name.as_str()).ok_or(Errno::Noent)
    }

    /// Checks that a directory takes a new name.
    fn check_new(&self, directory: u64, name: Name<'_>) -> Result<(), Errno> {
        let names = self.inode(directory)?.directory()?;
        if names.removed {
            return Err(Errno::Noent);
        }
        match names.get(name.as_str()) {
            Some(_) => Err(Errno::Exist),
            None if self.names >= STORAGE_NODES_MAX => Err(Errno::Nospc),
            None => self.check_text(name.as_str().len() as u64),
        }
    }

    /// Checks that there is room for more names and targets.
    fn check_text(&self, more: u64) -> Result<(), Errno> {
        match self.text + more <= STORAGE_TEXT_MAX {
            true => Ok(()),
            false => Err(Errno::Nospc),
        }
    }

    /// Gives a file a name that is not there, and counts it.
    fn attach(&mut self, directory: u64, name: Name<'_>, number: u64) -> Result<(), Errno> {
        let qid = Qid::new(number, self.inode(number)?.kind());
        self.keep(number);
        self.keep_name(directory, name.as_str());
        self.change_directory(directory, |names| {
            names.put(name.as_str(), qid);
            names.subdirectories += u64::from(qid.kind == capfs::FileKind::Directory);
        })?;
        self.names += 1;
        self.text += name.as_str().len() as u64;
        self.inode_mut(number)?.names += 1;
        self.log(Record::Name {
            directory,
            name: name.as_str(),
            number,
        });
        Ok(())
    }

    /// Takes a name away, and counts it.
    fn detach(&mut self, directory: u64, name: Name<'_>, number: u64) -> Result<(), Errno> {
        let is_directory = self.inode(number)?.is_directory();
        self.keep_name(directory, name.as_str());
        self.change_directory(directory, |names| {
            names.remove(name.as_str());
            names.subdirectories -= u64::from(is_directory);
        })?;
        self.names -= 1;
        self.text -= name.as_str().len() as u64;
        self.log(Record::Unname {
            directory,
            name: name.as_str(),
        });
        self.lose_name(number)
    }

    /// Notes that one of a file's names is gone.
    fn lose_name(&mut self, number: u64) -> Result<(), Errno> {
        let now = self.clock.realtime();
        self.keep(number);
        let inode = self.inode_mut(number)?;
        inode.names -= 1;
        inode.ctime = now;
        if let Body::Directory(names) = &mut inode.body {
            names.removed = true;
        }
        self.mark(number);
        self.end_if_gone(number);
        Ok(())
    }

    fn change_directory(
        &mut self,
        directory: u64,
        change: impl FnOnce(&mut Names),
    ) -> Result<(), Errno> {
        let now = self.clock.realtime();
        self.keep(directory);
        let inode = self.inode_mut(directory)?;
        change(inode.directory_mut()?);
        inode.touch(now);
        self.mark(directory);
        Ok(())
    }

    /// Makes a file and gives it a name.
    pub fn create(&mut self, directory: u64, name: Name<'_>, body: Body) -> Result<u64, Errno> {
        self.check_new(directory, name)?;
        if self.nodes.len() > STORAGE_NODES_MAX {
            return Err(Errno::Nospc);
        }
        if let Body::Symlink(target) = &body
            && target.len() > SYMLINK_TARGET_MAX
        {
            return Err(Errno::Nametoolong);
        }
        let inode = Inode::new(body, self.clock.realtime());
        let (target, blocks) = (inode.target_bytes(), inode.own_blocks(self.next));
        self.check_text(name.as_str().len() as u64 + target)?;
        if self.used + blocks > self.limit && blocks > 0 {
            return Err(Errno::Dquot);
        }
        self.begin(Effect::Grows)?;
        let number = self.next;
        self.next += 1;
        self.used += blocks;
        self.text += target;
        self.targets += target;
        self.nodes.insert(number, inode);
        self.keep_made(number);
        self.mark(number);
        self.attach(directory, name, number)?;
        Ok(number)
    }

    pub fn make_directory(&mut self, directory: u64, name: Name<'_>) -> Result<u64, Errno> {
        self.create(directory, name, Body::Directory(Names::below(directory)))
    }

    pub fn link(&mut self, directory: u64, name: Name<'_>, number: u64) -> Result<(), Errno> {
        let inode = self.inode(number)?;
        if inode.is_directory() {
            return Err(Errno::Perm);
        }
        // Its last name is gone: there is nothing left to give a name to (link(2)).
        let lost = inode.names == 0;
        self.check_new(directory, name)?;
        if lost {
            return Err(Errno::Noent);
        }
        self.begin(Effect::Grows)?;
        self.attach(directory, name, number)?;
        let now = self.clock.realtime();
        self.inode_mut(number)?.ctime = now;
        self.mark(number);
        Ok(())
    }

    pub fn unlink(&mut self, directory: u64, name: Name<'_>) -> Result<(), Errno> {
        let number = self.walk(directory, name)?;
        if self.inode(number)?.is_directory() {
            return Err(Errno::Isdir);
        }
        self.begin(Effect::Shrinks)?;
        self.detach(directory, name, number)
    }

    pub fn remove_directory(&mut self, directory: u64, name: Name<'_>) -> Result<(), Errno> {
        let number = self.walk(directory, name)?;
        if !self.inode(number)?.directory()?.is_empty() {
            return Err(Errno::Notempty);
        }
        self.begin(Effect::Shrinks)?;
        self.detach(directory, name, number)
    }

    pub fn rename(
        &mut self,
        from: u64,
        name: Name<'_>,
        to: u64,
        to_name: Name<'_>,
    ) -> Result<(), Errno> {
        let moved = self.find(from, name)?;
        let target = self.inode(to)?.directory()?;
        if target.removed {
            return Err(Errno::Noent);
        }
        let victim = target.get(to_name.as_str());
        let is_directory = moved.kind == capfs::FileKind::Directory;
        if is_directory && from != to && self.is_within(to, moved.path)? {
            return Err(Errno::Inval);
        }
        if let Some(victim) = victim {
            if victim == moved {
                return Ok(());
            }
            let onto_directory = victim.kind == capfs::FileKind::Directory;
            match (is_directory, onto_directory) {
                (true, false) => return Err(Errno::Notdir),
                (false, true) => return Err(Errno::Isdir),
                (true, true) if !self.inode(victim.path)?.directory()?.is_empty() => {
                    return Err(Errno::Notempty);
                }
                _ => {}
            }
        }
        let (old, new) = (name.as_str().len() as u64, to_name.as_str().len() as u64);
        // What is replaced gives its name back.
        let gone = if victim.is_some() { old + new } else { old };
        self.check_text(new.saturating_sub(gone))?;
        self.begin(Effect::Shrinks)?;
        if let Some(victim) = victim {
            self.detach(to, to_name, victim.path)?;
        }
        self.text = self.text + new - old;
        self.keep(moved.path);
        self.keep_name(from, name.as_str());
        self.keep_name(to, to_name.as_str());
        if from == to {
            self.change_directory(from, |names| names.rename(name.as_str(), to_name.as_str()))?;
        } else {
            let below = u64::from(is_directory);
            self.change_directory(from, |names| {
                names.remove(name.as_str());
                names.subdirectories -= below;
            })?;
            self.change_directory(to, |names| {
                names.put(to_name.as_str(), moved);
                names.subdirectories += below;
            })?;
        }
        self.log(Record::Unname {
            directory: from,
            name: name.as_str(),
        });
        self.log(Record::Name {
            directory: to,
            name: to_name.as_str(),
            number: moved.path,
        });
        let now = self.clock.realtime();
        let inode = self.inode_mut(moved.path)?;
        inode.ctime = now;
        if let Body::Directory(names) = &mut inode.body {
            names.parent = to;
        }
        self.mark(moved.path);
        Ok(())
    }

    /// Whether a directory is `above` or below it.
    ///
    /// # Errors
    /// - [`Errno::Nametoolong`]: it lies deeper than [`STORAGE_DEPTH_MAX`]
    fn is_within(&self, directory: u64, above: u64) -> Result<bool, Errno> {
        let mut at = directory;
        for _ in 0..=STORAGE_DEPTH_MAX {
            if at == above {
                return Ok(true);
            }
            match self.nodes.get(&at).map(|inode| &inode.body) {
                Some(Body::Directory(names)) if at != ROOT => at = names.parent,
                _ => return Ok(false),
            }
        }
        Err(Errno::Nametoolong)
    }

    /// By its quota: the host tells how much room it has by refusing more.
    #[cfg(feature = "durable")]
    pub fn file_system_stat(&self) -> capfs::FileSystemStat {
        let files = self.nodes.len().saturating_sub(1);
        capfs::FileSystemStat {
            block_size: BLOCK as u32,
            blocks: self.limit,
            free: self.limit.saturating_sub(self.used),
            files: STORAGE_NODES_MAX as u64,
            free_files: STORAGE_NODES_MAX.saturating_sub(files) as u64,
            name_max: capfs::NAME_MAX as u32,
        }
    }

    /// Bytes that files take.
    pub fn used_bytes(&self) -> u64 {
        self.used * BLOCK as u64
    }
}
