//! Mount points, unions and the rights of a mount.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use super::list::NamespaceList;
use super::seen::Listings;
use super::skeleton::Skeleton;
use crate::number_hash::NumberHasher;
use crate::{Errno, FileKind, MOUNTS_MAX, Name, NodeRef, Op, Qid, Rights, UNION_MAX};

/// What identifies a mount point, and any file of a namespace: the number of its device (see [`Mount::device_of`]) and
/// its qid path.
pub(super) type Key = (u64, u64);

/// One mount or bind of a device's tree.
///
/// Its address is its identity: names move or multiply only within one.
pub(super) struct Mount {
    /// Its number among those of its namespace, as they were made; 0 is the skeleton's. A list makes the same mounts with the same numbers.
    pub(super) number: u32,
    /// The number of the device, in the order in which those of its namespace were first mounted; what a bind makes keeps it.
    pub(super) device: u32,
    pub(super) rights: Rights,
    /// What was mounted or bound: all that is reached through this mount is this or below it. The skeleton has none.
    pub(super) root: Option<NodeRef>,
}

impl Mount {
    pub(super) fn skeleton(device: u32, rights: Rights) -> Self {
        Mount {
            number: 0,
            device,
            rights,
            root: None,
        }
    }

    /// The number of the device that has a file of this mount. No two devices of a namespace have the same: what was
    /// mounted is told by the lower half, and which of the devices behind it by the upper.
    pub(super) fn device_of(&self, qid: Qid) -> u64 {
        self.device_behind(qid.device)
    }

    pub(super) fn device_behind(&self, qid_device: u32) -> u64 {
        u64::from(qid_device) << 32 | u64::from(self.device)
    }

    pub(super) fn key_of(&self, qid: Qid) -> Key {
        (self.device_of(qid), qid.path)
    }

    /// That of a bind of `root`, which is reached through this one.
    pub(super) fn narrowed(&self, number: u32, root: &NodeRef, rights: Rights) -> Self {
        Mount {
            number,
            device: self.device,
            rights: self.rights & rights,
            root: Some(root.clone()),
        }
    }

    /// Fails with `EROFS` (or `EACCES`, for reading) unless the mount has all of `rights`.
    pub(super) fn demand(&self, rights: Rights) -> Result<(), Errno> {
        let missing = rights - self.rights;
        match missing {
            _ if missing.is_empty() => Ok(()),
            Rights::READ => Err(Errno::Acces),
            _ => Err(Errno::Rofs),
        }
    }
}

/// One of the trees that stand at a mount point.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) node: NodeRef,
    pub(super) mount: Arc<Mount>,
    pub(super) create: bool,
}

/// The trees that stand at a mount point, in the order in which they are searched; at least one.
pub(super) struct Union {
    pub(super) members: Vec<Member>,
    /// The member that speaks for the directory itself, in stat for example: the first that a device has. A skeleton
    /// has neither times nor rights of its own.
    pub(super) face: usize,
}

impl Union {
    pub(super) fn new(members: Vec<Member>) -> Result<Self, Errno> {
        let real = |member: &Member| !Skeleton::is(&member.node);
        match members.len() {
            0 => Err(Errno::Inval),
            1..=UNION_MAX => Ok(Union {
                face: members.iter().position(real).unwrap_or(0),
                members,
            }),
            _ => Err(Errno::Nospc),
        }
    }

    pub(super) fn face(&self) -> &Member {
        &self.members[self.face]
    }
}

/// A node that was reached through a mount: what a directory's descriptor holds, and where walks start.
#[derive(Clone)]
pub struct Place {
    node: NodeRef,
    mount: Arc<Mount>,
    /// Set where several members stand; `node` and `mount` are then those of its face.
    union: Option<Arc<Union>>,
    origin: Key,
    /// The node's. Neither changes while there is a node, and each call asks for them several times.
    kind: FileKind,
    qid_device: u32,
}

impl Place {
    /// The node; of a union, that of the first member that is no directory made for mounting alone.
    #[inline]
    pub fn node(&self) -> &NodeRef {
        &self.node
    }

    /// The kind of the node.
    #[inline]
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Whether there may be names below: a directory, or what is opened as a file and has names all the same (see
    /// [`Node::directory`](crate::Node::directory)).
    pub(super) fn has_names(&self) -> bool {
        match self.kind() {
            FileKind::Directory => true,
            FileKind::SymbolicLink => false,
            _ => self.node.directory().is_some(),
        }
    }

    /// What the mount allows; of a union, what that of the same member does.
    #[inline]
    pub fn rights(&self) -> Rights {
        self.mount.rights
    }

    /// A number for the device that the node belongs to; becomes `dev` in a `filestat`. It follows from the namespace's list
    /// alone: each device has one, however often it is mounted, and no two have the same; 0 is none's.
    #[inline]
    pub fn device(&self) -> u64 {
        self.mount.device_behind(self.qid_device)
    }

    /// The number of the mount that the node was reached through. It follows from the namespace's list alone.
    #[inline]
    pub fn mount_number(&self) -> u32 {
        self.mount.number
    }

    pub(super) fn new(node: NodeRef, mount: Arc<Mount>) -> Place {
        let qid = node.qid();
        Place::of(qid, node, mount)
    }

    /// The place of a node with this qid, where nothing is mounted on it.
    #[inline]
    fn of(qid: Qid, node: NodeRef, mount: Arc<Mount>) -> Place {
        Place {
            origin: mount.key_of(qid),
            node,
            mount,
            union: None,
            kind: qid.kind,
            qid_device: qid.device,
        }
    }

    /// Fails unless every member allows it that has names of its own: of a union, all of them are shown.
    pub(super) fn demand(&self, rights: Rights) -> Result<(), Errno> {
        match &self.union {
            None => self.mount.demand(rights),
            Some(union) => {
                let mut members = union.members.iter();
                members.try_for_each(|member| member.mount.demand(rights))
            }
        }
    }

    pub(super) fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// The key under which something can be, or is, mounted here.
    pub(super) fn origin(&self) -> Key {
        self.origin
    }

    pub(super) fn is_union(&self) -> bool {
        self.union.is_some()
    }

    /// The index of the member that speaks for the directory.
    pub(super) fn face(&self) -> usize {
        self.union.as_ref().map_or(0, |union| union.face)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = Member> {
        let count = self.union.as_ref().map_or(1, |union| union.members.len());
        (0..count).map(|index| self.member(index))
    }

    /// The member with this index; that of a place which is no union is 0.
    pub(super) fn member(&self, index: usize) -> Member {
        match &self.union {
            Some(union) => union.members[index].clone(),
            None => Member {
                node: self.node.clone(),
                mount: self.mount.clone(),
                create: true,
            },
        }
    }
}

/// What a walk by one name arrives at.
pub(super) struct Found {
    pub(super) place: Place,
    /// The member of the directory in which the name was.
    pub(super) member: usize,
    /// Whether something is mounted there.
    pub(super) mounted: bool,
}

impl Found {
    pub(super) fn kind(&self) -> FileKind {
        self.place.kind()
    }
}

/// The number of the mount with this device.
fn mount_of(device: u64) -> u64 {
    device & u64::from(u32::MAX)
}

/// Mount points of a namespace.
#[derive(Clone, Default)]
pub(super) struct MountTable {
    points: HashMap<Key, Arc<Union>, BuildHasherDefault<NumberHasher>>,
    /// How many of them lie in the device with each number.
    mounts: HashMap<u64, usize, BuildHasherDefault<NumberHasher>>,
    /// Listings under way that remember names.
    pub(super) listings: Listings,
    /// What all of this was made by.
    pub(super) list: Arc<NamespaceList>,
}

impl MountTable {
    pub(super) fn insert(&mut self, at: Key, union: Union) -> Result<(), Errno> {
        if self.points.len() >= MOUNTS_MAX && !self.points.contains_key(&at) {
            return Err(Errno::Nospc);
        }
        if self.points.insert(at, Arc::new(union)).is_none() {
            *self.mounts.entry(mount_of(at.0)).or_default() += 1;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, at: Key) -> bool {
        let removed = self.points.remove(&at).is_some();
        let mount = mount_of(at.0);
        if removed && let Some(count) = self.mounts.get_mut(&mount) {
            *count -= 1;
            if *count == 0 {
                self.mounts.remove(&mount);
            }
        }
        removed
    }

    pub(super) fn get(&self, at: Key) -> Option<&Arc<Union>> {
        self.points.get(&at)
    }

    /// Everything that stands at mount points.
    pub(super) fn unions(&self) -> impl Iterator<Item = (Key, &Arc<Union>)> {
        self.points.iter().map(|(at, union)| (*at, union))
    }

    /// The place at a mount point, if something stands there.
    pub(super) fn at(&self, origin: Key) -> Option<Place> {
        let union = self.points.get(&origin)?;
        Some(Place {
            union: (union.members.len() > 1).then(|| union.clone()),
            origin,
            ..Place::new(union.face().node.clone(), union.face().mount.clone())
        })
    }

    /// Whether any mount point lies in this device, or in one that is mounted with it: a directory of a view has entries of all the devices
    /// behind it.
    pub(super) fn touches(&self, device: u64) -> bool {
        self.mounts.contains_key(&mount_of(device))
    }

    /// The place that a node is, once what is mounted there is taken into account.
    pub(super) fn arrive(&self, node: NodeRef, mount: &Arc<Mount>) -> Place {
        self.found(node, mount, 0).place
    }

    #[inline]
    fn found(&self, node: NodeRef, mount: &Arc<Mount>, member: usize) -> Found {
        let qid = node.qid();
        let origin = mount.key_of(qid);
        let mounted = self.points.get(&origin);
        let place = match mounted {
            None => Place::of(qid, node, mount.clone()),
            Some(union) => Place {
                union: (union.members.len() > 1).then(|| union.clone()),
                origin,
                ..Place::new(union.face().node.clone(), union.face().mount.clone())
            },
        };
        Found {
            mounted: mounted.is_some(),
            place,
            member,
        }
    }

    /// Walks by one name, through the members of a union in order.
    ///
    /// # Errors
    /// - [`Errno::Notdir`]: `from` is not a directory
    /// - [`Errno::Noent`]: no member has the name
    pub(super) fn walk(self: &Arc<Self>, from: &Place, name: Name<'_>, rest: &str) -> Op<Found> {
        let Some(union) = &from.union else {
            return self.walk_member(&from.node, &from.mount, 0, name, rest);
        };
        for (index, member) in union.members.iter().enumerate() {
            match self.walk_member(&member.node, &member.mount, index, name, "") {
                Op::Ready(Err(Errno::Noent)) => {}
                Op::Ready(result) => return Op::Ready(result),
                Op::Later(first) => {
                    let (table, union) = (self.clone(), union.clone());
                    let name = name.as_str().to_owned();
                    return Op::later(async move {
                        let mut answer = first.await;
                        for (index, member) in union.members.iter().enumerate().skip(index + 1) {
                            if !matches!(answer, Err(Errno::Noent)) {
                                break;
                            }
                            let name = Name::new(&name)?;
                            let op =
                                table.walk_member(&member.node, &member.mount, index, name, "");
                            answer = op.wait().await;
                        }
                        answer
                    });
                }
            }
        }
        Op::err(Errno::Noent)
    }

    fn walk_member(
        self: &Arc<Self>,
        node: &NodeRef,
        mount: &Arc<Mount>,
        index: usize,
        name: Name<'_>,
        rest: &str,
    ) -> Op<Found> {
        let Some(directory) = node.directory() else {
            return Op::err(Errno::Notdir);
        };
        match directory.walk_ahead(name, rest) {
            Op::Ready(Ok(node)) => Op::Ready(Ok(self.found(node, mount, index))),
            Op::Ready(Err(errno)) => Op::err(errno),
            Op::Later(future) => {
                let (table, mount) = (self.clone(), mount.clone());
                Op::later(async move { Ok(table.found(future.await?, &mount, index)) })
            }
        }
    }
}
