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

mod file;
mod ledger;
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
    Directory, DirectoryFile, EditDirectory, Errno, FileKind, Name, Node, NodeRef, Op, OpenFile,
    OpenHow, Opened, Qid, SetStat, SetTime, Stat,
};

use super::errors::errno;
use crate::reserved::{Bars, FileId, is_procfs};
use file::{Held, HostDirectory, HostFile, counted};
pub use ledger::Ledger;
use ledger::Taken;

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

    /// The folder as a device's root, for the agent of an account; `bars` are what nobody reaches by it.
    ///
    /// # Errors
    /// Whatever looking at it ends with.
    pub fn root(self, bars: Bars, account: &Account) -> io::Result<NodeRef> {
        Ok(Arc::new(Folder::root(self.0, None, bars, account)?))
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
        let root = Folder::root(dir, Some(ledger.clone()), bars, account)?;
        Ok((Arc::new(root), ledger))
    }
}

/// Inode numbers are unique within one file system, and a folder may hold mount points of others.
fn qid(metadata: &Metadata) -> Qid {
    let path = metadata.ino() ^ metadata.dev().rotate_left(44);
    Qid::new(path, kind(metadata.file_type()))
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

fn stat(metadata: &Metadata) -> Stat {
    let time = |seconds: i64, nanos: i64| {
        let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        u64::try_from(nanos).unwrap_or(0)
    };
    Stat {
        qid: qid(metadata),
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

/// A directory, by a handle of its own.
struct Folder {
    dir: Arc<Dir>,
    qid: Qid,
    /// The file system that it is in.
    device: u64,
    /// Of a folder whose contents are limited.
    ledger: Option<Arc<Ledger>>,
    bars: Bars,
    /// What open directories keep is charged to this.
    account: Account,
}

impl Folder {
    fn root(
        dir: Dir,
        ledger: Option<Arc<Ledger>>,
        bars: Bars,
        account: &Account,
    ) -> io::Result<Folder> {
        let metadata = dir.dir_metadata()?;
        Ok(Folder {
            dir: Arc::new(dir),
            qid: qid(&metadata),
            device: metadata.dev(),
            ledger,
            bars,
            account: account.clone(),
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
        op(self.dir.dir_metadata().map(|metadata| stat(&metadata)))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        if how.write || how.truncate {
            return Op::err(Errno::Isdir);
        }
        Op::ok(Box::new(DirectoryFile(HostDirectory::new(
            self.dir.clone(),
            &self.account,
        ))))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        Op::Ready(file::set_directory_stat(&self.dir, change))
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Directory for Folder {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        op(self.find(name.as_str()))
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl Folder {
    fn find(&self, name: &str) -> io::Result<NodeRef> {
        let metadata = self.dir.symlink_metadata(name)?;
        self.admit(&metadata)?;
        if metadata.is_dir() {
            let dir = self.dir.open_dir_nofollow(name)?;
            // The name may stand for something else by now.
            let metadata = dir.dir_metadata()?;
            self.admit(&metadata)?;
            if metadata.dev() != self.device && is_procfs(&dir)? {
                return Err(rustix::io::Errno::ACCESS.into());
            }
            return Ok(Arc::new(Folder {
                dir: Arc::new(dir),
                qid: qid(&metadata),
                device: metadata.dev(),
                ledger: self.ledger.clone(),
                bars: self.bars.clone(),
                account: self.account.clone(),
            }));
        }
        Ok(self.leaf(name, &metadata))
    }

    fn leaf(&self, name: &str, metadata: &Metadata) -> Arc<Leaf> {
        Arc::new(Leaf {
            parent: self.dir.clone(),
            name: name.to_owned(),
            qid: qid(metadata),
            device: self.device,
            ledger: self.ledger.clone(),
            bars: self.bars.clone(),
        })
    }

    fn admit(&self, metadata: &Metadata) -> io::Result<()> {
        admit(&self.bars, metadata)
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
        match &self.ledger {
            Some(ledger) => ledger.make_block(make),
            None => make(),
        }
    }

    /// Takes a name away, and counts that where contents are counted.
    fn take_away(&self, name: Name<'_>, remove: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match &self.ledger {
            Some(ledger) => {
                ledger.take_away(|| Taken::of_name(&self.dir, name.as_str()).ok(), remove)
            }
            None => remove(),
        }
    }

    /// Whether what is in either is counted by the same, or in neither.
    fn counts_as(&self, ledger: Option<&Arc<Ledger>>) -> bool {
        match (&self.ledger, ledger) {
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
        let created = match &self.ledger {
            Some(ledger) => ledger.create(create),
            None => create().map(Held::uncounted),
        };
        Op::Ready(created.and_then(|held| {
            let metadata = Metadata::from_file(&held.file).map_err(errno)?;
            Ok(Opened {
                node: self.leaf(name, &metadata),
                file: Box::new(HostFile::new(held)),
            })
        }))
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        let name = name.as_str();
        let made = self.make_block(|| self.dir.create_dir(name));
        Op::Ready(made.and_then(|()| self.find(name).map_err(errno)))
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        Op::Ready(self.make_block(|| self.dir.symlink_contents(target, name.as_str())))
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        let Some(leaf) = node.as_any().downcast_ref::<Leaf>() else {
            return Op::err(match Folder::of(node) {
                Ok(_) => Errno::Perm,
                Err(errno) => errno,
            });
        };
        if !self.counts_as(leaf.ledger.as_ref()) {
            return Op::err(Errno::Xdev);
        }
        let link = || {
            let linked = leaf.parent.hard_link(&leaf.name, &self.dir, name.as_str());
            linked.map_err(errno)
        };
        Op::Ready(match &self.ledger {
            Some(ledger) => ledger.make(0, link),
            None => link(),
        })
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        op(self.take_away(name, || self.dir.remove_file(name.as_str())))
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        op(self.take_away(name, || self.dir.remove_dir(name.as_str())))
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        let to = match Folder::of(to) {
            Ok(to) => to,
            Err(errno) => return Op::err(errno),
        };
        if !self.counts_as(to.ledger.as_ref()) {
            return Op::err(Errno::Xdev);
        }
        let goes = || {
            let goes = Taken::of_name(&to.dir, to_name.as_str()).ok()?;
            let moved = self.dir.symlink_metadata(name.as_str()).ok()?;
            // Two names of one file stay as they are (rename(2)).
            (!goes.is(&moved)).then_some(goes)
        };
        let rename = || self.dir.rename(name.as_str(), &to.dir, to_name.as_str());
        let renamed = match &self.ledger {
            Some(ledger) => ledger.take_away(goes, rename),
            None => rename(),
        };
        Op::Ready(renamed.map_err(|error| match errno(error) {
            // Some file systems' word for a directory that is not empty (rename(2)).
            Errno::Exist => Errno::Notempty,
            errno => errno,
        }))
    }
}

/// Anything but a directory, by its name in one.
struct Leaf {
    parent: Arc<Dir>,
    name: String,
    qid: Qid,
    /// The file system that its directory is in.
    device: u64,
    ledger: Option<Arc<Ledger>>,
    bars: Bars,
}

impl Leaf {
    fn resize(&self, file: &std::fs::File, size: u64) -> Result<(), Errno> {
        counted(self.ledger.as_deref(), file, || {
            file.set_len(size).map_err(errno)
        })
    }

    /// Opens the file. What it is has to be checked before anything is done with it.
    fn open_held(&self, read: bool, write: bool) -> Result<Held, Errno> {
        match self.qid.kind {
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
        match &self.ledger {
            Some(ledger) => ledger.open(open),
            None => open().map(Held::uncounted),
        }
    }

    fn admission(&self) -> Admission {
        Admission {
            device: self.device,
            bars: self.bars.clone(),
        }
    }

    /// Opens the file to change it at once.
    fn open_checked(&self, read: bool) -> Result<Held, Errno> {
        let held = self.open_held(read, true)?;
        self.admission().check(&held.file)?;
        Ok(held)
    }
}

/// What a file must be that was opened by a name.
struct Admission {
    /// The file system that its directory is in.
    device: u64,
    bars: Bars,
}

impl Admission {
    fn check(&self, file: &std::fs::File) -> Result<(), Errno> {
        let metadata = Metadata::from_file(file).map_err(errno)?;
        self.check_as(file, &metadata)
    }

    fn check_as(&self, file: &std::fs::File, metadata: &Metadata) -> Result<(), Errno> {
        if !metadata.is_file() {
            return Err(Errno::Notsup);
        }
        admit(&self.bars, metadata).map_err(errno)?;
        if metadata.dev() != self.device && is_procfs(file).map_err(errno)? {
            return Err(Errno::Acces);
        }
        Ok(())
    }
}

impl Node for Leaf {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        op(self
            .parent
            .symlink_metadata(&self.name)
            .map(|metadata| stat(&metadata)))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let write = how.write || how.truncate;
        // Opened for nothing (for `stat`, say) is opened for reading on the host.
        let read = how.read || !write;
        let open = || {
            if how.truncate {
                let held = self.open_checked(read)?;
                self.resize(&held.file, 0)?;
                return Ok(HostFile::new(held));
            }
            let held = self.open_held(read, write)?;
            Ok(HostFile::unchecked(held, self.admission()))
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

    fn as_any(&self) -> &dyn Any {
        self
    }
}
