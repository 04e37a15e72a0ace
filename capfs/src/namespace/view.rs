//! A place of a namespace as a device: what one agent hands to another.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use super::files::OpenAt;
use super::table::Mount;
use super::{Namespace, Place};
use crate::device::parts::lock;
use crate::{
    Checkpoint, Directory, Durable, EditDirectory, Errno, FileKind, FileSystemStat, Handle, Name,
    Node, NodeRef, Op, OpenFile, OpenHow, Opened, Qid, Rights, SetStat, Stat, VIEW_DEVICES_MAX,
};

/// The first number of a device that lies behind a view within the viewed namespace; those below are of its mounts.
pub(super) const FIRST_BEHIND: u32 = 1 << 31;

impl Namespace {
    /// What is at a place, as a device's root: mount points and unions below it are seen as this namespace has
    /// them, and its rights hold. Whoever mounts it gets at most what this namespace gives.
    ///
    /// Its files keep their numbers, and each device behind it one of its own ([`Qid::device`]), so that no two files
    /// are taken for one.
    pub fn view(&self, place: Place) -> NodeRef {
        let viewed = Viewed {
            namespace: self.clone(),
            exports: Arc::default(),
        };
        let root = viewed.node(place);
        root.expect("the first device always has a number")
    }
}

/// The numbers of the devices that a view shows.
///
/// A device that is mounted in the viewed namespace has the number of its mount. One that lies behind a view there needs
/// a number of its own, which it gets when it is met.
#[derive(Default)]
pub(super) struct Exports(Mutex<HashMap<(u32, u32), u32>>);

impl Exports {
    /// The identity of a file, as it is seen from outside.
    ///
    /// # Errors
    /// - [`Errno::Overflow`]: of one device more than [`VIEW_DEVICES_MAX`]
    pub(super) fn qid(&self, mount: &Mount, qid: Qid) -> Result<Qid, Errno> {
        let device = match qid.device {
            0 => mount.device,
            behind => {
                let mut numbers = lock(&self.0);
                let next = numbers.len();
                match numbers.entry((mount.device, behind)) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(_) if next >= VIEW_DEVICES_MAX => return Err(Errno::Overflow),
                    Entry::Vacant(new) => *new.insert(FIRST_BEHIND + next as u32),
                }
            }
        };
        Ok(Qid { device, ..qid })
    }
}

/// A namespace that is looked at from outside.
#[derive(Clone)]
struct Viewed {
    namespace: Namespace,
    exports: Arc<Exports>,
}

impl Viewed {
    fn node(&self, place: Place) -> Result<NodeRef, Errno> {
        let qid = self.exports.qid(place.mount(), place.node().qid())?;
        let viewed = self.clone();
        Ok(Arc::new(View { viewed, place, qid }))
    }
}

/// A place of a namespace.
struct View {
    viewed: Viewed,
    place: Place,
    qid: Qid,
}

impl View {
    fn namespace(&self) -> &Namespace {
        &self.viewed.namespace
    }

    fn find(&self, name: &str) -> Op<NodeRef> {
        let viewed = self.viewed.clone();
        let resolved = self.namespace().resolve(&self.place, name, false);
        resolved.then(move |resolved| {
            let place = resolved.place.ok_or(Errno::Noent);
            place.and_then(|place| viewed.node(place)).into()
        })
    }

    fn demand(&self, rights: Rights) -> Result<(), Errno> {
        self.place.mount().demand(rights)
    }
}

/// The place of a node of the same namespace.
fn place_of(node: &NodeRef) -> Result<&Place, Errno> {
    let node: &dyn Node = &**node;
    let view = node.as_any().downcast_ref::<View>();
    view.map(|view| &view.place).ok_or(Errno::Xdev)
}

#[deny(clippy::missing_trait_methods)]
impl Node for View {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        let qid = self.qid;
        self.place
            .node()
            .stat()
            .map(move |stat| Stat { qid, ..stat })
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let exports = self.viewed.exports.clone();
        self.namespace().open_shown(&self.place, how, Some(exports))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        match self.demand(Rights::WRITE) {
            Ok(()) => self.place.node().set_stat(change),
            Err(errno) => Op::err(errno),
        }
    }

    fn directory(&self) -> Option<&dyn Directory> {
        // Some files have names below them, though they are no directories.
        let names =
            self.place.kind() == FileKind::Directory || self.place.node().directory().is_some();
        names.then_some(self)
    }

    fn read_link(&self) -> Op<String> {
        match self.demand(Rights::READ) {
            Ok(()) => self.place.node().read_link(),
            Err(errno) => Op::err(errno),
        }
    }

    fn subject(&self) -> Option<String> {
        self.place.node().subject()
    }

    /// A namespace behind another is not found again yet: its own devices would have to be.
    fn save(&self) -> Result<Handle, Errno> {
        Err(Errno::Nodev)
    }

    fn reopen(&self, _how: OpenHow, _state: &[u8]) -> Op<Box<dyn OpenFile>> {
        Op::err(Errno::Stale)
    }

    fn durable(&self) -> Option<&dyn Durable> {
        None
    }

    fn file_system_stat(&self) -> Op<FileSystemStat> {
        self.place.node().file_system_stat()
    }

    /// What is done by way of a namespace is undone where its devices are.
    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        Op::err(Errno::Notsup)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[deny(clippy::missing_trait_methods)]
impl Directory for View {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        self.find(name.as_str())
    }

    /// Its namespace walks by itself, a name at a time: what is on the way is its own.
    fn walk_ahead(&self, name: Name<'_>, _rest: &str) -> Op<NodeRef> {
        self.walk(name)
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl EditDirectory for View {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        let how = OpenAt {
            create: true,
            exclusive: true,
            how,
            ..OpenAt::default()
        };
        let viewed = self.viewed.clone();
        let opened = self.namespace().open(&self.place, name.as_str(), how);
        opened.then(move |(place, file)| {
            let node = viewed.node(place);
            node.map(|node| Opened { node, file }).into()
        })
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        let again = View {
            viewed: self.viewed.clone(),
            place: self.place.clone(),
            qid: self.qid,
        };
        let name = name.as_str().to_owned();
        let made = self.namespace().make_directory(&self.place, &name);
        made.then(move |()| again.find(&name))
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        let namespace = self.namespace();
        namespace.make_symlink(target, &self.place, name.as_str())
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        match place_of(node) {
            Ok(linked) => {
                let namespace = self.namespace();
                namespace.link_place(linked, &self.place, name.as_str())
            }
            Err(errno) => Op::err(errno),
        }
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        self.namespace().unlink(&self.place, name.as_str())
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        self.namespace()
            .remove_directory(&self.place, name.as_str())
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        match place_of(to) {
            Ok(to) => {
                let namespace = self.namespace();
                namespace.rename(&self.place, name.as_str(), to, to_name.as_str())
            }
            Err(errno) => Op::err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BindFlags;
    use crate::device::memory::{MemoryFs, MemoryLimits};
    use crate::testkit::{self, ManualClock, READ, now, walk};

    fn files() -> NodeRef {
        let clock = Arc::new(ManualClock::new(0));
        let root = MemoryFs::new(clock, MemoryLimits::default()).root();
        testkit::write(&root, "file", b"text").unwrap();
        root
    }

    fn view(namespace: &Namespace, path: &str) -> NodeRef {
        let resolved = now(namespace.resolve(&namespace.root(), path, true)).unwrap();
        namespace.view(resolved.place.unwrap())
    }

    #[test]
    fn shows_mounts_and_keeps_to_the_rights() {
        let mut namespace = Namespace::new();
        let mut mount = |at, rights| namespace.mount(files(), at, rights, BindFlags::REPLACE);
        mount("/top", Rights::RW).unwrap();
        mount("/top/inner", Rights::RO).unwrap();
        let top = view(&namespace, "top");
        assert_eq!(testkit::read(&top, "inner/file").unwrap(), b"text");
        let mut names = testkit::names_in(&top).unwrap();
        names.sort();
        assert_eq!(names, ["file", "inner"]);
        testkit::write(&top, "made", b"more").unwrap();
        let inner = walk(&top, "inner").unwrap();
        assert_eq!(
            testkit::write(&inner, "made", b"x").err(),
            Some(Errno::Rofs)
        );
        let how = OpenHow {
            write: true,
            ..READ
        };
        let file = walk(&inner, "file").unwrap();
        assert_eq!(now(file.open(how)).err(), Some(Errno::Rofs));
        assert_eq!(
            now(file.set_stat(SetStat::default())).err(),
            Some(Errno::Rofs)
        );
        let edit = testkit::edit(&inner).unwrap();
        assert_eq!(now(edit.unlink(testkit::name("file"))), Err(Errno::Rofs));
        let mut wider = Namespace::new();
        wider
            .mount(inner, "/", Rights::RW, BindFlags::REPLACE)
            .unwrap();
        let path = view(&wider, "file");
        assert_eq!(now(path.open(how)).err(), Some(Errno::Rofs));
    }

    #[test]
    fn names_come_and_go_through_it() {
        let mut namespace = Namespace::new();
        namespace
            .mount(files(), "/a", Rights::RW, BindFlags::REPLACE)
            .unwrap();
        let a = view(&namespace, "a");
        let edit = testkit::edit(&a).unwrap();
        let sub = now(edit.make_directory(testkit::name("sub"))).unwrap();
        now(edit.rename(testkit::name("file"), &sub, testkit::name("moved"))).unwrap();
        assert_eq!(testkit::read(&a, "sub/moved").unwrap(), b"text");
        now(edit.make_symlink(testkit::name("link"), "sub")).unwrap();
        assert_eq!(now(walk(&a, "link").unwrap().read_link()).unwrap(), "sub");
        now(testkit::edit(&sub).unwrap().unlink(testkit::name("moved"))).unwrap();
        now(edit.remove_directory(testkit::name("sub"))).unwrap();
        assert_eq!(testkit::names_in(&a).unwrap(), ["link"]);
    }
}
