//! Tasks whose children are scripted.

use std::task::{Context, Waker};

use capfs::WriteAt;
use capfs::account::Account;
use capfs::testkit::{self, READ, now, read_at, walk, write_at};

use super::*;

/// A task that was started, with its plan and its streams.
type Started = (Arc<Task>, Plan, [Box<dyn OpenFile>; 3]);

/// Children that stand still until they are told.
#[derive(Default)]
struct Scripted {
    started: Mutex<Vec<Started>>,
    killed: Mutex<Vec<u64>>,
    revoked: Mutex<Vec<String>>,
    /// What becomes of programs whose name begins with `/late`, once it is known.
    late: Arc<Mutex<Option<Result<(), Errno>>>>,
}

impl Spawner for Scripted {
    fn check(&self, task: Arc<Task>, grant: &Grant) -> Op<()> {
        let held = [
            Grant::from_flag("random").unwrap(),
            Grant::from_flag("console").unwrap(),
        ];
        let source = source(held.iter().map(|held| (held, ())), grant);
        source.map_err(|refusal| task.refused(refusal)).into()
    }

    fn start(&self, task: Arc<Task>, plan: Plan, stdio: [Box<dyn OpenFile>; 3]) -> Op<()> {
        if plan.program == "/none" {
            let text = "there is no /none".to_owned();
            return Op::err(task.refused(Refusal {
                errno: Errno::Noent,
                text,
            }));
        }
        let late = plan.program.starts_with("/late");
        lock(&self.started).push((task, plan, stdio));
        if !late {
            return Op::ok(());
        }
        let outcome = self.late.clone();
        Op::later(std::future::poll_fn(move |_| match *lock(&outcome) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }))
    }

    fn kill(&self, number: u64) {
        lock(&self.killed).push(number);
        for (task, ..) in lock(&self.started).iter() {
            if task.number() == number {
                task.ended(Ended {
                    code: 137,
                    reason: "killed".to_owned(),
                });
            }
        }
    }

    fn revoke(&self, _number: u64, at: &str) -> Op<()> {
        lock(&self.revoked).push(at.to_owned());
        Op::ok(())
    }
}

fn device(flag: &str) -> (NodeRef, TaskDevice, Arc<Scripted>) {
    let scripted = Arc::new(Scripted::default());
    let grant = Grant::from_flag(flag).unwrap();
    let device = TaskDevice::new(scripted.clone(), &grant, &Account::unlimited()).unwrap();
    (device.root(), device, scripted)
}

fn put(root: &NodeRef, path: &str, text: &str) -> Result<(), Errno> {
    let how = OpenHow {
        read: false,
        write: true,
        truncate: true,
    };
    let mut file = now(walk(root, path)?.open(how))?;
    write_at(&mut *file, WriteAt::Offset(0), text.as_bytes()).map(|_| ())
}

fn says(root: &NodeRef, path: &str) -> String {
    String::from_utf8(testkit::read(root, path).unwrap()).unwrap()
}

#[test]
fn what_the_account_refuses_is_no_task() {
    let grant = Grant::from_flag("task").unwrap();
    let mut refused = 0;
    for more in 0.. {
        // One byte of room more each time, until there is enough.
        let account = Account::new(TASK + more);
        let device = TaskDevice::new(Arc::new(Scripted::default()), &grant, &account).unwrap();
        match now(walk(&device.root(), "new/wasi").unwrap().open(READ)) {
            Ok(_) => break,
            Err(errno) => assert_eq!(errno, Errno::Nomem),
        }
        assert!(device.task(1).is_none(), "{more}");
        assert_eq!(account.used(), 0, "{more}");
        refused += 1;
    }
    assert!(refused > 0);
}

#[test]
fn what_is_taken_away_is_given_back() {
    let account = Account::unlimited();
    let scripted = Arc::new(Scripted::default());
    let grant = Grant::from_flag("task").unwrap();
    let device = TaskDevice::new(scripted, &grant, &account).unwrap();
    let root = device.root();
    assert_eq!(says(&root, "new/wasi"), "1\n");
    let tell = |command: &str| put(&root, "1/ctl", &format!("{command}\n"));
    let before = account.used();
    for (give, take) in [
        ("bind /data /in ro", "unbind /in"),
        ("grant random,at=/random", "revoke /random"),
    ] {
        for _ in 0..3 {
            tell(give).unwrap();
            assert_eq!(
                account.used(),
                before + GIVEN * give.strip_prefix("grant ").unwrap_or(give).len() as u64
            );
            tell(take).unwrap();
            assert_eq!(account.used(), before, "{take}");
            assert_eq!(tell(take), Err(Errno::Inval));
        }
    }
    // While it runs, too.
    tell("bind /data /in").unwrap();
    tell("bind /more /in after").unwrap();
    put(&root, "1/cmd", "/bin/tool.wasm").unwrap();
    let command = "/bin/tool.wasm".len() as u64;
    tell("start").unwrap();
    tell("unbind /in").unwrap();
    assert_eq!(account.used(), before + GIVEN * command);
    assert_eq!(says(&root, "1/ns"), "");
}

#[test]
fn a_task_is_described_started_and_waited_for() {
    let (root, _, scripted) = device("task");
    assert_eq!(says(&root, "new/wasi"), "1\n");
    testkit::stat(&root, "new/wasi").unwrap();
    assert_eq!(
        testkit::names_in(&root).unwrap(),
        ["1", "error", "new", "policy"]
    );
    put(&root, "1/cmd", "/bin/tool.wasm -v").unwrap();
    put(&root, "1/args", "two words\nlast").unwrap();
    put(&root, "1/env", "A=1\nB=x=y\n").unwrap();
    put(
        &root,
        "1/ctl",
        "bind /data /in ro\nbind /more /in after\ngrant random\n",
    )
    .unwrap();
    assert_eq!(
        says(&root, "1/ns"),
        "bind /data /in ro\nbind /more /in after\ngrant random\n"
    );
    assert_eq!(says(&root, "1/status"), "new\n");
    put(&root, "1/ctl", "start\n").unwrap();
    assert_eq!(says(&root, "1/status"), "running\n");
    assert_eq!(put(&root, "1/cmd", "other"), Err(Errno::Busy));
    assert_eq!(put(&root, "1/ctl", "bind /a /b\n"), Err(Errno::Busy));
    let (task, plan, mut stdio) = lock(&scripted.started).pop().unwrap();
    assert_eq!(plan.args, ["-v", "two words", "last"]);
    assert_eq!(
        plan.env,
        [("A".into(), "1".into()), ("B".into(), "x=y".into())]
    );

    put(&root, "1/fd/0", "typed").unwrap();
    assert_eq!(read_at(&mut *stdio[0], 0, 99).unwrap(), b"typed");
    assert_eq!(read_at(&mut *stdio[0], 0, 99).unwrap(), b"");
    write_at(&mut *stdio[1], WriteAt::End, b"shown").unwrap();
    drop(stdio);
    assert_eq!(says(&root, "1/fd/1"), "shown");

    let Op::Later(mut wait) = walk(&root, "1/wait").unwrap().open(READ) else {
        panic!("it has not ended");
    };
    let mut context = Context::from_waker(Waker::noop());
    assert!(wait.as_mut().poll(&mut context).is_pending());
    task.ended(Ended {
        code: 3,
        reason: "exit".to_owned(),
    });
    let Poll::Ready(Ok(mut file)) = wait.as_mut().poll(&mut context) else {
        panic!("it has ended");
    };
    assert_eq!(read_at(&mut *file, 0, 9).unwrap(), b"3\n");
    assert_eq!(
        (says(&root, "1/status"), says(&root, "1/exit")),
        ("ended exit\n".into(), "3\n".into())
    );
    assert_eq!(put(&root, "1/ctl", "kill\n"), Err(Errno::Srch));
    put(&root, "1/ctl", "delete\n").unwrap();
    assert_eq!(walk(&root, "1").err(), Some(Errno::Noent));
}

#[test]
fn bad_commands_say_why() {
    let (root, _, _) = device("task");
    testkit::read(&root, "new/wasi").unwrap();
    for bad in [
        "bind /a",
        "bind a /b",
        "bind /a/../b /c",
        "bind /a /b rw",
        "unbind /x",
        "grant",
        "grant floppy",
        "begin",
        "start",
        "revoke /cap/x",
    ] {
        assert_eq!(
            put(&root, "1/ctl", &format!("{bad}\n")),
            Err(Errno::Inval),
            "{bad}"
        );
    }
    assert_eq!(
        put(&root, "1/ctl", "grant fetch,origin=*\n"),
        Err(Errno::Acces)
    );
    assert_eq!(says(&root, "error"), "the parent has no fetch\n");
    put(&root, "1/ctl", "grant random\n").unwrap();
    assert_eq!(put(&root, "1/ctl", "grant random\n"), Err(Errno::Exist));
    put(&root, "1/cmd", "/none").unwrap();
    assert_eq!(put(&root, "1/ctl", "start\n"), Err(Errno::Noent));
    assert_eq!(says(&root, "error"), "there is no /none\n");
    assert_eq!(says(&root, "1/status"), "failed ENOENT\n");
    put(&root, "1/env", "A").unwrap();
    assert_eq!(put(&root, "1/ctl", "start\n"), Err(Errno::Inval));
}

#[test]
fn a_grant_is_about_one_of_the_parents() {
    let grant = |flag: &str| Grant::from_flag(flag).unwrap();
    let held = [
        grant("fetch,origin=*"),
        grant("fetch,origin=*,at=/net"),
        grant("ws,origin=*"),
    ];
    let which = |flag: &str| {
        let held = held.iter().zip(0..);
        source(held, &grant(flag)).map_err(|refusal| refusal.errno)
    };
    assert_eq!(which("fetch,origin=*"), Ok(0));
    assert_eq!(which("fetch,origin=*,at=/net/"), Ok(1));
    assert_eq!(which("fetch,origin=*,at=/else"), Err(Errno::Inval));
    assert_eq!(which("ws,origin=*,at=/else"), Ok(2));
    assert_eq!(which("random"), Err(Errno::Acces));
}

#[test]
fn there_are_so_many_and_they_end_with_their_parent() {
    let (root, device, scripted) = device("task,children=2");
    for _ in 0..2 {
        testkit::read(&root, "new/wasi").unwrap();
    }
    assert_eq!(testkit::read(&root, "new/wasi").err(), Some(Errno::Mfile));
    put(&root, "2/cmd", "/x").unwrap();
    put(
        &root,
        "2/ctl",
        "grant console\nrevoke /cap/console\ngrant random\nbind /a /b\nbind /c /d\nstart\n\
         revoke /cap/random\nunbind /b/\n",
    )
    .unwrap();
    assert_eq!(*lock(&scripted.revoked), ["/cap/random", "/b/"]);
    assert_eq!(says(&root, "2/ns"), "bind /c /d\n");
    device.end();
    assert_eq!(*lock(&scripted.killed), [2]);
    assert_eq!(walk(&root, "2").err(), Some(Errno::Noent));
}

/// Begins to open a task's `wait`.
fn waiting(root: &NodeRef, number: u64) -> capfs::BoxedFuture<Result<Box<dyn OpenFile>, Errno>> {
    match walk(root, &format!("{number}/wait")).unwrap().open(READ) {
        Op::Later(waiting) => waiting,
        Op::Ready(_) => panic!("it has not ended"),
    }
}

/// What an opening of `wait` has come to.
fn poll_waiting(
    waiting: &mut capfs::BoxedFuture<Result<Box<dyn OpenFile>, Errno>>,
) -> Poll<Result<Vec<u8>, Errno>> {
    let mut context = Context::from_waker(Waker::noop());
    let polled = waiting.as_mut().poll(&mut context);
    polled.map_ok(|mut file| read_at(&mut *file, 0, 9).unwrap())
}

fn ctl(root: &NodeRef, number: u64) -> Box<dyn OpenFile> {
    let how = OpenHow {
        read: false,
        write: true,
        truncate: false,
    };
    now(walk(root, &format!("{number}/ctl")).unwrap().open(how)).unwrap()
}

#[test]
fn a_task_that_cannot_start_says_so_and_can_be_put_right() {
    let (root, _, scripted) = device("task");
    testkit::read(&root, "new/wasi").unwrap();
    put(&root, "1/cmd", "/none").unwrap();
    let mut before = waiting(&root, 1);
    assert!(poll_waiting(&mut before).is_pending());
    // Without a newline: closing the file starts it, and tells what became of that.
    let mut file = ctl(&root, 1);
    write_at(&mut *file, WriteAt::End, b"start").unwrap();
    assert_eq!(says(&root, "1/status"), "new\n");
    assert_eq!(now(file.finish()), Err(Errno::Noent));
    drop(file);
    assert_eq!(says(&root, "1/status"), "failed ENOENT\n");
    assert_eq!(says(&root, "1/exit"), "");
    // Nobody waits for what doesn't run.
    let failed = Poll::Ready(Err(Errno::Noent));
    assert_eq!(poll_waiting(&mut before), failed);
    assert_eq!(poll_waiting(&mut waiting(&root, 1)), failed);
    put(&root, "1/cmd", "/there").unwrap();
    put(&root, "1/ctl", "start\n").unwrap();
    assert_eq!(says(&root, "1/status"), "running\n");
    let mut after = waiting(&root, 1);
    assert!(poll_waiting(&mut after).is_pending());
    scripted.kill(1);
    assert_eq!(poll_waiting(&mut after), Poll::Ready(Ok(b"137\n".into())));
}

/// What is missing is noticed before there is anything to start, and keeps nobody waiting either.
#[test]
fn a_task_without_what_a_start_needs_fails_as_others_do() {
    let (root, _, scripted) = device("task");
    for (number, cmd, env) in [
        (1, "", ""),
        (2, "/there", "A=1\nB"),
        (3, "/there", "=x"),
        (4, "/there", "A=\0"),
        (5, "/there\0", ""),
    ] {
        testkit::read(&root, "new/wasi").unwrap();
        let at = |file: &str| format!("{number}/{file}");
        put(&root, &at("cmd"), cmd).unwrap();
        put(&root, &at("env"), env).unwrap();
        let mut before = waiting(&root, number);
        assert!(poll_waiting(&mut before).is_pending());
        let mut output = now(walk(&root, &at("fd/1")).unwrap().open(READ)).unwrap();
        assert_eq!(put(&root, &at("ctl"), "start\n"), Err(Errno::Inval));
        assert_eq!(says(&root, &at("status")), "failed EINVAL\n");
        let failed = Poll::Ready(Err(Errno::Inval));
        assert_eq!(poll_waiting(&mut before), failed);
        assert_eq!(poll_waiting(&mut waiting(&root, number)), failed);
        assert_eq!(read_at(&mut *output, 0, 9), Ok(Vec::new()), "its end");
        put(&root, &at("cmd"), "/there").unwrap();
        put(&root, &at("env"), "A=1").unwrap();
        put(&root, &at("ctl"), "start\n").unwrap();
        assert_eq!(says(&root, &at("status")), "running\n");
        scripted.kill(number);
    }
}

#[test]
fn a_task_is_started_once() {
    let (root, _, scripted) = device("task");
    testkit::read(&root, "new/wasi").unwrap();
    put(&root, "1/cmd", "/late").unwrap();
    let (mut one, mut other) = (ctl(&root, 1), ctl(&root, 1));
    let mut context = Context::from_waker(Waker::noop());
    let first = one.poll_write(&mut context, WriteAt::End, &mut &b"start\n"[..]);
    assert!(first.is_pending());
    assert_eq!(says(&root, "1/status"), "starting\n");
    let second = write_at(&mut *other, WriteAt::End, b"start\n");
    assert_eq!(second.err(), Some(Errno::Busy));
    *lock(&scripted.late) = Some(Ok(()));
    write_at(&mut *one, WriteAt::End, b"start\n").unwrap();
    assert_eq!(says(&root, "1/status"), "running\n");
    assert_eq!(lock(&scripted.started).len(), 1);
}

#[test]
fn a_start_that_is_given_up_ends_what_it_began() {
    let (root, _, scripted) = device("task");
    for number in [1, 2] {
        testkit::read(&root, "new/wasi").unwrap();
        put(&root, &format!("{number}/cmd"), "/late").unwrap();
    }
    // By whoever waits for it, and by an agent that was ended.
    let mut context = Context::from_waker(Waker::noop());
    for number in [1, 2] {
        let mut file = ctl(&root, number);
        let begun = file.poll_write(&mut context, WriteAt::End, &mut &b"start\n"[..]);
        assert!(begun.is_pending());
        match number {
            1 => file.cancel(),
            _ => drop(file),
        }
        assert_eq!(says(&root, &format!("{number}/status")), "ended killed\n");
        assert_eq!(
            poll_waiting(&mut waiting(&root, number)),
            Poll::Ready(Ok(b"137\n".into()))
        );
    }
    assert_eq!(*lock(&scripted.killed), [1, 2]);
}

#[test]
fn nobody_waits_for_a_task_that_was_deleted() {
    let (root, _, _) = device("task");
    testkit::read(&root, "new/wasi").unwrap();
    let mut before = waiting(&root, 1);
    assert!(poll_waiting(&mut before).is_pending());
    put(&root, "1/ctl", "delete\n").unwrap();
    assert_eq!(poll_waiting(&mut before), Poll::Ready(Err(Errno::Noent)));
}

#[test]
fn who_waits_no_longer_is_forgotten() {
    let (root, _, _scripted) = device("task");
    says(&root, "new/wasi");
    put(&root, "1/cmd", "/bin/x").unwrap();
    put(&root, "1/ctl", "start\n").unwrap();
    struct Sleeper;
    impl std::task::Wake for Sleeper {
        fn wake(self: Arc<Self>) {}
    }
    // As clients do whose requests are given up: each with a waker of its own, while the task runs.
    for _ in 0..2 {
        let sleeper = Arc::new(Sleeper);
        let waker = sleeper.clone().into();
        let mut wait = Box::pin(walk(&root, "1/wait").unwrap().open(READ).wait());
        let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop((wait, waker));
        assert_eq!(Arc::strong_count(&sleeper), 1);
    }
}
