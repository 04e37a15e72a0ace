//! What a host does for the device: one ordered map of bytes, with transactions.

use capfs::account::{Account, Charge, Holding};
use capfs::{MaybeSend, MaybeSync};

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

/// Bytes that a key is charged beside itself while it is held.
const KEY: usize = size_of::<Vec<u8>>() + 16;

/// Something that was read, and what it is charged by.
#[derive(Debug)]
pub struct Held<T> {
    /// What was read.
    pub what: T,
    /// Charged before it was.
    pub charge: Charge,
}

/// Charges what a host reads to an account, each thing before it is held.
#[derive(Debug)]
pub struct Reading(Charge);

impl Reading {
    /// Nothing yet.
    pub fn new(account: &Account) -> Reading {
        Reading(account.nothing(Holding::Descriptors))
    }

    /// A value of so many bytes is about to be held.
    ///
    /// # Errors
    /// `ENOMEM`: the account has no room for it
    pub fn value(&mut self, bytes: usize) -> Result<(), Failure> {
        let charged = self.0.grow(bytes as u64);
        charged.map_err(|errno| Failure::new(errno, "the agent may not hold the value"))
    }

    /// A key of so many bytes is about to be held.
    ///
    /// # Errors
    /// `ENOMEM`: the account has no room for it
    pub fn key(&mut self, bytes: usize) -> Result<(), Failure> {
        let charged = self.0.grow((KEY + bytes) as u64);
        charged.map_err(|errno| Failure::new(errno, "the agent may not hold so many keys"))
    }

    /// What was read, with the charge for it.
    pub fn held<T>(self, what: T) -> Held<T> {
        Held {
            what,
            charge: self.0,
        }
    }
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

/// An agent's own map from bytes to bytes, ordered by keys as unsigned bytes, that lasts. What is read of it is charged to the account of
/// whoever asks, by [`Reading`], before it is held.
///
/// # Errors
/// Each answers
/// - `ENOMEM`: the account has no room for what is read
/// - `EIO`: the host's store fails
/// - `ENOSPC`, `EDQUOT`: no room
/// - `EBUSY`: somebody else holds the store for longer than the host waits
pub trait Space: MaybeSend + MaybeSync + 'static {
    /// The value of a key.
    fn get(&self, key: Vec<u8>, account: &Account) -> Answer<Option<Held<Vec<u8>>>>;

    /// How many bytes the value of a key has.
    fn size(&self, key: Vec<u8>) -> Answer<Option<u64>>;

    /// Up to `limit` keys from `low` to before `high`, in order, or against it with `reverse`.
    fn keys(
        &self,
        low: Vec<u8>,
        high: Vec<u8>,
        limit: usize,
        reverse: bool,
        account: &Account,
    ) -> Answer<Held<Vec<Vec<u8>>>>;

    /// How many keys there are from `low` to before `high`.
    fn count(&self, low: Vec<u8>, high: Vec<u8>) -> Answer<u64>;

    /// Reads keys and changes what is decided, in one transaction that no other comes in between of. It has been
    /// committed when the answer comes; if anything fails, nothing has changed. The values are charged until then.
    fn update(&self, reads: Vec<Vec<u8>>, account: &Account, decide: Box<dyn Decide>)
    -> Answer<()>;
}
