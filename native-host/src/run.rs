//! One run of an agent, from its module to its outcome.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use capfs::account::{Account, AccountUsage};
use capfs::{Errno, Namespace, OpenFile};
use capfs_devices::foreign::Foreign;
use capfs_native_devices::net::Driver;
use capfs_native_devices::signals::Signal;
use capfs_runtime::{
    ClockGrant, ExitStatus, FileLimit, NoRandom, Preopen, Process, ProcessConfig, Usage,
};
use wasmtime::{InstancePre, Module, Store, ThrownException, Trap, UpdateDeadline, WasmBacktrace};

use crate::clock::{AgentClock, SystemRandom};
use crate::engine::ModuleError;
use crate::limits::Limits;
use crate::linker::{Ended, Guest, linker};
use crate::wait::{Cancelled, Canceller, Parker};

/// Exit codes of this host where the program has none of its own.
pub mod codes {
    /// The time was up (as timeout(1)).
    pub const TIMEOUT: u8 = 124;
    /// The program could not be started: its memory is over the limit, a folder is not there …
    pub const HOST: u8 = 125;
    /// The file is not an agent that can run here (as env(1)).
    pub const MODULE: u8 = 126;
    /// The file can't be read (as env(1)).
    pub const NOT_FOUND: u8 = 127;
    /// The host was asked to end by signal n: 128 and n (130 for Ctrl-C, 143 for SIGTERM).
    pub const SIGNAL: u8 = 128;
    /// A trap (128 and SIGABRT).
    pub const TRAP: u8 = 134;
    /// Ended by its parent (128 and SIGKILL).
    pub const KILLED: u8 = 137;
    /// Out of memory (128 and SIGKILL, as where a kernel runs out of it).
    pub const MEMORY: u8 = 137;
}

/// What a program is given to run.
pub struct RunConfig {
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Files.
    pub namespace: Namespace,
    /// Directories that it finds open.
    pub preopens: Vec<Preopen>,
    /// Descriptors 0, 1 and 2.
    pub stdio: [Box<dyn OpenFile>; 3],
    /// Descriptors behind the preopened directories.
    pub handed: Vec<Box<dyn OpenFile>>,
    /// What it may know of the time.
    pub clock: ClockGrant,
    /// Whether WASI's own call gives it random bytes.
    pub random: bool,
    /// Descriptors open at once, at most.
    pub max_files: FileLimit,
    /// What it makes this host hold is charged to this: memories and tables, which fail to grow beyond it, descriptors, and
    /// whatever its files take.
    pub account: Account,
    /// How long it may take, waiting included.
    pub timeout: Option<Duration>,
    /// The network's work, where the run's thread does it while it waits.
    pub driver: Option<Arc<Driver>>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `_start` returned, or the program ended itself.
    Exited(ExitStatus),
    /// A trap; the text says which, and where.
    Trapped(String),
    /// It gave up after it was refused memory.
    OutOfMemory,
    /// It was ended from outside.
    Cancelled(Cancelled),
    /// It could not be started: why, and what stands for that where another agent started it.
    Refused(String, Errno),
}

impl Outcome {
    /// The exit code that stands for it.
    pub fn code(&self) -> u8 {
        match self {
            // Cutting a code off could make a success of a failure.
            Outcome::Exited(status) => u8::try_from(status.code()).unwrap_or(u8::MAX),
            Outcome::Trapped(_) => codes::TRAP,
            Outcome::OutOfMemory => codes::MEMORY,
            Outcome::Cancelled(Cancelled::Timeout) => codes::TIMEOUT,
            Outcome::Cancelled(Cancelled::Signal(signal)) => codes::SIGNAL + signal.number(),
            Outcome::Cancelled(Cancelled::Killed) => codes::KILLED,
            Outcome::Refused(..) => codes::HOST,
        }
    }

    /// One word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Outcome::Exited(ExitStatus::Code(_)) => "exit",
            Outcome::Exited(ExitStatus::Signal(_)) => "signal",
            Outcome::Trapped(_) => "trap",
            Outcome::OutOfMemory => "memory",
            Outcome::Cancelled(Cancelled::Timeout) => "timeout",
            Outcome::Cancelled(Cancelled::Signal(signal)) => match signal {
                Signal::Interrupt => "interrupt",
                Signal::Terminate => "terminate",
                Signal::HangUp => "hangup",
                Signal::Quit => "quit",
            },
            Outcome::Cancelled(Cancelled::Killed) => "killed",
            Outcome::Refused(..) => "refused",
        }
    }
}

/// What a run was.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// Bytes that its memories had at the end, all of them: memory never shrinks.
    pub memory: u64,
    /// What it made this host hold at the end, its children included.
    pub account: AccountUsage,
    /// Time until its first instruction.
    pub instantiate: Duration,
    /// Time from its first instruction to its end.
    pub run: Duration,
}

impl Report {
    /// That of a run which was ended from outside, and of which no more is known than what is held for it.
    pub(crate) fn cancelled(why: Cancelled, account: AccountUsage) -> Report {
        Report {
            outcome: Outcome::Cancelled(why),
            usage: Usage::default(),
            memory: 0,
            account,
            instantiate: Duration::ZERO,
            run: Duration::ZERO,
        }
    }
}

/// A module whose imports are resolved, ready to be run any number of times.
#[derive(Clone)]
pub struct Agent {
    pre: InstancePre<Guest>,
}

impl Agent {
    /// Resolves the imports of a module that was [read](capfs_modules::read).
    ///
    /// # Errors
    /// [`Refusal::Imports`](capfs_modules::Refusal::Imports)
    pub fn new(module: &Module, name: &str) -> Result<Agent, ModuleError> {
        let linker = linker(module, name)?;
        let pre = linker.instantiate_pre(module);
        let pre = pre.map_err(|error| ModuleError::invalid(name, &error))?;
        Ok(Agent { pre })
    }

    /// Runs the program on this thread, whose stack must have
    /// [`THREAD_STACK`](crate::engine::THREAD_STACK) bytes (a child's
    /// [`CHILD_THREAD_STACK`](crate::engine::CHILD_THREAD_STACK)), until it ends. `ended_by` is called at once, with something that
    /// ends it from another thread, and `started` when its process stands.
    pub fn run(
        &self,
        config: RunConfig,
        ended_by: impl FnOnce(Canceller),
        started: impl FnOnce(),
    ) -> Report {
        let begun = Instant::now();
        let engine = self.pre.module().engine();
        let account = config.account;
        let mut report = Report {
            outcome: Outcome::Refused(String::new(), Errno::Io),
            usage: Usage::default(),
            memory: 0,
            account: account.usage(),
            instantiate: Duration::ZERO,
            run: Duration::ZERO,
        };
        let mut parker = match config.driver {
            Some(driver) => Parker::driving(driver),
            None => Parker::new(),
        };
        let canceller = parker.canceller(engine);
        ended_by(canceller.clone());
        let watchdog = config.timeout.map(|time| Watchdog::start(time, canceller));
        let watchdog = match watchdog.transpose() {
            Ok(watchdog) => watchdog,
            // Better not at all than without its limit.
            Err(error) => {
                let text = format!("there is no thread that could end it in time: {error}");
                report.outcome = Outcome::Refused(text, Errno::Again);
                return report;
            }
        };
        let process = Process::new(ProcessConfig {
            args: config.args,
            env: config.env,
            namespace: config.namespace,
            stdio: config.stdio,
            preopens: config.preopens,
            handed: config.handed,
            clock: Arc::new(AgentClock::begin()),
            clock_grant: config.clock,
            random: match config.random {
                true => Box::new(SystemRandom),
                false => Box::new(NoRandom),
            },
            max_files: config.max_files,
            account: account.clone(),
        });
        let process = match parker.wait_for(process) {
            Ok(Ok(process)) => process,
            Ok(Err(error)) => {
                report.outcome = Outcome::Refused(error.to_string(), error.errno());
                return report;
            }
            Err(why) => {
                report.outcome = Outcome::Cancelled(why);
                return report;
            }
        };
        if let Err(error) = parker.relieve() {
            let text =
                format!("there is no thread for the network's work while it is busy: {error}");
            report.outcome = Outcome::Refused(text, Errno::Again);
            return report;
        }
        let guest = Guest {
            process,
            parker,
            limits: Limits::new(&account),
            memory: None,
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.limits);
        store.set_epoch_deadline(1);
        // Whoever is to end says so by itself: agents share the epoch of their engine.
        store.epoch_deadline_callback(|store| match store.data().parker.cancelled() {
            Some(why) => Err(Ended::Cancelled(why).into()),
            None => Ok(UpdateDeadline::Continue(1)),
        });
        started();

        let instance = self.pre.instantiate(&mut store);
        report.instantiate = begun.elapsed();
        let entered = Instant::now();
        let ended = instance.and_then(|instance| {
            store.data_mut().memory = instance.get_memory(&mut store, "memory");
            instance
                .get_typed_func::<(), ()>(&mut store, "_start")?
                .call(&mut store, ())
        });
        report.run = entered.elapsed();
        report.memory = store.data().limits.memory();
        report.account = account.usage();
        report.usage = store.data().process.usage();
        report.outcome = outcome(ended, store.data().limits.refused());
        if let Outcome::Exited(_) = report.outcome {
            finish(store.data_mut());
        }
        drop(watchdog);
        report
    }
}

/// Finishes what a program that has ended left open, unless the run is ended from outside meanwhile.
fn finish(guest: &mut Guest) {
    let Guest {
        process, parker, ..
    } = guest;
    let _ = parker.wait_for(std::future::poll_fn(|context| process.poll_finish(context)));
}

/// How a run ended by itself; `refused` is that it was refused memory last.
pub(crate) fn outcome(ended: wasmtime::Result<()>, refused: bool) -> Outcome {
    let Err(error) = ended else {
        return Outcome::Exited(ExitStatus::Code(0));
    };
    if let Some(ended) = error.downcast_ref::<Ended>() {
        return match ended {
            Ended::Exited(status) => Outcome::Exited(*status),
            Ended::Cancelled(why) => Outcome::Cancelled(*why),
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) if refused => Outcome::OutOfMemory,
        Some(_) => Outcome::Trapped(told(&error)),
        None if error.is::<ThrownException>() => {
            Outcome::Trapped("the program threw an exception that nobody caught".to_owned())
        }
        // What failed in the midst of it: objects that the collector has no room for.
        None if error.downcast_ref::<WasmBacktrace>().is_some() => match refused {
            true => Outcome::OutOfMemory,
            false => Outcome::Trapped(told(&error)),
        },
        // Instantiation failed before the first instruction.
        None => Outcome::Refused(format!("{error:#}"), Errno::Nomem),
    }
}

/// A trap and where it was, a line each. Names of functions are the module's: they are made harmless here, where it is known
/// where each ends.
fn told(error: &wasmtime::Error) -> String {
    let trap = error.root_cause();
    let mut text = Foreign(trap).to_string();
    let frames = error.downcast_ref::<WasmBacktrace>();
    for (index, frame) in frames.iter().flat_map(|frames| frames.frames()).enumerate() {
        let module = frame.module().name().unwrap_or("<unknown>");
        let function = match frame.func_name() {
            Some(name) => name.to_owned(),
            None => format!("<wasm function {}>", frame.func_index()),
        };
        let offset = frame.module_offset().unwrap_or_default();
        let place = Foreign(format!("{module}!{function}"));
        text += &format!("\n    {index:>2}: {offset:#8x} - {place}");
    }
    text
}

/// Ends a run when its time is up, from a thread of its own: a guest that computes can hold any other.
struct Watchdog {
    stop: Option<mpsc::Sender<()>>,
}

impl Watchdog {
    fn start(time: Duration, canceller: Canceller) -> io::Result<Watchdog> {
        let (stop, stopped) = mpsc::channel::<()>();
        let watch = move || {
            if let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(time) {
                canceller.cancel(Cancelled::Timeout);
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".to_owned());
        thread.spawn(watch)?;
        Ok(Watchdog { stop: Some(stop) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.take();
    }
}
