//! Bytes between a guest and a stream of the host, by one system call each.

use std::io;

use capfs::{Errno, GuestSink, GuestSource};

use super::errors::errno;

/// Bytes gathered from scattered guest memory for one system call.
const GATHER: usize = 64 << 10;

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(errno),
        }
    }
}

/// Reads once: into the guest's own memory where the host sees it. `scratch` is kept between calls.
///
/// # Errors
/// What `read` fails with.
pub(super) fn read(
    sink: &mut dyn GuestSink,
    scratch: &mut Vec<u8>,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> Result<usize, Errno> {
    let in_place = sink.in_place(&mut |slice| retry(|| read(&mut *slice)));
    if let Some(result) = in_place {
        return result;
    }
    scratch.resize(sink.remaining().min(GATHER), 0);
    let count = retry(|| read(&mut scratch[..]))?;
    Ok(sink.put(&scratch[..count]))
}

/// Writes once: from where the bytes are if they lie side by side; scattered bytes are gathered, so that
/// lines of two agents don't mix. `scratch` is kept between calls. More may have been taken from `source`
/// than was written.
///
/// # Errors
/// What `write` fails with.
pub(super) fn write(
    source: &mut dyn GuestSource,
    scratch: &mut Vec<u8>,
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
        _ => {
            scratch.resize(total.min(GATHER), 0);
            let gathered = source.take(scratch);
            retry(|| write(&scratch[..gathered]))
        }
    }
}
