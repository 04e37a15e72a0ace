//! A directory with agents, and `capfs-host` on them.

#![allow(dead_code, reason = "each test uses its part")]

pub mod odd;
pub mod processes;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory with agents, and a cache of its own.
pub struct Bench {
    pub directory: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        Bench {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn agent(&self, text: &str) -> PathBuf {
        self.file("agent.wasm", wat::parse_str(text).unwrap())
    }

    pub fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_capfs-host"));
        command.env("CAPFS_CACHE_DIR", self.path("cache"));
        command.arg(verb).stdin(Stdio::null());
        command
    }

    pub fn run(&self, options: &[&str], agent: &Path) -> Output {
        self.command("run")
            .args(options)
            .arg(agent)
            .output()
            .unwrap()
    }
}

#[track_caller]
pub fn assert_ended(output: &Output, code: i32, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(message), "`{message}` is not in: {stderr}");
}

/// A module of these parts; the guest's exit code is what `$main` returns.
pub fn program(imports: &str, body: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            {imports}
            (memory (export "memory") 2)
            {body}
            (func (export "_start") (call $exit (call $main))))"#
    )
}

/// The import of `path_open`, as `$path_open`.
pub const PATH_OPEN: &str = r#"(import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;

/// The call that writes.
pub const FD_WRITE: &str = r#"(import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))"#;
/// Writes "hello\n" and returns the errno.
pub fn hello() -> String {
    program(
        FD_WRITE,
        r#"(data (i32.const 16) "hello\n") (data (i32.const 0) "\10\00\00\00\06\00\00\00")
           (func $main (result i32)
             (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))"#,
    )
}
