//! A file system in memory as bytes, and made of them again elsewhere.
//!
//! An image has everything that has a name, with the numbers, times and places in listings that it has, and uses as much of
//! its limits when it is made again. It doesn't have what only an open file holds.
//!
//! # Form
//! See [`encoding`](crate::encoding) for numbers, texts and lists.
//! ```text
//! "capfsmem"  version: u32  number of the last file: u64
//! files: count, of each:
//!     number: u64  atime, mtime, ctime: u64  kind: u8 (as WASI has it), then
//!     4, contents   size: u64  entries of the table of pages, and room for them: u32
//!                   pages that are there: count, of each: index: u32  room: u32  bytes
//!     3, directory  last cookie: u64, names: count, of each: cookie: u64  name  index of the file: u32
//!     7, link       target
//! ```
//! The first file is the root. A directory stands before those that are in it, so that no image makes a circle.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::content::{Content, PagesImage};
use super::inode::{Body, Inode, Times, Volume};
use super::names::{COOKIE_END, Names};
use super::{MemoryFs, MemoryLimits};
use crate::account::Account;
use crate::clock::Clock;
use crate::device::lock::lock;
use crate::encoding::{Decoder, Encoder, Malformed};
use crate::{Errno, FileKind, NAME_MAX, Name, SYMLINK_TARGET_MAX};

const MAGIC: &[u8; 8] = b"capfsmem";

/// The version of the form. What was written by another can't be read.
const VERSION: u32 = 1;

/// Why a file system can't be made of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It isn't one, or was damaged.
    #[error("an image of files in memory: {0}")]
    Malformed(#[from] Malformed),
    /// What is in it is more than the limits, or the account, have room for.
    #[error("an image of files in memory: no room for what is in it")]
    NoRoom,
}

impl From<Errno> for ImageError {
    fn from(_: Errno) -> Self {
        ImageError::NoRoom
    }
}

/// Bytes that a file takes at least in an image: number, times, kind, and the count of what is in it.
const FILE_MIN: usize = 8 * 4 + 1 + 4;
/// A name: cookie, at least a byte with its length, and the file.
const NAME_MIN: usize = 8 + 4 + 1 + 4;

impl MemoryFs {
    /// The image of everything that is there now. Changes wait meanwhile, except of contents: of a file that is being written the image
    /// has what was there at one moment.
    pub fn image(&self) -> Vec<u8> {
        let volume = &self.root.volume;
        let _tree = lock(&volume.tree);
        // In the order in which a walk down meets them, so that each directory is in front of what it has.
        let mut files: Vec<Arc<Inode>> = vec![self.root.clone()];
        let mut places: HashMap<u64, u32> = HashMap::from([(self.root.qid.path, 0)]);
        let mut next = 0;
        while let Some(inode) = files.get(next).cloned() {
            next += 1;
            if let Body::Directory(names) = &inode.state().body {
                // In their order, so that the same files have one image.
                for inode in names.entries().filter_map(|(_, name, _)| names.get(name)) {
                    places.entry(inode.qid.path).or_insert_with(|| {
                        files.push(inode.clone());
                        files.len() as u32 - 1
                    });
                }
            }
        }
        let mut image = Encoder::new(MAGIC, VERSION);
        image.u64(volume.next_path.load(Ordering::Relaxed) - 1);
        image.count(files.len());
        for inode in files {
            let state = inode.state();
            image.u64(inode.qid.path);
            for time in [state.atime, state.mtime, state.ctime] {
                image.u64(time);
            }
            image.u8(inode.qid.kind as u8);
            match &state.body {
                Body::File(content) => content.encode(&mut image),
                Body::Directory(names) => {
                    image.u64(names.last_cookie());
                    image.count(names.len());
                    for (cookie, name, qid) in names.entries() {
                        image.u64(cookie);
                        image.bytes(name.as_bytes());
                        image.u32(places[&qid.path]);
                    }
                }
                Body::Symlink(target) => image.bytes(target.as_bytes()),
            }
        }
        image.finish()
    }

    /// Makes the file system that an image is of, with its files charged to an account as [`MemoryFs::charged`] has it.
    ///
    /// # Errors
    /// See [`ImageError`]. No input makes this panic.
    pub fn from_image(
        image: &[u8],
        clock: Arc<dyn Clock>,
        limits: MemoryLimits,
        account: &Account,
    ) -> Result<MemoryFs, ImageError> {
        let mut image = Decoder::new(image, "image of files in memory", MAGIC, VERSION)?;
        let last = image.u64("the number of the last file")?;
        let count = image.count(FILE_MIN, "files")?;
        if last >= u64::MAX >> 1 {
            return Err(image.wrong("the number of the last file").into());
        }
        let volume = Arc::new(Volume::new(clock, limits, account));
        volume.next_path.store(last + 1, Ordering::Relaxed);
        let mut numbers = HashSet::new();
        let mut files: Vec<Arc<Inode>> = Vec::new();
        let mut named: Vec<(usize, Listed)> = Vec::new();
        for place in 0..count {
            let number = image.u64("the number of a file")?;
            if !(1..=last).contains(&number)
                || !numbers.insert(number)
                || (place == 0) != (number == 1)
            {
                return Err(image.wrong("the number of a file").into());
            }
            let [atime, mtime, ctime] = [
                image.u64("a time")?,
                image.u64("a time")?,
                image.u64("a time")?,
            ];
            let kind = FileKind::from_number(u32::from(image.u8("a kind")?));
            let body = match kind {
                FileKind::Directory => {
                    named.push((place, Listed::decode(&mut image)?));
                    Body::Directory(Names::new(std::sync::Weak::new()))
                }
                _ if place == 0 => return Err(image.wrong("the kind of the root").into()),
                FileKind::RegularFile => {
                    let pages = PagesImage::decode(&mut image)?;
                    Body::File(Content::restore(pages, &volume.quota)?)
                }
                FileKind::SymbolicLink => Body::Symlink(
                    image
                        .text(SYMLINK_TARGET_MAX, "the target of a link")?
                        .into(),
                ),
                _ => return Err(image.wrong("a kind").into()),
            };
            let times = Times {
                atime,
                mtime,
                ctime,
            };
            files.push(Inode::restore(&volume, number, times, body)?);
        }
        image.finish()?;
        for (place, listed) in named {
            listed.name(place, &files)?;
        }
        let unnamed =
            |inode: &Arc<Inode>| inode.state().nlink < if inode.is_directory() { 2 } else { 1 };
        if files.iter().any(unnamed) {
            return Err(wrong("a file without a name").into());
        }
        let root = files.swap_remove(0);
        Ok(MemoryFs { root })
    }
}

/// What is found once everything was read.
fn wrong(what: &'static str) -> Malformed {
    Malformed::Wrong { what, at: 0 }
}

/// The names of a directory, as an image has them.
struct Listed {
    last_cookie: u64,
    names: Vec<(u64, String, usize)>,
}

impl Listed {
    fn decode(image: &mut Decoder<'_>) -> Result<Listed, Malformed> {
        let last_cookie = image.u64("the last cookie")?;
        let count = image.count(NAME_MIN, "names")?;
        let mut names = Vec::with_capacity(count);
        let mut before = 0;
        for _ in 0..count {
            let cookie = image.u64("a cookie")?;
            if cookie <= before || cookie > last_cookie {
                return Err(image.wrong("a cookie"));
            }
            before = cookie;
            let name = image.text(NAME_MAX, "a name")?;
            Name::new(name).map_err(|_| image.wrong("a name"))?;
            let file = image.u32("the file of a name")? as usize;
            names.push((cookie, name.to_owned(), file));
        }
        match last_cookie < COOKIE_END {
            true => Ok(Listed { last_cookie, names }),
            false => Err(image.wrong("the last cookie")),
        }
    }

    /// Gives the names to files.
    fn name(self, place: usize, files: &[Arc<Inode>]) -> Result<(), ImageError> {
        let directory = &files[place];
        for (cookie, name, file) in self.names {
            let inode = files.get(file).ok_or(wrong("the file of a name"))?;
            // A directory stands behind the one that has it, and has one name: so all of them make a tree.
            if inode.is_directory() && (file <= place || inode.state().nlink >= 2) {
                return Err(wrong("the place of a directory").into());
            }
            directory.volume.quota.charge_name(&name)?;
            let mut state = inode.state();
            match &mut state.body {
                Body::Directory(names) => {
                    names.parent = directory.this.clone();
                    state.nlink += 2;
                }
                _ => state.nlink += 1,
            }
            drop(state);
            let mut state = directory.state();
            state.nlink += u64::from(inode.is_directory());
            if !state.names()?.restore(&name, cookie, inode.clone()) {
                return Err(wrong("a name that is there twice").into());
            }
        }
        directory.state().names()?.set_last_cookie(self.last_cookie);
        Ok(())
    }
}
