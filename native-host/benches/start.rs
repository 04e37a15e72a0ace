//! What it costs to instantiate an agent in a host that runs already: `start MODULE COUNT`.
//!
//! Prints one line of JSON with the microseconds of each time: of an agent with its process, namespace and
//! store, and of the bare engine with its default configuration, without any WASI, to compare with.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use capfs::account::Account;
use capfs::device::null::Null;
use capfs::{Namespace, Op, OpenFile, OpenHow};
use capfs_host::engine::{Engines, THREAD_STACK, load};
use capfs_host::limits::MEMORY_MAX;
use capfs_host::run::{Agent, Outcome, RunConfig};
use capfs_runtime::{ClockGrant, ExitStatus};
use wasmtime::{Engine, InstancePre, Linker, Module, Store};

fn main() -> Result<()> {
    // Cargo adds an argument of its own.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let path = args.next().context("usage: start MODULE COUNT")?;
    let count = args.next().context("usage: start MODULE COUNT")?.parse()?;
    let thread = std::thread::Builder::new()
        .stack_size(THREAD_STACK)
        .spawn(move || measure(&path, count))?;
    thread.join().map_err(|_| anyhow!("it has panicked"))?
}

fn measure(path: &str, count: usize) -> Result<()> {
    let module = load(&Engines::new(1), path.as_ref(), None)?.module;
    let agent = Agent::new(&module, path)?;

    let bare = bare(path).map_err(|error| anyhow!("{error:#}"))?;

    let (mut capfs, mut wasmtime) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let report = agent.run(config()?, |_| (), || ());
        ensure!(
            report.outcome == Outcome::Exited(ExitStatus::Code(0)),
            "the program ended with {:?}",
            report.outcome
        );
        capfs.push(report.instantiate.as_secs_f64() * 1e6);

        let begun = Instant::now();
        let mut store = Store::new(bare.module().engine(), ());
        let instance = bare.instantiate(&mut store);
        black_box(instance.map_err(|error| anyhow!("{error:#}"))?);
        wasmtime.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    println!(
        "{}",
        serde_json::json!({ "capfs": capfs, "wasmtime": wasmtime })
    );
    Ok(())
}

/// The module for an engine as it is without any configuration.
fn bare(path: &str) -> wasmtime::Result<InstancePre<()>> {
    let engine = Engine::default();
    let module = Module::from_file(&engine, path)?;
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&module)?;
    linker.instantiate_pre(&module)
}

fn config() -> Result<RunConfig> {
    let stdio = [null()?, null()?, null()?];
    Ok(RunConfig {
        args: vec!["hello".to_owned()],
        env: Vec::new(),
        namespace: Namespace::new(),
        preopens: Vec::new(),
        stdio,
        handed: Vec::new(),
        clock: ClockGrant::default(),
        random: true,
        max_files: 1024.into(),
        account: Account::new(MEMORY_MAX),
        timeout: None,
        driver: None,
    })
}

fn null() -> Result<Box<dyn OpenFile>> {
    let how = OpenHow {
        read: true,
        write: true,
        ..OpenHow::default()
    };
    match Null::node().open(how) {
        Op::Ready(opened) => opened.map_err(|errno| anyhow!("the null device: {errno}")),
        Op::Later(_) => Err(anyhow!("the null device answers at once")),
    }
}
