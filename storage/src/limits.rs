//! Named limits of a volume. Each says its unit, its reason and who could abuse it.

/// A limit that is small in this crate's own tests, so that a few operations reach it.
const fn sized(usual: usize, in_tests: usize) -> usize {
    if cfg!(test) { in_tests } else { usual }
}

/// Bytes in a block, the unit in which contents are kept, cached and counted. Large enough that the
/// tables stay small, and what programs write at a time.
pub const BLOCK: usize = 4096;

/// Bytes in the longest file: 16 TiB less a block, as blocks are numbered by 32 bits. Beyond it the guest gets `EFBIG`.
pub const STORAGE_FILE_MAX: u64 = (u32::MAX as u64) * BLOCK as u64;

/// Files, directories and symbolic links in a volume; and as many names. All of them are in memory
/// while the volume is open, some hundred bytes each. Over it, the guest gets `ENOSPC`.
pub const STORAGE_NODES_MAX: usize = 1 << 18;

/// Bytes of the page cache: 16 MiB, when everything in it is in use. An agent that reads and writes as much
/// as it likes takes no more. Half of what the cache has may be dirty; then it is written out.
pub const CACHE_MAX: usize = sized(16 << 20, 128 << 10);

/// Bytes that the page cache begins with: 2 MiB, twice what is written in one piece.
pub const CACHE_MIN: usize = sized(2 << 20, 64 << 10);

/// Bytes written or read in one piece: 1 MiB. Beyond that a larger piece gains nothing.
pub(crate) const TRANSFER_MAX: usize = sized(1 << 20, 32 << 10);

/// Bytes from which a read or a write goes past the cache: 256 KiB. Gathering gains nothing then.
pub(crate) const DIRECT_MIN: usize = sized(256 << 10, 16 << 10);

/// Bytes that are read ahead at most: 256 KiB.
pub(crate) const READ_AHEAD_MAX: usize = sized(256 << 10, 16 << 10);

/// Nanoseconds for which a change waits to be made durable, if nobody asks before: one second. It is
/// what a tab that is killed may lose, beside what was never written.
pub const COMMIT_EVERY: u64 = 1_000_000_000;

/// Bytes of changes to the index that are kept in memory before they are committed: 1 MiB.
pub(crate) const PENDING_MAX: usize = 1 << 20;

/// Blocks that wait for a commit to be free again, at most: 256 MiB of them.
pub(crate) const DEFERRED_MAX: u32 = 1 << 16;

/// Blocks that only what replaces or frees others may take: 256 KiB. So a full volume can still
/// be overwritten and emptied.
pub(crate) const KEEP_FREE: u32 = sized(64, 4) as u32;

/// Bytes by which the index grows, and which only what frees room may take the last of: 64 KiB.
pub(crate) const INDEX_STEP: u64 = sized(64 << 10, 16 << 10) as u64;

/// Bytes of transactions behind a snapshot from which the index is written anew: 1 MiB, or four times the
/// snapshot, if that is more.
pub(crate) const JOURNAL_MIN: u64 = sized(1 << 20, 1 << 10) as u64;

/// Blocks by which the data file grows at least, and at most at a time beside what is needed.
pub(crate) const GROW_MIN: u32 = sized(256, 16) as u32;
/// 16 MiB.
pub(crate) const GROW_MAX: u32 = 4096;

/// Free blocks at the end of the data file from which it is cut: 4 MiB.
pub(crate) const TRIM_MIN: u32 = sized(1024, 24) as u32;
