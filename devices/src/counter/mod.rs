//! `/cap/counter`: numbers by name, which an agent and its children count together. Its files and its terms are in `device.json`.

use std::sync::{Arc, Mutex};

use capfs::Errno;
use capfs::account::Account;
use capfs::device::parts::lock;

use crate::capability::Capability;
use crate::description::Parts;
use crate::grant::{DeviceKind, Grant, GrantError};
use crate::made::{Changes, Made, MadeFiles};

/// Numbers that there may be, whatever is granted: finding one looks at each.
const COUNTERS_MAX: usize = 4096;

/// What a grant lets an agent do.
#[derive(Clone, Copy)]
struct Policy {
    counters: usize,
    write: bool,
}

impl Policy {
    fn from_grant(grant: &Grant) -> Result<Policy, GrantError> {
        let (mut counters, mut write) = (64, true);
        for term in &grant.terms {
            match (term.key.as_str(), term.value.as_str()) {
                ("counters", _) => counters = term.count()?.min(COUNTERS_MAX),
                ("rights", "ro") => write = false,
                ("rights", "rw") => write = true,
                ("rights", _) => return Err(term.expected("expected ro or rw")),
                _ => return Err(grant.unknown(term, const { DeviceKind::Counter.keys() })),
            }
        }
        Ok(Policy { counters, write })
    }

    fn and(self, other: Policy) -> Policy {
        let counters = self.counters.min(other.counters);
        let write = self.write && other.write;
        Policy { counters, write }
    }
}

pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    Policy::from_grant(grant).map(drop)
}

pub(crate) fn build(grant: &Grant, parts: &Parts) -> Result<Capability, GrantError> {
    let policy = Policy::from_grant(grant)?;
    Ok(capability(Arc::default(), policy, &parts.account))
}

fn capability(files: Arc<Mutex<MadeFiles>>, policy: Policy, account: &Account) -> Capability {
    let rights = if policy.write { "rw" } else { "ro" };
    let made = Made {
        files: files.clone(),
        max: policy.counters,
        write: policy.write,
        new: || Arc::new(Number::default()),
        account: account.clone(),
    };
    let root = made.directory(format!("counters {}\nrights {rights}", policy.counters));
    let narrow = move |grant: &Grant, account: &Account| {
        let narrowed = policy.and(Policy::from_grant(grant)?);
        Ok(capability(files.clone(), narrowed, account))
    };
    Capability::new(root, narrow)
}

#[derive(Default)]
struct Number(Mutex<i64>);

impl Changes for Number {
    fn text(&self) -> String {
        format!("{}\n", lock(&self.0))
    }

    fn change(&self, change: &str) -> Result<String, Errno> {
        let (kind, number) = change.split_at_checked(1).ok_or(Errno::Inval)?;
        let minus = if kind == "=" { "-" } else { "" };
        let digits = number.strip_prefix(minus).unwrap_or(number);
        if digits.is_empty() || digits.bytes().any(|byte| !byte.is_ascii_digit()) {
            return Err(Errno::Inval);
        }
        let number: i64 = number.parse().map_err(|_| Errno::Range)?;
        let mut value = lock(&self.0);
        let changed = match kind {
            "+" => value.checked_add(number),
            "-" => value.checked_sub(number),
            "=" => Some(number),
            _ => return Err(Errno::Inval),
        };
        *value = changed.ok_or(Errno::Range)?;
        Ok(format!("{value}\n"))
    }
}

#[cfg(test)]
mod tests {
    use capfs::testkit::{READ_WRITE, edit, now, read, read_at, walk, write, write_at};
    use capfs::{NodeRef, OpenFile, WriteAt};

    use super::*;

    fn counter(flag: &str, account: &Account) -> Capability {
        let policy = Policy::from_grant(&Grant::from_flag(flag).unwrap());
        capability(Arc::default(), policy.unwrap(), account)
    }

    fn opened(root: &NodeRef, path: &str) -> Box<dyn OpenFile> {
        now(walk(root, path).unwrap().open(READ_WRITE)).unwrap()
    }

    fn change(file: &mut dyn OpenFile, change: &str) -> Result<String, Errno> {
        write_at(file, WriteAt::Offset(0), change.as_bytes())?;
        Ok(String::from_utf8(read_at(file, 0, 100).unwrap()).unwrap())
    }

    #[test]
    fn a_change_is_whole_or_none() {
        let root = counter("counter", &Account::unlimited()).root().clone();
        write(&root, "n", b"+7\n").unwrap();
        let file = &mut *opened(&root, "n");
        assert_eq!(change(file, "-10").unwrap(), "-3\n");
        let least = "-9223372036854775808\n";
        assert_eq!(change(file, &format!("={least}")).unwrap(), least);
        for wrong in ["", "1", "+", "+-1", "=+1", "ä1", "+1\n+1\n"] {
            assert_eq!(change(file, wrong), Err(Errno::Inval), "{wrong}");
        }
        for wrong in ["-1", "+9223372036854775808"] {
            assert_eq!(change(file, wrong), Err(Errno::Range), "{wrong}");
        }
        assert_eq!(read(&root, "n").unwrap(), least.as_bytes());
    }

    #[test]
    fn children_count_the_same_numbers_and_never_more_of_them() {
        let account = Account::unlimited();
        let parent = counter("counter,counters=1", &account);
        let child = |flag: &str| parent.narrowed(&Grant::from_flag(flag).unwrap(), &account);
        write(parent.root(), "n", b"").unwrap();
        let taken = std::thread::scope(|scope| {
            let workers = [(); 4].map(|()| child("counter,counters=9").unwrap());
            let workers = workers.map(|child| {
                scope.spawn(move || {
                    assert_eq!(write(child.root(), "m", b"").err(), Some(Errno::Nospc));
                    let mut file = opened(child.root(), "n");
                    let taken = (0..500).map(|_| change(&mut *file, "+1").unwrap());
                    taken.collect::<Vec<_>>()
                })
            });
            workers.map(|worker| worker.join().unwrap()).concat()
        });
        let taken = taken.iter().map(|text| text.trim().parse().unwrap());
        let mut taken: Vec<i64> = taken.collect();
        taken.sort_unstable();
        assert!(taken.into_iter().eq(1..=2000), "no number twice");
        let reader = child("counter,rights=ro").unwrap();
        let shown = read(reader.root(), "policy").unwrap();
        assert_eq!(shown, b"counters 1\nrights ro\n");
        assert_eq!(read(reader.root(), "n").unwrap(), b"2000\n");
        let opened = walk(reader.root(), "n").unwrap().open(READ_WRITE);
        assert_eq!(now(opened).err(), Some(Errno::Acces));
        assert!(edit(reader.root()).is_err());
    }
}
