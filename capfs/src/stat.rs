//! What a file is, and what is known about it.

/// The kind of a file, as WASI numbers them (preview 1 `filetype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileKind {
    /// Not known, or none of the others: pipes are this in preview 1.
    Unknown = 0,
    /// A block device.
    BlockDevice = 1,
    /// A character device: terminals, `null`, ctl files.
    CharacterDevice = 2,
    /// A directory.
    Directory = 3,
    /// A regular file: it has a size and can be seeked.
    RegularFile = 4,
    /// A datagram socket.
    SocketDgram = 5,
    /// A stream socket.
    SocketStream = 6,
    /// A symbolic link.
    SymbolicLink = 7,
}

impl FileKind {
    /// The kind with this number; [`FileKind::Unknown`] for what none has.
    pub const fn from_number(number: u32) -> FileKind {
        match number {
            1 => FileKind::BlockDevice,
            2 => FileKind::CharacterDevice,
            3 => FileKind::Directory,
            4 => FileKind::RegularFile,
            5 => FileKind::SocketDgram,
            6 => FileKind::SocketStream,
            7 => FileKind::SymbolicLink,
            _ => FileKind::Unknown,
        }
    }
}

/// The identity of a file within what was mounted: intro(5)'s qid, and the device behind it.
///
/// Two files are the same exactly when `device` and `path` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Qid {
    /// Which of the devices behind what was mounted has the file; 0 where there is only one. A view of another
    /// namespace (see [`Namespace::view`](crate::Namespace::view)) shows several. Becomes a part of `dev`.
    ///
    /// What an open file tells of itself says nothing here: its device is that of the node that was opened.
    pub device: u32,
    /// Unique among the files of that device for as long as the device lives; becomes `ino`.
    pub path: u64,
    /// The kind of the file; it never changes for a `path`.
    pub kind: FileKind,
}

impl Qid {
    /// The identity of a file of a device that is one.
    pub const fn new(path: u64, kind: FileKind) -> Qid {
        Qid {
            device: 0,
            path,
            kind,
        }
    }

    /// What an open stream tells that has no number of its own: the node that it was opened by has one, or else the process
    /// numbers what it was handed.
    pub const fn unnumbered(kind: FileKind) -> Qid {
        Qid::new(0, kind)
    }
}

/// What stat tells. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Identity and kind.
    pub qid: Qid,
    /// Names that this file has.
    pub nlink: u64,
    /// Bytes of content; of a symbolic link, the length of its target.
    pub size: u64,
    /// Last access.
    pub atime: u64,
    /// Last change of content.
    pub mtime: u64,
    /// Last change of content or of anything stat tells.
    pub ctime: u64,
}

/// What is known about a file system as a whole, as 9P2000.L's `statfs` and statfs(2) have it. What others use of the same room is in it: what is free
/// may be less than what is not used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystemStat {
    /// Bytes in a block.
    pub block_size: u32,
    /// Blocks that contents may take.
    pub blocks: u64,
    /// Blocks that can be taken still.
    pub free: u64,
    /// Files, directories and links that there may be.
    pub files: u64,
    /// How many can be made still.
    pub free_files: u64,
    /// Bytes in the longest name.
    pub name_max: u32,
}

/// A new value for a time stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The device's clock, now.
    Now,
    /// This many nanoseconds since the Unix epoch.
    To(u64),
}

/// Changes to what stat tells; `None` leaves a value as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetStat {
    /// Truncates, or extends with zeroes, to this many bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<SetTime>,
    /// Last change of content.
    pub mtime: Option<SetTime>,
}
