//! What a volume asks of its host: three files that are read and written at offsets.

use capfs::{Errno, MaybeSend, MaybeSync, Op};

/// A file of the host. Every method answers at once: it may be a synchronous access handle of a
/// browser's private file system, or a file natively. Dropping it closes it.
///
/// What was written is durable after the next [`flush`](BlockFile::flush) of this file and not
/// before: a host that goes down may have lost any part of it, in any order.
pub trait BlockFile: MaybeSend {
    /// Bytes in the file.
    ///
    /// # Errors
    /// - [`Errno::Io`]: the host failed
    fn size(&self) -> Result<u64, Errno>;

    /// Reads from `offset` and returns the bytes read: less than asked only at the end.
    ///
    /// # Errors
    /// - [`Errno::Io`]: the host failed
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: the host has no room; a part may have been written
    /// - [`Errno::Io`]: the host failed
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Errno>;

    /// Cuts the file, or extends it with zeroes.
    ///
    /// # Errors
    /// As [`write_at`](BlockFile::write_at).
    fn truncate(&self, size: u64) -> Result<(), Errno>;

    /// Makes everything that was written to this file durable, and its size.
    ///
    /// # Errors
    /// - [`Errno::Nospc`]: the host has no room; what was written is kept, and it can be tried again
    /// - [`Errno::Io`]: the host failed, and what is durable is not known
    fn flush(&self) -> Result<(), Errno>;
}

/// The files of one volume, which nobody else has open.
pub struct BlockFiles {
    /// The blocks of all files.
    pub data: Box<dyn BlockFile>,
    /// The two halves of the index: one is in use, the next one is written to the other.
    pub index: [Box<dyn BlockFile>; 2],
}

/// Opens the files of a volume, whenever it is to be used.
pub trait Opener: MaybeSend + MaybeSync + 'static {
    /// Opens the three files, for this volume alone, making those that don't exist.
    ///
    /// # Errors
    /// - [`Errno::Busy`]: somebody else has them open
    /// - [`Errno::Nospc`]: the host has no room
    /// - [`Errno::Io`]: the host failed
    fn open(&self) -> Op<BlockFiles>;
}
