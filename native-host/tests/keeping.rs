//! What is kept of a run: its audit, its state; and how a run ends that is told to.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

mod bench;

use capfs_devices::audit::Sink as _;
use capfs_host::audit::AuditFile;

use bench::{Bench, FD_WRITE, assert_ended, hello, program};
use rustix::process::{Pid, Signal, kill_process};

const PATH_OPEN: &str = r#"(import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;
const FD_READ: &str = r#"(import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))"#;

/// Opens `random` of its first directory `count` times, ends with the first errno, and waits for a byte of input behind the first time.
fn opens_random(count: u32, waits: bool) -> String {
    let wait = match waits {
        true => "(drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))",
        false => "",
    };
    program(
        &format!("{PATH_OPEN}{FD_READ}"),
        &format!(
            r#"(data (i32.const 100) "random") (data (i32.const 0) "\40\00\00\00\01\00\00\00")
            (func $main (result i32) (local $n i32) (local $errno i32)
              (loop $again
                (local.set $errno (call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 6)
                  (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 200)))
                (if (local.get $errno) (then (return (local.get $errno))))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (if (i32.eq (local.get $n) (i32.const 1)) (then {wait}))
                (br_if $again (i32.lt_u (local.get $n) (i32.const {count}))))
              (i32.const 0))"#
        ),
    )
}

const EIO: i32 = 29;
const ENOSPC: i32 = 51;

fn audited(bench: &Bench, audit: &Path, more: &[&str], agent: &Path) -> Output {
    let options = ["--grant", "random", "--audit", audit.to_str().unwrap()];
    bench.run(&[&options[..], more].concat(), agent)
}

#[test]
fn an_audit_is_its_owner_s_and_says_who_starts() {
    let bench = Bench::new();
    let agent = bench.agent(&opens_random(1, false));
    let audit = bench.path("audit");
    assert_ended(
        &audited(&bench, &audit, &["--id", "org.example.a"], &agent),
        0,
        "",
    );
    assert_eq!(fs::metadata(&audit).unwrap().mode() & 0o777, 0o600);
    let lines = fs::read_to_string(&audit).unwrap();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    assert_eq!(lines[0]["operation"], "start");
    assert_eq!(lines[0]["identity"], "org.example.a");
    assert_eq!(lines[1]["operation"], "open");
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["operation"], &end["code"], &end["reason"]),
        (&"end".into(), &0.into(), &"exit".into())
    );
    fs::set_permissions(&audit, fs::Permissions::from_mode(0o620)).unwrap();
    assert_ended(
        &audited(&bench, &audit, &[], &agent),
        125,
        "others can write it",
    );
    // A run that is refused when it was told that it starts has ended as well.
    let audit = bench.path("refused");
    let refused = audited(&bench, &audit, &["--dir", "/nonexistent"], &agent);
    assert_ended(&refused, 125, "can't open the folder");
    let lines = fs::read_to_string(&audit).unwrap();
    assert!(
        lines.ends_with("\"operation\":\"end\",\"code\":125,\"reason\":\"refused\"}\n"),
        "{lines}"
    );
}

#[test]
fn an_audit_that_another_could_open_to_others_is_refused() {
    let bench = Bench::new();
    let agent = bench.agent(&opens_random(1, false));
    // Nobody reads it: the run does not wait for that.
    let pipe = bench.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let refused = audited(&bench, &pipe, &[], &agent);
    assert_ended(&refused, 125, "nobody reads this pipe");
    let audit = bench.file("audit", "");
    fs::set_permissions(&audit, fs::Permissions::from_mode(0o644)).unwrap();
    assert_ended(&audited(&bench, &audit, &[], &agent), 0, "");
    // Only root can give a file away.
    match std::os::unix::fs::chown(&audit, Some(65534), None) {
        Ok(()) => {
            let refused = audited(&bench, &audit, &[], &agent);
            assert_ended(&refused, 125, "it is another user's");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
}

/// What an agent has stored must not keep it from its next run.
#[test]
fn many_stored_directories_need_few_descriptors() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let state = bench.path("state");
    for number in 0..2_000 {
        fs::create_dir_all(state.join(format!("files/own/{number}/below"))).unwrap();
    }
    let run = bench.command("run");
    let limited = Command::new("sh")
        .args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""])
        .arg(run.get_program())
        .args(run.get_args())
        .args(["--id", "org.example.a", "--grant", "opfs", "--state"])
        .args([&state, &agent])
        .env("CAPFS_CACHE_DIR", bench.path("cache"))
        .output()
        .unwrap();
    assert_ended(&limited, 0, "");
    assert_eq!(limited.stdout, b"hello\n");
}

#[test]
fn what_an_audit_has_no_room_for_is_not_done() {
    let bench = Bench::new();
    let agent = bench.agent(&opens_random(20_000, false));
    // There is room for nothing: it does not even start.
    let full = audited(&bench, Path::new("/dev/full"), &[], &agent);
    assert_ended(&full, 125, "can't write the audit");
    let audit = bench.path("audit");
    let output = audited(&bench, &audit, &["--audit-max", "1MiB"], &agent);
    assert_ended(&output, ENOSPC, "it has reached its limit of 1048576 bytes");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        told.matches("can't write to the audit").count(),
        1,
        "{told}"
    );
    let text = fs::read_to_string(&audit).unwrap();
    // What is left of it is for what was under way, and the end.
    let full = (1 << 20) - (256 << 10);
    assert!((full..full + 1000).contains(&text.len()), "{}", text.len());
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["operation"], end.get("lost")),
        (&"end".into(), None),
        "{end}"
    );
    let times = lines.iter().map(|line| line["time"].as_u64().unwrap());
    assert!(times.is_sorted(), "in the order of their times");
    // The next run begins with nothing left.
    let output = audited(&bench, &audit, &["--audit-max", "1MiB"], &agent);
    assert_ended(&output, 125, "it has reached its limit");
    let small = audited(&bench, &audit, &["--audit-max", "1023KiB"], &agent);
    assert_ended(&small, 2, "expected 1MiB or more");
}

/// The longer a line is, the sooner there is no room for one: no line may be too long to be told.
#[test]
fn what_is_done_under_long_names_is_told() {
    let bench = Bench::new();
    const MAKE: &str = r#"(import "wasi_snapshot_preview1" "path_create_directory"
        (func $make (param i32 i32 i32) (result i32)))"#;
    // Directories whose names of control characters take six bytes each in a line, and files in the innermost.
    let agent = bench.agent(&program(
        &format!("{PATH_OPEN}{MAKE}"),
        r#"(data (i32.const 1000) "storage/opfs")
           (func $main (result i32) (local $end i32) (local $n i32) (local $errno i32)
             (local.set $end (i32.const 1012))
             (loop $deeper
               (i32.store8 (local.get $end) (i32.const 47))
               (memory.fill (i32.add (local.get $end) (i32.const 1)) (i32.const 1) (i32.const 250))
               (local.set $end (i32.add (local.get $end) (i32.const 251)))
               (local.set $errno (call $make (i32.const 3) (i32.const 1000)
                 (i32.sub (local.get $end) (i32.const 1000))))
               (if (local.get $errno) (then (return (i32.const 200))))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if $deeper (i32.lt_u (local.get $n) (i32.const 15))))
             (i32.store8 (local.get $end) (i32.const 47))
             (local.set $n (i32.const 0))
             (loop $again
               (i32.store8 (i32.add (local.get $end) (i32.const 1)) (i32.add (i32.const 48) (local.get $n)))
               (local.set $errno (call $path_open (i32.const 3) (i32.const 0) (i32.const 1000)
                 (i32.sub (local.get $end) (i32.const 998))
                 (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 200)))
               (if (local.get $errno) (then (return (local.get $errno))))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if $again (i32.lt_u (local.get $n) (i32.const 60))))
             (i32.const 0))"#,
    ));
    let (audit, state) = (bench.path("audit"), bench.path("state"));
    let [log, folder] = [&audit, &state].map(|path| path.to_str().unwrap());
    let options = [
        "--grant",
        "opfs",
        "--state",
        folder,
        "--audit",
        log,
        "--audit-max",
        "1MiB",
    ];
    let output = bench.run(&options, &agent);
    assert_ended(&output, ENOSPC, "it has reached its limit");
    let mut innermost = state.join("files/own");
    for _ in 0..15 {
        innermost.push("\u{1}".repeat(250));
    }
    let made = fs::read_dir(innermost).unwrap().count();
    let text = fs::read_to_string(&audit).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let told = |line: &&serde_json::Value| line["operation"] == "create" && line["outcome"] == "ok";
    assert_eq!(lines.iter().filter(told).count(), 15 + made);
    assert!((20..60).contains(&made), "{made}");
    assert_eq!(lines.last().unwrap()["operation"], "end");
}

#[test]
fn what_other_runs_have_filled_an_audit_with_is_seen() {
    const MAX: u64 = 4 << 20;
    let bench = Bench::new();
    let path = bench.path("audit");
    let [one, other] = [(); 2].map(|()| AuditFile::open(&path, MAX).unwrap());
    one.begin("one", "a").unwrap();
    other.begin("other", "b").unwrap();
    while other.ready().is_ok() {
        other.line(&"x".repeat(64 << 10));
    }
    assert_eq!(one.ready(), Err(capfs::Errno::Nospc));
    File::create(&path).unwrap();
    assert_eq!(one.ready(), Ok(()));
}

#[test]
fn an_audit_that_is_cut_off_ends_what_would_be_in_it() {
    let bench = Bench::new();
    let agent = bench.agent(&opens_random(3, true));
    let mut command = bench.command("run");
    command
        .args(["--grant", "random", "--audit", "/dev/stdout"])
        .arg(&agent);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(r#""operation":"open""#) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0);
    }
    drop(lines);
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_ended(&output, EIO, "can't write to the audit");
}

#[test]
fn a_state_folder_is_one_program_s() {
    let bench = Bench::new();
    let one = bench.agent(&hello());
    let other = bench.file(
        "other.wasm",
        wat::parse_str(opens_random(1, false)).unwrap(),
    );
    let state = bench.path("state");
    let run = |agent: &Path, more: &[&str]| {
        let options = [&["--state", state.to_str().unwrap()][..], more].concat();
        bench.run(&options, agent)
    };
    assert_ended(&run(&one, &[]), 0, "");
    let owner = fs::read_to_string(state.join("owner")).unwrap();
    assert!(owner.starts_with("sha256:"), "{owner}");
    // The same program by another name is the same; another program by its name is not.
    let renamed = bench.file("renamed.wasm", fs::read(&one).unwrap());
    assert_ended(&run(&renamed, &[]), 0, "");
    fs::copy(&other, &one).unwrap();
    let refused = run(&one, &[]);
    assert_ended(&refused, 125, "belongs to `sha256:");
    assert_ended(&refused, 125, "hint: `--id NAME`");
    assert_ended(
        &run(&renamed, &["--id", "notes"]),
        125,
        "this program is `notes`",
    );
    fs::remove_file(state.join("owner")).unwrap();
    assert_ended(&run(&renamed, &["--id", "notes"]), 0, "");
    let manifest = format!(
        "agent = {{ program = '{}', id = 'notes' }}\n",
        renamed.display()
    );
    let manifest = bench.file("agent.toml", manifest);
    let mut command = bench.command("run");
    command
        .arg("--state")
        .arg(&state)
        .arg("--manifest")
        .arg(&manifest);
    assert_ended(&command.output().unwrap(), 0, "");
    assert_ended(&run(&renamed, &["--id", "../x"]), 2, "letters, digits");
}

/// Prints a line and computes for ever, or waits for ever.
fn endless(waits: bool) -> String {
    let for_ever = match waits {
        true => "(drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))",
        false => "(nop)",
    };
    program(
        &format!("{FD_WRITE}{FD_READ}"),
        &format!(
            r#"(data (i32.const 0) "\20\00\00\00\06\00\00\00") (data (i32.const 32) "ready\n")
            (func $main (result i32)
              (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
              (loop $again {for_ever} (br $again)) (i32.const 0))"#
        ),
    )
}

/// Waits until a program says that it is there.
fn ready(child: &mut Child) {
    let mut line = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    assert_eq!(&line, b"ready\n");
}

fn spawn(command: &mut Command) -> Child {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    ready(&mut child);
    child
}

#[test]
fn a_run_that_is_told_to_end_says_how_it_was() {
    let bench = Bench::new();
    for (signal, code, reason, waits) in [
        (Signal::TERM, 143, "terminate", false),
        (Signal::TERM, 143, "terminate", true),
        (Signal::INT, 130, "interrupt", false),
        (Signal::HUP, 129, "hangup", true),
        (Signal::QUIT, 131, "quit", false),
    ] {
        let agent = bench.agent(&endless(waits));
        let host = bench.command("run");
        // Whoever runs the tests may ignore some of them (nohup(1), say).
        let mut command = Command::new("env");
        command.arg("--default-signal").arg(host.get_program());
        command.args(host.get_args()).arg("--json").arg(&agent);
        command.env("CAPFS_CACHE_DIR", bench.path("cache"));
        let child = spawn(&mut command);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_ended(&output, code, &format!(r#""reason":"{reason}""#));
        assert_ended(&output, code, "the program was ended by ");
    }
}

/// What can't be told is dropped, and the run ends as it would have: with the same code, and with the same end in the audit.
#[test]
fn a_run_that_can_tell_nobody_anything_ends_as_any_other() {
    let bench = Bench::new();
    let agent = |name: &str, text: &str| bench.file(name, wat::parse_str(text).unwrap());
    let [fine, spins, opens] = [
        agent("fine.wasm", &hello()),
        agent("spins.wasm", &endless(false)),
        agent("opens.wasm", &opens_random(20_000, false)),
    ];
    let traps = agent(
        "traps.wasm",
        &program("", "(func $main (result i32) unreachable)"),
    );
    let broken = bench.file("broken.wasm", b"\0asm");
    let nothing = bench.path("nothing.wasm");
    let all: &[(&[&str], &Path, i32)] = &[
        (&["--json"], &fine, 0),
        (&["--listen", "127.0.0.1:0"], &fine, 0),
        (&["--no-cache", "--json"], &fine, 0),
        (
            &["--grant", "random", "--audit-max", "1MiB"],
            &opens,
            ENOSPC,
        ),
        (&["--timeout", "1s"], &spins, 124),
        (&["--timeout", "1s", "--json", "--quiet"], &spins, 124),
        (&["--json"], &traps, 134),
        (&["--dir", "/nowhere::/", "--json"], &fine, 125),
        (&["--json"], &broken, 126),
        (&["--json"], &nothing, 127),
        (&["--grant", "fetch,originn=x"], &fine, 2),
    ];
    let run = |options: &[&str], agent: &Path, stderr: Stdio| {
        let audit = bench.path("audit");
        let _ = fs::remove_file(&audit);
        let mut command = bench.command("run");
        command.args(options).arg("--audit").arg(&audit).arg(agent);
        let stdio = command.stdout(Stdio::piped()).stderr(stderr);
        (stdio.spawn().unwrap(), audit)
    };
    // How the last line says that it ended.
    let end = |audit: &Path| {
        let text = fs::read_to_string(audit).unwrap_or_default();
        let last = text.lines().last()?;
        let last: serde_json::Value = serde_json::from_str(last).unwrap();
        Some(["operation", "code", "reason", "lost"].map(|name| last[name].clone()))
    };
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for (options, agent, code) in all {
        let ended = [Stdio::null(), full()].map(|stderr| {
            let (child, audit) = run(options, agent, stderr);
            let output = child.wait_with_output().unwrap();
            (output.status.code(), output.stdout, end(&audit))
        });
        assert_eq!(ended[0].0, Some(*code), "{options:?}");
        assert_eq!(ended[0], ended[1], "{options:?}");
    }
    let (mut child, audit) = run(&["--json"], &spins, full());
    ready(&mut child);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let [operation, code, reason, _] = end(&audit).unwrap();
    assert_eq!(
        (operation, code, reason),
        ("end".into(), 143.into(), "terminate".into())
    );
}

#[test]
fn a_program_that_sits_in_a_write_is_left_there() {
    let bench = Bench::new();
    let agent = bench.agent(&program(
        FD_WRITE,
        r#"(data (i32.const 0) "\00\00\00\00\00\00\01\00")
           (func $main (result i32)
             (loop $more (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
               (br $more))
             (i32.const 0))"#,
    ));
    let mut child = bench.command("run");
    let child = child
        .arg(&agent)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // Something comes, and the rest of what fits into the pipe stays there.
    let mut first = [0; 1];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// A command as process 1 of a namespace of its own, where the system lets somebody have one.
fn as_process_1(host: &Command) -> Option<Command> {
    let unshare = [
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
    ];
    let tried = Command::new("unshare").args(unshare).arg("true").output();
    tried.ok().filter(|output| output.status.success())?;
    let mut command = Command::new("unshare");
    command.args(unshare).arg(host.get_program());
    command.args(host.get_args());
    for (name, value) in host.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    Some(command)
}

/// A process that another has started.
fn first_child(process: Pid) -> Option<Pid> {
    let process = process.as_raw_nonzero();
    let children = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(children).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

/// What asks for it again while it is being started is heard, as process 1 and where SIGHUP was ignored.
#[test]
fn what_is_taken_away_while_a_program_is_compiled_is_never_its() {
    const ENODEV: i32 = 43;
    let bench = Bench::new();
    // It takes a while to be compiled.
    let operations = "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 3)) (local.get 0)))";
    let function = format!(
        "(func (param i32) (result i32) {} local.get 0)",
        operations.repeat(300)
    );
    let text =
        opens_random(1, false).replace("(func $main", &(function.repeat(200) + "(func $main"));
    let agent = bench.agent(&text);
    let start = format!("agent = {{ program = '{}' }}\n", agent.display());
    let audit = bench.path("audit");
    let host = || {
        let mut host = bench.command("run");
        host.args(["--no-cache", "--audit"]).arg(&audit);
        host.arg("--manifest").arg(bench.path("agent.toml"));
        host
    };
    let mut ignoring = Command::new("env");
    ignoring
        .arg("--ignore-signal=HUP")
        .arg(host().get_program());
    ignoring.args(host().get_args());
    let contained = as_process_1(&host());
    let is_contained = contained.is_some();
    for (command, inner) in [(Some(ignoring), false), (contained, is_contained)] {
        let Some(mut command) = command else {
            eprintln!("there are no namespaces of processes here: not tried as process 1");
            continue;
        };
        bench.file(
            "agent.toml",
            format!("{start}[[grants]]\ndevice = 'random'\n"),
        );
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let host = || match inner {
            true => first_child(Pid::from_child(&child)),
            false => Some(Pid::from_child(&child)),
        };
        let (host, compiler) = loop {
            if let Some(host) = host()
                && let Some(compiler) = first_child(host)
            {
                break (host, compiler);
            }
            std::thread::yield_now();
        };
        kill_process(compiler, Signal::STOP).unwrap();
        bench.file("agent.toml", &start);
        kill_process(host, Signal::HUP).unwrap();
        kill_process(compiler, Signal::CONT).unwrap();
        let mut told = String::new();
        child
            .stderr
            .as_mut()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(ENODEV), "{told}");
        assert!(told.contains("revoked: random at /cap/random"), "{told}");
        let lines = fs::read_to_string(&audit).unwrap();
        let of_revoking = r#""device":"random","at":"/cap/random","operation":"revoke""#;
        assert!(lines.contains(of_revoking), "{lines}");
        fs::remove_file(&audit).unwrap();
    }
}

/// However it ends: by its time while the host waits for a passphrase that nobody gives, and by a signal.
#[test]
fn a_run_that_never_begins_makes_nobody_an_owner_and_has_ended_in_the_audit() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    // Compiled beforehand.
    assert_ended(&bench.run(&[], &agent), 0, "");
    let (state, audit, pipe) = (bench.path("state"), bench.path("audit"), bench.path("pipe"));
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let command = || {
        // Whoever runs the tests may ignore some of the signals (nohup(1), say).
        let host = bench.command("run");
        let mut command = Command::new("env");
        command.arg("--default-signal").arg(host.get_program());
        command.args(host.get_args()).args(["--grant", "crypto"]);
        command
            .arg("--state")
            .arg(&state)
            .arg("--audit")
            .arg(&audit);
        command.arg("--passphrase-file").arg(&pipe);
        command.env("CAPFS_CACHE_DIR", bench.path("cache"));
        command.stderr(Stdio::piped());
        command
    };
    let settled = |output: &Output, code: i32, reason: &str| {
        assert_ended(output, code, "");
        let lines = fs::read_to_string(&audit).unwrap();
        let end = format!(r#""operation":"end","code":{code},"reason":"{reason}"}}"#);
        let [start, last] = lines.lines().collect::<Vec<_>>()[..] else {
            panic!("{lines}");
        };
        assert!(
            start.contains(r#""operation":"start""#) && last.contains(&end),
            "{lines}"
        );
        assert!(!state.exists());
        fs::remove_file(&audit).unwrap();
    };
    let late = command()
        .args(["--timeout", "1s"])
        .arg(&agent)
        .output()
        .unwrap();
    settled(&late, 124, "timeout");
    for (signal, code, reason) in [
        (Signal::TERM, 143, "terminate"),
        (Signal::INT, 130, "interrupt"),
    ] {
        let child = command().arg(&agent).spawn().unwrap();
        while !fs::read_to_string(&audit).is_ok_and(|lines| lines.ends_with('\n')) {
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        settled(&child.wait_with_output().unwrap(), code, reason);
    }
}

#[test]
fn a_run_that_is_refused_makes_nobody_an_owner() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let state = bench.path("state");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let state = ["--state", state.to_str().unwrap()];
    let listening = ["--listen", &taken];
    for (options, why) in [
        (&listening[..], "can't listen at"),
        (&["--dir", "/nonexistent"], "can't open the folder"),
    ] {
        let output = bench.run(&[&state, options].concat(), &agent);
        assert_ended(&output, 125, why);
        assert!(!bench.path("state").exists());
    }
    assert_ended(&bench.run(&state, &agent), 0, "");
    assert!(bench.path("state/owner").exists());
}

/// In a container the host is process 1, which no signal ends unless it is handled. Where the system lets nobody
/// have a namespace of processes, the same is asked of it as an ordinary process.
#[test]
fn as_process_1_it_ends_on_sigterm() {
    let bench = Bench::new();
    let agent = bench.agent(&endless(false));
    let host = bench.command("run");
    let contained = as_process_1(&host);
    let is_contained = contained.is_some();
    let mut command = contained.unwrap_or_else(|| {
        eprintln!("there are no namespaces of processes here: it is tried as another process");
        host
    });
    let child = spawn(command.arg(&agent));
    let pid = match is_contained {
        true => first_child(Pid::from_child(&child)).unwrap(),
        false => Pid::from_child(&child),
    };
    kill_process(pid, Signal::TERM).unwrap();
    assert_ended(&child.wait_with_output().unwrap(), 143, "ended by SIGTERM");
}
