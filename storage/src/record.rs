//! The records that the index is made of: each says how something is from now on, so that reading them
//! in order gives the state, and reading one twice changes nothing.

use capfs::FileKind;

use crate::checksum::SUM;

/// The metadata of a file that can change, and what is fixed at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes<'a> {
    pub kind: FileKind,
    pub size: u64,
    pub atime: u64,
    pub mtime: u64,
    pub ctime: u64,
    /// Of a symbolic link, the first time that it is written: it never changes.
    pub target: Option<&'a str>,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A file is there, with these attributes.
    Node {
        number: u64,
        attributes: Attributes<'a>,
    },
    /// A name stands for a file.
    Name {
        directory: u64,
        name: &'a str,
        number: u64,
    },
    /// A name stands for nothing.
    Unname { directory: u64, name: &'a str },
    /// Blocks of a file are in blocks of the data file; if not `written`, they read as zeroes.
    Map {
        number: u64,
        block: u32,
        start: u32,
        length: u32,
        written: bool,
        /// The checksums of written blocks, [`SUM`] bytes each; none where they are not known.
        sums: &'a [u8],
    },
    /// Blocks of a file are nowhere: a hole.
    Unmap {
        number: u64,
        block: u32,
        length: u32,
    },
    /// A file is gone.
    Gone { number: u64 },
    /// The transaction is one that was prepared, under this id.
    Decided { id: u64 },
}

/// Bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Record<'_> {
    /// Adds the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Record::Node { number, attributes } => {
                let target = attributes.target;
                let tag = match attributes.kind {
                    FileKind::Directory => 1,
                    FileKind::SymbolicLink if target.is_some() => 2,
                    FileKind::SymbolicLink => 10,
                    _ => 3,
                };
                out.push(tag);
                for value in [
                    number,
                    attributes.size,
                    attributes.atime,
                    attributes.mtime,
                    attributes.ctime,
                ] {
                    put_number(out, value);
                }
                if let Some(target) = target {
                    put_text(out, target);
                }
            }
            Record::Name {
                directory,
                name,
                number,
            } => {
                out.push(4);
                put_number(out, directory);
                put_text(out, name);
                put_number(out, number);
            }
            Record::Unname { directory, name } => {
                out.push(5);
                put_number(out, directory);
                put_text(out, name);
            }
            Record::Map {
                number,
                block,
                start,
                length,
                written,
                sums,
            } => {
                out.push(match (written, sums.is_empty()) {
                    (true, true) => 6,
                    (true, false) => 11,
                    (false, _) => 7,
                });
                put_number(out, number);
                for value in [block, start, length] {
                    put_number(out, value.into());
                }
                if written {
                    debug_assert!(sums.is_empty() || sums.len() == length as usize * SUM);
                    out.extend_from_slice(sums);
                }
            }
            Record::Unmap {
                number,
                block,
                length,
            } => {
                out.push(8);
                put_number(out, number);
                for value in [block, length] {
                    put_number(out, value.into());
                }
            }
            Record::Gone { number } => {
                out.push(9);
                put_number(out, number);
            }
            Record::Decided { id } => {
                out.push(12);
                put_number(out, id);
            }
        }
    }
}

/// LEB128, as WebAssembly has it.
fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads records from the front of bytes; ends after the first that is malformed.
pub(crate) struct Records<'a>(pub &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.0 = &[];
        }
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Result<Record<'a>, Malformed> {
        Ok(match self.byte()? {
            tag @ (1..=3 | 10) => {
                let number = self.number()?;
                let size = self.number()?;
                let (atime, mtime, ctime) = (self.number()?, self.number()?, self.number()?);
                let (kind, target) = match tag {
                    1 => (FileKind::Directory, None),
                    2 => (FileKind::SymbolicLink, Some(self.text()?)),
                    10 => (FileKind::SymbolicLink, None),
                    _ => (FileKind::RegularFile, None),
                };
                Record::Node {
                    number,
                    attributes: Attributes {
                        kind,
                        size,
                        atime,
                        mtime,
                        ctime,
                        target,
                    },
                }
            }
            4 => Record::Name {
                directory: self.number()?,
                name: self.text()?,
                number: self.number()?,
            },
            5 => Record::Unname {
                directory: self.number()?,
                name: self.text()?,
            },
            tag @ (6..=7 | 11) => {
                let number = self.number()?;
                let (block, start, length) = (self.block()?, self.block()?, self.block()?);
                let sums = match tag {
                    11 => (length as usize).checked_mul(SUM).ok_or(Malformed)?,
                    _ => 0,
                };
                Record::Map {
                    number,
                    block,
                    start,
                    length,
                    written: tag != 7,
                    sums: self.bytes(sums)?,
                }
            }
            8 => Record::Unmap {
                number: self.number()?,
                block: self.block()?,
                length: self.block()?,
            },
            9 => Record::Gone {
                number: self.number()?,
            },
            12 => Record::Decided { id: self.number()? },
            _ => return Err(Malformed),
        })
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (byte, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn block(&mut self) -> Result<u32, Malformed> {
        self.number()?.try_into().map_err(|_| Malformed)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Malformed)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_survive_a_round_trip() {
        let attributes = Attributes {
            kind: FileKind::RegularFile,
            size: u64::MAX,
            atime: 1 << 60,
            mtime: 127,
            ctime: 128,
            target: None,
        };
        let records = [
            Record::Node {
                number: 1,
                attributes,
            },
            Record::Node {
                number: 2,
                attributes: Attributes {
                    kind: FileKind::SymbolicLink,
                    target: Some("../ünï"),
                    ..attributes
                },
            },
            Record::Node {
                number: 2,
                attributes: Attributes {
                    kind: FileKind::SymbolicLink,
                    ..attributes
                },
            },
            Record::Node {
                number: 3,
                attributes: Attributes {
                    kind: FileKind::Directory,
                    ..attributes
                },
            },
            Record::Name {
                directory: 3,
                name: "a name",
                number: 2,
            },
            Record::Unname {
                directory: 3,
                name: "",
            },
            Record::Map {
                number: 1,
                block: u32::MAX,
                start: 0,
                length: 300,
                written: true,
                sums: &[],
            },
            Record::Map {
                number: 1,
                block: 7,
                start: 9,
                length: 2,
                written: true,
                sums: &[1, 2, 3, 4, 5, 6, 7, 8],
            },
            Record::Map {
                number: 1,
                block: 7,
                start: 8,
                length: 9,
                written: false,
                sums: &[],
            },
            Record::Unmap {
                number: 1,
                block: 1,
                length: u32::MAX,
            },
            Record::Gone { number: u64::MAX },
            Record::Decided { id: 300 },
        ];
        let mut bytes = Vec::new();
        for record in &records {
            record.encode(&mut bytes);
        }
        let read: Result<Vec<_>, _> = Records(&bytes).collect();
        assert_eq!(read.unwrap(), records);
        for cut in 1..bytes.len() {
            // A cut is noticed or falls between two records.
            let read: Result<Vec<_>, _> = Records(&bytes[..cut]).collect();
            assert!(read.map_or(true, |read| read[..] == records[..read.len()]));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_records_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            assert!(Records(&bytes).count() <= bytes.len());
        }
    }
}
