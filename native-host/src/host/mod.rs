//! Many agents in one process, on the threads of a tokio runtime that is handed in.
//!
//! A [`Host`] has one engine, the code of its programs, one thread that counts time for those that compute, and bounds; a [`Plan`] says what an
//! agent is given, [`Io`] what it reads and writes. An agent is a task of the runtime: one that waits has no thread, and one that computes
//! gives its worker to others every [two milliseconds](TICK).
//!
//! # What runs where
//! - On a worker: the guest, and every call that is answered from memory or by one quick call of the operating system: files of a granted
//!   folder are opened, looked at, read and written in place, for what they need is nearly always in the system's page cache, and handing a call
//!   of two microseconds to another thread costs ten.
//! - On the [pool](HostBuilder::blocking), threads beside the workers, as many as the builder says: reading and compiling a program, putting
//!   together what an agent is granted, and what waits for a disk or computes for long: `fsync`, reading the names of a folder, setting room
//!   aside in large files and giving it back, databases, keys that are kept.
//! - On threads of their own, as many as there are processors: compilers of children, one at a time of each agent with its children; and what
//!   is compiled [in this process](HostBuilder::compile_here).
//! - On the runtime's own timers and sockets: time limits, clocks, the network.
//!
//! # Bounds
//! Children that an agent starts are tasks as it is itself, and end with it. What an agent makes the host hold is charged to an account of its own, which is a part of the host's; limits are those of
//! `capfs-host run`. Code of programs is the host's, and bounded by itself.
//!
//! # Example
//! ```no_run
//! use capfs_host::compile::Compiler;
//! use capfs_host::host::{AgentId, Host, Io, Plan, Program};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let compiler = Compiler::at("/usr/local/bin/capfs-host");
//! let host = Host::builder().compiler(compiler).build()?;
//! let plan = Plan::new(Program::file("tool.wasm")).arg("--verbose");
//! let mut agent = host.launch(AgentId::new("tool")?, plan, Io::piped()).await?;
//! agent.stdin().unwrap().write_all(b"hello\n").await?;
//! let mut said = String::new();
//! agent.stdout().unwrap().read_to_string(&mut said).await?;
//! println!("{said}{:?}", agent.wait().await.outcome);
//! # Ok(())
//! # }
//! ```
//! `examples/embed.rs` is a whole program.

mod adapter;
mod agent;
mod fiber;
mod fibers;
mod kept;
mod plan;
mod programs;
mod stdio;
mod ticker;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use capfs::OpenFile;
use capfs::account::{Account, AccountUsage, Charge, Holding};
use capfs::clock::Clock;
use capfs_devices::console::Terminal;
use capfs_native_devices::Host as Devices;
use capfs_native_devices::blocking::{Pool, Stopped};
use capfs_native_devices::net::{Network, NetworkOptions};
use capfs_runtime::{ConfigError, FileLimit, NoRandom, Process, ProcessConfig};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cache::Cache;
use crate::capabilities::{self, Capabilities};
use crate::clock::{SystemClock, SystemRandom, TurnClock};
use crate::compile::Compiler;
use crate::engine::{CHILD_STACK, Engines, ModuleError};
use crate::grants::{self, Granted, Lack, Revocable};
use crate::listen::{self, Listening};
use crate::reserved::OwnPaths;
use crate::state::{State, StateError};
use crate::tasks::{Family, FamilyConfig};
use fiber::Course;
pub(crate) use fiber::{Ending, Entry};
pub(crate) use fibers::{Fibers, Started};
use kept::{Keeping, Member};
use programs::{Linked, Programs};
use stdio::Ahead;
use ticker::Ticker;

pub use agent::Agent;
pub use plan::{AgentId, Plan, PlanError};
pub use programs::{CODE_MAX, COMPILED_HERE_MAX, Program};
pub use stdio::{AgentOutput, AgentStdin, Io, Stdio};
pub use ticker::TICK;

/// Bytes of stack for an agent's own frames, unless told: what browsers give a worker. It is address space until it is used, and charged in
/// full, for nobody is told which it touches.
pub const STACK: usize = CHILD_STACK;

/// Bytes that an agent is charged beside its stack: of that what calls of the host touch, what the engine knows of an instance, its task.
const RUNNING: u64 = 256 << 10;

/// Threads for what blocks, unless told: a disk and the cores that derive keys are busy with fewer, and what is beyond waits
/// for its turn without a thread.
pub const BLOCKING_MAX: usize = 16;

/// How long an agent waits for its children when it has ended.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why an agent was not launched. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// There is one of this id.
    #[error("an agent `{0}` runs already")]
    Running(AgentId),
    /// The program can't run.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// What it requires can't be given, a line each.
    #[error("{}", lines(.0))]
    Grants(Vec<Lack>),
    /// It can't listen where it is to.
    #[error("{0}")]
    Listen(String),
    /// Its state folder can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Another agent could reach what it keeps.
    #[error("{0}")]
    Reach(String),
    /// What it is given is no process.
    #[error(transparent)]
    Process(#[from] ConfigError),
    /// It may not hold as much as it needs to begin, or the host has as much no longer.
    #[error("there is not enough memory left for another agent")]
    Memory,
    /// Its time was up before it began.
    #[error("its time was up before it began")]
    Timeout,
    /// The runtime is being shut down.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

fn lines(lacks: &[Lack]) -> String {
    let lacks: Vec<String> = lacks.iter().map(ToString::to_string).collect();
    lacks.join("\n")
}

/// What a host has at a moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostUsage {
    /// Agents that run.
    pub agents: usize,
    /// Programs whose code is kept.
    pub programs: usize,
    /// Bytes of that code.
    pub code: u64,
    /// Programs that were loaded since the host was built: compiled, or read from the cache.
    pub loaded: u64,
    /// What its agents make it hold.
    pub account: AccountUsage,
}

/// What is chosen about a host.
pub struct HostBuilder {
    runtime: Option<Handle>,
    network: Option<Network>,
    clock: Arc<dyn Clock>,
    cache: Option<Cache>,
    compiler: Option<Compiler>,
    here: bool,
    stack: usize,
    blocking: usize,
    max_memory: u64,
    max_code: u64,
    reserved: Vec<PathBuf>,
}

impl HostBuilder {
    /// The runtime whose tasks the agents are, with its timers switched on; the one that [`HostBuilder::build`] is called in unless told.
    pub fn runtime(self, runtime: Handle) -> HostBuilder {
        HostBuilder {
            runtime: Some(runtime),
            ..self
        }
    }

    /// The network of all agents; one on the runtime unless told, whose sockets must be switched on then.
    pub fn network(self, network: Network) -> HostBuilder {
        HostBuilder {
            network: Some(network),
            ..self
        }
    }

    /// What tells agents the time; the system unless told.
    pub fn clock(self, clock: Arc<dyn Clock>) -> HostBuilder {
        HostBuilder { clock, ..self }
    }

    /// Where compiled code is kept on disk; nowhere unless told.
    pub fn cache(self, cache: Cache) -> HostBuilder {
        HostBuilder {
            cache: Some(cache),
            ..self
        }
    }

    /// Who compiles, in a process of its own that is held to its bounds: a `capfs-host` command. A host has this, or
    /// [compiles here](HostBuilder::compile_here).
    pub fn compiler(self, compiler: Compiler) -> HostBuilder {
        HostBuilder {
            compiler: Some(compiler),
            ..self
        }
    }

    /// Lets programs be compiled in this process, where there is no [compiler](HostBuilder::compiler). It is for programs that are trusted: what it
    /// takes to compile a module is not in its size (one of a megabyte can take gigabytes and minutes), nothing of it is in an account, and
    /// nothing ends it: a launch that is given up, or whose time is up, leaves it behind until it is done. As many are compiled at once as there
    /// are processors, others wait; a module has [`COMPILED_HERE_MAX`] bytes at most. No agent can be granted children.
    pub fn compile_here(self) -> HostBuilder {
        HostBuilder { here: true, ..self }
    }

    /// Bytes of stack for each agent's own frames: [`STACK`] unless told, 64 KiB at least.
    pub fn stack(self, stack: usize) -> HostBuilder {
        HostBuilder { stack, ..self }
    }

    /// Threads for what blocks: [`BLOCKING_MAX`] unless told, one at least.
    pub fn blocking(self, blocking: usize) -> HostBuilder {
        HostBuilder { blocking, ..self }
    }

    /// Bytes that all agents together may make this host hold; as many as each may, unless told.
    pub fn max_memory(self, max_memory: u64) -> HostBuilder {
        HostBuilder { max_memory, ..self }
    }

    /// Bytes of code that are kept for the next launch: [`CODE_MAX`] unless told. Code of agents that run is there as long as they do.
    pub fn max_code(self, max_code: u64) -> HostBuilder {
        HostBuilder { max_code, ..self }
    }

    /// A file or folder that no agent reaches by a folder that it is granted. State folders, manifests and files with secrets of its agents are
    /// known to a host from the launch of each on; this is for what it doesn't know: the folder that the state of all agents is in, say, or an
    /// audit.
    pub fn reserve(mut self, path: impl Into<PathBuf>) -> HostBuilder {
        self.reserved.push(path.into());
        self
    }

    /// Makes the host.
    ///
    /// # Errors
    /// There is no runtime, nothing says who compiles, or the system gives no thread.
    pub fn build(self) -> io::Result<Host> {
        if self.compiler.is_none() && !self.here {
            let text = "nothing says who compiles: `HostBuilder::compiler`, or `HostBuilder::compile_here` for programs that are trusted";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => Handle::try_current().map_err(io::Error::other)?,
        };
        let network = self
            .network
            .unwrap_or_else(|| Network::within(runtime.clone(), NetworkOptions::default()));
        let pool = Pool::new(runtime.clone(), self.blocking);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let stack = self.stack.max(64 << 10);
        let compiling = Pool::new(runtime.clone(), processors);
        let programs = Programs::new(
            Engines::on_fibers(stack),
            self.cache.clone(),
            self.compiler.clone(),
            pool.clone(),
            compiling.clone(),
            self.max_code,
        );
        Ok(Host(Arc::new(Inner {
            ticker: Ticker::start(programs.engine().clone())?,
            programs: Arc::new(programs),
            pool,
            compiling,
            runtime,
            network,
            clock: self.clock,
            cache: self.cache,
            compiler: self.compiler,
            stack: stack as u64,
            account: Account::new(self.max_memory),
            keeping: Arc::new(Keeping::new(&self.reserved)),
            running: Mutex::default(),
        })))
    }
}

/// Launches agents, and has what they share. Agents that run go on when it is dropped.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    ticker: Ticker,
    programs: Arc<Programs>,
    pool: Pool,
    /// For what is compiled for children, or in this process: nothing else waits for it.
    compiling: Pool,
    runtime: Handle,
    network: Network,
    clock: Arc<dyn Clock>,
    cache: Option<Cache>,
    compiler: Option<Compiler>,
    stack: u64,
    account: Account,
    keeping: Arc<Keeping>,
    running: Mutex<HashSet<AgentId>>,
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, HashSet<AgentId>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that nobody else has meanwhile.
struct Taken {
    inner: Arc<Inner>,
    id: AgentId,
}

impl Taken {
    fn take(inner: &Arc<Inner>, id: &AgentId) -> Result<Taken, LaunchError> {
        match inner.running().insert(id.clone()) {
            true => Ok(Taken {
                inner: inner.clone(),
                id: id.clone(),
            }),
            false => Err(LaunchError::Running(id.clone())),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.inner.running().remove(&self.id);
    }
}

impl Host {
    /// A host of which nothing is chosen yet.
    pub fn builder() -> HostBuilder {
        HostBuilder {
            runtime: None,
            network: None,
            clock: Arc::new(SystemClock),
            cache: None,
            compiler: None,
            here: false,
            stack: STACK,
            blocking: BLOCKING_MAX,
            max_memory: u64::MAX,
            max_code: CODE_MAX,
            reserved: Vec::new(),
        }
    }

    /// Launches an agent: compiles its program, if nobody has yet, puts together what it is given, and begins. It can be called on any executor;
    /// where it is given up, nothing is left.
    ///
    /// # Errors
    /// See [`LaunchError`].
    pub async fn launch(&self, id: AgentId, plan: Plan, io: Io) -> Result<Agent, LaunchError> {
        let until = plan
            .timeout
            .and_then(|time| Instant::now().checked_add(time));
        let launched = launch(self.0.clone(), id, plan, io, until);
        let launched = async move {
            match until {
                Some(until) => {
                    let launched = tokio::time::timeout_at(until, launched).await;
                    launched.unwrap_or(Err(LaunchError::Timeout))
                }
                None => launched.await,
            }
        };
        // Timers and what blocks are of the runtime, whoever waits for this.
        match Spawned(self.0.runtime.spawn(launched)).await {
            Ok(launched) => launched,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Stopped.into()),
            },
        }
    }

    /// What it has at this moment.
    pub fn usage(&self) -> HostUsage {
        let mut usage = HostUsage {
            agents: self.0.running().len(),
            programs: 0,
            code: 0,
            loaded: 0,
            account: self.0.account.usage(),
        };
        self.0.programs.count(&mut usage);
        usage
    }
}

/// A task that is given up with whoever waits for it.
struct Spawned<T>(JoinHandle<T>);

impl<T> Future for Spawned<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Spawned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What an agent is given that takes the file system to put together.
struct Prepared {
    granted: Granted,
    files: FileLimit,
    listening: Vec<Listening>,
    belongings: Belongings,
}

/// What an agent has beside its process. It is let go of where blocking is allowed.
struct Belongings {
    capabilities: Capabilities,
    /// Kept once the agent has begun.
    state: Option<State>,
    /// What can be taken away from it, by its path.
    revocable: Arc<Vec<(String, Revocable)>>,
    member: Member,
    // Let go of last: whoever has the id next, or the room, finds the folder free.
    _place: Place,
}

/// An agent's room among the others.
struct Place {
    account: Account,
    /// For its stack, and for its instance.
    running: Charge,
    _taken: Taken,
}

impl Drop for Belongings {
    fn drop(&mut self) {
        // Where the runtime goes away, too: children hold what their parent has, and it them.
        self.capabilities.end(Duration::ZERO);
    }
}

async fn launch(
    inner: Arc<Inner>,
    id: AgentId,
    plan: Plan,
    io: Io,
    until: Option<Instant>,
) -> Result<Agent, LaunchError> {
    let taken = Taken::take(&inner, &id)?;
    let account = inner.account.child(plan.max_memory);
    let running = account.charge(Holding::Programs, inner.stack + RUNNING);
    let mut place = Place {
        account: account.clone(),
        running: running.map_err(|_| LaunchError::Memory)?,
        _taken: taken,
    };
    let wanted = plan.digest.as_deref();
    let linked = inner
        .programs
        .get(&plan.program, wanted, plan.max_memory)
        .await?;
    let needed = linked.minimum;
    if needed > plan.max_memory {
        let limit = plan.max_memory;
        let refusal = capfs_modules::Refusal::MemoryLimit { needed, limit };
        return Err(ModuleError::refused(plan.program.name(), refusal).into());
    }
    let instance = place.running.grow(linked.instance);
    instance.map_err(|_| LaunchError::Memory)?;
    let Io {
        stdin,
        stdout,
        stderr,
        terminal,
    } = io;
    let (clock_grant, random) = (plan.clock, plan.random);
    let mut args = vec![plan.program.argument()];
    args.extend(plan.args.iter().cloned());
    let mut env = plan.env.clone();
    let (preparing, whose) = (inner.clone(), id.clone());
    // The id and the folder stay taken until it is done, even where nobody waits for it any longer.
    let prepared = inner
        .pool
        .run(move || prepare(&preparing, &whose, plan, place, terminal))
        .await??;
    let Prepared {
        granted,
        mut belongings,
        files,
        listening,
    } = prepared;
    let revocable = Arc::downgrade(&belongings.revocable);
    listen::announce(&listening, &mut env);
    let handed = listening
        .into_iter()
        .map(|socket| Box::new(socket.listener) as Box<dyn OpenFile>)
        .collect();
    let opened = stdio::open(stdin, [stdout, stderr], &account, &inner.runtime);
    let clock = Arc::new(TurnClock::new(inner.clock.clone()));
    let namespace = granted.namespace.clone();
    let process = Process::new(ProcessConfig {
        args,
        env,
        namespace: granted.namespace,
        stdio: opened.files,
        preopens: granted.preopens,
        handed,
        clock: clock.clone(),
        clock_grant,
        random: match random {
            true => Box::new(SystemRandom),
            false => Box::new(NoRandom),
        },
        max_files: files,
        account: account.clone(),
    });
    let process = process.await?;
    belongings.state.iter_mut().for_each(State::keep);
    belongings.member.begin();
    belongings.capabilities.begin(&namespace);
    drop(namespace);
    let ending = Arc::new(Ending::default());
    let life = Life {
        inner: inner.clone(),
        linked,
        account: account.clone(),
        ending: ending.clone(),
        until,
        clock,
        belongings,
        outputs: opened.outputs,
        input: opened.input,
    };
    Ok(Agent {
        id,
        revocable,
        stdin: opened.stdin,
        stdout: opened.stdout,
        stderr: opened.stderr,
        degraded: granted.degraded,
        account,
        ending,
        task: inner.runtime.spawn(inner.pool.scope(life.live(process))),
        report: None,
    })
}

/// An agent that runs.
struct Life {
    inner: Arc<Inner>,
    linked: Linked,
    account: Account,
    ending: Arc<Ending>,
    until: Option<Instant>,
    clock: Arc<TurnClock>,
    belongings: Belongings,
    outputs: Vec<JoinHandle<()>>,
    input: Option<Ahead>,
}

impl Life {
    async fn live(self, process: Process) -> crate::run::Report {
        let course = Course {
            ticker: &self.inner.ticker,
            ending: &self.ending,
            until: self.until,
        };
        let (program, account) = (&self.linked.program, &self.account);
        let report = fiber::run(program, process, self.clock, account, &course).await;
        drop(self.input);
        for mut output in self.outputs {
            // What the agent has written gets where it goes, unless somebody has had enough: then it has a moment.
            if course.wait_for(&mut output).await.is_err() {
                let moment = tokio::time::timeout(PATIENCE, &mut output);
                if moment.await.is_err() {
                    output.abort();
                }
            }
        }
        let belongings = self.belongings;
        let held = belongings.capabilities.held();
        if !held.is_empty() {
            capabilities::end_async(held, PATIENCE).await;
            // Folders and databases are closed.
            let _ = self.inner.pool.run(move || drop(belongings)).await;
        }
        report
    }
}

fn prepare(
    inner: &Arc<Inner>,
    id: &AgentId,
    plan: Plan,
    place: Place,
    terminal: Option<Arc<dyn Terminal>>,
) -> Result<Prepared, LaunchError> {
    let (name, account) = (id.as_str(), place.account.clone());
    // What may be another's comes before anything is made.
    let mut listening = listen::listen(&plan.listen).map_err(LaunchError::Listen)?;
    let state = plan.state.as_deref();
    let state = state
        .map(|folder| State::claim(folder, id.identity(), plan.program.name()))
        .transpose()?;
    let manifest = plan.manifest.as_deref();
    let kept = inner
        .keeping
        .add(id, plan.state.as_deref(), manifest, &plan.wants);
    let (member, others) = kept.map_err(LaunchError::Reach)?;
    let devices = Devices {
        state: plan.state.clone(),
        passphrase: plan.passphrase,
        terminal,
        network: inner.network.clone(),
        account: account.clone(),
    };
    let files = FileLimit::from(plan.max_files);
    let family = FamilyConfig {
        compiler: inner.compiler.clone(),
        cache: inner.cache.clone(),
        account: account.clone(),
        files: files.clone(),
        clock: plan.clock,
        random: plan.random,
        sink: plan.audit,
    };
    let family = Family::on_fibers(Fibers::new(inner.clone()), family);
    let own = OwnPaths {
        cache: inner.cache.as_ref().map(Cache::folder),
        state: plan.state.as_deref(),
        manifest: plan.manifest.as_deref(),
        ..OwnPaths::default()
    };
    let mut reserved = own.reserved(&plan.wants);
    reserved.add_all(&others);
    let mut belongings = Belongings {
        capabilities: Capabilities::new(devices, name, family, reserved),
        state,
        revocable: Arc::default(),
        member,
        _place: place,
    };
    let capabilities = &mut belongings.capabilities;
    let granted = grants::namespace(&plan.wants, plan.memory_files, capabilities);
    let mut granted = granted.map_err(|lacks| {
        listening.clear();
        LaunchError::Grants(lacks)
    })?;
    let held = belongings.capabilities.held().iter();
    let held = held.map(|held| (held.grant.at.clone(), Revocable::Held(held.clone())));
    // Capabilities are among those that a manifest asked for as well.
    let mounts = std::mem::take(&mut granted.revocable).into_iter();
    let mounts = mounts.filter(|(_, handle)| matches!(handle, Revocable::Mount(_)));
    let mounts = mounts.map(|(grant, handle)| (grant.guest().to_owned(), handle));
    belongings.revocable = Arc::new(held.chain(mounts).collect());
    listen::behind(granted.preopens.len(), &mut listening);
    Ok(Prepared {
        granted,
        belongings,
        files,
        listening,
    })
}
