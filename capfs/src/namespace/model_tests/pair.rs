//! A namespace and its model: the same is done with both.

use proptest::prelude::*;

use super::*;

/// Few names, so that operations meet.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Devices that there are to be mounted.
const DEVICES: usize = 4;

/// Namespaces at most: one, its children, and theirs.
const SPACES_MAX: usize = 6;

/// Directories in each other that are compared: a bind may put the root below itself.
const DEPTH: usize = 4;

#[derive(Clone, Debug)]
enum Action {
    /// Whether by its name: or else it is a device of its own.
    Mount(usize, (usize, bool), String, Rights, BindFlags),
    Bind(usize, String, String, Rights, BindFlags),
    Unmount(usize, String),
    Child(usize, Vec<(String, String, Rights)>),
    Revoke(usize),
    Write(usize, String),
    MakeDirectory(usize, String),
    MakeSymlink(usize, String, String),
    Unlink(usize, String),
    RemoveDirectory(usize, String),
    Link(usize, String, String),
    Rename(usize, String, String),
    List(usize, String, usize),
}

fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(&NAMES[..]);
    prop_oneof![
        1 => Just(".".to_owned()),
        9 => prop::collection::vec(name, 1..4).prop_map(|names| names.join("/")),
    ]
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => path(),
        1 => path().prop_map(|path| format!("/{path}")),
        1 => path().prop_map(|path| format!("../{path}")),
    ]
}

fn rights() -> impl Strategy<Value = Rights> {
    prop_oneof![
        4 => Just(Rights::RW),
        1 => Just(Rights::RO),
        1 => (0..16u8).prop_map(Rights::from_bits_truncate),
    ]
}

fn flags() -> impl Strategy<Value = BindFlags> {
    let order = prop_oneof![
        Just(BindOrder::Replace),
        Just(BindOrder::Before),
        Just(BindOrder::After)
    ];
    (order, any::<bool>()).prop_map(|(order, create)| BindFlags { order, create })
}

/// A change of a namespace itself.
fn change() -> impl Strategy<Value = Action> {
    let space = || 0..SPACES_MAX;
    prop_oneof![
        6 => (space(), (0..DEVICES, any::<bool>()), path(), rights(), flags())
            .prop_map(|(s, d, at, r, f)| Action::Mount(s, d, at, r, f)),
        4 => (space(), path(), path(), rights(), flags())
            .prop_map(|(s, from, to, r, f)| Action::Bind(s, from, to, r, f)),
        1 => (space(), path()).prop_map(|(s, at)| Action::Unmount(s, at)),
    ]
}

/// A change of files, or a look at them.
fn file_action() -> impl Strategy<Value = Action> {
    let space = || 0..SPACES_MAX;
    prop_oneof![
        4 => (space(), path()).prop_map(|(s, p)| Action::Write(s, p)),
        3 => (space(), path()).prop_map(|(s, p)| Action::MakeDirectory(s, p)),
        3 => (space(), target(), path()).prop_map(|(s, t, p)| Action::MakeSymlink(s, t, p)),
        2 => (space(), path()).prop_map(|(s, p)| Action::Unlink(s, p)),
        2 => (space(), path()).prop_map(|(s, p)| Action::RemoveDirectory(s, p)),
        3 => (space(), path(), path()).prop_map(|(s, p, q)| Action::Link(s, p, q)),
        6 => (space(), path(), path()).prop_map(|(s, p, q)| Action::Rename(s, p, q)),
        4 => (space(), path(), 1..5usize).prop_map(|(s, p, step)| Action::List(s, p, step)),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let binds = prop::collection::vec((path(), path(), rights()), 1..4);
    prop_oneof![
        11 => change(),
        3 => (0..SPACES_MAX, binds).prop_map(|(s, binds)| Action::Child(s, binds)),
        1 => (0..16usize).prop_map(Action::Revoke),
        27 => file_action(),
    ]
}

/// Which files a guest takes for which, by `dev` and `ino`.
#[derive(Default)]
struct Identities {
    of: HashMap<Key, (u64, u64)>,
    by: HashMap<(u64, u64), Key>,
}

/// Both.
struct Pair {
    model: Model,
    devices: Vec<(NodeRef, usize)>,
    spaces: Vec<Namespace>,
    gates: Vec<Gate>,
    /// What was mounted in the first space without a name of its own.
    unnamed: HashMap<DeviceId, usize>,
    written: u8,
}

impl Pair {
    fn new() -> Pair {
        let mut model = Model::default();
        let devices = (0..DEVICES).map(|device| {
            let files = MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default());
            let root = files.root();
            let text = format!("of {device}");
            write(&root, "c", text.as_bytes()).unwrap();
            let file = model.add(Body::File(text.into_bytes()));
            let mut names = BTreeMap::from([("c".to_owned(), file)]);
            // The first two of them have a directory in common.
            for name in &NAMES[..device.min(2)] {
                now(testkit::edit(&root)
                    .unwrap()
                    .make_directory(testkit::name(name)))
                .unwrap();
                let directory = model.add(Body::Directory(BTreeMap::new(), false));
                names.insert((*name).to_owned(), directory);
            }
            (root, model.add(Body::Directory(names, false)))
        });
        let devices = devices.collect();
        let space = model.new_space();
        model.spaces.push(space);
        Pair {
            model,
            devices,
            spaces: vec![Namespace::new()],
            gates: Vec::new(),
            unnamed: HashMap::new(),
            written: 0,
        }
    }

    /// The same change of a namespace in both.
    fn change_space<T>(
        &mut self,
        index: usize,
        real: impl FnOnce(&mut Namespace) -> Result<T, Errno>,
        model: impl FnOnce(&mut Model, &mut Space) -> Result<(), Errno>,
    ) {
        let index = index % self.spaces.len();
        let real = real(&mut self.spaces[index]);
        let mut space = self.model.spaces[index].clone();
        let expected = model(&mut self.model, &mut space);
        if expected.is_ok() {
            // Or else it is as it was.
            self.model.spaces[index] = space;
        }
        assert_eq!(real.err(), expected.err());
    }

    /// The same change of files in both.
    fn change<T>(
        &mut self,
        index: usize,
        real: impl FnOnce(&Namespace, &Place) -> Op<T>,
        model: impl FnOnce(&mut Model, &Space) -> Result<(), Errno>,
    ) {
        let index = index % self.spaces.len();
        let namespace = &self.spaces[index];
        let real = now(real(namespace, &namespace.root()));
        let space = self.model.spaces[index].clone();
        assert_eq!(real.err(), model(&mut self.model, &space).err());
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Mount(s, (d, named), at, rights, flags) => {
                let (root, number) = self.devices[d].clone();
                let device = named.then_some(d);
                let known = self.spaces[0].list().devices().len();
                self.change_space(
                    s,
                    |space| match named {
                        true => space.mount_device(id(d), root, &absolute(&at), rights, flags),
                        false => space.mount(root, &absolute(&at), rights, flags),
                    },
                    |model, space| {
                        let node = (device, MNode::File(number));
                        model.mount_at(space, node, &at, rights, flags)
                    },
                );
                let devices = self.spaces[0].list().devices();
                if s % self.spaces.len() == 0 && !named && devices.len() > known {
                    self.unnamed.insert(devices[known].clone(), d);
                }
            }
            Action::Bind(s, from, to, rights, flags) => self.change_space(
                s,
                |space| space.bind(&absolute(&from), &absolute(&to), flags, rights),
                |model, space| model.bind(space, &from, &to, rights, flags),
            ),
            Action::Unmount(s, at) => self.change_space(
                s,
                |space| space.unmount(&absolute(&at)),
                |model, space| {
                    let point = model.mount_point(space, &at)?;
                    space
                        .points
                        .remove(&point.origin)
                        .map(drop)
                        .ok_or(Errno::Inval)
                },
            ),
            Action::Child(s, binds) => self.child(s % self.spaces.len(), binds),
            Action::Revoke(gate) => {
                if !self.gates.is_empty() {
                    let gate = gate % self.gates.len();
                    self.gates[gate].revoke();
                    self.model.views[gate].1 = true;
                }
            }
            Action::Write(s, path) => self.write(s % self.spaces.len(), &path),
            Action::MakeDirectory(s, path) => self.change(
                s,
                |space, root| space.make_directory(root, &path),
                |model, space| {
                    let found = model.resolve(space, &path, false)?;
                    model.make_found(found, New::Directory)
                },
            ),
            Action::MakeSymlink(s, target, path) => self.change(
                s,
                |space, root| space.make_symlink(&target, root, &path),
                |model, space| {
                    let found = model.resolve(space, &path, false)?;
                    model.make_found(found, New::Link(&target))
                },
            ),
            Action::Unlink(s, path) => self.change(
                s,
                |space, root| space.unlink(root, &path),
                |model, space| {
                    let found = model.resolve(space, &path, false)?;
                    model.remove_found(found, false)
                },
            ),
            Action::RemoveDirectory(s, path) => self.change(
                s,
                |space, root| space.remove_directory(root, &path),
                |model, space| {
                    let found = model.resolve(space, &path, false)?;
                    model.remove_found(found, true)
                },
            ),
            Action::Link(s, old, new) => self.change(
                s,
                |space, root| space.link(root, &old, false, root, &new),
                |model, space| {
                    let old = model.resolve(space, &old, false)?;
                    let new = model.resolve(space, &new, false)?;
                    let old = old.existing()?.clone();
                    model.link_found(&old, new)
                },
            ),
            Action::Rename(s, old, new) => self.change(
                s,
                |space, root| space.rename(root, &old, root, &new),
                |model, space| {
                    let old = model.resolve(space, &old, false)?;
                    let new = model.resolve(space, &new, false)?;
                    model.rename_found(old, new)
                },
            ),
            Action::List(s, path, step) => {
                let index = s % self.spaces.len();
                let real = self.list(index, &path, step);
                let space = self.model.spaces[index].clone();
                assert_eq!(real.map(|_| ()), self.listed(&space, &path).map(|_| ()));
            }
        }
    }

    /// A namespace of what is at places of another, each behind a gate.
    fn child(&mut self, parent: usize, binds: Vec<(String, String, Rights)>) {
        if self.spaces.len() >= SPACES_MAX {
            return;
        }
        let (mut real, mut space) = (Namespace::new(), self.model.new_space());
        for (from, to, rights) in binds {
            let viewed = self.model.spaces[parent].clone();
            let expected = self.model.resolve(&viewed, &from, true);
            let namespace = &self.spaces[parent];
            let resolved = now(namespace.resolve(&namespace.root(), &from, true));
            let (resolved, expected) = match (resolved, expected) {
                (Ok(resolved), Ok(expected)) => (resolved.place, expected.place),
                (resolved, expected) => {
                    assert_eq!(resolved.err(), expected.err());
                    continue;
                }
            };
            assert_eq!(resolved.is_some(), expected.is_some());
            let (Some(place), Some(expected)) = (resolved, expected) else {
                continue;
            };
            let (gate, root) = Gate::new(namespace.view(place), None);
            self.gates.push(gate);
            self.model.views.push((viewed, false));
            let node = MNode::View(self.model.views.len() - 1, expected);
            let flags = BindFlags::AFTER.creating();
            let mounted = real.mount(root, &absolute(&to), rights, flags);
            let before = space.clone();
            let node = (None, node);
            let expected = self.model.mount_at(&mut space, node, &to, rights, flags);
            if expected.is_err() {
                space = before;
            }
            assert_eq!(mounted, expected);
        }
        self.spaces.push(real);
        self.model.spaces.push(space);
    }

    fn write(&mut self, index: usize, path: &str) {
        self.written = self.written.wrapping_add(1);
        let byte = self.written;
        let at = OpenAt {
            follow: true,
            create: true,
            how: OpenHow {
                write: true,
                ..OpenHow::default()
            },
            ..OpenAt::default()
        };
        let namespace = &self.spaces[index];
        let opened = now(namespace.open(&namespace.root(), path, at));
        let real = opened.and_then(|(_, mut file)| write_at(&mut *file, WriteAt::End, &[byte]));
        let space = self.model.spaces[index].clone();
        let mut expected = || {
            let model = &mut self.model;
            let found = model.resolve(&space, path, true)?;
            let place = match found.place {
                Some(place) if model.is_directory(&place) => return Err(Errno::Isdir),
                Some(place) => {
                    model.open(&place, Rights::WRITE)?;
                    place
                }
                None => {
                    let parent = found.parent.clone().ok_or(Errno::Noent)?;
                    model.make_found(found, New::File(Rights::WRITE))?;
                    let made = model.find(&space, &parent.place, &parent.name)?;
                    made.place.unwrap()
                }
            };
            model.contents(&place).push(byte);
            Ok(())
        };
        assert_eq!(real.map(|_| ()), expected());
    }

    /// The entries of a directory, so many at a time.
    fn list(&self, index: usize, path: &str, step: usize) -> Result<Vec<crate::DirEntry>, Errno> {
        let namespace = &self.spaces[index];
        let resolved = now(namespace.resolve(&namespace.root(), path, true))?;
        let place = resolved.place.ok_or(Errno::Noent)?;
        let mut file = now(namespace.open_place(&place, READ))?;
        let mut entries: Vec<crate::DirEntry> = Vec::new();
        loop {
            let cookie = entries.last().map_or(0, |entry| entry.cookie);
            let part = list_from(&mut *file, cookie, step)?;
            if part.is_empty() {
                return Ok(entries);
            }
            entries.extend(part);
        }
    }

    fn listed(&mut self, space: &Space, path: &str) -> Result<BTreeSet<String>, Errno> {
        let found = self.model.resolve(space, path, true)?;
        let place = found.place.ok_or(Errno::Noent)?;
        self.model.open(&place, Rights::READ)?;
        match self.model.is_directory(&place) {
            true => self.model.list(&place),
            false => Err(Errno::Notdir),
        }
    }

    fn compare(&mut self) {
        for index in 0..self.spaces.len() {
            let mut known = Identities::default();
            self.compare_below(index, ".", 0, &mut known);
        }
    }

    fn compare_below(&mut self, index: usize, path: &str, depth: usize, known: &mut Identities) {
        let namespace = &self.spaces[index];
        let root = namespace.root();
        let space = self.model.spaces[index].clone();
        let stat = now(namespace.stat(&root, path, false));
        let found = self.model.resolve(&space, path, false);
        let place = match found.and_then(|found| found.place.ok_or(Errno::Noent)) {
            Ok(place) => place,
            Err(errno) => return assert_eq!(stat.err(), Some(errno), "{path}"),
        };
        let face = place.face().node.clone();
        if let Err(errno) = self.reachable(&face) {
            return assert_eq!(stat.err(), Some(errno), "{path}");
        }
        let (device, stat) = stat.unwrap();
        let kind = self.model.kind(&face);
        assert_eq!(stat.qid.kind, kind, "{path}");
        let (identity, expected) = ((device, stat.qid.path), place.key());
        assert_eq!(device as u32, expected.0, "{path}: the number of the mount");
        let before = known.of.insert(expected.clone(), identity);
        assert!(
            before.is_none_or(|before| before == identity),
            "{path} has one identity"
        );
        let before = known.by.insert(identity, expected.clone());
        assert!(
            before.is_none_or(|before| before == expected),
            "{path} is no other file"
        );
        match kind {
            FileKind::SymbolicLink => {
                let target = now(namespace.read_link(&root, path));
                let mount = place.face().mount.clone();
                let allowed = mount.demand(Rights::READ);
                assert_eq!(target, allowed.and_then(|()| self.model.read_link(&face)));
            }
            FileKind::Directory => {
                let entries = self.list(index, path, 1 + depth % 3);
                let names = self.listed(&space, path);
                let (entries, names) = match (entries, names) {
                    (Ok(entries), Ok(names)) => (entries, names),
                    (entries, names) => {
                        return assert_eq!(entries.map(|_| ()), names.map(|_| ()), "{path}");
                    }
                };
                let mut listed: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
                listed.sort();
                assert_eq!(listed, names.iter().collect::<Vec<_>>(), "names in {path}");
                if depth == DEPTH {
                    return;
                }
                for entry in entries {
                    let below = format!("{path}/{}", entry.name);
                    let namespace = &self.spaces[index];
                    if let Ok((_, stat)) = now(namespace.stat(&root, &below, false)) {
                        let (listed, told) = (entry.qid, stat.qid);
                        assert_eq!(
                            (listed.path, listed.kind),
                            (told.path, told.kind),
                            "{below}"
                        );
                    }
                    self.compare_below(index, &below, depth + 1, known);
                }
            }
            _ => {
                let at = OpenAt {
                    how: READ,
                    ..OpenAt::default()
                };
                let opened = now(namespace.open(&root, path, at));
                let real = opened.and_then(|(_, mut file)| read_at(&mut *file, 0, 4096));
                let allowed = self.model.open(&place, Rights::READ);
                let expected = allowed.map(|()| self.model.contents(&place).clone());
                assert_eq!(real, expected, "contents of {path}");
            }
        }
    }

    /// Whether no view on the way to a node was taken away.
    fn reachable(&self, node: &MNode) -> Result<(), Errno> {
        match node {
            MNode::View(view, place) => {
                self.model.viewed(*view)?;
                self.reachable(&place.face().node)
            }
            _ => Ok(()),
        }
    }
}

fn absolute(path: &str) -> String {
    format!("/{path}")
}

/// The name of a device.
fn id(device: usize) -> DeviceId {
    DeviceId::named("memory", &device.to_string()).unwrap()
}

/// What a guest sees of a namespace: every path up to a depth, with what stat and listing say.
fn seen(namespace: &Namespace, path: &str, depth: usize, all: &mut Vec<String>) {
    let root = namespace.root();
    let stat = now(namespace.stat(&root, path, false));
    let names = stat.as_ref().map(|_| {
        let resolved = now(namespace.resolve(&root, path, false))?;
        let mut file = now(namespace.open_place(&resolved.place.unwrap(), READ))?;
        list_from(&mut *file, 0, 1000)
    });
    all.push(format!("{path} {stat:?} {names:?}"));
    if let (Ok(Ok(entries)), true) = (names, depth < DEPTH) {
        for entry in entries {
            seen(namespace, &format!("{path}/{}", entry.name), depth + 1, all);
        }
    }
}

proptest! {
    /// `PROPTEST_CASES` says how many; 256 unless it does.
    #[test]
    fn behaves_like_the_model(actions in prop::collection::vec(action(), 1..60)) {
        let mut pair = Pair::new();
        for action in actions {
            pair.apply(action);
        }
        pair.compare();
    }

    /// A namespace that is made anew from its list, by way of its text, is the same.
    #[test]
    fn follows_from_its_list(
        files in prop::collection::vec(file_action(), 0..20),
        changes in prop::collection::vec(change(), 1..30),
    ) {
        let mut pair = Pair::new();
        // Where files can be made: in one of the devices, whose mount comes first.
        let first = Action::Mount(0, (1, true), ".".to_owned(), Rights::RW, BindFlags::REPLACE);
        for action in std::iter::once(first).chain(files).chain(changes) {
            pair.apply(action);
        }
        let original = pair.spaces[0].clone();
        let text = original.list().to_string();
        let list: NamespaceList = text.parse().unwrap();
        assert_eq!(&list, original.list());
        let mut asked = Vec::new();
        let built = Namespace::build(&list, |device| {
            asked.push(device.clone());
            let named = (0..DEVICES).find(|number| id(*number) == *device);
            let number = named.unwrap_or_else(|| pair.unnamed[device]);
            Ok(pair.devices[number].0.clone())
        });
        let built = built.unwrap();
        assert_eq!(asked, list.devices());
        assert_eq!(built.list().to_string(), text);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        seen(&original, ".", 0, &mut before);
        seen(&built, ".", 0, &mut after);
        assert_eq!(before, after);
        pair.spaces[0] = built;
        pair.compare();
    }
}
