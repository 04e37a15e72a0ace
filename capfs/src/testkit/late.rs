//! A device that tries the patience of whoever uses it.

use std::any::Any;
use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll};

use crate::device::parts::lock;
use crate::{
    Checkpoint, DirEntry, Directory, Durable, EditDirectory, Entries, Errno, FileSystemStat,
    GuestSink, GuestSource, Handle, Interest, Listener, MaybeSend, Name, Node, NodeRef, Op,
    OpenFile, OpenHow, Opened, Qid, Readiness, SavedFile, SetStat, Socket, Stat, WriteAt, Written,
};

/// How often a wait is woken for nothing.
const PAUSES: u32 = 2;

/// Entries that are listed at a time, at most.
const LISTED: usize = 2;

/// A device that does what `root` does, as late and as little at a time as a device may: what can come later does, after
/// wake-ups for nothing, and listings are short. What is given up before its answer has come has not happened.
pub fn late(root: &NodeRef) -> NodeRef {
    Arc::new(LateNode(root.clone()))
}

/// An open file that is as late as those of [`late`].
pub fn late_file(file: Box<dyn OpenFile>) -> Box<dyn OpenFile> {
    LateFile::wrapped(file)
}

/// Waits for nothing.
async fn pause() {
    let mut pauses = PAUSES;
    poll_fn(|context| match pauses {
        0 => Poll::Ready(()),
        _ => {
            pauses -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Begins an operation when its time has come.
fn later<T: MaybeSend + 'static>(begin: impl FnOnce() -> Op<T> + MaybeSend + 'static) -> Op<T> {
    Op::later(async move {
        pause().await;
        let begun = begin();
        begun.wait().await
    })
}

struct LateNode(NodeRef);

impl LateNode {
    fn wrapped(node: NodeRef) -> NodeRef {
        Arc::new(LateNode(node))
    }

    /// Does something in the directory that this is.
    fn within<T: MaybeSend + 'static>(
        &self,
        name: Name<'_>,
        act: impl FnOnce(&dyn Directory, Name<'_>) -> Op<T> + MaybeSend + 'static,
    ) -> Op<T> {
        let (inner, name) = (self.0.clone(), name.as_str().to_owned());
        later(move || match (inner.directory(), Name::new(&name)) {
            (Some(directory), Ok(name)) => act(directory, name),
            (None, _) => Op::err(Errno::Notdir),
            (_, Err(errno)) => Op::err(errno),
        })
    }

    fn editing<T: MaybeSend + 'static>(
        &self,
        name: Name<'_>,
        act: impl FnOnce(&dyn EditDirectory, Name<'_>) -> Op<T> + MaybeSend + 'static,
    ) -> Op<T> {
        self.within(name, |directory, name| match directory.edit() {
            Some(edit) => act(edit, name),
            None => Op::err(Errno::Rofs),
        })
    }
}

/// The device's own node, where it is one of these.
fn own(node: &NodeRef) -> NodeRef {
    match (**node).as_any().downcast_ref::<LateNode>() {
        Some(late) => late.0.clone(),
        None => node.clone(),
    }
}

fn opened(opened: Opened) -> Opened {
    Opened {
        node: LateNode::wrapped(opened.node),
        file: LateFile::wrapped(opened.file),
    }
}

impl Node for LateNode {
    fn qid(&self) -> Qid {
        self.0.qid()
    }

    fn stat(&self) -> Op<Stat> {
        let inner = self.0.clone();
        later(move || inner.stat())
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let inner = self.0.clone();
        later(move || inner.open(how).map(LateFile::wrapped))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        let inner = self.0.clone();
        later(move || inner.set_stat(change))
    }

    fn directory(&self) -> Option<&dyn Directory> {
        self.0.directory().map(|_| self as &dyn Directory)
    }

    fn read_link(&self) -> Op<String> {
        let inner = self.0.clone();
        later(move || inner.read_link())
    }

    fn subject(&self) -> Option<String> {
        self.0.subject()
    }

    fn save(&self) -> Result<Handle, Errno> {
        self.0.save()
    }

    fn reopen(&self, how: OpenHow, state: &[u8]) -> Op<Box<dyn OpenFile>> {
        let (inner, state) = (self.0.clone(), state.to_vec());
        later(move || inner.reopen(how, &state).map(LateFile::wrapped))
    }

    fn durable(&self) -> Option<&dyn Durable> {
        self.0.durable().map(|_| self as &dyn Durable)
    }

    fn file_system_stat(&self) -> Op<FileSystemStat> {
        let inner = self.0.clone();
        later(move || inner.file_system_stat())
    }

    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        let inner = self.0.clone();
        later(move || inner.checkpoint())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Durable for LateNode {
    fn resolve(
        &self,
        handles: &[Handle],
        covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>> {
        let (inner, handles, covered) = (self.0.clone(), handles.to_vec(), covered.clone());
        later(move || {
            let durable = inner.durable();
            let durable = durable.map(|durable| durable.resolve(&handles, &covered));
            let resolved = durable.unwrap_or(Op::err(Errno::Nodev));
            resolved.map(|found| {
                found
                    .into_iter()
                    .map(|node| node.map(LateNode::wrapped))
                    .collect()
            })
        })
    }
}

impl Directory for LateNode {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        self.within(name, |directory, name| {
            directory.walk(name).map(LateNode::wrapped)
        })
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        self.0.directory()?.edit()?;
        Some(self)
    }
}

impl EditDirectory for LateNode {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        self.editing(name, move |edit, name| edit.create(name, how).map(opened))
    }

    fn make_directory(&self, name: Name<'_>) -> Op<NodeRef> {
        self.editing(name, |edit, name| {
            edit.make_directory(name).map(LateNode::wrapped)
        })
    }

    fn make_symlink(&self, name: Name<'_>, target: &str) -> Op<()> {
        let target = target.to_owned();
        self.editing(name, move |edit, name| edit.make_symlink(name, &target))
    }

    fn link(&self, name: Name<'_>, node: &NodeRef) -> Op<()> {
        let node = own(node);
        self.editing(name, move |edit, name| edit.link(name, &node))
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        self.editing(name, |edit, name| edit.unlink(name))
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        self.editing(name, |edit, name| edit.remove_directory(name))
    }

    fn rename(&self, name: Name<'_>, to: &NodeRef, to_name: Name<'_>) -> Op<()> {
        let (to, to_name) = (own(to), to_name.as_str().to_owned());
        self.editing(name, move |edit, name| match Name::new(&to_name) {
            Ok(to_name) => edit.rename(name, &to, to_name),
            Err(errno) => Op::err(errno),
        })
    }
}

/// Waits that are under way, by what they are for.
#[derive(Clone, Copy)]
enum Wait {
    Read,
    Write,
    Ready,
    Other,
}

struct LateFile {
    inner: Arc<Mutex<Box<dyn OpenFile>>>,
    seekable: bool,
    /// Pauses of each wait so far.
    pauses: [u32; 4],
}

impl LateFile {
    fn wrapped(file: Box<dyn OpenFile>) -> Box<dyn OpenFile> {
        Box::new(LateFile {
            seekable: file.seekable(),
            inner: Arc::new(Mutex::new(file)),
            pauses: [0; 4],
        })
    }

    /// Polls when the pauses of a wait are over.
    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        wait: Wait,
        poll: impl FnOnce(&mut dyn OpenFile, &mut Context<'_>) -> Poll<Result<T, Errno>>,
    ) -> Poll<Result<T, Errno>> {
        let pauses = &mut self.pauses[wait as usize];
        if *pauses < PAUSES {
            *pauses += 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let outcome = poll(&mut **lock(&self.inner), context);
        if outcome.is_ready() {
            *pauses = 0;
        }
        outcome
    }

    fn later<T: MaybeSend + 'static>(
        &self,
        act: impl FnOnce(&mut dyn OpenFile) -> Op<T> + MaybeSend + 'static,
    ) -> Op<T> {
        let inner = self.inner.clone();
        later(move || act(&mut **lock(&inner)))
    }
}

impl OpenFile for LateFile {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        self.poll(context, Wait::Read, |file, context| {
            file.poll_read(context, offset, sink)
        })
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        self.poll(context, Wait::Write, |file, context| {
            file.poll_write(context, at, source)
        })
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        self.poll(context, Wait::Ready, |file, context| {
            file.poll_ready(context, interest)
        })
    }

    fn set_nonblocking(&mut self, nonblocking: bool) {
        lock(&self.inner).set_nonblocking(nonblocking);
    }

    fn cancel(&mut self) {
        self.pauses = [0; 4];
        lock(&self.inner).cancel();
    }

    fn finish(&mut self) -> Op<()> {
        // A file is closed once: whoever gives that up does not close it again.
        lock(&self.inner).finish()
    }

    fn unfinished(&self) -> bool {
        lock(&self.inner).unfinished()
    }

    fn seekable(&self) -> bool {
        self.seekable
    }

    fn stat(&self) -> Op<Stat> {
        self.later(|file| file.stat())
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        self.later(move |file| file.set_stat(change))
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        self.later(move |file| file.allocate(offset, length))
    }

    fn sync(&mut self, data_only: bool) -> Op<()> {
        self.later(move |file| file.sync(data_only))
    }

    fn subject(&self) -> Option<String> {
        lock(&self.inner).subject()
    }

    fn save(&self) -> Result<SavedFile, Errno> {
        lock(&self.inner).save()
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        lock(&self.inner).entries()?;
        Some(self)
    }

    fn socket(&mut self) -> Option<&mut dyn Socket> {
        lock(&self.inner).socket()?;
        Some(self)
    }

    fn listener(&mut self) -> Option<&mut dyn Listener> {
        lock(&self.inner).listener()?;
        Some(self)
    }
}

impl Entries for LateFile {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        self.later(move |file| match file.entries() {
            Some(entries) => entries.list(cookie, max.min(LISTED)),
            None => Op::err(Errno::Notdir),
        })
    }
}

impl Socket for LateFile {
    fn poll_peek(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        self.poll(context, Wait::Other, |file, context| match file.socket() {
            Some(socket) => socket.poll_peek(context, sink),
            None => Poll::Ready(Err(Errno::Notsock)),
        })
    }

    fn shutdown(&mut self, read: bool, write: bool) -> Result<(), Errno> {
        let mut inner = lock(&self.inner);
        inner.socket().ok_or(Errno::Notsock)?.shutdown(read, write)
    }
}

impl Listener for LateFile {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Opened, Errno>> {
        let accepted = self.poll(context, Wait::Other, |file, context| {
            match file.listener() {
                Some(listener) => listener.poll_accept(context),
                None => Poll::Ready(Err(Errno::Notsock)),
            }
        });
        accepted.map_ok(opened)
    }
}
