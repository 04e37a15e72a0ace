//! A volume without checkpoints keeps nothing (see `undo.rs`).

use capfs::Errno;

use crate::inode::Inode;
use crate::state::State;

impl State {
    pub const fn is_kept(&self) -> bool {
        false
    }

    pub const fn changeable(&self) -> Result<(), Errno> {
        Ok(())
    }

    pub const fn keep(&mut self, _number: u64) {}

    pub const fn keep_name(&mut self, _directory: u64, _name: &str) {}

    pub const fn keep_blocks(&mut self, _number: u64, _block: u32, _length: u32) {}

    pub const fn keep_made(&mut self, _number: u64) {}

    pub fn keep_gone(&mut self, _number: u64, _inode: Inode) {}

    pub const fn abandon_checkpoint(&mut self) {}
}
