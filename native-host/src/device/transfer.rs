//! Bytes between a guest and the host's files and streams, by one system call each.

use std::cell::RefCell;
use std::io;

use capfs::{Errno, GuestSink, GuestSource};

use super::errors::errno;

/// Bytes of scattered guest memory that move by one system call: large enough that the call's own price vanishes, small
/// enough to stay in the processor's cache.
const GATHER: usize = 64 << 10;

thread_local! {
    /// Where they are between the guest's memory and the system: one for each thread, however many descriptors it has open. It
    /// grows to what was needed, at most [`GATHER`].
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's buffer: so many bytes of it, or [`GATHER`] if that is fewer. What is in them is left from before. `work` may
/// not lend it again.
pub(super) fn with_scratch<T>(wanted: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let length = wanted.min(GATHER);
        if scratch.len() < length {
            scratch.resize(length, 0);
        }
        work(&mut scratch[..length])
    })
}

/// Makes a call of the system again when a signal has broken it off.
///
/// # Errors
/// What the call fails with.
pub(super) fn retry(mut call: impl FnMut() -> io::Result<usize>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(errno),
        }
    }
}

/// Reads once: into the guest's own memory where the host sees it.
///
/// # Errors
/// What `read` fails with.
pub(super) fn read(
    sink: &mut dyn GuestSink,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> Result<usize, Errno> {
    let in_place = sink.in_place(&mut |slice| retry(|| read(&mut *slice)));
    if let Some(result) = in_place {
        return result;
    }
    with_scratch(sink.remaining(), |scratch| {
        let count = retry(|| read(&mut *scratch))?;
        Ok(sink.put(&scratch[..count]))
    })
}

/// Writes once: from where the bytes are if they lie side by side; scattered bytes are gathered, so that
/// lines of two agents don't mix. More may have been taken from `source` than was written.
///
/// # Errors
/// What `write` fails with.
pub(super) fn write(
    source: &mut dyn GuestSource,
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> Result<usize, Errno> {
    let total = source.remaining();
    let mut whole = false;
    let in_place = source.in_place(&mut |bytes| {
        whole = bytes.len() == total;
        match whole {
            true => retry(|| write(bytes)),
            false => Ok(0),
        }
    });
    match in_place {
        Some(result) if whole => result,
        _ => with_scratch(total, |scratch| {
            let gathered = source.take(scratch);
            retry(|| write(&scratch[..gathered]))
        }),
    }
}
