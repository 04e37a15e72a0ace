//! Answers.

use capfs::{DirEntry, Errno, Qid, Readiness, Stat, Written};

use super::bytes::{ENTRY_HEAD, Reader, TOO_MUCH, Writer};
use super::{Asked, ERROR, Frame, Kind, READ_MAX, SUBJECT, WireError};

/// How far a walk went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Each node that was found, and whether it has names below.
    pub nodes: Vec<(Qid, bool)>,
    /// Why it went no further, if it didn't.
    pub stopped: Option<Errno>,
}

/// A file that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Offsets mean something.
    pub seekable: bool,
    /// Closing it finishes what opening it began.
    pub unfinished: bool,
}

/// What a request is answered by, if it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// It is done.
    Done,
    /// To `Attach` and `MakeDirectory`: the node, and whether it has names below.
    Node(Qid, bool),
    /// To `Walk`.
    Walked(Walked),
    /// To `GetAttr`.
    Stat(Stat),
    /// To `Open`.
    Opened(Opening),
    /// To `Create`.
    Created(Qid, Opening),
    /// To `ReadLink`.
    Target(&'a str),
    /// To `Read`.
    Data(&'a [u8]),
    /// To `Write`.
    Written(Written),
    /// To `ReadDir`.
    Entries(Vec<DirEntry>),
    /// To `Ready`.
    Ready(Readiness),
}

/// Bytes of the answer to a listing at most: a number, and the entries.
const ENTRIES_MAX: usize = 4 + READ_MAX;

fn opening(to: &mut Writer, opening: Opening) {
    to.u8(u8::from(opening.seekable) | u8::from(opening.unfinished) << 1);
}

fn read_opening(from: &mut Reader<'_>) -> Opening {
    let bits = from.below(4, "what is no opening");
    Opening {
        seekable: bits & 1 != 0,
        unfinished: bits & 2 != 0,
    }
}

/// The errno that a number is. 0 is none.
fn read_errno(from: &mut Reader<'_>) -> Option<Errno> {
    let code = from.u32();
    let errno = u16::try_from(code).ok().and_then(Errno::from_code);
    if code != 0 && errno.is_none() {
        from.fail(NO_ERROR);
    }
    errno
}

const NO_ERROR: WireError = WireError::Value("the number of no error");

/// The answer of a request that failed; with [`NO_TAG`](super::NO_TAG), that the server has ended the connection.
pub(crate) fn errno(tag: u16, errno: Errno) -> Vec<u8> {
    let mut to = Writer::new(ERROR, tag, 4);
    to.u32(errno.code().into());
    to.finish()
}

/// That what an open file stands for is this now.
pub(crate) fn subject(tag: u16, text: &str) -> Vec<u8> {
    let mut to = Writer::new(SUBJECT, tag, text.len() + 2);
    to.text(text);
    to.finish()
}

impl<'a> Reply<'a> {
    /// The frame that answers a request of this type and tag. Of entries, as many as fit.
    pub fn encode(&self, kind: Kind, tag: u16) -> Vec<u8> {
        let data = match self {
            Reply::Data(data) => data.len(),
            _ => 0,
        };
        let mut to = Writer::new(kind.answer(), tag, data + 24);
        match self {
            Reply::Done => {}
            Reply::Node(qid, names) => {
                to.qid(*qid);
                to.u8((*names).into());
            }
            Reply::Walked(walked) => {
                to.u32(walked.stopped.map_or(0, |errno| errno.code().into()));
                to.u16(walked.nodes.len() as u16);
                for (qid, names) in &walked.nodes {
                    to.qid(*qid);
                    to.u8((*names).into());
                }
            }
            Reply::Stat(stat) => to.stat(*stat),
            Reply::Opened(opened) => opening(&mut to, *opened),
            Reply::Created(qid, opened) => {
                to.qid(*qid);
                opening(&mut to, *opened);
            }
            Reply::Target(target) => to.text(target),
            Reply::Data(data) => to.data(data),
            Reply::Written(written) => {
                to.u32(written.bytes as u32);
                to.u64(written.end);
            }
            Reply::Entries(entries) => {
                let mut room = READ_MAX;
                let fitting = entries.iter().take_while(|entry| {
                    let size = ENTRY_HEAD + entry.name.len();
                    let fits = size <= room;
                    room = room.saturating_sub(size);
                    fits
                });
                let count = fitting.count();
                to.u32(count as u32);
                entries[..count].iter().for_each(|entry| to.entry(entry));
            }
            Reply::Ready(readiness) => {
                to.u64(readiness.bytes);
                to.u8(readiness.hangup.into());
            }
        }
        to.finish()
    }

    /// What a frame answers to a request: a reply, or the error that it failed with. It has no more than was asked for, and nothing that no tree
    /// of this system has.
    ///
    /// # Errors
    /// [`WireError::Answer`] if it answers another, [`WireError::Truncated`], [`WireError::Value`]
    pub fn decode(frame: Frame<'a>, asked: Asked) -> Result<Result<Reply<'a>, Errno>, WireError> {
        let mut from = Reader::new(frame.body);
        if frame.kind == ERROR {
            let errno = read_errno(&mut from);
            from.finish()?;
            return errno.map(Err).ok_or(NO_ERROR);
        }
        if frame.kind != asked.kind.answer() {
            return Err(WireError::Answer(frame.tag));
        }
        let reply = match asked.kind {
            Kind::Open => Reply::Opened(read_opening(&mut from)),
            Kind::Create => Reply::Created(from.qid(), read_opening(&mut from)),
            Kind::ReadLink => Reply::Target(from.target()),
            Kind::GetAttr => Reply::Stat(from.stat()),
            Kind::ReadDir => {
                let count = from.no_more(asked.most);
                let mut entries = Vec::new();
                let mut behind = asked.behind;
                // The number is the other side's word.
                while entries.len() < count && !from.is_wrong() {
                    let entry = from.entry();
                    if entry.cookie <= behind {
                        from.fail(WireError::Value("cookies that don't ascend"));
                    }
                    behind = entry.cookie;
                    entries.push(entry);
                }
                if frame.body.len() > ENTRIES_MAX {
                    from.fail(TOO_MUCH);
                }
                Reply::Entries(entries)
            }
            Kind::MakeDirectory | Kind::Attach => Reply::Node(from.qid(), from.flag()),
            Kind::Walk => {
                let stopped = read_errno(&mut from);
                let count = from.u16();
                if usize::from(count) > asked.most {
                    return Err(TOO_MUCH);
                }
                let nodes = (0..count).map(|_| (from.qid(), from.flag()));
                Reply::Walked(Walked {
                    nodes: nodes.collect(),
                    stopped,
                })
            }
            Kind::Read => {
                let data = from.data();
                if data.len() > asked.most {
                    from.fail(TOO_MUCH);
                }
                Reply::Data(data)
            }
            Kind::Write => Reply::Written(Written {
                bytes: from.no_more(asked.most),
                end: from.size(),
            }),
            Kind::Ready => Reply::Ready(Readiness {
                bytes: from.u64(),
                hangup: from.flag(),
            }),
            _ => Reply::Done,
        };
        from.finish()?;
        Ok(Ok(reply))
    }
}

/// The text of a [`SUBJECT`].
pub(crate) fn read_subject(body: &[u8]) -> Result<&str, WireError> {
    let mut from = Reader::new(body);
    let text = from.text();
    from.finish()?;
    Ok(text)
}
