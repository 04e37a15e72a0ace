//! The capabilities of one agent: devices behind gates, and their audit.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use capfs::NodeRef;
use capfs::clock::Clock;
use capfs::device::gate::{Gate, GateUsage, Observer};
use capfs_devices::audit::{Audit, Sink};
use capfs_devices::grant::Grant;
use capfs_native_devices::Host;

use crate::clock::SystemClock;

/// What an agent was granted.
pub struct Capabilities {
    host: Host,
    agent: String,
    sink: Option<Arc<dyn Sink>>,
    gates: Vec<(Grant, Gate)>,
}

impl Capabilities {
    /// Nothing yet, for the agent of this name; `sink` takes the audit.
    pub fn new(host: Host, agent: &str, sink: Option<Arc<dyn Sink>>) -> Self {
        Capabilities {
            host,
            agent: agent.to_owned(),
            sink,
            gates: Vec::new(),
        }
    }

    /// Makes the device that a grant names, behind a gate.
    ///
    /// # Errors
    /// A message that names the grant.
    pub fn open(&mut self, grant: &Grant) -> Result<NodeRef, String> {
        let device = self.host.device(grant);
        let device =
            device.map_err(|error| format!("can't grant `{}`: {error}", grant.to_flag()))?;
        let observer = self.sink.clone().map(|sink| {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let audit = Audit::new(&self.agent, grant.device, &grant.at, clock.clone(), sink);
            (Arc::new(audit) as Arc<dyn Observer>, clock)
        });
        let (gate, node) = Gate::new(device, observer);
        self.gates.push((grant.clone(), gate));
        Ok(node)
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
