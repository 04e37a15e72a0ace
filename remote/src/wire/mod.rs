//! The wire: typed requests and answers, and the bytes that they are.
//!
//! A *message* is what a transport carries in one piece: one frame or several. A *frame* is one request or answer, laid out as in
//! intro(5): `size[4] type[1] tag[2]` and a body; `size` counts itself, numbers are little-endian, strings and data have their length
//! before them. Nothing here waits, and nothing is trusted: bytes come from a stranger.

mod bytes;
mod kind;
mod reply;
mod request;
mod sizes;

use thiserror::Error;

pub use kind::{Asked, Kind};
pub use reply::{Opening, Reply, Walked};
pub use request::Request;
pub use sizes::{ANSWERS_MAX, FILE_WRITE_MAX, HEAD_MAX, READ_MAX, REQUESTS_MAX, Sizes, WALK_MAX};

pub(crate) use kind::{ERROR, SUBJECT};
pub(crate) use reply::{errno, read_subject, subject};

/// Bytes in front of a frame's body.
pub const FRAME_HEAD: usize = 7;

/// The tag that no request has (version(5)).
pub const NO_TAG: u16 = u16::MAX;

/// What is wrong with bytes that were received. After it nothing that the other side says can be understood, so that the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// A frame, or a thing in one, is cut short.
    #[error("a frame is cut short")]
    Truncated,
    /// A frame is longer than both sides have agreed on.
    #[error("a frame of {size} bytes, where {most} is the most")]
    TooLong {
        /// What it says of itself.
        size: usize,
        /// See [`Sizes`].
        most: usize,
    },
    /// There is no such request or answer.
    #[error("no frame is of the type {0}")]
    Type(u8),
    /// A value that means nothing, a text that is no UTF-8, or bytes behind the end.
    #[error("a frame has {0}, which means nothing")]
    Value(&'static str),
    /// A request with the tag of one that wasn't answered yet, or an answer to none.
    #[error("the tag {0} is wrong here")]
    Tag(u16),
    /// An answer of another kind than the request asks for.
    #[error("the tag {0} is answered by what it didn't ask for")]
    Answer(u16),
}

/// A frame, whole, but not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which request or answer it is.
    pub kind: u8,
    /// The request's number.
    pub tag: u16,
    /// The rest.
    pub body: &'a [u8],
}

/// How many bytes of `message` its first frame takes.
///
/// # Errors
/// [`WireError::Truncated`], [`WireError::TooLong`]
pub fn first_frame(message: &[u8], sizes: Sizes) -> Result<usize, WireError> {
    let size = message.first_chunk().ok_or(WireError::Truncated)?;
    let size = u32::from_le_bytes(*size) as usize;
    if size > sizes.msize() {
        let most = sizes.msize();
        return Err(WireError::TooLong { size, most });
    }
    match (FRAME_HEAD..=message.len()).contains(&size) {
        true => Ok(size),
        false => Err(WireError::Truncated),
    }
}

impl<'a> Frame<'a> {
    /// The frame that these bytes are, all of them.
    ///
    /// # Errors
    /// As [`first_frame`].
    pub fn read(bytes: &'a [u8], sizes: Sizes) -> Result<Frame<'a>, WireError> {
        match (first_frame(bytes, sizes)? == bytes.len(), bytes) {
            (true, [_, _, _, _, kind, low, high, body @ ..]) => Ok(Frame {
                kind: *kind,
                tag: u16::from_le_bytes([*low, *high]),
                body,
            }),
            _ => Err(WireError::Truncated),
        }
    }
}
