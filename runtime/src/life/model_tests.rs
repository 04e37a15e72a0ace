//! Random histories: two hosts, one store that fails, stops, or doesn't say what it did, crashes between any two effects, clocks that jump.
//! Each is made from a number, which a failure names. `CAPFS_LIFE_HISTORIES` says how many there are, and `CAPFS_LIFE_FIRST` the first.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;

const SECOND: u64 = 1_000_000_000;
const SOURCES: u64 = 3;

/// Numbers that look random (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What an agent keeps: what it has handled, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct App {
    tick: u64,
    handled: Vec<Name>,
}

/// An activation, with what it did since the last commit.
#[derive(Clone, Debug)]
struct Instance {
    app: App,
    /// The tick whose heap it has; none, if it began anew.
    heap: Option<u64>,
    /// It has been entered.
    entered: bool,
}

/// A commit that may be made later than anybody thinks.
#[derive(Clone, Debug)]
struct Limbo {
    epoch: u64,
    changes: Vec<Change>,
    app: Option<App>,
}

#[derive(Default)]
struct Shop {
    epoch: u64,
    record: Option<Record>,
    app: App,
    heap: Option<(u64, App)>,
    limbo: Vec<Limbo>,
    /// What came of each trigger, first and for ever.
    ledger: HashMap<Name, Outcome>,
    /// Triggers that have been in a commit.
    kept: BTreeSet<Name>,
    /// Dead letters there have been.
    buried: BTreeSet<Name>,
    removed: bool,
}

impl Shop {
    fn commit(
        &mut self,
        epoch: u64,
        changes: &[Change],
        app: Option<&App>,
        policy: &Policy,
    ) -> Result<(), CommitError> {
        if epoch != self.epoch || self.removed {
            return Err(CommitError::Fenced);
        }
        let record = self.record.as_mut().expect("an epoch is of a record");
        for change in changes {
            record.apply(change);
            match change {
                Change::Enqueue(queued) => {
                    self.kept.insert(queued.trigger.id.clone());
                }
                Change::Seen(id, outcome) => {
                    self.kept.insert(id.clone());
                    if let Some(before) = self.ledger.insert(id.clone(), outcome.clone()) {
                        // One that was given up may be tried again by an operator.
                        assert!(
                            matches!(before, Outcome::Dead { .. }),
                            "{id} ended twice: {before:?}, {outcome:?}"
                        );
                    }
                }
                Change::Tick { tick, heap } => {
                    let app = app.expect("a tick has been made");
                    assert_eq!(
                        (*tick, app.tick),
                        (self.app.tick + 1, self.app.tick + 1),
                        "a tick upon another state"
                    );
                    self.app = app.clone();
                    if *heap {
                        self.heap = Some((*tick, app.clone()));
                    }
                }
                Change::Heap { tick } => {
                    assert_eq!(*tick, self.app.tick, "a heap of another moment");
                    self.heap = Some((*tick, self.app.clone()));
                }
                Change::Bury(letter) => {
                    self.buried.insert(letter.id().clone());
                }
                Change::Remove => self.removed = true,
                _ => {}
            }
        }
        assert_eq!(record.header.tick, self.app.tick);
        assert!(
            record.inbox.len() <= policy.inbox
                && record.dead.len() <= policy.dead_letters
                && record.seen.len() <= policy.seen
        );
        assert!(
            record.outbox.len() <= policy.outbox
                && record.alarms.len() <= policy.alarms
                && record.sources.len() <= policy.sources
        );
        Ok(())
    }
}

/// What a host has been asked to do, and has not done.
#[derive(Clone, Debug)]
enum Task {
    Acquire,
    Commit {
        changes: Vec<Change>,
        app: Option<App>,
    },
    Activate(Start),
    Tick(Trigger),
    Dispatch(Message),
}

struct Host {
    life: Life,
    epoch: u64,
    instance: Option<Instance>,
    tasks: VecDeque<Task>,
    timer: Option<Time>,
}

struct World {
    dice: Dice,
    now: Time,
    policy: Policy,
    shop: Shop,
    hosts: [Option<Host>; 2],
    /// Who waits, at which host, for what.
    waiting: BTreeMap<Waiter, (usize, Option<(Name, Until)>)>,
    waiter: Waiter,
    sent: Vec<Trigger>,
    seqs: [u64; SOURCES as usize],
    /// What receivers have, in the order in which it came.
    received: BTreeMap<Name, Vec<(u64, Name)>>,
    committed_messages: BTreeSet<Name>,
    calm: bool,
    log: Vec<String>,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let heap = [Heap::Tick, Heap::Sleep, Heap::None][dice.below(3) as usize];
        let overflow = if dice.one_in(2) {
            Overflow::Refuse
        } else {
            Overflow::DeadLetter
        };
        let policy = Policy {
            heap,
            overflow,
            inbox: 2 + dice.below(8) as usize,
            seen: 100 + dice.below(20) as usize,
            sources: 3 + dice.below(4) as usize,
            dead_letters: 1 + dice.below(6) as usize,
            alarms: 2,
            outbox: 4,
            attempts: 1 + dice.below(4) as u32,
            quarantine: 2 + dice.below(3) as u32,
            idle: dice.below(20) * SECOND,
            ..Policy::default()
        };
        let shop = Shop {
            record: Some(Record::new([7; 32])),
            ..Shop::default()
        };
        World {
            dice,
            now: Time(1_000 * SECOND),
            policy,
            shop,
            hosts: [None, None],
            waiting: BTreeMap::new(),
            waiter: 0,
            sent: Vec::new(),
            seqs: [0; SOURCES as usize],
            received: BTreeMap::new(),
            committed_messages: BTreeSet::new(),
            calm: false,
            log: Vec::new(),
        }
    }

    fn start(&mut self, at: usize) {
        let (life, effects) = Life::new(name("agent"), self.policy.clone());
        self.hosts[at] = Some(Host {
            life,
            epoch: 0,
            instance: None,
            tasks: VecDeque::new(),
            timer: None,
        });
        self.take(at, effects);
    }

    fn tell(&mut self, at: usize, event: Event) {
        if self.log.len() < 100_000 {
            self.log.push(format!("{at} {event:?}"));
        }
        let Some(host) = &mut self.hosts[at] else {
            return;
        };
        let effects = host.life.step(event, self.now);
        self.take(at, effects);
    }

    fn take(&mut self, at: usize, effects: Vec<Effect>) {
        for effect in effects {
            if self.log.len() < 100_000 {
                self.log.push(format!("{at}     -> {effect:?}"));
            }
            let host = self.hosts[at].as_mut().unwrap();
            match effect {
                Effect::Acquire => host.tasks.push_back(Task::Acquire),
                Effect::Commit(changes) => {
                    assert!(
                        !host
                            .tasks
                            .iter()
                            .any(|task| matches!(task, Task::Commit { .. })),
                        "two commits at once"
                    );
                    let app = host.instance.as_ref().map(|instance| instance.app.clone());
                    host.tasks.push_back(Task::Commit { changes, app });
                }
                Effect::Activate(start) => host.tasks.push_back(Task::Activate(start)),
                Effect::Tick { trigger, .. } => {
                    let instance = host.instance.as_mut().expect("an activation is entered");
                    if !instance.entered
                        && instance.heap.is_none()
                        && instance.app.tick > 0
                        && self.policy.heap != Heap::None
                    {
                        assert!(
                            matches!(trigger.kind, Kind::Initialize(_)),
                            "a heap was lost, and nobody says so"
                        );
                    }
                    instance.entered = true;
                    host.tasks.push_back(Task::Tick(trigger));
                }
                Effect::Drop => {
                    host.instance = None;
                    host.tasks
                        .retain(|task| !matches!(task, Task::Activate(_) | Task::Tick(_)));
                }
                Effect::Timer(time) => host.timer = time,
                Effect::Answer(waiter, answer) => self.answered(waiter, answer),
                Effect::Dispatch(message) => {
                    assert!(
                        self.committed_messages.contains(&message.id),
                        "a message left before its tick was kept"
                    );
                    host.tasks.push_back(Task::Dispatch(message));
                }
                Effect::Status(_) => {}
            }
        }
    }

    fn answered(&mut self, waiter: Waiter, answer: Answer) {
        let (_, about) = self
            .waiting
            .remove(&waiter)
            .expect("an answer for somebody who waits");
        let Some((id, until)) = about else { return };
        match answer {
            Answer::Taken => {
                assert_eq!(until, Until::Taken);
                assert!(self.shop.kept.contains(&id), "{id} was said to be kept");
            }
            Answer::Handled(outcome) => {
                assert_eq!(self.shop.ledger.get(&id), Some(&outcome), "{id}")
            }
            Answer::Done => panic!("a trigger is no command"),
            Answer::Refused(_) => {}
        }
    }

    fn next_waiter(&mut self, at: usize, about: Option<(Name, Until)>) -> Waiter {
        self.waiter += 1;
        self.waiting.insert(self.waiter, (at, about));
        self.waiter
    }

    fn send(&mut self, at: usize) {
        let trigger = if !self.sent.is_empty() && self.dice.one_in(3) {
            let which = self.dice.below(self.sent.len() as u64) as usize;
            self.sent[which].clone()
        } else {
            let source = self.dice.below(SOURCES);
            self.seqs[source as usize] += 1;
            let seq = self.seqs[source as usize];
            let trigger = Trigger {
                id: name(&format!("s{source}-{seq}")),
                kind: Kind::Message,
                source: name(&format!("s{source}")),
                seq: (source != 0).then_some(seq),
                created_at: self.now,
                payload: [0u8; 4].into(),
            };
            self.sent.push(trigger.clone());
            trigger
        };
        let until = if self.dice.one_in(2) {
            Until::Taken
        } else {
            Until::Handled
        };
        let waiter = self.next_waiter(at, Some((trigger.id.clone(), until)));
        self.tell(
            at,
            Event::Send {
                trigger,
                waiter: Some((waiter, until)),
            },
        );
    }

    fn command(&mut self, at: usize) {
        let letter = self.hosts[at].as_ref().and_then(|host| {
            host.life
                .record()
                .dead
                .front()
                .map(|letter| letter.id().clone())
        });
        let control = match (self.dice.below(10), letter) {
            (0, _) => Control::Pause,
            (1 | 2, _) => Control::Resume {
                pace: self.dice.below(3) * SECOND,
            },
            (3, Some(letter)) => Control::Retry(letter),
            (4, Some(letter)) => Control::Discard(letter),
            (5, _) => Control::Upgrade([self.dice.below(3) as u8; 32]),
            (6, _) => Control::Confirm,
            (7, _) => Control::Revert,
            (8, _) => Control::Leave,
            (9, _) => Control::Return,
            _ => Control::Hibernate,
        };
        let waiter = self.next_waiter(at, None);
        self.tell(
            at,
            Event::Control {
                control,
                waiter: Some(waiter),
            },
        );
    }

    /// Does one of the things that a host has been asked for.
    fn work(&mut self, at: usize) {
        let Some(host) = &mut self.hosts[at] else {
            return;
        };
        if host.tasks.is_empty() {
            return;
        }
        let which = self.dice.below(host.tasks.len() as u64) as usize;
        let task = host.tasks.remove(which).unwrap();
        let fails = !self.calm && self.dice.one_in(8);
        match task {
            Task::Acquire => {
                if fails {
                    return self.tell(at, Event::Acquired(Err(AcquireError::Unavailable)));
                }
                if self.shop.removed {
                    return self.tell(at, Event::Acquired(Err(AcquireError::Unknown)));
                }
                self.shop.epoch += 1;
                let record = self.shop.record.as_mut().unwrap();
                record.acquire();
                let record = Box::new(record.clone());
                host.epoch = self.shop.epoch;
                self.tell(at, Event::Acquired(Ok(record)));
            }
            Task::Commit { changes, app } => self.commit(at, changes, app, fails),
            Task::Activate(start) => {
                if fails {
                    let error = if self.dice.one_in(2) && start != Start::New {
                        StartError::Heap
                    } else {
                        StartError::Failed("no memory".into())
                    };
                    return self.tell(at, Event::Activated(Err(error)));
                }
                let heap = match start {
                    Start::Heap { tick } => {
                        let (kept, heap) = self.shop.heap.clone().expect("a heap is kept");
                        // Unless another host has gone on meanwhile, and what comes of this is refused.
                        if host.epoch == self.shop.epoch {
                            assert_eq!(
                                (kept, &heap),
                                (tick, &self.shop.app),
                                "a heap of another moment"
                            );
                        }
                        Some(tick)
                    }
                    Start::New => None,
                };
                host.instance = Some(Instance {
                    app: self.shop.app.clone(),
                    heap,
                    entered: false,
                });
                self.tell(at, Event::Activated(Ok(())));
            }
            Task::Tick(trigger) => {
                if !self.calm && self.dice.one_in(4) {
                    return self.tell(at, Event::Ticked(Ticked::Failed("it trapped".into())));
                }
                let report = self.report();
                let instance = self.hosts[at].as_mut().unwrap().instance.as_mut().unwrap();
                instance.app.tick += 1;
                instance.app.handled.push(trigger.id);
                self.tell(at, Event::Ticked(Ticked::Done(report)));
            }
            Task::Dispatch(message) => {
                let delivery = match self.dice.below(if self.calm { 1 } else { 6 }) {
                    1 => Delivery::Later,
                    2 => Delivery::Refused("nobody of that name".into()),
                    lost => {
                        let to = self.received.entry(message.to.clone()).or_default();
                        let known = to.iter().any(|(_, id)| *id == message.id);
                        let last = to.last().map_or(0, |(seq, _)| *seq);
                        if !known && message.seq <= last {
                            Delivery::Refused("later ones have been taken".into())
                        } else {
                            if !known {
                                to.push((message.seq, message.id.clone()));
                            }
                            // It may have arrived without anybody knowing.
                            if lost == 3 {
                                Delivery::Later
                            } else {
                                Delivery::Taken
                            }
                        }
                    }
                };
                self.tell(at, Event::Dispatched(message.id, delivery));
            }
        }
    }

    fn report(&mut self) -> Report {
        let mut report = Report {
            result: [1].into(),
            sleep: self.dice.one_in(4),
            ..Report::default()
        };
        if self.calm {
            report.alarms = ["tea", "rain"]
                .map(|alarm| AlarmChange::Cancel(name(alarm)))
                .into();
            return report;
        }
        for _ in 0..self.dice.below(3) {
            let tea = name(["tea", "rain"][self.dice.below(2) as usize]);
            report.alarms.push(match self.dice.below(4) {
                0 => AlarmChange::Cancel(tea),
                1 => AlarmChange::Set {
                    name: tea,
                    schedule: Schedule::Every((1 + self.dice.below(60)) * SECOND),
                    missed: Missed::Each,
                },
                2 => AlarmChange::Set {
                    name: tea,
                    schedule: Schedule::Every((1 + self.dice.below(60)) * SECOND),
                    missed: Missed::Coalesce,
                },
                _ => AlarmChange::Set {
                    name: tea,
                    schedule: Schedule::At(self.now.after(self.dice.below(60) * SECOND)),
                    missed: Missed::Coalesce,
                },
            });
        }
        for _ in 0..self.dice.below(3) {
            report.messages.push(Outgoing {
                to: name(["ann", "bob"][self.dice.below(2) as usize]),
                payload: [2].into(),
            });
        }
        report
    }

    fn commit(&mut self, at: usize, changes: Vec<Change>, app: Option<App>, fails: bool) {
        let epoch = self.hosts[at].as_ref().unwrap().epoch;
        let done = match (fails, self.dice.below(3)) {
            (true, 0) => Err(CommitError::Failed("the disk is full".into())),
            (true, 1) => {
                // It is made, or will be, or never: nobody knows.
                self.shop.limbo.push(Limbo {
                    epoch,
                    changes,
                    app,
                });
                Err(CommitError::Unknown)
            }
            (true, _) => match self.made(epoch, &changes, app.as_ref()) {
                Err(CommitError::Fenced) => Err(CommitError::Fenced),
                _ => Err(CommitError::Unknown),
            },
            (false, _) => self.made(epoch, &changes, app.as_ref()),
        };
        self.tell(at, Event::Committed(done));
    }

    fn made(
        &mut self,
        epoch: u64,
        changes: &[Change],
        app: Option<&App>,
    ) -> Result<(), CommitError> {
        let done = self.shop.commit(epoch, changes, app, &self.policy);
        if done.is_ok() {
            for change in changes {
                if let Change::Send(message) = change {
                    self.committed_messages.insert(message.id.clone());
                }
            }
        }
        done
    }

    fn crash(&mut self, at: usize) {
        self.hosts[at] = None;
        self.waiting.retain(|_, (host, _)| *host != at);
        self.log.push(format!("{at} CRASH"));
    }

    fn step(&mut self) {
        let at = self.dice.below(2) as usize;
        match self.dice.below(40) {
            0 => self.crash(at),
            1 | 2 if self.hosts[at].is_none() => self.start(at),
            3..=9 if self.hosts[at].is_some() => self.send(at),
            10 if self.hosts[at].is_some() => self.command(at),
            11..=15 => {
                self.now = match self.dice.below(20) {
                    0 => Time(self.now.0 - self.dice.below(self.now.0 / 2)),
                    1 => self.now.after(self.dice.below(1_000) * SECOND),
                    _ => self.now.after(self.dice.below(10) * SECOND),
                };
                self.tell(at, Event::Time);
            }
            16 if !self.shop.limbo.is_empty() => {
                let which = self.dice.below(self.shop.limbo.len() as u64) as usize;
                let Limbo {
                    epoch,
                    changes,
                    app,
                } = self.shop.limbo.swap_remove(which);
                let _ = self.made(epoch, &changes, app.as_ref());
            }
            _ => self.work(at),
        }
    }

    /// Everything works again, and there is one host: what must come to an end does.
    fn settle(&mut self) {
        self.calm = true;
        self.shop.limbo.clear();
        self.crash(1);
        let mut told = false;
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < 50_000, "it comes to no end");
            // One that another has taken the agent from is started anew.
            let epoch = self.shop.epoch;
            let over = |host: &Host| {
                host.life.over().is_some() || (host.epoch != epoch && host.tasks.is_empty())
            };
            if self.hosts[0].as_ref().is_none_or(over) {
                self.crash(0);
                self.start(0);
                told = false;
                continue;
            }
            if !told {
                told = true;
                for control in [Control::Return, Control::Resume { pace: 0 }] {
                    let waiter = self.next_waiter(0, None);
                    self.tell(
                        0,
                        Event::Control {
                            control,
                            waiter: Some(waiter),
                        },
                    );
                }
            }
            let host = self.hosts[0].as_ref().unwrap();
            let record = host.life.record();
            if host.life.status() == Status::Failed {
                // No more than before can be buried.
                for letter in record
                    .dead
                    .iter()
                    .map(|letter| letter.id().clone())
                    .collect::<Vec<_>>()
                {
                    self.tell(
                        0,
                        Event::Control {
                            control: Control::Discard(letter),
                            waiter: None,
                        },
                    );
                }
                self.tell(
                    0,
                    Event::Control {
                        control: Control::Resume { pace: 0 },
                        waiter: None,
                    },
                );
                continue;
            }
            if !host.tasks.is_empty() {
                self.work(0);
                continue;
            }
            if record.inbox.is_empty()
                && record.outbox.is_empty()
                && self.waiting.is_empty()
                && record.header.beginning.is_none()
            {
                break;
            }
            let timer = host.timer.unwrap_or_else(|| {
                panic!(
                    "nothing to wait for: {:?} {:?} {:?} {:?}",
                    record.inbox, record.outbox, self.waiting, record.header
                )
            });
            self.now = Time(timer.0.max(self.now.0));
            self.tell(0, Event::Time);
        }
        let host = self.hosts[0].as_ref().unwrap();
        assert_eq!(
            Some(host.life.record()),
            self.shop.record.as_ref(),
            "the store has something else"
        );
    }

    fn check(&self) {
        let handled = &self.shop.app.handled;
        let mut once = BTreeSet::new();
        for id in handled
            .iter()
            .filter(|id| !id.as_str().starts_with("initialize"))
        {
            assert!(once.insert(id), "{id} was handled twice");
        }
        // In order, for sources that count, but for what was given up and tried again.
        for source in 1..SOURCES {
            let seqs = handled.iter().filter_map(|id| {
                id.as_str()
                    .strip_prefix(&format!("s{source}-"))?
                    .parse::<u64>()
                    .ok()
            });
            let retried = |seq: u64| {
                self.log
                    .iter()
                    .any(|line| line.contains(&format!("Retry(\"s{source}-{seq}\")")))
            };
            let seqs: Vec<u64> = seqs.filter(|seq| !retried(*seq)).collect();
            assert!(seqs.is_sorted(), "out of order: {seqs:?}");
        }
        // What was sent has arrived, or somebody has been told that it hasn't.
        let arrived: BTreeSet<&Name> = self.received.values().flatten().map(|(_, id)| id).collect();
        let dead: BTreeSet<&Name> = self.shop.buried.iter().collect();
        for id in &self.committed_messages {
            assert!(
                arrived.contains(id) || dead.contains(id),
                "{id} has vanished"
            );
        }
        // Whatever was kept has an end.
        for id in &self.shop.kept {
            assert!(self.shop.ledger.contains_key(id), "{id} has vanished");
        }
    }
}

fn history(seed: u64) {
    let mut world = World::new(seed);
    let run = catch_unwind(AssertUnwindSafe(|| {
        world.start(0);
        for _ in 0..300 {
            world.step();
        }
        world.settle();
        world.check();
    }));
    if let Err(panic) = run {
        let shown = world.log.len().saturating_sub(60);
        eprintln!(
            "history {seed}, its end:\n{}",
            world.log[shown..].join("\n")
        );
        resume_unwind(panic);
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
    )
}

#[test]
fn histories_keep_what_is_promised() {
    let first = number("CAPFS_LIFE_FIRST").unwrap_or(1);
    for seed in first..first + number("CAPFS_LIFE_HISTORIES").unwrap_or(3_000) {
        history(seed);
    }
}
