//! Named limits of the file layer. Each says its unit, its reason and who could abuse it.

/// Bytes in one name. POSIX `NAME_MAX`; a guest could otherwise make directories whose listing
/// does not fit into any buffer.
pub const NAME_MAX: usize = 255;

/// Bytes in one path. POSIX `PATH_MAX`; bounds what one call can make the walker do.
pub const PATH_MAX: usize = 4096;

/// Symbolic links followed in one walk before `ELOOP`, as Linux does (path_resolution(7)).
pub const SYMLINK_MAX: usize = 40;

/// Bytes in the target of a symbolic link: it must be a path.
pub const SYMLINK_TARGET_MAX: usize = PATH_MAX;

/// Directories in one union. A union is searched in order, so its length is the price of a miss.
pub const UNION_MAX: usize = 32;

/// Mount points in one namespace. A namespace is copied when it is changed.
pub const MOUNTS_MAX: usize = 1024;
