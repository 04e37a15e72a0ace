//! Requests.

use capfs::{Interest, OpenHow, SetStat, WriteAt};

use super::bytes::{Reader, Writer};
use super::{Frame, WALK_MAX, WireError};

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
    /// The type of its frame: 9P2000.L's where that has the like, and from 200 on where it has not. Its answer's is one more.
    pub fn kind(&self) -> u8 {
        use Request::*;
        match self {
            Open { .. } => 12,
            Create { .. } => 14,
            Symlink { .. } => 16,
            ReadLink { .. } => 22,
            GetAttr { .. } => 24,
            SetAttr { .. } => 26,
            ReadDir { .. } => 40,
            Sync { .. } => 50,
            Link { .. } => 70,
            MakeDirectory { .. } => 72,
            Rename { .. } => 74,
            Unlink { .. } => 76,
            Attach { .. } => 104,
            Flush { .. } => 108,
            Walk { .. } => 110,
            Read { .. } => 116,
            Write { .. } => 118,
            Clunk { .. } => 120,
            Ready { .. } => 200,
            Allocate { .. } => 202,
            WriteAll { .. } => 204,
            Finish { .. } => 206,
            Revoke { .. } => 208,
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
        let mut to = Writer::new(self.kind(), tag, data + 24);
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
        // What most begin with.
        let fid = match frame.kind {
            104 | 108 | 120 | 208 => 0,
            _ => from.u32(),
        };
        let request = match frame.kind {
            12 => Open {
                fid,
                new: from.u32(),
                how: from.how(),
            },
            14 => Create {
                fid,
                name: from.text(),
                new_node: from.u32(),
                new_file: from.u32(),
                how: from.how(),
            },
            16 => Symlink {
                fid,
                name: from.text(),
                target: from.text(),
            },
            22 => ReadLink { fid },
            24 => GetAttr { fid },
            26 => SetAttr {
                fid,
                change: from.set_stat(),
            },
            40 => ReadDir {
                fid,
                cookie: from.u64(),
                count: from.u32(),
            },
            50 => Sync {
                fid,
                data_only: from.flag(),
            },
            70 => Link {
                fid,
                name: from.text(),
                node: from.u32(),
            },
            72 => MakeDirectory {
                fid,
                name: from.text(),
                new: from.u32(),
            },
            74 => Rename {
                fid,
                name: from.text(),
                to: from.u32(),
                to_name: from.text(),
            },
            76 => Unlink {
                fid,
                name: from.text(),
                directory: from.flag(),
            },
            104 => Attach {
                new: from.u32(),
                tree: from.u32(),
                path: from.text(),
            },
            108 => Flush { tag: from.u16() },
            110 => {
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
            116 => Read {
                fid,
                offset: from.u64(),
                count: from.u32(),
            },
            118 => Write {
                fid,
                at: from.at(),
                data: from.data(),
            },
            120 => {
                let count = from.u16();
                let fids = (0..count).map(|_| from.u32());
                Clunk {
                    fids: fids.collect(),
                }
            }
            200 => Ready {
                fid,
                interest: from.interest(),
            },
            202 => Allocate {
                fid,
                offset: from.u64(),
                length: from.u64(),
            },
            204 => WriteAll {
                fid,
                data: from.data(),
            },
            206 => Finish { fid },
            208 => Revoke { tree: from.u32() },
            kind => return Err(WireError::Type(kind)),
        };
        from.finish()?;
        Ok(request)
    }
}
