//! `/cap/console`: a console, as cons(3) has it.
//!
//! | file | |
//! |---|---|
//! | `cons` | reads what is typed, a line at a time unless raw; writes show |
//! | `consctl` | `rawon`: each key is read at once and not echoed; `rawoff`. Closing it ends what it began |
//! | `winsize` | columns and rows; `0 0` where there is no screen |
//! | `log`, `warn`, `error` | take messages for whoever looks after the program, a line each |
//! | `policy` | what was granted |
//!
//! Terms: `input`, `raw` and `messages`, each `yes` (unless told) or `no`.
//!
//! Errors: `EACCES` for what the grant leaves out, `ENOTTY` for `rawon` where there is no terminal, `EINVAL` for
//! any other command.

use std::sync::{Arc, Mutex};

use capfs::account::Account;
use capfs::device::Device;
use capfs::device::parts::lock;
use capfs::device::synthetic::Command;
use capfs::{Errno, MaybeSend, MaybeSync, NodeRef, Op, OpenFile};

use crate::grant::{DeviceKind, Grant, GrantError};

/// How serious a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For information.
    Log,
    /// Something that may be wrong.
    Warn,
    /// Something that is.
    Error,
}

impl Level {
    /// Its name, which is that of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Log => "log",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// The console of a host.
pub trait Terminal: MaybeSend + MaybeSync + 'static {
    /// What is typed: a stream to be read.
    ///
    /// # Errors
    /// What opening `cons` fails with.
    fn input(&self) -> Result<Box<dyn OpenFile>, Errno>;

    /// The screen: a stream to be written.
    ///
    /// # Errors
    /// What opening `cons` fails with.
    fn output(&self) -> Result<Box<dyn OpenFile>, Errno>;

    /// Where messages go: a stream to be written, of lines. What it keeps until a line ends is charged to `account`.
    ///
    /// # Errors
    /// What opening the message file fails with.
    fn messages(&self, level: Level, account: &Account) -> Result<Box<dyn OpenFile>, Errno>;

    /// Hands over each key at once and echoes nothing, or no longer.
    ///
    /// # Errors
    /// - [`Errno::Notty`]: there is no terminal
    fn set_raw(&self, raw: bool) -> Result<(), Errno>;

    /// Columns and rows, where there is a screen.
    fn size(&self) -> Option<(u32, u32)>;
}

/// What a grant lets an agent do with a console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Policy {
    input: bool,
    raw: bool,
    messages: bool,
}

impl Policy {
    fn from_grant(grant: &Grant) -> Result<Policy, GrantError> {
        let mut policy = Policy {
            input: true,
            raw: true,
            messages: true,
        };
        for term in &grant.terms {
            match term.key.as_str() {
                "input" => policy.input = term.yes()?,
                "raw" => policy.raw = term.yes()?,
                "messages" => policy.messages = term.yes()?,
                _ => return Err(grant.unknown(term, const { DeviceKind::Console.keys() })),
            }
        }
        Ok(policy)
    }

    fn and(self, other: Policy) -> Policy {
        Policy {
            input: self.input && other.input,
            raw: self.raw && other.raw,
            messages: self.messages && other.messages,
        }
    }

    fn text(self) -> String {
        let yes = |granted| if granted { "yes" } else { "no" };
        format!(
            "input {}\nraw {}\nmessages {}",
            yes(self.input),
            yes(self.raw),
            yes(self.messages)
        )
    }
}

/// That the terms of a grant can be understood.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    Policy::from_grant(grant).map(drop)
}

/// A console as it was granted, of which others can be made that let less be done.
#[derive(Clone)]
pub struct Console {
    account: Account,
    screen: Arc<Screen>,
    policy: Policy,
}

/// The host's console, and how many openings of `consctl` want it raw.
struct Screen {
    terminal: Arc<dyn Terminal>,
    raw: Mutex<usize>,
}

impl Console {
    /// The host's console on the terms of a grant, for the agent of an account.
    ///
    /// # Errors
    /// What is wrong with the grant.
    pub fn new(
        terminal: Arc<dyn Terminal>,
        grant: &Grant,
        account: &Account,
    ) -> Result<Console, GrantError> {
        let screen = Screen {
            terminal,
            raw: Mutex::new(0),
        };
        Ok(Console {
            account: account.clone(),
            screen: Arc::new(screen),
            policy: Policy::from_grant(grant)?,
        })
    }

    /// The same console on the terms of a further grant: for a child of the agent that has it. `account` is the child's.
    ///
    /// # Errors
    /// What is wrong with the grant.
    pub fn narrowed(&self, grant: &Grant, account: &Account) -> Result<Console, GrantError> {
        Ok(Console {
            account: account.clone(),
            screen: self.screen.clone(),
            policy: self.policy.and(Policy::from_grant(grant)?),
        })
    }

    /// The tree.
    pub fn root(&self) -> NodeRef {
        let policy = self.policy;
        let allowed = |granted: bool| match granted {
            true => Ok(()),
            false => Err(Errno::Acces),
        };
        let screen = || self.screen.clone();
        let messages = |level: Level| {
            let (screen, account) = (screen(), self.account.clone());
            move || {
                allowed(policy.messages)?;
                screen.terminal.messages(level, &account)
            }
        };
        let (input, output, size, control) = (screen(), screen(), screen(), screen());
        Device::new(&self.account)
            .directory()
            .stream(
                "cons",
                move || {
                    allowed(policy.input)?;
                    input.terminal.input()
                },
                move || output.terminal.output(),
            )
            .ctl_of_each("consctl", move || {
                Arc::new(Session {
                    screen: control.clone(),
                    granted: policy.raw,
                    raw: Mutex::new(false),
                })
            })
            .text("winsize", move || {
                let (columns, rows) = size.terminal.size().unwrap_or_default();
                format!("{columns} {rows}")
            })
            .writes("log", messages(Level::Log))
            .writes("warn", messages(Level::Warn))
            .writes("error", messages(Level::Error))
            .text("policy", move || policy.text())
            .build()
    }
}

/// One opening of `consctl`.
struct Session {
    screen: Arc<Screen>,
    granted: bool,
    raw: Mutex<bool>,
}

impl Session {
    fn set(&self, raw: bool) -> Result<(), Errno> {
        let mut mine = lock(&self.raw);
        if *mine == raw {
            return Ok(());
        }
        let mut count = lock(&self.screen.raw);
        let others = *count - usize::from(*mine);
        // The first turns it on, the last turns it off.
        if others == 0 {
            self.screen.terminal.set_raw(raw)?;
        }
        *count = others + usize::from(raw);
        *mine = raw;
        Ok(())
    }
}

impl Command for Session {
    fn run(&self, line: &str) -> Op<()> {
        let done = match line {
            "rawon" if !self.granted => Err(Errno::Acces),
            "rawon" => self.set(true),
            "rawoff" => self.set(false),
            _ => Err(Errno::Inval),
        };
        done.into()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use capfs::device::pipe::{PipeReader, PipeWriter, pipe};
    use capfs::testkit::{self, READ, READ_WRITE, now, read_at, walk, write_at};
    use capfs::{OpenHow, WriteAt};

    use super::*;

    /// A terminal whose ends are pipes.
    #[derive(Default)]
    struct Pipes {
        typed: Mutex<Option<PipeReader>>,
        shown: Mutex<Vec<PipeWriter>>,
        raw: Mutex<Vec<bool>>,
    }

    impl Terminal for Pipes {
        fn input(&self) -> Result<Box<dyn OpenFile>, Errno> {
            Ok(Box::new(lock(&self.typed).take().ok_or(Errno::Busy)?))
        }

        fn output(&self) -> Result<Box<dyn OpenFile>, Errno> {
            Ok(Box::new(lock(&self.shown).pop().ok_or(Errno::Busy)?))
        }

        fn messages(&self, _level: Level, _account: &Account) -> Result<Box<dyn OpenFile>, Errno> {
            self.output()
        }

        fn set_raw(&self, raw: bool) -> Result<(), Errno> {
            lock(&self.raw).push(raw);
            Ok(())
        }

        fn size(&self) -> Option<(u32, u32)> {
            Some((80, 24))
        }
    }

    fn grant(flag: &str) -> Grant {
        Grant::from_flag(flag).unwrap()
    }

    const WRITE: OpenHow = OpenHow {
        read: false,
        write: true,
        truncate: true,
    };

    #[test]
    fn lines_go_both_ways() {
        let (typed, mut typing) = pipe(64);
        let (mut screen, shown) = pipe(64);
        let pipes = Pipes {
            typed: Mutex::new(Some(typed)),
            shown: Mutex::new(vec![shown]),
            ..Pipes::default()
        };
        let root = Console::new(Arc::new(pipes), &grant("console"), &Account::unlimited())
            .unwrap()
            .root();
        let mut cons = now(walk(&root, "cons").unwrap().open(READ_WRITE)).unwrap();
        write_at(&mut typing, WriteAt::End, b"hello\n").unwrap();
        assert_eq!(read_at(&mut *cons, 0, 99).unwrap(), b"hello\n");
        write_at(&mut *cons, WriteAt::End, b"hi").unwrap();
        assert_eq!(read_at(&mut screen, 0, 99).unwrap(), b"hi");
        assert_eq!(testkit::read(&root, "winsize").unwrap(), b"80 24\n");
    }

    #[test]
    fn raw_lasts_as_long_as_somebody_has_asked_for_it() {
        let pipes = Arc::new(Pipes::default());
        let root = Console::new(pipes.clone(), &grant("console"), &Account::unlimited())
            .unwrap()
            .root();
        let open = || now(walk(&root, "consctl").unwrap().open(WRITE)).unwrap();
        let (mut one, mut other) = (open(), open());
        write_at(&mut *one, WriteAt::End, b"rawon\nrawon\n").unwrap();
        write_at(&mut *other, WriteAt::End, b"rawon\n").unwrap();
        write_at(&mut *one, WriteAt::End, b"rawoff\n").unwrap();
        assert_eq!(*lock(&pipes.raw), [true]);
        drop(other);
        assert_eq!(*lock(&pipes.raw), [true, false]);
        let bad = write_at(&mut *one, WriteAt::End, b"holdon\n");
        assert_eq!(bad.err(), Some(Errno::Inval));
    }

    #[test]
    fn grants_leave_out_and_only_narrow() {
        let whole = Console::new(
            Arc::new(Pipes::default()),
            &grant("console,raw=no"),
            &Account::unlimited(),
        )
        .unwrap();
        let less = whole.narrowed(
            &grant("console,raw=yes,input=no,messages=no"),
            &Account::unlimited(),
        );
        let root = less.unwrap().root();
        let policy = testkit::read(&root, "policy").unwrap();
        assert_eq!(policy, b"input no\nraw no\nmessages no\n");
        let opened = |file: &str, how| now(walk(&root, file).unwrap().open(how)).err();
        assert_eq!(opened("cons", READ), Some(Errno::Acces));
        assert_eq!(opened("log", WRITE), Some(Errno::Acces));
        let mut ctl = now(walk(&root, "consctl").unwrap().open(WRITE)).unwrap();
        let refused = write_at(&mut *ctl, WriteAt::End, b"rawon\n");
        assert_eq!(refused.err(), Some(Errno::Acces));
        assert!(
            whole
                .narrowed(&grant("console,colour=no"), &Account::unlimited())
                .is_err()
        );
    }
}
