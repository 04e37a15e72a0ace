//! How many threads there are: the only test of its process, for others have threads, too.

mod fleet;

use capfs_host::host::{Host, Io, Plan, Program};
use fleet::{ECHO, ask, exited, id, launch, program, threads};
use tokio::runtime::Builder;

#[test]
fn thousands_of_agents_wait_on_two_threads() {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(1);
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let echo = program("echo", ECHO);
        let first = launch(&host, "first", Plan::new(echo.clone())).await;
        // Workers, the ticker and the pool are there.
        let before = threads();
        for number in 0..100 {
            let plan = Plan::new(Program::bytes("text", *b"no module"));
            assert!(host.launch(id(number), plan, Io::piped()).await.is_err());
        }
        let mut agents = vec![first];
        for number in 0..2_000 {
            agents.push(launch(&host, number, Plan::new(echo.clone())).await);
        }
        assert_eq!(threads(), before);
        assert_eq!(host.usage().agents, 2_001);
        assert_eq!(host.usage().loaded, 1);
        let mut ends: Vec<_> = agents
            .iter_mut()
            .map(|agent| (agent.stdin().unwrap(), agent.stdout().unwrap()))
            .collect();
        for round in 0..2 {
            for (number, (stdin, stdout)) in ends.iter_mut().enumerate() {
                ask(stdin, stdout, &format!("{round} {number}")).await;
            }
        }
        drop(ends);
        for mut agent in agents {
            assert!(exited(&agent.wait().await));
        }
        assert_eq!(host.usage().agents, 0);
        assert_eq!(host.usage().account.used, 0);
    });
}
