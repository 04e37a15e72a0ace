//! Errors of the operating system as a guest sees them.

use std::io;

use capfs::Errno;
use rustix::io::Errno as Os;

/// Maps an error; what has no counterpart is `EIO`.
pub(crate) fn errno(error: io::Error) -> Errno {
    let Some(os) = Os::from_io_error(&error) else {
        return match error.kind() {
            // cap-std's own refusals carry no number of the system.
            io::ErrorKind::PermissionDenied => Errno::Notcapable,
            io::ErrorKind::NotFound => Errno::Noent,
            io::ErrorKind::AlreadyExists => Errno::Exist,
            io::ErrorKind::InvalidInput => Errno::Inval,
            _ => Errno::Io,
        };
    };
    match os {
        Os::ACCESS => Errno::Acces,
        Os::AGAIN => Errno::Again,
        Os::BADF => Errno::Badf,
        Os::BUSY => Errno::Busy,
        Os::DQUOT => Errno::Dquot,
        Os::EXIST => Errno::Exist,
        Os::FBIG => Errno::Fbig,
        Os::ILSEQ => Errno::Ilseq,
        Os::INTR => Errno::Intr,
        Os::INVAL => Errno::Inval,
        Os::ISDIR => Errno::Isdir,
        Os::LOOP => Errno::Loop,
        Os::MFILE => Errno::Mfile,
        Os::MLINK => Errno::Mlink,
        Os::NAMETOOLONG => Errno::Nametoolong,
        Os::NFILE => Errno::Nfile,
        Os::NODEV => Errno::Nodev,
        Os::NOENT => Errno::Noent,
        Os::NOMEM => Errno::Nomem,
        Os::NOSPC => Errno::Nospc,
        Os::NOTDIR => Errno::Notdir,
        Os::NOTEMPTY => Errno::Notempty,
        Os::NOTSUP => Errno::Notsup,
        Os::NXIO => Errno::Nxio,
        Os::OVERFLOW => Errno::Overflow,
        Os::PERM => Errno::Perm,
        // Standard output may be a socket, and its other end closed with bytes unread: to a guest that
        // is the same as a pipe that nobody reads.
        Os::PIPE | Os::CONNRESET => Errno::Pipe,
        Os::ROFS => Errno::Rofs,
        Os::SPIPE => Errno::Spipe,
        Os::TXTBSY => Errno::Txtbsy,
        Os::XDEV => Errno::Xdev,
        _ => Errno::Io,
    }
}
