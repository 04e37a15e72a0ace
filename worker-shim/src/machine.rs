//! The state of one kernel: an instance of the module serves one agent, or the page's own tree.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use capfs::account::Account;
use capfs::clock::Clock;
use capfs::device::gate::Gate;
use capfs::{DeviceId, Namespace, NodeRef, Rights};
use capfs_devices::capability::Capability;
use capfs_devices::grant::{Grant, Places};
use capfs_runtime::ClockGrant;
use capfs_worker_calls::{is_entered, memory_size};

use crate::devices::console::Streams;
use crate::remote::client;
use crate::web::WebClock;

/// How less of something is made.
#[derive(Clone)]
pub enum Kind {
    /// Here, by further terms.
    Here(Capability),
    /// By another kernel, of whose tree of this number it is made.
    There {
        /// Which kernel.
        peer: u32,
        /// Which tree.
        tree: u32,
    },
    /// Not at all, but for a bind of its directory.
    Whole,
}

impl Kind {
    /// Gives up what goes on behind it, wherever it was made: requests, connections, tasks. Nothing of the machine may be borrowed: what ends may
    /// come back to it.
    pub fn end(&self) {
        match self {
            Kind::Here(capability) => capability.end(),
            Kind::There { peer, tree } => client::revoke(*peer, *tree),
            Kind::Whole => {}
        }
    }
}

/// Something that an agent was granted.
#[derive(Clone)]
pub struct Held {
    /// On which terms.
    pub grant: Grant,
    /// What is in front of it.
    pub gate: Gate,
    /// How less of it is made.
    pub kind: Kind,
}

/// A device that can be mounted.
pub struct Made {
    /// What it is.
    pub kind: &'static str,
    /// Its name, once it is mounted: its kind and where that was first.
    pub id: Option<DeviceId>,
    /// Its tree, or single file.
    pub root: NodeRef,
}

/// Something that is to be mounted.
pub struct ToMount {
    /// Where.
    pub at: String,
    /// The device's handle, of what was made to be mounted.
    pub device: Option<u32>,
    /// Its tree, or what is in front of it.
    pub root: NodeRef,
    /// What may be done there.
    pub rights: Rights,
    /// The device's name, of what was granted.
    pub granted: Option<&'static str>,
}

/// The agent of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// It is the page's own tree, or makes devices for others.
    None,
    /// It runs, or is about to.
    Runs,
    /// It is over for good, and its files alone are there.
    Ended,
}

/// Everything that one kernel holds.
pub struct Machine {
    pub agent: Agent,
    pub clock: Arc<dyn Clock>,
    pub namespace: Namespace,
    /// Devices that were made and can be mounted, by handle.
    pub devices: Vec<Made>,
    /// What is mounted when all of it is known: of grants and mounts alike the outer ones come first.
    pub mounts: Vec<ToMount>,
    /// What was granted.
    pub held: Vec<Held>,
    /// Where that is.
    pub places: Places,
    /// The gates of mounts that can be taken away, by path.
    pub gates: Vec<(String, Gate)>,
    /// The ways to the page; none in a kernel that runs no agent.
    pub streams: Option<Streams>,
    /// What WASI's own clocks and randomness give the process that is made.
    pub clock_grant: ClockGrant,
    pub random: bool,
}

thread_local! {
    static MACHINE: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

/// Runs `action` on the kernel's state. Nothing that JavaScript could call back into the kernel
/// from is reached from inside, except after a trap, which leaves the state borrowed: then there is `None`, and so there is within a
/// system call.
pub fn with_machine<R>(action: impl FnOnce(&mut Machine) -> R) -> Option<R> {
    if is_entered() {
        return None;
    }
    MACHINE.with(|machine| {
        let mut machine = machine.try_borrow_mut().ok()?;
        Some(action(machine.get_or_insert_with(Machine::new)))
    })
}

thread_local! {
    static ACCOUNT: OnceCell<Account> = const { OnceCell::new() };
}

/// What this kernel holds for its agent is charged to this, beside the agent's own memory. Without
/// [`limit`] nothing is refused.
pub fn account() -> Account {
    ACCOUNT.with(|account| account.get_or_init(|| new_account(u64::MAX)).clone())
}

/// Bounds what the kernel and the agent hold together; whether nothing was charged before.
pub fn limit(bytes: u64) -> bool {
    ACCOUNT.with(|account| account.set(new_account(bytes)).is_ok())
}

fn new_account(max: u64) -> Account {
    Account::beside(max, memory_size)
}

impl Machine {
    fn new() -> Self {
        Machine {
            agent: Agent::None,
            clock: WebClock::shared(),
            namespace: Namespace::new(),
            devices: Vec::new(),
            mounts: Vec::new(),
            held: Vec::new(),
            places: Places::default(),
            gates: Vec::new(),
            streams: None,
            clock_grant: ClockGrant::Exact,
            random: true,
        }
    }
}
