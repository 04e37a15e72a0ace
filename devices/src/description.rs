//! What there is to say of a device, as constants: its place, its terms, what it needs of a machine.
//!
//! Each device says it in `device.json` of its folder, from which `scripts/devices.mjs` writes [`registry`](crate::registry), the grants' types of
//! TypeScript, the forms of the demo page, the schema of manifests and the tables of the documents. A program has of it what it uses: the kernel
//! of a page has none of the sentences.

use std::sync::Arc;

use capfs::account::Account;

use crate::random::Entropy;

/// What every host has for a device: one that needs no more is made alike by all of them, by `build` of its module.
pub struct Parts {
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// What the device holds is charged to this.
    pub account: Account,
}

/// A device.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// What it is, in a few words.
    pub about: &'static str,
    /// The terms that it knows, without `at`, which every device has.
    pub terms: &'static [Term],
}

/// A term of a device.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// Its key.
    pub key: &'static str,
    /// What its value is, as help texts have it: `SIZE`.
    pub value: &'static str,
    /// The values that there are, where they can be listed.
    pub choices: &'static [&'static str],
    /// A value that it can have.
    pub example: &'static str,
    /// What it means, in sentences.
    pub about: &'static str,
    /// Whether it may be there several times.
    pub many: bool,
    /// Whether there is no device without it.
    pub needed: bool,
}

/// What a device needs of a machine to be there at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing that a machine could lack.
    Nothing,
    /// A folder to keep things in; the text says so where there is none.
    State(&'static str),
    /// A console; likewise.
    Terminal(&'static str),
    /// A page, which no machine is; the text says so.
    Page(&'static str),
}
