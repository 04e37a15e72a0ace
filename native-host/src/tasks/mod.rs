//! Child agents: what `/task` starts here.
//!
//! Each child is an agent in this process: a thread, a store, a namespace that begins empty and takes what its parent
//! binds into it. What the parent may use (memory, descriptors, children) is one budget for it and all below it. A child
//! ends with its parent; whatever a child does ends it alone.
//!
//! - [`Family`]: what a run and all of its descendants share
//! - `Nursery`: the children of one parent
//! - `child`: one child, from its plan to its end
//! - `promise`: what a thread tells a call that waits for it

mod child;
mod promise;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use capfs::device::parts::lock;
use capfs::{Errno, Namespace, Op, OpenFile};
use capfs_devices::grant::{Grant, GrantError};
use capfs_devices::task::{Plan, Refusal, Spawner, Task, TaskDevice};
use capfs_runtime::{ClockGrant, FileLimit};

use crate::cache::Cache;
use crate::engine::{Engines, THREAD_STACK};
use crate::limits::MemoryBudget;
use child::Child;

/// What a run and all of its descendants share.
pub struct Family {
    /// Their code. Children come and go in numbers that nobody knows, so nothing is reserved for them.
    engines: Engines,
    /// Compiled code.
    cache: Option<Cache>,
    /// Bytes that their memories have together.
    pub memory: MemoryBudget,
    /// Descriptors that they have open together.
    pub files: FileLimit,
    /// What each may know of the time.
    clock: ClockGrant,
    /// Whether WASI's own call gives them random bytes.
    random: bool,
}

impl Family {
    /// A run that nobody is in yet, and its limits.
    pub fn new(
        cache: Option<Cache>,
        memory: MemoryBudget,
        files: FileLimit,
        clock: ClockGrant,
        random: bool,
    ) -> Arc<Family> {
        Arc::new(Family {
            engines: Engines::without_pool(),
            cache,
            memory,
            files,
            clock,
            random,
        })
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
        let nursery = Arc::new(Nursery {
            family: family.clone(),
            parent: Mutex::default(),
            children: Mutex::default(),
            gone: Condvar::new(),
        });
        let device = TaskDevice::new(Arc::new(Handle(nursery.clone())), grant)?;
        Ok(Tasks { device, nursery })
    }

    /// The parent begins, and these are its files.
    pub fn begin(&self, namespace: Namespace) {
        *lock(&self.nursery.parent) = Some(namespace);
    }

    /// The parent is over: so are its children. Waits for them as long as `patience`; one that sits in a call of the
    /// operating system is left there.
    pub fn end(&self, patience: Duration) {
        // The namespace has this device in it: neither would ever go.
        let files = lock(&self.nursery.parent).take();
        drop(files);
        self.device.end();
        self.nursery.end(patience);
    }
}

/// The children of one parent.
struct Nursery {
    family: Arc<Family>,
    /// The files of the parent, while it runs.
    parent: Mutex<Option<Namespace>>,
    children: Mutex<BTreeMap<u64, Arc<Child>>>,
    /// Woken when a child's thread has ended.
    gone: Condvar,
}

impl Nursery {
    fn children(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Child>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self, number: u64) -> Option<Arc<Child>> {
        self.children().get(&number).cloned()
    }

    /// The thread of a child has ended.
    fn ended(&self, number: u64) {
        let gone = self.children().remove(&number);
        drop(gone);
        self.gone.notify_all();
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

/// The nursery as its device sees it. A child's thread keeps it until it has said that it has ended.
struct Handle(Arc<Nursery>);

impl Spawner for Handle {
    fn check(&self, _grant: &Grant) -> Result<(), Refusal> {
        Err(Refusal {
            errno: Errno::Acces,
            text: "an agent hands on a capability by binding its directory into the task"
                .to_owned(),
        })
    }

    fn start(&self, task: Arc<Task>, plan: Plan, stdio: [Box<dyn OpenFile>; 3]) -> Op<()> {
        let refuse = |errno, text: &str| {
            let text = text.to_owned();
            Op::err(task.refused(Refusal { errno, text }))
        };
        let Some(parent) = lock(&self.0.parent).clone() else {
            return refuse(Errno::Io, "the parent has ended");
        };
        let number = task.number();
        let child = Arc::new(Child::new(self.0.family.clone(), parent));
        let (promise, promised) = promise::promise();
        self.0.children().insert(number, child.clone());
        let (nursery, told) = (self.0.clone(), task.clone());
        let thread = std::thread::Builder::new()
            .name(format!("task {number}"))
            .stack_size(THREAD_STACK)
            .spawn(move || {
                let _gone = Gone { nursery, number };
                child.run(&told, plan, stdio, promise);
            });
        match thread {
            Ok(_) => Op::later(promised),
            Err(error) => {
                self.0.ended(number);
                refuse(Errno::Again, &format!("there is no thread for it: {error}"))
            }
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

/// Says that a child's thread has ended, however it did.
struct Gone {
    nursery: Arc<Nursery>,
    number: u64,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.nursery.ended(self.number);
    }
}
