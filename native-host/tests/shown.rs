//! What is shown to people: nothing of it can be made to look like something else, and no secret is in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

mod bench;

use bench::{Bench, assert_ended, hello, program};

/// What hides a line, goes back over one, reorders and hides.
const HARMFUL: [char; 6] = ['\x1b', '\r', '\u{9b}', '\u{202e}', '\u{200b}', '\u{e0041}'];

#[track_caller]
fn assert_harmless(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    assert!(!text.contains(HARMFUL), "{text:?}");
}

/// A name with all of that, and what looks like a line of the host's own.
fn forged() -> String {
    format!("{}\nforged   line", HARMFUL.iter().collect::<String>())
}

#[test]
fn names_in_modules_forge_nothing() {
    let bench = Bench::new();
    let name = forged().escape_unicode().to_string();
    let agent = bench.agent(&format!(
        r#"(module (import "{name}" "{name}" (func)) (memory (export "memory") 1) (func (export "{name}")) (func (export "_start")))"#
    ));
    let shown = bench.command("inspect").arg(&agent).output().unwrap();
    let refused = bench.run(&[], &agent);
    assert_ended(&refused, 126, "imports what no host provides");
    let json = bench
        .command("inspect")
        .arg("--json")
        .arg(&agent)
        .output()
        .unwrap();
    let parsed: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(parsed["imports"][0]["name"], forged());
    for text in [&shown.stdout, &refused.stderr, &json.stdout] {
        assert_harmless(text);
        let text = String::from_utf8_lossy(text);
        assert!(
            !text.lines().any(|line| line.starts_with("forged")),
            "{text}"
        );
    }
    let trap = bench.agent(&program(
        "",
        &format!(r#"(func $main (@name "{name}") (result i32) unreachable)"#),
    ));
    let trapped = bench.run(&["--json"], &trap);
    assert_ended(&trapped, 134, "unreachable");
    assert_ended(&trapped, 134, "forged");
    assert_harmless(&trapped.stderr);
    let told = String::from_utf8_lossy(&trapped.stderr);
    assert!(
        !told.lines().any(|line| line.starts_with("forged")),
        "{told}"
    );
}

#[test]
fn texts_of_manifests_forge_nothing() {
    let bench = Bench::new();
    bench.agent(&hello());
    let text = serde_json::to_string(&forged()).unwrap();
    let manifest = |body: &str| {
        let body = format!(
            r#"{{"agent": {{"program": "agent.wasm", "inherit-env": ["TERM", "NOT_SET"]}}, "env": {{"LANG": "C"}}, {body}}}"#
        );
        bench.file("agent.json", body)
    };
    let run = |verb: &str| {
        let mut command = bench.command(verb);
        command.env("TERM", "dumb").env_remove("NOT_SET");
        command
            .arg("--manifest")
            .arg(bench.path("agent.json"))
            .output()
            .unwrap()
    };
    manifest(&format!(
        r#""grants": [{{"device": "dom", "optional": true, "without": {text}}}], "mounts": {{{text}: {{"type": "memory"}}}}"#
    ));
    let (inspected, ran) = (run("inspect"), run("run"));
    assert_ended(&inspected, 0, "");
    assert_ended(&ran, 0, "degraded: ");
    let shown = String::from_utf8(inspected.stdout.clone()).unwrap();
    assert!(shown.contains("\nvariable LANG\n"), "{shown}");
    assert!(
        shown.contains(
            "\ninherits TERM, as it is set on this machine\ninherits NOT_SET, which is not set on this machine\n"
        ),
        "{shown}"
    );
    manifest(&format!(r#"{text}: 1, "limits": {{{text}: 2}}"#));
    let wrong = run("run");
    assert_ended(&wrong, 125, "has no `");
    for output in [inspected, ran, wrong] {
        for text in [&output.stdout, &output.stderr] {
            assert_harmless(text);
            let text = String::from_utf8_lossy(text);
            assert!(
                !text.lines().any(|line| line.starts_with("forged")),
                "{text}"
            );
        }
    }
}

const SECRET: &str = "s3cr3t";

fn granted(bench: &Bench, grant: &str) -> Output {
    bench.run(&["--grant", grant], &bench.path("agent.wasm"))
}

#[test]
fn what_is_wrong_with_a_grant_is_told_without_its_secret_and_before_anything_is_compiled() {
    let bench = Bench::new();
    bench.file("agent.wasm", b"not even WebAssembly");
    for (grant, told) in [
        (
            "fetch,origin=*,headers=https://a X-Key: s3cr3t",
            "no term `headers`",
        ),
        (
            "fetch,origin=*,header=https://a X-Key: a,s3cr3t=b",
            "backslash",
        ),
        (
            "fetch,origin=*,header=https://a X-Key: a,s3cr3t",
            "backslash",
        ),
        (
            "fetsch,origin=*,header=https://a X-Key: s3cr3t",
            "no device `fetsch`",
        ),
        (
            "ws,origin=*,header=https://a X-Key: s3cr3t",
            "expected ORIGIN NAME: VALUE",
        ),
        (
            "fetch,origin=*,header-env=https://a X-Key: s3cr3t",
            "@VARIABLE",
        ),
        ("fetch", "needs `origin`"),
        ("net", "no device `net`"),
    ] {
        let output = granted(&bench, grant);
        assert_ended(&output, 2, told);
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains(SECRET),
            "{grant}"
        );
    }
}

#[test]
fn headers_come_from_files_and_variables() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let token = bench.file("token", SECRET);
    // Others may not read it: that would be told.
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    let from_file = format!(
        "fetch,origin=*,header-file=https://a Authorization: Bearer @{}",
        token.display()
    );
    let from_variable = "ws,origin=*,header-env=wss://a X-Key: @CAPFS_TEST_TOKEN";
    let mut command = bench.command("run");
    command
        .args(["--grant", &from_file, "--grant", from_variable])
        .arg(&agent);
    let output = command.env("CAPFS_TEST_TOKEN", SECRET).output().unwrap();
    assert_ended(&output, 0, "");
    assert!(output.stderr.is_empty());
    let output = granted(&bench, from_variable);
    assert_ended(
        &output,
        125,
        "the variable `CAPFS_TEST_TOKEN`, which has a header, is not set",
    );
    assert_ended(
        &granted(&bench, &from_file.replace("token", "nothing")),
        125,
        "can't read a header from",
    );
    // The value itself can be in an argument, but should not be a secret there.
    let plain = granted(&bench, "fetch,origin=*,header=https://a X-Kind: plain");
    assert_ended(
        &plain,
        0,
        "warning: a header in an argument can be read by everybody",
    );
    // Nor can the agent be granted the folder.
    fs::create_dir(bench.path("work")).unwrap();
    let folder = format!("{}::/", bench.directory.path().display());
    let output = bench.run(&["--grant", &from_file, "--dir", &folder], &agent);
    assert_ended(&output, 125, "it contains a header's file");
}

#[test]
fn a_manifest_can_be_pinned_and_what_starts_no_program_ends_so() {
    let bench = Bench::new();
    bench.agent(&hello());
    let manifest = bench.file("agent.toml", "agent = { program = 'agent.wasm' }\n");
    let inspect = || {
        let mut command = bench.command("inspect");
        command.arg("--manifest").arg(&manifest).output().unwrap()
    };
    let shown = String::from_utf8(inspect().stdout).unwrap();
    let digest = shown
        .lines()
        .find_map(|line| line.strip_prefix("digest   "))
        .unwrap();
    let digest = digest.strip_suffix(" (of the manifest)").unwrap();
    let run = || {
        let mut command = bench.command("run");
        command
            .args(["--manifest-digest", digest, "--manifest"])
            .arg(&manifest);
        command.stdout(Stdio::null()).output().unwrap()
    };
    assert_ended(&run(), 0, "");
    bench.file(
        "agent.toml",
        "agent = { program = 'agent.wasm' }\ngrants = ['dom']\n",
    );
    assert_ended(&run(), 125, &format!("and not {digest}"));
    let output = inspect();
    assert_ended(&output, 125, "");
    assert!(String::from_utf8_lossy(&output.stdout).contains("starts   no"));
}

/// A tar of empty entries of these kinds and names.
fn tar(entries: &[(u8, &str)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (kind, name) in entries {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[156] = *kind;
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
    }
    archive
}

#[test]
fn what_is_left_out_of_an_archive_is_told() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let name = forged();
    let one = bench.file("one.tar", tar(&[(b'0', "file"), (b'6', &name)]));
    let two = bench.file("two.tar", tar(&[(b'3', "null"), (b'4', "disk")]));
    let mounts = [("/one", &one), ("/two", &two)]
        .map(|(path, file)| format!("--mount=archive={}:{path}", file.display()));
    let output = bench.run(&[&mounts[0], &mounts[1]], &agent);
    assert_ended(&output, 0, "which is a device or a FIFO");
    assert_ended(&output, 0, "left out: 2 devices and FIFOs of `");
    assert_harmless(&output.stderr);
    let quiet = bench.run(&["--quiet", &mounts[1]], &agent);
    assert!(quiet.stderr.is_empty());
}
