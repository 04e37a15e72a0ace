//! A connection to a relay, by `/cap/ws`: the messages of [NIP-01](https://github.com/nostr-protocol/nips/blob/master/01.md).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::Duration;

use cap::{Conversation, Failure, Result, Said, plain, shortened, wait_readable};
use serde_json::{Value, json};

const WS: &str = "/cap/ws";

/// Bytes of a message, at most.
const MESSAGE_MAX: usize = 1 << 20;

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Characters of what a relay says that are shown.
const WORDS_MAX: usize = 200;

/// The name of the only subscription of a connection.
const SUBSCRIPTION: &str = "notes";

/// What a relay says.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// An event of the subscription, not looked at yet.
    Event(Value),
    /// It has sent all that it had.
    Stored,
    /// Whether it took an event, and why not.
    Taken {
        /// The event, in hexadecimal.
        id: String,
        /// Whether it did.
        accepted: bool,
        /// Its words.
        words: String,
    },
    /// It ended the subscription.
    Closed(String),
    /// Something for people.
    Notice(String),
    /// Whatever else, which clients may ignore.
    Other,
}

/// What came of waiting for a message.
pub enum Received {
    /// A message.
    Message(Message),
    /// It said nothing for so long.
    Silence,
    /// It hung up; with its words.
    HungUp(String),
}

/// A connection to a relay. It is closed when this value is dropped.
pub struct Relay {
    url: String,
    conversation: Conversation,
    data: File,
    piece: Vec<u8>,
}

impl Relay {
    /// Connects.
    ///
    /// # Errors
    /// A capability that was not granted; a relay that was not, or that can't be reached.
    pub fn connect(url: &str) -> Result<Relay> {
        if fs::metadata(WS).is_err() {
            return Err(Failure::new(
                WS,
                format!(
                    "it is not granted; it needs --grant ws,origin={}",
                    plain(url)
                ),
            ));
        }
        if url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(Failure::new(plain(url), "expected a URL, wss://…"));
        }
        let said = |mut failure: Failure| {
            failure.what = url.to_owned();
            failure
        };
        let mut conversation = Conversation::open(WS)?;
        conversation
            .command(&format!("connect {url}"))
            .map_err(said)?;
        let data = conversation.open_both("data").map_err(said)?;
        Ok(Relay {
            url: url.to_owned(),
            conversation,
            data,
            piece: vec![0; PIECE],
        })
    }

    /// Publishes an event.
    ///
    /// # Errors
    /// What the connection says.
    pub fn publish(&mut self, event: &Value) -> Result<()> {
        self.send(&json!(["EVENT", event]))
    }

    /// Asks for events.
    ///
    /// # Errors
    /// What the connection says.
    pub fn subscribe(&mut self, filter: &Value) -> Result<()> {
        self.send(&json!(["REQ", SUBSCRIPTION, filter]))
    }

    /// Says that no more is wanted, and hangs up. A relay that has gone meanwhile need not be told.
    pub fn end(mut self) {
        let _ = self.send(&json!(["CLOSE", SUBSCRIPTION]));
        let _ = self.conversation.command("hangup 1000");
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        // One write is one message.
        let written = self.data.write_all(message.to_string().as_bytes());
        self.conversation.explained(written.said(&self.url))
    }

    /// Waits for a message, no longer than told.
    ///
    /// # Errors
    /// What the connection says; what is no message.
    pub fn receive(&mut self, patience: Option<Duration>) -> Result<Received> {
        let mut message = Vec::new();
        loop {
            if let Some(patience) = patience
                && !wait_readable(&self.data, patience).said(&self.url)?
            {
                return Ok(Received::Silence);
            }
            let count = match self.data.read(&mut self.piece) {
                Err(error) if cap::errno::name(&error) == Some("ECONNRESET") => {
                    return Ok(Received::HungUp("the connection was broken off".to_owned()));
                }
                read => self.conversation.explained(read.said(&self.url))?,
            };
            if count == 0 {
                // The end, or an empty message, which says nothing.
                let status = self.conversation.text("status")?;
                match status.strip_prefix("Hangup") {
                    Some(how) => {
                        return Ok(Received::HungUp(format!("it hung up ({})", shown(how))));
                    }
                    None => continue,
                }
            }
            message.extend_from_slice(&self.piece[..count]);
            if message.len() > MESSAGE_MAX {
                let words = format!("a message has more than {MESSAGE_MAX} bytes");
                return Err(Failure::new(&self.url, words));
            }
            match serde_json::from_slice(&message) {
                Ok(value) => return Ok(Received::Message(understood(&value))),
                // The rest of it is still to be read.
                Err(error) if error.is_eof() => {}
                Err(_) => {
                    let start = shown(&String::from_utf8_lossy(&message));
                    let words = format!("a message is no JSON: {start}");
                    return Err(Failure::new(&self.url, words));
                }
            }
        }
    }
}

fn understood(value: &Value) -> Message {
    let text = |at: usize| value.get(at).and_then(Value::as_str);
    let words = |at| shown(text(at).unwrap_or_default());
    let ours = text(1) == Some(SUBSCRIPTION);
    match text(0) {
        Some("EVENT") if ours => match value.get(2) {
            Some(event) => Message::Event(event.clone()),
            None => Message::Other,
        },
        Some("EOSE") if ours => Message::Stored,
        Some("CLOSED") if ours => Message::Closed(words(2)),
        Some("OK") => Message::Taken {
            id: text(1).unwrap_or_default().to_owned(),
            accepted: value.get(2).and_then(Value::as_bool).unwrap_or(false),
            words: words(3),
        },
        Some("NOTICE") => Message::Notice(words(1)),
        _ => Message::Other,
    }
}

/// A relay's words, fit to be shown.
fn shown(words: &str) -> String {
    shortened(&plain(words), WORDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let of = |text: &str| understood(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"["EVENT","notes",{}]"#), Message::Event(json!({})));
        assert_eq!(of(r#"["EOSE","notes"]"#), Message::Stored);
        assert_eq!(
            of("[\"CLOSED\",\"notes\",\"error:\\u001b[2J no\"]"),
            Message::Closed("error: [2J no".to_owned())
        );
        assert_eq!(of(r#"["NOTICE"]"#), Message::Notice(String::new()));
        let taken = |accepted, words: &str| Message::Taken {
            id: "ab".to_owned(),
            accepted,
            words: words.to_owned(),
        };
        assert_eq!(of(r#"["OK","ab",true,""]"#), taken(true, ""));
        assert_eq!(of(r#"["OK","ab","true","why"]"#), taken(false, "why"));
        for other in [
            "{}",
            "[]",
            "[1]",
            r#"["EVENT","other",{}]"#,
            r#"["EVENT","notes"]"#,
            r#"["AUTH","x"]"#,
            "null",
        ] {
            assert_eq!(of(other), Message::Other, "{other}");
        }
    }
}
