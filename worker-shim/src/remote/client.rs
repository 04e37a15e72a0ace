//! The device in an agent's kernel: nodes of a tree that is elsewhere.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use capfs::{
    Directory, EditDirectory, Errno, FileKind, Name, Node, NodeRef, Op, OpenFile, OpenHow, Opened,
    Qid, SetStat, Stat,
};
use js_sys::Function;

use super::connection::{Answer, Connection, Number, connection};
use super::file::RemoteFile;
use super::wire::{Code, Decoder, Encoder};

/// What a root is known by: what it is where it comes from isn't known when it is attached. No device counts so far.
const ROOT_PATH: u64 = (1 << 53) - 1;

/// A device that is a tree of `peer`, from `path` on: the one with the number `tree` that was made for
/// this client, or 0, the peer's namespace. It is of this kind. `post` sends requests.
pub fn attach(peer: u32, tree: u32, kind: FileKind, path: &str, post: Function) -> NodeRef {
    let connection = connection(peer, post);
    let number = connection.number();
    let fid = number.get();
    // Not waited for: a path that isn't there shows as `ENOENT` in whatever is asked of it.
    connection.tell(Code::Attach, |request| {
        request.u32(fid).u32(tree).bytes(path.as_bytes())
    });
    node(Fid::new(&connection, number), Qid::new(ROOT_PATH, kind))
}

fn node(fid: Fid, qid: Qid) -> NodeRef {
    fid.qid.set(qid);
    Arc::new(RemoteNode(Rc::new(fid)))
}

/// A node's number, given back when the last user of it is gone.
pub(super) struct Fid {
    pub connection: Rc<Connection>,
    number: Number,
    qid: Cell<Qid>,
    /// It has names, though it may be no directory.
    has_names: Cell<bool>,
    /// The other side has it, as far as is known.
    held: Cell<bool>,
}

impl Fid {
    fn new(connection: &Rc<Connection>, number: Number) -> Fid {
        Fid {
            connection: connection.clone(),
            number,
            qid: Cell::new(Qid::new(0, FileKind::Unknown)),
            has_names: Cell::new(false),
            held: Cell::new(true),
        }
    }

    /// A number for a node that is about to be made.
    fn made(connection: &Rc<Connection>) -> Fid {
        Fid::new(connection, connection.number())
    }

    pub fn is_directory(&self) -> bool {
        self.qid.get().kind == FileKind::Directory
    }

    /// What an answer tells of it, with the identity by which it is known here.
    pub fn stat(&self, answer: &mut Decoder<'_>) -> Result<Stat, Errno> {
        let qid = self.qid.get();
        answer.stat().map(|stat| Stat { qid, ..stat })
    }

    /// The qid that the answer tells; the other side has no such node if it is an error.
    fn learn(&self, answer: Result<Vec<u8>, Errno>) -> Result<Vec<u8>, Errno> {
        if answer.is_err() {
            self.held.set(false);
        }
        answer
    }
}

impl Drop for Fid {
    fn drop(&mut self) {
        if self.held.get() {
            self.connection
                .tell(Code::Clunk, |request| request.u32(self.number.get()));
        }
    }
}

struct RemoteNode(Rc<Fid>);

/// Keeps the node alive until the answer has come.
pub(super) fn later<T: 'static>(
    fid: &Rc<Fid>,
    answer: Answer,
    decode: impl FnOnce(&Rc<Fid>, &mut Decoder<'_>) -> Result<T, Errno> + 'static,
) -> Op<T> {
    let fid = fid.clone();
    Op::later(async move {
        let bytes = answer.await?;
        decode(&fid, &mut Decoder(&bytes))
    })
}

impl RemoteNode {
    fn ask(&self, code: Code, fill: impl FnOnce(Encoder) -> Encoder) -> Answer {
        let number = self.0.number.get();
        self.0
            .connection
            .call(code, |request| fill(request.u32(number)))
    }

    fn done(&self, code: Code, fill: impl FnOnce(Encoder) -> Encoder) -> Op<()> {
        later(&self.0, self.ask(code, fill), |_, _| Ok(()))
    }

    /// A request that makes a node.
    fn made(&self, code: Code, name: Name<'_>) -> Op<NodeRef> {
        let made = Fid::made(&self.0.connection);
        let answer = self.ask(code, |request| {
            request
                .u32(made.number.get())
                .bytes(name.as_str().as_bytes())
        });
        let parent = self.0.clone();
        Op::later(async move {
            let answer = made.learn(answer.await)?;
            drop(parent);
            let mut answer = Decoder(&answer);
            let qid = answer.qid()?;
            made.has_names
                .set(answer.u8().is_ok_and(|names| names == 1));
            Ok(node(made, qid))
        })
    }

    fn same_device(&self, other: &NodeRef) -> Result<u32, Errno> {
        let other: &dyn Node = &**other;
        let other = other.as_any().downcast_ref::<RemoteNode>();
        other
            .filter(|other| Rc::ptr_eq(&other.0.connection, &self.0.connection))
            .map(|other| other.0.number.get())
            .ok_or(Errno::Xdev)
    }
}

#[deny(clippy::missing_trait_methods)]
impl Node for RemoteNode {
    fn qid(&self) -> Qid {
        self.0.qid.get()
    }

    fn stat(&self) -> Op<Stat> {
        later(
            &self.0,
            self.ask(Code::Stat, |request| request),
            |fid, answer| fid.stat(answer),
        )
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let number = self.0.connection.number();
        if self.0.is_directory() {
            // Nothing is learnt from the answer, so it isn't waited for: a round trip less. A failure shows in what the open
            // directory is asked.
            self.0.connection.tell(Code::Open, |request| {
                let node = request.u32(self.0.number.get());
                node.u32(number.get()).how(how)
            });
            return Op::ok(Box::new(RemoteFile::new(self.0.clone(), number)));
        }
        let answer = self.ask(Code::Open, |request| request.u32(number.get()).how(how));
        RemoteFile::opened(self.0.clone(), number, answer)
            .map(|(file, _)| Box::new(file) as Box<dyn OpenFile>)
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        self.done(Code::SetStat, |request| request.set_stat(change))
    }

    fn directory(&self) -> Option<&dyn Directory> {
        (self.0.is_directory() || self.0.has_names.get()).then_some(self)
    }

    fn read_link(&self) -> Op<String> {
        if self.qid().kind != FileKind::SymbolicLink {
            return Op::err(Errno::Inval);
        }
        let answer = self.ask(Code::ReadLink, |request| request);
        later(&self.0, answer, |_, answer| Ok(answer.text()?.to_owned()))
    }

    /// Unknown without a round trip; of an opening that is refused the side that serves the tree tells its own audit.
    fn subject(&self) -> Option<String> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Directory for RemoteNode {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        self.made(Code::Walk, name)
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        Some(self)
    }
}

impl EditDirectory for RemoteNode {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        let made = Rc::new(Fid::made(&self.0.connection));
        let number = self.0.connection.number();
        let answer = self.ask(Code::Create, |request| {
            request
                .u32(made.number.get())
                .bytes(name.as_str().as_bytes())
                .u32(number.get())
                .how(how)
        });
        let parent = self.0.clone();
        let opened = RemoteFile::opened(made.clone(), number, answer);
        opened.then_result(move |opened| {
            drop(parent);
            let opened = opened.and_then(|(file, results)| {
                made.qid.set(Decoder(&results).qid()?);
                Ok(Opened {
                    node: Arc::new(RemoteNode(made.clone())),
                    file: Box::new(file),
                })
            });
            if opened.is_err() {
                made.held.set(false);
            }
            opened.into()
        })
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        self.made(Code::MakeDirectory, name)
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        self.done(Code::MakeSymlink, |request| {
            request
                .bytes(name.as_str().as_bytes())
                .bytes(target.as_bytes())
        })
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        match self.same_device(node) {
            Ok(other) => self.done(Code::Link, |request| {
                request.bytes(name.as_str().as_bytes()).u32(other)
            }),
            Err(errno) => Op::err(errno),
        }
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        self.done(Code::Unlink, |request| {
            request.bytes(name.as_str().as_bytes())
        })
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        self.done(Code::RemoveDirectory, |request| {
            request.bytes(name.as_str().as_bytes())
        })
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        match self.same_device(to) {
            Ok(other) => self.done(Code::Rename, |request| {
                request
                    .bytes(name.as_str().as_bytes())
                    .u32(other)
                    .bytes(to_name.as_str().as_bytes())
            }),
            Err(errno) => Op::err(errno),
        }
    }
}
