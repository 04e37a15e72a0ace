//! Why a volume can't be used.

use capfs::Errno;

/// What is wrong with a volume. A guest sees [`StorageError::errno`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Another agent or another tab has it open.
    #[error("in use by another agent or in another tab")]
    Busy,
    /// The index is not as it was written: something other than a crash has changed it. What can be
    /// read is kept when the volume is opened to be repaired.
    #[error("damaged: {what}, at byte {offset} of index {file}")]
    Damaged {
        /// What was found.
        what: &'static str,
        /// Which half of the index.
        file: usize,
        /// Where in it.
        offset: u64,
    },
    /// It was written by a later version.
    #[error("written by a later version: format {found}, and this is for format {known}")]
    Version {
        /// The format that it has.
        found: u32,
        /// The latest that is known here.
        known: u32,
    },
    /// An index is longer than any that was written here, and so is not read.
    #[error("damaged: an index of {bytes} bytes is longer than any that was written")]
    TooLong {
        /// Bytes of the file.
        bytes: u64,
    },
    /// It stopped between what was prepared and what was decided; only whoever decided knows what: see `Volume::decide`.
    #[error("undecided: what was prepared as {id} was neither committed nor discarded")]
    Undecided {
        /// What it was prepared as.
        id: u64,
    },
    /// The host failed.
    #[error("the host failed: {0}")]
    Host(Errno),
}

impl StorageError {
    /// What a guest is told.
    pub fn errno(&self) -> Errno {
        match self {
            StorageError::Busy | StorageError::Undecided { .. } => Errno::Busy,
            StorageError::Damaged { .. } | StorageError::TooLong { .. } => Errno::Io,
            StorageError::Version { .. } => Errno::Notsup,
            StorageError::Host(errno) => *errno,
        }
    }
}

impl From<Errno> for StorageError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::Busy => StorageError::Busy,
            errno => StorageError::Host(errno),
        }
    }
}
