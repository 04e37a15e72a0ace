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
        Os::CONNABORTED => Errno::Connaborted,
        Os::CONNRESET => Errno::Connreset,
        Os::DQUOT => Errno::Dquot,
        Os::EXIST => Errno::Exist,
        Os::FBIG => Errno::Fbig,
        Os::HOSTUNREACH => Errno::Hostunreach,
        Os::ILSEQ => Errno::Ilseq,
        Os::INTR => Errno::Intr,
        Os::INVAL => Errno::Inval,
        Os::ISDIR => Errno::Isdir,
        Os::LOOP => Errno::Loop,
        Os::MFILE => Errno::Mfile,
        Os::MLINK => Errno::Mlink,
        Os::NAMETOOLONG => Errno::Nametoolong,
        Os::NETDOWN => Errno::Netdown,
        Os::NETUNREACH => Errno::Netunreach,
        Os::NFILE => Errno::Nfile,
        Os::NOBUFS => Errno::Nobufs,
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
        Os::NOTCONN => Errno::Notconn,
        Os::PIPE => Errno::Pipe,
        Os::ROFS => Errno::Rofs,
        Os::SPIPE => Errno::Spipe,
        Os::TIMEDOUT => Errno::Timedout,
        Os::TXTBSY => Errno::Txtbsy,
        Os::XDEV => Errno::Xdev,
        _ => Errno::Io,
    }
}
