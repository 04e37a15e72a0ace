//! Descriptors 0, 1 and 2 of an agent, and the embedder's ends of them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use capfs::account::Account;
use capfs::device::null::Null;
use capfs::device::pipe::{PipeReader, PipeWriter, charged_pipe};
use capfs::{Errno, OpenFile, WriteAt};
use capfs_devices::console::Terminal;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Bytes that a pipe to or from an agent holds. They are taken with the first and kept, by each of thousands of agents: enough for what goes through
/// at a time, and for several of a line each.
const PIPE: usize = 8 << 10;

/// One of an agent's standard streams.
pub struct Stdio(Kind);

enum Kind {
    Null,
    Piped,
    File(Box<dyn OpenFile>),
    Reader(Box<dyn AsyncRead + Send + Unpin>),
    Writer(Box<dyn AsyncWrite + Send + Unpin>),
}

impl Stdio {
    /// At its end from the start; takes everything.
    pub fn null() -> Stdio {
        Stdio(Kind::Null)
    }

    /// A pipe, whose other end the [`Agent`](super::Agent) has. It holds 8 KiB, which are charged to the agent from the first byte on: a
    /// writer waits for a reader.
    pub fn piped() -> Stdio {
        Stdio(Kind::Piped)
    }

    /// Any open file: a stream of this process, say (see [`HostStream`](crate::device::stdio::HostStream)), which is written on the
    /// [pool](super::HostBuilder::blocking).
    pub fn file(file: impl OpenFile + 'static) -> Stdio {
        Stdio(Kind::File(Box::new(file)))
    }

    /// For standard input: what this gives, which is read as far ahead as a pipe holds.
    pub fn reader(from: impl AsyncRead + Send + Unpin + 'static) -> Stdio {
        Stdio(Kind::Reader(Box::new(from)))
    }

    /// For standard output and error: it takes what is written. The agent's end waits for it to be taken.
    pub fn writer(to: impl AsyncWrite + Send + Unpin + 'static) -> Stdio {
        Stdio(Kind::Writer(Box::new(to)))
    }
}

/// What an agent reads and writes, and the terminal that it has, if it has one.
pub struct Io {
    /// Descriptor 0.
    pub stdin: Stdio,
    /// Descriptor 1.
    pub stdout: Stdio,
    /// Descriptor 2.
    pub stderr: Stdio,
    /// What the capability `console` is made of: its size, and what is typed.
    pub terminal: Option<Arc<dyn Terminal>>,
}

impl Io {
    /// Nothing to read, and nobody who reads.
    pub fn null() -> Io {
        Io {
            stdin: Stdio::null(),
            stdout: Stdio::null(),
            stderr: Stdio::null(),
            terminal: None,
        }
    }

    /// Three pipes.
    pub fn piped() -> Io {
        Io {
            stdin: Stdio::piped(),
            stdout: Stdio::piped(),
            stderr: Stdio::piped(),
            terminal: None,
        }
    }
}

/// What the ends of three streams come to.
pub(super) struct Opened {
    pub(super) files: [Box<dyn OpenFile>; 3],
    pub(super) stdin: Option<AgentStdin>,
    pub(super) stdout: Option<AgentOutput>,
    pub(super) stderr: Option<AgentOutput>,
    /// Tasks that take what the agent writes to where it goes.
    pub(super) outputs: Vec<JoinHandle<()>>,
    /// What reads ahead for it.
    pub(super) input: Option<Ahead>,
}

/// The task that reads ahead for an agent. Without it, nothing more is read.
pub(super) struct Ahead(JoinHandle<()>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens the streams of the agent of an account.
pub(super) fn open(
    stdin: Stdio,
    outputs: [Stdio; 2],
    account: &Account,
    runtime: &Handle,
) -> Opened {
    let mut tasks = Vec::new();
    let (input, own_input, reading) = open_input(stdin, account, runtime);
    let [out, err] = outputs.map(|output| open_output(output, account, runtime));
    tasks.extend(out.2);
    tasks.extend(err.2);
    Opened {
        files: [input, out.0, err.0],
        stdin: own_input,
        stdout: out.1,
        stderr: err.1,
        outputs: tasks,
        input: reading,
    }
}

type OpenedEnd<End, Task> = (Box<dyn OpenFile>, Option<End>, Option<Task>);

fn open_input(stdio: Stdio, account: &Account, runtime: &Handle) -> OpenedEnd<AgentStdin, Ahead> {
    match stdio.0 {
        Kind::File(file) => (file, None, None),
        Kind::Piped => {
            let (reader, writer) = charged_pipe(PIPE, account);
            (Box::new(reader), Some(AgentStdin(Some(writer))), None)
        }
        Kind::Reader(mut from) => {
            let (reader, writer) = charged_pipe(PIPE, account);
            let mut to = AgentStdin(Some(writer));
            let pump = runtime.spawn(async move {
                // Its end, and its failure, are the end of what the agent reads.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
            (Box::new(reader), None, Some(Ahead(pump)))
        }
        Kind::Null | Kind::Writer(_) => (Box::new(Null), None, None),
    }
}

fn open_output(
    stdio: Stdio,
    account: &Account,
    runtime: &Handle,
) -> OpenedEnd<AgentOutput, JoinHandle<()>> {
    match stdio.0 {
        Kind::File(file) => (file, None, None),
        Kind::Piped => {
            let (reader, writer) = charged_pipe(PIPE, account);
            (Box::new(writer), Some(AgentOutput(reader)), None)
        }
        Kind::Writer(mut to) => {
            let (reader, writer) = charged_pipe(PIPE, account);
            let mut from = AgentOutput(reader);
            let pump = runtime.spawn(async move {
                // Where it takes no more, the agent's next write is `EPIPE`.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
            (Box::new(writer), None, Some(pump))
        }
        Kind::Null | Kind::Reader(_) => (Box::new(Null), None, None),
    }
}

fn io_error(errno: Errno) -> io::Error {
    match errno {
        Errno::Pipe => io::ErrorKind::BrokenPipe.into(),
        Errno::Nomem => io::ErrorKind::OutOfMemory.into(),
        errno => io::Error::other(errno.to_string()),
    }
}

/// What is written to it an agent reads. Its shutdown, or dropping it, is the end of the agent's input.
pub struct AgentStdin(Option<PipeWriter>);

impl AsyncWrite for AgentStdin {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(pipe) = &mut self.0 else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let written = ready!(pipe.poll_write(context, WriteAt::End, &mut bytes));
        Poll::Ready(written.map(|written| written.bytes).map_err(io_error))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// What an agent writes. Dropping it makes the agent's next write `EPIPE`.
pub struct AgentOutput(PipeReader);

impl AsyncRead for AgentOutput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut room = into.initialize_unfilled();
        match ready!(self.0.poll_read(context, 0, &mut room)) {
            Ok(count) => {
                into.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(errno) => Poll::Ready(Err(io_error(errno))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[test]
    fn nothing_is_read_for_an_agent_that_does_not_come() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let account = Account::new(1 << 20);
        runtime.block_on(async {
            let (mut own, theirs) = duplex(1);
            let nobody = [Stdio::null(), Stdio::null()];
            let opened = open(Stdio::reader(theirs), nobody, &account, runtime.handle());
            // It is read ahead.
            own.write_all(b"some bytes").await.unwrap();
            drop(opened);
            assert_eq!(own.read(&mut [0]).await.unwrap(), 0);
        });
        assert_eq!(account.used(), 0);
    }
}
