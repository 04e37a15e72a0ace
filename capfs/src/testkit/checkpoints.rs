//! Checkpoints at any call: what is discarded was never done, and what is committed was done as without.
//!
//! A series of calls is made on a namespace in which a device is mounted. At each call in turn a checkpoint is taken, the rest of the
//! series is made and discarded, and the tree must look as it did, with all numbers, times and places in listings. Then the rest is made
//! again with the files that were open at the checkpoint, and each call must answer what it answers when nothing happens in between.

use super::frozen::{Image, Step, WRITABLE, World, compare};
use super::{edit, late, list, name, now, read, walk};
use crate::{Checkpoint, Errno, FileKind, NodeRef, Stat};

/// Times that a tree may be looked at until looking changes no time any more.
const LOOKS_MAX: usize = 10;

/// Checks a device that can be written and put back: `make` makes one with an empty root.
///
/// # Panics
/// When a check fails.
pub fn checkpoints(make: impl Fn() -> NodeRef) {
    for is_late in [false, true] {
        let root = || match is_late {
            true => late(&make()),
            false => make(),
        };
        let world = || World::new(image(root()), false);
        let mut undisturbed = world();
        let expected = undisturbed.run(WRITABLE);
        for at in 0..=WRITABLE.len() {
            let (before, after) = WRITABLE.split_at(at);
            discarded(world(), before, after, &expected);
            committed(world(), before, after, &expected, &mut undisturbed);
        }
    }
}

/// Checks a device that can't be written: that it has checkpoints, and looks the same over them.
///
/// # Panics
/// When a check fails.
pub fn checkpoints_reading(root: &NodeRef) {
    let before = settled(root);
    let checkpoint = taken(root);
    assert_eq!(picture(root), before);
    now(checkpoint.discard()).expect("it is discarded");
    assert_eq!(picture(root), before);
    let mut checkpoint = taken(root);
    now(checkpoint.prepare(1)).expect("it is prepared");
    now(checkpoint.commit()).expect("it is committed");
    assert_eq!(picture(root), before);
}

/// Checks that a device has no checkpoints, and says so.
///
/// # Panics
/// When it has.
pub fn no_checkpoint(node: &NodeRef) {
    let refused = now(node.checkpoint()).map(|_| ());
    assert_eq!(refused, Err(Errno::Notsup));
}

fn image(root: NodeRef) -> Image {
    let again = || unreachable!("it is not frozen");
    Image {
        root,
        again: Box::new(again),
    }
}

fn taken(root: &NodeRef) -> Box<dyn Checkpoint> {
    now(root.checkpoint()).expect("a checkpoint is taken")
}

fn discarded(mut world: World, before: &[Step], after: &[Step], expected: &[String]) {
    let when = format!("after {} calls", before.len());
    let mut transcript = world.run(before);
    let root = world.image.root.clone();
    let there = settled(&root);
    let offsets = |world: &World| -> Vec<Option<u64>> {
        let open = world.open.iter();
        open.map(|open| Some(open.as_ref()?.offset)).collect()
    };
    let open = offsets(&world);

    let mut checkpoint = taken(&root);
    let second = now(root.checkpoint()).map(|_| ());
    assert_eq!(second, Err(Errno::Busy), "one at a time");
    world.closed = Some(Vec::new());
    let meanwhile = world.run(after);
    compare(after, &meanwhile, &expected[before.len()..], "not at all");
    // What was opened since is closed, and what was closed since is open again.
    let closed = world.closed.take().expect("it is kept");
    for (slot, was) in closed.into_iter().rev() {
        world.open[slot] = Some(was);
    }
    world.open.resize_with(open.len(), || None);
    for (now, was) in world.open.iter_mut().zip(&open) {
        match was {
            Some(offset) => now.as_mut().expect("it was open").offset = *offset,
            None => *now = None,
        }
    }
    match before.len() % 3 {
        0 => now(checkpoint.discard()).expect("it is discarded"),
        1 => {
            now(checkpoint.prepare(1)).expect("it is prepared");
            now(checkpoint.discard()).expect("it is discarded");
        }
        _ => drop(checkpoint),
    }
    assert_eq!(picture(&root), there, "discarded {when}");
    transcript.extend(world.run(after));
    let steps = [before, after].concat();
    compare(
        &steps,
        &transcript,
        expected,
        &format!("never, discarded {when}"),
    );
}

fn committed(
    mut world: World,
    before: &[Step],
    after: &[Step],
    expected: &[String],
    undisturbed: &mut World,
) {
    let when = format!("committed after {} calls", before.len());
    let root = world.image.root.clone();
    let mut transcript = world.run(before);
    let mut checkpoint = taken(&root);
    transcript.extend(world.run(after));
    if before.len().is_multiple_of(2) {
        now(checkpoint.prepare(1)).expect("it is prepared");
    }
    now(checkpoint.commit()).expect("it is committed");
    compare(&[before, after].concat(), &transcript, expected, &when);
    let same = |root: &NodeRef| -> Vec<String> {
        let files = settled(root).into_iter();
        files.map(|file| file.without_times()).collect()
    };
    assert_eq!(same(&root), same(&undisturbed.image.root), "{when}");

    // What is committed is what the next checkpoint is of.
    let there = settled(&root);
    let checkpoint = taken(&root);
    let made = now(edit(&root)
        .expect("it is written")
        .make_directory(name("made")));
    made.expect("a directory is made");
    assert_ne!(picture(&root), there);
    now(checkpoint.discard()).expect("it is discarded");
    assert_eq!(
        picture(&root),
        there,
        "{when}, and discarded what came then"
    );
}

/// One file, as it looks.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    path: String,
    cookie: u64,
    stat: Stat,
    contents: String,
}

impl Seen {
    fn without_times(self) -> String {
        let Stat {
            qid, nlink, size, ..
        } = self.stat;
        let (path, cookie, contents) = (self.path, self.cookie, self.contents);
        format!("{path} {cookie} {qid:?} {nlink} {size} {contents}")
    }
}

/// What a tree looks like, once looking changes it no more.
fn settled(root: &NodeRef) -> Vec<Seen> {
    let mut seen = picture(root);
    for _ in 0..LOOKS_MAX {
        let again = picture(root);
        if again == seen {
            return seen;
        }
        seen = again;
    }
    panic!("each look changes the tree");
}

/// Everything that is to be seen of a tree, in the order of its listings.
///
/// # Panics
/// When something in it can't be read.
pub fn picture(root: &NodeRef) -> Vec<Seen> {
    let mut seen = Vec::new();
    look(root, String::new(), 0, &mut seen);
    seen
}

fn look(node: &NodeRef, path: String, cookie: u64, seen: &mut Vec<Seen>) {
    let stat = now(node.stat()).expect("stat answers");
    let contents = match stat.qid.kind {
        FileKind::RegularFile => {
            let bytes = read(node, "").expect("it is read");
            bytes.escape_ascii().to_string()
        }
        FileKind::SymbolicLink => now(node.read_link()).expect("a link has a target"),
        _ => String::new(),
    };
    seen.push(Seen {
        path: path.clone(),
        cookie,
        stat,
        contents,
    });
    if stat.qid.kind == FileKind::Directory {
        for entry in list(node, 7).expect("it is listed") {
            let below = walk(node, &entry.name).expect("what is listed is there");
            look(&below, format!("{path}/{}", entry.name), entry.cookie, seen);
        }
    }
}
