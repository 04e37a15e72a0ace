//! Bytes that are kept: the small encoding of frozen processes and of images.
//!
//! Numbers are little-endian and of fixed size, strings and runs of bytes have their length in front, lists their count. What is read is
//! never trusted: each length is held against what is left before anything is made for it, so that hostile bytes cost no more memory
//! than they are long.

/// Why bytes can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// They begin with something else.
    #[error("this is no {0}")]
    OtherKind(&'static str),
    /// They are of another version.
    #[error("version {found} can't be read, only version {known}")]
    Version {
        /// Theirs.
        found: u32,
        /// The one that is known.
        known: u32,
    },
    /// They end too early.
    #[error("cut off: {what} is missing at byte {at}")]
    CutOff {
        /// What should be there.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// They say what can't be.
    #[error("{what} can't be right, before byte {at}")]
    Wrong {
        /// What.
        what: &'static str,
        /// Where it ends.
        at: usize,
    },
    /// There is more behind what they say.
    #[error("{0} bytes too many at the end")]
    Behind(usize),
}

/// Bytes that are being put together.
#[derive(Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Begins with what tells this kind from others, and the version.
    pub fn new(magic: &[u8; 8], version: u32) -> Encoder {
        let mut encoder = Encoder(magic.to_vec());
        encoder.u32(version);
        encoder
    }

    /// Adds a byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Adds a number.
    pub fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    /// Adds a number.
    pub fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// Adds the count of a list, or the length of what follows.
    ///
    /// # Panics
    /// When it is 2^32 or more: what is encoded is bounded far below.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("lists are bounded"));
    }

    /// Adds a run of bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend(bytes);
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes that are being read.
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Begins to read bytes of a kind.
    ///
    /// # Errors
    /// - [`Malformed::OtherKind`], [`Malformed::Version`], [`Malformed::CutOff`]
    pub fn new(
        bytes: &'a [u8],
        kind: &'static str,
        magic: &[u8; 8],
        version: u32,
    ) -> Result<Decoder<'a>, Malformed> {
        if bytes.get(..magic.len()) != Some(magic.as_slice()) {
            return Err(Malformed::OtherKind(kind));
        }
        let mut decoder = Decoder {
            bytes,
            at: magic.len(),
        };
        match decoder.u32("the version")? {
            found if found == version => Ok(decoder),
            found => Err(Malformed::Version {
                found,
                known: version,
            }),
        }
    }

    /// That what was read last can't be right.
    pub fn wrong(&self, what: &'static str) -> Malformed {
        Malformed::Wrong { what, at: self.at }
    }

    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.at..];
        let taken = rest
            .get(..count)
            .ok_or(Malformed::CutOff { what, at: self.at })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    /// Reads a byte.
    ///
    /// # Errors
    /// - [`Malformed::CutOff`]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.array(what).map(u8::from_le_bytes)
    }

    /// Reads a number.
    ///
    /// # Errors
    /// - [`Malformed::CutOff`]
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// Reads a number.
    ///
    /// # Errors
    /// - [`Malformed::CutOff`]
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Reads the count of a list whose entries take at least so many bytes each.
    ///
    /// # Errors
    /// - [`Malformed::CutOff`], also where there is no room for so many
    pub fn count(&mut self, each: usize, what: &'static str) -> Result<usize, Malformed> {
        let count = self.u32(what)? as usize;
        match count.checked_mul(each) {
            Some(bytes) if bytes <= self.bytes.len() - self.at => Ok(count),
            _ => Err(Malformed::CutOff { what, at: self.at }),
        }
    }

    /// Reads a run of at most `max` bytes.
    ///
    /// # Errors
    /// - [`Malformed::CutOff`]; [`Malformed::Wrong`]: it is longer
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let count = self.u32(what)? as usize;
        if count > max {
            return Err(self.wrong(what));
        }
        self.take(count, what)
    }

    /// Reads a run of at most `max` bytes that are UTF-8.
    ///
    /// # Errors
    /// As [`Decoder::bytes`].
    pub fn text(&mut self, max: usize, what: &'static str) -> Result<&'a str, Malformed> {
        let bytes = self.bytes(max, what)?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong(what))
    }

    /// Ends: nothing may be left.
    ///
    /// # Errors
    /// - [`Malformed::Behind`]
    pub fn finish(self) -> Result<(), Malformed> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            more => Err(Malformed::Behind(more)),
        }
    }
}
