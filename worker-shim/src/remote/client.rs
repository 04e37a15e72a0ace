//! The device in an agent's kernel.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use capfs::{
    DirEntry, Directory, EditDirectory, Entries, Errno, FileKind, GuestSink, GuestSource, Name,
    Node, NodeRef, Op, OpenFile, OpenHow, Opened, Qid, SetStat, Stat, WriteAt, Written,
};
use js_sys::{Function, Uint8Array};
use wasm_bindgen::JsValue;

use super::wire::{Code, DATA_MAX, Decoder, Encoder, LIST_MAX};

/// Where an answer is put when it comes.
type Slot = Rc<RefCell<Option<Vec<u8>>>>;

/// The connection of one kernel to the home; all its shared mounts use it.
struct Connection {
    post: Function,
    next: Cell<u32>,
    waiting: RefCell<HashMap<u32, Slot>>,
}

thread_local! {
    static CONNECTION: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
}

/// An answer that has come, or will. It is polled again whenever a message has arrived, so it keeps no waker.
struct Answer {
    connection: Rc<Connection>,
    call: u32,
    bytes: Slot,
}

impl Future for Answer {
    type Output = Result<Vec<u8>, Errno>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(bytes) = self.bytes.borrow_mut().take() else {
            return Poll::Pending;
        };
        let mut decoder = Decoder(&bytes);
        let code = decoder.u32()?;
        match u16::try_from(code).ok().and_then(Errno::from_code) {
            Some(errno) => Poll::Ready(Err(errno)),
            None if code != 0 => Poll::Ready(Err(Errno::Proto)),
            None => Poll::Ready(Ok(decoder.0.to_vec())),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.waiting.borrow_mut().remove(&self.call);
    }
}

impl Connection {
    fn number(&self) -> u32 {
        self.next.replace(self.next.get().wrapping_add(1))
    }

    fn call(self: &Rc<Self>, code: Code, fill: impl FnOnce(Encoder) -> Encoder) -> Answer {
        let call = self.number();
        let bytes = Rc::new(RefCell::new(None));
        self.waiting.borrow_mut().insert(call, bytes.clone());
        let request = fill(Encoder::default().u32(call).u8(code as u8)).finish();
        let array = Uint8Array::from(request.as_slice());
        if self.post.call1(&JsValue::NULL, &array).is_err() {
            // The page is gone: say so instead of waiting for ever.
            *bytes.borrow_mut() = Some(Encoder::default().u32(Errno::Io.code().into()).finish());
        }
        Answer {
            connection: self.clone(),
            call,
            bytes,
        }
    }
}

/// Takes an answer of the home.
pub fn answer(bytes: &[u8]) {
    let Some(connection) = CONNECTION.with_borrow(Option::clone) else {
        return;
    };
    let mut decoder = Decoder(bytes);
    let Ok(call) = decoder.u32() else {
        return;
    };
    // Nobody may wait any more: then the operation was given up.
    if let Some(slot) = connection.waiting.borrow_mut().remove(&call) {
        *slot.borrow_mut() = Some(decoder.0.to_vec());
    }
}

/// A device that is the home's tree from `path` on; `post` sends its requests.
pub fn attach(path: &str, post: Function) -> NodeRef {
    let connection = CONNECTION.with_borrow_mut(|slot| {
        slot.get_or_insert_with(|| {
            Rc::new(Connection {
                post,
                next: Cell::new(1),
                waiting: RefCell::default(),
            })
        })
        .clone()
    });
    let fid = connection.number();
    // Not waited for: a path that isn't there shows as `ENOENT` in whatever is asked of it.
    drop(connection.call(Code::Attach, |request| {
        request.u32(fid).bytes(path.as_bytes())
    }));
    node(
        &connection,
        fid,
        Qid {
            path: 1,
            kind: FileKind::Directory,
        },
    )
}

fn node(connection: &Rc<Connection>, fid: u32, qid: Qid) -> NodeRef {
    Arc::new(RemoteNode(Rc::new(Fid {
        connection: connection.clone(),
        fid,
        qid,
    })))
}

/// A node's number, given back when the last user of it is gone.
struct Fid {
    connection: Rc<Connection>,
    fid: u32,
    qid: Qid,
}

impl Drop for Fid {
    fn drop(&mut self) {
        drop(
            self.connection
                .call(Code::Clunk, |request| request.u32(self.fid)),
        );
    }
}

struct RemoteNode(Rc<Fid>);

/// Keeps the node alive until the answer has come.
fn later<T: 'static>(
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
        self.0
            .connection
            .call(code, |request| fill(request.u32(self.0.fid)))
    }

    fn done(&self, code: Code, fill: impl FnOnce(Encoder) -> Encoder) -> Op<()> {
        later(&self.0, self.ask(code, fill), |_, _| Ok(()))
    }

    /// A request that makes a node.
    fn made(&self, code: Code, name: Name<'_>) -> Op<NodeRef> {
        let made = self.0.connection.number();
        let answer = self.ask(code, |request| {
            request.u32(made).bytes(name.as_str().as_bytes())
        });
        later(&self.0, answer, move |fid, answer| {
            Ok(node(&fid.connection, made, answer.qid()?))
        })
    }

    fn same_device<'a>(&self, other: &'a NodeRef) -> Result<&'a RemoteNode, Errno> {
        let other: &dyn Node = &**other;
        other
            .as_any()
            .downcast_ref::<RemoteNode>()
            .ok_or(Errno::Xdev)
    }
}

impl Node for RemoteNode {
    fn qid(&self) -> Qid {
        self.0.qid
    }

    fn stat(&self) -> Op<Stat> {
        later(
            &self.0,
            self.ask(Code::Stat, |request| request),
            |_, answer| answer.stat(),
        )
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let file = self.0.connection.number();
        let answer = self.ask(Code::Open, |request| request.u32(file).how(how));
        if self.0.qid.kind == FileKind::Directory {
            // Nothing is learnt from the answer, so it isn't waited for; a process that starts can't wait for
            // its preopened directories. A failure shows in what the open directory is asked.
            return Op::ok(RemoteFile::boxed(self.0.clone(), file));
        }
        later(&self.0, answer, move |fid, _| {
            Ok(RemoteFile::boxed(fid.clone(), file))
        })
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        self.done(Code::SetStat, |request| request.set_stat(change))
    }

    fn directory(&self) -> Option<&dyn Directory> {
        (self.0.qid.kind == FileKind::Directory).then_some(self)
    }

    fn read_link(&self) -> Op<String> {
        if self.0.qid.kind != FileKind::SymbolicLink {
            return Op::err(Errno::Inval);
        }
        let answer = self.ask(Code::ReadLink, |request| request);
        later(&self.0, answer, |_, answer| Ok(answer.text()?.to_owned()))
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
        let (made, file) = (self.0.connection.number(), self.0.connection.number());
        let answer = self.ask(Code::Create, |request| {
            request
                .u32(made)
                .bytes(name.as_str().as_bytes())
                .u32(file)
                .how(how)
        });
        later(&self.0, answer, move |fid, answer| {
            let fid = Rc::new(Fid {
                connection: fid.connection.clone(),
                fid: made,
                qid: answer.qid()?,
            });
            let node = Arc::new(RemoteNode(fid.clone()));
            Ok(Opened {
                node,
                file: RemoteFile::boxed(fid, file),
            })
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
        let other = match self.same_device(node) {
            Ok(other) => other.0.fid,
            Err(errno) => return Op::err(errno),
        };
        self.done(Code::Link, |request| {
            request.bytes(name.as_str().as_bytes()).u32(other)
        })
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
        let other = match self.same_device(to) {
            Ok(other) => other.0.fid,
            Err(errno) => return Op::err(errno),
        };
        self.done(Code::Rename, |request| {
            request
                .bytes(name.as_str().as_bytes())
                .u32(other)
                .bytes(to_name.as_str().as_bytes())
        })
    }
}

/// A transfer that has been asked for: what, where, how long, and its answer.
struct Transfer {
    what: Code,
    at: WriteAt,
    answer: Answer,
}

struct RemoteFile {
    fid: Rc<Fid>,
    file: u32,
    transfer: Option<Transfer>,
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        drop(
            self.fid
                .connection
                .call(Code::Close, |request| request.u32(self.file)),
        );
    }
}

impl RemoteFile {
    fn boxed(fid: Rc<Fid>, file: u32) -> Box<dyn OpenFile> {
        Box::new(RemoteFile {
            fid,
            file,
            transfer: None,
        })
    }

    fn ask(&self, code: Code, fill: impl FnOnce(Encoder) -> Encoder) -> Answer {
        self.fid
            .connection
            .call(code, |request| fill(request.u32(self.file)))
    }

    /// Goes on with the transfer that is under way, or starts it.
    fn poll_transfer(
        &mut self,
        context: &mut Context<'_>,
        what: Code,
        at: WriteAt,
        fill: impl FnOnce(Encoder) -> Encoder,
    ) -> Poll<Result<Vec<u8>, Errno>> {
        // One that was given up for another is forgotten.
        if self
            .transfer
            .as_ref()
            .is_none_or(|transfer| transfer.what != what || transfer.at != at)
        {
            self.transfer = Some(Transfer {
                what,
                at,
                answer: self.ask(what, fill),
            });
        }
        let Some(transfer) = &mut self.transfer else {
            return Poll::Ready(Err(Errno::Io));
        };
        let outcome = Pin::new(&mut transfer.answer).poll(context);
        if outcome.is_ready() {
            self.transfer = None;
        }
        outcome
    }
}

impl OpenFile for RemoteFile {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        let length = sink.remaining().min(DATA_MAX) as u32;
        let at = WriteAt::Offset(offset);
        let fill = |request: Encoder| request.u64(offset).u32(length);
        self.poll_transfer(context, Code::Read, at, fill)
            .map(|answer| Ok(sink.put(&answer?)))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let size = source.remaining().min(DATA_MAX);
        let fill = |request: Encoder| {
            let mut bytes = vec![0; size];
            let taken = source.take(&mut bytes);
            let request = match at {
                WriteAt::Offset(offset) => request.u8(0).u64(offset),
                WriteAt::End => request.u8(1).u64(0),
            };
            request.bytes(&bytes[..taken])
        };
        self.poll_transfer(context, Code::Write, at, fill)
            .map(|answer| {
                let answer = answer?;
                let mut answer = Decoder(&answer);
                Ok(Written {
                    bytes: answer.u32()? as usize,
                    end: answer.u64()?,
                })
            })
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        later(
            &self.fid,
            self.ask(Code::FileStat, |request| request),
            |_, answer| answer.stat(),
        )
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        let answer = self.ask(Code::FileSetStat, |request| request.set_stat(change));
        later(&self.fid, answer, |_, _| Ok(()))
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        let answer = self.ask(Code::Allocate, |request| request.u64(offset).u64(length));
        later(&self.fid, answer, |_, _| Ok(()))
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        (self.fid.qid.kind == FileKind::Directory).then_some(self as &mut dyn Entries)
    }
}

impl Entries for RemoteFile {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let max = max.min(LIST_MAX) as u32;
        let answer = self.ask(Code::List, |request| request.u64(cookie).u32(max));
        later(&self.fid, answer, |_, answer| {
            let count = answer.u32()?;
            (0..count).map(|_| answer.entry()).collect()
        })
    }
}
