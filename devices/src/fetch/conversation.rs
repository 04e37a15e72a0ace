//! The numbered directories: a request that is put together by commands.

use std::sync::Arc;

use capfs::device::conversations::Dialogue;
use capfs::device::synthetic::{DynamicNames, StreamSource, SyntheticBuilder, text_file};
use capfs::{DirEntry, Errno, FileKind, Name, NodeRef, Op, OpenFile};

use super::exchange::{Exchange, Settings};
use super::files::OpenPostBody;
use super::host::Failure;
use super::{Fetch, HEADERS_MAX, METHODS_NEVER};
use crate::message::{is_field_name, is_field_value, is_forbidden_header, is_token, trimmed};
use crate::url::{URL_MAX, Url};

/// A conversation.
pub struct Conversation {
    exchange: Arc<Exchange>,
}

impl Conversation {
    pub fn new(fetch: Arc<Fetch>) -> Conversation {
        let settings = fetch.defaults();
        Conversation {
            exchange: Exchange::new(fetch, settings, Arc::default()),
        }
    }

    fn header(&self, line: &str) -> Result<(), Errno> {
        let error = &self.exchange.error;
        let (name, value) = line
            .split_once(':')
            .map(|(name, value)| (trimmed(name).to_ascii_lowercase(), trimmed(value)))
            .filter(|(name, value)| is_field_name(name) && is_field_value(value))
            .ok_or_else(|| error.explain(Errno::Inval, "expected `header NAME: VALUE`"))?;
        if is_forbidden_header(&name) {
            let text = format!("the header `{name}` is the host's own");
            return Err(error.explain(Errno::Acces, text));
        }
        let mut full = false;
        self.exchange.set(|settings| {
            let size = |(name, value): &(String, String)| name.len() + value.len();
            let used: usize = settings.headers.iter().map(size).sum();
            full = used + name.len() + value.len() > HEADERS_MAX;
            if !full {
                settings.headers.push((name, value.to_owned()));
            }
        })?;
        match full {
            true => {
                let text = format!("the headers of a request may have {HEADERS_MAX} bytes");
                Err(error.explain(Errno::Nospc, text))
            }
            false => Ok(()),
        }
    }

    fn method(&self, word: &str) -> Result<(), Errno> {
        let error = &self.exchange.error;
        if !is_token(word) {
            return Err(error.explain(Errno::Inval, "expected `method METHOD`"));
        }
        // The methods that browsers write in upper case; others are told apart by case, `patch` included
        // (Fetch, https://fetch.spec.whatwg.org/#concept-method-normalize).
        let upper = word.to_ascii_uppercase();
        let known = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
        if METHODS_NEVER.contains(&&*upper) {
            let text = format!("the method {upper} is not for agents");
            return Err(error.explain(Errno::Acces, text));
        }
        let method = match known.contains(&&*upper) {
            true => upper,
            false => word.to_owned(),
        };
        self.exchange.set(|settings| settings.method = Some(method))
    }

    fn url(&self, text: &str) -> Result<(), Errno> {
        let error = &self.exchange.error;
        let fetch = &self.exchange.fetch;
        if text.len() > URL_MAX {
            let text = format!("a URL may have {URL_MAX} bytes");
            return Err(error.explain(Errno::Nametoolong, text));
        }
        let url = fetch.host.parse(text, None);
        let url = url.ok_or_else(|| error.explain(Errno::Inval, format!("no URL: {text}")))?;
        self.exchange.set(|settings| settings.url = Some(url))
    }
}

/// A command that `ctl` of the device has too: it changes settings.
///
/// # Errors
/// - `EINVAL`: no such command, or not so
/// - `EACCES`: to follow redirects is not granted
pub fn set_default(fetch: &Fetch, settings: &mut Settings, line: &str) -> Result<(), Failure> {
    let invalid = |text| Failure::new(Errno::Inval, text);
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (command, rest.trim()) {
        ("timeout", millis) => {
            let millis = millis.parse().ok().filter(|millis| *millis > 0);
            let millis = millis.ok_or_else(|| invalid("expected `timeout MILLISECONDS`"))?;
            settings.timeout = Some(millis);
        }
        ("redirect", "manual") => settings.manual = true,
        ("redirect", "follow") if fetch.policies.follow() => settings.manual = false,
        ("redirect", "follow") => {
            let text = "to follow redirects is not granted";
            return Err(Failure::new(Errno::Acces, text));
        }
        ("redirect", _) => return Err(invalid("expected `redirect follow` or `redirect manual`")),
        _ => return Err(invalid("no such command")),
    }
    Ok(())
}

impl Dialogue for Conversation {
    fn command(&self, line: &str) -> Op<()> {
        let exchange = &self.exchange;
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let header = rest;
        let rest = rest.trim();
        match command {
            "url" => self.url(rest),
            "method" => self.method(rest),
            "header" => self.header(header),
            "send" if rest.is_empty() => exchange.send(),
            "abort" if rest.is_empty() => {
                exchange.abort(false);
                Ok(())
            }
            _ => {
                let mut outcome = Ok(());
                let set = exchange.set(|settings| {
                    outcome = set_default(&exchange.fetch, settings, line);
                });
                let explain =
                    |failure: Failure| exchange.error.explain(failure.errno, failure.text);
                set.and(outcome.map_err(explain))
            }
        }
        .into()
    }

    fn files(self: Arc<Self>) -> SyntheticBuilder {
        let exchange = || self.exchange.clone();
        let (posted, body, status, header, headers, error) = (
            exchange(),
            exchange(),
            exchange(),
            exchange(),
            exchange(),
            self.exchange.error.clone(),
        );
        let device = &self.exchange.fetch.device;
        device
            .directory()
            .writes("postbody", move || OpenPostBody::open(posted.clone()))
            .reads("body", Body(body))
            .text("status", move || {
                status.answer().map_or_else(String::new, |answer| {
                    format!("{} {}", answer.status, answer.reason)
                        .trim_end()
                        .to_owned()
                })
            })
            .text("header", move || {
                header.answer().map_or_else(String::new, |answer| {
                    let lines = answer.headers.iter();
                    lines
                        .map(|(name, value)| format!("{name}: {value}\n"))
                        .collect()
                })
            })
            .dir("headers", device.directory().dynamic(HeaderNames(headers)))
            .dir("parsed", parsed(&self.exchange))
            .text("error", move || error.text())
    }

    fn subject(&self) -> Option<String> {
        Some(self.exchange.url()?.href)
    }

    fn end(&self) {
        self.exchange.abort(true);
    }
}

/// `body`, which sends the request.
struct Body(Arc<Exchange>);

impl StreamSource for Body {
    fn open(&self) -> Op<Box<dyn OpenFile>> {
        self.0.open_body()
    }

    fn subject(&self) -> Option<String> {
        Some(self.0.url()?.href)
    }
}

/// The parts of the URL.
fn parsed(exchange: &Arc<Exchange>) -> SyntheticBuilder {
    let part = |part: fn(&Url) -> String| {
        let exchange = exchange.clone();
        move || exchange.url().map_or_else(String::new, |url| part(&url))
    };
    let device = &exchange.fetch.device;
    device
        .directory()
        .text("url", part(|url| url.href.clone()))
        .text("scheme", part(|url| url.origin.scheme.clone()))
        .text("host", part(|url| url.origin.host.clone()))
        .text("port", part(|url| url.origin.port.to_string()))
        .text("path", part(|url| url.path.clone()))
        .text("query", part(|url| url.query.clone().unwrap_or_default()))
        .text(
            "fragment",
            part(|url| url.fragment.clone().unwrap_or_default()),
        )
}

/// The headers of a response as files.
struct HeaderNames(Arc<Exchange>);

impl HeaderNames {
    /// The names, each once, but for those that no file can have: a server may call a header `..`.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if let Some(answer) = self.0.answer() {
            for (name, _) in &answer.headers {
                if Name::new(name).is_ok() && !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        names
    }
}

impl DynamicNames for HeaderNames {
    fn find(&self, name: &str) -> Op<NodeRef> {
        let Some(answer) = self.0.answer() else {
            return Op::err(Errno::Noent);
        };
        let own = answer.headers.iter().filter(|(other, _)| other == name);
        let values: Vec<_> = own.map(|(_, value)| value.as_str()).collect();
        if values.is_empty() {
            return Op::err(Errno::Noent);
        }
        // One, unless a comma is a part of it; each has its line, an empty one as well.
        let text = match values[..] {
            [value] => value.to_owned(),
            _ => values.iter().map(|value| format!("{value}\n")).collect(),
        };
        Op::ok(text_file(&self.0.fetch.device, move || text.clone()))
    }

    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let names = self.names().into_iter().enumerate();
        let names = names.map(|(place, name)| (place as u64 + 1, name));
        let behind = names.filter(|(place, _)| *place > cookie).take(max);
        Op::ok(
            behind
                .map(|(cookie, name)| DirEntry {
                    name,
                    qid: self.0.fetch.device.qid(FileKind::RegularFile),
                    cookie,
                })
                .collect(),
        )
    }
}
