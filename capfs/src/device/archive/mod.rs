//! The files of a tar archive, read-only: how a program brings its files.
//!
//! The archive's bytes are kept once and a file's contents are a slice of them. Names are indexed
//! when the archive is opened, so that everything that is wrong with it is said then and nothing
//! later can fail. Compression is the host's matter: it hands over the plain tar.

mod tree;
mod ustar;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::account::{Account, Charge, Holding};
use crate::{MaybeSend, MaybeSync, NodeRef};
use tree::{ArchiveNode, Tree};

/// Files, directories and links in one archive. Paths imply directories, so a small archive could
/// otherwise make the host build a large tree.
pub const ARCHIVE_NODES_MAX: usize = 1 << 18;

/// Characters of a path or of a target that an error shows: an archive can have some of any length.
pub const ARCHIVE_SHOWN_MAX: usize = 80;

/// The beginning of a text of an archive, for an error.
fn shown(text: &str) -> String {
    match text.char_indices().nth(ARCHIVE_SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is wrong with an archive. Of what it says itself, such as a path, [`ARCHIVE_SHOWN_MAX`] characters are shown at most.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The bytes end within a header or within a file's contents.
    #[error("the archive is cut off: it ends within the entry at byte {offset}")]
    Truncated {
        /// Where the entry begins.
        offset: usize,
    },
    /// The bytes are no tar header. A compressed archive is one way to come here.
    #[error("not a tar archive: the header at byte {offset} has a wrong checksum")]
    Checksum {
        /// Where the header begins.
        offset: usize,
    },
    /// A number, or an extended header, that can't be read.
    #[error("the archive's entry at byte {offset} has a malformed {field}")]
    Malformed {
        /// Where the entry begins.
        offset: usize,
        /// The field.
        field: &'static str,
    },
    /// A kind of entry whose contents can't be told, such as a sparse file.
    #[error("{path}: entries of type {kind:?} are not supported")]
    Unsupported {
        /// The entry's path.
        path: String,
        /// The type flag.
        kind: char,
    },
    /// A path, or the target of a hard link, that has `..` in it.
    #[error("{path}: leads out of the archive")]
    Escapes {
        /// The path.
        path: String,
    },
    /// A path with a component that can't be a name, or too long a path.
    #[error("{path}: not a usable path")]
    BadPath {
        /// The path, with whatever isn't UTF-8 replaced.
        path: String,
    },
    /// An entry below something that is no directory, or a root that is none.
    #[error("{path}: is in the way of another entry")]
    Conflict {
        /// The path.
        path: String,
    },
    /// A hard link to what no earlier entry is.
    #[error("{path}: a hard link to {target}, which is no earlier file of the archive")]
    DanglingLink {
        /// The link's path.
        path: String,
        /// What it should be.
        target: String,
    },
    /// More than [`ARCHIVE_NODES_MAX`] files.
    #[error("the archive has more than {ARCHIVE_NODES_MAX} files")]
    TooManyFiles,
    /// The account has no room for its bytes, or its files and names.
    #[error("the archive has more bytes, files and names than may be held in memory")]
    NoMemory,
}

/// Bytes that an archive can be in, such as `Vec<u8>` or `Arc<[u8]>`.
pub trait ArchiveBytes: AsRef<[u8]> + MaybeSend + MaybeSync + 'static {}

impl<T: AsRef<[u8]> + MaybeSend + MaybeSync + 'static> ArchiveBytes for T {}

/// Bytes of an archive that are charged as long as they are there.
pub struct Held {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl Held {
    /// Bytes that this was charged for.
    pub fn new(bytes: Vec<u8>, charge: Charge) -> Held {
        Held {
            bytes,
            _charge: charge,
        }
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Entries that are no files, such as devices, and so are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The path of the first, of which [`ARCHIVE_SHOWN_MAX`] characters are shown at most.
    pub first: String,
    /// How many there are.
    pub entries: usize,
}

/// An archive. A clone is the same archive.
#[derive(Clone)]
pub struct Archive {
    tree: Arc<Tree>,
}

impl Archive {
    /// Indexes a tar archive: ustar, GNU's long names and labels, and pax headers (`path`, `linkpath`, `size`,
    /// `mtime`), for one entry and for all that follow. An empty value of those is none: the entry's own header holds.
    ///
    /// Directories that no entry names are there nonetheless; the last of several entries of one path
    /// counts, and what is no directory is there in place of one with all that it had; a leading `/` or `./` is left out; the
    /// blocks that should end the archive may be missing. Devices and FIFOs are left out, and hard links to them
    /// ([`Archive::left_out`]).
    ///
    /// # Errors
    /// See [`ArchiveError`]. No input makes this panic.
    pub fn from_tar(bytes: impl ArchiveBytes) -> Result<Archive, ArchiveError> {
        Archive::charged(bytes, &Account::unlimited())
    }

    /// Like [`Archive::from_tar`], for the agent of an account: its index is charged as `files` while it is built, 256 bytes for each file,
    /// directory and link, 256 and its length for each name, and targets of links. The bytes are charged by whoever made them.
    ///
    /// # Errors
    /// See [`ArchiveError`]; where the account has no more room [`ArchiveError::NoMemory`].
    pub fn charged(bytes: impl ArchiveBytes, account: &Account) -> Result<Archive, ArchiveError> {
        let tree = ustar::index(Box::new(bytes), account)?;
        Ok(Archive {
            tree: Arc::new(tree),
        })
    }

    /// Like [`Archive::charged`], with the bytes charged as well, for as long as anything of the archive is there.
    ///
    /// # Errors
    /// As [`Archive::charged`].
    pub fn held(bytes: Vec<u8>, account: &Account) -> Result<Archive, ArchiveError> {
        let charge = account.charge(Holding::Files, bytes.len() as u64);
        let charge = charge.map_err(|_| ArchiveError::NoMemory)?;
        Archive::charged(Held::new(bytes, charge), account)
    }

    /// What is left out, if anything is.
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.tree.left_out()
    }

    /// The root directory.
    pub fn root(&self) -> NodeRef {
        ArchiveNode::root(&self.tree)
    }
}
