//! Conversations: a device's `clone`, `new`, and one numbered directory for each (ip(3), webfs(4)).
//!
//! - Opening `clone` begins a conversation, and the descriptor *is* its `ctl`: it reads as the
//!   conversation's number and takes its commands. The conversation lasts until the last descriptor
//!   in it is closed.
//! - Reading `new` begins one too and prints its number, for tools that can only `cat`. It lasts until
//!   `close` is written to its `ctl`, or the device goes away.
//! - `close` ends any conversation. What is still open then is told by [`Dialogue::end`].
//!
//! Numbers grow and are never used again, so a late `echo` can't reach somebody else's conversation.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::Device;
use super::lock::lock;
use super::null::set_device_stat;
use super::pipe::stream_stat;
use super::synthetic::{Command, Contents, DynamicNames, OpenCtl, OpenText, SyntheticBuilder};
use crate::account::{Account, Charge, Holding};
use crate::forward::{forward_node, forward_open_file};
use crate::{
    Checkpoint, DirEntry, Directory, Durable, EditDirectory, Errno, FileKind, FileSystemStat,
    Handle, MaybeSend, MaybeSync, Name, Node, NodeRef, Op, OpenFile, OpenHow, Qid, SavedFile,
    SetStat, Stat,
};

/// Bytes that an account is charged for a conversation, beside what it gathers: 4 KiB, what one with its files takes on a
/// 64-bit host.
pub const CONVERSATION: u64 = 4 << 10;

/// What one conversation is about: a request, a connection, a key.
pub trait Dialogue: MaybeSend + MaybeSync + 'static {
    /// Does a command of its `ctl`; `close` never gets here.
    ///
    /// # Errors
    /// What the write that carried the command fails with.
    fn command(&self, line: &str) -> Op<()>;

    /// Its files beside `ctl`. Called once.
    fn files(self: Arc<Self>) -> SyntheticBuilder;

    /// What it is about, such as the address of its request; see [`OpenFile::subject`].
    fn subject(&self) -> Option<String> {
        None
    }

    /// It is over: what is under way is given up, and whoever waits is woken.
    fn end(&self) {}
}

/// Begins conversations; a closure that takes a conversation's number is one.
pub trait Host: MaybeSend + MaybeSync + 'static {
    /// Begins the conversation with this number.
    ///
    /// # Errors
    /// What opening `clone` fails with.
    fn begin(&self, number: u64) -> Result<Arc<dyn Dialogue>, Errno>;
}

impl<F> Host for F
where
    F: Fn(u64) -> Result<Arc<dyn Dialogue>, Errno> + MaybeSend + MaybeSync + 'static,
{
    fn begin(&self, number: u64) -> Result<Arc<dyn Dialogue>, Errno> {
        self(number)
    }
}

/// The conversations of one device.
#[derive(Clone)]
pub struct Conversations(Arc<Table>);

struct Table {
    host: Box<dyn Host>,
    max: usize,
    device: Device,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    all: BTreeMap<u64, Entry>,
}

struct Entry {
    directory: NodeRef,
    dialogue: Arc<dyn Dialogue>,
    /// Descriptors in it.
    open: usize,
    /// It was begun by `new`.
    kept: bool,
    _charge: Charge,
}

impl Conversations {
    /// Up to `max` conversations at once, begun by `host`, of a device; their files are of it as well.
    pub fn new(max: usize, device: &Device, host: impl Host) -> Self {
        Conversations(Arc::new(Table {
            host: Box::new(host),
            max,
            device: device.clone(),
            state: Mutex::default(),
        }))
    }

    /// Puts `clone`, `new` and the numbered directories into a device's tree.
    pub fn serve(&self, builder: SyntheticBuilder) -> SyntheticBuilder {
        let node = |kept| -> NodeRef {
            Arc::new(Beginner {
                qid: self.0.device.qid(FileKind::CharacterDevice),
                table: self.0.clone(),
                kept,
            })
        };
        builder
            .node("clone", node(false))
            .node("new", node(true))
            .dynamic(Names(self.0.clone()))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        lock(&self.0.state).all.len()
    }

    /// Ends all of them.
    pub fn end_all(&self) {
        self.0.end_all();
    }
}

impl Table {
    /// Begins a conversation and returns its number and its commands.
    ///
    /// # Errors
    /// - [`Errno::Mfile`]: as many as there may be
    /// - [`Errno::Nomem`]: the account has no room for one
    fn begin(self: &Arc<Self>, kept: bool) -> Result<(u64, Arc<dyn Command>), Errno> {
        let number = {
            let mut state = lock(&self.state);
            if state.all.len() >= self.max {
                return Err(Errno::Mfile);
            }
            state.last += 1;
            state.last
        };
        let account = self.device.account();
        let charge = account.charge(Holding::Descriptors, CONVERSATION)?;
        let dialogue = self.host.begin(number)?;
        let command: Arc<dyn Command> = Arc::new(Ctl {
            table: Arc::downgrade(self),
            number,
            dialogue: dialogue.clone(),
        });
        let ctl: NodeRef = Arc::new(CtlNode {
            qid: self.device.qid(FileKind::CharacterDevice),
            number,
            command: command.clone(),
            account: self.device.account().clone(),
        });
        let files = dialogue.clone().files();
        debug_assert!(files.is_of(&self.device), "its files are of another device");
        let directory = files.first("ctl", ctl).build();
        let entry = Entry {
            directory: Arc::new(Member {
                inner: directory,
                table: Arc::downgrade(self),
                number,
            }),
            dialogue,
            open: 0,
            kept,
            _charge: charge,
        };
        lock(&self.state).all.insert(number, entry);
        Ok((number, command))
    }

    fn opened(
        self: &Arc<Self>,
        number: u64,
        file: Box<dyn OpenFile>,
    ) -> Result<Box<dyn OpenFile>, Errno> {
        let mut state = lock(&self.state);
        state.all.get_mut(&number).ok_or(Errno::Noent)?.open += 1;
        let stay = Stay {
            table: self.clone(),
            number,
        };
        Ok(Box::new(Held { file, _stay: stay }))
    }

    fn closed(&self, number: u64) {
        let mut state = lock(&self.state);
        let Some(entry) = state.all.get_mut(&number) else {
            return;
        };
        entry.open -= 1;
        if entry.open > 0 || entry.kept {
            return;
        }
        let entry = state.all.remove(&number);
        drop(state);
        if let Some(entry) = entry {
            entry.dialogue.end();
        }
    }

    fn end(&self, number: u64) {
        let entry = lock(&self.state).all.remove(&number);
        if let Some(entry) = entry {
            entry.dialogue.end();
        }
    }

    fn end_all(&self) {
        let all = std::mem::take(&mut lock(&self.state).all);
        for entry in all.into_values() {
            entry.dialogue.end();
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.end_all();
    }
}

/// The commands of a conversation.
struct Ctl {
    table: Weak<Table>,
    number: u64,
    dialogue: Arc<dyn Dialogue>,
}

impl Command for Ctl {
    fn run(&self, line: &str) -> Op<()> {
        if line != "close" {
            return self.dialogue.command(line);
        }
        if let Some(table) = self.table.upgrade() {
            table.end(self.number);
        }
        Op::ok(())
    }

    fn subject(&self) -> Option<String> {
        self.dialogue.subject()
    }
}

/// `ctl` of a conversation, as a node.
struct CtlNode {
    qid: Qid,
    number: u64,
    command: Arc<dyn Command>,
    account: Account,
}

/// `clone` or `new`.
struct Beginner {
    qid: Qid,
    table: Arc<Table>,
    kept: bool,
}

fn text_of(number: u64) -> Vec<u8> {
    format!("{number}\n").into_bytes()
}

impl Node for CtlNode {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let contents = text_of(self.number);
        let opened = OpenCtl::new(self.qid, how, contents, self.command.clone(), &self.account);
        opened
            .map(|file| Box::new(file) as Box<dyn OpenFile>)
            .into()
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Beginner {
    /// The descriptor that a conversation is begun by.
    fn begun(
        &self,
        number: u64,
        command: Arc<dyn Command>,
        how: OpenHow,
    ) -> Result<Box<dyn OpenFile>, Errno> {
        let (qid, contents) = (self.qid, text_of(number));
        let account = self.table.device.account();
        if self.kept {
            let contents = Contents::new(contents, account)?;
            return Ok(Box::new(OpenText { qid, contents }));
        }
        let ctl = OpenCtl::new(qid, how, contents, command, account)?;
        self.table.opened(number, Box::new(ctl))
    }
}

impl Node for Beginner {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    /// # Errors
    /// - [`Errno::Acces`]: `new` for writing
    /// - [`Errno::Mfile`]: as many conversations as there may be
    /// - [`Errno::Nomem`]: the account has no room for one
    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let open = || {
            if self.kept && how.write {
                return Err(Errno::Acces);
            }
            let (number, command) = self.table.begin(self.kept)?;
            let opened = self.begun(number, command, how);
            if opened.is_err() {
                // Nobody has been told of it, so nobody else could end it.
                self.table.end(number);
            }
            opened
        };
        open().into()
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The numbered directories.
struct Names(Arc<Table>);

impl DynamicNames for Names {
    fn find(&self, name: &str) -> Op<NodeRef> {
        let find = || {
            // One spelling a number: `07` is not 7.
            let number: u64 = name.parse().map_err(|_| Errno::Noent)?;
            let state = lock(&self.0.state);
            let entry = state.all.get(&number).ok_or(Errno::Noent)?;
            match number.to_string() == name {
                true => Ok(entry.directory.clone()),
                false => Err(Errno::Noent),
            }
        };
        find().into()
    }

    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let state = lock(&self.0.state);
        let entries = state.all.range(cookie + 1..).take(max);
        Op::ok(
            entries
                .map(|(number, entry)| DirEntry {
                    name: number.to_string(),
                    qid: entry.directory.qid(),
                    cookie: *number,
                })
                .collect(),
        )
    }
}

/// A node of a conversation: opening it keeps the conversation.
struct Member {
    inner: NodeRef,
    table: Weak<Table>,
    number: u64,
}

#[deny(clippy::missing_trait_methods)]
impl Node for Member {
    forward_node!(inner: qid stat set_stat read_link subject);

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        let (table, number) = (self.table.clone(), self.number);
        self.inner
            .open(how)
            .then(move |file| match table.upgrade() {
                Some(table) => table.opened(number, file).into(),
                None => Op::err(Errno::Noent),
            })
    }

    fn directory(&self) -> Option<&dyn Directory> {
        self.inner.directory().map(|_| self as &dyn Directory)
    }

    /// What a conversation has said is in nobody's file.
    fn save(&self) -> Result<Handle, Errno> {
        Err(Errno::Nodev)
    }

    fn reopen(&self, _how: OpenHow, _state: &[u8]) -> Op<Box<dyn OpenFile>> {
        Op::err(Errno::Stale)
    }

    fn durable(&self) -> Option<&dyn Durable> {
        None
    }

    fn file_system_stat(&self) -> Op<FileSystemStat> {
        Op::err(Errno::Notsup)
    }

    fn checkpoint(&self) -> Op<Box<dyn Checkpoint>> {
        Op::err(Errno::Notsup)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[deny(clippy::missing_trait_methods)]
impl Directory for Member {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        let Some(directory) = self.inner.directory() else {
            return Op::err(Errno::Notdir);
        };
        let (table, number) = (self.table.clone(), self.number);
        directory.walk(name).map(move |inner| {
            Arc::new(Member {
                inner,
                table,
                number,
            }) as NodeRef
        })
    }

    /// What is in a conversation is here.
    fn walk_ahead(&self, name: Name<'_>, _rest: &str) -> Op<NodeRef> {
        self.walk(name)
    }

    /// What is in a conversation is fixed.
    fn edit(&self) -> Option<&dyn EditDirectory> {
        None
    }
}

/// An open file of a conversation. It goes before its stay does: what a ctl file does when it is closed is part of the
/// conversation.
struct Held {
    file: Box<dyn OpenFile>,
    _stay: Stay,
}

/// Keeps a conversation.
struct Stay {
    table: Arc<Table>,
    number: u64,
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.table.closed(self.number);
    }
}

#[deny(clippy::missing_trait_methods)]
impl OpenFile for Held {
    forward_open_file!(file: poll_read poll_write poll_ready set_nonblocking cancel finish unfinished seekable position stat set_stat allocate sync subject entries socket listener);

    fn save(&self) -> Result<SavedFile, Errno> {
        Err(Errno::Nodev)
    }
}

/// What wrote its last words: the text of a conversation's `error` file.
#[derive(Default)]
pub struct LastError {
    text: Mutex<String>,
    set: AtomicBool,
}

impl LastError {
    /// Keeps a text and returns the errno that it explains.
    pub fn explain(&self, errno: Errno, text: impl Into<String>) -> Errno {
        *lock(&self.text) = text.into();
        self.set.store(true, Ordering::Release);
        errno
    }

    /// The text; empty while there was no error.
    pub fn text(&self) -> String {
        lock(&self.text).clone()
    }

    /// Whether there was an error.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Forgets the error.
    pub fn clear(&self) {
        lock(&self.text).clear();
        self.set.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WriteAt;
    use crate::testkit::{self, READ, READ_WRITE, now, read_at, walk, write_at};

    struct Echo {
        device: Device,
        said: Mutex<String>,
        ended: Arc<AtomicBool>,
    }

    impl Dialogue for Echo {
        fn command(&self, line: &str) -> Op<()> {
            match line.strip_prefix("say ") {
                Some(words) => *lock(&self.said) = words.to_owned(),
                None => return Op::err(Errno::Inval),
            }
            Op::ok(())
        }

        fn files(self: Arc<Self>) -> SyntheticBuilder {
            let (echo, device) = (self.clone(), self.device.clone());
            device
                .directory()
                .text("said", move || self.said.lock().unwrap().clone())
                .dir(
                    "more",
                    device
                        .directory()
                        .text("loud", move || lock(&echo.said).to_uppercase()),
                )
        }

        fn end(&self) {
            self.ended.store(true, Ordering::Relaxed);
        }
    }

    fn device(max: usize) -> (NodeRef, Conversations, Arc<AtomicBool>) {
        charged(max, &Account::unlimited())
    }

    fn charged(max: usize, account: &Account) -> (NodeRef, Conversations, Arc<AtomicBool>) {
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let device = Device::new(account);
        let of = device.clone();
        let conversations = Conversations::new(max, &device, move |_: u64| {
            Ok(Arc::new(Echo {
                device: of.clone(),
                said: Mutex::default(),
                ended: told.clone(),
            }) as Arc<dyn Dialogue>)
        });
        let root = conversations
            .serve(device.directory().text("policy", || "talk".to_owned()))
            .build();
        (root, conversations, ended)
    }

    #[test]
    fn clone_is_ctl_and_lasts_as_long_as_something_is_open() {
        let (root, all, ended) = device(4);
        let mut ctl = now(walk(&root, "clone").unwrap().open(READ_WRITE)).unwrap();
        assert_eq!(read_at(&mut *ctl, 0, 9).unwrap(), b"1\n");
        write_at(&mut *ctl, WriteAt::End, b"say hello\n").unwrap();
        assert_eq!(testkit::read(&root, "1/said").unwrap(), b"hello\n");
        assert_eq!(testkit::read(&root, "1/more/loud").unwrap(), b"HELLO\n");
        let other = write_at(&mut *ctl, WriteAt::End, b"sing\n");
        assert_eq!(other.err(), Some(Errno::Inval));
        let said = now(walk(&root, "1/said").unwrap().open(READ)).unwrap();
        drop(ctl);
        assert_eq!(all.count(), 1);
        drop(said);
        assert_eq!(all.count(), 0);
        assert!(ended.load(Ordering::Relaxed));
        assert_eq!(walk(&root, "1").err(), Some(Errno::Noent));
    }

    #[test]
    fn new_lasts_until_it_is_closed() {
        let (root, all, ended) = device(4);
        assert_eq!(testkit::read(&root, "new").unwrap(), b"1\n");
        assert_eq!(testkit::read(&root, "new").unwrap(), b"2\n");
        let mut names = testkit::names_in(&root).unwrap();
        names.sort();
        assert_eq!(names, ["1", "2", "clone", "new", "policy"]);
        let mut ctl = now(walk(&root, "1/ctl").unwrap().open(READ_WRITE)).unwrap();
        write_at(&mut *ctl, WriteAt::End, b"close\n").unwrap();
        assert!(ended.load(Ordering::Relaxed));
        assert_eq!(all.count(), 1);
        drop(ctl);
        assert_eq!(walk(&root, "01").err(), Some(Errno::Noent));
        assert_eq!(walk(&root, "02").err(), Some(Errno::Noent));
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let (root, all, _) = device(2);
        testkit::read(&root, "new").unwrap();
        testkit::read(&root, "new").unwrap();
        assert_eq!(testkit::read(&root, "new").err(), Some(Errno::Mfile));
        let clone = now(walk(&root, "clone").unwrap().open(READ_WRITE));
        assert_eq!(clone.err(), Some(Errno::Mfile));
        all.end_all();
        testkit::read(&root, "new").unwrap();
    }

    #[test]
    fn what_an_account_refuses_is_not_begun() {
        for (file, how) in [("clone", READ_WRITE), ("new", READ)] {
            let mut refused = 0;
            for more in 0.. {
                // One byte of room more each time, until there is enough.
                let account = Account::new(CONVERSATION + more);
                let (root, all, ended) = charged(1, &account);
                match now(walk(&root, file).unwrap().open(how)) {
                    Ok(_) => break,
                    Err(errno) => assert_eq!(errno, Errno::Nomem),
                }
                assert_eq!((all.count(), account.used()), (0, 0), "{file} {more}");
                assert!(ended.load(Ordering::Relaxed));
                refused += 1;
            }
            assert!(refused > 0, "{file}");
        }
    }

    #[test]
    fn the_device_going_away_ends_them() {
        let (root, all, ended) = device(2);
        testkit::read(&root, "new").unwrap();
        drop((root, all));
        assert!(ended.load(Ordering::Relaxed));
    }
}
