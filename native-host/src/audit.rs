//! The audit of a run, in a file.
//!
//! It is complete, or nothing happens: a line that can't be written is kept, and until it has been, every operation on a capability is
//! refused. So an agent can't hide what it does by filling the disk, or the file: that has a limit, and nothing is
//! thrown away to keep it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capfs::clock::Clock;
use capfs_devices::audit::{LINE_MAX, Sink, end, start};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::clock::SystemClock;
use crate::say;

/// Bytes of the file, unless told: 1 GiB.
pub const SIZE_DEFAULT: u64 = 1 << 30;

/// Bytes that a file's limit must have at least: what is left free of it has room for the longest line.
pub const SIZE_MIN: u64 = 1 << 20;

/// Bytes of lines that are kept for later, at most, and that are left free of a file's limit when operations are refused. They are
/// for those of operations that were under way then, and of the end. How many are lost beyond is told at the end.
const KEPT_MAX: usize = 1 << 20;

/// That part of a file's limit is left free, where it is less, but never less than the longest line.
const FREE_PART: u64 = 8;

/// Bytes of the limit that all lines but the ends of runs leave free: several runs share a file, and there is room for the ends of
/// fifty.
const ENDINGS: u64 = 16 << 10;

/// Words that say why a run ended, at most as long as this one.
const LONGEST_REASON: &str = "its end has no longer name";

/// An audit that is appended to a file, a line at a time, so that several runs can share one.
pub struct AuditFile(Mutex<Appended>);

struct Appended {
    file: File,
    /// A regular file, which has a size.
    sized: bool,
    /// Bytes in it, as far as is known here.
    size: u64,
    /// Whether its last line has no end.
    torn: bool,
    max: u64,
    /// From this size on operations are refused.
    full: u64,
    /// Bytes that are left free for the lines that say how runs ended: this one's, for which there is always room, and others'.
    ending: u64,
    /// Lines that could not be written yet.
    kept: VecDeque<String>,
    /// Bytes of those.
    kept_bytes: usize,
    /// Lines that could be neither written nor kept.
    lost: u64,
    /// Whether it was said that something can't be written, and not that it can again.
    told: bool,
}

impl AuditFile {
    /// Opens a file that may have `max` bytes; it is made for its owner alone.
    ///
    /// # Errors
    /// What opening it ends with; [`io::ErrorKind::InvalidInput`] for less than [`SIZE_MIN`];
    /// [`io::ErrorKind::PermissionDenied`] for a file that others can write, or that is another user's; a
    /// pipe must have somebody who reads it.
    pub fn open(path: &Path, max: u64) -> io::Result<Arc<AuditFile>> {
        if max < SIZE_MIN {
            let text = format!("a limit of {max} bytes is too small: it has {SIZE_MIN} at least");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut options = OpenOptions::new();
        // Who reads a pipe may never come.
        let waits_not = OFlags::NONBLOCK.bits() as i32;
        let options = options.append(true).create(true).mode(0o600);
        let file = options.custom_flags(waits_not).open(path);
        let file = file.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NXIO) => io::Error::new(error.kind(), "nobody reads this pipe"),
            _ => error,
        })?;
        // A line is written whole, as long as somebody reads.
        let flags = fcntl_getfl(&file)?;
        fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
        let metadata = file.metadata()?;
        let refused = |text| Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        if metadata.is_file() && metadata.mode() & 0o022 != 0 {
            return refused("others can write it: nobody could trust what it says");
        }
        // Whoever owns it can let others write it; root can in any case.
        let user = rustix::process::geteuid().as_raw();
        if metadata.is_file() && ![user, 0].contains(&metadata.uid()) {
            return refused("it is another user's: nobody could trust what it says");
        }
        Ok(Arc::new(AuditFile(Mutex::new(Appended {
            file,
            sized: metadata.is_file(),
            size: metadata.len(),
            torn: metadata.is_file() && is_torn(path, metadata.len()),
            max,
            full: max - (max / FREE_PART).clamp(LINE_MAX as u64, KEPT_MAX as u64),
            ending: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            lost: 0,
            told: false,
        }))))
    }

    /// Says that a program starts; nothing has been done yet.
    ///
    /// # Errors
    /// It can't be written: nothing may be done.
    pub fn begin(&self, agent: &str, identity: &str) -> io::Result<()> {
        // By the clock of all lines: by another they would not be in order.
        let line = start(agent, identity, SystemClock.coarse());
        let audit = &mut *self.lock();
        audit.room()?;
        let ending = end(agent, u8::MAX, LONGEST_REASON, u64::MAX, u64::MAX);
        audit.ending = ENDINGS.max(ending.len() as u64 + 2);
        audit.append(&line, audit.ending)
    }

    /// Says that it has ended, and how.
    pub fn end(&self, agent: &str, code: u8, reason: &str) {
        let audit = &mut *self.lock();
        let _ = audit.flush();
        let lost = audit.lost + audit.kept.len() as u64;
        if lost > 0 {
            let text = format!("{lost} lines of the audit are lost: there was no room for them");
            say::error(text);
        }
        let line = end(agent, code, reason, lost, SystemClock.coarse());
        let outcome = audit.append(&line, 0);
        audit.tell(&outcome);
    }

    fn lock(&self) -> MutexGuard<'_, Appended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the last of so many bytes of a file ends no line.
fn is_torn(path: &Path, size: u64) -> bool {
    let mut last = [b'\n'];
    let read = |last: &mut [u8]| File::open(path)?.read_exact_at(last, size - 1);
    size > 0 && read(&mut last).is_ok() && last != [b'\n']
}

impl Appended {
    /// Whether there is room for one more operation, whatever its line is.
    fn room(&mut self) -> io::Result<()> {
        if !self.sized {
            return Ok(());
        }
        // Other runs may write to it, too; and somebody may have put what is in it elsewhere, and emptied it.
        self.size = self.file.metadata()?.len();
        match self.size < self.full {
            true => Ok(()),
            false => Err(self.over()),
        }
    }

    fn over(&self) -> io::Error {
        let text = format!("it has reached its limit of {} bytes", self.max);
        io::Error::new(io::ErrorKind::QuotaExceeded, text)
    }

    /// Writes a line whole, and leaves so many bytes of the limit behind it. One that is not written whole is torn: the next begins a line of
    /// its own.
    fn append(&mut self, line: &str, free: u64) -> io::Result<()> {
        let start = if self.torn { "\n" } else { "" };
        let line = format!("{start}{line}\n");
        if self.sized {
            // Other runs may write to it, too; or as in `room`.
            self.size = self.file.metadata()?.len();
            if self.size.saturating_add(line.len() as u64 + free) > self.max {
                return Err(self.over());
            }
        }
        let bytes = line.as_bytes();
        let mut written = 0;
        let outcome = loop {
            match self.file.write(&bytes[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if written == bytes.len() {
                break Ok(());
            }
        };
        self.size += written as u64;
        self.torn = match written {
            0 => self.torn,
            // Of a torn line's end alone nothing is left.
            count => bytes[count - 1] != b'\n',
        };
        outcome
    }

    /// Keeps a line that can't be written now: nothing is done until it has been.
    fn keep(&mut self, line: &str) {
        if self.kept_bytes + line.len() > KEPT_MAX {
            self.lost += 1;
            return;
        }
        self.kept_bytes += line.len();
        self.kept.push_back(line.to_owned());
    }

    /// Writes what was kept, each line once.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(line) = self.kept.pop_front() {
            if let Err(error) = self.append(&line, self.ending) {
                self.kept.push_front(line);
                return Err(error);
            }
            self.kept_bytes -= line.len();
        }
        Ok(())
    }

    /// The host says that something is wrong, but not for each line: not again until there was room.
    fn tell(&mut self, outcome: &io::Result<()>) {
        match outcome {
            Err(error) if !self.told => {
                say::error(format!(
                    "can't write to the audit: {error}; what would be in it is refused"
                ));
            }
            _ => {}
        }
        self.told |= outcome.is_err();
    }
}

impl Sink for AuditFile {
    fn line(&self, line: &str) {
        let audit = &mut *self.lock();
        let outcome = match audit.flush() {
            Ok(()) => audit.append(line, audit.ending),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            audit.keep(line);
        }
        audit.tell(&outcome);
    }

    fn ready(&self) -> Result<(), capfs::Errno> {
        let mut audit = self.lock();
        if audit.kept.is_empty() && !audit.told && audit.room().is_ok() {
            return Ok(());
        }
        let outcome = audit.flush().and_then(|()| audit.room());
        audit.tell(&outcome);
        audit.told = outcome.is_err();
        outcome.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => capfs::Errno::Nospc,
            _ => capfs::Errno::Io,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// An audit in a file that begins empty, and another handle of it.
    fn audit(folder: &tempfile::TempDir) -> (Arc<AuditFile>, File) {
        let path = folder.path().join("audit");
        let audit = AuditFile::open(&path, SIZE_MIN).unwrap();
        audit.begin("a", "b").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        (audit, file)
    }

    fn lines(folder: &tempfile::TempDir) -> String {
        let bytes = fs::read(folder.path().join("audit")).unwrap();
        String::from_utf8(bytes).unwrap().replace('\0', "")
    }

    #[test]
    fn what_there_was_no_room_for_is_told_once_when_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let (audit, file) = audit(&folder);
        let full = |bytes: u64| file.set_len(0).and_then(|()| file.set_len(bytes)).unwrap();
        full(SIZE_MIN);
        let long = |letter: &str| letter.repeat(100 << 10);
        for letter in ["x", "y", "z"] {
            audit.line(&long(letter));
            assert_eq!(audit.ready(), Err(capfs::Errno::Nospc));
        }
        // There is room for two of them.
        full(SIZE_MIN - (250 << 10));
        assert_eq!(audit.ready(), Err(capfs::Errno::Nospc));
        let two = format!("{}\n{}\n", long("x"), long("y"));
        assert!(lines(&folder) == two, "two whole lines");
        full(0);
        assert_eq!(audit.ready(), Ok(()));
        audit.line("w");
        audit.end("a", 0, "exit");
        let told = lines(&folder);
        let rest = told.strip_prefix(&format!("{}\nw\n", long("z"))).unwrap();
        assert!(
            !rest.contains("lost") && rest.lines().count() == 1,
            "{rest}"
        );
    }

    #[test]
    fn the_end_is_told_and_how_much_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (audit, file) = audit(&folder);
        // There is room for two ends, as two runs share it, and for nothing else.
        let ending = audit.lock().ending;
        let other = AuditFile::open(&folder.path().join("audit"), SIZE_MIN).unwrap();
        other.begin("b", "c").unwrap();
        file.set_len(0).unwrap();
        file.set_len(SIZE_MIN - ending).unwrap();
        for _ in 0..3 {
            audit.line(&"x".repeat(KEPT_MAX / 2));
        }
        audit.end("a", u8::MAX, "terminate");
        other.end("b", u8::MAX, "terminate");
        let told = lines(&folder);
        for (line, lost) in told.lines().zip([3, 0]) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let missing = line["lost"].as_u64().unwrap_or_default();
            assert_eq!((&line["operation"], missing), (&"end".into(), lost));
        }
        assert_eq!(told.lines().count(), 2);
        assert!(file.metadata().unwrap().len() <= SIZE_MIN);
    }
}
