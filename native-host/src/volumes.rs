//! Checking copies of what browsers store: volumes of [`capfs_storage`], in folders of this machine.
//!
//! A volume is a folder with three files, as a browser's private file system has them. Natively no agent uses one: stored files are plain
//! files there. What is checked here is a copy, or a browser's own file system where it shows its names.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use capfs::Errno;
use capfs_devices::foreign::Foreign;
use capfs_storage::{BlockFile, BlockFiles, CheckReport, StorageError, check};
use rustix::fs::OFlags;
use serde_json::{Value, json};

use crate::device::errors::errno;

/// The files of a volume. Whoever has the first has the volume.
const NAMES: [&str; 3] = ["index-0", "index-1", "data"];

/// Folders in each other that are looked through for volumes.
const DEPTH_MAX: usize = 16;

/// Volumes that are looked for in one folder.
const VOLUMES_MAX: usize = 1 << 16;

/// What became of the check of one volume.
pub struct Checked {
    /// Its folder.
    pub path: PathBuf,
    /// What was found.
    pub verdict: Verdict,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What its blocks are.
    Read(CheckReport),
    /// Why it is not known whose its blocks are.
    Damaged(String),
    /// Why it could not be read.
    Unreadable(String),
}

impl Verdict {
    /// How a command ends that has found it: 0 for a volume that is sound, 1 for a damaged one, 2 for one that can't be read.
    pub fn code(&self) -> u8 {
        match self {
            Verdict::Read(report) if report.is_sound() => 0,
            Verdict::Read(_) | Verdict::Damaged(_) => 1,
            Verdict::Unreadable(_) => 2,
        }
    }

    /// The word for each code.
    fn word(&self) -> &'static str {
        ["sound", "damaged", "unreadable"][usize::from(self.code())]
    }
}

impl From<StorageError> for Verdict {
    fn from(error: StorageError) -> Verdict {
        let text = error.to_string();
        match error {
            StorageError::Damaged { .. } | StorageError::TooLong { .. } => Verdict::Damaged(text),
            _ => Verdict::Unreadable(text),
        }
    }
}

/// The volumes in a folder, itself included, in the order of their paths. Links are not followed.
///
/// # Errors
/// A folder can't be read, or there are more volumes or folders in each other than are looked through.
pub fn find(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![(folder.to_owned(), 0)];
    while let Some((path, depth)) = pending.pop() {
        let failed = |error: io::Error| {
            let text = format!("the folder `{}`: {error}", path.display());
            io::Error::new(error.kind(), text)
        };
        let mut is_volume = false;
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                if depth == DEPTH_MAX {
                    return Err(failed(io::Error::other("it has too many folders in it")));
                }
                pending.push((entry.path(), depth + 1));
            } else if NAMES[..2].iter().any(|name| entry.file_name() == *name) {
                is_volume = true;
            }
        }
        if is_volume {
            if found.len() == VOLUMES_MAX {
                return Err(failed(io::Error::other("there are too many volumes")));
            }
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads every block of the volume in a folder, and changes nothing.
pub fn examine(path: PathBuf) -> Checked {
    let verdict = open(&path).map_or_else(
        |refused| refused,
        |files| check(&files).map_or_else(Verdict::from, Verdict::Read),
    );
    Checked { path, verdict }
}

/// Opens the files of a volume, which nobody changes while they are open.
fn open(path: &Path) -> Result<BlockFiles, Verdict> {
    let unreadable = |name: &str, error: &dyn std::fmt::Display| {
        Verdict::Unreadable(format!("the file `{name}`: {error}"))
    };
    let open = |name: &str| -> Result<File, Verdict> {
        // Whatever else has the name is not waited for, and not followed elsewhere.
        let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32;
        let file = File::options()
            .read(true)
            .custom_flags(flags)
            .open(path.join(name));
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Verdict::Damaged(format!("the file `{name}` is missing")));
            }
            file => file.map_err(|error| unreadable(name, &error))?,
        };
        let metadata = file.metadata().map_err(|error| unreadable(name, &error))?;
        match metadata.is_file() {
            true => Ok(file),
            false => Err(unreadable(name, &"it is no regular file")),
        }
    };
    let first = open(NAMES[0])?;
    match first.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let who = match holder(&first) {
                Some(process) => format!("process {process}"),
                None => "another program".to_owned(),
            };
            return Err(Verdict::Unreadable(format!("{who} has it open")));
        }
        Err(TryLockError::Error(error)) => return Err(unreadable(NAMES[0], &error)),
    }
    let boxed = |file| Box::new(ReadOnly(file)) as Box<dyn BlockFile>;
    Ok(BlockFiles {
        index: [boxed(first), boxed(open(NAMES[1])?)],
        data: boxed(open(NAMES[2])?),
    })
}

/// Which process has the lock of a file (proc_locks(5)), where the system tells.
fn holder(file: &File) -> Option<u32> {
    let metadata = file.metadata().ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let (major, minor) = (
        rustix::fs::major(metadata.dev()),
        rustix::fs::minor(metadata.dev()),
    );
    let id = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let mut lines = locks.lines().map(|line| line.split_whitespace());
    lines.find_map(|mut words| {
        let process = words.nth(4)?;
        (words.next()? == id).then(|| process.parse().ok())?
    })
}

struct ReadOnly(File);

impl BlockFile for ReadOnly {
    fn size(&self) -> Result<u64, Errno> {
        self.0
            .metadata()
            .map(|metadata| metadata.len())
            .map_err(errno)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match self.0.read_at(into, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(errno),
            }
        }
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> Result<(), Errno> {
        Err(Errno::Rofs)
    }

    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Err(Errno::Rofs)
    }

    fn flush(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// What was found, for people: a line a volume, and one for each range that is not as it was written. Names are agents': they are
/// made harmless here.
pub fn as_text(all: &[Checked]) -> String {
    let mut text = String::new();
    for Checked { path, verdict } in all {
        let path = Foreign(path.display());
        let word = verdict.word();
        text += &match verdict {
            Verdict::Read(report) => {
                let unknown = match report.unknown {
                    0 => String::new(),
                    blocks => format!(", {blocks} of an earlier version that has no checksums"),
                };
                format!(
                    "{word}: {path}: {} files, directories and links, {} blocks as they were written{unknown}\n",
                    report.nodes, report.sound
                )
            }
            Verdict::Damaged(why) | Verdict::Unreadable(why) => {
                format!("{word}: {path}: {}\n", Foreign(why))
            }
        };
        if let Verdict::Read(report) = verdict {
            for spoilt in &report.spoilt {
                let (file, length, offset) = (Foreign(&spoilt.path), spoilt.length, spoilt.offset);
                text += &format!(
                    "    {file}: {length} bytes from byte {offset} on are not as they were written\n"
                );
            }
        }
    }
    text
}

/// The same for programs.
pub fn as_json(all: &[Checked]) -> Value {
    let volume = |Checked { path, verdict }: &Checked| {
        let mut value = json!({ "path": path.to_string_lossy(), "verdict": verdict.word() });
        match verdict {
            Verdict::Read(report) => {
                let spoilt = report.spoilt.iter().map(|spoilt| {
                    json!({ "path": spoilt.path, "offset": spoilt.offset, "length": spoilt.length })
                });
                value["nodes"] = report.nodes.into();
                value["blocks"] = json!({ "sound": report.sound, "unknown": report.unknown });
                value["spoilt"] = spoilt.collect();
            }
            Verdict::Damaged(why) | Verdict::Unreadable(why) => value["error"] = json!(why),
        }
        value
    };
    json!({ "volumes": all.iter().map(volume).collect::<Vec<_>>() })
}
