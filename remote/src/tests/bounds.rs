//! Sizes, at ten times what they may be.

use std::task::{Context, Poll, Waker};

use capfs::device::Device;
use capfs::device::pipe::pipe_nodes;
use capfs::testkit::{READ, READ_WRITE, edit, list, name, now, walk, write};
use capfs::{Errno, NodeRef, OpenHow, WriteAt};

use super::{Pair, SIZES, frames, memory};
use crate::server::FIDS_MAX;
use crate::wire::{FRAME_HEAD, READ_MAX, REQUESTS_MAX, Request, WALK_MAX, WireError};

const MSIZE: usize = SIZES.msize();

/// What the frames say that have come.
fn kinds(pair: &Pair) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some(message) = pair.down.next() {
        kinds.extend(frames(&message).unwrap().iter().map(|frame| frame.kind));
    }
    kinds
}

#[test]
fn what_is_longer_than_agreed_on_or_cut_short_ends_the_connection() {
    let frame = |size: usize| {
        let mut frame = (size as u32).to_le_bytes().to_vec();
        frame.extend([24, 0, 0]);
        frame
    };
    let too_long = |size| Err(WireError::TooLong { size, most: MSIZE });
    for (message, wrong) in [
        (frame(10 * MSIZE), too_long(10 * MSIZE)),
        (frame(MSIZE + 1), too_long(MSIZE + 1)),
        (frame(u32::MAX as usize), too_long(u32::MAX as usize)),
        (frame(MSIZE), Err(WireError::Truncated)),
        (frame(FRAME_HEAD + 1), Err(WireError::Truncated)),
        (frame(FRAME_HEAD - 1), Err(WireError::Truncated)),
        (frame(0), Err(WireError::Truncated)),
        (vec![1], Err(WireError::Truncated)),
    ] {
        let pair = Pair::of(memory());
        let root = pair.root();
        assert_eq!(pair.server.receive(message.clone()), wrong);
        assert!(pair.server.has_ended());
        assert_eq!(kinds(&pair), [7], "the client is told");
        assert_eq!(pair.client.receive(&message), wrong);
        assert_eq!(now(root.stat()).err(), Some(Errno::Proto));
    }
}

#[test]
fn a_client_holds_so_many_fids_and_no_more() {
    // So that all walks together, and the root, are as many as there may be.
    const NAMES: u32 = 9;
    assert_eq!((FIDS_MAX - 1) % NAMES as usize, 0);
    let files = memory();
    deep(&files, NAMES as usize);
    let pair = Pair::of(files);
    pair.root();
    pair.settle();
    let mut refused = 0;
    let walks = (FIDS_MAX as u32 - 1) / NAMES;
    for walk in 0..10 * walks {
        let new = 1 + walk * NAMES;
        let steps = (new..new + NAMES).map(|new| (new, "d")).collect();
        let walk = Request::Walk { fid: 0, steps };
        pair.server.receive(walk.encode(0)).unwrap();
        refused += u32::from(kinds(&pair) == [7]);
    }
    assert_eq!((pair.server.numbers(), refused), ((FIDS_MAX, 0), 9 * walks));
}

#[test]
fn so_many_requests_wait_and_no_more() {
    let (reader, writer) = pipe_nodes(8, &Device::unlimited());
    let pair = Pair::of(reader);
    pair.root();
    pair.settle();
    // The root is no directory, but may be opened.
    let open = Request::Open {
        fid: 0,
        new: 1,
        how: READ,
    };
    pair.server.receive(open.encode(0)).unwrap();
    assert_eq!(kinds(&pair), [13]);
    let request = Request::Read {
        fid: 1,
        offset: 0,
        count: 1,
    };
    let tags = 10 * REQUESTS_MAX as u32;
    // There are not ten times as many tags.
    for tag in 0..tags.min(u32::from(u16::MAX)) {
        pair.server.receive(request.encode(tag as u16)).unwrap();
    }
    assert_eq!(pair.server.numbers(), (2, REQUESTS_MAX));
    assert!(kinds(&pair).iter().all(|kind| *kind == 7));
    // Letting go of the file ends them all, each with an answer.
    pair.server
        .receive(Request::Clunk { fids: vec![1, 0] }.encode(0xfff0))
        .unwrap();
    assert_eq!(
        (pair.server.numbers(), kinds(&pair).len()),
        ((0, 0), REQUESTS_MAX + 1)
    );
    drop(writer);
}

#[test]
fn a_client_asks_for_no_more_than_that() {
    let pair = Pair::of(memory());
    let root = pair.root();
    let waiting: Vec<_> = (0..10 * REQUESTS_MAX).map(|_| root.stat()).collect();
    assert_eq!(pair.up.sent(), REQUESTS_MAX);
    let last = waiting.into_iter().last().map(now);
    assert_eq!(last.unwrap().err(), Some(Errno::Nobufs));
    // All are given up, and all numbers come back.
    pair.settle();
    assert_eq!(pair.client.numbers(), (0, 1));
    assert!(pair.end(root.stat()).is_ok());
}

#[test]
fn bytes_under_way_are_bounded() {
    let (reader, writer) = pipe_nodes(8, &Device::unlimited());
    let pair = Pair::of(writer);
    let kept = now(reader.open(READ)).unwrap();
    let attach = Request::Attach {
        new: 0,
        tree: 0,
        path: "",
    };
    pair.server.receive(attach.encode(0)).unwrap();
    let how = OpenHow {
        read: false,
        ..READ_WRITE
    };
    let open = Request::Open {
        fid: 0,
        new: 1,
        how,
    };
    pair.server.receive(open.encode(0)).unwrap();
    let opened = kinds(&pair);
    let data = vec![0; MSIZE / 10 + 1];
    for tag in 0..100 {
        let write = Request::WriteAll {
            fid: 1,
            data: &data,
        };
        pair.server.receive(write.encode(tag)).unwrap();
    }
    assert_eq!((opened.len(), pair.server.numbers().1), (2, 9));
    assert_eq!(kinds(&pair), vec![7; 91]);
    drop(kept);
}

#[test]
fn reads_and_writes_are_cut_to_what_fits() {
    let pair = Pair::of(memory());
    let root = pair.root();
    let made = edit(&root).unwrap().create(name("f"), READ_WRITE);
    let mut file = pair.end(made).unwrap().file;
    let bytes: Vec<u8> = (0..10 * READ_MAX).map(|at| (at % 251) as u8).collect();
    let written = pair.now(|context| file.poll_write(context, WriteAt::Offset(0), &mut &bytes[..]));
    assert_eq!(written.unwrap().bytes, bytes.len());
    let mut room = vec![0; bytes.len()];
    let read = pair.now(|context| file.poll_read(context, 0, &mut &mut room[..]));
    assert_eq!(
        (read, &room[..READ_MAX]),
        (Ok(READ_MAX), &bytes[..READ_MAX])
    );
    // And by whoever asks for more.
    let request = Request::Read {
        fid: 2,
        offset: 0,
        count: u32::MAX,
    };
    pair.server.receive(request.encode(0)).unwrap();
    let message = pair.down.next().unwrap();
    assert_eq!(message.len(), FRAME_HEAD + 4 + READ_MAX);
    // Ten times the longest frame, of a write: as much as one frame holds is written.
    let long = vec![1; 10 * MSIZE];
    let at = WriteAt::Offset(0);
    let polled = file.poll_write(&mut Context::from_waker(Waker::noop()), at, &mut &long[..]);
    assert!(matches!(polled, Poll::Pending));
    assert!(pair.up.next().unwrap().len() <= MSIZE);
}

#[test]
fn long_listings_come_in_parts() {
    let files = memory();
    let expected: Vec<String> = (0..1_000).map(|at| format!("{at:0>250}")).collect();
    for name in &expected {
        write(&files, name, b"").unwrap();
    }
    let pair = Pair::of(files);
    let root = pair.root();
    let mut file = pair.end(root.open(READ)).unwrap();
    let (mut names, mut parts, mut cookie) = (Vec::new(), 0, 0);
    loop {
        let listing = file.entries().unwrap().list(cookie, 10_000);
        let part = pair.end(listing).unwrap();
        let Some(last) = part.last() else {
            break;
        };
        (cookie, parts) = (last.cookie, parts + 1);
        names.extend(part.into_iter().map(|entry| entry.name));
    }
    names.sort();
    assert_eq!((names, parts), (expected, 5));
}

#[test]
fn a_walk_of_too_many_names_is_none() {
    let pair = Pair::of(memory());
    let steps = |count: usize| (0..count).map(|at| (at as u32, "d")).collect();
    for count in [0, WALK_MAX + 1, 10 * WALK_MAX] {
        let pair = Pair::of(memory());
        let walk = Request::Walk {
            fid: 0,
            steps: steps(count),
        };
        let wrong = "a walk of no names or of too many";
        assert_eq!(
            pair.server.receive(walk.encode(0)),
            Err(WireError::Value(wrong))
        );
    }
    let walk = Request::Walk {
        fid: 99,
        steps: steps(WALK_MAX),
    };
    assert_eq!(pair.server.receive(walk.encode(0)), Ok(()));
    assert_eq!((pair.server.numbers(), kinds(&pair)), ((0, 0), vec![7]));
}

fn deep(root: &NodeRef, depth: usize) -> String {
    let mut node = root.clone();
    for _ in 0..depth {
        node = now(edit(&node).unwrap().make_directory(name("d"))).unwrap();
    }
    let path = vec!["d"; depth].join("/");
    assert!(walk(root, &path).is_ok() && list(root, 5).unwrap().len() == 1);
    path
}

#[test]
fn a_tree_of_any_depth_is_walked() {
    let files = memory();
    let path = deep(&files, 10 * WALK_MAX);
    let pair = Pair::of(files);
    let mut node = pair.root();
    for part in path.split('/') {
        let found = node.directory().unwrap().walk(name(part));
        node = pair.end(found).unwrap();
    }
    assert!(pair.end(node.stat()).is_ok());
}
