//! What a mount allows.

bitflags::bitflags! {
    /// What may be done with the files behind a mount. Rights only ever narrow: a bind takes the
    /// intersection of what it asks for and what its source has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Rights: u8 {
        /// Read contents, list directories, read links.
        const READ = 1;
        /// Change contents, sizes and times of files that exist.
        const WRITE = 1 << 1;
        /// Make names: create, mkdir, symlink, link, the target of a rename.
        const CREATE = 1 << 2;
        /// Take names away: unlink, rmdir, the source of a rename, a rename's victim.
        const REMOVE = 1 << 3;
    }
}

impl Rights {
    /// Reading alone.
    pub const RO: Rights = Rights::READ;
    /// Everything.
    pub const RW: Rights = Rights::all();
}
