//! Modules that take long, or much, to be compiled: what bounds and ends that.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

mod bench;

use bench::odd::{large, long};
use bench::processes::{children, is_there};
use bench::{Bench, FD_WRITE, assert_ended, hello, program};
use rustix::process::{Pid, Signal, kill_process};

/// Starts `/w/child.wasm` as task 1 and ends with the errno of that; where there is `killer.wasm`, that is task 2 and starts before,
/// with its parent's `/task` as its own.
fn parent(killer: bool) -> String {
    let killer = match killer {
        true => {
            r#"(call $check (call $ask (i32.const 80) (i32.const 8)))
            (call $check (call $say (i32.const 96) (i32.const 5) (i32.const 112) (i32.const 15)))
            (call $check (call $say (i32.const 144) (i32.const 5) (i32.const 160) (i32.const 23)))"#
        }
        false => "",
    };
    program(
        &format!("{FD_WRITE}{CALLS}"),
        &format!(
            r#"{FUNCTIONS}
            (data (i32.const 80) "new/wasi") (data (i32.const 16) "1/cmd") (data (i32.const 32) "/w/child.wasm\n")
            (data (i32.const 48) "1/ctl") (data (i32.const 64) "start\n")
            (data (i32.const 96) "2/cmd") (data (i32.const 112) "/w/killer.wasm\n")
            (data (i32.const 144) "2/ctl") (data (i32.const 160) "bind /task /task\nstart\n")
            (func $main (result i32)
              (call $check (call $ask (i32.const 80) (i32.const 8)))
              (call $check (call $say (i32.const 16) (i32.const 5) (i32.const 32) (i32.const 14)))
              {killer}
              (call $say (i32.const 48) (i32.const 5) (i32.const 64) (i32.const 6)))"#
        ),
    )
}

/// Waits until task 1 of its parent is being started, and kills it.
fn killer() -> String {
    program(
        &format!("{FD_WRITE}{CALLS}"),
        &format!(
            r#"{FUNCTIONS}
            (data (i32.const 16) "1/status") (data (i32.const 32) "1/ctl") (data (i32.const 64) "kill\n")
            (func $main (result i32)
              (loop $again
                (call $check (call $ask (i32.const 16) (i32.const 8)))
                ;; `starting`
                (br_if $again (i64.ne (i64.load (i32.const 256)) (i64.const 0x676e697472617473))))
              (call $say (i32.const 32) (i32.const 5) (i32.const 64) (i32.const 5)))"#
        ),
    )
}

const CALLS: &str = r#"
    (import "wasi_snapshot_preview1" "path_open"
      (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))"#;

/// Paths are below each of the first directories until one has it. `$ask` reads a file to 256; `$say` writes one.
const FUNCTIONS: &str = r#"
    (func $check (param $errno i32) (if (local.get $errno) (then (call $exit (i32.add (i32.const 100) (local.get $errno))))))
    (func $open (param $path i32) (param $length i32) (param $rights i64) (result i32) (local $errno i32) (local $at i32)
      (local.set $at (i32.const 3))
      (loop $again
        (local.set $errno (call $path_open (local.get $at) (i32.const 0) (local.get $path) (local.get $length)
          (i32.const 0) (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 200)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $again (i32.and (i32.ne (local.get $errno) (i32.const 0)) (i32.lt_u (local.get $at) (i32.const 6)))))
      (local.get $errno))
    (func $ask (param $path i32) (param $length i32) (result i32) (local $errno i32)
      (call $check (call $open (local.get $path) (local.get $length) (i64.const 2)))
      (i32.store (i32.const 208) (i32.const 256)) (i32.store (i32.const 212) (i32.const 64))
      (local.set $errno (call $fd_read (i32.load (i32.const 200)) (i32.const 208) (i32.const 1) (i32.const 204)))
      (drop (call $fd_close (i32.load (i32.const 200))))
      (local.get $errno))
    (func $say (param $path i32) (param $length i32) (param $text i32) (param $count i32) (result i32) (local $errno i32)
      (call $check (call $open (local.get $path) (local.get $length) (i64.const 64)))
      (i32.store (i32.const 208) (local.get $text)) (i32.store (i32.const 212) (local.get $count))
      (local.set $errno (call $fd_write (i32.load (i32.const 200)) (i32.const 208) (i32.const 1) (i32.const 204)))
      (drop (call $fd_close (i32.load (i32.const 200))))
      (local.get $errno))"#;

const ECANCELED: i32 = 11;
const ENOMEM: i32 = 48;
const MIB: u64 = 1 << 20;

/// A run of a parent whose folder `/w` has these files.
fn parent_of(bench: &Bench, files: &[(&str, Vec<u8>)], options: &[&str]) -> Command {
    let folder = bench.path("w");
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let killer = files.iter().any(|(name, _)| *name == "killer.wasm");
    let agent = bench.agent(&parent(killer));
    let mut command = bench.command("run");
    command.args(options).args(["--grant", "task", "--dir"]);
    command
        .arg(format!("{}::/w", folder.display()))
        .arg("--json")
        .arg(agent);
    command
}

/// The most that a process has had of memory, in bytes.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    peak.unwrap_or(0) << 10
}

/// Runs a command to its end; with the most that it and what it has started have had at once.
fn measured(mut command: Command) -> (Output, u64) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let of_children: u64 = children(child.id()).into_iter().map(peak).sum();
        most = most.max(peak(child.id()) + of_children);
        std::thread::yield_now();
    }
    (child.wait_with_output().unwrap(), most)
}

#[test]
fn what_a_child_takes_to_be_compiled_is_within_the_account() {
    const LIMIT: u64 = 128 * MIB;
    // Code and data of two processes of the host, and what is allocated between two looks.
    const BESIDE: u64 = 160 * MIB;
    let bench = Bench::new();
    let max = LIMIT.to_string();
    let command = parent_of(&bench, &[("child.wasm", large())], &["--max-memory", &max]);
    let (output, most) = measured(command);
    assert_ended(&output, ENOMEM, r#""reason":"exit""#);
    assert!(most < LIMIT + BESIDE, "{} MiB", most / MIB);
    let report = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value = serde_json::from_str(report.trim()).unwrap();
    let of_account = report["account"]["peak"].as_u64().unwrap();
    assert!((LIMIT / 4..=LIMIT).contains(&of_account), "{of_account}");
}

#[test]
fn a_child_is_killed_while_it_is_compiled() {
    let bench = Bench::new();
    let killer = wat::parse_str(killer()).unwrap();
    let files = [("child.wasm", long()), ("killer.wasm", killer)];
    let mut command = parent_of(&bench, &files, &["--no-cache"]);
    assert_ended(&command.output().unwrap(), ECANCELED, r#""reason":"exit""#);
}

#[test]
fn the_time_of_a_program_runs_while_it_is_compiled() {
    let bench = Bench::new();
    let agent = bench.file("long.wasm", long());
    for options in [&["--no-cache"][..], &[]] {
        let begun = Instant::now();
        let options = [options, &["--json", "--timeout", "200ms"]].concat();
        let output = bench.run(&options, &agent);
        assert_ended(&output, 124, "its time of 200ms was up before it began");
        assert_ended(&output, 124, r#""reason":"timeout""#);
        // It is compiled for minutes.
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    // One that is through in time is not ended.
    let output = bench.run(&["--timeout", "1h"], &bench.agent(&hello()));
    assert_ended(&output, 0, "");
    // Nor does a file without an end, or a pipe that nobody writes to, hold it up for ever.
    let pipe = bench.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let output = bench.run(&["--timeout", "200ms"], &pipe);
    assert_ended(&output, 124, "was up before it began");
}

/// Waits until a host compiles, and answers with the process that does.
fn compiler(host: &mut Child) -> Pid {
    loop {
        assert!(host.try_wait().unwrap().is_none(), "it has ended");
        if let [process] = children(host.id())[..] {
            return Pid::from_raw(process.try_into().unwrap()).unwrap();
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_compiler_ends_with_its_host() {
    let bench = Bench::new();
    let agent = bench.file("long.wasm", long());
    for signal in [Signal::TERM, Signal::KILL] {
        let mut host = bench.command("run").arg(&agent).spawn().unwrap();
        let compiler = compiler(&mut host);
        kill_process(Pid::from_child(&host), signal).unwrap();
        assert!(!host.wait().unwrap().success());
        while is_there(compiler) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn who_waits_is_told_that_it_is_compiled() {
    let bench = Bench::new();
    let agent = bench.file("long.wasm", long());
    let told = |more: &str| format!("compiling: {} (41 kB){more}\n", agent.display());
    for (options, more) in [(&[][..], ", kept for next time"), (&["--no-cache"], "")] {
        let mut command = bench.command("run");
        let command = command.args(options).arg(&agent).stderr(Stdio::piped());
        let mut host = command.spawn().unwrap();
        let mut line = vec![0; told(more).len()];
        let read = host.stderr.as_mut().unwrap().read_exact(&mut line);
        host.kill().unwrap();
        host.wait().unwrap();
        read.unwrap();
        assert_eq!(String::from_utf8_lossy(&line), told(more));
    }
}

#[test]
fn a_compiler_that_nobody_has_started_says_so() {
    let mut command = Bench::new().command("compile");
    let output = command.args(["--max", "1000000", "--parent", "1"]).output();
    assert_ended(&output.unwrap(), 4, "it is to be started by a run");
}
