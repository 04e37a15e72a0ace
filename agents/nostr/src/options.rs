//! The command line.

use std::time::Duration;

use crate::names::public_key;

/// How long a relay may say nothing, unless told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events that are asked for, unless told, and at most.
const LIMIT: usize = 20;
const LIMIT_MAX: usize = 500;

/// Relays and authors, at most.
const LIST_MAX: usize = 32;

/// Whose notes are asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Author {
    /// One's own.
    Me,
    /// Those of a public key.
    Key([u8; 32]),
}

/// What was told behind the command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The relays.
    pub relays: Vec<String>,
    /// Whose notes; everybody's where it is empty.
    pub authors: Vec<Author>,
    /// How many.
    pub limit: Option<usize>,
    /// The name of one's own key.
    pub key: Option<String>,
    /// How long a relay may say nothing.
    pub timeout: Option<Duration>,
    /// Whether events are shown as they are.
    pub json: bool,
    /// What is no option.
    pub words: Vec<String>,
}

impl Options {
    /// Takes arguments apart.
    ///
    /// # Errors
    /// A sentence: what can't be understood.
    pub fn parse(args: &[String]) -> Result<Options, String> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("there is nothing behind {arg}"));
            match arg.as_str() {
                "--relay" => options.relays.push(value()?.clone()),
                "--author" => options.authors.push(match value()?.as_str() {
                    "me" => Author::Me,
                    key => Author::Key(public_key(key).map_err(|failure| failure.to_string())?),
                }),
                "--limit" => {
                    let limit = value()?.parse().ok();
                    let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    let words = format!("expected a number from 1 to {LIMIT_MAX} behind --limit");
                    options.limit = Some(limit.ok_or(words)?);
                }
                "--key" => {
                    let name = value()?;
                    // Of a path only one name; the rest is the capability's to judge.
                    if name.is_empty() || name.contains('/') || name.starts_with('.') {
                        return Err("expected a key's name behind --key".to_owned());
                    }
                    options.key = Some(name.clone());
                }
                "--timeout" => {
                    let seconds = value()?
                        .parse()
                        .ok()
                        .filter(|seconds| (1..=86_400).contains(seconds));
                    let words = "expected seconds, from 1 to 86400, behind --timeout";
                    options.timeout = Some(Duration::from_secs(seconds.ok_or(words)?));
                }
                "--json" => options.json = true,
                "--" => options.words.extend(args.by_ref().cloned()),
                option if option.starts_with("--") => {
                    return Err(format!("there is no option {}", cap::plain(option)));
                }
                word => options.words.push(word.to_owned()),
            }
        }
        if options.relays.len() > LIST_MAX || options.authors.len() > LIST_MAX {
            return Err(format!("there are more than {LIST_MAX} relays or authors"));
        }
        Ok(options)
    }

    /// How many events are asked for.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT)
    }

    /// How long a relay may say nothing before it is given up.
    pub fn patience(&self) -> Duration {
        self.timeout.unwrap_or(PATIENCE)
    }

    /// The name of one's own key.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("nostr")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Options::parse(&args)
    }

    #[test]
    fn options() {
        let options =
            parse("hello --relay ws://a --author me --limit 3 --timeout 2 --json world -- --x")
                .unwrap();
        assert_eq!(options.words, ["hello", "world", "--x"]);
        assert_eq!(
            (options.relays.len(), options.limit(), options.json),
            (1, 3, true)
        );
        assert_eq!(options.authors, [Author::Me]);
        assert_eq!(
            (options.patience(), options.key()),
            (Duration::from_secs(2), "nostr")
        );
    }

    #[test]
    fn what_is_none() {
        for bad in [
            "--relay",
            "--limit 0",
            "--limit 501",
            "--limit x",
            "--timeout 0",
            "--key a/b",
            "--key ..",
            "--author x",
            "--frob",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
