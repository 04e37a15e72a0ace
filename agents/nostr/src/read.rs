//! Reading notes: each is verified before anything of it is shown.

use std::collections::BTreeSet;
use std::io::Write;

use cap::{Failure, Result, Said, printable, rfc3339};
use serde_json::{Value, json};

use crate::event::{Event, TEXT_NOTE};
use crate::hex;
use crate::keys::is_genuine;
use crate::names::npub;
use crate::relay::{Message, Received, Relay};

/// Events that are remembered, so that none is shown twice while notes are followed.
const SEEN_MAX: usize = 10_000;

/// How many events more than were asked for a relay may send before it is given up: new ones come among the old.
const EXCESS: usize = 100;

/// What is asked for.
pub struct Wanted {
    /// Whose notes; everybody's where it is empty.
    pub authors: Vec<[u8; 32]>,
    /// How many of those that a relay has.
    pub limit: usize,
}

impl Wanted {
    /// As a relay is asked.
    pub fn filter(&self) -> Value {
        let mut filter = json!({ "kinds": [TEXT_NOTE], "limit": self.limit });
        if !self.authors.is_empty() {
            let authors = self.authors.iter().map(|author| hex::encode(author));
            filter["authors"] = authors.collect();
        }
        filter
    }

    fn fits(&self, event: &Event) -> bool {
        let author = &event.unsigned.author;
        event.unsigned.kind == TEXT_NOTE
            && (self.authors.is_empty() || self.authors.contains(author))
    }
}

/// What a relay sent that is shown to nobody.
#[derive(Default)]
pub struct Refused {
    forged: usize,
    malformed: usize,
    unasked: usize,
}

impl Refused {
    /// Says so, if there was something.
    pub fn tell(&self, url: &str) {
        for (count, what) in [
            (self.forged, "not what their authors signed"),
            (self.malformed, "not of the form of events"),
            (self.unasked, "not what was asked for"),
        ] {
            if count > 0 {
                eprintln!("{url}: refused {count} that are {what}");
            }
        }
    }
}

/// Events from relays, none twice, none that isn't its author's.
pub struct Reader {
    wanted: Wanted,
    seen: BTreeSet<[u8; 32]>,
    /// What was refused.
    pub refused: Refused,
}

impl Reader {
    /// A reader of what is wanted.
    pub fn new(wanted: Wanted) -> Reader {
        Reader {
            wanted,
            seen: BTreeSet::new(),
            refused: Refused::default(),
        }
    }

    /// As a relay is asked.
    pub fn filter(&self) -> Value {
        self.wanted.filter()
    }

    /// The event of a message, if it is good and was not there before.
    ///
    /// # Errors
    /// What verifying says.
    pub fn take(&mut self, value: &Value) -> Result<Option<Event>> {
        let Some(event) = Event::from_json(value) else {
            self.refused.malformed += 1;
            return Ok(None);
        };
        if !self.wanted.fits(&event) {
            self.refused.unasked += 1;
            return Ok(None);
        }
        if self.seen.contains(&event.id) {
            return Ok(None);
        }
        if !is_genuine(&event)? {
            self.refused.forged += 1;
            return Ok(None);
        }
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        self.seen.insert(event.id);
        Ok(Some(event))
    }

    /// What a relay has, the oldest first, as far as it sends it. What went wrong before the end comes with what came before it.
    ///
    /// # Errors
    /// What verifying says.
    pub fn stored(
        &mut self,
        relay: &mut Relay,
        url: &str,
        patience: std::time::Duration,
    ) -> Result<(Vec<Event>, Option<Failure>)> {
        let mut events = Vec::new();
        let mut count = 0;
        let broken = |words: String| Some(Failure::new(url, words));
        let end = loop {
            let message = match relay.receive(Some(patience)) {
                Ok(Received::Message(message)) => message,
                Ok(Received::Silence) => {
                    let seconds = patience.as_secs();
                    break broken(format!("it has said nothing for {seconds} s"));
                }
                Ok(Received::HungUp(how)) => break broken(format!("{how} before it had sent all")),
                Err(failure) => break Some(failure),
            };
            match message {
                Message::Event(value) => {
                    count += 1;
                    if count > self.wanted.limit + EXCESS {
                        break broken("it sends more than was asked for".to_owned());
                    }
                    events.extend(self.take(&value)?);
                }
                Message::Stored => break None,
                Message::Closed(words) => break broken(format!("it refuses: {words}")),
                Message::Notice(words) => eprintln!("{url}: {words}"),
                Message::Taken { .. } | Message::Other => {}
            }
        };
        events.sort_by_key(Event::age);
        Ok((events, end))
    }
}

/// Shows an event: as it is, or for people.
///
/// # Errors
/// What writing says.
pub fn show(event: &Event, json: bool, out: &mut dyn Write) -> Result<()> {
    if json {
        return writeln!(out, "{}", event.to_json()).said("output");
    }
    let said = &event.unsigned;
    let time = rfc3339(i64::try_from(said.created).unwrap_or(i64::MAX));
    writeln!(out, "{time}  {}", npub(&said.author)).said("output")?;
    for line in printable(&said.content).lines() {
        writeln!(out, "    {line}").said("output")?;
    }
    Ok(())
}
