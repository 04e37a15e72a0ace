//! Manifests, through the built command.

mod bench;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Output, Stdio};

use bench::{Bench, FD_WRITE, assert_ended, hello, program};
use capfs_devices::identity::digest;

/// Writes its arguments, each with its end of a byte 0, and gives 0.
fn tells_args() -> String {
    let imports = format!(
        r#"{FD_WRITE}
        (import "wasi_snapshot_preview1" "args_get" (func $get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))"#
    );
    program(
        &imports,
        r"(func $main (result i32)
            (drop (call $sizes (i32.const 0) (i32.const 4)))
            (drop (call $get (i32.const 64) (i32.const 1024)))
            (i32.store (i32.const 0) (i32.const 1024))
            (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))",
    )
}

/// The same for its variables.
fn tells_variables() -> String {
    tells_args().replace("args_", "environ_")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The last line of standard error, as JSON.
fn report(output: &Output) -> serde_json::Value {
    let text = stderr(output);
    let line = text.lines().find(|line| line.starts_with('{')).unwrap();
    serde_json::from_str(line).unwrap()
}

/// Runs a manifest of this text with these options.
fn run(bench: &Bench, name: &str, text: &str, options: &[&str]) -> Output {
    let manifest = bench.file(name, text);
    let mut command = bench.command("run");
    command.arg("--manifest").arg(manifest).args(options);
    command.output().unwrap()
}

#[test]
fn a_manifest_names_the_program_and_what_it_is_given() {
    let bench = Bench::new();
    bench.agent(&tells_args());
    let text = "[agent]\nprogram = 'agent.wasm'\nargs = ['one', 'two words']\n";
    let output = run(&bench, "agent.toml", text, &["three", "--help"]);
    assert_eq!(
        output.stdout,
        b"agent.wasm\0one\0two words\0three\0--help\0"
    );
    let text = r#"{"agent": {"program": "agent.wasm", "args": "one"}}"#;
    let output = run(&bench, "agent.json", text, &[]);
    assert_eq!(output.stdout, b"agent.wasm\0one\0");
    let nobody = run(&bench, "agent.toml", "[limits]\nfiles = 9\n", &[]);
    assert_ended(&nobody, 125, "names a program");
    let agent = bench.path("agent.wasm");
    let named = run(&bench, "agent.toml", "", &[agent.to_str().unwrap(), "x"]);
    assert_eq!(named.stdout, b"agent.wasm\0x\0");
    bench.agent(&tells_variables());
    let text = "agent = { program = 'agent.wasm', inherit-env = ['HERE', 'NOT'] }\n[env]\nA = 'x=y'\nB = 2\n";
    let manifest = bench.file("agent.toml", text);
    let mut command = bench.command("run");
    command.env("HERE", "this").env_remove("NOT");
    command.arg("--manifest").arg(manifest);
    let output = command.args(["--env", "B=3"]).output().unwrap();
    assert_eq!(output.stdout, b"HERE=this\0A=x=y\0B=3\0");
    // What is said last holds, once.
    let mut command = bench.command("run");
    command
        .env("HERE", "this")
        .args(["--env", "B=3", "--env", "HERE", "--env", "B=4"]);
    let output = command.arg(bench.path("agent.wasm")).output().unwrap();
    assert_eq!(output.stdout, b"B=4\0HERE=this\0");
    // A value that can't be passed on is no variable that isn't set.
    let mut command = bench.command("run");
    command.env("HERE", OsStr::from_bytes(b"V\xffW"));
    command
        .args(["--env", "HERE"])
        .arg(bench.path("agent.wasm"));
    assert_ended(&command.output().unwrap(), 2, "`HERE` is not UTF-8");
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let bench = Bench::new();
    bench.agent(&hello());
    let text = "\
agent = 3
[limits]
memory = '64MiBs'
tim = '10s'
files = 0
[mounts]
'/data' = { type = 'folder', host = 'data' }
'/data/' = { type = 'memory' }
'/a/../b' = { type = 'memory' }
'/c' = { type = 'disk' }
'/d' = { type = 'memory', host = 'x' }
[[grants]]
device = 'fetch'
origin = ['https://example.com', 'nonsense']
[[grants]]
device = 'fetch'
origin = 'https://example.com'
max-bodi = 3
[[grants]]
device = 'random'
[[grants]]
device = 'random'
optional = true
required = true
[[grants]]
device = 'fetch'
at = '/net'
origin = '*'
header = 'https://a b'
without = 'x'
[[grants]]
device = 'floppy'
[[grants]]
at = 1979-05-27
";
    let output = run(&bench, "bad.toml", text, &[]);
    assert_ended(&output, 125, "");
    let manifest = bench.path("bad.toml").display().to_string();
    let said = stderr(&output).replace(&format!("error: {manifest}:"), "");
    let places: Vec<&str> = said
        .lines()
        .map(|line| line.split_once(": ").map_or(line, |(place, _)| place))
        .collect();
    assert_eq!(
        places,
        [
            "1:9", "3:10", "4:1", "5:9", "8:1", "9:1", "10:17", "11:27", "14:34", "18:1", "21:1",
            "24:1", "29:10", "32:10", "33:1", "34:6",
        ],
        "{said}"
    );
    let types = "there is no type `disk` of mounts: folder, memory, archive, null, zero or ns";
    assert!(said.contains(types), "{said}");
    let text = "[mounts]\n'/' = { type = 'archive', file = 'a.tar', rights = 'rw' }\n";
    let output = run(&bench, "a.toml", text, &[]);
    assert_ended(&output, 125, "a.toml:2:52: an archive is read-only");
    let json = "{\"limits\": {\"files\": 1,\n  \"files\": 2}}";
    assert_ended(
        &run(&bench, "a.json", json, &[]),
        125,
        "a.json:2:3: there are two `files`",
    );
    assert_ended(&run(&bench, "a.json", "{\n]", &[]), 125, "a.json:2:1: ");
    assert_ended(&run(&bench, "a.toml", "a =\n", &[]), 125, "a.toml:1:4: ");
    assert_ended(&run(&bench, "a.toml", "é = 1\n", &[]), 125, "a.toml:1:1: ");
    let none = bench.run(&["--manifest", "/nowhere.toml"], &bench.path("agent.wasm"));
    assert_ended(&none, 127, "can't read the manifest");
    bench.file("latin.toml", b"a = '\xe9'");
    let latin = bench.path("latin.toml");
    let latin = bench.run(&["--manifest", latin.to_str().unwrap()], &latin);
    assert_ended(&latin, 127, "not UTF-8");
}

#[test]
fn what_is_required_and_missing_is_all_told_and_nothing_runs() {
    let bench = Bench::new();
    bench.agent(&hello());
    let text = "\
[agent]
program = 'agent.wasm'
[mounts]
'/gone' = { type = 'folder', host = 'gone' }
[[grants]]
device = 'dom'
[[grants]]
device = 'crypto'
persist = true
[[grants]]
device = 'indexeddb'
optional = true
without = 'nothing is kept'
";
    let output = run(&bench, "agent.toml", text, &["--json"]);
    assert_eq!(output.stdout, b"");
    for missing in [
        "agent.toml:4:11: folder",
        "agent.toml:5:1: dom at /cap/dom: there is no page",
        "agent.toml:7:1: crypto at /cap/crypto: keys that are kept need a folder: --state DIR",
    ] {
        assert_ended(&output, 125, missing);
    }
    let report = report(&output);
    assert_eq!(
        (&report["code"], &report["reason"]),
        (&125.into(), &"refused".into())
    );
    assert_eq!(report["missing"].as_array().unwrap().len(), 3);
    // With what it needs, it runs; the command line gives what is at a path instead of the manifest.
    let state = bench.path("state");
    fs::create_dir(bench.path("there")).unwrap();
    let folder = format!("{}::/gone", bench.path("there").display());
    let options = ["--state", state.to_str().unwrap(), "--dir", &folder];
    let output = run(
        &bench,
        "agent.toml",
        &text.replace("'dom'", "'random'"),
        &options,
    );
    assert_ended(&output, 0, "");
    assert_eq!(
        (&*output.stdout, stderr(&output).as_str()),
        (&b"hello\n"[..], "")
    );
}

#[test]
fn what_is_missing_and_optional_is_told() {
    let bench = Bench::new();
    bench.agent(&hello());
    let text = r#"{
      "agent": { "program": "agent.wasm" },
      "mounts": { "/a": [{ "type": "memory" }, { "type": "archive", "file": "a.tar", "required": false }] },
      "grants": [
        "random",
        { "device": "dom", "optional": true, "without": "headlines are printed" },
        { "device": "crypto" }
      ]
    }"#;
    let output = run(&bench, "agent.json", text, &["--json"]);
    assert_eq!(output.stdout, b"hello\n");
    for lack in [
        "agent.json:3:48: archive",
        "agent.json:6:9: dom at /cap/dom: there is no page here; headlines are printed",
        "agent.json:7:9: crypto at /cap/crypto: keys can't be kept",
    ] {
        assert_ended(
            &output,
            0,
            &format!("degraded: {}/{lack}", bench.directory.path().display()),
        );
    }
    let degraded = &report(&output)["degraded"];
    assert_eq!(degraded.as_array().unwrap().len(), 3);
    assert_eq!(
        (&degraded[1]["partly"], &degraded[2]["partly"]),
        (&false.into(), &true.into())
    );
    let quiet = run(&bench, "agent.json", text, &["--quiet"]);
    assert_eq!(
        (quiet.status.code(), stderr(&quiet)),
        (Some(0), String::new())
    );
}

#[test]
fn limits_hold_unless_the_command_line_says_otherwise() {
    let bench = Bench::new();
    bench.agent(&program(
        "",
        "(func $main (result i32) (loop (br 0)) (i32.const 0))",
    ));
    let text = "agent = { program = 'agent.wasm' }\nlimits = { time = 100, memory = '1MiB' }\n";
    assert_ended(&run(&bench, "agent.toml", text, &[]), 124, "time of 100ms");
    let output = run(&bench, "agent.toml", text, &["--timeout", "50ms"]);
    assert_ended(&output, 124, "time of 50ms");
    bench.agent(&hello());
    let text = text.replace("1MiB", "64KiB");
    assert_ended(
        &run(&bench, "agent.toml", &text, &[]),
        125,
        "bytes of memory to start, and may have",
    );
    let output = run(&bench, "agent.toml", &text, &["--max-memory", "1MiB"]);
    assert_ended(&output, 0, "");
}

#[test]
fn inspect_shows_what_would_be_granted() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let text = "\
limits = { files = 9 }
agent = { clock = '100ms', random = false, inherit-env = ['NOT_SET'] }
[[grants]]
device = 'fetch'
origin = 'https://example.com'
header = 'https://example.com X-Key: secret'
[[grants]]
device = 'dom'
";
    let manifest = bench.file("agent.toml", text);
    let inspect = |options: &[&str]| {
        let mut command = bench.command("inspect");
        command.env_remove("NOT_SET");
        command.arg("--manifest").arg(&manifest).args(options);
        command.arg(&agent).output().unwrap()
    };
    let output = inspect(&[]);
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    for line in [
        "granted  fetch at /cap/fetch (origin=https://example.com, header=https://example.com X-Key: ***)\n",
        "missing  dom at /cap/dom: there is no page here\n",
        "limit    files 9\n",
        "clock    in steps of 100ms\n",
        "random   no: ",
        "inherits NOT_SET, which is not set on this machine\n",
        "starts   no: something that it requires is missing here\n",
    ] {
        assert!(said.contains(line), "`{line}` is not in: {said}");
    }
    // As `run` would end.
    assert_ended(&output, 125, "");
    let output = inspect(&["--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let asked = &said["manifest"];
    assert_eq!(
        (&asked["starts"], &asked["limits"]["files"]),
        (&false.into(), &9.into())
    );
    assert_eq!(asked["asks"][1]["fate"], "missing");
    assert_eq!(
        (&asked["clock"], &asked["random"], &asked["not_set"]),
        (&"100ms".into(), &false.into(), &vec!["NOT_SET"].into())
    );
    assert!(!String::from_utf8_lossy(&output.stdout).contains("secret"));
}

#[test]
fn inspect_and_run_agree_about_a_variable_that_is_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let agent = bench.file("hello.wasm", wat::parse_str(hello()).unwrap());
    let manifest = bench.file("agent.toml", "[agent]\ninherit-env = ['WEIRD']\n");
    let end = |verb: &str, value: &[u8]| {
        let mut command = bench.command(verb);
        command.env("WEIRD", OsStr::from_bytes(value));
        command.arg("--manifest").arg(&manifest).arg(&agent);
        command.output().unwrap()
    };
    for verb in ["inspect", "run"] {
        assert_ended(&end(verb, b"text"), 0, "");
    }
    assert_ended(&end("run", b"\xff"), 2, "`WEIRD` is not UTF-8");
    let output = end("inspect", b"\xff");
    assert_ended(&output, 2, "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("inherits WEIRD, whose value on this machine is not UTF-8\n"),
        "{said}"
    );
    assert!(
        said.contains("starts   no: a variable that it inherits is not UTF-8\n"),
        "{said}"
    );
}

#[test]
fn inspect_shows_the_program_that_run_runs() {
    let bench = Bench::new();
    let named = bench.file("named.wasm", wat::parse_str(tells_args()).unwrap());
    let other = bench.file("other.wasm", wat::parse_str(hello()).unwrap());
    let manifest = bench.file(
        "agent.toml",
        "agent = { program = 'named.wasm', args = ['a'] }\n",
    );
    let words = |verb: &str| {
        let mut command = bench.command(verb);
        command.arg("--manifest").arg(&manifest).arg(&other);
        command.output().unwrap()
    };
    let ran = String::from_utf8(words("run").stdout).unwrap();
    let arguments = ["named.wasm", "a", other.to_str().unwrap()].map(|arg| format!("{arg}\0"));
    assert_eq!(ran, arguments.concat());
    let shown = String::from_utf8(words("inspect").stdout).unwrap();
    let module = digest(&fs::read(&named).unwrap());
    for line in [
        format!("program  {}\n", named.display()),
        format!("args     [\"a\", {:?}]\n", other.display().to_string()),
        format!("digest   {module} (of the module"),
        "starts   yes\n".to_owned(),
    ] {
        assert!(shown.contains(&line), "`{line}` is not in: {shown}");
    }
}

#[test]
fn a_manifest_names_the_very_module_that_may_run() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let module = digest(&fs::read(&agent).unwrap());
    let manifest = |digest: &str| {
        format!(
            "agent = {{ program = 'agent.wasm', digest = '{digest}' }}\nlimits = {{ files = 9 }}\n"
        )
    };
    let inspect = || {
        let mut command = bench.command("inspect");
        command.arg("--manifest").arg(bench.path("agent.toml"));
        command.output().unwrap()
    };
    let upper = format!("sha256:{}", module["sha256:".len()..].to_uppercase());
    for digest in [&module, &upper] {
        let output = run(&bench, "agent.toml", &manifest(digest), &[]);
        assert_eq!(output.stdout, b"hello\n", "{}", stderr(&output));
    }
    let output = inspect();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert_ended(&output, 0, "");
    // First what it may have, then who it is.
    let order = [
        "limit ",
        &format!("module   {module}, as"),
        "starts   yes",
        "kind ",
        &format!("digest   {module} (of the module"),
    ];
    let at = order.map(|text| {
        said.find(text)
            .unwrap_or_else(|| panic!("`{text}`: {said}"))
    });
    assert!(at.is_sorted(), "{at:?} {said}");
    // A module that was put in its place, kept code or not, is not run.
    bench.agent(&program(
        FD_WRITE,
        "(func $main (result i32) (i32.const 7))",
    ));
    let other = run(
        &bench,
        "agent.toml",
        "agent = { program = 'agent.wasm' }",
        &[],
    );
    assert_ended(&other, 7, "");
    let found = digest(&fs::read(&agent).unwrap());
    let output = run(&bench, "agent.toml", &manifest(&module), &["--json"]);
    let told = format!("has the digest {found}, and not {module}");
    assert_ended(&output, 126, &told);
    assert_eq!(report(&output)["error"], "MODULE_DIGEST");
    let output = inspect();
    assert_ended(&output, 126, "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("starts   no: the module is not the one that the manifest names"),
        "{said}"
    );
    let output = run(&bench, "agent.toml", &manifest("sha256:12"), &[]);
    assert_ended(
        &output,
        125,
        "agent.toml:1:44: expected `sha256:` and 64 hexadecimal digits",
    );
}

#[test]
fn a_header_for_an_origin_that_is_not_granted_is_a_mistake() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let told = "its origin https://b.example is not granted, but https://a.example";
    let text = "agent = { program = 'agent.wasm' }
[[grants]]
device = 'fetch'
origin = 'https://a.example'
header-file = 'https://b.example X-Key: @token'
";
    // It is told although the file is not there.
    let output = run(&bench, "agent.toml", text, &[]);
    assert_ended(
        &output,
        125,
        &format!("agent.toml:5:15: `header-file`: {told}"),
    );
    for term in [
        "header-file=https://b.example X-Key: @token",
        "header-env=https://b.example X-Key: @TOKEN",
        "header=https://b.example X-Key: s3cr3t",
    ] {
        let mut command = bench.command("run");
        command.args(["--grant", &format!("fetch,origin=https://a.example,{term}")]);
        let output = command.arg(&agent).output().unwrap();
        assert_ended(&output, 2, told);
        assert_eq!(output.stdout, b"");
        assert!(!stderr(&output).contains("s3cr3t"));
    }
}

/// Opens `f` in each of its two directories, writes a line, waits for its input, and reads `f` of the first and of the
/// second: the code is the errno of the first, and 100 more if the second can't be read.
fn reads_again() -> String {
    let imports = format!(
        r#"{FD_WRITE}
        (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#
    );
    program(
        &imports,
        r#"(data (i32.const 0) "\40\00\00\00\06\00\00\00") (data (i32.const 64) "ready\n")
           (data (i32.const 16) "\80\00\00\00\01\00\00\00") (data (i32.const 80) "f")
           (func $open (param i32) (param i32) (result i32)
             (call $path_open (local.get 0) (i32.const 0) (i32.const 80) (i32.const 1) (i32.const 0)
               (i64.const 2) (i64.const 0) (i32.const 0) (local.get 1)))
           (func $read (param i32) (result i32)
             (call $fd_read (local.get 0) (i32.const 16) (i32.const 1) (i32.const 8)))
           (func $main (result i32)
             (if (call $open (i32.const 3) (i32.const 96)) (then (return (i32.const 201))))
             (if (call $open (i32.const 4) (i32.const 100)) (then (return (i32.const 202))))
             (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
             (drop (call $read (i32.const 0)))
             (i32.add (call $read (i32.load (i32.const 96)))
               (select (i32.const 100) (i32.const 0) (call $read (i32.load (i32.const 100))))))"#,
    )
}

#[test]
fn what_a_manifest_no_longer_asks_for_is_taken_away_while_the_program_runs() {
    // A digest that it had to have when it was granted keeps nobody from taking away.
    for pinned in [false, true] {
        taken_away(pinned);
    }
}

fn taken_away(pinned: bool) {
    const ENODEV: i32 = 43;
    let bench = Bench::new();
    bench.agent(&reads_again());
    for folder in ["one", "two"] {
        fs::create_dir(bench.path(folder)).unwrap();
        bench.file(&format!("{folder}/f"), "text");
    }
    let head = "agent = { program = 'agent.wasm' }\n[mounts]\n";
    let [one, two] =
        ["one", "two"].map(|name| format!("'/{name}' = {{ type = 'folder', host = '{name}' }}\n"));
    let manifest = bench.file("agent.toml", format!("{head}{one}{two}"));
    let mut command = bench.command("run");
    command.arg("--manifest").arg(&manifest);
    if pinned {
        let text = fs::read(&manifest).unwrap();
        let digest = digest(&text);
        command.args(["--manifest-digest", &digest]);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut line)
        .unwrap();
    assert_eq!(&line, b"ready\n");
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut hang_up = |text: String| {
        fs::write(&manifest, text).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line
    };
    // What can't be read takes nothing away.
    assert!(hang_up("mounts = 1\n".to_owned()).contains("agent.toml:1:10: expected a table"));
    assert!(hang_up(format!("{head}{two}")).contains("revoked: folder "));
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(ENODEV));
}
