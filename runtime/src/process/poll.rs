//! `poll_oneoff`: waiting for several descriptors and clocks at once.

use std::task::{Context, Poll};

use capfs::account::{Account, Charge, Holding};
use capfs::clock::NANOS_PER_SEC;
use capfs::{Errno, FileKind, Interest, Op};

use super::Process;
use super::clocks::{ClockGrant, MONOTONIC, REALTIME};
use super::fds::{Descriptor, Rights};
use super::layout::{Event, Snapshot, Subscription, Wanted};
use super::pending::{Pending, call};
use crate::GuestMemory;

/// Subscriptions in one call. Each is looked at whenever anything happens, so their number is the price
/// of every wake-up; over it the guest gets `EINVAL`, as from poll(2). What the host keeps of them while the call waits is charged
/// to the process's account, which may answer `ENOMEM`.
pub const SUBSCRIPTIONS_MAX: u32 = 16_384;

/// Nanoseconds between two looks at the wall clock while a moment of it is waited for: it may be set meanwhile.
const LOOK_EVERY: u64 = NANOS_PER_SEC;

/// A moment that a subscription waits for, in nanoseconds of a clock.
#[derive(Clone, Copy)]
pub(super) enum Moment {
    /// Of the process's own.
    Monotonic(u64),
    /// Of the wall clock, which may be set.
    Realtime(u64),
}

/// What the clocks show in one call, read once where anything asks: what waits equally long is due together.
#[derive(Default)]
struct Now {
    monotonic: Option<u64>,
    realtime: Option<u64>,
}

/// Subscriptions whose moments are not charged: they take less than the other state of a call.
const MOMENTS_FREE: usize = 64;

/// The moments of a call's clock subscriptions; of each other subscription, `None`.
pub(super) struct Moments {
    all: Vec<Option<Moment>>,
    _charge: Option<Charge>,
}

impl Moments {
    /// Room for those of so many subscriptions.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: the account has none
    fn new(count: usize, account: &Account) -> Result<Moments, Errno> {
        let size = (count * size_of::<Option<Moment>>()) as u64;
        let charge = (count > MOMENTS_FREE).then(|| account.charge(Holding::Descriptors, size));
        Ok(Moments {
            _charge: charge.transpose()?,
            all: Vec::with_capacity(count),
        })
    }
}

impl Process {
    /// `poll_oneoff`: returns when at least one subscription has an event. What is wrong with one
    /// subscription is the error of its event.
    pub fn poll_oneoff<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        subscriptions: u32,
        events: u32,
        nsubscriptions: u32,
        nevents: u32,
    ) -> Poll<Result<(), Errno>> {
        let lists = (subscriptions, events, nsubscriptions, nevents);
        self.poll(context, memory, lists, Snapshot::Preview1)
    }

    /// `poll_oneoff` of `wasi_unstable`, whose subscriptions lie otherwise.
    pub fn unstable_poll_oneoff<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        subscriptions: u32,
        events: u32,
        nsubscriptions: u32,
        nevents: u32,
    ) -> Poll<Result<(), Errno>> {
        let lists = (subscriptions, events, nsubscriptions, nevents);
        self.poll(context, memory, lists, Snapshot::Unstable)
    }

    fn poll<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        (subscriptions, events, count, nevents): (u32, u32, u32, u32),
        snapshot: Snapshot,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(poll_oneoff(subscriptions, events, count, nevents));
        let resumed = match self.resume(call) {
            Some(Pending::Poll(moments)) => Some(moments),
            _ => None,
        };
        self.usage.calls += 1;
        if count == 0 || count > SUBSCRIPTIONS_MAX {
            return Poll::Ready(Err(Errno::Inval));
        }
        memory.check(subscriptions, count * snapshot.subscription_size())?;
        memory.check(events, count * Event::SIZE)?;
        memory.check(nevents, 4)?;

        let mut moments = match resumed {
            Some(moments) => moments,
            None => Moments::new(count as usize, &self.account)?,
        };
        let mut now = Now::default();
        let mut happened = 0;
        for index in 0..count {
            let at = subscriptions + index * snapshot.subscription_size();
            let subscription = snapshot.load_subscription(memory, at)?;
            let moment = match moments.all.get(index as usize) {
                Some(moment) => Ok(*moment),
                None => self.moment(&subscription, &mut now),
            };
            if moments.all.len() == index as usize {
                moments.all.push(moment.unwrap_or(None));
            }
            let event = match moment {
                Ok(moment) => self.look(context, &subscription, moment, &mut now),
                Err(errno) => Some(failed(&subscription, errno)),
            };
            // Events are stored behind the subscriptions that were read, unless the guest made the
            // two lists overlap; then it gets what it asked for, inside of its own memory.
            if let Some(event) = event {
                event.store(memory, events + happened * Event::SIZE)?;
                happened += 1;
            }
        }
        if happened > 0 {
            return Poll::Ready(memory.write_u32(nevents, happened));
        }
        let deadlines = moments
            .all
            .iter()
            .flatten()
            .map(|moment| self.deadline_of(*moment));
        self.deadline = deadlines.min();
        self.suspend(call(), Pending::Poll(moments))
    }

    /// The moment that a clock subscription waits for.
    fn moment(&self, subscription: &Subscription, now: &mut Now) -> Result<Option<Moment>, Errno> {
        let Wanted::Clock {
            id,
            timeout,
            absolute,
        } = subscription.wanted
        else {
            return Ok(None);
        };
        Ok(Some(match (id, absolute) {
            (REALTIME | MONOTONIC, false) => {
                let now = *now.monotonic.get_or_insert_with(|| self.monotonic());
                // What waits for no time at all tells none.
                Moment::Monotonic(match timeout {
                    0 => now,
                    timeout => self.granted_end(now.saturating_add(timeout)),
                })
            }
            // A moment on a clock that may not be known would tell what it shows.
            (_, true) if self.clock_grant == ClockGrant::Nothing => return Err(Errno::Notcapable),
            (MONOTONIC, true) => Moment::Monotonic(self.granted_end(timeout)),
            (REALTIME, true) => Moment::Realtime(self.granted_end(timeout)),
            // Processor time does not pass while nothing runs (clock_nanosleep(2)).
            _ => return Err(Errno::Inval),
        }))
    }

    fn is_due(&self, moment: Moment, now: &mut Now) -> bool {
        match moment {
            Moment::Monotonic(moment) => {
                *now.monotonic.get_or_insert_with(|| self.monotonic()) >= moment
            }
            Moment::Realtime(moment) => {
                *now.realtime.get_or_insert_with(|| self.clock.realtime()) >= moment
            }
        }
    }

    /// When to look whether a moment has come, on the host's monotonic clock.
    fn deadline_of(&self, moment: Moment) -> u64 {
        match moment {
            Moment::Monotonic(moment) => self.of_host(moment),
            Moment::Realtime(moment) => {
                let left = moment.saturating_sub(self.clock.realtime());
                self.clock.monotonic().saturating_add(left.min(LOOK_EVERY))
            }
        }
    }

    /// The event of a subscription, if there is one by now.
    fn look(
        &mut self,
        context: &mut Context<'_>,
        subscription: &Subscription,
        moment: Option<Moment>,
        now: &mut Now,
    ) -> Option<Event> {
        let (fd, interest) = match subscription.wanted {
            Wanted::Clock { .. } => {
                let due = moment.is_some_and(|moment| self.is_due(moment, now));
                return due.then(|| event(subscription));
            }
            Wanted::Read { fd } => (fd, Interest::Read),
            Wanted::Write { fd } => (fd, Interest::Write),
        };
        let descriptor = match self.fds.get(fd) {
            Ok(descriptor) => descriptor,
            Err(errno) => return Some(failed(subscription, errno)),
        };
        if let Err(errno) = descriptor.demand(Rights::POLL_FD_READWRITE) {
            return Some(failed(subscription, errno));
        }
        match descriptor.file.poll_ready(context, interest) {
            Poll::Pending => None,
            Poll::Ready(Err(errno)) => Some(failed(subscription, errno)),
            Poll::Ready(Ok(readiness)) => Some(Event {
                bytes: match interest {
                    Interest::Read => left_of(descriptor).unwrap_or(readiness.bytes),
                    Interest::Write => readiness.bytes,
                },
                hangup: readiness.hangup,
                ..event(subscription)
            }),
        }
    }
}

/// What is left to be read of a file, which is what `FIONREAD` of C libraries asks for; `None` where it isn't known on the spot, and of
/// what is no regular file.
fn left_of(descriptor: &Descriptor) -> Option<u64> {
    if descriptor.kind != FileKind::RegularFile || !descriptor.file.seekable() {
        return None;
    }
    match descriptor.file.stat() {
        Op::Ready(Ok(stat)) => Some(stat.size.saturating_sub(descriptor.offset)),
        _ => None,
    }
}

fn event(subscription: &Subscription) -> Event {
    let kind = match subscription.wanted {
        Wanted::Clock { .. } => 0,
        Wanted::Read { .. } => 1,
        Wanted::Write { .. } => 2,
    };
    Event {
        userdata: subscription.userdata,
        error: None,
        kind,
        bytes: 0,
        hangup: false,
    }
}

fn failed(subscription: &Subscription, errno: Errno) -> Event {
    Event {
        error: Some(errno),
        ..event(subscription)
    }
}
