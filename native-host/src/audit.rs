//! The audit of a run, in a file.
//!
//! It is complete, or nothing happens: a line that can't be written is kept, and until it has been, every operation on a capability is
//! refused. So an agent can't hide what it does by filling the disk, or the file: that has a limit, and nothing is
//! thrown away to keep it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capfs::clock::Clock;
use capfs_devices::audit::{Sink, end, start};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use crate::clock::SystemClock;
use crate::say;

/// Bytes of the file, unless told: 1 GiB.
pub const SIZE_DEFAULT: u64 = 1 << 30;

/// Bytes of lines that are kept for later, at most, and that are left free of a file's limit when operations are refused. They are
/// for those of operations that were under way then, of refused ones, and of the end: what is lost beyond is of what was not done.
const KEPT_MAX: usize = 1 << 20;

/// That part of a file's limit is left free, where it is less.
const FREE_PART: u64 = 8;

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
    /// What could not be written yet.
    kept: Vec<u8>,
    /// Whether it was said that something can't be written, and not that it can again.
    told: bool,
}

impl AuditFile {
    /// Opens a file that may have `max` bytes; it is made for its owner alone.
    ///
    /// # Errors
    /// What opening it ends with; [`io::ErrorKind::PermissionDenied`] for a file that others can write, or that is another user's; a
    /// pipe must have somebody who reads it.
    pub fn open(path: &Path, max: u64) -> io::Result<Arc<AuditFile>> {
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
            full: max - (max / FREE_PART).min(KEPT_MAX as u64),
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
        // A line that another run could not end is not taken for the beginning of this one's.
        let end = if audit.torn { "\n" } else { "" };
        audit.torn = false;
        audit.append(format!("{end}{line}\n").as_bytes())
    }

    /// Says that it has ended, and how.
    pub fn end(&self, agent: &str, code: u8, reason: &str) {
        self.line(&end(agent, code, reason, SystemClock.realtime()));
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
    /// Whether there is room for more lines.
    fn room(&mut self) -> io::Result<()> {
        if !self.sized || self.size < self.full {
            return Ok(());
        }
        // Somebody may have put what is in it elsewhere, and emptied it.
        self.size = self.file.metadata()?.len();
        match self.size < self.full {
            true => Ok(()),
            false => {
                let text = format!("it has reached its limit of {} bytes", self.max);
                Err(io::Error::new(io::ErrorKind::QuotaExceeded, text))
            }
        }
    }

    /// Whether so many bytes more would be beyond the file's limit.
    fn overflows(&mut self, more: usize) -> bool {
        let max = self.max;
        let over = |size: u64| size.saturating_add(more as u64) > max;
        if !self.sized {
            return false;
        }
        // Other runs may write to it, too; or as in `room`.
        if let Ok(metadata) = self.file.metadata() {
            self.size = metadata.len();
        }
        over(self.size)
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
        let lines = audit.kept.len() + line.len();
        if audit.overflows(lines) {
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

    fn ready(&self) -> Result<(), capfs::Errno> {
        let mut audit = self.lock();
        if audit.kept.is_empty() && !audit.told && (!audit.sized || audit.size < audit.full) {
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
