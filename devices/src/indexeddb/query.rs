//! `query`: keys of a range, of the store or of an index.

use std::sync::Arc;

use capfs::account::{Buffer, Charge, Holding};
use capfs::{Errno, Op};

use super::codec::{self, IndexKey};
use super::host::{Failure, Held};
use super::store::Store;
use crate::exchange::Exchange;

/// Keys that one query gives unless it says otherwise, and at most.
pub const QUERY_MAX: usize = 10_000;

/// Bytes of the longest query.
const LINE_MAX: usize = 2048;

/// `[index NAME] [range LOW HIGH] [limit N] [reverse]`: from LOW to before HIGH, names of files, or `*` for no bound.
pub(super) struct Query {
    store: Arc<Store>,
    line: Buffer,
}

#[derive(Debug, Default, PartialEq)]
struct Parsed {
    index: Option<String>,
    low: Option<Vec<u8>>,
    high: Option<Vec<u8>>,
    limit: Option<usize>,
    reverse: bool,
}

fn parse(line: &str) -> Option<Parsed> {
    let mut parsed = Parsed::default();
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "index" => parsed.index = Some(words.next()?.to_owned()),
            "range" => {
                let of_index = parsed.index.is_some();
                let bound = |word: &str| match word {
                    "*" => Some(None),
                    name if of_index => Some(Some(IndexKey::of_name(name)?.encode())),
                    name => Some(Some(codec::unescape(name)?)),
                };
                parsed.low = bound(words.next()?)?;
                parsed.high = bound(words.next()?)?;
            }
            "limit" => {
                let limit: usize = words.next()?.parse().ok()?;
                parsed.limit = Some(limit.min(QUERY_MAX));
            }
            "reverse" => parsed.reverse = true,
            _ => return None,
        }
    }
    Some(parsed)
}

impl Query {
    pub(super) fn new(store: &Arc<Store>) -> Query {
        Query {
            store: store.clone(),
            line: Buffer::new(store.engine.device.account(), Holding::Descriptors),
        }
    }
}

/// The keys, with what they are charged by.
async fn run(store: &Store, line: &[u8]) -> Result<Held<Vec<Vec<u8>>>, Failure> {
    let parsed = str::from_utf8(line).ok().and_then(parse).ok_or_else(|| {
        let text = "expected [index NAME] [range LOW HIGH] [limit N] [reverse]";
        Failure::new(Errno::Inval, text)
    })?;
    let limit = parsed.limit.unwrap_or(QUERY_MAX);
    let bounds = (parsed.low, parsed.high);
    let (db, name) = (&*store.db, &*store.name);
    match &parsed.index {
        None => {
            store
                .engine
                .keys(db, name, bounds, limit, parsed.reverse)
                .await
        }
        Some(index) => {
            let all = store.engine.indexes(db, name).await?;
            if !all.iter().any(|other| other.name == *index) {
                let text = format!("there is no index `{index}`");
                return Err(Failure::new(Errno::Noent, text));
            }
            let entries = store
                .engine
                .entries((db, name, index), bounds, limit, parsed.reverse);
            let Held { what, charge } = entries.await?;
            let what = what.into_iter().map(|(_, key)| key).collect();
            Ok(Held { what, charge })
        }
    }
}

impl Exchange for Query {
    /// # Errors
    /// - [`Errno::Msgsize`]: more than [`LINE_MAX`] bytes
    fn take(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if self.line.len() + bytes.len() > LINE_MAX {
            self.line.clear();
            return Err(Errno::Msgsize);
        }
        self.line.extend(bytes).inspect_err(|_| self.line.clear())
    }

    fn answer(&mut self) -> Op<(Vec<u8>, Charge)> {
        let (store, (line, _charge)) = (self.store.clone(), self.line.take());
        Op::run(async move {
            let keys = run(&store, &line).await;
            let keys = store.explained(keys)?;
            let mut answer = Buffer::new(store.engine.device.account(), Holding::Descriptors);
            for key in &keys.what {
                answer.extend(codec::escape(key).as_bytes())?;
                answer.extend(b"\n")?;
            }
            Ok(answer.take())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        assert_eq!(parse(""), Some(Parsed::default()));
        let parsed = parse("index age range =1 * limit 3 reverse\n").unwrap();
        assert_eq!(parsed.index.as_deref(), Some("age"));
        assert_eq!(parsed.low.map(|low| low.len()), Some(9));
        assert_eq!(
            (parsed.high, parsed.limit, parsed.reverse),
            (None, Some(3), true)
        );
        assert_eq!(
            parse("range a%20b c").unwrap().low.as_deref(),
            Some(&b"a b"[..])
        );
        for bad in [
            "range a",
            "range a? b",
            "limit",
            "limit x",
            "first",
            "index",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
