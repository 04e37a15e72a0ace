//! Child agents by files. Without arguments it is the parent, and its own program is what its children run; with
//! `limits` it is a parent whose children use up what it has, with `granting` one that hands on less of what it has, with
//! `taking` one that takes away what it has given, with `views` one that hands on its whole tree and a part of it again, with
//! `unread` one that reads nothing of what its child prints.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

const PROGRAM: &str = "/bin/tasks.wasm";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [] => parent(),
        ["cat", path] => match fs::read(path) {
            Ok(bytes) => io::stdout().write_all(&bytes).expect("writing"),
            Err(error) => println!("{path}: {:?}", error.raw_os_error()),
        },
        ["put", path] => println!("{path}: {:?}", outcome(fs::write(path, "changed"))),
        ["echo"] => drop(io::copy(&mut io::stdin(), &mut io::stdout()).expect("copying")),
        ["big", count] => {
            let line = [b'x'; 1000];
            for _ in 0..count.parse().expect("a number") {
                io::stdout().write_all(&line).expect("writing");
            }
        }
        ["complain"] => eprintln!("to standard error"),
        ["exit", code] => std::process::exit(code.parse().expect("a number")),
        ["trap"] => std::process::abort(),
        ["spin"] => loop {
            std::hint::black_box(0);
        },
        ["variables", ..] => {
            println!("{args:?}");
            for (name, value) in std::env::vars() {
                println!("{name}={value}");
            }
        }
        ["root"] => list("/"),
        ["limits"] => limits(),
        ["granting", server, other] => granting(server, other),
        ["taking"] => taking(),
        ["views"] => views(),
        ["unread"] => unread(),
        ["look", ref below @ ..] => look(below),
        ["fetch", server, other] => {
            for url in [format!("{server}/hello"), format!("{other}/hello"), format!("{server}/bytes?length=2000")] {
                fetch(&url);
            }
        }
        // A child of a child, which hands on less again.
        ["hand-on", server, other] => {
            let task = Task::new();
            task.ctl("bind /bin /bin");
            task.ctl(&format!("grant fetch,origin={server},max-body=100"));
            task.ctl("grant random,at=/dev/random");
            task.ctl("grant ws,origin=*");
            task.run(&format!("fetch {server} {other}"));
            Task::new().run("exit 3");
            println!("{:?}", outcome(fs::read("/task/new/wasi")));
        }
        ["keep-reading", ref paths @ ..] => keep_reading(paths),
        ["hoard"] => loop {
            std::mem::forget(std::hint::black_box(vec![1u8; 1 << 20]));
        },
        ["open", path] => {
            let mut files = Vec::new();
            let error = loop {
                match fs::File::open(path) {
                    Ok(file) => files.push(file),
                    Err(error) => break error,
                }
            };
            println!("{} more files, then {:?}", files.len(), error.raw_os_error());
        }
        _ => std::process::exit(99),
    }
}

fn outcome<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn list(path: &str) {
    match fs::read_dir(path) {
        Ok(entries) => {
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().expect("text")).collect();
            names.sort();
            println!("{path}: {names:?}");
        }
        Err(error) => println!("{path}: {:?}", error.raw_os_error()),
    }
}

/// A task, by its directory.
struct Task(String);

impl Task {
    fn new() -> Task {
        let number = fs::read_to_string("/task/new/wasi").expect("a task");
        println!("task {}", number.trim_end());
        Task(format!("/task/{}", number.trim_end()))
    }

    fn set(&self, file: &str, text: &str) {
        let path = Path::new(&self.0).join(file);
        if let Err(error) = fs::write(path, text) {
            println!("{file} `{}`: {:?}", text.trim_end(), error.raw_os_error());
        }
    }

    fn ctl(&self, command: &str) {
        self.set("ctl", &format!("{command}\n"));
    }

    fn get(&self, file: &str) -> String {
        let path = Path::new(&self.0).join(file);
        match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => format!("{file}: {:?}\n", error.raw_os_error()),
        }
    }

    fn tell(&self, file: &str) {
        print!("{file}: {}", self.get(file));
    }

    /// Starts the program with these arguments, shows what it prints, and waits for its end.
    fn run(&self, args: &str) {
        self.set("cmd", &format!("{PROGRAM} {args}"));
        self.ctl("start");
        self.follow();
    }

    fn follow(&self) {
        print!("{}", self.get("fd/1"));
        self.tell("wait");
        self.tell("status");
    }
}

fn parent() {
    list("/task");
    print!("{}", fs::read_to_string("/task/policy").expect("policy"));

    let task = Task::new();
    list("/task/1");
    task.ctl("bind /data /in ro");
    task.ctl("bind /data /out");
    task.tell("ns");
    task.tell("status");
    task.tell("exit");
    task.run("cat /in/a.txt");
    task.tell("exit");
    task.ctl("kill");
    task.ctl("start");
    task.ctl("bind /data /late");
    for args in ["put /in/a.txt", "put /out/new.txt", "cat /data/a.txt", "cat /in/../bin/tasks.wasm", "root"] {
        let task = Task::new();
        task.ctl("bind /data /in ro");
        task.ctl("bind /data /out");
        task.run(args);
    }
    println!("{:?}", fs::read_to_string("/data/new.txt").ok());

    let task = Task::new();
    task.set("cmd", &format!("{PROGRAM} echo"));
    task.ctl("start");
    task.set("fd/0", "typed by the parent\n");
    task.follow();

    let task = Task::new();
    task.set("cmd", &format!("{PROGRAM} big 300"));
    task.ctl("start");
    let mut bytes = Vec::new();
    let output = fs::File::open(format!("{}/fd/1", task.0)).expect("output");
    output.take(1 << 20).read_to_end(&mut bytes).expect("reading");
    println!("{} bytes", bytes.len());
    task.tell("wait");

    let task = Task::new();
    task.set("cmd", &format!("{PROGRAM} complain"));
    task.ctl("start");
    print!("errors: {}", task.get("fd/2"));
    task.tell("wait");

    let task = Task::new();
    task.set("args", "variables\ntwo words\n");
    task.set("env", "A=1\nB=x=y\nA=3\n");
    task.set("cmd", PROGRAM);
    task.ctl("start");
    task.follow();

    let task = Task::new();
    task.ctl("bind /data /work");
    task.set("dir", "/work");
    task.run("cat a.txt");

    // Somewhere below what was bound, which may be asked for elsewhere.
    fs::create_dir_all("/data/below/here").expect("directories");
    fs::write("/data/below/here/c.txt", "deep\n").expect("writing");
    let task = Task::new();
    task.ctl("bind /data /work");
    task.set("dir", "/work/below/here");
    task.run("cat c.txt");

    // In a union what was bound last in front is found first.
    let task = Task::new();
    task.ctl("bind /data /both");
    task.ctl("bind /other /both before");
    task.run("cat /both/a.txt");
    let task = Task::new();
    task.ctl("bind /data /both");
    task.ctl("bind /other /both after");
    task.ctl("unbind /none");
    task.run("cat /both/b.txt");

    Task::new().run("exit 7");
    Task::new().run("trap");
    let task = Task::new();
    task.set("cmd", &format!("{PROGRAM} spin"));
    task.ctl("start");
    task.tell("status");
    task.tell("exit");
    task.ctl("kill");
    task.follow();

    refusals();
}

fn fetch(url: &str) {
    let path = format!("/cap/fetch/{}", url.replacen("://", "/", 1));
    match fs::read(&path) {
        Ok(bytes) => println!("{url}: {} bytes", bytes.len()),
        Err(error) => println!("{url}: {:?}", error.raw_os_error()),
    }
}

/// Opens files, and reads from each again whenever a line comes.
fn keep_reading(paths: &[&str]) {
    let mut files: Vec<_> = paths.iter().map(|path| fs::File::open(path).expect("a file")).collect();
    let mut byte = [0];
    loop {
        for (file, path) in files.iter_mut().zip(paths) {
            let (old, new) = (outcome(file.read(&mut byte)), outcome(fs::File::open(path)));
            println!("{path}: {old:?}, opened again {new:?}");
        }
        println!(".");
        let mut line = String::new();
        if io::stdin().read_line(&mut line).expect("a line") == 0 {
            return;
        }
    }
}

/// A child gets less of a capability than its parent has, never more.
fn granting(server: &str, other: &str) {
    print!("{}", fs::read_to_string("/cap/crypto/policy").expect("a policy").lines().next().unwrap_or_default());
    println!();
    let task = Task::new();
    for grant in [
        "crypto,algorithm=ed25519,keys=2,persist=no",
        "crypto",
        "crypto,algorithm=none,at=/c",
        "crypto,name=other,at=/c",
        "console",
        "floppy",
        "fetch,origin=*,header=* Cookie: a=b",
        "fetch,at=/f",
        "task,children=0,at=/t",
    ] {
        task.ctl(&format!("grant {grant}"));
        // Which devices there are is no matter of a transcript.
        let error = fs::read_to_string("/task/error").expect("error");
        let said = error.split("; there are ").next().unwrap_or_default();
        if !said.is_empty() {
            println!("{}", said.trim_end());
        }
    }
    task.tell("ns");
    task.run("cat /cap/crypto/policy");

    // The parent may ask both servers.
    for url in [format!("{server}/hello"), format!("{other}/hello")] {
        fetch(&url);
    }
    // One of them, and less of it.
    let task = Task::new();
    task.ctl(&format!("grant fetch,origin={server},max-body=1000"));
    task.run(&format!("fetch {server} {other}"));
    // What was bound is the parent's as it is.
    let task = Task::new();
    task.ctl("bind /cap/fetch /cap/fetch");
    task.run(&format!("fetch {server} {other}"));
    // A child's child has less again, and counts as its own.
    let task = Task::new();
    task.ctl("bind /bin /bin");
    task.ctl(&format!("grant fetch,origin={server},max-body=1000"));
    task.ctl("grant random");
    task.ctl("grant task,children=2");
    task.run(&format!("hand-on {server} {other}"));
}

/// A child that has all of its parent's tree, and a part of it at another place as well; and its child, alike.
fn views() {
    let files = [("/data/a.txt", "the first\n"), ("/other/a.txt", "the other\n"), ("/other/b.txt", "only there\n")];
    for (path, text) in files {
        fs::write(path, text).expect("a file");
    }
    let task = Task::new();
    task.ctl("bind / /");
    task.ctl("bind /data /scratch");
    task.ctl("grant task");
    task.run("look below");
    for path in ["/data", "/other"] {
        list(path);
    }
}

/// What a child with its parent's tree has in it, and whether different files are different.
fn look(below: &[&str]) {
    for path in ["/data/a.txt", "/scratch/a.txt", "/other/a.txt", "/other/b.txt"] {
        match fs::read_to_string(path) {
            Ok(text) => print!("{path}: {text}"),
            Err(error) => println!("{path}: {:?}", error.raw_os_error()),
        }
    }
    let files = ["/data/a.txt", "/other/a.txt", "/other/b.txt", PROGRAM, "/data", "/other", "/bin"];
    let identity = |path: &str| {
        let file = fs::File::open(path).expect("a file");
        // SAFETY: the descriptor is open.
        let stat = unsafe { wasip1::fd_filestat_get(file.as_raw_fd() as u32) }.expect("a stat");
        (stat.dev, stat.ino)
    };
    let different: BTreeSet<_> = files.iter().map(|path| identity(path)).collect();
    println!("{} files, {} identities", files.len(), different.len());
    let mark = format!("/scratch/mark-{}", below.len());
    println!("{mark}: {:?}", outcome(fs::write(&mark, "mark")));
    for path in ["/data", "/scratch", "/other"] {
        list(path);
    }
    if !below.is_empty() {
        let task = Task::new();
        task.ctl("bind / /");
        task.ctl("bind /data /scratch");
        task.run("look");
    }
}

/// What a child was given is taken away while it runs.
fn taking() {
    let task = Task::new();
    task.ctl("bind /data /in");
    task.ctl("bind /other /other");
    task.ctl("grant crypto");
    let paths = "/in/a.txt /other/a.txt /cap/crypto/policy";
    task.set("cmd", &format!("{PROGRAM} keep-reading {paths}"));
    task.ctl("start");
    let mut input = fs::OpenOptions::new().write(true).open(format!("{}/fd/0", task.0)).expect("input");
    let mut output = fs::File::open(format!("{}/fd/1", task.0)).expect("output");
    let mut shown = || {
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !text.ends_with(b".\n") && output.read(&mut byte).expect("output") > 0 {
            text.push(byte[0]);
        }
        print!("{}", String::from_utf8_lossy(&text));
    };
    shown();
    for command in ["unbind /in", "revoke /cap/crypto", "unbind /in", "revoke /none", "unbind /other/"] {
        println!("{command}");
        task.ctl(command);
        input.write_all(b"\n").expect("a line");
        shown();
    }
    task.tell("ns");
    drop(input);
    task.tell("wait");
}

/// A child that is ended while nobody reads what it prints.
fn unread() {
    let task = Task::new();
    task.set("cmd", &format!("{PROGRAM} big 3000"));
    task.ctl("start");
    let mut output = fs::File::open(format!("{}/fd/1", task.0)).expect("output");
    let mut byte = [0];
    output.read_exact(&mut byte).expect("its first byte");
    task.ctl("kill");
    task.tell("wait");
    task.tell("status");
}

/// Children have what is left of their parent's memory and descriptors, and the parent gets it back.
fn limits() {
    // What can't be put together is not started, and can be mended.
    let task = Task::new();
    task.set("cmd", &format!("{PROGRAM} root"));
    task.set("dir", "/nowhere");
    task.ctl("start");
    task.set("dir", "");
    task.set("env", "A=\0\n");
    task.ctl("start");
    task.set("env", "");
    task.tell("status");
    task.ctl("start");
    task.follow();

    for _ in 0..2 {
        let task = Task::new();
        task.set("cmd", &format!("{PROGRAM} hoard"));
        task.ctl("start");
        task.tell("wait");
        let task = Task::new();
        task.ctl("bind /data /in");
        task.run("open /in/a.txt");
    }
    let held: Vec<_> = (0..10).map(|_| fs::File::open("/data/a.txt").expect("a file")).collect();
    let task = Task::new();
    task.ctl("bind /data /in");
    task.run("open /in/a.txt");
    drop(held);
    let mut own = Vec::new();
    while let Ok(file) = fs::File::open("/data/a.txt") {
        own.push(file);
    }
    println!("{} more files", own.len());
    drop(own);
    // They end with their parent.
    for _ in 0..2 {
        let task = Task::new();
        task.set("cmd", &format!("{PROGRAM} spin"));
        task.ctl("start");
        task.tell("status");
    }
}

/// What can't be done, and why.
fn refusals() {
    let task = Task::new();
    for command in ["start", "kill", "dance", "bind /data", "bind data /in", "grant floppy", "bind /data /../in"] {
        task.ctl(command);
    }
    task.set("cmd", "/bin/none");
    task.ctl("start");
    task.set("cmd", "/data/a.txt");
    task.ctl("start");
    task.set("cmd", "/data");
    task.ctl("start");
    task.set("cmd", PROGRAM);
    task.ctl("bind /none /in");
    task.ctl("start");
    task.ctl("unbind /in");
    task.ctl("bind /data/a.txt /in");
    task.ctl("start");
    task.ctl("unbind /in");
    task.tell("status");
    // And it can be put right.
    task.run("exit 0");
    task.ctl("delete");
    task.tell("status");
    for number in 1..=19 {
        let gone = Task(format!("/task/{number}"));
        gone.ctl("delete");
    }
    let tasks = [Task::new(), Task::new()];
    list("/task");
    drop(tasks);
}
