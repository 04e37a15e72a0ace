//! `/task`: child agents (exec(3) of Inferno, proc(3) of Plan 9).
//!
//! | file | |
//! |---|---|
//! | `new/wasi` | reading makes a task and gives its number |
//! | `N/ctl` | `bind SRC DST [ro\|before\|after]`, `unbind DST`, `grant DEVICE,…`, `revoke PATH`, `start`, `kill`, `delete` |
//! | `N/cmd` | the program, and maybe arguments behind it, parted by blanks |
//! | `N/args`, `N/env` | further arguments; `NAME=VALUE`; a line each |
//! | `N/dir` | the directory of the task that it knows as `.` |
//! | `N/ns` | what it was given, as commands for a `ctl` |
//! | `N/status` | `new`, `starting`, `running`, `ended REASON`; `failed ERRNO` after a `start` that failed, which can be tried again |
//! | `N/exit` | its code, once it has ended |
//! | `N/wait` | opening it waits for the end; reads as `exit`. Fails with the errno of a `start` that fails, and with `ENOENT` after `delete` |
//! | `N/fd/0`, `N/fd/1`, `N/fd/2` | its standard input, to be written; its output and errors, to be read |
//! | `policy`, `error` | what was granted; why the last refusal |
//!
//! A task's namespace begins empty and takes only what its parent binds into it: SRC is a path of the parent's, and the task
//! has at most the parent's rights there. `grant` gives it less of a capability that the parent has: the one at the same path, or
//! else the only one of its device; both grants' terms hold. What a task writes waits until its parent reads it.
//!
//! While a task runs, `unbind` and `revoke` take away what was bound or granted at a path, for good: whatever it does there fails
//! with `ENODEV`, on files that are open as well.
//!
//! Terms: `children=N`, 64 unless told: tasks that there may be at once, ended ones included until they are deleted.
//!
//! Errors: `EMFILE` for more tasks than granted, `EINVAL` for malformed commands, `EBUSY` for changes after the start, `ESRCH` for
//! `kill` of a task that doesn't run, `ENOEXEC` and others for what can't be started, with its reason in `error`.

mod host;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Poll;

use capfs::account::{Account, Charge, Holding};
use capfs::device::Device;
use capfs::device::conversations::LastError;
use capfs::device::parts::{Waiters, Woken, lock, open_text};
use capfs::device::pipe::{PIPE_CAPACITY, pipe_nodes};
use capfs::device::synthetic::DynamicNames;
use capfs::{BindOrder, DirEntry, Errno, NodeRef, Op, OpenFile, OpenHow};

use crate::grant::{DeviceKind, Grant, GrantError, same_path};

pub use host::{Bind, Ended, Plan, Refusal, Spawner};

/// Tasks that there may be at once, unless told.
const CHILDREN: usize = 64;

/// The code of a task that was ended: 128 and SIGKILL, as a shell knows it.
const KILLED: u32 = 137;

/// Binds and grants of one task, at most.
const GIVEN_MAX: usize = 256;

/// Bytes that the parent's account is charged for a task, beside what it is given: 16 KiB, what one with its files and its
/// thread takes on a 64-bit host.
const TASK: u64 = 16 << 10;

/// How often the bytes of what a task is given are charged: once as they were written, once as the child has them.
const GIVEN: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    New,
    /// It could not be started, and can be put right and tried again.
    Failed(Errno),
    Starting,
    Running,
    Ended(Ended),
}

/// One task.
pub struct Task {
    number: u64,
    shared: Arc<Shared>,
    life: Mutex<Life>,
    /// The parent's and the task's ends of standard input, output and errors.
    pipes: [(NodeRef, NodeRef); 3],
}

struct Life {
    state: State,
    cmd: String,
    args: String,
    env: String,
    dir: String,
    binds: Vec<Given<Bind>>,
    grants: Vec<Given<Grant>>,
    /// It is not there any more.
    deleted: bool,
    /// Those who wait for its end, by the number of their wait.
    waiting: Waiters,
    waits: u64,
    charge: Charge,
}

/// What a task was given, and the bytes that it is charged for.
struct Given<T> {
    what: T,
    bytes: usize,
}

/// Takes out what is at a path; returns the bytes that it was charged for, if there was something.
fn take_out<T>(given: &mut Vec<Given<T>>, is_there: impl Fn(&T) -> bool) -> Option<usize> {
    let mut taken = None;
    given.retain(|one| {
        let stays = !is_there(&one.what);
        if !stays {
            *taken.get_or_insert(0) += one.bytes;
        }
        stays
    });
    given.shrink_to_fit();
    taken
}

impl Life {
    /// Takes away the binds at a path; says whether there were any.
    fn unbind(&mut self, to: &str) -> bool {
        let taken = take_out(&mut self.binds, |bind| same_path(&bind.to, to));
        self.give_back(taken)
    }

    /// Takes away the grants at a path; says whether there were any.
    fn ungrant(&mut self, at: &str) -> bool {
        let taken = take_out(&mut self.grants, |grant| same_path(&grant.at, at));
        self.give_back(taken)
    }

    fn give_back(&mut self, taken: Option<usize>) -> bool {
        let bytes = taken.unwrap_or(0);
        self.charge.shrink(GIVEN * bytes as u64);
        taken.is_some()
    }

    /// Charges so many bytes more of what the task is to be given, and so many fewer.
    fn charge(&mut self, more: usize, fewer: usize) -> Result<(), Errno> {
        let now = self.charge.bytes() + GIVEN * more as u64;
        self.charge.resize(now - GIVEN * fewer as u64)
    }

    /// Puts it into another state; returns who waits for that.
    #[must_use = "to be woken when nothing is locked"]
    fn becomes(&mut self, state: State) -> Woken {
        self.state = state;
        self.waiting.take()
    }
}

struct Shared {
    spawner: Arc<dyn Spawner>,
    max: usize,
    device: Device,
    error: LastError,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    last: u64,
    all: BTreeMap<u64, (Arc<Task>, NodeRef)>,
}

/// That the terms of a grant can be understood.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    children(grant).map(drop)
}

/// How many tasks a grant lets there be.
///
/// # Errors
/// What is wrong with its terms.
pub fn children(grant: &Grant) -> Result<usize, GrantError> {
    let mut max = CHILDREN;
    for term in &grant.terms {
        match term.key.as_str() {
            "children" => max = term.count()?,
            _ => return Err(grant.unknown(term, const { DeviceKind::Task.keys() })),
        }
    }
    Ok(max)
}

/// The tasks of one parent.
#[derive(Clone)]
pub struct TaskDevice(Arc<Shared>);

impl TaskDevice {
    /// Tasks that `spawner` starts, on the terms of a grant, for the agent of an account.
    ///
    /// # Errors
    /// What is wrong with the grant.
    pub fn new(
        spawner: Arc<dyn Spawner>,
        grant: &Grant,
        account: &Account,
    ) -> Result<TaskDevice, GrantError> {
        let max = children(grant)?;
        Ok(TaskDevice(Arc::new(Shared {
            spawner,
            max,
            device: Device::new(account),
            error: LastError::default(),
            tasks: Mutex::default(),
        })))
    }

    /// The tree.
    pub fn root(&self) -> NodeRef {
        let (maker, error, max) = (self.0.clone(), self.0.clone(), self.0.max);
        let make = move || -> Result<Box<dyn OpenFile>, Errno> {
            let number = maker.make()?;
            let opened = open_text(format!("{number}\n").into_bytes(), maker.device.account());
            if opened.is_err() {
                // Nobody has been told of it, so nobody could end it.
                let gone = lock(&maker.tasks).all.remove(&number);
                drop(gone);
            }
            opened
        };
        let device = &self.0.device;
        device
            .directory()
            .dir("new", device.directory().reads("wasi", make))
            .text("policy", move || format!("children {max}"))
            .text("error", move || error.error.text())
            .dynamic(Names(self.0.clone()))
            .build()
    }

    /// The task with this number.
    pub fn task(&self, number: u64) -> Option<Arc<Task>> {
        let tasks = lock(&self.0.tasks);
        tasks.all.get(&number).map(|(task, _)| task.clone())
    }

    /// The parent is over: so are its tasks.
    pub fn end(&self) {
        let all = std::mem::take(&mut lock(&self.0.tasks).all);
        for (number, (task, _)) in all {
            if task.is_under_way() {
                self.0.spawner.kill(number);
            }
        }
    }
}

impl Shared {
    fn make(self: &Arc<Self>) -> Result<u64, Errno> {
        let mut tasks = lock(&self.tasks);
        if tasks.all.len() >= self.max {
            let text = format!("the grant is for {} tasks", self.max);
            return Err(self.error.explain(Errno::Mfile, text));
        }
        let charge = self.device.account().charge(Holding::Programs, TASK);
        let charge = charge.map_err(|errno| {
            let text = "the parent may not hold a task more";
            self.error.explain(errno, text)
        })?;
        tasks.last += 1;
        let number = tasks.last;
        let task = Arc::new(Task {
            number,
            shared: self.clone(),
            life: Mutex::new(Life {
                state: State::New,
                cmd: String::new(),
                args: String::new(),
                env: String::new(),
                dir: String::new(),
                binds: Vec::new(),
                grants: Vec::new(),
                deleted: false,
                waiting: Waiters::default(),
                waits: 0,
                charge,
            }),
            pipes: [0; 3].map(|_| pipe_nodes(PIPE_CAPACITY, &self.device)),
        });
        let node = directory(&task);
        tasks.all.insert(number, (task, node));
        Ok(number)
    }
}

fn directory(task: &Arc<Task>) -> NodeRef {
    // The tree must not keep its task: the table does.
    let weak = || Arc::downgrade(task);
    let upgrade = |task: &Weak<Task>| task.upgrade().ok_or(Errno::Noent);
    let value = |pick: fn(&mut Life) -> &mut String| {
        let (shown, set) = (weak(), weak());
        let show =
            move || Op::from(upgrade(&shown).map(|task| pick(&mut lock(&task.life)).clone()));
        let set = move |text: &str| {
            let task = upgrade(&set)?;
            let mut life = task.unstarted_life()?;
            let fewer = pick(&mut life).len();
            life.charge(text.len(), fewer)?;
            *pick(&mut life) = text.to_owned();
            Ok(())
        };
        (show, set)
    };
    let text = |say: fn(&Task) -> String| {
        let task = weak();
        move || Op::from(upgrade(&task).map(|task| say(&task)))
    };
    let [input, output, errors] = &task.pipes;
    let (command, wait) = (weak(), weak());
    let wait = move || match wait.upgrade() {
        Some(task) => Op::later(async move {
            let ended = task.ended_at_last().await?;
            open_text(
                format!("{}\n", ended.code).into_bytes(),
                task.shared.device.account(),
            )
        }),
        None => Op::err(Errno::Noent),
    };
    let number = task.number;
    let [cmd, args, env, dir] = [
        value(|life| &mut life.cmd),
        value(|life| &mut life.args),
        value(|life| &mut life.env),
        value(|life| &mut life.dir),
    ];
    let device = &task.shared.device;
    device
        .directory()
        .ctl_with_text(
            "ctl",
            move || number.to_string(),
            move |line: &str| match command.upgrade() {
                Some(task) => task.command(line),
                None => Op::err(Errno::Noent),
            },
        )
        .value("cmd", cmd.0, cmd.1)
        .value("args", args.0, args.1)
        .value("env", env.0, env.1)
        .value("dir", dir.0, dir.1)
        .text("ns", text(Task::given))
        .text("status", text(Task::status))
        .text("exit", text(Task::exit))
        .reads("wait", wait)
        .dir(
            "fd",
            device
                .directory()
                .node("0", input.1.clone())
                .node("1", output.0.clone())
                .node("2", errors.0.clone()),
        )
        .build()
}

/// Which of an agent's capabilities a further grant is about: the one at the same path, or the only one of its device.
///
/// # Errors
/// - `EACCES`: it has none of this device
/// - `EINVAL`: it has several, and none at this path
pub fn source<'a, T>(
    held: impl Iterator<Item = (&'a Grant, T)>,
    wanted: &Grant,
) -> Result<T, Refusal> {
    let mut all: Vec<(&Grant, T)> = held
        .filter(|(grant, _)| grant.device == wanted.device)
        .collect();
    let there = all
        .iter()
        .position(|(grant, _)| same_path(&grant.at, &wanted.at));
    let name = wanted.device.name();
    match (there, all.len()) {
        (Some(index), _) => Ok(all.swap_remove(index).1),
        (None, 1) => Ok(all.swap_remove(0).1),
        (None, 0) => Err(Refusal {
            errno: Errno::Acces,
            text: format!("the parent has no {name}"),
        }),
        (None, _) => Err(Refusal {
            errno: Errno::Inval,
            text: format!("the parent has several {name}: say at= which path of one of them"),
        }),
    }
}

/// Two or three words of a bind, where names have no blanks in them.
fn parse_bind(words: &[&str]) -> Option<Bind> {
    let [from, to, options @ ..] = words else {
        return None;
    };
    let plain = |path: &str| path.starts_with('/') && !path.split('/').any(|name| name == "..");
    let mut bind = Bind {
        from: (*from).to_owned(),
        to: (*to).to_owned(),
        writable: true,
        order: BindOrder::Replace,
    };
    for option in options {
        match *option {
            "ro" => bind.writable = false,
            "before" => bind.order = BindOrder::Before,
            "after" => bind.order = BindOrder::After,
            _ => return None,
        }
    }
    (plain(from) && plain(to)).then_some(bind)
}

impl Task {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its child has ended.
    pub fn ended(&self, ended: Ended) {
        let waiting = {
            let mut life = lock(&self.life);
            if matches!(life.state, State::Ended(_)) {
                return;
            }
            life.becomes(State::Ended(ended))
        };
        waiting.wake();
    }

    /// Keeps the reason why it can't be started, for `error`, and returns the errno.
    pub fn refused(&self, refusal: Refusal) -> Errno {
        self.shared.error.explain(refusal.errno, refusal.text)
    }

    fn explain(&self, errno: Errno, text: impl Into<String>) -> Errno {
        self.shared.error.explain(errno, text)
    }

    fn is_under_way(&self) -> bool {
        matches!(lock(&self.life).state, State::Starting | State::Running)
    }

    fn unstarted(&self) -> Result<(), Errno> {
        self.unstarted_life().map(drop)
    }

    /// What it has, locked, if it has not been started.
    fn unstarted_life(&self) -> Result<MutexGuard<'_, Life>, Errno> {
        let life = lock(&self.life);
        match life.state {
            State::New | State::Failed(_) => Ok(life),
            _ => {
                drop(life);
                Err(self.explain(Errno::Busy, "the task has been started"))
            }
        }
    }

    fn status(&self) -> String {
        match &lock(&self.life).state {
            State::New => "new".to_owned(),
            State::Failed(errno) => format!("failed {}", errno.name()),
            State::Starting => "starting".to_owned(),
            State::Running => "running".to_owned(),
            State::Ended(ended) => format!("ended {}", ended.reason),
        }
    }

    fn exit(&self) -> String {
        match &lock(&self.life).state {
            State::Ended(ended) => ended.code.to_string(),
            _ => String::new(),
        }
    }

    fn given(&self) -> String {
        let life = lock(&self.life);
        let binds = life.binds.iter().map(|given| format!("{}\n", given.what));
        let grants = life.grants.iter();
        let grants = grants.map(|given| format!("grant {}\n", given.what.to_flag()));
        binds.chain(grants).collect()
    }

    /// # Errors
    /// What a start failed with, and [`Errno::Noent`] if it was deleted before it ran.
    async fn ended_at_last(&self) -> Result<Ended, Errno> {
        let wait = Wait::new(self);
        std::future::poll_fn(|context| {
            let mut life = lock(&self.life);
            match &life.state {
                State::Ended(ended) => return Poll::Ready(Ok(ended.clone())),
                State::Failed(errno) => return Poll::Ready(Err(*errno)),
                State::New if life.deleted => return Poll::Ready(Err(Errno::Noent)),
                _ => {}
            }
            let crowded = life.waiting.register(wait.id, context);
            drop(life);
            crowded.wake();
            Poll::Pending
        })
        .await
    }

    fn command(self: &Arc<Self>, line: &str) -> Op<()> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["bind", ..] => match parse_bind(&words[1..]) {
                Some(bind) => {
                    let bytes = line.len();
                    let add = |life: &mut Life| life.binds.push(Given { what: bind, bytes });
                    self.give(bytes, add).into()
                }
                None => self.malformed(line),
            },
            ["unbind", at] | ["revoke", at] if self.is_under_way() => self.take_away(at),
            ["unbind", to] => self.unbind(to).into(),
            ["grant", ..] => self.grant(line["grant".len()..].trim()),
            ["revoke", at] => self.ungrant(at).into(),
            ["start"] => self.start(),
            ["kill"] if !self.is_under_way() => {
                Op::err(self.explain(Errno::Srch, "the task does not run"))
            }
            ["kill"] => {
                self.shared.spawner.kill(self.number);
                Op::ok(())
            }
            ["delete"] => {
                if self.is_under_way() {
                    self.shared.spawner.kill(self.number);
                }
                let gone = lock(&self.shared.tasks).all.remove(&self.number);
                drop(gone);
                let waiting = {
                    let mut life = lock(&self.life);
                    life.deleted = true;
                    life.waiting.take()
                };
                waiting.wake();
                Op::ok(())
            }
            _ => self.malformed(line),
        }
    }

    fn malformed(&self, line: &str) -> Op<()> {
        Op::err(self.explain(Errno::Inval, format!("can't understand `{line}`")))
    }

    /// Adds something that takes so many bytes; those stay charged until it is taken away, or the task goes.
    fn give(&self, bytes: usize, add: impl FnOnce(&mut Life)) -> Result<(), Errno> {
        let mut life = self.unstarted_life()?;
        if life.binds.len() + life.grants.len() >= GIVEN_MAX {
            drop(life);
            let text = format!("a task is given {GIVEN_MAX} things at most");
            return Err(self.explain(Errno::Nospc, text));
        }
        life.charge(bytes, 0)?;
        add(&mut life);
        Ok(())
    }

    fn grant(self: &Arc<Self>, flag: &str) -> Op<()> {
        let read = || {
            self.unstarted()?;
            let grant = Grant::from_flag(flag)
                .map_err(|error| self.explain(Errno::Inval, error.to_string()))?;
            let taken = |other: &Grant| same_path(&other.at, &grant.at);
            match lock(&self.life)
                .grants
                .iter()
                .any(|given| taken(&given.what))
            {
                true => {
                    let text = format!("something is granted at {} already", grant.at);
                    Err(self.explain(Errno::Exist, text))
                }
                false => Ok(grant),
            }
        };
        let grant = match read() {
            Ok(grant) => grant,
            Err(errno) => return Op::err(errno),
        };
        let checked = self.shared.spawner.check(self.clone(), &grant);
        let task = self.clone();
        let bytes = flag.len();
        checked.then(move |()| {
            let add = |life: &mut Life| life.grants.push(Given { what: grant, bytes });
            task.give(bytes, add).into()
        })
    }

    fn unbind(&self, to: &str) -> Result<(), Errno> {
        let taken = self.unstarted_life()?.unbind(to);
        taken.then_some(()).ok_or(Errno::Inval)
    }

    fn ungrant(&self, at: &str) -> Result<(), Errno> {
        let taken = self.unstarted_life()?.ungrant(at);
        taken.then_some(()).ok_or(Errno::Inval)
    }

    /// While it runs.
    fn take_away(self: &Arc<Self>, at: &str) -> Op<()> {
        let (task, path) = (self.clone(), at.to_owned());
        let taken = self.shared.spawner.revoke(self.number, at);
        taken.map(move |()| {
            let mut life = lock(&task.life);
            life.unbind(&path);
            life.ungrant(&path);
        })
    }

    /// What it is started with.
    ///
    /// # Errors
    /// What is missing: a sentence.
    fn plan(life: &Life) -> Result<Plan, &'static str> {
        let texts = [&life.cmd, &life.args, &life.env, &life.dir];
        if texts.iter().any(|text| text.contains('\0')) {
            return Err("what a program is given can't contain the byte 0");
        }
        let mut words = life.cmd.split_ascii_whitespace().map(str::to_owned);
        let program = words.next().ok_or("there is no program in `cmd`")?;
        let mut args: Vec<String> = words.collect();
        args.extend(life.args.lines().map(str::to_owned));
        let variables = life.env.lines().filter(|line| !line.is_empty());
        let env: Option<Vec<_>> = variables
            .map(|line| {
                let named = line.split_once('=');
                let (name, value) = named.filter(|(name, _)| !name.is_empty())?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        let dir = life.dir.trim();
        Ok(Plan {
            program,
            args,
            env: env.ok_or("`env` has a line that is not NAME=VALUE")?,
            dir: (!dir.is_empty()).then(|| dir.to_owned()),
            binds: life.binds.iter().map(|given| given.what.clone()).collect(),
            grants: life.grants.iter().map(|given| given.what.clone()).collect(),
        })
    }

    fn start(self: &Arc<Self>) -> Op<()> {
        // Under one lock: of two who start it, one does.
        let begin = || {
            let mut life = self.unstarted_life()?;
            life.state = State::Starting;
            Ok(Task::plan(&life))
        };
        let plan = match begin() {
            Ok(plan) => plan,
            Err(errno) => return Op::err(errno),
        };
        let plan = plan.map_err(|lack| self.explain(Errno::Inval, lack));
        let attempt = Attempt(Some(self.clone()));
        let task = self.clone();
        Op::run(async move {
            let started = task.started(plan).await;
            attempt.ended(started);
            started
        })
    }

    /// What is missing for a start fails as any other start does: behind the task's ends of its pipes, whose readers find their end then.
    async fn started(self: Arc<Self>, plan: Result<Plan, Errno>) -> Result<(), Errno> {
        let [input, output, errors] = &self.pipes;
        let reads = OpenHow {
            read: true,
            ..OpenHow::default()
        };
        let writes = OpenHow {
            write: true,
            ..OpenHow::default()
        };
        let stdio = [
            input.0.open(reads).wait().await?,
            output.1.open(writes).wait().await?,
            errors.1.open(writes).wait().await?,
        ];
        let spawner = self.shared.spawner.clone();
        spawner.start(self, plan?, stdio).wait().await
    }
}

/// Somebody waits for a task's end. One who waits no longer is forgotten: a task may run for ever.
struct Wait<'a> {
    task: &'a Task,
    id: u64,
}

impl Wait<'_> {
    fn new(task: &Task) -> Wait<'_> {
        let mut life = lock(&task.life);
        life.waits += 1;
        Wait {
            task,
            id: life.waits,
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        lock(&self.task.life).waiting.forget(self.id);
    }
}

/// A start under way. One that is given up is no start: what began is ended.
struct Attempt(Option<Arc<Task>>);

impl Attempt {
    fn ended(mut self, started: Result<(), Errno>) {
        let Some(task) = self.0.take() else {
            return;
        };
        let waiting = {
            let mut life = lock(&task.life);
            match started {
                // It may have ended already.
                Ok(()) if life.state == State::Starting => life.becomes(State::Running),
                Ok(()) => Woken::default(),
                Err(errno) => life.becomes(State::Failed(errno)),
            }
        };
        waiting.wake();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.shared.spawner.kill(task.number);
            task.ended(Ended {
                code: KILLED,
                reason: "killed".to_owned(),
            });
        }
    }
}

/// The numbered directories.
struct Names(Arc<Shared>);

impl DynamicNames for Names {
    fn find(&self, name: &str) -> Op<NodeRef> {
        let tasks = lock(&self.0.tasks);
        // One spelling a number: `07` is not 7.
        let number = name.parse::<u64>().ok();
        let number = number.filter(|number| number.to_string() == name);
        let found = number.and_then(|number| tasks.all.get(&number));
        found
            .map(|(_, node)| node.clone())
            .ok_or(Errno::Noent)
            .into()
    }

    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let tasks = lock(&self.0.tasks);
        let after = tasks.all.range(cookie.saturating_add(1)..).take(max);
        let entries = after.map(|(number, (_, node))| DirEntry {
            name: number.to_string(),
            qid: node.qid(),
            cookie: *number,
        });
        Op::ok(entries.collect())
    }
}

#[cfg(test)]
mod tests;
