//! What every open directory is alike in: it has entries, and no bytes.

use std::task::{Context, Poll};

use crate::{
    Entries, Errno, GuestSink, GuestSource, MaybeSend, Op, OpenFile, SetStat, Stat, WriteAt,
    Written,
};

/// What a device says of a directory that is open, beside its entries.
pub trait OpenDirectory: Entries + MaybeSend {
    /// As [`OpenFile::stat`].
    fn stat(&self) -> Op<Stat>;

    /// As [`OpenFile::set_stat`].
    ///
    /// # Errors
    /// As [`Node::set_stat`](crate::Node::set_stat).
    fn set_stat(&mut self, change: SetStat) -> Op<()>;

    /// As [`OpenFile::sync`].
    fn sync(&mut self, data_only: bool) -> Op<()> {
        let _ = data_only;
        Op::ok(())
    }
}

/// An open directory as an open file.
pub struct DirectoryFile<D>(pub D);

impl<D: OpenDirectory> OpenFile for DirectoryFile<D> {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Err(Errno::Isdir))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Isdir))
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        self.0.stat()
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        self.0.set_stat(change)
    }

    fn sync(&mut self, data_only: bool) -> Op<()> {
        self.0.sync(data_only)
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        Some(&mut self.0)
    }
}
