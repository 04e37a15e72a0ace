//! Children of agents that share threads: tasks beside their parents.

mod fleet;

use std::fs;
use std::path::Path;

use capfs_devices::grant::Grant;
use capfs_host::cache::Cache;
use capfs_host::compile::Compiler;
use capfs_host::grants::DirGrant;
use capfs_host::host::{Agent, Host, Plan, Program};
use capfs_host::run::Outcome;
use capfs_host::wait::Cancelled;
use fleet::{
    ECHO, SPIN, answer, exited, launch, parent, program, put, runtime, say, show, threads,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

/// Takes memory until there is no more.
const GREEDY: &str = r#"(module (memory (export "memory") 1)
    (func (export "_start")
      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      unreachable))"#;

/// A host that can compile children, with a cache in a folder.
fn host(folder: &Path) -> Host {
    let compiler = Compiler::at(env!("CARGO_BIN_EXE_capfs-host"));
    let host = Host::builder().compiler(compiler);
    host.cache(Cache::at(folder.join("cache"))).build().unwrap()
}

/// A folder with programs.
fn programs() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, wat) in [("echo", ECHO), ("spin", SPIN), ("greedy", GREEDY)] {
        write(folder.path(), name, wat);
    }
    folder
}

fn write(folder: &Path, name: &str, wat: &str) {
    let file = folder.join(name).with_extension("wasm");
    fs::write(file, wat::parse_str(wat).unwrap()).unwrap();
}

/// An agent that may start what is in a folder.
fn plan(program: Program, folder: &Path) -> Plan {
    let bin = format!("{}::/bin", folder.display());
    let plan = Plan::new(program).grant(bin.parse::<DirGrant>().unwrap());
    plan.grant(Grant::from_flag("task,children=200").unwrap())
}

/// Makes a task of a program, and starts it.
fn start(number: usize, name: &str) -> Vec<String> {
    vec![
        show("new/wasi"),
        put(&format!("{number}/ctl"), "bind /bin /bin\n"),
        put(&format!("{number}/cmd"), &format!("/bin/{name}.wasm")),
        put(&format!("{number}/ctl"), "start\n"),
    ]
}

/// Runs a parent that does this, and returns what it has said.
async fn run(steps: &[String]) -> String {
    let folder = programs();
    let host = host(folder.path());
    let plan = plan(program("parent", &parent(steps)), folder.path());
    let mut agent = launch(&host, "parent", plan).await;
    let said = said(&mut agent).await;
    let report = agent.wait().await;
    assert!(exited(&report), "{report:?}");
    assert_eq!(host.usage().account.used, 0);
    said
}

async fn said(agent: &mut Agent) -> String {
    let (mut stdout, mut said) = (agent.stdout().unwrap(), String::new());
    stdout.read_to_string(&mut said).await.unwrap();
    said
}

#[test]
fn a_child_answers_its_parent_by_pipes() {
    runtime(1).block_on(async {
        let rest = [
            put("1/fd/0", "hello\n"),
            show("1/fd/1"),
            show("1/wait"),
            show("1/status"),
        ];
        let steps = [start(1, "echo"), rest.into()];
        let said = run(&steps.concat()).await;
        assert_eq!(said, "1\nhello\n0\nended exit\n");
    });
}

#[test]
fn a_child_that_computes_is_killed_by_its_parent_on_the_only_worker() {
    runtime(1).block_on(async {
        let rest = [
            put("2/fd/0", "x"),
            show("2/fd/1"),
            put("1/ctl", "kill\n"),
            show("1/wait"),
            show("1/status"),
        ];
        let steps = [start(1, "spin"), start(2, "echo"), rest.into()];
        let said = run(&steps.concat()).await;
        assert_eq!(said, "1\n2\nx137\nended killed\n");
    });
}

#[test]
fn children_have_no_threads_and_end_with_their_parent() {
    runtime(2).block_on(async {
        const CHILDREN: usize = 100;
        let starts = (1..=CHILDREN).flat_map(|number| start(number, "echo"));
        let rest = [start(CHILDREN + 1, "spin"), vec![say("!"), answer()]];
        let steps: Vec<String> = starts.chain(rest.concat()).collect();
        let folder = programs();
        let host = host(folder.path());
        let parent = program("parent", &parent(&steps));
        for killed in [false, true] {
            let mut agent = launch(&host, "parent", plan(parent.clone(), folder.path())).await;
            let (stdin, mut stdout) = (agent.stdin().unwrap(), agent.stdout().unwrap());
            // All of them have been started when it says so.
            let mut byte = [0];
            while byte != *b"!" {
                stdout.read_exact(&mut byte).await.unwrap();
            }
            assert!(threads() < CHILDREN, "{}", threads());
            match killed {
                true => agent.kill(),
                false => drop(stdin),
            }
            let report = agent.wait().await;
            match killed {
                true => assert_eq!(report.outcome, Outcome::Cancelled(Cancelled::Killed)),
                false => assert!(exited(&report)),
            }
            drop(stdout);
            assert_eq!(host.usage().account.used, 0);
        }
    });
}

#[test]
fn a_child_has_what_its_parent_has_left() {
    runtime(1).block_on(async {
        const MAX: u64 = 64 << 20;
        let folder = programs();
        let steps = [start(1, "greedy"), vec![show("1/wait"), show("1/status")]];
        let plan = plan(program("parent", &parent(&steps.concat())), folder.path());
        let host = host(folder.path());
        let mut agent = launch(&host, "parent", plan.max_memory(MAX)).await;
        assert_eq!(said(&mut agent).await, "1\n134\nended memory\n");
        let report = agent.wait().await;
        assert!(exited(&report));
        assert!(report.account.peak <= MAX && report.account.peak > MAX / 2);
        assert_eq!(host.usage().account.used, 0);
    });
}

#[test]
fn children_of_children_count_and_end_as_theirs() {
    runtime(1).block_on(async {
        let folder = programs();
        let rest = vec![put("2/fd/0", "deep\n"), show("2/fd/1")];
        let inner = [start(1, "spin"), start(2, "echo"), rest];
        write(folder.path(), "child", &parent(&inner.concat()));
        let steps = [
            show("new/wasi"),
            put("1/ctl", "bind /bin /bin\n"),
            put("1/ctl", "grant task\n"),
            put("1/cmd", "/bin/child.wasm"),
            put("1/ctl", "start\n"),
            show("1/fd/1"),
            show("1/wait"),
        ];
        let plan = plan(program("parent", &parent(&steps)), folder.path());
        let host = host(folder.path());
        let mut agent = launch(&host, "parent", plan).await;
        assert_eq!(said(&mut agent).await, "1\n1\n2\ndeep\n0\n");
        assert!(exited(&agent.wait().await));
        assert_eq!(host.usage().account.used, 0);
    });
}

#[test]
fn what_is_taken_away_from_a_parent_is_gone() {
    runtime(1).block_on(async {
        let folder = programs();
        // It starts one, answers until its input ends, and then misses its tasks: ENODEV, 43.
        let rest = vec![answer(), show("new/wasi")];
        let steps = [start(1, "spin"), rest].concat();
        let plan = plan(program("parent", &parent(&steps)), folder.path());
        let mut agent = launch(&host(folder.path()), "parent", plan).await;
        let (stdin, mut stdout) = (agent.stdin().unwrap(), agent.stdout().unwrap());
        let mut line = [0; 2];
        stdout.read_exact(&mut line).await.unwrap();
        assert!(!agent.revoke("/elsewhere"));
        assert!(agent.revoke("task"));
        drop(stdin);
        let report = agent.wait().await;
        // Its start is refused, or what it does with its tasks afterwards.
        assert_eq!(report.outcome.reason(), "exit");
        assert_ne!(report.outcome.code(), 0);
        assert!(!agent.revoke("task"), "it has ended");
    });
}
