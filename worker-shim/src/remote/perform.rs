//! One request, from its bytes to its results.

use std::cell::{OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;

use capfs::{
    Directory, EditDirectory, Errno, Name, Namespace, NodeRef, Op, OpenAt, OpenFile, OpenHow,
    WriteAt,
};

use super::server::{Client, ClientRef, SharedFile, Table, failed};
use super::wire::{Code, DATA_MAX, Decoder, Encoder, LIST_MAX, SEEKABLE, SUBJECT, UNFINISHED};
use crate::files::Gathered;
use crate::machine::{Agent, with_machine};

/// Does what a request asks for and returns its status and results.
pub(super) async fn perform(client: ClientRef, namespace: Namespace, request: Vec<u8>) -> Vec<u8> {
    let mut decoder = Decoder(&request);
    match dispatch(&client, &namespace, &mut decoder).await {
        Ok(done) => done,
        Err(errno) => failed(errno),
    }
}

/// The answer of a request that succeeded.
fn succeeded(results: Encoder) -> Vec<u8> {
    Encoder::default().u32(0).append(results).finish()
}

fn name<'a>(request: &mut Decoder<'a>) -> Result<Name<'a>, Errno> {
    Name::new(request.text()?)
}

fn directory(node: &NodeRef) -> Result<&dyn Directory, Errno> {
    node.directory().ok_or(Errno::Notdir)
}

fn edit(node: &NodeRef) -> Result<&dyn EditDirectory, Errno> {
    directory(node)?.edit().ok_or(Errno::Rofs)
}

async fn done(operation: Op<()>) -> Result<Vec<u8>, Errno> {
    operation
        .wait()
        .await
        .map(|()| succeeded(Encoder::default()))
}

async fn node(client: &ClientRef, request: &mut Decoder<'_>) -> Result<NodeRef, Errno> {
    let fid = request.u32()?;
    let found = poll_fn(|context| client.borrow_mut().nodes.poll_get(fid, context)).await;
    found.ok_or(Errno::Noent)
}

/// A number for which something is being made. If that fails, or is given up, it stands for nothing.
struct Making<'a, T: Clone> {
    client: &'a ClientRef,
    table: fn(&mut Client) -> &mut Table<T>,
    number: u32,
}

impl<'a, T: Clone> Making<'a, T> {
    fn begin(
        client: &'a ClientRef,
        table: fn(&mut Client) -> &mut Table<T>,
        number: u32,
    ) -> Result<Self, Errno> {
        table(&mut client.borrow_mut()).begin(number)?;
        Ok(Making {
            client,
            table,
            number,
        })
    }

    fn end(self, value: T) {
        (self.table)(&mut self.client.borrow_mut()).end(self.number, Some(value));
    }
}

impl<T: Clone> Drop for Making<'_, T> {
    fn drop(&mut self) {
        (self.table)(&mut self.client.borrow_mut()).end(self.number, None);
    }
}

fn nodes(client: &mut Client) -> &mut Table<NodeRef> {
    &mut client.nodes
}

fn files(client: &mut Client) -> &mut Table<Rc<SharedFile>> {
    &mut client.files
}

/// Keeps an open file; returns what the client is told of it.
fn keep_open(making: Making<'_, Rc<SharedFile>>, file: Box<dyn OpenFile>) -> (u32, Encoder) {
    let subject = file.subject();
    let (status, told) = match &subject {
        Some(subject) => (SUBJECT, Encoder::default().bytes(subject.as_bytes())),
        None => (0, Encoder::default()),
    };
    let seekable = if file.seekable() { SEEKABLE } else { 0 };
    let unfinished = if file.unfinished() { UNFINISHED } else { 0 };
    let told = told.u8(seekable | unfinished);
    making.end(Rc::new(SharedFile {
        file: RefCell::new(file),
        told: RefCell::new(subject),
        waker: OnceCell::new(),
    }));
    (status, told)
}

/// Whether this kernel is an agent's, or was until that ended.
fn is_an_agents() -> bool {
    with_machine(|machine| machine.agent != Agent::None).unwrap_or(true)
}

async fn attach(
    client: &ClientRef,
    namespace: &Namespace,
    request: &mut Decoder<'_>,
) -> Result<Vec<u8>, Errno> {
    let made = Making::begin(client, nodes, request.u32()?)?;
    let tree = request.u32()?;
    let path = request.text()?.trim_start_matches('/');
    let root = match tree {
        0 => {
            let path = if path.is_empty() { "." } else { path };
            let how = OpenAt {
                directory: true,
                follow: true,
                how: OpenHow {
                    read: true,
                    ..Default::default()
                },
                ..Default::default()
            };
            let (place, _) = namespace.open(&namespace.root(), path, how).wait().await?;
            match is_an_agents() {
                // What an agent hands to its tasks is what it sees itself, with its rights.
                true => namespace.view(place),
                // The page shares its own files, and nothing that is mounted among them.
                false => place.node().clone(),
            }
        }
        tree => {
            let tree = client.borrow().trees.get(&tree).cloned();
            tree.ok_or(Errno::Noent)?.root
        }
    };
    let qid = root.qid();
    made.end(root);
    Ok(succeeded(Encoder::default().qid(qid)))
}

async fn dispatch(
    client: &ClientRef,
    namespace: &Namespace,
    request: &mut Decoder<'_>,
) -> Result<Vec<u8>, Errno> {
    request.u32()?;
    let code = Code::from_number(request.u8()?).ok_or(Errno::Proto)?;
    if code.is_on_file() {
        let number = request.u32()?;
        let file = poll_fn(|context| client.borrow_mut().files.poll_get(number, context)).await;
        let file = file.ok_or(Errno::Badf)?;
        let outcome = on_file(code, &file, request).await;
        return Ok(with_subject(&file, outcome));
    }
    if code == Code::Attach {
        return attach(client, namespace, request).await;
    }
    // What a request makes is reserved before anything is waited for: the next request may name it.
    let target = *request;
    match code {
        Code::Walk | Code::MakeDirectory => {
            let mut ahead = target;
            ahead.u32()?;
            let made = Making::begin(client, nodes, ahead.u32()?)?;
            let node = node(client, request).await?;
            request.u32()?;
            let found = match code {
                Code::Walk => directory(&node)?.walk(name(request)?),
                _ => edit(&node)?.make_directory(name(request)?),
            };
            let found = found.wait().await?;
            let (qid, has_names) = (found.qid(), found.directory().is_some());
            made.end(found);
            let results = Encoder::default().qid(qid).u8(has_names.into());
            Ok(succeeded(results))
        }
        Code::Stat => {
            let stat = node(client, request).await?.stat().wait().await?;
            Ok(succeeded(Encoder::default().stat(stat)))
        }
        Code::Open => {
            let mut ahead = target;
            ahead.u32()?;
            let made = Making::begin(client, files, ahead.u32()?)?;
            let node = node(client, request).await?;
            request.u32()?;
            let file = node.open(request.how()?).wait().await?;
            let (status, told) = keep_open(made, file);
            Ok(Encoder::default().u32(status).append(told).finish())
        }
        Code::SetStat => {
            let node = node(client, request).await?;
            done(node.set_stat(request.set_stat()?)).await
        }
        Code::ReadLink => {
            let target = node(client, request).await?.read_link().wait().await?;
            Ok(succeeded(Encoder::default().bytes(target.as_bytes())))
        }
        Code::Create => {
            let node = node(client, request).await?;
            let made = Making::begin(client, nodes, request.u32()?)?;
            let name = name(request)?;
            let file = Making::begin(client, files, request.u32()?)?;
            let opened = edit(&node)?.create(name, request.how()?).wait().await?;
            let qid = opened.node.qid();
            let (status, told) = keep_open(file, opened.file);
            made.end(opened.node);
            let results = told.qid(qid);
            Ok(Encoder::default().u32(status).append(results).finish())
        }
        Code::MakeSymlink => {
            let node = node(client, request).await?;
            let name = name(request)?;
            done(edit(&node)?.make_symlink(name, request.text()?)).await
        }
        Code::Link => {
            let parent = node(client, request).await?;
            let name = name(request)?;
            let linked = node(client, request).await?;
            done(edit(&parent)?.link(name, &linked)).await
        }
        Code::Unlink => {
            let node = node(client, request).await?;
            done(edit(&node)?.unlink(name(request)?)).await
        }
        Code::RemoveDirectory => {
            let node = node(client, request).await?;
            done(edit(&node)?.remove_directory(name(request)?)).await
        }
        Code::Rename => {
            let parent = node(client, request).await?;
            let from = name(request)?;
            let to = node(client, request).await?;
            done(edit(&parent)?.rename(from, &to, name(request)?)).await
        }
        _ => Err(Errno::Proto),
    }
}

/// The answer, with the file's subject if that is another than the client knows.
fn with_subject(file: &SharedFile, outcome: Result<Encoder, Errno>) -> Vec<u8> {
    let subject = file.file.try_borrow().ok().and_then(|file| file.subject());
    let (code, results) = match outcome {
        Ok(results) => (0, results),
        Err(errno) => (errno.code().into(), Encoder::default()),
    };
    let told = match subject {
        Some(subject) if file.told.borrow().as_ref() != Some(&subject) => {
            let text = Encoder::default()
                .u32(code | SUBJECT)
                .bytes(subject.as_bytes());
            file.told.replace(Some(subject));
            text
        }
        _ => Encoder::default().u32(code),
    };
    told.append(results).finish()
}

/// A write that is under way. One that is given up is no other's.
struct Writing<'a>(Option<&'a SharedFile>);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(Ok(mut file)) = self.0.map(|shared| shared.file.try_borrow_mut()) {
            file.cancel();
        }
    }
}

async fn on_file(
    code: Code,
    shared: &SharedFile,
    request: &mut Decoder<'_>,
) -> Result<Encoder, Errno> {
    // A device that comes back to its own file while that is polled would find it borrowed.
    let file = || shared.file.try_borrow_mut().map_err(|_| Errno::Busy);
    match code {
        Code::Read => {
            let offset = request.u64()?;
            let max = (request.u32()? as usize).min(DATA_MAX);
            let mut sink = Gathered::up_to(max);
            poll_fn(|context| file()?.poll_read(context, offset, &mut sink)).await?;
            Ok(Encoder::from(sink.into_bytes()))
        }
        Code::Write => {
            let at = request.at()?;
            let bytes = request.bytes()?;
            let mut writing = Writing(Some(shared));
            let written = poll_fn(|context| file()?.poll_write(context, at, &mut { bytes })).await;
            writing.0 = None;
            let written = written?;
            Ok(Encoder::default()
                .u32(written.bytes as u32)
                .u64(written.end))
        }
        Code::WriteAll => {
            let mut rest = request.bytes()?;
            let mut writing = Writing(Some(shared));
            while !rest.is_empty() {
                // What is left is offered each time, as a guest does: a tree elsewhere is handed more than it may write.
                let written =
                    poll_fn(|context| file()?.poll_write(context, WriteAt::End, &mut { rest }));
                match written.await.map(|written| written.bytes) {
                    Ok(0) => return Err(Errno::Nospc),
                    Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                    Err(errno) => {
                        writing.0 = None;
                        return Err(errno);
                    }
                }
            }
            writing.0 = None;
            Ok(Encoder::default())
        }
        Code::Ready => {
            let interest = request.interest()?;
            let readiness = poll_fn(|context| file()?.poll_ready(context, interest)).await?;
            Ok(Encoder::default()
                .u64(readiness.bytes)
                .u8(readiness.hangup.into()))
        }
        Code::FileStat => {
            let stat = file()?.stat();
            Ok(Encoder::default().stat(stat.wait().await?))
        }
        Code::List => {
            let (cookie, max) = (request.u64()?, request.u32()? as usize);
            let listing = file()?
                .entries()
                .ok_or(Errno::Notdir)?
                .list(cookie, max.min(LIST_MAX));
            let entries = listing.wait().await?;
            let count = Encoder::default().u32(entries.len() as u32);
            Ok(entries.iter().fold(count, Encoder::entry))
        }
        _ => {
            let operation = match code {
                Code::FileSetStat => file()?.set_stat(request.set_stat()?),
                Code::Allocate => file()?.allocate(request.u64()?, request.u64()?),
                Code::Sync => file()?.sync(request.u8()? == 1),
                Code::Finish => file()?.finish(),
                _ => Op::err(Errno::Proto),
            };
            operation.wait().await.map(|()| Encoder::default())
        }
    }
}
