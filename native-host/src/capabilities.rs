//! The capabilities of one agent: devices behind gates, and their audit.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use capfs::account::Account;
use capfs::clock::Clock;
use capfs::device::gate::{Gate, GateUsage, Observer, Watch};
use capfs::{Namespace, NodeRef, Rights};
use capfs_devices::audit::{Audit, Sink};
use capfs_devices::capability::Capability;
use capfs_devices::grant::{DeviceKind, Grant, Places};
use capfs_native_devices::{Host, Support};

use crate::clock::SystemClock;
use crate::reserved::Reserved;
use crate::secrets;
use crate::storage;
use crate::tasks::{Family, Parent, Tasks};

/// Something that an agent was granted, and the gate in front of it.
#[derive(Clone)]
pub struct Held {
    /// On which terms.
    pub grant: Grant,
    /// Counts what is done with it, and shuts.
    pub gate: Gate,
    /// How less of it is made.
    pub kind: Kind,
    /// Is told when it is taken away.
    audit: Option<Arc<Audit>>,
}

/// How less of something is made for a child.
#[derive(Clone)]
pub enum Kind {
    /// By further terms.
    Capability(Capability),
    /// By children of its own, which count as their parent's.
    Tasks(Arc<Tasks>),
    /// Not at all, but for a bind of its directory.
    Whole,
}

impl Held {
    /// Puts a gate in front of what a grant gives an agent of this name and account.
    pub fn new(
        (agent, account): (&str, &Account),
        sink: Option<Arc<dyn Sink>>,
        grant: Grant,
        kind: Kind,
        root: NodeRef,
    ) -> (Held, NodeRef) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let audit = sink.map(|sink| {
            let audit = Audit::new(agent, grant.device, &grant.at, clock.clone(), sink);
            let audit = Arc::new(audit);
            if let Kind::Capability(capability) = &kind {
                capability.observe_calls(audit.clone());
            }
            audit
        });
        let watch = audit.clone().map(|audit| Watch {
            observer: audit as Arc<dyn Observer>,
            clock,
            account: account.clone(),
        });
        let (gate, node) = Gate::new(root, watch);
        let held = Held {
            grant,
            gate,
            kind,
            audit,
        };
        (held, node)
    }

    /// Takes it away, for good. Requests and connections that it has are given up, and children that were started by it end.
    pub fn revoke(&self) {
        self.gate.revoke();
        if let Some(audit) = &self.audit {
            audit.revoked();
        }
        match &self.kind {
            Kind::Capability(capability) => capability.end(),
            Kind::Tasks(tasks) => tasks.end(Duration::ZERO),
            Kind::Whole => {}
        }
    }
}

/// What an agent was granted.
pub struct Capabilities {
    host: Host,
    agent: String,
    held: Vec<Held>,
    places: Places,
    /// Of folders that no other agent may have meanwhile.
    locks: Vec<File>,
    /// What the agent shares with its children.
    family: Arc<Family>,
    reserved: Reserved,
}

impl Capabilities {
    /// Nothing yet, for the agent of this name; it reaches nothing that is reserved.
    pub fn new(host: Host, agent: &str, family: Arc<Family>, reserved: Reserved) -> Self {
        Capabilities {
            host,
            agent: agent.to_owned(),
            held: Vec::new(),
            places: Places::default(),
            locks: Vec::new(),
            family,
            reserved,
        }
    }

    /// What the agent makes this host hold is charged to this.
    pub fn account(&self) -> &Account {
        &self.family.account
    }

    /// What no folder may overlap with that it is granted.
    pub fn reserved(&self) -> &Reserved {
        &self.reserved
    }

    /// How much there is here of what a grant asks for. Nothing is made or opened.
    pub fn support(&self, grant: &Grant) -> Support {
        match (grant.device, self.family.lacks()) {
            (DeviceKind::Task, Some(why)) => Support::Nothing(why),
            _ => self.host.support(grant),
        }
    }

    /// Makes the device that a grant names, behind a gate, and what belongs beside it; with where each is
    /// mounted and what may be done there.
    ///
    /// # Errors
    /// A message that names the grant.
    pub fn open(&mut self, grant: &Grant) -> Result<Vec<(String, NodeRef, Rights)>, String> {
        let failed = |error: String| format!("can't grant `{}`: {error}", grant.shown());
        let at = grant.at.clone();
        match grant.device {
            DeviceKind::Opfs => {
                let stored = storage::granted(
                    grant,
                    self.host.state.as_deref(),
                    &self.reserved,
                    self.account(),
                );
                let stored = stored.map_err(failed)?;
                self.locks.push(stored.lock);
                let tree = self.hold(grant, Kind::Whole, stored.tree);
                let mut made = vec![(at, tree, stored.rights)];
                let beside = stored.beside.into_iter();
                made.extend(beside.map(|(path, file)| (path, file, Rights::RO)));
                Ok(made)
            }
            DeviceKind::Task => {
                let tasks = Tasks::new(&self.family, grant);
                let tasks = Arc::new(tasks.map_err(|error| failed(error.to_string()))?);
                let root = tasks.device.root();
                let tree = self.hold(grant, Kind::Tasks(tasks), root);
                Ok(vec![(at, tree, Rights::RW)])
            }
            _ => {
                // What is shown of it, and held against a manifest that is read again, is what was asked for.
                let whole = secrets::resolved(grant).map_err(failed)?;
                let capability = self.host.capability(&whole).map_err(failed)?;
                let root = capability.root().clone();
                let tree = self.hold(grant, Kind::Capability(capability), root);
                Ok(vec![(at, tree, Rights::RW)])
            }
        }
    }

    fn hold(&mut self, grant: &Grant, kind: Kind, root: NodeRef) -> NodeRef {
        let sink = self.family.sink.clone();
        let (held, node) = Held::new(
            (&self.agent, self.account()),
            sink,
            grant.clone(),
            kind,
            root,
        );
        self.places.take(grant);
        self.held.push(held);
        node
    }

    /// The agent begins, and these are its files.
    pub fn begin(&self, namespace: &Namespace) {
        begin(&self.agent, namespace, &self.held);
    }

    /// The agent is over, and so are its children, for which it waits as long as `patience`.
    pub fn end(&self, patience: Duration) {
        end(&self.held, patience);
    }

    /// What it was granted.
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// Where they are.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// What was done with each so far.
    pub fn usage(&self) -> impl Iterator<Item = (&Grant, GateUsage)> {
        let held = self.held.iter();
        held.map(|held| (&held.grant, held.gate.usage()))
    }
}

/// An agent begins: what it may start children with are its files and what it holds.
pub fn begin(agent: &str, namespace: &Namespace, held: &[Held]) {
    for each in held {
        if let Kind::Tasks(tasks) = &each.kind {
            tasks.begin(Parent {
                name: agent.to_owned(),
                namespace: namespace.clone(),
                held: held.to_vec(),
            });
        }
    }
}

/// The same where it is waited for without a thread.
pub(crate) async fn end_async(held: &[Held], patience: Duration) {
    end(held, Duration::ZERO);
    let gone = async {
        for each in held {
            if let Kind::Tasks(tasks) = &each.kind {
                tasks.gone().await;
            }
        }
    };
    let _ = tokio::time::timeout(patience, gone).await;
}

/// An agent is over: so are its children, for which it waits as long as `patience`.
pub fn end(held: &[Held], patience: Duration) {
    for each in held {
        if let Kind::Tasks(tasks) = &each.kind {
            tasks.end(patience);
        }
    }
}
