//! What a server's frames are, seen on the way to the protocol's own code: how the server closes, in its own words, how much it
//! sends that is no message, and whether it writes lengths as it must, which that code doesn't ask.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::NetStream;
use crate::net::budget::{Budget, Flood, Turn};

/// Pings, pongs and small fragments that a server may send at once; each costs about as much as a message.
const EMPTY_BURST: i64 = 16_384;

/// And so many more each second.
const EMPTY_PER_SECOND: i64 = 1_024;

/// Bytes of a fragment from which on it counts as content: what a control frame may have
/// ([RFC 6455, section 5.5](https://www.rfc-editor.org/rfc/rfc6455#section-5.5)).
const SMALL: u64 = 125;

/// Bytes of the longest header of a frame ([RFC 6455, section 5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)).
const HEADER_MAX: usize = 14;

/// A server's frames are not as they may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too much of them is no message.
    #[error(transparent)]
    Flood(#[from] Flood),
    /// A length that is not in the fewest bytes that it needs, or has more than 63 bits
    /// ([RFC 6455, section 5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2)).
    #[error("the server writes the length of a frame otherwise than the protocol does")]
    Length,
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> io::Error {
        match error {
            FrameError::Flood(flood) => flood.into(),
            FrameError::Length => io::Error::other(error),
        }
    }
}

/// Whether an error of a connection is about a length that a frame can't have.
pub fn is_length(error: &io::Error) -> bool {
    let own = error.get_ref().and_then(|error| error.downcast_ref());
    own == Some(&FrameError::Length)
}

/// A stream whose frames are seen.
pub struct Framed {
    stream: NetStream,
    frames: Frames,
    turn: Turn,
    /// It comes behind what was read before it.
    wrong: Option<FrameError>,
}

impl Framed {
    /// A stream behind its handshake, and how many of the bytes that have been read of its frames already are of frames as they may be.
    /// What comes behind those is an error of the stream.
    pub fn new(stream: NetStream, read: &[u8]) -> (Framed, usize) {
        let mut frames = Frames::new();
        let (right, wrong) = match frames.see(read) {
            Ok(()) => (read.len(), None),
            Err((right, error)) => (right, Some(error)),
        };
        let framed = Framed {
            stream,
            frames,
            turn: Turn::default(),
            wrong,
        };
        (framed, right)
    }

    /// The code and the reason of the first close frame, as the server sent them
    /// ([RFC 6455, section 7.1.5](https://www.rfc-editor.org/rfc/rfc6455#section-7.1.5)).
    pub fn close(&self) -> Option<(u16, String)> {
        let (code, reason) = self.frames.close.split_first_chunk()?;
        let reason = String::from_utf8_lossy(reason).into_owned();
        Some((u16::from_be_bytes(*code), reason))
    }
}

struct Frames {
    state: State,
    /// What the first close frame holds.
    close: Vec<u8>,
    closed: bool,
    empty: Budget,
}

enum State {
    Header {
        bytes: [u8; HEADER_MAX],
        have: usize,
    },
    Payload {
        left: u64,
        closes: bool,
    },
}

impl Frames {
    fn new() -> Frames {
        Frames {
            state: State::start(),
            close: Vec::new(),
            closed: false,
            empty: Budget::new(EMPTY_BURST, EMPTY_PER_SECOND, "pings and small fragments"),
        }
    }

    /// Sees the bytes that come next.
    ///
    /// # Errors
    /// See [`FrameError`]; and how many of these bytes are in the frames before that one.
    fn see(&mut self, all: &[u8]) -> Result<(), (usize, FrameError)> {
        let mut bytes = all;
        // Where the last header begins.
        let mut begins = 0;
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Header {
                    bytes: header,
                    have,
                } => {
                    if *have == 0 {
                        begins = all.len() - bytes.len();
                    }
                    header[*have] = *first;
                    *have += 1;
                    bytes = rest;
                    if let Some(frame) = Frame::parse(&header[..*have]) {
                        self.begin(frame).map_err(|error| (begins, error))?;
                    }
                }
                State::Payload { left, closes } => {
                    let count = bytes
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    if *closes {
                        self.close.extend_from_slice(&bytes[..count]);
                    }
                    bytes = &bytes[count..];
                    *left -= count as u64;
                    if *left == 0 {
                        self.state = State::start();
                    }
                }
            }
        }
        Ok(())
    }

    /// A frame begins.
    fn begin(&mut self, frame: Frame) -> Result<(), FrameError> {
        if !frame.shortest {
            return Err(FrameError::Length);
        }
        // One that is longer than a control frame may be is an error of the protocol, which its own code tells.
        let closes = frame.opcode == 8 && frame.length <= SMALL && !self.closed;
        self.closed |= closes;
        self.state = match frame.length {
            0 => State::start(),
            left => State::Payload { left, closes },
        };
        match frame.opcode >= 8 || !frame.last && frame.length < SMALL {
            true => Ok(self.empty.take(1)?),
            false => Ok(()),
        }
    }
}

impl State {
    fn start() -> State {
        State::Header {
            bytes: [0; HEADER_MAX],
            have: 0,
        }
    }
}

/// The header of a frame.
struct Frame {
    last: bool,
    opcode: u8,
    length: u64,
    /// Its length is written as it must be.
    shortest: bool,
}

impl Frame {
    /// Reads it, once it is complete.
    fn parse(bytes: &[u8]) -> Option<Frame> {
        let ([first, second], rest) = bytes.split_first_chunk()?;
        let (length, shortest, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                let length = u16::from_be_bytes(*length);
                (u64::from(length), length >= 126, rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                let length = u64::from_be_bytes(*length);
                let shortest = (1 << 16..1 << 63).contains(&length);
                (length, shortest, rest)
            }
            length => (u64::from(length), true, rest),
        };
        // A server must not mask.
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        (rest.len() == mask).then_some(Frame {
            last: first & 0x80 != 0,
            opcode: first & 15,
            length,
            shortest,
        })
    }
}

impl AsyncRead for Framed {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let framed = self.get_mut();
        if let Some(error) = &framed.wrong {
            return Poll::Ready(Err(error.clone().into()));
        }
        ready!(framed.turn.poll(context));
        let before = buffer.filled().len();
        let read = Pin::new(&mut framed.stream).poll_read(context, buffer);
        if read.is_pending() {
            framed.turn = Turn::default();
        }
        ready!(read)?;
        let bytes = &buffer.filled()[before..];
        framed.turn.took(bytes.len());
        match framed.frames.see(bytes) {
            Ok(()) => Poll::Ready(Ok(())),
            // What came before it is the agent's.
            Err((before_it @ 1.., error @ FrameError::Length)) => {
                buffer.set_filled(before + before_it);
                framed.wrong = Some(error);
                Poll::Ready(Ok(()))
            }
            Err((_, error)) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncWrite for Framed {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sees everything in pieces of one size.
    fn seen(bytes: &[u8], piece: usize) -> (Frames, Result<(), (usize, FrameError)>) {
        let mut frames = Frames::new();
        let outcome = bytes.chunks(piece).try_for_each(|part| frames.see(part));
        (frames, outcome)
    }

    #[test]
    fn lengths_are_in_the_fewest_bytes() {
        let long = |length: u64| [&[0x82, 127][..], &length.to_be_bytes()].concat();
        let short = |length: u16| [&[0x82, 126][..], &length.to_be_bytes()].concat();
        for good in [
            short(126),
            short(u16::MAX),
            long(1 << 16),
            long((1 << 63) - 1),
        ] {
            assert_eq!(seen(&good, 1).1, Ok(()), "{good:?}");
        }
        for bad in [
            short(0),
            short(125),
            long(0),
            long(125),
            long(126),
            long(0xffff),
            long(1 << 63),
            long(u64::MAX),
        ] {
            for (before, front) in [(0, vec![]), (7, vec![0x81, 1, b'x', 0x82, 2, 1, 2])] {
                let bytes = [front, bad.clone(), vec![0; 9]].concat();
                assert_eq!(
                    seen(&bytes, usize::MAX).1,
                    Err((before, FrameError::Length)),
                    "{bytes:?}"
                );
                // Its first bytes may have come earlier.
                assert_eq!(seen(&bytes, 1).1, Err((0, FrameError::Length)), "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_close_is_found_behind_whatever_comes_before() {
        let mut bytes = vec![0x82, 3, 8, 8, 8];
        bytes.extend([0x82, 126, 0, 200]);
        bytes.extend([0x88; 200]);
        bytes.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        bytes.extend(vec![0x88; 65_536]);
        bytes.extend([0x89, 0, 0x88, 6, 0x07, 0xd0, b'd', b'o', b'n', b'e']);
        // A second one says nothing any more.
        bytes.extend([0x88, 2, 0x03, 0xe8]);
        for piece in [1, 2, 7, 1_000, usize::MAX] {
            let (frames, outcome) = seen(&bytes, piece);
            outcome.unwrap();
            assert_eq!(frames.close, [7, 0xd0, b'd', b'o', b'n', b'e'], "{piece}");
        }
    }

    #[test]
    fn what_is_no_message_is_counted() {
        let flood = |frame: &[u8], count: usize| seen(&frame.repeat(count), 64 << 10).1.is_err();
        let most = EMPTY_BURST as usize;
        let later = most + 10 * EMPTY_PER_SECOND as usize;
        for frame in [&[0x89, 0][..], &[0x8a, 1, 7], &[0, 0], &[0x02, 2, 1, 1]] {
            assert!(!flood(frame, most), "{frame:?}");
            assert!(flood(frame, later), "{frame:?}");
        }
        // Messages, and fragments with something in them, are not.
        let mut large = vec![0x02, 125];
        large.extend([0; 125]);
        for frame in [&[0x82, 0][..], &[0x81, 1, b'x'], &large] {
            assert!(!flood(frame, later), "{frame:?}");
        }
    }
}
