//! Measures system calls from inside: `calls NAME COUNT TIMES`, with files in descriptor 3.
//!
//! The raw calls are made, without a C library around them, so that what is measured is the host. Each
//! repetition prints `NAME COUNT NANOSECONDS`; its preparation is not counted. A call that fails, or bytes
//! that come back wrong, end the program: a host must not win by doing nothing.

use wasip1::{
    CLOCKID_MONOTONIC, Ciovec, Fd, Iovec, LOOKUPFLAGS_SYMLINK_FOLLOW, OFLAGS_CREAT, OFLAGS_TRUNC,
    RIGHTS_FD_READ, RIGHTS_FD_SEEK, RIGHTS_FD_TELL, RIGHTS_FD_WRITE, WHENCE_SET,
};

/// The descriptor of the one directory that the program is given.
const DIRECTORY: Fd = 3;

/// Bytes of a block.
const BLOCK: usize = 4096;

/// Bytes in which a file is made that is then read.
const CHUNK: usize = 1 << 20;

fn now() -> u64 {
    // SAFETY: it has no precondition.
    unsafe { wasip1::clock_time_get(CLOCKID_MONOTONIC, 1) }.expect("clock_time_get")
}

fn open(name: &str, flags: wasip1::Oflags) -> Fd {
    let rights = RIGHTS_FD_READ | RIGHTS_FD_WRITE | RIGHTS_FD_SEEK | RIGHTS_FD_TELL;
    // SAFETY: the name outlives the call.
    unsafe { wasip1::path_open(DIRECTORY, LOOKUPFLAGS_SYMLINK_FOLLOW, name, flags, rights, 0, 0) }
        .expect("path_open")
}

fn close(fd: Fd) {
    // SAFETY: nothing uses the descriptor behind it.
    unsafe { wasip1::fd_close(fd) }.expect("fd_close");
}

#[inline]
fn write(fd: Fd, bytes: &[u8]) {
    let iov = Ciovec {
        buf: bytes.as_ptr(),
        buf_len: bytes.len(),
    };
    // SAFETY: the buffer outlives the call.
    let count = unsafe { wasip1::fd_write(fd, &[iov]) }.expect("fd_write");
    assert_eq!(count, bytes.len(), "all of it is written");
}

#[inline]
fn read(fd: Fd, bytes: &mut [u8]) {
    let iov = Iovec {
        buf: bytes.as_mut_ptr(),
        buf_len: bytes.len(),
    };
    // SAFETY: the buffer outlives the call.
    let count = unsafe { wasip1::fd_read(fd, &[iov]) }.expect("fd_read");
    assert_eq!(count, bytes.len(), "all of it is read");
}

/// A new file, open and empty.
fn fresh(name: &str) -> Fd {
    open(name, OFLAGS_CREAT | OFLAGS_TRUNC)
}

/// A file of at least `size` bytes, open at its start. The block at `n * BLOCK` starts with `n`.
fn filled(name: &str, size: usize) -> Fd {
    let fd = fresh(name);
    let mut chunk = vec![0; CHUNK];
    let mut block = 0u32;
    let mut done = 0;
    while done < size {
        for start in (0..CHUNK).step_by(BLOCK) {
            chunk[start..start + 4].copy_from_slice(&block.to_le_bytes());
            block += 1;
        }
        write(fd, &chunk);
        done += CHUNK;
    }
    // SAFETY: it has no precondition.
    unsafe { wasip1::fd_seek(fd, 0, WHENCE_SET) }.expect("fd_seek");
    fd
}

fn number(block: &[u8; BLOCK]) -> u32 {
    u32::from_le_bytes([block[0], block[1], block[2], block[3]])
}

/// `count` writes of `SIZE` bytes into a new file.
fn writes<const SIZE: usize>(count: u64) -> u64 {
    let fd = fresh("written");
    let bytes = [b'x'; SIZE];
    let begun = now();
    for _ in 0..count {
        write(fd, &bytes);
    }
    let taken = now() - begun;
    close(fd);
    taken
}

/// `count` reads of one byte each, from the start of a file on.
fn byte_reads(count: u64) -> u64 {
    let fd = filled("read", count as usize);
    let mut byte = [0];
    let begun = now();
    for _ in 0..count {
        read(fd, &mut byte);
    }
    let taken = now() - begun;
    close(fd);
    taken
}

/// `count` reads of a block each, from the start of a file on.
fn block_reads(count: u64) -> u64 {
    let fd = filled("read", count as usize * BLOCK);
    let mut block = [0; BLOCK];
    let begun = now();
    for index in 0..count {
        read(fd, &mut block);
        assert_eq!(number(&block), index as u32, "the block that was written");
    }
    let taken = now() - begun;
    close(fd);
    taken
}

/// `count` reads of a block each, all over a file of `count` blocks.
fn random_reads(count: u64) -> u64 {
    let fd = filled("read", count as usize * BLOCK);
    let mut block = [0; BLOCK];
    let mut at = 0;
    let begun = now();
    for _ in 0..count {
        // A step that has no divisor in common with any count that is a power of two.
        at = (at + 7919) % count;
        let iov = Iovec {
            buf: block.as_mut_ptr(),
            buf_len: BLOCK,
        };
        // SAFETY: the buffer outlives the call.
        let got = unsafe { wasip1::fd_pread(fd, &[iov], at * BLOCK as u64) }.expect("fd_pread");
        assert_eq!((got, number(&block)), (BLOCK, at as u32), "the block that was written");
    }
    let taken = now() - begun;
    close(fd);
    taken
}

fn opens(count: u64) -> u64 {
    close(fresh("there"));
    let begun = now();
    for _ in 0..count {
        close(open("there", 0));
    }
    now() - begun
}

fn stats(count: u64) -> u64 {
    close(fresh("there"));
    let begun = now();
    for _ in 0..count {
        // SAFETY: the name outlives the call.
        unsafe { wasip1::path_filestat_get(DIRECTORY, LOOKUPFLAGS_SYMLINK_FOLLOW, "there") }
            .expect("path_filestat_get");
    }
    now() - begun
}

fn clocks(count: u64) -> u64 {
    let begun = now();
    for _ in 0..count {
        now();
    }
    now() - begun
}

/// Waits until standard input ends: an agent whose memory can be looked at.
fn wait(_count: u64) -> u64 {
    let mut byte = [0];
    let iov = Iovec {
        buf: byte.as_mut_ptr(),
        buf_len: 1,
    };
    write(1, b"waiting\n");
    // SAFETY: the buffer outlives the call.
    while unsafe { wasip1::fd_read(0, &[iov]) }.expect("fd_read") > 0 {}
    0
}

/// Makes calls for ever: an agent to be killed.
fn busy(_count: u64) -> u64 {
    write(1, b"busy\n");
    loop {
        // SAFETY: it has no precondition.
        unsafe { wasip1::fd_fdstat_get(1) }.expect("fd_fdstat_get");
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |index: usize| args.get(index).and_then(|text| text.parse::<u64>().ok());
    let (Some(name), Some(count), Some(times)) = (args.get(1), number(2), number(3)) else {
        panic!("usage: calls NAME COUNT TIMES");
    };
    let measure = match name.as_str() {
        "write-byte" => writes::<1>,
        "write-block" => writes::<BLOCK>,
        "read-byte" => byte_reads,
        "read-block" => block_reads,
        "pread-block" => random_reads,
        "open-close" => opens,
        "stat" => stats,
        "clock" => clocks,
        "wait" => wait,
        "busy" => busy,
        _ => panic!("there is nothing called {name} to measure"),
    };
    for _ in 0..times {
        let taken = measure(count);
        write(1, format!("{name} {count} {taken}\n").as_bytes());
    }
}
