//! Waiting for a file no longer than a while: `poll_oneoff`, which Rust's standard library does not offer.

use std::fs::File;
use std::io::Result;
use std::time::Duration;

/// Waits until a read of the file would not, or until the time is up; whether the file can be read.
///
/// # Errors
/// What waiting says.
#[cfg(target_os = "wasi")]
#[expect(unsafe_code, reason = "a raw call, with pointers to two arrays")]
pub fn wait_readable(file: &File, patience: Duration) -> Result<bool> {
    use std::os::fd::AsRawFd as _;
    use wasip1 as wasi;

    /// Told apart from the clock's.
    const FILE: u64 = 1;
    let clock = wasi::SubscriptionClock {
        id: wasi::CLOCKID_MONOTONIC,
        timeout: u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX),
        precision: 0,
        flags: 0,
    };
    let fd_read = wasi::SubscriptionFdReadwrite {
        file_descriptor: file.as_raw_fd().cast_unsigned(),
    };
    let subscriptions = [
        wasi::Subscription {
            userdata: FILE,
            u: wasi::SubscriptionU {
                tag: wasi::EVENTTYPE_FD_READ.raw(),
                u: wasi::SubscriptionUU { fd_read },
            },
        },
        wasi::Subscription {
            userdata: 0,
            u: wasi::SubscriptionU {
                tag: wasi::EVENTTYPE_CLOCK.raw(),
                u: wasi::SubscriptionUU { clock },
            },
        },
    ];
    let nothing = wasi::Event {
        userdata: 0,
        error: wasi::ERRNO_SUCCESS,
        type_: wasi::EVENTTYPE_CLOCK,
        fd_readwrite: wasi::EventFdReadwrite {
            nbytes: 0,
            flags: 0,
        },
    };
    let mut events = [nothing; 2];
    // SAFETY: both arrays have two elements, as the third argument says, and outlive the call.
    let count = unsafe { wasi::poll_oneoff(subscriptions.as_ptr(), events.as_mut_ptr(), 2) };
    let count = count.map_err(|errno| std::io::Error::from_raw_os_error(errno.raw().into()))?;
    // An error of the file's is told by the read.
    Ok(events[..count].iter().any(|event| event.userdata == FILE))
}

/// Elsewhere, where only the agents' parts are tested, reads wait by themselves.
///
/// # Errors
/// None.
#[cfg(not(target_os = "wasi"))]
pub fn wait_readable(_file: &File, _patience: Duration) -> Result<bool> {
    Ok(true)
}
