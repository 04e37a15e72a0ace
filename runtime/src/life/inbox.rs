//! Triggers that come, and who waits for what becomes of them.

use super::events::{Answer, Effect, Refusal, Until, Waiter};
use super::machine::{After, Life, Phase};
use super::policy::Overflow;
use super::record::{Change, DeadLetter, Queued};
use super::trigger::{Name, Time, Trigger};

impl Life {
    pub(super) fn answer(
        &mut self,
        id: &Name,
        answer: &Answer,
        to: impl Fn(Until) -> bool,
        out: &mut Vec<Effect>,
    ) {
        let Some(waiters) = self.waiters.get_mut(id) else {
            return;
        };
        waiters.retain(|(waiter, until)| {
            let answered = to(*until);
            if answered {
                out.push(Effect::Answer(*waiter, answer.clone()));
            }
            !answered
        });
        if waiters.is_empty() {
            self.waiters.remove(id);
        }
    }

    pub(super) fn gone(&mut self, gone: Waiter) {
        self.waiters.retain(|_, waiters| {
            waiters.retain(|(waiter, _)| *waiter != gone);
            !waiters.is_empty()
        });
        for command in &mut self.controls {
            command.waiter.take_if(|waiter| *waiter == gone);
        }
    }

    pub(super) fn send(
        &mut self,
        trigger: Trigger,
        waiter: Option<(Waiter, Until)>,
        now: Time,
        out: &mut Vec<Effect>,
    ) {
        let answer = match &self.phase {
            Phase::Over(why) => Some(Answer::Refused(why.clone())),
            Phase::Unknown | Phase::Cut(_) => {
                let bytes: usize = self
                    .arrivals
                    .iter()
                    .map(|(trigger, _)| trigger.size())
                    .sum();
                let full = self.arrivals.len() >= self.policy.inbox
                    || bytes + trigger.size() > self.policy.inbox_bytes;
                if full {
                    Some(Answer::Refused(Refusal::Full))
                } else {
                    self.arrivals.push((trigger, waiter));
                    None
                }
            }
            _ => self.take(trigger, waiter, now),
        };
        if let (Some(answer), Some((waiter, _))) = (answer, waiter) {
            out.push(Effect::Answer(waiter, answer));
        }
    }

    /// Takes a trigger in. Answers what its sender is told at once.
    fn take(
        &mut self,
        trigger: Trigger,
        waiter: Option<(Waiter, Until)>,
        now: Time,
    ) -> Option<Answer> {
        let id = trigger.id.clone();
        let until = waiter.map_or(Until::Taken, |(_, until)| until);
        if self.record.header.moved {
            return Some(Answer::Refused(Refusal::Moved));
        }
        if waiter.is_some()
            && self.waiters.values().map(Vec::len).sum::<usize>() >= self.policy.waiters
        {
            return Some(Answer::Refused(Refusal::Full));
        }
        let wait = |life: &mut Life| life.waiters.entry(id.clone()).or_default().extend(waiter);
        if let Some(outcome) = self.record.outcome(&id) {
            if self.is_pending(&id) {
                wait(self);
                return None;
            }
            return Some(if until == Until::Taken {
                Answer::Taken
            } else {
                Answer::Handled(outcome.clone())
            });
        }
        if let Some(queued) = self.record.queued(&id) {
            if until == Until::Taken && self.unkept.contains(&id) {
                self.keep(queued.clone());
            }
            if until == Until::Taken && !self.is_pending(&id) {
                return Some(Answer::Taken);
            }
            wait(self);
            return None;
        }
        if let Some((_, last)) = trigger
            .seq
            .zip(self.last_of(&trigger.source))
            .filter(|(seq, last)| seq <= last)
        {
            return Some(Answer::Refused(Refusal::OutOfOrder(last)));
        }
        let size = trigger.size();
        if trigger.payload.len() > self.policy.trigger_bytes {
            return Some(Answer::Refused(Refusal::TooLarge(
                self.policy.trigger_bytes,
            )));
        }
        if self.record.inbox.len() >= self.policy.inbox
            || self.bytes + size > self.policy.inbox_bytes
        {
            if self.policy.overflow == Overflow::Refuse
                || self.record.dead.len() >= self.policy.dead_letters
            {
                return Some(Answer::Refused(Refusal::Full));
            }
            wait(self);
            self.bury(DeadLetter::Trigger {
                trigger,
                error: "the inbox was full".into(),
            });
            return None;
        }
        wait(self);
        // Those before it of its source are kept before it is.
        let before: Vec<Queued> = self
            .record
            .inbox
            .iter()
            .filter(|queued| {
                queued.trigger.source == trigger.source && self.unkept.contains(&queued.trigger.id)
            })
            .cloned()
            .collect();
        for queued in before {
            self.keep(queued);
        }
        let queued = Queued {
            trigger,
            attempts: 0,
            not_before: Time(0),
        };
        // Its own tick keeps it, if that is the next thing to happen: one commit less. Until then its sender knows that nothing is kept.
        let direct = until == Until::Handled
            && waiter.is_some()
            && self.record.inbox.is_empty()
            && self.may_begin(now);
        if direct {
            self.unkept.insert(id);
            self.bytes += size;
            self.record.inbox.push_back(queued);
        } else {
            self.bytes += size;
            self.keep(queued);
        }
        None
    }

    /// The greatest number of a source that has been taken, kept or not.
    pub(super) fn last_of(&self, source: &Name) -> Option<u64> {
        let queued = self
            .record
            .inbox
            .iter()
            .filter(|queued| queued.trigger.source == *source)
            .filter_map(|queued| queued.trigger.seq);
        queued.chain(self.record.last_of(source)).max()
    }

    /// Notes the number of a trigger that is being kept.
    pub(super) fn note_source(&mut self, trigger: &Trigger) {
        let Some(seq) = trigger.seq.filter(|seq| {
            self.record
                .last_of(&trigger.source)
                .is_none_or(|last| last < *seq)
        }) else {
            return;
        };
        if self.record.sources.len() >= self.policy.sources
            && self.record.last_of(&trigger.source).is_none()
        {
            let (oldest, _) = self.record.sources[0].clone();
            self.change(Change::ForgetSource(oldest));
        }
        self.change(Change::Source(trigger.source.clone(), seq));
    }

    /// Has a trigger of the inbox kept, as it is now.
    pub(super) fn keep(&mut self, queued: Queued) {
        let id = queued.trigger.id.clone();
        self.unkept.remove(&id);
        self.note_source(&queued.trigger);
        self.change(Change::Enqueue(queued));
        self.after(After::Taken(id));
    }
}
