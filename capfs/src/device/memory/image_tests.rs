//! Images: what is in them, and what is refused.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::encoding::{Encoder, Malformed};
use crate::testkit::{
    self, Image, ManualClock, READ, READ_WRITE, edit, name, now, write, write_at,
};
use crate::{Errno, Handle, NodeRef, WriteAt};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(1_000))
}

fn files() -> MemoryFs {
    MemoryFs::new(clock(), MemoryLimits::default())
}

fn again(image: &[u8]) -> Result<MemoryFs, ImageError> {
    MemoryFs::from_image(
        image,
        clock(),
        MemoryLimits::default(),
        &Account::unlimited(),
    )
}

/// A device, and how it is made again of its image.
fn image(files: MemoryFs) -> Image {
    Image {
        root: files.root(),
        again: Box::new(move || image(again(&files.image()).unwrap())),
    }
}

#[test]
fn what_is_open_is_found_again_after_any_call() {
    testkit::durable(|| image(files()));
}

/// Files of every kind, with holes, room and links.
fn full() -> MemoryFs {
    let files = files();
    let root = files.root();
    let file = write(&root, "file", b"text").unwrap();
    let below = now(edit(&root).unwrap().make_directory(name("below"))).unwrap();
    now(edit(&below).unwrap().link(name("again"), &file)).unwrap();
    now(edit(&below).unwrap().make_symlink(name("link"), "../file")).unwrap();
    let holes = write(&below, "holes", b"x").unwrap();
    let mut open = now(holes.open(READ_WRITE)).unwrap();
    write_at(&mut *open, WriteAt::Offset(300_000), b"far").unwrap();
    now(open.allocate(500_000, 10)).unwrap();
    write(&root, "gone", b"").unwrap();
    now(edit(&root).unwrap().unlink(name("gone"))).unwrap();
    files
}

#[test]
fn an_image_makes_the_same_files_that_use_the_same() {
    let files = full();
    let image = files.image();
    let copy = again(&image).unwrap();
    assert_eq!(copy.usage(), files.usage());
    assert!(copy.image() == image);
    let (root, copied) = (files.root(), copy.root());
    for path in [
        "",
        "file",
        "below",
        "below/again",
        "below/link",
        "below/holes",
    ] {
        let (ours, theirs) = (testkit::stat(&root, path), testkit::stat(&copied, path));
        assert_eq!(ours, theirs, "{path}");
    }
    for path in ["file", "below/again", "below/holes"] {
        assert_eq!(testkit::read(&root, path), testkit::read(&copied, path));
    }
    // They have nothing in common, and number on from the same.
    write(&copied, "new", b"here").unwrap();
    assert_eq!(testkit::read(&root, "new"), Err(Errno::Noent));
    write(&root, "other", b"").unwrap();
    let number = |root, path| testkit::stat(root, path).unwrap().qid.path;
    assert_eq!(number(&copied, "new"), number(&root, "other"));
}

#[test]
fn what_a_copy_uses_is_charged_and_given_back() {
    let image = full().image();
    let account = Account::new(1 << 20);
    let copy = MemoryFs::from_image(&image, clock(), MemoryLimits::default(), &account).unwrap();
    assert!(account.left() < 1 << 20);
    drop(copy);
    assert_eq!(account.left(), 1 << 20);
    let account = Account::new(100_000);
    let refused = MemoryFs::from_image(&image, clock(), MemoryLimits::default(), &account);
    assert_eq!(refused.err(), Some(ImageError::NoRoom));
    assert_eq!(account.left(), 100_000);
    let limits = MemoryLimits {
        nodes: 3,
        ..MemoryLimits::default()
    };
    let refused = MemoryFs::from_image(&image, clock(), limits, &Account::unlimited());
    assert_eq!(refused.err(), Some(ImageError::NoRoom));
}

#[test]
fn a_file_without_a_name_is_not_found_again() {
    let files = files();
    let root = files.root();
    let node = write(&root, "file", b"text").unwrap();
    let file = now(node.open(READ)).unwrap();
    assert_eq!(*file.save().unwrap().node(), node.save().unwrap());
    now(edit(&root).unwrap().unlink(name("file"))).unwrap();
    testkit::not_durable(&node, READ);
    assert_eq!(node.save(), Err(Errno::Nodev));
    assert_eq!(file.save(), Err(Errno::Nodev));
}

#[test]
fn files_are_found_below_where_they_are_looked_for_alone() {
    let files = full();
    let root = files.root();
    let below = testkit::walk(&root, "below").unwrap();
    let handle = |path| testkit::walk(&root, path).unwrap().save().unwrap();
    let handles = [
        handle("below/holes"),
        handle("file"),
        handle("below"),
        handle(""),
    ];
    let look = |from: &NodeRef| -> Vec<Option<u64>> {
        let found = now(from.durable().unwrap().resolve(&handles, &HashSet::new())).unwrap();
        found
            .into_iter()
            .map(|node| node.ok().map(|node| node.qid().path))
            .collect()
    };
    assert!(look(&root).iter().all(Option::is_some));
    // `file` has a name in there as well, and the root has none.
    let found = look(&below);
    assert!(found[..3].iter().all(Option::is_some));
    assert_eq!(found[3], None);
    let unknown = Handle::number(99);
    let found = now(root
        .durable()
        .unwrap()
        .resolve(&[unknown, Handle::new(*b"x").unwrap()], &HashSet::new()));
    let errors: Vec<_> = found.unwrap().into_iter().map(Result::err).collect();
    assert_eq!(errors, [Some(Errno::Stale), Some(Errno::Stale)]);
}

#[test]
fn what_is_no_image_is_refused_with_its_reason() {
    let image = full().image();
    let reason = |bytes: &[u8]| again(bytes).map(drop).unwrap_err().to_string();
    assert!(reason(b"").ends_with("this is no image of files in memory"));
    assert!(reason(b"capfspro\x01\0\0\0").ends_with("this is no image of files in memory"));
    let mut other = image.clone();
    other[8] = 9;
    assert!(reason(&other).ends_with("version 9 can't be read, only version 1"));
    let mut long = image.clone();
    long.push(0);
    assert_eq!(
        again(&long).map(drop),
        Err(ImageError::Malformed(Malformed::Behind(1)))
    );
    for end in 0..image.len() {
        assert!(
            matches!(again(&image[..end]), Err(ImageError::Malformed(_))),
            "{end}"
        );
    }
}

/// An image of two directories that have each other, or the root.
fn circle(first: u32, second: u32) -> Vec<u8> {
    let mut image = Encoder::new(b"capfsmem", 1);
    image.u64(3);
    image.count(3);
    for (number, below) in [(1, vec![]), (2, vec![first]), (3, vec![second])] {
        for number in [number, 0, 0, 0] {
            image.u64(number);
        }
        image.u8(3);
        image.u64(1);
        image.count(below.len());
        for below in below {
            image.u64(1);
            image.bytes(b"d");
            image.u32(below);
        }
    }
    image.finish()
}

#[test]
fn no_image_makes_a_circle() {
    for (first, second) in [(2, 1), (1, 2), (0, 1), (2, 0), (2, 9)] {
        assert!(matches!(
            again(&circle(first, second)),
            Err(ImageError::Malformed(_))
        ));
    }
}

proptest! {
    #[test]
    fn damaged_images_are_refused_or_make_some_files(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut image = full().image();
        let at = at.index(image.len());
        image[at] = byte;
        if let Ok(files) = again(&image) {
            let copy = again(&files.image()).unwrap();
            prop_assert_eq!(copy.usage(), files.usage());
        }
    }
}
