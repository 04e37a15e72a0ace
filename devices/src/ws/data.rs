//! `data`, open: one write is one message, and a read never crosses one.

use std::sync::Arc;
use std::task::{Context, Poll};

use capfs::device::parts::{set_device_stat, stream_stat};
use capfs::{
    Errno, FileKind, GuestSink, GuestSource, Interest, Op, OpenFile, Qid, Readiness, SetStat, Stat,
    WriteAt, Written,
};

use super::connection::Connection;

/// `data`, open.
pub struct OpenData {
    connection: Arc<Connection>,
    waiter: u64,
    qid: Qid,
}

impl OpenData {
    pub fn new(connection: Arc<Connection>) -> OpenData {
        OpenData {
            waiter: connection.waiter(),
            connection,
            qid: Qid::unnumbered(FileKind::CharacterDevice),
        }
    }
}

impl Drop for OpenData {
    fn drop(&mut self) {
        self.connection.forget(self.waiter);
    }
}

impl OpenFile for OpenData {
    /// # Errors
    /// - [`Errno::Notconn`]: not connected
    /// - [`Errno::Connreset`]: broken off; what came before can be read
    /// - [`Errno::Msgsize`]: a message over the limit came, and the connection was closed with 1009
    /// - [`Errno::Nobufs`]: messages came faster than they were read, where the host can't make the server wait
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        self.connection.poll_read(context, self.waiter, sink)
    }

    /// # Errors
    /// - [`Errno::Notconn`]: not connected
    /// - [`Errno::Pipe`]: the connection is closed
    /// - [`Errno::Msgsize`]: more bytes than a message may have
    /// - [`Errno::Ilseq`]: a text that isn't UTF-8
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        self.connection.poll_write(context, self.waiter, source)
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        match interest {
            Interest::Read => self.connection.poll_readable(context, self.waiter),
            Interest::Write => self.connection.poll_writable(context, self.waiter),
        }
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn subject(&self) -> Option<String> {
        self.connection.url()
    }
}
