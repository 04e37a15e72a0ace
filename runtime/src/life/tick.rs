//! One tick: a trigger is handled, and all that comes of it is kept together, or nothing.

use std::sync::Arc;

use super::alarm::{Alarm, Missed, Schedule, check_name};
use super::events::Effect;
use super::machine::{After, Job, Life, Phase};
use super::policy::{Heap, Overflow};
use super::record::{Change, DeadLetter, Message, Outcome, Queued};
use super::trigger::{Beginning, Kind, Name, Time, Trigger};

/// What an agent did to its alarms in a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlarmChange {
    /// One that is set again takes the former's place.
    Set {
        /// 128 bytes at most.
        name: Name,
        /// Its times.
        schedule: Schedule,
        /// What becomes of those that nothing ran at.
        missed: Missed,
    },
    /// It fires no more. One that isn't there is cancelled already.
    Cancel(Name),
}

/// What an agent wrote to others in a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Whom it is for.
    pub to: Name,
    /// What it says.
    pub payload: Arc<[u8]>,
}

/// What a tick reports that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What who sent the trigger is told.
    pub result: Arc<[u8]>,
    /// In their order.
    pub alarms: Vec<AlarmChange>,
    /// In their order.
    pub messages: Vec<Outgoing>,
    /// It has nothing to do for now, it says.
    pub sleep: bool,
}

/// How a tick ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ticked {
    /// It succeeded, and is to be committed.
    Done(Report),
    /// It trapped, ended with an error or went over a limit. What it did is dropped with the activation.
    Failed(Arc<str>),
}

impl Life {
    /// Begins a tick. An agent of which nothing came when it was taken hold of before may have taken its host down: what is tried is
    /// written down first then, so that a trigger that does so each time is given up.
    pub(super) fn begin(&mut self, job: Job, now: Time, out: &mut Vec<Effect>) {
        let (tick, vain) = self.record.header.acquired;
        if vain >= 2 && tick == self.record.header.tick {
            let tried = match &job {
                Job::Begin => self
                    .record
                    .header
                    .beginning
                    .map_or(0, |(_, attempts)| attempts),
                Job::Handle(id) => self.record.queued(id).map_or(0, |queued| queued.attempts),
            };
            if tried >= self.policy.attempts {
                return self.count_failure(&job, "each of its ticks ended its host".into(), now);
            }
            self.write_attempt(&job);
            self.after(After::Begin(job.clone()));
            self.written = Some(job);
            // The tick follows from the commit.
            self.phase = Phase::Committing { sleep: false };
            return;
        }
        self.written = None;
        self.enter(job, now, out);
    }

    fn write_attempt(&mut self, job: &Job) {
        match job {
            Job::Begin => self.change_header(|header| {
                if let Some((_, attempts)) = &mut header.beginning {
                    *attempts += 1;
                }
            }),
            Job::Handle(id) => {
                if let Some(queued) = self.record.queued(id).cloned() {
                    self.keep(Queued {
                        attempts: queued.attempts + 1,
                        ..queued
                    });
                }
            }
        }
    }

    pub(super) fn enter(&mut self, job: Job, now: Time, out: &mut Vec<Effect>) {
        let (trigger, attempt) = match &job {
            Job::Begin => {
                let Some((why, attempts)) = self.record.header.beginning else {
                    return self.idle(now);
                };
                (self.beginning(why, now), attempts)
            }
            Job::Handle(id) => {
                let Some(queued) = self.record.queued(id) else {
                    return self.idle(now);
                };
                (queued.trigger.clone(), queued.attempts)
            }
        };
        self.pace = now.after(self.record.header.pace);
        self.phase = Phase::Ticking(job);
        out.push(Effect::Tick { trigger, attempt });
    }

    fn idle(&mut self, now: Time) {
        self.phase = Phase::Ready(now);
    }

    fn beginning(&self, why: Beginning, now: Time) -> Trigger {
        let header = &self.record.header;
        let id = format!("initialize/{}/{}", header.generation, header.serial);
        Trigger {
            id: Name::new(&id).expect("digits and a word are a name"),
            kind: Kind::Initialize(why),
            source: Name::new("initialize").expect("a word is a name"),
            seq: None,
            created_at: now,
            payload: [].into(),
        }
    }

    pub(super) fn ticked(&mut self, ticked: Ticked, now: Time, out: &mut Vec<Effect>) {
        let Phase::Ticking(job) = self.phase.clone() else {
            return;
        };
        let done = match ticked {
            Ticked::Done(report) => self.check(&report, now).map(|alarms| (report, alarms)),
            Ticked::Failed(error) => Err(error),
        };
        match done {
            Ok((report, alarms)) => self.keep_tick(job, report, alarms),
            Err(error) => {
                self.drop_activation(out);
                self.count_failure(&job, error, now);
            }
        }
    }

    /// That what a tick reports is within the bounds; answers its alarms.
    fn check(&self, report: &Report, now: Time) -> Result<Vec<Change>, Arc<str>> {
        let policy = &self.policy;
        if report.result.len() > policy.result_bytes {
            return Err(format!(
                "its result has {} bytes, and {} are the most",
                report.result.len(),
                policy.result_bytes
            )
            .into());
        }
        if self.record.outbox.len() + report.messages.len() > policy.outbox {
            return Err(format!(
                "{} messages would wait for their receivers, and {} are the most",
                self.record.outbox.len() + report.messages.len(),
                policy.outbox
            )
            .into());
        }
        if let Some(message) = report
            .messages
            .iter()
            .find(|message| message.payload.len() > policy.trigger_bytes)
        {
            return Err(format!(
                "a message has {} bytes, and {} are the most",
                message.payload.len(),
                policy.trigger_bytes
            )
            .into());
        }
        let mut alarms = self.record.alarms.clone();
        let mut serial = self.record.header.serial;
        let mut changes = Vec::new();
        for change in &report.alarms {
            match change {
                AlarmChange::Set {
                    name,
                    schedule,
                    missed,
                } => {
                    serial += 1;
                    let alarm = check_name(name)
                        .and_then(|()| Alarm::new(schedule.clone(), *missed, serial, now));
                    let alarm =
                        alarm.map_err(|error| Arc::from(format!("alarm `{name}`: {error}")))?;
                    alarms.insert(name.clone(), alarm.clone());
                    changes.push(Change::Alarm(name.clone(), alarm));
                }
                AlarmChange::Cancel(name) => {
                    alarms.remove(name);
                    changes.push(Change::NoAlarm(name.clone()));
                }
            }
            if alarms.len() > policy.alarms {
                return Err(format!("{} alarms are the most", policy.alarms).into());
            }
        }
        Ok(changes)
    }

    /// Has a tick that succeeded committed, with all that comes of it.
    fn keep_tick(&mut self, job: Job, report: Report, alarms: Vec<Change>) {
        let tick = self.record.header.tick + 1;
        let heap = self.policy.heap == Heap::Tick;
        if let Job::Handle(id) = &job {
            self.end(
                id,
                Outcome::Committed {
                    tick,
                    result: report.result,
                },
            );
        }
        let mut serial = self.record.header.serial
            + report
                .alarms
                .iter()
                .filter(|change| matches!(change, AlarmChange::Set { .. }))
                .count() as u64;
        for change in alarms {
            self.change(change);
        }
        for Outgoing { to, payload } in report.messages {
            serial += 1;
            let id = format!("{}/{}/{serial}", self.name, self.record.header.generation);
            let id = Name::new(&id)
                .unwrap_or_else(|_| Name::new(&format!("{serial}")).expect("digits are a name"));
            self.change(Change::Send(Message {
                id,
                seq: serial,
                to,
                payload,
            }));
        }
        self.change_header(|header| {
            header.tick = tick;
            header.serial = serial;
            header.given_up = 0;
            if heap {
                header.heap = Some(tick);
            }
            if job == Job::Begin {
                header.beginning = None;
            }
        });
        self.change(Change::Tick { tick, heap });
        self.after(After::Tick);
        self.job = Some(job);
        self.phase = Phase::Committing {
            sleep: report.sleep,
        };
    }

    /// Takes a trigger out of the inbox for good.
    fn end(&mut self, id: &Name, outcome: Outcome) {
        if let Some(trigger) = self.record.queued(id).map(|queued| queued.trigger.clone()) {
            self.bytes -= trigger.size();
            self.note_source(&trigger);
        }
        self.unkept.remove(id);
        self.change(Change::Dequeue(id.clone()));
        self.note_outcome(id, outcome);
    }

    fn note_outcome(&mut self, id: &Name, outcome: Outcome) {
        if self.record.seen.len() >= self.policy.seen.max(1) {
            let (oldest, _) = self.record.seen[0].clone();
            self.change(Change::Forget(oldest));
        }
        self.change(Change::Seen(id.clone(), outcome.clone()));
        self.after(After::Handled(id.clone(), outcome));
    }

    /// A tick has failed: it is tried again later, or given up.
    pub(super) fn count_failure(&mut self, job: &Job, error: Arc<str>, now: Time) {
        match job {
            Job::Begin => {
                let Some((why, attempts)) = self.record.header.beginning else {
                    return;
                };
                let attempts = attempts + self.uncounted(job);
                self.begin_at = now.after(self.policy.backoff_after(attempts));
                let last = attempts >= self.policy.attempts;
                self.change_header(|header| {
                    header.beginning = Some((why, attempts));
                    if last {
                        header.failed = Some(error);
                    }
                });
            }
            Job::Handle(id) => {
                let Some(queued) = self.record.queued(id).cloned() else {
                    return;
                };
                let attempts = queued.attempts + self.uncounted(job);
                if attempts < self.policy.attempts {
                    let not_before = now.after(self.policy.backoff_after(attempts));
                    return self.keep(Queued {
                        attempts,
                        not_before,
                        ..queued
                    });
                }
                self.give_up(queued, error);
            }
        }
    }

    /// 1, unless the attempt was counted before it began.
    fn uncounted(&mut self, job: &Job) -> u32 {
        u32::from(self.written.take().as_ref() != Some(job))
    }

    fn give_up(&mut self, queued: Queued, error: Arc<str>) {
        if self.record.dead.len() >= self.policy.dead_letters {
            // Nothing may vanish: it stays where it is until somebody has looked after the others.
            self.keep(queued);
            return self.change_header(|header| {
                header.failed = Some("there is no room for another dead letter".into())
            });
        }
        let (trigger, quarantine) = (queued.trigger, self.policy.quarantine);
        let id = trigger.id.clone();
        self.change_header(|header| {
            header.given_up += 1;
            if header.given_up >= quarantine {
                header.failed = Some(error.clone());
            }
        });
        self.change(Change::Bury(DeadLetter::Trigger {
            trigger,
            error: error.clone(),
        }));
        self.end(&id, Outcome::Dead { error });
    }

    /// Puts to the dead letters what never was in the inbox.
    pub(super) fn bury(&mut self, letter: DeadLetter) {
        debug_assert!(self.policy.overflow == Overflow::DeadLetter);
        let DeadLetter::Trigger { trigger, error } = &letter else {
            return;
        };
        self.note_source(&trigger.clone());
        let (id, error) = (trigger.id.clone(), error.clone());
        self.change(Change::Bury(letter));
        self.note_outcome(&id, Outcome::Dead { error });
    }
}
