//! How a run ends before its program does: by signals, and when its time is up.

use std::io;
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use capfs::account::Account;
use capfs_host::device::console::restore;
use capfs_host::engine::THREAD_STACK;
use capfs_host::run::{Agent, Outcome, Report, RunConfig};
use capfs_host::wait::{Cancelled, Canceller};
use capfs_native_devices::signals::{self, Signal};
use capfs_runtime::Usage;

use crate::closing::Closing;

/// How long a guest has to notice that it is to end. What takes longer is a call of the operating
/// system that may never return.
pub const GRACE: Duration = Duration::from_millis(500);

/// What ends the program that runs, and who is told that it is to end.
#[derive(Default)]
struct Running {
    canceller: Option<Canceller>,
    told: Option<Sender<Event>>,
}

enum Event {
    /// The program has ended.
    Ended(Box<Report>),
    /// It was told to.
    Cancelled(Cancelled),
    /// Its thread is over, and has said nothing else if it has panicked.
    Gone,
}

/// Says that a thread is over, however it ends.
struct Gone(Sender<Event>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send(Event::Gone);
    }
}

/// The signals that end the host, from the moment when this is made.
pub struct Ends {
    running: Arc<Mutex<Running>>,
}

impl Ends {
    /// Ends the program on a signal, and the host with it: at once as long as there is no program, or where a second signal
    /// comes, with what is to be settled by `closing`. `hung_up`, if there is one, is done on SIGHUP instead.
    ///
    /// # Errors
    /// Signals can't be handled.
    pub fn by_signals(
        hung_up: Option<impl FnMut() + Send + 'static>,
        closing: Closing,
    ) -> io::Result<Ends> {
        let ends = Ends {
            running: Arc::default(),
        };
        let running = ends.running.clone();
        let mut signals = signals::wanted(&Signal::ALL);
        if hung_up.is_some() && !signals.contains(&Signal::HangUp) {
            signals.push(Signal::HangUp);
        }
        let mut hung_up = hung_up;
        let mut signalled = false;
        signals::on(&signals, move |signal| {
            if let (Signal::HangUp, Some(hung_up)) = (signal, &mut hung_up) {
                return hung_up();
            }
            let why = Cancelled::Signal(signal);
            let running = running.lock().unwrap_or_else(PoisonError::into_inner);
            match &running.canceller {
                Some(canceller) if !signalled => {
                    canceller.cancel(why);
                    // Without anybody to tell, it has ended.
                    let told = running.told.as_ref();
                    let _ = told.map(|told| told.send(Event::Cancelled(why)));
                }
                _ => {
                    let outcome = Outcome::Cancelled(why);
                    restore();
                    closing.exit(outcome.code(), outcome.reason(), || ());
                }
            }
            signalled = true;
        })?;
        Ok(ends)
    }

    /// Runs the program on a thread of its own: with the stack that it needs, and so that one which sits in
    /// a call of the operating system (a pipe that nobody empties, say) is left there when it is to end.
    ///
    /// # Errors
    /// There is no thread for it, or it has panicked.
    pub fn run(&self, agent: Agent, config: RunConfig, account: &Account) -> io::Result<Report> {
        let timeout = config.timeout;
        let driver = config.driver.clone();
        let (told, events) = mpsc::channel();
        let running = self.running.clone();
        let (gone, cancelled) = (Gone(told.clone()), told);
        std::thread::Builder::new()
            .name("agent".to_owned())
            .stack_size(THREAD_STACK)
            .spawn(move || {
                let ended_by = |canceller| {
                    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
                    running.canceller = Some(canceller);
                    running.told = Some(cancelled);
                };
                let report = agent.run(config, ended_by, || ());
                // Nobody waits for one that was left behind.
                let _ = gone.0.send(Event::Ended(Box::new(report)));
                // What it has sent may be on its way yet, and its children end after it.
                if let Some(driver) = driver {
                    driver.serve();
                }
            })?;
        outcome(&events, timeout, account)
    }
}

/// What must be done within its time: a program's beginning, or what is told of its end.
pub struct Beginning(#[expect(dead_code, reason = "its end tells the thread")] Sender<()>);

impl Beginning {
    /// Ends the host with a code when so much time has passed before this is dropped, whatever it does meanwhile: it compiles, reads a file
    /// that does not end, or writes to a pipe that nobody empties. `late` says so.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn within(
        time: Duration,
        code: u8,
        late: impl FnOnce() + Send + 'static,
    ) -> io::Result<Beginning> {
        let (begins, begun) = mpsc::channel();
        let watch = move || {
            if let Err(RecvTimeoutError::Timeout) = begun.recv_timeout(time) {
                late();
                // A compiler ends with its parent.
                process::exit(code.into());
            }
        };
        let thread = std::thread::Builder::new().name("beginning".to_owned());
        thread.spawn(watch)?;
        Ok(Beginning(begins))
    }
}

/// Waits for the end of a program, or until it has had time to notice that it is to end.
fn outcome(
    events: &Receiver<Event>,
    timeout: Option<Duration>,
    account: &Account,
) -> io::Result<Report> {
    let begun = Instant::now();
    // What it is to be ended by, and when it is left behind.
    let mut why = Cancelled::Timeout;
    let mut until = timeout.and_then(|time| begun.checked_add(time.saturating_add(GRACE)));
    loop {
        let event = match until {
            Some(until) => events.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::Ended(report)) => return Ok(*report),
            Ok(Event::Cancelled(by)) => {
                why = by;
                until = Instant::now().checked_add(GRACE);
            }
            Err(RecvTimeoutError::Timeout) => {
                return Ok(Report {
                    outcome: Outcome::Cancelled(why),
                    usage: Usage::default(),
                    memory: 0,
                    account: account.usage(),
                    instantiate: Duration::ZERO,
                    run: begun.elapsed(),
                });
            }
            Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("its thread has ended"));
            }
        }
    }
}
