//! What a device implements: nodes of a tree, and files that have been opened.
//!
//! A [`Node`] is what a walk ends at (a fid that is not open, in Plan 9's words); an [`OpenFile`] is
//! what a descriptor holds. What only some files can do is a separate small trait that an accessor
//! hands out ([`Directory`], [`EditDirectory`], [`Entries`], [`Socket`], [`Listener`]), so that a device
//! implements what it has and nothing answers `ENOTSUP` by accident.
//!
//! Devices see checked names and rights that the namespace has enforced. They never see paths, `..`,
//! mount points or descriptors.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::{
    Checkpoint, Durable, Errno, FileSystemStat, GuestSink, GuestSource, Handle, MaybeSend,
    MaybeSync, Name, Op, Qid, SavedFile, SetStat, Stat,
};

/// A node that is shared between the places that refer to it.
pub type NodeRef = Arc<dyn Node>;

/// A file in a device's tree, not open.
pub trait Node: MaybeSend + MaybeSync + Any {
    /// Identity and kind; constant for the life of the node.
    fn qid(&self) -> Qid;

    /// What is known about the file.
    fn stat(&self) -> Op<Stat>;

    /// Opens the file. Symbolic links can't be opened.
    ///
    /// `how` has been checked against the mount's rights. A directory is opened for reading only.
    ///
    /// # Errors
    /// - [`Errno::Rofs`], [`Errno::Perm`]: the device does not let this file be opened that way
    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>>;

    /// Changes the size or the times.
    ///
    /// # Errors
    /// - [`Errno::Rofs`]: the device is read-only
    /// - [`Errno::Isdir`], [`Errno::Inval`]: a size for what is not a regular file
    fn set_stat(&self, change: SetStat) -> Op<()>;

    /// The names below this node: of a directory, and of a file that is opened as one and can be walked
    /// through all the same, such as an address on the web. Only what is of the kind directory is listed.
    fn directory(&self) -> Option<&dyn Directory> {
        None
    }

    /// The target of the symbolic link that this node is.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: not a symbolic link
    fn read_link(&self) -> Op<String> {
        Op::err(Errno::Inval)
    }

    /// What outside of the tree the file stands for, such as the address of a request: what an audit should say of an
    /// opening beside the file's name, of one that was refused as well.
    fn subject(&self) -> Option<String> {
        None
    }

    /// By what this file is found again, here and elsewhere, for as long as the device's files are kept.
    ///
    /// # Errors
    /// - [`Errno::Nodev`]: it can't be, such as a file without a name, or what only this run has
    fn save(&self) -> Result<Handle, Errno> {
        Err(Errno::Nodev)
    }

    /// Opens the file as one was that had this state ([`SavedFile::state`]) when it was saved: without truncating it, or doing anything else that
    /// opening it did.
    ///
    /// # Errors
    /// As [`Node::open`]; [`Errno::Stale`]: no file of this node has such a state.
    fn reopen(&self, how: OpenHow, state: &[u8]) -> Op<Box<dyn OpenFile>> {
        match state.is_empty() {
            true => self.open(how),
            false => Op::err(Errno::Stale),
        }
    }

    /// The power to find files at and below this node by their handles; `None` where the device has none that last.
    fn durable(&self) -> Option<&dyn Durable> {
        None
    }

    /// What there is room for where the file is.
    ///
    /// # Errors
    /// - [`Errno::Notsup`]: the device has no such bounds, or doesn't know them
    fn file_system_stat(&self) -> Op<FileSystemStat> {
        Op::err(Errno::Notsup)
    }

    /// Keeps what all files of the device are now, until it is decided whether what is done from now on stays. Whichever node of the device
    /// is asked, it is of the whole device.
    ///
    /// # Errors
    /// - [`Errno::Notsup`]: what this device does can't be undone; [`Checkpoint`] says what a host can do about it
    /// - [`Errno::Busy`]: there is one that is not decided yet
    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        Op::err(Errno::Notsup)
    }

    /// For a device to recognise its own nodes, in [`EditDirectory::link`] and
    /// [`EditDirectory::rename`].
    fn as_any(&self) -> &dyn Any;
}

/// A node that has names in it.
pub trait Directory {
    /// Finds a name.
    ///
    /// # Errors
    /// - [`Errno::Noent`]: no such name
    fn walk(&self, name: Name<'_>) -> Op<NodeRef>;

    /// [`Directory::walk`], by somebody who will walk on at once, to the names of `rest`, which have slashes between them, as far as there
    /// are directories; where something is mounted on the way, they are walked to in vain. A device that is elsewhere finds all of them with one request (walk(5)) and keeps each for the walk that asks for it.
    ///
    /// # Errors
    /// As [`Directory::walk`].
    fn walk_ahead(&self, name: Name<'_>, rest: &str) -> Op<NodeRef> {
        let _ = rest;
        self.walk(name)
    }

    /// The power to change the directory; `None` on a read-only device, which the guest sees as
    /// `EROFS`.
    fn edit(&self) -> Option<&dyn EditDirectory> {
        None
    }
}

/// A directory whose names can be changed. Every method is atomic.
pub trait EditDirectory {
    /// Makes a regular file that did not exist and opens it.
    ///
    /// # Errors
    /// - [`Errno::Exist`]: the name exists
    /// - [`Errno::Nospc`]: the device is full
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened>;

    /// Makes an empty directory.
    ///
    /// # Errors
    /// As [`EditDirectory::create`].
    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef>;

    /// Makes a symbolic link; `target` is kept as it is.
    ///
    /// # Errors
    /// As [`EditDirectory::create`].
    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()>;

    /// Gives `node`, which is of this device, one more name.
    ///
    /// # Errors
    /// - [`Errno::Exist`]: the name exists
    /// - [`Errno::Perm`]: `node` is a directory
    /// - [`Errno::Xdev`]: `node` is another device's
    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()>;

    /// Takes away the name of anything but a directory.
    ///
    /// # Errors
    /// - [`Errno::Noent`]: no such name
    /// - [`Errno::Isdir`]: a directory
    fn unlink(&self, name: Name<'_>) -> Op<()>;

    /// Takes away an empty directory.
    ///
    /// # Errors
    /// - [`Errno::Noent`]: no such name
    /// - [`Errno::Notdir`]: not a directory
    /// - [`Errno::Notempty`]: not empty
    fn remove_directory(&self, name: Name<'_>) -> Op<()>;

    /// Moves `name` to `to_name` in `to`, a directory of this device, replacing what is there as
    /// rename(2) does.
    ///
    /// # Errors
    /// - [`Errno::Noent`]: no such name
    /// - [`Errno::Isdir`], [`Errno::Notdir`], [`Errno::Notempty`]: what is there can't be replaced
    /// - [`Errno::Inval`]: a directory into itself or below itself
    /// - [`Errno::Xdev`]: `to` is another device's
    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()>;
}

/// What opening asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// Contents will be read, or entries listed.
    pub read: bool,
    /// Contents will be written.
    pub write: bool,
    /// Contents are dropped first; a no-op on device files that have none to drop.
    pub truncate: bool,
}

/// A file that was created and opened in one step.
pub struct Opened {
    /// The new node.
    pub node: NodeRef,
    /// It, open.
    pub file: Box<dyn OpenFile>,
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAt {
    /// At this offset; ignored by streams.
    Offset(u64),
    /// At the end, found and extended in one step.
    End,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes taken from the source.
    pub bytes: usize,
    /// The offset behind the last byte written; streams return 0.
    pub end: u64,
}

/// What a descriptor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end.
    Read,
    /// Room to write, or nobody who reads.
    Write,
}

/// That a file can be read or written without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Bytes that are there, or that fit, as far as is known; at least 1 where it is not.
    pub bytes: u64,
    /// The other side is gone.
    pub hangup: bool,
}

/// A file that has been opened. Dropping it closes it, without what [`OpenFile::finish`] would do.
///
/// # Polling
/// `poll_*` answers at once when it can. Otherwise it registers the context's waker, returns
/// `Pending`, and is called again with the same arguments: calling again re-attaches to what is under
/// way, it never starts it twice. Pending state lives in the open file. Whoever won't call again says so by
/// [`OpenFile::cancel`].
///
/// No byte is both taken and refused. Whoever does not wait ([`OpenFile::set_nonblocking`]) takes `Pending` for an
/// error, `EAGAIN`: then a write must have taken nothing, and nothing of it may happen later; a write that has begun what
/// takes time returns the bytes that it took, and what became of them is told by the next write, `sync` or
/// [`OpenFile::finish`]. A read that has begun is not lost either: the next one gets its bytes.
///
/// # What wraps a file
/// hands every method on: one that it leaves out is one that its file doesn't have.
pub trait OpenFile: MaybeSend {
    /// Reads from `offset` (which streams ignore) into `sink` and returns the bytes read; 0 is the
    /// end. A sink without room returns 0 at once.
    ///
    /// # Errors
    /// - [`Errno::Isdir`]: a directory
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>>;

    /// Writes from `source`.
    ///
    /// # Errors
    /// - [`Errno::Pipe`]: a stream that nobody reads
    /// - [`Errno::Nospc`], [`Errno::Fbig`]: no room
    /// - [`Errno::Isdir`]: a directory
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>>;

    /// Waits until the file can be read or written without waiting. Files are always ready.
    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        let _ = (context, interest);
        Poll::Ready(Ok(Readiness {
            bytes: 1,
            hangup: false,
        }))
    }

    /// Whether whoever polls the file does without waiting, from now on: it takes `Pending` for `EAGAIN`. Only files
    /// whose writes begin something that takes time need to know it.
    fn set_nonblocking(&mut self, nonblocking: bool) {
        let _ = nonblocking;
    }

    /// Gives up the read, write, peek or accept that returned `Pending`: a write happens no more, as far as it has
    /// not happened yet, and bytes that a read would have brought stay for the next one. What a write has taken by
    /// returning stays taken.
    fn cancel(&mut self) {}

    /// Does what closing is to begin, and what earlier writes have begun, to its end. To be awaited before a file is
    /// closed by its owner's will; a file that is dropped without it begins nothing more.
    ///
    /// # Errors
    /// What became of writes that have returned already.
    fn finish(&mut self) -> Op<()> {
        Op::ok(())
    }

    /// Whether [`OpenFile::finish`] has something to do or to tell. What wraps a file that can't tell, such as one that is
    /// elsewhere, may say so of one that has not.
    fn unfinished(&self) -> bool {
        false
    }

    /// Whether offsets mean something. What can't be seeked answers `ESPIPE` to the guest.
    fn seekable(&self) -> bool;

    /// Where whoever is handed the open file begins to read and to write, in bytes from its start: the host's own file may have been read
    /// before, as by the shell that starts a program.
    fn position(&self) -> u64 {
        0
    }

    /// What is known about the file, by the open file: it may have no name any more.
    fn stat(&self) -> Op<Stat>;

    /// Changes the size or the times. The runtime has checked that the descriptor may.
    ///
    /// # Errors
    /// As [`Node::set_stat`].
    fn set_stat(&mut self, change: SetStat) -> Op<()>;

    /// Makes sure that `offset + length` bytes can be written without running out of room, and that
    /// the file is at least that long (posix_fallocate(3)).
    ///
    /// # Errors
    /// - [`Errno::Nospc`], [`Errno::Fbig`]: no room
    /// - [`Errno::Spipe`]: not seekable
    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        let _ = (offset, length);
        Op::err(Errno::Spipe)
    }

    /// Makes what was written durable; with `data_only`, leaves out what is not needed to read it
    /// back (fdatasync(2)). Returns when it is, wherever the device has durable storage.
    fn sync(&mut self, data_only: bool) -> Op<()> {
        let _ = data_only;
        Op::ok(())
    }

    /// What outside of the tree the file stands for, such as the address of a request: what an audit
    /// should say beside the file's name.
    fn subject(&self) -> Option<String> {
        None
    }

    /// What opens this file again as it is, in another run of whoever has it open. What was written must not be left out: a file that has
    /// begun what it has not done yet can't be saved. A directory is found again by its node, and is not asked.
    ///
    /// # Errors
    /// - [`Errno::Nodev`]: nothing does, now or ever
    fn save(&self) -> Result<SavedFile, Errno> {
        Err(Errno::Nodev)
    }

    /// The entries of the directory that this is, if it is one.
    fn entries(&mut self) -> Option<&mut dyn Entries> {
        None
    }

    /// The connected socket that this is, if it is one.
    fn socket(&mut self) -> Option<&mut dyn Socket> {
        None
    }

    /// The listening socket that this is, if it is one.
    fn listener(&mut self) -> Option<&mut dyn Listener> {
        None
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name.
    pub name: String,
    /// What it names.
    pub qid: Qid,
    /// Where this entry is: listing after it goes on with the next.
    pub cookie: u64,
}

/// The listing of an open directory, without `.` and `..`.
pub trait Entries {
    /// Lists up to `max` entries behind `cookie`, in ascending order of cookies; 0 is the start.
    ///
    /// Cookies are at least 1, and a device's are below 2^42, so that those of a union, in which the members' add up, fit as
    /// well. A cookie stays valid while names come and go: listing from it returns no entry twice and leaves out none that
    /// was there all along (readdir(3)).
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>>;
}

/// A connected socket. Bytes move by `poll_read` and `poll_write`.
pub trait Socket {
    /// Reads without taking (`RI_RECV_PEEK`).
    ///
    /// # Errors
    /// As [`OpenFile::poll_read`].
    fn poll_peek(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>>;

    /// Ends one or both directions (shutdown(2)).
    ///
    /// # Errors
    /// - [`Errno::Notconn`]: not connected
    fn shutdown(&mut self, read: bool, write: bool) -> Result<(), Errno>;
}

/// A listening socket.
pub trait Listener {
    /// Takes the next connection.
    ///
    /// # Errors
    /// - [`Errno::Connaborted`]: the connection ended before it was taken
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Opened, Errno>>;
}
