//! The descriptor table and the namespace against a naive model.
//!
//! The model keeps files in a vector, names in one map from whole paths, and descriptors in a vector
//! with holes. A case is a sequence of calls, between any two of which the process may be frozen and go on elsewhere; both must
//! answer alike, and show the same tree at the end. `PROPTEST_CASES` sets the number of cases.

mod guest;

/// Files are answered for at once or later, as each run has it.
const LATE: bool = false;

use std::collections::BTreeMap;

use capfs::Errno;
use guest::{APPEND, CREAT, DIRECTORY, EXCL, Guest, PathCall, TRUNC, entries, rights};
use proptest::prelude::*;

/// Descriptors that may be open at once.
const MAX_FILES: u32 = 10;

/// Paths that calls use: few, so that they meet.
const PATHS: [&str; 8] = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "missing/a"];

/// The same directory or file by a longer way.
const DETOURS: [&str; 3] = ["", "./", "d/../"];

#[derive(Clone, Debug)]
enum Action {
    Open {
        path: usize,
        detour: usize,
        oflags: u32,
        base: u64,
        append: bool,
    },
    Close(u32),
    Renumber(u32, u32),
    Write(u32, Vec<u8>),
    WriteAt(u32, Vec<u8>, u64),
    Read(u32, u32),
    ReadAt(u32, u32, u64),
    Seek(u32, i64, u32),
    Resize(u32, u64),
    Append(u32, bool),
    MakeDirectory(usize),
    RemoveDirectory(usize),
    Unlink(usize),
    Link(usize, usize),
    Rename(usize, usize),
    /// The process is frozen, and goes on elsewhere.
    Move,
}

fn action() -> impl Strategy<Value = Action> {
    let fd = 3..MAX_FILES + 1;
    let path = 0..PATHS.len();
    let oflags = prop::sample::select(vec![
        0,
        0,
        CREAT,
        CREAT,
        CREAT | EXCL,
        CREAT | TRUNC,
        TRUNC,
        DIRECTORY,
    ]);
    let base = prop::sample::select(vec![
        rights::FILE,
        rights::FILE,
        rights::FILE,
        rights::READ,
        rights::WRITE | rights::SEEK,
        0,
    ]);
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        6 => (path.clone(), 0..DETOURS.len(), oflags, base, any::<bool>()).prop_map(
            |(path, detour, oflags, base, append)| Action::Open { path, detour, oflags, base, append }
        ),
        2 => fd.clone().prop_map(Action::Close),
        1 => (fd.clone(), fd.clone()).prop_map(|(from, to)| Action::Renumber(from, to)),
        4 => (fd.clone(), bytes()).prop_map(|(fd, bytes)| Action::Write(fd, bytes)),
        2 => (fd.clone(), bytes(), 0..40u64).prop_map(|(fd, bytes, at)| Action::WriteAt(fd, bytes, at)),
        3 => (fd.clone(), 0..40u32).prop_map(|(fd, len)| Action::Read(fd, len)),
        2 => (fd.clone(), 0..40u32, 0..40u64).prop_map(|(fd, len, at)| Action::ReadAt(fd, len, at)),
        3 => (fd.clone(), -50..50i64, 0..4u32).prop_map(|(fd, by, whence)| Action::Seek(fd, by, whence)),
        1 => (fd.clone(), 0..60u64).prop_map(|(fd, size)| Action::Resize(fd, size)),
        1 => (fd, any::<bool>()).prop_map(|(fd, append)| Action::Append(fd, append)),
        3 => path.clone().prop_map(Action::MakeDirectory),
        1 => path.clone().prop_map(Action::RemoveDirectory),
        2 => path.clone().prop_map(Action::Unlink),
        2 => (path.clone(), path.clone()).prop_map(|(old, new)| Action::Link(old, new)),
        3 => (path.clone(), path).prop_map(|(old, new)| Action::Rename(old, new)),
        3 => Just(Action::Move),
    ]
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Named {
    Directory,
    File(usize),
}

#[derive(Clone, Copy)]
struct Open {
    what: Named,
    offset: u64,
    append: bool,
    base: u64,
}

struct Model {
    files: Vec<Vec<u8>>,
    names: BTreeMap<String, Named>,
    open: Vec<Option<Open>>,
}

impl Model {
    fn new() -> Self {
        let root = Open {
            what: Named::Directory,
            offset: 0,
            append: false,
            base: u64::MAX,
        };
        Model {
            files: Vec::new(),
            names: BTreeMap::new(),
            open: vec![Some(root); 4],
        }
    }

    /// What is at a path; an error when the way there is not of directories.
    fn find(&self, path: &str) -> Result<Option<Named>, Errno> {
        for (slash, _) in path.match_indices('/') {
            match self.names.get(&path[..slash]) {
                None => return Err(Errno::Noent),
                Some(Named::File(_)) => return Err(Errno::Notdir),
                Some(Named::Directory) => {}
            }
        }
        Ok(self.names.get(path).copied())
    }

    fn existing(&self, path: &str) -> Result<Named, Errno> {
        self.find(path)?.ok_or(Errno::Noent)
    }

    fn missing(&self, path: &str) -> Result<(), Errno> {
        match self.find(path)? {
            Some(_) => Err(Errno::Exist),
            None => Ok(()),
        }
    }

    fn is_empty(&self, path: &str) -> bool {
        let below = format!("{path}/");
        !self.names.keys().any(|name| name.starts_with(&below))
    }

    fn open(
        &mut self,
        path: &str,
        detour: &str,
        oflags: u32,
        base: u64,
        append: bool,
    ) -> Result<u32, Errno> {
        let free = self
            .open
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.open.len());
        if free as u32 >= MAX_FILES {
            return Err(Errno::Mfile);
        }
        // A detour leads through `d`, which must be there.
        if detour == "d/../" {
            self.existing("d").and_then(|d| match d {
                Named::Directory => Ok(()),
                Named::File(_) => Err(Errno::Notdir),
            })?;
        }
        let writes = base & rights::WRITE != 0;
        let writing = rights::WRITE | rights::SET_SIZE | rights::ALLOCATE;
        let what = match self.find(path)? {
            Some(_) if oflags & EXCL != 0 => return Err(Errno::Exist),
            Some(Named::Directory) if oflags & (CREAT | TRUNC) != 0 || writes => {
                return Err(Errno::Isdir);
            }
            Some(Named::File(_)) if oflags & DIRECTORY != 0 => return Err(Errno::Notdir),
            Some(Named::File(file)) => {
                if oflags & TRUNC != 0 {
                    self.files[file].clear();
                }
                Named::File(file)
            }
            Some(Named::Directory) => Named::Directory,
            None if oflags & CREAT != 0 => {
                self.files.push(Vec::new());
                let file = Named::File(self.files.len() - 1);
                self.names.insert(path.to_owned(), file);
                file
            }
            None => return Err(Errno::Noent),
        };
        if free == self.open.len() {
            self.open.push(None);
        }
        self.open[free] = Some(Open {
            what,
            offset: 0,
            append,
            // What a file is opened for binds, and nothing else that is asked for.
            base: match (base & rights::READ, writes) {
                (0, true) => !rights::READ,
                (0, false) => !(rights::READ | writing),
                (_, true) => u64::MAX,
                (_, false) => !writing,
            },
        });
        Ok(free as u32)
    }

    fn get(&mut self, fd: u32) -> Result<&mut Open, Errno> {
        self.open
            .get_mut(fd as usize)
            .and_then(Option::as_mut)
            .ok_or(Errno::Badf)
    }

    /// The open file and its contents, if the descriptor has the rights.
    fn file(
        &mut self,
        fd: u32,
        needed: u64,
        on_directory: Errno,
    ) -> Result<(&mut Open, &mut Vec<u8>), Errno> {
        let open = self
            .open
            .get_mut(fd as usize)
            .and_then(Option::as_mut)
            .ok_or(Errno::Badf)?;
        let Named::File(file) = open.what else {
            return Err(on_directory);
        };
        if open.base & needed != needed {
            return Err(Errno::Notcapable);
        }
        Ok((open, &mut self.files[file]))
    }

    fn write(&mut self, fd: u32, bytes: &[u8], at: Option<u64>) -> Result<u32, Errno> {
        let needed = if at.is_some() {
            rights::WRITE | rights::SEEK
        } else {
            rights::WRITE
        };
        let (open, contents) = self.file(fd, needed, Errno::Isdir)?;
        let start = if open.append {
            contents.len()
        } else {
            at.unwrap_or(open.offset) as usize
        };
        let end = start + bytes.len();
        if !bytes.is_empty() {
            contents.resize(contents.len().max(end), 0);
            contents[start..end].copy_from_slice(bytes);
        }
        if at.is_none() {
            open.offset = end as u64;
        }
        Ok(bytes.len() as u32)
    }

    fn read(&mut self, fd: u32, len: u32, at: Option<u64>) -> Result<Vec<u8>, Errno> {
        let needed = if at.is_some() {
            rights::READ | rights::SEEK
        } else {
            rights::READ
        };
        let (open, contents) = self.file(fd, needed, Errno::Isdir)?;
        let start = (at.unwrap_or(open.offset) as usize).min(contents.len());
        let end = (start + len as usize).min(contents.len());
        if at.is_none() {
            open.offset += (end - start) as u64;
        }
        Ok(contents[start..end].to_vec())
    }

    fn seek(&mut self, fd: u32, by: i64, whence: u32) -> Result<u64, Errno> {
        if whence > 2 {
            return Err(Errno::Inval);
        }
        let telling = whence == 1 && by == 0;
        let (open, contents) = self.file(fd, 0, Errno::Badf)?;
        let sufficient = if telling {
            rights::SEEK | rights::TELL
        } else {
            rights::SEEK
        };
        if open.base & sufficient == 0 {
            return Err(Errno::Notcapable);
        }
        let from = [0, open.offset, contents.len() as u64][whence as usize];
        open.offset = from.checked_add_signed(by).ok_or(Errno::Inval)?;
        Ok(open.offset)
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<(), Errno> {
        let moved = self.existing(old)?;
        let target = self.find(new)?;
        if target == Some(moved) && (old == new || moved != Named::Directory) {
            // The same file: nothing happens (rename(2)).
            return Ok(());
        }
        if moved == Named::Directory && new.starts_with(&format!("{old}/")) {
            return Err(Errno::Inval);
        }
        match (moved, target) {
            (_, None) => {}
            (Named::Directory, Some(Named::File(_))) => return Err(Errno::Notdir),
            (Named::File(_), Some(Named::Directory)) => {
                return Err(Errno::Isdir);
            }
            (Named::Directory, Some(Named::Directory)) if !self.is_empty(new) => {
                return Err(Errno::Notempty);
            }
            _ => {}
        }
        let below = format!("{old}/");
        let names: Vec<String> = self
            .names
            .keys()
            .filter(|name| *name == old || name.starts_with(&below))
            .cloned()
            .collect();
        for name in names {
            let named = self.names.remove(&name).expect("it was listed");
            self.names
                .insert(format!("{new}{}", &name[old.len()..]), named);
        }
        Ok(())
    }
}

/// Does the same with both and compares the answers.
fn apply(guest: &mut Guest, model: &mut Model, action: &Action) -> Result<(), TestCaseError> {
    match action {
        Action::Open {
            path,
            detour,
            oflags,
            base,
            append,
        } => {
            let way = format!("{}{}", DETOURS[*detour], PATHS[*path]);
            let fdflags = if *append { APPEND } else { 0 };
            let opened = guest.open_in(3, &way, *oflags, *base, 0, fdflags);
            let expected = model.open(PATHS[*path], DETOURS[*detour], *oflags, *base, *append);
            prop_assert_eq!(opened, expected);
        }
        Action::Close(fd) if *fd == 3 => {}
        Action::Close(fd) => {
            let expected = model.get(*fd).map(|_| ());
            if expected.is_ok() {
                model.open[*fd as usize] = None;
            }
            prop_assert_eq!(guest.close(*fd), expected);
        }
        Action::Renumber(from, to) if *from == 3 || *to == 3 => {}
        Action::Renumber(from, to) => {
            let expected = model
                .get(*to)
                .map(|_| ())
                .and_then(|()| model.get(*from).copied());
            if let Ok(open) = expected {
                model.open[*from as usize] = None;
                model.open[*to as usize] = Some(open);
            }
            let renumbered = guest
                .now(|process, context, memory| process.fd_renumber(context, memory, *from, *to));
            prop_assert_eq!(renumbered, expected.map(|_| ()));
        }
        Action::Write(fd, bytes) => {
            prop_assert_eq!(guest.write(*fd, bytes), model.write(*fd, bytes, None));
        }
        Action::WriteAt(fd, bytes, at) => {
            prop_assert_eq!(
                guest.pwrite(*fd, bytes, *at),
                model.write(*fd, bytes, Some(*at))
            );
        }
        Action::Read(fd, len) => {
            prop_assert_eq!(guest.read(*fd, *len), model.read(*fd, *len, None));
        }
        Action::ReadAt(fd, len, at) => {
            prop_assert_eq!(
                guest.pread(*fd, *len, *at),
                model.read(*fd, *len, Some(*at))
            );
        }
        Action::Seek(fd, by, whence) => {
            prop_assert_eq!(guest.seek(*fd, *by, *whence), model.seek(*fd, *by, *whence));
        }
        Action::Resize(fd, size) => {
            let expected = model
                .file(*fd, rights::SET_SIZE, Errno::Badf)
                .map(|(_, contents)| {
                    contents.resize(*size as usize, 0);
                });
            let resized = guest.now(|process, context, memory| {
                process.fd_filestat_set_size(context, memory, *fd, *size)
            });
            prop_assert_eq!(resized, expected);
        }
        Action::Append(fd, append) => {
            let expected = model
                .file(*fd, rights::SET_FLAGS, Errno::Isdir)
                .map(|(open, _)| {
                    open.append = *append;
                });
            if expected != Err(Errno::Isdir) {
                let flags = if *append { APPEND } else { 0 };
                prop_assert_eq!(guest.set_flags(*fd, flags), expected);
            }
        }
        Action::MakeDirectory(path) => {
            let path = PATHS[*path];
            let expected = model.missing(path);
            if expected.is_ok() {
                model.names.insert(path.to_owned(), Named::Directory);
            }
            prop_assert_eq!(guest.on_path(PathCall::MakeDirectory, path), expected);
        }
        Action::RemoveDirectory(path) => {
            let path = PATHS[*path];
            let expected = match model.existing(path) {
                Ok(Named::File(_)) => Err(Errno::Notdir),
                Ok(Named::Directory) if !model.is_empty(path) => Err(Errno::Notempty),
                found => found.map(|_| ()),
            };
            if expected.is_ok() {
                model.names.remove(path);
            }
            prop_assert_eq!(guest.on_path(PathCall::RemoveDirectory, path), expected);
        }
        Action::Unlink(path) => {
            let path = PATHS[*path];
            let expected = match model.existing(path) {
                Ok(Named::Directory) => Err(Errno::Isdir),
                found => found.map(|_| ()),
            };
            if expected.is_ok() {
                model.names.remove(path);
            }
            prop_assert_eq!(guest.on_path(PathCall::Unlink, path), expected);
        }
        Action::Link(old, new) => {
            let (old, new) = (PATHS[*old], PATHS[*new]);
            let linked = guest.link(old, false, new);
            let expected = match (model.existing(old), model.missing(new)) {
                (Ok(named @ Named::File(_)), Ok(())) => {
                    model.names.insert(new.to_owned(), named);
                    Ok(())
                }
                // Where both are wrong, either may be said.
                (Ok(Named::File(_)), Err(errno)) | (Err(errno), Ok(())) => Err(errno),
                (Ok(Named::Directory), Ok(())) => Err(Errno::Perm),
                _ => {
                    prop_assert!(linked.is_err());
                    linked
                }
            };
            prop_assert_eq!(linked, expected);
        }
        Action::Move => {
            for fd in guest.moves(MAX_FILES) {
                // What has no name any more is not found again; of a directory the model doesn't know whether it has.
                let what = model.get(fd).map(|open| open.what);
                let named = model.names.values().any(|named| Ok(*named) == what);
                prop_assert!(what == Ok(Named::Directory) || what.is_ok() && !named);
                prop_assert_eq!(guest.read(fd, 1), Err(Errno::Stale));
                prop_assert_eq!(guest.close(fd), Ok(()));
                model.open[fd as usize] = None;
            }
        }
        Action::Rename(old, new) => {
            let (old, new) = (PATHS[*old], PATHS[*new]);
            let renamed = guest.rename(old, new);
            // Where both paths are wrong, either may be said.
            let above = old.starts_with(&format!("{new}/"));
            let both = model.existing(old).is_err() && model.find(new).is_err();
            let expected = model.rename(old, new);
            if (above || both) && expected.is_err() {
                prop_assert!(renamed.is_err());
            } else {
                prop_assert_eq!(renamed, expected);
            }
        }
    }
    Ok(())
}

/// Everything below a directory, as the model names it.
fn tree(guest: &mut Guest, fd: u32, path: &str, found: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for (_, _, kind, name) in entries(&guest.readdir(fd, 4096, 0).unwrap()) {
        if name == "." || name == ".." {
            continue;
        }
        let path = if path.is_empty() {
            name
        } else {
            format!("{path}/{name}")
        };
        if kind == 3 {
            let directory = guest.open(&path, DIRECTORY, rights::READDIR).unwrap();
            found.insert(path.clone(), None);
            tree(guest, directory, &path, found);
            guest.close(directory).unwrap();
        } else {
            let file = guest.open(&path, 0, rights::READ).unwrap();
            let contents = guest.read(file, 4096).unwrap();
            guest.close(file).unwrap();
            found.insert(path, Some(contents));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_process_behaves_like_the_model(late in any::<bool>(), actions in prop::collection::vec(action(), 1..80)) {
        let mut guest = Guest::over(late, &[], |config| config.max_files = MAX_FILES.into());
        let mut model = Model::new();
        for action in &actions {
            apply(&mut guest, &mut model, action)?;
        }
        for fd in 4..MAX_FILES {
            if model.get(fd).is_ok() {
                guest.close(fd).unwrap();
            }
        }
        let mut found = BTreeMap::new();
        tree(&mut guest, 3, "", &mut found);
        let expected: BTreeMap<String, Option<Vec<u8>>> = model
            .names
            .iter()
            .map(|(name, named)| {
                let contents = match named {
                    Named::Directory => None,
                    Named::File(file) => Some(model.files[*file].clone()),
                };
                (name.clone(), contents)
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}
