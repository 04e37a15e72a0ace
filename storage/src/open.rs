//! Open files and directories of a volume.

use std::task::{Context, Poll};

use capfs::{
    DirEntry, Entries, Errno, GuestSink, GuestSource, Op, OpenFile, OpenHow, SetStat, Stat,
    WriteAt, Written,
};

use crate::volume::Hold;

/// An open regular file.
pub(crate) struct StorageFile {
    hold: Hold,
    how: OpenHow,
}

impl StorageFile {
    pub fn new(hold: Hold, how: OpenHow) -> Self {
        StorageFile { hold, how }
    }
}

impl OpenFile for StorageFile {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if !self.how.read {
            return Poll::Ready(Err(Errno::Badf));
        }
        let number = self.hold.number;
        Poll::Ready(self.hold.now(|state| state.read(number, offset, sink)))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if !self.how.write {
            return Poll::Ready(Err(Errno::Badf));
        }
        let number = self.hold.number;
        Poll::Ready(self.hold.now(|state| state.write(number, at, source)))
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        let number = self.hold.number;
        self.hold.now(|state| state.stat(number)).into()
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        let number = self.hold.number;
        self.hold.now(|state| state.set_stat(number, change)).into()
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        let number = self.hold.number;
        self.hold
            .now(|state| state.allocate(number, offset, length))
            .into()
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<capfs::SavedFile, Errno> {
        self.hold.save().map(capfs::SavedFile::of)
    }

    fn sync(&mut self, _data_only: bool) -> Op<()> {
        sync(&self.hold)
    }
}

/// Everything of a volume becomes durable in one commit, whichever file it was asked for.
fn sync(hold: &Hold) -> Op<()> {
    hold.now(|state| state.commit()).into()
}

/// An open directory.
pub(crate) struct StorageDirectory {
    hold: Hold,
}

impl StorageDirectory {
    pub fn new(hold: Hold) -> Self {
        StorageDirectory { hold }
    }
}

impl OpenFile for StorageDirectory {
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
        let number = self.hold.number;
        self.hold.run(move |state| state.stat(number))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        let number = self.hold.number;
        self.hold.run(move |state| state.set_stat(number, change))
    }

    fn sync(&mut self, _data_only: bool) -> Op<()> {
        sync(&self.hold)
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        Some(self)
    }
}

impl Entries for StorageDirectory {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let number = self.hold.number;
        self.hold.run(move |state| state.list(number, cookie, max))
    }
}
