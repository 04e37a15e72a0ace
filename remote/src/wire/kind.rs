//! What a frame says that it is.

use capfs::{NAME_MAX, SYMLINK_TARGET_MAX};

use super::bytes::ENTRY_HEAD;
use super::{READ_MAX, WireError};

/// Makes the kinds of requests, each with its number.
macro_rules! kinds {
    ($($kind:ident = $number:literal,)*) => {
        /// Which request: the type of its frame. It is 9P2000.L's where that has the like, and from 200 on where it has not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "see `Request`")]
        #[repr(u8)]
        pub enum Kind {
            $($kind = $number,)*
        }

        impl Kind {
            /// The one of this number.
            ///
            /// # Errors
            /// [`WireError::Type`]: there is none
            pub fn of(number: u8) -> Result<Kind, WireError> {
                match number {
                    $($number => Ok(Kind::$kind),)*
                    _ => Err(WireError::Type(number)),
                }
            }
        }
    };
}

kinds! {
    Open = 12,
    Create = 14,
    Symlink = 16,
    ReadLink = 22,
    GetAttr = 24,
    SetAttr = 26,
    ReadDir = 40,
    Sync = 50,
    Link = 70,
    MakeDirectory = 72,
    Rename = 74,
    Unlink = 76,
    Attach = 104,
    Flush = 108,
    Walk = 110,
    Read = 116,
    Write = 118,
    Clunk = 120,
    Ready = 200,
    Allocate = 202,
    WriteAll = 204,
    Finish = 206,
    Revoke = 208,
}

impl Kind {
    /// The type of the frame that answers it.
    pub fn answer(self) -> u8 {
        self as u8 + 1
    }
}

/// `Rlerror`: answers whatever was asked.
pub(crate) const ERROR: u8 = 7;

/// What the open file stands for has changed: comes in front of the answer with the same tag.
pub(crate) const SUBJECT: u8 = 210;

/// What an answer has to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What was asked for.
    pub kind: Kind,
    /// How much of it, at most: bytes of a read or a write, entries, or names of a walk.
    pub most: usize,
    /// The cookie behind which entries are.
    pub behind: u64,
}

impl Asked {
    /// Bytes that its answer takes, where that may be many.
    pub(crate) fn room(self) -> u64 {
        let bytes = match self.kind {
            Kind::Read => READ_MAX.min(self.most),
            Kind::ReadDir => READ_MAX.min(self.most.saturating_mul(ENTRY_HEAD + NAME_MAX)),
            Kind::ReadLink => SYMLINK_TARGET_MAX,
            _ => 0,
        };
        bytes as u64
    }
}
