//! The clients of this kernel, and the trees that were made for each.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use capfs::account::Account;
use capfs::device::gate::Gate;
use capfs::{Errno, NodeRef, Op, OpenAt, OpenHow};
use capfs_remote::{Ended, Session, Transport, Trees};
use js_sys::Function;

use super::{Post, SIZES, client};
use crate::machine::{self, Agent, Kind, with_machine};
use crate::wake;

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

/// The devices that were made for a client, by number.
#[derive(Clone, Default)]
struct Made(Rc<RefCell<HashMap<u32, Tree>>>);

impl Trees for Made {
    fn attach(&self, tree: u32, path: &str) -> Op<NodeRef> {
        if tree > 0 {
            let tree = self.0.borrow().get(&tree).cloned();
            return tree.map(|tree| tree.root).ok_or(Errno::Noent).into();
        }
        let Some((namespace, agent)) =
            with_machine(|machine| (machine.namespace.clone(), machine.agent != Agent::None))
        else {
            return Op::err(Errno::Noent);
        };
        let path = match path.trim_start_matches('/') {
            "" => ".",
            path => path,
        };
        let how = OpenAt {
            directory: true,
            follow: true,
            how: OpenHow {
                read: true,
                ..Default::default()
            },
            ..Default::default()
        };
        let opened = namespace.open(&namespace.root(), path, how);
        opened.map(move |(place, _)| match agent {
            // What an agent hands to its tasks is what it sees itself, with its rights.
            true => namespace.view(place),
            // The page shares its own files, and nothing that is mounted among them.
            false => place.node().clone(),
        })
    }

    fn revoke(&self, tree: u32) {
        let gone = self.0.borrow_mut().remove(&tree);
        // Nothing is borrowed: what ends may come back here.
        gone.iter().for_each(Tree::revoke);
    }
}

/// A client that was admitted.
struct Client {
    made: Made,
    /// The number of the last device: none is used again.
    last: Cell<u32>,
    /// Its own, where what it makes this kernel hold is bounded; otherwise it is this kernel's agent that is charged.
    account: Option<Account>,
    session: Session,
    reply: Reply,
}

/// By what a client is answered: what came with its last request.
#[derive(Clone, Default)]
struct Reply(Rc<RefCell<Option<Function>>>);

impl Transport for Reply {
    fn send(&self, message: Vec<u8>) -> Result<(), Ended> {
        // Taken out first: it is JavaScript's, and nothing is borrowed while it runs.
        let reply = self.0.borrow().clone();
        reply.map_or(Err(Ended), |reply| Post(reply).send(message))
    }

    /// As of any port: unknown.
    fn waiting(&self) -> usize {
        0
    }
}

thread_local! {
    static CLIENTS: RefCell<HashMap<u32, Rc<Client>>> = RefCell::default();
    /// Clients of whose requests some were woken.
    static WOKEN: RefCell<Vec<Arc<Woken>>> = RefCell::default();
}

/// Says that there is something to do for a client.
struct Woken {
    client: u32,
    on: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        if !self.on.swap(true, Ordering::AcqRel) {
            WOKEN.with_borrow_mut(|woken| woken.push(self));
            wake::wake();
        }
    }
}

/// A client that was admitted and is not forgotten.
///
/// # Errors
/// - [`Errno::Stale`]: there is none of this number
fn admitted(number: u32) -> Result<Rc<Client>, Errno> {
    let found = CLIENTS.with_borrow(|clients| clients.get(&number).cloned());
    found.ok_or(Errno::Stale)
}

/// Takes a client in. What is asked by a number that was not admitted, or was forgotten, ends the client's connection: nothing that comes late makes
/// anything that nobody would ever close. `bytes` bounds what all that is made for the client makes this kernel hold; with 0 that is
/// charged to this kernel's agent.
///
/// # Errors
/// - [`Errno::Exist`]: it is there already
pub fn admit(number: u32, bytes: u64) -> Result<(), Errno> {
    if admitted(number).is_ok() {
        return Err(Errno::Exist);
    }
    let (made, reply) = (Made::default(), Reply::default());
    let owner = Waker::from(Arc::new(Woken {
        client: number,
        on: AtomicBool::new(false),
    }));
    let trees = Box::new(made.clone());
    let client = Client {
        account: (bytes > 0).then(|| Account::new(bytes)),
        session: Session::new(trees, Box::new(reply.clone()), SIZES, owner),
        made,
        last: Cell::new(0),
        reply,
    };
    CLIENTS.with_borrow_mut(|clients| clients.insert(number, Rc::new(client)));
    Ok(())
}

/// What a client's devices are charged to.
///
/// # Errors
/// - [`Errno::Stale`]: there is no such client
pub fn account(number: u32) -> Result<Account, Errno> {
    let own = admitted(number)?.account.clone();
    Ok(own.unwrap_or_else(machine::account))
}

/// Hands a client a device of its own; returns the number by which it attaches to it.
///
/// # Errors
/// With the device, for it to be taken away.
/// - [`Errno::Stale`]: there is no such client
/// - [`Errno::Nfile`]: it was handed as many as there are numbers
pub fn export(number: u32, device: Tree) -> Result<u32, (Errno, Tree)> {
    let client = match admitted(number) {
        Ok(client) => client,
        Err(errno) => return Err((errno, device)),
    };
    let Some(tree) = client.last.get().checked_add(1) else {
        return Err((Errno::Nfile, device));
    };
    client.last.set(tree);
    client.made.0.borrow_mut().insert(tree, device);
    Ok(tree)
}

/// A device that was made for a client.
pub fn tree(number: u32, tree: u32) -> Option<Tree> {
    let client = admitted(number).ok()?;
    client.made.0.borrow().get(&tree).cloned()
}

/// Closes everything that a client has here, and gives up what is under way. What other kernels have made for it is taken away there.
pub fn forget(number: u32) {
    let client = CLIENTS.with_borrow_mut(|clients| clients.remove(&number));
    // Taken out first: what a device does when it is let go of may come back here.
    let Some(client) = client else {
        return;
    };
    client.session.end();
    for tree in client.made.0.take().into_values() {
        if let Kind::There { peer, tree } = tree.kind {
            client::revoke(peer, tree);
        }
    }
}

/// Takes a message of a client; `reply(bytes)` is called with what it is answered, now or from [`advance`].
pub fn serve(number: u32, message: Vec<u8>, reply: Function) {
    match admitted(number) {
        Ok(client) => {
            client.reply.0.replace(Some(reply));
            // What can't be understood has ended the connection, and the client was told so.
            let _ = client.session.receive(message);
        }
        Err(_) => {
            // If the client is gone, nobody misses it.
            let _ = Post(reply).send(Session::refusal());
        }
    }
}

/// Goes on with the requests that were woken.
pub fn advance() {
    // Those that are woken meanwhile come back by the kernel's own waker.
    for woken in WOKEN.take() {
        woken.on.store(false, Ordering::Release);
        if let Ok(client) = admitted(woken.client) {
            client.session.advance();
        }
    }
}
