//! Archives as other programs write them, and as nobody should.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Waker};

use proptest::prelude::*;

use super::*;
use crate::testkit::{self, now, walk};
use crate::{Errno, OpenHow, Stat};

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
fn an_index_is_charged_while_it_is_built_and_given_back() {
    let mut builder = Builder::new();
    for number in 0..1000 {
        builder = builder.file(&format!("{number:0100}/f"), b"");
    }
    let bytes: Arc<[u8]> = builder
        .link(tar::EntryType::Symlink, "l", "target")
        .bytes()
        .into();
    // Two names and two files an entry.
    let least = 1000 * (4 * 256 + 101);
    let small = Account::new(least);
    let refused = Archive::charged(bytes.clone(), &small).err();
    assert_eq!(refused, Some(ArchiveError::NoMemory));
    assert_eq!(small.used(), 0);
    let account = Account::new(least + 4096);
    let archive = Archive::charged(bytes, &account).unwrap();
    assert!(account.used() > least, "{}", account.used());
    drop(archive);
    assert_eq!(account.used(), 0);
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
    assert_eq!(walk(&root, "usr/none").err(), Some(Errno::Noent));
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
    assert_eq!(walk(&root, "a").err(), Some(Errno::Noent));
}

/// pax's records, as an entry of this kind.
fn records(builder: Builder, kind: tar::EntryType, records: &[(&str, &str)]) -> Builder {
    let mut text = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let digits = (1..).find(|digits| (rest.len() + digits).to_string().len() == *digits);
        text += &format!("{}{rest}", rest.len() + digits.unwrap());
    }
    builder.raw(kind, b"pax", b"", text.as_bytes())
}

#[test]
fn an_empty_record_is_none() {
    use tar::EntryType::{XGlobalHeader, XHeader};
    let empty = [("mtime", ""), ("size", ""), ("path", ""), ("linkpath", "")];
    let builder = records(Builder::new(), XHeader, &empty).file("a", b"alpha");
    // It takes back what was said before, of the same entry or of all.
    let builder = records(builder, XHeader, &[("mtime", "5"), ("mtime", "")]);
    let builder = records(builder.file("b", b""), XGlobalHeader, &[("mtime", "7.5")]);
    let builder = records(builder.file("c", b""), XHeader, &[("mtime", "")]);
    let builder = records(builder.file("d", b""), XHeader, &[("mtime", "8")]);
    let builder = builder.file("e", b"").file("f", b"");
    let builder = records(builder, XGlobalHeader, &[("mtime", ""), ("comment", "")]);
    let builder = records(builder.file("g", b""), XGlobalHeader, &[("linkpath", "a")]);
    let root = builder.link(tar::EntryType::Symlink, "l", "b").open();
    let root = root.unwrap().root();
    let link = walk(&root, "l").unwrap();
    assert_eq!(now(link.read_link()).unwrap(), "a");
    assert_eq!(testkit::read(&root, "a").unwrap(), b"alpha");
    let own = 1_700_000_000_000_000_000;
    for (path, mtime) in [
        ("a", own),
        ("b", own),
        ("c", 7_500_000_000),
        ("d", own),
        ("e", 8_000_000_000),
        ("f", 7_500_000_000),
        ("g", own),
    ] {
        assert_eq!(stat(&root, path).mtime, mtime, "{path}");
    }
}

#[test]
fn what_no_file_can_be_is_left_out() {
    use tar::EntryType;
    let archive = Builder::new()
        .file("a", b"1")
        .raw(EntryType::Char, b"dev/null", b"", b"")
        .raw(EntryType::Block, b"dev/sda", b"", b"")
        .raw(EntryType::Fifo, b"dev/pipe", b"", b"")
        .link(EntryType::Link, "dev/same", "dev/pipe")
        .file("dev/file", b"2")
        // They are in the place of what was there, and something else in theirs.
        .file("gone", b"3")
        .raw(EntryType::Fifo, b"gone", b"", b"")
        .raw(EntryType::Char, b"back", b"", b"")
        .file("back", b"4")
        .open()
        .unwrap();
    let root = archive.root();
    assert_eq!(testkit::names_in(&root).unwrap(), ["a", "back", "dev"]);
    let dev = walk(&root, "dev").unwrap();
    assert_eq!(testkit::names_in(&dev).unwrap(), ["file"]);
    for path in ["dev/null", "dev/sda", "dev/pipe", "dev/same", "gone"] {
        assert_eq!(walk(&root, path).err(), Some(Errno::Noent), "{path}");
    }
    assert_eq!(testkit::read(&root, "back").unwrap(), b"4");
    let left_out = LeftOut {
        first: "dev/null".to_owned(),
        entries: 6,
    };
    assert_eq!(archive.left_out(), Some(&left_out));
    testkit::read_only(&root);
}

#[test]
fn labels_and_lists_of_names_are_no_files() {
    use tar::EntryType;
    // A label may be anything.
    let archive = Builder::new()
        .raw(EntryType::new(b'V'), b"../Backup of \xff", b"", b"")
        .raw(EntryType::new(b'D'), b"d/", b"", b"Yf\0\0")
        .file("d/f", b"1")
        .open()
        .unwrap();
    let root = archive.root();
    assert_eq!(testkit::names_in(&root).unwrap(), ["d"]);
    assert_eq!(testkit::read(&root, "d/f").unwrap(), b"1");
    assert_eq!(archive.left_out(), None);
}

#[test]
fn the_last_of_several_entries_counts_whatever_it_is() {
    use tar::EntryType;
    let root = Builder::new()
        .file("file", b"1")
        .link(EntryType::Link, "kept", "file")
        .directory("file/")
        .file("file/in", b"2")
        .link(EntryType::Symlink, "link", "file")
        .directory("link/")
        .file("d/a", b"3")
        .file("d/e/b", b"4")
        .link(EntryType::Link, "b", "d/e/b")
        .file("d", b"5")
        .directory("e/")
        .link(EntryType::Symlink, "e", "d")
        // A link to what is in the directory that it replaces.
        .file("l/x", b"6")
        .link(EntryType::Link, "l", "l/x")
        .open()
        .unwrap()
        .root();
    let names = ["b", "d", "e", "file", "kept", "l", "link"];
    assert_eq!(testkit::names_in(&root).unwrap(), names);
    assert_eq!(testkit::read(&root, "file/in").unwrap(), b"2");
    for (path, contents) in [("kept", b"1"), ("b", b"4"), ("d", b"5"), ("l", b"6")] {
        assert_eq!(testkit::read(&root, path).unwrap(), contents, "{path}");
        assert_eq!(stat(&root, path).nlink, 1, "{path}");
    }
    assert_eq!(stat(&root, "e").qid.kind, crate::FileKind::SymbolicLink);
    assert_eq!(stat(&root, "link").qid.kind, crate::FileKind::Directory);
    // Of a root with two directories.
    assert_eq!(stat(&root, "").nlink, 4);
    testkit::read_only(&root);
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
    let builder = Builder::new().raw(EntryType::GNUSparse, b"holes", b"", b"");
    assert!(matches!(
        error(builder),
        ArchiveError::Unsupported { kind: 'S', .. }
    ));
    let builder = Builder::new().file("f", b"").file("f/g", b"");
    assert!(matches!(error(builder), ArchiveError::Conflict { .. }));
    let builder = Builder::new().raw(EntryType::Char, b"d", b"", b"");
    assert!(matches!(
        error(builder.file("d/g", b"")),
        ArchiveError::Conflict { .. }
    ));
    let builder = Builder::new().raw(EntryType::Regular, b".", b"", b"");
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

#[test]
fn what_is_open_is_found_again_after_any_call() {
    fn image(bytes: Vec<u8>) -> testkit::Image {
        testkit::Image {
            root: Archive::from_tar(bytes.clone()).unwrap().root(),
            again: Box::new(move || image(bytes.clone())),
        }
    }
    let mut builder = tar::Builder::new(Vec::new());
    for path in ["a", "d/b", "d/e/c"] {
        let contents = format!("the contents of {path}");
        let mut header = header(tar::EntryType::Regular, contents.len() as u64);
        builder
            .append_data(&mut header, path, contents.as_bytes())
            .unwrap();
    }
    let bytes = builder.into_inner().unwrap();
    let (directories, files) = ([".", "d", "d/e"], ["a", "d/b", "d/e/c"]);
    testkit::durable_reading(|| image(bytes.clone()), &directories, &files);
    testkit::checkpoints_reading(&image(bytes.clone()).root);
    let root = image(bytes).root;
    let (outside, inside) = (walk(&root, "a").unwrap(), walk(&root, "d/b").unwrap());
    let below = walk(&root, "d").unwrap();
    let handles = [outside.save().unwrap(), inside.save().unwrap()];
    let found = now(below.durable().unwrap().resolve(&handles, &HashSet::new())).unwrap();
    let found: Vec<_> = found.into_iter().map(Result::err).collect();
    assert_eq!(found, [Some(Errno::Stale), None]);
}
