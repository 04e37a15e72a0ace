//! `ns`: what an agent's namespace is made of, as a text that it can read (ns(1), and `/proc/N/ns` of proc(3)).

use std::sync::{Arc, Mutex};

use super::lock::lock;
use super::synthetic::text_file;
use crate::account::Account;
use crate::device::Device;
use crate::{Namespace, NodeRef};

/// The file of one agent's namespace. It is made before the namespace that it is mounted in, and empty until that is shown to it; a
/// clone is the same file.
///
/// It shows the list as its agent may see it ([`NamespaceList::shown`](crate::NamespaceList::shown)): where things are for the agent, and of devices the kind and
/// the number that is their `dev`. Where the host has them is not in it.
#[derive(Clone)]
pub struct Ns {
    text: Arc<Mutex<String>>,
    node: NodeRef,
}

impl Ns {
    /// The file of the namespace of an account's agent.
    pub fn new(account: &Account) -> Ns {
        let text: Arc<Mutex<String>> = Arc::default();
        let shown = text.clone();
        let node = text_file(&Device::new(account), move || lock(&shown).clone());
        Ns { text, node }
    }

    /// The file, to be mounted.
    pub fn node(&self) -> NodeRef {
        self.node.clone()
    }

    /// Shows a namespace, as it is now. Whoever has the file open goes on to read what it was.
    pub fn show(&self, namespace: &Namespace) {
        *lock(&self.text) = namespace.list().shown().to_string();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use std::sync::Arc;

    use super::*;
    use crate::device::memory::{MemoryFs, MemoryLimits};
    use crate::testkit::{self, ManualClock, READ, READ_WRITE, now, read_at};
    use crate::{BindFlags, DeviceId, Errno, Rights};

    fn namespace(ns: &Ns) -> Namespace {
        let files = MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default());
        let mut namespace = Namespace::new();
        for (id, root, at) in [
            ("dir:/srv/secret place", files.root(), "/data"),
            ("ns:/proc/self/ns", ns.node(), "/proc/self/ns"),
        ] {
            let id = DeviceId::new(id).unwrap();
            let mounted = namespace.mount_device(id, root, at, Rights::RO, BindFlags::REPLACE);
            mounted.unwrap();
        }
        namespace
    }

    #[test]
    fn shows_where_things_are_for_the_agent_and_not_for_the_host() {
        let ns = Ns::new(&Account::unlimited());
        let mut namespace = namespace(&ns);
        ns.show(&namespace);
        let place = now(namespace.resolve(&namespace.root(), "proc/self/ns", true)).unwrap();
        let node = place.place.unwrap().node().clone();
        let mut open = now(node.open(READ)).unwrap();
        let before = "mount -c -o read dir#2 /data\nmount -c -o read ns#3 /proc/self/ns\n";
        assert_eq!(read_at(&mut *open, 0, 4096).unwrap(), before.as_bytes());
        assert_eq!(now(node.open(READ_WRITE)).err(), Some(Errno::Acces));
        let flags = BindFlags::AFTER;
        namespace.bind("/data", "/more", flags, Rights::RO).unwrap();
        ns.show(&namespace);
        assert_eq!(read_at(&mut *open, 0, 4096).unwrap(), before.as_bytes());
        let mut again = now(node.open(READ)).unwrap();
        let after = read_at(&mut *again, 0, 4096).unwrap();
        assert_eq!(
            after,
            format!("{before}bind -a -o read /data /more\n").as_bytes()
        );
    }

    #[test]
    fn what_it_showed_is_shown_again_after_the_agent_was_elsewhere() {
        testkit::not_durable(
            &crate::device::pipe::pipe_nodes(1, &Device::unlimited()).0,
            READ,
        );
        let ns = Ns::new(&Account::unlimited());
        ns.show(&namespace(&ns));
        let node = ns.node();
        let saved = now(node.open(READ)).unwrap().save().unwrap();
        let elsewhere = Ns::new(&Account::unlimited()).node();
        let found = elsewhere
            .durable()
            .unwrap()
            .resolve(&[saved.node().clone()], &HashSet::new());
        let found = now(found).unwrap().remove(0).unwrap();
        let mut again = now(found.reopen(READ, saved.state())).unwrap();
        assert_eq!(read_at(&mut *again, 0, 4096).unwrap(), saved.state());
        assert!(!saved.state().is_empty());
    }
}
