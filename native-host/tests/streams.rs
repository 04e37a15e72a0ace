//! Standard streams that are files: to the program they are files, too, and what is left of them is there for whoever comes next.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::process::Stdio;

mod bench;

use bench::{Bench, FD_WRITE, assert_ended, program};

/// A program whose `$main` returns the number of the first step that isn't as it should be, or 0.
fn steps(steps: &[&str]) -> String {
    let imports = format!(
        r#"{FD_WRITE}
        (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_pread" (func $fd_pread (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_pwrite" (func $fd_pwrite (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_tell" (func $fd_tell (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_sync" (func $fd_sync (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_datasync" (func $fd_datasync (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_filestat_get" (func $fd_filestat_get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $fd_filestat_set_size (param i32 i64) (result i32)))
        (import "wasi_snapshot_preview1" "fd_fdstat_set_flags" (func $fd_fdstat_set_flags (param i32 i32) (result i32)))"#
    );
    let checks: String = steps
        .iter()
        .zip(1..)
        .map(|(step, number)| {
            format!("(if (i32.eqz {step}) (then (return (i32.const {number}))))\n")
        })
        .collect();
    // At 0 is the one vector, of what is at 64.
    let body = format!(
        r#"(data (i32.const 0) "\40\00\00\00")
        (func $done (param i32) (result i32) (i32.eqz (local.get 0)))
        (func $count (param i32) (i32.store (i32.const 4) (local.get 0)))
        ;; Four bytes of text, of which as many are written as it has.
        (func $writes (param $fd i32) (param $text i32) (param $length i32) (result i32)
          (i32.store (i32.const 64) (local.get $text)) (call $count (local.get $length))
          (i32.and (call $done (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            (i32.eq (i32.load (i32.const 8)) (local.get $length))))
        (func $reads (param $fd i32) (param $text i32) (param $length i32) (result i32)
          (i32.store (i32.const 64) (i32.const 0)) (call $count (local.get $length))
          (i32.and (call $done (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            (i32.eq (i32.load (i32.const 64)) (local.get $text))))
        (func $preads (param $fd i32) (param $text i32) (param $at i64) (result i32)
          (i32.store (i32.const 64) (i32.const 0)) (call $count (i32.const 1))
          (i32.and (call $done (call $fd_pread (local.get $fd) (i32.const 0) (i32.const 1) (local.get $at) (i32.const 8)))
            (i32.eq (i32.load (i32.const 64)) (local.get $text))))
        (func $pwrites (param $fd i32) (param $text i32) (param $at i64) (result i32)
          (i32.store (i32.const 64) (local.get $text)) (call $count (i32.const 1))
          (call $done (call $fd_pwrite (local.get $fd) (i32.const 0) (i32.const 1) (local.get $at) (i32.const 8))))
        (func $seeks (param $fd i32) (param $by i64) (param $from i32) (param $to i64) (result i32)
          (i32.and (call $done (call $fd_seek (local.get $fd) (local.get $by) (local.get $from) (i32.const 16)))
            (i64.eq (i64.load (i32.const 16)) (local.get $to))))
        (func $at (param $fd i32) (param $at i64) (result i32)
          (i32.and (call $done (call $fd_tell (local.get $fd) (i32.const 16)))
            (i64.eq (i64.load (i32.const 16)) (local.get $at))))
        (func $stat (param $fd i32) (param $kind i32) (param $size i64) (result i32)
          (i32.and (call $done (call $fd_filestat_get (local.get $fd) (i32.const 128)))
            (i32.and (i32.eq (i32.load8_u (i32.const 144)) (local.get $kind))
              (i64.eq (i64.load (i32.const 160)) (local.get $size)))))
        (func $main (result i32) {checks} (i32.const 0))"#
    );
    program(&imports, &body)
}

/// Up to four characters, as a number of them.
fn text(text: &str) -> String {
    let mut bytes = [0; 4];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    format!("(i32.const {})", i32::from_le_bytes(bytes))
}

fn reads(characters: &str) -> String {
    let (text, length) = (text(characters), characters.len());
    format!("(call $reads (i32.const 0) {text} (i32.const {length}))")
}

fn writes(fd: u32, characters: &str) -> String {
    let (text, length) = (text(characters), characters.len());
    format!("(call $writes (i32.const {fd}) {text} (i32.const {length}))")
}

#[test]
fn standard_input_that_is_a_file_is_one() {
    let bench = Bench::new();
    let agent = bench.agent(&steps(&[
        "(call $stat (i32.const 0) (i32.const 4) (i64.const 10))",
        // Somebody has read two bytes before.
        "(call $at (i32.const 0) (i64.const 2))",
        &reads("234"),
        &format!("(call $preads (i32.const 0) {} (i64.const 9))", text("9")),
        "(call $at (i32.const 0) (i64.const 5))",
        &reads("5"),
        "(call $seeks (i32.const 0) (i64.const 0) (i32.const 2) (i64.const 10))",
        &reads(""),
        "(call $seeks (i32.const 0) (i64.const -3) (i32.const 1) (i64.const 7))",
        &reads("7"),
        // What is read can't be changed.
        "(call $fd_filestat_set_size (i32.const 0) (i64.const 1))",
    ]));
    let mut file = File::open(bench.file("in", "0123456789")).unwrap();
    file.read_exact(&mut [0; 2]).unwrap();
    let mut command = bench.command("run");
    let output = command
        .arg(agent)
        .stdin(file.try_clone().unwrap())
        .output()
        .unwrap();
    assert_ended(&output, 0, "");
    // Whoever comes next goes on where it ended.
    let mut rest = String::new();
    file.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "89");
}

#[test]
fn standard_output_that_is_a_file_is_one() {
    let bench = Bench::new();
    let agent = bench.agent(&steps(&[
        "(call $stat (i32.const 1) (i32.const 4) (i64.const 4))",
        &writes(1, "abc"),
        // Standard error is the same file, and goes on behind what is there.
        &writes(2, "def"),
        &writes(1, "ghi"),
        "(call $stat (i32.const 1) (i32.const 4) (i64.const 13))",
        "(call $seeks (i32.const 1) (i64.const 4) (i32.const 0) (i64.const 4))",
        &writes(1, "X"),
        "(call $at (i32.const 1) (i64.const 5))",
        "(call $seeks (i32.const 1) (i64.const 0) (i32.const 2) (i64.const 13))",
        &writes(1, "!!"),
        &format!("(call $pwrites (i32.const 1) {} (i64.const 5))", text("Y")),
        "(call $done (call $fd_filestat_set_size (i32.const 1) (i64.const 14)))",
        "(call $done (call $fd_sync (i32.const 1)))",
        "(call $done (call $fd_datasync (i32.const 1)))",
        // The guest's own flag: at the end, wherever it is.
        "(call $done (call $fd_fdstat_set_flags (i32.const 1) (i32.const 1)))",
        "(call $seeks (i32.const 1) (i64.const 0) (i32.const 0) (i64.const 0))",
        &writes(1, "end"),
        "(call $at (i32.const 1) (i64.const 17))",
    ]));
    let path = bench.path("out");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"top\n").unwrap();
    let mut command = bench.command("run");
    let command = command.arg("--quiet").arg(agent);
    let output = command
        .stdout(file.try_clone().unwrap())
        .stderr(file.try_clone().unwrap());
    let ended = output.status().unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "top\nXYcdefghi!end",
        "{ended}"
    );
    assert_eq!(ended.code(), Some(0));
    assert_eq!(file.stream_position().unwrap(), 17);
}

#[test]
fn what_is_appended_is_behind_all_that_there_is() {
    let bench = Bench::new();
    let agent = bench.agent(&steps(&[
        &writes(1, "abc"),
        "(call $at (i32.const 1) (i64.const 7))",
        "(call $seeks (i32.const 1) (i64.const 0) (i32.const 0) (i64.const 0))",
        &writes(1, "d"),
        "(call $at (i32.const 1) (i64.const 8))",
        "(call $stat (i32.const 1) (i32.const 4) (i64.const 8))",
    ]));
    let path = bench.file("log", "old\n");
    let log = OpenOptions::new().append(true).open(&path).unwrap();
    let mut command = bench.command("run");
    let output = command.arg(agent).stdout(log).stderr(Stdio::piped());
    let output = output.spawn().unwrap().wait_with_output().unwrap();
    assert_ended(&output, 0, "");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old\nabcd");
}

#[test]
fn what_is_no_file_has_nothing_to_make_durable() {
    let bench = Bench::new();
    let agent = bench.agent(&steps(&[
        "(call $done (call $fd_sync (i32.const 1)))",
        "(call $done (call $fd_datasync (i32.const 1)))",
        "(call $stat (i32.const 1) (i32.const 0) (i64.const 0))",
        "(i32.eq (call $fd_seek (i32.const 1) (i64.const 0) (i32.const 1) (i32.const 16)) (i32.const 70))",
    ]));
    assert_ended(&bench.run(&[], &agent), 0, "");
}
