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

use capfs::account::{Buffer, Charge, Holding};
use capfs::device::conversations::LastError;
use capfs::device::parts::{Waiters, Woken, lock};
use capfs::{BoxedFuture, Errno, GuestSource, Op, OpenFile, Written};

use super::files::OpenBody;
use super::host::{Failure, Redirect, Request, RequestBody, Response, ResponseBody, Upload};
use super::{Fetch, REDIRECTS_MAX, SCHEMES, UPLOAD_WINDOW};
use crate::cancel::{Cancel, within};
use crate::message::reason;
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
    charge: Charge,
}

impl Answer {
    /// Charges it.
    fn charged(mut self) -> Result<Answer, Failure> {
        let sizes = self.headers.iter();
        let sizes = sizes.map(|(name, value)| (HEADER + name.len() + value.len()) as u64);
        let charged = self.charge.resize(sizes.sum());
        let text = "the agent may not hold the headers of the answer";
        charged.map_err(|errno| Failure::new(errno, text))?;
        Ok(self)
    }
}

/// Bytes that a header is charged beside its own.
const HEADER: usize = 64;

/// Bytes that a request under way is charged beside its body: what its connection gathers of the answer, natively.
const UNDER_WAY: u64 = 512 << 10;

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
    Answered(Box<dyn ResponseBody>, Permit),
    Open,
    /// Nobody has been told yet.
    Failed(Errno),
    /// The conversation has ended.
    Over,
}

/// That a request is under way: it counts, and is charged, until this goes.
pub type Permit = (super::policy::Permit, Charge);

/// An answer, and its body to come.
type Answered = (Answer, Box<dyn ResponseBody>);

/// What a request needs beside its body.
struct Start {
    url: Url,
    method: String,
    headers: Vec<(String, String)>,
    timeout: u64,
    follow: bool,
    permit: Permit,
}

impl Exchange {
    pub fn new(fetch: Arc<Fetch>, settings: Settings, error: Arc<LastError>) -> Arc<Exchange> {
        let upload = Buffer::new(&fetch.account, Holding::Transfers);
        Arc::new(Exchange {
            fetch,
            error,
            state: Mutex::new(State {
                settings,
                phase: Phase::Idle,
                run: None,
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
        })
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
        self.begin()
    }

    /// Begins a request with the settings as they are.
    fn begin(self: &Arc<Self>) -> Result<(), Errno> {
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
        self.fetch.host.spawn(Box::pin(cancel.unless(async move {
            let outcome = exchange.drive(start, body).await;
            exchange.finish(&given_up, outcome);
        })));
        Ok(())
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
        let permit = policies.begin()?;
        let account = &self.fetch.account;
        let under_way = account.charge(Holding::Transfers, UNDER_WAY);
        let under_way = under_way.map_err(|errno| {
            Failure::new(errno, "the agent may not hold a request more under way")
        })?;
        let permit = (permit, under_way);
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
            permit,
        };
        Ok((start, body, cancel))
    }

    /// Sends a request, follows its redirects, and returns the answer.
    async fn drive(
        self: &Arc<Self>,
        start: Start,
        body: RequestBody,
    ) -> Result<(Answer, Box<dyn ResponseBody>, Permit), Failure> {
        let host = &*self.fetch.host;
        let wait = self.fetch.policies.delay(host.now(), start.timeout)?;
        if wait > 0 {
            host.sleep(wait).await;
        }
        let timeout = start.timeout - wait.min(start.timeout);
        let permit = start.permit;
        let hops = Hops {
            fetch: self.fetch.clone(),
            url: start.url,
            method: start.method,
            headers: start.headers,
            body,
            follow: start.follow,
        };
        let text = || format!("no answer within {} ms", start.timeout);
        let (answer, body) = within(host, timeout, hops.follow(), text).await?;
        Ok((answer, body, permit))
    }

    fn finish(
        &self,
        run: &Arc<Cancel>,
        outcome: Result<(Answer, Box<dyn ResponseBody>, Permit), Failure>,
    ) {
        let woken = {
            let mut state = lock(&self.state);
            if !state.is_run(run) {
                return;
            }
            match outcome {
                Ok((answer, body, permit)) => {
                    state.answer = Some(Arc::new(answer));
                    state.phase = Phase::Answered(body, permit);
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
                opening.exchange.begin()?;
                opening.began = true;
            }
            let opened = poll_fn(|context| opening.exchange.poll_answer(opening.id, context)).await;
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
            Phase::Answered(body, permit) => {
                state.phase = Phase::Open;
                let run = state.run.clone().unwrap_or_default();
                let url = state.answer.as_ref().map(|answer| answer.url.href.clone());
                let timeout = state.settings.timeout;
                drop(state);
                Poll::Ready(Ok(Box::new(OpenBody::new(
                    self.clone(),
                    run,
                    body,
                    permit,
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
            let woken = state.end_run();
            drop(state);
            woken.wake();
        }
    }

    /// The command `abort`, and the end of the conversation when `over`.
    pub fn abort(&self, over: bool) {
        let (phase, run, woken) = {
            let mut state = lock(&self.state);
            let next = if over { Phase::Over } else { Phase::Idle };
            let phase = std::mem::replace(&mut state.phase, next);
            let run = state.run.clone();
            let woken = [state.end_run(), state.readers.take()];
            state.upload.clear();
            state.uploaded = 0;
            (phase, run, woken)
        };
        // What it holds is let go of outside of the lock.
        drop(phase);
        if let Some(run) = run {
            run.set();
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
        if begin && let Err(errno) = self.begin() {
            // Whoever opens the body is told.
            let woken = {
                let mut state = lock(&self.state);
                state.phase = Phase::Failed(errno);
                state.readers.take()
            };
            woken.wake();
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

/// An opening of the body that may be given up.
struct Opening {
    exchange: Arc<Exchange>,
    id: u64,
    began: bool,
    ended: bool,
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
    fn poll_chunk(&self, context: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, Errno>>> {
        let mut state = lock(&self.exchange.state);
        if !state.is_run(&self.run) {
            return Poll::Ready(Some(Err(Errno::Canceled)));
        }
        if !state.upload.is_empty() {
            // What is on its way is bounded by the window of the connection.
            let (chunk, _charge) = state.upload.take();
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

/// A request and its redirects ([Fetch, HTTP-redirect fetch](https://fetch.spec.whatwg.org/#http-redirect-fetch)).
struct Hops {
    fetch: Arc<Fetch>,
    url: Url,
    method: String,
    headers: Vec<(String, String)>,
    body: RequestBody,
    follow: bool,
}

impl Hops {
    fn follow(mut self) -> BoxedFuture<Result<Answered, Failure>> {
        Box::pin(async move {
            for _ in 0..=REDIRECTS_MAX {
                let mut response = self.send().await?;
                if let Some(url) = self.arrived(&response)? {
                    let own = std::mem::take(&mut response.reason);
                    let words = || reason(response.status).to_owned();
                    let answer = Answer {
                        url,
                        status: response.status,
                        reason: Some(own)
                            .filter(|own| !own.is_empty())
                            .unwrap_or_else(words),
                        headers: response.headers,
                        charge: self.fetch.account.nothing(Holding::Transfers),
                    };
                    return Ok((answer.charged()?, response.body));
                }
                self.go_on(&response)?;
            }
            let text = format!("more than {REDIRECTS_MAX} redirects");
            Err(Failure::new(Errno::Loop, text))
        })
    }

    async fn send(&self) -> Result<Response, Failure> {
        let policies = &self.fetch.policies;
        policies.check(&self.url, &self.method)?;
        let mut headers = self.headers.clone();
        policies.add_headers(&self.url.origin, &mut headers);
        let redirect = if self.fetch.host.abilities().sees_redirects {
            Redirect::Show
        } else if !self.follow || !policies.headers(&self.url.origin).is_empty() {
            // The host would take along what it added, to wherever the redirect leads.
            Redirect::Refuse
        } else {
            Redirect::Follow
        };
        let request = Request {
            url: self.url.clone(),
            method: self.method.clone(),
            headers,
            body: self.body.clone(),
            redirect,
        };
        self.fetch.client.send(request).await
    }

    /// The URL of the response, if it is the last one.
    fn arrived(&self, response: &Response) -> Result<Option<Url>, Failure> {
        let followed = match &response.url {
            Some(url) => Some(self.fetch.host.parse(url, None).ok_or_else(|| {
                Failure::new(Errno::Proto, format!("the response's URL is none: {url}"))
            })?),
            None => None,
        };
        if let Some(mut url) = followed {
            url.inherit_fragment(&self.url);
            // Where the host follows redirects, this is the first that is seen of it.
            self.fetch.policies.check(&url, &self.method)?;
            return Ok(Some(url));
        }
        let redirects = matches!(response.status, 301 | 302 | 303 | 307 | 308);
        match redirects && self.follow && location(response).is_some() {
            true => Ok(None),
            false => Ok(Some(self.url.clone())),
        }
    }

    /// Goes on where a redirect says.
    fn go_on(&mut self, response: &Response) -> Result<(), Failure> {
        let location = location(response).unwrap_or_default();
        let next = self.fetch.host.parse(location, Some(&self.url));
        let mut next = next.ok_or_else(|| {
            let text = format!("a redirect to what is no URL: {location}");
            Failure::new(Errno::Proto, text)
        })?;
        if !SCHEMES.contains(&&*next.origin.scheme) {
            let text = format!("a redirect to {}", next.href);
            return Err(Failure::new(Errno::Acces, text));
        }
        next.inherit_fragment(&self.url);
        let becomes_get = match response.status {
            301 | 302 => self.method == "POST",
            303 => !matches!(&*self.method, "GET" | "HEAD"),
            _ => false,
        };
        if becomes_get {
            self.method = "GET".to_owned();
            self.body = RequestBody::None;
            self.headers.retain(|(name, _)| {
                let of_the_body = [
                    "content-encoding",
                    "content-language",
                    "content-location",
                    "content-type",
                ];
                !of_the_body.contains(&&**name)
            });
        }
        if let RequestBody::Stream(_) = self.body {
            let text = "a redirect asks for the body again, which was not kept";
            return Err(Failure::new(Errno::Io, text));
        }
        if next.origin != self.url.origin {
            self.headers.retain(|(name, _)| name != "authorization");
        }
        self.url = next;
        Ok(())
    }
}

fn location(response: &Response) -> Option<&str> {
    let mut headers = response.headers.iter();
    headers
        .find(|(name, _)| name == "location")
        .map(|(_, value)| value.as_str())
}
