//! Listing directories in which mount points lie, or where several members stand.
//!
//! Members are listed one after the other. A cookie of the union is a member's own, behind the last cookie of the members before
//! it that is shown, so that cookies of unions within unions (of a parent, and of its parent) add up and don't run out. Where
//! each member begins is known when the one before it has ended, and is forgotten when the listing starts again. A cookie
//! that the open directory doesn't know is found by listing from the start.

use std::sync::{Arc, Mutex};

use super::seen::Seen;
use super::table::{Member, MountTable, Place};
use super::view::Exports;
use crate::account::Charge;
use crate::device::parts::lock;
use crate::maybe_send::breathe;
use crate::{
    DirEntry, DirectoryFile, Entries, Errno, Name, Op, OpenDirectory, OpenFile, OpenHow, Rights,
    SetStat, Stat,
};

/// Entries that a listing leaves out before it lets others have their turn.
const LEFT_OUT_MAX: usize = 4096;

/// An open directory that shows what is mounted in it, and each name once.
pub(super) struct UnitedDirectory(Arc<United>);

struct United {
    table: Arc<MountTable>,
    members: Vec<Member>,
    /// The member that speaks for the directory.
    face: usize,
    /// Whether its mounts let it be listed. What it was opened for doesn't matter: programs list directories that they have opened
    /// for nothing at all.
    readable: Result<(), Errno>,
    /// Set where another namespace looks at it.
    exports: Option<Arc<Exports>>,
    open: Mutex<Open>,
    /// For the members.
    _charge: Option<Charge>,
}

struct Open {
    files: Vec<Box<dyn OpenFile>>,
    /// The union's cookie behind which each member begins, as far as they have been reached. The first is 0.
    starts: Vec<u64>,
    /// The highest cookie that was told since the listing began.
    told: u64,
    /// Taken out while a listing is under way.
    seen: Option<Seen>,
}

/// Where a listing goes on.
struct Found {
    /// The member.
    at: usize,
    /// The union's cookie behind which it begins.
    start: u64,
    /// The cookie of the last entry that was shown, or left out because it was shown before.
    shown: u64,
    seen: Option<Seen>,
}

impl UnitedDirectory {
    /// Opens all members of a place.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: the account of the namespace has no room for them
    pub(super) fn open(
        table: Arc<MountTable>,
        place: &Place,
        exports: Option<Arc<Exports>>,
    ) -> Op<Box<dyn OpenFile>> {
        let members: Vec<Member> = place.members().collect();
        let face = place.face();
        let readable = place.demand(Rights::READ);
        let charge = match table.listings.open(members.len()) {
            Ok(charge) => charge,
            Err(errno) => return Op::err(errno),
        };
        Op::run(async move {
            let mut files = Vec::with_capacity(members.len());
            for member in &members {
                let listed = OpenHow {
                    read: true,
                    ..OpenHow::default()
                };
                files.push(member.node.open(listed).wait().await?);
            }
            let file: Box<dyn OpenFile> =
                Box::new(DirectoryFile(UnitedDirectory(Arc::new(United {
                    table,
                    members,
                    face,
                    readable,
                    exports,
                    open: Mutex::new(Open {
                        files,
                        starts: vec![0],
                        told: 0,
                        seen: None,
                    }),
                    _charge: charge,
                }))));
            Ok(file)
        })
    }

    /// Asks the member that speaks for the directory.
    fn ask_face<T>(&self, ask: impl FnOnce(&mut dyn OpenFile) -> Op<T>) -> Op<T> {
        let mut open = lock(&self.0.open);
        ask(&mut *open.files[self.0.face])
    }
}

impl Entries for UnitedDirectory {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        match self.0.readable {
            Ok(()) => Op::run(self.0.clone().list(cookie, max)),
            Err(errno) => Op::err(errno),
        }
    }
}

impl United {
    async fn list(self: Arc<Self>, cookie: u64, max: usize) -> Result<Vec<DirEntry>, Errno> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let Found {
            mut at,
            mut start,
            mut shown,
            mut seen,
        } = self.find(cookie);
        let mut own = shown - start;
        let mut left_out = 0;
        while at < self.members.len() {
            let entries = self.list_member(at, own, max).wait().await?;
            let Some(last) = entries.last() else {
                // Nothing of this member's was shown behind that.
                self.begin(at + 1, shown);
                if let Some(seen) = &mut seen {
                    seen.next(shown);
                }
                (at, start, own) = (at + 1, shown, 0);
                continue;
            };
            if last.cookie <= own {
                // It would be asked the same for ever.
                return Err(Errno::Io);
            }
            own = last.cookie;
            let end = start.checked_add(own).ok_or(Errno::Overflow)?;
            let mut visible = Vec::with_capacity(entries.len());
            for mut entry in entries {
                entry.cookie = entry.cookie.saturating_add(start).min(end);
                if self.is_shadowed(at, &mut seen, &entry).await {
                    left_out += 1;
                } else {
                    shown = entry.cookie;
                    match shown > cookie {
                        true => visible.push(self.shown(at, entry)?),
                        false => left_out += 1,
                    }
                }
                if left_out >= LEFT_OUT_MAX {
                    left_out = 0;
                    breathe().await;
                }
            }
            if let Some(seen) = &mut seen {
                seen.listed(end);
            }
            if let Some(last) = visible.last() {
                // What this member has beyond these comes before the next member's.
                let mut open = lock(&self.open);
                open.told = open.told.max(last.cookie);
                open.seen = seen;
                return Ok(visible);
            }
        }
        Ok(Vec::new())
    }

    /// Where the listing behind `cookie` goes on: with what it was told before, or else from the start.
    fn find(&self, cookie: u64) -> Found {
        let mut open = lock(&self.open);
        if cookie == 0 || cookie > open.told {
            open.starts.truncate(1);
            (open.told, open.seen) = (0, None);
            // One member shadows nobody.
            let remembers = self.members.len() > 1;
            return Found {
                at: 0,
                start: 0,
                shown: 0,
                seen: remembers.then(|| self.table.listings.begin()).flatten(),
            };
        }
        let at = open.starts.partition_point(|start| *start <= cookie) - 1;
        let seen = open.seen.take();
        Found {
            at,
            start: open.starts[at],
            shown: cookie,
            seen: seen.and_then(|seen| seen.resume(at, cookie)),
        }
    }

    /// Notes where a member begins.
    fn begin(&self, at: usize, start: u64) {
        let mut open = lock(&self.open);
        if at < self.members.len() {
            open.starts.truncate(at);
            open.starts.push(start);
        }
    }

    fn list_member(&self, at: usize, own: u64, max: usize) -> Op<Vec<DirEntry>> {
        match lock(&self.open).files[at].entries() {
            Some(entries) => entries.list(own, max),
            None => Op::err(Errno::Notdir),
        }
    }

    /// Whether a member that is searched earlier has the name; notes the name for those that are searched later.
    async fn is_shadowed(&self, at: usize, seen: &mut Option<Seen>, entry: &DirEntry) -> bool {
        let is_last = at + 1 == self.members.len();
        if let Some(known) = seen {
            if is_last && !known.has_earlier() {
                return false;
            }
            let hash = known.hash(&entry.name);
            let shadowed = known.is_earlier(hash);
            if !shadowed && !is_last && !known.note(entry.cookie, hash) {
                // From here on the members are asked.
                *seen = None;
            }
            return shadowed;
        }
        let Ok(name) = Name::new(&entry.name) else {
            return false;
        };
        for member in &self.members[..at] {
            if let Some(directory) = member.node.directory()
                && directory.walk(name).wait().await.is_ok()
            {
                return true;
            }
        }
        false
    }

    /// An entry of a member as whoever lists sees it: what is mounted on it is what it names.
    fn shown(&self, at: usize, mut entry: DirEntry) -> Result<DirEntry, Errno> {
        let mut mount = &self.members[at].mount;
        let mounted = self.table.get(mount.key_of(entry.qid));
        if let Some(union) = mounted {
            entry.qid = union.face().node.qid();
            mount = &union.face().mount;
        }
        if let Some(exports) = &self.exports {
            entry.qid = exports.qid(mount, entry.qid)?;
        }
        Ok(entry)
    }
}

#[deny(clippy::missing_trait_methods)]
impl OpenDirectory for UnitedDirectory {
    fn stat(&self) -> Op<Stat> {
        self.ask_face(|file| file.stat())
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        self.ask_face(|file| file.set_stat(change))
    }

    /// Every member is committed, whatever becomes of the others; the first failure is told.
    fn sync(&mut self, data_only: bool) -> Op<()> {
        let mut open = lock(&self.0.open);
        let begun: Vec<Op<()>> = open
            .files
            .iter_mut()
            .map(|file| file.sync(data_only))
            .collect();
        drop(open);
        Op::run(async move {
            let mut outcome = Ok(());
            for member in begun {
                let synced = member.wait().await;
                outcome = outcome.and(synced);
            }
            outcome
        })
    }
}
