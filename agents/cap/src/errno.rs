//! Errors by name: what C programs get from `strerrorname_np`, and Rust's standard library does not tell.

use std::io::Error;

/// The names, by the numbers of WASI preview 1 ([`errno`](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/witx/typenames.witx)).
const NAMES: [(&str, &str); 77] = [
    ("", "success"),
    ("E2BIG", "argument list too long"),
    ("EACCES", "permission denied"),
    ("EADDRINUSE", "address in use"),
    ("EADDRNOTAVAIL", "address not available"),
    ("EAFNOSUPPORT", "address family not supported"),
    ("EAGAIN", "resource unavailable, or operation would block"),
    ("EALREADY", "connection already in progress"),
    ("EBADF", "bad file descriptor"),
    ("EBADMSG", "bad message"),
    ("EBUSY", "device or resource busy"),
    ("ECANCELED", "operation canceled"),
    ("ECHILD", "no child processes"),
    ("ECONNABORTED", "connection aborted"),
    ("ECONNREFUSED", "connection refused"),
    ("ECONNRESET", "connection reset"),
    ("EDEADLK", "resource deadlock would occur"),
    ("EDESTADDRREQ", "destination address required"),
    ("EDOM", "mathematics argument out of domain of function"),
    ("EDQUOT", "disk quota exceeded"),
    ("EEXIST", "file exists"),
    ("EFAULT", "bad address"),
    ("EFBIG", "file too large"),
    ("EHOSTUNREACH", "host is unreachable"),
    ("EIDRM", "identifier removed"),
    ("EILSEQ", "illegal byte sequence"),
    ("EINPROGRESS", "operation in progress"),
    ("EINTR", "interrupted function"),
    ("EINVAL", "invalid argument"),
    ("EIO", "input/output error"),
    ("EISCONN", "socket is connected"),
    ("EISDIR", "is a directory"),
    ("ELOOP", "too many levels of symbolic links"),
    ("EMFILE", "file descriptor value too large"),
    ("EMLINK", "too many links"),
    ("EMSGSIZE", "message too large"),
    ("EMULTIHOP", "reserved (multihop)"),
    ("ENAMETOOLONG", "filename too long"),
    ("ENETDOWN", "network is down"),
    ("ENETRESET", "connection aborted by network"),
    ("ENETUNREACH", "network unreachable"),
    ("ENFILE", "too many files open in system"),
    ("ENOBUFS", "no buffer space available"),
    ("ENODEV", "no such device"),
    ("ENOENT", "no such file or directory"),
    ("ENOEXEC", "executable file format error"),
    ("ENOLCK", "no locks available"),
    ("ENOLINK", "reserved (nolink)"),
    ("ENOMEM", "not enough space"),
    ("ENOMSG", "no message of the desired type"),
    ("ENOPROTOOPT", "protocol not available"),
    ("ENOSPC", "no space left on device"),
    ("ENOSYS", "function not supported"),
    ("ENOTCONN", "the socket is not connected"),
    (
        "ENOTDIR",
        "not a directory or a symbolic link to a directory",
    ),
    ("ENOTEMPTY", "directory not empty"),
    ("ENOTRECOVERABLE", "state not recoverable"),
    ("ENOTSOCK", "not a socket"),
    (
        "ENOTSUP",
        "not supported, or operation not supported on socket",
    ),
    ("ENOTTY", "inappropriate I/O control operation"),
    ("ENXIO", "no such device or address"),
    ("EOVERFLOW", "value too large to be stored in data type"),
    ("EOWNERDEAD", "previous owner died"),
    ("EPERM", "operation not permitted"),
    ("EPIPE", "broken pipe"),
    ("EPROTO", "protocol error"),
    ("EPROTONOSUPPORT", "protocol not supported"),
    ("EPROTOTYPE", "protocol wrong type for socket"),
    ("ERANGE", "result too large"),
    ("EROFS", "read-only file system"),
    ("ESPIPE", "invalid seek"),
    ("ESRCH", "no such process"),
    ("ESTALE", "reserved (stale)"),
    ("ETIMEDOUT", "connection timed out"),
    ("ETXTBSY", "text file busy"),
    ("EXDEV", "cross-device link"),
    ("ENOTCAPABLE", "capabilities insufficient"),
];

/// The name of an error such as `ENOENT`, where the system gave it.
pub fn name(error: &Error) -> Option<&'static str> {
    entry(error).map(|(name, _)| *name)
}

/// An error in words, its name first: `ENOENT (no such file or directory)`. An error of the program's own is its own words.
pub fn describe(error: &Error) -> String {
    match entry(error) {
        Some((name, text)) => format!("{name} ({text})"),
        None => error.to_string(),
    }
}

fn entry(error: &Error) -> Option<&'static (&'static str, &'static str)> {
    NAMES.get(usize::try_from(error.raw_os_error()?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names() {
        assert_eq!(name(&Error::from_raw_os_error(44)), Some("ENOENT"));
        assert_eq!(name(&Error::from_raw_os_error(76)), Some("ENOTCAPABLE"));
        assert_eq!(name(&Error::from_raw_os_error(77)), None);
        assert_eq!(describe(&Error::other("no luck")), "no luck");
    }
}
