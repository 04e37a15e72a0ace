//! What devices have whose files agents make and remove: a directory of them, and a file that takes one change a write.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use capfs::account::{Account, Charge, Holding};
use capfs::device::Device;
use capfs::device::parts::{lock, set_device_stat, stream_stat};
use capfs::device::synthetic::text_file;
use capfs::{
    DirEntry, Directory, DirectoryFile, EditDirectory, Entries, Errno, FileKind, GuestSink,
    GuestSource, MaybeSend, MaybeSync, Name, Node, NodeRef, Op, OpenDirectory, OpenFile, OpenHow,
    Opened, Qid, SetStat, Stat, WriteAt, Written,
};

/// Bytes of a name that an agent gives.
const NAME_MAX: usize = 64;

/// Bytes that a file is charged beside its name.
const FILE: usize = 256;

/// Files of a device that are numbered before those that are made: the directory and `policy`.
const NUMBERED: u64 = 2;

/// Files that an agent and its children have together, by names of 1 to 64 letters, digits, `.`, `_`, `-`. They can't be linked or renamed: a name is a part of
/// what its file means.
#[derive(Default)]
pub(crate) struct MadeFiles {
    made: u64,
    /// In the order in which they were made, and so of their numbers.
    all: Vec<MadeFile>,
}

struct MadeFile {
    name: Box<str>,
    qid: Qid,
    changes: Arc<dyn Changes>,
    _charge: Charge,
}

impl MadeFiles {
    fn place(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|file| *file.name == *name)
    }
}

/// What an agent may do with such files.
#[derive(Clone)]
pub(crate) struct Made {
    /// The files.
    pub files: Arc<Mutex<MadeFiles>>,
    /// How many there may be. Finding one looks at each.
    pub max: usize,
    /// Whether it may change, make and remove them.
    pub write: bool,
    /// Makes one.
    pub new: fn() -> Arc<dyn Changes>,
    /// What it makes is charged to this.
    pub account: Account,
}

impl Made {
    /// The root of a device with these files, and with `policy` before them, which says what was granted.
    pub fn directory(self, policy: String) -> NodeRef {
        let device = Device::new(&self.account);
        Arc::new(MadeDirectory {
            qid: device.qid(FileKind::Directory),
            policy: text_file(&device, move || policy.clone()),
            made: self,
        })
    }

    fn node(&self, file: &MadeFile) -> NodeRef {
        Arc::new(ChangedFile {
            qid: file.qid,
            changes: file.changes.clone(),
            writable: self.write,
        })
    }
}

#[derive(Clone)]
struct MadeDirectory {
    qid: Qid,
    policy: NodeRef,
    made: Made,
}

impl MadeDirectory {
    fn make(&self, name: &str) -> Result<NodeRef, Errno> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let mut files = lock(&self.made.files);
        if name == "policy" || files.place(name).is_some() {
            return Err(Errno::Exist);
        }
        if name.len() > NAME_MAX || !name.bytes().all(plain) {
            return Err(Errno::Inval);
        }
        if files.all.len() >= self.made.max {
            return Err(Errno::Nospc);
        }
        let bytes = (FILE + name.len()) as u64;
        let charge = self.made.account.charge(Holding::Files, bytes)?;
        files.made += 1;
        let file = MadeFile {
            name: name.into(),
            qid: Qid::new(NUMBERED + files.made, FileKind::RegularFile),
            changes: (self.made.new)(),
            _charge: charge,
        };
        let node = self.made.node(&file);
        files.all.push(file);
        Ok(node)
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        let mut files = lock(&self.made.files);
        match files.place(name) {
            Some(place) => drop(files.all.remove(place)),
            None if name == "policy" => return Err(Errno::Acces),
            None => return Err(Errno::Noent),
        }
        Ok(())
    }
}

impl Node for MadeDirectory {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        match how.write || how.truncate {
            true => Op::err(Errno::Isdir),
            false => Op::ok(Box::new(DirectoryFile(self.clone()))),
        }
    }

    fn set_stat(&self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Rofs)
    }

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Directory for MadeDirectory {
    fn walk(&self, name: Name<'_>) -> Op<NodeRef> {
        let files = lock(&self.made.files);
        match files.place(name.as_str()) {
            Some(place) => Op::ok(self.made.node(&files.all[place])),
            None if name.as_str() == "policy" => Op::ok(self.policy.clone()),
            None => Op::err(Errno::Noent),
        }
    }

    fn edit(&self) -> Option<&dyn EditDirectory> {
        self.made.write.then_some(self)
    }
}

impl EditDirectory for MadeDirectory {
    fn create(&self, name: Name<'_>, how: OpenHow) -> Op<Opened> {
        match self.make(name.as_str()) {
            Ok(node) => node.open(how).map(|file| Opened { node, file }),
            Err(errno) => Op::err(errno),
        }
    }

    fn unlink(&self, name: Name<'_>) -> Op<()> {
        self.remove(name.as_str()).into()
    }

    fn remove_directory(&self, name: Name<'_>) -> Op<()> {
        self.walk(name).then(|_| Op::err(Errno::Notdir))
    }

    fn make_directory(&self, _name: Name<'_>) -> Op<NodeRef> {
        Op::err(Errno::Notsup)
    }

    fn make_symlink(&self, _name: Name<'_>, _target: &str) -> Op<()> {
        Op::err(Errno::Notsup)
    }

    fn link(&self, _name: Name<'_>, _node: &NodeRef) -> Op<()> {
        Op::err(Errno::Notsup)
    }

    fn rename(&self, _name: Name<'_>, _to: &NodeRef, _to_name: Name<'_>) -> Op<()> {
        Op::err(Errno::Notsup)
    }
}

impl OpenDirectory for MadeDirectory {
    fn stat(&self) -> Op<Stat> {
        Node::stat(self)
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        Node::set_stat(self, change)
    }
}

impl Entries for MadeDirectory {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let files = lock(&self.made.files);
        let policy = std::iter::once(("policy", self.policy.qid()));
        let all = policy.chain(files.all.iter().map(|file| (&*file.name, file.qid)));
        let behind = all.filter(|(_, qid)| qid.path > cookie).take(max);
        let entry = |(name, qid): (&str, Qid)| DirEntry {
            name: name.to_owned(),
            qid,
            cookie: qid.path,
        };
        Op::ok(behind.map(entry).collect())
    }
}

/// Bytes of a change, at most.
const CHANGE_MAX: usize = 256;

/// What a file stands for that reads as a text of a few bytes and takes changes.
pub(crate) trait Changes: MaybeSend + MaybeSync + 'static {
    /// The text now.
    fn text(&self) -> String;

    /// Does the change that one write has brought, at once or not at all; answers with the text then.
    ///
    /// # Errors
    /// What the write fails with.
    fn change(&self, change: &str) -> Result<String, Errno>;
}

/// A file that reads as it was when it was opened, or after what was last written by the same descriptor. One write is one change, of [`CHANGE_MAX`]
/// bytes at most, which may end with a newline, and reading goes on at the start behind it; truncating it changes nothing.
struct ChangedFile {
    qid: Qid,
    changes: Arc<dyn Changes>,
    writable: bool,
}

impl Node for ChangedFile {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(sized(self.qid, &self.changes.text()))
    }

    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        if how.write && !self.writable {
            return Op::err(Errno::Acces);
        }
        Op::ok(Box::new(OpenChanged {
            qid: self.qid,
            how,
            text: self.changes.text(),
            changes: self.changes.clone(),
        }))
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn sized(qid: Qid, text: &str) -> Stat {
    Stat {
        size: text.len() as u64,
        ..stream_stat(qid)
    }
}

struct OpenChanged {
    qid: Qid,
    how: OpenHow,
    text: String,
    changes: Arc<dyn Changes>,
}

impl OpenFile for OpenChanged {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if !self.how.read {
            return Poll::Ready(Err(Errno::Badf));
        }
        let rest = usize::try_from(offset).ok();
        let rest = rest.and_then(|offset| self.text.as_bytes().get(offset..));
        Poll::Ready(Ok(rest.map_or(0, |rest| sink.put(rest))))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let mut change = [0; CHANGE_MAX];
        if !self.how.write {
            return Poll::Ready(Err(Errno::Badf));
        }
        if source.remaining() > change.len() {
            return Poll::Ready(Err(Errno::Inval));
        }
        let bytes = source.take(&mut change);
        let change = str::from_utf8(&change[..bytes]).map_err(|_| Errno::Ilseq);
        let changed = change.and_then(|change| {
            let change = change.strip_suffix('\n').unwrap_or(change);
            self.changes.change(change)
        });
        Poll::Ready(changed.map(|text| {
            self.text = text;
            // What is read next is read from the start.
            Written { bytes, end: 0 }
        }))
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(sized(self.qid, &self.text))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }
}

#[cfg(test)]
mod tests {
    use capfs::testkit::{
        READ, READ_WRITE, edit, list, list_from, name, names_in, now, read, read_at, walk, write,
        write_at,
    };

    use super::*;

    /// A text to which is added what is written.
    #[derive(Default)]
    struct Text(Mutex<String>);

    impl Changes for Text {
        fn text(&self) -> String {
            lock(&self.0).clone()
        }

        fn change(&self, change: &str) -> Result<String, Errno> {
            let mut text = lock(&self.0);
            *text += change;
            Ok(text.clone())
        }
    }

    fn device(max: usize, account: &Account) -> NodeRef {
        let made = Made {
            files: Arc::default(),
            max,
            write: true,
            new: || Arc::new(Text::default()),
            account: account.clone(),
        };
        made.directory("all".to_owned())
    }

    #[test]
    fn names_are_made_and_removed_but_for_policy() {
        let root = device(9, &Account::unlimited());
        write(&root, "a", b"1").unwrap();
        write(&root, &"n".repeat(64), b"").unwrap();
        for wrong in ["ä", "a b", "%", &"n".repeat(65)] {
            assert_eq!(
                write(&root, wrong, b"").err(),
                Some(Errno::Inval),
                "{wrong}"
            );
        }
        for taken in ["a", "policy"] {
            assert_eq!(
                write(&root, taken, b"").err(),
                Some(Errno::Exist),
                "{taken}"
            );
        }
        let unlink = |of: &str| now(edit(&root).unwrap().unlink(name(of)));
        assert_eq!(unlink("policy"), Err(Errno::Acces));
        assert_eq!(unlink("b"), Err(Errno::Noent));
        let file = walk(&root, "a").unwrap();
        unlink("a").unwrap();
        assert_eq!(walk(&root, "a").err(), Some(Errno::Noent));
        // Whoever has it goes on with it.
        let mut file = now(file.open(READ)).unwrap();
        assert_eq!(read_at(&mut *file, 0, 9).unwrap(), b"1");
        assert_eq!(read(&root, "policy").unwrap(), b"all\n");
    }

    #[test]
    fn listing_goes_on_while_names_come_and_go() {
        let root = device(9, &Account::unlimited());
        for name in ["a", "b", "c", "d"] {
            write(&root, name, b"").unwrap();
        }
        assert_eq!(list(&root, 1).unwrap(), list(&root, 100).unwrap());
        let mut listing = now(root.open(READ)).unwrap();
        let first = list_from(&mut *listing, 0, 3).unwrap();
        now(edit(&root).unwrap().unlink(name("a"))).unwrap();
        write(&root, "e", b"").unwrap();
        let rest = list_from(&mut *listing, first[2].cookie, 9).unwrap();
        let names = first.iter().chain(&rest).map(|entry| entry.name.as_str());
        assert!(names.eq(["policy", "a", "b", "c", "d", "e"]));
        assert_eq!(names_in(&root).unwrap(), ["b", "c", "d", "e", "policy"]);
    }

    #[test]
    fn files_are_bounded_and_charged() {
        let root = device(2, &Account::new(570));
        write(&root, "a", b"").unwrap();
        write(&root, "b", b"").unwrap();
        assert_eq!(write(&root, "c", b"").err(), Some(Errno::Nospc));
        now(edit(&root).unwrap().unlink(name("a"))).unwrap();
        let longest = "n".repeat(64);
        assert_eq!(write(&root, &longest, b"").err(), Some(Errno::Nomem));
        write(&root, "c", b"").unwrap();
        assert_eq!(names_in(&root).unwrap(), ["b", "c", "policy"]);
    }

    #[test]
    fn one_write_is_one_change_and_is_read_behind_it() {
        let root = device(9, &Account::unlimited());
        write(&root, "a", b"one").unwrap();
        let open = |how| now(walk(&root, "a").unwrap().open(how)).unwrap();
        let (mut file, mut before) = (open(READ_WRITE), open(READ));
        let written = write_at(&mut *file, WriteAt::Offset(3), b"two\n").unwrap();
        assert_eq!((written.bytes, written.end), (4, 0));
        assert_eq!(read_at(&mut *file, 0, 9).unwrap(), b"onetwo");
        assert_eq!(read_at(&mut *before, 1, 9).unwrap(), b"ne");
        assert_eq!(write_at(&mut *before, WriteAt::End, b"x"), Err(Errno::Badf));
        let longest = [b'x'; CHANGE_MAX];
        write_at(&mut *file, WriteAt::End, &longest).unwrap();
        let longer = [b'x'; CHANGE_MAX + 1];
        assert_eq!(
            write_at(&mut *file, WriteAt::End, &longer),
            Err(Errno::Inval)
        );
        assert_eq!(
            write_at(&mut *file, WriteAt::End, b"\xff"),
            Err(Errno::Ilseq)
        );
        assert_eq!(read(&root, "a").unwrap().len(), 6 + CHANGE_MAX);
    }
}
