//! Namespaces against a naive model: the same mounts, binds, children, revocations and changes of files in both, the same
//! answers from both, and at the end the same trees, in which the same files have the same identity.
//!
//! The model knows a file by where it is in one list of all files there are, and has no numbers of devices, no cookies and nothing
//! that it remembers of a listing. A child's view is the parent's namespace as it was, and the place in it.

mod pair;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use super::*;
use crate::device::gate::{Gate, REVOKED};
use crate::device::memory::{MemoryFs, MemoryLimits};
use crate::testkit::{self, ManualClock, READ, list_from, now, read_at, write, write_at};
use crate::{OpenHow, SYMLINK_MAX, WriteAt};

/// A file of any device, by its number in the list of all.
enum Body {
    File(Vec<u8>),
    /// Names, and whether it has been removed.
    Directory(BTreeMap<String, usize>, bool),
    Link(String),
}

#[derive(Clone)]
enum MNode {
    File(usize),
    Skeleton(u32, Rc<BTreeMap<String, MNode>>),
    /// By the number of the view.
    View(usize, MPlace),
}

/// What a file is, for whoever sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key(u32, Id);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Id {
    File(usize),
    Skeleton(u32),
    Behind(Box<Key>),
}

#[derive(Clone)]
struct MMount {
    /// Names don't leave it.
    id: usize,
    device: u32,
    rights: Rights,
}

impl MMount {
    fn demand(&self, rights: Rights) -> Result<(), Errno> {
        match rights - self.rights {
            missing if missing.is_empty() => Ok(()),
            Rights::READ => Err(Errno::Acces),
            _ => Err(Errno::Rofs),
        }
    }
}

#[derive(Clone)]
struct MMember {
    node: MNode,
    mount: MMount,
    create: bool,
}

#[derive(Clone)]
struct MPlace {
    members: Vec<MMember>,
    origin: Key,
}

impl MPlace {
    fn face(&self) -> &MMember {
        let real = |member: &&MMember| !matches!(member.node, MNode::Skeleton(..));
        self.members.iter().find(real).unwrap_or(&self.members[0])
    }

    fn key(&self) -> Key {
        let face = self.face();
        key(&face.mount, &face.node)
    }
}

fn key(mount: &MMount, node: &MNode) -> Key {
    let id = match node {
        MNode::File(number) => Id::File(*number),
        MNode::Skeleton(number, _) => Id::Skeleton(*number),
        MNode::View(_, place) => Id::Behind(Box::new(place.key())),
    };
    Key(mount.device, id)
}

#[derive(Clone)]
struct Space {
    points: HashMap<Key, Vec<MMember>>,
    root: MNode,
    skeleton: MMount,
    /// What has a number, in order: by the number of the device for all, where it has a name.
    devices: Vec<Option<usize>>,
    skeletons: u32,
}

impl Space {
    fn arrive(&self, node: MNode, mount: &MMount) -> MPlace {
        let origin = key(mount, &node);
        let alone = || {
            let mount = mount.clone();
            vec![MMember {
                node,
                mount,
                create: true,
            }]
        };
        let mut members = self.points.get(&origin).cloned().unwrap_or_else(alone);
        if let [only] = members.as_mut_slice() {
            only.create = true;
        }
        MPlace { members, origin }
    }

    fn root(&self) -> MPlace {
        self.arrive(self.root.clone(), &self.skeleton)
    }

    /// A directory that is only there to be mounted on, with a child.
    fn new_skeleton(&mut self, child: Option<(&str, MNode)>) -> MNode {
        self.skeletons += 1;
        let child = child.map(|(name, node)| (name.to_owned(), node));
        MNode::Skeleton(self.skeletons, Rc::new(child.into_iter().collect()))
    }

    fn grow(&mut self, parent: &MPlace, names: &[&str]) -> MPlace {
        let last = self.new_skeleton(None);
        let mut first = last.clone();
        for name in names[1..].iter().rev() {
            first = self.new_skeleton(Some((name, first)));
        }
        let mut members = parent.members.clone();
        let own = |member: &&mut MMember| member.mount.id == self.skeleton.id;
        match members.iter_mut().find(own) {
            Some(member) => {
                let MNode::Skeleton(number, children) = &member.node else {
                    unreachable!("only skeletons are mounted by it");
                };
                let mut children = BTreeMap::clone(children);
                children.insert(names[0].to_owned(), first);
                member.node = MNode::Skeleton(*number, Rc::new(children));
                if matches!((&self.root, &member.node),
                    (MNode::Skeleton(root, _), MNode::Skeleton(grown, _)) if root == grown)
                {
                    self.root = member.node.clone();
                }
            }
            None => {
                let member = MMember {
                    node: self.new_skeleton(Some((names[0], first))),
                    mount: self.skeleton.clone(),
                    create: false,
                };
                members.insert(0, member);
                if let [_, only] = members.as_mut_slice() {
                    only.create = true;
                }
            }
        }
        self.points.insert(parent.origin.clone(), members);
        self.arrive(last, &self.skeleton.clone())
    }
}

struct Found {
    place: Option<MPlace>,
    parent: Option<Parent>,
}

#[derive(Clone)]
struct Parent {
    place: MPlace,
    name: String,
    member: usize,
    mounted: bool,
}

impl Found {
    fn existing(&self) -> Result<&MPlace, Errno> {
        self.place.as_ref().ok_or(Errno::Noent)
    }

    fn missing(self) -> Result<Parent, Errno> {
        match (self.place, self.parent) {
            (None, Some(parent)) => Ok(parent),
            _ => Err(Errno::Exist),
        }
    }

    fn movable(self, rights: Rights) -> Result<(MMember, String), Errno> {
        let parent = self.parent.ok_or(Errno::Inval)?;
        if parent.mounted {
            return Err(Errno::Busy);
        }
        let holder = parent.place.members[parent.member].clone();
        holder.mount.demand(rights)?;
        Ok((holder, parent.name))
    }
}

#[derive(Default)]
struct Model {
    files: Vec<Body>,
    spaces: Vec<Space>,
    /// What a child sees of its parent, and whether it was taken away.
    views: Vec<(Space, bool)>,
    ids: usize,
}

impl Model {
    fn add(&mut self, body: Body) -> usize {
        self.files.push(body);
        self.files.len() - 1
    }

    fn mount(&mut self, device: u32, rights: Rights) -> MMount {
        self.ids += 1;
        MMount {
            id: self.ids,
            device,
            rights,
        }
    }

    fn new_space(&mut self) -> Space {
        let skeleton = self.mount(1, Rights::RO);
        Space {
            points: HashMap::new(),
            root: MNode::Skeleton(1, Rc::default()),
            skeleton,
            devices: Vec::new(),
            skeletons: 1,
        }
    }

    fn kind(&self, node: &MNode) -> FileKind {
        match node {
            MNode::Skeleton(..) => FileKind::Directory,
            MNode::View(_, place) => self.kind(&place.face().node),
            MNode::File(number) => match self.files[*number] {
                Body::File(_) => FileKind::RegularFile,
                Body::Directory(..) => FileKind::Directory,
                Body::Link(_) => FileKind::SymbolicLink,
            },
        }
    }

    fn is_directory(&self, place: &MPlace) -> bool {
        self.kind(&place.face().node) == FileKind::Directory
    }

    /// The parent's namespace, unless it was taken away.
    fn viewed(&self, view: usize) -> Result<Space, Errno> {
        match &self.views[view] {
            (_, true) => Err(REVOKED),
            (space, false) => Ok(space.clone()),
        }
    }

    fn names(&mut self, directory: usize) -> Result<&mut BTreeMap<String, usize>, Errno> {
        match &mut self.files[directory] {
            Body::Directory(names, _) => Ok(names),
            _ => Err(Errno::Notdir),
        }
    }

    fn is_removed(&self, directory: usize) -> bool {
        matches!(self.files[directory], Body::Directory(_, true))
    }

    fn lookup(&mut self, node: &MNode, name: &str) -> Result<MNode, Errno> {
        if self.kind(node) != FileKind::Directory {
            return Err(Errno::Notdir);
        }
        match node {
            MNode::File(number) => {
                let found = self.names(*number)?.get(name).copied();
                found.map(MNode::File).ok_or(Errno::Noent)
            }
            MNode::Skeleton(_, children) => children.get(name).cloned().ok_or(Errno::Noent),
            MNode::View(view, place) => {
                let space = self.viewed(*view)?;
                let (found, ..) = self.walk(&space, place, name)?;
                Ok(MNode::View(*view, found))
            }
        }
    }

    fn walk(
        &mut self,
        space: &Space,
        from: &MPlace,
        name: &str,
    ) -> Result<(MPlace, usize, bool), Errno> {
        for (index, member) in from.members.iter().enumerate() {
            match self.lookup(&member.node, name) {
                Err(Errno::Noent) => {}
                Err(errno) => return Err(errno),
                Ok(node) => {
                    let place = space.arrive(node, &member.mount);
                    let mounted = space.points.contains_key(&place.origin);
                    return Ok((place, index, mounted));
                }
            }
        }
        Err(Errno::Noent)
    }

    fn read_link(&mut self, node: &MNode) -> Result<String, Errno> {
        match node {
            MNode::File(number) => match &self.files[*number] {
                Body::Link(target) => Ok(target.clone()),
                _ => Err(Errno::Inval),
            },
            MNode::Skeleton(..) => Err(Errno::Inval),
            MNode::View(view, place) => {
                self.viewed(*view)?;
                place.face().mount.demand(Rights::READ)?;
                self.read_link(&place.face().node)
            }
        }
    }

    /// From a directory, one name and no link: what a view is asked.
    fn find(&mut self, space: &Space, place: &MPlace, name: &str) -> Result<Found, Errno> {
        let mut parent = Parent {
            place: place.clone(),
            name: name.to_owned(),
            member: 0,
            mounted: false,
        };
        match self.walk(space, place, name) {
            Ok((found, member, mounted)) => {
                (parent.member, parent.mounted) = (member, mounted);
                Ok(Found {
                    place: Some(found),
                    parent: Some(parent),
                })
            }
            Err(Errno::Noent) => Ok(Found {
                place: None,
                parent: Some(parent),
            }),
            Err(errno) => Err(errno),
        }
    }

    fn resolve(&mut self, space: &Space, path: &str, follow: bool) -> Result<Found, Errno> {
        let parts = |path: &str| -> VecDeque<String> {
            let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
            names.map(str::to_owned).collect()
        };
        let (mut stack, mut todo, mut links) = (vec![space.root()], parts(path), 0);
        while let Some(name) = todo.pop_front() {
            let here = stack.last().unwrap().clone();
            if name == ".." {
                if !self.is_directory(&here) {
                    return Err(Errno::Notdir);
                }
                stack.pop();
                if stack.is_empty() {
                    return Err(Errno::Notcapable);
                }
                continue;
            }
            let found = self.find(space, &here, &name)?;
            let Some(place) = found.place.clone() else {
                return match todo.is_empty() {
                    true => Ok(found),
                    false => Err(Errno::Noent),
                };
            };
            let face = place.face();
            if self.kind(&face.node) == FileKind::SymbolicLink && (!todo.is_empty() || follow) {
                links += 1;
                if links > SYMLINK_MAX {
                    return Err(Errno::Loop);
                }
                face.mount.demand(Rights::READ)?;
                let target = self.read_link(&face.node)?;
                if target.starts_with('/') {
                    stack.truncate(1);
                }
                let mut rest = parts(&target);
                rest.append(&mut todo);
                todo = rest;
                continue;
            }
            if todo.is_empty() {
                return Ok(found);
            }
            if !self.is_directory(&place) {
                return Err(Errno::Notdir);
            }
            stack.push(place);
        }
        let place = stack.pop().unwrap();
        match self.is_directory(&place) {
            true => Ok(Found {
                place: Some(place),
                parent: None,
            }),
            // The path ended with a dot.
            false => Err(Errno::Notdir),
        }
    }

    fn open(&mut self, place: &MPlace, rights: Rights) -> Result<(), Errno> {
        let is_directory = self.is_directory(place);
        if is_directory && rights.contains(Rights::WRITE) {
            return Err(Errno::Isdir);
        }
        for member in &place.members {
            member.mount.demand(rights)?;
        }
        for member in &place.members {
            if let MNode::View(view, inner) = &member.node {
                self.viewed(*view)?;
                self.open(inner, rights)?;
            }
        }
        Ok(())
    }

    /// The file in which the contents of a place are.
    fn contents(&mut self, place: &MPlace) -> &mut Vec<u8> {
        let mut node = &place.face().node;
        while let MNode::View(_, inner) = node {
            node = &inner.face().node;
        }
        let MNode::File(number) = node else {
            unreachable!("no skeleton is a file");
        };
        match &mut self.files[*number] {
            Body::File(contents) => contents,
            _ => unreachable!("only files have contents"),
        }
    }

    fn list(&mut self, place: &MPlace) -> Result<BTreeSet<String>, Errno> {
        let mut names = BTreeSet::new();
        for member in &place.members {
            match &member.node {
                MNode::File(number) => names.extend(self.names(*number)?.keys().cloned()),
                MNode::Skeleton(_, children) => names.extend(children.keys().cloned()),
                MNode::View(view, inner) => {
                    self.viewed(*view)?;
                    names.extend(self.list(inner)?);
                }
            }
        }
        Ok(names)
    }

    fn creator(&self, place: &MPlace) -> Result<MMember, Errno> {
        let may = |member: &&MMember| {
            let can = !matches!(member.node, MNode::Skeleton(..));
            member.create && member.mount.rights.contains(Rights::CREATE) && can
        };
        place.members.iter().find(may).cloned().ok_or(Errno::Rofs)
    }

    fn taker(
        &self,
        place: &MPlace,
        mount: &MMount,
        may: impl Fn(&MMember) -> bool,
    ) -> Result<MMember, Errno> {
        let same = |member: &&MMember| member.mount.id == mount.id && may(member);
        match place.members.iter().find(same) {
            Some(member) => {
                member.mount.demand(Rights::CREATE)?;
                Ok(member.clone())
            }
            None => self.creator(place).and(Err(Errno::Xdev)),
        }
    }

    /// Gives a new name in a directory to what is made: a file, or one that is there.
    fn make(&mut self, directory: &MNode, name: &str, new: New<'_>) -> Result<(), Errno> {
        match directory {
            MNode::Skeleton(..) => Err(Errno::Rofs),
            MNode::File(number) => {
                if self.is_removed(*number) {
                    return Err(Errno::Noent);
                }
                if self.names(*number)?.contains_key(name) {
                    return Err(Errno::Exist);
                }
                let file = match new {
                    New::File(_) => self.add(Body::File(Vec::new())),
                    New::Directory => self.add(Body::Directory(BTreeMap::new(), false)),
                    New::Link(target) => self.add(Body::Link(target.to_owned())),
                    New::Name(MNode::File(number)) => *number,
                    New::Name(_) => return Err(Errno::Xdev),
                };
                self.names(*number)?.insert(name.to_owned(), file);
                Ok(())
            }
            MNode::View(view, place) => {
                let space = self.viewed(*view)?;
                let new = match new {
                    New::Name(MNode::View(_, old)) => {
                        let found = self.find(&space, place, name)?;
                        return self.link_found(old, found);
                    }
                    New::Name(_) => return Err(Errno::Xdev),
                    new => new,
                };
                let found = self.find(&space, place, name)?;
                self.make_found(found, new)
            }
        }
    }

    fn make_found(&mut self, found: Found, new: New<'_>) -> Result<(), Errno> {
        let parent = found.missing()?;
        let member = self.creator(&parent.place)?;
        if let New::File(rights) = new {
            member.mount.demand(rights | Rights::CREATE)?;
        }
        self.make(&member.node, &parent.name, new)
    }

    fn link_found(&mut self, old: &MPlace, new: Found) -> Result<(), Errno> {
        if self.is_directory(old) {
            return Err(Errno::Perm);
        }
        let parent = new.missing()?;
        let old = old.face();
        let member = self.taker(&parent.place, &old.mount, |member| member.create)?;
        self.make(&member.node, &parent.name, New::Name(&old.node))
    }

    /// Takes a name away; of a directory if `directory`.
    fn remove_found(&mut self, found: Found, directory: bool) -> Result<(), Errno> {
        let is_directory = self.is_directory(found.existing()?);
        if directory && !is_directory {
            return Err(Errno::Notdir);
        }
        let (holder, name) = found.movable(Rights::REMOVE)?;
        if !directory && is_directory {
            return Err(Errno::Isdir);
        }
        self.remove(&holder.node, &name, directory)
    }

    fn remove(&mut self, node: &MNode, name: &str, directory: bool) -> Result<(), Errno> {
        match node {
            MNode::Skeleton(..) => Err(Errno::Rofs),
            MNode::File(number) => {
                let file = self.names(*number)?.get(name).copied();
                let file = file.ok_or(Errno::Noent)?;
                match (&mut self.files[file], directory) {
                    (Body::Directory(..), false) => return Err(Errno::Isdir),
                    (Body::Directory(names, removed), true) if names.is_empty() => *removed = true,
                    (Body::Directory(..), true) => return Err(Errno::Notempty),
                    (_, true) => return Err(Errno::Notdir),
                    (_, false) => {}
                }
                self.names(*number)?.remove(name);
                Ok(())
            }
            MNode::View(view, place) => {
                let space = self.viewed(*view)?;
                let found = self.find(&space, place, name)?;
                self.remove_found(found, directory)
            }
        }
    }

    fn rename_found(&mut self, old: Found, new: Found) -> Result<(), Errno> {
        // Without a parent, the path ended with a dot.
        let is_directory = self.is_directory(old.existing()?);
        if new.parent.is_none() && !is_directory {
            return Err(Errno::Notdir);
        }
        let (from, name) = old.movable(Rights::REMOVE)?;
        let (to, to_name) = match new.place.is_some() {
            true => new.movable(Rights::CREATE | Rights::REMOVE)?,
            false => {
                let parent = new.parent.ok_or(Errno::Busy)?;
                let to = self.taker(&parent.place, &from.mount, |_| true)?;
                (to, parent.name)
            }
        };
        if from.mount.id != to.mount.id {
            return Err(Errno::Xdev);
        }
        self.rename(&from.node, &name, &to.node, &to_name)
    }

    fn within(&self, directory: usize, above: usize) -> bool {
        let Body::Directory(names, _) = &self.files[above] else {
            return false;
        };
        directory == above || names.values().any(|below| self.within(directory, *below))
    }

    fn rename(&mut self, from: &MNode, old: &str, to: &MNode, new: &str) -> Result<(), Errno> {
        let (from, to) = match (from, to) {
            (MNode::File(from), MNode::File(to)) => (*from, *to),
            (MNode::View(view, from), MNode::View(_, to)) => {
                let space = self.viewed(*view)?;
                let old = self.find(&space, from, old)?;
                let new = self.find(&space, to, new)?;
                return self.rename_found(old, new);
            }
            (MNode::Skeleton(..), _) => return Err(Errno::Rofs),
            _ => return Err(Errno::Xdev),
        };
        let moved = self.names(from)?.get(old).copied().ok_or(Errno::Noent)?;
        if self.is_removed(to) {
            return Err(Errno::Noent);
        }
        let is_directory =
            |model: &Model, file: usize| matches!(model.files[file], Body::Directory(..));
        if is_directory(self, moved) && self.within(to, moved) {
            return Err(Errno::Inval);
        }
        if let Some(victim) = self.names(to)?.get(new).copied() {
            match (is_directory(self, moved), is_directory(self, victim)) {
                _ if moved == victim => return Ok(()),
                (true, false) => return Err(Errno::Notdir),
                (false, true) => return Err(Errno::Isdir),
                (true, true) if !self.names(victim)?.is_empty() => return Err(Errno::Notempty),
                _ => {}
            }
            if let Body::Directory(_, removed) = &mut self.files[victim] {
                *removed = true;
            }
        }
        self.names(from)?.remove(old);
        self.names(to)?.insert(new.to_owned(), moved);
        Ok(())
    }

    fn mount_point(&mut self, space: &mut Space, at: &str) -> Result<MPlace, Errno> {
        let names: Vec<&str> = at.split('/').filter(|name| *name != ".").collect();
        let mut place = space.root();
        for (index, name) in names.iter().enumerate() {
            if !self.is_directory(&place) {
                return Err(Errno::Notdir);
            }
            place = match self.walk(space, &place, name) {
                Ok((found, ..)) if self.kind(&found.face().node) == FileKind::SymbolicLink => {
                    return Err(Errno::Notdir);
                }
                Ok((found, ..)) => found,
                Err(Errno::Noent) => return Ok(space.grow(&place, &names[index..])),
                Err(errno) => return Err(errno),
            };
        }
        Ok(place)
    }

    fn place_members(
        &mut self,
        space: &mut Space,
        new: Vec<MMember>,
        at: &str,
        order: BindOrder,
    ) -> Result<(), Errno> {
        let point = self.mount_point(space, at)?;
        if order != BindOrder::Replace {
            let mut nodes = new.iter().map(|member| self.kind(&member.node));
            let all = nodes.all(|kind| kind == FileKind::Directory);
            if !all || !self.is_directory(&point) {
                return Err(Errno::Notdir);
            }
        }
        let members = match order {
            BindOrder::Replace => new,
            BindOrder::Before => new.into_iter().chain(point.members).collect(),
            BindOrder::After => point.members.into_iter().chain(new).collect(),
        };
        if members.len() > crate::UNION_MAX {
            return Err(Errno::Nospc);
        }
        space.points.insert(point.origin, members);
        Ok(())
    }

    fn mount_at(
        &mut self,
        space: &mut Space,
        (device, node): (Option<usize>, MNode),
        at: &str,
        rights: Rights,
        flags: BindFlags,
    ) -> Result<(), Errno> {
        let known = space.devices.iter();
        let known = device.and_then(|_| known.clone().position(|known| *known == device));
        let number = known.unwrap_or(space.devices.len());
        let member = MMember {
            node,
            mount: self.mount(number as u32 + 2, rights),
            create: flags.create,
        };
        self.place_members(space, vec![member], at, flags.order)?;
        if number == space.devices.len() {
            space.devices.push(device);
        }
        Ok(())
    }

    fn bind(
        &mut self,
        space: &mut Space,
        from: &str,
        to: &str,
        rights: Rights,
        flags: BindFlags,
    ) -> Result<(), Errno> {
        let source = self.resolve(space, from, true)?;
        let members = source.place.ok_or(Errno::Noent)?.members;
        let narrowed = members.into_iter().map(|member| MMember {
            mount: self.mount(member.mount.device, member.mount.rights & rights),
            create: flags.create,
            ..member
        });
        let narrowed = narrowed.collect();
        self.place_members(space, narrowed, to, flags.order)
    }
}

#[derive(Clone, Copy)]
enum New<'a> {
    /// To be opened with these rights.
    File(Rights),
    Directory,
    Link(&'a str),
    Name(&'a MNode),
}
