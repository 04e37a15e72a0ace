//! Guests that pass arbitrary numbers: nothing panics, and nothing is written but what a call names.
//!
//! A case is a sequence of calls with arguments that are mostly nearly right. After each call, every byte
//! that it wrote must lie where its arguments said that results go. In half of the cases the files are answered for later, wake for
//! nothing and list short, and calls are given up in the middle. `PROPTEST_CASES` sets the number of cases.

mod guest;

/// Whether files are answered for later where nothing else is said.
const LATE: bool = false;

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use capfs::device::pipe::pipe;
use capfs::device::socket::{listener, socket_pair};
use capfs::{BindFlags, Errno, OpenFile, Rights, testkit};
use capfs_runtime::abi::{PREVIEW1, Param, UNSTABLE};
use capfs_runtime::{GuestMemory, Preopen, Process};
use guest::{Guest, SIZE, TestClock, rights};
use proptest::prelude::*;

/// A memory whose first byte has the address `base`, which notes what is written.
struct Watched {
    base: u64,
    bytes: Vec<u8>,
    written: Vec<Range<u64>>,
}

impl Watched {
    fn range(&self, addr: u32, len: usize) -> Result<Range<usize>, Errno> {
        let start = u64::from(addr).checked_sub(self.base).ok_or(Errno::Fault)?;
        let end = start + len as u64;
        if end > self.bytes.len() as u64 {
            return Err(Errno::Fault);
        }
        Ok(start as usize..end as usize)
    }

    fn number(&self, addr: u64) -> Option<u32> {
        let start = usize::try_from(addr.checked_sub(self.base)?).ok()?;
        Some(u32::from_le_bytes(
            self.bytes.get(start..start + 4)?.try_into().ok()?,
        ))
    }
}

impl GuestMemory for Watched {
    fn check(&mut self, addr: u32, len: u32) -> Result<(), Errno> {
        self.range(addr, len as usize).map(|_| ())
    }

    fn read(&mut self, addr: u32, into: &mut [u8]) -> Result<(), Errno> {
        let range = self.range(addr, into.len())?;
        into.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write(&mut self, addr: u32, bytes: &[u8]) -> Result<(), Errno> {
        let range = self.range(addr, bytes.len())?;
        self.bytes[range].copy_from_slice(bytes);
        self.written
            .push(u64::from(addr)..u64::from(addr) + bytes.len() as u64);
        Ok(())
    }
}

type Invoke = fn(&mut Process, &mut Context<'_>, &mut Watched, &[u64]) -> Poll<Result<(), Errno>>;

macro_rules! argument {
    ($from:ident, u32) => {
        *$from.next().expect("an argument for each parameter") as u32
    };
    ($from:ident, u64) => {
        *$from.next().expect("an argument for each parameter")
    };
    ($from:ident, i64) => {
        *$from.next().expect("an argument for each parameter") as i64
    };
}

macro_rules! invocations {
    (preview1 { $($name:ident($($arg:ident: $ty:ident),*);)* } unstable { $($old:ident($($oarg:ident: $oty:ident),*);)* }) => {
        /// The names of the parameters of each invocation.
        const NAMES: &[&[&str]] =
            &[$(&[$(stringify!($arg)),*],)* $(&[$(stringify!($oarg)),*],)*];

        const INVOCATIONS: &[Invoke] = &[
            $(|process, context, memory, arguments| {
                let mut from = arguments.iter();
                let _ = &mut from;
                process.$name(context, memory, $(argument!(from, $ty)),*)
            },)*
            $(|process, context, memory, arguments| {
                let mut from = arguments.iter();
                process.$old(context, memory, $(argument!(from, $oty)),*)
            },)*
        ];
    };
}
capfs_runtime::calls!(invocations);

fn call_of(index: usize) -> (&'static str, &'static [Param]) {
    let call = PREVIEW1
        .iter()
        .chain(UNSTABLE)
        .nth(index)
        .expect("a row for each invocation");
    (call.name.trim_start_matches("unstable_"), call.params)
}

/// Where a call may write: what its arguments name as results.
fn results(index: usize, memory: &Watched, arguments: &[u64]) -> Vec<Range<u64>> {
    let (name, _) = call_of(index);
    let unstable = index >= PREVIEW1.len();
    let filestat = if unstable { 56 } else { 64 };
    let at = |index: usize, len: u64| {
        let start = arguments[index] & u64::from(u32::MAX);
        start..start + len
    };
    let value = |index: usize| arguments[index] & u64::from(u32::MAX);
    let buffers = |list: usize| {
        (0..value(list + 1).min(1024)).filter_map(move |buffer| {
            let addr = memory.number(value(list) + buffer * 8)?;
            let len = memory.number(value(list) + buffer * 8 + 4)?;
            Some(u64::from(addr)..u64::from(addr) + u64::from(len))
        })
    };
    match name {
        // The strings of this guest are shorter than this.
        "args_get" | "environ_get" => vec![at(0, 64), at(1, 64)],
        "args_sizes_get" | "environ_sizes_get" => vec![at(0, 4), at(1, 4)],
        "clock_res_get" => vec![at(1, 8)],
        "clock_time_get" => vec![at(2, 8)],
        "fd_fdstat_get" => vec![at(1, 24)],
        "fd_filestat_get" => vec![at(1, filestat)],
        "path_filestat_get" => vec![at(4, filestat)],
        "fd_prestat_get" => vec![at(1, 8)],
        "fd_prestat_dir_name" => vec![at(1, value(2))],
        "fd_read" => buffers(1).chain([at(3, 4)]).collect(),
        "fd_pread" => buffers(1).chain([at(4, 4)]).collect(),
        "fd_write" => vec![at(3, 4)],
        "fd_pwrite" => vec![at(4, 4)],
        "fd_seek" => vec![at(3, 8)],
        "fd_tell" => vec![at(1, 8)],
        "fd_readdir" => vec![at(1, value(2)), at(4, 4)],
        "path_open" => vec![at(8, 4)],
        "path_readlink" => vec![at(3, value(4)), at(5, 4)],
        "poll_oneoff" => vec![at(1, value(2) * 32), at(3, 4)],
        "random_get" => vec![at(0, value(1))],
        "sock_accept" => vec![at(2, 4)],
        "sock_recv" => buffers(1).chain([at(4, 4), at(5, 2)]).collect(),
        "sock_send" => vec![at(4, 4)],
        _ => Vec::new(),
    }
}

/// An argument: a seed of how right it is, and a number that says the rest.
fn argument() -> impl Strategy<Value = (u8, u64)> {
    (any::<u8>(), any::<u64>())
}

const PATHS: [&str; 16] = [
    "a", "b", "d", "d/a", "d/b", "../a", "/a", "d/../a", "s", "d/", "a/", ".", "..", "d/s", "é",
    "ro/a",
];

/// Bytes for each of [`PATHS`], at the start of the memory.
const PATH_SLOT: u64 = 16;
/// Where the lists of buffers are.
const BUFFERS: u64 = 512;
/// Where subscriptions of preview 1 are.
const SUBSCRIPTIONS: u64 = 2048;
/// Where subscriptions of the snapshot before are.
const UNSTABLE_SUBSCRIPTIONS: u64 = 4096;
/// How many subscriptions there are of each.
const SUBSCRIPTION_COUNT: u64 = 8;

/// A number that is often meaningful for the parameter.
fn concrete(
    base: u64,
    (call, unstable): (&str, bool),
    name: &str,
    param: Param,
    (like, number): (u8, u64),
) -> u64 {
    let size = u64::from(SIZE);
    if like < 200 {
        return match name {
            "fd" if call.starts_with("path_") && number % 4 > 0 => 3 + number % 2,
            "old_fd" | "new_fd" => 3 + number % 2,
            "fd" | "to" => number % 10,
            "path" | "old_path" | "new_path" => base + number % 16 * PATH_SLOT,
            "path_len" | "old_path_len" | "new_path_len" => number % 16,
            "iovs" | "ri_data" | "si_data" => base + BUFFERS + number % 128 * 8,
            "iovs_len" | "ri_data_len" | "si_data_len" => number % 12,
            "subscriptions" if unstable => base + UNSTABLE_SUBSCRIPTIONS,
            "subscriptions" => base + SUBSCRIPTIONS,
            "nsubscriptions" => number % (SUBSCRIPTION_COUNT + 1),
            "buf_len" => number % 400,
            "oflags" => [0, 1, 2, 5, 8, 9][number as usize % 6],
            "fdflags" => number % 32,
            "dirflags" | "flags" | "old_flags" => number % 2,
            "ri_flags" | "how" => number % 4,
            "si_flags" => 0,
            "fst_flags" => number % 16,
            "rights_base" | "rights_inheriting" => match number % 4 {
                0 => u64::MAX,
                1 => (1 << 30) - 1,
                2 => (1 << 1 | 1 << 6 | 1 << 14) & number,
                _ => number,
            },
            "whence" | "id" | "advice" | "signal" => number % 5,
            "offset" | "len" | "size" | "cookie" => number % 300,
            _ => base + number % (size / 8) * 8,
        };
    }
    match (param, like) {
        (Param::I32, 200..212) => number % 12,
        (Param::I32, 212..220) => base + number % size,
        (Param::I32, 220..232) => (base + size - number % 64) & u64::from(u32::MAX),
        (Param::I32, 232..240) => u64::from(u32::MAX) - number % 16,
        (Param::I32, _) => number & u64::from(u32::MAX),
        (Param::I64, 200..220) => u64::MAX - number % 64,
        (Param::I64, 220..240) => i64::MAX as u64 - 32 + number % 64,
        (Param::I64, _) => number,
    }
}

/// A memory with things that pointers may hit: paths, lists of buffers, subscriptions, noise.
fn furnished(base: u64, seed: &[u8]) -> Watched {
    let mut bytes: Vec<u8> = seed.iter().copied().cycle().take(SIZE as usize).collect();
    for (path, slot) in PATHS.iter().zip(bytes.chunks_exact_mut(PATH_SLOT as usize)) {
        slot[..path.len()].copy_from_slice(path.as_bytes());
    }
    let lists = &mut bytes[BUFFERS as usize..SUBSCRIPTIONS as usize];
    for (index, pair) in lists.chunks_exact_mut(8).enumerate() {
        let addr = base + (index as u64 * 1_021 + 8_192) % u64::from(SIZE);
        pair[..4].copy_from_slice(&(addr as u32).to_le_bytes());
        pair[4..].copy_from_slice(&(index as u32 % 16).to_le_bytes());
    }
    for (start, each, clock) in [(SUBSCRIPTIONS, 48, 16), (UNSTABLE_SUBSCRIPTIONS, 56, 24)] {
        for index in 0..SUBSCRIPTION_COUNT {
            let at = (start + index * each) as usize;
            let subscription = &mut bytes[at..at + each as usize];
            subscription[9..].fill(0);
            subscription[8] = (index % 3) as u8;
            if index % 3 == 0 {
                subscription[clock] = (index % 2) as u8;
                subscription[clock + 8] = index as u8;
            } else {
                subscription[16] = index as u8;
            }
        }
    }
    Watched {
        base,
        bytes,
        written: Vec::new(),
    }
}

/// A process with something of every kind: files, directories, pipes, sockets, a listener. All of it is answered for later, if `late`.
fn process(late: bool) -> (Guest, Vec<Box<dyn std::any::Any>>) {
    let mut kept: Vec<Box<dyn std::any::Any>> = Vec::new();
    let wrapped = |file: Box<dyn OpenFile>| match late {
        true => testkit::late_file(file),
        false => file,
    };
    let guest = Guest::over(late, &[("a", b"some text"), ("d/a", b"more")], |config| {
        let (pipe_reader, mut pipe_writer) = pipe(64);
        let mut context = Context::from_waker(Waker::noop());
        let _ = OpenFile::poll_write(
            &mut pipe_writer,
            &mut context,
            capfs::WriteAt::End,
            &mut &b"input"[..],
        );
        let (output_reader, output_writer) = pipe(64);
        kept.push(Box::new(output_reader));
        config.stdio[0] = wrapped(Box::new(pipe_reader));
        config.stdio[1] = wrapped(Box::new(output_writer));
        let (near, far) = socket_pair(64);
        let (accepting, connector) = listener(4, 64);
        kept.push(Box::new(connector.connect()));
        kept.push(Box::new(connector.connect()));
        kept.push(Box::new((near, connector)));
        config.handed = vec![wrapped(Box::new(far)), wrapped(Box::new(accepting))];
        config.max_files = 12.into();
        let clock = Arc::new(TestClock::new(1));
        let read_only = guest::memory(&clock, &[("a", b"kept")]);
        let read_only = match late {
            true => testkit::late(&read_only),
            false => read_only,
        };
        config
            .namespace
            .mount(read_only, "/ro", Rights::RO, BindFlags::REPLACE)
            .expect("a mount point");
        config.preopens.push(Preopen {
            name: "/ro".into(),
            path: "/ro".into(),
        });
    });
    (guest, kept)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000,
        failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_only_results_are_written(
        at_the_top in any::<bool>(),
        late in any::<bool>(),
        seed in prop::collection::vec(any::<u8>(), 1..64),
        calls in prop::collection::vec(
            (0..INVOCATIONS.len(), prop::collection::vec(argument(), 9)),
            1..60,
        ),
    ) {
        // The end of a memory of 4 GiB is where sums of addresses overflow.
        let base = if at_the_top { (1 << 32) - u64::from(SIZE) } else { 0 };
        let mut memory = furnished(base, &seed);
        let (mut guest, _kept) = process(late);
        prop_assert_eq!(guest.open("a", 0, rights::FILE), Ok(7));
        prop_assert_eq!(guest.open("d", 0, u64::MAX), Err(Errno::Isdir));
        prop_assert_eq!(guest.open("d", 0, rights::READDIR), Ok(8));
        let waker = Waker::from(guest.alarm.clone());
        let mut context = Context::from_waker(&waker);
        for (index, arguments) in calls {
            // Now and then a call is given up, and made anew.
            let mut given_up = arguments[0].0 % 2 > 0;
            let (name, params) = call_of(index);
            let unstable = index >= PREVIEW1.len();
            let name_of_call = name;
            let mut arguments: Vec<u64> = params
                .iter()
                .zip(NAMES[index])
                .zip(arguments)
                .map(|((param, name), argument)| concrete(base, (name_of_call, unstable), name, *param, argument))
                .collect();
            // Most paths have their own length.
            for at in 1..arguments.len() {
                let slot = (arguments[at - 1].wrapping_sub(base) / PATH_SLOT) as usize;
                if NAMES[index][at].ends_with("path_len") && !arguments[at].is_multiple_of(8) {
                    arguments[at] = PATHS.get(slot).map_or(arguments[at], |path| path.len() as u64);
                }
            }
            let allowed = results(index, &memory, &arguments);
            memory.written.clear();
            let mut tries = 0;
            let ended = loop {
                let woken = guest.alarm.count();
                let poll = INVOCATIONS[index](
                    &mut guest.process, &mut context, &mut memory, &arguments,
                );
                let goes_on = late && guest.alarm.count() > woken;
                tries += u32::from(!goes_on);
                match (poll, guest.process.deadline()) {
                    (Poll::Ready(_), _) => break true,
                    (Poll::Pending, _) if goes_on => {
                        if std::mem::take(&mut given_up) {
                            guest.process.cancel();
                        }
                    }
                    (Poll::Pending, Some(deadline)) if tries < 3 => guest.clock.set(deadline),
                    // It waits for somebody who never comes: the host would end it here.
                    (Poll::Pending, _) => break false,
                }
            };
            for written in &memory.written {
                let inside = written.is_empty()
                    || (written.start..written.end).all(|byte| {
                        allowed.iter().any(|range| range.contains(&byte))
                    });
                prop_assert!(
                    inside,
                    "{} of {:x?} wrote {:x?}, not in {:x?}", name, arguments, written, allowed
                );
            }
            if !ended {
                break;
            }
        }
    }
}
