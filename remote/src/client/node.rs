//! Nodes of a tree that is elsewhere.

use std::any::Any;
use std::sync::{Arc, Mutex};

use capfs::device::parts::lock;
use capfs::{
    Directory, EditDirectory, Errno, FileKind, Name, Node, NodeRef, Op, OpenFile, OpenHow, Opened,
    Qid, SetStat, Stat,
};

use super::connection::{Connection, Fid, come};
use super::file::{Closing, RemoteFile};
use crate::wire::{Reply, Request, WALK_MAX, Walked};

/// What a root is known by: what it is where it comes from isn't known when it is attached. No device counts so far.
const ROOT_PATH: u64 = (1 << 53) - 1;

impl Connection {
    /// The root of a device that is a tree of the other side, from `path` on: the one with the number `tree` that was made for
    /// this client, or 0, the other side's own. It is of this kind.
    ///
    /// # Errors
    /// - [`Errno::Nfile`], [`Errno::Nobufs`]: the connection has no number left for it
    pub fn attach(
        self: &Arc<Self>,
        tree: u32,
        kind: FileKind,
        path: &str,
    ) -> Result<NodeRef, Errno> {
        let fid = self.fid(false)?;
        let new = fid.get();
        // Not waited for: a path that isn't there, and an end of the connection, show in whatever is asked of it.
        if let Err(Errno::Nobufs) = self.tell(&Request::Attach { new, tree, path }) {
            return Err(Errno::Nobufs);
        }
        let qid = Qid::new(ROOT_PATH, kind);
        Ok(RemoteNode::shared(self, Arc::new(fid), qid, false, None))
    }
}

/// What a walk has found below the node that it first came to, for whoever asks next.
struct Ahead {
    name: String,
    found: Result<NodeRef, Errno>,
}

pub(super) struct RemoteNode {
    connection: Arc<Connection>,
    fid: Arc<Fid>,
    qid: Qid,
    /// It has names, though it may be no directory.
    has_names: bool,
    /// Taken by the next walk, whatever that asks for: later it may be no longer so.
    ahead: Mutex<Option<Ahead>>,
}

impl RemoteNode {
    fn shared(
        connection: &Arc<Connection>,
        fid: Arc<Fid>,
        qid: Qid,
        has_names: bool,
        ahead: Option<Ahead>,
    ) -> NodeRef {
        Arc::new(RemoteNode {
            connection: connection.clone(),
            fid,
            qid,
            has_names,
            ahead: Mutex::new(ahead),
        })
    }

    fn is_directory(&self) -> bool {
        self.qid.kind == FileKind::Directory
    }

    fn done(&self, request: &Request<'_>) -> Op<()> {
        self.connection.done(self.fid.clone(), request)
    }

    /// Walks to `name` and, with the same request, to the names of `rest` below it: they wait there for the walks that ask for them.
    fn walk_to(&self, name: &str, rest: &str) -> Op<NodeRef> {
        let ahead = lock(&self.ahead).take();
        if let Some(ahead) = ahead
            && ahead.name == name
        {
            return ahead.found.into();
        }
        let below = rest
            .split('/')
            .filter(|name| !matches!(*name, "" | "."))
            .take_while(|name| *name != ".." && Name::new(name).is_ok());
        let names = std::iter::once(name).chain(below).take(WALK_MAX);
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        let mut fids = Vec::with_capacity(names.len());
        for _ in &names {
            match self.connection.fid(false) {
                Ok(fid) => fids.push(fid),
                Err(errno) => return Op::err(errno),
            }
        }
        let steps = fids.iter().zip(&names);
        let steps = steps.map(|(fid, name)| (fid.get(), name.as_str()));
        let answer = self.connection.call(&Request::Walk {
            fid: self.fid.get(),
            steps: steps.collect(),
        });
        let (connection, from) = (self.connection.clone(), self.fid.clone());
        Op::later(async move {
            let answered = come(answer).await;
            drop(from);
            let walked = match answered.reply(connection.sizes) {
                Ok(Reply::Walked(walked)) => walked,
                other => {
                    fids.iter_mut().for_each(Fid::not_made);
                    return Err(other.err().unwrap_or(Errno::Proto));
                }
            };
            let Walked { mut nodes, stopped } = walked;
            fids[nodes.len()..].iter_mut().for_each(Fid::not_made);
            let mut next = None;
            if let (Some(errno), Some(name)) = (stopped, names.get(nodes.len())) {
                let (name, found) = (name.clone(), Err(errno));
                next = Some(Ahead { name, found });
            }
            fids.truncate(nodes.len());
            names.truncate(nodes.len());
            // From the last to the first: each keeps the one behind it.
            while let (Some((qid, has_names)), Some(fid), Some(name)) =
                (nodes.pop(), fids.pop(), names.pop())
            {
                let node = RemoteNode::shared(&connection, Arc::new(fid), qid, has_names, next);
                let found = Ok(node);
                next = Some(Ahead { name, found });
            }
            next.map_or(Err(Errno::Proto), |first| first.found)
        })
    }

    fn same_device(&self, other: &NodeRef) -> Result<u32, Errno> {
        let other: &dyn Node = &**other;
        let other = other.as_any().downcast_ref::<RemoteNode>();
        other
            .filter(|other| Arc::ptr_eq(&other.connection, &self.connection))
            .map(|other| other.fid.get())
            .ok_or(Errno::Xdev)
    }
}

#[deny(clippy::missing_trait_methods)]
impl Node for RemoteNode {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        let fid = self.fid.get();
        let qid = self.qid;
        let request = Request::GetAttr { fid };
        // With the identity by which it is known here.
        self.connection
            .ask(self.fid.clone(), &request, move |reply| match reply {
                Reply::Stat(stat) => Some(Stat { qid, ..stat }),
                _ => None,
            })
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        if self.is_directory() && (how.write || how.truncate) {
            return Op::err(Errno::Isdir);
        }
        let number = match self.connection.fid(true) {
            Ok(number) => number,
            Err(errno) => return Op::err(errno),
        };
        let request = Request::Open {
            fid: self.fid.get(),
            new: number.get(),
            how,
        };
        let closing = Closing {
            connection: self.connection.clone(),
            node: self.fid.clone(),
            file: number,
            qid: self.qid,
        };
        if self.is_directory() {
            // Nothing is learnt from the answer, so it isn't waited for: a round trip less. A failure shows in what the open
            // directory is asked.
            return match self.connection.tell(&request) {
                Ok(()) => Op::ok(Box::new(RemoteFile::new(closing))),
                Err(errno) => Op::err(errno),
            };
        }
        let answer = self.connection.call(&request);
        Op::later(async move {
            let (file, _) = closing.opened(come(answer).await)?;
            Ok(Box::new(file) as Box<dyn OpenFile>)
        })
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        let fid = self.fid.get();
        self.done(&Request::SetAttr { fid, change })
    }

    fn directory(&self) -> Option<&dyn Directory> {
        (self.is_directory() || self.has_names).then_some(self)
    }

    fn read_link(&self) -> Op<String> {
        if self.qid.kind != FileKind::SymbolicLink {
            return Op::err(Errno::Inval);
        }
        let fid = self.fid.get();
        let request = Request::ReadLink { fid };
        self.connection
            .ask(self.fid.clone(), &request, |reply| match reply {
                Reply::Target(target) => Some(target.to_owned()),
                _ => None,
            })
    }

    /// Unknown without a round trip; of an opening that is refused the side that serves the tree tells its own audit.
    fn subject(&self) -> Option<String> {
        None
    }

    /// What is elsewhere is known by numbers of this connection alone.
    fn save(&self) -> Result<capfs::Handle, Errno> {
        Err(Errno::Nodev)
    }

    fn reopen(&self, _how: OpenHow, _state: &[u8]) -> Op<Box<dyn OpenFile>> {
        Op::err(Errno::Stale)
    }

    fn durable(&self) -> Option<&dyn capfs::Durable> {
        None
    }

    /// The protocol doesn't ask for it.
    fn file_system_stat(&self) -> Op<capfs::FileSystemStat> {
        Op::err(Errno::Notsup)
    }

    /// What was done elsewhere is not undone from here.
    fn checkpoint(&self) -> Op<Box<dyn capfs::Checkpoint>> {
        Op::err(Errno::Notsup)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[deny(clippy::missing_trait_methods)]
impl Directory for RemoteNode {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        self.walk_to(name.as_str(), "")
    }

    fn walk_ahead(&self, name: Name<'_>, rest: &str) -> Op<NodeRef> {
        self.walk_to(name.as_str(), rest)
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl EditDirectory for RemoteNode {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        let fids = self.connection.fid(false);
        let fids = fids.and_then(|node| Ok((node, self.connection.fid(true)?)));
        let (mut node, file) = match fids {
            Ok(fids) => fids,
            Err(errno) => return Op::err(errno),
        };
        let answer = self.connection.call(&Request::Create {
            fid: self.fid.get(),
            name: name.as_str(),
            new_node: node.get(),
            new_file: file.get(),
            how,
        });
        let (connection, parent) = (self.connection.clone(), self.fid.clone());
        Op::later(async move {
            let answered = come(answer).await;
            drop(parent);
            // Of what was not made there is nothing to be let go of.
            if answered.reply(connection.sizes).is_err() {
                node.not_made();
            }
            let node = Arc::new(node);
            let closing = Closing {
                connection: connection.clone(),
                node: node.clone(),
                file,
                qid: Qid::new(0, FileKind::RegularFile),
            };
            let (file, qid) = closing.opened(answered)?;
            Ok(Opened {
                node: RemoteNode::shared(&connection, node, qid, false, None),
                file: Box::new(file),
            })
        })
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        let mut made = match self.connection.fid(false) {
            Ok(made) => made,
            Err(errno) => return Op::err(errno),
        };
        let answer = self.connection.call(&Request::MakeDirectory {
            fid: self.fid.get(),
            name: name.as_str(),
            new: made.get(),
        });
        let (connection, parent) = (self.connection.clone(), self.fid.clone());
        Op::later(async move {
            let answered = come(answer).await;
            drop(parent);
            match answered.reply(connection.sizes) {
                Ok(Reply::Node(qid, names)) => {
                    let fid = Arc::new(made);
                    Ok(RemoteNode::shared(&connection, fid, qid, names, None))
                }
                other => {
                    made.not_made();
                    Err(other.err().unwrap_or(Errno::Proto))
                }
            }
        })
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        self.done(&Request::Symlink {
            fid: self.fid.get(),
            name: name.as_str(),
            target,
        })
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        match self.same_device(node) {
            Ok(node) => self.done(&Request::Link {
                fid: self.fid.get(),
                name: name.as_str(),
                node,
            }),
            Err(errno) => Op::err(errno),
        }
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        self.done(&Request::Unlink {
            fid: self.fid.get(),
            name: name.as_str(),
            directory: false,
        })
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        self.done(&Request::Unlink {
            fid: self.fid.get(),
            name: name.as_str(),
            directory: true,
        })
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        match self.same_device(to) {
            Ok(to) => self.done(&Request::Rename {
                fid: self.fid.get(),
                name: name.as_str(),
                to,
                to_name: to_name.as_str(),
            }),
            Err(errno) => Op::err(errno),
        }
    }
}
