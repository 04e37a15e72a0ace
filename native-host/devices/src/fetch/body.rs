//! Bodies of responses. They are polled by the agent's own thread: what it does not read stays with the connection,
//! whose window fills, and the server waits.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use capfs::account::Account;
use capfs::{Errno, GuestSink};
use capfs_devices::fetch::host::{Failure, ResponseBody};
use hyper::Version;
use hyper::body::Body as _;
use std::pin::Pin;

use super::Lingering;
use super::connection::{Line, ROOM_OF_REQUEST, Room};
use super::decode::{Decoded, Pieces, decoded};
use super::failure;

/// Bytes that an agent may leave unread of a body, and that come all the same, with what is around them.
const LEFT_BEHIND: usize = ROOM_OF_REQUEST;

/// The frames of a body as they come, and the connection that they come by.
pub struct Incoming {
    frames: hyper::body::Incoming,
    line: Option<Line>,
    /// It comes over HTTP/2, where the last frame says so.
    h2: bool,
    #[expect(dead_code, reason = "what comes of the body has room while it is here")]
    room: Option<Room>,
    /// The request's own body, while it is on its way out.
    #[expect(
        dead_code,
        reason = "dropping it says that nobody waits for the answer any more"
    )]
    lingering: Option<Box<Lingering>>,
}

impl Incoming {
    /// The body of an answer of this version of HTTP.
    pub fn new(
        frames: hyper::body::Incoming,
        version: Version,
        line: Option<Line>,
        room: Option<Room>,
        lingering: Option<Box<Lingering>>,
    ) -> Incoming {
        Incoming {
            frames,
            line,
            h2: version == Version::HTTP_2,
            room,
            lingering,
        }
    }
}

impl Incoming {
    /// So many bytes were given to the agent, or given up by it.
    fn given(&self, bytes: usize) {
        if let Some(line) = &self.line {
            line.given(bytes);
        }
    }

    fn failure(&self, error: &hyper::Error) -> Failure {
        failure(error, self.line.as_ref())
    }

    /// There are no more frames. A server that takes an answer back without a reason (`NO_ERROR`) looks the same to hyper, whose callers may
    /// not care for the rest; here nothing is whole but what was said to be.
    fn ended(&self) -> Result<usize, Failure> {
        if self.h2 && !self.frames.is_end_stream() {
            let text = "the server broke the answer off before its end";
            return Err(Failure::new(Errno::Connreset, text));
        }
        Ok(0)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.frames.is_end_stream() {
            self.given(LEFT_BEHIND);
        }
    }
}

/// The body of a response.
pub enum Body {
    /// As it comes.
    Plain(Frames),
    /// Compressed on the way.
    Compressed(Decoded),
}

impl Body {
    /// The body of a response with these headers, which has none if `bodiless`, whatever they say and whatever comes.
    /// What it is decompressed in is charged to the account.
    pub fn new(
        incoming: Incoming,
        headers: &[(String, String)],
        bodiless: bool,
        account: &Account,
    ) -> Body {
        let empty = bodiless || incoming.frames.is_end_stream();
        let frames = Frames::new(incoming, bodiless);
        // Several lines are one list (RFC 9110, section 5.3).
        let lines = headers
            .iter()
            .filter(|(name, _)| name == "content-encoding");
        let codings: Vec<&str> = lines.map(|(_, value)| &**value).collect();
        match &*codings.join(",") {
            codings if !empty => match decoded(codings, frames, account) {
                Ok(decoded) => Body::Compressed(decoded),
                Err(frames) => Body::Plain(frames),
            },
            _ => Body::Plain(frames),
        }
    }
}

impl ResponseBody for Body {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Failure>> {
        match self {
            Body::Plain(frames) => frames.poll_read(context, sink),
            Body::Compressed(decoded) => decoded.poll_read(context, sink),
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        match self {
            Body::Plain(frames) => frames.poll_fill(context),
            Body::Compressed(decoded) => decoded.poll_fill(context),
        }
    }
}

/// The frames of a body, of which the first is being read.
pub struct Frames {
    incoming: Incoming,
    chunk: Bytes,
    /// Nothing that comes is looked at.
    bodiless: bool,
    /// What came behind bytes that are to be given first.
    failed: Option<Box<Failure>>,
}

impl Frames {
    fn new(incoming: Incoming, bodiless: bool) -> Frames {
        Frames {
            incoming,
            chunk: Bytes::new(),
            bodiless,
            failed: None,
        }
    }

    /// The same, which ends with a failure before anything was read.
    pub fn failing(mut self, failure: Failure) -> Frames {
        self.failed = Some(Box::new(failure));
        self
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        if let Some(failed) = self.failed.take() {
            return Poll::Ready(Err(*failed));
        }
        while self.chunk.is_empty() && !self.bodiless {
            match ready!(Pin::new(&mut self.incoming.frames).poll_frame(context)) {
                None => return Poll::Ready(self.incoming.ended()),
                Some(Err(error)) => return Poll::Ready(Err(self.incoming.failure(&error))),
                // What is no data is trailers, which nobody asks for.
                Some(Ok(frame)) => self.chunk = frame.into_data().unwrap_or_default(),
            }
            if !self.chunk.is_empty() {
                self.incoming.given(self.chunk.len());
            }
        }
        Poll::Ready(Ok(self.chunk.len()))
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Failure>> {
        let mut total = 0;
        loop {
            match self.poll_next(context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(total)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(failure)) if total > 0 => {
                    self.failed = Some(Box::new(failure));
                    return Poll::Ready(Ok(total));
                }
                Poll::Pending if total > 0 => return Poll::Ready(Ok(total)),
                other => return other,
            }
            let count = sink.put(&self.chunk);
            self.chunk.advance(count);
            total += count;
            if sink.remaining() == 0 || count == 0 {
                return Poll::Ready(Ok(total));
            }
        }
    }
}

impl Pieces for Frames {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        self.poll_next(context)
    }

    fn chunk(&self) -> &[u8] {
        &self.chunk
    }

    fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
    }
}
