//! Frames put together, and taken apart.

use capfs::{
    DirEntry, FileKind, Interest, Name, OpenHow, Qid, SYMLINK_TARGET_MAX, SetStat, SetTime, Stat,
    WriteAt,
};

use super::{FRAME_HEAD, WireError};

/// Puts a frame together.
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn new(kind: u8, tag: u16, room: usize) -> Writer {
        let mut bytes = Vec::with_capacity(FRAME_HEAD + room);
        bytes.extend([0, 0, 0, 0, kind]);
        bytes.extend(tag.to_le_bytes());
        Writer(bytes)
    }

    /// The frame, which says now how long it is.
    pub fn finish(mut self) -> Vec<u8> {
        let size = self.0.len() as u32;
        self.0[..4].copy_from_slice(&size.to_le_bytes());
        self.0
    }

    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn data(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend(bytes);
    }

    /// A name or path. What is longer than a string may be is cut: no name of this system is.
    pub fn text(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(u16::MAX.into())];
        self.u16(text.len() as u16);
        self.0.extend(text.as_bytes());
    }

    pub fn how(&mut self, how: OpenHow) {
        self.u8(u8::from(how.read) | u8::from(how.write) << 1 | u8::from(how.truncate) << 2);
    }

    pub fn at(&mut self, at: WriteAt) {
        match at {
            WriteAt::Offset(offset) => {
                self.u8(0);
                self.u64(offset);
            }
            WriteAt::End => self.u8(1),
        }
    }

    pub fn interest(&mut self, interest: Interest) {
        self.u8((interest == Interest::Write).into());
    }

    pub fn qid(&mut self, qid: Qid) {
        self.u8(qid.kind as u8);
        self.u32(qid.device);
        self.u64(qid.path);
    }

    pub fn stat(&mut self, stat: Stat) {
        self.qid(stat.qid);
        for number in [stat.nlink, stat.size, stat.atime, stat.mtime, stat.ctime] {
            self.u64(number);
        }
    }

    pub fn set_stat(&mut self, change: SetStat) {
        match change.size {
            None => self.u8(0),
            Some(size) => {
                self.u8(1);
                self.u64(size);
            }
        }
        for time in [change.atime, change.mtime] {
            match time {
                None => self.u8(0),
                Some(SetTime::Now) => self.u8(1),
                Some(SetTime::To(time)) => {
                    self.u8(2);
                    self.u64(time);
                }
            }
        }
    }

    pub fn entry(&mut self, entry: &DirEntry) {
        self.qid(entry.qid);
        self.u64(entry.cookie);
        self.text(&entry.name);
    }
}

/// Bytes that an entry of a listing takes beside its name.
pub const ENTRY_HEAD: usize = 13 + 8 + 2;

/// An answer that has more than was asked for.
pub const TOO_MUCH: WireError = WireError::Value("more than was asked for");

/// Takes a body apart. What is wrong with it is told at the end: what was read after that means nothing, so that each step is a few bytes of code.
pub struct Reader<'a> {
    rest: &'a [u8],
    wrong: Option<WireError>,
}

impl<'a> Reader<'a> {
    pub fn new(body: &'a [u8]) -> Reader<'a> {
        Reader {
            rest: body,
            wrong: None,
        }
    }

    /// Nothing is left, and nothing was wrong.
    pub fn finish(self) -> Result<(), WireError> {
        match (self.wrong, self.rest) {
            (Some(wrong), _) => Err(wrong),
            (None, []) => Ok(()),
            _ => Err(WireError::Value("bytes behind its end")),
        }
    }

    /// Nothing more can be read.
    pub fn is_wrong(&self) -> bool {
        self.wrong.is_some()
    }

    /// Notes what is wrong. The first thing counts.
    pub fn fail(&mut self, wrong: WireError) {
        self.wrong.get_or_insert(wrong);
        self.rest = &[];
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                taken
            }
            None => {
                self.fail(WireError::Truncated);
                &[]
            }
        }
    }

    fn number(&mut self, count: usize) -> u64 {
        let bytes = self.take(count).iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub fn u8(&mut self) -> u8 {
        self.number(1) as u8
    }

    pub fn u16(&mut self) -> u16 {
        self.number(2) as u16
    }

    pub fn u32(&mut self) -> u32 {
        self.number(4) as u32
    }

    pub fn u64(&mut self) -> u64 {
        self.number(8)
    }

    pub fn data(&mut self) -> &'a [u8] {
        let length = self.u32() as usize;
        self.take(length)
    }

    pub fn text(&mut self) -> &'a str {
        let length = self.u16().into();
        let bytes = self.take(length);
        std::str::from_utf8(bytes).unwrap_or_else(|_| {
            self.fail(WireError::Value("a text that is no UTF-8"));
            ""
        })
    }

    /// One of the numbers below `end`.
    pub fn below(&mut self, end: u8, what: &'static str) -> u8 {
        let number = self.u8();
        if number < end {
            return number;
        }
        self.fail(WireError::Value(what));
        0
    }

    pub fn flag(&mut self) -> bool {
        self.below(2, "a flag that is neither 0 nor 1") == 1
    }

    pub fn how(&mut self) -> OpenHow {
        let bits = self.below(8, "a way of opening");
        OpenHow {
            read: bits & 1 != 0,
            write: bits & 2 != 0,
            truncate: bits & 4 != 0,
        }
    }

    pub fn at(&mut self) -> WriteAt {
        match self.flag() {
            false => WriteAt::Offset(self.u64()),
            true => WriteAt::End,
        }
    }

    pub fn interest(&mut self) -> Interest {
        match self.flag() {
            false => Interest::Read,
            true => Interest::Write,
        }
    }

    pub fn qid(&mut self) -> Qid {
        let kind = self.below(8, "a kind of file");
        Qid {
            kind: FileKind::from_number(kind.into()),
            device: self.u32(),
            path: self.u64(),
        }
    }

    pub fn stat(&mut self) -> Stat {
        Stat {
            qid: self.qid(),
            nlink: self.u64(),
            size: self.size(),
            atime: self.u64(),
            mtime: self.u64(),
            ctime: self.u64(),
        }
    }

    fn time(&mut self) -> Option<SetTime> {
        match self.below(3, "a way of setting a time") {
            0 => None,
            1 => Some(SetTime::Now),
            _ => Some(SetTime::To(self.u64())),
        }
    }

    pub fn set_stat(&mut self) -> SetStat {
        let size = match self.flag() {
            false => None,
            true => Some(self.u64()),
        };
        SetStat {
            size,
            atime: self.time(),
            mtime: self.time(),
        }
    }

    /// A number of what was asked for.
    pub fn no_more(&mut self, most: usize) -> usize {
        let number = self.u32() as usize;
        if number > most {
            self.fail(TOO_MUCH);
        }
        number
    }

    /// How long a file is, or where in it something ends: an offset, which has a sign wherever files are.
    pub fn size(&mut self) -> u64 {
        let size = self.u64();
        if size > i64::MAX as u64 {
            self.fail(WireError::Value("a size that no file has"));
        }
        size
    }

    /// Where a link leads.
    pub fn target(&mut self) -> &'a str {
        let target = self.text();
        if target.len() > SYMLINK_TARGET_MAX || target.contains('\0') {
            self.fail(WireError::Value("a target that no link has"));
        }
        target
    }

    pub fn entry(&mut self) -> DirEntry {
        let (qid, cookie, name) = (self.qid(), self.u64(), self.text());
        if Name::new(name).is_err() {
            self.fail(WireError::Value("a name that no file has"));
        }
        DirEntry {
            qid,
            cookie,
            name: name.to_owned(),
        }
    }
}
