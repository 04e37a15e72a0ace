//! Messages that an agent has sent, until their receivers have them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::events::Effect;
use super::machine::Life;
use super::record::{Change, DeadLetter, Message, Record};
use super::trigger::{Name, Time};

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Its receiver has it, now or from before.
    Taken,
    /// Its receiver can't take it now: its inbox is full, nobody answers.
    Later,
    /// It will never be taken.
    Refused(Arc<str>),
}

/// What is known about receivers. Nothing of it is kept: after a crash everything is sent again, and taken once.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    /// Messages that are on their way, one for each receiver, so that they arrive in order.
    under_way: BTreeMap<Name, Name>,
    /// Receivers that could take nothing: how often in a row, and when they are asked again.
    later: BTreeMap<Name, (u32, Time)>,
}

impl Outbox {
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.later.is_empty()
    }

    pub(super) fn restart(&mut self) {
        *self = Outbox::default();
    }

    /// When a receiver is asked again that could take nothing.
    pub(super) fn next(&self, record: &Record) -> Option<Time> {
        let waits = |to: &Name| {
            !self.under_way.contains_key(to)
                && record.outbox.iter().any(|message| message.to == *to)
        };
        self.later
            .iter()
            .filter(|(to, _)| waits(to))
            .map(|(_, (_, at))| *at)
            .min()
    }
}

impl Life {
    /// Sends the first message for each receiver whose turn it is. What a commit brings that is under way isn't sent before it is kept.
    pub(super) fn dispatch(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.flight.is_some() || !self.next.changes.is_empty() || self.record.header.moved {
            return;
        }
        let mut met = BTreeSet::new();
        let ready = |message: &&Message| {
            let first = met.insert(message.to.clone());
            let waits = self
                .outbox
                .later
                .get(&message.to)
                .is_some_and(|(_, at)| *at > now);
            first && !waits && !self.outbox.under_way.contains_key(&message.to)
        };
        let messages: Vec<Message> = self.record.outbox.iter().filter(ready).cloned().collect();
        for message in messages {
            self.outbox
                .under_way
                .insert(message.to.clone(), message.id.clone());
            out.push(Effect::Dispatch(message));
        }
    }

    pub(super) fn dispatched(&mut self, id: &Name, delivery: Delivery, now: Time) {
        // What the store has of it is asked for, and it is sent again then.
        if !self.is_known() {
            return;
        }
        let Some(to) = self
            .outbox
            .under_way
            .iter()
            .find(|(_, under_way)| *under_way == id)
            .map(|(to, _)| to.clone())
        else {
            return;
        };
        self.outbox.under_way.remove(&to);
        let Some(message) = self
            .record
            .outbox
            .iter()
            .find(|message| message.id == *id)
            .cloned()
        else {
            return;
        };
        match delivery {
            Delivery::Taken => {
                self.outbox.later.remove(&to);
                self.change(Change::Sent(message.id));
            }
            Delivery::Refused(error) if self.record.dead.len() < self.policy.dead_letters => {
                self.outbox.later.remove(&to);
                self.change(Change::Sent(message.id.clone()));
                self.change(Change::Bury(DeadLetter::Message { message, error }));
            }
            Delivery::Later | Delivery::Refused(_) => {
                let (times, at) = self.outbox.later.entry(to).or_default();
                *times = times.saturating_add(1);
                *at = now.after(self.policy.backoff_after(*times));
            }
        }
    }
}
