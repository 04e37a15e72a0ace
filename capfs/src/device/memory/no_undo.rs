//! A file system without checkpoints keeps nothing (see `undo.rs`).

use super::content::Content;
use super::inode::{Inode, State};

use super::quota::Quota;
use crate::{Errno, Name};

/// Nothing is kept.
#[derive(Default)]
pub(super) struct Undo {}

impl Undo {
    pub(super) const fn begins(&self) {}

    pub(super) const fn ends(&self, _number: u64) {}
}

impl Inode {
    pub(super) const fn keep(&self, _state: &mut State) -> Result<(), Errno> {
        Ok(())
    }

    pub(super) const fn keep_unlocked(&self) -> Result<(), Errno> {
        Ok(())
    }

    pub(super) const fn keep_name(&self, _state: &mut State, _name: Name<'_>) -> Result<(), Errno> {
        Ok(())
    }

    pub(super) const fn keep_name_unlocked(&self, _name: Name<'_>) -> Result<(), Errno> {
        Ok(())
    }
}

impl Content {
    pub(super) const fn held(&self) -> u64 {
        0
    }

    pub(super) const fn keep(&mut self, _quota: &Quota, _index: usize) -> Result<(), Errno> {
        Ok(())
    }

    pub(super) const fn keep_cut(&mut self, _quota: &Quota, _first: usize) -> Result<(), Errno> {
        Ok(())
    }

    pub(super) fn cut_table(&mut self, quota: &Quota, entries: usize) {
        self.shrink_table(quota, entries);
    }
}
