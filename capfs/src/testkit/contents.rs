//! Checks of what is in files: reading, writing, sizes, times.

use super::{Check, READ, READ_WRITE, edit, name, now, read, read_at, stat, walk, write, write_at};
use crate::{Errno, FileKind, NodeRef, OpenFile, OpenHow, SetStat, SetTime, WriteAt};

pub(super) const CHECKS: &[Check] = &[
    ("writing goes where it was told to", offsets),
    ("appending finds the end", append),
    ("writing behind the end leaves zeroes", sparse),
    ("sizes go down and up", truncate),
    ("opening can drop the contents", open_truncate),
    ("offsets beyond everything are too big", far_offsets),
    ("empty reads and writes do nothing", empty),
    ("allocating extends and never cuts", allocate),
    ("several open files of one file agree", shared),
    ("a file without a name lives until it is closed", unlinked),
    ("large contents come back", large),
    ("times can be set", times),
    ("directories are neither read nor written", directories),
];

fn create(root: &NodeRef, file: &str) -> Box<dyn OpenFile> {
    now(edit(root).unwrap().create(name(file), READ_WRITE))
        .unwrap()
        .file
}

fn sized(size: u64) -> SetStat {
    SetStat {
        size: Some(size),
        ..SetStat::default()
    }
}

fn offsets(root: &NodeRef) {
    let mut file = create(root, "f");
    let written = write_at(&mut *file, WriteAt::Offset(0), b"hello world").unwrap();
    assert_eq!((written.bytes, written.end), (11, 11));
    let written = write_at(&mut *file, WriteAt::Offset(6), b"W").unwrap();
    assert_eq!((written.bytes, written.end), (1, 7));
    assert_eq!(read_at(&mut *file, 0, 100).unwrap(), b"hello World");
    assert_eq!(read_at(&mut *file, 4, 3).unwrap(), b"o W");
    assert_eq!(read_at(&mut *file, 11, 3).unwrap(), b"");
    assert_eq!(read_at(&mut *file, 12, 3).unwrap(), b"");
    assert!(file.seekable());
    let stat = now(file.stat()).unwrap();
    assert_eq!((stat.size, stat.nlink), (11, 1));
    assert_eq!(stat.qid.kind, FileKind::RegularFile);
}

fn append(root: &NodeRef) {
    let mut file = create(root, "f");
    let mut other = now(walk(root, "f").unwrap().open(READ_WRITE)).unwrap();
    assert_eq!(write_at(&mut *file, WriteAt::End, b"one").unwrap().end, 3);
    assert_eq!(write_at(&mut *other, WriteAt::End, b"two").unwrap().end, 6);
    assert_eq!(
        write_at(&mut *file, WriteAt::End, b"three").unwrap().end,
        11
    );
    assert_eq!(read(root, "f").unwrap(), b"onetwothree");
}

fn sparse(root: &NodeRef) {
    let mut file = create(root, "f");
    write_at(&mut *file, WriteAt::Offset(200_000), b"x").unwrap();
    write_at(&mut *file, WriteAt::Offset(100), b"y").unwrap();
    let contents = read(root, "f").unwrap();
    assert_eq!(contents.len(), 200_001);
    assert_eq!((contents[100], contents[200_000]), (b'y', b'x'));
    assert_eq!(contents.iter().filter(|byte| **byte != 0).count(), 2);
}

fn truncate(root: &NodeRef) {
    let node = write(root, "f", &[7; 100_000]).unwrap();
    now(node.set_stat(sized(70_000))).unwrap();
    assert_eq!(stat(root, "f").unwrap().size, 70_000);
    let mut file = now(node.open(READ_WRITE)).unwrap();
    now(file.set_stat(sized(10))).unwrap();
    now(file.set_stat(sized(90_000))).unwrap();
    let contents = read(root, "f").unwrap();
    assert_eq!(contents.len(), 90_000);
    assert_eq!(contents[..10], [7; 10]);
    assert!(
        contents[10..].iter().all(|byte| *byte == 0),
        "nothing old comes back"
    );
    now(file.set_stat(sized(0))).unwrap();
    assert_eq!(read(root, "f").unwrap(), b"");
}

fn open_truncate(root: &NodeRef) {
    let node = write(root, "f", b"contents").unwrap();
    let how = OpenHow {
        read: false,
        write: true,
        truncate: true,
    };
    let mut file = now(node.open(how)).unwrap();
    assert_eq!(now(file.stat()).unwrap().size, 0);
    write_at(&mut *file, WriteAt::Offset(2), b"x").unwrap();
    assert_eq!(read(root, "f").unwrap(), b"\0\0x");
}

fn far_offsets(root: &NodeRef) {
    let mut file = create(root, "f");
    for offset in [u64::MAX, u64::MAX - 1, 1 << 63] {
        let written = write_at(&mut *file, WriteAt::Offset(offset), b"xy");
        assert_eq!(written.err(), Some(Errno::Fbig));
        assert_eq!(read_at(&mut *file, offset, 2).unwrap(), b"");
        let allocated = now(file.allocate(offset, 2));
        assert_eq!(allocated, Err(Errno::Fbig));
    }
    assert_eq!(now(file.set_stat(sized(u64::MAX))), Err(Errno::Fbig));
    assert_eq!(now(file.stat()).unwrap().size, 0);
}

fn empty(root: &NodeRef) {
    let mut file = create(root, "f");
    let written = write_at(&mut *file, WriteAt::Offset(1000), b"").unwrap();
    assert_eq!(written.bytes, 0);
    assert_eq!(now(file.stat()).unwrap().size, 0);
    write_at(&mut *file, WriteAt::End, b"x").unwrap();
    assert_eq!(read_at(&mut *file, 0, 0).unwrap(), b"");
}

fn allocate(root: &NodeRef) {
    let mut file = create(root, "f");
    write_at(&mut *file, WriteAt::End, b"abc").unwrap();
    now(file.allocate(1, 1)).unwrap();
    assert_eq!(read(root, "f").unwrap(), b"abc");
    now(file.allocate(2, 8)).unwrap();
    assert_eq!(read(root, "f").unwrap(), b"abc\0\0\0\0\0\0\0");
}

fn shared(root: &NodeRef) {
    let mut writer = create(root, "f");
    let mut reader = now(walk(root, "f").unwrap().open(READ)).unwrap();
    write_at(&mut *writer, WriteAt::End, b"seen").unwrap();
    assert_eq!(read_at(&mut *reader, 0, 9).unwrap(), b"seen");
    let (one, other) = (now(writer.stat()).unwrap(), now(reader.stat()).unwrap());
    assert_eq!(one.qid, other.qid);
    // The device of an open file is that of its node.
    let named = stat(root, "f").unwrap().qid;
    assert_eq!((named.path, named.kind), (one.qid.path, one.qid.kind));
}

fn unlinked(root: &NodeRef) {
    let mut file = create(root, "f");
    write_at(&mut *file, WriteAt::End, b"still").unwrap();
    now(edit(root).unwrap().unlink(name("f"))).unwrap();
    assert_eq!(walk(root, "f").err(), Some(Errno::Noent));
    write_at(&mut *file, WriteAt::End, b" here").unwrap();
    assert_eq!(read_at(&mut *file, 0, 99).unwrap(), b"still here");
    assert_eq!(now(file.stat()).unwrap().nlink, 0);
    let second = write(root, "f", b"another").unwrap();
    assert_ne!(second.qid(), now(file.stat()).unwrap().qid);
    assert_eq!(read_at(&mut *file, 0, 99).unwrap(), b"still here");
}

fn large(root: &NodeRef) {
    let contents: Vec<u8> = (0..300_001u32).map(|i| (i % 253) as u8).collect();
    let mut file = create(root, "f");
    for part in contents.chunks(4093) {
        write_at(&mut *file, WriteAt::End, part).unwrap();
    }
    assert_eq!(read(root, "f").unwrap(), contents);
    let middle = read_at(&mut *file, 65_530, 70_000).unwrap();
    assert!(!middle.is_empty() && contents[65_530..].starts_with(&middle));
}

fn times(root: &NodeRef) {
    let node = write(root, "f", b"x").unwrap();
    let (atime, mtime) = (1_000_000_000_000_000_000, 1_100_000_000_000_000_000);
    let change = SetStat {
        size: None,
        atime: Some(SetTime::To(atime)),
        mtime: Some(SetTime::To(mtime)),
    };
    now(node.set_stat(change)).unwrap();
    let after = stat(root, "f").unwrap();
    assert_eq!((after.atime, after.mtime, after.size), (atime, mtime, 1));

    let mut file = now(node.open(READ_WRITE)).unwrap();
    let change = SetStat {
        mtime: Some(SetTime::To(mtime + 1_000_000_000)),
        ..SetStat::default()
    };
    now(file.set_stat(change)).unwrap();
    let after = stat(root, "f").unwrap();
    assert_eq!((after.atime, after.mtime), (atime, mtime + 1_000_000_000));

    write_at(&mut *file, WriteAt::End, b"y").unwrap();
    assert_ne!(stat(root, "f").unwrap().mtime, mtime + 1_000_000_000);
}

fn directories(root: &NodeRef) {
    let node = now(edit(root).unwrap().make_directory(name("d"))).unwrap();
    assert_eq!(now(node.open(READ_WRITE)).err(), Some(Errno::Isdir));
    assert_eq!(now(node.set_stat(sized(0))), Err(Errno::Isdir));
    let mut file = now(node.open(READ)).unwrap();
    assert_eq!(read_at(&mut *file, 0, 9), Err(Errno::Isdir));
    assert_eq!(
        write_at(&mut *file, WriteAt::End, b"x").err(),
        Some(Errno::Isdir)
    );
    assert_eq!(now(node.read_link()), Err(Errno::Inval));
}
