//! Child agents: what `/task` starts here.
//!
//! Each child is an agent in this process: a thread, or a task where its parent is one, a store, a namespace that begins empty and takes what its parent
//! binds into it, and capabilities that are less of its parent's. What the parent may use (memory, descriptors, children) is one
//! budget for it and all below it. A child ends with its parent; whatever a child does ends it alone.
//!
//! - [`Family`]: what a run and all of its descendants share
//! - `Nursery`: the children of one parent
//! - `child`: one child, from its plan to its end
//! - `fiber`: its run where it shares threads
//! - `promise`: what a child tells a call that waits for it

mod child;
mod fiber;
mod promise;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use capfs::account::Account;
use capfs::device::gate::Gate;
use capfs::device::parts::lock;
use capfs::{Errno, Namespace, NodeRef, Op, OpenFile};
use capfs_devices::audit::Sink;
use capfs_devices::grant::{Grant, GrantError};
use capfs_devices::task::{self, Plan, Refusal, Spawner, Task, TaskDevice, source};
use capfs_runtime::{ClockGrant, FileLimit};
use tokio::sync::Notify;

use crate::cache::Cache;
use crate::capabilities::{Held, Kind};
use crate::compile::Compiler;
use crate::engine::{CHILD_STACK, CHILD_THREAD_STACK, Engines};
use crate::host::Fibers;
use crate::limits::MEMORY_MAX;
use child::Child;

/// What a run and all of its descendants share.
pub struct Family {
    runs: Runs,
    /// Where what is not in the cache is compiled. Without one, nothing is started.
    compiler: Option<Compiler>,
    /// Compiled code.
    cache: Option<Cache>,
    /// What they make this host hold together.
    pub account: Account,
    /// Descriptors that they have open together.
    pub files: FileLimit,
    /// What each may know of the time.
    clock: ClockGrant,
    /// Whether WASI's own call gives them random bytes.
    random: bool,
    /// Takes the audit of all of them.
    pub sink: Option<Arc<dyn Sink>>,
}

/// What is said about a run and its descendants.
pub struct FamilyConfig {
    /// What compiles children, in a process of its own. Without one, nothing is started.
    pub compiler: Option<Compiler>,
    /// Where compiled code is kept.
    pub cache: Option<Cache>,
    /// What they make this host hold together is charged to this.
    pub account: Account,
    /// Descriptors that they may have open together.
    pub files: FileLimit,
    /// What each may know of the time.
    pub clock: ClockGrant,
    /// Whether WASI's own call gives them random bytes.
    pub random: bool,
    /// Takes the audit of all of them.
    pub sink: Option<Arc<dyn Sink>>,
}

/// Where children run.
enum Runs {
    /// Each on a thread of its own. Children come and go in numbers that nobody knows, so their engines reserve nothing for them.
    OnThreads(Engines),
    /// Each on a stack of its own, on the threads of their parent.
    OnFibers(Fibers),
}

impl Runs {
    fn engines(&self) -> &Engines {
        match self {
            Runs::OnThreads(engines) => engines,
            Runs::OnFibers(fibers) => fibers.engines(),
        }
    }

    /// Bytes that a child is charged while it runs, beside its code and what it has: all of the stack of its own frames; of what calls
    /// take of a stack what they touch, what one keeps while it waits, what the engine knows of an instance; and its thread's buffer for
    /// scattered bytes, where it has a thread.
    fn running(&self) -> u64 {
        match self {
            Runs::OnThreads(_) => CHILD_STACK as u64 + ((256 + 64) << 10),
            Runs::OnFibers(fibers) => fibers.running(),
        }
    }

    /// Lets others come first where a thread has others.
    async fn pause(&self) {
        if let Runs::OnFibers(_) = self {
            tokio::task::yield_now().await;
        }
    }
}

impl Family {
    /// A run in which nothing is started.
    pub fn alone() -> Arc<Family> {
        Family::new(FamilyConfig {
            compiler: Some(Compiler::of_this_command()),
            cache: None,
            account: Account::new(MEMORY_MAX),
            files: FileLimit::from(0),
            clock: ClockGrant::Nothing,
            random: false,
            sink: None,
        })
    }

    /// A run that nobody is in yet, each of whose children has a thread.
    pub fn new(config: FamilyConfig) -> Arc<Family> {
        Family::with(Runs::OnThreads(Engines::of_children()), config)
    }

    /// The same on the threads of an embedded host.
    pub(crate) fn on_fibers(fibers: Fibers, config: FamilyConfig) -> Arc<Family> {
        Family::with(Runs::OnFibers(fibers), config)
    }

    fn with(runs: Runs, config: FamilyConfig) -> Arc<Family> {
        Arc::new(Family {
            runs,
            compiler: config.compiler,
            cache: config.cache.map(|cache| cache.of_children()),
            account: config.account,
            files: config.files,
            clock: config.clock,
            random: config.random,
            sink: config.sink,
        })
    }

    /// What is missing for children to be started, if anything is.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        let why = "this host compiles no children: it has no compiler in a process of its own";
        self.compiler.is_none().then_some(why)
    }
}

/// What children take from: their parent.
pub struct Parent {
    /// Its name in the audit.
    pub name: String,
    /// Its files.
    pub namespace: Namespace,
    /// Its capabilities.
    pub held: Vec<Held>,
}

/// Less of what a parent holds, for a child.
struct Narrowed {
    /// Of which it is less.
    of: Gate,
    kind: Kind,
    root: NodeRef,
}

impl Parent {
    /// What a child, which has this account, is given by a grant.
    fn narrowed(&self, grant: &Grant, account: &Account) -> Result<Narrowed, Refusal> {
        let held = self.held.iter().map(|held| (&held.grant, held));
        let held = source(held, grant)?;
        let invalid = |error: GrantError| Refusal {
            errno: Errno::Inval,
            text: error.to_string(),
        };
        let (kind, root) = match &held.kind {
            Kind::Capability(capability) => {
                let less = capability.narrowed(grant, account).map_err(invalid)?;
                let root = less.root().clone();
                (Kind::Capability(less), root)
            }
            Kind::Tasks(tasks) => {
                let less = Arc::new(tasks.narrowed(grant, account).map_err(invalid)?);
                let root = less.device.root();
                (Kind::Tasks(less), root)
            }
            Kind::Whole => {
                let name = grant.device.name();
                return Err(Refusal {
                    errno: Errno::Notsup,
                    text: format!("{name} is handed on by binding its directory"),
                });
            }
        };
        let of = held.gate.clone();
        Ok(Narrowed { of, kind, root })
    }
}

/// How many children may run, those of children included.
#[derive(Clone)]
struct Running {
    max: usize,
    count: Arc<AtomicUsize>,
}

/// One of them.
struct Turn(Running);

impl Running {
    fn take(&self) -> Option<Turn> {
        let more = |count| (count < self.max).then_some(count + 1);
        let (order, relaxed) = (Ordering::Relaxed, Ordering::Relaxed);
        let taken = self.count.fetch_update(order, relaxed, more);
        taken.ok().map(|_| Turn(self.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `/task` of one parent, and what it is made of.
pub struct Tasks {
    /// The tree.
    pub device: TaskDevice,
    nursery: Arc<Nursery>,
}

impl Tasks {
    /// The children of a parent, on the terms of a grant. None can be started before [`Tasks::begin`].
    ///
    /// # Errors
    /// What is wrong with the grant.
    pub fn new(family: &Arc<Family>, grant: &Grant) -> Result<Tasks, GrantError> {
        let running = Running {
            max: task::children(grant)?,
            count: Arc::default(),
        };
        Tasks::with(family, running, grant, &family.account)
    }

    /// Those of a child, which count as these do; `account` is the child's.
    fn narrowed(&self, grant: &Grant, account: &Account) -> Result<Tasks, GrantError> {
        let (family, running) = (&self.nursery.family, self.nursery.running.clone());
        Tasks::with(family, running, grant, account)
    }

    fn with(
        family: &Arc<Family>,
        running: Running,
        grant: &Grant,
        account: &Account,
    ) -> Result<Tasks, GrantError> {
        let nursery = Arc::new(Nursery {
            family: family.clone(),
            account: account.clone(),
            running,
            parent: Mutex::default(),
            children: Mutex::default(),
            gone: Condvar::new(),
            left: Notify::new(),
        });
        let device = TaskDevice::new(Arc::new(Handle(nursery.clone())), grant, account)?;
        Ok(Tasks { device, nursery })
    }

    /// The parent begins.
    pub fn begin(&self, parent: Parent) {
        *lock(&self.nursery.parent) = Some(Arc::new(parent));
    }

    /// The parent is over: so are its children. Waits for them as long as `patience`; one that sits in a call of the
    /// operating system is left there.
    pub fn end(&self, patience: Duration) {
        // What the parent has has this device in it: neither would ever go.
        let parent = lock(&self.nursery.parent).take();
        drop(parent);
        self.device.end();
        self.nursery.end(patience);
    }

    /// Waits until no child is left.
    pub(crate) async fn gone(&self) {
        loop {
            // Before it looks: it misses none.
            let left = self.nursery.left.notified();
            if self.nursery.children().is_empty() {
                return;
            }
            left.await;
        }
    }
}

/// The children of one parent.
struct Nursery {
    family: Arc<Family>,
    /// The parent's.
    account: Account,
    running: Running,
    /// While it runs.
    parent: Mutex<Option<Arc<Parent>>>,
    children: Mutex<BTreeMap<u64, Arc<Child>>>,
    /// Woken when a child is gone.
    gone: Condvar,
    /// The same for who has no thread of its own.
    left: Notify,
}

impl Nursery {
    fn children(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Child>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parent(&self) -> Result<Arc<Parent>, Refusal> {
        let parent = lock(&self.parent).clone();
        parent.ok_or_else(|| Refusal {
            errno: Errno::Io,
            text: "the parent has ended".to_owned(),
        })
    }

    fn child(&self, number: u64) -> Option<Arc<Child>> {
        self.children().get(&number).cloned()
    }

    /// A child is gone. A task that could not be started may have been started again meanwhile.
    fn ended(&self, number: u64, child: &Arc<Child>) {
        let gone = {
            let mut children = self.children();
            match children.get(&number) {
                Some(there) if Arc::ptr_eq(there, child) => children.remove(&number),
                _ => None,
            }
        };
        drop(gone);
        self.gone.notify_all();
        self.left.notify_waiters();
    }

    fn end(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut children = self.children();
        children.values().for_each(|child| child.kill());
        while !children.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.gone.wait_timeout(children, left);
            (children, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The nursery as its device sees it. A child keeps it until it has said that it has ended.
struct Handle(Arc<Nursery>);

impl Spawner for Handle {
    fn check(&self, task: Arc<Task>, grant: &Grant) -> Op<()> {
        let parent = self.0.parent();
        let narrowed = parent.and_then(|parent| parent.narrowed(grant, &self.0.account));
        let checked = narrowed.map(drop);
        checked.map_err(|refusal| task.refused(refusal)).into()
    }

    fn start(&self, task: Arc<Task>, plan: Plan, stdio: [Box<dyn OpenFile>; 3]) -> Op<()> {
        let begin = || {
            let refuse = |errno, text: String| Refusal { errno, text };
            let parent = self.0.parent()?;
            let turn = self.0.running.take().ok_or_else(|| {
                let max = self.0.running.max;
                refuse(
                    Errno::Mfile,
                    format!("{max} tasks run, and more are not granted"),
                )
            })?;
            let number = task.number();
            let nursery = &*self.0;
            let child = Child::new(nursery.family.clone(), &nursery.account, parent, number);
            let child = Arc::new(child);
            let (promise, promised) = promise::promise();
            self.0.children().insert(number, child.clone());
            let (gone, told) = (Gone(self.0.clone(), number, child), task.clone());
            if let Runs::OnFibers(fibers) = &nursery.family.runs {
                let own = fibers.clone();
                fibers.spawn(async move {
                    let Gone(_, _, child) = &gone;
                    fiber::run(child, &own, &told, plan, stdio, promise, turn).await;
                });
                return Ok(promised);
            }
            let thread = std::thread::Builder::new()
                .name(format!("task {number}"))
                .stack_size(CHILD_THREAD_STACK)
                .spawn(move || {
                    let Gone(_, _, child) = &gone;
                    child.run(&told, plan, stdio, promise, turn);
                });
            // Without a thread what it was to own is gone, and the child with it.
            thread.map(|_| promised).map_err(|error| {
                refuse(Errno::Again, format!("there is no thread for it: {error}"))
            })
        };
        match begin() {
            Ok(promised) => Op::later(promised),
            Err(refusal) => Op::err(task.refused(refusal)),
        }
    }

    fn kill(&self, number: u64) {
        if let Some(child) = self.0.child(number) {
            child.kill();
        }
    }

    fn revoke(&self, number: u64, at: &str) -> Op<()> {
        match self.0.child(number).is_some_and(|child| child.revoke(at)) {
            true => Op::ok(()),
            false => Op::err(Errno::Inval),
        }
    }
}

/// Says that a child is gone, however that came.
struct Gone(Arc<Nursery>, u64, Arc<Child>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.ended(self.1, &self.2);
    }
}
