//! Numbers, flushes and ends.

use std::task::{Context, Poll, Waker};

use capfs::device::Device;
use capfs::device::pipe::pipe_nodes;
use capfs::device::synthetic::SyntheticDir;
use capfs::testkit::{READ, directory, edit, name, names_in, walk, write};
use capfs::{Errno, FileKind, Interest, NodeRef, Op, OpenFile, OpenHow, WriteAt};

use super::{Pair, frames, memory};
use crate::wire::{Frame, NO_TAG, Request, WireError, errno};

const WRITE: OpenHow = OpenHow {
    read: false,
    write: true,
    truncate: false,
};

/// A tree with both ends of a pipe of 8 bytes, `r` and `w`.
fn tree() -> NodeRef {
    let (reader, writer) = pipe_nodes(8, &Device::unlimited());
    let files = SyntheticDir::builder().node("r", reader).node("w", writer);
    files.build()
}

fn at(pair: &Pair, root: &NodeRef, file: &str) -> NodeRef {
    let found = directory(root).unwrap().walk(name(file));
    pair.end(found).unwrap()
}

fn open(pair: &Pair, root: &NodeRef, file: &str, how: OpenHow) -> Box<dyn OpenFile> {
    let node = at(pair, root, file);
    pair.end(node.open(how)).unwrap()
}

/// Polls once, and delivers nothing.
fn begun<T>(op: &mut Op<T>) {
    let Op::Later(future) = op else {
        panic!("it is done already");
    };
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
}

/// Reads what is there.
fn read(pair: &Pair, file: &mut dyn OpenFile) -> Poll<Result<Vec<u8>, Errno>> {
    let mut bytes = [0; 64];
    for _ in 0..3 {
        let polled = pair.poll(|context| file.poll_read(context, 0, &mut &mut bytes[..]));
        if let Poll::Ready(count) = polled {
            return Poll::Ready(count.map(|count| bytes[..count].to_vec()));
        }
    }
    Poll::Pending
}

#[test]
fn a_write_that_is_flushed_writes_nothing_more() {
    let pair = Pair::of(tree());
    let root = pair.root();
    let mut reader = open(&pair, &root, "r", READ);
    let mut writer = open(&pair, &root, "w", WRITE);
    let written =
        pair.now(|context| writer.poll_write(context, WriteAt::End, &mut &b"12345678"[..]));
    assert_eq!(written.unwrap().bytes, 8);
    for _ in 0..2 {
        let full =
            pair.poll(|context| writer.poll_write(context, WriteAt::End, &mut &b"never"[..]));
        assert!(full.is_pending());
    }
    assert_eq!(pair.server.numbers().1, 1);
    writer.cancel();
    pair.settle();
    assert_eq!((pair.server.numbers().1, pair.client.numbers().0), (0, 0));
    assert_eq!(
        read(&pair, &mut *reader),
        Poll::Ready(Ok(b"12345678".to_vec()))
    );
    assert_eq!(read(&pair, &mut *reader), Poll::Pending);
}

#[test]
fn what_is_under_way_on_a_file_ends_with_it() {
    let pair = Pair::of(tree());
    let root = pair.root();
    pair.settle();
    let before = pair.server.numbers();
    let mut reader = open(&pair, &root, "r", READ);
    assert_eq!(read(&pair, &mut *reader), Poll::Pending);
    let polled = pair.poll(|context| reader.poll_ready(context, Interest::Read));
    assert!(polled.is_pending());
    assert_eq!(pair.server.numbers().1, 1, "the read is what is waited for");
    drop(reader);
    pair.settle();
    // The node's fid goes with the next request; here, with that of the file.
    assert_eq!(pair.server.numbers(), before);
    assert_eq!(pair.client.numbers(), (0, 1));
}

#[test]
fn a_wait_for_readiness_is_woken_or_flushed() {
    let pair = Pair::of(tree());
    let root = pair.root();
    let mut reader = open(&pair, &root, "r", READ);
    let mut writer = open(&pair, &root, "w", WRITE);
    for _ in 0..3 {
        let polled = pair.poll(|context| reader.poll_ready(context, Interest::Read));
        assert!(polled.is_pending());
    }
    assert_eq!(pair.server.numbers().1, 1, "it is asked for once");
    let written = pair.now(|context| writer.poll_write(context, WriteAt::End, &mut &b"123"[..]));
    assert_eq!(written.unwrap().bytes, 3);
    let ready = pair.now(|context| reader.poll_ready(context, Interest::Read));
    assert_eq!(ready.unwrap().bytes, 3);
    assert_eq!(read(&pair, &mut *reader), Poll::Ready(Ok(b"123".to_vec())));
    let polled = pair.poll(|context| reader.poll_ready(context, Interest::Read));
    assert!(polled.is_pending());
    drop(reader);
    pair.settle();
    assert_eq!((pair.server.numbers().1, pair.client.numbers().0), (0, 0));
}

#[test]
fn an_answer_that_crosses_a_flush_is_for_nobody_and_its_tag_is_kept_until_then() {
    let pair = Pair::of(tree());
    let root = pair.root();
    let held = pair.root();
    let node = at(&pair, &root, "r");
    pair.settle();
    let (fids, _) = pair.server.numbers();
    // One that opens, so that there is something that could be left behind.
    let mut opening = node.open(READ);
    begun(&mut opening);
    pair.up();
    assert_eq!(pair.server.numbers().0, fids + 1);
    drop(opening);
    // The answer and the flush are both on their way: the tag is neither's to give.
    let mut stat = held.stat();
    begun(&mut stat);
    // The opening, its flush, the clunk, and the stat.
    assert_eq!(pair.client.numbers().0, 4);
    pair.down();
    assert_eq!(
        pair.client.numbers().0,
        4,
        "an answer doesn't free what is flushed"
    );
    pair.settle();
    assert_eq!(
        pair.end(stat).map(|stat| stat.qid.kind),
        Ok(FileKind::Directory)
    );
    assert_eq!(
        (pair.server.numbers(), pair.client.numbers().0),
        ((fids, 0), 0)
    );
}

#[test]
fn what_is_flushed_before_it_arrives_leaves_nothing() {
    let pair = Pair::of(memory());
    let root = pair.root();
    pair.settle();
    let before = (pair.server.numbers(), pair.client.numbers());
    let mut making = edit(&root).unwrap().create(name("f"), READ);
    begun(&mut making);
    drop(making);
    pair.settle();
    assert_eq!((pair.server.numbers(), pair.client.numbers()), before);
}

#[test]
fn numbers_are_used_again() {
    let pair = Pair::of(memory());
    write(&pair.roots.all[0], "f", b"content").unwrap();
    let root = pair.root();
    let mut most = (0, 0);
    for _ in 0..5_000 {
        drop(open(&pair, &root, "f", READ));
        let (tags, fids) = pair.client.numbers();
        most = (most.0.max(tags), most.1.max(fids));
    }
    assert!(most.0 <= 2 && most.1 <= 5, "{most:?}");
    // The largest that were ever given, too.
    let mut opening = at(&pair, &root, "f").open(READ);
    begun(&mut opening);
    let message = pair.up.next().unwrap();
    let frames = frames(&message).unwrap();
    let Ok(Request::Open { fid, new, .. }) = Request::decode(frames[0]) else {
        panic!("{frames:?}");
    };
    assert!(frames[0].tag < 4 && fid < 8 && new < 8, "{frames:?}");
}

#[test]
fn nodes_that_nobody_uses_are_let_go_of_with_the_next_request_and_never_many_later() {
    let pair = Pair::of(memory());
    write(&pair.roots.all[0], "f", b"content").unwrap();
    let root = pair.root();
    let mut nodes = Vec::new();
    for _ in 0..100 {
        nodes.push(at(&pair, &root, "f"));
    }
    let sent = pair.up.sent();
    drop(nodes);
    pair.settle();
    assert_eq!(pair.up.sent(), sent + 1, "64 of them are told at once");
    assert_eq!(pair.server.numbers().0, 1 + 36);
    pair.end(root.stat()).unwrap();
    assert_eq!((pair.up.sent(), pair.server.numbers().0), (sent + 2, 1));
    // But what a removal leaves is not kept.
    let node = at(&pair, &root, "f");
    pair.end(edit(&root).unwrap().unlink(name("f"))).unwrap();
    drop(node);
    pair.settle();
    assert_eq!(pair.server.numbers().0, 1);
}

#[test]
fn a_connection_that_ends_takes_all_with_it() {
    let root = tree();
    let pair = Pair::of(root.clone());
    let seen = pair.root();
    let mut reader = open(&pair, &seen, "r", READ);
    let mut writer = open(&Pair::of(root.clone()), &root, "w", WRITE);
    assert_eq!(read(&pair, &mut *reader), Poll::Pending);
    let mut stat = seen.stat();
    begun(&mut stat);
    pair.client.end();
    assert_eq!(pair.end(stat).err(), Some(Errno::Io));
    assert_eq!(read(&pair, &mut *reader), Poll::Ready(Err(Errno::Io)));
    assert_eq!(pair.end(seen.stat()).err(), Some(Errno::Io));
    // The server lets go of the reading end, so that the writer learns that nobody reads.
    pair.server.end();
    assert_eq!(pair.server.numbers(), (0, 0));
    let mut context = Context::from_waker(Waker::noop());
    let written = writer.poll_write(&mut context, WriteAt::End, &mut &b"x"[..]);
    assert_eq!(
        written.map_ok(|written| written.bytes),
        Poll::Ready(Err(Errno::Pipe))
    );
    drop((reader, seen));
    // What comes late makes nothing.
    let late = Request::Attach {
        new: 0,
        tree: 0,
        path: "",
    }
    .encode(0);
    assert_eq!(pair.server.receive(late), Ok(()));
    assert_eq!(pair.server.numbers(), (0, 0));
    assert!(pair.down.next().is_none());
}

#[test]
fn a_transport_that_has_ended_shows_in_what_is_asked() {
    let pair = Pair::of(memory());
    let root = pair.root();
    pair.settle();
    pair.up.end();
    assert_eq!(pair.end(root.stat()).err(), Some(Errno::Io));
    assert!(pair.client.has_ended());
}

#[test]
fn connections_see_nothing_of_each_other() {
    let files = memory();
    let (one, other) = (Pair::of(files.clone()), Pair::of(files));
    let root = one.root();
    one.settle();
    let node = write(&one.roots.all[0], "f", b"content")
        .map(|_| at(&one, &root, "f"))
        .unwrap();
    let stat = |pair: &Pair, fid| {
        pair.server
            .receive(Request::GetAttr { fid }.encode(9))
            .unwrap();
        let message = pair.down.next().unwrap();
        frames(&message).unwrap()[0].kind
    };
    // Fid 1 is the file of the one; of the other it is nothing, also when that has a root.
    assert_eq!(
        (stat(&one, 1), stat(&other, 1), stat(&other, 0)),
        (25, 7, 7)
    );
    let theirs = other.root();
    other.settle();
    assert_eq!((stat(&other, 0), stat(&other, 1)), (25, 7));
    // Nor is a node of the one linked into the other's tree, though they are of one device.
    let linked = edit(&theirs).unwrap().link(name("g"), &node);
    assert_eq!(other.end(linked), Err(Errno::Xdev));
}

#[test]
fn wrong_tags_end_the_connection_on_both_sides() {
    // Two requests with one tag.
    let pair = Pair::of(tree());
    let root = pair.root();
    let mut reader = open(&pair, &root, "r", READ);
    assert_eq!(read(&pair, &mut *reader), Poll::Pending);
    let again = Request::GetAttr { fid: 0 }.encode(0);
    assert_eq!(pair.server.receive(again), Err(WireError::Tag(0)));
    assert_eq!(
        (pair.server.numbers(), pair.server.has_ended()),
        ((0, 0), true)
    );
    assert_eq!(read(&pair, &mut *reader), Poll::Ready(Err(Errno::Proto)));
    assert!(pair.client.has_ended());
    // The tag that none has.
    let pair = Pair::of(tree());
    let none = Request::GetAttr { fid: 0 }.encode(NO_TAG);
    assert_eq!(pair.server.receive(none), Err(WireError::Tag(NO_TAG)));

    // An answer to nobody, one that comes twice, one to another question.
    let done = |kind: u8, tag: u8| vec![7, 0, 0, 0, kind, tag, 0];
    let client = |answers: &[Vec<u8>]| {
        let pair = Pair::of(tree());
        let root = pair.root();
        pair.settle();
        let stat = root.stat();
        let mut outcome = Ok(());
        for answer in answers {
            outcome = pair.client.receive(answer);
        }
        assert!(pair.end(stat).is_err());
        outcome
    };
    assert_eq!(client(&[done(25, 5)]), Err(WireError::Tag(5)));
    let failed = || errno(0, Errno::Io);
    assert_eq!(client(&[failed(), failed()]), Err(WireError::Tag(0)));
    assert_eq!(client(&[done(117, 0)]), Err(WireError::Answer(0)));
    // One that says nothing of what was asked.
    assert!(client(&[done(25, 0)]).is_err());
}

#[test]
fn forged_fids_fail_the_one_request() {
    let pair = Pair::of(tree());
    let root = pair.root();
    pair.settle();
    let answered = |request: Request<'_>| {
        pair.server.receive(request.encode(3)).unwrap();
        let message = pair.down.next().unwrap();
        let Frame { kind, tag, body } = frames(&message).unwrap()[0];
        assert_eq!((kind, tag), (7, 3));
        Errno::from_code(u16::from_le_bytes([body[0], body[1]]))
    };
    let (fid, bad) = (77, Some(Errno::Badf));
    assert_eq!(answered(Request::GetAttr { fid }), bad);
    assert_eq!(
        answered(Request::Read {
            fid,
            offset: 0,
            count: 1
        }),
        bad
    );
    // A node that isn't open, and a number that is taken.
    assert_eq!(
        answered(Request::Read {
            fid: 0,
            offset: 0,
            count: 1
        }),
        bad
    );
    assert_eq!(
        answered(Request::Open {
            fid: 0,
            new: 0,
            how: READ
        }),
        bad
    );
    let steps = vec![(1, "r"), (1, "x")];
    assert_eq!(answered(Request::Walk { fid: 0, steps }), bad);
    assert_eq!(
        answered(Request::Walk {
            fid: 0,
            steps: vec![(1, "..")]
        }),
        Some(Errno::Inval)
    );
    assert_eq!(pair.server.numbers(), (1, 0));
    assert_eq!(
        pair.end(root.stat()).map(|stat| stat.qid.kind),
        Ok(FileKind::Directory)
    );
}

#[test]
fn a_tree_that_is_revoked_is_told_to_whom_it_is() {
    let pair = Pair::of(memory());
    pair.client.revoke(3);
    pair.settle();
    assert_eq!(*pair.roots.revoked.lock().unwrap(), [3]);
    assert_eq!(pair.client.numbers(), (0, 0));
}

#[test]
fn what_is_not_there_shows_in_what_is_asked() {
    let pair = Pair::of(memory());
    let none = pair.client.attach(7, FileKind::Directory, "").unwrap();
    assert_eq!(pair.end(none.stat()).err(), Some(Errno::Badf));
    assert!(names_in(&pair.roots.all[0]).unwrap().is_empty());
    assert!(walk(&pair.roots.all[0], "x").is_err());
}
