//! Listing directories in which mount points lie, or where several members stand.

use std::sync::Arc;

use super::table::{Member, MountTable, Place};
use crate::{
    DirEntry, DirectoryFile, Entries, Errno, Name, Op, OpenDirectory, OpenFile, OpenHow, SetStat,
    Stat,
};

/// Bits of a cookie that are the member's own; its index stands above them.
const COOKIE_BITS: u32 = 42;

/// An open directory that shows what is mounted in it, and each name once.
pub(super) struct UnitedDirectory {
    table: Arc<MountTable>,
    members: Vec<(Member, Box<dyn OpenFile>)>,
}

impl UnitedDirectory {
    pub(super) fn open(table: Arc<MountTable>, place: &Place) -> Op<Box<dyn OpenFile>> {
        let members: Vec<Member> = place.members().collect();
        Op::run(async move {
            let how = OpenHow {
                read: true,
                ..OpenHow::default()
            };
            let mut opened = Vec::with_capacity(members.len());
            for member in members {
                let file = member.node.open(how).wait().await?;
                opened.push((member, file));
            }
            let file: Box<dyn OpenFile> = Box::new(DirectoryFile(UnitedDirectory {
                table,
                members: opened,
            }));
            Ok(file)
        })
    }
}

impl Entries for UnitedDirectory {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let first = usize::try_from(cookie >> COOKIE_BITS).unwrap_or(usize::MAX);
        let mut own = cookie & ((1 << COOKIE_BITS) - 1);
        let mut asked = Vec::new();
        for (_, file) in self.members.iter_mut().skip(first) {
            let Some(entries) = file.entries() else {
                return Op::err(Errno::Notdir);
            };
            asked.push(entries.list(std::mem::take(&mut own), max));
        }
        let table = self.table.clone();
        let members: Vec<Member> = self
            .members
            .iter()
            .map(|(member, _)| member.clone())
            .collect();
        Op::run(async move {
            let mut united = Vec::new();
            for (index, entries) in (first..).zip(asked) {
                let entries = entries.wait().await?;
                let more = entries.len() >= max;
                for mut entry in entries {
                    entry.cookie |= (index as u64) << COOKIE_BITS;
                    if let Some(union) = table.get((members[index].mount.device, entry.qid.path)) {
                        entry.qid = union.members[0].node.qid();
                    }
                    if !shadowed(&members[..index], &entry.name).await {
                        united.push(entry);
                    }
                }
                // What this member has beyond `max` comes before the next member's.
                if more && !united.is_empty() {
                    break;
                }
            }
            united.truncate(max);
            Ok(united)
        })
    }
}

/// Whether a member that is searched earlier has the name.
async fn shadowed(earlier: &[Member], name: &str) -> bool {
    let Ok(name) = Name::new(name) else {
        return false;
    };
    for member in earlier {
        if let Some(directory) = member.node.directory()
            && directory.walk(name).wait().await.is_ok()
        {
            return true;
        }
    }
    false
}

impl OpenDirectory for UnitedDirectory {
    fn stat(&self) -> Op<Stat> {
        self.members[0].1.stat()
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        self.members[0].1.set_stat(change)
    }

    fn sync(&mut self, data_only: bool) -> Op<()> {
        self.members[0].1.sync(data_only)
    }
}
