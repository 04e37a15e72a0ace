//! One child, from its plan to its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capfs::account::{Account, Buffer, Charge, Holding};
use capfs::device::gate::Gate;
use capfs::device::parts::lock;
use capfs::{
    BindOrder, DeviceId, Errno, FileKind, Mounted, Namespace, OpenFile, OpenHow, Place, Rights,
};
use capfs_devices::task::{Bind, Ended, Plan, Refusal, Task};
use capfs_runtime::Preopen;

use super::promise::Promise;
use super::{Family, Parent, Turn};
use crate::capabilities::{self, Held};
use crate::compile::{Failure, Watch};
use crate::engine::{Compiling, Loaded, ModuleError, load_read, read_facts};
use crate::grants::{self, absolute};
use crate::read::PROGRAM_MAX;
use crate::run::{Agent, Outcome, Report, RunConfig, codes};
use crate::wait::{Cancelled, Canceller, Parker};

/// Bytes of a program that are read at once.
const CHUNK: usize = 256 << 10;

/// What `exit` says of a child that never ran.
const NEVER_RAN: u32 = 1;

/// How long a child waits for its own children when it has ended.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// A child that is started, or runs.
pub(super) struct Child {
    family: Arc<Family>,
    /// What it makes this host hold is charged to this, a part of its parent's.
    account: Account,
    parent: Arc<Parent>,
    /// Its name in the audit.
    name: String,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    killed: bool,
    /// Ends what is done for it at the moment.
    end: Option<Box<dyn Fn() + Send>>,
    /// In front of each thing that was bound, by where it has it.
    gates: Vec<(String, Gate)>,
    /// What it was granted.
    held: Vec<Held>,
}

impl Child {
    /// A child of a parent that has this account.
    pub(super) fn new(
        family: Arc<Family>,
        account: &Account,
        parent: Arc<Parent>,
        number: u64,
    ) -> Child {
        Child {
            name: format!("{} task {number}", parent.name),
            family,
            account: account.child(account.max()),
            parent,
            life: Mutex::default(),
        }
    }

    /// Ends it, whatever it does.
    pub(super) fn kill(&self) {
        let mut life = lock(&self.life);
        life.killed = true;
        if let Some(end) = &life.end {
            end();
        }
    }

    /// It can be ended by this from now on.
    pub(super) fn ended_by(&self, end: impl Fn() + Send + 'static) {
        let mut life = lock(&self.life);
        if life.killed {
            end();
        }
        life.end = Some(Box::new(end));
    }

    fn cancelled_by(&self, canceller: Canceller) {
        self.ended_by(move || canceller.cancel(Cancelled::Killed));
    }

    /// Its files are these, and what it holds is its own to hand on, until what is returned is dropped.
    pub(super) fn begin(&self, namespace: &Namespace) -> Begun<'_> {
        let held = lock(&self.life).held.clone();
        capabilities::begin(&self.name, namespace, &held);
        Begun { child: self, held }
    }

    /// What it makes this host hold is charged to this.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Takes what it was given at a path away, for good; whether there was anything.
    pub(super) fn revoke(&self, at: &str) -> bool {
        let Ok(at) = absolute(at) else {
            return false;
        };
        let (gates, held) = {
            let life = lock(&self.life);
            let gates = life.gates.iter().filter(|(path, _)| *path == at);
            let gates = gates.map(|(_, gate)| gate.clone());
            let gates: Vec<Gate> = gates.filter(|gate| !gate.is_revoked()).collect();
            let there = |held: &&Held| {
                absolute(&held.grant.at).is_ok_and(|path| path == at) && !held.gate.is_revoked()
            };
            let held: Vec<Held> = life.held.iter().filter(there).cloned().collect();
            (gates, held)
        };
        gates.iter().for_each(Gate::revoke);
        held.iter().for_each(Held::revoke);
        !gates.is_empty() || !held.is_empty()
    }

    /// Runs the program on this thread, to its end. `started` is told whether it runs.
    pub(super) fn run(
        &self,
        task: &Task,
        plan: Plan,
        stdio: [Box<dyn OpenFile>; 3],
        started: Promise,
        turn: Turn,
    ) {
        let parker = Parker::new();
        self.cancelled_by(parker.canceller(self.family.runs.engines().on_demand()));
        let (agent, config, code) = match self.prepare(&parker, plan, stdio) {
            Ok(prepared) => prepared,
            Err(refusal) => {
                drop(turn);
                return started.keep(Err(task.refused(refusal)));
            }
        };
        let begun = self.begin(&config.namespace);
        let mut started = Some(started);
        let report = agent.run(
            config,
            |canceller| self.cancelled_by(canceller),
            || {
                if let Some(started) = started.take() {
                    started.keep(Ok(()));
                }
            },
        );
        capabilities::end(begun.held(), PATIENCE);
        drop((agent, code, begun));
        // Whoever learns that it has ended may start another.
        drop(turn);
        conclude(task, started, &report);
    }

    /// Loads the program, and puts together what it is given. The charge is for its code.
    fn prepare(
        &self,
        parker: &Parker,
        plan: Plan,
        stdio: [Box<dyn OpenFile>; 3],
    ) -> Result<(Agent, RunConfig, Charge), Refusal> {
        let ended = |_| ended_early(&plan.program);
        let read = parker.wait_for(self.read(&plan.program));
        let (wasm, code) = read.map_err(ended)??;
        let (loaded, code) = self.load(parker, &plan.program, wasm, code)?;
        let agent = Agent::new(&loaded.module, &plan.program);
        let agent = agent.map_err(|error| refused(&plan.program, &error))?;
        let files = parker.wait_for(self.files(&plan)).map_err(ended)??;
        Ok((agent, self.config(plan, files, stdio), code))
    }

    /// What it is run with.
    pub(super) fn config(
        &self,
        plan: Plan,
        (namespace, preopens): (Namespace, Vec<Preopen>),
        stdio: [Box<dyn OpenFile>; 3],
    ) -> RunConfig {
        let name = plan.program.rsplit('/').next().unwrap_or_default();
        let name = match name {
            "" => plan.program.clone(),
            name => name.to_owned(),
        };
        RunConfig {
            args: std::iter::once(name).chain(plan.args).collect(),
            env: once_each(plan.env),
            namespace,
            preopens,
            stdio,
            handed: Vec::new(),
            clock: self.family.clock,
            random: self.family.random,
            max_files: self.family.files.clone(),
            account: self.account.clone(),
            timeout: None,
            driver: None,
        }
    }

    /// Compiles the program that was read where its code is not kept. The charge, which is for the file, is for the code then.
    pub(super) fn load(
        &self,
        parker: &Parker,
        program: &str,
        wasm: Vec<u8>,
        mut code: Charge,
    ) -> Result<(Loaded, Charge), Refusal> {
        let larger = |errno| larger(program, errno);
        let refused = |error: ModuleError| refused(program, &error);
        let compiler = self.family.compiler.as_ref().ok_or_else(|| Refusal {
            errno: Errno::Notsup,
            text: self.family.lacks().unwrap_or_default().to_owned(),
        })?;
        let reading = capfs_modules::held(wasm.len() as u64);
        let reading = self.account.charge(Holding::Programs, reading);
        let reading = reading.map_err(larger)?;
        let facts = read_facts(&wasm, program).map_err(refused)?;
        drop(reading);
        // Beside the file, and then beside the code.
        let weight = facts.weight();
        code.grow(weight).map_err(larger)?;
        let watch = Watch {
            parker,
            max: self.account.left(),
            charge: Some(&mut code),
            meanwhile: &mut || (),
        };
        let (runs, cache) = (&self.family.runs, self.family.cache.as_ref());
        let compiling = Compiling::Apart(compiler, watch);
        let loaded = load_read(runs.engines(), &wasm, program, facts, cache, compiling);
        drop(wasm);
        let loaded = loaded.map_err(refused)?;
        let image = loaded.module.image_range();
        let image = image.end as usize - image.start as usize;
        let kept = weight.saturating_add(image as u64 + loaded.instance + runs.running());
        code.resize(kept).map_err(larger)?;
        loaded.fits(self.account.left(), program).map_err(refused)?;
        Ok((loaded, code))
    }

    /// A place of the parent's.
    async fn place(&self, path: &str) -> Result<Place, Errno> {
        let names = path.trim_start_matches('/');
        let namespace = &self.parent.namespace;
        let root = namespace.root();
        if names.is_empty() {
            return Ok(root);
        }
        let resolved = namespace.resolve(&root, names, true).wait().await?;
        resolved.place.ok_or(Errno::Noent)
    }

    /// The program's bytes, and a charge for them.
    pub(super) async fn read(&self, program: &str) -> Result<(Vec<u8>, Charge), Refusal> {
        let read = async {
            let place = self.place(program).await?;
            if place.kind() == FileKind::Directory {
                return Err(Errno::Isdir);
            }
            let how = OpenHow {
                read: true,
                ..OpenHow::default()
            };
            let opening = self.parent.namespace.open_place(&place, how).wait();
            let mut file = opening.await?;
            let mut wasm = Buffer::new(&self.account, Holding::Programs);
            loop {
                let before = wasm.len();
                if before as u64 > PROGRAM_MAX {
                    return Err(Errno::Fbig);
                }
                let bytes = wasm.resize(before + CHUNK)?;
                let reading = std::future::poll_fn(|context| {
                    file.poll_read(context, before as u64, &mut &mut bytes[before..])
                });
                let count = reading.await?;
                wasm.resize(before + count)?;
                if count == 0 {
                    return Ok(wasm.take());
                }
                self.family.runs.pause().await;
            }
        };
        read.await.map_err(|errno| unread(program, errno))
    }

    /// The child's namespace, each part of it behind a gate, and the directories that it finds open.
    pub(super) async fn files(&self, plan: &Plan) -> Result<(Namespace, Vec<Preopen>), Refusal> {
        let invalid = |text| Refusal {
            errno: Errno::Inval,
            text,
        };
        let mut preopens: Vec<Preopen> = Vec::new();
        let mut mounts = Vec::new();
        for (at, members) in unions(&plan.binds).map_err(invalid)? {
            for (index, bind) in members.into_iter().enumerate() {
                if index == 0 {
                    preopens.push(Preopen {
                        name: bind.to.clone(),
                        path: at.clone(),
                    });
                }
                let bound = self.bind(bind, &at).await.map_err(|errno| Refusal {
                    errno,
                    text: format!("can't bind {} at {}: {errno}", bind.from, bind.to),
                });
                let mut bound = bound?;
                let taken =
                    |id: &DeviceId| mounts.iter().any(|known: &Mounted| known.device == *id);
                let device = bound.device.distinct(taken);
                bound.device = device.map_err(|errno| invalid(errno.to_string()))?;
                mounts.push(bound);
            }
        }
        for grant in &plan.grants {
            let at = absolute(&grant.at).map_err(invalid)?;
            let narrowed = self.parent.narrowed(grant, &self.account)?;
            // What the parent loses, the child loses.
            let root = narrowed.of.guard(narrowed.root);
            let sink = self.family.sink.clone();
            let whose = (self.name.as_str(), &self.account);
            let (held, root) = Held::new(whose, sink, grant.clone(), narrowed.kind, root);
            lock(&self.life).held.push(held);
            let device = DeviceId::named(grant.device.name(), &at);
            mounts.push(Mounted {
                device: device.map_err(|errno| invalid(errno.to_string()))?,
                at,
                root,
                rights: Rights::RW,
            });
        }
        let tops = plan.grants.iter().map(|grant| grant.at.as_str());
        grants::reach(tops, &mut preopens);
        let namespace = grants::mounted(mounts, &self.account).map_err(|lacks| Refusal {
            errno: Errno::Inval,
            text: lacks.iter().map(ToString::to_string).collect(),
        })?;
        if let Some(dir) = &plan.dir {
            preopens.push(Preopen {
                name: ".".to_owned(),
                path: absolute(dir).map_err(invalid)?,
            });
        }
        Ok((namespace, preopens))
    }

    /// A directory of the parent's, as the child has it.
    async fn bind(&self, bind: &Bind, at: &str) -> Result<Mounted, Errno> {
        let place = self.place(&bind.from).await?;
        if place.kind() != FileKind::Directory {
            return Err(Errno::Notdir);
        }
        let rights = match bind.writable {
            true => Rights::RW,
            false => Rights::RO,
        };
        let (gate, root) = Gate::new(self.parent.namespace.view(place), None);
        lock(&self.life).gates.push((at.to_owned(), gate));
        Ok(Mounted {
            at: at.to_owned(),
            // Each looks at the parent's namespace by itself, and numbers what is behind it.
            device: DeviceId::named("parent", &bind.from)?,
            root,
            rights,
        })
    }
}

/// A child that has begun. What it holds has its children's devices in it, and these what it has: neither would ever go.
pub(super) struct Begun<'a> {
    child: &'a Child,
    held: Vec<Held>,
}

impl Begun<'_> {
    /// What it was granted.
    pub(super) fn held(&self) -> &[Held] {
        &self.held
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        capabilities::end(&self.held, Duration::ZERO);
        drop(std::mem::take(&mut lock(&self.child.life).held));
    }
}

/// Tells how a child has ended; `started` is there if it did not come as far as its first instruction.
pub(super) fn conclude(task: &Task, started: Option<Promise>, report: &Report) {
    let Some(started) = started else {
        return task.ended(ended(&report.outcome));
    };
    let (text, errno) = match &report.outcome {
        Outcome::Refused(text, errno) => (text.clone(), *errno),
        _ => ("it could not be started".to_owned(), Errno::Io),
    };
    started.keep(Err(task.refused(Refusal { errno, text })));
}

fn unread(program: &str, errno: Errno) -> Refusal {
    Refusal {
        errno,
        text: format!("can't read {program}: {errno}"),
    }
}

/// That it was ended while it was put together.
pub(super) fn ended_early(program: &str) -> Refusal {
    unread(program, Errno::Canceled)
}

fn larger(program: &str, errno: Errno) -> Refusal {
    Refusal {
        errno,
        text: format!("{program} needs more memory to be loaded than there is left"),
    }
}

/// That a module can't run.
pub(super) fn refused(program: &str, error: &ModuleError) -> Refusal {
    match error {
        ModuleError::Compile {
            failure: Failure::Memory(_),
            ..
        } => larger(program, Errno::Nomem),
        _ => Refusal {
            errno: errno(error),
            text: error.to_string(),
        },
    }
}

/// What is bound at each path, in the order in which it is searched; paths in the order of their first bind.
fn unions(binds: &[Bind]) -> Result<Vec<(String, Vec<&Bind>)>, String> {
    let mut unions: Vec<(String, Vec<&Bind>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for bind in binds {
        let at = absolute(&bind.to)?;
        let index = *places.entry(at.clone()).or_insert(unions.len());
        if index == unions.len() {
            unions.push((at, Vec::new()));
        }
        let members = &mut unions[index].1;
        match bind.order {
            BindOrder::Replace => *members = vec![bind],
            BindOrder::Before => members.insert(0, bind),
            BindOrder::After => members.push(bind),
        }
    }
    Ok(unions)
}

/// Variables, the last value of each name, where the first one was.
fn once_each(env: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut once: Vec<(String, String)> = Vec::with_capacity(env.len());
    let mut places: HashMap<String, usize> = HashMap::with_capacity(env.len());
    for (name, value) in env {
        match places.get(&name) {
            Some(place) => once[*place].1 = value,
            None => {
                places.insert(name.clone(), once.len());
                once.push((name, value));
            }
        }
    }
    once
}

/// What stands for a module that can't run.
fn errno(error: &ModuleError) -> Errno {
    match error {
        ModuleError::Refused {
            refusal: capfs_modules::Refusal::MemoryLimit { .. },
            ..
        } => Errno::Nomem,
        ModuleError::Compile {
            failure: Failure::Ended(_),
            ..
        } => Errno::Canceled,
        ModuleError::Compile { .. } => Errno::Io,
        _ => Errno::Noexec,
    }
}

/// How a child has ended, in the words of every host.
fn ended(outcome: &Outcome) -> Ended {
    let (code, reason) = match outcome {
        Outcome::Exited(status) => (status.code(), outcome.reason()),
        // A child is stopped at its limit as by a trap.
        Outcome::OutOfMemory => (codes::TRAP.into(), "memory"),
        Outcome::Cancelled(Cancelled::Signal(_)) => (codes::KILLED.into(), "killed"),
        Outcome::Refused(..) => (NEVER_RAN, "host"),
        outcome => (outcome.code().into(), outcome.reason()),
    };
    Ended {
        code,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_each_variable_stays_and_many_are_no_work() {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let once = once_each(vec![
            variable("A", "1"),
            variable("B", "2"),
            variable("A", "3"),
        ]);
        assert_eq!(once, [variable("A", "3"), variable("B", "2")]);
        // Each compared with all before it would be minutes.
        let many = (0..1_000_000).map(|n| (format!("{n}"), String::new()));
        assert_eq!(once_each(many.collect()).len(), 1_000_000);
    }
}
