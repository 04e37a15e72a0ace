//! The audit: what was done with which capability, a JSON object a line.
//!
//! `{"time":1764000000000,"agent":"feeds","device":"fetch","at":"/cap/fetch","operation":"read","path":"1/body","subject":"https://example.com/","amount":512,"outcome":"ok","micros":120}`
//!
//! `time` is milliseconds since the Unix epoch; `amount` is bytes, of a listing entries; `outcome` is `ok` or an errno's name.

use std::fmt::Write as _;
use std::sync::Arc;

use capfs::clock::Clock;
use capfs::device::gate::{Observer, Operation};
use capfs::{Errno, MaybeSend, MaybeSync};

use crate::grant::DeviceKind;

/// Who takes the lines, each without its newline; a closure is one.
pub trait Sink: MaybeSend + MaybeSync + 'static {
    /// Takes a line. It must neither wait nor use a capability.
    fn line(&self, line: &str);
}

impl<F: Fn(&str) + MaybeSend + MaybeSync + 'static> Sink for F {
    fn line(&self, line: &str) {
        self(line);
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

impl Observer for Audit {
    fn observe(&self, operation: &Operation<'_>) {
        let mut line = String::with_capacity(self.head.len() + operation.path.len() + 128);
        let _ = write!(
            line,
            "{{\"time\":{},{},\"operation\":\"{}\",\"path\":",
            self.clock.coarse() / 1_000_000,
            self.head,
            operation.kind.name()
        );
        string(&mut line, operation.path);
        if let Some(subject) = operation.subject {
            line.push_str(",\"subject\":");
            string(&mut line, subject);
        }
        let outcome = operation.outcome.map_or_else(Errno::name, |()| "ok");
        let _ = write!(
            line,
            ",\"amount\":{},\"outcome\":\"{outcome}\",\"micros\":{}}}",
            operation.amount,
            operation.duration / 1_000
        );
        self.sink.line(&line);
    }
}

/// Appends a JSON string ([RFC 8259, section 7](https://www.rfc-editor.org/rfc/rfc8259#section-7)).
fn string(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                line.push('\\');
                line.push(character);
            }
            control if control < ' ' => {
                let _ = write!(line, "\\u{:04x}", u32::from(control));
            }
            other => line.push(other),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use capfs::device::gate::OperationKind;
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
            path: "1/b\nody",
            subject: Some("https://a/"),
            amount: 5,
            outcome: Err(Errno::Io),
            duration: 2_500,
        });
        assert_eq!(
            *lines.lock().unwrap(),
            [
                r#"{"time":7,"agent":"a \"b\"","device":"fetch","at":"/cap/fetch","operation":"read","path":"1/b\u000aody","subject":"https://a/","amount":5,"outcome":"EIO","micros":2}"#
            ]
        );
    }
}
