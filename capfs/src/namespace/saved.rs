//! Places that are found again in a namespace of the same list, here or elsewhere.
//!
//! A place is saved as the number of its mount and its node's handle. The number follows from the list alone, so whoever makes a namespace of it
//! ([`Namespace::build`]) has the same mounts, with the rights that they have *there*: nothing that was saved carries rights of its own,
//! and a handle is resolved within the tree that was mounted or bound, whatever it says.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Namespace;
use super::skeleton::Skeleton;
use super::table::{Key, Member, Mount, Place};
use crate::{Errno, Handle, MaybeSend, NodeRef, Op, OpenFile, OpenHow, Rights};

/// A place, or an open file's node, as it is found again by ([`Namespace::restore`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedPlace {
    /// The number of the mount that it was reached through: [`Place::mount_number`].
    pub mount: u32,
    /// What its device finds it by.
    pub handle: Handle,
}

/// Places that one mount is asked for: their indexes, and their handles.
type Asked = (Arc<Mount>, Vec<usize>, Vec<Handle>);

impl Namespace {
    /// What finds a place again.
    ///
    /// # Errors
    /// - [`Errno::Nodev`]: nothing does
    pub fn save(&self, place: &Place) -> Result<SavedPlace, Errno> {
        let handle = match place.mount_number() {
            0 => Handle::number(place.node().qid().path),
            _ => place.node().save()?,
        };
        Ok(SavedPlace {
            mount: place.mount_number(),
            handle,
        })
    }

    /// Finds places that were saved, in the order in which they come. A directory at which something is mounted is the mount point.
    ///
    /// # Errors
    /// Of each: [`Errno::Stale`]: its device doesn't have it (any more), or nothing of this mount stands anywhere here;
    /// and what the device answers.
    pub fn restore(&self, places: &[SavedPlace]) -> Op<Vec<Result<Place, Errno>>> {
        let known = self.known();
        let mut asked: HashMap<u32, Asked> = HashMap::new();
        let mut found: Vec<Result<Place, Errno>> = vec![Err(Errno::Stale); places.len()];
        let mut skeletons = None;
        for (index, SavedPlace { mount, handle }) in places.iter().enumerate() {
            if *mount == 0 {
                let skeletons = skeletons.get_or_insert_with(|| self.skeletons());
                found[index] = handle.as_number().and_then(|number| {
                    let node = skeletons.get(&number).ok_or(Errno::Stale)?;
                    Ok(self.place(&known, node.clone(), &self.skeleton))
                });
            } else if let Some(mount) = known.mounts.get(mount) {
                let (_, indexes, handles) = asked
                    .entry(mount.number)
                    .or_insert_with(|| (mount.clone(), Vec::new(), Vec::new()));
                indexes.push(index);
                handles.push(handle.clone());
            }
        }
        let mut later = Vec::new();
        for (mount, indexes, handles) in asked.into_values() {
            let root = mount.root.as_ref().and_then(|root| root.durable());
            let resolved = match root {
                Some(root) => root.resolve(&handles, &self.covered(&mount)),
                None => Op::err(Errno::Stale),
            };
            match resolved {
                Op::Ready(nodes) => self.settle(&known, &mut found, &mount, &indexes, nodes),
                Op::Later(nodes) => later.push((mount, indexes, nodes)),
            }
        }
        if later.is_empty() {
            return Op::ok(found);
        }
        let namespace = self.clone();
        Op::later(async move {
            for (mount, indexes, nodes) in later {
                let nodes = nodes.await;
                namespace.settle(&known, &mut found, &mount, &indexes, nodes);
            }
            Ok(found)
        })
    }

    /// Opens what is at a place, as a file was open that had this state; see [`Node::reopen`](crate::Node::reopen).
    ///
    /// # Errors
    /// - [`Errno::Rofs`], [`Errno::Acces`]: the mount doesn't allow it here
    /// - what the device answers
    pub fn reopen(&self, place: &Place, how: OpenHow, state: &[u8]) -> Op<Box<dyn OpenFile>> {
        let mut rights = Rights::empty();
        rights.set(Rights::READ, how.read);
        rights.set(Rights::WRITE, how.write);
        match place.mount().demand(rights) {
            Ok(()) => place.node().reopen(how, state),
            Err(errno) => Op::err(errno),
        }
    }

    fn settle(
        &self,
        known: &Known,
        found: &mut [Result<Place, Errno>],
        mount: &Arc<Mount>,
        indexes: &[usize],
        nodes: Result<Vec<Result<NodeRef, Errno>>, Errno>,
    ) {
        match nodes {
            Ok(nodes) => {
                for (index, node) in indexes.iter().zip(nodes) {
                    found[*index] = node.map(|node| self.place(known, node, mount));
                }
            }
            Err(errno) => indexes.iter().for_each(|index| found[*index] = Err(errno)),
        }
    }

    /// The place of a node that was reached through a mount: the mount point of which it is the face, if there is one.
    fn place(&self, known: &Known, node: NodeRef, mount: &Arc<Mount>) -> Place {
        let face = known.faces.get(&(mount.number, mount.key_of(node.qid())));
        let point = face.and_then(|at| self.table.at(*at));
        point.unwrap_or_else(|| Place::new(node, mount.clone()))
    }

    /// The numbers of the nodes of a mount at which a walk through it arrives somewhere else: in another tree, or in the same with other rights.
    fn covered(&self, mount: &Mount) -> HashSet<u64> {
        let own = |at: Key, member: &Member| {
            member.mount.number == mount.number && member.mount.key_of(member.node.qid()) == at
        };
        self.table
            .unions()
            .filter(|(at, _)| at.0 == mount.device_behind(0))
            .filter(|(at, union)| !union.members.iter().any(|member| own(*at, member)))
            .map(|(at, _)| at.1)
            .collect()
    }

    fn known(&self) -> Known {
        let (mut mounts, mut faces) = (HashMap::new(), HashMap::new());
        for (at, union) in self.table.unions() {
            for member in &union.members {
                mounts.insert(member.mount.number, member.mount.clone());
            }
            let face = union.face();
            let key = face.mount.key_of(face.node.qid());
            faces.insert((face.mount.number, key), at);
        }
        Known { mounts, faces }
    }

    /// The skeleton directories as they are now, by their numbers.
    fn skeletons(&self) -> HashMap<u64, NodeRef> {
        let members = self.table.unions().flat_map(|(_, union)| &union.members);
        let mut pending: Vec<NodeRef> = members.map(|member| member.node.clone()).collect();
        pending.push(self.root.clone());
        let mut found = HashMap::new();
        while let Some(node) = pending.pop() {
            if let Some(skeleton) = Skeleton::of(&node) {
                pending.extend(skeleton.children().cloned());
                found.insert(node.qid().path, node);
            }
        }
        found
    }
}

/// What there is to find places in.
struct Known {
    mounts: HashMap<u32, Arc<Mount>>,
    /// The mount points, by what their faces are.
    faces: HashMap<(u32, Key), Key>,
}

const _: () = {
    const fn is_sent<T: MaybeSend>() {}
    is_sent::<Known>();
};
