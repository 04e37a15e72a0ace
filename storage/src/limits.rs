//! Named limits of a volume. Each says its unit, its reason and who could abuse it.

/// Bytes in a block, the unit in which contents are kept, cached and counted. Large enough that the
/// tables stay small, and what programs write at a time.
pub const BLOCK: usize = 4096;

/// Bytes in the longest file: 16 TiB less a block, as blocks are numbered by 32 bits. Beyond it the guest gets `EFBIG`.
pub const STORAGE_FILE_MAX: u64 = (u32::MAX as u64) * BLOCK as u64;

/// Files, directories and symbolic links in a volume; and as many names. All of them are in memory
/// while the volume is open, some hundred bytes each. Over it, the guest gets `ENOSPC`.
pub const STORAGE_NODES_MAX: usize = 1 << 18;

/// Bytes of all names and link targets of a volume: 32 MiB. They are in memory while it is open; without a limit of their own, links
/// with long targets could be 1 GiB of them. Over it, the guest gets `ENOSPC`.
pub const STORAGE_TEXT_MAX: u64 = 32 << 20;

/// Blocks that a directory or a symbolic link counts as, beside its names: as on most disks. So none of them is free.
pub(crate) const NODE_BLOCKS: u64 = 1;

/// Directories in each other into which a directory can be moved: deeper down, `rename` is `ENAMETOOLONG`. That a directory
/// isn't moved into itself is found by walking up from its new place; this bounds the walk. No path is half as deep.
pub(crate) const STORAGE_DEPTH_MAX: usize = 1 << 14;

/// Bytes of the page cache: 16 MiB, when everything in it is in use. An agent that reads and writes as much
/// as it likes takes no more. Half of what the cache has may be dirty; then it is written out.
pub const CACHE_MAX: usize = Geometry::USUAL.cache_max;

/// Bytes that the page cache begins with: 2 MiB, twice what is written in one piece.
pub const CACHE_MIN: usize = Geometry::USUAL.cache_min;

/// Nanoseconds for which a change waits to be made durable, if nobody asks before: one second. It is
/// what a tab that is killed may lose, beside what was never written.
pub const COMMIT_EVERY: u64 = 1_000_000_000;

/// Bytes of changes to the index that are kept in memory before they are committed: 1 MiB.
pub(crate) const PENDING_MAX: usize = 1 << 20;

/// Blocks that wait for a commit to be free again, at most: 256 MiB of them.
pub(crate) const DEFERRED_MAX: u32 = 1 << 16;

/// Bytes by which blocks are freed or taken at once at the end of the data file, at most: 16 MiB.
pub(crate) const GROW_MAX: u32 = 4096;

/// Bytes of an index: 1 GiB. It is read as a whole when the volume is opened. What would make it longer is refused with `ENOSPC`, and
/// a file that is longer was not written by this code.
pub(crate) const INDEX_MAX: u64 = 1 << 30;

/// Bytes of transactions behind a snapshot at which the index is written anew, whatever the snapshot's length: 64 MiB.
pub(crate) const JOURNAL_MAX: u64 = 64 << 20;

/// The sizes in which a volume works. They decide how often something happens, never what it means: what is tested with small ones,
/// where a few operations reach every case, holds for the usual ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// Bytes that the page cache begins with.
    pub cache_min: usize,
    /// Bytes of the page cache when everything in it is in use.
    pub cache_max: usize,
    /// Bytes written or read in one piece, a power of two times [`BLOCK`]. Beyond the usual a larger piece gains nothing.
    pub transfer_max: usize,
    /// Bytes from which a read or a write goes past the cache. Gathering gains nothing then.
    pub direct_min: usize,
    /// Bytes that are read ahead at most.
    pub read_ahead_max: usize,
    /// Blocks that only what replaces or frees others may take. So a full volume can still be overwritten and emptied.
    pub keep_free: u32,
    /// Bytes by which the index grows, and of which only what frees room may take the last.
    pub index_step: u64,
    /// Bytes that an index has at most; [`INDEX_MAX`] at most.
    pub index_max: u64,
    /// Bytes of transactions behind a snapshot from which the index is written anew, or four times the snapshot, if that is more.
    pub journal_min: u64,
    /// Blocks by which the data file grows at least.
    pub grow_min: u32,
    /// Free blocks at the end of the data file from which it is cut.
    pub trim_min: u32,
}

impl Geometry {
    /// What is used.
    pub const USUAL: Geometry = Geometry {
        cache_min: 2 << 20,
        cache_max: 16 << 20,
        transfer_max: 1 << 20,
        direct_min: 256 << 10,
        read_ahead_max: 256 << 10,
        keep_free: 64,
        index_step: 64 << 10,
        index_max: INDEX_MAX,
        journal_min: 1 << 20,
        grow_min: 256,
        trim_min: 1024,
    };

    /// What tests use as well.
    #[cfg(test)]
    pub const SMALL: Geometry = Geometry {
        cache_min: 64 << 10,
        cache_max: 128 << 10,
        transfer_max: 32 << 10,
        direct_min: 16 << 10,
        read_ahead_max: 16 << 10,
        keep_free: 4,
        index_step: 16 << 10,
        index_max: INDEX_MAX,
        journal_min: 1 << 10,
        grow_min: 16,
        trim_min: 24,
    };

    /// Blocks written or read in one piece.
    pub const fn batch(&self) -> u32 {
        (self.transfer_max / BLOCK) as u32
    }
}
