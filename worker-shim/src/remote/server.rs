//! The serving side: what clients have walked to and opened here, and their requests under way.
//!
//! A request is a future that owns its arguments. It is polled when it arrives, so what has its answer in
//! memory is answered on the spot; what waits is polled again when its own waker was woken. `Flush` drops
//! it, and whatever it was about to make.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use capfs::account::Account;
use capfs::device::gate::Gate;
use capfs::{Errno, Namespace, NodeRef, OpenFile};
use js_sys::{Function, Uint8Array};
use wasm_bindgen::JsValue;

use super::connection;
use super::perform::perform;
use super::wire::{Code, Decoder, Encoder, HEAD_MAX, WRITE_MAX};
use crate::machine::{self, Kind};
use crate::wake;

/// Nodes and open files of one client, at most: somewhat more than its own descriptors and mounts can hold.
const FIDS_MAX: usize = 1 << 18;

/// Requests of one client under way, at most: one for each descriptor that it may poll at once; beyond it a
/// request fails with `ENOBUFS`.
const REQUESTS_MAX: usize = 1 << 14;

/// Bytes of one client's requests under way, at most: those of the longest write, that a device doesn't take.
const BYTES_MAX: usize = WRITE_MAX + HEAD_MAX;

/// An open file. Several requests may be under way on it; each borrows it for the length of one poll.
pub(super) struct SharedFile {
    pub file: RefCell<Box<dyn OpenFile>>,
    /// The subject that the client knows.
    pub told: RefCell<Option<String>>,
    /// What wakes the requests on it: one for all of them, so that a device has one to keep, however often and by however many it is
    /// polled.
    pub waker: OnceCell<Waker>,
}

/// What a fid stands for.
enum Slot<T> {
    /// An earlier request is about to make it; these wait for that.
    Making(Vec<Waker>),
    Here(T),
}

/// Nodes or open files, by the client's numbers.
pub(super) struct Table<T>(HashMap<u32, Slot<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table(HashMap::new())
    }
}

impl<T: Clone> Table<T> {
    /// What a number stands for. Waits for the request that is about to make it.
    pub fn poll_get(&mut self, number: u32, context: &Context<'_>) -> Poll<Option<T>> {
        match self.0.get_mut(&number) {
            Some(Slot::Here(value)) => Poll::Ready(Some(value.clone())),
            Some(Slot::Making(waiting)) => {
                let waker = context.waker();
                if !waiting.iter().any(|known| known.will_wake(waker)) {
                    waiting.push(waker.clone());
                }
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }

    /// What a number stands for now.
    fn here(&self, number: u32) -> Option<&T> {
        match self.0.get(&number)? {
            Slot::Here(value) => Some(value),
            Slot::Making(_) => None,
        }
    }

    /// Reserves a number for what a request makes.
    pub fn begin(&mut self, number: u32) -> Result<(), Errno> {
        if self.0.len() >= FIDS_MAX {
            return Err(Errno::Nfile);
        }
        match self.0.contains_key(&number) {
            true => Err(Errno::Proto),
            false => {
                self.0.insert(number, Slot::Making(Vec::new()));
                Ok(())
            }
        }
    }

    /// Ends what `begin` began: the number stands for something now, or for nothing.
    pub fn end(&mut self, number: u32, value: Option<T>) {
        let Some(Slot::Making(waiting)) = self.0.get_mut(&number) else {
            // Made already, or let go of before that.
            return;
        };
        let waiting = std::mem::take(waiting);
        match value {
            Some(value) => self.0.insert(number, Slot::Here(value)),
            None => self.0.remove(&number),
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Lets go of a number. Who waits for it to be made learns that it stands for nothing.
    #[must_use = "to be dropped when nothing is borrowed"]
    fn remove(&mut self, number: u32) -> Option<T> {
        match self.0.remove(&number)? {
            Slot::Here(value) => Some(value),
            Slot::Making(waiting) => {
                waiting.into_iter().for_each(Waker::wake);
                None
            }
        }
    }
}

/// A device that was made for a client.
#[derive(Clone)]
pub struct Tree {
    pub root: NodeRef,
    /// How less of it is made.
    pub kind: Kind,
    /// What is in front of it, where an agent of this kernel has handed it on.
    pub gate: Option<Gate>,
    /// Ends what the page's script does for it.
    pub end: Option<Rc<dyn Fn()>>,
}

impl Tree {
    /// It is taken away: nothing goes on behind it. The gate is that of what it was made of, and stays.
    pub fn revoke(&self) {
        self.kind.end();
        if let Some(end) = &self.end {
            end();
        }
    }
}

/// What one client has here.
#[derive(Default)]
pub(super) struct Client {
    pub nodes: Table<NodeRef>,
    pub files: Table<Rc<SharedFile>>,
    /// Devices that were made for it, by number.
    pub trees: HashMap<u32, Tree>,
    /// The number of the last of them: none is used again.
    last_tree: u32,
    /// Its own, where what it makes this kernel hold is bounded; otherwise it is this kernel's agent that is charged.
    account: Option<Account>,
    tasks: HashMap<u64, Task>,
    /// Those that are about an open file, by its number.
    on_files: BTreeSet<(u32, u64)>,
    /// All of them, by the number of their call.
    by_call: BTreeSet<(u32, u64)>,
    /// Bytes of the requests under way.
    bytes: usize,
}

pub(super) type ClientRef = Rc<RefCell<Client>>;

impl Client {
    fn begin(&mut self, number: u64, task: Task) {
        self.bytes += task.bytes;
        if let Some(file) = task.file {
            self.on_files.insert((file, number));
        }
        self.by_call.insert((task.call, number));
        self.tasks.insert(number, task);
    }

    fn end(&mut self, number: u64) -> Option<Task> {
        let task = self.tasks.remove(&number)?;
        self.bytes -= task.bytes;
        if let Some(file) = task.file {
            self.on_files.remove(&(file, number));
        }
        self.by_call.remove(&(task.call, number));
        Some(task)
    }
}

/// A request under way.
struct Task {
    call: u32,
    /// The open file that it is about: closing that gives it up.
    file: Option<u32>,
    bytes: usize,
    /// Taken out while it is polled.
    work: Option<Work>,
    /// The same each time that it is polled, unless it is about a file that is there: then that one's is.
    waker: Waker,
    reply: Function,
}

type Work = Pin<Box<dyn Future<Output = Vec<u8>>>>;

thread_local! {
    static CLIENTS: RefCell<HashMap<u32, ClientRef>> = RefCell::default();
    static NEXT_TASK: RefCell<u64> = const { RefCell::new(1) };
    /// What was woken.
    static READY: RefCell<VecDeque<Arc<Alarm>>> = RefCell::default();
}

/// Wakes requests of a client.
struct Alarm {
    client: u32,
    whom: Whom,
    woken: AtomicBool,
}

/// Which requests are woken.
#[derive(Clone, Copy)]
enum Whom {
    Task(u64),
    /// All that are about an open file.
    File(u32),
}

impl Alarm {
    fn waker(client: u32, whom: Whom) -> Waker {
        Waker::from(Arc::new(Alarm {
            client,
            whom,
            woken: AtomicBool::new(false),
        }))
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            READY.with_borrow_mut(|ready| ready.push_back(self));
            wake::wake();
        }
    }
}

/// A client that was admitted and is not forgotten.
///
/// # Errors
/// - [`Errno::Stale`]: there is none of this number
fn client(number: u32) -> Result<ClientRef, Errno> {
    let found = CLIENTS.with_borrow(|clients| clients.get(&number).cloned());
    found.ok_or(Errno::Stale)
}

/// Takes a client in. What is asked by a number that was not admitted, or was forgotten, is refused: nothing that comes late makes anything that
/// nobody would ever close. `bytes` bounds what all that is made for the client makes this kernel hold; with 0 that is
/// charged to this kernel's agent.
///
/// # Errors
/// - [`Errno::Exist`]: it is there already
pub fn admit(number: u32, bytes: u64) -> Result<(), Errno> {
    if client(number).is_ok() {
        return Err(Errno::Exist);
    }
    let client = Client {
        account: (bytes > 0).then(|| Account::new(bytes)),
        ..Client::default()
    };
    let client = Rc::new(RefCell::new(client));
    CLIENTS.with_borrow_mut(|clients| clients.insert(number, client));
    Ok(())
}

/// What a client's devices are charged to.
///
/// # Errors
/// - [`Errno::Stale`]: there is no such client
pub fn account(number: u32) -> Result<Account, Errno> {
    let own = client(number)?.borrow().account.clone();
    Ok(own.unwrap_or_else(machine::account))
}

/// Hands a client a device of its own; returns the number by which it attaches to it.
///
/// # Errors
/// With the device, for it to be taken away.
/// - [`Errno::Stale`]: there is no such client
/// - [`Errno::Nfile`]: it was handed as many as there are numbers
pub fn export(number: u32, device: Tree) -> Result<u32, (Errno, Tree)> {
    let client = match client(number) {
        Ok(client) => client,
        Err(errno) => return Err((errno, device)),
    };
    let mut client = client.borrow_mut();
    let Some(tree) = client.last_tree.checked_add(1) else {
        return Err((Errno::Nfile, device));
    };
    client.last_tree = tree;
    client.trees.insert(tree, device);
    Ok(tree)
}

/// A device that was made for a client.
pub fn tree(number: u32, tree: u32) -> Option<Tree> {
    client(number).ok()?.borrow().trees.get(&tree).cloned()
}

/// Closes everything that a client has here, and gives up what is under way. What other kernels have made for it is taken away there.
pub fn forget(number: u32) {
    let client = CLIENTS.with_borrow_mut(|clients| clients.remove(&number));
    // Taken out first: what a device does when it is let go of may come back here.
    let Some(client) = client.map(|client| client.take()) else {
        return;
    };
    for tree in client.trees.values() {
        if let Kind::There { peer, tree } = tree.kind {
            connection::revoke(peer, tree);
        }
    }
}

/// Takes one request of a client; `reply(bytes)` is called with the answer, now or from [`advance`].
pub fn serve(namespace: &Namespace, number: u32, request: Vec<u8>, reply: Function) {
    let mut decoder = Decoder(&request);
    let (Ok(call), Ok(code)) = (decoder.u32(), decoder.u8()) else {
        // Without a number nobody could tell whose answer this is.
        return;
    };
    let client = match client(number) {
        Ok(client) => client,
        Err(errno) => return answer(&reply, call, failed(errno)),
    };
    let argument = decoder.u32().unwrap_or(0);
    match Code::from_number(code) {
        Some(Code::Flush) => return give_up(&client, argument, |client| &client.by_call),
        Some(Code::Revoke) => {
            let gone = client.borrow_mut().trees.remove(&argument);
            // Nothing is borrowed: what ends may come back here.
            return gone.iter().for_each(Tree::revoke);
        }
        Some(Code::Clunk) => {
            let gone = client.borrow_mut().nodes.remove(argument);
            return drop(gone);
        }
        Some(Code::Close) => {
            give_up(&client, argument, |client| &client.on_files);
            let gone = client.borrow_mut().files.remove(argument);
            return drop(gone);
        }
        _ => {}
    }
    let bytes = request.len();
    let full = {
        let client = client.borrow();
        client.tasks.len() >= REQUESTS_MAX || client.bytes + bytes > BYTES_MAX
    };
    if full {
        return answer(&reply, call, failed(Errno::Nobufs));
    }
    let file = Code::from_number(code).filter(|code| code.is_on_file());
    let task = NEXT_TASK.with_borrow_mut(|next| {
        *next += 1;
        *next
    });
    let work = Box::pin(perform(client.clone(), namespace.clone(), request));
    let begun = Task {
        call,
        file: file.map(|_| argument),
        bytes,
        work: Some(work),
        waker: Alarm::waker(number, Whom::Task(task)),
        reply,
    };
    client.borrow_mut().begin(task, begun);
    poll(number, &client, task);
}

/// Goes on with the requests that were woken.
pub fn advance() {
    // Those that are woken meanwhile come back by the kernel's own waker.
    let woken = READY.with_borrow_mut(std::mem::take);
    for alarm in woken {
        // From now on it wakes again.
        alarm.woken.store(false, Ordering::Release);
        let number = alarm.client;
        let Some(client) = CLIENTS.with_borrow(|clients| clients.get(&number).cloned()) else {
            continue;
        };
        match alarm.whom {
            Whom::Task(task) => poll(number, &client, task),
            Whom::File(file) => {
                let all: Vec<u64> = {
                    let client = client.borrow();
                    let all = client.on_files.range((file, 0)..=(file, u64::MAX));
                    all.map(|(_, task)| *task).collect()
                };
                all.into_iter().for_each(|task| poll(number, &client, task));
            }
        }
    }
}

/// Polls a request, and answers it if it has ended. Nothing is borrowed meanwhile.
fn poll(number: u32, client: &ClientRef, task: u64) {
    let taken = {
        let mut client = client.borrow_mut();
        let client = &mut *client;
        client.tasks.get_mut(&task).and_then(|task| {
            let work = task.work.take()?;
            let file = task.file.and_then(|file| {
                let shared = client.files.here(file)?;
                let made = || Alarm::waker(number, Whom::File(file));
                Some(shared.waker.get_or_init(made).clone())
            });
            Some((work, file.unwrap_or_else(|| task.waker.clone())))
        })
    };
    let Some((mut work, waker)) = taken else {
        return;
    };
    let outcome = work.as_mut().poll(&mut Context::from_waker(&waker));
    let mut borrowed = client.borrow_mut();
    match (outcome, borrowed.tasks.get_mut(&task)) {
        (Poll::Pending, Some(under_way)) => under_way.work = Some(work),
        (Poll::Ready(bytes), Some(_)) => {
            let ended = borrowed.end(task);
            drop(borrowed);
            if let Some(ended) = ended {
                answer(&ended.reply, ended.call, bytes);
            }
        }
        // Given up while it was polled.
        (_, None) => {
            drop(borrowed);
            drop(work);
        }
    }
}

/// Drops the requests of a client that stand by this number in one of its lists.
fn give_up(client: &ClientRef, number: u32, list: impl Fn(&Client) -> &BTreeSet<(u32, u64)>) {
    let given_up: Vec<Task> = {
        let mut client = client.borrow_mut();
        let named = list(&client).range((number, 0)..=(number, u64::MAX));
        let tasks: Vec<u64> = named.map(|(_, task)| *task).collect();
        let ended = tasks.into_iter().filter_map(|task| client.end(task));
        ended.collect()
    };
    drop(given_up);
}

/// What is answered to a request that failed.
pub(super) fn failed(errno: Errno) -> Vec<u8> {
    Encoder::default().u32(errno.code().into()).finish()
}

fn answer(reply: &Function, call: u32, results: Vec<u8>) {
    // 0 is nobody's.
    if call == 0 {
        return;
    }
    let mut bytes = call.to_le_bytes().to_vec();
    bytes.extend(results);
    // If the client is gone, nobody misses the answer.
    let _ = reply.call1(&JsValue::NULL, &Uint8Array::from(bytes.as_slice()));
}
