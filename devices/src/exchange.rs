//! Files that are written and then read on one descriptor: a question, its answer.
//!
//! Writes gather a question. The first read asks it, and this read and those behind it give the answer, until
//! its end. A write behind the first read begins the next question, so that one descriptor serves for many. After
//! an error the next question begins.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use capfs::account::Charge;
use capfs::device::Device;
use capfs::device::parts::{set_device_stat, stream_stat};
use capfs::{
    BoxedFuture, Errno, FileKind, GuestSink, GuestSource, MaybeSend, MaybeSync, Node, NodeRef, Op,
    OpenFile, OpenHow, Qid, SetStat, Stat, WriteAt, Written,
};

/// Bytes that are copied from the agent in one piece.
const PIECE: usize = 64 << 10;

/// Bytes that one write takes; of a longer one, the rest is left to the next write.
const WRITE_MAX: usize = 1 << 20;

/// What is asked through one descriptor.
pub(crate) trait Exchange: MaybeSend + 'static {
    /// Takes more of the question.
    ///
    /// # Errors
    /// What the write fails with.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Errno>;

    /// The question is complete: answers it, and is ready for the next. The answer comes with what it was charged by before it was
    /// made.
    ///
    /// # Errors
    /// What the read fails with.
    fn answer(&mut self) -> Op<(Vec<u8>, Charge)>;
}

/// Makes an exchange for each opening.
pub(crate) trait Begin: MaybeSend + MaybeSync + 'static {
    /// Begins one.
    fn begin(&self) -> Box<dyn Exchange>;
}

impl<F, E> Begin for F
where
    F: Fn() -> E + MaybeSend + MaybeSync + 'static,
    E: Exchange,
{
    fn begin(&self) -> Box<dyn Exchange> {
        Box::new(self())
    }
}

/// A file whose openings are exchanges. What an exchange gathers and answers, it charges itself.
pub(crate) fn node(device: &Device, begin: impl Begin) -> NodeRef {
    Arc::new(ExchangeNode {
        qid: device.qid(FileKind::CharacterDevice),
        begin: Box::new(begin),
    })
}

struct ExchangeNode {
    qid: Qid,
    begin: Box<dyn Begin>,
}

impl Node for ExchangeNode {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        Op::ok(Box::new(OpenExchange {
            qid: self.qid,
            how,
            exchange: self.begin.begin(),
            state: State::Gathering,
        }))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

enum State {
    Gathering,
    Asking(BoxedFuture<Result<(Vec<u8>, Charge), Errno>>),
    Answered {
        answer: Vec<u8>,
        read: usize,
        _charge: Charge,
    },
}

struct OpenExchange {
    qid: Qid,
    how: OpenHow,
    exchange: Box<dyn Exchange>,
    state: State,
}

impl OpenExchange {
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Errno>> {
        if let State::Gathering = self.state {
            match self.exchange.answer() {
                Op::Ready(answer) => self.answered(answer?),
                Op::Later(future) => self.state = State::Asking(future),
            }
        }
        let State::Asking(future) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let Poll::Ready(outcome) = future.as_mut().poll(context) else {
            return Poll::Pending;
        };
        self.state = State::Gathering;
        self.answered(outcome?);
        Poll::Ready(Ok(()))
    }

    fn answered(&mut self, (answer, charge): (Vec<u8>, Charge)) {
        self.state = State::Answered {
            answer,
            read: 0,
            _charge: charge,
        };
    }
}

impl OpenFile for OpenExchange {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if !self.how.read {
            return Poll::Ready(Err(Errno::Badf));
        }
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        match self.poll_answer(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(outcome) => outcome?,
        }
        let State::Answered { answer, read, .. } = &mut self.state else {
            return Poll::Ready(Ok(0));
        };
        let count = sink.put(&answer[*read..]);
        *read += count;
        Poll::Ready(Ok(count))
    }

    /// # Errors
    /// - [`Errno::Busy`]: the answer is being waited for
    /// - [`Errno::Nomem`]: the account has no room for more of the question
    /// - what the exchange fails with
    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if !self.how.write {
            return Poll::Ready(Err(Errno::Badf));
        }
        match self.state {
            State::Asking(_) => return Poll::Ready(Err(Errno::Busy)),
            // An empty write asks nothing.
            State::Answered { .. } if source.remaining() > 0 => {
                self.state = State::Gathering;
            }
            _ => {}
        }
        let mut total = 0;
        let mut piece = Vec::new();
        while source.remaining() > 0 && total < WRITE_MAX {
            let exchange = &mut self.exchange;
            let mut take = |bytes: &[u8]| {
                let bytes = &bytes[..bytes.len().min(PIECE)];
                exchange.take(bytes).map(|()| bytes.len())
            };
            total += match source.in_place(&mut take) {
                Some(outcome) => outcome?,
                None => {
                    piece.resize(source.remaining().min(PIECE), 0);
                    let count = source.take(&mut piece);
                    take(&piece[..count])?
                }
            };
        }
        let bytes = total;
        Poll::Ready(Ok(Written { bytes, end: 0 }))
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
