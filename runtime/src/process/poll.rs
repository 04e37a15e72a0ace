//! `poll_oneoff`: waiting for several descriptors and clocks at once.

use std::task::{Context, Poll};

use capfs::{Errno, Interest};

use super::clocks::{ClockGrant, MONOTONIC, REALTIME};
use super::fds::Rights;
use super::layout::{Event, Snapshot, Subscription, Wanted};
use super::{Pending, Process};
use crate::GuestMemory;

/// Subscriptions in one call. Each is looked at whenever anything happens, so their number is the price
/// of every wake-up; over it the guest gets `EINVAL`, as from poll(2).
pub const SUBSCRIPTIONS_MAX: u32 = 16_384;

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
        let first_try = self.pending.is_none();
        let known = match self.pending.take() {
            Some(Pending::Poll(deadlines)) => deadlines,
            _ => Vec::new(),
        };
        self.deadline = None;
        self.usage.calls += u64::from(first_try);
        if count == 0 || count > SUBSCRIPTIONS_MAX {
            return Poll::Ready(Err(Errno::Inval));
        }
        memory.check(subscriptions, count * snapshot.subscription_size())?;
        memory.check(events, count * Event::SIZE)?;
        memory.check(nevents, 4)?;

        let mut deadlines = Vec::with_capacity(count as usize);
        let mut happened = 0;
        for index in 0..count {
            let at = subscriptions + index * snapshot.subscription_size();
            let subscription = snapshot.load_subscription(memory, at)?;
            let deadline = match known.get(index as usize) {
                Some(deadline) => Ok(*deadline),
                None => self.moment(&subscription),
            };
            let event = match deadline {
                Ok(deadline) => {
                    deadlines.push(deadline);
                    self.look(context, &subscription, deadline)
                }
                Err(errno) => {
                    deadlines.push(None);
                    Some(failed(&subscription, errno))
                }
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
        self.deadline = deadlines.iter().flatten().min().copied();
        self.pending = Some(Pending::Poll(deadlines));
        Poll::Pending
    }

    /// The moment, on the monotonic clock, that a clock subscription waits for.
    fn moment(&self, subscription: &Subscription) -> Result<Option<u64>, Errno> {
        let Wanted::Clock {
            id,
            timeout,
            absolute,
        } = subscription.wanted
        else {
            return Ok(None);
        };
        let monotonic = self.clock.monotonic();
        Ok(Some(match (id, absolute) {
            (REALTIME | MONOTONIC, false) => monotonic.saturating_add(timeout),
            // A moment on a clock that may not be known would tell what it shows.
            (_, true) if self.clock_grant == ClockGrant::Nothing => return Err(Errno::Notcapable),
            (MONOTONIC, true) => timeout,
            (REALTIME, true) => {
                monotonic.saturating_add(timeout.saturating_sub(self.clock.realtime()))
            }
            // Processor time does not pass while nothing runs (clock_nanosleep(2)).
            _ => return Err(Errno::Inval),
        }))
    }

    /// The event of a subscription, if there is one by now.
    fn look(
        &mut self,
        context: &mut Context<'_>,
        subscription: &Subscription,
        deadline: Option<u64>,
    ) -> Option<Event> {
        let (fd, interest) = match subscription.wanted {
            Wanted::Clock { .. } => {
                let due = deadline.is_some_and(|deadline| self.clock.monotonic() >= deadline);
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
                bytes: readiness.bytes,
                hangup: readiness.hangup,
                ..event(subscription)
            }),
        }
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
