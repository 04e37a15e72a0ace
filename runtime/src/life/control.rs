//! What operators do to an agent.

use super::events::{Answer, Effect, Refusal, Waiter};
use super::machine::{After, Life, Phase};
use super::record::{Change, DeadLetter, Digest, Message, Outcome, Queued};
use super::trigger::{Beginning, Name, Time};

/// An operator's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Triggers are taken, and none is handled.
    Pause,
    /// Ends a pause, and what a failure has set; with a least time between ticks, in nanoseconds.
    Resume {
        /// See [`Header::pace`](super::Header::pace).
        pace: u64,
    },
    /// Puts it to sleep, as soon as it does nothing.
    Hibernate,
    /// Tries a dead letter again.
    Retry(Name),
    /// Throws a dead letter away.
    Discard(Name),
    /// Gives it another module. The heap begins anew; the former module, and its heap, are kept.
    Upgrade(Digest),
    /// Lets go of what an upgrade has kept.
    Confirm,
    /// Takes an upgrade back.
    Revert,
    /// Marks it as moved away: it runs nothing here any more. What it was is exported when this is done.
    Leave,
    /// It has not moved after all.
    Return,
    /// Removes it, and everything of it.
    Remove,
}

/// A command, and who waits for it.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub control: Control,
    pub waiter: Option<Waiter>,
    /// It may have been carried out already, without anybody knowing: what it doesn't find any more is done.
    pub again: bool,
}

impl Command {
    pub fn new(control: Control, waiter: Option<Waiter>) -> Command {
        Command {
            control,
            waiter,
            again: false,
        }
    }

    pub fn answer(self, answer: Answer, out: &mut Vec<Effect>) {
        out.extend(self.waiter.map(|waiter| Effect::Answer(waiter, answer)));
    }
}

impl Life {
    /// Takes a command. Those that are about the whole agent wait until it does nothing.
    pub(super) fn control(&mut self, command: Command, out: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Over(Refusal::Removed) if command.control == Control::Remove => {
                command.answer(Answer::Done, out)
            }
            Phase::Over(why) => command.answer(Answer::Refused(why.clone()), out),
            _ if self.controls.len() >= self.policy.waiters => {
                command.answer(Answer::Refused(Refusal::Full), out)
            }
            _ => self.controls.push_back(command),
        }
    }

    /// Carries out the commands whose time has come, in their order.
    pub(super) fn command(&mut self, out: &mut Vec<Effect>) {
        while let Some(command) = self.controls.front() {
            let still = match command.control {
                Control::Pause
                | Control::Resume { .. }
                | Control::Retry(_)
                | Control::Discard(_)
                | Control::Confirm => true,
                _ => self.phase == Phase::Dormant,
            };
            if !still {
                return;
            }
            let Some(command) = self.controls.pop_front() else {
                return;
            };
            match self.carry_out(command.control.clone(), out) {
                Err(why) if !command.again => command.answer(Answer::Refused(why), out),
                _ if self.next.changes.is_empty() && self.flight.is_none() => {
                    command.answer(Answer::Done, out)
                }
                // What it found done may be on its way.
                _ => match &mut self.flight {
                    Some(after) if self.next.changes.is_empty() => after.push(After::Done(command)),
                    _ => self.after(After::Done(command)),
                },
            }
        }
    }

    fn carry_out(&mut self, control: Control, out: &mut Vec<Effect>) -> Result<(), Refusal> {
        let header = &self.record.header;
        match control {
            Control::Pause if header.paused => {}
            Control::Pause => self.change_header(|header| header.paused = true),
            Control::Resume { pace } => {
                if !header.paused && header.failed.is_none() && header.pace == pace {
                    return Ok(());
                }
                (self.begin_at, self.pace) = (Time(0), Time(0));
                self.change_header(|header| {
                    (header.paused, header.failed, header.given_up, header.pace) =
                        (false, None, 0, pace);
                    if let Some((_, attempts)) = &mut header.beginning {
                        *attempts = 0;
                    }
                });
            }
            Control::Hibernate => {}
            Control::Retry(id) => self.retry(&id)?,
            Control::Discard(id) => {
                self.letter(&id)?;
                self.change(Change::Unbury(id));
            }
            Control::Upgrade(module) if header.module == module => {}
            Control::Upgrade(_) if header.former.is_some() => {
                return Err(Refusal::Not(
                    "an upgrade before it has been neither confirmed nor reverted",
                ));
            }
            Control::Upgrade(module) => {
                self.change_header(|header| {
                    header.former = Some((header.module, header.heap));
                    header.module = module;
                });
                self.begin_anew(Beginning::Upgraded);
            }
            Control::Confirm if header.former.is_none() => {}
            Control::Confirm => self.change_header(|header| header.former = None),
            Control::Revert => {
                let Some((module, heap)) = header.former else {
                    return Err(Refusal::Not("there is no upgrade to revert"));
                };
                let same = heap == Some(header.tick);
                self.begin_anew(Beginning::Reverted);
                self.change_header(|header| {
                    (header.module, header.former) = (module, None);
                    // Nothing has happened since: its heap is of this moment.
                    if same {
                        (header.heap, header.beginning) = (heap, None);
                    }
                });
            }
            Control::Leave if header.moved => {}
            Control::Leave => {
                self.change_header(|header| header.moved = true);
                for id in self.waiters.keys().cloned().collect::<Vec<_>>() {
                    self.answer(&id, &Answer::Refused(Refusal::Moved), |_| true, out);
                }
            }
            Control::Return if !header.moved => {}
            Control::Return => self.change_header(|header| header.moved = false),
            Control::Remove => {
                self.change(Change::Remove);
                self.after(After::Removed);
            }
        }
        Ok(())
    }

    fn letter(&self, id: &Name) -> Result<DeadLetter, Refusal> {
        self.record
            .dead
            .iter()
            .find(|letter| letter.id() == id)
            .cloned()
            .ok_or(Refusal::Unknown)
    }

    /// Puts a dead letter back to where it came from, behind all that is there.
    fn retry(&mut self, id: &Name) -> Result<(), Refusal> {
        match self.letter(id)? {
            DeadLetter::Trigger { trigger, .. } => {
                if self.record.inbox.len() >= self.policy.inbox
                    || self.bytes + trigger.size() > self.policy.inbox_bytes
                {
                    return Err(Refusal::Full);
                }
                if matches!(self.record.outcome(id), Some(Outcome::Dead { .. })) {
                    self.change(Change::Forget(id.clone()));
                }
                self.change(Change::Unbury(id.clone()));
                self.bytes += trigger.size();
                self.keep(Queued {
                    trigger,
                    attempts: 0,
                    not_before: Time(0),
                });
            }
            DeadLetter::Message { message, .. } => {
                if self.record.outbox.len() >= self.policy.outbox {
                    return Err(Refusal::Full);
                }
                // Later ones have arrived: its receiver takes it as a new one.
                let seq = self.record.header.serial + 1;
                self.change_header(|header| header.serial = seq);
                self.change(Change::Unbury(id.clone()));
                self.change(Change::Send(Message { seq, ..message }));
            }
        }
        Ok(())
    }
}
