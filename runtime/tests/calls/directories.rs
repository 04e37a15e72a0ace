//! Open directories.

use crate::guest::{DATA, Guest, OUT, entries};
use crate::{DIRECTORY_KIND, FILE_KIND, START};
use capfs::Errno;

#[test]
fn directories_have_no_bytes() {
    let mut guest = Guest::new(&[]);
    assert_eq!(guest.read(3, 1), Err(Errno::Isdir));
    assert_eq!(guest.write(3, b"x"), Err(Errno::Isdir));
    assert_eq!(guest.seek(3, 0, START), Err(Errno::Badf));
    assert_eq!(guest.tell(3), Err(Errno::Badf));
    let size =
        guest.now(|process, context, memory| process.fd_filestat_set_size(context, memory, 3, 0));
    assert_eq!(size, Err(Errno::Badf));
    let allocate =
        guest.now(|process, context, memory| process.fd_allocate(context, memory, 3, 0, 1));
    assert_eq!(allocate, Err(Errno::Badf));
}

#[test]
fn listing() {
    let names: Vec<String> = (0..300).map(|index| format!("file.{index}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let mut guest = Guest::new(&files);
    let all = entries(&guest.readdir(3, 40_000, 0).unwrap());
    assert_eq!(all.len(), 302);
    assert_eq!((all[0].3.as_str(), all[1].3.as_str()), (".", ".."));
    assert_eq!(all[0].1, guest.filestat(3).unwrap().ino);
    assert_eq!(all[2].1, guest.path_filestat(&all[2].3, false).unwrap().ino);
    assert_eq!((all[1].2, all[2].2), (DIRECTORY_KIND, FILE_KIND));
    // A buffer of any size shows the same entries, and is full unless the listing has ended.
    for len in [24, 25, 26, 27, 33, 100, 256, 4096] {
        let (mut cookie, mut seen) = (0, Vec::new());
        loop {
            let bytes = guest.readdir(3, len, cookie).unwrap();
            let page = entries(&bytes);
            seen.extend(page.iter().map(|entry| entry.3.clone()));
            match page.last() {
                Some(last) => cookie = last.0,
                // Not even one fits: a guest makes its buffer larger.
                None => break,
            }
            if bytes.len() < len as usize {
                break;
            }
        }
        let whole = all.iter().map(|entry| entry.3.clone());
        if len >= 100 {
            assert_eq!(seen, whole.collect::<Vec<_>>());
        }
    }
    assert_eq!(guest.readdir(3, 0, 0), Ok(Vec::new()));
    assert_eq!(guest.readdir(3, 100, u64::MAX), Ok(Vec::new()));
    assert_eq!(guest.readdir(0, 100, 0), Err(Errno::Notdir));
    let fault = guest.now(|process, context, memory| {
        process.fd_readdir(context, memory, 3, DATA, u32::MAX, 0, OUT)
    });
    assert_eq!(fault, Err(Errno::Fault));
}
