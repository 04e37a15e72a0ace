//! A program that runs agents: `embed FILE.wasm [ARGUMENT]…` starts a hundred of one module, each with files of its own in memory, asks each
//! something, and tells how they ended.
//!
//! The module is compiled by the command `capfs-host`, a process of its own that ends with the launch, if the variable `CAPFS_HOST` says where that
//! is; else in this process, which is for modules that are trusted.
//!
//! Each is given its number at its standard input, then the end of it.

use std::env;
use std::error::Error;

use capfs_host::compile::Compiler;
use capfs_host::grants::MountGrant;
use capfs_host::host::{AgentId, Host, Io, Plan, Program, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

/// How many agents are started.
pub const AGENTS: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let file = args.next().ok_or("usage: embed FILE.wasm [ARGUMENT]…")?;
    // Two threads for any number of agents.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    for (number, said) in runtime.block_on(run(Program::file(file), args.collect()))? {
        println!("{number}: {said}");
    }
    Ok(())
}

/// Runs them all, and returns what each has said.
pub async fn run(
    program: Program,
    args: Vec<String>,
) -> Result<Vec<(usize, String)>, Box<dyn Error>> {
    let host = Host::builder().max_memory(1 << 30);
    let host = match env::var_os("CAPFS_HOST") {
        Some(command) => host.compiler(Compiler::at(command)),
        None => host.compile_here(),
    };
    let host = host.build()?;
    let mut agents = JoinSet::new();
    for number in 0..AGENTS {
        let files: MountGrant = "memory:/tmp".parse()?;
        let mut plan = Plan::new(program.clone()).grant(files).max_memory(8 << 20);
        for arg in &args {
            plan = plan.arg(arg);
        }
        // What is piped has to be read, or the agent waits.
        let io = Io {
            stderr: Stdio::null(),
            ..Io::piped()
        };
        let id = AgentId::new(&format!("agent-{number}"))?;
        let mut agent = host.launch(id, plan, io).await?;
        let (stdin, stdout) = (agent.stdin(), agent.stdout());
        let (mut stdin, mut stdout) = (stdin.expect("it is piped"), stdout.expect("it is piped"));
        agents.spawn(async move {
            let mut said = String::new();
            // An agent that wants to hear nothing may have ended.
            let _ = stdin.write_all(format!("{number}\n").as_bytes()).await;
            drop(stdin);
            let read = stdout.read_to_string(&mut said).await;
            let report = agent.wait().await;
            let outcome = report.outcome.reason();
            read.map(|_| (number, format!("{outcome}: {}", said.trim_end())))
        });
    }
    let mut all = Vec::new();
    while let Some(ended) = agents.join_next().await {
        all.push(ended??);
    }
    all.sort();
    Ok(all)
}
