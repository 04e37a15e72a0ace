//! Agents on a host of this process.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs;

use capfs_host::host::{Agent, AgentId, AgentOutput, Host, Io, Plan, Program};
use capfs_host::run::{Outcome, Report};
use capfs_runtime::ExitStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

/// Answers each read of its input with the same bytes, until there are no more.
pub const ECHO: &str = r#"
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $more
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const 1024))
      (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (if (i32.load (i32.const 8))
        (then
          (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
          (br $more))))))
"#;

/// Computes for ever.
pub const SPIN: &str =
    r#"(module (memory (export "memory") 1) (func (export "_start") (loop $more (br $more))))"#;

/// Waits for 20 ms by the monotonic clock, and looks at what it used of the processor: far less.
pub const SLEEP: &str = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
        (memory (export "memory") 1)
        (func $now (param $clock i32) (result i64)
          (if (call $time (local.get $clock) (i64.const 1) (i32.const 512)) (then unreachable))
          (i64.load (i32.const 512)))
        (func (export "_start") (local $begun i64)
          (local.set $begun (call $now (i32.const 1)))
          (i32.store (i32.const 16) (i32.const 1))
          (i64.store (i32.const 24) (i64.const 20000000))
          (if (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 248)) (then unreachable))
          (if (i64.lt_u (i64.sub (call $now (i32.const 1)) (local.get $begun)) (i64.const 20000000)) (then unreachable))
          ;; It has slept: what it used is far less.
          (if (i64.ge_u (call $now (i32.const 2)) (i64.const 15000000)) (then unreachable))))"#;

pub fn program(name: &str, wat: &str) -> Program {
    Program::bytes(name, wat::parse_str(wat).unwrap())
}

pub fn runtime(workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

pub fn id(name: impl ToString) -> AgentId {
    AgentId::new(&name.to_string()).unwrap()
}

pub async fn launch(host: &Host, name: impl ToString, plan: Plan) -> Agent {
    host.launch(id(name), plan, Io::piped()).await.unwrap()
}

pub fn exited(report: &Report) -> bool {
    report.outcome == Outcome::Exited(ExitStatus::Code(0))
}

/// Asks an agent that echoes, and reads its answer.
pub async fn ask(stdin: &mut (impl AsyncWriteExt + Unpin), stdout: &mut AgentOutput, text: &str) {
    stdin.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; text.len()];
    stdout.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, text.as_bytes());
}

/// Threads of this process.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// An agent that does these steps, and ends with the errno of the first that fails. Its first directory is what it starts, its second its tasks.
pub fn parent(steps: &[String]) -> String {
    let (mut data, mut at, mut code) = (String::new(), 4096, String::new());
    for step in steps {
        let (call, texts) = step.split_once('\0').unwrap();
        let mut arguments = String::new();
        for text in texts.split('\0') {
            let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
            data += &format!("(data (i32.const {at}) \"{escaped}\")\n");
            arguments += &format!("(i32.const {at}) (i32.const {})", text.len());
            at += text.len();
        }
        code += &format!("(call ${call} {arguments})\n");
    }
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (memory (export "memory") 2)
  {data}
  (func $must (param i32) (if (local.get 0) (then (call $exit (local.get 0)))))
  (func $open (param $path i32) (param $length i32) (param $rights i64) (result i32)
    (call $must (call $path_open (i32.const 4) (i32.const 1) (local.get $path) (local.get $length) (i32.const 0)
      (local.get $rights) (local.get $rights) (i32.const 0) (i32.const 0)))
    (i32.load (i32.const 0)))
  (func $write (param $fd i32) (param $text i32) (param $length i32)
    (i32.store (i32.const 16) (local.get $text))
    (i32.store (i32.const 20) (local.get $length))
    (call $must (call $fd_write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 8))))
  (func $copy (param $fd i32)
    (loop $more
      (i32.store (i32.const 16) (i32.const 64))
      (i32.store (i32.const 20) (i32.const 1024))
      (call $must (call $fd_read (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 8)))
      (if (i32.load (i32.const 8))
        (then
          (call $write (i32.const 1) (i32.const 64) (i32.load (i32.const 8)))
          (br $more)))))
  (func $put (param $path i32) (param $length i32) (param $text i32) (param $size i32) (local $fd i32)
    (local.set $fd (call $open (local.get $path) (local.get $length) (i64.const 64)))
    (call $write (local.get $fd) (local.get $text) (local.get $size))
    (call $must (call $fd_close (local.get $fd))))
  (func $show (param $path i32) (param $length i32) (local $fd i32)
    (local.set $fd (call $open (local.get $path) (local.get $length) (i64.const 2)))
    (call $copy (local.get $fd))
    (call $must (call $fd_close (local.get $fd))))
  (func $say (param $text i32) (param $length i32) (call $write (i32.const 1) (local.get $text) (local.get $length)))
  (func $answer (param i32 i32) (call $copy (i32.const 0)))
  (func (export "_start") {code}))"#
    )
}

/// A step: writes a file of its tasks.
pub fn put(path: &str, text: &str) -> String {
    format!("put\0{path}\0{text}")
}

/// A step: writes what a file of its tasks has to its output.
pub fn show(path: &str) -> String {
    format!("show\0{path}")
}

/// A step: says something.
pub fn say(text: &str) -> String {
    format!("say\0{text}")
}

/// A step: says what it is told, until there is no more.
pub fn answer() -> String {
    "answer\0".to_owned()
}
