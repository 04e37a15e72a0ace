//! The errors that a guest can see.

macro_rules! errnos {
    ($($variant:ident = $code:literal, $name:literal, $text:literal;)*) => {
        /// An error as a guest sees it, numbered as in WASI preview 1 (`errno` in
        /// [the witx](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/witx/typenames.witx)).
        ///
        /// Success is not an error and has no variant: a call's outcome is a `Result<_, Errno>`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Errno {
            $(#[doc = $text] $variant = $code,)*
        }

        impl Errno {
            /// Every error, in the order of their codes.
            pub const ALL: &'static [Errno] = &[$(Errno::$variant),*];

            /// The symbolic name as C spells it, such as `ENOENT`.
            pub const fn name(self) -> &'static str {
                match self { $(Errno::$variant => $name,)* }
            }

            /// A short description in English.
            pub const fn text(self) -> &'static str {
                match self { $(Errno::$variant => $text,)* }
            }
        }
    };
}

errnos! {
    TooBig = 1, "E2BIG", "argument list too long";
    Acces = 2, "EACCES", "permission denied";
    Addrinuse = 3, "EADDRINUSE", "address in use";
    Addrnotavail = 4, "EADDRNOTAVAIL", "address not available";
    Afnosupport = 5, "EAFNOSUPPORT", "address family not supported";
    Again = 6, "EAGAIN", "resource unavailable, or operation would block";
    Already = 7, "EALREADY", "connection already in progress";
    Badf = 8, "EBADF", "bad file descriptor";
    Badmsg = 9, "EBADMSG", "bad message";
    Busy = 10, "EBUSY", "device or resource busy";
    Canceled = 11, "ECANCELED", "operation canceled";
    Child = 12, "ECHILD", "no child processes";
    Connaborted = 13, "ECONNABORTED", "connection aborted";
    Connrefused = 14, "ECONNREFUSED", "connection refused";
    Connreset = 15, "ECONNRESET", "connection reset";
    Deadlk = 16, "EDEADLK", "resource deadlock would occur";
    Destaddrreq = 17, "EDESTADDRREQ", "destination address required";
    Dom = 18, "EDOM", "mathematics argument out of domain of function";
    Dquot = 19, "EDQUOT", "disk quota exceeded";
    Exist = 20, "EEXIST", "file exists";
    Fault = 21, "EFAULT", "bad address";
    Fbig = 22, "EFBIG", "file too large";
    Hostunreach = 23, "EHOSTUNREACH", "host is unreachable";
    Idrm = 24, "EIDRM", "identifier removed";
    Ilseq = 25, "EILSEQ", "illegal byte sequence";
    Inprogress = 26, "EINPROGRESS", "operation in progress";
    Intr = 27, "EINTR", "interrupted function";
    Inval = 28, "EINVAL", "invalid argument";
    Io = 29, "EIO", "input/output error";
    Isconn = 30, "EISCONN", "socket is connected";
    Isdir = 31, "EISDIR", "is a directory";
    Loop = 32, "ELOOP", "too many levels of symbolic links";
    Mfile = 33, "EMFILE", "file descriptor value too large";
    Mlink = 34, "EMLINK", "too many links";
    Msgsize = 35, "EMSGSIZE", "message too large";
    Multihop = 36, "EMULTIHOP", "reserved (multihop)";
    Nametoolong = 37, "ENAMETOOLONG", "filename too long";
    Netdown = 38, "ENETDOWN", "network is down";
    Netreset = 39, "ENETRESET", "connection aborted by network";
    Netunreach = 40, "ENETUNREACH", "network unreachable";
    Nfile = 41, "ENFILE", "too many files open in system";
    Nobufs = 42, "ENOBUFS", "no buffer space available";
    Nodev = 43, "ENODEV", "no such device";
    Noent = 44, "ENOENT", "no such file or directory";
    Noexec = 45, "ENOEXEC", "executable file format error";
    Nolck = 46, "ENOLCK", "no locks available";
    Nolink = 47, "ENOLINK", "reserved (nolink)";
    Nomem = 48, "ENOMEM", "not enough space";
    Nomsg = 49, "ENOMSG", "no message of the desired type";
    Noprotoopt = 50, "ENOPROTOOPT", "protocol not available";
    Nospc = 51, "ENOSPC", "no space left on device";
    Nosys = 52, "ENOSYS", "function not supported";
    Notconn = 53, "ENOTCONN", "the socket is not connected";
    Notdir = 54, "ENOTDIR", "not a directory or a symbolic link to a directory";
    Notempty = 55, "ENOTEMPTY", "directory not empty";
    Notrecoverable = 56, "ENOTRECOVERABLE", "state not recoverable";
    Notsock = 57, "ENOTSOCK", "not a socket";
    Notsup = 58, "ENOTSUP", "not supported, or operation not supported on socket";
    Notty = 59, "ENOTTY", "inappropriate I/O control operation";
    Nxio = 60, "ENXIO", "no such device or address";
    Overflow = 61, "EOVERFLOW", "value too large to be stored in data type";
    Ownerdead = 62, "EOWNERDEAD", "previous owner died";
    Perm = 63, "EPERM", "operation not permitted";
    Pipe = 64, "EPIPE", "broken pipe";
    Proto = 65, "EPROTO", "protocol error";
    Protonosupport = 66, "EPROTONOSUPPORT", "protocol not supported";
    Prototype = 67, "EPROTOTYPE", "protocol wrong type for socket";
    Range = 68, "ERANGE", "result too large";
    Rofs = 69, "EROFS", "read-only file system";
    Spipe = 70, "ESPIPE", "invalid seek";
    Srch = 71, "ESRCH", "no such process";
    Stale = 72, "ESTALE", "reserved (stale)";
    Timedout = 73, "ETIMEDOUT", "connection timed out";
    Txtbsy = 74, "ETXTBSY", "text file busy";
    Xdev = 75, "EXDEV", "cross-device link";
    Notcapable = 76, "ENOTCAPABLE", "capabilities insufficient";
}

impl Errno {
    /// The code that a guest receives: 1 to 76.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The error with this code, if there is one.
    pub fn from_code(code: u16) -> Option<Errno> {
        Errno::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.text(), self.name())
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn codes_are_dense_and_survive_a_round_trip() {
        for (index, errno) in Errno::ALL.iter().enumerate() {
            assert_eq!(usize::from(errno.code()), index + 1);
            assert_eq!(Errno::from_code(errno.code()), Some(*errno));
        }
        assert_eq!(Errno::from_code(0), None);
        assert_eq!(Errno::from_code(77), None);
        assert_eq!(Errno::Notcapable.code(), 76);
    }
}
