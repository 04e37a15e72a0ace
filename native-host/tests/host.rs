//! Agents on the threads of one runtime.

mod fleet;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capfs::clock::Clock;
use capfs_devices::grant::Grant;
use capfs_host::clock::SystemClock;
use capfs_host::compile::{Compiler, Tiers};
use capfs_host::grants::{DirGrant, MountGrant};
use capfs_host::host::{Host, Io, LaunchError, Plan, PlanError, Program, Stdio};
use capfs_host::run::{Outcome, Report};
use capfs_host::wait::Cancelled;
use capfs_runtime::ExitStatus;
use fleet::{ECHO, SLEEP, SPIN, ask, exited, id, launch, program, runtime};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use tokio::io::AsyncReadExt;

#[test]
fn neighbours_of_those_that_compute_go_on() {
    // Each worker has several.
    let runtime = runtime(2);
    runtime.block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
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
        // Timers are looked at, too.
        let mut sleeper = launch(&host, "sleep", Plan::new(program("sleep", SLEEP))).await;
        assert!(exited(&sleeper.wait().await));
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
        let host = Host::builder().compile_here().build().unwrap();
        for (name, wat) in [("spin", SPIN), ("echo", ECHO)] {
            // Its time counts while it is compiled.
            let program = program(name, wat);
            drop(launch(&host, "first", Plan::new(program.clone())).await);
            let plan = Plan::new(program).timeout(Duration::from_millis(500));
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
        let host = Host::builder().compile_here().build().unwrap();
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
        let host = Host::builder().compile_here().max_memory(64 << 20).build().unwrap();
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

/// Runs a program to its end on a runtime of one thread, and returns what it has written.
fn run(wat: &str, plan: impl FnOnce(Plan) -> Plan) -> (Report, String) {
    runtime(1).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let mut agent = launch(&host, "one", plan(Plan::new(program("one", wat)))).await;
        let (mut stdout, mut said) = (agent.stdout().unwrap(), String::new());
        stdout.read_to_string(&mut said).await.unwrap();
        let report = agent.wait().await;
        // What its pipes have kept is kept by both ends.
        drop(stdout);
        assert_eq!(host.usage().account.used, 0);
        (report, said)
    })
}

/// A module with the body of `_start`, imports in front of it, and the string `text` at 16, which `$say` writes a byte of.
fn saying(imports: &str, text: &str, rest: &str) -> String {
    format!(
        r#"(module {imports}
             (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (data (i32.const 16) "{text}")
             (func $say (param $at i32)
               (i32.store (i32.const 0) (local.get $at))
               (i32.store (i32.const 4) (i32.const 1))
               (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable)))
             {rest})"#
    )
}

#[test]
fn a_start_function_calls_the_host_as_well() {
    let wat = saying(
        "",
        "ab",
        r#"(func $begin (call $say (i32.const 16)))
           (start $begin)
           (func (export "_start") (call $say (i32.const 17)))"#,
    );
    let (report, said) = run(&wat, |plan| plan);
    assert!(exited(&report));
    assert_eq!(said, "ab");
    // Each call counts once, whichever way it went.
    assert_eq!(report.usage.calls, 2);
}

#[test]
fn every_import_is_answered_as_on_a_thread() {
    let imports = r#"
        (import "wasi_unstable" "fd_seek" (func $old (param i32 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "sock_open" (func $none (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    let wat = saying(
        imports,
        "x",
        r#"(func (export "_start")
             ;; A pipe has no offsets: ESPIPE, 70.
             (if (i32.ne (i32.const 70) (call $old (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 8))) (then unreachable))
             ;; ENOSYS, 52.
             (if (i32.ne (i32.const 52) (call $none (i32.const 0) (i32.const 0))) (then unreachable))
             (call $say (i32.const 16))
             (call $exit (i32.const 7)))"#,
    );
    let (report, said) = run(&wat, |plan| plan);
    assert_eq!(report.outcome, Outcome::Exited(ExitStatus::Code(7)));
    assert_eq!(said, "x");
    let unknown = r#"(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))"#;
    runtime(1).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let plan = Plan::new(program("unknown", unknown));
        let refused = host.launch(id("one"), plan, Io::null()).await;
        assert!(matches!(refused.err(), Some(LaunchError::Module(_))));
        assert_eq!(host.usage().programs, 0);
    });
}

#[test]
fn a_sleep_ends_and_processor_time_is_the_agents_own() {
    assert!(exited(&run(SLEEP, |plan| plan).0));
}

#[test]
fn hostile_agents_are_held_to_their_limits() {
    let deep = r#"(module (memory (export "memory") 1)
        (func $f (export "_start") (call $f) (call $f)))"#;
    let (report, _) = run(deep, |plan| plan);
    assert!(
        matches!(&report.outcome, Outcome::Trapped(why) if why.contains("stack")),
        "{report:?}"
    );
    let greedy = r#"(module (memory (export "memory") 1)
        (func (export "_start")
          (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
          unreachable))"#;
    let (report, _) = run(greedy, |plan| plan.max_memory(16 << 20));
    assert_eq!(report.outcome, Outcome::OutOfMemory);
    assert!(
        report.memory <= 16 << 20 && report.account.peak <= 16 << 20,
        "{report:?}"
    );
    let tables = r#"(module (memory (export "memory") 1) (table $t 1 funcref)
        (func (export "_start")
          (loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 65536)) (i32.const -1))))))"#;
    let (report, _) = run(tables, |plan| plan.max_memory(16 << 20));
    assert!(
        exited(&report) && report.account.peak <= 16 << 20,
        "{report:?}"
    );
    // Descriptors: the memory file system's root again and again, until there is EMFILE (33).
    let open = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) ".")
        (func (export "_start") (local $errno i32)
          (loop $more
            (local.set $errno (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 2)
              (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 8)))
            (br_if $more (i32.eqz (local.get $errno))))
          (if (i32.ne (local.get $errno) (i32.const 33)) (then unreachable))))"#;
    let files: MountGrant = "memory:/tmp".parse().unwrap();
    let (report, _) = run(open, |plan| plan.grant(files).max_files(50));
    assert!(exited(&report), "{report:?}");
    assert_eq!(report.usage.files_peak, 50);
}

#[test]
fn files_of_a_folder_are_written_and_synced_beside_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let grant: DirGrant = format!("{}::/work:rw", folder.path().display())
        .parse()
        .unwrap();
    // Makes `f` in the first directory, writes to it, syncs it and the directory.
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_sync" (func $sync (param i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "f")
        (data (i32.const 32) "kept")
        (func $must (param i32) (if (local.get 0) (then unreachable)))
        (func (export "_start")
          (call $must (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 1)
            (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 8)))
          (i32.store (i32.const 0) (i32.const 32))
          (i32.store (i32.const 4) (i32.const 4))
          (call $must (call $write (i32.load (i32.const 8)) (i32.const 0) (i32.const 1) (i32.const 12)))
          (call $must (call $sync (i32.load (i32.const 8))))
          (call $must (call $sync (i32.const 3)))))"#;
    let (report, _) = run(wat, |plan| plan.grant(grant));
    assert!(exited(&report), "{report:?}");
    assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), b"kept");
}

#[test]
fn streams_are_the_embedders() {
    runtime(1).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let (mut from, to) = tokio::io::duplex(64);
        let io = Io {
            // More than pipes hold.
            stdin: Stdio::reader(tokio::io::repeat(b'x').take(100_000)),
            stdout: Stdio::writer(to),
            ..Io::null()
        };
        let plan = Plan::new(program("echo", ECHO));
        let mut agent = host.launch(id("one"), plan, io).await.unwrap();
        let mut said = Vec::new();
        let (read, report) = tokio::join!(from.read_to_end(&mut said), agent.wait());
        read.unwrap();
        assert!(exited(&report));
        assert_eq!(said, vec![b'x'; 100_000]);
    });
}

#[test]
fn code_is_kept_by_its_digest_and_goes_when_there_is_too_much() {
    runtime(1).block_on(async {
        let host = Host::builder().compile_here().max_code(1).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("echo.wasm");
        std::fs::write(&file, wat::parse_str(ECHO).unwrap()).unwrap();
        for (round, name) in ["a", "b"].into_iter().enumerate() {
            // The same module, in a file and in memory.
            for program in [Program::file(&file), program(name, ECHO)] {
                let agent = host.launch(id(name), Plan::new(program), Io::null()).await;
                assert!(exited(&agent.unwrap().wait().await));
            }
            assert_eq!(host.usage().loaded, 1 + 2 * round as u64);
            // Another takes its place.
            let other = host
                .launch(id(name), Plan::new(program("spin", SPIN)), Io::null())
                .await;
            drop(other.unwrap());
            assert_eq!(host.usage().programs, 1);
            while host.usage().agents > 0 {
                tokio::task::yield_now().await;
            }
        }
        // A file that has changed is another program.
        let seven = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 7))))"#;
        std::fs::write(&file, wat::parse_str(seven).unwrap()).unwrap();
        let plan = Plan::new(Program::file(&file));
        let mut agent = host.launch(id("c"), plan, Io::null()).await.unwrap();
        let report = agent.wait().await;
        assert_eq!(report.outcome, Outcome::Exited(ExitStatus::Code(7)));
    });
}

#[test]
fn a_manifest_is_a_plan() {
    runtime(1).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("agent.toml");
        std::fs::write(folder.path().join("echo.wasm"), wat::parse_str(ECHO).unwrap()).unwrap();
        let write = |text: &str| std::fs::write(&manifest, text).unwrap();
        write("[agent]\nprogram = \"echo.wasm\"\nid = \"echo\"\n[limits]\nfiles = 20\n[mounts]\n\"/tmp\" = { type = \"memory\" }\n");
        let (own, plan) = Plan::from_manifest(&manifest).unwrap();
        let mut agent = host.launch(own.unwrap(), plan, Io::null()).await.unwrap();
        assert_eq!(agent.id().as_str(), "echo");
        assert!(agent.degraded().is_empty());
        let report = agent.wait().await;
        assert!(exited(&report));
        // The streams and the folder.
        assert_eq!(report.usage.files_peak, 4);

        // Another module than the one that is meant, and the manifest's own folder to be written.
        let digest = format!("sha256:{}", "0".repeat(64));
        write(&format!("[agent]\nprogram = \"echo.wasm\"\ndigest = \"{digest}\"\n"));
        let (own, plan) = Plan::from_manifest(&manifest).unwrap();
        assert!(own.is_none());
        let refused = host.launch(id("one"), plan, Io::null()).await.err();
        assert!(matches!(refused, Some(LaunchError::Module(error)) if error.to_string().contains(&digest)));
        write("[agent]\nprogram = \"echo.wasm\"\n[mounts]\n\"/own\" = { type = \"folder\", host = \".\", rights = \"rw\" }\n");
        let (_, plan) = Plan::from_manifest(&manifest).unwrap();
        let refused = host.launch(id("one"), plan, Io::null()).await.err();
        assert!(matches!(refused, Some(LaunchError::Grants(lacks)) if lacks.len() == 1));
        write("[agent]\n");
        assert!(matches!(Plan::from_manifest(&manifest), Err(PlanError::NoProgram)));
        assert_eq!(host.usage().account.used, 0);
    });
}

#[test]
fn capabilities_are_granted_and_given_back() {
    runtime(1).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let state = tempfile::tempdir().unwrap();
        let grant = |flag: &str| Grant::from_flag(flag).unwrap();
        let plan = || {
            let plan = Plan::new(program("echo", ECHO)).state(state.path().join("state"));
            plan.grant(grant("fetch,origin=https://example.com"))
                .grant(grant("indexeddb"))
                .grant(grant("crypto"))
                .grant(grant("opfs,quota=64KiB"))
        };
        // The second has the folder when the first has ended.
        for _ in 0..2 {
            let mut agent = launch(&host, "one", plan()).await;
            let held = agent.usage().used;
            assert!(held > 0);
            assert!(exited(&agent.wait().await));
            assert_eq!(host.usage().account.used, 0);
        }
        // Who compiles nothing beside itself starts no children.
        let refused = host
            .launch(id("one"), plan().grant(grant("task")), Io::null())
            .await;
        match refused.err() {
            Some(LaunchError::Grants(lacks)) => assert_eq!(lacks.len(), 1),
            other => panic!("{other:?}"),
        }
        // An agent that can do without is launched without.
        let manifest = state.path().join("agent.toml");
        std::fs::write(state.path().join("echo.wasm"), wat::parse_str(ECHO).unwrap()).unwrap();
        std::fs::write(
            &manifest,
            "[agent]\nprogram = \"echo.wasm\"\n[[grants]]\ndevice = \"task\"\noptional = true\nwithout = \"it is alone\"\n",
        )
        .unwrap();
        let (_, without) = Plan::from_manifest(&manifest).unwrap();
        let mut agent = launch(&host, "one", without).await;
        match agent.degraded() {
            [lack] => assert!(lack.to_string().contains("it is alone"), "{lack}"),
            other => panic!("{other:?}"),
        }
        assert!(exited(&agent.wait().await));
        let compiler = Compiler::at(env!("CARGO_BIN_EXE_capfs-host"));
        let host = Host::builder().compiler(compiler).build().unwrap();
        let mut agent = launch(&host, "one", plan().grant(grant("task"))).await;
        assert!(exited(&agent.wait().await));
        assert_eq!(host.usage().account.used, 0);
    });
}

#[test]
fn an_agent_that_ends_with_its_runtime_leaves_nothing() {
    // Makes a file of 60,000 bytes in memory, says so, and waits for its input.
    let wat = saying(
        r#"(import "wasi_snapshot_preview1" "path_open"
             (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))"#,
        "f",
        r#"(func $must (param i32) (if (local.get 0) (then unreachable)))
           (func (export "_start")
             (call $must (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 1)
               (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 8)))
             (i32.store (i32.const 0) (i32.const 64))
             (i32.store (i32.const 4) (i32.const 60000))
             (call $must (call $write (i32.load (i32.const 8)) (i32.const 0) (i32.const 1) (i32.const 12)))
             (call $say (i32.const 16))
             (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 12))))"#,
    );
    let runtime = runtime(1);
    let (host, mut agent) = runtime.block_on(async {
        let compiler = Compiler::at(env!("CARGO_BIN_EXE_capfs-host"));
        let host = Host::builder().compiler(compiler).build().unwrap();
        let files: MountGrant = "memory:/tmp".parse().unwrap();
        let plan = Plan::new(program("holds", &wat)).grant(files);
        let plan = plan.grant(Grant::from_flag("task").unwrap());
        let mut agent = launch(&host, "one", plan).await;
        let mut stdout = agent.stdout().unwrap();
        assert_eq!(stdout.read(&mut [0]).await.unwrap(), 1);
        (host, agent)
    });
    let ends = (agent.stdin(), agent.stderr());
    drop(runtime);
    drop(ends);
    assert_eq!(host.usage().agents, 0);
    assert_eq!(host.usage().account.used, 0);
    let report = self::runtime(1).block_on(agent.wait());
    assert_eq!(report.outcome, Outcome::Cancelled(Cancelled::Killed));
}

#[test]
fn a_launch_that_is_given_up_has_its_id_until_nothing_is_done_for_it() {
    runtime(2).block_on(async {
        let host = Host::builder().compile_here().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (state, token) = (folder.path().join("state"), folder.path().join("token"));
        mkfifoat(CWD, &token, Mode::RWXU).unwrap();
        let plan = || Plan::new(program("echo", ECHO)).state(&state);
        let header = format!(
            "fetch,origin=*,header-file=https://a X-Key: @{}",
            token.display()
        );
        let waits = plan().grant(Grant::from_flag(&header).unwrap());
        // Who reads it waits for somebody who writes.
        let read = async {
            loop {
                let open = OFlags::WRONLY | OFlags::NONBLOCK;
                match rustix::fs::open(&token, open, Mode::empty()) {
                    Ok(fd) => return fd,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let fd = tokio::select! {
            _ = host.launch(id("one"), waits, Io::null()) => panic!("there is no header yet"),
            fd = read => fd,
        };
        let refused = host.launch(id("one"), plan(), Io::null()).await;
        assert!(matches!(refused.err(), Some(LaunchError::Running(_))));
        drop(fd);
        while host.usage().agents > 0 {
            tokio::task::yield_now().await;
        }
        // The folder is free as soon as the id is.
        let mut agent = host.launch(id("one"), plan(), Io::null()).await.unwrap();
        assert!(exited(&agent.wait().await));
        assert_eq!(host.usage().account.used, 0);
    });
}

#[test]
fn agents_with_large_stacks_are_stopped_as_all_are() {
    runtime(1).block_on(async {
        let compiler = Compiler::at(env!("CARGO_BIN_EXE_capfs-host")).with(Tiers::Baseline);
        let host = Host::builder().compiler(compiler).stack(8 << 20);
        let host = host.build().unwrap();
        let mut agent = launch(&host, "spin", Plan::new(program("spin", SPIN))).await;
        let held = host.usage().account.used;
        assert!(held > 8 << 20, "{held}");
        // On the only worker, while it computes.
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::spawn(async move { tell.send(()) });
        told.await.unwrap();
        agent.kill();
        let report = agent.wait().await;
        assert_eq!(report.outcome, Outcome::Cancelled(Cancelled::Killed));
    });
}

/// The system's clock, which writes a byte to `to` when it is asked for the 20th time, and counts.
struct Counting {
    asked: AtomicUsize,
    to: UnixStream,
}

/// When it writes.
const AT: usize = 20;

impl Clock for Counting {
    fn realtime(&self) -> u64 {
        SystemClock.realtime()
    }

    fn monotonic(&self) -> u64 {
        if self.asked.fetch_add(1, Ordering::Relaxed) == AT {
            (&self.to).write_all(b"x").unwrap();
        }
        SystemClock.monotonic()
    }

    fn realtime_resolution(&self) -> u64 {
        SystemClock.realtime_resolution()
    }

    fn monotonic_resolution(&self) -> u64 {
        SystemClock.monotonic_resolution()
    }
}

#[test]
fn sockets_are_looked_at_at_every_pause_of_a_long_call() {
    // It would look at them at every 10,000th task only, where it is never idle.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().event_interval(10_000).build().unwrap();
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1024)
        (func (export "_start") (loop $more
          (if (call $random (i32.const 0) (i32.const 0x4000000)) (then unreachable))
          (br $more))))"#;
    runtime.block_on(async {
        let (from, to) = UnixStream::pair().unwrap();
        from.set_nonblocking(true).unwrap();
        let mut from = tokio::net::UnixStream::from_std(from).unwrap();
        let clock = Arc::new(Counting {
            asked: AtomicUsize::new(0),
            to,
        });
        let host = Host::builder()
            .compile_here()
            .clock(clock.clone())
            .build()
            .unwrap();
        let agent = launch(&host, "one", Plan::new(program("random", wat))).await;
        from.read_exact(&mut [0]).await.unwrap();
        let late = clock.asked.load(Ordering::Relaxed) - AT;
        assert!(late < 5, "{late} pauses");
        drop(agent);
    });
}
