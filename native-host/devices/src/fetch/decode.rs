//! Bodies that were compressed on the way. They are decompressed as they are read, into a buffer of
//! fixed size: a small response that unpacks to a huge one costs what the agent reads of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder};
use capfs::account::{Account, Charge, Holding};
use capfs::{Errno, GuestSink};
use capfs_devices::fetch::host::Failure;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::body::Frames;

/// Codings that a body may have, one upon the other: each costs a decoder, and none is used twice but by mistake or in malice.
const CODINGS_MAX: usize = 4;

/// Bytes that each coding costs but the first, which every request is charged for: its decoder's window and tables, and [`BUFFER`].
const CODING: u64 = 160 << 10;

/// Bytes that are decompressed at once.
const BUFFER: usize = 64 << 10;

/// Bytes of a compressed body that may come without any that they stand for: more than a header has. Members and blocks without content
/// could otherwise go on for ever.
const EMPTY_MAX: usize = 256 << 10;

/// Bytes that brotli's tables have at most, beside its window: three kinds of symbols, for each of which there are up to 256 codes of some
/// 1,400 entries (RFC 7932, sections 3 and 7).
const BROTLI_TABLES: u64 = 4 << 20;

/// Bytes that come one after the other.
pub trait Pieces: Send {
    /// Waits for bytes and tells how many there are; 0 is the end.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Failure>>;

    /// The bytes that are there.
    fn chunk(&self) -> &[u8];

    /// Takes bytes away.
    fn consume(&mut self, count: usize);
}

/// A body that is decompressed.
pub struct Decoded {
    decoder: Decoder,
    /// Bytes that were decompressed to nothing since there was something.
    spent: Arc<AtomicUsize>,
    /// For a window that is larger than what every request is charged for.
    window: Option<Charge>,
    /// For a decoder behind another one.
    _layer: Option<Charge>,
    buffer: Box<[u8]>,
    at: usize,
    end: usize,
}

enum Decoder {
    /// What the first byte decides.
    Undecided(Coding, Option<Box<dyn Pieces>>),
    Running(Pin<Box<dyn AsyncRead + Send>>),
    /// There was no room for it; told once.
    Failed(Option<Failure>),
}

/// The codings of bodies ([RFC 9110, section 8.4.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1)).
enum Coding {
    Gzip,
    /// zlib's format, or by an old misunderstanding the bare one.
    Deflate,
    /// With a window whose size is told, which is charged to this account.
    Brotli(Account),
}

impl Coding {
    fn of_name(name: &str, account: &Account) -> Option<Coding> {
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "br" => Some(Coding::Brotli(account.clone())),
            "deflate" => Some(Coding::Deflate),
            _ => None,
        }
    }
}

/// Undoes the codings of a body, of which the list names the one that was applied first first. The body is given back where one of them
/// is none that was asked for: what can't be undone as a whole is left as it is
/// ([Fetch, handle content codings](https://fetch.spec.whatwg.org/#handle-content-codings)).
pub fn decoded(list: &str, frames: Frames, account: &Account) -> Result<Decoded, Frames> {
    let names = list.split(',').map(str::trim);
    let codings: Option<Vec<Coding>> = names
        .filter(|name| !name.is_empty())
        .map(|name| Coding::of_name(name, account))
        .collect();
    let mut codings = match codings {
        Some(codings) if (1..=CODINGS_MAX).contains(&codings.len()) => codings,
        Some(codings) if codings.len() > CODINGS_MAX => {
            let text = format!("a body may have {CODINGS_MAX} codings, one upon the other");
            return Err(frames.failing(Failure::new(Errno::Proto, text)));
        }
        _ => return Err(frames),
    };
    let layers = codings.split_off(1);
    // One is always there.
    let Some(inner) = codings.pop() else {
        return Err(frames);
    };
    let mut pieces: Box<dyn Pieces> = Box::new(frames);
    for coding in layers.into_iter().rev() {
        let layer = Decoded::new(coding, pieces);
        pieces = Box::new(layer.charged(account));
    }
    Ok(Decoded::new(inner, pieces))
}

impl Decoded {
    fn new(coding: Coding, pieces: Box<dyn Pieces>) -> Decoded {
        let spent: Arc<AtomicUsize> = Arc::default();
        let decoder = match coding {
            Coding::Gzip => {
                let mut gzip = GzipDecoder::new(Source::new(pieces, &spent));
                gzip.multiple_members(true);
                Decoder::Running(Box::pin(gzip))
            }
            coding => Decoder::Undecided(coding, Some(pieces)),
        };
        Decoded {
            decoder,
            spent,
            window: None,
            _layer: None,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            at: 0,
            end: 0,
        }
    }

    /// The same, charged for what it holds.
    fn charged(mut self, account: &Account) -> Decoded {
        match account.charge(Holding::Transfers, CODING) {
            Ok(charge) => self._layer = Some(charge),
            Err(errno) => {
                let text = "the agent may not hold what another coding takes";
                self.decoder = Decoder::Failed(Some(Failure::new(errno, text)));
            }
        }
        self
    }

    fn poll_decide(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Decoder::Undecided(coding, pieces) = &mut self.decoder {
            if let Some(pieces) = pieces {
                ready!(pieces.poll_fill(context))?;
                if let (Coding::Brotli(account), Some(first)) = (&*coding, pieces.chunk().first()) {
                    let charge = account.charge(Holding::Transfers, brotli_holds(*first)?);
                    let text = "the agent may not hold the window of a body in brotli";
                    let charge = charge.map_err(|errno| Failure::new(errno, text))?;
                    self.window = Some(charge);
                }
            }
            if let Some(pieces) = pieces.take() {
                // The method in the first byte of zlib's format is 8 (RFC 1950, section 2.2).
                let zlib = pieces.chunk().first().is_some_and(|byte| byte & 15 == 8);
                let source = Source::new(pieces, &self.spent);
                self.decoder = Decoder::Running(match coding {
                    Coding::Brotli(_) => Box::pin(BrotliDecoder::new(source)),
                    Coding::Deflate if zlib => Box::pin(ZlibDecoder::new(source)),
                    _ => Box::pin(DeflateDecoder::new(source)),
                });
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for bytes and tells how many there are; 0 is the end.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        if self.at < self.end {
            return Poll::Ready(Ok(self.end - self.at));
        }
        ready!(self.poll_decide(context))?;
        let decoder = match &mut self.decoder {
            Decoder::Running(decoder) => decoder,
            Decoder::Failed(failure) => return Poll::Ready(failure.take().map_or(Ok(0), Err)),
            Decoder::Undecided(..) => return Poll::Ready(Ok(0)),
        };
        let mut buffer = ReadBuf::new(&mut self.buffer);
        let read = ready!(decoder.as_mut().poll_read(context, &mut buffer));
        let end = buffer.filled().len();
        read.map_err(decoding_failure)?;
        self.spent.store(0, Ordering::Relaxed);
        (self.at, self.end) = (0, end);
        Poll::Ready(Ok(end))
    }

    /// Gives bytes.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Failure>> {
        ready!(self.poll_fill(context))?;
        let count = sink.put(&self.buffer[self.at..self.end]);
        self.at += count;
        Poll::Ready(Ok(count))
    }
}

/// Bytes that brotli's decoder holds for a body that begins with this byte, which has the size of the window
/// ([RFC 7932, section 9.1](https://www.rfc-editor.org/rfc/rfc7932#section-9.1)).
///
/// # Errors
/// - `EPROTO`: a window of more than 16 MiB, as brotli has it outside of HTTP, where this is no beginning at all
fn brotli_holds(first: u8) -> Result<u64, Failure> {
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        (_, 0, 1) => {
            let text = "the body can't be decompressed: brotli with a large window";
            return Err(Failure::new(Errno::Proto, text));
        }
        (_, 0, more) => 8 + more,
        (_, more, _) => 17 + more,
    };
    Ok((1 << bits) + BROTLI_TABLES)
}

/// The network's failure, which went through the decoder, or the decoder's own.
fn decoding_failure(error: io::Error) -> Failure {
    match error.downcast::<Carried>() {
        Ok(Carried(failure)) => failure,
        Err(error) => Failure::new(
            Errno::Proto,
            format!("the body can't be decompressed: {error}"),
        ),
    }
}

/// A failure on its way through a decoder.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.text)]
struct Carried(Failure);

impl Pieces for Decoded {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        Decoded::poll_fill(self, context)
    }

    fn chunk(&self) -> &[u8] {
        &self.buffer[self.at..self.end]
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

/// Pieces as decoders read them.
struct Source {
    pieces: Box<dyn Pieces>,
    spent: Arc<AtomicUsize>,
}

impl Source {
    fn new(pieces: Box<dyn Pieces>, spent: &Arc<AtomicUsize>) -> Source {
        let spent = spent.clone();
        Source { pieces, spent }
    }
}

impl AsyncBufRead for Source {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let source = self.get_mut();
        if source.spent.load(Ordering::Relaxed) > EMPTY_MAX {
            let text = format!("{EMPTY_MAX} bytes of the compressed body stand for nothing");
            let failure = Failure::new(Errno::Proto, text);
            return Poll::Ready(Err(io::Error::other(Carried(failure))));
        }
        match ready!(source.pieces.poll_fill(context)) {
            Ok(_) => Poll::Ready(Ok(source.pieces.chunk())),
            Err(failure) => Poll::Ready(Err(io::Error::other(Carried(failure)))),
        }
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        let source = self.get_mut();
        source.spent.fetch_add(count, Ordering::Relaxed);
        source.pieces.consume(count);
    }
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let chunk = ready!(self.as_mut().poll_fill_buf(context))?;
        let count = chunk.len().min(buffer.remaining());
        buffer.put_slice(&chunk[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}
