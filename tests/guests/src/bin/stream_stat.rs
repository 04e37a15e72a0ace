//! The standard streams as the guest sees them when they are pipes: types, flags, rights, no offsets. Their numbers tell them apart, and tell of
//! nothing else: they are the same in every run.

use std::io::IsTerminal;

use transcript::{read_at, seek, show, stat, wasi, write_at};

fn main() {
    for (fd, name) in [(0, "stdin"), (1, "stdout"), (2, "stderr")] {
        // SAFETY: the results are written to the wrappers' own stacks.
        let fdstat = unsafe { wasi::fd_fdstat_get(fd) }.unwrap();
        println!(
            "{name}: flags {}, may read {}, may write {}, may seek {}",
            fdstat.fs_flags,
            fdstat.fs_rights_base & wasi::RIGHTS_FD_READ != 0,
            fdstat.fs_rights_base & wasi::RIGHTS_FD_WRITE != 0,
            fdstat.fs_rights_base & wasi::RIGHTS_FD_SEEK != 0,
        );
        println!("{name}: a file {}", fdstat.fs_filetype == wasi::FILETYPE_REGULAR_FILE);
        println!("{name}: number {:?}", stat(fd).map(|stat| (stat.dev, stat.ino)).ok());
        let _ = show(&format!("{name}: seek"), seek(fd, 0, wasi::WHENCE_CUR));
        // SAFETY: as above.
        let _ = show(&format!("{name}: tell"), unsafe { wasi::fd_tell(fd) });
        let _ = show(&format!("{name}: prestat"), unsafe { wasi::fd_prestat_get(fd) }.map(|_| ()));
    }
    let _ = show("pread of stdin", read_at(0, 1, 0));
    let _ = show("pwrite of stdout", write_at(1, b"x", 0));
    println!(
        "terminals: {} {} {}",
        std::io::stdin().is_terminal(),
        std::io::stdout().is_terminal(),
        std::io::stderr().is_terminal()
    );
}
