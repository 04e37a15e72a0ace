//! Agents on the threads of one runtime.

mod fleet;

use std::time::Duration;

use capfs_host::grants::MountGrant;
use capfs_host::host::{Host, Io, LaunchError, Plan, Program};
use capfs_host::run::Outcome;
use capfs_host::wait::Cancelled;
use fleet::{ECHO, SPIN, ask, exited, id, launch, program, runtime};
use tokio::io::AsyncReadExt;

#[test]
fn neighbours_of_those_that_compute_go_on() {
    // Each worker has several.
    let runtime = runtime(2);
    runtime.block_on(async {
        let host = Host::builder().build().unwrap();
        let spin = program("spin", SPIN);
        let mut spinning = Vec::new();
        for number in 0..4 {
            spinning.push(launch(&host, format!("spin-{number}"), Plan::new(spin.clone())).await);
        }
        let mut echo = launch(&host, "echo", Plan::new(program("echo", ECHO))).await;
        let (mut stdin, mut stdout) = (echo.stdin().unwrap(), echo.stdout().unwrap());
        for round in 0..20 {
            ask(&mut stdin, &mut stdout, &round.to_string()).await;
        }
        // Timers and sockets are looked at, too.
        tokio::time::sleep(Duration::from_millis(1)).await;
        for agent in &mut spinning {
            agent.kill();
            let report = agent.wait().await;
            assert_eq!(report.outcome, Outcome::Cancelled(Cancelled::Killed));
        }
        drop(stdin);
        assert!(exited(&echo.wait().await));
    });
}

#[test]
fn the_time_of_one_that_computes_or_waits_is_up() {
    runtime(1).block_on(async {
        let host = Host::builder().build().unwrap();
        for (name, wat) in [("spin", SPIN), ("echo", ECHO)] {
            let plan = Plan::new(program(name, wat)).timeout(Duration::from_millis(200));
            let mut agent = launch(&host, name, plan).await;
            // It has an end of its input that nobody closes.
            let _stdin = agent.stdin();
            let report = agent.wait().await;
            assert_eq!(
                report.outcome,
                Outcome::Cancelled(Cancelled::Timeout),
                "{name}"
            );
        }
    });
}

#[test]
fn an_agent_ends_with_its_handle() {
    runtime(1).block_on(async {
        let host = Host::builder().build().unwrap();
        for (name, wat) in [("spin", SPIN), ("echo", ECHO)] {
            let mut agent = launch(&host, name, Plan::new(program(name, wat))).await;
            let (_stdin, mut stdout) = (agent.stdin(), agent.stdout().unwrap());
            drop(agent);
            // The end of what it writes is its own.
            assert_eq!(stdout.read(&mut [0]).await.unwrap(), 0);
            while host.usage().agents > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(host.usage().account.used, 0, "{name}");
        }
    });
}

#[test]
fn a_launch_that_fails_leaves_nothing() {
    runtime(2).block_on(async {
        let host = Host::builder().max_memory(64 << 20).build().unwrap();
        let launch = |plan: Plan| host.launch(id("one"), plan, Io::piped());
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");

        let none = Plan::new(Program::file(folder.path().join("none.wasm")));
        assert!(matches!(launch(none).await.err(), Some(LaunchError::Module(_))));
        let text = Plan::new(Program::bytes("text", *b"no module"));
        assert!(matches!(launch(text).await.err(), Some(LaunchError::Module(_))));
        let large = Plan::new(program("echo", ECHO)).max_memory(1 << 10);
        assert!(matches!(launch(large).await.err(), Some(LaunchError::Memory)));
        let archive: MountGrant = format!("archive={}:/a", folder.path().join("none.tar").display())
            .parse()
            .unwrap();
        let lacking = Plan::new(program("echo", ECHO)).grant(archive).state(&state);
        assert!(matches!(launch(lacking).await.err(), Some(LaunchError::Grants(lacks)) if lacks.len() == 1));
        assert!(!state.exists());
        let nul = Plan::new(program("echo", ECHO)).arg("a\0b").state(&state);
        assert!(matches!(launch(nul).await.err(), Some(LaunchError::Process(_))));

        assert_eq!(host.usage().agents, 0);
        assert_eq!(host.usage().account.used, 0);
        // One that fails no more has the same id and the same folder.
        let plan = Plan::new(program("echo", ECHO)).state(&state);
        let mut agent = launch(plan).await.unwrap();
        let again = Plan::new(program("echo", ECHO));
        assert!(matches!(launch(again).await.err(), Some(LaunchError::Running(_))));
        assert!(exited(&agent.wait().await));
    });
}
