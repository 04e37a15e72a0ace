//! `/cap/dom`: one element of a page and what is below it (acme(4), rio(4)).
//!
//! | file | |
//! |---|---|
//! | `new/TAG` | reading makes an element and gives its number |
//! | `N/ctl` | `append M`, `insert M before K`, `remove`, `delete`, `listen EVENT`, `unlisten EVENT`, `focus` |
//! | `N/type` | the tag |
//! | `N/attrs` | reads as `NAME VALUE`, a line each; a line `NAME VALUE` sets one, `-NAME` takes it away |
//! | `N/text`, `N/html`, `N/value`, `N/style` | read, and replaced by what is written |
//! | `N/children` | the numbers of the elements in it, a line each |
//! | `N/event` | blocks; a line for each event: `EVENT TARGET KEY=VALUE…`, with `%XX` in values for blanks |
//! | `policy`, `error` | what was granted; why the last refusal |
//!
//! 1 is the element that was granted. `delete` gives a number back, `remove` only takes the element off the page.
//!
//! Terms: `html=safe` (unless told: markup is sanitised) or `raw`; `elements=N`, 10,000 unless told; `cleanup=yes` (unless
//! told: what the agent added goes when it ends) or `no`; `load=ORIGIN`, repeated: from where images and media may
//! be loaded, nowhere unless told.
//!
//! Errors: `EACCES` for what could run script, load from elsewhere or reach out of the element; `EINVAL` for
//! malformed commands and impossible places; `ENOENT` for no such element; `EMFILE` for more elements than granted; `EMSGSIZE` for
//! more than a mebibyte of text; `EIO` when the page's element is gone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use capfs::device::Device;
use capfs::device::conversations::LastError;
use capfs::device::parts::{Waiters, lock, open_text, set_device_stat, stream_stat};
use capfs::device::synthetic::{DynamicNames, stream_node};
use capfs::{
    DirEntry, Errno, FileKind, GuestSink, GuestSource, Interest, MaybeSend, MaybeSync, NodeRef, Op,
    OpenFile, Qid, Readiness, SetStat, Stat, WriteAt, Written,
};

use crate::grant::{DeviceKind, Grant, GrantError};
use crate::origin::OriginPattern;

/// Elements that an agent may have numbers for, unless told.
const ELEMENTS: usize = 10_000;

/// Bytes of events that nobody has read yet, at most: beyond it events are dropped, and a line `lost N` says how many.
/// A page can make events faster than any agent reads them.
const EVENTS_MAX: usize = 1 << 20;

/// Why something was not done: what the agent gets, and the text for its `error`.
pub struct Refusal {
    /// What the call fails with.
    pub errno: Errno,
    /// A sentence.
    pub text: String,
}

/// A part of an element that can be read, and mostly written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its tag.
    Type,
    /// Its attributes.
    Attrs,
    /// Its text.
    Text,
    /// Its markup.
    Html,
    /// What a form's field has.
    Value,
    /// Its own style.
    Style,
    /// The numbers of the elements in it.
    Children,
}

impl Part {
    /// Its name, which is that of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Type => "type",
            Part::Attrs => "attrs",
            Part::Text => "text",
            Part::Html => "html",
            Part::Value => "value",
            Part::Style => "style",
            Part::Children => "children",
        }
    }
}

/// The part of a page that was granted. It checks everything that reaches it against the policy.
pub trait Page: MaybeSend + MaybeSync + 'static {
    /// Makes an element that is on no page yet; returns its number.
    ///
    /// # Errors
    /// A refusal.
    fn create(&self, tag: &str) -> Result<u64, Refusal>;

    /// What a part of an element is.
    ///
    /// # Errors
    /// A refusal.
    fn get(&self, element: u64, part: Part) -> Result<String, Refusal>;

    /// Replaces a part of an element; of [`Part::Attrs`], one attribute.
    ///
    /// # Errors
    /// A refusal.
    fn set(&self, element: u64, part: Part, text: &str) -> Result<(), Refusal>;

    /// Does a command with an element.
    ///
    /// # Errors
    /// A refusal.
    fn command(&self, element: u64, command: Command<'_>) -> Result<(), Refusal>;

    /// Whether there is an element with this number.
    fn has(&self, element: u64) -> bool;

    /// The numbers there are above `after`, ascending, at most `max`.
    fn numbers(&self, after: u64, max: usize) -> Vec<u64>;
}

/// What can be done with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Puts another behind everything in it.
    Append(u64),
    /// Puts the first into it in front of the second.
    Insert(u64, u64),
    /// Takes it off the page.
    Remove,
    /// Takes it off the page, and its number with it.
    Delete,
    /// Tells of these events.
    Listen(&'a str),
    /// Tells of them no longer.
    Unlisten(&'a str),
    /// Gives it the keyboard.
    Focus,
}

impl<'a> Command<'a> {
    fn parse(line: &'a str) -> Option<Command<'a>> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        Some(match words[..] {
            ["append", child] => Command::Append(child.parse().ok()?),
            ["insert", child, "before", other] => {
                Command::Insert(child.parse().ok()?, other.parse().ok()?)
            }
            ["remove"] => Command::Remove,
            ["delete"] => Command::Delete,
            ["listen", event] => Command::Listen(event),
            ["unlisten", event] => Command::Unlisten(event),
            ["focus"] => Command::Focus,
            _ => return None,
        })
    }
}

/// On which terms a part of a page is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Markup is put on the page as it is.
    pub raw: bool,
    /// Elements that may have numbers.
    pub elements: usize,
    /// What the agent added goes when it ends.
    pub cleanup: bool,
    /// From where images and media may be loaded.
    pub load: Vec<OriginPattern>,
}

impl Policy {
    /// Reads a grant.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_grant(grant: &Grant) -> Result<Policy, GrantError> {
        let mut policy = Policy {
            raw: false,
            elements: ELEMENTS,
            cleanup: true,
            load: Vec::new(),
        };
        for term in &grant.terms {
            match term.key.as_str() {
                "html" => {
                    policy.raw = match term.value.as_str() {
                        "safe" => false,
                        "raw" => true,
                        _ => return Err(term.expected("expected safe or raw")),
                    }
                }
                "elements" => policy.elements = term.count()?,
                "cleanup" => policy.cleanup = term.yes()?,
                "load" => {
                    let pattern = OriginPattern::from_term(term, &["http", "https"])?;
                    policy.load.push(pattern);
                }
                _ => return Err(grant.unknown(term, const { DeviceKind::Dom.keys() })),
            }
        }
        Ok(policy)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "root 1\nhtml {}\nelements {}\ncleanup {}\n",
            if self.raw { "raw" } else { "safe" },
            self.elements,
            if self.cleanup { "yes" } else { "no" }
        );
        for pattern in &self.load {
            text += &format!("load {pattern}\n");
        }
        text
    }
}

/// Events that were not read yet.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Queues>>);

#[derive(Default)]
struct Queues {
    lines: BTreeMap<u64, VecDeque<String>>,
    /// Bytes of these, and of those that a reader has taken and not read to their end.
    bytes: usize,
    lost: BTreeMap<u64, u64>,
    waiters: Waiters,
}

impl Events {
    /// Adds a line for those who read the events of an element.
    pub fn push(&self, element: u64, line: String) {
        let woken = {
            let mut queues = lock(&self.0);
            if queues.bytes + line.len() > EVENTS_MAX {
                *queues.lost.entry(element).or_default() += 1;
            } else {
                queues.bytes += line.len() + 1;
                queues.lines.entry(element).or_default().push_back(line);
            }
            queues.waiters.take()
        };
        woken.wake();
    }

    fn forget(&self, element: u64) {
        let mut queues = lock(&self.0);
        let lines = queues.lines.remove(&element).unwrap_or_default();
        queues.bytes -= lines.iter().map(|line| line.len() + 1).sum::<usize>();
        queues.lost.remove(&element);
    }

    /// The next line, with its end; and how many bytes of it are to be [given back](Events::read) when it was read.
    fn next(&self, element: u64) -> Option<(String, usize)> {
        let mut queues = lock(&self.0);
        let line = queues.lines.get_mut(&element).and_then(VecDeque::pop_front);
        match line {
            Some(mut line) => {
                line.push('\n');
                let counted = line.len();
                Some((line, counted))
            }
            None => {
                let lost = queues.lost.remove(&element)?;
                Some((format!("lost {lost}\n"), 0))
            }
        }
    }

    /// A line that was taken is held no longer.
    fn read(&self, counted: usize) {
        lock(&self.0).bytes -= counted;
    }
}

/// That the terms of a grant can be understood.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    Policy::from_grant(grant).map(drop)
}

/// Makes the device.
pub fn device(page: Arc<dyn Page>, policy: &Policy, events: Events) -> NodeRef {
    // The page's kernel has it, which bounds how many elements there are.
    let device = Device::unlimited();
    let dom = Arc::new(Dom {
        device: device.clone(),
        page,
        events,
        error: LastError::default(),
        directories: Mutex::default(),
        next_reader: AtomicU64::new(1),
    });
    let (text, error) = (policy.text(), dom.clone());
    let makers = Makers {
        dom: dom.clone(),
        nodes: Mutex::default(),
    };
    device
        .directory()
        .dir("new", device.directory().dynamic(makers))
        .text("policy", move || text.clone())
        .text("error", move || error.error.text())
        .dynamic(Numbers(dom))
        .build()
}

struct Dom {
    device: Device,
    page: Arc<dyn Page>,
    events: Events,
    error: LastError,
    directories: Mutex<BTreeMap<u64, NodeRef>>,
    next_reader: AtomicU64,
}

impl Dom {
    fn explained<T>(&self, done: Result<T, Refusal>) -> Result<T, Errno> {
        done.map_err(|refusal| self.error.explain(refusal.errno, refusal.text))
    }

    fn run(&self, element: u64, line: &str) -> Result<(), Errno> {
        let Some(command) = Command::parse(line) else {
            let text = format!("there is no command `{line}`");
            return Err(self.error.explain(Errno::Inval, text));
        };
        self.explained(self.page.command(element, command))?;
        if command == Command::Delete {
            lock(&self.directories).remove(&element);
            self.events.forget(element);
        }
        Ok(())
    }

    fn directory(self: &Arc<Self>, element: u64) -> NodeRef {
        if let Some(node) = lock(&self.directories).get(&element) {
            return node.clone();
        }
        let get = |part| {
            let dom = self.clone();
            move || Op::from(dom.explained(dom.page.get(element, part)))
        };
        let set = |part| {
            let dom = self.clone();
            move |text: &str| dom.explained(dom.page.set(element, part, text))
        };
        let (commands, attribute, reader) = (self.clone(), self.clone(), self.clone());
        let node = self
            .device
            .directory()
            .ctl_with_text(
                "ctl",
                move || element.to_string(),
                move |line: &str| commands.run(element, line),
            )
            .text("type", get(Part::Type))
            .ctl_with_text("attrs", get(Part::Attrs), move |line: &str| {
                attribute.explained(attribute.page.set(element, Part::Attrs, line))
            })
            .value("text", get(Part::Text), set(Part::Text))
            .value("html", get(Part::Html), set(Part::Html))
            .value("value", get(Part::Value), set(Part::Value))
            .value("style", get(Part::Style), set(Part::Style))
            .text("children", get(Part::Children))
            .reads("event", move || -> Result<Box<dyn OpenFile>, Errno> {
                Ok(Box::new(EventFile {
                    qid: Qid::unnumbered(FileKind::CharacterDevice),
                    id: reader.next_reader.fetch_add(1, Ordering::Relaxed),
                    element,
                    rest: Vec::new(),
                    counted: 0,
                    dom: reader.clone(),
                }))
            })
            .build();
        lock(&self.directories).insert(element, node.clone());
        node
    }
}

/// The numbered directories.
struct Numbers(Arc<Dom>);

impl DynamicNames for Numbers {
    fn find(&self, name: &str) -> Op<NodeRef> {
        // One spelling a number: `07` is not 7.
        match name.parse::<u64>() {
            Ok(number) if number.to_string() == name && self.0.page.has(number) => {
                Op::ok(self.0.directory(number))
            }
            _ => Op::err(Errno::Noent),
        }
    }

    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let entry = |number: u64| DirEntry {
            name: number.to_string(),
            qid: self.0.directory(number).qid(),
            cookie: number,
        };
        let numbers = self.0.page.numbers(cookie, max);
        Op::ok(numbers.into_iter().map(entry).collect())
    }
}

/// The files of `new`, one for each tag; which there are is not listed.
struct Makers {
    dom: Arc<Dom>,
    nodes: Mutex<BTreeMap<String, NodeRef>>,
}

/// Tags whose files are remembered: a page has some hundred.
const TAGS_MAX: usize = 256;

impl DynamicNames for Makers {
    fn find(&self, name: &str) -> Op<NodeRef> {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !plain || name.len() > 32 {
            return Op::err(Errno::Noent);
        }
        let mut nodes = lock(&self.nodes);
        if let Some(node) = nodes.get(name) {
            return Op::ok(node.clone());
        }
        let (dom, tag) = (self.dom.clone(), name.to_owned());
        let create = move || -> Result<Box<dyn OpenFile>, Errno> {
            let number = dom.explained(dom.page.create(&tag))?;
            open_text(format!("{number}\n").into_bytes(), dom.device.account())
        };
        let node = stream_node(&self.dom.device, Some(Box::new(create)), None);
        if nodes.len() < TAGS_MAX {
            nodes.insert(name.to_owned(), node.clone());
        }
        Op::ok(node)
    }

    fn list(&self, _cookie: u64, _max: usize) -> Op<Vec<DirEntry>> {
        Op::ok(Vec::new())
    }
}

/// An opening of `event`. Each event is read by one.
struct EventFile {
    qid: Qid,
    id: u64,
    element: u64,
    /// What the last reader had no room for.
    rest: Vec<u8>,
    /// Bytes of its line that count as events which nobody has read.
    counted: usize,
    dom: Arc<Dom>,
}

impl EventFile {
    fn fill(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.rest.is_empty() {
            match self.dom.events.next(self.element) {
                Some((line, counted)) => {
                    (self.rest, self.counted) = (line.into_bytes(), counted);
                }
                None => {
                    let crowded = lock(&self.dom.events.0).waiters.register(self.id, context);
                    crowded.wake();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }
}

impl Drop for EventFile {
    fn drop(&mut self) {
        lock(&self.dom.events.0).waiters.forget(self.id);
        self.dom.events.read(self.counted);
    }
}

impl OpenFile for EventFile {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        if !self.dom.page.has(self.element) {
            return Poll::Ready(Ok(0));
        }
        self.fill(context).map(|()| {
            let count = sink.put(&self.rest);
            self.rest.drain(..count);
            if self.rest.is_empty() {
                // Its memory is let go of as well.
                self.rest = Vec::new();
                self.dom.events.read(std::mem::take(&mut self.counted));
            }
            Ok(count)
        })
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Badf))
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        _interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        self.fill(context).map(|()| {
            Ok(Readiness {
                bytes: self.rest.len() as u64,
                hangup: false,
            })
        })
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }
}

#[cfg(test)]
mod tests {
    use capfs::WriteAt;
    use capfs::testkit::{self, READ, READ_WRITE, now, read_at, walk, write_at};

    use super::*;

    /// A page that keeps notes.
    #[derive(Default)]
    struct Notes {
        elements: Mutex<BTreeMap<u64, String>>,
        done: Mutex<Vec<String>>,
    }

    impl Page for Notes {
        fn create(&self, tag: &str) -> Result<u64, Refusal> {
            let mut elements = lock(&self.elements);
            if tag == "script" {
                return Err(Refusal {
                    errno: Errno::Acces,
                    text: "no scripts".to_owned(),
                });
            }
            let number = elements.len() as u64 + 2;
            elements.insert(number, tag.to_owned());
            Ok(number)
        }

        fn get(&self, element: u64, part: Part) -> Result<String, Refusal> {
            Ok(format!("{} of {element}", part.name()))
        }

        fn set(&self, element: u64, part: Part, text: &str) -> Result<(), Refusal> {
            lock(&self.done).push(format!("{element} {} {text}", part.name()));
            Ok(())
        }

        fn command(&self, element: u64, command: Command<'_>) -> Result<(), Refusal> {
            lock(&self.done).push(format!("{element} {command:?}"));
            Ok(())
        }

        fn has(&self, element: u64) -> bool {
            element == 1 || lock(&self.elements).contains_key(&element)
        }

        fn numbers(&self, after: u64, max: usize) -> Vec<u64> {
            let elements = lock(&self.elements);
            let all = std::iter::once(1).chain(elements.keys().copied());
            all.filter(|number| *number > after).take(max).collect()
        }
    }

    fn policy(flag: &str) -> Result<Policy, GrantError> {
        Policy::from_grant(&Grant::from_flag(flag).unwrap())
    }

    fn dom() -> (NodeRef, Arc<Notes>, Events) {
        let (notes, events) = (Arc::new(Notes::default()), Events::default());
        let root = device(notes.clone(), &policy("dom").unwrap(), events.clone());
        (root, notes, events)
    }

    #[test]
    fn elements_are_made_and_told_what_to_do() {
        let (root, notes, _) = dom();
        assert_eq!(testkit::read(&root, "new/p").unwrap(), b"2\n");
        testkit::stat(&root, "new/p").unwrap();
        assert_eq!(lock(&notes.elements).len(), 1);
        assert_eq!(
            testkit::names_in(&root).unwrap(),
            ["1", "2", "error", "new", "policy"]
        );
        assert_eq!(testkit::read(&root, "2/type").unwrap(), b"type of 2\n");
        let mut ctl = now(walk(&root, "1/ctl").unwrap().open(READ_WRITE)).unwrap();
        write_at(
            &mut *ctl,
            WriteAt::End,
            b"append 2\ninsert 2 before 3\nlisten click\n",
        )
        .unwrap();
        let bad = write_at(&mut *ctl, WriteAt::End, b"append two\n");
        assert_eq!(bad.err(), Some(Errno::Inval));
        assert_eq!(
            testkit::read(&root, "error").unwrap(),
            b"there is no command `append two`\n"
        );
        testkit::write(&walk(&root, "2").unwrap(), "text", b"hello").err();
        assert_eq!(
            lock(&notes.done)[..3],
            ["1 Append(2)", "1 Insert(2, 3)", "1 Listen(\"click\")"]
        );
        assert_eq!(testkit::read(&root, "new/script").err(), Some(Errno::Acces));
        assert_eq!(testkit::read(&root, "error").unwrap(), b"no scripts\n");
        assert_eq!(walk(&root, "new/x-y").err(), Some(Errno::Noent));
        assert_eq!(walk(&root, "02").err(), Some(Errno::Noent));
    }

    #[test]
    fn what_readers_have_taken_and_not_read_counts() {
        let (root, _, events) = dom();
        let node = walk(&root, "1/event").unwrap();
        let mut readers = Vec::new();
        let line = "x".repeat(1023);
        // Each has a line, and has read of it what it had room for.
        let most = EVENTS_MAX / 1024;
        for _ in 0..most {
            events.push(1, line.clone());
            let mut file = now(node.open(READ)).unwrap();
            assert_eq!(read_at(&mut *file, 0, 1).unwrap(), b"x");
            readers.push(file);
        }
        events.push(1, line.clone());
        let mut last = now(node.open(READ)).unwrap();
        assert_eq!(read_at(&mut *last, 0, 99).unwrap(), b"lost 1\n");
        // One is read to its end, and one closed: there is room for two.
        let first = &mut readers[0];
        assert_eq!(read_at(&mut **first, 0, 2000).unwrap().len(), 1023);
        readers.pop();
        for _ in 0..3 {
            events.push(1, line.clone());
        }
        for _ in 0..2 {
            assert_eq!(read_at(&mut *last, 0, 2000).unwrap().len(), 1024);
        }
        assert_eq!(read_at(&mut *last, 0, 99).unwrap(), b"lost 1\n");
    }

    #[test]
    fn events_wait_to_be_read_and_are_bounded() {
        let (root, _, events) = dom();
        let mut file = now(walk(&root, "1/event").unwrap().open(READ)).unwrap();
        events.push(1, "click 1 x=3".to_owned());
        events.push(2, "click 2".to_owned());
        assert_eq!(read_at(&mut *file, 0, 5).unwrap(), b"click");
        assert_eq!(read_at(&mut *file, 0, 99).unwrap(), b" 1 x=3\n");
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut room = [0; 8];
        assert!(
            file.poll_read(&mut context, 0, &mut &mut room[..])
                .is_pending()
        );
        for _ in 0..EVENTS_MAX / 8 {
            events.push(1, "input 1".to_owned());
        }
        let mut read = 0;
        while read_at(&mut *file, 0, 99).unwrap() == b"input 1\n" {
            read += 1;
        }
        assert!(read < EVENTS_MAX / 8, "{read}");
    }

    #[test]
    fn terms() {
        let text = policy("dom,html=raw,elements=5,cleanup=no,load=https://a.example").unwrap();
        assert_eq!(
            text.text(),
            "root 1\nhtml raw\nelements 5\ncleanup no\nload https://a.example\n"
        );
        for bad in [
            "dom,html=any",
            "dom,elements=0",
            "dom,load=ftp://a",
            "dom,x=y",
        ] {
            assert!(policy(bad).is_err(), "{bad}");
        }
    }
}
