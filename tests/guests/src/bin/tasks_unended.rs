//! Commands of a ctl file that no newline ends, and writes that nobody waits for: they are done, or refused, and never half. Without
//! arguments it is the parent, and its own program is what its children run.

use std::fs;

use transcript::{FIRST, close, show, wasi, write};

fn directory() -> u32 {
    let named = |fd| {
        let mut bytes = [0; 64];
        // SAFETY: the name goes into an array of this length.
        let found = unsafe { wasi::fd_prestat_dir_name(fd, bytes.as_mut_ptr(), bytes.len()) };
        found.is_ok() && bytes.starts_with(b"/task\0")
    };
    (FIRST..16).find(|fd| named(*fd)).expect("/task")
}

fn ctl(task: &str, flags: u16) -> u32 {
    // SAFETY: the path is borrowed for the length of the call.
    unsafe { wasi::path_open(directory(), 0, &format!("{task}/ctl"), 0, wasi::RIGHTS_FD_WRITE, 0, flags) }
        .expect("opening ctl")
}

fn told(task: &str, file: &str) {
    match fs::read_to_string(format!("/task/{task}/{file}")) {
        Ok(text) => println!("{file}: {}", text.trim_end()),
        Err(error) => println!("{file}: {:?}", error.kind()),
    }
}

/// Waits until the file can be written.
fn wait(fd: u32) {
    let subscription = wasi::Subscription {
        userdata: 0,
        u: wasi::SubscriptionU {
            tag: wasi::EVENTTYPE_FD_WRITE.raw(),
            u: wasi::SubscriptionUU {
                fd_write: wasi::SubscriptionFdReadwrite { file_descriptor: fd },
            },
        },
    };
    let mut event = std::mem::MaybeUninit::uninit();
    // SAFETY: one subscription is read, and room for one event is written.
    unsafe { wasi::poll_oneoff(&subscription, event.as_mut_ptr(), 1) }.expect("polling");
}

/// Writes without waiting, until it is taken.
fn write_when_it_can_be(fd: u32, bytes: &[u8]) -> Result<usize, wasi::Errno> {
    loop {
        match write(fd, bytes) {
            Err(wasi::ERRNO_AGAIN) => wait(fd),
            outcome => return outcome,
        }
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("spin") => loop {
            std::hint::black_box(0);
        },
        Some(_) => std::process::exit(7),
        None => {}
    }
    let task = fs::read_to_string("/task/new/wasi").expect("a task");
    let task = task.trim();
    fs::write(format!("/task/{task}/cmd"), "/bin/none.wasm").expect("cmd");
    let fd = ctl(task, 0);
    let _ = show("start, without a newline", write(fd, b"start"));
    told(task, "status");
    let _ = show("close", close(fd));
    told(task, "status");
    told(task, "wait");
    fs::write(format!("/task/{task}/cmd"), "/bin/tasks_unended.wasm exit").expect("cmd");
    let fd = ctl(task, 0);
    let _ = show("again", write(fd, b"start"));
    let _ = show("close", close(fd));
    told(task, "wait");
    told(task, "status");

    let task = fs::read_to_string("/task/new/wasi").expect("a task");
    let task = task.trim();
    fs::write(format!("/task/{task}/cmd"), "/bin/tasks_unended.wasm spin").expect("cmd");
    let fd = ctl(task, wasi::FDFLAGS_NONBLOCK);
    let _ = show("start, without waiting", write(fd, b"start\n"));
    let _ = show("kill, when it can be", write_when_it_can_be(fd, b"kill\n"));
    told(task, "wait");
    told(task, "status");
    let _ = show("kill again", write_when_it_can_be(fd, b"kill\n").and_then(|_| {
        wait(fd);
        write_when_it_can_be(fd, b"\n")
    }).map(|_| ()));
    let _ = show("close", close(fd));
}
