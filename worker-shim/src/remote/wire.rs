//! Requests and answers as bytes: little-endian numbers, and strings and data with their length before
//! them. A request is its call's number (0: nobody wants an answer), its code, its arguments; an answer is the
//! call's number, a status, the results. A status is an errno (0: success), and [`SUBJECT`] where a text comes
//! before the results: what the file stands for has changed.

use capfs::{DirEntry, Errno, FileKind, Interest, OpenHow, Qid, SetStat, SetTime, Stat, WriteAt};

/// In a status: a text, the open file's subject, comes before the results.
pub const SUBJECT: u32 = 1 << 31;

/// Of a file that was opened: its offsets mean something.
pub const SEEKABLE: u8 = 1;

/// Of a file that was opened: closing it finishes what opening it began.
pub const UNFINISHED: u8 = 1 << 1;

/// Bytes that one read moves at most: what fits several times into a worker's mailbox.
pub const DATA_MAX: usize = 64 << 10;

/// Bytes that one write to a stream moves at most. Requests are posted, and need no place in a mailbox; and a write to a
/// socket that keeps messages apart must not be cut: what is longer than any message may be arrives as such.
pub const WRITE_MAX: usize = capfs_devices::ws::MESSAGE_MAX + 1;

/// Bytes that one write to a file moves at most; a longer one is a short write, and its caller goes on behind it.
pub const FILE_WRITE_MAX: usize = 4 << 20;

/// Bytes of a request beside its data: numbers, and a name where there is one.
pub const HEAD_MAX: usize = 1 << 10;

/// Entries that one listing returns at most.
pub const LIST_MAX: usize = 512;

/// What a request asks for. `fid` is a node, `file` an open file; both are chosen by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Attach,
    Walk,
    Stat,
    Open,
    SetStat,
    ReadLink,
    Create,
    MakeDirectory,
    MakeSymlink,
    Link,
    Unlink,
    RemoveDirectory,
    Rename,
    Read,
    Write,
    FileStat,
    FileSetStat,
    Allocate,
    List,
    Clunk,
    Close,
    Ready,
    Sync,
    WriteAll,
    Finish,
    Flush,
    /// Takes a tree that was made for the client away: its number. What goes on behind it ends.
    Revoke,
}

impl Code {
    const ALL: [Code; 27] = {
        use Code::*;
        [
            Attach,
            Walk,
            Stat,
            Open,
            SetStat,
            ReadLink,
            Create,
            MakeDirectory,
            MakeSymlink,
            Link,
            Unlink,
            RemoveDirectory,
            Rename,
            Read,
            Write,
            FileStat,
            FileSetStat,
            Allocate,
            List,
            Clunk,
            Close,
            Ready,
            Sync,
            WriteAll,
            Finish,
            Flush,
            Revoke,
        ]
    };

    /// Whether the request is about an open file, whose number comes first.
    pub fn is_on_file(self) -> bool {
        use Code::*;
        matches!(
            self,
            Read | Write
                | FileStat
                | FileSetStat
                | Allocate
                | List
                | Ready
                | Sync
                | WriteAll
                | Finish
        )
    }

    /// The code with this number.
    pub fn from_number(number: u8) -> Option<Code> {
        Code::ALL.get(usize::from(number)).copied()
    }
}

/// Puts a message together.
#[derive(Default)]
pub struct Encoder(Vec<u8>);

impl From<Vec<u8>> for Encoder {
    fn from(bytes: Vec<u8>) -> Self {
        Encoder(bytes)
    }
}

impl Encoder {
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut encoder = self.u32(bytes.len() as u32);
        encoder.0.extend(bytes);
        encoder
    }

    pub fn how(self, how: OpenHow) -> Self {
        self.u8(u8::from(how.read) | u8::from(how.write) << 1 | u8::from(how.truncate) << 2)
    }

    pub fn at(self, at: WriteAt) -> Self {
        match at {
            WriteAt::Offset(offset) => self.u8(0).u64(offset),
            WriteAt::End => self.u8(1).u64(0),
        }
    }

    pub fn interest(self, interest: Interest) -> Self {
        self.u8(match interest {
            Interest::Read => 0,
            Interest::Write => 1,
        })
    }

    pub fn qid(self, qid: Qid) -> Self {
        self.u32(qid.device).u64(qid.path).u8(qid.kind as u8)
    }

    pub fn stat(self, stat: Stat) -> Self {
        [stat.nlink, stat.size, stat.atime, stat.mtime, stat.ctime]
            .into_iter()
            .fold(self.qid(stat.qid), Encoder::u64)
    }

    pub fn set_stat(self, change: SetStat) -> Self {
        let encoder = match change.size {
            None => self.u8(0),
            Some(size) => self.u8(1).u64(size),
        };
        [change.atime, change.mtime]
            .into_iter()
            .fold(encoder, |encoder, time| match time {
                None => encoder.u8(0),
                Some(SetTime::Now) => encoder.u8(1),
                Some(SetTime::To(time)) => encoder.u8(2).u64(time),
            })
    }

    pub fn entry(self, entry: &DirEntry) -> Self {
        self.u64(entry.cookie)
            .qid(entry.qid)
            .bytes(entry.name.as_bytes())
    }

    pub fn append(mut self, other: Encoder) -> Self {
        match self.0.is_empty() {
            true => other,
            false => {
                self.0.extend(other.0);
                self
            }
        }
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a message apart. What is cut short or out of range is [`Errno::Proto`].
#[derive(Clone, Copy)]
pub struct Decoder<'a>(pub &'a [u8]);

impl<'a> Decoder<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Errno::Proto)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn u8(&mut self) -> Result<u8, Errno> {
        Ok(self.take(1)?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Errno> {
        let bytes = self.take(4)?.try_into().map_err(|_| Errno::Proto)?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub fn u64(&mut self) -> Result<u64, Errno> {
        let bytes = self.take(8)?.try_into().map_err(|_| Errno::Proto)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Errno> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    pub fn text(&mut self) -> Result<&'a str, Errno> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Errno::Proto)
    }

    pub fn how(&mut self) -> Result<OpenHow, Errno> {
        let bits = self.u8()?;
        Ok(OpenHow {
            read: bits & 1 != 0,
            write: bits & 2 != 0,
            truncate: bits & 4 != 0,
        })
    }

    pub fn at(&mut self) -> Result<WriteAt, Errno> {
        let end = self.u8()? == 1;
        let offset = self.u64()?;
        Ok(match end {
            true => WriteAt::End,
            false => WriteAt::Offset(offset),
        })
    }

    pub fn interest(&mut self) -> Result<Interest, Errno> {
        Ok(match self.u8()? {
            0 => Interest::Read,
            _ => Interest::Write,
        })
    }

    pub fn qid(&mut self) -> Result<Qid, Errno> {
        Ok(Qid {
            device: self.u32()?,
            path: self.u64()?,
            kind: FileKind::from_number(self.u8()?.into()),
        })
    }

    pub fn stat(&mut self) -> Result<Stat, Errno> {
        Ok(Stat {
            qid: self.qid()?,
            nlink: self.u64()?,
            size: self.u64()?,
            atime: self.u64()?,
            mtime: self.u64()?,
            ctime: self.u64()?,
        })
    }

    pub fn set_stat(&mut self) -> Result<SetStat, Errno> {
        let size = match self.u8()? {
            0 => None,
            _ => Some(self.u64()?),
        };
        let mut time = || {
            Ok(match self.u8()? {
                0 => None,
                1 => Some(SetTime::Now),
                _ => Some(SetTime::To(self.u64()?)),
            })
        };
        Ok(SetStat {
            size,
            atime: time()?,
            mtime: time()?,
        })
    }

    pub fn entry(&mut self) -> Result<DirEntry, Errno> {
        let (cookie, qid) = (self.u64()?, self.qid()?);
        Ok(DirEntry {
            name: self.text()?.to_owned(),
            qid,
            cookie,
        })
    }
}
