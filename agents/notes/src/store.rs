//! The notes in a folder, each in a file `N.txt` that other programs can read, write and add.
//!
//! A file is written beside, synced and renamed, so that it is whole or the one before. A new one's name is taken first, by an
//! empty file, so that two programs that add at once get two numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::time::UNIX_EPOCH;

use cap::{Failure, Result, Said, replace};

use crate::note::{Note, TEXT_MAX};

/// Where notes are kept unless told.
const STORED: &str = "/cap/storage/opfs";

/// Notes at once.
const NOTES_MAX: usize = 100_000;

/// Bytes of a note's file, at most: its text and what is said about it.
const FILE_MAX: usize = TEXT_MAX + (16 << 10);

/// Has the highest number of all notes that were removed, so that none is used twice.
const LAST: &str = "last";

/// By what a file that has changed can be told from what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its size in bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub changed: u64,
}

impl Stamp {
    fn of(attributes: &Metadata) -> Stamp {
        let changed = attributes.modified().ok();
        let since = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Stamp {
            size: attributes.len(),
            changed: since.map_or(0, |since| {
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            }),
        }
    }
}

/// All notes.
pub struct Store {
    dir: String,
}

impl Store {
    /// The notes in a folder, or in the usual one. Nothing is made before there is something to keep.
    pub fn open(folder: Option<&str>) -> Store {
        let usual = if fs::metadata(STORED).is_ok() {
            STORED
        } else {
            ""
        };
        let folder = folder.unwrap_or(usual).trim_end_matches('/');
        Store {
            dir: format!("{folder}/notes"),
        }
    }

    /// The path of a file beside the notes.
    pub fn beside(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    fn path(&self, number: u32) -> String {
        self.beside(&format!("{number}.txt"))
    }

    /// The numbers of all notes, and those that were taken for notes that are not written yet.
    fn numbers(&self) -> Result<BTreeSet<u32>> {
        match fs::read_dir(&self.dir) {
            Ok(entries) => entries
                .map(|entry| {
                    let name = entry.said(&self.dir)?.file_name();
                    Ok(name.to_str().and_then(number_of))
                })
                .filter_map(Result::transpose)
                .collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Nothing was kept yet, where there is a place to keep it.
                let folder = self.dir.trim_end_matches("notes");
                fs::metadata(folder).said(folder).map_err(explained)?;
                Ok(BTreeSet::new())
            }
            Err(error) => Err(error).said(&self.dir).map_err(explained),
        }
    }

    /// The numbers of all notes, with their files' stamps.
    ///
    /// # Errors
    /// What listing them says.
    pub fn stamps(&self) -> Result<BTreeMap<u32, Stamp>> {
        let mut stamps = BTreeMap::new();
        for number in self.numbers()? {
            match fs::metadata(self.path(number)) {
                // An empty one is a number that was taken.
                Ok(attributes) if attributes.is_file() && attributes.len() > 0 => {
                    stamps.insert(number, Stamp::of(&attributes));
                }
                Ok(_) => {}
                // Removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).said(self.path(number)),
            }
        }
        Ok(stamps)
    }

    /// The stamp of a file beside the notes, if it is there.
    pub fn stamp(&self, name: &str) -> Option<Stamp> {
        let attributes = fs::metadata(self.beside(name)).ok()?;
        Some(Stamp::of(&attributes))
    }

    /// A note, to be shown: of a file that is no note as it should be, what can be read.
    ///
    /// # Errors
    /// A note that isn't there; what reading it says.
    pub fn shown(&self, number: u32) -> Result<Note> {
        let bytes = self.contents(number)?;
        let kept = &bytes[..bytes.len().min(FILE_MAX)];
        Ok(Note::from_file(&String::from_utf8_lossy(kept)))
    }

    /// A note, to be changed.
    ///
    /// # Errors
    /// A note that isn't there, or of which something would be lost; what reading it says.
    pub fn note(&self, number: u32) -> Result<Note> {
        let bytes = self.contents(number)?;
        let path = self.path(number);
        if bytes.len() > FILE_MAX {
            return Err(Failure::new(
                path,
                format!("it has more than {FILE_MAX} bytes"),
            ));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Note::from_file(&text)),
            Err(_) => Err(Failure::new(path, "it is not UTF-8")),
        }
    }

    /// The bytes of a note's file, one more than it may have at most.
    fn contents(&self, number: u32) -> Result<Vec<u8>> {
        let path = self.path(number);
        let mut bytes = Vec::new();
        let read = File::open(&path)
            .and_then(|file| file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(0) => Err(missing(number)),
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(number)),
            Err(error) => Err(error).said(path),
        }
    }

    /// Keeps notes, one after the other, and gives the number of the last.
    ///
    /// # Errors
    /// What the files say; the notes before have been kept then.
    pub fn add(&self, notes: &[Note]) -> Result<u32> {
        match fs::create_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).said(&self.dir).map_err(explained);
            }
            _ => {}
        }
        let numbers = self.numbers()?;
        if numbers.len() + notes.len() > NOTES_MAX {
            let words = format!("there would be more than {NOTES_MAX} notes");
            return Err(Failure::new(&self.dir, words));
        }
        let mut number = numbers.last().copied().unwrap_or(0).max(self.last());
        for note in notes {
            number = self.take(number)?;
            self.write(&format!("{number}.txt"), note.to_file().as_bytes())
                .inspect_err(|_| {
                    let _ = fs::remove_file(self.path(number));
                })?;
        }
        self.sync()?;
        Ok(number)
    }

    /// Takes the first number behind another that nobody has.
    fn take(&self, mut number: u32) -> Result<u32> {
        loop {
            number = number
                .checked_add(1)
                .ok_or_else(|| Failure::new(&self.dir, "there are no more numbers"))?;
            let path = self.path(number);
            let taken = OpenOptions::new().write(true).create_new(true).open(&path);
            match taken {
                Ok(_) => return Ok(number),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).said(&path).map_err(explained),
            }
        }
    }

    /// Keeps a note under its number.
    ///
    /// # Errors
    /// What the files say; the note is then what it was before.
    pub fn put(&self, number: u32, note: &Note) -> Result<()> {
        self.write(&format!("{number}.txt"), note.to_file().as_bytes())?;
        self.sync()
    }

    /// Removes a note.
    ///
    /// # Errors
    /// A note that isn't there; what removing it says.
    pub fn remove(&self, number: u32) -> Result<()> {
        if number > self.last() && self.numbers()?.last() == Some(&number) {
            self.write(LAST, format!("{number}\n").as_bytes())?;
        }
        match fs::remove_file(self.path(number)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(number)),
            removed => removed.said(self.path(number)),
        }
    }

    /// The highest number of a removed note.
    fn last(&self) -> u32 {
        let text = fs::read_to_string(self.beside(LAST)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Replaces a file, or makes it.
    ///
    /// # Errors
    /// What the files say; what had the name before still has it then.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        replace(&self.beside(name), bytes).map_err(explained)
    }

    /// Syncs the directory: the names of its files.
    fn sync(&self) -> Result<()> {
        File::open(&self.dir)
            .and_then(|directory| directory.sync_all())
            .said(&self.dir)
    }
}

fn missing(number: u32) -> Failure {
    Failure::new(number.to_string(), "there is no such note")
}

/// A failure to write, with what would have to be granted.
fn explained(mut failure: Failure) -> Failure {
    let lacking = matches!(
        failure.error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
    ) || failure.error.raw_os_error().is_none()
        || cap::errno::name(&failure.error) == Some("ENOTCAPABLE");
    if lacking {
        failure.detail = Some(
            "notes need a place of their own (--grant opfs) or a writable folder (--dir FOLDER::/:rw)"
                .to_owned(),
        );
    }
    failure
}

/// The number in the name of a note's file.
fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".txt")?;
    let number: u32 = digits.parse().ok()?;
    // One spelling only: no zeros and signs before it.
    (number > 0 && number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_notes() {
        assert_eq!(number_of("12.txt"), Some(12));
        for other in [
            "0.txt",
            "012.txt",
            "+1.txt",
            "1.txt.new",
            "index",
            "4294967296.txt",
        ] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
