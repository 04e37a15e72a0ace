//! `capfs-host` from the outside, on the input that programs and people should not give it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

mod bench;

use bench::{Bench, FD_WRITE, PATH_OPEN, assert_ended, hello, program};
use capfs_devices::identity::digest;

#[test]
fn the_exit_code_is_the_guests() {
    let bench = Bench::new();
    for (code, shown) in [(0, 0), (7, 7), (255, 255), (256, 255)] {
        let body = format!("(func $main (result i32) (i32.const {code}))");
        let output = bench.run(&[], &bench.agent(&program("", &body)));
        assert_eq!(output.status.code(), Some(shown));
        assert_eq!(output.stderr.is_empty(), code < 256);
    }
}

#[test]
fn what_was_compiled_is_kept_and_damage_is_recovered_from() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let source = |output: &Output| {
        let report = String::from_utf8_lossy(&output.stderr);
        let report: serde_json::Value = serde_json::from_str(report.trim()).unwrap();
        report["code_source"].as_str().unwrap().to_owned()
    };
    let run = || {
        let output = bench.run(&["--json"], &agent);
        assert_eq!(output.stdout, b"hello\n");
        source(&output)
    };
    assert_eq!(run(), "compiled");
    assert_eq!(run(), "cache");
    for entry in fs::read_dir(bench.path("cache/capfs-code")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(run(), "compiled");
    assert_eq!(run(), "cache");
}

#[test]
fn files_that_are_no_agents() {
    let bench = Bench::new();
    let whole = wat::parse_str(hello()).unwrap();
    let cases: [(&[u8], &str); 6] = [
        (b"", "it is empty"),
        (b"(module)", "text format"),
        (b"#!/bin/sh\n", "script"),
        (&whole[..whole.len() - 3], "cut short"),
        (&whole[..20], "cut short"),
        (b"\0asm\x0d\0\x01\0", "component"),
    ];
    for (bytes, message) in cases {
        let output = bench.run(&[], &bench.file("bad.wasm", bytes));
        assert_ended(&output, 126, message);
    }
    assert_ended(
        &bench.run(&[], &bench.path("nothing.wasm")),
        127,
        "can't read",
    );
}

#[test]
fn a_manifest_that_is_taken_for_a_program_is_told_its_option() {
    let bench = Bench::new();
    let manifest = bench.file("agent.toml", "agent = { program = 'a.wasm' }\n");
    for verb in ["run", "inspect"] {
        let output = bench.command(verb).arg(&manifest).output().unwrap();
        let option = format!("`--manifest {}`", manifest.display());
        assert_ended(&output, 126, "is not WebAssembly");
        assert_ended(&output, 126, &option);
    }
    let agent = bench.agent(&hello());
    let output = bench.run(&["--manifest"], &agent);
    assert_ended(&output, 127, "it is a WebAssembly module");
    // And a digest without its name.
    let digits = "0".repeat(64);
    let output = bench.run(&["--manifest-digest", &digits, "--manifest"], &manifest);
    assert_ended(&output, 2, "expected `sha256:` and 64 hexadecimal digits");
}

/// A small file can unpack to much.
#[test]
fn an_archive_that_is_larger_than_the_program_may_hold_is_refused() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    // A tar of nothing, of 256 MiB.
    let zeros = std::io::repeat(0).take(256 << 20);
    let mut encoder = flate2::read::GzEncoder::new(zeros, flate2::Compression::fast());
    let mut packed = Vec::new();
    encoder.read_to_end(&mut packed).unwrap();
    bench.file("a.tar.gz", packed);
    let mount = |at: &str| format!("archive={}:{at}", bench.path("a.tar.gz").display());
    let run = |max: &str| {
        let mut command = bench.command("run");
        command.args(["--json", "--max-memory", max]);
        for number in 0..100 {
            command.args(["--mount", &mount(&format!("/{number}"))]);
        }
        command.arg(&agent).output().unwrap()
    };
    let refused = run("64MiB");
    assert_ended(
        &refused,
        125,
        "it takes more memory than the program may have",
    );
    assert_ended(&refused, 125, "`--max-memory`");
    assert!(refused.stdout.is_empty());
    // A hundred times the same.
    let output = run("300MiB");
    assert_ended(&output, 0, "");
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let held = report["account"]["held"]["files"].as_u64().unwrap();
    assert!((256 << 20..300 << 20).contains(&held), "{report}");
    let output = bench.run(&["--mount", &(mount("/a") + ":rw")], &agent);
    assert_ended(&output, 2, "an archive is read-only");
}

#[test]
fn what_is_wrong_in_a_grant_is_told_with_the_usage_of_its_verb() {
    let bench = Bench::new();
    let output = bench.run(&["--grant", "floppy"], &bench.agent(&hello()));
    assert_ended(&output, 2, "can't understand a `--grant`");
    assert_ended(&output, 2, "Usage: capfs-host run [OPTIONS]");
}

#[test]
fn unknown_imports_are_all_named() {
    let bench = Bench::new();
    let agent = bench.agent(
        r#"(module (import "env" "one" (func)) (import "env" "two" (global i32))
            (memory (export "memory") 1) (func (export "_start")))"#,
    );
    let output = bench.run(&[], &agent);
    assert_ended(&output, 126, "env.one");
    assert_ended(&output, 126, "env.two");
}

#[test]
fn a_call_of_another_type_is_refused() {
    let bench = Bench::new();
    let agent = bench.agent(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i64) (result i32)))
            (memory (export "memory") 1) (func (export "_start")))"#,
    );
    let refused = bench.run(&["--json"], &agent);
    assert_ended(&refused, 126, "fd_write (a function of another type)");
    assert_ended(&refused, 126, r#""error":"MODULE_IMPORTS""#);
    let output = bench.command("inspect").arg(&agent).output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("(missing: the call has another type)")
    );
}

#[test]
fn a_program_without_an_end_is_not_read_to_it() {
    let output = Bench::new().run(&[], Path::new("/dev/zero"));
    assert_ended(&output, 127, "it has more than");
}

#[test]
fn a_start_that_takes_values_is_told() {
    let bench = Bench::new();
    let agent = bench
        .agent(r#"(module (memory (export "memory") 1) (func (export "_start") (param i32)))"#);
    assert_ended(&bench.run(&[], &agent), 126, "takes or returns values");
}

#[test]
fn a_folder_that_can_keep_nothing_is_told_at_once() {
    let bench = Bench::new();
    let file = bench.file("file", b"");
    let state = file.join("state");
    let options = ["--state", state.to_str().unwrap(), "--grant", "indexeddb"];
    let agent = bench.agent(&hello());
    assert_ended(
        &bench.run(&options, &agent),
        125,
        "can't use the state folder",
    );
}

#[test]
fn an_unknown_call_of_wasi_fails_in_the_guest() {
    let bench = Bench::new();
    let agent = bench.agent(&program(
        r#"(import "wasi_snapshot_preview1" "sock_open"
            (func $sock_open (param i32 i32 i32) (result i32)))"#,
        "(func $main (result i32) (call $sock_open (i32.const 0) (i32.const 0) (i32.const 0)))",
    ));
    const ENOSYS: i32 = 52;
    assert_ended(&bench.run(&[], &agent), ENOSYS, "");
    let output = bench.command("inspect").arg(&agent).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("sock_open"));
}

#[test]
fn inspecting_shows_types_and_compiles_nothing() {
    let bench = Bench::new();
    let agent = bench.agent(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
            (import "env" "table" (table 3 funcref))
            (memory (export "memory") 2 16) (global (export "stack") (mut i64) (i64.const 0))
            (func (export "_start")) (func (export "pair") (param f64) (result i32 i32) unreachable))"#,
    );
    let output = bench.command("inspect").arg(&agent).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("program  {}\n", agent.display())
            + "kind     a WASI command\n\
         import   wasi_snapshot_preview1.fd_read: func (i32, i32, i32, i32) -> (i32) (provided)\n\
         import   env.table: table 3 elements or more (missing)\n\
         export   memory: memory 2 to 16 pages\n\
         export   stack: global i64\n\
         export   _start: func () -> ()\n\
         export   pair: func (f64) -> (i32, i32)\n\
         refused  it imports what no host provides: env.table (table) (MODULE_IMPORTS)\n"
            + &format!(
                "digest   {} (of the module; who it is, unless told otherwise)\n",
                digest(&fs::read(&agent).unwrap())
            )
    );
    let output = bench.command("inspect").arg("--json").arg(&agent).output();
    let described: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    assert_eq!(described["command"], true);
    assert_eq!(described["digest"], digest(&fs::read(&agent).unwrap()));
    assert_eq!(described["imports"][1]["status"], "missing");
    assert!(!bench.path("cache").exists());
    let cut = fs::read(&agent).unwrap();
    let cut = bench.file("cut.wasm", &cut[..cut.len() - 1]);
    assert_ended(
        &bench.command("inspect").arg(cut).output().unwrap(),
        126,
        "cut short",
    );
}

#[test]
fn a_module_without_an_entry() {
    let bench = Bench::new();
    let agent = bench.agent(r#"(module (memory (export "memory") 1) (func (export "main")))"#);
    assert_ended(&bench.run(&[], &agent), 126, "_start");
}

#[test]
fn traps() {
    let bench = Bench::new();
    let agent = bench.agent(&program("", "(func $main (result i32) unreachable)"));
    assert_ended(&bench.run(&[], &agent), 134, "unreachable");
    let quiet = bench.run(&["--quiet"], &agent);
    assert!(quiet.stderr.is_empty());
    let agent = bench.agent(&program("", "(func $main (result i32) (call $main))"));
    assert_ended(&bench.run(&[], &agent), 134, "call stack exhausted");
}

#[test]
fn memory_grows_to_its_limit() {
    let bench = Bench::new();
    let grow = "(func $main (result i32) (local $pages i32)
        (loop $more
          (local.set $pages (i32.add (local.get $pages) (i32.const 1)))
          (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))";
    // Two pages at the start, 13 more, and less than one for descriptors and arguments; the 14th fails.
    let agent = bench.agent(&program("", &format!("{grow} (local.get $pages))")));
    assert_ended(&bench.run(&["--max-memory", "1MiB"], &agent), 14, "");
    let agent = bench.agent(&program("", &format!("{grow} unreachable)")));
    assert_ended(
        &bench.run(&["--max-memory", "1MiB"], &agent),
        137,
        "out of memory",
    );
    assert_ended(
        &bench.run(&["--max-memory", "64KiB"], &agent),
        125,
        "needs 131072 bytes",
    );
    // A place for each of its globals is the program's as well.
    let globals = "(global i32 (i32.const 0))".repeat(100_000);
    let agent = bench.agent(&program(
        "",
        &format!("{globals} (func $main (result i32) (i32.const 0))"),
    ));
    let refused = bench.run(&["--max-memory", "1MiB"], &agent);
    assert_ended(
        &refused,
        125,
        "an instance of the program needs more memory",
    );
    let output = bench.run(&["--max-memory", "2MiB", "--json"], &agent);
    assert_ended(&output, 0, "");
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(
        report["account"]["peak"].as_u64().unwrap() > 100_000 * 16,
        "{report}"
    );
}

#[test]
fn a_guest_that_spins_is_ended() {
    let bench = Bench::new();
    let agent = bench.agent(&program(
        "",
        "(func $main (result i32) (loop $l (br $l)) (i32.const 0))",
    ));
    assert_ended(
        &bench.run(&["--timeout", "50ms"], &agent),
        124,
        "its time of 50ms was up",
    );
}

#[test]
fn a_guest_that_sleeps_for_ever_is_ended() {
    let bench = Bench::new();
    // One subscription: the monotonic clock, at the end of time.
    let agent = bench.agent(&program(
        r#"(import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))"#,
        r#"(func $main (result i32)
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 0x7fffffffffffffff))
            (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))"#,
    ));
    assert_ended(&bench.run(&["--timeout", "50ms"], &agent), 124, "its time");
}

#[test]
fn a_guest_that_writes_into_a_pipe_that_nobody_empties_is_ended() {
    let bench = Bench::new();
    let agent = bench.agent(&program(
        FD_WRITE,
        r#"(data (i32.const 0) "\00\00\00\00\00\00\01\00")
           (func $main (result i32)
             (loop $more (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
               (br $more))
             (i32.const 0))"#,
    ));
    let (_unread, pipe) = std::io::pipe().unwrap();
    let output = bench
        .command("run")
        .args(["--timeout", "100ms"])
        .arg(agent)
        .stdout(pipe)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_ended(&output, 124, "its time");
}

#[test]
fn a_closed_pipe_is_an_error_to_the_guest() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let (unread, pipe) = std::io::pipe().unwrap();
    drop(unread);
    let output = bench
        .command("run")
        .arg(agent)
        .stdout(pipe)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    const EPIPE: i32 = 64;
    assert_ended(&output, EPIPE, "");
}

#[test]
fn nothing_is_read_that_the_guest_did_not_ask_for() {
    let bench = Bench::new();
    let agent = bench.agent(&program(
        r#"(import "wasi_snapshot_preview1" "fd_read"
            (func $fd_read (param i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 0) "\10\00\00\00\03\00\00\00")
           (func $main (result i32)
             (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
             (i32.load (i32.const 8)))"#,
    ));
    let (mut rest, mut pipe) = std::io::pipe().unwrap();
    let mut child = bench
        .command("run")
        .arg(agent)
        .stdin(rest.try_clone().unwrap())
        .spawn()
        .unwrap();
    pipe.write_all(b"abcdef").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    drop(pipe);
    let mut left = String::new();
    rest.read_to_string(&mut left).unwrap();
    assert_eq!(left, "def");
}

#[test]
fn a_path_of_70_000_bytes() {
    let bench = Bench::new();
    let agent = bench.agent(&program(
        PATH_OPEN,
        r#"(func $main (result i32)
            (memory.fill (i32.const 0) (i32.const 97) (i32.const 70000))
            (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 70000) (i32.const 0)
              (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 70004)))"#,
    ));
    const ENAMETOOLONG: i32 = 37;
    assert_ended(
        &bench.run(&["--mount", "memory:/"], &agent),
        ENAMETOOLONG,
        "",
    );
}

#[test]
fn ten_thousand_open_descriptors() {
    let bench = Bench::new();
    bench.file("file", "x");
    let open = |count: u32| {
        program(
            PATH_OPEN,
            &format!(
                r#"(data (i32.const 0) "file")
                (func $main (result i32) (local $n i32) (local $errno i32)
                  (loop $more
                    (local.set $errno (call $path_open (i32.const 3) (i32.const 0) (i32.const 0)
                      (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))
                    (if (local.get $errno) (then (return (local.get $errno))))
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $more (i32.lt_u (local.get $n) (i32.const {count}))))
                  (i32.const 0))"#
            ),
        )
    };
    let directory = format!("{}::/", bench.directory.path().display());
    let agent = bench.agent(&open(10_000));
    assert_ended(&bench.run(&["--dir", &directory], &agent), 0, "");
    const EMFILE: i32 = 33;
    let few = bench.run(&["--dir", &directory, "--max-files", "100"], &agent);
    assert_ended(&few, EMFILE, "");
}

#[test]
fn two_capabilities_at_one_path_are_refused() {
    let bench = Bench::new();
    let first = ["--grant", "fetch,origin=https://a.example"];
    let second = ["--grant", "fetch,origin=https://b.example"];
    let output = bench.run(&[first, second].concat(), &bench.agent(&hello()));
    assert_ended(&output, 125, "at `/cap/fetch` there is");
    assert!(output.stdout.is_empty());
}

/// Writes to standard error without end.
fn floods_stderr() -> String {
    program(
        FD_WRITE,
        r#"(func $main (result i32) (i32.store (i32.const 4) (i32.const 4096))
           (loop $more (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) (br $more))
           (i32.const 0))"#,
    )
}

#[test]
fn a_pipe_that_nobody_empties_keeps_no_program_beyond_its_time() {
    let bench = Bench::new();
    let agent = bench.agent(&floods_stderr());
    for options in [&[][..], &["--json"], &["--json", "--quiet"]] {
        let mut command = bench.command("run");
        command.args(options).args(["--timeout", "300ms"]);
        let command = command.arg(&agent).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Kept open, and not read.
        let stderr = child.stderr.take();
        let (ends, ended) = mpsc::channel();
        let pid = child.id();
        thread::spawn(move || ends.send(child.wait().unwrap()));
        let ended = ended.recv_timeout(Duration::from_secs(30));
        if ended.is_err() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        let code = ended.expect("it ends by itself").code();
        assert_eq!(code, Some(124), "{options:?}");
        drop(stderr);
    }
}

#[test]
fn what_another_run_left_of_a_line_is_not_the_beginning_of_this_ones() {
    let bench = Bench::new();
    let audit = bench.file("audit", "{\"time\":1,\"devi");
    let mut private = fs::metadata(&audit).unwrap().permissions();
    private.set_mode(0o600);
    fs::set_permissions(&audit, private).unwrap();
    let agent = bench.agent(&hello());
    let output = bench.run(&["--audit", audit.to_str().unwrap()], &agent);
    assert_ended(&output, 0, "");
    let written = fs::read_to_string(&audit).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines.len(), 3, "{written}");
    assert!(lines[1].contains(r#""operation":"start""#), "{written}");
}

#[test]
fn a_file_over_the_systems_limit_is_an_error_of_its_write() {
    let bench = Bench::new();
    let folder = bench.path("data");
    fs::create_dir(&folder).unwrap();
    // 64 times 64 KiB, where 1 MiB is allowed; the errno is the exit code.
    let text = program(
        &format!("{PATH_OPEN} {FD_WRITE}"),
        r#"(func $main (result i32) (local $n i32) (local $errno i32)
           (i32.store8 (i32.const 16) (i32.const 102))
           (i32.store (i32.const 4) (i32.const 65536))
           (local.set $errno (call $path_open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 1)
             (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 48)))
           (if (local.get $errno) (then (return (local.get $errno))))
           (loop $more
             (local.set $errno (call $fd_write (i32.load (i32.const 48)) (i32.const 0) (i32.const 1) (i32.const 52)))
             (if (local.get $errno) (then (return (local.get $errno))))
             (local.set $n (i32.add (local.get $n) (i32.const 1)))
             (br_if $more (i32.lt_u (local.get $n) (i32.const 64))))
           (i32.const 0))"#,
    );
    let agent = bench.agent(&text);
    let run = bench.command("run");
    let program = run.get_program().to_owned();
    let mut limited = Command::new("bash");
    limited
        .args(["-c", "ulimit -f 1024; exec \"$@\"", "bash"])
        .arg(program);
    limited.args(run.get_args());
    for (name, value) in run.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    let grant = format!("{}::/:rw", folder.display());
    let limited = limited.args(["--no-cache", "--dir", &grant]).arg(&agent);
    const EFBIG: i32 = 22;
    assert_ended(&limited.output().unwrap(), EFBIG, "");
}
