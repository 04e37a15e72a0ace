//! The audit of a run, in a file.
//!
//! It is complete, or nothing happens: a line that can't be written is kept, and until it has been, every operation on a capability is
//! refused. So an agent can't hide what it does by filling the disk, or the file: that has a limit, and nothing is
//! thrown away to keep it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capfs::Errno;
use capfs::clock::Clock;
use capfs_devices::audit::{Sink, start};

use crate::clock::SystemClock;
use crate::say;

/// Bytes of the file, unless told: 1 GiB.
pub const SIZE_DEFAULT: u64 = 1 << 30;

/// Bytes of lines that are kept for later, and that are written beyond the file's limit, at most. They are those of operations that
/// were under way then, and of refused ones: what is lost beyond is of what was not done.
const KEPT_MAX: usize = 1 << 20;

/// An audit that is appended to a file, a line at a time, so that several runs can share one.
pub struct AuditFile(Mutex<Appended>);

struct Appended {
    file: File,
    /// A regular file, which has a size.
    sized: bool,
    /// Bytes in it, as far as is known here.
    size: u64,
    max: u64,
    /// What could not be written yet.
    kept: Vec<u8>,
    /// Whether it was said that something can't be written, and not that it can again.
    told: bool,
}

impl AuditFile {
    /// Opens a file that may have `max` bytes; it is made for its owner alone.
    ///
    /// # Errors
    /// What opening it ends with; [`io::ErrorKind::PermissionDenied`] for a file that others can write.
    pub fn open(path: &Path, max: u64) -> io::Result<Arc<AuditFile>> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.mode() & 0o022 != 0 {
            let text = "others can write it: nobody could trust what it says";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(Arc::new(AuditFile(Mutex::new(Appended {
            file,
            sized: metadata.is_file(),
            size: metadata.len(),
            max,
            kept: Vec::new(),
            told: false,
        }))))
    }

    /// Says that a program starts; nothing has been done yet.
    ///
    /// # Errors
    /// It can't be written: nothing may be done.
    pub fn begin(&self, agent: &str, identity: &str) -> io::Result<()> {
        let line = start(agent, identity, SystemClock.realtime());
        let mut audit = self.lock();
        audit.room()?;
        audit.append(format!("{line}\n").as_bytes())
    }

    fn lock(&self) -> MutexGuard<'_, Appended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appended {
    /// Whether there is room for more lines.
    fn room(&mut self) -> io::Result<()> {
        if !self.sized || self.size < self.max {
            return Ok(());
        }
        // Somebody may have put what is in it elsewhere, and emptied it.
        self.size = self.file.metadata()?.len();
        match self.size < self.max {
            true => Ok(()),
            false => {
                let text = format!("it has reached its limit of {} bytes", self.max);
                Err(io::Error::new(io::ErrorKind::QuotaExceeded, text))
            }
        }
    }

    /// Writes all of some lines, or keeps them.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut written = 0;
        let outcome = loop {
            match self.file.write(&lines[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if written == lines.len() {
                break Ok(());
            }
        };
        self.size += written as u64;
        if outcome.is_err() && self.kept.len() + lines.len() < KEPT_MAX {
            // What is there of a line is ended, and the line written again.
            if written > 0 {
                self.kept.push(b'\n');
            }
            self.kept.extend_from_slice(lines);
        }
        outcome
    }

    /// Writes what was kept.
    fn flush(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.kept) {
            kept if kept.is_empty() => Ok(()),
            kept => self.append(&kept),
        }
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
        let line = [line.as_bytes(), b"\n"].concat();
        let mut audit = self.lock();
        if audit.sized && audit.size >= audit.max.saturating_add(KEPT_MAX as u64) {
            return;
        }
        let outcome = match audit.flush() {
            Ok(()) => audit.append(&line),
            Err(error) => {
                if audit.kept.len() + line.len() < KEPT_MAX {
                    audit.kept.extend_from_slice(&line);
                }
                Err(error)
            }
        };
        audit.tell(&outcome);
    }

    fn ready(&self) -> Result<(), Errno> {
        let mut audit = self.lock();
        if audit.kept.is_empty() && !audit.told && (!audit.sized || audit.size < audit.max) {
            return Ok(());
        }
        let outcome = audit.flush().and_then(|()| audit.room());
        audit.tell(&outcome);
        audit.told = outcome.is_err();
        outcome.map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Errno::Nospc,
            _ => Errno::Io,
        })
    }
}
