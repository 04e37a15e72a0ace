//! Signals of the operating system.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// A signal that asks a process to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the terminal is gone, or a configuration is to be read again.
    HangUp,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGQUIT: Ctrl-\.
    Quit,
    /// SIGTERM: the end, as kill(1), service managers and container runtimes ask for it.
    Terminate,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 4] = [
        Signal::HangUp,
        Signal::Interrupt,
        Signal::Quit,
        Signal::Terminate,
    ];

    /// Its number, the same on every Unix.
    pub const fn number(self) -> u8 {
        match self {
            Signal::HangUp => 1,
            Signal::Interrupt => 2,
            Signal::Quit => 3,
            Signal::Terminate => 15,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::HangUp => "SIGHUP",
            Signal::Interrupt => "SIGINT",
            Signal::Quit => "SIGQUIT",
            Signal::Terminate => "SIGTERM",
        }
    }
}

/// A file would be longer than the system lets this process make one; the same number on every Unix.
const SIGXFSZ: i32 = 25;

/// Calls `came` for each of these signals, on a thread of its own, as long as the process lives. As the first process of a container
/// (process 1) it gets them as any other, for they are handled.
///
/// # Errors
/// The system gives no thread, or no handler.
pub fn on(signals: &[Signal], mut came: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut streams = {
        let _inside = runtime.enter();
        let stream = |each: &Signal| {
            let kind = SignalKind::from_raw(each.number().into());
            Ok((*each, signal(kind)?))
        };
        // What reaches the limit on a file's size is an error of the write, EFBIG, and not the end of the process.
        drop(signal(SignalKind::from_raw(SIGXFSZ))?);
        signals.iter().map(stream).collect::<io::Result<Vec<_>>>()?
    };
    let mut next = move || {
        runtime.block_on(poll_fn(|context| {
            let mut over = true;
            for (each, stream) in &mut streams {
                match stream.poll_recv(context) {
                    Poll::Ready(Some(())) => return Poll::Ready(Some(*each)),
                    Poll::Ready(None) => {}
                    Poll::Pending => over = false,
                }
            }
            match over {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        }))
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            while let Some(signal) = next() {
                came(signal);
            }
        })
        .map(drop)
}

/// Of these signals, those that may end this process. Others were ignored when it was started (by nohup(1), or by a shell without job
/// control for what is put behind `&`), and stay so.
pub fn wanted(signals: &[Signal]) -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let ignored = ignored.unwrap_or(0);
    let wanted = signals.iter().copied();
    wanted
        .filter(|signal| ignored >> (signal.number() - 1) & 1 == 0)
        .collect()
}
