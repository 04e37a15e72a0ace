//! Code of the baseline compiler: when it is run, that it is the same program, and what is made behind it.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

mod bench;

use bench::odd::{large, long, padded};
use bench::processes::is_there;
use bench::{Bench, FD_WRITE, assert_ended, hello, program};
use rustix::process::{Pid, Signal, kill_process};

/// As much as makes a module a large one.
const LARGE: usize = 1 << 20;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether there is a baseline compiler that is used unless told.
const USED: bool = cfg!(all(
    target_arch = "x86_64",
    target_os = "linux",
    target_env = "gnu"
));

/// Which compiler the code of a run was from, and where it came from.
fn code(output: &Output) -> (String, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    let report = text.lines().last().unwrap_or_default();
    let report: serde_json::Value = serde_json::from_str(report).expect(&text);
    let word = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
    (word("tier"), word("code_source"))
}

fn run(bench: &Bench, compiler: &str, agent: &Path) -> Output {
    bench.run(&["--json", "--compiler", compiler], agent)
}

fn is(tier: &str, source: &str) -> (String, String) {
    (tier.to_owned(), source.to_owned())
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

fn large_hello(bench: &Bench) -> std::path::PathBuf {
    let module = padded(wat::parse_str(hello()).unwrap(), LARGE);
    bench.file("hello.wasm", module)
}

/// The process that compiles behind a program of this bench.
fn behind(bench: &Bench) -> Option<Pid> {
    let folder = bench.path("cache").display().to_string();
    let processes = names(Path::new("/proc")).into_iter();
    let mut found = processes.filter(|name| {
        let line = fs::read(format!("/proc/{name}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        let is = |word: &str| words.contains(&word.as_bytes());
        is("--behind") && is(&format!("{folder}/capfs-code")) && !is("--parent")
    });
    let pid: i32 = found.next()?.parse().ok()?;
    assert!(found.next().is_none(), "two compile at once");
    Pid::from_raw(pid)
}

#[test]
fn the_first_start_does_not_wait_for_optimised_code_and_another_has_it() {
    let bench = Bench::new();
    let agent = large_hello(&bench);
    let first = run(&bench, "tiered", &agent);
    assert_eq!(first.stdout, b"hello\n");
    assert_eq!(code(&first), is("baseline", "compiled"));
    until("there is no optimised code", || {
        let next = run(&bench, "tiered", &agent);
        assert_eq!(next.stdout, b"hello\n");
        let (tier, source) = code(&next);
        assert_eq!(source, "cache");
        tier == "optimised"
    });
    // What is kept is that, and nothing of what it was made with.
    let folder = bench.path("cache/capfs-code");
    until("something is left", || {
        let left = names(&folder);
        let entries = left.iter().filter(|name| name.ends_with(".cwasm")).count();
        entries == 1 && left.len() == 2 && left.iter().any(|name| name == ".behind")
    });
    assert_eq!(code(&run(&bench, "optimising", &agent)).1, "cache");
    // Each compiler's code has a place of its own.
    let baseline = code(&run(&bench, "baseline", &agent));
    assert_eq!(baseline, is("baseline", "compiled"));
    let tiered = code(&run(&bench, "tiered", &agent));
    assert_eq!(tiered, is("optimised", "cache"));
    // Which makes nothing behind.
    assert!(behind(&bench).is_none());
}

#[test]
fn a_cache_that_is_named_from_here_is_the_same_behind_a_program() {
    let bench = Bench::new();
    let agent = large_hello(&bench);
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_capfs-host"));
        command.args(["run", "--json", "--compiler", "tiered"]);
        command.arg(&agent).current_dir(bench.path(""));
        command.env("CAPFS_CACHE_DIR", "cache").stdin(Stdio::null());
        command.output().unwrap()
    };
    assert_eq!(code(&start()), is("baseline", "compiled"));
    until("there is no optimised code", || {
        code(&start()) == is("optimised", "cache")
    });
}

#[test]
fn what_is_small_and_what_is_not_kept_is_optimised_at_once() {
    let bench = Bench::new();
    let small = bench.agent(&hello());
    assert_eq!(
        code(&run(&bench, "tiered", &small)),
        is("optimised", "compiled")
    );
    let large = large_hello(&bench);
    let options = ["--json", "--no-cache", "--compiler", "tiered"];
    let output = bench.run(&options, &large);
    assert_eq!(code(&output), is("optimised", "compiled"));
    let output = run(&bench, "optimising", &large);
    assert_eq!(code(&output), is("optimised", "compiled"));
    let options = ["--json", "--no-cache", "--compiler", "baseline"];
    let output = bench.run(&options, &small);
    assert_eq!(code(&output), is("baseline", "compiled"));
}

#[test]
fn it_is_so_unless_told_where_wasmtime_answers_for_it() {
    let bench = Bench::new();
    let agent = large_hello(&bench);
    let (tier, _) = code(&bench.run(&["--json"], &agent));
    assert_eq!(tier == "baseline", USED);
}

/// `$main` of a module, with what is before it.
fn main(before: &str, body: &str) -> String {
    program("", &format!("{before} (func $main (result i32) {body})"))
}

#[test]
fn what_the_baseline_compiler_does_not_take_the_other_does() {
    let bench = Bench::new();
    let tail_call = main(
        "(func $f (param i32) (result i32) (if (result i32) (local.get 0)
            (then (return_call $f (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 7))))",
        "(call $f (i32.const 1000000))",
    );
    let exception = main(
        "(tag $t (param i32))",
        "(block $h (result i32) (try_table (catch $t $h) (throw $t (i32.const 7))) (i32.const 1))",
    );
    let structure = main(
        "(type $s (struct (field i32)))",
        "(struct.get $s 0 (struct.new $s (i32.const 7)))",
    );
    let reference = main(
        "(type $f (func (result i32))) (elem declare func $seven) (func $seven (result i32) (i32.const 7))",
        "(call_ref $f (ref.func $seven))",
    );
    let relaxed = main(
        "",
        "(i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.const 7))))",
    );
    let all = [tail_call, exception, structure, reference, relaxed];
    for text in all {
        let agent = bench.agent(&text);
        let source = |output: &Output| {
            assert_eq!(output.status.code(), Some(7), "{text}: {output:?}");
            let (tier, source) = code(output);
            assert_eq!(tier, "optimised", "{text}");
            source
        };
        assert_eq!(source(&run(&bench, "baseline", &agent)), "compiled");
        assert_eq!(source(&run(&bench, "baseline", &agent)), "cache");
    }
    // And what no compiler takes is refused as ever.
    let invalid = main("", "(i64.const 1)");
    let agent = bench.agent(&invalid);
    let output = run(&bench, "baseline", &agent);
    assert_ended(&output, 126, "MODULE_INVALID");
}

/// What must be the same of both: the exit code, and what is said of the end, but for where in a function it was, which is an instruction
/// or the next.
fn told(output: &Output) -> (Option<i32>, Vec<String>) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with('{'));
    let lines = lines.map(|line| line.rsplit(" - ").next().unwrap_or_default().to_owned());
    (output.status.code(), lines.collect())
}

#[test]
fn it_is_the_same_program() {
    let bench = Bench::new();
    let table = "(type $f (func (result i32))) (table 4 funcref) (elem (i32.const 0) $seven $other)
        (func $seven (result i32) (i32.const 7)) (func $other (param i32))";
    let wide = "(memory $second 1) (memory $third i64 1)";
    let all = [
        main("", "(unreachable)"),
        main(
            "(global $zero (mut i32) (i32.const 0))",
            "(i32.div_s (i32.const 1) (global.get $zero))",
        ),
        main(
            "(global $less (mut i32) (i32.const -1))",
            "(i32.div_s (i32.const 0x80000000) (global.get $less))",
        ),
        main(
            "(global $nan (mut f64) (f64.const nan))",
            "(i32.trunc_f64_s (global.get $nan))",
        ),
        main(
            "(global $nan (mut f64) (f64.const nan))",
            "(i32.trunc_sat_f64_s (global.get $nan))",
        ),
        main("", "(i32.load (i32.const 0x20000))"),
        main("", "(i32.load offset=0xffffffff (i32.const -1))"),
        main(
            "",
            "(i32.store8 (i32.const -1) (i32.const 1)) (i32.const 0)",
        ),
        main(
            "",
            "(memory.fill (i32.const 0x1ffff) (i32.const 0) (i32.const 2)) (i32.const 0)",
        ),
        main(
            "",
            "(memory.copy (i32.const 0) (i32.const 0x1fff0) (i32.const 0x20)) (i32.const 0)",
        ),
        main(
            "(data $d \"1234\")",
            "(memory.init $d (i32.const 0) (i32.const 2) (i32.const 3)) (i32.const 0)",
        ),
        main(
            "",
            "(i32.sub (memory.grow (i32.const 1)) (memory.grow (i32.const 0x10000)))",
        ),
        main(table, "(call_indirect (type $f) (i32.const 0))"),
        main(table, "(call_indirect (type $f) (i32.const 1))"),
        main(table, "(call_indirect (type $f) (i32.const 2))"),
        main(table, "(call_indirect (type $f) (i32.const 4))"),
        main(table, "(ref.is_null (table.get 0 (i32.const 4)))"),
        main(
            table,
            "(i32.add (table.grow 0 (ref.null func) (i32.const 3)) (table.size 0))",
        ),
        main(
            wide,
            "(i32.store $second (i32.const 8) (i32.const 7)) (i32.load $second (i32.const 8))",
        ),
        main(wide, "(i32.load $third (i64.const 0x10000))"),
        main(wide, "(i32.load $third (i64.const 0xffffffffffffffff))"),
        main(
            "",
            "(i32x4.extract_lane 3 (i32x4.mul (v128.const i32x4 1 2 3 4) (i32x4.splat (i32.const 5))))",
        ),
        main(
            "(func $two (result i32 i32) (i32.const 9) (i32.const 2))",
            "(call $two) (i32.sub)",
        ),
    ];
    let mut of_baseline = 0;
    for text in all {
        let agent = bench.agent(&text);
        let baseline = run(&bench, "baseline", &agent);
        let optimised = run(&bench, "optimising", &agent);
        assert_eq!(told(&baseline), told(&optimised), "{text}");
        let (tier, _) = code(&baseline);
        of_baseline += usize::from(tier == "baseline");
    }
    // Where there is such a compiler it takes all of these.
    assert!(!USED || of_baseline == 23, "{of_baseline}");
}

#[test]
fn a_guest_that_recurses_without_end_traps() {
    let bench = Bench::new();
    // Each call asks the host as well, which has room of its own.
    let calls = |locals: usize| {
        let body = format!(
            r#"(func $down (param i32) (result i32) (local {}) (drop (call $fd_write (i32.const 77) (i32.const 0) (i32.const 0) (i32.const 8)))
                 (i32.add (call $down (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
               (func $main (result i32) (call $down (i32.const 0)))"#,
            "i64 ".repeat(locals)
        );
        program(FD_WRITE, &body)
    };
    for locals in [0, 10, 5_000] {
        let output = run(&bench, "baseline", &bench.agent(&calls(locals)));
        assert_ended(&output, 134, "call stack exhausted");
        assert_eq!(code(&output).0 == "baseline", USED);
    }
}

/// Says hello, and computes for ever.
fn spinning() -> String {
    program(
        FD_WRITE,
        r#"(data (i32.const 16) "hello\n") (data (i32.const 0) "\10\00\00\00\06\00\00\00")
           (func $main (result i32)
             (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
             (loop $again (br $again)) (i32.const 0))"#,
    )
}

#[test]
fn a_guest_that_computes_is_ended() {
    let bench = Bench::new();
    let agent = bench.agent(&spinning());
    let options = ["--json", "--compiler", "baseline", "--timeout", "1s"];
    let output = bench.run(&options, &agent);
    assert_ended(&output, 124, r#""reason":"timeout""#);
    assert_eq!(code(&output).0 == "baseline", USED);
    let mut command = bench.command("run");
    command.args(["--json", "--compiler", "baseline"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut host = command.arg(&agent).spawn().unwrap();
    let mut said = [0; 6];
    host.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    kill_process(Pid::from_child(&host), Signal::INT).unwrap();
    let output = host.wait_with_output().unwrap();
    assert_ended(&output, 130, r#""reason":"interrupt""#);
    assert_eq!(code(&output).0 == "baseline", USED);
}

#[test]
fn of_many_starts_at_once_one_compiles() {
    let bench = Bench::new();
    let agent = large_hello(&bench);
    for compiler in ["baseline", "optimising", "tiered"] {
        let start = |_| {
            let mut command = bench.command("run");
            command.args(["--json", "--compiler", compiler]).arg(&agent);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let hosts: Vec<_> = (0..6).map(start).collect();
        let outputs = hosts
            .into_iter()
            .map(|host| host.wait_with_output().unwrap());
        let outputs: Vec<_> = outputs.collect();
        let compiled = outputs.iter().filter(|output| {
            assert_eq!(output.stdout, b"hello\n");
            code(output).1 == "compiled"
        });
        // At last there is code of both.
        let expected = usize::from(compiler != "tiered");
        assert_eq!(compiled.count(), expected, "{compiler}");
    }
}

/// A word of the process's `stat` (proc_pid_stat(5)), by its number there.
fn stat(process: Pid, number: usize) -> i64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap();
    // The name may have spaces in it; it is the second.
    let words = text.rsplit_once(')').unwrap().1;
    let word = words.split_whitespace().nth(number - 3).unwrap();
    word.parse().unwrap()
}

#[test]
fn what_is_made_behind_a_program_is_nobodys() {
    let bench = Bench::new();
    // It takes gigabytes by the optimising compiler, and so its time; by the other nothing.
    let agent = bench.file("large.wasm", padded(large(), LARGE));
    let held = bench.path("held");
    let script = format!(r#"exec 9>'{}'; exec "$0" "$@""#, held.display());
    let start = || {
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_capfs-host"), "run"]);
        command.args(["--json", "--compiler", "tiered"]);
        command.env("CAPFS_CACHE_DIR", bench.path("cache"));
        command.arg(&agent).stdin(Stdio::null()).output().unwrap()
    };
    // It ends although what was begun behind it goes on, for its output is nobody's either.
    let first = start();
    assert_eq!(code(&first), is("baseline", "compiled"));
    let process = behind(&bench).expect("it has ended already");
    let number = process.as_raw_nonzero();
    let folder = format!("/proc/{number}");
    until("it doesn't bound itself", || {
        let limits = fs::read_to_string(format!("{folder}/limits")).unwrap();
        let is_bound = |limit: &str| {
            let mut lines = limits.lines();
            lines.any(|line| line.starts_with(limit) && !line.contains("unlimited"))
        };
        is_bound("Max cpu time") && is_bound("Max data size")
    });
    until("it has no low priority", || stat(process, 19) >= 10);
    let session = stat(process, 6);
    assert_ne!(
        session,
        i64::from(
            rustix::process::getsid(None)
                .unwrap()
                .as_raw_nonzero()
                .get()
        )
    );
    // In which it leads nothing, and so comes by no terminal.
    assert_ne!(session, i64::from(process.as_raw_nonzero().get()));
    for descriptor in names(Path::new(&format!("{folder}/fd"))) {
        let is = fs::read_link(format!("{folder}/fd/{descriptor}"));
        assert_ne!(is.ok().as_deref(), Some(held.as_path()));
    }
    assert_eq!(
        fs::read_link(format!("{folder}/cwd")).unwrap(),
        Path::new("/")
    );
    assert!(fs::read(format!("{folder}/environ")).unwrap().is_empty());
    // While it goes on, and when it was ended, it is not begun again.
    assert_eq!(code(&start()), is("baseline", "cache"));
    assert_eq!(behind(&bench), Some(process));
    kill_process(process, Signal::KILL).unwrap();
    until("it does not end", || !is_there(process));
    assert_eq!(code(&start()), is("baseline", "cache"));
    assert!(behind(&bench).is_none());
}

#[test]
fn on_a_terminal_it_is_shown_that_a_program_is_compiled_until_it_is_over() {
    let bench = Bench::new();
    let agent = bench.file("long.wasm", long());
    let on_terminal = |more: &str| {
        let host = env!("CARGO_BIN_EXE_capfs-host");
        let line = format!("'{host}' run --timeout 2s {more} '{}'", agent.display());
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]);
        command.env("CAPFS_CACHE_DIR", bench.path("cache"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(124));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let shown = on_terminal("");
    let status = "compiling long.wasm…";
    let (before, after) = shown.split_once(status).expect(&shown);
    assert_eq!(before, "");
    let erased = format!("\r{}\r", " ".repeat("compiling long.wasm".len() + 2));
    let after = after.strip_prefix(&erased).expect(&shown);
    assert!(
        after.starts_with("error: the program was ended"),
        "{shown:?}"
    );
    assert_eq!(on_terminal("--quiet"), "");
}
