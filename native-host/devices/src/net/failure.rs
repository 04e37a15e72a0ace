//! What went wrong with HTTP, in the words of agents.

use std::error::Error;
use std::io;

use capfs::Errno;
use capfs_devices::fetch::host::Failure;
use capfs_devices::fetch::{RESPONSE_FIELDS_MAX, RESPONSE_HEADERS_MAX};

use super::budget::flood_in;
use super::{ConnectError, errno_of};

/// What an agent learns of an error, from the first of its causes that says more than "it failed".
pub fn failure(error: &(dyn Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return error.failure();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_parse_too_large()
        {
            let text = format!(
                "the headers of the answer are over a limit: {RESPONSE_FIELDS_MAX} of them, {RESPONSE_HEADERS_MAX} bytes in all"
            );
            return Failure::new(Errno::Msgsize, text);
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && let Some(flood) = flood_in(error)
        {
            return Failure::new(Errno::Proto, flood.to_string());
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return Failure::new(errno_of_h2(error), error.to_string());
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && let Some(errno) = errno_of_http(error)
        {
            return Failure::new(errno, error.to_string());
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() != io::ErrorKind::Other
        {
            // What the client says of the size of a chunk that is none.
            let errno = match error.kind() {
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Errno::Proto,
                _ => errno_of(error),
            };
            return Failure::new(errno, error.to_string());
        }
        cause = error.source();
    }
    Failure::new(Errno::Io, error.to_string())
}

/// Whether an error of HTTP's is about the size of an answer's head.
pub fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && error.is_parse_too_large()
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn errno_of_http(error: &hyper::Error) -> Option<Errno> {
    if error.is_parse() {
        Some(Errno::Proto)
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        // The last is a connection that ended before it had taken the request: who gives one up is not told by an error.
        Some(Errno::Connreset)
    } else if error.is_timeout() {
        Some(Errno::Timedout)
    } else {
        None
    }
}

/// What the two sides of HTTP/2 tell each other: the server gives something up, or one of the two doesn't keep to the protocol
/// ([RFC 9113, section 7](https://www.rfc-editor.org/rfc/rfc9113#section-7)).
fn errno_of_h2(error: &h2::Error) -> Errno {
    match (error.get_io(), error.reason()) {
        (Some(error), _) => errno_of(error),
        (None, Some(h2::Reason::NO_ERROR | h2::Reason::CANCEL | h2::Reason::REFUSED_STREAM)) => {
            Errno::Connreset
        }
        (None, Some(_)) if error.is_remote() && error.is_reset() => Errno::Connreset,
        (None, _) => Errno::Proto,
    }
}
