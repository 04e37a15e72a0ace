//! How a process ends.

use std::task::{Context, Poll};

use capfs::Errno;

use super::Process;
use crate::GuestMemory;

/// How a process ended by its own will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// `proc_exit` with this code.
    Code(u32),
    /// `proc_raise` of this signal, whose default is to end the process.
    Signal(u8),
}

impl ExitStatus {
    /// The code that a shell would show: a signal is 128 and its number.
    pub fn code(self) -> u32 {
        match self {
            ExitStatus::Code(code) => code,
            ExitStatus::Signal(signal) => 128 + u32::from(signal),
        }
    }
}

/// The highest signal of the witx: `sys`.
const SIGNAL_MAX: u8 = 30;

impl Process {
    /// `proc_exit`: records the code. The host ends the guest.
    pub fn proc_exit(&mut self, code: u32) {
        self.exit = Some(ExitStatus::Code(code));
    }

    /// `proc_raise`: does what the signal does by default, as there are no handlers. If that is to
    /// end the process, [`Process::exit_status`] is set and the host ends the guest; `chld`, `cont`,
    /// `urg` and `winch` do nothing, and neither does `none`.
    ///
    /// # Errors
    /// - [`Errno::Inval`]: no such signal
    pub fn proc_raise<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        _memory: &mut M,
        signal: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        const CHLD: u8 = 16;
        const CONT: u8 = 17;
        const URG: u8 = 22;
        const WINCH: u8 = 27;
        Poll::Ready(match u8::try_from(signal) {
            Ok(0 | CHLD | CONT | URG | WINCH) => Ok(()),
            Ok(signal) if signal <= SIGNAL_MAX => {
                self.exit = Some(ExitStatus::Signal(signal));
                Ok(())
            }
            _ => Err(Errno::Inval),
        })
    }
}
