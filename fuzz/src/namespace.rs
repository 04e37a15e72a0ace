//! Lists of namespaces, as text. What can be read is the same when it is written and read again, as an agent may see it too, and
//! makes a namespace or says which of its lines can't be done.

use std::sync::Arc;

use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::testkit::{self, ManualClock};
use capfs::{DeviceId, Errno, Namespace, NamespaceList, NodeRef};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "namespace",
    about: "lists of mounts and binds, as agents bring them along",
    run,
    seeds,
};

fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let list: NamespaceList = match text.parse() {
        Ok(list) => list,
        Err(error) => {
            let line = text.lines().nth(error.line - 1);
            let length = line.map_or(0, |line| line.chars().count());
            assert!(error.column <= length + 1, "{error} in {text:?}");
            return;
        }
    };
    for list in [list.shown(), list.clone()] {
        let written = list.to_string();
        assert_eq!(written.lines().count(), list.operations().len(), "{text:?}");
        assert_eq!(written.parse::<NamespaceList>(), Ok(list), "{text:?}");
    }
    match Namespace::build(&list, device) {
        Ok(namespace) => {
            assert_eq!(namespace.list(), &list);
            let _ = testkit::names_in(&namespace.view(namespace.root()));
        }
        Err(error) => assert_eq!(error.operation, list.operations()[error.index]),
    }
}

fn device(id: &DeviceId) -> Result<NodeRef, Errno> {
    match id.kind() {
        "memory" => {
            let root = MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default()).root();
            testkit::write(&root, "f", b"text")?;
            Ok(root)
        }
        _ => Err(Errno::Nodev),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "mount -c memory:/ /\nmount -a -c -o read 'memory:two words' /a/b\nbind -b -o read,write /a '/it''s'\nunmount /a\n",
        "# nothing\n\nmount $'memory:\\x0a\\\\\\'' /x /f\nbind -o none /x /y\nbind -ac -o create,remove /y /z\n",
        "mount memory /\nmount memory /a\nmount dir:/srv/x /data\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
