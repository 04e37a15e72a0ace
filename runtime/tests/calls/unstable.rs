//! The snapshot before preview 1.

use crate::START;
use crate::guest::{Guest, OUT, PATH, rights};

#[test]
fn the_snapshot_before() {
    let mut guest = Guest::new(&[("file", b"abcdef")]);
    let fd = guest.open("file", 0, rights::FILE).unwrap();
    guest.seek(fd, 2, START).unwrap();
    let mut seek = |offset, whence| {
        guest
            .now(|process, context, memory| {
                process.unstable_fd_seek(context, memory, fd, offset, whence, OUT)
            })
            .map(|()| guest.u64_at(OUT))
    };
    assert_eq!(seek(1, 0), Ok(3), "0 is the current offset");
    assert_eq!(seek(-1, 1), Ok(5), "1 is the end");
    assert_eq!(seek(1, 2), Ok(1), "2 is the start");
    let now = guest.filestat(fd).unwrap();
    guest.memory[OUT as usize..][..64].fill(0xaa);
    guest
        .now(|process, context, memory| process.unstable_fd_filestat_get(context, memory, fd, OUT))
        .unwrap();
    assert_eq!(guest.u64_at(OUT + 8), now.ino);
    assert_eq!((guest.u32_at(OUT + 20), guest.u64_at(OUT + 24)), (1, 6));
    assert_eq!(guest.bytes(OUT + 56, 1), [0xaa], "it is 56 bytes long");
    let path_len = guest.path("file");
    guest
        .now(|process, context, memory| {
            process.unstable_path_filestat_get(context, memory, 3, 0, PATH, path_len, OUT)
        })
        .unwrap();
    assert_eq!(guest.u64_at(OUT + 24), 6);
}
