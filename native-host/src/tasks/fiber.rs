//! The run of a child on a stack of its own, on the threads of an embedded host.
//!
//! It is put together as one on a thread is, but for what takes long: its module is read and compiled beside the threads that it shares.

use std::sync::Arc;

use capfs::account::Charge;
use capfs::{Namespace, OpenFile};
use capfs_devices::task::{Plan, Refusal, Task};

use super::Turn;
use super::child::{Child, PATIENCE, conclude, ended_early, refused};
use super::promise::Promise;
use crate::capabilities;
use crate::host::{Ending, Entry, Fibers, Started};
use crate::wait::Cancelled;

/// Runs the program of a child to its end. `started` is told whether it runs.
pub(super) async fn run(
    child: &Arc<Child>,
    fibers: &Fibers,
    task: &Task,
    plan: Plan,
    stdio: [Box<dyn OpenFile>; 3],
    started: Promise,
    turn: Turn,
) {
    let ending = Arc::new(Ending::default());
    let end = ending.clone();
    child.ended_by(move || end.end(Cancelled::Killed));
    let prepared = prepare(child, fibers, &ending, plan, stdio).await;
    let (entry, process, code, namespace) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => {
            drop(turn);
            return started.keep(Err(task.refused(refusal)));
        }
    };
    let begun = child.begin(&namespace);
    drop(namespace);
    started.keep(Ok(()));
    let report = fibers.run(&entry, process, child.account(), &ending).await;
    capabilities::end_async(begun.held(), PATIENCE).await;
    drop((entry, code, begun));
    // Whoever learns that it has ended may start another.
    drop(turn);
    conclude(task, None, &report);
}

/// Loads the program, and puts together what it is given. The charge is for its code.
async fn prepare(
    child: &Arc<Child>,
    fibers: &Fibers,
    ending: &Ending,
    plan: Plan,
    stdio: [Box<dyn OpenFile>; 3],
) -> Result<(Entry, Started, Charge, Namespace), Refusal> {
    let program = plan.program.clone();
    let ended = |_| ended_early(&program);
    let read = fibers.unless_ended(ending, child.read(&program)).await;
    let (wasm, code) = read.map_err(ended)??;
    let (own, linking, named) = (child.clone(), fibers.clone(), program.clone());
    let loaded = fibers.compile(ending, move |parker| {
        let (loaded, code) = own.load(parker, &named, wasm, code)?;
        let entry = linking.link(&loaded, &named);
        Ok((entry.map_err(|error| refused(&named, &error))?, code))
    });
    let (entry, code) = loaded.await.map_err(|_| ended_early(&program))??;
    let files = fibers.unless_ended(ending, child.files(&plan)).await;
    let config = child.config(plan, files.map_err(ended)??, stdio);
    let namespace = config.namespace.clone();
    let process = fibers.unless_ended(ending, fibers.process(config)).await;
    let process = process.map_err(ended)?.map_err(|error| Refusal {
        errno: error.errno(),
        text: error.to_string(),
    })?;
    Ok((entry, process, code, namespace))
}
