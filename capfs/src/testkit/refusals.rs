//! Checks of files for which there is no room: what is refused has not happened, and what opening began is not forgotten.

use super::{READ, READ_WRITE, edit, name, now, read, read_at, walk, write, write_at};
use crate::{NodeRef, OpenFile, OpenHow, Opened, SetStat, WriteAt};

/// A named check, which gets an empty root and how many bytes are too many.
type Check = (&'static str, fn(&NodeRef, usize));

pub(super) const CHECKS: &[Check] = &[
    ("a refused write, and a smaller one to a new file", new_file),
    (
        "a refused write, and a smaller one to a truncated file",
        truncated_file,
    ),
    ("a refused length, and a smaller one", length),
    ("refused room, and less of it", room),
    ("appending tells the end", append),
    ("closing finishes what opening began", closing),
];

const TRUNCATE: OpenHow = OpenHow {
    read: true,
    write: true,
    truncate: true,
};

const OLD: &[u8] = b"what was there";

fn sized(size: usize) -> SetStat {
    SetStat {
        size: Some(size as u64),
        ..SetStat::default()
    }
}

/// Writes until something is refused, which must come; what was taken till then is taken back.
fn overfill(file: &mut dyn OpenFile, over: usize) {
    let bytes = vec![7; over];
    let mut taken = 0;
    while let Ok(written) = write_at(file, WriteAt::Offset(taken as u64), &bytes[taken..]) {
        taken += written.bytes;
        assert!(taken < over, "{over} bytes must be too many");
    }
    if taken > 0 {
        now(file.set_stat(sized(0))).unwrap();
    }
}

/// Writes, and closes.
fn write_less(mut file: Box<dyn OpenFile>, root: &NodeRef) {
    write_at(&mut *file, WriteAt::Offset(0), b"new").unwrap();
    assert_eq!(read_at(&mut *file, 0, 99).unwrap(), b"new");
    now(file.finish()).unwrap();
    drop(file);
    assert_eq!(read(root, "f").unwrap(), b"new");
}

fn truncated(root: &NodeRef) -> Box<dyn OpenFile> {
    let node = write(root, "f", OLD).unwrap();
    let mut file = now(node.open(TRUNCATE)).unwrap();
    assert_eq!(read_at(&mut *file, 0, 99).unwrap(), b"");
    assert_eq!(now(file.stat()).unwrap().size, 0);
    file
}

fn new_file(root: &NodeRef, over: usize) {
    let Opened { mut file, .. } = now(edit(root).unwrap().create(name("f"), READ_WRITE)).unwrap();
    overfill(&mut *file, over);
    write_less(file, root);
}

fn truncated_file(root: &NodeRef, over: usize) {
    let mut file = truncated(root);
    overfill(&mut *file, over);
    write_less(file, root);
}

fn length(root: &NodeRef, over: usize) {
    let mut file = truncated(root);
    // Where lengths are no room, it is given.
    let _ = now(file.set_stat(sized(over)));
    now(file.set_stat(sized(6))).unwrap();
    assert_eq!(
        read_at(&mut *file, 0, 99).unwrap(),
        [0; 6],
        "nothing old comes back"
    );
    now(file.finish()).unwrap();
    assert_eq!(read(root, "f").unwrap(), [0; 6]);
    // One that is not truncated keeps what it had.
    let node = write(root, "g", OLD).unwrap();
    now(node.set_stat(sized(4))).unwrap();
    assert_eq!(read(root, "g").unwrap(), OLD[..4]);
}

fn room(root: &NodeRef, over: usize) {
    let mut file = truncated(root);
    assert!(
        now(file.allocate(0, over as u64)).is_err(),
        "{over} bytes must be too many"
    );
    assert_eq!(now(file.stat()).unwrap().size, 0);
    now(file.allocate(1, 5)).unwrap();
    assert_eq!(
        read_at(&mut *file, 0, 99).unwrap(),
        [0; 6],
        "nothing old comes back"
    );
    now(file.finish()).unwrap();
    assert_eq!(read(root, "f").unwrap(), [0; 6]);
}

fn append(root: &NodeRef, over: usize) {
    let node = write(root, "f", b"abc").unwrap();
    let mut file = now(node.open(READ_WRITE)).unwrap();
    let mut end = 3;
    for bytes in [&b"defg"[..], b"h"] {
        let written = write_at(&mut *file, WriteAt::End, bytes).unwrap();
        end += bytes.len() as u64;
        assert_eq!((written.bytes, written.end), (bytes.len(), end));
    }
    let mut reader = now(node.open(READ)).unwrap();
    assert_eq!(read_at(&mut *reader, 0, 99).unwrap(), b"abcdefgh");
    let mut file = now(node.open(TRUNCATE)).unwrap();
    overfill(&mut *file, over);
    let written = write_at(&mut *file, WriteAt::End, b"ij").unwrap();
    assert_eq!((written.bytes, written.end), (2, 2));
}

fn closing(root: &NodeRef, _over: usize) {
    let mut file = truncated(root);
    now(file.finish()).unwrap();
    assert!(!file.unfinished());
    drop(file);
    assert_eq!(read(root, "f").unwrap(), b"");
    let Opened { mut file, .. } = now(edit(root).unwrap().create(name("g"), READ_WRITE)).unwrap();
    now(file.finish()).unwrap();
    drop(file);
    assert_eq!(read(root, "g").unwrap(), b"");
    // Removed since it was truncated: closing doesn't bring it back.
    let mut file = now(walk(root, "f").unwrap().open(TRUNCATE)).unwrap();
    now(edit(root).unwrap().unlink(name("f"))).unwrap();
    now(file.finish()).unwrap();
    drop(file);
    assert!(walk(root, "f").is_err());
}
