//! What the files of one device have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::synthetic::{SyntheticBuilder, SyntheticDir};
use crate::account::Account;
use crate::{FileKind, Qid};

/// One device, as its files are made: to whose account they are charged, and by which numbers a guest tells them apart.
///
/// Each device counts for itself, from 1. So what a guest sees as `ino` follows from what was done with this device alone: it
/// tells nothing of other agents, and is the same on each run that does the same. Clones are the same device.
#[derive(Clone)]
pub struct Device {
    account: Account,
    last: Arc<AtomicU64>,
}

impl Device {
    /// A device for the agent of an account.
    pub fn new(account: &Account) -> Device {
        Device {
            account: account.clone(),
            last: Arc::default(),
        }
    }

    /// A device of a host's own, and of tests.
    pub fn unlimited() -> Device {
        Device::new(&Account::unlimited())
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The identity of a new file: a number that no other of the device has had.
    pub fn qid(&self, kind: FileKind) -> Qid {
        Qid::new(self.last.fetch_add(1, Ordering::Relaxed) + 1, kind)
    }

    /// Begins a directory, of which the root of the device may be made or one below it. What open text, ctl and value files
    /// in it hold is charged; over the account, opening and writing them is `ENOMEM`.
    pub fn directory(&self) -> SyntheticBuilder {
        SyntheticDir::of(self)
    }

    /// Whether both are the same.
    pub(super) fn is(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.last, &other.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::conversations::{Conversations, Dialogue};
    use crate::device::pipe::{PIPE_BUF, pipe_nodes};
    use crate::testkit::{self, READ, now, walk};
    use crate::{Errno, NodeRef, Op};

    struct Silent(Device);

    impl Dialogue for Silent {
        fn command(&self, _line: &str) -> Op<()> {
            Op::err(Errno::Inval)
        }

        fn files(self: Arc<Self>) -> SyntheticBuilder {
            self.0.directory().text("status", String::new)
        }
    }

    /// A device with files of every kind; what opening `clone` begins stays.
    fn device() -> NodeRef {
        let device = Device::unlimited();
        let dialogues = device.clone();
        let conversations = Conversations::new(8, &device, move |_: u64| {
            Ok(Arc::new(Silent(dialogues.clone())) as Arc<dyn Dialogue>)
        });
        let (reader, writer) = pipe_nodes(PIPE_BUF, &device);
        let tree = device
            .directory()
            .text("text", String::new)
            .value("value", String::new, |_: &str| Ok(()))
            .ctl("ctl", |_: &str| Ok(()))
            .reads("stream", || Err(Errno::Io))
            .dir(
                "below",
                device.directory().node("r", reader).node("w", writer),
            );
        conversations.serve(tree).build()
    }

    /// The numbers of everything below a directory, by path, in the order in which they are found.
    fn numbers(root: &NodeRef, path: &str, found: &mut Vec<(String, u64)>) {
        found.push((path.to_owned(), root.qid().path));
        if root.directory().is_none() {
            return;
        }
        for entry in testkit::list(root, 100).unwrap() {
            let node = walk(root, &entry.name).unwrap();
            assert_eq!(node.qid(), entry.qid, "{path}/{}", entry.name);
            numbers(&node, &format!("{path}/{}", entry.name), found);
        }
    }

    fn seen() -> Vec<(String, u64)> {
        let root = device();
        for _ in 0..2 {
            now(walk(&root, "new").unwrap().open(READ)).unwrap();
        }
        let mut found = Vec::new();
        numbers(&root, "", &mut found);
        found
    }

    #[test]
    fn devices_count_their_files_by_themselves() {
        let first = seen();
        assert!(first.len() > 14, "{first:?}");
        let mut all: Vec<u64> = first.iter().map(|(_, number)| *number).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(
            all.len(),
            first.len(),
            "two files have one number: {first:?}"
        );
        assert_eq!(seen(), first);
    }

    #[test]
    #[should_panic(expected = "of another device")]
    fn a_device_has_directories_of_its_own_alone() {
        let other = SyntheticDir::builder().text("text", String::new);
        let _ = SyntheticDir::builder().dir("other", other);
    }
}
