//! What is to be done next, and when.

use std::collections::BTreeSet;

use super::events::{Effect, Start, StartError};
use super::machine::{After, Batch, Job, Life, Phase};
use super::policy::Heap;
use super::record::{Change, Queued};
use super::trigger::{Beginning, Name, Time};

impl Life {
    /// Does what can be done now, and says when there will be more.
    pub(super) fn go_on(&mut self, now: Time, out: &mut Vec<Effect>) {
        if let Phase::Cut(until) = self.phase
            && until <= now
        {
            self.ask(out);
        }
        let known = self.is_known();
        if known {
            self.fire(now);
            // Commands that wait for its sleep are carried out as soon as it sleeps.
            loop {
                self.command(out);
                let before = self.phase.clone();
                self.drive(now, out);
                if self.phase != Phase::Dormant || self.phase == before {
                    break;
                }
            }
            self.dispatch(now, out);
        }
        if known && self.flight.is_none() && !self.next.changes.is_empty() {
            let Batch { changes, after } = std::mem::take(&mut self.next);
            self.flight = Some(after);
            out.push(Effect::Commit(changes));
        }
        let status = self.status();
        if self.told.0 != Some(status) {
            self.told.0 = Some(status);
            out.push(Effect::Status(status));
        }
        let timer = self.timer(now);
        if self.told.1 != Some(timer) {
            self.told.1 = Some(timer);
            out.push(Effect::Timer(timer));
        }
    }

    /// Puts the triggers of alarms that are due into the inbox, as far as it has room: the others stay due.
    fn fire(&mut self, now: Time) {
        if self.record.header.moved {
            return;
        }
        let due: Vec<Name> = self
            .record
            .alarms
            .iter()
            .filter(|(_, alarm)| alarm.due(now) <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            if self.record.inbox.len() >= self.policy.inbox {
                return;
            }
            let Some((trigger, after)) = self.record.alarms[&name].fire(&name, now) else {
                continue;
            };
            self.change(after.map_or_else(
                || Change::NoAlarm(name.clone()),
                |alarm| Change::Alarm(name.clone(), alarm),
            ));
            self.bytes += trigger.size();
            self.keep(Queued {
                trigger,
                attempts: 0,
                not_before: Time(0),
            });
        }
    }

    /// Whether a tick may begin at all.
    pub(super) fn may_begin(&self, now: Time) -> bool {
        let header = &self.record.header;
        !header.paused
            && !header.moved
            && header.failed.is_none()
            && self.pace <= now
            && self.controls.is_empty()
    }

    /// What the next tick is for, if there is something whose time has come.
    pub(super) fn next_job(&self, now: Time) -> Option<Job> {
        if self.record.header.beginning.is_some() {
            return (self.begin_at <= now).then_some(Job::Begin);
        }
        self.heads()
            .find(|queued| queued.not_before <= now)
            .map(|queued| Job::Handle(queued.trigger.id.clone()))
    }

    /// The first trigger of each source: those behind wait for it.
    fn heads(&self) -> impl Iterator<Item = &Queued> {
        let mut sources = BTreeSet::new();
        self.record
            .inbox
            .iter()
            .filter(move |queued| sources.insert(&queued.trigger.source))
    }

    fn drive(&mut self, now: Time, out: &mut Vec<Effect>) {
        let job = if self.may_begin(now) {
            self.next_job(now)
        } else {
            None
        };
        match (&self.phase, job) {
            (Phase::Dormant, Some(_)) => self.activate(out),
            (Phase::Ready(_), Some(job)) => self.begin(job, now, out),
            (Phase::Ready(since), None)
                if since.after(self.policy.idle) <= now
                    || !self.controls.is_empty()
                    || self.record.header.moved =>
            {
                self.sleep(out)
            }
            _ => {}
        }
    }

    fn activate(&mut self, out: &mut Vec<Effect>) {
        let header = &self.record.header;
        let start = match header.heap {
            Some(tick) if tick == header.tick && header.beginning.is_none() => Start::Heap { tick },
            _ => Start::New,
        };
        if start == Start::New
            && header.tick > 0
            && header.beginning.is_none()
            && self.policy.heap != Heap::None
        {
            self.begin_anew(Beginning::HeapLost);
        }
        self.phase = Phase::Waking;
        out.push(Effect::Activate(start));
    }

    /// Has the agent told, before all else, that it begins.
    pub(super) fn begin_anew(&mut self, why: Beginning) {
        self.begin_at = Time(0);
        self.change_header(|header| {
            header.beginning = Some((why, 0));
            header.serial += 1;
            header.heap = None;
        });
    }

    pub(super) fn activated(
        &mut self,
        begun: Result<(), StartError>,
        now: Time,
        out: &mut Vec<Effect>,
    ) {
        if self.phase != Phase::Waking {
            return;
        }
        match begun {
            Ok(()) => {
                self.starts = 0;
                self.phase = Phase::Ready(now);
            }
            Err(StartError::Heap) => {
                self.begin_anew(Beginning::HeapLost);
                out.push(Effect::Activate(Start::New));
            }
            Err(StartError::Failed(error)) => {
                // No trigger is to blame for it.
                self.phase = Phase::Dormant;
                self.starts = self.starts.saturating_add(1);
                self.pace = now.after(self.policy.backoff_after(self.starts));
                if self.starts >= self.policy.attempts {
                    self.starts = 0;
                    self.change_header(|header| header.failed = Some(error));
                }
            }
        }
    }

    /// Lets an agent go to sleep that has nothing to do.
    fn sleep(&mut self, out: &mut Vec<Effect>) {
        let tick = self.record.header.tick;
        if self.policy.heap == Heap::Sleep && self.record.header.heap != Some(tick) && tick > 0 {
            self.change_header(|header| header.heap = Some(tick));
            self.change(Change::Heap { tick });
            self.after(After::Asleep);
            self.phase = Phase::Sleeping;
            return;
        }
        self.drop_activation(out);
    }

    /// When there will be something to do that isn't there now.
    fn timer(&self, now: Time) -> Option<Time> {
        if let Phase::Cut(until) = self.phase {
            return Some(until);
        }
        if matches!(self.phase, Phase::Over(_) | Phase::Unknown) || self.record.header.moved {
            return None;
        }
        let room = self.record.inbox.len() < self.policy.inbox;
        let alarms = self
            .record
            .alarms
            .values()
            .map(|alarm| alarm.due(now))
            .filter(|_| room)
            .min();
        let header = &self.record.header;
        let runs = !header.paused
            && header.failed.is_none()
            && self.controls.is_empty()
            && matches!(self.phase, Phase::Dormant | Phase::Ready(_));
        let heads = if header.beginning.is_some() {
            Some(self.begin_at)
        } else {
            self.heads().map(|queued| queued.not_before).min()
        };
        let job = heads.filter(|_| runs).map(|at| at.max(self.pace));
        let idle = match self.phase {
            Phase::Ready(since) => Some(since.after(self.policy.idle)),
            _ => None,
        };
        // What is due already waits for something else, or is done in the next step, which another event brings.
        [alarms, job, idle, self.outbox.next(&self.record)]
            .into_iter()
            .flatten()
            .min()
    }
}
