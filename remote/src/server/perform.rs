//! One request, from its bytes to its answer.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Context;

use capfs::device::parts::lock;
use capfs::{Directory, EditDirectory, Errno, GuestSink, Name, NodeRef, OpenFile, WriteAt};

use super::fids::{Held, SharedFile};
use super::session::Shared;
use crate::wire::{Frame, Kind, Opening, READ_MAX, Reply, Request, Walked, errno, subject};

/// Entries that one listing is asked for at most; how many of them fit is seen then.
const LIST_MAX: usize = 512;

/// Does what a request asks for and returns its answer.
pub(super) async fn perform(shared: Arc<Shared>, bytes: Vec<u8>, kind: Kind, tag: u16) -> Vec<u8> {
    let asked = Asked {
        shared: &shared,
        kind,
        tag,
        last: shared.fids(|fids| fids.last()),
    };
    let request = Frame::read(&bytes, shared.sizes).and_then(Request::decode);
    let request = request.map_err(|_| Errno::Proto);
    let outcome = match request {
        Ok(request) => asked.perform(request).await,
        Err(errno) => Err(errno),
    };
    outcome.unwrap_or_else(|failed| errno(tag, failed))
}

struct Asked<'a> {
    shared: &'a Arc<Shared>,
    kind: Kind,
    tag: u16,
    /// What was begun before it, up to this serial number, may be waited for.
    last: u64,
}

/// Takes what a read brings.
struct Gathered(Vec<u8>, usize);

impl GuestSink for Gathered {
    fn remaining(&self) -> usize {
        self.1 - self.0.len()
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.remaining());
        self.0.extend_from_slice(&bytes[..count]);
        count
    }
}

fn directory(node: &NodeRef) -> Result<&dyn Directory, Errno> {
    node.directory().ok_or(Errno::Notdir)
}

fn edit(node: &NodeRef) -> Result<&dyn EditDirectory, Errno> {
    directory(node)?.edit().ok_or(Errno::Rofs)
}

/// A fid for which something is being made. If that fails, or is given up, it stands for nothing.
struct Making<'a> {
    shared: &'a Shared,
    fid: u32,
    serial: u64,
}

impl<'a> Making<'a> {
    fn begin(shared: &'a Shared, fid: u32) -> Result<Self, Errno> {
        let serial = shared.fids(|fids| fids.begin(fid))?;
        Ok(Making {
            shared,
            fid,
            serial,
        })
    }

    fn end(&self, made: Option<Held>) {
        let (fid, serial) = (self.fid, self.serial);
        let refused = self.shared.fids(|fids| fids.end(fid, serial, made));
        // Nothing is locked.
        drop(refused);
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<'a> Asked<'a> {
    fn begin(&self, fid: u32) -> Result<Making<'a>, Errno> {
        Making::begin(self.shared, fid)
    }

    fn answer(&self, reply: &Reply<'_>) -> Vec<u8> {
        reply.encode(self.kind, self.tag)
    }

    async fn held(&self, fid: u32) -> Result<Held, Errno> {
        let find = |context: &Context<'_>| {
            let last = self.last;
            self.shared.fids(|fids| fids.poll_get(fid, last, context))
        };
        poll_fn(|context| find(context)).await.ok_or(Errno::Badf)
    }

    async fn node(&self, fid: u32) -> Result<NodeRef, Errno> {
        match self.held(fid).await? {
            Held::Node(node) => Ok(node),
            Held::File(_) => Err(Errno::Badf),
        }
    }

    /// Keeps an open file; returns what is told of it, and its subject in front of the answer.
    fn keep(&self, making: Option<Making<'_>>, file: Box<dyn OpenFile>) -> (Opening, Vec<u8>) {
        let told = file.subject();
        let before = told
            .as_deref()
            .map(|text| subject(self.tag, text))
            .unwrap_or_default();
        let opening = Opening {
            seekable: file.seekable(),
            unfinished: file.unfinished(),
        };
        if let Some(making) = making {
            making.end(Some(Held::File(Arc::new(SharedFile {
                file: Mutex::new(file),
                told: Mutex::new(told),
                waker: OnceLock::new(),
            }))));
        }
        (opening, before)
    }

    async fn perform(&self, request: Request<'_>) -> Result<Vec<u8>, Errno> {
        use Request::*;
        if let Some(fid) = request.on() {
            return match self.held(fid).await? {
                Held::Node(node) => self.on_node(&node, request).await,
                Held::File(file) => {
                    let outcome = self.on_file(&file, request).await;
                    let mut answer = self.changed_subject(&file);
                    answer.extend(outcome.unwrap_or_else(|failed| errno(self.tag, failed)));
                    Ok(answer)
                }
            };
        }
        // What a request makes is reserved before anything is waited for: the next request may name it.
        let making = match request {
            Attach { new, .. }
            | Open { new, .. }
            | MakeDirectory { new, .. }
            | Create { new_node: new, .. } => Some(self.begin(new)?),
            _ => None,
        };
        let making_file = match request {
            Create { new_file, .. } => Some(self.begin(new_file)?),
            _ => None,
        };
        let (fid, second) = match request {
            Attach { tree, path, .. } => {
                let root = self.shared.trees.attach(tree, path).wait().await?;
                return Ok(self.made(making, root));
            }
            Walk { fid, ref steps } => {
                let walked = self.walk(fid, steps).await?;
                return Ok(self.answer(&Reply::Walked(walked)));
            }
            Link { fid, node, .. } => (fid, Some(node)),
            Rename { fid, to, .. } => (fid, Some(to)),
            Open { fid, .. }
            | Create { fid, .. }
            | ReadLink { fid }
            | MakeDirectory { fid, .. }
            | Symlink { fid, .. }
            | Unlink { fid, .. } => (fid, None),
            _ => return Err(Errno::Proto),
        };
        let node = self.node(fid).await?;
        let second = match second {
            Some(second) => self.node(second).await?,
            None => node.clone(),
        };
        let done = match request {
            Open { how, .. } => {
                let file = node.open(how).wait().await?;
                let (opening, mut answer) = self.keep(making, file);
                answer.extend(self.answer(&Reply::Opened(opening)));
                return Ok(answer);
            }
            Create { name, how, .. } => {
                let created = edit(&node)?.create(Name::new(name)?, how);
                let created = created.wait().await?;
                let qid = created.node.qid();
                let (opening, mut answer) = self.keep(making_file, created.file);
                self.made(making, created.node);
                answer.extend(self.answer(&Reply::Created(qid, opening)));
                return Ok(answer);
            }
            MakeDirectory { name, .. } => {
                let found = edit(&node)?.make_directory(Name::new(name)?);
                let found = found.wait().await?;
                return Ok(self.made(making, found));
            }
            ReadLink { .. } => {
                let target = node.read_link().wait().await?;
                return Ok(self.answer(&Reply::Target(&target)));
            }
            Symlink { name, target, .. } => edit(&node)?.make_symlink(Name::new(name)?, target),
            Link { name, .. } => edit(&node)?.link(Name::new(name)?, &second),
            Unlink {
                name, directory, ..
            } => match directory {
                true => edit(&node)?.remove_directory(Name::new(name)?),
                false => edit(&node)?.unlink(Name::new(name)?),
            },
            Rename { name, to_name, .. } => {
                edit(&node)?.rename(Name::new(name)?, &second, Name::new(to_name)?)
            }
            _ => return Err(Errno::Proto),
        };
        done.wait().await?;
        Ok(self.answer(&Reply::Done))
    }

    /// Keeps a node that was made or attached to, and answers so.
    fn made(&self, making: Option<Making<'_>>, node: NodeRef) -> Vec<u8> {
        let reply = Reply::Node(node.qid(), node.directory().is_some());
        let answer = self.answer(&reply);
        if let Some(making) = making {
            making.end(Some(Held::Node(node)));
        }
        answer
    }

    async fn walk(&self, fid: u32, steps: &[(u32, &str)]) -> Result<Walked, Errno> {
        let mut making = Vec::with_capacity(steps.len());
        for (new, _) in steps {
            making.push(self.begin(*new)?);
        }
        let mut node = self.node(fid).await?;
        let mut walked = Walked {
            nodes: Vec::new(),
            stopped: None,
        };
        for (made, (_, name)) in making.iter().zip(steps) {
            let name = Name::new(name);
            let found = match (node.directory(), name) {
                // What has no names is where the client looks for itself: it may be a link.
                (None, _) if !walked.nodes.is_empty() => break,
                (None, _) => Err(Errno::Notdir),
                (_, Err(errno)) => Err(errno),
                (Some(directory), Ok(name)) => {
                    let found = directory.walk(name);
                    found.wait().await
                }
            };
            match found {
                Ok(found) => {
                    let told = (found.qid(), found.directory().is_some());
                    walked.nodes.push(told);
                    made.end(Some(Held::Node(found.clone())));
                    node = found;
                }
                Err(errno) if walked.nodes.is_empty() => return Err(errno),
                Err(errno) => {
                    walked.stopped = Some(errno);
                    break;
                }
            }
        }
        Ok(walked)
    }

    async fn on_node(&self, node: &NodeRef, request: Request<'_>) -> Result<Vec<u8>, Errno> {
        let reply = match request {
            Request::GetAttr { .. } => Reply::Stat(node.stat().wait().await?),
            Request::SetAttr { change, .. } => {
                node.set_stat(change).wait().await?;
                Reply::Done
            }
            _ => return Err(Errno::Badf),
        };
        Ok(self.answer(&reply))
    }

    /// Says what the file stands for, if that is another than the client knows.
    fn changed_subject(&self, shared: &SharedFile) -> Vec<u8> {
        let now = shared.file.try_lock().ok().and_then(|file| file.subject());
        let mut told = lock(&shared.told);
        match now {
            Some(now) if told.as_ref() != Some(&now) => {
                let text = subject(self.tag, &now);
                *told = Some(now);
                text
            }
            _ => Vec::new(),
        }
    }

    async fn on_file(&self, shared: &SharedFile, request: Request<'_>) -> Result<Vec<u8>, Errno> {
        use Request::*;
        // A device that comes back to its own file while that is polled would find it locked.
        let file = || shared.file.try_lock().map_err(|_| Errno::Busy);
        let reply = match request {
            Read { offset, count, .. } => {
                let mut sink = Gathered(Vec::new(), (count as usize).min(READ_MAX));
                poll_fn(|context| file()?.poll_read(context, offset, &mut sink)).await?;
                return Ok(self.answer(&Reply::Data(&sink.0)));
            }
            Write { at, data, .. } => {
                let mut writing = Writing(Some(shared));
                let written = poll_fn(|context| file()?.poll_write(context, at, &mut { data }));
                let written = written.await;
                writing.0 = None;
                Reply::Written(written?)
            }
            WriteAll { data, .. } => {
                let mut rest = data;
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
                Reply::Done
            }
            Ready { interest, .. } => {
                let readiness = poll_fn(|context| file()?.poll_ready(context, interest));
                Reply::Ready(readiness.await?)
            }
            GetAttr { .. } => {
                let stat = file()?.stat();
                Reply::Stat(stat.wait().await?)
            }
            ReadDir { cookie, count, .. } => {
                let max = (count as usize).min(LIST_MAX);
                let listing = file()?.entries().ok_or(Errno::Notdir)?.list(cookie, max);
                Reply::Entries(listing.wait().await?)
            }
            other => {
                let operation = {
                    let mut file = file()?;
                    match other {
                        SetAttr { change, .. } => file.set_stat(change),
                        Allocate { offset, length, .. } => file.allocate(offset, length),
                        Sync { data_only, .. } => file.sync(data_only),
                        Finish { .. } => file.finish(),
                        _ => return Err(Errno::Badf),
                    }
                };
                operation.wait().await?;
                Reply::Done
            }
        };
        Ok(self.answer(&reply))
    }
}

/// A write that is under way. One that is given up is no other's.
struct Writing<'a>(Option<&'a SharedFile>);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(Ok(mut file)) = self.0.map(|shared| shared.file.try_lock()) {
            file.cancel();
        }
    }
}
