//! What the programs of the world ask for when they open: Go's `os.Open`, Zig's `openDir`, Go's `os.Root`. Rights that are asked for
//! and not needed keep nothing shut, change nothing that may not be changed, and bind nothing below.

use transcript::{
    CREATE, DIRECTORY, FIRST, READ, READ_WRITE, SECOND, close, contents, make_directory, open,
    open_directory, read, seek, show, stat, wasi, write,
};

/// What Go's `os.Open` asks for beside reading.
const GO: wasi::Rights = READ | wasi::RIGHTS_FD_FILESTAT_SET_SIZE | wasi::RIGHTS_FD_ALLOCATE;

/// What Zig's `openDir` asks for, to be handed on as well: neither reading nor writing.
const ZIG: wasi::Rights =
    DIRECTORY & !(wasi::RIGHTS_FD_READ | wasi::RIGHTS_FD_WRITE | wasi::RIGHTS_PATH_FILESTAT_SET_SIZE);

/// A directory that the program finds open.
fn preopened(name: &str) -> wasi::Fd {
    let named = |fd| {
        let mut bytes = [0; 64];
        // SAFETY: the name goes into an array of this length.
        let found = unsafe { wasi::fd_prestat_dir_name(fd, bytes.as_mut_ptr(), bytes.len()) };
        found.is_ok() && bytes.starts_with(name.as_bytes()) && bytes[name.len()] == 0
    };
    (FIRST..16).find(|fd| named(*fd)).expect("a directory of this name")
}

fn open_below(dir: wasi::Fd, path: &str, oflags: u16, base: wasi::Rights, inheriting: wasi::Rights) -> Result<wasi::Fd, wasi::Errno> {
    // SAFETY: the path is borrowed for the length of the call.
    unsafe { wasi::path_open(dir, 0, path, oflags, base, inheriting, 0) }
}

fn main() {
    let fd = show("read-only, as Go opens it", open(FIRST, "file", 0, GO).map(|_| ())).and_then(|()| open(FIRST, "file", 0, GO)).unwrap();
    let _ = show("read", read(fd, 100));
    // SAFETY: numbers are all that is passed.
    unsafe {
        let _ = show("change its size", wasi::fd_filestat_set_size(fd, 0));
        let _ = show("allocate", wasi::fd_allocate(fd, 0, 100));
    }
    let _ = show("write", write(fd, b"x"));
    let _ = show("its size", stat(fd).map(|stat| stat.size));
    let cap = preopened("/cap");
    let random = show("a capability", open(cap, "random", 0, GO).map(|_| ())).and_then(|()| open(cap, "random", 0, GO)).unwrap();
    println!("random bytes: {}", read(random, 0).is_ok());
    let _ = close(random);

    make_directory(SECOND, "dir").unwrap();
    let dir = open_below(SECOND, "dir", wasi::OFLAGS_DIRECTORY, ZIG, ZIG).unwrap();
    let fd = show("create below", open(dir, "new", CREATE, READ_WRITE).map(|_| ())).and_then(|()| open(dir, "new", CREATE, READ_WRITE)).unwrap();
    let _ = show("write", write(fd, b"text"));
    let _ = show("truncate below", open(dir, "new", wasi::OFLAGS_TRUNC, READ_WRITE).and_then(close));
    let _ = show("its size", stat(fd).map(|stat| stat.size));
    let none = open_below(SECOND, "dir", wasi::OFLAGS_DIRECTORY, 0, 0).unwrap();
    let _ = show("read below what was asked nothing of", contents(none, "new"));
    // Reading alone is asked for, and everything about reading is there.
    let fd = open(dir, "new", 0, wasi::RIGHTS_FD_READ).unwrap();
    let _ = show("seek", seek(fd, 0, wasi::WHENCE_END));
    let _ = show("write", write(fd, b"x"));
    // What is taken away binds.
    let dir = open_directory(SECOND, "dir").unwrap();
    // SAFETY: numbers are all that is passed.
    let _ = show("take writing away", unsafe { wasi::fd_fdstat_set_rights(dir, DIRECTORY, DIRECTORY | READ) });
    let _ = show("open to write", open(dir, "new", 0, READ_WRITE).and_then(close));
    let _ = show("open to read", open(dir, "new", 0, READ).and_then(close));
}
