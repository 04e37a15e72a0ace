//! Open files with bytes in front of them that were read from them, and that nobody was given.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use super::lock::lock;
use crate::account::Buffer;
use crate::forward::forward_open_file;
use crate::{Errno, GuestSink, Interest, OpenFile, Readiness, SavedFile, Socket};

/// Bytes that were read from a stream and are given back to it: the next reads get them, before anything else.
#[derive(Clone)]
pub struct Unread(Arc<Mutex<Front>>);

struct Front {
    bytes: Buffer,
    /// How many of them have been read again.
    read: usize,
}

impl Front {
    fn left(&self) -> &[u8] {
        &self.bytes.bytes()[self.read..]
    }
}

impl Unread {
    /// Gives bytes back to a stream, which is the file that is returned from now on.
    pub fn before(file: Box<dyn OpenFile>, bytes: Buffer) -> (Unread, Box<dyn OpenFile>) {
        let unread = Unread(Arc::new(Mutex::new(Front { bytes, read: 0 })));
        let front = unread.clone();
        (unread, Box::new(WithFront { front, file }))
    }

    /// Gives bytes back to the same stream once more: whoever has read them had read all that was given back before.
    pub fn put_back(&self, bytes: Buffer) {
        *lock(&self.0) = Front { bytes, read: 0 };
    }
}

struct WithFront {
    front: Unread,
    file: Box<dyn OpenFile>,
}

impl WithFront {
    /// Takes or shows bytes that were given back, where there are any.
    fn front(&self, sink: &mut dyn GuestSink, takes: bool) -> Option<usize> {
        let mut front = lock(&self.front.0);
        if front.left().is_empty() {
            return None;
        }
        let count = sink.put(front.left());
        if takes {
            front.read += count;
            if front.left().is_empty() {
                front.read = 0;
                front.bytes.clear();
            }
        }
        Some(count)
    }
}

#[deny(clippy::missing_trait_methods)]
impl OpenFile for WithFront {
    forward_open_file!(file: poll_write set_nonblocking cancel finish unfinished seekable position stat set_stat allocate sync subject entries listener);

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        match self.front(sink, true) {
            Some(count) => Poll::Ready(Ok(count)),
            None => self.file.poll_read(context, offset, sink),
        }
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        let left = lock(&self.front.0).left().len();
        match interest {
            Interest::Read if left > 0 => Poll::Ready(Ok(Readiness {
                bytes: left as u64,
                hangup: false,
            })),
            _ => self.file.poll_ready(context, interest),
        }
    }

    /// Nobody would have the bytes that were given back.
    fn save(&self) -> Result<SavedFile, Errno> {
        match lock(&self.front.0).left().is_empty() {
            true => self.file.save(),
            false => Err(Errno::Nodev),
        }
    }

    fn socket(&mut self) -> Option<&mut dyn Socket> {
        self.file.socket()?;
        Some(self)
    }
}

impl Socket for WithFront {
    fn poll_peek(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if let Some(count) = self.front(sink, false) {
            return Poll::Ready(Ok(count));
        }
        let socket = self.file.socket().ok_or(Errno::Notsock)?;
        socket.poll_peek(context, sink)
    }

    /// What was given back is lost with the reading direction, as what had come in is.
    fn shutdown(&mut self, read: bool, write: bool) -> Result<(), Errno> {
        self.file
            .socket()
            .ok_or(Errno::Notsock)?
            .shutdown(read, write)?;
        if read {
            let mut front = lock(&self.front.0);
            front.read = 0;
            front.bytes.clear();
        }
        Ok(())
    }
}
