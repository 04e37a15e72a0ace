//! What is kept of an agent's life while nothing of it is in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::alarm::Alarm;
use super::trigger::{Beginning, Name, Time, Trigger};

/// The SHA-256 of a module.
pub type Digest = [u8; 32];

/// A trigger that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// What waits.
    pub trigger: Trigger,
    /// How many ticks have failed at it.
    pub attempts: u32,
    /// It isn't tried again before.
    pub not_before: Time,
}

/// What came of a trigger, for whoever sends it once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tick that handled it, and what that reported.
    Committed {
        /// Its number.
        tick: u64,
        /// The agent's own words.
        result: Arc<[u8]>,
    },
    /// It was given up, with the last tick's error.
    Dead {
        /// Of the last tick.
        error: Arc<str>,
    },
}

/// What was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetter {
    /// A trigger at which every tick failed.
    Trigger {
        /// As it came.
        trigger: Trigger,
        /// Of the last tick.
        error: Arc<str>,
    },
    /// A message that its receiver refuses for good.
    Message {
        /// As it was sent.
        message: Message,
        /// The receiver's.
        error: Arc<str>,
    },
}

impl DeadLetter {
    /// By which it is found: the trigger's id, or the message's.
    pub fn id(&self) -> &Name {
        match self {
            DeadLetter::Trigger { trigger, .. } => &trigger.id,
            DeadLetter::Message { message, .. } => &message.id,
        }
    }
}

/// What an agent sends. It leaves when its tick has been committed, and is kept until its receiver has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same, however often it is sent: a receiver takes it once.
    pub id: Name,
    /// Greater than that of each message before, whomever that was for.
    pub seq: u64,
    /// Its receiver.
    pub to: Name,
    /// What it says.
    pub payload: Arc<[u8]>,
}

/// The small part of a record, written with every tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last tick that was committed; 0 before the first.
    pub tick: u64,
    /// Which copy this is: every fork and every second import has the next.
    pub generation: u64,
    /// What runs.
    pub module: Digest,
    /// The module before an upgrade that nobody has confirmed, and its heap's tick.
    pub former: Option<(Digest, Option<u64>)>,
    /// The tick whose heap is kept.
    pub heap: Option<u64>,
    /// What the agent is told before anything else, and how many ticks have failed at it.
    pub beginning: Option<(Beginning, u32)>,
    /// How many beginnings, alarms and messages there have been; they are numbered by it.
    pub serial: u64,
    /// It takes triggers, and runs none.
    pub paused: bool,
    /// The least time from the begin of a tick to the next, in nanoseconds.
    pub pace: u64,
    /// Triggers given up one after the other.
    pub given_up: u32,
    /// Why it runs nothing until somebody resumes it.
    pub failed: Option<Arc<str>>,
    /// It has moved to another host, and runs nothing here.
    pub moved: bool,
    /// The tick that had been committed when it was last taken hold of, and how often in a row nothing has come of that.
    pub acquired: (u64, u32),
}

impl Header {
    /// That of an agent that has just been registered.
    pub fn new(module: Digest) -> Header {
        Header {
            tick: 0,
            generation: 0,
            module,
            former: None,
            heap: None,
            beginning: Some((Beginning::Registered, 0)),
            serial: 0,
            paused: false,
            pace: 0,
            given_up: 0,
            failed: None,
            moved: false,
            acquired: (u64::MAX, 0),
        }
    }
}

/// All that is kept of a life but for what the agent itself keeps: its state, values, heap and files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its small part.
    pub header: Header,
    /// In the order in which they came.
    pub inbox: VecDeque<Queued>,
    /// What came of the last triggers, the oldest first.
    pub seen: VecDeque<(Name, Outcome)>,
    /// The last number that was taken of each source that counts, the one heard of longest ago first.
    pub sources: VecDeque<(Name, u64)>,
    /// What was given up, the oldest first.
    pub dead: VecDeque<DeadLetter>,
    /// By their names.
    pub alarms: BTreeMap<Name, Alarm>,
    /// In the order in which they were sent.
    pub outbox: VecDeque<Message>,
}

/// One change of a record: a row of a store, more or less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The header is this.
    Header(Header),
    /// A trigger comes into the inbox, at its end; one that is in there already is replaced where it is.
    Enqueue(Queued),
    /// One leaves the inbox, if it is there.
    Dequeue(Name),
    /// What came of a trigger, which is remembered as the latest.
    Seen(Name, Outcome),
    /// The oldest outcome, or another one, is forgotten.
    Forget(Name),
    /// The last number that was taken of a source.
    Source(Name, u64),
    /// It is remembered no longer.
    ForgetSource(Name),
    /// A dead letter comes, the latest.
    Bury(DeadLetter),
    /// One goes.
    Unbury(Name),
    /// An alarm is set; or has fired, and will again.
    Alarm(Name, Alarm),
    /// It isn't any more.
    NoAlarm(Name),
    /// A message waits for its receiver, behind all others.
    Send(Message),
    /// It waits no longer.
    Sent(Name),
    /// Everything that the activation holds of this tick, which the host adds: state, values, files, and the heap if so.
    Tick {
        /// The tick's number.
        tick: u64,
        /// The heap is kept, too.
        heap: bool,
    },
    /// The heap as it was after this tick.
    Heap {
        /// The last that was committed.
        tick: u64,
    },
    /// The agent and everything of it is removed.
    Remove,
}

impl Record {
    /// That of an agent that has just been registered.
    pub fn new(module: Digest) -> Record {
        Record {
            header: Header::new(module),
            inbox: VecDeque::new(),
            seen: VecDeque::new(),
            sources: VecDeque::new(),
            dead: VecDeque::new(),
            alarms: BTreeMap::new(),
            outbox: VecDeque::new(),
        }
    }

    /// Makes a change. A store that keeps records whole, and the machine itself, do it by this; one of rows does the same to them.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Header(header) => self.header = header.clone(),
            Change::Enqueue(queued) => match self.position(&queued.trigger.id) {
                Some(at) => self.inbox[at] = queued.clone(),
                None => self.inbox.push_back(queued.clone()),
            },
            Change::Dequeue(id) => self.inbox.retain(|queued| queued.trigger.id != *id),
            Change::Seen(id, outcome) => self.seen.push_back((id.clone(), outcome.clone())),
            Change::Forget(id) => self.seen.retain(|(seen, _)| seen != id),
            Change::Source(source, seq) => {
                self.sources.retain(|(known, _)| known != source);
                self.sources.push_back((source.clone(), *seq));
            }
            Change::ForgetSource(source) => self.sources.retain(|(known, _)| known != source),
            Change::Bury(letter) => self.dead.push_back(letter.clone()),
            Change::Unbury(id) => self.dead.retain(|letter| letter.id() != id),
            Change::Alarm(name, alarm) => {
                self.alarms.insert(name.clone(), alarm.clone());
            }
            Change::NoAlarm(name) => {
                self.alarms.remove(name);
            }
            Change::Send(message) => self.outbox.push_back(message.clone()),
            Change::Sent(id) => self.outbox.retain(|message| message.id != *id),
            Change::Tick { .. } | Change::Heap { .. } | Change::Remove => {}
        }
    }

    /// What a store does, in one transaction with the next epoch, when somebody takes hold of the agent.
    pub fn acquire(&mut self) {
        let header = &mut self.header;
        let (tick, vain) = header.acquired;
        header.acquired = (
            header.tick,
            if tick == header.tick {
                vain.saturating_add(1)
            } else {
                0
            },
        );
    }

    /// What came of a trigger, as far as that is remembered.
    pub fn outcome(&self, id: &Name) -> Option<&Outcome> {
        self.seen
            .iter()
            .rev()
            .find(|(seen, _)| seen == id)
            .map(|(_, outcome)| outcome)
    }

    /// A trigger that waits.
    pub fn queued(&self, id: &Name) -> Option<&Queued> {
        self.position(id).map(|at| &self.inbox[at])
    }

    fn position(&self, id: &Name) -> Option<usize> {
        self.inbox
            .iter()
            .position(|queued| queued.trigger.id == *id)
    }

    /// The last number that was taken of a source, if it counts and is remembered.
    pub fn last_of(&self, source: &Name) -> Option<u64> {
        self.sources
            .iter()
            .find(|(known, _)| known == source)
            .map(|(_, seq)| *seq)
    }
}
