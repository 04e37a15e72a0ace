//! The console of this process: its standard streams, and their terminal, if they have one.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use capfs::account::{Account, Buffer, Holding};
use capfs::device::parts::{set_device_stat, stream_stat};
use capfs::{
    Errno, FileKind, GuestSink, GuestSource, Op, OpenFile, Qid, SetStat, Stat, WriteAt, Written,
};
use capfs_devices::console::{Level, Terminal};
use capfs_devices::foreign::Foreign;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::errors::errno;
use super::stdio::HostStream;

/// Bytes of a message that are kept until its line ends; a longer one is told in pieces.
const MESSAGE_MAX: usize = 64 << 10;

/// How the terminal was before a program made it raw.
static COOKED: OnceLock<Mutex<Option<Termios>>> = OnceLock::new();

fn cooked() -> std::sync::MutexGuard<'static, Option<Termios>> {
    let cooked = COOKED.get_or_init(Mutex::default);
    cooked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts the terminal back as it was before a program made it raw: before this process ends, however it does.
pub fn restore() {
    if let Some(before) = cooked().take() {
        // If it can't be, the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// The console on the standard streams of this process.
pub struct ProcessTerminal;

impl Terminal for ProcessTerminal {
    fn input(&self) -> Result<Box<dyn OpenFile>, Errno> {
        let [input, _, _] = HostStream::standard().map_err(errno)?;
        Ok(Box::new(input.sequential()))
    }

    fn output(&self) -> Result<Box<dyn OpenFile>, Errno> {
        let [_, output, _] = HostStream::standard().map_err(errno)?;
        Ok(Box::new(output.sequential()))
    }

    fn messages(&self, level: Level, account: &Account) -> Result<Box<dyn OpenFile>, Errno> {
        Ok(Box::new(Messages {
            qid: Qid::unnumbered(FileKind::CharacterDevice),
            level,
            line: Buffer::new(account, Holding::Descriptors),
        }))
    }

    /// Ctrl-C goes on to end the program: it is a signal for the host, not a key for the agent.
    fn set_raw(&self, raw: bool) -> Result<(), Errno> {
        if !raw {
            restore();
            return Ok(());
        }
        let before = tcgetattr(io::stdin()).map_err(|_| Errno::Notty)?;
        let mut changed = before.clone();
        changed
            .local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &changed).map_err(|_| Errno::Notty)?;
        cooked().get_or_insert(before);
        Ok(())
    }

    fn size(&self) -> Option<(u32, u32)> {
        let size = tcgetwinsize(io::stdout()).ok()?;
        Some((size.ws_col.into(), size.ws_row.into()))
    }
}

/// Messages on standard error, each line with its level in front.
struct Messages {
    qid: Qid,
    level: Level,
    /// What there is of a line that has not ended.
    line: Buffer,
}

impl Messages {
    fn tell(level: Level, line: &[u8]) -> Result<(), Errno> {
        let text = String::from_utf8_lossy(line);
        // What would move the cursor or change colours is shown, not done: this is somebody's terminal.
        // Written at once, for nothing gathers what goes to standard error.
        let shown = format!("{}: {}\n", level.name(), Foreign(text));
        io::stderr().write_all(shown.as_bytes()).map_err(errno)
    }

    /// Tells the lines that have ended, and one that is too long; what is left is kept. `before` bytes were kept already: none of
    /// them ends a line, and whoever writes byte by byte has them looked at once.
    fn tell_lines(&mut self, before: usize) -> Result<(), Errno> {
        if self.line.len() < MESSAGE_MAX && !self.line.bytes()[before..].contains(&b'\n') {
            return Ok(());
        }
        let mut told = 0;
        for part in self.line.bytes().split_inclusive(|byte| *byte == b'\n') {
            if part.ends_with(b"\n") || part.len() >= MESSAGE_MAX {
                Messages::tell(self.level, part.strip_suffix(b"\n").unwrap_or(part))?;
                told += part.len();
            }
        }
        match self.line.len() - told {
            0 => self.line.clear(),
            _ if told == 0 => {}
            left => {
                self.line.resize(left + told)?.copy_within(told.., 0);
                self.line.resize(left)?;
            }
        }
        Ok(())
    }
}

impl OpenFile for Messages {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Err(Errno::Badf))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let before = self.line.len();
        // A line that long has been told.
        let more = source.remaining().min(MESSAGE_MAX - before);
        let room = &mut self.line.resize(before + more)?[before..];
        let count = source.take(room);
        self.line.resize(before + count)?;
        // What can't be told is lost, with the lines behind it.
        self.tell_lines(before).inspect_err(|_| self.line.clear())?;
        Poll::Ready(Ok(Written {
            bytes: count,
            end: 0,
        }))
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            let _ = Messages::tell(self.level, self.line.bytes());
        }
    }
}
