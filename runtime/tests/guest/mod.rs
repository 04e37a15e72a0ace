//! A guest without an engine: a process, its memory, and clocks that a test moves.

#![allow(dead_code, reason = "each test uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use capfs::account::Account;
use capfs::clock::Clock;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::null::Null;
use capfs::{
    BindFlags, Errno, Namespace, NodeRef, Op, OpenAt, OpenFile, OpenHow, Rights as MountRights,
    WriteAt,
};
use capfs_runtime::{
    ClockGrant, ConfigError, Frozen, Host, Preopen, Process, ProcessConfig, RandomSource, Thawed,
};

/// What realtime is ahead of the monotonic clock.
pub const EPOCH: u64 = 1_000_000_000_000;

/// Clocks that stand still unless they are moved.
pub struct TestClock {
    monotonic: AtomicU64,
    /// What realtime is ahead.
    epoch: AtomicU64,
}

impl TestClock {
    /// Clocks of which the monotonic one stands at `now`.
    pub fn new(now: u64) -> Self {
        TestClock {
            monotonic: AtomicU64::new(now),
            epoch: AtomicU64::new(EPOCH),
        }
    }

    /// Moves the monotonic clock to `now`, and the others with it.
    pub fn set(&self, now: u64) {
        self.monotonic.store(now, Ordering::Relaxed);
    }

    /// Sets the wall clock ahead.
    pub fn set_ahead(&self, by: u64) {
        self.epoch.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn realtime(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed) + self.monotonic()
    }

    fn monotonic(&self) -> u64 {
        self.monotonic.load(Ordering::Relaxed)
    }

    fn realtime_resolution(&self) -> u64 {
        1_000
    }
}

/// Counts up: the bytes are not random but all different.
pub struct Counting(u8);

impl RandomSource for Counting {
    fn fill(&mut self, into: &mut [u8]) -> Result<(), Errno> {
        for byte in into {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

/// Counts how often it was woken.
#[derive(Default)]
pub struct Alarm(AtomicUsize);

impl Alarm {
    /// How often it was woken.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A device's root with files in it, made by their paths.
pub fn memory(clock: &Arc<TestClock>, files: &[(&str, &[u8])]) -> NodeRef {
    memory_files(clock, files).root()
}

/// What a test's files in memory may use.
const LIMITS: MemoryLimits = MemoryLimits {
    bytes: 1 << 20,
    nodes: 4096,
};

/// A device with files in it, made by their paths.
pub fn memory_files(clock: &Arc<TestClock>, files: &[(&str, &[u8])]) -> MemoryFs {
    let clock: Arc<dyn Clock> = clock.clone();
    let device = MemoryFs::new(clock, LIMITS);
    let root = device.root();
    let mut namespace = Namespace::new();
    namespace
        .mount(
            root.clone(),
            "/",
            MountRights::RW,
            BindFlags::REPLACE.creating(),
        )
        .unwrap();
    let place = namespace.root();
    for (path, bytes) in files {
        for (slash, _) in path.match_indices('/') {
            let made = answer(namespace.make_directory(&place, &path[..slash]));
            assert!(matches!(made, Ok(()) | Err(Errno::Exist)));
        }
        let how = OpenHow {
            read: true,
            write: true,
            truncate: true,
        };
        let at = OpenAt {
            create: true,
            how,
            ..OpenAt::default()
        };
        let (_, mut file) = answer(namespace.open(&place, path, at)).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let written = file.poll_write(&mut context, WriteAt::End, &mut &bytes[..]);
        assert!(matches!(written, Poll::Ready(Ok(written)) if written.bytes == bytes.len()));
    }
    device
}

/// The result of an operation that ends at once.
pub fn answer<T>(op: Op<T>) -> Result<T, Errno> {
    match op {
        Op::Ready(result) => result,
        Op::Later(_) => panic!("a device in memory answers at once"),
    }
}

/// A file that is always empty.
pub fn null() -> Box<dyn OpenFile> {
    answer(Null::node().open(OpenHow {
        read: true,
        write: true,
        truncate: false,
    }))
    .unwrap()
}

/// The configuration of a process over `root` at `/`, preopened as descriptor 3.
pub fn config(clock: &Arc<TestClock>, root: NodeRef) -> ProcessConfig {
    let mut namespace = Namespace::new();
    namespace
        .mount(root, "/", MountRights::RW, BindFlags::REPLACE.creating())
        .unwrap();
    ProcessConfig {
        clock_grant: ClockGrant::Exact,
        args: vec!["guest".into(), "an argument".into()],
        env: vec![("HOME".into(), "/".into())],
        namespace,
        stdio: [null(), null(), null()],
        preopens: vec![Preopen {
            name: "/".into(),
            path: "/".into(),
        }],
        handed: Vec::new(),
        clock: clock.clone(),
        random: Box::new(Counting(0)),
        max_files: 64.into(),
        account: Account::unlimited(),
    }
}

/// Makes a process over files that are answered for later, or at once.
pub fn made(config: ProcessConfig) -> Result<Process, ConfigError> {
    let mut process = std::pin::pin!(Process::new(config));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000 {
        if let Poll::Ready(made) = process.as_mut().poll(&mut context) {
            return made;
        }
    }
    panic!("it is never made");
}

/// A guest program, played by a test.
pub struct Guest {
    /// The process under test.
    pub process: Process,
    /// Its memory.
    pub memory: Vec<u8>,
    /// Its clocks.
    pub clock: Arc<TestClock>,
    /// What its calls wake.
    pub alarm: Arc<Alarm>,
    /// Its files.
    pub files: MemoryFs,
    /// Whether its files are answered for later.
    late: bool,
}

/// What a host gives to a process that it thaws.
pub fn host(clock: &Arc<TestClock>, namespace: Namespace) -> Host {
    Host {
        namespace,
        handed: vec![Some(null()), Some(null()), Some(null())],
        clock: clock.clone(),
        clock_grant: ClockGrant::Exact,
        random: Box::new(Counting(0)),
        max_files: 64.into(),
        account: Account::unlimited(),
    }
}

/// Goes on with a process over files that are answered for later, or at once.
pub fn thawed(frozen: &Frozen, host: Host) -> Result<Thawed, ConfigError> {
    let mut thawed = std::pin::pin!(Process::thaw(frozen, host));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000 {
        if let Poll::Ready(thawed) = thawed.as_mut().poll(&mut context) {
            return thawed;
        }
    }
    panic!("it is never thawed");
}

/// Where results are stored.
pub const OUT: u32 = 8;
/// Where lists of buffers lie.
const IOVECS: u32 = 64;
/// Where the first path lies.
pub const PATH: u32 = 1024;
/// Where the second path lies.
pub const OTHER_PATH: u32 = 8192;
/// Where data lies.
pub const DATA: u32 = 16384;
/// Bytes of memory.
pub const SIZE: u32 = 65536;

/// The rights in the witx.
pub mod rights {
    pub const READ: u64 = 1 << 1;
    pub const SEEK: u64 = 1 << 2;
    pub const SET_FLAGS: u64 = 1 << 3;
    pub const TELL: u64 = 1 << 5;
    pub const WRITE: u64 = 1 << 6;
    pub const ALLOCATE: u64 = 1 << 8;
    pub const PATH_OPEN: u64 = 1 << 13;
    pub const READDIR: u64 = 1 << 14;
    pub const PATH_SET_SIZE: u64 = 1 << 19;
    pub const STAT: u64 = 1 << 21;
    pub const SET_SIZE: u64 = 1 << 22;
    pub const SET_TIMES: u64 = 1 << 23;
    pub const FILE: u64 =
        READ | WRITE | SEEK | TELL | STAT | SET_SIZE | SET_FLAGS | ALLOCATE | SET_TIMES;
}

pub const CREAT: u32 = 1;
pub const DIRECTORY: u32 = 2;
pub const EXCL: u32 = 4;
pub const TRUNC: u32 = 8;
pub const APPEND: u32 = 1;
pub const NONBLOCK: u32 = 4;
pub const SYNC: u32 = 16;

impl Guest {
    pub fn new(files: &[(&str, &[u8])]) -> Guest {
        Guest::with(files, |_| {})
    }

    pub fn with(files: &[(&str, &[u8])], change: impl FnOnce(&mut ProcessConfig)) -> Guest {
        Guest::over(crate::LATE, files, change)
    }

    /// A guest over files that are answered for later, if `late`.
    pub fn over(
        late: bool,
        files: &[(&str, &[u8])],
        change: impl FnOnce(&mut ProcessConfig),
    ) -> Guest {
        let clock = Arc::new(TestClock::new(1_000));
        let files = memory_files(&clock, files);
        let root = match late {
            true => capfs::testkit::late(&files.root()),
            false => files.root(),
        };
        let mut config = config(&clock, root);
        change(&mut config);
        Guest {
            files,
            process: made(config).unwrap(),
            memory: vec![0; SIZE as usize],
            clock,
            alarm: Arc::default(),
            late,
        }
    }

    /// Freezes the process, and goes on with it on another host, whose clock shows something else, over an image of its files; returns the
    /// numbers of the descriptors that are stale then. The namespace may have this device alone.
    pub fn moves(&mut self, max_files: u32) -> Vec<u32> {
        let frozen = self.process.freeze().unwrap();
        let bytes = frozen.to_bytes().unwrap();
        let frozen = Frozen::from_bytes(&bytes).unwrap();
        assert_eq!(frozen.to_bytes().unwrap(), bytes);
        self.clock = Arc::new(TestClock::new(self.clock.monotonic() / 2 + 77));
        let image = self.files.image();
        let account = Account::unlimited();
        self.files = MemoryFs::from_image(&image, self.clock.clone(), LIMITS, &account).unwrap();
        let root = match self.late {
            true => capfs::testkit::late(&self.files.root()),
            false => self.files.root(),
        };
        let namespace = Namespace::build(frozen.namespace(), |_| Ok(root.clone())).unwrap();
        let mut host = host(&self.clock, namespace);
        host.max_files = max_files.into();
        let Thawed { process, stale } = thawed(&frozen, host).unwrap();
        self.process = process;
        stale
    }

    /// Makes a call.
    pub fn call(
        &mut self,
        call: impl FnOnce(&mut Process, &mut Context<'_>, &mut [u8]) -> Poll<Result<(), Errno>>,
    ) -> Poll<Result<(), Errno>> {
        let waker = Waker::from(self.alarm.clone());
        call(
            &mut self.process,
            &mut Context::from_waker(&waker),
            &mut self.memory,
        )
    }

    /// Makes a call that does not wait, but for files that are answered for later. Where they are, it is given up once, and
    /// made anew, unless it has happened all the same. However often it is tried, it counts as one call each time that it is made.
    pub fn now(
        &mut self,
        mut call: impl FnMut(&mut Process, &mut Context<'_>, &mut [u8]) -> Poll<Result<(), Errno>>,
    ) -> Result<(), Errno> {
        let mut waits = 0;
        let before = self.process.usage().calls;
        loop {
            let woken = self.alarm.count();
            match self.call(&mut call) {
                Poll::Ready(result) => {
                    let counted = self.process.usage().calls - before;
                    let made = 1 + u64::from(waits > 0);
                    assert_eq!(counted, made, "calls");
                    return result;
                }
                Poll::Pending => waits += 1,
            }
            let goes_on = self.alarm.count() > woken || self.process.deadline().is_some();
            assert!(self.late && goes_on && waits < 100_000, "the call waits");
            if waits == 1 && self.process.cancel() {
                return Ok(());
            }
        }
    }

    pub fn u16_at(&self, addr: u32) -> u16 {
        u16::from_le_bytes(self.bytes(addr, 2).try_into().unwrap())
    }

    pub fn u32_at(&self, addr: u32) -> u32 {
        u32::from_le_bytes(self.bytes(addr, 4).try_into().unwrap())
    }

    pub fn u64_at(&self, addr: u32) -> u64 {
        u64::from_le_bytes(self.bytes(addr, 8).try_into().unwrap())
    }

    pub fn bytes(&self, addr: u32, len: u32) -> &[u8] {
        &self.memory[addr as usize..(addr + len) as usize]
    }

    pub fn put(&mut self, addr: u32, bytes: &[u8]) {
        self.memory[addr as usize..addr as usize + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts a path into memory and returns its length.
    pub fn path(&mut self, path: &str) -> u32 {
        self.put(PATH, path.as_bytes());
        path.len() as u32
    }

    pub fn other_path(&mut self, path: &str) -> u32 {
        self.put(OTHER_PATH, path.as_bytes());
        path.len() as u32
    }

    /// Puts a list of buffers into memory.
    pub fn iovecs(&mut self, buffers: &[(u32, u32)]) -> (u32, u32) {
        for (index, (addr, len)) in buffers.iter().enumerate() {
            let at = IOVECS + index as u32 * 8;
            self.put(at, &addr.to_le_bytes());
            self.put(at + 4, &len.to_le_bytes());
        }
        (IOVECS, buffers.len() as u32)
    }

    pub fn open_in(
        &mut self,
        fd: u32,
        path: &str,
        oflags: u32,
        base: u64,
        inheriting: u64,
        fdflags: u32,
    ) -> Result<u32, Errno> {
        let len = self.path(path);
        self.now(|process, context, memory| {
            process.path_open(
                context, memory, fd, 0, PATH, len, oflags, base, inheriting, fdflags, OUT,
            )
        })?;
        Ok(self.u32_at(OUT))
    }

    pub fn open(&mut self, path: &str, oflags: u32, base: u64) -> Result<u32, Errno> {
        self.open_in(3, path, oflags, base, 0, 0)
    }

    pub fn close(&mut self, fd: u32) -> Result<(), Errno> {
        self.now(|process, context, memory| process.fd_close(context, memory, fd))
    }

    pub fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32, Errno> {
        self.put(DATA, bytes);
        let (iovs, count) = self.iovecs(&[(DATA, bytes.len() as u32)]);
        self.now(|process, context, memory| {
            process.fd_write(context, memory, fd, iovs, count, OUT)
        })?;
        Ok(self.u32_at(OUT))
    }

    pub fn pwrite(&mut self, fd: u32, bytes: &[u8], offset: u64) -> Result<u32, Errno> {
        self.put(DATA, bytes);
        let (iovs, count) = self.iovecs(&[(DATA, bytes.len() as u32)]);
        self.now(|process, context, memory| {
            process.fd_pwrite(context, memory, fd, iovs, count, offset, OUT)
        })?;
        Ok(self.u32_at(OUT))
    }

    pub fn read(&mut self, fd: u32, len: u32) -> Result<Vec<u8>, Errno> {
        let (iovs, count) = self.iovecs(&[(DATA, len)]);
        self.now(|process, context, memory| {
            process.fd_read(context, memory, fd, iovs, count, OUT)
        })?;
        Ok(self.bytes(DATA, self.u32_at(OUT)).to_vec())
    }

    pub fn pread(&mut self, fd: u32, len: u32, offset: u64) -> Result<Vec<u8>, Errno> {
        let (iovs, count) = self.iovecs(&[(DATA, len)]);
        self.now(|process, context, memory| {
            process.fd_pread(context, memory, fd, iovs, count, offset, OUT)
        })?;
        Ok(self.bytes(DATA, self.u32_at(OUT)).to_vec())
    }

    /// `whence`: 0 start, 1 current, 2 end.
    pub fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Result<u64, Errno> {
        self.now(|process, context, memory| {
            process.fd_seek(context, memory, fd, offset, whence, OUT)
        })?;
        Ok(self.u64_at(OUT))
    }

    pub fn tell(&mut self, fd: u32) -> Result<u64, Errno> {
        self.now(|process, context, memory| process.fd_tell(context, memory, fd, OUT))?;
        Ok(self.u64_at(OUT))
    }

    /// Kind, flags, base rights, inheriting rights.
    pub fn fdstat(&mut self, fd: u32) -> Result<(u8, u16, u64, u64), Errno> {
        self.now(|process, context, memory| process.fd_fdstat_get(context, memory, fd, OUT))?;
        let kind = self.bytes(OUT, 1)[0];
        Ok((
            kind,
            self.u16_at(OUT + 2),
            self.u64_at(OUT + 8),
            self.u64_at(OUT + 16),
        ))
    }

    pub fn set_flags(&mut self, fd: u32, flags: u32) -> Result<(), Errno> {
        self.now(|process, context, memory| process.fd_fdstat_set_flags(context, memory, fd, flags))
    }

    pub fn filestat(&mut self, fd: u32) -> Result<Filestat, Errno> {
        self.now(|process, context, memory| process.fd_filestat_get(context, memory, fd, OUT))?;
        Ok(self.stored_filestat())
    }

    pub fn path_filestat(&mut self, path: &str, follow: bool) -> Result<Filestat, Errno> {
        let len = self.path(path);
        self.now(|process, context, memory| {
            process.path_filestat_get(context, memory, 3, u32::from(follow), PATH, len, OUT)
        })?;
        Ok(self.stored_filestat())
    }

    fn stored_filestat(&self) -> Filestat {
        Filestat {
            dev: self.u64_at(OUT),
            ino: self.u64_at(OUT + 8),
            kind: self.bytes(OUT + 16, 1)[0],
            nlink: self.u64_at(OUT + 24),
            size: self.u64_at(OUT + 32),
            mtim: self.u64_at(OUT + 48),
        }
    }

    /// Makes a call with one path at descriptor 3.
    pub fn on_path(&mut self, call: PathCall, path: &str) -> Result<(), Errno> {
        let len = self.path(path);
        self.now(|process, context, memory| match call {
            PathCall::MakeDirectory => process.path_create_directory(context, memory, 3, PATH, len),
            PathCall::RemoveDirectory => {
                process.path_remove_directory(context, memory, 3, PATH, len)
            }
            PathCall::Unlink => process.path_unlink_file(context, memory, 3, PATH, len),
        })
    }

    /// `path_symlink` at descriptor 3.
    pub fn symlink(&mut self, target: &str, path: &str) -> Result<(), Errno> {
        let (len, other) = (self.path(target), self.other_path(path));
        self.now(|process, context, memory| {
            process.path_symlink(context, memory, PATH, len, 3, OTHER_PATH, other)
        })
    }

    /// `path_link` at descriptor 3.
    pub fn link(&mut self, old: &str, follow: bool, new: &str) -> Result<(), Errno> {
        let (len, other) = (self.path(old), self.other_path(new));
        let flags = u32::from(follow);
        self.now(|process, context, memory| {
            process.path_link(context, memory, 3, flags, PATH, len, 3, OTHER_PATH, other)
        })
    }

    /// `path_rename` at descriptor 3.
    pub fn rename(&mut self, old: &str, new: &str) -> Result<(), Errno> {
        let (len, other) = (self.path(old), self.other_path(new));
        self.now(|process, context, memory| {
            process.path_rename(context, memory, 3, PATH, len, 3, OTHER_PATH, other)
        })
    }

    /// `fd_readdir`: the bytes stored.
    pub fn readdir(&mut self, fd: u32, len: u32, cookie: u64) -> Result<Vec<u8>, Errno> {
        self.now(|process, context, memory| {
            process.fd_readdir(context, memory, fd, DATA, len, cookie, OUT)
        })?;
        Ok(self.bytes(DATA, self.u32_at(OUT)).to_vec())
    }
}

/// A call with one path.
#[derive(Clone, Copy, Debug)]
pub enum PathCall {
    MakeDirectory,
    RemoveDirectory,
    Unlink,
}

/// What stat told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filestat {
    pub dev: u64,
    pub ino: u64,
    pub kind: u8,
    pub nlink: u64,
    pub size: u64,
    pub mtim: u64,
}

/// Whole entries in what `fd_readdir` stored: cookie behind, inode, kind, name.
pub fn entries(mut bytes: &[u8]) -> Vec<(u64, u64, u8, String)> {
    let mut entries = Vec::new();
    while bytes.len() >= 24 {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let name_len = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        let Some(name) = bytes.get(24..24 + name_len) else {
            break;
        };
        let name = String::from_utf8(name.to_vec()).unwrap();
        entries.push((number(0), number(8), bytes[20], name));
        bytes = &bytes[24 + name_len..];
    }
    entries
}
