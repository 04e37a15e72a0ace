//! Requests.

use capfs::{Interest, OpenHow, SetStat, WriteAt};

use super::bytes::{Reader, Writer};
use super::{Asked, Frame, Kind, WALK_MAX, WireError};

/// What a client asks for. Each `fid` is a number that stands for something, each `new…` one that is to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named for what they are")]
pub enum Request<'a> {
    /// Begins at a tree: the one of this number that was made for the client, or for 0 the server's own, from a path on.
    Attach {
        new: u32,
        tree: u32,
        path: &'a str,
    },
    /// Goes from name to name, and gives each node on the way a fid; stops at what is missing, or has no names.
    Walk {
        fid: u32,
        steps: Vec<(u32, &'a str)>,
    },
    GetAttr {
        fid: u32,
    },
    SetAttr {
        fid: u32,
        change: SetStat,
    },
    /// Opens a node; the open file has a fid of its own.
    Open {
        fid: u32,
        new: u32,
        how: OpenHow,
    },
    /// Makes a file and opens it, in one step.
    Create {
        fid: u32,
        name: &'a str,
        new_node: u32,
        new_file: u32,
        how: OpenHow,
    },
    ReadLink {
        fid: u32,
    },
    MakeDirectory {
        fid: u32,
        name: &'a str,
        new: u32,
    },
    Symlink {
        fid: u32,
        name: &'a str,
        target: &'a str,
    },
    /// Gives `node` one more name.
    Link {
        fid: u32,
        name: &'a str,
        node: u32,
    },
    Unlink {
        fid: u32,
        name: &'a str,
        directory: bool,
    },
    Rename {
        fid: u32,
        name: &'a str,
        to: u32,
        to_name: &'a str,
    },
    Read {
        fid: u32,
        offset: u64,
        count: u32,
    },
    Write {
        fid: u32,
        at: WriteAt,
        data: &'a [u8],
    },
    ReadDir {
        fid: u32,
        cookie: u64,
        count: u32,
    },
    Sync {
        fid: u32,
        data_only: bool,
    },
    /// Gives up the request of this tag. Answered in any case; afterwards nothing of that request happens any more.
    Flush {
        tag: u16,
    },
    /// Lets go of fids, all of them, and of what is under way on those that are open.
    Clunk {
        fids: Vec<u32>,
    },
    /// Is answered when the open file can be read or written without waiting.
    Ready {
        fid: u32,
        interest: Interest,
    },
    Allocate {
        fid: u32,
        offset: u64,
        length: u64,
    },
    /// Writes to a stream, and is answered when all bytes are written.
    WriteAll {
        fid: u32,
        data: &'a [u8],
    },
    /// Does what closing is to begin, to its end.
    Finish {
        fid: u32,
    },
    /// Takes a tree that was made for the client away. What goes on behind it ends.
    Revoke {
        tree: u32,
    },
}

impl<'a> Request<'a> {
    /// Which it is.
    pub fn kind(&self) -> Kind {
        use Request::*;
        match self {
            Open { .. } => Kind::Open,
            Create { .. } => Kind::Create,
            Symlink { .. } => Kind::Symlink,
            ReadLink { .. } => Kind::ReadLink,
            GetAttr { .. } => Kind::GetAttr,
            SetAttr { .. } => Kind::SetAttr,
            ReadDir { .. } => Kind::ReadDir,
            Sync { .. } => Kind::Sync,
            Link { .. } => Kind::Link,
            MakeDirectory { .. } => Kind::MakeDirectory,
            Rename { .. } => Kind::Rename,
            Unlink { .. } => Kind::Unlink,
            Attach { .. } => Kind::Attach,
            Flush { .. } => Kind::Flush,
            Walk { .. } => Kind::Walk,
            Read { .. } => Kind::Read,
            Write { .. } => Kind::Write,
            Clunk { .. } => Kind::Clunk,
            Ready { .. } => Kind::Ready,
            Allocate { .. } => Kind::Allocate,
            WriteAll { .. } => Kind::WriteAll,
            Finish { .. } => Kind::Finish,
            Revoke { .. } => Kind::Revoke,
        }
    }

    /// What its answer has to keep to.
    pub fn asked(&self) -> Asked {
        let (most, behind) = match *self {
            Request::Read { count, .. } => (count as usize, 0),
            Request::ReadDir { cookie, count, .. } => (count as usize, cookie),
            Request::Write { data, .. } => (data.len(), 0),
            Request::Walk { ref steps, .. } => (steps.len(), 0),
            _ => (0, 0),
        };
        Asked {
            kind: self.kind(),
            most,
            behind,
        }
    }

    /// The fid that it is about, if that may be an open file.
    pub(crate) fn on(&self) -> Option<u32> {
        use Request::*;
        match *self {
            GetAttr { fid }
            | SetAttr { fid, .. }
            | Read { fid, .. }
            | Write { fid, .. }
            | ReadDir { fid, .. }
            | Sync { fid, .. }
            | Ready { fid, .. }
            | Allocate { fid, .. }
            | WriteAll { fid, .. }
            | Finish { fid } => Some(fid),
            _ => None,
        }
    }

    /// The frame.
    pub fn encode(&self, tag: u16) -> Vec<u8> {
        use Request::*;
        let data = match self {
            Write { data, .. } | WriteAll { data, .. } => data.len(),
            _ => 0,
        };
        let mut to = Writer::new(self.kind() as u8, tag, data + 24);
        match self {
            Attach { new, tree, path } => {
                to.u32(*new);
                to.u32(*tree);
                to.text(path);
            }
            Walk { fid, steps } => {
                to.u32(*fid);
                to.u16(steps.len() as u16);
                for (new, name) in steps {
                    to.u32(*new);
                    to.text(name);
                }
            }
            GetAttr { fid } | ReadLink { fid } | Finish { fid } => to.u32(*fid),
            SetAttr { fid, change } => {
                to.u32(*fid);
                to.set_stat(*change);
            }
            Open { fid, new, how } => {
                to.u32(*fid);
                to.u32(*new);
                to.how(*how);
            }
            Create {
                fid,
                name,
                new_node,
                new_file,
                how,
            } => {
                to.u32(*fid);
                to.text(name);
                to.u32(*new_node);
                to.u32(*new_file);
                to.how(*how);
            }
            MakeDirectory { fid, name, new } => {
                to.u32(*fid);
                to.text(name);
                to.u32(*new);
            }
            Symlink { fid, name, target } => {
                to.u32(*fid);
                to.text(name);
                to.text(target);
            }
            Link { fid, name, node } => {
                to.u32(*fid);
                to.text(name);
                to.u32(*node);
            }
            Unlink {
                fid,
                name,
                directory,
            } => {
                to.u32(*fid);
                to.text(name);
                to.u8((*directory).into());
            }
            Rename {
                fid,
                name,
                to: directory,
                to_name,
            } => {
                to.u32(*fid);
                to.text(name);
                to.u32(*directory);
                to.text(to_name);
            }
            Read { fid, offset, count } => {
                to.u32(*fid);
                to.u64(*offset);
                to.u32(*count);
            }
            Write { fid, at, data } => {
                to.u32(*fid);
                to.at(*at);
                to.data(data);
            }
            ReadDir { fid, cookie, count } => {
                to.u32(*fid);
                to.u64(*cookie);
                to.u32(*count);
            }
            Sync { fid, data_only } => {
                to.u32(*fid);
                to.u8((*data_only).into());
            }
            Flush { tag } => to.u16(*tag),
            Clunk { fids } => {
                to.u16(fids.len() as u16);
                fids.iter().for_each(|fid| to.u32(*fid));
            }
            Ready { fid, interest } => {
                to.u32(*fid);
                to.interest(*interest);
            }
            Allocate {
                fid,
                offset,
                length,
            } => {
                to.u32(*fid);
                to.u64(*offset);
                to.u64(*length);
            }
            WriteAll { fid, data } => {
                to.u32(*fid);
                to.data(data);
            }
            Revoke { tree } => to.u32(*tree),
        }
        to.finish()
    }

    /// The request that a frame is.
    ///
    /// # Errors
    /// [`WireError::Type`], [`WireError::Truncated`], [`WireError::Value`]
    pub fn decode(frame: Frame<'a>) -> Result<Request<'a>, WireError> {
        use Request::*;
        let mut from = Reader::new(frame.body);
        let kind = Kind::of(frame.kind)?;
        // What most begin with.
        let fid = match kind {
            Kind::Attach | Kind::Flush | Kind::Clunk | Kind::Revoke => 0,
            _ => from.u32(),
        };
        let request = match kind {
            Kind::Open => Open {
                fid,
                new: from.u32(),
                how: from.how(),
            },
            Kind::Create => Create {
                fid,
                name: from.text(),
                new_node: from.u32(),
                new_file: from.u32(),
                how: from.how(),
            },
            Kind::Symlink => Symlink {
                fid,
                name: from.text(),
                target: from.text(),
            },
            Kind::ReadLink => ReadLink { fid },
            Kind::GetAttr => GetAttr { fid },
            Kind::SetAttr => SetAttr {
                fid,
                change: from.set_stat(),
            },
            Kind::ReadDir => ReadDir {
                fid,
                cookie: from.u64(),
                count: from.u32(),
            },
            Kind::Sync => Sync {
                fid,
                data_only: from.flag(),
            },
            Kind::Link => Link {
                fid,
                name: from.text(),
                node: from.u32(),
            },
            Kind::MakeDirectory => MakeDirectory {
                fid,
                name: from.text(),
                new: from.u32(),
            },
            Kind::Rename => Rename {
                fid,
                name: from.text(),
                to: from.u32(),
                to_name: from.text(),
            },
            Kind::Unlink => Unlink {
                fid,
                name: from.text(),
                directory: from.flag(),
            },
            Kind::Attach => Attach {
                new: from.u32(),
                tree: from.u32(),
                path: from.text(),
            },
            Kind::Flush => Flush { tag: from.u16() },
            Kind::Walk => {
                let count = from.u16();
                if !(1..=WALK_MAX).contains(&count.into()) {
                    return Err(WireError::Value("a walk of no names or of too many"));
                }
                let steps = (0..count).map(|_| (from.u32(), from.text()));
                Walk {
                    fid,
                    steps: steps.collect(),
                }
            }
            Kind::Read => Read {
                fid,
                offset: from.u64(),
                count: from.u32(),
            },
            Kind::Write => Write {
                fid,
                at: from.at(),
                data: from.data(),
            },
            Kind::Clunk => {
                let count = from.u16();
                let fids = (0..count).map(|_| from.u32());
                Clunk {
                    fids: fids.collect(),
                }
            }
            Kind::Ready => Ready {
                fid,
                interest: from.interest(),
            },
            Kind::Allocate => Allocate {
                fid,
                offset: from.u64(),
                length: from.u64(),
            },
            Kind::WriteAll => WriteAll {
                fid,
                data: from.data(),
            },
            Kind::Finish => Finish { fid },
            Kind::Revoke => Revoke { tree: from.u32() },
        };
        from.finish()?;
        Ok(request)
    }
}
