//! The audit: what was done with which capability, a JSON object a line.
//!
//! `{"time":1764000000000,"agent":"feeds","device":"fetch","at":"/cap/fetch","operation":"read","path":"1/body","subject":"https://example.com/","amount":512,"outcome":"ok","micros":120}`
//!
//! `time` is milliseconds since the Unix epoch; `amount` is bytes, of a listing entries; `outcome` is `ok` or an errno's name.
//!
//! What a device of the network does outside for an agent has lines of its own, one for each server that was really asked, redirects
//! included: `request` and `connect`, with `method`, and `status` where there was an answer. `detail` is what the agent isn't told.
//!
//! `{"time":1764000000000,"agent":"feeds","device":"fetch","at":"/cap/fetch","operation":"request","path":"","subject":"https://example.com/","method":"GET","status":301,"amount":0,"outcome":"ok","micros":48000}`
//!
//! A host says as well when a run begins and ends ([`start`], [`end`]), and when a capability was taken away ([`Audit::revoked`]).

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use capfs::clock::Clock;
use capfs::device::gate::{Observer, Operation};
use capfs::{Errno, MaybeSend, MaybeSync};

use crate::foreign::is_harmful;
use crate::grant::DeviceKind;
use crate::outside::{Failure, Outside};
use crate::url::URL_MAX;

/// Bytes of the longest line: a program, a mount and a file whose names consist of what is escaped, and an address.
///
/// What is in it is bounded by [`PATH_MAX`](capfs::PATH_MAX) (program and mount),
/// [`WATCHED_PATH_MAX`](capfs::device::gate::WATCHED_PATH_MAX) (the file), and in what servers say by cutting.
pub const LINE_MAX: usize = 256 << 10;

/// Bytes of an address that are told: three times those of one that an agent may write, since writing it as the standard does can make three of
/// each. What a server redirects to can be longer, and is cut.
const ADDRESS_MAX: usize = 3 * URL_MAX;

/// Bytes that are told of what only the audit may know.
const DETAIL_MAX: usize = URL_MAX;

/// Who takes the lines, each without its newline; a closure is one.
pub trait Sink: MaybeSend + MaybeSync + 'static {
    /// Takes a line. It must neither wait nor use a capability.
    fn line(&self, line: &str);

    /// Whether it can take one more.
    ///
    /// # Errors
    /// What operations fail with until it can: what can't be told is not done.
    fn ready(&self) -> Result<(), Errno> {
        Ok(())
    }
}

impl<F: Fn(&str) + MaybeSend + MaybeSync + 'static> Sink for F {
    fn line(&self, line: &str) {
        self(line);
    }
}

/// A server that was asked for an agent, or that a redirect would have led to.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `request` or `connect`.
    pub operation: &'static str,
    /// The method of HTTP.
    pub method: &'a str,
    /// The address.
    pub url: &'a str,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Result<(), Errno>,
    /// What the agent isn't told.
    pub detail: Option<&'a str>,
    /// Milliseconds until the answer, or the end without one.
    pub millis: u64,
}

/// Who is told of every server that is asked.
pub trait CallObserver: MaybeSend + MaybeSync + 'static {
    /// Takes note. It must neither wait nor use the device.
    fn called(&self, call: &Call<'_>);

    /// Whether note can be taken of one more; asked before each server is.
    ///
    /// # Errors
    /// What the operation fails with instead: a server of which nobody can be told is not asked.
    fn ready(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// Who is told of what a device asks: the observer of its own gate, and those of the devices that it was made of.
#[derive(Clone, Default)]
pub struct CallObservers(Arc<Observers>);

#[derive(Default)]
struct Observers {
    own: OnceLock<Arc<dyn CallObserver>>,
    wider: Option<CallObservers>,
}

impl CallObservers {
    /// The observers of a device that is made of this one.
    pub fn narrowed(&self) -> CallObservers {
        CallObservers(Arc::new(Observers {
            own: OnceLock::new(),
            wider: Some(self.clone()),
        }))
    }

    /// Tells this observer from now on; the first one stays.
    pub fn set(&self, observer: Arc<dyn CallObserver>) {
        let _ = self.0.own.set(observer);
    }

    /// Whether all of them can take note of one more.
    ///
    /// # Errors
    /// Of the first that can't, see [`CallObserver::ready`].
    pub fn ready(&self) -> Result<(), Errno> {
        if let Some(own) = self.0.own.get() {
            own.ready()?;
        }
        self.0.wider.as_ref().map_or(Ok(()), CallObservers::ready)
    }

    /// Tells all of them.
    pub fn tell(&self, call: &Call<'_>) {
        if let Some(own) = self.0.own.get() {
            own.called(call);
        }
        if let Some(wider) = &self.0.wider {
            wider.tell(call);
        }
    }
}

/// A server that is to be asked: its observers are told how that ended, given up included, once it was really asked.
pub(crate) struct Asking<'a> {
    pub observers: &'a CallObservers,
    pub host: &'a dyn Outside,
    pub operation: &'static str,
    pub method: &'a str,
    pub url: &'a str,
    /// When it began, by the host's clock, and when it was to be through.
    pub began: u64,
    pub deadline: u64,
    /// It is being asked: whoever gives up from now on has asked it.
    pub asked: bool,
}

impl Asking<'_> {
    /// It is asked from now on.
    ///
    /// # Errors
    /// Nobody could be told of it: then it isn't.
    pub fn begin(&mut self) -> Result<(), Failure> {
        let ready = self.observers.ready();
        ready.map_err(|errno| Failure::new(errno, "the audit can't take what would be asked"))?;
        self.asked = true;
        Ok(())
    }

    /// It was answered with a status, or failed.
    pub fn ended(mut self, outcome: Result<u16, &Failure>) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Result<u16, &Failure>) {
        self.asked = false;
        self.observers.tell(&Call {
            operation: self.operation,
            method: self.method,
            url: self.url,
            status: outcome.ok(),
            outcome: outcome.map(drop).map_err(|failure| failure.errno),
            detail: outcome.err().and_then(|failure| failure.hidden.as_deref()),
            millis: self.host.now().saturating_sub(self.began),
        });
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.asked {
            let errno = match self.host.now() >= self.deadline {
                true => Errno::Timedout,
                false => Errno::Canceled,
            };
            self.tell(Err(&Failure::new(errno, "")));
        }
    }
}

/// The observer of one capability of one agent.
pub struct Audit {
    head: String,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn Sink>,
}

impl Audit {
    /// An observer of the device that `agent` has at `at`.
    pub fn new(
        agent: &str,
        device: DeviceKind,
        at: &str,
        clock: Arc<dyn Clock>,
        sink: Arc<dyn Sink>,
    ) -> Audit {
        let mut head = String::from("\"agent\":");
        string(&mut head, agent);
        let _ = write!(head, ",\"device\":\"{}\",\"at\":", device.name());
        string(&mut head, at);
        Audit { head, clock, sink }
    }
}

/// The line that says that an agent starts, of this name and identity, at a time in nanoseconds.
pub fn start(agent: &str, identity: &str, time: u64) -> String {
    let mut line = format!("{{\"time\":{},\"agent\":", time / 1_000_000);
    string(&mut line, agent);
    line.push_str(",\"operation\":\"start\",\"identity\":");
    string(&mut line, identity);
    line.push('}');
    line
}

/// The line that says that an agent has ended: with this exit code, and one word for why, at a time in nanoseconds; and how many lines
/// before it are missing, if any are.
pub fn end(agent: &str, code: u8, reason: &str, lost: u64, time: u64) -> String {
    let mut line = format!("{{\"time\":{},\"agent\":", time / 1_000_000);
    string(&mut line, agent);
    let _ = write!(line, ",\"operation\":\"end\",\"code\":{code},\"reason\":");
    string(&mut line, reason);
    if lost > 0 {
        let _ = write!(line, ",\"lost\":{lost}");
    }
    line.push('}');
    line
}

/// What is told of a text that can be of any length: its beginning.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

impl Audit {
    /// The agent does not have it any more: it was taken away.
    pub fn revoked(&self) {
        let line = self.begin("revoke", "", None);
        self.end(line, 0, Ok(()), 0);
    }

    /// A line as far as the subject.
    fn begin(&self, operation: &str, path: &str, subject: Option<&str>) -> String {
        let mut line = String::with_capacity(self.head.len() + path.len() + 128);
        let _ = write!(
            line,
            "{{\"time\":{},{},\"operation\":\"{operation}\",\"path\":",
            self.clock.coarse() / 1_000_000,
            self.head,
        );
        string(&mut line, path);
        if let Some(subject) = subject {
            line.push_str(",\"subject\":");
            string(&mut line, cut(subject, ADDRESS_MAX));
        }
        line
    }

    /// The rest of a line, which is handed on.
    fn end(&self, mut line: String, amount: u64, outcome: Result<(), Errno>, micros: u64) {
        let outcome = outcome.map_or_else(Errno::name, |()| "ok");
        let _ = write!(
            line,
            ",\"amount\":{amount},\"outcome\":\"{outcome}\",\"micros\":{micros}}}"
        );
        self.sink.line(&line);
    }
}

impl Observer for Audit {
    fn observe(&self, operation: &Operation<'_>) {
        let line = self.begin(operation.kind.name(), operation.path, operation.subject);
        let micros = operation.duration / 1_000;
        self.end(line, operation.amount, operation.outcome, micros);
    }

    fn ready(&self) -> Result<(), Errno> {
        self.sink.ready()
    }
}

impl CallObserver for Audit {
    fn ready(&self) -> Result<(), Errno> {
        self.sink.ready()
    }

    fn called(&self, call: &Call<'_>) {
        let mut line = self.begin(call.operation, "", Some(call.url));
        line.push_str(",\"method\":");
        string(&mut line, call.method);
        if let Some(status) = call.status {
            let _ = write!(line, ",\"status\":{status}");
        }
        if let Some(detail) = call.detail {
            line.push_str(",\"detail\":");
            string(&mut line, cut(detail, DETAIL_MAX));
        }
        self.end(line, 0, call.outcome, call.millis * 1_000);
    }
}

/// Appends a JSON string ([RFC 8259, section 7](https://www.rfc-editor.org/rfc/rfc8259#section-7)). What would do something to a
/// screen, or hide, is escaped as well: a line is shown as what it is.
fn string(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                line.push('\\');
                line.push(character);
            }
            harmful if is_harmful(harmful) => {
                for unit in harmful.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
            other => line.push(other),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use capfs::PATH_MAX;
    use capfs::device::gate::{OperationKind, WATCHED_PATH_MAX};
    use capfs::testkit::ManualClock;

    use super::*;

    #[test]
    fn lines_are_json() {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let taken = lines.clone();
        let audit = Audit::new(
            "a \"b\"",
            DeviceKind::Fetch,
            "/cap/fetch",
            Arc::new(ManualClock::new(7_000_000)),
            Arc::new(move |line: &str| taken.lock().unwrap().push(line.to_owned())),
        );
        audit.observe(&Operation {
            kind: OperationKind::Read,
            path: "1/b\no\u{202e}d\u{9b}y\u{e0041}",
            subject: Some("https://a/"),
            amount: 5,
            outcome: Err(Errno::Io),
            duration: 2_500,
        });
        audit.called(&Call {
            operation: "request",
            method: "GET",
            url: "https://a/\"",
            status: Some(301),
            outcome: Ok(()),
            detail: Some("it is at 10.0.0.1"),
            millis: 3,
        });
        audit.revoked();
        assert_eq!(
            *lines.lock().unwrap(),
            [
                r#"{"time":7,"agent":"a \"b\"","device":"fetch","at":"/cap/fetch","operation":"read","path":"1/b\u000ao\u202ed\u009by\udb40\udc41","subject":"https://a/","amount":5,"outcome":"EIO","micros":2}"#,
                r#"{"time":7,"agent":"a \"b\"","device":"fetch","at":"/cap/fetch","operation":"request","path":"","subject":"https://a/\"","method":"GET","status":301,"detail":"it is at 10.0.0.1","amount":0,"outcome":"ok","micros":3000}"#,
                r#"{"time":7,"agent":"a \"b\"","device":"fetch","at":"/cap/fetch","operation":"revoke","path":"","amount":0,"outcome":"ok","micros":0}"#
            ]
        );
        assert_eq!(
            end("a", 143, "terminate", 0, 7_000_000),
            r#"{"time":7,"agent":"a","operation":"end","code":143,"reason":"terminate"}"#
        );
        assert_eq!(
            end("a", 0, "exit", 2, 7_000_000),
            r#"{"time":7,"agent":"a","operation":"end","code":0,"reason":"exit","lost":2}"#
        );
    }

    #[test]
    fn no_line_is_longer_than_the_longest() {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let taken = lines.clone();
        let harmful = |bytes| "\u{1}".repeat(bytes);
        let audit = Audit::new(
            &harmful(PATH_MAX),
            DeviceKind::IndexedDb,
            &harmful(PATH_MAX),
            Arc::new(ManualClock::new(u64::MAX)),
            Arc::new(move |line: &str| taken.lock().unwrap().push(line.to_owned())),
        );
        let address = format!("https://a/?{}", "\\".repeat(ADDRESS_MAX));
        audit.observe(&Operation {
            kind: OperationKind::Create,
            path: &harmful(WATCHED_PATH_MAX),
            subject: Some(&address),
            amount: u64::MAX,
            outcome: Err(Errno::Nametoolong),
            duration: u64::MAX,
        });
        audit.called(&Call {
            operation: "request",
            method: "OPTIONS",
            url: &address,
            status: Some(u16::MAX),
            outcome: Err(Errno::Nametoolong),
            detail: Some(&harmful(DETAIL_MAX + 1)),
            millis: u64::MAX / 1_000,
        });
        for line in lines.lock().unwrap().iter() {
            assert!(
                (LINE_MAX / 2..LINE_MAX).contains(&line.len()),
                "{}",
                line.len()
            );
        }
    }
}
