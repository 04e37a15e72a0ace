//! Folders and other mounts from the outside: what is in them, what they are, and what does not lead out of them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

mod bench;

use bench::{Bench, PATH_OPEN, assert_ended, hello, program};

/// Counts the entries of descriptor 3 and compares them with `count`.
fn count_entries(count: u32) -> String {
    program(
        r#"(import "wasi_snapshot_preview1" "fd_readdir"
            (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))"#,
        // An entry: the next cookie (8 bytes), the inode (8), the length of the name (4), the kind (4).
        &format!(
            r#"(func $main (result i32)
              (local $cookie i64) (local $used i32) (local $at i32) (local $next i32) (local $n i32)
              (loop $fill
                (if (call $fd_readdir (i32.const 3) (i32.const 16) (i32.const 65536)
                      (local.get $cookie) (i32.const 0)) (then (return (i32.const 1))))
                (local.set $used (i32.load (i32.const 0)))
                (local.set $at (i32.const 0))
                (block $cut (loop $entry
                  (br_if $cut (i32.gt_u (i32.add (local.get $at) (i32.const 24)) (local.get $used)))
                  (local.set $next (i32.add (local.get $at) (i32.add (i32.const 24)
                    (i32.load (i32.add (local.get $at) (i32.const 32))))))
                  (br_if $cut (i32.gt_u (local.get $next) (local.get $used)))
                  (local.set $cookie (i64.load (i32.add (local.get $at) (i32.const 16))))
                  (local.set $at (local.get $next))
                  (local.set $n (i32.add (local.get $n) (i32.const 1)))
                  (br $entry)))
                (br_if $fill (i32.eq (local.get $used) (i32.const 65536))))
              (i32.ne (local.get $n) (i32.const {count})))"#
        ),
    )
}

#[test]
fn a_hundred_thousand_directory_entries() {
    let bench = Bench::new();
    let directory = bench.path("full");
    fs::create_dir(&directory).unwrap();
    const ENTRIES: u32 = 100_000;
    for index in 0..ENTRIES {
        fs::File::create(directory.join(format!("entry-{index}"))).unwrap();
    }
    // `.` and `..` are listed too.
    let agent = bench.agent(&count_entries(ENTRIES + 2));
    let grant = format!("{}::/", directory.display());
    assert_ended(&bench.run(&["--dir", &grant], &agent), 0, "");
}

/// Calls `path_open` with these flags and rights on `file` of descriptor 3.
fn open_file(oflags: u32, rights: u64) -> String {
    program(
        PATH_OPEN,
        &format!(
            r#"(data (i32.const 0) "file")
            (func $main (result i32)
              (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
                (i32.const {oflags}) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 8)))"#
        ),
    )
}

/// RUSTSEC-2026-0149: opening to truncate, with no right to write asked for, emptied read-only files.
#[test]
fn truncating_is_writing() {
    let bench = Bench::new();
    let file = bench.file("file", "precious");
    let grant = format!("{}::/", bench.directory.path().display());
    const TRUNC: u32 = 8;
    const FD_READ: u64 = 2;
    let agent = bench.agent(&open_file(TRUNC, FD_READ));
    let output = bench.run(&["--dir", &grant], &agent);
    assert_ne!(output.status.code(), Some(0));
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_program_reads_what_its_namespace_is_made_of_and_nothing_of_the_host() {
    let bench = Bench::new();
    let agent = bench.agent(&program(
        &format!(
            "{PATH_OPEN}{}",
            r#"(import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
               (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#
        ),
        r#"(data (i32.const 0) "self/ns")
        (func $main (result i32)
            (i32.store (i32.const 64) (i32.const 1024))
            (i32.store (i32.const 68) (i32.const 4096))
            (drop (call $path_open (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 0)
              (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32)))
            (drop (call $read (i32.load (i32.const 32)) (i32.const 64) (i32.const 1) (i32.const 68)))
            (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 36)))"#,
    ));
    let folder = bench.directory.path().display().to_string();
    let output = bench.run(
        &[
            "--json",
            "--dir",
            &format!("{folder}::/data"),
            "--mount",
            "ns:/proc/self/ns",
        ],
        &agent,
    );
    assert_ended(&output, 0, "");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        shown,
        "mount -c -o read dir#2 /data\nmount -c -o read ns#3 /proc/self/ns\n"
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let whole = report["namespace"].as_array().unwrap();
    assert!(whole[0].as_str().unwrap().contains(&folder), "{report}");
    assert_eq!(whole[1], "mount -c -o read ns /proc/self/ns");
    let output = bench.run(&["--mount", "ns:/ns:rw"], &agent);
    assert_ended(&output, 2, "is read-only");
}

/// What is no right is not taken for a part of a name, which nobody would notice.
#[test]
fn misspelt_rights_are_told() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let folder = bench.directory.path().display();
    for ending in ["wr", "RW", "rx", ""] {
        for grant in [
            ["--dir", &format!("{folder}::/d:{ending}")],
            ["--mount", &format!("memory:/m:{ending}")],
        ] {
            assert_ended(&bench.run(&grant, &agent), 2, "is neither ro nor rw");
        }
    }
    let grants = [
        "--dir",
        &format!("{folder}::/d:x:ro"),
        "--mount",
        "memory:/m:x:rw",
    ];
    assert_ended(&bench.run(&grants, &agent), 0, "");
    // As other programs have it.
    let output = bench.run(&["--dir", &format!("{folder}:/d:rw")], &agent);
    assert_ended(&output, 125, "can't open the folder");
    assert_ended(&output, 125, "HOST::GUEST:rw");
}

/// A tree of nothing but the way to a mount is as deep as a path, and gone without a trace.
#[test]
fn paths_of_mounts_have_a_length() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    let deepest = "/a".repeat(2048);
    assert_ended(
        &bench.run(&["--mount", &format!("memory:{deepest}")], &agent),
        0,
        "",
    );
    let deep = "/a".repeat(50_000);
    let output = bench.run(&["--mount", &format!("memory:{deep}")], &agent);
    assert_ended(&output, 2, "a path of 100000 bytes; one has 4096 at most");
}

/// Within a file there is nothing, and nothing stands beside it in one place.
#[test]
fn what_is_given_in_the_place_of_a_file_is_refused() {
    let bench = Bench::new();
    let agent = bench.agent(&hello());
    for (options, at) in [
        (
            ["--grant", "random", "--mount", "memory:/cap/random"],
            "/cap/random",
        ),
        (
            [
                "--grant",
                "random,at=/d/random",
                "--mount",
                "memory:/d/random/inner",
            ],
            "/d/random/inner",
        ),
        (
            ["--grant", "random,at=/a/b", "--grant", "random,at=/a"],
            "/a/b",
        ),
    ] {
        let why = format!(
            "can't mount anything at `{at}`: not a directory or a symbolic link to a directory (ENOTDIR)"
        );
        assert_ended(&bench.run(&options, &agent), 125, &why);
    }
}

/// GHSA-4ch3-9j33-3pmj: a file of a read-only directory, linked or moved into a writable one, could be
/// written there.
#[test]
fn links_and_renames_do_not_carry_files_between_mounts() {
    let bench = Bench::new();
    for name in ["ro", "rw"] {
        fs::create_dir(bench.path(name)).unwrap();
    }
    let file = bench.file("ro/file", "precious");
    let grants = |writable: &str| {
        [
            "--dir".to_owned(),
            format!("{}::/ro", bench.path("ro").display()),
            "--dir".to_owned(),
            format!("{}::/rw:rw", bench.path(writable).display()),
        ]
    };
    let move_by = |call: &str, flags: &str, flag_type: &str| {
        program(
            &format!(
                r#"(import "wasi_snapshot_preview1" "{call}"
                (func $move (param i32 {flag_type} i32 i32 i32 i32 i32) (result i32)))"#
            ),
            &format!(
                r#"(data (i32.const 0) "file") (data (i32.const 8) "mine")
                (func $main (result i32)
                  (call $move (i32.const 3) {flags} (i32.const 0) (i32.const 4)
                    (i32.const 4) (i32.const 8) (i32.const 4)))"#
            ),
        )
    };
    let agents = [
        move_by("path_link", "(i32.const 0)", "i32"),
        move_by("path_rename", "", ""),
    ];
    const REFUSED: [i32; 3] = [
        69, // EROFS
        75, // EXDEV
        76, // ENOTCAPABLE
    ];
    for agent in agents {
        let agent = bench.agent(&agent);
        // Into another directory, and into the very same one, granted twice.
        for writable in ["rw", "ro"] {
            let options = grants(writable);
            let options: Vec<_> = options.iter().map(String::as_str).collect();
            let code = bench.run(&options, &agent).status.code().unwrap();
            assert!(REFUSED.contains(&code), "ended with {code}");
            assert!(file.exists());
            assert!(!bench.path(writable).join("mine").exists());
        }
    }
}

/// RUSTSEC-2026-0269: a slash behind a link's name, in a path or in a link's target, had the link
/// followed by the host.
#[test]
fn a_slash_behind_a_link_does_not_lead_out() {
    let bench = Bench::new();
    fs::create_dir(bench.path("outside")).unwrap();
    fs::create_dir(bench.path("inside")).unwrap();
    bench.file("outside/secret", "secret");
    let link = |target: PathBuf, name: &str| {
        std::os::unix::fs::symlink(target, bench.path("inside").join(name)).unwrap();
    };
    link("../outside".into(), "up");
    link(bench.path("outside"), "out");
    link("up/".into(), "slash");
    let grant = format!("{}::/data:rw", bench.path("inside").display());
    for path in [
        "up/",
        "up/secret",
        "out/",
        "out/secret",
        "slash/",
        "slash/secret",
        "slash/.",
    ] {
        for (oflags, rights) in [(0, 2), (2, 2), (9, 66)] {
            let body = format!(
                r#"(data (i32.const 0) "{path}")
                (func $main (result i32)
                  (call $path_open (i32.const 3) (i32.const 1) (i32.const 0) (i32.const {})
                    (i32.const {oflags}) (i64.const {rights}) (i64.const 0) (i32.const 0)
                    (i32.const 64)))"#,
                path.len()
            );
            let agent = bench.agent(&program(PATH_OPEN, &body));
            let output = bench.run(&["--dir", &grant], &agent);
            assert_ne!(output.status.code(), Some(0), "{path} was opened");
        }
    }
    let secret = fs::read(bench.path("outside/secret")).unwrap();
    assert_eq!(secret, b"secret");
    assert_eq!(fs::read_dir(bench.path("outside")).unwrap().count(), 1);
}

#[test]
fn a_fifo_does_not_hold_the_host_up() {
    let bench = Bench::new();
    let shared = bench.path("shared");
    fs::create_dir(&shared).unwrap();
    let made = Command::new("mkfifo").arg(shared.join("file")).status();
    assert!(made.unwrap().success());
    let grant = format!("{}::/:rw", shared.display());
    const ENOTSUP: i32 = 58;
    for rights in [2, 64, 66] {
        let agent = bench.agent(&open_file(0, rights));
        assert_ended(&bench.run(&["--dir", &grant], &agent), ENOTSUP, "");
    }
}
