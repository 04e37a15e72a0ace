//! Freezing a process, and going on with it.
//!
//! Between two calls a process is its descriptors, words, clocks and namespace: [`Process::freeze`] tells them apart from the host that has them
//! open, and [`Process::thaw`] puts them on another. What the host grants (rights of mounts, clocks, randomness, limits, the account) is
//! no part of it, and is what the host that thaws it grants.
//!
//! A descriptor whose file isn't found again stays open and is *stale*: every call with it but closing answers `ESTALE`. The number
//! isn't given to another file, so the program never takes one for another.

use std::sync::Arc;

use capfs::account::{Account, Holding};
use capfs::clock::Clock;
use capfs::{Errno, FileKind, Namespace, OpenFile, OpenHow, Place, SavedPlace};

use super::clocks::ClockGrant;
use super::fds::{Descriptor, DescriptorTable, FdFlags, FileLimit, Rights};
use super::frozen::{Clocks, Frozen, FrozenDescriptor, FrozenFile};
use super::{ConfigError, Process, RandomSource};

/// What a host gives to a process that it thaws.
pub struct Host {
    /// The files that there are: made of [`Frozen::namespace`], with the rights that the process is to have here.
    pub namespace: Namespace,
    /// Standard input, output and errors, and the files behind its directories, in the order in which it was handed them when it started. What is
    /// missing is stale. A listener or connection that is handed again is another to whoever is at its other end.
    pub handed: Vec<Option<Box<dyn OpenFile>>>,
    /// The host's clocks.
    pub clock: Arc<dyn Clock>,
    /// What of them it may know.
    pub clock_grant: ClockGrant,
    /// The host's randomness.
    pub random: Box<dyn RandomSource>,
    /// Descriptors that may be open at once, at most.
    pub max_files: FileLimit,
    /// What it makes its host hold is charged to this.
    pub account: Account,
}

/// A process that goes on.
pub struct Thawed {
    /// The process.
    pub process: Process,
    /// The numbers of its stale descriptors, for whoever tells the program.
    pub stale: Vec<u32>,
}

impl Process {
    /// What the process is, as it is between two calls. It can go on here as well: nothing of it changes.
    ///
    /// Of its open files it has what their devices find them again by; of those that can't be found again, that they were open. Contents are their
    /// devices' matter, and memory is its engine's.
    ///
    /// # Errors
    /// - [`Errno::Busy`]: a call waits
    /// - [`Errno::Srch`]: the program has ended
    pub fn freeze(&self) -> Result<Frozen, Errno> {
        if self.exit.is_some() {
            return Err(Errno::Srch);
        }
        if self.pending.is_some() || !self.closing.is_empty() {
            return Err(Errno::Busy);
        }
        let open = self.fds.all();
        let mut descriptors: Vec<FrozenDescriptor> = open
            .map(|(fd, descriptor)| self.frozen(fd, descriptor))
            .collect();
        descriptors.extend(self.fds.stale().map(|fd| FrozenDescriptor {
            fd,
            flags: FdFlags::empty(),
            offset: 0,
            base: Rights::empty(),
            inheriting: Rights::empty(),
            preopen: None,
            file: FrozenFile::Stale,
        }));
        descriptors.sort_by_key(|descriptor| descriptor.fd);
        Ok(Frozen {
            namespace: self.namespace.list().clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            clocks: Clocks {
                monotonic: self.monotonic(),
                started: self.started,
                cpu_time: self.cpu_time(),
            },
            usage: self.usage(),
            handed: self.handed,
            given: self.given,
            descriptors,
        })
    }

    fn frozen(&self, fd: u32, descriptor: &Descriptor) -> FrozenDescriptor {
        FrozenDescriptor {
            fd,
            flags: descriptor.flags,
            offset: descriptor.offset,
            base: descriptor.base,
            inheriting: descriptor.inheriting,
            preopen: descriptor.preopen.clone(),
            file: self.saved(descriptor).unwrap_or(FrozenFile::Stale),
        }
    }

    fn saved(&self, descriptor: &Descriptor) -> Result<FrozenFile, Errno> {
        if let Some(place) = &descriptor.place {
            return self.namespace.save(place).map(FrozenFile::Directory);
        }
        if descriptor.number > 0 {
            let given = descriptor.number <= self.given && descriptor.unread.is_none();
            return match given {
                true => Ok(FrozenFile::Given(descriptor.number - 1)),
                false => Err(Errno::Nodev),
            };
        }
        // What it has begun and not done yet is in nobody's file.
        if descriptor.file.unfinished() {
            return Err(Errno::Nodev);
        }
        let saved = descriptor.file.save()?;
        let place = SavedPlace {
            mount: descriptor.mount_number,
            handle: saved.node().clone(),
        };
        Ok(FrozenFile::Other(place, saved.state().to_vec()))
    }

    /// Goes on with a process. It is waited for where its devices answer later; dropping the future gives it up.
    ///
    /// The monotonic clock goes on from where it was, and processor time too.
    ///
    /// # Errors
    /// See [`ConfigError`]: the host has no room for it.
    pub async fn thaw(frozen: &Frozen, host: Host) -> Result<Thawed, ConfigError> {
        let account = &host.account;
        let words = frozen.args.iter().chain(&frozen.env);
        let words = words.map(|word| (size_of::<String>() + word.len()) as u64);
        let words = account.charge(Holding::Programs, words.sum());
        let clocks = frozen.clocks;
        let now = host.clock.monotonic();
        let mut process = Process {
            args: frozen.args.clone(),
            env: frozen.env.clone(),
            _words: words.map_err(|_| ConfigError::Memory)?,
            namespace: host.namespace,
            fds: DescriptorTable::new(host.max_files, account),
            account: account.clone(),
            started: clocks.started,
            ahead: clocks.monotonic.wrapping_sub(now).cast_signed(),
            used_before: match host.clock.cpu_time() {
                Some(used) => clocks.cpu_time.saturating_sub(used),
                None => clocks.cpu_time,
            },
            clock: host.clock,
            clock_grant: host.clock_grant,
            random: host.random,
            handed: frozen.handed,
            given: frozen.given,
            pending: None,
            closing: Vec::new(),
            deadline: None,
            exit: None,
            usage: frozen.usage,
            path: Vec::new(),
            other_path: Vec::new(),
        };
        let places = process.places(frozen).await;
        let mut places = places.into_iter();
        let mut handed = host.handed;
        let mut stale = Vec::new();
        for descriptor in &frozen.descriptors {
            let found = match &descriptor.file {
                FrozenFile::Stale => Err(Errno::Stale),
                FrozenFile::Given(index) => process.given(descriptor, *index, &mut handed).await,
                FrozenFile::Directory(_) | FrozenFile::Other(..) => {
                    let place = places.next().unwrap_or(Err(Errno::Stale));
                    process.reopened(descriptor, place).await
                }
            };
            let found = found.ok();
            if found.is_none() {
                stale.push(descriptor.fd);
            }
            let inserted = process.fds.insert_at(descriptor.fd, found);
            inserted.map_err(ConfigError::no_place)?;
        }
        process.fds.set_peak(frozen.usage.files_peak);
        Ok(Thawed { process, stale })
    }

    /// Where the files of its descriptors are, in their order, all asked for at once.
    async fn places(&self, frozen: &Frozen) -> Vec<Result<Place, Errno>> {
        let saved = frozen.descriptors.iter();
        let saved = saved.filter_map(|descriptor| match &descriptor.file {
            FrozenFile::Directory(place) | FrozenFile::Other(place, _) => Some(place.clone()),
            _ => None,
        });
        let saved: Vec<SavedPlace> = saved.collect();
        let restored = self.namespace.restore(&saved).wait().await;
        restored.unwrap_or_default()
    }

    /// A file that the host hands it again.
    async fn given(
        &self,
        frozen: &FrozenDescriptor,
        index: u64,
        handed: &mut [Option<Box<dyn OpenFile>>],
    ) -> Result<Box<Descriptor>, Errno> {
        let place = usize::try_from(index).ok();
        let file = place.and_then(|place| handed.get_mut(place)?.take());
        let file = file.ok_or(Errno::Stale)?;
        let stat = file.stat().wait().await;
        let kind = stat.map_or(FileKind::Unknown, |stat| stat.qid.kind);
        let mut descriptor = as_it_was(frozen, file, kind);
        descriptor.number = index + 1;
        Ok(descriptor)
    }

    async fn reopened(
        &self,
        frozen: &FrozenDescriptor,
        place: Result<Place, Errno>,
    ) -> Result<Box<Descriptor>, Errno> {
        let place = place?;
        let is_directory = place.kind() == FileKind::Directory;
        let opened = match &frozen.file {
            FrozenFile::Directory(_) if is_directory => {
                let how = OpenHow {
                    read: place.rights().contains(capfs::Rights::READ),
                    ..OpenHow::default()
                };
                self.namespace.open_place(&place, how)
            }
            FrozenFile::Other(_, state) if !is_directory => {
                let how = OpenHow {
                    read: frozen.base.contains(Rights::FD_READ),
                    write: frozen.base.contains(Rights::FD_WRITE),
                    truncate: false,
                };
                self.namespace.reopen(&place, how, state)
            }
            _ => return Err(Errno::Stale),
        };
        let file = opened.wait().await?;
        Ok(as_it_was(frozen, file, place.kind()).at(place))
    }
}

fn as_it_was(
    frozen: &FrozenDescriptor,
    mut file: Box<dyn OpenFile>,
    kind: FileKind,
) -> Box<Descriptor> {
    if frozen.flags.contains(FdFlags::NONBLOCK) {
        file.set_nonblocking(true);
    }
    let mut descriptor = Descriptor::new(file, kind, frozen.base, frozen.inheriting);
    descriptor.flags = frozen.flags;
    descriptor.offset = frozen.offset;
    descriptor.preopen.clone_from(&frozen.preopen);
    descriptor
}
