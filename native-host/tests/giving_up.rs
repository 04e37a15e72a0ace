//! Launches that nobody waits for any more. Alone in its process, whose children it counts.

mod bench;
mod fleet;

use std::{fs, process};

use bench::odd::long;
use bench::processes::{children, is_there};
use capfs_devices::grant::Grant;
use capfs_host::compile::Compiler;
use capfs_host::grants::DirGrant;
use capfs_host::host::{Host, Io, Plan, Program};
use fleet::{id, parent, program, put, runtime, show};
use rustix::process::Pid;
use tokio::task::yield_now;

/// The first process that this one starts.
async fn compiler() -> Pid {
    loop {
        match children(process::id()).first() {
            Some(child) => return Pid::from_raw(*child as i32).unwrap(),
            None => yield_now().await,
        }
    }
}

#[test]
fn what_is_given_up_ends_its_compiler() {
    runtime(2).block_on(async {
        let own = Compiler::at(env!("CARGO_BIN_EXE_capfs-host"));
        let host = Host::builder().compiler(own).build().unwrap();
        let slow = Program::bytes("slow", long());
        let launch = host.launch(id("slow"), Plan::new(slow), Io::null());
        let child = tokio::select! {
            _ = launch => panic!("it takes minutes"),
            child = compiler() => child,
        };
        while is_there(child) {
            yield_now().await;
        }
        assert_eq!(host.usage().account.used, 0);
        // Nothing is kept for a program that was not made.
        assert_eq!(host.usage().programs, 0);

        // As does an agent that is ended while it starts a child.
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("slow.wasm"), long()).unwrap();
        let steps = [
            show("new/wasi"),
            put("1/ctl", "bind /bin /bin\n"),
            put("1/cmd", "/bin/slow.wasm"),
            put("1/ctl", "start\n"),
        ];
        let bin = format!("{}::/bin", folder.path().display());
        let plan = Plan::new(program("parent", &parent(&steps)));
        let plan = plan.grant(bin.parse::<DirGrant>().unwrap());
        let plan = plan.grant(Grant::from_flag("task").unwrap());
        let agent = host.launch(id("parent"), plan, Io::null()).await;
        let mut agent = agent.unwrap();
        // Its own is compiled before.
        let child = compiler().await;
        agent.kill();
        agent.wait().await;
        assert!(!is_there(child));
        assert_eq!(host.usage().account.used, 0);
    });
}
