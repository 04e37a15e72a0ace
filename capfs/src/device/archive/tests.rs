//! Archives as other programs write them, and as nobody should.

use std::sync::Arc;
use std::task::{Context, Waker};

use proptest::prelude::*;

use super::*;
use crate::testkit::{self, now, walk};
use crate::{OpenHow, Stat};

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mtime(1_700_000_000);
    header.set_mode(0o644);
    header
}

struct Builder(tar::Builder<Vec<u8>>);

impl Builder {
    fn new() -> Self {
        Builder(tar::Builder::new(Vec::new()))
    }

    fn file(mut self, path: &str, contents: &[u8]) -> Self {
        let mut header = header(tar::EntryType::Regular, contents.len() as u64);
        self.0.append_data(&mut header, path, contents).unwrap();
        self
    }

    fn directory(mut self, path: &str) -> Self {
        let mut header = header(tar::EntryType::Directory, 0);
        self.0.append_data(&mut header, path, &[][..]).unwrap();
        self
    }

    fn link(mut self, kind: tar::EntryType, path: &str, target: &str) -> Self {
        let mut header = header(kind, 0);
        self.0.append_link(&mut header, path, target).unwrap();
        self
    }

    /// An entry whose name is put into the header as it is.
    fn raw(mut self, kind: tar::EntryType, name: &[u8], target: &[u8], contents: &[u8]) -> Self {
        let mut header = header(kind, contents.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        self.0.append(&header, contents).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn open(self) -> Result<Archive, ArchiveError> {
        Archive::from_tar(self.bytes())
    }
}

fn stat(root: &NodeRef, path: &str) -> Stat {
    now(walk(root, path).unwrap().stat()).unwrap()
}

#[test]
fn files_directories_and_links_are_there() {
    let long = format!("{}/{}/file", "d".repeat(200), "e".repeat(180));
    let archive = Builder::new()
        .file("./usr/lib/a.txt", b"alpha")
        .directory("usr/share/")
        .link(tar::EntryType::Symlink, "usr/l", "lib/a.txt")
        .link(tar::EntryType::Link, "usr/h", "usr/lib/a.txt")
        .file(&long, &[7; 1500])
        .file("twice", b"old")
        .file("twice", b"new")
        .open()
        .unwrap();
    let root = archive.root();
    assert_eq!(testkit::read(&root, "usr/lib/a.txt").unwrap(), b"alpha");
    assert_eq!(testkit::read(&root, "usr/h").unwrap(), b"alpha");
    assert_eq!(testkit::read(&root, &long).unwrap(), [7; 1500]);
    assert_eq!(testkit::read(&root, "twice").unwrap(), b"new");
    let link = walk(&root, "usr/l").unwrap();
    assert_eq!(now(link.read_link()).unwrap(), "lib/a.txt");
    assert_eq!(stat(&root, "usr").nlink, 4);
    assert_eq!(stat(&root, "usr/h").nlink, 2);
    assert_eq!(stat(&root, "usr/h").qid, stat(&root, "usr/lib/a.txt").qid);
    assert_eq!(stat(&root, "twice").nlink, 1);
    assert_eq!(stat(&root, "usr/share").mtime, 1_700_000_000_000_000_000);
    assert_eq!(walk(&root, "usr/none").err(), Some(crate::Errno::Noent));
    testkit::read_only(&root);
}

#[test]
fn pax_headers_count_for_one_entry() {
    let mut builder = Builder::new();
    builder
        .0
        .append_pax_extensions([
            ("mtime", &b"12.5"[..]),
            ("path", b"renamed"),
            ("comment", b""),
        ])
        .unwrap();
    let archive = builder.file("a", b"1").file("b", b"2").open().unwrap();
    let root = archive.root();
    assert_eq!(stat(&root, "renamed").mtime, 12_500_000_000);
    assert_eq!(stat(&root, "b").mtime, 1_700_000_000_000_000_000);
    assert_eq!(walk(&root, "a").err(), Some(crate::Errno::Noent));
}

#[test]
fn contents_are_slices_of_what_was_handed_over() {
    let bytes: Arc<[u8]> = Builder::new().file("f", b"contents").bytes().into();
    let archive = Archive::from_tar(bytes.clone()).unwrap();
    assert_eq!(Arc::strong_count(&bytes), 2);
    let mut file = now(walk(&archive.root(), "f").unwrap().open(OpenHow::default())).unwrap();
    drop(archive);
    let mut room = [0; 4];
    let mut context = Context::from_waker(Waker::noop());
    let _ = file.poll_read(&mut context, 3, &mut &mut room[..]);
    assert_eq!(&room, b"tent");
}

#[test]
fn the_blocks_at_the_end_may_be_missing() {
    let bytes = Builder::new().file("f", b"contents").bytes();
    for length in [512 + 8, 1024, 1536] {
        let archive = Archive::from_tar(bytes[..length].to_vec()).unwrap();
        assert_eq!(testkit::read(&archive.root(), "f").unwrap(), b"contents");
    }
    assert!(Archive::from_tar(Vec::new()).is_ok());
}

#[test]
fn what_is_wrong_is_said() {
    use tar::EntryType;
    let error = |builder: Builder| builder.open().err().expect("an error");
    let bytes = Builder::new().file("f", b"contents").bytes();
    let cut = |length: usize| Archive::from_tar(bytes[..length].to_vec()).err();
    assert_eq!(cut(512 + 7), Some(ArchiveError::Truncated { offset: 0 }));
    assert_eq!(cut(100), Some(ArchiveError::Truncated { offset: 0 }));
    let gzip = Archive::from_tar([&[0x1f, 0x8b, 8][..], &[1; 1000]].concat());
    assert_eq!(gzip.err(), Some(ArchiveError::Checksum { offset: 0 }));

    for path in ["../f", "a/../../f", "/..", "a/.."] {
        let expected = ArchiveError::Escapes { path: path.into() };
        let builder = Builder::new().raw(EntryType::Regular, path.as_bytes(), b"", b"");
        assert_eq!(error(builder), expected);
    }
    let builder = Builder::new().raw(EntryType::Regular, b"\xff", b"", b"");
    assert!(matches!(error(builder), ArchiveError::BadPath { .. }));
    let builder = Builder::new().raw(EntryType::Link, b"l", b"none", b"");
    assert!(matches!(error(builder), ArchiveError::DanglingLink { .. }));
    let builder = Builder::new().raw(EntryType::Link, b"l", b"../f", b"");
    assert!(matches!(error(builder), ArchiveError::Escapes { .. }));
    let builder = Builder::new().raw(EntryType::Char, b"tty", b"", b"");
    assert!(matches!(
        error(builder),
        ArchiveError::Unsupported { kind: '3', .. }
    ));
    let builder = Builder::new().file("f", b"").file("f/g", b"");
    assert!(matches!(error(builder), ArchiveError::Conflict { .. }));
    let builder = Builder::new().file("d/g", b"").file("d", b"");
    assert!(matches!(error(builder), ArchiveError::Conflict { .. }));
    let builder = Builder::new()
        .link(EntryType::Symlink, "l", "/")
        .file("l/passwd", b"");
    assert!(matches!(error(builder), ArchiveError::Conflict { .. }));
}

#[test]
fn of_a_long_name_an_error_shows_the_beginning() {
    use tar::EntryType;
    for long in ["é".repeat(1 << 20).into_bytes(), vec![0xff; 1 << 20]] {
        let begin = |kind| Builder::new().raw(kind, b"L", b"", &long);
        let long_name = begin(EntryType::GNULongName).raw(EntryType::Regular, b"f", b"", b"");
        let long_link = begin(EntryType::GNULongLink).raw(EntryType::Symlink, b"l", b"", b"");
        for builder in [long_name, long_link] {
            let Err(ArchiveError::BadPath { path }) = builder.open() else {
                panic!("it is too long");
            };
            assert_eq!(path.chars().count(), ARCHIVE_SHOWN_MAX + 1);
            assert!(path.ends_with('…'));
        }
    }
}

/// Headers that pass the checksum, with anything in their fields.
fn hostile_header() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(b"01234567xgLKSAV\0".to_vec());
    (
        prop::collection::vec(any::<u8>(), 512),
        kind,
        any::<bool>(),
        0u64..3000,
    )
        .prop_map(|(mut block, kind, plain, size)| {
            block[156] = kind;
            if plain {
                block[..8].copy_from_slice(b"a/./b/c\0");
                block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
                block[136..148].copy_from_slice(b"00000000000\0");
            }
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            block
        })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(blocks in prop::collection::vec(hostile_header(), 0..8), cut in 0usize..512) {
        let mut bytes = blocks.concat();
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Ok(archive) = Archive::from_tar(bytes) {
            testkit::read_only(&archive.root());
        }
    }

    #[test]
    fn no_pax_record_makes_it_panic(records in "[0-9]{0,3} ?(path|size|mtime)?=?[-.0-9a-z]{0,6}\n?") {
        let contents = records.as_bytes();
        let _ = Builder::new().raw(tar::EntryType::XHeader, b"x", b"", contents).file("f", b"1").open();
    }
}
