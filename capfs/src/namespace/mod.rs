//! The namespace: which file answers for which path.
//!
//! # Shape
//! A namespace is a root and a table of mount points. A mount point is a directory (or a file),
//! known by its device and its qid; the table says which members stand there instead: one after
//! `Replace`, several in order after `Before` or `After` (bind(1)). Walking looks a node up in the table
//! each time it arrives somewhere, so a mount point works through whatever path leads to it.
//!
//! Devices are numbered in the order in which they were mounted, and skeleton directories in the order in which they
//! became necessary: what a guest sees as `dev` and `ino` tells nothing of other agents, and is the same in each run.
//!
//! - `table`: mount points, unions, rights; copied when changed, shared otherwise
//! - `skeleton`: directories that exist only so that something can be mounted on them
//! - `walk`: from a path to a [`Place`], symbolic links and `..` included
//! - `files`: what can be done with a path: open, stat, link, rename …
//! - `view`: a place as a device, for another namespace
//! - `listing`: reading directories in which mount points or several members lie
//! - `seen`: which names a listing has met, so that it shows each once
//!
//! # Invariants
//! - A walk starts at a [`Place`] that the agent holds and never leaves it: `..` above the start and
//!   absolute paths are `ENOTCAPABLE`. An absolute symbolic link is followed from the namespace's root,
//!   and only by walks that started there.
//! - Rights only narrow: a bind takes the intersection. They are enforced here, not by devices.
//! - Names move or multiply (rename, link) only within one mount, so a file never gains the rights of
//!   another mount of the same device (the way of GHSA-4ch3-9j33-3pmj).
//! - A namespace that is cloned (for a child agent) shares nothing mutable with its origin.

mod files;
/// The same tests, over devices that answer later.
#[cfg(test)]
#[path = "tests.rs"]
#[allow(clippy::duplicate_mod)]
mod late_tests;
mod listing;
#[cfg(test)]
mod model_tests;
mod seen;
mod skeleton;
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod union_tests;
mod view;
mod walk;

use std::collections::HashSet;
use std::sync::Arc;

use seen::Listings;
use skeleton::Skeleton;
use table::{Member, Mount, MountTable, Union};

use crate::account::Account;
use crate::{Errno, FileKind, Name, NodeRef, Op, PATH_MAX, Rights};

pub use files::OpenAt;
pub use table::Place;
pub use walk::Resolved;

/// Where a member goes among those that are at a mount point already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindOrder {
    /// Instead of what was there.
    Replace,
    /// In front: it is searched first.
    Before,
    /// Behind: it is searched last.
    After,
}

/// How a mount or bind is made: bind(1)'s `-b`, `-a` and `-c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindFlags {
    /// Where the new member goes.
    pub order: BindOrder,
    /// Whether new files in a union may be made in this member. The first such member that can takes
    /// them. A mount point with one member does not need it.
    pub create: bool,
}

impl BindFlags {
    /// Takes the place of what was there.
    pub const REPLACE: BindFlags = BindFlags {
        order: BindOrder::Replace,
        create: true,
    };
    /// Searched first; new files are made elsewhere.
    pub const BEFORE: BindFlags = BindFlags {
        order: BindOrder::Before,
        create: false,
    };
    /// Searched last; new files are made elsewhere.
    pub const AFTER: BindFlags = BindFlags {
        order: BindOrder::After,
        create: false,
    };

    /// The same, and new files may be made in it.
    pub const fn creating(self) -> BindFlags {
        BindFlags {
            create: true,
            ..self
        }
    }
}

/// What is to stand somewhere in a namespace: its path, its tree, what may be done there.
pub type Mounted = (String, NodeRef, Rights);

/// The tree of files that an agent was handed.
///
/// Cloning is cheap and makes a copy of its own: mounts made in one are not seen in the other.
#[derive(Clone)]
pub struct Namespace {
    table: Arc<MountTable>,
    skeleton: Arc<Mount>,
    root: NodeRef,
    /// The numbers of the last mount and of the last skeleton directory.
    mounts: u32,
    skeletons: u64,
}

/// The number of the skeleton, which is the first thing in every namespace.
const SKELETON: u32 = 1;

/// The last number that a mount may have; those above are of devices behind a view (see `view`).
const LAST_MOUNT: u32 = view::FIRST_BEHIND - 1;

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Namespace {
    /// A namespace with an empty, read-only root.
    pub fn new() -> Self {
        Namespace {
            table: Arc::new(MountTable::default()),
            skeleton: Arc::new(Mount::new(SKELETON, Rights::RO)),
            root: Arc::new(Skeleton::new(1)),
            mounts: SKELETON,
            skeletons: 1,
        }
    }

    /// Charges what listings of its unions remember of names, and the members of open ones, to the account of its agent, in this namespace and in clones that are
    /// made of it from now on. A listing that the account has no room for asks the members of the union about each name instead,
    /// which is slower and shows the same.
    pub fn charge(&mut self, account: &Account) {
        Arc::make_mut(&mut self.table).listings = Listings::charged(account);
    }

    /// Where absolute paths start.
    pub fn root(&self) -> Place {
        self.table.arrive(self.root.clone(), &self.skeleton)
    }

    /// Puts a device's tree (or single file) at `at`, an absolute path.
    ///
    /// The mount point need not exist: a directory that is only there to be mounted on is put in
    /// front of the one that would have it. Mount outer directories first: a `Replace` at `/` hides
    /// what was mounted below. Of a device that does not answer at once, such a directory hides the one that has its name, with all
    /// that is in it.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: `at` is not an absolute path without `..`
    /// - [`Errno::Nametoolong`]: `at` has more than [`PATH_MAX`] bytes
    /// - [`Errno::Nospc`]: more than [`MOUNTS_MAX`](crate::MOUNTS_MAX) mount points or
    ///   [`UNION_MAX`](crate::UNION_MAX) members, or 2^31 mounts so far
    /// - [`Errno::Notdir`]: a file united with something, or a file on the way
    pub fn mount(
        &mut self,
        root: NodeRef,
        at: &str,
        rights: Rights,
        flags: BindFlags,
    ) -> Result<(), Errno> {
        let device = match self.mounts {
            LAST_MOUNT => return Err(Errno::Nospc),
            last => last + 1,
        };
        let member = Member {
            node: root,
            mount: Arc::new(Mount::new(device, rights)),
            create: flags.create,
        };
        self.place_members(vec![member], at, flags)?;
        self.mounts = device;
        Ok(())
    }

    /// Mounts all of these trees, outer ones first in whatever order they come, so that none hides another. Those at one path are
    /// united, the first of them searched first; the first that may and can takes new files.
    ///
    /// # Errors
    /// Which of them can't be mounted, by its place in the list, and why as [`Namespace::mount`] has it. Those that lie further
    /// out are mounted then.
    pub fn mount_all(&mut self, mounts: &[Mounted]) -> Result<(), (usize, Errno)> {
        let names = |path: &str| {
            let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
            names.fold((0, String::new()), |(depth, plain), name| {
                (depth + 1, plain + "/" + name)
            })
        };
        let mut ordered: Vec<_> = mounts
            .iter()
            .enumerate()
            .map(|(index, mounted)| (names(&mounted.0), index, mounted))
            .collect();
        // Those at one path keep their order.
        ordered.sort_by_key(|((depth, _), ..)| *depth);
        let mut seen = HashSet::new();
        for ((_, plain), index, (at, root, rights)) in ordered {
            let flags = match seen.insert(plain) {
                true => BindFlags::REPLACE,
                false => BindFlags::AFTER.creating(),
            };
            let mounted = self.mount(root.clone(), at, *rights, flags);
            mounted.map_err(|errno| (index, errno))?;
        }
        Ok(())
    }

    /// Makes what is at `from` appear at `to` too, with at most `rights` of the rights that it has.
    ///
    /// # Errors
    /// - As [`Namespace::mount`] and [`Namespace::resolve`]
    /// - [`Errno::Again`]: a device on the way to `from` does not answer at once
    pub fn bind(
        &mut self,
        from: &str,
        to: &str,
        flags: BindFlags,
        rights: Rights,
    ) -> Result<(), Errno> {
        let Op::Ready(resolved) = self.resolve(&self.root(), relative(from)?, true) else {
            return Err(Errno::Again);
        };
        let source = resolved?.place.ok_or(Errno::Noent)?;
        let members = source
            .members()
            .map(|member| Member {
                node: member.node.clone(),
                mount: Arc::new(member.mount.narrowed(rights)),
                create: flags.create,
            })
            .collect();
        self.place_members(members, to, flags)
    }

    /// Takes away everything that was mounted or bound at `at`.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: nothing is mounted there
    pub fn unmount(&mut self, at: &str) -> Result<(), Errno> {
        let place = self.mount_point(at)?;
        match Arc::make_mut(&mut self.table).remove(place.origin()) {
            true => Ok(()),
            false => Err(Errno::Inval),
        }
    }

    fn place_members(&mut self, new: Vec<Member>, at: &str, flags: BindFlags) -> Result<(), Errno> {
        let point = self.mount_point(at)?;
        let members = match flags.order {
            BindOrder::Replace => new,
            BindOrder::Before | BindOrder::After => {
                let all_directories = point.kind() == FileKind::Directory
                    && new
                        .iter()
                        .all(|member| member.node.qid().kind == FileKind::Directory);
                if !all_directories {
                    return Err(Errno::Notdir);
                }
                let old = point.members();
                match flags.order {
                    BindOrder::Before => new.into_iter().chain(old).collect(),
                    _ => old.chain(new).collect(),
                }
            }
        };
        Arc::make_mut(&mut self.table).insert(point.origin(), Union::new(members)?)
    }

    /// Finds the mount point at an absolute path, making skeleton directories where there is nothing.
    fn mount_point(&mut self, at: &str) -> Result<Place, Errno> {
        let mut place = self.root();
        let mut names = relative(at)?
            .split('/')
            .filter(|name| !matches!(*name, "" | "."));
        while let Some(name) = names.next() {
            let name = Name::new(name)?;
            if place.kind() != FileKind::Directory {
                return Err(Errno::Notdir);
            }
            // A device that does not answer at once is taken to have no such name: the skeleton
            // stands in front of it, so the mount point is found either way.
            place = match self.table.walk(&place, name) {
                Op::Ready(Ok(found)) if found.kind() != FileKind::SymbolicLink => found.place,
                Op::Ready(Ok(_)) => return Err(Errno::Notdir),
                Op::Ready(Err(Errno::Noent)) | Op::Later(_) => {
                    let rest: Vec<&str> = std::iter::once(name.as_str())
                        .chain(names.by_ref())
                        .map(|name| Name::new(name).map(|name| name.as_str()))
                        .collect::<Result<_, _>>()?;
                    self.grow_skeleton(&place, &rest)?
                }
                Op::Ready(Err(errno)) => return Err(errno),
            };
        }
        Ok(place)
    }

    /// Puts a chain of skeleton directories in front of `parent` and returns the last of them.
    fn grow_skeleton(&mut self, parent: &Place, names: &[&str]) -> Result<Place, Errno> {
        let (first, last) = Skeleton::chain(names, || {
            self.skeletons += 1;
            self.skeletons
        });
        let mut members: Vec<Member> = parent.members().collect();
        let grown = members
            .iter()
            .position(|member| Arc::ptr_eq(&member.mount, &self.skeleton));
        match grown.and_then(|at| Some((at, Skeleton::of(&members[at].node)?))) {
            Some((at, skeleton)) => {
                let node: NodeRef = Arc::new(skeleton.with(names[0], first));
                members[at].node = node.clone();
                // The root itself is known by its node. A skeleton that is mounted in front of something at the root is
                // another.
                if node.qid() == self.root.qid() {
                    self.root = node;
                }
            }
            None => {
                self.skeletons += 1;
                let front = Skeleton::new(self.skeletons);
                let node: NodeRef = Arc::new(front.with(names[0], first));
                let mount = self.skeleton.clone();
                members.insert(
                    0,
                    Member {
                        node,
                        mount,
                        create: false,
                    },
                );
                if let [_, only] = members.as_mut_slice() {
                    only.create = true;
                }
            }
        }
        Arc::make_mut(&mut self.table).insert(parent.origin(), Union::new(members)?)?;
        Ok(self.table.arrive(last, &self.skeleton))
    }
}

/// The part of an absolute path behind its root.
///
/// # Errors
/// - [`Errno::Nametoolong`]: over [`PATH_MAX`] bytes, which bounds how deep skeletons lie within each other, too
/// - [`Errno::Inval`]: not absolute, or with `..` in it
fn relative(path: &str) -> Result<&str, Errno> {
    if path.len() > PATH_MAX {
        return Err(Errno::Nametoolong);
    }
    let rest = path
        .strip_prefix('/')
        .ok_or(Errno::Inval)?
        .trim_start_matches('/');
    if rest.split('/').any(|name| name == "..") {
        return Err(Errno::Inval);
    }
    Ok(if rest.is_empty() { "." } else { rest })
}
