//! The three standard streams. Their other ends are in JavaScript.
//!
//! The agent itself looks again whenever something has come; a task of its that has its console is woken.
//!
//! Both directions are bounded by credit. The page sends at most as much standard input as the agent
//! has room for and hears how much was taken; output that the page has not acknowledged fills a window,
//! and when it is full the agent waits. A stream that the page has closed is a pipe without a reader.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use capfs::device::parts::{Waiters, Woken};
use capfs::{
    Errno, FileKind, GuestSink, GuestSource, Interest, Op, OpenFile, Qid, Readiness, SetStat, Stat,
    WriteAt, Written,
};
use js_sys::{Function, Uint8Array};
use wasm_bindgen::JsValue;

use crate::wake;

/// Bytes of output that the page may have left unread before the agent waits. It bounds what an agent
/// that prints for ever makes the page keep.
pub const OUTPUT_WINDOW: usize = 1 << 20;

/// The same where an agent can't wait, and the page hears nothing of it until it has ended: beyond it a write
/// fails with `EDEADLK`.
pub const OUTPUT_WINDOW_UNWAITING: usize = 64 << 20;

/// Bytes handed to JavaScript at once.
const OUTPUT_CHUNK: usize = 64 << 10;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a stream is to its agent: a terminal's character device, or a pipe.
fn stream_stat(tty: bool) -> Stat {
    let kind = if tty {
        FileKind::CharacterDevice
    } else {
        FileKind::Unknown
    };
    Stat {
        qid: Qid::unnumbered(kind),
        nlink: 1,
        size: 0,
        atime: 0,
        mtime: 0,
        ctime: 0,
    }
}

/// Those who wait at one stream, each by the number of its opening.
#[derive(Default)]
struct Openings {
    last: u64,
    waiting: Waiters,
}

impl Openings {
    fn open(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Has whoever polls woken when there is something; what is returned is to be woken once nothing is locked.
    fn register(&mut self, opening: u64, context: &Context<'_>) -> Woken {
        // What the kernel polls by itself it polls whenever something has come.
        match context.waker().will_wake(wake::waker()) {
            true => Woken::default(),
            false => self.waiting.register(opening, context),
        }
    }
}

#[derive(Default)]
struct Queue {
    bytes: VecDeque<u8>,
    ended: bool,
    /// It has ended because what it comes from has failed.
    failed: bool,
    taken: usize,
    openings: Openings,
}

/// Standard input, from both sides: the page's and, through [`Input::open`], the agent's.
#[derive(Clone, Default)]
pub struct Input(Arc<Mutex<Queue>>);

impl Input {
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let woken = {
            let mut queue = locked(&self.0);
            change(&mut queue);
            queue.openings.waiting.take()
        };
        woken.wake();
    }

    /// Adds what the page wrote.
    pub fn feed(&self, bytes: &[u8]) {
        self.change(|queue| queue.bytes.extend(bytes));
    }

    /// The page writes no more.
    pub fn end(&self) {
        self.change(|queue| queue.ended = true);
    }

    /// There is no more, because what the input comes from has failed: behind what came the agent reads `EIO`.
    pub fn fail(&self) {
        self.change(|queue| {
            queue.ended = true;
            queue.failed = true;
        });
    }

    /// Bytes that the agent has taken since this was asked last.
    pub fn taken(&self) -> usize {
        std::mem::take(&mut locked(&self.0).taken)
    }

    /// The agent's end.
    pub fn open(&self, tty: bool) -> Box<dyn OpenFile> {
        let opening = locked(&self.0).openings.open();
        Box::new(InputFile {
            queue: self.0.clone(),
            opening,
            tty,
        })
    }
}

struct InputFile {
    queue: Arc<Mutex<Queue>>,
    opening: u64,
    tty: bool,
}

impl InputFile {
    fn pending<T>(&self, mut queue: MutexGuard<'_, Queue>, context: &Context<'_>) -> Poll<T> {
        let crowded = queue.openings.register(self.opening, context);
        drop(queue);
        crowded.wake();
        Poll::Pending
    }
}

impl Drop for InputFile {
    fn drop(&mut self) {
        locked(&self.queue).openings.waiting.forget(self.opening);
    }
}

impl OpenFile for InputFile {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        let mut queue = locked(&self.queue);
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        if queue.bytes.is_empty() {
            return match (queue.ended, queue.failed) {
                (false, _) => self.pending(queue, context),
                (true, false) => Poll::Ready(Ok(0)),
                (true, true) => Poll::Ready(Err(Errno::Io)),
            };
        }
        let (front, back) = queue.bytes.as_slices();
        let mut count = sink.put(front);
        if count == front.len() {
            count += sink.put(back);
        }
        queue.bytes.drain(..count);
        queue.taken += count;
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
        let queue = locked(&self.queue);
        if queue.bytes.is_empty() && !queue.ended {
            return self.pending(queue, context);
        }
        Poll::Ready(Ok(Readiness {
            bytes: queue.bytes.len() as u64,
            hangup: queue.ended,
        }))
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.tty))
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Inval)
    }
}

/// Standard output or standard error, from both sides.
#[derive(Clone)]
pub struct Output(Arc<Mutex<Window>>);

struct Window {
    size: usize,
    unread: usize,
    /// The page reads no more.
    closed: bool,
    openings: Openings,
    scratch: Vec<u8>,
    stream: u8,
    take: Function,
}

impl Output {
    /// The stream with this descriptor, of which the page may leave `size` bytes unread;
    /// `take(stream, bytes)` receives what the agent writes.
    pub fn new(stream: u8, size: usize, take: Function) -> Self {
        let window = Window {
            size,
            unread: 0,
            closed: false,
            openings: Openings::default(),
            scratch: Vec::new(),
            stream,
            take,
        };
        Output(Arc::new(Mutex::new(window)))
    }

    fn change(&self, change: impl FnOnce(&mut Window)) {
        let woken = {
            let mut window = locked(&self.0);
            change(&mut window);
            window.openings.waiting.take()
        };
        woken.wake();
    }

    /// The page has read this many bytes.
    pub fn acknowledge(&self, bytes: usize) {
        self.change(|window| window.unread = window.unread.saturating_sub(bytes));
    }

    /// The page reads no more: from now on writing fails with `EPIPE`.
    pub fn close(&self) {
        self.change(|window| window.closed = true);
    }

    /// The agent's end.
    pub fn open(&self, tty: bool) -> Box<dyn OpenFile> {
        let opening = locked(&self.0).openings.open();
        Box::new(OutputFile {
            window: self.0.clone(),
            opening,
            tty,
        })
    }
}

struct OutputFile {
    window: Arc<Mutex<Window>>,
    opening: u64,
    tty: bool,
}

impl OutputFile {
    fn pending<T>(&self, mut window: MutexGuard<'_, Window>, context: &Context<'_>) -> Poll<T> {
        let crowded = window.openings.register(self.opening, context);
        drop(window);
        crowded.wake();
        Poll::Pending
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        locked(&self.window).openings.waiting.forget(self.opening);
    }
}

impl OpenFile for OutputFile {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Err(Errno::Badf))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let mut window = locked(&self.window);
        if window.closed && source.remaining() > 0 {
            return Poll::Ready(Err(Errno::Pipe));
        }
        let mut bytes = 0;
        while source.remaining() > 0 {
            let room = window.size.saturating_sub(window.unread);
            if room == 0 {
                break;
            }
            let size = source.remaining().min(room).min(OUTPUT_CHUNK);
            let mut scratch = std::mem::take(&mut window.scratch);
            scratch.resize(size, 0);
            let count = source.take(&mut scratch);
            let chunk = Uint8Array::from(&scratch[..count]);
            window.scratch = scratch;
            let stream = JsValue::from(window.stream);
            window
                .take
                .call2(&JsValue::NULL, &stream, &chunk)
                .map_err(|_| Errno::Io)?;
            window.unread += count;
            bytes += count;
            if count == 0 {
                break;
            }
        }
        if bytes == 0 && source.remaining() > 0 {
            return self.pending(window, context);
        }
        Poll::Ready(Ok(Written { bytes, end: 0 }))
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        _interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        let window = locked(&self.window);
        let room = window.size.saturating_sub(window.unread);
        if room == 0 && !window.closed {
            return self.pending(window, context);
        }
        Poll::Ready(Ok(Readiness {
            bytes: room.max(1) as u64,
            hangup: window.closed,
        }))
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.tty))
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Inval)
    }
}
