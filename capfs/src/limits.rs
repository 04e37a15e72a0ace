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

/// Operations in the list of a namespace: what was ever mounted, bound and unmounted there. A host decides them, on behalf of a manifest or of an
/// agent that starts a task; the bound is four times that of mount points, for unions.
pub const NAMESPACE_ENTRIES_MAX: usize = 4 * MOUNTS_MAX;

/// Bytes in the name of a device: its kind, a colon, and a path.
pub const DEVICE_ID_MAX: usize = NAME_MAX + 1 + PATH_MAX;

/// Bytes in a line of the text of a namespace's list: a device and two paths, each byte of which takes four, and options.
pub const NAMESPACE_LINE_MAX: usize = 4 * (DEVICE_ID_MAX + 2 * PATH_MAX) + NAME_MAX;

/// Names of members that one listing of a union remembers, at 8 to 34 bytes each, which are charged to the namespace's account. Beyond it
/// the listing asks the members about every name, which is slower and shows the same.
pub const UNION_NAMES_MAX: usize = 1 << 17;

/// Listings of unions that remember names at once, in a namespace and its clones; others ask the members. Together they
/// hold some 16 MiB at most, however many directories a guest keeps open half read.
pub const UNION_LISTINGS_MAX: usize = 4;

/// Devices that lie two namespaces or more behind a view, such as what a child's child sees of its grandparent's mounts. A
/// file of one more can't be told from others and is `EOVERFLOW`. It bounds what the numbers of such devices take.
pub const VIEW_DEVICES_MAX: usize = 1 << 16;

/// Bytes of a [`Handle`](crate::Handle): a path of [`PATH_MAX`] bytes and some beside it, as the operating system's `name_to_handle_at` has at most 128.
pub const HANDLE_MAX: usize = PATH_MAX + 128;

/// Bytes that are kept of an open file beside its handle. A file that would need more is stale once its process is thawed.
pub const SAVED_STATE_MAX: usize = 64 << 10;
