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
