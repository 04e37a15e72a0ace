//! The three files of a volume of stored files, as somebody else has left them. Opening them ends, with an error or with a tree that can be read
//! and written; what was written is there again.
//!
//! An input is the three files, one behind the other, with their lengths in front. Frames of the index get their checksums back where the
//! first byte says so, since no change would be read otherwise.

use std::sync::{Arc, Mutex, PoisonError};

use capfs::testkit::{self, ManualClock, edit, name, now, read_at};
use capfs::{Errno, FileKind, NodeRef, Op};
use capfs_storage::{BlockFile, BlockFiles, Opener, StorageOptions, Volume, check};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "volume",
    about: "the files of stored files in a browser, damaged in any way",
    run,
    seeds,
};

/// Bytes in front of the files: a byte of choices, and three lengths.
const HEADER: usize = 1 + 3 * 4;
/// Bytes of a frame's header in the index, and where in it its checksum is (`storage/src/journal.rs`).
const FRAME: usize = 32;
const CHECKSUM: usize = 28;

fn run(bytes: &[u8]) {
    let Some((choices, mut files)) = taken_apart(bytes) else {
        return;
    };
    if choices & 1 == 1 {
        files[0..2].iter_mut().for_each(|index| sign(index));
    }
    let disk = Disk(Arc::new(Mutex::new(files)));
    let _ = check(&now(disk.open()).expect("a vector can be opened"));
    for repair in [false, true] {
        let options = StorageOptions {
            repair,
            ..StorageOptions::default()
        };
        let volume = Volume::new(disk.clone(), Arc::new(ManualClock::new(1)), options);
        let opened = now(volume.open());
        let Ok(()) = opened else {
            assert!(
                !repair || is_refused_by_design(&volume),
                "a repair fails: {opened:?}"
            );
            continue;
        };
        walk(&volume.root());
        let root = volume.root();
        let made = testkit::write(&root, "made by the fuzzer", b"contents");
        drop(root);
        let committed = volume.release();
        if made.is_err() || committed.is_err() {
            continue;
        }
        let again = Volume::new(
            disk.clone(),
            Arc::new(ManualClock::new(1)),
            StorageOptions::default(),
        );
        let read = testkit::read(&again.root(), "made by the fuzzer");
        assert_eq!(
            read.as_deref(),
            Ok(&b"contents"[..]),
            "what was committed is there again"
        );
        return;
    }
}

/// What no repair is meant for: a later format, an index that is too long.
fn is_refused_by_design(volume: &Volume) -> bool {
    let errno = volume.error().map(|error| error.errno());
    errno.is_some_and(|errno| errno == Errno::Notsup)
}

/// Reads everything below a directory.
fn walk(root: &NodeRef) {
    let mut pending = vec![(root.clone(), 0)];
    while let Some((node, depth)) = pending.pop() {
        assert!(depth < 10_000, "a directory is below itself");
        match node.qid().kind {
            FileKind::Directory => {
                for entry in testkit::list(&node, 100).expect("a directory can be listed") {
                    let below = testkit::walk(&node, &entry.name).expect("what is listed is there");
                    pending.push((below, depth + 1));
                }
            }
            FileKind::SymbolicLink => drop(now(node.read_link())),
            _ => {
                let mut file = now(node.open(testkit::READ)).expect("a file can be opened");
                let _ = read_at(&mut *file, 0, 64 << 10);
            }
        }
    }
}

fn taken_apart(bytes: &[u8]) -> Option<(u8, [Vec<u8>; 3])> {
    let (header, mut rest) = bytes.split_at_checked(HEADER)?;
    let mut files: [Vec<u8>; 3] = Default::default();
    for (file, length) in files.iter_mut().zip(header[1..].chunks_exact(4)) {
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let (bytes, behind) = rest.split_at(length.min(rest.len()));
        *file = bytes.to_vec();
        rest = behind;
    }
    Some((header[0], files))
}

/// Gives every frame the checksum that it should have.
fn sign(index: &mut [u8]) {
    let mut at = 0;
    while at + FRAME <= index.len() {
        let length = index[at + 4..at + 8].try_into().map(u32::from_le_bytes);
        let end = at + FRAME + length.unwrap_or_default() as usize;
        if !index[at..].starts_with(b"CFS1") || end > index.len() {
            at += 8;
            continue;
        }
        let mut sum = crc32fast::Hasher::new();
        sum.update(&(at as u64).to_le_bytes());
        sum.update(&index[at..at + CHECKSUM]);
        sum.update(&index[at + FRAME..end]);
        let sum = sum.finalize().to_le_bytes();
        index[at + CHECKSUM..at + FRAME].copy_from_slice(&sum);
        at = end.next_multiple_of(8);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let disk = Disk::default();
    let volume = Volume::new(
        disk.clone(),
        Arc::new(ManualClock::new(1)),
        StorageOptions::default(),
    );
    let root = volume.root();
    let below = now(edit(&root)
        .expect("it can be written")
        .make_directory(name("d")));
    let below = below.expect("there is room");
    testkit::write(&below, "f", &[7; 9_000]).expect("there is room");
    volume.sync().expect("it can be flushed");
    now(edit(&root)
        .expect("it can be written")
        .make_symlink(name("l"), "d/f"))
    .expect("there is room");
    testkit::write(&root, "g", b"short").expect("there is room");
    drop((root, below));
    volume.release().expect("it can be flushed");
    let files = disk
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    // The index has room behind its end, which says nothing.
    let files = files.map(|mut file| {
        let end = file
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 9);
        file.truncate(end.next_multiple_of(4096).min(16 << 10));
        file
    });
    let put_together = |choices: u8, files: &[Vec<u8>; 3]| {
        let mut bytes = vec![choices];
        files
            .iter()
            .for_each(|file| bytes.extend((file.len() as u32).to_le_bytes()));
        files.iter().for_each(|file| bytes.extend(file));
        bytes
    };
    vec![
        put_together(0, &files),
        put_together(1, &files),
        put_together(1, &Default::default()),
    ]
}

/// The files: both halves of the index, then the data.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<[Vec<u8>; 3]>>);

struct File {
    disk: Disk,
    index: usize,
}

impl File {
    fn with<T>(&self, action: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut files = self.disk.0.lock().unwrap_or_else(PoisonError::into_inner);
        action(&mut files[self.index])
    }
}

impl BlockFile for File {
    fn size(&self) -> Result<u64, Errno> {
        Ok(self.with(|bytes| bytes.len() as u64))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        self.with(|bytes| {
            let start = bytes.len().min(offset as usize);
            let count = into.len().min(bytes.len() - start);
            into[..count].copy_from_slice(&bytes[start..start + count]);
            Ok(count)
        })
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        self.with(|bytes| {
            let end = offset as usize + from.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[offset as usize..end].copy_from_slice(from);
            Ok(())
        })
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.with(|bytes| bytes.resize(size as usize, 0));
        Ok(())
    }

    fn flush(&self) -> Result<(), Errno> {
        Ok(())
    }
}

impl Opener for Disk {
    fn open(&self) -> Op<BlockFiles> {
        let file = |index| -> Box<dyn BlockFile> {
            Box::new(File {
                disk: self.clone(),
                index,
            })
        };
        Op::ok(BlockFiles {
            data: file(2),
            index: [file(0), file(1)],
        })
    }
}
