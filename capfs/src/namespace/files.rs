//! What can be done with a path. Rights are enforced here.

use std::sync::Arc;

use super::Namespace;
use super::listing::UnitedDirectory;
use super::table::{Member, Mount, Place};
use super::view::Exports;
use super::walk::{Parent, Resolved};
use crate::{
    EditDirectory, Errno, FileKind, Name, NodeRef, Op, OpenFile, OpenHow, Rights,
    SYMLINK_TARGET_MAX, SetStat, Stat,
};

/// How a path is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenAt {
    /// A symbolic link at the end is followed; without this it is `ELOOP`.
    pub follow: bool,
    /// A missing file is made (`O_CREAT`).
    pub create: bool,
    /// With `create`, an existing file is `EEXIST` (`O_EXCL`).
    pub exclusive: bool,
    /// Anything but a directory is `ENOTDIR` (`O_DIRECTORY`).
    pub directory: bool,
    /// What the file is opened for.
    pub how: OpenHow,
}

/// How often a path is walked again because its last name came or went meanwhile.
const WALKS_MAX: usize = 16;

impl OpenAt {
    /// Whether a failure says that the name has come or gone since the walk that did or didn't find it.
    fn has_changed(&self, existed: bool, errno: Errno) -> bool {
        let changed = match errno {
            Errno::Exist => !existed,
            Errno::Noent => existed,
            _ => false,
        };
        changed && self.create && !self.exclusive
    }
}

/// An opening that is tried again if somebody else makes or takes away the name between the walk and what the walk was for.
struct Again {
    namespace: Namespace,
    base: Place,
    path: String,
    follow: bool,
    how: OpenAt,
}

/// A file that was opened, and where.
type OpenedAt = (Place, Box<dyn OpenFile>);

impl Again {
    async fn open(&self, resolved: Resolved) -> Result<OpenedAt, Errno> {
        let existed = resolved.place.is_some();
        let opened = self.namespace.open_resolved(resolved, self.how);
        self.settle(existed, opened.wait().await).await
    }

    async fn settle(
        &self,
        mut existed: bool,
        mut opened: Result<OpenedAt, Errno>,
    ) -> Result<OpenedAt, Errno> {
        let Again {
            namespace,
            base,
            path,
            follow,
            how,
        } = self;
        for _ in 0..WALKS_MAX {
            let failed = match opened {
                Err(errno) if how.has_changed(existed, errno) => errno,
                opened => return opened,
            };
            let resolved = namespace.walk(base, path, *follow, true).wait().await?;
            let exists = resolved.place.is_some();
            if exists && existed {
                // It is there; that it can't be found is what opening it says.
                return Err(failed);
            }
            existed = exists;
            opened = namespace.open_resolved(resolved, *how).wait().await;
        }
        // Whoever else makes and takes away the name is always faster.
        opened.map_err(|errno| match how.has_changed(existed, errno) {
            true => Errno::Busy,
            false => errno,
        })
    }
}

impl Namespace {
    /// Opens, and makes if asked to, the file at `path`.
    ///
    /// # Errors
    /// As [`Namespace::resolve`], and
    /// - [`Errno::Noent`]: nothing there, and not to be made
    /// - [`Errno::Exist`]: there, and to be made exclusively; never otherwise, whoever makes or takes away the name meanwhile
    /// - [`Errno::Isdir`]: a directory is to be written, or made as a file
    /// - [`Errno::Notdir`], [`Errno::Loop`]: see [`OpenAt`]
    /// - [`Errno::Rofs`], [`Errno::Acces`]: the mount does not allow it
    pub fn open(&self, base: &Place, path: &str, how: OpenAt) -> Op<(Place, Box<dyn OpenFile>)> {
        // O_CREAT|O_EXCL never follows (open(2)): a dangling link at the end exists.
        let follow = how.follow && !(how.create && how.exclusive);
        match self.walk(base, path, follow, how.create) {
            // Nothing that comes or goes meanwhile matters.
            Op::Ready(Ok(resolved)) if !how.create => self.open_resolved(resolved, how),
            walked => self.open_walked(walked, (base, path, follow), how),
        }
    }

    /// Opens what a walk leads to that may end later, or whose last name others may make or take away meanwhile.
    fn open_walked(
        &self,
        walked: Op<Resolved>,
        (base, path, follow): (&Place, &str, bool),
        how: OpenAt,
    ) -> Op<OpenedAt> {
        let resolved = match walked {
            Op::Ready(Ok(resolved)) => resolved,
            Op::Ready(Err(errno)) => return Op::err(errno),
            Op::Later(resolved) => {
                let again = self.again(base, path, follow, how);
                return Op::later(async move { again.open(resolved.await?).await });
            }
        };
        let existed = resolved.place.is_some();
        match self.open_resolved(resolved, how) {
            Op::Later(opened) => {
                let again = self.again(base, path, follow, how);
                Op::later(async move { again.settle(existed, opened.await).await })
            }
            Op::Ready(Err(errno)) if how.has_changed(existed, errno) => {
                let again = self.again(base, path, follow, how);
                Op::run(async move { again.settle(existed, Err(errno)).await })
            }
            opened => opened,
        }
    }

    fn again(&self, base: &Place, path: &str, follow: bool, how: OpenAt) -> Again {
        Again {
            namespace: self.clone(),
            base: base.clone(),
            path: path.to_owned(),
            follow,
            how,
        }
    }

    fn open_resolved(&self, resolved: Resolved, at: OpenAt) -> Op<(Place, Box<dyn OpenFile>)> {
        // A final slash behind a file that has names opens the file.
        let slash =
            resolved.must_be_directory && !resolved.place.as_ref().is_some_and(Place::has_names);
        let must_be_directory = at.directory || slash;
        let Some(place) = resolved.place else {
            return match resolved.parent {
                Some(parent) if at.create => {
                    if must_be_directory {
                        return Op::err(Errno::Isdir);
                    }
                    create(&parent, at.how)
                }
                _ => Op::err(Errno::Noent),
            };
        };
        if at.create && at.exclusive {
            return Op::err(Errno::Exist);
        }
        match place.kind() {
            FileKind::SymbolicLink => return Op::err(Errno::Loop),
            FileKind::Directory if at.create && !at.directory => return Op::err(Errno::Isdir),
            FileKind::Directory => {}
            _ if must_be_directory => return Op::err(Errno::Notdir),
            _ => {}
        }
        match self.open_place(&place, at.how) {
            Op::Ready(Ok(file)) => Op::Ready(Ok((place, file))),
            later => later.map(move |file| (place, file)),
        }
    }

    /// Opens what a place holds.
    ///
    /// # Errors
    /// - [`Errno::Isdir`]: a directory is to be written
    /// - [`Errno::Rofs`], [`Errno::Acces`]: the mount does not allow it; of a union, that of a member whose names it would show
    /// - [`Errno::Nomem`]: the agent's account has no room for the members of a union
    ///
    /// A directory of a mount that may not be read can be opened for nothing; listing it is `EACCES`.
    pub fn open_place(&self, place: &Place, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        self.open_shown(place, how, None)
    }

    /// [`Namespace::open_place`]; what a directory lists has the identities that `exports` gives it.
    pub(super) fn open_shown(
        &self,
        place: &Place,
        how: OpenHow,
        exports: Option<Arc<Exports>>,
    ) -> Op<Box<dyn OpenFile>> {
        let is_directory = place.kind() == FileKind::Directory;
        if is_directory && (how.write || how.truncate) {
            return Op::err(Errno::Isdir);
        }
        let mut rights = Rights::empty();
        rights.set(Rights::READ, how.read);
        // Truncating is writing, whatever the descriptor may do later (RUSTSEC-2026-0149).
        rights.set(Rights::WRITE, how.write || how.truncate);
        if let Err(errno) = place.demand(rights) {
            return Op::err(errno);
        }
        let shown = || {
            place.is_union()
                || exports.is_some()
                || self.table.touches(place.device())
                // Of a mount that may not be read nothing is listed, whatever it was opened for.
                || place.demand(Rights::READ).is_err()
        };
        if is_directory && shown() {
            return UnitedDirectory::open(self.table.clone(), place, exports);
        }
        place.node().open(how)
    }

    /// Whether nothing can be changed at a directory or below it, as far as mounts say: nothing that stands there may be written, and nothing
    /// else is mounted in it.
    pub fn is_read_only(&self, place: &Place) -> bool {
        let changing = Rights::all() - Rights::READ;
        place.members().all(|Member { node, mount, .. }| {
            !mount.rights.intersects(changing) && !self.table.touches(mount.device_of(node.qid()))
        })
    }

    /// What is known about the file at `path`, and the number of its device.
    ///
    /// # Errors
    /// As [`Namespace::resolve`].
    #[inline]
    pub fn stat(&self, base: &Place, path: &str, follow: bool) -> Op<(u64, Stat)> {
        self.at(base, path, follow, |resolved| {
            let place = resolved.existing()?;
            let device = place.device();
            Ok(match place.node().stat() {
                Op::Ready(Ok(stat)) => Op::Ready(Ok((device, stat))),
                later => later.map(move |stat| (device, stat)),
            })
        })
    }

    /// Changes the size or the times of the file at `path`.
    ///
    /// # Errors
    /// As [`Namespace::resolve`], [`Errno::Rofs`], and the device's.
    pub fn set_stat(&self, base: &Place, path: &str, follow: bool, change: SetStat) -> Op<()> {
        self.at(base, path, follow, move |resolved| {
            let place = resolved.existing()?;
            place.mount().demand(Rights::WRITE)?;
            Ok(place.node().set_stat(change))
        })
    }

    /// The target of the symbolic link at `path`.
    ///
    /// # Errors
    /// As [`Namespace::resolve`]; [`Errno::Inval`]: not a symbolic link.
    pub fn read_link(&self, base: &Place, path: &str) -> Op<String> {
        self.at(base, path, false, |resolved| {
            let place = resolved.existing()?;
            place.mount().demand(Rights::READ)?;
            Ok(place.node().read_link())
        })
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As [`Namespace::resolve`]; [`Errno::Exist`], [`Errno::Rofs`], and the device's.
    pub fn make_directory(&self, base: &Place, path: &str) -> Op<()> {
        self.at_name(base, path, |resolved| {
            let parent = resolved.missing()?;
            let (node, _) = creator(&parent.place)?;
            Ok(with_edit(&node, |edit| {
                Ok(edit.make_directory(Name::new(&parent.name)?).map(|_| ()))
            }))
        })
    }

    /// Makes a symbolic link that points to `target`, whatever that is.
    ///
    /// # Errors
    /// As [`Namespace::resolve`]; [`Errno::Exist`], [`Errno::Rofs`], and the device's;
    /// [`Errno::Noent`]: an empty target, or `path` ends in a slash.
    pub fn make_symlink(&self, target: &str, base: &Place, path: &str) -> Op<()> {
        if target.is_empty() {
            return Op::err(Errno::Noent);
        }
        if target.len() > SYMLINK_TARGET_MAX {
            return Op::err(Errno::Nametoolong);
        }
        let target = target.to_owned();
        self.at_name(base, path, move |resolved| {
            let must_be_directory = resolved.must_be_directory;
            let parent = resolved.missing()?;
            if must_be_directory {
                return Err(Errno::Noent);
            }
            let (node, _) = creator(&parent.place)?;
            Ok(with_edit(&node, |edit| {
                Ok(edit.make_symlink(Name::new(&parent.name)?, &target))
            }))
        })
    }

    /// Takes away the name of anything but a directory.
    ///
    /// # Errors
    /// As [`Namespace::resolve`]; [`Errno::Isdir`], [`Errno::Rofs`], [`Errno::Busy`] (mounted on), and
    /// the device's.
    pub fn unlink(&self, base: &Place, path: &str) -> Op<()> {
        self.at_name(base, path, |resolved| {
            let is_directory = resolved.existing()?.kind() == FileKind::Directory;
            let (node, parent) = resolved.removable()?;
            if is_directory {
                return Err(Errno::Isdir);
            }
            Ok(with_edit(&node, |edit| {
                Ok(edit.unlink(Name::new(&parent.name)?))
            }))
        })
    }

    /// Takes away an empty directory.
    ///
    /// # Errors
    /// As [`Namespace::resolve`]; [`Errno::Notdir`], [`Errno::Notempty`], [`Errno::Rofs`],
    /// [`Errno::Busy`] (mounted on), and the device's.
    pub fn remove_directory(&self, base: &Place, path: &str) -> Op<()> {
        self.at_name(base, path, |resolved| {
            if resolved.existing()?.kind() != FileKind::Directory {
                return Err(Errno::Notdir);
            }
            let (node, parent) = resolved.removable()?;
            Ok(with_edit(&node, |edit| {
                Ok(edit.remove_directory(Name::new(&parent.name)?))
            }))
        })
    }

    /// What is at `path`, if its name could be taken away by [`Namespace::unlink`] or, of a directory once it is empty, by
    /// [`Namespace::remove_directory`]: for whoever empties it first.
    ///
    /// # Errors
    /// As [`Namespace::resolve`]; [`Errno::Rofs`], [`Errno::Busy`] (mounted on); [`Errno::Inval`]: the path is the start itself.
    /// The device is not asked.
    pub fn removable(&self, base: &Place, path: &str) -> Op<Place> {
        self.at_name(base, path, |resolved| {
            let place = resolved.existing()?.clone();
            resolved.removable()?;
            Ok(Op::ok(place))
        })
    }

    /// Whether something is mounted anywhere within the mount that a place is in.
    pub fn has_mounts_beside(&self, place: &Place) -> bool {
        self.table.touches(place.device())
    }

    /// Gives the file at `old_path` another name.
    ///
    /// # Errors
    /// As [`Namespace::resolve`] for both; [`Errno::Perm`]: a directory; [`Errno::Exist`];
    /// [`Errno::Rofs`]; [`Errno::Xdev`]: not within one mount; and the device's.
    pub fn link(
        &self,
        old_base: &Place,
        old_path: &str,
        follow: bool,
        new_base: &Place,
        new_path: &str,
    ) -> Op<()> {
        self.at_both(
            (old_base, old_path, follow),
            (new_base, new_path),
            |old, new| link(old.existing()?, new),
        )
    }

    /// [`Namespace::link`] for what is at a place.
    pub(super) fn link_place(&self, old: &Place, new_base: &Place, new_path: &str) -> Op<()> {
        let old = old.clone();
        self.at_name(new_base, new_path, move |new| link(&old, new))
    }

    /// Moves what is at `old_path` to `new_path`, replacing what is there as rename(2) does.
    ///
    /// # Errors
    /// As [`Namespace::resolve`] for both; [`Errno::Rofs`]; [`Errno::Busy`]: a mount point or a walk's
    /// start; [`Errno::Xdev`]: not within one mount; and the device's.
    pub fn rename(
        &self,
        old_base: &Place,
        old_path: &str,
        new_base: &Place,
        new_path: &str,
    ) -> Op<()> {
        self.at_both(
            (old_base, old_path, false),
            (new_base, new_path),
            |old, new| {
                let is_directory = old.existing()?.kind() == FileKind::Directory;
                if new.must_be_directory && !is_directory {
                    return Err(Errno::Notdir);
                }
                let (from, from_mount, from_parent) = old.movable(Rights::REMOVE)?;
                let replaces = new.place.is_some();
                let (to, to_mount, to_parent) = if replaces {
                    new.movable(Rights::CREATE | Rights::REMOVE)?
                } else {
                    let parent = *new.parent.ok_or(Errno::Busy)?;
                    let (node, mount) = taker(&parent.place, &from_mount, |_| true)?;
                    (node, mount, parent)
                };
                if !Arc::ptr_eq(&from_mount, &to_mount) {
                    return Err(Errno::Xdev);
                }
                Ok(with_edit(&from, |edit| {
                    let (name, to_name) =
                        (Name::new(&from_parent.name)?, Name::new(&to_parent.name)?);
                    Ok(edit.rename(name, &to, to_name))
                }))
            },
        )
    }

    /// Resolves a path and goes on with what is there; [`Resolved::parent`] is not known.
    #[inline]
    fn at<T: crate::MaybeSend + 'static>(
        &self,
        base: &Place,
        path: &str,
        follow: bool,
        next: impl FnOnce(Resolved) -> Result<Op<T>, Errno> + crate::MaybeSend + 'static,
    ) -> Op<T> {
        go_on(self.walk(base, path, follow, false), next)
    }

    /// Resolves a path whose last name is to be changed, and goes on.
    fn at_name<T: crate::MaybeSend + 'static>(
        &self,
        base: &Place,
        path: &str,
        next: impl FnOnce(Resolved) -> Result<Op<T>, Errno> + crate::MaybeSend + 'static,
    ) -> Op<T> {
        go_on(self.walk(base, path, false, true), next)
    }

    fn at_both(
        &self,
        (old_base, old_path, follow): (&Place, &str, bool),
        (new_base, new_path): (&Place, &str),
        next: impl FnOnce(Resolved, Resolved) -> Result<Op<()>, Errno> + crate::MaybeSend + 'static,
    ) -> Op<()> {
        match self.walk(old_base, old_path, follow, true) {
            Op::Ready(Err(errno)) => Op::err(errno),
            Op::Ready(Ok(old)) => self.at_name(new_base, new_path, move |new| next(old, new)),
            Op::Later(old) => {
                let (namespace, base, path) = (self.clone(), new_base.clone(), new_path.to_owned());
                Op::later(async move {
                    let old = old.await?;
                    let op = namespace.at_name(&base, &path, move |new| next(old, new));
                    op.wait().await
                })
            }
        }
    }
}

impl Resolved {
    /// What is there.
    #[inline]
    fn existing(&self) -> Result<&Place, Errno> {
        self.place.as_ref().ok_or(Errno::Noent)
    }

    /// The directory in which the missing name can be made.
    fn missing(self) -> Result<Parent, Errno> {
        match (self.place, self.parent) {
            (None, Some(parent)) => Ok(*parent),
            _ => Err(Errno::Exist),
        }
    }

    /// The directory from which the name can be taken.
    fn removable(self) -> Result<(NodeRef, Parent), Errno> {
        let (node, _, parent) = self.movable(Rights::REMOVE)?;
        Ok((node, parent))
    }

    /// The directory that has the name, if its mount has `rights`.
    fn movable(self, rights: Rights) -> Result<(NodeRef, Arc<Mount>, Parent), Errno> {
        // The start of a walk can't be taken away through itself: rmdir(".").
        let parent = self.parent.ok_or(Errno::Inval)?;
        if parent.mounted {
            return Err(Errno::Busy);
        }
        let (node, mount) = parent.holder();
        mount.demand(rights)?;
        Ok((node, mount, *parent))
    }
}

/// The directory that takes new names at a place: of a union, the first member that may and can.
fn creator(place: &Place) -> Result<(NodeRef, Arc<Mount>), Errno> {
    place
        .members()
        .find(|member| {
            member.create
                && member.mount.rights.contains(Rights::CREATE)
                && member
                    .node
                    .directory()
                    .is_some_and(|directory| directory.edit().is_some())
        })
        .map(|member| (member.node, member.mount))
        .ok_or(Errno::Rofs)
}

/// The directory at a place that takes a name which is in `mount` already, for names don't leave their mount: of a union,
/// the member of that mount, if it is one that may.
fn taker(
    place: &Place,
    mount: &Arc<Mount>,
    may: impl Fn(&Member) -> bool,
) -> Result<(NodeRef, Arc<Mount>), Errno> {
    let same = |member: &Member| Arc::ptr_eq(&member.mount, mount) && may(member);
    match place.members().find(same) {
        Some(member) => {
            member.mount.demand(Rights::CREATE)?;
            Ok((member.node, member.mount))
        }
        // If nobody takes names here at all, that is the reason.
        None => creator(place).and(Err(Errno::Xdev)),
    }
}

/// Gives what is at a place one more name.
fn link(old: &Place, new: Resolved) -> Result<Op<()>, Errno> {
    if old.kind() == FileKind::Directory {
        return Err(Errno::Perm);
    }
    let must_be_directory = new.must_be_directory;
    let parent = new.missing()?;
    if must_be_directory {
        return Err(Errno::Noent);
    }
    let (node, _) = taker(&parent.place, old.mount(), |member| member.create)?;
    Ok(with_edit(&node, |edit| {
        Ok(edit.link(Name::new(&parent.name)?, old.node()))
    }))
}

/// Makes and opens a file that is missing.
fn create(parent: &Parent, how: OpenHow) -> Op<(Place, Box<dyn OpenFile>)> {
    let (node, mount) = match creator(&parent.place) {
        Ok(creator) => creator,
        Err(errno) => return Op::err(errno),
    };
    let mut rights = Rights::CREATE;
    rights.set(Rights::READ, how.read);
    rights.set(Rights::WRITE, how.write);
    if let Err(errno) = mount.demand(rights) {
        return Op::err(errno);
    }
    with_edit(&node, |edit| {
        let name = Name::new(&parent.name)?;
        Ok(edit
            .create(name, how)
            .map(move |opened| (Place::new(opened.node, mount), opened.file)))
    })
}

fn with_edit<T: crate::MaybeSend + 'static>(
    node: &NodeRef,
    change: impl FnOnce(&dyn EditDirectory) -> Result<Op<T>, Errno>,
) -> Op<T> {
    match node.directory().map(|directory| directory.edit()) {
        None => Op::err(Errno::Notdir),
        Some(None) => Op::err(Errno::Rofs),
        Some(Some(edit)) => flatten(change(edit)),
    }
}

/// Goes on with what a walk ends at.
#[inline]
fn go_on<T: crate::MaybeSend + 'static>(
    walk: Op<Resolved>,
    next: impl FnOnce(Resolved) -> Result<Op<T>, Errno> + crate::MaybeSend + 'static,
) -> Op<T> {
    match walk {
        Op::Ready(Ok(resolved)) => flatten(next(resolved)),
        Op::Ready(Err(errno)) => Op::err(errno),
        Op::Later(walk) => Op::later(async move { flatten(next(walk.await?)).wait().await }),
    }
}

#[inline]
fn flatten<T>(result: Result<Op<T>, Errno>) -> Op<T> {
    result.unwrap_or_else(|errno| Op::Ready(Err(errno)))
}
