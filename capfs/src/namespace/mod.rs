//! The namespace: which file answers for which path.
//!
//! # Shape
//! A namespace is a root and a table of mount points. A mount point is a directory (or a file),
//! known by its device and its qid; the table says which members stand there instead: one after
//! `Replace`, several in order after `Before` or `After` (bind(1)). Walking looks a node up in the table
//! each time it arrives somewhere, so a mount point works through whatever path leads to it.
//!
//! All of it follows from the list of mounts and binds that were made ([`Namespace::list`]), and can be made anew from it elsewhere
//! ([`Namespace::build`]). Devices are numbered in the order in which they were first mounted, and skeleton directories in the order in which they
//! became necessary: what a guest sees as `dev` and `ino` tells nothing of other agents, and is the same in each run. An operation that fails
//! leaves nothing behind.
//!
//! - `list`, `parse`: the list, as a value and as text
//! - `table`: mount points, unions, rights; copied when changed, shared otherwise
//! - `skeleton`: directories that exist only so that something can be mounted on them
//! - `walk`: from a path to a [`Place`], symbolic links and `..` included
//! - `files`: what can be done with a path: open, stat, link, rename …
//! - `view`: a place as a device, for another namespace
//! - `listing`: reading directories in which mount points or several members lie
//! - `saved`: places that are found again in a namespace of the same list
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
mod list;
#[cfg(test)]
mod list_tests;
mod listing;
#[cfg(test)]
mod model_tests;
mod parse;
mod saved;
#[cfg(test)]
mod saved_tests;
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
use crate::{Errno, FileKind, NAMESPACE_ENTRIES_MAX, Name, NodeRef, Op, Rights};

pub use files::OpenAt;
pub use list::{DeviceId, NamespaceList, Operation};
pub use parse::NamespaceTextError;
pub use saved::SavedPlace;
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

/// What is to stand somewhere in a namespace.
#[derive(Clone)]
pub struct Mounted {
    /// Its path there, absolute.
    pub at: String,
    /// The name of its device.
    pub device: DeviceId,
    /// Its tree, or single file.
    pub root: NodeRef,
    /// What may be done there.
    pub rights: Rights,
}

/// Which operation of a list can't be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{operation}`: {errno}")]
pub struct BuildError {
    /// Where it stands in the list, from 0.
    pub index: usize,
    /// The operation.
    pub operation: Operation,
    /// Why not.
    pub errno: Errno,
}

/// The tree of files that an agent was handed.
///
/// Cloning is cheap and makes a copy of its own: mounts made in one are not seen in the other.
#[derive(Clone)]
pub struct Namespace {
    table: Arc<MountTable>,
    skeleton: Arc<Mount>,
    root: NodeRef,
    /// The number of the last skeleton directory.
    skeletons: u64,
    /// The number of the last mount.
    mounts: u32,
}

/// The number of the skeleton, which is the first thing in every namespace.
const SKELETON: u32 = 1;

/// The number of the device that is mounted first; the others' follow.
const FIRST_DEVICE: u32 = SKELETON + 1;

const _: () = assert!(
    NAMESPACE_ENTRIES_MAX < (view::FIRST_BEHIND - FIRST_DEVICE) as usize,
    "the numbers above are of devices behind a view"
);

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
            skeleton: Arc::new(Mount::skeleton(SKELETON, Rights::RO)),
            root: Arc::new(Skeleton::new(1)),
            skeletons: 1,
            mounts: 0,
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

    /// Makes a namespace of a list, with the devices that `device` finds by their names; it is asked once for each. The outcome
    /// is what whoever the list is of has, as far as the devices' own files are as they were: a bind follows the links that there are now.
    ///
    /// # Errors
    /// The first operation that can't be done, with what `device` or the operation says, as [`Namespace::mount`], [`Namespace::bind`] and
    /// [`Namespace::unmount`] have it; of a mount of something within a device also [`Errno::Again`], where that does not answer at once.
    pub fn build(
        list: &NamespaceList,
        mut device: impl FnMut(&DeviceId) -> Result<NodeRef, Errno>,
    ) -> Result<Namespace, BuildError> {
        let mut namespace = Namespace::new();
        let mut known: Vec<NodeRef> = Vec::new();
        for (index, operation) in list.operations().iter().enumerate() {
            let done = match operation {
                Operation::Mount { device: id, .. } => {
                    let place = namespace.table.list.index(id);
                    let root = match known.get(place) {
                        Some(root) => Ok(root.clone()),
                        None => device(id).inspect(|root| known.push(root.clone())),
                    };
                    root.and_then(|root| namespace.perform(operation.clone(), Some(root)))
                }
                _ => namespace.perform(operation.clone(), None),
            };
            done.map_err(|errno| BuildError {
                index,
                operation: operation.clone(),
                errno,
            })?;
        }
        Ok(namespace)
    }

    /// The list of what was mounted, bound and unmounted so far, by which this namespace can be made anew ([`Namespace::build`]).
    pub fn list(&self) -> &NamespaceList {
        &self.table.list
    }

    /// Puts a device's tree (or single file) at `at`, an absolute path, as [`Namespace::mount_device`] does with a device that has no
    /// name, and isn't the same as any other that is mounted here.
    ///
    /// # Errors
    /// As [`Namespace::mount_device`].
    pub fn mount(
        &mut self,
        root: NodeRef,
        at: &str,
        rights: Rights,
        flags: BindFlags,
    ) -> Result<(), Errno> {
        let number = self.list().devices().len() + FIRST_DEVICE as usize;
        self.mount_device(DeviceId::unnamed(number), root, at, rights, flags)
    }

    /// Puts a device's tree (or single file) at `at`, an absolute path. All that is mounted under one name must be the tree of one
    /// device: its files are told apart by their own numbers alone, and a mount point in it works through each of its mounts.
    ///
    /// The mount point need not exist: a directory that is only there to be mounted on is put in
    /// front of the one that would have it. Mount outer directories first: a `Replace` at `/` hides
    /// what was mounted below. Of a device that does not answer at once, such a directory hides the one that has its name, with all
    /// that is in it.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: `at` is not an absolute path without `..`
    /// - [`Errno::Nametoolong`]: `at` has more than [`PATH_MAX`](crate::PATH_MAX) bytes
    /// - [`Errno::Nospc`]: more than [`MOUNTS_MAX`](crate::MOUNTS_MAX) mount points,
    ///   [`UNION_MAX`](crate::UNION_MAX) members, or [`NAMESPACE_ENTRIES_MAX`] operations so far
    /// - [`Errno::Notdir`]: a file united with something, or a file on the way
    pub fn mount_device(
        &mut self,
        device: DeviceId,
        root: NodeRef,
        at: &str,
        rights: Rights,
        flags: BindFlags,
    ) -> Result<(), Errno> {
        let operation = Operation::Mount {
            device,
            tree: "/".to_owned(),
            at: at.to_owned(),
            flags,
            rights,
        };
        self.perform(operation, Some(root))
    }

    /// Mounts all of these trees, outer ones first in whatever order they come, so that none hides another. Those at one path are
    /// united, the first of them searched first; the first that may and can takes new files.
    ///
    /// # Errors
    /// Which of them can't be mounted, by its place in the list, and why as [`Namespace::mount_device`] has it. Those that lie further
    /// out are mounted then.
    pub fn mount_all(&mut self, mounts: &[Mounted]) -> Result<(), (usize, Errno)> {
        let names = |path: &str| {
            list::names(path).fold((0, String::new()), |(depth, plain), name| {
                (depth + 1, plain + "/" + name)
            })
        };
        let mut ordered: Vec<_> = mounts
            .iter()
            .enumerate()
            .map(|(index, mounted)| (names(&mounted.at), index, mounted))
            .collect();
        // Those at one path keep their order.
        ordered.sort_by_key(|((depth, _), ..)| *depth);
        let mut seen = HashSet::new();
        for ((_, plain), index, mounted) in ordered {
            let flags = match seen.insert(plain) {
                true => BindFlags::REPLACE,
                false => BindFlags::AFTER.creating(),
            };
            let Mounted {
                at,
                device,
                root,
                rights,
            } = mounted;
            let mounted = self.mount_device(device.clone(), root.clone(), at, *rights, flags);
            mounted.map_err(|errno| (index, errno))?;
        }
        Ok(())
    }

    /// Makes what is at `from` appear at `to` too, with at most `rights` of the rights that it has.
    ///
    /// # Errors
    /// - As [`Namespace::mount_device`] and [`Namespace::resolve`]
    /// - [`Errno::Again`]: a device on the way to `from` does not answer at once
    pub fn bind(
        &mut self,
        from: &str,
        to: &str,
        flags: BindFlags,
        rights: Rights,
    ) -> Result<(), Errno> {
        let operation = Operation::Bind {
            from: from.to_owned(),
            at: to.to_owned(),
            flags,
            rights,
        };
        self.perform(operation, None)
    }

    /// Takes away everything that was mounted or bound at `at`.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: nothing is mounted there
    pub fn unmount(&mut self, at: &str) -> Result<(), Errno> {
        self.perform(Operation::Unmount { at: at.to_owned() }, None)
    }

    /// Does all of an operation, or nothing; `root` is the device's root, of a mount.
    fn perform(&mut self, operation: Operation, root: Option<NodeRef>) -> Result<(), Errno> {
        self.list().room()?;
        let operation = operation.plain()?;
        let before = self.clone();
        let done = self.change(&operation, root);
        if done.is_err() {
            *self = before;
            return done;
        }
        // The only other who has the table; without it nothing is copied.
        drop(before);
        Arc::make_mut(&mut Arc::make_mut(&mut self.table).list).add(operation);
        Ok(())
    }

    fn change(&mut self, operation: &Operation, root: Option<NodeRef>) -> Result<(), Errno> {
        match operation {
            Operation::Mount {
                device,
                tree,
                at,
                flags,
                rights,
            } => {
                let number = self.list().index(device) as u32 + FIRST_DEVICE;
                let node = within(root.ok_or(Errno::Nodev)?, tree)?;
                self.mounts += 1;
                let mount = Mount {
                    number: self.mounts,
                    device: number,
                    rights: *rights,
                    root: Some(node.clone()),
                };
                let member = Member {
                    node,
                    mount: Arc::new(mount),
                    create: flags.create,
                };
                self.place_members(vec![member], at, *flags)
            }
            Operation::Bind {
                from,
                at,
                flags,
                rights,
            } => {
                let Op::Ready(resolved) = self.resolve(&self.root(), relative(from), true) else {
                    return Err(Errno::Again);
                };
                let source = resolved?.place.ok_or(Errno::Noent)?;
                let members = source
                    .members()
                    .map(|Member { node, mount, .. }| {
                        self.mounts += 1;
                        let mount = mount.narrowed(self.mounts, &node, *rights);
                        Member {
                            node,
                            mount: Arc::new(mount),
                            create: flags.create,
                        }
                    })
                    .collect();
                self.place_members(members, at, *flags)
            }
            Operation::Unmount { at } => {
                let place = self.mount_point(at)?;
                match Arc::make_mut(&mut self.table).remove(place.origin()) {
                    true => Ok(()),
                    false => Err(Errno::Inval),
                }
            }
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
        let mut names = list::names(at);
        while let Some(name) = names.next() {
            let name = Name::new(name)?;
            if place.kind() != FileKind::Directory {
                return Err(Errno::Notdir);
            }
            // A device that does not answer at once is taken to have no such name: the skeleton
            // stands in front of it, so the mount point is found either way.
            place = match self.table.walk(&place, name, "") {
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

/// What a walk from the root takes for an absolute path.
fn relative(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        path => path,
    }
}

/// What is at an absolute path within a device. Links are not followed.
///
/// # Errors
/// [`Errno::Again`]: the device does not answer at once; and the device's.
fn within(root: NodeRef, path: &str) -> Result<NodeRef, Errno> {
    list::names(path).try_fold(root, |node, name| {
        let directory = node.directory().ok_or(Errno::Notdir)?;
        match directory.walk(Name::new(name)?) {
            Op::Ready(found) => found,
            Op::Later(_) => Err(Errno::Again),
        }
    })
}
