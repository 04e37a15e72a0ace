//! The home's side: what agents have walked to and opened in the page's tree.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use capfs::{
    Directory, EditDirectory, Errno, GuestSink, Name, Namespace, NodeRef, Op, OpenAt, OpenFile,
    OpenHow, WriteAt,
};

use super::wire::{Code, DATA_MAX, Decoder, Encoder, LIST_MAX};

/// Nodes and open files of one agent, at most: somewhat more than its own descriptors and mounts can hold.
const FIDS_MAX: usize = 1 << 18;

#[derive(Default)]
struct Client {
    nodes: HashMap<u32, NodeRef>,
    files: HashMap<u32, Box<dyn OpenFile>>,
}

thread_local! {
    static CLIENTS: RefCell<HashMap<u32, Client>> = RefCell::default();
}

/// Closes everything that an agent has open.
pub fn forget(agent: u32) {
    CLIENTS.with_borrow_mut(|clients| clients.remove(&agent));
}

/// Answers one request of an agent.
pub fn serve(namespace: &Namespace, agent: u32, request: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder(request);
    // Without a number nobody could tell whose answer this is; 0 is nobody's.
    let call = decoder.u32().unwrap_or(0);
    let outcome = CLIENTS.with_borrow_mut(|clients| {
        let client = clients.entry(agent).or_default();
        let mut work = pin!(client.perform(namespace, &mut decoder));
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            // The home's tree is in memory: nothing of it waits.
            Poll::Pending => Err(Errno::Io),
        }
    });
    let answer = Encoder::default().u32(call);
    match outcome {
        Ok(payload) => {
            let mut bytes = answer.u32(0).finish();
            bytes.extend(payload.finish());
            bytes
        }
        Err(errno) => answer.u32(errno.code().into()).finish(),
    }
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

async fn done(operation: Op<()>) -> Result<Encoder, Errno> {
    operation.wait().await.map(|()| Encoder::default())
}

impl Client {
    fn node(&self, request: &mut Decoder<'_>) -> Result<NodeRef, Errno> {
        self.nodes.get(&request.u32()?).cloned().ok_or(Errno::Noent)
    }

    fn file(&mut self, request: &mut Decoder<'_>) -> Result<&mut Box<dyn OpenFile>, Errno> {
        self.files.get_mut(&request.u32()?).ok_or(Errno::Badf)
    }

    fn keep(&mut self, fid: u32, node: NodeRef) -> Result<Encoder, Errno> {
        if self.nodes.len() >= FIDS_MAX {
            return Err(Errno::Nfile);
        }
        let qid = node.qid();
        self.nodes.insert(fid, node);
        Ok(Encoder::default().qid(qid))
    }

    fn keep_open(&mut self, number: u32, file: Box<dyn OpenFile>) -> Result<Encoder, Errno> {
        if self.files.len() >= FIDS_MAX {
            return Err(Errno::Nfile);
        }
        self.files.insert(number, file);
        Ok(Encoder::default())
    }

    async fn perform(
        &mut self,
        namespace: &Namespace,
        request: &mut Decoder<'_>,
    ) -> Result<Encoder, Errno> {
        let code = Code::from_number(request.u8()?).ok_or(Errno::Proto)?;
        match code {
            Code::Attach => {
                let fid = request.u32()?;
                let path = request.text()?.trim_start_matches('/');
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
                self.keep(fid, place.node().clone())
            }
            Code::Walk => {
                let (node, fid) = (self.node(request)?, request.u32()?);
                let found = directory(&node)?.walk(name(request)?).wait().await?;
                self.keep(fid, found)
            }
            Code::Stat => Ok(Encoder::default().stat(self.node(request)?.stat().wait().await?)),
            Code::Open => {
                let (node, number) = (self.node(request)?, request.u32()?);
                let file = node.open(request.how()?).wait().await?;
                self.keep_open(number, file)
            }
            Code::SetStat => {
                let node = self.node(request)?;
                done(node.set_stat(request.set_stat()?)).await
            }
            Code::ReadLink => {
                let target = self.node(request)?.read_link().wait().await?;
                Ok(Encoder::default().bytes(target.as_bytes()))
            }
            Code::Create => {
                let (node, fid) = (self.node(request)?, request.u32()?);
                let (name, number) = (name(request)?, request.u32()?);
                let opened = edit(&node)?.create(name, request.how()?).wait().await?;
                self.keep_open(number, opened.file)?;
                self.keep(fid, opened.node)
            }
            Code::MakeDirectory => {
                let (node, fid) = (self.node(request)?, request.u32()?);
                let made = edit(&node)?.make_directory(name(request)?).wait().await?;
                self.keep(fid, made)
            }
            Code::MakeSymlink => {
                let node = self.node(request)?;
                let name = name(request)?;
                done(edit(&node)?.make_symlink(name, request.text()?)).await
            }
            Code::Link => {
                let node = self.node(request)?;
                let name = name(request)?;
                let linked = self.node(request)?;
                done(edit(&node)?.link(name, &linked)).await
            }
            Code::Unlink => {
                let node = self.node(request)?;
                done(edit(&node)?.unlink(name(request)?)).await
            }
            Code::RemoveDirectory => {
                let node = self.node(request)?;
                done(edit(&node)?.remove_directory(name(request)?)).await
            }
            Code::Rename => {
                let node = self.node(request)?;
                let from = name(request)?;
                let to = self.node(request)?;
                done(edit(&node)?.rename(from, &to, name(request)?)).await
            }
            Code::Clunk => {
                self.nodes.remove(&request.u32()?);
                Ok(Encoder::default())
            }
            Code::Close => {
                self.files.remove(&request.u32()?);
                Ok(Encoder::default())
            }
            _ => on_file(code, self.file(request)?.as_mut(), request).await,
        }
    }
}

async fn on_file(
    code: Code,
    file: &mut dyn OpenFile,
    request: &mut Decoder<'_>,
) -> Result<Encoder, Errno> {
    match code {
        Code::Read => {
            let offset = request.u64()?;
            let mut bytes = vec![0; (request.u32()? as usize).min(DATA_MAX)];
            let count = poll_fn(|context| {
                let mut sink: &mut [u8] = &mut bytes;
                file.poll_read(context, offset, &mut sink as &mut dyn GuestSink)
            })
            .await?;
            bytes.truncate(count);
            Ok(Encoder::from(bytes))
        }
        Code::Write => {
            let end = request.u8()? == 1;
            let offset = request.u64()?;
            let at = if end {
                WriteAt::End
            } else {
                WriteAt::Offset(offset)
            };
            let mut bytes = request.bytes()?;
            let written = poll_fn(|context| file.poll_write(context, at, &mut bytes)).await?;
            Ok(Encoder::default()
                .u32(written.bytes as u32)
                .u64(written.end))
        }
        Code::FileStat => Ok(Encoder::default().stat(file.stat().wait().await?)),
        Code::FileSetStat => done(file.set_stat(request.set_stat()?)).await,
        Code::Allocate => done(file.allocate(request.u64()?, request.u64()?)).await,
        Code::List => {
            let (cookie, max) = (request.u64()?, request.u32()? as usize);
            let listing = file
                .entries()
                .ok_or(Errno::Notdir)?
                .list(cookie, max.min(LIST_MAX));
            let entries = listing.wait().await?;
            let count = Encoder::default().u32(entries.len() as u32);
            Ok(entries.iter().fold(count, Encoder::entry))
        }
        _ => Err(Errno::Proto),
    }
}
