//! Freeze at any call, thaw elsewhere: what an agent does comes out the same.
//!
//! A series of calls is made on a namespace in which a device is mounted. After each call in turn everything that is open is saved, the
//! device is made anew of its image, a new namespace of the list of the old one, and what was open is opened again there; the rest of the
//! series is made there. What each call answered is held against what it answers when nothing happens in between.

use std::fmt::Debug;

use super::{late, list_from, now, read_at, write_at};
use crate::{
    BindFlags, DeviceId, Errno, FileKind, Namespace, NodeRef, OpenAt, OpenFile, OpenHow, Place,
    Rights, SavedPlace, SetStat, Stat, WriteAt,
};

/// A device under test.
pub struct Image {
    /// Its tree.
    pub root: NodeRef,
    /// Makes the device anew, of its files as they are then.
    pub again: Box<dyn Fn() -> Image>,
}

/// A call; files are known by their places in the series.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Open(usize, &'static str, OpenHow),
    Create(usize, &'static str),
    Close(usize),
    Read(usize, usize),
    Write(usize, &'static [u8]),
    Append(usize, &'static [u8]),
    Seek(usize, u64),
    Resize(usize, u64),
    List(usize, usize),
    /// From the start, whatever the order.
    Names(usize),
    Status(usize),
    StatusOf(&'static str),
    /// From a directory that is open.
    Beside(usize, &'static str),
    MakeDirectory(&'static str),
    Link(&'static str, &'static str),
    SymbolicLink(&'static str, &'static str),
    Rename(&'static str, &'static str),
    Unlink(&'static str),
}

use Step::{
    Append, Beside, Close, Create, Link, List, MakeDirectory, Names, Open, Read, Rename, Resize,
    Seek, Status, StatusOf, SymbolicLink, Unlink, Write,
};

const READ: OpenHow = super::READ;
const BOTH: OpenHow = super::READ_WRITE;

/// What a device does that can be written. Files keep their names as long as they are open.
pub(super) const WRITABLE: &[Step] = &[
    Open(0, ".", READ),
    MakeDirectory("sub"),
    MakeDirectory("sub/deep"),
    Create(1, "sub/file"),
    Write(1, b"one two three"),
    Open(2, "sub/file", READ),
    Read(2, 4),
    Append(1, b" four"),
    Read(2, 100),
    Status(2),
    Open(3, "sub", READ),
    Beside(3, "file"),
    Create(4, "sub/other"),
    Create(5, "sub/third"),
    List(3, 1),
    Rename("sub/file", "sub/deep/moved"),
    Write(1, b"!"),
    Seek(1, 2),
    Read(1, 5),
    List(3, 10),
    Link("sub/deep/moved", "again"),
    Status(1),
    StatusOf("again"),
    Unlink("sub/deep/moved"),
    Append(1, b" by another name"),
    Read(1, 100),
    SymbolicLink("sub/deep", "link"),
    StatusOf("link"),
    Rename("sub", "elsewhere"),
    Beside(3, "other"),
    List(3, 10),
    Resize(1, 9),
    Seek(2, 0),
    Read(2, 100),
    Close(2),
    Open(2, "again", BOTH),
    Seek(2, 70_000),
    Write(2, b"far"),
    Status(2),
    Seek(2, 69_998),
    Read(2, 10),
    Create(6, "late"),
    Status(6),
    Seek(0, 0),
    List(0, 100),
    Close(6),
    Unlink("late"),
    StatusOf("late"),
];

/// Checks a device that can be written: `make` makes one with an empty root.
///
/// # Panics
/// When a check fails.
pub fn durable(make: impl Fn() -> Image) {
    everywhere(&make, WRITABLE);
}

/// As [`durable`], of a device whose directories are listed from the start again once they are found again: their order and cookies don't last.
///
/// # Panics
/// When a check fails.
pub fn durable_but_listings(make: impl Fn() -> Image) {
    let names = |step: &Step| match step {
        List(slot, _) => Names(*slot),
        step => step.clone(),
    };
    let steps: Vec<Step> = WRITABLE.iter().map(names).collect();
    everywhere(&make, &steps);
}

/// Checks the files of a device that can't be written: each is read in pieces, and each directory listed. A device that is one file is `test`.
///
/// # Panics
/// When a check fails, or there is nothing to be read.
pub fn durable_reading(
    make: impl Fn() -> Image,
    directories: &[&'static str],
    files: &[&'static str],
) {
    assert!(!files.is_empty(), "nothing would be checked");
    let mut steps = Vec::new();
    for (slot, path) in directories.iter().enumerate() {
        steps.extend([
            Open(slot, path, READ),
            List(slot, 1),
            List(slot, 2),
            List(slot, 100),
        ]);
    }
    let behind = directories.len();
    for (slot, path) in files.iter().enumerate() {
        let slot = behind + slot;
        steps.extend([Open(slot, path, READ), Status(slot), Read(slot, 3)]);
    }
    for slot in behind..behind + files.len() {
        steps.extend([Read(slot, 5), Read(slot, 100), Seek(slot, 1), Read(slot, 3)]);
    }
    everywhere(&make, &steps);
}

/// Checks that neither a file nor what opens it is found again, and that both say so.
///
/// # Panics
/// When it is.
pub fn not_durable(node: &NodeRef, how: OpenHow) {
    let file = now(node.open(how)).expect("the file opens");
    assert_eq!(
        file.save().err(),
        Some(Errno::Nodev),
        "an open file is saved"
    );
}

fn everywhere(make: &impl Fn() -> Image, steps: &[Step]) {
    for is_late in [false, true] {
        let expected = World::new(make(), is_late).run(steps);
        for at in 0..=steps.len() {
            let mut world = World::new(make(), is_late);
            let mut transcript = world.run(&steps[..at]);
            transcript.extend(world.elsewhere().run(&steps[at..]));
            compare(steps, &transcript, &expected, &format!("after {at} calls"));
        }
        let mut world = World::new(make(), is_late);
        let mut transcript = Vec::new();
        for step in steps {
            transcript.extend(world.run(std::slice::from_ref(step)));
            world = world.elsewhere();
        }
        compare(steps, &transcript, &expected, "after every call");
    }
}

pub(super) fn compare(steps: &[Step], transcript: &[String], expected: &[String], when: &str) {
    assert_eq!(transcript.len(), expected.len());
    for ((step, line), expected) in steps.iter().zip(transcript).zip(expected) {
        assert_eq!(line, expected, "{step:?}, frozen {when}");
    }
}

pub(super) struct OpenThere {
    place: Place,
    file: Box<dyn OpenFile>,
    how: OpenHow,
    pub(super) offset: u64,
}

/// An agent's namespace, and what it has open.
pub(super) struct World {
    pub(super) image: Image,
    is_late: bool,
    namespace: Namespace,
    /// The directory that paths start from.
    base: Place,
    pub(super) open: Vec<Option<OpenThere>>,
    /// Of each place in the series, what was closed there, in order; `None` if nobody wants it back.
    pub(super) closed: Option<Vec<(usize, OpenThere)>>,
}

/// Where the device is mounted: a directory that is there for it.
const AT: &str = "/under/test";

impl World {
    pub(super) fn new(image: Image, is_late: bool) -> World {
        let base = match image.root.qid().kind {
            FileKind::Directory => AT,
            // By itself it has one name, in there.
            _ => "/under",
        };
        let mut namespace = Namespace::new();
        let device = DeviceId::new("test:device").expect("a name");
        let root = if is_late {
            late(&image.root)
        } else {
            image.root.clone()
        };
        let mounted =
            namespace.mount_device(device, root, AT, Rights::RW, BindFlags::REPLACE.creating());
        mounted.expect("the device is mounted");
        let resolved =
            now(namespace.resolve(&namespace.root(), &base[1..], true)).expect("it is there");
        World {
            base: resolved.place.expect("it is there"),
            image,
            is_late,
            namespace,
            open: Vec::new(),
            closed: None,
        }
    }

    /// Freezes, and thaws in a namespace of the same list with the device's image.
    fn elsewhere(&mut self) -> World {
        let image = (self.image.again)();
        let root = if self.is_late {
            late(&image.root)
        } else {
            image.root.clone()
        };
        let list = self.namespace.list().to_string().parse().expect("a list");
        let namespace =
            Namespace::build(&list, |_| Ok(root.clone())).expect("the list is made again");
        let mut saved = vec![self.namespace.save(&self.base).expect("the base is saved")];
        let mut states = Vec::new();
        for open in self.open.iter().flatten() {
            let is_directory = open.place.kind() == FileKind::Directory;
            let (place, state) = if is_directory {
                (self.namespace.save(&open.place), Vec::new())
            } else {
                let file = open.file.save().expect("an open file is saved");
                let place = SavedPlace {
                    mount: open.place.mount_number(),
                    handle: file.node().clone(),
                };
                (Ok(place), file.state().to_vec())
            };
            saved.push(place.expect("a place is saved"));
            states.push(state);
        }
        let places = now(namespace.restore(&saved)).expect("places are looked for");
        let mut places = places
            .into_iter()
            .map(|place| place.expect("a place is found again"));
        let base = places.next().expect("the base");
        let mut reopened = places.zip(states);
        let again = self.open.drain(..).map(|open| {
            let open = open?;
            let (place, state) = reopened.next().expect("one for each");
            let file = match place.kind() {
                FileKind::Directory => namespace.open_place(&place, open.how),
                _ => namespace.reopen(&place, open.how, &state),
            };
            Some(OpenThere {
                file: now(file).expect("it is opened again"),
                place,
                ..open
            })
        });
        World {
            open: again.collect(),
            closed: None,
            is_late: self.is_late,
            image,
            base,
            namespace,
        }
    }

    pub(super) fn run(&mut self, steps: &[Step]) -> Vec<String> {
        steps.iter().map(|step| self.step(step)).collect()
    }

    fn step(&mut self, step: &Step) -> String {
        let (namespace, base) = (&self.namespace, &self.base);
        match step {
            Open(slot, path, how) => self.open_at(*slot, path, *how, false),
            Create(slot, path) => self.open_at(*slot, path, BOTH, true),
            Close(slot) => shown(Ok(self.put(*slot, None))),
            MakeDirectory(path) => shown(now(namespace.make_directory(base, path))),
            Link(old, new) => shown(now(namespace.link(base, old, false, base, new))),
            SymbolicLink(target, path) => shown(now(namespace.make_symlink(target, base, path))),
            Rename(old, new) => shown(now(namespace.rename(base, old, base, new))),
            Unlink(path) => shown(now(namespace.unlink(base, path))),
            StatusOf(path) => {
                let stat = now(namespace.stat(base, path, false));
                shown(stat.map(|(device, stat)| (device, told(&stat))))
            }
            Beside(slot, path) => {
                let place = &self.open[*slot].as_ref().expect("it is open").place;
                let stat = now(namespace.stat(place, path, false));
                shown(stat.map(|(device, stat)| (device, told(&stat))))
            }
            step => {
                let slot = match step {
                    Read(slot, _) | List(slot, _) | Names(slot) | Status(slot) => *slot,
                    Write(slot, _) | Append(slot, _) => *slot,
                    Seek(slot, _) | Resize(slot, _) => *slot,
                    _ => unreachable!("what is not of a file comes before"),
                };
                self.open[slot].as_mut().expect("it is open").step(step)
            }
        }
    }

    fn open_at(&mut self, slot: usize, path: &str, how: OpenHow, create: bool) -> String {
        let at = OpenAt {
            create,
            how,
            ..OpenAt::default()
        };
        let opened = now(self.namespace.open(&self.base, path, at));
        let line = shown(
            opened
                .as_ref()
                .map(|(place, _)| (place.device(), place.node().qid().path))
                .map_err(|errno| *errno),
        );
        if self.open.len() <= slot {
            self.open.resize_with(slot + 1, || None);
        }
        let opened = opened.ok().map(|(place, file)| OpenThere {
            place,
            file,
            how,
            offset: 0,
        });
        self.put(slot, opened);
        line
    }

    /// Puts something in a place of the series; whether there was something.
    fn put(&mut self, slot: usize, opened: Option<OpenThere>) -> bool {
        let before = std::mem::replace(&mut self.open[slot], opened);
        let was_there = before.is_some();
        if let (Some(before), Some(closed)) = (before, &mut self.closed) {
            closed.push((slot, before));
        }
        was_there
    }
}

impl OpenThere {
    fn step(&mut self, step: &Step) -> String {
        match step {
            Read(_, room) => {
                let read = read_at(&mut *self.file, self.offset, *room);
                self.offset += read.as_ref().map_or(0, Vec::len) as u64;
                shown(read)
            }
            Write(_, bytes) => {
                let written = write_at(&mut *self.file, WriteAt::Offset(self.offset), bytes);
                self.offset = written.as_ref().map_or(self.offset, |written| written.end);
                shown(written)
            }
            Append(_, bytes) => shown(write_at(&mut *self.file, WriteAt::End, bytes)),
            Seek(_, offset) => {
                self.offset = *offset;
                shown(Ok(()))
            }
            Resize(_, size) => {
                let change = SetStat {
                    size: Some(*size),
                    ..SetStat::default()
                };
                shown(now(self.file.set_stat(change)))
            }
            List(_, max) => {
                let listed = list_from(&mut *self.file, self.offset, *max);
                if let Ok(Some(last)) = listed.as_ref().map(|entries| entries.last()) {
                    self.offset = last.cookie;
                }
                shown(listed)
            }
            Names(_) => {
                let mut names = Vec::new();
                let mut cookie = 0;
                // A listing may come in parts.
                while let Ok(part) = list_from(&mut *self.file, cookie, 100)
                    && let Some(last) = part.last()
                {
                    cookie = last.cookie;
                    names.extend(part.into_iter().map(|entry| (entry.name, entry.qid)));
                }
                names.sort_by(|one, other| one.0.cmp(&other.0));
                shown(Ok(names))
            }
            Status(_) => shown(now(self.file.stat()).map(|stat| told(&stat))),
            _ => unreachable!("what is not of a file comes before"),
        }
    }
}

/// What of stat is the same on every run: hosts have clocks of their own.
fn told(stat: &Stat) -> (u64, FileKind, u64, u64) {
    (stat.qid.path, stat.qid.kind, stat.nlink, stat.size)
}

fn shown<T: Debug>(answer: Result<T, Errno>) -> String {
    format!("{answer:?}")
}
