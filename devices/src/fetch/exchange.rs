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
//!
//! A body belongs to one request: whoever writes it writes no other's. If the request fails, the next one has the whole of it again, or
//! is refused where a part was sent and not kept, so that no request goes out with what happens to be left.

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
    /// Which body it is: a descriptor writes the one that it was opened for.
    body: u64,
    /// Descriptors that write it.
    uploaders: usize,
    /// It is sent while it is written.
    streaming: bool,
    /// Nobody takes more of what is streamed: it has ended, or the server wants no more of it.
    taken: bool,
    /// The body of the request under way, or of one that failed, to be sent once more.
    kept: Option<Arc<Content>>,
    /// A part of the body went with a request that failed, and is gone.
    lost: bool,
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
                body: 0,
                uploaders: 0,
                streaming: false,
                taken: false,
                kept: None,
                lost: false,
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
        if state.lost {
            return Err(Failure::new(Errno::Io, LOST));
        }
        let has_body = state.streaming || !state.upload.is_empty() || state.kept.is_some();
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
            (false, true) => {
                let kept = state.kept.take();
                let whole = kept.unwrap_or_else(|| Arc::new(state.upload.take().into()));
                state.kept = Some(whole.clone());
                RequestBody::Whole(whole)
            }
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
                led: false,
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
        let (readers, ended) = {
            let mut state = lock(&self.state);
            if !state.is_run(run) {
                return;
            }
            match outcome {
                Ok(answered) => {
                    state.answer = Some(Arc::new(answered.answer));
                    state.phase = Phase::Answered(answered.body, answered.place);
                    (state.readers.take(), Ended::default())
                }
                Err(failure) => {
                    state.phase = Phase::Failed(self.explain(failure));
                    (state.readers.take(), state.end_run(Outcome::Failed))
                }
            }
        };
        readers.wake();
        ended.wake();
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

    /// The body of a request was closed: its rest is given up, and the next request may begin. If it `failed`, that is the same again.
    pub fn close_body(&self, run: &Arc<Cancel>, waiter: u64, failed: bool) {
        let mut state = lock(&self.state);
        state.readers.forget(waiter);
        if state.is_run(run) {
            state.phase = Phase::Idle;
            state.open = None;
            let outcome = match failed {
                true => Outcome::Failed,
                false => Outcome::Answered,
            };
            let ended = state.end_run(outcome);
            drop(state);
            ended.wake();
        }
    }

    /// The command `abort`, and the end of the conversation when `over`: what was written of a body goes as well.
    pub fn abort(&self, over: bool) {
        self.give_up(over, Outcome::Aborted);
    }

    fn give_up(&self, over: bool, outcome: Outcome) {
        let (phase, open, run, readers, ended) = {
            let mut state = lock(&self.state);
            // Whoever gives up a request behind the end doesn't begin anew.
            let over = over || matches!(state.phase, Phase::Over);
            let next = if over { Phase::Over } else { Phase::Idle };
            let phase = std::mem::replace(&mut state.phase, next);
            let (open, run) = (state.open.take(), state.run.clone());
            let (readers, ended) = (state.readers.take(), state.end_run(outcome));
            (phase, open, run, readers, ended)
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
        ended.wake();
        readers.wake();
    }

    /// Opens `postbody` for writing; which body that is. What was kept of one that failed gives way to it.
    pub fn open_upload(&self) -> u64 {
        let (body, kept) = {
            let mut state = lock(&self.state);
            state.uploaders += 1;
            let kept = match state.run {
                Some(_) => None,
                None => {
                    state.lost = false;
                    state.kept.take()
                }
            };
            (state.body, kept)
        };
        drop(kept);
        body
    }

    /// Closes `postbody`, which was opened for this body.
    pub fn close_upload(self: &Arc<Self>, waiter: u64, body: u64) {
        let (sender, begin) = {
            let mut state = lock(&self.state);
            state.writers.forget(waiter);
            if state.body != body {
                return;
            }
            state.uploaders -= 1;
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

    /// Milliseconds that the server may let somebody wait.
    pub fn patience(&self) -> u64 {
        let most = self.fetch.policies.least(|policy| policy.timeout);
        let own = lock(&self.state).settings.timeout;
        own.map_or(most, |own| own.min(most))
    }

    /// Writes a part of a body.
    pub fn poll_upload(
        &self,
        context: &Context<'_>,
        (waiter, body): (u64, u64),
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let most = self.fetch.policies.least(|policy| policy.max_request);
        let mut state = lock(&self.state);
        if let Some(text) = state.refuses(body) {
            // Why the request has failed is told already.
            if !self.error.is_set() {
                self.error.explain(Errno::Pipe, text);
            }
            return Poll::Ready(Err(Errno::Pipe));
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

    /// Waits until a part of a body can be written, and tells how much; `None` where nothing can any more.
    pub fn poll_upload_ready(
        &self,
        context: &Context<'_>,
        (waiter, body): (u64, u64),
    ) -> Poll<Option<u64>> {
        let mut state = lock(&self.state);
        if state.refuses(body).is_some() {
            return Poll::Ready(None);
        }
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
        Poll::Ready(Some(room as u64))
    }
}

/// Why a request isn't sent whose body was streamed to one that failed.
const LOST: &str = "the body was sent in part by a request that failed, and not kept: open `postbody` and write it again, or write `abort` to ctl";

/// How a request has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Its answer was read, or as much of it as was wanted.
    Answered,
    /// It may be sent again.
    Failed,
    /// Nobody wants it any more, nor what was written of the next one.
    Aborted,
}

/// Who is to be told that a request has ended, without a lock.
#[derive(Default)]
#[must_use = "somebody waits for this"]
struct Ended {
    writers: Woken,
    /// What is sent of it is to be given up.
    sender: Option<Waker>,
    kept: Option<Arc<Content>>,
}

impl Ended {
    fn wake(self) {
        drop(self.kept);
        self.writers.wake();
        if let Some(sender) = self.sender {
            sender.wake();
        }
    }
}

impl State {
    fn is_run(&self, run: &Arc<Cancel>) -> bool {
        self.run.as_ref().is_some_and(|own| Arc::ptr_eq(own, run))
    }

    /// Why this body takes no more, if so.
    fn refuses(&self, body: u64) -> Option<&'static str> {
        match self.phase {
            Phase::Over => Some("the conversation has ended"),
            _ if body != self.body => {
                Some("the request that this was the body of is over: open `postbody` again")
            }
            Phase::Idle | Phase::Gathering | Phase::Failed(_) => None,
            // What was streamed goes on until the server has answered and its body was closed.
            Phase::Sending | Phase::Answered(..) | Phase::Open => match self.streaming {
                true if !self.taken => None,
                true => Some("the request takes no more of its body"),
                false => Some("the request was sent already"),
            },
        }
    }

    /// No request is under way any more; whoever writes its body learns it. What was being streamed is dropped.
    fn end_run(&mut self, outcome: Outcome) -> Ended {
        self.run = None;
        self.body += 1;
        self.uploaders = 0;
        let failed = outcome == Outcome::Failed;
        self.lost = self.streaming && failed;
        if self.streaming || outcome == Outcome::Aborted {
            self.upload.clear();
            self.uploaded = 0;
        }
        self.streaming = false;
        self.taken = false;
        Ended {
            writers: self.writers.take(),
            sender: self.sender.take(),
            kept: self.kept.take_if(|_| !failed),
        }
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
            // Whoever opens again asks for the same.
            self.exchange.give_up(false, Outcome::Failed);
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
            state.taken = true;
            return Poll::Ready(None);
        }
        state.sender = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Nobody sends any more of it: it was sent, or the server has answered without the rest.
impl Drop for Outgoing {
    fn drop(&mut self) {
        let woken = {
            let mut state = lock(&self.exchange.state);
            if !state.is_run(&self.run) {
                return;
            }
            state.taken = true;
            state.upload.clear();
            state.writers.take()
        };
        woken.wake();
    }
}
