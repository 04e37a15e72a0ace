//! What the guests share: short safe forms of the raw WASI calls, and one way to print an outcome.
//!
//! A guest's standard output is its transcript: it must be the same on every host, so it never holds
//! an inode number, a device number, a time or an order that the standard leaves open.

use std::fmt::Debug;

pub mod conversation;

pub use wasip1 as wasi;
use wasip1::{Errno, Fd, Rights};

/// The descriptor of the first mount of a case: preopens follow the three standard streams.
pub const FIRST: Fd = 3;
/// The descriptor of the second mount of a case.
pub const SECOND: Fd = 4;

/// What a plain read-only file handle asks for.
pub const READ: Rights = wasi::RIGHTS_FD_READ
    | wasi::RIGHTS_FD_SEEK
    | wasi::RIGHTS_FD_TELL
    | wasi::RIGHTS_FD_FILESTAT_GET
    | wasi::RIGHTS_FD_ADVISE
    | wasi::RIGHTS_POLL_FD_READWRITE;
/// What a plain read-write file handle asks for.
pub const READ_WRITE: Rights = READ
    | wasi::RIGHTS_FD_WRITE
    | wasi::RIGHTS_FD_ALLOCATE
    | wasi::RIGHTS_FD_DATASYNC
    | wasi::RIGHTS_FD_SYNC
    | wasi::RIGHTS_FD_FDSTAT_SET_FLAGS
    | wasi::RIGHTS_FD_FILESTAT_SET_SIZE
    | wasi::RIGHTS_FD_FILESTAT_SET_TIMES;
/// What a directory handle asks for that is used like a preopened one.
pub const DIRECTORY: Rights = wasi::RIGHTS_FD_READDIR
    | wasi::RIGHTS_FD_FILESTAT_GET
    | wasi::RIGHTS_PATH_OPEN
    | wasi::RIGHTS_PATH_CREATE_FILE
    | wasi::RIGHTS_PATH_CREATE_DIRECTORY
    | wasi::RIGHTS_PATH_FILESTAT_GET
    | wasi::RIGHTS_PATH_FILESTAT_SET_SIZE
    | wasi::RIGHTS_PATH_FILESTAT_SET_TIMES
    | wasi::RIGHTS_PATH_LINK_SOURCE
    | wasi::RIGHTS_PATH_LINK_TARGET
    | wasi::RIGHTS_PATH_READLINK
    | wasi::RIGHTS_PATH_REMOVE_DIRECTORY
    | wasi::RIGHTS_PATH_RENAME_SOURCE
    | wasi::RIGHTS_PATH_RENAME_TARGET
    | wasi::RIGHTS_PATH_SYMLINK
    | wasi::RIGHTS_PATH_UNLINK_FILE;

/// Creates the file if it is missing, empties it if not.
pub const CREATE: u16 = wasi::OFLAGS_CREAT | wasi::OFLAGS_TRUNC;
/// Follows a symbolic link at the end of a path.
pub const FOLLOW: u32 = wasi::LOOKUPFLAGS_SYMLINK_FOLLOW;

/// Prints `what: ok`, `what: ok VALUE` or `what: ERRNO`, and hands the outcome on.
pub fn show<T: Debug>(what: &str, outcome: Result<T, Errno>) -> Result<T, Errno> {
    match &outcome {
        Ok(value) => match format!("{value:?}").as_str() {
            "()" => println!("{what}: ok"),
            text => println!("{what}: ok {text}"),
        },
        Err(errno) => println!("{what}: {}", errno.name()),
    }
    outcome
}

/// The name of a raw call's result: `SUCCESS` or the errno.
pub fn code_name(code: i32) -> &'static str {
    const NAMES: [&str; 77] = [
        "SUCCESS", "2BIG", "ACCES", "ADDRINUSE", "ADDRNOTAVAIL", "AFNOSUPPORT", "AGAIN", "ALREADY",
        "BADF", "BADMSG", "BUSY", "CANCELED", "CHILD", "CONNABORTED", "CONNREFUSED", "CONNRESET",
        "DEADLK", "DESTADDRREQ", "DOM", "DQUOT", "EXIST", "FAULT", "FBIG", "HOSTUNREACH", "IDRM",
        "ILSEQ", "INPROGRESS", "INTR", "INVAL", "IO", "ISCONN", "ISDIR", "LOOP", "MFILE", "MLINK",
        "MSGSIZE", "MULTIHOP", "NAMETOOLONG", "NETDOWN", "NETRESET", "NETUNREACH", "NFILE",
        "NOBUFS", "NODEV", "NOENT", "NOEXEC", "NOLCK", "NOLINK", "NOMEM", "NOMSG", "NOPROTOOPT",
        "NOSPC", "NOSYS", "NOTCONN", "NOTDIR", "NOTEMPTY", "NOTRECOVERABLE", "NOTSOCK", "NOTSUP",
        "NOTTY", "NXIO", "OVERFLOW", "OWNERDEAD", "PERM", "PIPE", "PROTO", "PROTONOSUPPORT",
        "PROTOTYPE", "RANGE", "ROFS", "SPIPE", "SRCH", "STALE", "TIMEDOUT", "TXTBSY", "XDEV",
        "NOTCAPABLE",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("no errno")
}

/// Opens without following a link at the end; a directory gives its children all rights.
pub fn open(dir: Fd, path: &str, oflags: u16, rights: Rights) -> Result<Fd, Errno> {
    open_with(dir, 0, path, oflags, rights, 0)
}

/// Opens with lookup flags and descriptor flags.
pub fn open_with(
    dir: Fd,
    lookup: u32,
    path: &str,
    oflags: u16,
    rights: Rights,
    fdflags: u16,
) -> Result<Fd, Errno> {
    let inheriting = if rights & wasi::RIGHTS_PATH_OPEN == 0 { 0 } else { READ_WRITE | DIRECTORY };
    // SAFETY: the path is a valid slice, and the result is written to the wrapper's own stack.
    unsafe { wasi::path_open(dir, lookup, path, oflags, rights, inheriting, fdflags) }
}

/// Opens a directory with every right of a directory.
pub fn open_directory(dir: Fd, path: &str) -> Result<Fd, Errno> {
    open(dir, path, wasi::OFLAGS_DIRECTORY, DIRECTORY)
}

/// Closes a descriptor.
pub fn close(fd: Fd) -> Result<(), Errno> {
    // SAFETY: a number is all that is passed.
    unsafe { wasi::fd_close(fd) }
}

/// Reads up to `length` bytes at the handle's offset, as text.
pub fn read(fd: Fd, length: usize) -> Result<String, Errno> {
    let mut buffer = vec![0; length];
    let iovec = wasi::Iovec { buf: buffer.as_mut_ptr(), buf_len: length };
    // SAFETY: the vector's buffer lives across the call.
    let count = unsafe { wasi::fd_read(fd, &[iovec])? };
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

/// Reads up to `length` bytes at `offset`, as text.
pub fn read_at(fd: Fd, length: usize, offset: u64) -> Result<String, Errno> {
    let mut buffer = vec![0; length];
    let iovec = wasi::Iovec { buf: buffer.as_mut_ptr(), buf_len: length };
    // SAFETY: the vector's buffer lives across the call.
    let count = unsafe { wasi::fd_pread(fd, &[iovec], offset)? };
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

/// Writes at the handle's offset and returns the count.
pub fn write(fd: Fd, bytes: &[u8]) -> Result<usize, Errno> {
    let iovec = wasi::Ciovec { buf: bytes.as_ptr(), buf_len: bytes.len() };
    // SAFETY: the slice lives across the call.
    unsafe { wasi::fd_write(fd, &[iovec]) }
}

/// Writes at `offset` and returns the count.
pub fn write_at(fd: Fd, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
    let iovec = wasi::Ciovec { buf: bytes.as_ptr(), buf_len: bytes.len() };
    // SAFETY: the slice lives across the call.
    unsafe { wasi::fd_pwrite(fd, &[iovec], offset) }
}

/// Moves the handle's offset and returns the new one.
pub fn seek(fd: Fd, offset: i64, whence: wasi::Whence) -> Result<u64, Errno> {
    // SAFETY: the result is written to the wrapper's own stack.
    unsafe { wasi::fd_seek(fd, offset, whence) }
}

/// The attributes of an open file.
pub fn stat(fd: Fd) -> Result<wasi::Filestat, Errno> {
    // SAFETY: the result is written to the wrapper's own stack.
    unsafe { wasi::fd_filestat_get(fd) }
}

/// The attributes of a path; `lookup` is 0 or [`FOLLOW`].
pub fn stat_path(dir: Fd, lookup: u32, path: &str) -> Result<wasi::Filestat, Errno> {
    // SAFETY: the result is written to the wrapper's own stack.
    unsafe { wasi::path_filestat_get(dir, lookup, path) }
}

/// Makes a directory.
pub fn make_directory(dir: Fd, path: &str) -> Result<(), Errno> {
    // SAFETY: the path is a valid slice.
    unsafe { wasi::path_create_directory(dir, path) }
}

/// Removes an empty directory.
pub fn remove_directory(dir: Fd, path: &str) -> Result<(), Errno> {
    // SAFETY: the path is a valid slice.
    unsafe { wasi::path_remove_directory(dir, path) }
}

/// Removes a file or a link.
pub fn unlink(dir: Fd, path: &str) -> Result<(), Errno> {
    // SAFETY: the path is a valid slice.
    unsafe { wasi::path_unlink_file(dir, path) }
}

/// Renames within one directory handle.
pub fn rename(dir: Fd, old: &str, new: &str) -> Result<(), Errno> {
    rename_across(dir, old, dir, new)
}

/// Renames between two directory handles.
pub fn rename_across(old_dir: Fd, old: &str, new_dir: Fd, new: &str) -> Result<(), Errno> {
    // SAFETY: the paths are valid slices.
    unsafe { wasi::path_rename(old_dir, old, new_dir, new) }
}

/// Makes a symbolic link `path` that says `target`.
pub fn symlink(target: &str, dir: Fd, path: &str) -> Result<(), Errno> {
    // SAFETY: the paths are valid slices.
    unsafe { wasi::path_symlink(target, dir, path) }
}

/// Makes a second name for a file within one directory handle.
pub fn link(dir: Fd, old: &str, new: &str) -> Result<(), Errno> {
    // SAFETY: the paths are valid slices.
    unsafe { wasi::path_link(dir, 0, old, dir, new) }
}

/// What a symbolic link says, cut to `length` bytes.
pub fn read_link(dir: Fd, path: &str, length: usize) -> Result<String, Errno> {
    let mut buffer = vec![0; length];
    // SAFETY: the buffer lives across the call and is `length` bytes long.
    let count = unsafe { wasi::path_readlink(dir, path, buffer.as_mut_ptr(), length)? };
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

/// Makes a file with the given contents.
pub fn make_file(dir: Fd, path: &str, contents: &[u8]) -> Result<(), Errno> {
    let fd = open(dir, path, CREATE, READ_WRITE)?;
    let mut rest = contents;
    while !rest.is_empty() {
        rest = &rest[write(fd, rest)?..];
    }
    close(fd)
}

/// The first 4,096 bytes of a file, as text.
pub fn contents(dir: Fd, path: &str) -> Result<String, Errno> {
    let fd = open_with(dir, FOLLOW, path, 0, READ, 0)?;
    let text = read(fd, 4096);
    close(fd)?;
    text
}

/// The word for a file type.
pub fn type_name(filetype: wasi::Filetype) -> &'static str {
    filetype.name()
}

/// One entry of a directory as `fd_readdir` writes it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The cookie with which to go on after this entry.
    pub next: u64,
    /// The inode's number.
    pub inode: u64,
    /// The file type, numbered as in `filetype`.
    pub filetype: u8,
    /// The name.
    pub name: String,
}

/// One `fd_readdir` call: the whole entries in the buffer, and how many bytes of it were used.
pub fn read_entries(fd: Fd, length: usize, cookie: u64) -> Result<(Vec<Entry>, usize), Errno> {
    const HEADER: usize = 24;
    let mut buffer = vec![0; length];
    // SAFETY: the buffer lives across the call and is `length` bytes long.
    let used = unsafe { wasi::fd_readdir(fd, buffer.as_mut_ptr(), length, cookie)? };
    let mut entries = Vec::new();
    let mut rest = &buffer[..used];
    while rest.len() >= HEADER {
        let name_length = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
        if rest.len() < HEADER + name_length {
            break;
        }
        entries.push(Entry {
            next: u64::from_le_bytes(rest[0..8].try_into().unwrap()),
            inode: u64::from_le_bytes(rest[8..16].try_into().unwrap()),
            filetype: rest[20],
            name: String::from_utf8_lossy(&rest[HEADER..HEADER + name_length]).into_owned(),
        });
        rest = &rest[HEADER + name_length..];
    }
    Ok((entries, used))
}

/// All entries of a directory but `.` and `..`, by name, read with buffers of `length` bytes.
pub fn list(fd: Fd, length: usize) -> Result<Vec<Entry>, Errno> {
    let mut all = Vec::new();
    let mut cookie = 0;
    loop {
        let (entries, used) = read_entries(fd, length, cookie)?;
        let Some(last) = entries.last() else {
            break;
        };
        cookie = last.next;
        all.extend(entries.into_iter().filter(|entry| entry.name != "." && entry.name != ".."));
        if used < length {
            break;
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The names of [`list`].
pub fn names(fd: Fd) -> Result<Vec<String>, Errno> {
    Ok(list(fd, 4096)?.into_iter().map(|entry| entry.name).collect())
}
