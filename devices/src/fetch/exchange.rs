//! One request after another, with what belongs to them: settings, the body to send, the answer.
//!
//! ```text
//!            open body, send            headers are in            open body
//! Idle ─────────────────────▶ Sending ────────────────▶ Answered ───────────▶ Open
//!   ▲  send, postbody open  ▲    │                                             │
//!   ├─────────▶ Gathering ──┘    │ it failed, abort, or the body was closed    │
//!   └────────────────────────────┴─────────────────────────────────────────────┘
//! ```
//! Gathering is where the host can't send a body that is still being written.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use capfs::account::{Account, Buffer, Charge, Holding};
use capfs::device::conversations::LastError;
use capfs::device::parts::{Waiters, Woken, lock};
use capfs::{BoxedFuture, Errno, GuestSource, Op, OpenFile, Written};

use super::files::{Held, OpenBody};
use super::hops::Hops;
use super::host::{Content, Failure, Hold, RequestBody, ResponseBody, Upload};
use super::policy::Permit;
use super::{DECODING, Fetch, RECEIVE_WINDOW, UPLOAD_WINDOW};
use crate::cancel::{Cancel, within};
use crate::ends::End;
use crate::url::Url;

/// What the agent has asked for.
#[derive(Clone, Default)]
pub struct Settings {
    pub url: Option<Url>,
    pub method: Option<String>,
    pub headers: Vec<(String, String)>,
    /// Milliseconds; `None` is what the policy says.
    pub timeout: Option<u64>,
    pub manual: bool,
}

/// The headers of a response.
pub struct Answer {
    pub url: Url,
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    /// For the headers.
    _charge: Charge,
}

impl Answer {
    /// An answer, which is charged.
    ///
    /// # Errors
    /// - `ENOMEM`: more than the agent may hold
    pub fn new(
        account: &Account,
        url: Url,
        (status, reason): (u16, String),
        headers: Vec<(String, String)>,
    ) -> Result<Answer, Failure> {
        let sizes = headers.iter();
        let sizes = sizes.map(|(name, value)| (HEADER + name.len() + value.len()) as u64);
        let charge = account.charge(Holding::Transfers, sizes.sum());
        let text = "the agent may not hold the headers of the answer";
        Ok(Answer {
            url,
            status,
            reason,
            headers,
            _charge: charge.map_err(|errno| Failure::new(errno, text))?,
        })
    }
}

/// Bytes that a header is charged beside its own.
const HEADER: usize = 64;

/// Bytes that a request under way is charged beside its body: what may come ahead of the agent, and what that is decompressed in.
const UNDER_WAY: u64 = (RECEIVE_WINDOW + DECODING) as u64;

/// Requests that follow each other.
pub struct Exchange {
    pub fetch: Arc<Fetch>,
    pub error: Arc<LastError>,
    state: Mutex<State>,
    next_waiter: AtomicU64,
}

struct State {
    settings: Settings,
    phase: Phase,
    /// The request under way.
    run: Option<Arc<Cancel>>,
    /// What its body takes, while that is open.
    open: Option<Arc<Held>>,
    answer: Option<Arc<Answer>>,
    /// The body that was written and not yet sent.
    upload: Buffer,
    /// Bytes of it that were written so far.
    uploaded: u64,
    /// Descriptors that write it.
    uploaders: usize,
    /// It is sent while it is written.
    streaming: bool,
    /// The host waits for more of it.
    sender: Option<Waker>,
    readers: Waiters,
    writers: Waiters,
}

enum Phase {
    Idle,
    Gathering,
    Sending,
    Answered(Box<dyn ResponseBody>, Place),
    Open,
    /// Nobody has been told yet.
    Failed(Errno),
    /// The conversation has ended.
    Over,
}

/// An answer, its body to come, and the right to have both.
struct Answered {
    answer: Answer,
    body: Box<dyn ResponseBody>,
    place: Place,
}

/// That a request is under way: it counts, and is charged, until this goes, and whatever the host keeps for it.
pub type Place = (Permit, Hold);

/// What a request needs beside its body.
struct Start {
    url: Url,
    method: String,
    headers: Vec<(String, String)>,
    timeout: u64,
    follow: bool,
    place: Option<Place>,
    under_way: Charge,
}

impl Exchange {
    pub fn new(fetch: Arc<Fetch>, settings: Settings, error: Arc<LastError>) -> Arc<Exchange> {
        let upload = Buffer::new(fetch.device.account(), Holding::Transfers);
        let ends = fetch.ends.clone();
        let exchange = Arc::new(Exchange {
            fetch,
            error,
            state: Mutex::new(State {
                settings,
                phase: Phase::Idle,
                run: None,
                open: None,
                answer: None,
                upload,
                uploaded: 0,
                uploaders: 0,
                streaming: false,
                sender: None,
                readers: Waiters::default(),
                writers: Waiters::default(),
            }),
            next_waiter: AtomicU64::new(0),
        });
        ends.add(&exchange);
        exchange
    }

    /// Changes the settings of the next request.
    ///
    /// # Errors
    /// - `EBUSY`: a request is under way
    pub fn set(&self, change: impl FnOnce(&mut Settings)) -> Result<(), Errno> {
        let mut state = lock(&self.state);
        if let Phase::Gathering | Phase::Sending = state.phase {
            let text = "a request is under way: abort it first";
            return Err(self.error.explain(Errno::Busy, text));
        }
        change(&mut state.settings);
        Ok(())
    }

    pub fn answer(&self) -> Option<Arc<Answer>> {
        lock(&self.state).answer.clone()
    }

    /// The URL that was answered, or else that was asked for.
    pub fn url(&self) -> Option<Url> {
        let state = lock(&self.state);
        let answered = state.answer.as_ref().map(|answer| answer.url.clone());
        answered.or_else(|| state.settings.url.clone())
    }

    pub fn waiter(&self) -> u64 {
        self.next_waiter.fetch_add(1, Ordering::Relaxed)
    }

    pub fn wait(&self, id: u64, context: &Context<'_>) {
        let crowded = lock(&self.state).readers.register(id, context);
        crowded.wake();
    }

    pub fn forget(&self, id: u64) {
        lock(&self.state).readers.forget(id);
    }

    fn explain(&self, failure: Failure) -> Errno {
        self.error.explain(failure.errno, failure.text)
    }

    /// The command `send`: begins the request without waiting for its answer.
    ///
    /// # Errors
    /// As [`Exchange::open_body`], and `EBUSY`: one is under way.
    pub fn send(self: &Arc<Self>) -> Result<(), Errno> {
        {
            let mut state = lock(&self.state);
            match state.phase {
                Phase::Idle | Phase::Failed(_) => {}
                _ => {
                    let text = "a request is under way: abort it, or close its body, first";
                    return Err(self.error.explain(Errno::Busy, text));
                }
            }
            if state.uploaders > 0 && !self.fetch.host.abilities().streams_requests {
                state.phase = Phase::Gathering;
                return Ok(());
            }
            state.streaming = state.uploaders > 0;
        }
        self.fetch.host.spawn(self.begin()?);
        Ok(())
    }

    /// Begins a request with the settings as they are: what is returned sends it, and ends when it was answered or given up.
    fn begin(self: &Arc<Self>) -> Result<BoxedFuture<()>, Errno> {
        let begun = self.prepare().map_err(|failure| {
            let woken = {
                let mut state = lock(&self.state);
                state.streaming = false;
                state.phase = Phase::Idle;
                state.readers.take()
            };
            woken.wake();
            self.explain(failure)
        });
        let (start, body, cancel) = begun?;
        let exchange = self.clone();
        let given_up = cancel.clone();
        Ok(cancel.unless(async move {
            let outcome = exchange.drive(start, body).await;
            exchange.finish(&given_up, outcome);
        }))
    }

    fn prepare(self: &Arc<Self>) -> Result<(Start, RequestBody, Arc<Cancel>), Failure> {
        let policies = &self.fetch.policies;
        let mut state = lock(&self.state);
        let settings = state.settings.clone();
        let Some(url) = settings.url else {
            return Err(Failure::new(Errno::Inval, "no url: write `url URL` to ctl"));
        };
        let has_body = state.streaming || !state.upload.is_empty();
        let default = if has_body { "POST" } else { "GET" };
        let method = settings.method.unwrap_or_else(|| default.to_owned());
        if has_body && matches!(&*method, "GET" | "HEAD") {
            let text = format!("a {method} request has no body");
            return Err(Failure::new(Errno::Inval, text));
        }
        policies.check(&url, &method)?;
        let account = self.fetch.device.account();
        let under_way = account.charge(Holding::Transfers, UNDER_WAY);
        let under_way = under_way.map_err(|errno| {
            Failure::new(errno, "the agent may not hold a request more under way")
        })?;
        // The last that can fail: what gives a place back wakes others, which is not done under a lock, and a request that is
        // refused has not been made.
        let place = policies.begin()?;
        let most = policies.least(|policy| policy.timeout);
        let cancel = Cancel::new();
        let body = match (state.streaming, has_body) {
            (true, _) => RequestBody::Stream(Arc::new(Outgoing {
                exchange: self.clone(),
                run: cancel.clone(),
            })),
            (false, true) => RequestBody::Whole(Arc::new(state.upload.take().into())),
            (false, false) => RequestBody::None,
        };
        if !state.streaming {
            state.uploaded = 0;
        }
        state.phase = Phase::Sending;
        state.answer = None;
        state.run = Some(cancel.clone());
        self.error.clear();
        let start = Start {
            url,
            method,
            headers: settings.headers,
            timeout: settings.timeout.map_or(most, |own| own.min(most)),
            follow: policies.follow() && !settings.manual,
            place,
            under_way,
        };
        Ok((start, body, cancel))
    }

    /// Sends a request once there is room for it, follows its redirects, and returns the answer.
    async fn drive(self: &Arc<Self>, start: Start, body: RequestBody) -> Result<Answered, Failure> {
        let fetch = self.fetch.clone();
        let timeout = start.timeout;
        let deadline = fetch.host.now().saturating_add(timeout);
        let answering: BoxedFuture<Result<Answered, Failure>> = Box::pin(async move {
            let (permit, hold) = match start.place {
                Some(place) => place,
                None => fetch.policies.turn().await?,
            };
            let place = (permit, Hold::new((hold, start.under_way)));
            let hops = Hops {
                fetch: &fetch,
                url: start.url,
                method: start.method,
                headers: start.headers,
                body,
                follow: start.follow,
                deadline,
                hold: place.1.clone(),
            };
            let (answer, body) = hops.follow().await?;
            Ok(Answered {
                answer,
                body,
                place,
            })
        });
        let text = || format!("no answer within {timeout} ms");
        within(&*self.fetch.host, timeout, answering, text).await
    }

    fn finish(&self, run: &Arc<Cancel>, outcome: Result<Answered, Failure>) {
        let woken = {
            let mut state = lock(&self.state);
            if !state.is_run(run) {
                return;
            }
            match outcome {
                Ok(answered) => {
                    state.answer = Some(Arc::new(answered.answer));
                    state.phase = Phase::Answered(answered.body, answered.place);
                    [state.readers.take(), Woken::default()]
                }
                Err(failure) => {
                    state.phase = Phase::Failed(self.explain(failure));
                    [state.readers.take(), state.end_run()]
                }
            }
        };
        woken.into_iter().for_each(Woken::wake);
    }

    /// Opens the body: sends the request unless that was done, and waits for the headers.
    pub fn open_body(self: &Arc<Self>) -> Op<Box<dyn OpenFile>> {
        let exchange = self.clone();
        Op::run(async move {
            let mut opening = Opening {
                id: exchange.waiter(),
                sending: None,
                began: false,
                ended: false,
                exchange,
            };
            let begin = match &lock(&opening.exchange.state).phase {
                Phase::Idle => true,
                Phase::Gathering | Phase::Sending | Phase::Answered(..) | Phase::Failed(_) => false,
                Phase::Open => {
                    let text = "the body is open already";
                    return Err(opening.exchange.error.explain(Errno::Busy, text));
                }
                Phase::Over => return Err(Errno::Canceled),
            };
            if begin {
                // By whoever waits for it: nobody else needs to be woken for what nobody else is waiting for.
                opening.sending = Some(opening.exchange.begin()?);
                opening.began = true;
            }
            let opened = poll_fn(|context| opening.poll(context)).await;
            opening.ended = true;
            opened
        })
    }

    fn poll_answer(
        self: &Arc<Self>,
        id: u64,
        context: &Context<'_>,
    ) -> Poll<Result<Box<dyn OpenFile>, Errno>> {
        let mut state = lock(&self.state);
        match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Answered(body, place) => {
                state.phase = Phase::Open;
                let run = state.run.clone().unwrap_or_default();
                let url = state.answer.as_ref().map(|answer| answer.url.href.clone());
                let timeout = state.settings.timeout;
                let held = Held::new(body, place);
                state.open = Some(held.clone());
                drop(state);
                Poll::Ready(Ok(Box::new(OpenBody::new(
                    self.clone(),
                    run,
                    held,
                    url.unwrap_or_default(),
                    timeout,
                ))))
            }
            Phase::Failed(errno) => Poll::Ready(Err(errno)),
            // The request was given up, or could not begin.
            Phase::Idle => Poll::Ready(Err(Errno::Canceled)),
            phase @ (Phase::Open | Phase::Over) => {
                state.phase = phase;
                Poll::Ready(Err(Errno::Canceled))
            }
            phase @ (Phase::Gathering | Phase::Sending) => {
                state.phase = phase;
                let crowded = state.readers.register(id, context);
                drop(state);
                crowded.wake();
                Poll::Pending
            }
        }
    }

    /// The body of a request was closed: its rest is given up, and the next request may begin.
    pub fn close_body(&self, run: &Arc<Cancel>, waiter: u64) {
        let mut state = lock(&self.state);
        state.readers.forget(waiter);
        if state.is_run(run) {
            state.phase = Phase::Idle;
            state.open = None;
            let woken = state.end_run();
            drop(state);
            woken.wake();
        }
    }

    /// The command `abort`, and the end of the conversation when `over`.
    pub fn abort(&self, over: bool) {
        let (phase, open, run, woken) = {
            let mut state = lock(&self.state);
            // Whoever gives up a request behind the end doesn't begin anew.
            let over = over || matches!(state.phase, Phase::Over);
            let next = if over { Phase::Over } else { Phase::Idle };
            let phase = std::mem::replace(&mut state.phase, next);
            let (open, run) = (state.open.take(), state.run.clone());
            let woken = [state.end_run(), state.readers.take()];
            state.upload.clear();
            state.uploaded = 0;
            (phase, open, run, woken)
        };
        // What it holds is let go of outside of the lock.
        drop(phase);
        if let Some(run) = run {
            run.set();
        }
        // Behind the request, so that whoever reads just now sees that it was given up.
        if let Some(open) = open {
            open.let_go();
        }
        woken.into_iter().for_each(Woken::wake);
    }

    /// Opens `postbody` for writing.
    pub fn open_upload(&self) {
        lock(&self.state).uploaders += 1;
    }

    /// Closes `postbody`.
    pub fn close_upload(self: &Arc<Self>, waiter: u64) {
        let (sender, begin) = {
            let mut state = lock(&self.state);
            state.uploaders -= 1;
            state.writers.forget(waiter);
            let last = state.uploaders == 0;
            let begin = last && matches!(state.phase, Phase::Gathering);
            (last.then(|| state.sender.take()).flatten(), begin)
        };
        if let Some(sender) = sender {
            sender.wake();
        }
        if !begin {
            return;
        }
        match self.begin() {
            Ok(sending) => self.fetch.host.spawn(sending),
            Err(errno) => {
                // Whoever opens the body is told.
                let woken = {
                    let mut state = lock(&self.state);
                    state.phase = Phase::Failed(errno);
                    state.readers.take()
                };
                woken.wake();
            }
        }
    }

    /// Writes a part of the body.
    pub fn poll_upload(
        &self,
        context: &Context<'_>,
        waiter: u64,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let most = self.fetch.policies.least(|policy| policy.max_request);
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Idle | Phase::Gathering | Phase::Failed(_) => {}
            // What was streamed goes on until the server has answered and its body was closed.
            Phase::Sending | Phase::Answered(..) | Phase::Open if state.streaming => {}
            Phase::Sending | Phase::Answered(..) | Phase::Open => {
                let text = "the request was sent already";
                return Poll::Ready(Err(self.error.explain(Errno::Pipe, text)));
            }
            Phase::Over => return Poll::Ready(Err(Errno::Pipe)),
        }
        let left = most.saturating_sub(state.uploaded);
        if source.remaining() as u64 > left {
            let text = format!("the body of a request may have {most} bytes");
            return Poll::Ready(Err(self.error.explain(Errno::Msgsize, text)));
        }
        let room = match state.streaming {
            true => UPLOAD_WINDOW.saturating_sub(state.upload.len()),
            false => usize::MAX,
        };
        let count = source.remaining().min(room);
        if count == 0 && source.remaining() > 0 {
            let crowded = state.writers.register(waiter, context);
            drop(state);
            crowded.wake();
            return Poll::Pending;
        }
        let before = state.upload.len();
        let bytes = match state.upload.resize(before + count) {
            Ok(upload) => source.take(&mut upload[before..]),
            Err(errno) => {
                let text = "the agent may not hold that much of the body";
                return Poll::Ready(Err(self.error.explain(errno, text)));
            }
        };
        // It is no longer than it was made.
        let _ = state.upload.resize(before + bytes);
        state.uploaded += bytes as u64;
        let sender = state.sender.take();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
        Poll::Ready(Ok(Written { bytes, end: 0 }))
    }

    /// Waits until a part of the body can be written.
    pub fn poll_upload_ready(&self, context: &Context<'_>, waiter: u64) -> Poll<u64> {
        let mut state = lock(&self.state);
        let room = match state.streaming {
            true => UPLOAD_WINDOW.saturating_sub(state.upload.len()),
            false => UPLOAD_WINDOW,
        };
        if room == 0 {
            let crowded = state.writers.register(waiter, context);
            drop(state);
            crowded.wake();
            return Poll::Pending;
        }
        Poll::Ready(room as u64)
    }
}

impl State {
    fn is_run(&self, run: &Arc<Cancel>) -> bool {
        self.run.as_ref().is_some_and(|own| Arc::ptr_eq(own, run))
    }

    /// No request is under way any more; what was being streamed is dropped, and its writers learn it.
    fn end_run(&mut self) -> Woken {
        self.run = None;
        if self.streaming {
            self.streaming = false;
            self.upload.clear();
            self.uploaded = 0;
        }
        self.sender = None;
        self.writers.take()
    }
}

impl End for Exchange {
    fn end(&self) {
        self.abort(true);
    }
}

/// An opening of the body that may be given up.
struct Opening {
    exchange: Arc<Exchange>,
    id: u64,
    /// The request, until it was answered.
    sending: Option<BoxedFuture<()>>,
    began: bool,
    ended: bool,
}

impl Opening {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Box<dyn OpenFile>, Errno>> {
        if let Some(sending) = &mut self.sending
            && sending.as_mut().poll(context).is_ready()
        {
            self.sending = None;
        }
        self.exchange.poll_answer(self.id, context)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.exchange.forget(self.id);
        if self.began && !self.ended {
            self.exchange.abort(false);
        }
    }
}

/// A body that is sent while it is written.
struct Outgoing {
    exchange: Arc<Exchange>,
    run: Arc<Cancel>,
}

impl Upload for Outgoing {
    fn poll_chunk(&self, context: &mut Context<'_>) -> Poll<Option<Result<Content, Errno>>> {
        let mut state = lock(&self.exchange.state);
        if !state.is_run(&self.run) {
            return Poll::Ready(Some(Err(Errno::Canceled)));
        }
        if !state.upload.is_empty() {
            // What is on its way is bounded by the window of the connection, and charged like what is not yet.
            let chunk = Content::from(state.upload.take());
            let woken = state.writers.take();
            drop(state);
            woken.wake();
            return Poll::Ready(Some(Ok(chunk)));
        }
        if state.uploaders == 0 {
            return Poll::Ready(None);
        }
        state.sender = Some(context.waker().clone());
        Poll::Pending
    }
}
