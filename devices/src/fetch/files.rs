//! The files that bytes go through: `body` and `postbody`.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use capfs::device::parts::{lock, set_device_stat, stream_stat};
use capfs::{
    BoxedFuture, Errno, FileKind, GuestSink, GuestSource, Interest, Op, OpenFile, Qid, Readiness,
    SetStat, Stat, WriteAt, Written,
};

use super::exchange::{Exchange, Place};
use super::host::{Failure, ResponseBody};
use crate::cancel::Cancel;

/// What an open body takes: it counts while it is here. Whoever gives the request up takes it away, whether anybody reads or not.
pub struct Held(Mutex<Option<(Box<dyn ResponseBody>, Place)>>);

impl Held {
    pub fn new(body: Box<dyn ResponseBody>, place: Place) -> Arc<Held> {
        Arc::new(Held(Mutex::new(Some((body, place)))))
    }

    /// Lets go of it. Whoever reads at this moment does so behind the read: the request is given up before.
    pub fn let_go(&self) {
        let taken = match self.0.try_lock() {
            Ok(mut held) => held.take(),
            Err(_) => None,
        };
        drop(taken);
    }
}

/// The body of a response, open.
pub struct OpenBody {
    exchange: Arc<Exchange>,
    run: Arc<Cancel>,
    /// Empty once it has ended, in whichever way.
    held: Arc<Held>,
    /// What ended it, if it was an error.
    failed: Option<Errno>,
    url: String,
    /// Bytes that it may still have.
    left: u64,
    /// Milliseconds to wait for the next bytes.
    timeout: u64,
    timer: Option<BoxedFuture<()>>,
    waiter: u64,
    qid: Qid,
}

impl OpenBody {
    pub fn new(
        exchange: Arc<Exchange>,
        run: Arc<Cancel>,
        held: Arc<Held>,
        url: String,
        timeout: Option<u64>,
    ) -> OpenBody {
        let policies = &exchange.fetch.policies;
        let most = policies.least(|policy| policy.timeout);
        OpenBody {
            left: policies.least(|policy| policy.max_body),
            timeout: timeout.map_or(most, |own| own.min(most)),
            waiter: exchange.waiter(),
            exchange,
            run,
            held,
            failed: None,
            url,
            timer: None,
            qid: Qid::unnumbered(FileKind::CharacterDevice),
        }
    }

    /// Ends the body, and gives up what is left of it.
    fn end(&mut self, failed: Option<Errno>) {
        self.failed = failed;
        let held = lock(&self.held.0).take();
        drop(held);
        self.timer = None;
    }

    /// Does something with the body, which waits no longer than it may.
    fn poll_body<T>(
        &mut self,
        context: &mut Context<'_>,
        end: T,
        act: impl FnOnce(&mut dyn ResponseBody, &mut Context<'_>) -> Poll<Result<T, Failure>>,
    ) -> Poll<Result<T, Errno>> {
        if self.run.is_set() {
            self.end(Some(Errno::Canceled));
        }
        let outcome = {
            let mut held = lock(&self.held.0);
            let Some((body, _)) = &mut *held else {
                return Poll::Ready(self.failed.map_or(Ok(end), Err));
            };
            act(&mut **body, context)
        };
        // By somebody who couldn't take it away meanwhile.
        if self.run.is_set() {
            self.end(Some(Errno::Canceled));
            return Poll::Ready(Err(Errno::Canceled));
        }
        let failure = match outcome {
            Poll::Ready(Ok(value)) => {
                self.timer = None;
                return Poll::Ready(Ok(value));
            }
            Poll::Ready(Err(failure)) => failure,
            Poll::Pending => {
                self.exchange.wait(self.waiter, context);
                let (host, timeout) = (&self.exchange.fetch.host, self.timeout);
                let timer = self.timer.get_or_insert_with(|| host.sleep(timeout));
                ready!(timer.as_mut().poll(context));
                Failure::new(Errno::Timedout, format!("nothing came for {timeout} ms"))
            }
        };
        let errno = self.exchange.error.explain(failure.errno, failure.text);
        self.end(Some(errno));
        Poll::Ready(Err(errno))
    }

    /// That the body has ended where it must.
    fn poll_excess(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Errno>> {
        let more = ready!(self.poll_body(context, 0, |body, context| body.poll_ready(context)))?;
        if more == 0 {
            self.end(None);
            return Poll::Ready(Ok(0));
        }
        let policies = &self.exchange.fetch.policies;
        let most = policies.least(|policy| policy.max_body);
        let text = format!("the body has more than {most} bytes");
        let errno = self.exchange.error.explain(Errno::Msgsize, text);
        self.end(Some(errno));
        Poll::Ready(Err(errno))
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        let failed = self.failed.is_some();
        self.end(None);
        self.exchange.close_body(&self.run, self.waiter, failed);
    }
}

impl OpenFile for OpenBody {
    /// # Errors
    /// - [`Errno::Msgsize`]: more bytes than are granted
    /// - [`Errno::Timedout`]: nothing came for too long
    /// - [`Errno::Canceled`]: the request was given up
    /// - whatever the network says
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.left == 0 {
            return self.poll_excess(context);
        }
        let mut sink = Narrowed {
            most: usize::try_from(self.left).unwrap_or(usize::MAX),
            sink,
        };
        let read = |body: &mut dyn ResponseBody, context: &mut Context<'_>| {
            body.poll_read(context, &mut sink)
        };
        let count = ready!(self.poll_body(context, 0, read))?;
        self.left -= count as u64;
        if count == 0 {
            self.end(self.failed);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Badf))
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        _interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        let ready = ready!(self.poll_body(context, 0, |body, context| body.poll_ready(context)));
        // An error is for the read that follows to tell.
        let bytes = ready.unwrap_or(0);
        Poll::Ready(Ok(Readiness {
            bytes: bytes as u64,
            hangup: bytes == 0,
        }))
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

    fn subject(&self) -> Option<String> {
        Some(self.url.clone())
    }
}

/// A sink that takes no more than so many bytes.
struct Narrowed<'a> {
    most: usize,
    sink: &'a mut dyn GuestSink,
}

impl GuestSink for Narrowed<'_> {
    fn remaining(&self) -> usize {
        self.sink.remaining().min(self.most)
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = self.sink.put(&bytes[..bytes.len().min(self.most)]);
        self.most -= count;
        count
    }

    fn in_place(
        &mut self,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<usize, Errno>,
    ) -> Option<Result<usize, Errno>> {
        let most = self.most;
        let filled = self.sink.in_place(&mut |room| {
            let room_within = room.len().min(most);
            fill(&mut room[..room_within])
        });
        if let Some(Ok(count)) = filled {
            self.most -= count;
        }
        filled
    }
}

/// `postbody`, open for writing.
pub struct OpenPostBody {
    exchange: Arc<Exchange>,
    /// Which body it is.
    body: u64,
    /// Until when the server must have taken something, while somebody waits for that.
    timer: Option<BoxedFuture<()>>,
    waiter: u64,
    qid: Qid,
}

impl OpenPostBody {
    pub fn open(exchange: Arc<Exchange>) -> Op<Box<dyn OpenFile>> {
        Op::ok(Box::new(OpenPostBody {
            body: exchange.open_upload(),
            timer: None,
            waiter: exchange.waiter(),
            exchange,
            qid: Qid::unnumbered(FileKind::CharacterDevice),
        }))
    }
}

impl Drop for OpenPostBody {
    fn drop(&mut self) {
        self.exchange.close_upload(self.waiter, self.body);
    }
}

impl OpenFile for OpenPostBody {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Err(Errno::Badf))
    }

    /// # Errors
    /// - [`Errno::Msgsize`]: more bytes than are granted
    /// - [`Errno::Pipe`]: the request was sent already, was answered without the rest, or is over
    /// - [`Errno::Timedout`]: the server took nothing for too long
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let own = (self.waiter, self.body);
        let written = self.exchange.poll_upload(context, own, source);
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let exchange = &self.exchange;
        let timer = || exchange.fetch.host.sleep(exchange.patience());
        ready!(self.timer.get_or_insert_with(timer).as_mut().poll(context));
        self.timer = None;
        let text = "the server took nothing of the body for too long";
        Poll::Ready(Err(exchange.error.explain(Errno::Timedout, text)))
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        _interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        let own = (self.waiter, self.body);
        let room = ready!(self.exchange.poll_upload_ready(context, own));
        Poll::Ready(Ok(Readiness {
            bytes: room.unwrap_or(0),
            hangup: room.is_none(),
        }))
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

    fn subject(&self) -> Option<String> {
        self.exchange.url().map(|url| url.href)
    }
}
