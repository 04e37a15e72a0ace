//! How long the listing of a union takes, beside that of one directory with as many names.
//!
//! `cargo bench --package capfs --bench union_listing [-- NAMES_PER_MEMBER]`. A union of ten members must take at most twice
//! as long as one directory, whether the members share their names or not; the command fails if it takes longer.

use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use capfs::clock::Clock;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::{BindFlags, Entries, Errno, Name, Namespace, NodeRef, Op, OpenFile, OpenHow, Rights};

/// Members of the union.
const MEMBERS: usize = 10;

/// Entries that the runtime asks for at a time.
const BATCH: usize = 128;

/// How often each is listed; the fastest counts.
const ROUNDS: usize = 15;

struct Stopped;

impl Clock for Stopped {
    fn realtime(&self) -> u64 {
        1
    }

    fn monotonic(&self) -> u64 {
        1
    }
}

fn now<T>(op: Op<T>) -> Result<T, Errno> {
    match op {
        Op::Ready(result) => result,
        // A long listing lets others have their turn: there are none.
        Op::Later(mut future) => loop {
            let context = &mut Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                return result;
            }
        },
    }
}

fn directory(names: impl Iterator<Item = usize>) -> NodeRef {
    let limits = MemoryLimits {
        nodes: 1 << 20,
        ..MemoryLimits::default()
    };
    let root = MemoryFs::new(Arc::new(Stopped), limits).root();
    let edit = root.directory().and_then(|directory| directory.edit());
    let edit = edit.expect("memory can be written");
    for name in names {
        let name = format!("name-{name:08}");
        let name = Name::new(&name).expect("a name");
        now(edit.create(name, OpenHow::default())).expect("room");
    }
    root
}

fn united(members: Vec<NodeRef>) -> Namespace {
    let mut namespace = Namespace::new();
    for root in members {
        let mounted = namespace.mount(root, "/u", Rights::RW, BindFlags::AFTER);
        mounted.expect("room in the union");
    }
    namespace
}

fn open(namespace: &Namespace) -> Box<dyn OpenFile> {
    let resolved = now(namespace.resolve(&namespace.root(), "u", true)).expect("mounted");
    let how = OpenHow {
        read: true,
        ..OpenHow::default()
    };
    now(namespace.open_place(&resolved.place.expect("there"), how)).expect("readable")
}

fn list(entries: &mut dyn Entries) -> usize {
    let (mut cookie, mut count) = (0, 0);
    loop {
        let part = now(entries.list(cookie, BATCH)).expect("listed");
        let Some(last) = part.last() else {
            return count;
        };
        cookie = last.cookie;
        count += std::hint::black_box(&part).len();
    }
}

/// The shortest time of several, and how many names there were.
fn measure(namespace: &Namespace) -> (Duration, usize) {
    let mut file = open(namespace);
    let round = |file: &mut Box<dyn OpenFile>| {
        let begin = Instant::now();
        let count = list(file.entries().expect("a directory"));
        (begin.elapsed(), count)
    };
    let rounds = (0..ROUNDS).map(|_| round(&mut file));
    rounds.min().expect("several rounds")
}

fn main() -> ExitCode {
    let number = std::env::args().find_map(|text| text.parse().ok());
    let each: usize = number.unwrap_or(10_000);
    let all = MEMBERS * each;
    let mut plain = Namespace::new();
    let mounted = plain.mount(directory(0..all), "/u", Rights::RW, BindFlags::REPLACE);
    mounted.expect("mounted");
    let apart = (0..MEMBERS).map(|member| directory(member * each..(member + 1) * each));
    let same = (0..MEMBERS).map(|_| directory(0..each));
    let cases = [
        ("one directory", plain, all),
        ("ten members, no name twice", united(apart.collect()), all),
        (
            "ten members, every name in each",
            united(same.collect()),
            each,
        ),
    ];
    let mut first = None;
    let mut good = true;
    for (name, namespace, expected) in cases {
        let (time, count) = measure(&namespace);
        assert_eq!(count, expected, "{name}: each name once");
        let plain = *first.get_or_insert(time);
        let ratio = time.as_secs_f64() / plain.as_secs_f64();
        println!(
            "{name:32} {count:8} names {:9.3} ms  {ratio:5.2}",
            time.as_secs_f64() * 1e3
        );
        good &= ratio <= 2.0;
    }
    match good {
        true => ExitCode::SUCCESS,
        false => {
            eprintln!("error: a union takes more than twice as long as one directory");
            ExitCode::FAILURE
        }
    }
}
