//! Tries to make its host hold a great deal in one way: `hold WAY BYTES`. It stops where it is refused, or when it holds that much, and
//! says so in one line, `held BYTES, then ERRNO`; then it goes on holding until its standard input ends.
//!
//! What belongs to each way is in `tests/account.test.mjs`.

use std::io::Read;

use transcript::wasi::{self, Errno, Fd, Rights};
use transcript::{CREATE, READ, READ_WRITE, make_directory, open, open_directory, seek, symlink, unlink};

const MIB: u64 = 1 << 20;

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(way), Some(most)) = (args.next(), args.next()) else {
        std::process::exit(2);
    };
    let most: u64 = most.parse().expect("a number");
    let (held, errno) = hold(&way, most);
    println!("held {held}, then {}", errno.map_or("no more", |errno| errno.name()));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// What was held, and why there is no more.
type Held = (u64, Option<Errno>);

/// Does something until it is refused or holds enough; `step` tells how many bytes it holds more.
fn until(most: u64, mut step: impl FnMut(u64) -> Result<u64, Errno>) -> Held {
    let mut held = 0;
    for number in 0.. {
        if held >= most {
            break;
        }
        match step(number) {
            Ok(more) => held += more,
            Err(errno) => return (held, Some(errno)),
        }
    }
    (held, None)
}

fn hold(way: &str, most: u64) -> Held {
    match way {
        "nothing" => (0, None),
        "memory" => until(most, |_| {
            let pages = core::arch::wasm32::memory_grow(0, 16);
            if pages == usize::MAX {
                return Err(wasi::ERRNO_NOMEM);
            }
            let added = std::ptr::with_exposed_provenance_mut::<u8>(pages << 16);
            // SAFETY: the pages have just been added, and nobody else knows of them.
            unsafe { added.write_bytes(1, MIB as usize) };
            std::hint::black_box(added);
            Ok(MIB)
        }),
        "descriptors" => {
            let directory = directory("/memory");
            open(directory, "f", CREATE, READ_WRITE).expect("a file");
            until(most, |_| open(directory, "f", 0, READ).map(|_| 1024))
        }
        // Descriptors by which bytes went that did not lie side by side: of the host's files, and then of those in memory.
        "scattered" => {
            const HOST: u64 = 8_000;
            let (host, memory) = (directory("/scratch"), directory("/memory"));
            until(most, |number| {
                let directory = if number < HOST { host } else { memory };
                // What is in the file is written over: only descriptors become more.
                let file = open(directory, "f", wasi::OFLAGS_CREAT, READ_WRITE)?;
                write_scattered(file, 32 << 10)?;
                Ok(1024)
            })
        }
        "contents" => {
            let file = open(directory("/memory"), "f", CREATE, READ_WRITE).expect("a file");
            until(most, |_| write(file, MIB))
        }
        "nameless" => {
            let directory = directory("/memory");
            until(most, |_| {
                let file = open(directory, "f", CREATE, READ_WRITE)?;
                unlink(directory, "f")?;
                write(file, MIB)
            })
        }
        "files" => {
            let directory = directory("/memory");
            until(most, |number| {
                let file = open(directory, &number.to_string(), CREATE, READ_WRITE)?;
                write(file, 1)?;
                transcript::close(file)?;
                Ok(768)
            })
        }
        // Tables of pages, without pages.
        "holes" => {
            let directory = directory("/memory");
            until(most, |number| {
                let file = open(directory, &number.to_string(), CREATE, READ_WRITE)?;
                seek(file, (16 << 30) - 1, wasi::WHENCE_SET)?;
                write(file, 1)?;
                transcript::close(file)?;
                Ok(6 * MIB)
            })
        }
        "links" => {
            let (directory, target) = (directory("/memory"), "t".repeat(4000));
            until(most, |number| symlink(&target, directory, &number.to_string()).map(|()| 4000))
        }
        "directories" => {
            let directory = directory("/memory");
            until(most, |number| {
                make_directory(directory, &format!("{number:0>255}")).map(|()| 767)
            })
        }
        "listings" => {
            let mut buffer = vec![0; 4096];
            until(most, |_| {
                let directory = open_directory(directory("/folder"), ".")?;
                // SAFETY: the buffer lives across the call and has this length.
                unsafe { wasi::fd_readdir(directory, buffer.as_mut_ptr(), buffer.len(), 0)? };
                Ok(20_000 * 80)
            })
        }
        "values" => {
            let task = made("/task", "new/wasi");
            until(most, |_| {
                let value = open(directory("/task"), &format!("{task}/args"), 0, READ_WRITE)?;
                write(value, MIB / 2)
            })
        }
        // Values of tasks, each given anew.
        "given" => until(most, |_| {
            let task = tried("/task", "new/wasi")?;
            for name in ["cmd", "args", "env", "dir"] {
                let value = open(directory("/task"), &format!("{task}/{name}"), 0, READ_WRITE)?;
                write(value, MIB / 2)?;
                transcript::close(value)?;
            }
            Ok(4 * MIB)
        }),
        "tasks" => until(most, |_| tried("/task", "new/wasi").map(|_| 16 << 10)),
        "pipes" => until(most, |_| {
            let task = tried("/task", "new/wasi")?;
            let pipe = open(directory("/task"), &format!("{task}/fd/0"), 0, WRITE)?;
            write(pipe, 64 << 10)
        }),
        // What children hold while they run: deep in their stacks, or of their definitions.
        "children" => until(most, |number| {
            let task = tried("/task", "new/wasi")?;
            let tell = |name: &str, text: &str| {
                let file = open(directory("/task"), &format!("{task}/{name}"), 0, WRITE)?;
                transcript::write(file, text.as_bytes())?;
                transcript::close(file)
            };
            let programs = std::env::var("PROGRAMS").map_or(1, |programs| programs.parse().expect("a number"));
            tell("cmd", &format!("/scratch/{}.wasm", number % programs))?;
            tell("ctl", "start\n")?;
            // It has come to its innermost frame.
            let output = open(directory("/task"), &format!("{task}/fd/1"), 0, READ)?;
            read(output, 1)?;
            Ok(MIB)
        }),
        // Messages whose lines have not ended.
        "messages" => until(most, |_| {
            let log = open(directory("/cap"), "console/log", 0, WRITE)?;
            write(log, 60_000)
        }),
        // Texts as they were opened.
        "texts" => {
            let task = made("/task", "new/wasi");
            let value = open(directory("/task"), &format!("{task}/args"), 0, READ_WRITE).expect("a value");
            write(value, MIB / 2).expect("a value");
            until(most, |_| {
                open(directory("/task"), &format!("{task}/args"), 0, READ).map(|_| MIB / 2)
            })
        }
        "lines" => {
            let task = made("/task", "new/wasi");
            until(most, |_| {
                let ctl = open(directory("/task"), &format!("{task}/ctl"), 0, WRITE)?;
                write(ctl, 16 << 10)
            })
        }
        "keys" => until(most, |_| tried("/cap", "crypto/key/new").map(|_| 4096)),
        "questions" => {
            let key = made("/cap", "crypto/key/new");
            tell(&format!("crypto/key/{key}/ctl"), "generate ed25519\n");
            until(most, |_| {
                let question = open(directory("/cap"), &format!("crypto/key/{key}/sign"), 0, WRITE)?;
                write(question, 4 * MIB)
            })
        }
        "answers" => {
            let key = made("/cap", "crypto/key/new");
            tell(&format!("crypto/key/{key}/ctl"), "generate aes-gcm\n");
            until(most, |_| {
                let path = format!("crypto/key/{key}/encrypt");
                let question = open(directory("/cap"), &path, 0, READ_WRITE)?;
                write(question, 4 * MIB)?;
                read(question, 1)?;
                Ok(4 * MIB)
            })
        }
        "bodies" => until(most, |_| {
            let request = tried("/cap", "fetch/new")?;
            let body = open(directory("/cap"), &format!("fetch/{request}/postbody"), 0, WRITE)?;
            write(body, 16 * MIB)
        }),
        "batches" => {
            tell("storage/indexeddb/ctl", "create d\n");
            until(most, |_| {
                let batch = open(directory("/cap"), "storage/indexeddb/d/batch", 0, WRITE)?;
                write(batch, 4 * MIB)
            })
        }
        "records" => {
            tell("storage/indexeddb/ctl", "create d\n");
            tell("storage/indexeddb/d/ctl", "store s\n");
            let path = "storage/indexeddb/d/s/data/k";
            let record = open(directory("/cap"), path, CREATE, READ_WRITE).expect("a record");
            write(record, MIB).expect("a record");
            until(most, |_| {
                let record = open(directory("/cap"), path, 0, READ)?;
                read(record, 1)?;
                Ok(MIB)
            })
        }
        // What nobody reads but for a little.
        "answers of a server" => {
            let server = std::env::var("SERVER").expect("a server");
            until(most, |_| {
                let request = tried("/cap", "fetch/new")?;
                ask(&request, &format!("url {server}\n"))?;
                let body = open(directory("/cap"), &format!("fetch/{request}/body"), 0, READ)?;
                read(body, 1)?;
                Ok(640 << 10)
            })
        }
        // Bodies that are sent while they are written, to somebody who doesn't read them.
        "bodies on their way" => {
            let server = std::env::var("SERVER").expect("a server");
            until(most, |_| {
                let request = tried("/cap", "fetch/new")?;
                ask(&request, &format!("method POST\nurl {server}\n"))?;
                let body = open(directory("/cap"), &format!("fetch/{request}/postbody"), 0, WRITE)?;
                ask(&request, "send\n")?;
                filled(body)
            })
        }
        "sockets" => {
            let server = std::env::var("SERVER").expect("a server");
            until(most, |_| {
                let connection = tried("/cap", "ws/new")?;
                let ctl = open(directory("/cap"), &format!("ws/{connection}/ctl"), 0, WRITE)?;
                write_all(ctl, format!("connect {server}\n").as_bytes())?;
                let data = open(directory("/cap"), &format!("ws/{connection}/data"), 0, WRITE)?;
                filled(data)
            })
        }
        _ => std::process::exit(2),
    }
}

/// What a handle for writing alone asks for.
const WRITE: Rights = wasi::RIGHTS_FD_WRITE | wasi::RIGHTS_FD_FDSTAT_SET_FLAGS;

/// The descriptor of a preopened directory.
fn directory(name: &str) -> Fd {
    for fd in transcript::FIRST.. {
        // SAFETY: a number is all that is passed.
        let Ok(stat) = (unsafe { wasi::fd_prestat_get(fd) }) else {
            break;
        };
        // SAFETY: it is a directory, for there is no other kind.
        let length = unsafe { stat.u.dir.pr_name_len };
        let mut bytes = vec![0; length];
        // SAFETY: the buffer lives across the call and has this length.
        let read = unsafe { wasi::fd_prestat_dir_name(fd, bytes.as_mut_ptr(), length) };
        if read.is_ok() && bytes == name.as_bytes() {
            return fd;
        }
    }
    panic!("there is no directory {name}")
}

/// Writes so many bytes, each of them an `x`, whatever one call takes.
fn write(fd: Fd, bytes: u64) -> Result<u64, Errno> {
    let mut left = bytes;
    let chunk = vec![b'x'; left.min(MIB) as usize];
    while left > 0 {
        let piece = &chunk[..left.min(MIB) as usize];
        left -= transcript::write(fd, piece)? as u64;
    }
    Ok(bytes)
}

/// Writes so many bytes twice, by one call, from two places.
fn write_scattered(fd: Fd, bytes: usize) -> Result<(), Errno> {
    let memory = vec![b'x'; 2 * bytes + 1];
    let pieces = [0, bytes + 1].map(|start| wasi::Ciovec {
        buf: memory[start..].as_ptr(),
        buf_len: bytes,
    });
    // SAFETY: the memory lives across the call and has these lengths.
    let written = unsafe { wasi::fd_write(fd, &pieces)? };
    assert_eq!(written, 2 * bytes);
    Ok(())
}

fn write_all(fd: Fd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        bytes = &bytes[transcript::write(fd, bytes)?..];
    }
    Ok(())
}

fn read(fd: Fd, length: usize) -> Result<String, Errno> {
    transcript::read(fd, length)
}

fn set_nonblocking(fd: Fd) -> Result<(), Errno> {
    // SAFETY: numbers are all that is passed.
    unsafe { wasi::fd_fdstat_set_flags(fd, wasi::FDFLAGS_NONBLOCK) }
}

/// Writes as much as is taken without waiting.
fn filled(fd: Fd) -> Result<u64, Errno> {
    set_nonblocking(fd)?;
    let chunk = vec![b'x'; MIB as usize];
    let mut sent = 0;
    loop {
        match transcript::write(fd, &chunk) {
            Ok(count) => sent += count as u64,
            Err(wasi::ERRNO_AGAIN) => return Ok(sent),
            Err(errno) => return Err(errno),
        }
    }
}

/// Writes commands for a request.
fn ask(request: &str, commands: &str) -> Result<(), Errno> {
    let ctl = open(directory("/cap"), &format!("fetch/{request}/ctl"), 0, WRITE)?;
    write_all(ctl, commands.as_bytes())?;
    transcript::close(ctl)
}

/// Makes something by reading a file, and returns its number.
fn tried(at: &str, path: &str) -> Result<String, Errno> {
    let fd = open(directory(at), path, 0, READ)?;
    let number = read(fd, 32)?;
    transcript::close(fd)?;
    Ok(number.trim().to_owned())
}

fn made(at: &str, path: &str) -> String {
    tried(at, path).expect("what is granted")
}

/// Writes a command into a ctl file below /cap.
fn tell(path: &str, command: &str) {
    let ctl = open(directory("/cap"), path, 0, WRITE).expect("a ctl file");
    write_all(ctl, command.as_bytes()).expect("a command");
    transcript::close(ctl).expect("closing");
}
