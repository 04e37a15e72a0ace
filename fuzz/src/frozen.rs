//! Frozen processes and images of files in memory, as they come from another host. What can be read is the same when it is written and
//! read again, and can be thawed or says why not.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use capfs::account::Account;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::null::Null;
use capfs::testkit::{self, ManualClock, READ_WRITE};
use capfs::{BindFlags, DeviceId, Namespace, Rights};
use capfs_runtime::{ClockGrant, Frozen, Host, NoRandom, Preopen, Process, ProcessConfig, Thawed};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "frozen",
    about: "frozen processes and images of files, as hosts send them to each other",
    run,
    seeds,
};

/// Bytes that what is read may make the host hold.
const ROOM: u64 = 4 << 20;

fn files(image: &[u8]) -> Option<MemoryFs> {
    let (clock, account) = (Arc::new(ManualClock::new(7)), Account::new(ROOM));
    MemoryFs::from_image(image, clock, MemoryLimits::default(), &account).ok()
}

fn run(bytes: &[u8]) {
    if let Some(read) = files(bytes) {
        let again = files(&read.image()).expect("what was written can be read");
        assert_eq!(again.usage(), read.usage());
    }
    let Ok(frozen) = Frozen::from_bytes(bytes) else {
        return;
    };
    let written = frozen.to_bytes().expect("it is no longer than it was");
    assert_eq!(Frozen::from_bytes(&written).as_ref(), Ok(&frozen));
    let _ = frozen.to_string();
    let root = tree().root();
    let Ok(namespace) = Namespace::build(frozen.namespace(), |_| Ok(root.clone())) else {
        return;
    };
    let null = || testkit::now(Null::node().open(READ_WRITE)).expect("null opens");
    let host = Host {
        namespace,
        handed: vec![Some(null()), None, Some(null())],
        clock: Arc::new(ManualClock::new(7)),
        clock_grant: ClockGrant::Exact,
        random: Box::new(NoRandom),
        max_files: 64.into(),
        account: Account::new(ROOM),
    };
    let mut thawing = pin!(Process::thaw(&frozen, host));
    let mut context = Context::from_waker(Waker::noop());
    let thawed = thawing.as_mut().poll(&mut context);
    let Poll::Ready(Ok(Thawed { process, .. })) = thawed else {
        assert!(thawed.is_ready(), "nothing here answers later");
        return;
    };
    let again = process.freeze().expect("nothing waits");
    let written = again.to_bytes().expect("it is no longer than it was");
    assert_eq!(Frozen::from_bytes(&written), Ok(again));
}

fn tree() -> MemoryFs {
    let files = MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default());
    let root = files.root();
    let edit = testkit::edit(&root).expect("a directory");
    let below = testkit::now(edit.make_directory(testkit::name("below")));
    testkit::write(&below.expect("it is made"), "file", b"text").expect("it is written");
    testkit::write(&root, "other", &[7; 300]).expect("it is written");
    let linked = testkit::now(edit.make_symlink(testkit::name("link"), "below/file"));
    linked.expect("it is made");
    files
}

fn seeds() -> Vec<Vec<u8>> {
    let files = tree();
    let mut namespace = Namespace::new();
    let id = DeviceId::new("memory:/").expect("a name");
    let mounted = namespace.mount_device(id, files.root(), "/", Rights::RW, BindFlags::REPLACE);
    mounted.expect("it is mounted");
    let null = || testkit::now(Null::node().open(READ_WRITE)).expect("null opens");
    let preopen = |path: &str| Preopen {
        name: path.to_owned(),
        path: path.to_owned(),
    };
    let config = ProcessConfig {
        args: vec!["agent".into(), "word".into()],
        env: vec![("NAME".into(), "VALUE".into())],
        namespace,
        stdio: [null(), null(), null()],
        preopens: vec![preopen("/"), preopen("/below")],
        handed: Vec::new(),
        clock: Arc::new(ManualClock::new(7)),
        clock_grant: ClockGrant::Exact,
        random: Box::new(NoRandom),
        max_files: 64.into(),
        account: Account::unlimited(),
    };
    let mut making = pin!(Process::new(config));
    let made = making
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(process)) = made else {
        panic!("a process is made at once");
    };
    let frozen = process.freeze().expect("nothing waits");
    vec![frozen.to_bytes().expect("it is short"), files.image()]
}
