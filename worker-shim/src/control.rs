//! The kernel's control interface: what JavaScript calls, between an agent's system calls.
//!
//! Errors reach JavaScript as the symbolic name of an errno, such as `ENOENT`, or as a sentence where
//! there is none.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use capfs::device::archive::Archive;
use capfs::device::gate::Gate;
use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::{null, zero};
use capfs::{BindFlags, BoxedFuture, Errno, FileKind, Namespace, NodeRef, Rights, Stat};
use capfs_runtime::{ClockGrant, ExitStatus, NoRandom, Preopen, Process, ProcessConfig};
use capfs_worker_calls::{Guest, Patience, Running, with_running};
use js_sys::{Array, Function, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::devices::console::{ConsoleState, Streams};
use crate::files;
use crate::machine::{Agent, Machine, account, limit, with_machine};
use crate::remote::{client, connection, server};
use crate::stdio::{Input, OUTPUT_WINDOW, OUTPUT_WINDOW_UNWAITING, Output};
use crate::wake::waker;
#[cfg(feature = "capabilities")]
use crate::{devices, grants};
use crate::{opfs, wake, web};

/// What is said where a trap has left the kernel in the midst of something.
fn broken() -> JsValue {
    JsValue::from_str("the kernel has been left by a trap")
}

/// That what is made for the agent still has an agent: while it was waited for, the agent may have been ended.
pub fn not_ended() -> Result<(), JsValue> {
    match machine(|machine| Ok(machine.agent))? {
        Agent::Ended => Err(JsValue::from_str("the agent has been ended")),
        Agent::None | Agent::Runs => Ok(()),
    }
}

pub fn named(errno: Errno) -> JsValue {
    JsValue::from_str(errno.name())
}

pub fn machine<R>(action: impl FnOnce(&mut Machine) -> Result<R, JsValue>) -> Result<R, JsValue> {
    with_machine(action).ok_or_else(broken)?
}

/// Makes the kernel report a broken invariant of its own before it traps.
#[wasm_bindgen]
pub fn report_panics(report: Function) {
    thread_local! {
        static REPORT: RefCell<Option<Function>> = const { RefCell::new(None) };
    }
    REPORT.set(Some(report));
    std::panic::set_hook(Box::new(|info| {
        REPORT.with_borrow(|report| {
            if let Some(report) = report {
                // If JavaScript throws here there is nobody left to tell.
                let _ = report.call1(&JsValue::NULL, &info.to_string().into());
            }
        });
    }));
}

/// Takes the function that is called, from outside of any call of the kernel's or from inside, when a wait
/// may have ended. It must not call the kernel before it has returned.
#[wasm_bindgen]
pub fn on_wake(wake: Function) {
    wake::on_wake(wake);
}

pub fn sentence(error: &impl std::fmt::Display) -> JsValue {
    JsValue::from_str(&error.to_string())
}

pub fn add_device(machine: &mut Machine, root: NodeRef) -> u32 {
    machine.devices.push(root);
    machine.devices.len() as u32 - 1
}

/// Makes a memory file system for up to `bytes` bytes and returns its handle.
#[wasm_bindgen]
pub fn memory_device(bytes: f64) -> Result<u32, JsValue> {
    machine(|machine| {
        let limits = MemoryLimits {
            bytes: bytes as u64,
            ..MemoryLimits::default()
        };
        let files = MemoryFs::charged(machine.clock.clone(), limits, &account());
        Ok(add_device(machine, files.root()))
    })
}

/// Makes an archive device of a tar and returns its handle.
#[wasm_bindgen]
pub fn archive_device(tar: Vec<u8>) -> Result<u32, JsValue> {
    let archive = Archive::from_tar(tar).map_err(|error| JsValue::from_str(&error.to_string()))?;
    machine(|machine| Ok(add_device(machine, archive.root())))
}

/// Makes the null device and returns its handle.
#[wasm_bindgen]
pub fn null_device() -> Result<u32, JsValue> {
    machine(|machine| Ok(add_device(machine, null::Null::node())))
}

/// Makes the zero device and returns its handle.
#[wasm_bindgen]
pub fn zero_device() -> Result<u32, JsValue> {
    machine(|machine| Ok(add_device(machine, zero::Zero::node())))
}

/// Makes `task` for the page itself and returns its handle.
///
/// # Errors
/// A sentence that says what is wrong with the terms.
#[cfg(feature = "capabilities")]
#[wasm_bindgen]
pub fn task_device(terms: Vec<String>, host: devices::web::task::JsTasks) -> Result<u32, JsValue> {
    let root = devices::web::task::tasks(&grants::parse("task", terms)?, host)?;
    machine(|machine| Ok(add_device(machine, root)))
}

/// Makes a device that is a tree of another kernel, from `path` on, and returns its handle: the tree with the
/// number `tree` there, or 0, that kernel's namespace. `post(bytes)` sends the requests to this peer.
#[wasm_bindgen]
pub fn remote_device(peer: u32, tree: u32, path: &str, post: Function) -> Result<u32, JsValue> {
    let root = client::attach(peer, tree, FileKind::Directory, path, post);
    machine(|machine| Ok(add_device(machine, root)))
}

/// Takes a peer's answer to a request of a remote device.
#[wasm_bindgen]
pub fn remote_answer(peer: u32, bytes: &[u8]) {
    connection::answer(peer, bytes);
}

/// Says that a peer is gone: whatever is asked of its trees fails with `EIO`. A tree that is attached later is another peer's of this number.
#[wasm_bindgen]
pub fn remote_lost(peer: u32) {
    connection::lost(peer);
}

/// Takes a client in, whose requests are taken and for whom devices can be made from now on, until [`remote_forget`]. `held` bounds the bytes that
/// all that is made for it makes this kernel hold; with 0 they are charged to this kernel's agent.
///
/// # Errors
/// `EEXIST`: it is there already
#[wasm_bindgen]
pub fn remote_admit(client: u32, held: f64) -> Result<(), JsValue> {
    server::admit(client, held as u64).map_err(named)
}

/// Takes a request of a client that was admitted, of another it is answered by `ESTALE`; `reply(bytes)` is called with the answer, at once or from a later [`advance`].
#[wasm_bindgen]
pub fn remote_serve(client: u32, request: Vec<u8>, reply: Function) -> Result<(), JsValue> {
    web::look();
    let namespace = machine(|machine| Ok(machine.namespace.clone()))?;
    server::serve(&namespace, client, request, reply);
    Ok(())
}

/// Closes what a client has open here.
#[wasm_bindgen]
pub fn remote_forget(client: u32) {
    server::forget(client);
}

/// Puts a file into a device before it is mounted, whatever rights the mount will have.
#[wasm_bindgen]
pub fn device_write(device: u32, path: &str, bytes: Vec<u8>) -> Result<(), JsValue> {
    let root = machine(|machine| {
        machine
            .devices
            .get(device as usize)
            .cloned()
            .ok_or_else(|| named(Errno::Nodev))
    })?;
    let mut namespace = Namespace::new();
    namespace
        .mount(root, "/", Rights::RW, BindFlags::REPLACE.creating())
        .map_err(named)?;
    let mut writing = Box::pin(files::write(namespace, relative(path), bytes));
    match writing
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(result) => result.map_err(named),
        Poll::Pending => Err(named(Errno::Again)),
    }
}

/// Mounts a device at an absolute path; as a later member of a union when `after`. What is `revocable` has a gate in
/// front of it; see [`revoke`].
#[wasm_bindgen]
pub fn mount(
    device: u32,
    at: &str,
    after: bool,
    writable: bool,
    revocable: bool,
) -> Result<(), JsValue> {
    machine(|machine| {
        let root = machine
            .devices
            .get(device as usize)
            .ok_or_else(|| named(Errno::Nodev))?;
        let mut root = root.clone();
        if revocable {
            let (gate, gated) = Gate::new(root, None);
            machine.gates.push((at.to_owned(), gate));
            root = gated;
        }
        let order = if after {
            BindFlags::AFTER
        } else {
            BindFlags::REPLACE
        };
        let (rights, flags) = if writable {
            (Rights::RW, order.creating())
        } else {
            (Rights::RO, order)
        };
        machine
            .namespace
            .mount(root, at, rights, flags)
            .map_err(named)
    })
}

/// Bounds what the kernel holds for its agent together with the agent's memory, in bytes. Called before anything else is made.
#[wasm_bindgen]
pub fn limit_memory(bytes: f64) -> Result<(), JsValue> {
    match limit(bytes as u64) {
        true => Ok(()),
        false => Err(named(Errno::Busy)),
    }
}

/// What the account of the kernel stands at, in bytes: what may be held, what is, the most that was, how often more was refused,
/// and what is held by kind, in the order of `HOLDINGS` in `web/src/holdings.ts`.
#[wasm_bindgen]
pub fn account_usage() -> Vec<f64> {
    let usage = account().usage();
    let totals = [usage.max, usage.used, usage.peak, usage.refused];
    let held = usage.by_holding.into_iter().map(|(_, bytes)| bytes);
    totals
        .into_iter()
        .chain(held)
        .map(|bytes| bytes as f64)
        .collect()
}

/// What WASI's own calls give the process that is made next: `clock_step` is nanoseconds, 0 for exact clocks and
/// negative for none; `random` whether there are random bytes.
#[wasm_bindgen]
pub fn allow(clock_step: f64, random: bool) {
    with_machine(|machine| {
        machine.random = random;
        machine.clock_grant = match clock_step {
            0.0 => ClockGrant::Exact,
            step if step > 0.0 => ClockGrant::Steps(step as u64),
            _ => ClockGrant::Nothing,
        };
    });
}

/// Makes the standard streams and the console. `output(stream, bytes)` takes what the agent prints: 1 and 2 are the
/// standard ones, 3 is the screen of a terminal of the console's own, if it has one, 4 to 6 are messages.
/// `raw(on)`, where it is given, is told to hand over each key at once.
#[wasm_bindgen]
pub fn streams(
    output: Function,
    tty: bool,
    clock_only: bool,
    own_console: bool,
    raw: Option<Function>,
) -> Result<(), JsValue> {
    let window = if clock_only {
        OUTPUT_WINDOW_UNWAITING
    } else {
        OUTPUT_WINDOW
    };
    let outputs = [1, 2, 3, 4, 5, 6].map(|stream| Output::new(stream, window, output.clone()));
    machine(|machine| {
        machine.agent = Agent::Runs;
        machine.streams = Some(Streams {
            input: Input::default(),
            outputs,
            tty,
            console: ConsoleState {
                own: own_console.then(Input::default),
                raw,
                ..ConsoleState::default()
            },
        });
        Ok(())
    })
}

/// Tells how large the console's screen is.
#[wasm_bindgen]
pub fn resize(columns: u32, rows: u32) {
    with_streams(|streams| streams.console.size.set(Some((columns, rows))));
}

/// Makes the process, after the streams. `env` alternates names and values; `preopens` alternates the names that the
/// agent sees and absolute paths. It waits where these are of a device that answers later, such as one of the page's. `max_files` bounds the
/// descriptors that are open at once; what is more than can be counted, 2^32 - 1, is that.
///
/// # Errors
/// The name of an errno, or a sentence that says what can't be opened, or that the agent has been ended meanwhile.
#[wasm_bindgen]
pub async fn start(
    args: Vec<String>,
    env: Vec<String>,
    preopens: Vec<String>,
    clock_only: bool,
    max_files: f64,
) -> Result<(), JsValue> {
    not_ended()?;
    let config = machine(|machine| {
        let streams = machine
            .streams
            .as_ref()
            .ok_or_else(|| named(Errno::Inval))?;
        let (input, outputs, tty) = (&streams.input, &streams.outputs, streams.tty);
        let pairs = |flat: Vec<String>| {
            let (pairs, _) = flat.as_chunks::<2>();
            pairs
                .iter()
                .map(|[first, second]| (first.clone(), second.clone()))
                .collect::<Vec<_>>()
        };
        let account = account();
        machine.namespace.charge(&account);
        Ok(ProcessConfig {
            args,
            env: pairs(env),
            namespace: machine.namespace.clone(),
            stdio: [input.open(tty), outputs[0].open(tty), outputs[1].open(tty)],
            preopens: pairs(preopens)
                .into_iter()
                .map(|(name, path)| Preopen { name, path })
                .collect(),
            handed: Vec::new(),
            clock: machine.clock.clone(),
            clock_grant: machine.clock_grant,
            random: match machine.random {
                true => Box::new(web::WebRandom::new()),
                false => Box::new(NoRandom),
            },
            max_files: (max_files as u32).into(),
            account,
        })
    })?;
    let process = Process::new(config).await;
    let process = process.map_err(|error| sentence(&error))?;
    not_ended()?;
    let patience = match clock_only {
        true => Patience::ClockOnly,
        false => Patience::Anything,
    };
    capfs_worker_calls::replace(Some(Running {
        process,
        guest: None,
        patience,
        waker: waker(),
    }));
    Ok(())
}

/// Connects the process with the agent's memory, after the adapter has filled the table from `base` on.
#[wasm_bindgen]
pub fn attach(base: u32, direct: bool) {
    with_running(|running| running.guest = Some(Guest::new(base, direct)));
}

/// Takes the wall clock, in milliseconds, and returns the bytes of the agent's memory.
#[wasm_bindgen]
pub fn tick(wall: f64) -> f64 {
    web::tick(wall);
    opfs::tick();
    with_running(|running| running.guest.as_mut().map_or(0, Guest::measure)).unwrap_or(0) as f64
}

/// Closes what a program that has ended by its own will left open; whether that is done. If not, it is to be asked again when
/// something has happened.
#[wasm_bindgen]
pub fn finish() -> bool {
    let mut context = Context::from_waker(waker());
    with_running(|running| running.process.poll_finish(&mut context).is_ready()).unwrap_or(true)
}

/// Gives up the call that waits: the agent is ended, and won't make it again.
#[wasm_bindgen]
pub fn give_up() {
    with_running(|running| running.process.cancel());
}

/// When the pending call ends by itself, in milliseconds of `performance.now()`; infinite if never.
#[wasm_bindgen]
pub fn deadline() -> f64 {
    with_running(|running| running.process.deadline())
        .flatten()
        .map_or(f64::INFINITY, |nanos| nanos as f64 / 1e6)
}

fn with_streams<R>(action: impl FnOnce(&Streams) -> R) -> Option<R> {
    with_machine(|machine| machine.streams.as_ref().map(action)).flatten()
}

/// Adds to standard input, or to what is typed into the console's own terminal.
#[wasm_bindgen]
pub fn feed(console: bool, bytes: &[u8]) {
    with_streams(|streams| streams.input(console).feed(bytes));
}

/// Ends the input.
#[wasm_bindgen]
pub fn end_input(console: bool) {
    with_streams(|streams| streams.input(console).end());
}

/// Ends the input because what it comes from has failed: the agent reads what came, and then `EIO`.
#[wasm_bindgen]
pub fn fail_input(console: bool) {
    with_streams(|streams| streams.input(console).fail());
}

/// Closes what the process has open, once it has ended and its end was asked for; the namespace stays.
#[wasm_bindgen]
pub fn end_process() {
    // Dropped when the machine is free again: closing tells other kernels, by way of JavaScript.
    let ended = capfs_worker_calls::replace(None);
    let streams = with_machine(|machine| {
        machine.agent = Agent::Ended;
        machine.streams.take()
    });
    if let Some(streams) = streams.flatten() {
        streams.end();
    }
    drop(ended);
}

/// Bytes of the input that the agent has taken since this was asked last.
#[wasm_bindgen]
pub fn input_taken(console: bool) -> u32 {
    with_streams(|streams| match console && streams.console.own.is_none() {
        true => 0,
        false => streams.input(console).taken() as u32,
    })
    .unwrap_or(0)
}

/// Does something to one of the streams to the page.
fn with_output(stream: u8, action: impl FnOnce(&Output)) {
    with_streams(|streams| {
        streams
            .outputs
            .get(usize::from(stream).wrapping_sub(1))
            .map(action)
    });
}

/// The page has read `bytes` bytes of a stream.
#[wasm_bindgen]
pub fn output_read(stream: u8, bytes: u32) {
    with_output(stream, |output| output.acknowledge(bytes as usize));
}

/// The page reads no more of a stream.
#[wasm_bindgen]
pub fn output_closed(stream: u8) {
    with_output(stream, Output::close);
}

/// The code that the process has ended with, as a shell knows it.
#[wasm_bindgen]
pub fn exit_code() -> Option<u32> {
    with_running(|running| running.process.exit_status().map(ExitStatus::code)).flatten()
}

/// The signal that the process has ended with, if it was one, as WASI numbers them.
#[wasm_bindgen]
pub fn exit_signal() -> Option<u8> {
    match with_running(|running| running.process.exit_status()).flatten() {
        Some(ExitStatus::Signal(signal)) => Some(signal),
        _ => None,
    }
}

/// What the process has used: calls, bytes read, bytes written, most descriptors at once.
#[wasm_bindgen]
pub fn usage() -> Vec<f64> {
    with_running(|running| {
        let usage = running.process.usage();
        let numbers = [
            usage.calls,
            usage.bytes_read,
            usage.bytes_written,
            usage.files_peak.into(),
        ];
        numbers.map(|number| number as f64).to_vec()
    })
    .unwrap_or_default()
}

/// Asks for something about the namespace's files; `answer(error, value)` is called once, at once
/// or from a later [`advance`], unless [`cancel`] is with the same `number`. `what` is `read` (of up to `max` bytes, see
/// [`files::read`]), `program` (see [`files::read_program`]), `write`, `list`, `stat`, `make-dir` or `remove`.
///
/// # Errors
/// - `EINVAL`: there is nothing of the kind
/// - `EBUSY`: a request with this number was not answered yet
#[wasm_bindgen]
pub fn request(
    number: u32,
    what: &str,
    path: &str,
    bytes: Option<Vec<u8>>,
    max: Option<f64>,
    answer: Function,
) -> Result<(), JsValue> {
    if REQUESTS.with_borrow(|requests| requests.contains_key(&number)) {
        return Err(named(Errno::Busy));
    }
    web::look();
    let namespace = machine(|machine| Ok(machine.namespace.clone()))?;
    let path = relative(path);
    let result: BoxedFuture<Result<JsValue, Errno>> = match what {
        "read" => Box::pin(async move {
            let read = files::read(namespace, path, max.map(|max| max as u64)).await?;
            Ok(Uint8Array::from(read.as_slice()).into())
        }),
        "program" => Box::pin(async move {
            let read = files::read_program(namespace, path).await?;
            Ok(Uint8Array::from(read.as_slice()).into())
        }),
        "write" => Box::pin(async move {
            files::write(namespace, path, bytes.unwrap_or_default()).await?;
            Ok(JsValue::UNDEFINED)
        }),
        "list" => Box::pin(async move {
            let listed = files::list(namespace, path).await?;
            let pairs = listed
                .iter()
                .map(|entry| Array::of2(&entry.name.as_str().into(), &(entry.kind as u8).into()));
            Ok(pairs.collect::<Array>().into())
        }),
        "stat" => Box::pin(async move { Ok(numbers(files::stat(namespace, path).await?)) }),
        "make-dir" => Box::pin(async move {
            files::make_directory(namespace, path).await?;
            Ok(JsValue::UNDEFINED)
        }),
        "remove" => Box::pin(async move {
            files::remove(namespace, path).await?;
            Ok(JsValue::UNDEFINED)
        }),
        _ => return Err(named(Errno::Inval)),
    };
    let request = Request {
        work: Some(result),
        answer,
    };
    REQUESTS.with_borrow_mut(|requests| requests.insert(number, request));
    advance();
    Ok(())
}

/// Something that was asked for.
struct Request {
    /// Taken out while it is polled: what it does may come back here, with a new request, or to give one up that waits, itself included.
    work: Option<BoxedFuture<Result<JsValue, Errno>>>,
    answer: Function,
}

thread_local! {
    /// Requests that were not answered yet, by number.
    static REQUESTS: RefCell<BTreeMap<u32, Request>> = const { RefCell::new(BTreeMap::new()) };
}

/// Gives a request up that waits, and closes what it had open; its answer isn't called any more. Whether it waited.
#[wasm_bindgen]
pub fn cancel(number: u32) -> bool {
    // Dropped when nothing is borrowed: what a device does then may come back here.
    let given_up = REQUESTS.with_borrow_mut(|requests| requests.remove(&number));
    given_up.is_some()
}

/// Goes on with every request that waits. To be called whenever something has arrived.
#[wasm_bindgen]
pub fn advance() {
    server::advance();
    let latest = REQUESTS.with_borrow(|requests| requests.keys().next_back().copied());
    let mut from = Some(0);
    // One after the other, as they may come and go meanwhile; those that come are polled where they come.
    while let (Some(least), Some(latest)) = (from, latest) {
        let next = REQUESTS.with_borrow(|requests| {
            let mut waiting = requests.range(least..);
            waiting.next().map(|(number, _)| *number)
        });
        let next = next.filter(|number| *number <= latest);
        if let Some(number) = next {
            poll(number);
        }
        from = next.and_then(|number| number.checked_add(1));
    }
}

/// Polls a request, and answers it if it has ended. Nothing is borrowed meanwhile.
fn poll(number: u32) {
    let work = REQUESTS.with_borrow_mut(|requests| requests.get_mut(&number)?.work.take());
    let Some(mut work) = work else {
        // It is polled already, and has come back here.
        return;
    };
    let mut context = Context::from_waker(waker());
    let Poll::Ready(result) = work.as_mut().poll(&mut context) else {
        let given_up = REQUESTS.with_borrow_mut(|requests| match requests.get_mut(&number) {
            Some(request) => {
                request.work = Some(work);
                None
            }
            None => Some(work),
        });
        return drop(given_up);
    };
    // Closed before anybody is told that it is done.
    drop(work);
    let Some(Request { answer, .. }) =
        REQUESTS.with_borrow_mut(|requests| requests.remove(&number))
    else {
        return;
    };
    // What the answer's receiver throws is its own affair.
    let _ = match result {
        Ok(value) => answer.call2(&JsValue::NULL, &JsValue::NULL, &value),
        Err(errno) => answer.call2(&JsValue::NULL, &named(errno), &JsValue::UNDEFINED),
    };
}

fn numbers(stat: Stat) -> JsValue {
    let millis = |nanos: u64| JsValue::from(nanos as f64 / 1e6);
    Array::from_iter([
        JsValue::from(stat.qid.kind as u8),
        JsValue::from(stat.size as f64),
        millis(stat.mtime),
        millis(stat.atime),
        millis(stat.ctime),
        JsValue::from(stat.nlink as f64),
        JsValue::from(stat.qid.path as f64),
    ])
    .into()
}

/// A page's path, as one below the root: where the namespace's own root is the base, an absolute
/// path would leave it.
fn relative(path: &str) -> String {
    let below = path.trim_start_matches('/');
    if below.is_empty() {
        ".".to_owned()
    } else {
        below.to_owned()
    }
}
