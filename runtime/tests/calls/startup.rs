//! Arguments, environment, the configuration, clocks, randomness and ends.

use crate::guest::{EPOCH, Guest, OUT, SIZE, TestClock, config, entries, made, memory};
use capfs::Errno;
use capfs::account::Account;
use capfs_runtime::{ConfigError, DESCRIPTOR, ExitStatus, Preopen, Process};

#[test]
fn arguments_and_environment() {
    let mut guest = Guest::new(&[]);
    guest
        .now(|process, context, memory| process.args_sizes_get(context, memory, 0, 4))
        .unwrap();
    assert_eq!((guest.u32_at(0), guest.u32_at(4)), (2, 6 + 12));
    guest
        .now(|process, context, memory| process.args_get(context, memory, 0, 100))
        .unwrap();
    assert_eq!((guest.u32_at(0), guest.u32_at(4)), (100, 106));
    assert_eq!(guest.bytes(100, 18), b"guest\0an argument\0");
    guest
        .now(|process, context, memory| process.environ_sizes_get(context, memory, 0, 4))
        .unwrap();
    assert_eq!((guest.u32_at(0), guest.u32_at(4)), (1, 7));
    guest
        .now(|process, context, memory| process.environ_get(context, memory, 0, 100))
        .unwrap();
    assert_eq!(guest.bytes(100, 7), b"HOME=/\0");
    let fault =
        guest.now(|process, context, memory| process.args_get(context, memory, 0, SIZE - 17));
    assert_eq!(fault, Err(Errno::Fault));
}

#[test]
fn a_configuration_is_checked() {
    let clock = std::sync::Arc::new(TestClock::new(0));
    let make = |change: &dyn Fn(&mut capfs_runtime::ProcessConfig)| {
        let mut config = config(&clock, memory(&clock, &[("file", b"")]));
        change(&mut config);
        made(config).map(|_| ())
    };
    assert!(make(&|_| {}).is_ok());
    let nul = make(&|config| config.args.push("a\0b".into()));
    assert!(matches!(nul, Err(ConfigError::Nul { .. })));
    let name = make(&|config| config.env.push(("A=B".into(), String::new())));
    assert!(matches!(name, Err(ConfigError::EnvName { .. })));
    let missing = make(&|config| {
        config.preopens.push(Preopen {
            name: "/x".into(),
            path: "/x".into(),
        });
    });
    assert!(matches!(
        missing,
        Err(ConfigError::Preopen {
            errno: Errno::Noent,
            ..
        })
    ));
    let file = make(&|config| {
        config.preopens.push(Preopen {
            name: "/f".into(),
            path: "/file".into(),
        });
    });
    assert!(matches!(
        file,
        Err(ConfigError::Preopen {
            errno: Errno::Notdir,
            ..
        })
    ));
    assert!(matches!(
        make(&|config| config.max_files = 3.into()),
        Err(ConfigError::TooManyFiles)
    ));
    for room in [DESCRIPTOR, 5 * DESCRIPTOR] {
        let account = Account::new(room);
        let poor = make(&|config| {
            config.account = account.clone();
            config.args = vec!["x".repeat(2 * DESCRIPTOR as usize)];
        });
        assert!(matches!(poor, Err(ConfigError::Memory)), "{room}");
        assert_eq!(account.used(), 0);
    }
}

#[test]
fn directories_that_are_answered_for_later_are_waited_for() {
    let clock = std::sync::Arc::new(TestClock::new(0));
    let make = |path: &str| {
        let root = memory(&clock, &[("a/b/file", b"deep")]);
        let mut config = config(&clock, capfs::testkit::late(&root));
        config.preopens = vec![Preopen {
            name: "/".into(),
            path: path.into(),
        }];
        config
    };
    let mut guest = Guest::over(true, &[("a/b/file", b"deep")], |config| {
        config.preopens = make("/a/b").preopens;
    });
    assert_eq!(entries(&guest.readdir(3, 200, 0).unwrap()).len(), 3);
    for (path, errno) in [("/a/c", Errno::Noent), ("/a/b/file", Errno::Notdir)] {
        let refused = made(make(path)).err();
        assert!(
            matches!(refused, Some(ConfigError::Preopen { errno: other, .. }) if other == errno),
            "{path}: {refused:?}"
        );
    }
    // A process that is given up while it is made holds nothing.
    let account = Account::new(1 << 20);
    let mut config = make("/a/b");
    config.account = account.clone();
    let mut making = Box::pin(Process::new(config));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(making.as_mut().poll(&mut context).is_pending());
    assert!(account.used() > 0);
    drop(making);
    assert_eq!(account.used(), 0);
}

#[test]
fn clocks() {
    let mut guest = Guest::new(&[]);
    guest.clock.set(5_000);
    let mut time = |id| {
        guest
            .now(|process, context, memory| process.clock_time_get(context, memory, id, 0, OUT))
            .map(|()| guest.u64_at(OUT))
    };
    assert_eq!(time(0), Ok(EPOCH + 5_000));
    assert_eq!(time(1), Ok(5_000));
    assert_eq!(
        time(2),
        Ok(4_000),
        "the time since the start, where the host can't tell more"
    );
    assert_eq!(time(3), Ok(4_000));
    assert_eq!(time(4), Err(Errno::Inval));
    let mut resolution = |id| {
        guest
            .now(|process, context, memory| process.clock_res_get(context, memory, id, OUT))
            .map(|()| guest.u64_at(OUT))
    };
    assert_eq!(resolution(0), Ok(1_000));
    assert_eq!(resolution(1), Ok(1));
    assert_eq!(resolution(9), Err(Errno::Inval));
}

#[test]
fn randomness_fills_any_length() {
    let mut guest = Guest::new(&[]);
    guest
        .now(|process, context, memory| process.random_get(context, memory, 10, 5_000))
        .unwrap();
    assert_eq!(guest.bytes(9, 3), [0, 1, 2]);
    assert_eq!(guest.bytes(5_009, 2), [(5_000 % 256) as u8, 0]);
    let fault =
        guest.now(|process, context, memory| process.random_get(context, memory, 10, u32::MAX));
    assert_eq!(fault, Err(Errno::Fault));
}

#[test]
fn endings() {
    let mut guest = Guest::new(&[]);
    let mut raise = |signal| {
        let result =
            guest.now(|process, context, memory| process.proc_raise(context, memory, signal));
        (result, guest.process.exit_status())
    };
    for ignored in [0, 16, 17, 22, 27] {
        assert_eq!(raise(ignored), (Ok(()), None));
    }
    assert_eq!(raise(31), (Err(Errno::Inval), None));
    assert_eq!(raise(256 + 6), (Err(Errno::Inval), None));
    assert_eq!(raise(6), (Ok(()), Some(ExitStatus::Signal(6))));
    guest.process.proc_exit(7);
    assert_eq!(guest.process.exit_status(), Some(ExitStatus::Code(7)));
    assert_eq!(ExitStatus::Signal(6).code(), 134);
}
