//! What many agents on two threads cost: `many [AGENTS]`, 2,000 unless told.
//!
//! Prints one line of JSON:
//! - `call_ns`: nanoseconds of a WASI call that does nothing, on a thread of the agent's own, as `capfs-host run` makes it, and as a task;
//! - `launch_us`: microseconds of a launch of a program whose code is kept, the median;
//! - `fresh_kib`: KiB that an agent that waits for its first input takes of the process's resident memory, its one page of memory included;
//! - `waiting_kib`: the same when it has answered once, two pipes included;
//! - `answer_us`: microseconds from a line to its answer, with all others waiting, the median;
//! - `delay_ms`: the same in milliseconds, with one agent that computes for each thread: median, 95 %, 99 % and the longest.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use capfs::Namespace;
use capfs::account::Account;
use capfs::device::null::Null;
use capfs_host::engine::{Compiling, Engines, THREAD_STACK, load_bytes};
use capfs_host::host::{
    Agent as Launched, AgentId, AgentOutput, AgentStdin, Host, Io, Plan, Program,
};
use capfs_host::limits::MEMORY_MAX;
use capfs_host::run::{Agent, Outcome, Report, RunConfig};
use capfs_runtime::{ClockGrant, ExitStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

#[path = "../tests/fleet/mod.rs"]
mod fleet;
use fleet::{ECHO, SPIN};

/// Threads of the runtime.
const WORKERS: usize = 2;

/// Calls that are timed.
const CALLS: u32 = 10_000_000;

/// Lines that are asked of agents.
const ROUNDS: usize = 1_000;

/// Makes a call again and again.
fn calls() -> String {
    format!(
        r#"(module
             (import "wasi_snapshot_preview1" "sched_yield" (func $call (result i32)))
             (memory (export "memory") 1)
             (func (export "_start") (local $left i32)
               (local.set $left (i32.const {CALLS}))
               (loop $more
                 (drop (call $call))
                 (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#
    )
}

fn main() -> Result<()> {
    // Cargo adds an argument of its own.
    let agents = std::env::args().skip(1).find(|arg| arg != "--bench");
    let agents: usize = agents.map_or(Ok(2_000), |count| count.parse())?;
    let wasm = wat::parse_str(calls())?;
    let own = wasm.clone();
    let thread = std::thread::Builder::new().stack_size(THREAD_STACK);
    let thread = thread.spawn(move || on_a_thread(&own))?;
    let thread = thread.join().map_err(|_| anyhow!("it has panicked"))??;
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(WORKERS).enable_all().build()?;
    let task = runtime.block_on(as_a_task(wasm))?;
    let mut measured = runtime.block_on(many(agents))?;
    measured["call_ns"] = serde_json::json!({ "thread": thread, "task": task });
    println!("{measured}");
    Ok(())
}

/// Nanoseconds of a call in a run that has ended well.
fn a_call(report: &Report) -> Result<f64> {
    let outcome = &report.outcome;
    ensure!(
        *outcome == Outcome::Exited(ExitStatus::Code(0)),
        "the program ended with {outcome:?}"
    );
    Ok(report.run.as_nanos() as f64 / f64::from(CALLS))
}

fn on_a_thread(wasm: &[u8]) -> Result<f64> {
    let engines = Engines::without_pool();
    let module = load_bytes(&engines, wasm, "calls", None, Compiling::Here)?.module;
    let config = RunConfig {
        args: vec!["calls".to_owned()],
        env: Vec::new(),
        namespace: Namespace::new(),
        preopens: Vec::new(),
        stdio: [Box::new(Null), Box::new(Null), Box::new(Null)],
        handed: Vec::new(),
        clock: ClockGrant::default(),
        random: true,
        max_files: 1024.into(),
        account: Account::new(MEMORY_MAX),
        timeout: None,
        driver: None,
    };
    a_call(&Agent::new(&module, "calls")?.run(config, |_| (), || ()))
}

async fn as_a_task(wasm: Vec<u8>) -> Result<f64> {
    let host = Host::builder().compile_here().build()?;
    let plan = Plan::new(Program::bytes("calls", wasm));
    let agent = host.launch(AgentId::new("calls")?, plan, Io::null()).await;
    a_call(&agent?.wait().await)
}

/// An agent that echoes, and the ends that it is asked by.
struct Echo {
    _agent: Launched,
    stdin: AgentStdin,
    stdout: AgentOutput,
}

impl Echo {
    async fn launch(host: &Host, number: usize, program: &Program) -> Result<Echo> {
        let id = AgentId::new(&format!("echo-{number}"))?;
        let agent = host.launch(id, Plan::new(program.clone()), Io::piped());
        let mut agent = agent.await?;
        Ok(Echo {
            stdin: agent.stdin().context("a pipe")?,
            stdout: agent.stdout().context("a pipe")?,
            _agent: agent,
        })
    }

    async fn ask(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.stdin.write_all(b"a line of text\n").await?;
        self.stdout.read_exact(&mut [0; 15]).await?;
        Ok(begun.elapsed())
    }
}

async fn many(count: usize) -> Result<serde_json::Value> {
    let host = Host::builder().compile_here().build()?;
    let program = Program::bytes("echo", wat::parse_str(ECHO)?);
    // What is there once is there now.
    let mut first = Echo::launch(&host, count, &program).await?;
    first.ask().await?;
    let before = resident()?;
    let (mut agents, mut launches) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for number in 0..count {
        let begun = Instant::now();
        agents.push(Echo::launch(&host, number, &program).await?);
        launches.push(begun.elapsed());
    }
    let fresh = resident()?.saturating_sub(before) as f64 / count as f64;
    for agent in &mut agents {
        agent.ask().await?;
    }
    let waiting = resident()?.saturating_sub(before) as f64 / count as f64;
    let mut answers = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        answers.push(agents[round % count].ask().await?);
    }
    let spin = Program::bytes("spin", wat::parse_str(SPIN)?);
    let mut spinning = Vec::new();
    for number in 0..WORKERS {
        let id = AgentId::new(&format!("spin-{number}"))?;
        spinning.push(host.launch(id, Plan::new(spin.clone()), Io::null()).await?);
    }
    // Asked from this thread, which is none of the runtime's: whoever computes has a worker by then.
    let mut delays = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        delays.push(agents[round % count].ask().await?);
    }
    drop(spinning);
    let millis = |part| part_of(&delays, part).as_secs_f64() * 1e3;
    Ok(serde_json::json!({
        "agents": count,
        "launch_us": part_of(&launches, 0.5).as_secs_f64() * 1e6,
        "fresh_kib": fresh,
        "waiting_kib": waiting,
        "answer_us": part_of(&answers, 0.5).as_secs_f64() * 1e6,
        "delay_ms": [millis(0.5), millis(0.95), millis(0.99), millis(1.0)],
    }))
}

/// The time that this part of them is not longer than.
fn part_of(times: &[Duration], part: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let last = times.len().saturating_sub(1);
    times
        .get((last as f64 * part) as usize)
        .copied()
        .unwrap_or_default()
}

/// KiB of this process that are in memory.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("it has a resident memory")?.parse()?)
}
