//! The machine: what an agent is doing, and how what changes is kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::control::Command;
use super::events::{
    AcquireError, Answer, CommitError, Effect, Event, Refusal, Status, Until, Waiter,
};
use super::outbox::Outbox;
use super::policy::Policy;
use super::record::{Change, Header, Outcome, Record};
use super::trigger::{Name, Time, Trigger};

/// What an agent is doing here.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// What the store has is being asked.
    Unknown,
    /// The store could not be asked; it is again at this time.
    Cut(Time),
    Dormant,
    Waking,
    /// Awake, with nothing to do since then.
    Ready(Time),
    Ticking(Job),
    /// A tick's commit is under way, or waits for the one before it.
    Committing {
        sleep: bool,
    },
    /// The heap's commit is.
    Sleeping,
    /// Nothing happens here any more.
    Over(Refusal),
}

/// What a tick is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Begin,
    Handle(Name),
}

/// What follows from a commit.
#[derive(Clone, Debug)]
pub(super) enum After {
    /// A trigger is kept.
    Taken(Name),
    /// What came of a trigger is.
    Handled(Name, Outcome),
    /// What a command changed is.
    Done(Command),
    /// A tick is.
    Tick,
    /// A failed attempt is, and the next begins.
    Begin(Job),
    /// The heap of one that goes to sleep is.
    Asleep,
    Removed,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub changes: Vec<Change>,
    pub after: Vec<After>,
}

/// One agent's life. See the module's description.
#[derive(Clone, Debug)]
pub struct Life {
    pub(super) name: Name,
    pub(super) policy: Policy,
    /// What the store has, and what is on the way to it.
    pub(super) record: Record,
    pub(super) phase: Phase,
    /// What follows from the commit that is under way.
    pub(super) flight: Option<Vec<After>>,
    pub(super) next: Batch,
    /// Triggers that no commit has kept, as their sender waits for what comes of them and the first tick is theirs.
    pub(super) unkept: BTreeSet<Name>,
    pub(super) waiters: BTreeMap<Name, Vec<(Waiter, Until)>>,
    pub(super) controls: VecDeque<Command>,
    pub(super) outbox: Outbox,
    /// What the tick was for that is being committed.
    pub(super) job: Option<Job>,
    /// What the tick is for whose attempt has been counted before it began.
    pub(super) written: Option<Job>,
    /// When a beginning that failed is tried again.
    pub(super) begin_at: Time,
    /// Why a commit was refused, and whose tick was in it.
    pub(super) refused: Option<(Option<Job>, Arc<str>)>,
    /// Triggers that came while nothing was known.
    pub(super) arrivals: Vec<(Trigger, Option<(Waiter, Until)>)>,
    /// Starts that failed, one after the other.
    pub(super) starts: u32,
    /// Times that the store could not be asked.
    cuts: u32,
    /// When the next tick may begin.
    pub(super) pace: Time,
    pub(super) bytes: usize,
    pub(super) told: (Option<Status>, Option<Option<Time>>),
}

impl Life {
    /// A life of which nothing is known yet. What is to be done first is in the effects: the record is asked for.
    pub fn new(name: Name, policy: Policy) -> (Life, Vec<Effect>) {
        let life = Life {
            name,
            policy,
            record: Record::new([0; 32]),
            phase: Phase::Unknown,
            flight: None,
            next: Batch::default(),
            unkept: BTreeSet::new(),
            waiters: BTreeMap::new(),
            controls: VecDeque::new(),
            outbox: Outbox::default(),
            job: None,
            begin_at: Time(0),
            refused: None,
            arrivals: Vec::new(),
            starts: 0,
            written: None,
            cuts: 0,
            pace: Time(0),
            bytes: 0,
            told: (Some(Status::Creating), None),
        };
        (life, vec![Effect::Acquire])
    }

    /// The agent's.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its bounds.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What the store has once all that is on the way to it has arrived.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        match &self.phase {
            Phase::Over(_) => Status::Terminated,
            Phase::Unknown | Phase::Cut(_) => Status::Creating,
            _ if self.record.header.moved => Status::Terminated,
            Phase::Dormant if self.record.header.failed.is_some() => Status::Failed,
            Phase::Dormant => Status::Dormant,
            _ => Status::Active,
        }
    }

    /// Why nothing happens here any more, if so: it can be forgotten, and looked up anew where somebody asks for it.
    pub fn over(&self) -> Option<&Refusal> {
        match &self.phase {
            Phase::Over(why) => Some(why),
            _ => None,
        }
    }

    /// Whether it can be forgotten without anybody noticing: it sleeps, nothing is under way and nobody waits.
    pub fn is_idle(&self) -> bool {
        let still = matches!(self.phase, Phase::Dormant | Phase::Over(_));
        still
            && self.arrivals.is_empty()
            && self.flight.is_none()
            && self.next.changes.is_empty()
            && self.waiters.is_empty()
            && self.controls.is_empty()
            && self.outbox.is_idle()
    }

    /// Takes note of what has happened, and answers what is to be done about it.
    pub fn step(&mut self, event: Event, now: Time) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Acquired(found) => self.acquired(found, now, &mut out),
            Event::Send { trigger, waiter } => self.send(trigger, waiter, now, &mut out),
            Event::Gone(waiter) => self.gone(waiter),
            Event::Control { control, waiter } => {
                self.control(Command::new(control, waiter), &mut out)
            }
            Event::Activated(begun) => self.activated(begun, now, &mut out),
            Event::Ticked(ticked) => self.ticked(ticked, now, &mut out),
            Event::Committed(done) => self.committed(done, now, &mut out),
            Event::Dispatched(id, delivery) => self.dispatched(&id, delivery, now),
            Event::Time => {}
        }
        self.go_on(now, &mut out);
        out
    }

    /// Makes a change here, and has it committed.
    pub(super) fn change(&mut self, change: Change) {
        self.record.apply(&change);
        // A header that is written twice in one commit is written once.
        if let (Change::Header(header), Some(Change::Header(before))) =
            (&change, self.next.changes.last_mut())
        {
            *before = header.clone();
            return;
        }
        self.next.changes.push(change);
    }

    pub(super) fn change_header(&mut self, with: impl FnOnce(&mut Header)) {
        let mut header = self.record.header.clone();
        with(&mut header);
        self.change(Change::Header(header));
    }

    pub(super) fn after(&mut self, after: After) {
        self.next.after.push(after);
    }

    /// Whether something of this trigger is on the way to the store, so that nothing of it may be told.
    pub(super) fn is_pending(&self, id: &Name) -> bool {
        let of =
            |after: &After| matches!(after, After::Taken(of) | After::Handled(of, _) if of == id);
        self.next.after.iter().any(of) || self.flight.iter().flatten().any(of)
    }

    pub(super) fn committed(
        &mut self,
        done: Result<(), CommitError>,
        now: Time,
        out: &mut Vec<Effect>,
    ) {
        let Some(after) = self.flight.take() else {
            return;
        };
        match done {
            Ok(()) => {
                self.cuts = 0;
                for each in after {
                    self.follow(each, now, out);
                }
            }
            Err(CommitError::Fenced) => {
                self.flight = Some(after);
                self.end_here(Refusal::Elsewhere, out);
            }
            Err(CommitError::Unknown) => self.lose(None, after, now, out),
            Err(CommitError::Failed(error)) => self.lose(Some(error), after, now, out),
        }
    }

    fn follow(&mut self, after: After, now: Time, out: &mut Vec<Effect>) {
        match after {
            After::Taken(id) => {
                self.answer(&id, &Answer::Taken, |until| until == Until::Taken, out)
            }
            After::Handled(id, outcome) => {
                self.answer(
                    &id,
                    &Answer::Handled(outcome),
                    |until| until == Until::Handled,
                    out,
                );
                self.answer(&id, &Answer::Taken, |_| true, out);
            }
            After::Done(command) => command.answer(Answer::Done, out),
            After::Tick => {
                if let Phase::Committing { sleep } = self.phase {
                    // As if it had had nothing to do for long.
                    let since = if sleep { Time(0) } else { now };
                    self.phase = Phase::Ready(since);
                }
            }
            After::Begin(job) => self.enter(job, now, out),
            After::Asleep => {
                if self.phase == Phase::Sleeping {
                    self.phase = Phase::Ready(Time(0));
                }
            }
            After::Removed => self.end_here(Refusal::Removed, out),
        }
    }

    /// Forgets all that isn't known to be kept, and asks what is: at once, the first time.
    pub(super) fn lose(
        &mut self,
        error: Option<Arc<str>>,
        after: Vec<After>,
        now: Time,
        out: &mut Vec<Effect>,
    ) {
        let tick = after.iter().any(|each| matches!(each, After::Tick));
        self.refused = error.map(|error| (self.job.take().filter(|_| tick), error));
        self.drop_activation(out);
        for command in self.lost_commands(after).into_iter().rev() {
            self.controls.push_front(Command {
                again: true,
                ..command
            });
        }
        self.next = Batch::default();
        self.cut(now);
        if self.cuts == 1 {
            self.ask(out);
        }
    }

    /// Leaves the store alone for a time.
    pub(super) fn cut(&mut self, now: Time) {
        self.cuts = self.cuts.saturating_add(1);
        self.phase = Phase::Cut(now.after(self.policy.backoff_after(self.cuts)));
    }

    pub(super) fn ask(&mut self, out: &mut Vec<Effect>) {
        self.phase = Phase::Unknown;
        out.push(Effect::Acquire);
    }

    pub(super) fn drop_activation(&mut self, out: &mut Vec<Effect>) {
        if self.is_awake() {
            out.push(Effect::Drop);
        }
        self.phase = Phase::Dormant;
    }

    /// Whether it is known what the store has.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self.phase, Phase::Unknown | Phase::Cut(_) | Phase::Over(_))
    }

    /// Whether there is an activation, or one is being made.
    pub(super) fn is_awake(&self) -> bool {
        matches!(
            self.phase,
            Phase::Waking
                | Phase::Ready(_)
                | Phase::Ticking(_)
                | Phase::Committing { .. }
                | Phase::Sleeping
        )
    }

    pub(super) fn end_here(&mut self, why: Refusal, out: &mut Vec<Effect>) {
        self.drop_activation(out);
        for (_, waiters) in std::mem::take(&mut self.waiters) {
            out.extend(
                waiters
                    .into_iter()
                    .map(|(waiter, _)| Effect::Answer(waiter, Answer::Refused(why.clone()))),
            );
        }
        for command in self
            .lost_commands(self.flight.clone().unwrap_or_default())
            .into_iter()
            .chain(std::mem::take(&mut self.controls))
        {
            command.answer(
                if why == Refusal::Removed {
                    Answer::Done
                } else {
                    Answer::Refused(why.clone())
                },
                out,
            );
        }
        for (_, waiter) in std::mem::take(&mut self.arrivals) {
            out.extend(
                waiter.map(|(waiter, _)| Effect::Answer(waiter, Answer::Refused(why.clone()))),
            );
        }
        self.next = Batch::default();
        self.flight = None;
        self.phase = Phase::Over(why);
    }

    /// The commands of which nobody knows whether they have been carried out.
    pub(super) fn lost_commands(&mut self, after: Vec<After>) -> Vec<Command> {
        let all = after
            .into_iter()
            .chain(std::mem::take(&mut self.next.after));
        all.filter_map(|each| {
            if let After::Done(command) = each {
                Some(command)
            } else {
                None
            }
        })
        .collect()
    }

    pub(super) fn acquired(
        &mut self,
        found: Result<Box<Record>, AcquireError>,
        now: Time,
        out: &mut Vec<Effect>,
    ) {
        if self.phase != Phase::Unknown {
            return;
        }
        let record = match found {
            Ok(record) => record,
            Err(AcquireError::Held) => return self.end_here(Refusal::Elsewhere, out),
            Err(AcquireError::Unknown) => return self.end_here(Refusal::Removed, out),
            Err(AcquireError::Unavailable) => return self.cut(now),
        };
        self.bytes = record
            .inbox
            .iter()
            .map(|queued| queued.trigger.size())
            .sum();
        self.record = *record;
        self.unkept.clear();
        self.outbox.restart();
        self.phase = Phase::Dormant;
        let why = self.refused.as_ref().map_or_else(
            || "the store did not take it".into(),
            |(_, error)| error.clone(),
        );
        for id in self.waiters.keys().cloned().collect::<Vec<_>>() {
            if let Some(outcome) = self.record.outcome(&id).cloned() {
                self.answer(
                    &id,
                    &Answer::Handled(outcome),
                    |until| until == Until::Handled,
                    out,
                );
                self.answer(&id, &Answer::Taken, |_| true, out);
            } else if self.record.queued(&id).is_some() {
                self.answer(&id, &Answer::Taken, |until| until == Until::Taken, out);
            } else {
                self.answer(
                    &id,
                    &Answer::Refused(Refusal::Store(why.clone())),
                    |_| true,
                    out,
                );
            }
        }
        if let Some((Some(job), error)) = self.refused.take() {
            self.count_failure(&job, error, now);
        }
        for (trigger, waiter) in std::mem::take(&mut self.arrivals) {
            self.send(trigger, waiter, now, out);
        }
    }
}
