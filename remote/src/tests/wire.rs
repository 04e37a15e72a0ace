//! The wire: what is written is read again, and what strangers write is no harm.

use capfs::{
    DirEntry, Errno, FileKind, Interest, OpenHow, Qid, Readiness, SetStat, SetTime, Stat, WriteAt,
    Written,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{Pair, SIZES, frames, memory};
use crate::wire::{
    Asked, Frame, Kind, NO_TAG, Opening, READ_MAX, Reply, Request, Walked, WireError,
};

const NAME: &str = "[a-zä-ö0-9./]{0,40}";

/// One component of such a path.
const FILE: &str = "[a-zä-ö0-9]{1,40}";

/// As much as there is.
pub(super) fn all(kind: Kind) -> Asked {
    Asked {
        kind,
        most: usize::MAX,
        behind: 0,
    }
}

fn how() -> impl Strategy<Value = OpenHow> {
    any::<(bool, bool, bool)>().prop_map(|(read, write, truncate)| OpenHow {
        read,
        write,
        truncate,
    })
}

fn at() -> impl Strategy<Value = WriteAt> {
    prop_oneof![any::<u64>().prop_map(WriteAt::Offset), Just(WriteAt::End)]
}

fn set_stat() -> impl Strategy<Value = SetStat> {
    let time = || {
        option::of(prop_oneof![
            Just(SetTime::Now),
            any::<u64>().prop_map(SetTime::To)
        ])
    };
    (option::of(any::<u64>()), time(), time()).prop_map(|(size, atime, mtime)| SetStat {
        size,
        atime,
        mtime,
    })
}

fn qid() -> impl Strategy<Value = Qid> {
    (any::<u32>(), any::<u64>(), 0..8u32).prop_map(|(device, path, kind)| Qid {
        device,
        path,
        kind: FileKind::from_number(kind),
    })
}

fn opening() -> impl Strategy<Value = Opening> {
    any::<(bool, bool)>().prop_map(|(seekable, unfinished)| Opening {
        seekable,
        unfinished,
    })
}

fn errno() -> impl Strategy<Value = Errno> {
    (1..77u16).prop_map(|code| Errno::from_code(code).unwrap())
}

/// The values that requests are made of.
#[derive(Clone, Debug)]
struct Values {
    numbers: [u32; 4],
    long: [u64; 2],
    flag: bool,
    names: [String; 2],
    data: Vec<u8>,
    how: OpenHow,
    at: WriteAt,
    change: SetStat,
    steps: Vec<(u32, String)>,
    fids: Vec<u32>,
}

fn values() -> impl Strategy<Value = Values> {
    let first = (
        any::<[u32; 4]>(),
        any::<[u64; 2]>(),
        any::<bool>(),
        [NAME, NAME],
    );
    let lists = (vec((any::<u32>(), NAME), 1..17), vec(any::<u32>(), 0..70));
    (
        first,
        vec(any::<u8>(), 0..300),
        how(),
        at(),
        set_stat(),
        lists,
    )
        .prop_map(
            |((numbers, long, flag, names), data, how, at, change, (steps, fids))| Values {
                numbers,
                long,
                flag,
                names,
                data,
                how,
                at,
                change,
                steps,
                fids,
            },
        )
}

/// One of each kind.
fn requests(from: &Values) -> Vec<Request<'_>> {
    let [fid, new, other, count] = from.numbers;
    let [offset, length] = from.long;
    let (name, target) = (from.names[0].as_str(), from.names[1].as_str());
    let (data, how, at, change) = (from.data.as_slice(), from.how, from.at, from.change);
    let interest = match from.flag {
        true => Interest::Read,
        false => Interest::Write,
    };
    let steps = from.steps.iter().map(|(new, name)| (*new, name.as_str()));
    vec![
        Request::Attach {
            new,
            tree: other,
            path: target,
        },
        Request::Walk {
            fid,
            steps: steps.collect(),
        },
        Request::GetAttr { fid },
        Request::SetAttr { fid, change },
        Request::Open { fid, new, how },
        Request::Create {
            fid,
            name,
            new_node: new,
            new_file: other,
            how,
        },
        Request::ReadLink { fid },
        Request::MakeDirectory { fid, name, new },
        Request::Symlink { fid, name, target },
        Request::Link {
            fid,
            name,
            node: other,
        },
        Request::Unlink {
            fid,
            name,
            directory: from.flag,
        },
        Request::Rename {
            fid,
            name,
            to: other,
            to_name: target,
        },
        Request::Read { fid, offset, count },
        Request::Write { fid, at, data },
        Request::ReadDir {
            fid,
            cookie: offset,
            count,
        },
        Request::Sync {
            fid,
            data_only: from.flag,
        },
        Request::Flush { tag: count as u16 },
        Request::Clunk {
            fids: from.fids.clone(),
        },
        Request::Ready { fid, interest },
        Request::Allocate {
            fid,
            offset,
            length,
        },
        Request::WriteAll { fid, data },
        Request::Finish { fid },
        Request::Revoke { tree: other },
    ]
}

fn entry() -> impl Strategy<Value = DirEntry> {
    // Its cookie is its place.
    (FILE, qid()).prop_map(|(name, qid)| DirEntry {
        name,
        qid,
        cookie: 0,
    })
}

proptest! {
    #[test]
    fn every_request_is_read_as_it_was_written(from in values(), tag in any::<u16>()) {
        for request in requests(&from) {
            let bytes = request.encode(tag);
            let frame = Frame::read(&bytes, SIZES).unwrap();
            prop_assert_eq!(frame.tag, tag);
            prop_assert_eq!(Request::decode(frame), Ok(request));
            // Nothing that is cut short, and nothing with something behind it.
            for short in 0..bytes.len().min(64) {
                prop_assert_eq!(Frame::read(&bytes[..short], SIZES), Err(WireError::Truncated));
            }
            for short in 0..frame.body.len() {
                let cut = Frame { body: &frame.body[..short], ..frame };
                prop_assert!(Request::decode(cut).is_err());
            }
            let mut longer = frame.body.to_vec();
            longer.push(0);
            let longer = Frame { body: &longer, ..frame };
            prop_assert!(Request::decode(longer).is_err());
        }
    }

    #[test]
    fn every_reply_is_read_as_it_was_written(
        (qid, names, opened) in (qid(), any::<bool>(), opening()),
        (nodes, stopped) in (vec((qid(), any::<bool>()), 0..17), option::of(errno())),
        (numbers, size) in (any::<[u64; 4]>(), 0..1u64 << 63),
        data in vec(any::<u8>(), 0..300),
        target in NAME,
        entries in vec(entry(), 0..40),
        failed in errno(),
        tag in any::<u16>(),
    ) {
        let [nlink, atime, mtime, ctime] = numbers;
        let places = 1..;
        let entries = entries.into_iter().zip(places);
        let entries = entries.map(|(entry, cookie)| DirEntry { cookie, ..entry });
        let stat = Stat { qid, nlink, size, atime, mtime, ctime };
        let written = Written { bytes: nlink as u32 as usize, end: size };
        let replies = [
            (Kind::Clunk, Reply::Done),
            (Kind::Attach, Reply::Node(qid, names)),
            (Kind::Walk, Reply::Walked(Walked { nodes, stopped })),
            (Kind::GetAttr, Reply::Stat(stat)),
            (Kind::Open, Reply::Opened(opened)),
            (Kind::Create, Reply::Created(qid, opened)),
            (Kind::ReadLink, Reply::Target(&target)),
            (Kind::Read, Reply::Data(&data)),
            (Kind::Write, Reply::Written(written)),
            (Kind::ReadDir, Reply::Entries(entries.collect())),
            (Kind::Ready, Reply::Ready(Readiness { bytes: size, hangup: names })),
        ];
        for (asked, reply) in replies {
            let bytes = reply.encode(asked, tag);
            let frame = Frame::read(&bytes, SIZES).unwrap();
            prop_assert_eq!(Reply::decode(frame, all(asked)), Ok(Ok(reply)));
            prop_assert_eq!(Reply::decode(frame, all(Kind::Flush)), Err(WireError::Answer(tag)));
            for short in 0..frame.body.len() {
                let cut = Frame { body: &frame.body[..short], ..frame };
                prop_assert!(Reply::decode(cut, all(asked)).is_err());
            }
        }
        let bytes = crate::wire::errno(tag, failed);
        let frame = Frame::read(&bytes, SIZES).unwrap();
        prop_assert_eq!(Reply::decode(frame, all(Kind::GetAttr)), Ok(Err(failed)));
    }

    #[test]
    fn whatever_arrives_harms_nobody(
        message in vec(any::<u8>(), 0..200),
        kind in any::<u8>(),
        tag in prop_oneof![0..3u16, Just(NO_TAG)],
    ) {
        let pair = Pair::of(memory());
        let root = pair.root();
        let _ = root.stat();
        pair.settle();
        let waiting = root.stat();
        let _ = pair.server.receive(message.clone());
        let _ = pair.client.receive(&message);
        let mut frame = (message.len() as u32 + 7).to_le_bytes().to_vec();
        frame.push(kind);
        frame.extend(tag.to_le_bytes());
        frame.extend(message);
        let _ = pair.server.receive(frame.clone());
        let _ = pair.client.receive(&frame);
        drop((waiting, root));
        pair.server.end();
        prop_assert_eq!(pair.server.numbers(), (0, 0));
    }
}

#[test]
fn entries_that_do_not_fit_are_left_for_the_next_listing() {
    let entry = |cookie| DirEntry {
        name: "n".repeat(255),
        qid: Qid::new(cookie, FileKind::RegularFile),
        cookie,
    };
    let entries: Vec<DirEntry> = (1..1_000).map(entry).collect();
    let bytes = Reply::Entries(entries.clone()).encode(Kind::ReadDir, 1);
    assert!(bytes.len() <= READ_MAX + 11);
    let frames = frames(&bytes).unwrap();
    let Ok(Ok(Reply::Entries(told))) = Reply::decode(frames[0], all(Kind::ReadDir)) else {
        panic!("{frames:?}");
    };
    assert_eq!(told[..], entries[..READ_MAX / (23 + 255)]);
}

#[test]
fn a_number_of_entries_that_is_a_lie_takes_no_memory() {
    let mut bytes = vec![15, 0, 0, 0, 41, 1, 0];
    bytes.extend(u32::MAX.to_le_bytes());
    bytes.extend([0; 4]);
    let frame = Frame::read(&bytes, SIZES).unwrap();
    assert_eq!(
        Reply::decode(frame, all(Kind::ReadDir)),
        Err(WireError::Truncated)
    );
}
