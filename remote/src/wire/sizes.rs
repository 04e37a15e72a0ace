//! How large things may be: one rule, from which both sides take their bounds.

/// Bytes that one read moves at most, and that the entries of one listing take: what fits several times into a worker's mailbox.
pub const READ_MAX: usize = 64 << 10;

/// Bytes that one write to a file with offsets moves at most; a longer one is a short write, and its caller goes on behind it.
pub const FILE_WRITE_MAX: usize = 4 << 20;

/// Bytes of a frame beside its data: numbers, and the names of a walk or the target of a link.
pub const HEAD_MAX: usize = 8 << 10;

/// Names of one walk, at most (`MAXWELEM` in walk(5)).
pub const WALK_MAX: usize = 16;

/// Requests under way on one connection, at most: one for each descriptor that a client may poll at once. There are more tags, so that each of
/// them can be flushed, and fids clunked meanwhile.
pub const REQUESTS_MAX: usize = 1 << 14;

/// Bytes of answers that a client has asked for and not looked at, at most: a thousand reads of the longest.
pub const ANSWERS_MAX: usize = 64 << 20;

/// What a connection carries at most. Both sides are made with the same: there is no version(5) on this wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    write: usize,
}

impl Sizes {
    /// Sizes where a write to a stream moves up to `write` bytes. It is at least what a read moves.
    pub const fn for_writes_of(write: usize) -> Sizes {
        match write < READ_MAX {
            true => Sizes { write: READ_MAX },
            false => Sizes { write },
        }
    }

    /// Bytes of a frame at most, in both directions (`msize` in version(5)), and of a client's requests under way.
    pub const fn msize(self) -> usize {
        self.write + HEAD_MAX
    }

    /// Bytes that one write moves at most.
    pub const fn write_max(self, seekable: bool) -> usize {
        match seekable && self.write > FILE_WRITE_MAX {
            true => FILE_WRITE_MAX,
            false => self.write,
        }
    }
}
