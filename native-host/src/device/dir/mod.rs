//! A folder of the host, through cap-std.
//!
//! A walk is one `openat` or `fstatat` below a directory handle and never follows a symbolic link:
//! links are nodes, and the namespace follows them. So nothing that changes on the host between two
//! steps can lead out of the folder.
//!
//! Only regular files, directories and links can be opened. Opening a FIFO or a device could hold the
//! host up for as long as its other side likes, so they are `ENOTSUP`.
//!
//! What is [reserved](crate::reserved) is `EACCES` wherever it appears in a folder, and so is procfs, in which a file can be the
//! host's own memory.

mod durable;
mod file;
mod ledger;
mod numbers;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, SystemTimeSpec};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use cap_std::time::SystemTime;
use capfs::account::Account;
use capfs::{
    Directory, DirectoryFile, Durable, EditDirectory, Errno, FileKind, FileSystemStat, Handle,
    Name, Node, NodeRef, Op, OpenFile, OpenHow, Opened, Qid, SetStat, SetTime, Stat,
};

use super::errors::errno;
use crate::reserved::{Bars, FileId, is_procfs};
use file::{Held, HostDirectory, HostFile, counted};
pub use ledger::Ledger;
use ledger::Taken;
pub use numbers::Numbers;
use numbers::Seen;

/// A folder of the host that is open, and is not an agent's yet.
pub struct HostFolder(Dir);

impl AsFd for HostFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl HostFolder {
    /// Opens a folder.
    ///
    /// # Errors
    /// Whatever opening it ends with; [`io::ErrorKind::PermissionDenied`] for one of procfs.
    pub fn open(path: &Path) -> io::Result<HostFolder> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        match is_procfs(&dir)? {
            true => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is a part of procfs, where files can be the memory of processes",
            )),
            false => Ok(HostFolder(dir)),
        }
    }

    /// Which folder it is.
    ///
    /// # Errors
    /// Whatever looking at it ends with.
    pub fn id(&self) -> io::Result<FileId> {
        let metadata = self.0.dir_metadata()?;
        Ok(FileId::new(metadata.dev(), metadata.ino()))
    }

    /// The folder as a device's root, for the agent of an account; `bars` are what nobody reaches by it, and `numbers` those by
    /// which the agent tells its files apart, also where it has the folder a second time.
    ///
    /// # Errors
    /// Whatever looking at it ends with; `ENOMEM` where the account has no room for the first number.
    pub fn root(self, bars: Bars, account: &Account, numbers: Arc<Numbers>) -> io::Result<NodeRef> {
        Ok(Arc::new(Folder::root(Tree {
            numbers,
            ledger: None,
            bars,
            account: account.clone(),
            root: Arc::new(self.0),
        })?))
    }

    /// The same of a folder in which contents may take `limit` bytes; over it, the guest gets `EDQUOT`. The ledger says what they
    /// take.
    ///
    /// # Errors
    /// Whatever counting what is in it ends with.
    pub fn limited(
        self,
        limit: u64,
        bars: Bars,
        account: &Account,
    ) -> io::Result<(NodeRef, Arc<Ledger>)> {
        let HostFolder(dir) = self;
        let ledger = Arc::new(Ledger::new(dir.try_clone()?, limit)?);
        let tree = Tree {
            numbers: Arc::new(Numbers::new(account)),
            ledger: Some(ledger.clone()),
            bars,
            account: account.clone(),
            root: Arc::new(dir),
        };
        let root = Folder::root(tree)?;
        Ok((Arc::new(root), ledger))
    }
}

fn kind(file_type: FileType) -> FileKind {
    use cap_fs_ext::FileTypeExt;
    if file_type.is_dir() {
        FileKind::Directory
    } else if file_type.is_file() {
        FileKind::RegularFile
    } else if file_type.is_symlink() {
        FileKind::SymbolicLink
    } else if file_type.is_char_device() {
        FileKind::CharacterDevice
    } else if file_type.is_block_device() {
        FileKind::BlockDevice
    } else if file_type.is_socket() {
        FileKind::SocketStream
    } else {
        FileKind::Unknown
    }
}

fn stat(metadata: &Metadata, qid: Qid) -> Stat {
    let time = |seconds: i64, nanos: i64| {
        let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        u64::try_from(nanos).unwrap_or(0)
    };
    Stat {
        qid,
        nlink: metadata.nlink(),
        size: metadata.len(),
        atime: time(metadata.atime(), metadata.atime_nsec()),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: time(metadata.ctime(), metadata.ctime_nsec()),
    }
}

fn time_spec(time: SetTime) -> SystemTimeSpec {
    match time {
        SetTime::Now => SystemTimeSpec::SymbolicNow,
        SetTime::To(nanos) => {
            let since = std::time::Duration::from_nanos(nanos);
            SystemTimeSpec::Absolute(SystemTime::from_std(std::time::UNIX_EPOCH + since))
        }
    }
}

fn op<T>(result: io::Result<T>) -> Op<T> {
    Op::Ready(result.map_err(errno))
}

/// Options that never follow a link and never wait for the other side of a FIFO.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.follow(FollowSymlinks::No);
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    options
}

/// What all of a folder has in common.
struct Tree {
    numbers: Arc<Numbers>,
    /// Of a folder whose contents are limited.
    ledger: Option<Arc<Ledger>>,
    bars: Bars,
    /// What open directories keep is charged to this.
    account: Account,
    /// The folder itself.
    root: Arc<Dir>,
}

/// A directory, by a handle of its own.
struct Folder {
    dir: Arc<Dir>,
    qid: Qid,
    /// The file system that it is in.
    device: u64,
    tree: Arc<Tree>,
}

impl Folder {
    fn root(tree: Tree) -> io::Result<Folder> {
        Folder::top(Arc::new(tree))
    }

    /// The folder that a tree is of.
    fn top(tree: Arc<Tree>) -> io::Result<Folder> {
        let metadata = tree.root.dir_metadata()?;
        let qid = tree.numbers.of(Seen::new(&metadata));
        Ok(Folder {
            dir: tree.root.clone(),
            qid: qid.map_err(|_| io::Error::from(rustix::io::Errno::NOMEM))?,
            device: metadata.dev(),
            tree,
        })
    }

    fn of(node: &NodeRef) -> Result<&Folder, Errno> {
        node.as_any().downcast_ref().ok_or(Errno::Xdev)
    }
}

impl Node for Folder {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        op(self
            .dir
            .dir_metadata()
            .map(|metadata| stat(&metadata, self.qid)))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        if how.write || how.truncate {
            return Op::err(Errno::Isdir);
        }
        Op::ok(Box::new(DirectoryFile(HostDirectory::new(
            self.dir.clone(),
            self.qid,
            self.tree.clone(),
        ))))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        Op::Ready(file::set_directory_stat(&self.dir, change))
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn file_system_stat(&self) -> Op<FileSystemStat> {
        let stat = rustix::fs::fstatvfs(&self.dir);
        let ledger = self.tree.ledger.as_ref();
        op(stat
            .map(|stat| ledger::file_system_stat(&stat, ledger.map(|ledger| &**ledger)))
            .map_err(io::Error::from))
    }

    fn save(&self) -> Result<Handle, Errno> {
        durable::handle(&self.tree, self.qid.path, &self.dir, None)
    }

    fn durable(&self) -> Option<&dyn Durable> {
        Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Directory for Folder {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        Op::Ready(self.find(name.as_str(), Numbers::of))
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl Folder {
    /// What has a name; `number` says which it is, found or just made.
    fn find(
        &self,
        name: &str,
        number: fn(&Numbers, Seen) -> Result<Qid, Errno>,
    ) -> Result<NodeRef, Errno> {
        let metadata = self.dir.symlink_metadata(name).map_err(errno)?;
        self.admit(&metadata).map_err(errno)?;
        if metadata.is_dir() {
            let dir = self.dir.open_dir_nofollow(name).map_err(errno)?;
            // The name may stand for something else by now.
            let metadata = dir.dir_metadata().map_err(errno)?;
            self.admit(&metadata).map_err(errno)?;
            if metadata.dev() != self.device && is_procfs(&dir).map_err(errno)? {
                return Err(Errno::Acces);
            }
            return Ok(Arc::new(Folder {
                dir: Arc::new(dir),
                qid: number(&self.tree.numbers, Seen::new(&metadata))?,
                device: metadata.dev(),
                tree: self.tree.clone(),
            }));
        }
        let seen = Seen::new(&metadata);
        Ok(self.leaf(name, seen.id, number(&self.tree.numbers, seen)?))
    }

    fn leaf(&self, name: &str, id: FileId, qid: Qid) -> Arc<Leaf> {
        Arc::new(Leaf {
            parent: self.dir.clone(),
            name: name.to_owned(),
            known: Known {
                id,
                qid,
                tree: self.tree.clone(),
            },
            device: self.device,
        })
    }

    fn admit(&self, metadata: &Metadata) -> io::Result<()> {
        admit(&self.tree.bars, metadata)
    }
}

/// Takes a name away, and counts that where contents are counted.
fn take_away(
    ledger: Option<&Ledger>,
    dir: &Dir,
    name: &str,
    remove: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    match ledger {
        Some(ledger) => ledger.take_away(|| Taken::of_name(dir, name).ok(), remove),
        None => remove(),
    }
}

/// Refuses what is reserved.
fn admit(bars: &Bars, metadata: &Metadata) -> io::Result<()> {
    match bars.has(FileId::new(metadata.dev(), metadata.ino())) {
        true => Err(rustix::io::Errno::ACCESS.into()),
        false => Ok(()),
    }
}

impl Folder {
    /// Makes a directory or a link, which counts as a block where contents are counted.
    fn make_block(&self, make: impl FnOnce() -> io::Result<()>) -> Result<(), Errno> {
        let make = || make().map_err(errno);
        match &self.tree.ledger {
            Some(ledger) => ledger.make_block(make),
            None => make(),
        }
    }

    /// Takes a name away, and counts that where contents are counted.
    fn take_away(&self, name: Name<'_>, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        take_away(
            self.tree.ledger.as_deref(),
            &self.dir,
            name.as_str(),
            remove,
        )
    }

    /// Whether what is in either is counted by the same, or in neither.
    fn counts_as(&self, ledger: Option<&Arc<Ledger>>) -> bool {
        match (&self.tree.ledger, ledger) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl EditDirectory for Folder {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        let name = name.as_str();
        let mut options = options();
        options.write(true).read(how.read).create_new(true);
        let create = || {
            let file = self.dir.open_with(name, &options).map_err(errno)?;
            Ok(file.into_std())
        };
        let room = match self.tree.numbers.room() {
            Ok(room) => room,
            Err(errno) => return Op::err(errno),
        };
        let created = match &self.tree.ledger {
            Some(ledger) => ledger.create(create),
            None => create().map(Held::uncounted),
        };
        Op::Ready(created.and_then(|held| {
            let metadata = Metadata::from_file(&held.file).map_err(errno)?;
            let seen = Seen::new(&metadata);
            drop(room);
            let node = self.leaf(name, seen.id, self.tree.numbers.made(seen)?);
            Ok(Opened {
                file: Box::new(HostFile::new(held, node.known.clone())),
                node,
            })
        }))
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        let name = name.as_str();
        let made = self.tree.numbers.room().and_then(|room| {
            self.make_block(|| self.dir.create_dir(name))?;
            drop(room);
            self.find(name, Numbers::made)
        });
        Op::Ready(made)
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        let name = name.as_str();
        let made = self.tree.numbers.room().and_then(|room| {
            self.make_block(|| self.dir.symlink_contents(target, name))?;
            drop(room);
            // Whoever takes it away at once makes that it is not there, and not that it was not made.
            if let Ok(metadata) = self.dir.symlink_metadata(name) {
                self.tree.numbers.made(Seen::new(&metadata))?;
            }
            Ok(())
        });
        Op::Ready(made)
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        let Some(leaf) = node.as_any().downcast_ref::<Leaf>() else {
            return Op::err(match Folder::of(node) {
                Ok(_) => Errno::Perm,
                Err(errno) => errno,
            });
        };
        if !self.counts_as(leaf.ledger()) {
            return Op::err(Errno::Xdev);
        }
        let link = || {
            let linked = leaf.parent.hard_link(&leaf.name, &self.dir, name.as_str());
            linked.map_err(errno)
        };
        Op::Ready(match &self.tree.ledger {
            Some(ledger) => ledger.make(0, link),
            None => link(),
        })
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        let (name, ledger) = (name.as_str().to_owned(), self.tree.ledger.clone());
        let is_long = file::takes_long(|| Ok(self.dir.symlink_metadata(&name)?.len()));
        let remove = move |dir: &Arc<Dir>| {
            let removed = take_away(ledger.as_deref(), dir, &name, || dir.remove_file(&name));
            removed.map_err(errno)
        };
        match is_long {
            true => file::beside(&self.dir, |dir| Ok(dir.clone()), remove),
            false => Op::Ready(remove(&self.dir)),
        }
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        op(self.take_away(name, || self.dir.remove_dir(name.as_str())))
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        let to = match Folder::of(to) {
            Ok(to) => to,
            Err(errno) => return Op::err(errno),
        };
        if !self.counts_as(to.tree.ledger.as_ref()) {
            return Op::err(Errno::Xdev);
        }
        let (name, to_name) = (name.as_str().to_owned(), to_name.as_str().to_owned());
        let (to_dir, ledger) = (to.dir.clone(), self.tree.ledger.clone());
        // What had the name before goes.
        let is_long = file::takes_long(|| Ok(to_dir.symlink_metadata(&to_name)?.len()));
        let rename = move |dir: &Arc<Dir>| {
            let goes = || {
                let goes = Taken::of_name(&to_dir, &to_name).ok()?;
                let moved = dir.symlink_metadata(&name).ok()?;
                // Two names of one file stay as they are (rename(2)).
                (!goes.is(&moved)).then_some(goes)
            };
            let rename = || dir.rename(&name, &to_dir, &to_name);
            let renamed = match &ledger {
                Some(ledger) => ledger.take_away(goes, rename),
                None => rename(),
            };
            renamed.map_err(|error| match errno(error) {
                // Some file systems' word for a directory that is not empty (rename(2)).
                Errno::Exist => Errno::Notempty,
                errno => errno,
            })
        };
        match is_long {
            true => file::beside(&self.dir, |dir| Ok(dir.clone()), rename),
            false => Op::Ready(rename(&self.dir)),
        }
    }
}

/// What a file was when it was walked to. Its name may stand for another by now.
#[derive(Clone)]
struct Known {
    id: FileId,
    qid: Qid,
    tree: Arc<Tree>,
}

impl Known {
    /// What is known about the file that has these metadata.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: it is another, and the account has no room for its number
    fn stat(&self, metadata: &Metadata) -> Result<Stat, Errno> {
        let seen = Seen::new(metadata);
        let qid = match seen.id == self.id && seen.kind == self.qid.kind {
            true => self.qid,
            false => self.tree.numbers.of(seen)?,
        };
        Ok(stat(metadata, qid))
    }

    /// What a file must be that was opened by a name in a directory of this file system.
    ///
    /// # Errors
    /// What stands for one that the guest may not have.
    fn check(&self, device: u64, file: &std::fs::File) -> Result<(), Errno> {
        let metadata = Metadata::from_file(file).map_err(errno)?;
        self.check_as(device, file, &metadata)
    }

    fn check_as(
        &self,
        device: u64,
        file: &std::fs::File,
        metadata: &Metadata,
    ) -> Result<(), Errno> {
        if !metadata.is_file() {
            return Err(Errno::Notsup);
        }
        admit(&self.tree.bars, metadata).map_err(errno)?;
        if metadata.dev() != device && is_procfs(file).map_err(errno)? {
            return Err(Errno::Acces);
        }
        Ok(())
    }
}

/// Anything but a directory, by its name in one.
struct Leaf {
    parent: Arc<Dir>,
    name: String,
    known: Known,
    /// The file system that its directory is in.
    device: u64,
}

impl Leaf {
    fn ledger(&self) -> Option<&Arc<Ledger>> {
        self.known.tree.ledger.as_ref()
    }

    fn resize(&self, file: &std::fs::File, size: u64) -> Result<(), Errno> {
        counted(self.ledger().map(|ledger| &**ledger), file, || {
            file.set_len(size).map_err(errno)
        })
    }

    /// Opens the file to be written, with nothing in it.
    fn open_empty(&self, read: bool) -> Op<Box<dyn OpenFile>> {
        let held = match self.open_checked(read) {
            Ok(held) => held,
            Err(errno) => return Op::err(errno),
        };
        let known = self.known.clone();
        let opened = |held| Box::new(HostFile::new(held, known)) as Box<dyn OpenFile>;
        if !file::takes_long(|| Ok(held.file.metadata()?.len())) {
            let emptied = self.resize(&held.file, 0);
            return Op::Ready(emptied.map(|()| opened(held)));
        }
        let ledger = self.ledger().cloned();
        let emptied = file::beside(&held.file, std::fs::File::try_clone, move |file| {
            let empty = || file.set_len(0).map_err(errno);
            counted(ledger.as_deref(), file, empty)
        });
        Op::later(async move {
            emptied.wait().await?;
            Ok(opened(held))
        })
    }

    /// Opens the file. What it is has to be checked before anything is done with it.
    fn open_held(&self, read: bool, write: bool) -> Result<Held, Errno> {
        match self.known.qid.kind {
            FileKind::RegularFile => {}
            FileKind::SymbolicLink => return Err(Errno::Loop),
            _ => return Err(Errno::Notsup),
        }
        let mut options = options();
        options.read(read).write(write);
        let open = || {
            let file = self.parent.open_with(&self.name, &options);
            Ok(file.map_err(errno)?.into_std())
        };
        match self.ledger() {
            Some(ledger) => ledger.open(open),
            None => open().map(Held::uncounted),
        }
    }

    /// Opens the file to change it at once.
    fn open_checked(&self, read: bool) -> Result<Held, Errno> {
        let held = self.open_held(read, true)?;
        self.known.check(self.device, &held.file)?;
        Ok(held)
    }
}

impl Node for Leaf {
    fn qid(&self) -> Qid {
        self.known.qid
    }

    fn stat(&self) -> Op<Stat> {
        let metadata = self.parent.symlink_metadata(&self.name);
        let metadata = metadata.map_err(errno);
        Op::Ready(metadata.and_then(|metadata| self.known.stat(&metadata)))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let write = how.write || how.truncate;
        // Opened for nothing (for `stat`, say) is opened for reading on the host.
        let read = how.read || !write;
        if how.truncate {
            return self.open_empty(read);
        }
        let open = || {
            let held = self.open_held(read, write)?;
            Ok(HostFile::unchecked(held, self.known.clone(), self.device))
        };
        Op::Ready(open().map(|file| Box::new(file) as Box<dyn OpenFile>))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        let set = || {
            if let Some(size) = change.size {
                let held = self.open_checked(false)?;
                self.resize(&held.file, size)?;
            }
            if change.atime.is_some() || change.mtime.is_some() {
                let (atime, mtime) = (change.atime.map(time_spec), change.mtime.map(time_spec));
                self.parent
                    .set_symlink_times(&self.name, atime, mtime)
                    .map_err(errno)?;
            }
            Ok(())
        };
        Op::Ready(set())
    }

    fn read_link(&self) -> Op<String> {
        let target = self.parent.read_link_contents(&self.name);
        Op::Ready(target.map_err(errno).and_then(|target| {
            target
                .into_os_string()
                .into_string()
                .map_err(|_| Errno::Ilseq)
        }))
    }

    fn save(&self) -> Result<Handle, Errno> {
        let Known { tree, qid, id } = &self.known;
        durable::handle(tree, qid.path, &self.parent, Some((&self.name, *id)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
