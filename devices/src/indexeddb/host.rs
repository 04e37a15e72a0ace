//! What a host does for the device: one ordered map of bytes, with transactions.

use capfs::{BoxedFuture, Errno, MaybeSend, MaybeSync};

pub use crate::answer::{Answer, Failure};

/// A change of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the value of a key.
    Put(Vec<u8>, Vec<u8>),
    /// Takes a key away, if it is there.
    Delete(Vec<u8>),
    /// Takes away all keys from the first to before the second.
    DeleteRange(Vec<u8>, Vec<u8>),
}

/// What makes changes of what a transaction has read; a closure is one. It is called once, within the transaction.
pub trait Decide: MaybeSend {
    /// Takes the values that were read, in their order, and says what is to be changed.
    ///
    /// # Errors
    /// Why nothing is to be changed.
    fn decide(self: Box<Self>, values: Vec<Option<Vec<u8>>>) -> Result<Vec<Change>, Failure>;
}

impl<F> Decide for F
where
    F: FnOnce(Vec<Option<Vec<u8>>>) -> Result<Vec<Change>, Failure> + MaybeSend,
{
    fn decide(self: Box<Self>, values: Vec<Option<Vec<u8>>>) -> Result<Vec<Change>, Failure> {
        self(values)
    }
}

/// An agent's own map from bytes to bytes, ordered by keys as unsigned bytes, that lasts.
///
/// # Errors
/// Each answers
/// - `EIO`: the host's store fails
/// - `ENOSPC`, `EDQUOT`: no room
/// - `EBUSY`: somebody else holds the store for longer than the host waits
pub trait Space: MaybeSend + MaybeSync + 'static {
    /// The value of a key.
    fn get(&self, key: Vec<u8>) -> Answer<Option<Vec<u8>>>;

    /// Up to `limit` keys from `low` to before `high`, in order, or against it with `reverse`.
    fn keys(
        &self,
        low: Vec<u8>,
        high: Vec<u8>,
        limit: usize,
        reverse: bool,
    ) -> Answer<Vec<Vec<u8>>>;

    /// How many keys there are from `low` to before `high`.
    fn count(&self, low: Vec<u8>, high: Vec<u8>) -> Answer<u64>;

    /// Reads keys and changes what is decided, in one transaction that no other comes in between of. It has been
    /// committed when the answer comes; if anything fails, nothing has changed.
    fn update(&self, reads: Vec<Vec<u8>>, decide: Box<dyn Decide>) -> Answer<()>;

    /// Goes on with something that nobody waits for.
    fn detach(&self, future: BoxedFuture<Result<(), Errno>>);
}
