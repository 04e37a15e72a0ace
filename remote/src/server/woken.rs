//! Which requests were woken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use capfs::device::parts::lock;

/// Alarms that have gone off and were not looked at.
pub(super) struct Woken {
    list: Mutex<VecDeque<Arc<Alarm>>>,
    /// Who is to look.
    owner: Waker,
}

/// Which requests are woken.
#[derive(Clone, Copy)]
pub(super) enum Whom {
    /// The one of this number.
    Task(u64),
    /// All that are about an open file.
    File(u32),
}

/// Wakes requests.
pub(super) struct Alarm {
    all: Arc<Woken>,
    whom: Whom,
    on: AtomicBool,
}

impl Woken {
    pub fn new(owner: Waker) -> Arc<Woken> {
        let list = Mutex::default();
        Arc::new(Woken { list, owner })
    }

    /// A waker of these requests.
    pub fn waker(self: &Arc<Self>, whom: Whom) -> Waker {
        Waker::from(Arc::new(Alarm {
            all: self.clone(),
            whom,
            on: AtomicBool::new(false),
        }))
    }

    /// Who was woken so far. From now on they are woken again.
    pub fn take(&self) -> Vec<Whom> {
        let list = std::mem::take(&mut *lock(&self.list));
        let whom = list.into_iter().map(|alarm| {
            alarm.on.store(false, Ordering::Release);
            alarm.whom
        });
        whom.collect()
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.on.swap(true, Ordering::AcqRel) {
            let all = self.all.clone();
            lock(&all.list).push_back(self);
            all.owner.wake_by_ref();
        }
    }
}
