//! Checking a volume that nobody has open: whether its index is sound, and its blocks are as they were written.

use capfs::{Errno, FileKind};

use crate::block_file::BlockFiles;
use crate::content::read_blocks;
use crate::error::StorageError;
use crate::inode::{Body, ROOT};
use crate::journal::Journal;
use crate::limits::BLOCK;
use crate::load::{Image, Nodes, sound};

/// What a volume was found to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Files, directories and symbolic links, without the root.
    pub nodes: u64,
    /// Blocks of contents that were read, and were as they were written.
    pub sound: u64,
    /// Blocks that could be read, but whose checksum is not known: an earlier version has written them.
    pub unknown: u64,
    /// What is not as it was written, a line each: a path and a range of bytes.
    pub spoilt: Vec<SpoiltBlocks>,
}

/// Blocks of one file that are not as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoiltBlocks {
    /// One of the file's paths.
    pub path: String,
    /// Where they begin in it, in bytes.
    pub offset: u64,
    /// How many bytes they are.
    pub length: u64,
}

/// Reads every block of a volume, and changes nothing.
///
/// # Errors
/// - [`StorageError::Damaged`], [`StorageError::TooLong`], [`StorageError::Version`]: the index can't be read, and so it is not known whose the blocks
///   are; [`StorageOptions::repair`](crate::StorageOptions::repair) keeps what can be read of it
/// - [`StorageError::Host`]: the files can't be read
pub fn check(files: &BlockFiles) -> Result<CheckReport, StorageError> {
    let size = files.data.size()?;
    let total = u32::try_from(size / BLOCK as u64).map_err(|_| Errno::Fbig)?;
    let mut image = Image::new(total);
    let there = Journal::examine(&files.index, size == 0, |payload| image.replay(payload))?;
    let mut report = CheckReport::default();
    if !there {
        return Ok(report);
    }
    sound(&mut image, total)?;
    report.nodes = image.nodes.len() as u64 - 1;
    let mut block = vec![0; BLOCK];
    for (path, number) in files_of(&image.nodes) {
        let Some(Body::File(content)) = image.nodes.get(&number).map(|inode| &inode.body) else {
            continue;
        };
        for (first, extent) in content.extents.iter().filter(|(_, extent)| extent.written) {
            for index in 0..extent.length {
                let start = extent.start + index;
                match read_blocks(&*files.data, &image.sums, start, &mut block) {
                    Ok(_) if image.sums.is_known(start) => report.sound += 1,
                    Ok(_) => report.unknown += 1,
                    Err(Errno::Io) => report.spoil(&path, first + index),
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
    }
    Ok(report)
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.spoilt.is_empty()
    }

    /// Notes a spoilt block; one behind the last is told with it.
    fn spoil(&mut self, path: &str, block: u32) {
        let offset = u64::from(block) * BLOCK as u64;
        match self.spoilt.last_mut() {
            Some(last) if last.path == path && last.offset + last.length == offset => {
                last.length += BLOCK as u64;
            }
            _ => self.spoilt.push(SpoiltBlocks {
                path: path.to_owned(),
                offset,
                length: BLOCK as u64,
            }),
        }
    }
}

/// Every regular file with one of its paths, in the order of the tree.
fn files_of(nodes: &Nodes) -> Vec<(String, u64)> {
    let mut files: Vec<(String, u64)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut pending = vec![(String::new(), ROOT)];
    while let Some((path, directory)) = pending.pop() {
        let Some(Body::Directory(names)) = nodes.get(&directory).map(|inode| &inode.body) else {
            continue;
        };
        for (name, qid) in names.in_order() {
            let path = format!("{path}/{name}");
            match qid.kind {
                FileKind::Directory => pending.push((path, qid.path)),
                FileKind::RegularFile if seen.insert(qid.path) => files.push((path, qid.path)),
                _ => {}
            }
        }
    }
    files
}
