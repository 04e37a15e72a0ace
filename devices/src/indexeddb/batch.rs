//! `DB/batch`: several changes of a database in one transaction, on conditions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use capfs::account::{Buffer, Charge};
use capfs::device::conversations::LastError;
use capfs::{Errno, Op};

use super::codec;
use super::engine::Engine;
use super::host::Failure;
use crate::exchange::Exchange;

/// Bytes of the longest batch: it is kept whole.
pub const BATCH_MAX: usize = 4 << 20;

/// Lines of the longest batch: each is read within the transaction.
pub const BATCH_LINES_MAX: usize = 1024;

/// What a batch takes while it is done, in bytes for each of its own: itself, its values, and what the host writes.
const WORKING: u64 = 3;

/// What is answered to a batch that was done.
const DONE: &[u8] = b"committed\n";

/// A record: its store and its key.
pub(super) type Place = (String, Vec<u8>);

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Sets a value.
    Put(Vec<u8>),
    /// Takes the record away, which must be there.
    Delete,
    /// The record must have this value.
    Is(Vec<u8>),
    /// There must be no such record.
    Absent,
}

/// Values as they are while the steps are taken: those that were there, borrowed, and others.
pub(super) struct Values<'a>(pub(super) BTreeMap<Place, Option<Cow<'a, [u8]>>>);

impl<'a> Values<'a> {
    /// Those that are there.
    pub(super) fn of(old: &'a BTreeMap<Place, Option<Vec<u8>>>) -> Values<'a> {
        let borrowed = old.iter().map(|(place, value)| {
            let value = value.as_deref().map(Cow::Borrowed);
            (place.clone(), value)
        });
        Values(borrowed.collect())
    }

    /// Takes a step.
    ///
    /// # Errors
    /// - [`Errno::Canceled`]: a condition that does not hold
    /// - [`Errno::Noent`]: nothing to take away
    pub(super) fn take(&mut self, place: &Place, step: Step) -> Result<(), Failure> {
        let value = self.0.entry(place.clone()).or_default();
        let (store, key) = (&place.0, codec::escape(&place.1));
        let canceled = |what| Failure::new(Errno::Canceled, format!("`{key}` of `{store}` {what}"));
        match step {
            Step::Put(new) => *value = Some(Cow::Owned(new)),
            Step::Delete if value.is_none() => {
                return Err(Failure::new(
                    Errno::Noent,
                    format!("there is no `{key}` in `{store}`"),
                ));
            }
            Step::Delete => *value = None,
            Step::Is(expected) if value.as_deref() != Some(&expected[..]) => {
                return Err(canceled("has another value"));
            }
            Step::Absent if value.is_some() => return Err(canceled("is there")),
            Step::Is(_) | Step::Absent => {}
        }
        Ok(())
    }
}

/// A value in a line: `%` and two digits are a byte, everything else is itself.
fn value(text: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => *byte,
        });
    }
    Some(value)
}

fn parse(line: &[u8]) -> Option<(Place, Step)> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let mut word = || words.next();
    let (command, store, key) = (word()?, word()?, word()?);
    let rest = word();
    let step = match (command, rest) {
        (b"put", rest) => Step::Put(value(rest.unwrap_or_default())?),
        (b"is", rest) => Step::Is(value(rest.unwrap_or_default())?),
        (b"delete", None) => Step::Delete,
        (b"absent", None) => Step::Absent,
        _ => return None,
    };
    let store = str::from_utf8(store)
        .ok()
        .filter(|store| codec::is_name(store))?;
    let key = codec::unescape(str::from_utf8(key).ok()?)?;
    Some(((store.to_owned(), key), step))
}

/// What is asked through one descriptor.
pub(super) struct Batch {
    pub(super) engine: Arc<Engine>,
    pub(super) db: String,
    pub(super) error: Arc<LastError>,
    pub(super) text: Buffer,
}

async fn run(engine: &Engine, db: &str, text: &[u8]) -> Result<(), Failure> {
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let steps = lines.map(|line| {
        parse(line).ok_or_else(|| {
            let text = "expected put STORE KEY VALUE, delete STORE KEY, is STORE KEY VALUE or absent STORE KEY";
            Failure::new(Errno::Inval, text)
        })
    });
    let steps = steps.collect::<Result<Vec<_>, _>>()?;
    if steps.len() > BATCH_LINES_MAX {
        let text = format!("more than {BATCH_LINES_MAX} lines");
        return Err(Failure::new(Errno::TooBig, text));
    }
    engine.batch(db, steps).await
}

impl Exchange for Batch {
    /// # Errors
    /// - [`Errno::Msgsize`]: more than [`BATCH_MAX`] bytes
    /// - [`Errno::Nomem`]: more than the agent has room for
    fn take(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if self.text.len() + bytes.len() > BATCH_MAX {
            self.text.clear();
            return Err(Errno::Msgsize);
        }
        self.text.extend(bytes).inspect_err(|_| self.text.clear())
    }

    fn answer(&mut self) -> Op<(Vec<u8>, Charge)> {
        let (engine, db, error) = (self.engine.clone(), self.db.clone(), self.error.clone());
        let (text, mut charge) = self.text.take();
        if let Err(errno) = charge.resize(WORKING * text.len() as u64 + DONE.len() as u64) {
            return Op::err(error.explain(errno, "the agent may not hold that much"));
        }
        Op::run(async move {
            let done = run(&engine, &db, &text).await;
            done.map_err(|failure| error.explain(failure.errno, failure.text))?;
            let done = DONE.to_vec();
            charge.resize(done.capacity() as u64)?;
            Ok((done, charge))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let place = ("s".to_owned(), b"a b".to_vec());
        let put = parse(br#"put s a%20b {"x": 1}%0A"#);
        assert_eq!(
            put,
            Some((place.clone(), Step::Put(b"{\"x\": 1}\n".to_vec())))
        );
        assert_eq!(
            parse(b"put s a%20b"),
            Some((place.clone(), Step::Put(Vec::new())))
        );
        assert_eq!(parse(b"absent s a%20b"), Some((place, Step::Absent)));
        for bad in [
            "",
            "put s",
            "put s a? x",
            "put s a %4",
            "delete s a x",
            "move s a b",
            "put .s a x",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
