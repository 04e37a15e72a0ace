//! The conformance suite of devices: what a tree of files must do, whoever serves it.
//!
//! A device that can be written calls [`writable`] with a function that makes an empty root; one that
//! can't calls [`read_only`] with its root:
//!
//! ```
//! # use std::sync::Arc;
//! # use capfs::device::memory::{MemoryFs, MemoryLimits};
//! # use capfs::testkit::{self, ManualClock};
//! testkit::writable(|| {
//!     MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default()).root()
//! });
//! ```
//!
//! What fails panics, and says which check it was. The rest of this module is what the checks are
//! made of, for tests that go further.

mod checkpoints;
mod contents;
mod frozen;
mod late;
mod names;
mod read_only;
mod refusals;
mod renames;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::clock::Clock;
use crate::{
    DirEntry, Directory, EditDirectory, Errno, Name, NodeRef, Op, OpenFile, OpenHow, Opened, Stat,
    WriteAt, Written,
};

pub use checkpoints::{Seen, checkpoints, checkpoints_reading, no_checkpoint, picture};
pub use frozen::{Image, durable, durable_but_listings, durable_reading, not_durable};
pub use late::{late, late_file};
pub use read_only::read_only;

/// Opened for reading.
pub const READ: OpenHow = OpenHow {
    read: true,
    write: false,
    truncate: false,
};

/// Opened for reading and writing.
pub const READ_WRITE: OpenHow = OpenHow {
    read: true,
    write: true,
    truncate: false,
};

/// Behind every cookie of a device: see [`Entries::list`](crate::Entries::list).
pub(crate) const COOKIE_END: u64 = 1 << 42;

/// A named check, which gets an empty root.
type Check = (&'static str, fn(&NodeRef));

/// Checks that the tree that `make_root` makes, empty each time, has POSIX meaning.
///
/// # Panics
/// When a check fails.
pub fn writable(make_root: impl Fn() -> NodeRef) {
    let checks = [contents::CHECKS, names::CHECKS, renames::CHECKS];
    for (name, check) in checks.into_iter().flatten() {
        let _announced = Announced(name);
        check(&make_root());
        // And where everything comes later.
        check(&late(&make_root()));
    }
}

/// Checks files for which there is no room: in the tree that `make_root` makes, empty each time, `over` bytes in one file are too many,
/// and some hundred are not.
///
/// # Panics
/// When a check fails.
pub fn refuses(make_root: impl Fn() -> NodeRef, over: usize) {
    for (name, check) in refusals::CHECKS {
        let _announced = Announced(name);
        check(&make_root(), over);
        check(&late(&make_root()), over);
    }
}

/// Says which check it was that panicked.
struct Announced(&'static str);

impl Drop for Announced {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the conformance check that failed: {}", self.0);
        }
    }
}

/// A clock that stands until it is set.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `now` nanoseconds.
    pub fn new(now: u64) -> Self {
        ManualClock {
            now: AtomicU64::new(now),
        }
    }

    /// Sets the clock to `now` nanoseconds.
    pub fn set(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn realtime(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> u64 {
        self.realtime()
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls until there is an answer; the thread sleeps in between.
pub fn wait<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}

/// The answer of an operation, awaited if it comes later.
///
/// # Errors
/// Whatever the operation ended with.
pub fn now<T>(op: Op<T>) -> Result<T, Errno> {
    match op {
        Op::Ready(result) => result,
        Op::Later(mut future) => wait(|context| future.as_mut().poll(context)),
    }
}

/// A checked name.
///
/// # Panics
/// When `text` is not one.
pub fn name(text: &str) -> Name<'_> {
    Name::new(text).expect("a name that the suite chose")
}

/// Walks from `root` to `path`, whose components are separated by `/`; `""` is the root.
///
/// # Errors
/// - [`Errno::Notdir`]: something other than a directory on the way
/// - whatever [`Directory::walk`] answers
pub fn walk(root: &NodeRef, path: &str) -> Result<NodeRef, Errno> {
    let mut node = root.clone();
    for component in path.split('/').filter(|component| !component.is_empty()) {
        let next = now(directory(&node)?.walk(name(component)))?;
        node = next;
    }
    Ok(node)
}

/// The contents of a file.
///
/// # Errors
/// Whatever walking, opening or reading answers.
pub fn read(root: &NodeRef, path: &str) -> Result<Vec<u8>, Errno> {
    let mut file = now(walk(root, path)?.open(READ))?;
    let mut contents = Vec::new();
    loop {
        let part = read_at(&mut *file, contents.len() as u64, 4096)?;
        if part.is_empty() {
            return Ok(contents);
        }
        contents.extend(part);
    }
}

/// Makes a file with these contents, in the directory that `root` is.
///
/// # Errors
/// Whatever creating or writing answers.
pub fn write(root: &NodeRef, file: &str, contents: &[u8]) -> Result<NodeRef, Errno> {
    let Opened { node, mut file } = now(edit(root)?.create(name(file), READ_WRITE))?;
    let mut done = 0;
    while done < contents.len() {
        done += write_at(&mut *file, WriteAt::End, &contents[done..])?.bytes;
    }
    Ok(node)
}

/// Reads up to `room` bytes, waiting for them.
///
/// # Errors
/// As [`OpenFile::poll_read`].
pub fn read_at(file: &mut dyn OpenFile, offset: u64, room: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0xaa; room];
    let count = wait(|context| file.poll_read(context, offset, &mut &mut bytes[..]))?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Writes, waiting for room.
///
/// # Errors
/// As [`OpenFile::poll_write`].
pub fn write_at(file: &mut dyn OpenFile, at: WriteAt, bytes: &[u8]) -> Result<Written, Errno> {
    wait(|context| file.poll_write(context, at, &mut { bytes }))
}

/// What stat tells of a path.
///
/// # Errors
/// Whatever walking or stat answers.
pub fn stat(root: &NodeRef, path: &str) -> Result<Stat, Errno> {
    now(walk(root, path)?.stat())
}

/// All entries of a directory, taken `step` at a time.
///
/// # Errors
/// - [`Errno::Notdir`]: not a directory
/// - whatever opening or listing answers
///
/// # Panics
/// When cookies don't ascend or leave their bounds.
pub fn list(node: &NodeRef, step: usize) -> Result<Vec<DirEntry>, Errno> {
    let mut file = now(node.open(READ))?;
    let mut entries: Vec<DirEntry> = Vec::new();
    loop {
        let cookie = entries.last().map_or(0, |entry| entry.cookie);
        let part = list_from(&mut *file, cookie, step)?;
        if part.is_empty() {
            return Ok(entries);
        }
        entries.extend(part);
    }
}

/// Entries of an open directory behind `cookie`.
///
/// # Errors
/// - [`Errno::Notdir`]: not a directory
/// - whatever listing answers
///
/// # Panics
/// When cookies don't ascend or leave their bounds.
pub fn list_from(file: &mut dyn OpenFile, cookie: u64, max: usize) -> Result<Vec<DirEntry>, Errno> {
    let entries = now(file.entries().ok_or(Errno::Notdir)?.list(cookie, max))?;
    assert!(entries.len() <= max, "no more entries than were asked for");
    let mut last = cookie;
    for entry in &entries {
        assert!(entry.cookie > last, "cookies ascend");
        assert!(entry.cookie < COOKIE_END, "cookies are below 2^42");
        last = entry.cookie;
    }
    Ok(entries)
}

/// The names in a directory, sorted.
///
/// # Errors
/// As [`list`].
pub fn names_in(node: &NodeRef) -> Result<Vec<String>, Errno> {
    let mut names: Vec<_> = list(node, 100)?
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    names.sort();
    Ok(names)
}

/// The directory that a node is.
///
/// # Errors
/// - [`Errno::Notdir`]: not a directory
pub fn directory(node: &NodeRef) -> Result<&dyn Directory, Errno> {
    node.directory().ok_or(Errno::Notdir)
}

/// The power to change the directory that a node is.
///
/// # Errors
/// - [`Errno::Notdir`]: not a directory
/// - [`Errno::Rofs`]: the directory is read-only
pub fn edit(node: &NodeRef) -> Result<&dyn EditDirectory, Errno> {
    directory(node)?.edit().ok_or(Errno::Rofs)
}
