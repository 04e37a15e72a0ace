//! The capabilities of one agent: devices behind gates, and their audit.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capfs::clock::Clock;
use capfs::device::gate::{Gate, GateUsage, Observer};
use capfs::{Namespace, NodeRef, Rights};
use capfs_devices::audit::{Audit, Sink};
use capfs_devices::grant::{DeviceKind, Grant};
use capfs_native_devices::{Host, Support};

use crate::clock::SystemClock;
use crate::storage;
use crate::tasks::{Family, Tasks};

/// What an agent was granted.
pub struct Capabilities {
    host: Host,
    agent: String,
    sink: Option<Arc<dyn Sink>>,
    gates: Vec<(Grant, Gate)>,
    /// Of folders that no other agent may have meanwhile.
    locks: Vec<File>,
    /// What the agent shares with its children, where it can have any.
    family: Option<Arc<Family>>,
    tasks: Vec<Tasks>,
}

impl Capabilities {
    /// Nothing yet, for the agent of this name; `sink` takes the audit. Children need a `family`.
    pub fn new(
        host: Host,
        agent: &str,
        sink: Option<Arc<dyn Sink>>,
        family: Option<Arc<Family>>,
    ) -> Self {
        Capabilities {
            host,
            agent: agent.to_owned(),
            sink,
            gates: Vec::new(),
            locks: Vec::new(),
            family,
            tasks: Vec::new(),
        }
    }

    /// How much there is here of what a grant asks for. Nothing is made or opened.
    pub fn support(&self, grant: &Grant) -> Support {
        self.host.support(grant)
    }

    /// Makes the device that a grant names, behind a gate, and what belongs beside it; with where each is
    /// mounted and what may be done there.
    ///
    /// # Errors
    /// A message that names the grant.
    pub fn open(&mut self, grant: &Grant) -> Result<Vec<(String, NodeRef, Rights)>, String> {
        let failed = |error: String| format!("can't grant `{}`: {error}", grant.shown());
        if grant.device == DeviceKind::Opfs {
            let stored = storage::granted(grant, &self.agent, self.host.state.as_deref());
            let stored = stored.map_err(failed)?;
            self.locks.push(stored.lock);
            let tree = self.gate(grant, stored.tree);
            return Ok(vec![
                (grant.at.clone(), tree, stored.rights),
                (stored.quota_path, stored.quota, Rights::RO),
            ]);
        }
        if let (DeviceKind::Task, Some(family)) = (grant.device, &self.family) {
            let tasks = Tasks::new(family, grant);
            let tasks = tasks.map_err(|error| failed(error.to_string()))?;
            let tree = self.gate(grant, tasks.device.root());
            self.tasks.push(tasks);
            return Ok(vec![(grant.at.clone(), tree, Rights::RW)]);
        }
        let device = self.host.device(grant).map_err(failed)?;
        let device = self.gate(grant, device);
        Ok(vec![(grant.at.clone(), device, Rights::RW)])
    }

    fn gate(&mut self, grant: &Grant, device: NodeRef) -> NodeRef {
        let observer = self.sink.clone().map(|sink| {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let audit = Audit::new(&self.agent, grant.device, &grant.at, clock.clone(), sink);
            (Arc::new(audit) as Arc<dyn Observer>, clock)
        });
        let (gate, node) = Gate::new(device, observer);
        self.gates.push((grant.clone(), gate));
        node
    }

    /// Takes the capability at a path away, for good; whether there was one.
    pub fn revoke(&self, at: &str) -> bool {
        let mut gates = self
            .gates
            .iter()
            .filter(|(grant, _)| grant.at == at)
            .peekable();
        let found = gates.peek().is_some();
        gates.for_each(|(_, gate)| gate.revoke());
        found
    }

    /// The agent begins, and these are its files.
    pub fn begin(&self, namespace: &Namespace) {
        self.tasks
            .iter()
            .for_each(|tasks| tasks.begin(namespace.clone()));
    }

    /// The agent is over, and so are its children, for which it waits as long as `patience`.
    pub fn end(&self, patience: Duration) {
        self.tasks.iter().for_each(|tasks| tasks.end(patience));
    }

    /// What was done with each so far.
    pub fn usage(&self) -> impl Iterator<Item = (&Grant, GateUsage)> {
        self.gates.iter().map(|(grant, gate)| (grant, gate.usage()))
    }
}

/// An audit that is appended to a file, a line at a time, so that several agents can share one.
///
/// # Errors
/// What opening the file fails with.
pub fn audit_file(path: &Path) -> std::io::Result<Arc<dyn Sink>> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    Ok(Arc::new(AuditFile(Mutex::new(file))))
}

struct AuditFile(Mutex<File>);

impl Sink for AuditFile {
    fn line(&self, line: &str) {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The agent must not fail because the audit's disk is full; the host says so.
        if let Err(error) = file.write_all(&bytes) {
            eprintln!("error: can't write to the audit: {error}");
        }
    }
}
