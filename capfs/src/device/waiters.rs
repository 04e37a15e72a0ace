//! Who is to be woken.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::task::{Context, Waker};

use crate::number_hash::NumberHasher;

/// Requests that wait at one open file, each with a waker of its own. A request in the way of one more is woken, and asks
/// again: nobody is forgotten, and a guest that polls for ever adds nothing.
const WAKERS_MAX: usize = 16;

/// The wakers of one event. Each open file that may wait has an id, and each request that waits at it has its own waker. To
/// register, and to forget, takes the same time however many there are.
#[derive(Default)]
pub struct Waiters {
    /// Mostly there is one who waits, for whom nothing is allocated.
    first: Option<(u64, Waker)>,
    others: HashMap<u64, Vec<Waker>, BuildHasherDefault<NumberHasher>>,
}

impl Waiters {
    /// Registers the waker of a request at the file `id`. What is returned waited too long among too many at one file; it is to be
    /// woken once no lock is held.
    pub fn register(&mut self, id: u64, context: &Context<'_>) -> Woken {
        let waker = context.waker();
        match &mut self.first {
            Some((first, known)) if *first == id && known.will_wake(waker) => {}
            None if !self.others.contains_key(&id) => self.first = Some((id, waker.clone())),
            _ => return self.register_behind(id, waker),
        }
        Woken::default()
    }

    fn register_behind(&mut self, id: u64, waker: &Waker) -> Woken {
        let wakers = self.others.entry(id).or_default();
        if wakers.iter().any(|known| known.will_wake(waker)) {
            return Woken::default();
        }
        wakers.push(waker.clone());
        match wakers.len() > WAKERS_MAX {
            true => Woken {
                first: Some(wakers.remove(0)),
                ..Woken::default()
            },
            false => Woken::default(),
        }
    }

    /// Forgets the file `id`: it was closed.
    pub fn forget(&mut self, id: u64) {
        if self.first.as_ref().is_some_and(|(first, _)| *first == id) {
            self.first = None;
        }
        self.others.remove(&id);
    }

    /// Takes everybody out, to be woken once no lock is held.
    pub fn take(&mut self) -> Woken {
        Woken {
            first: self.first.take().map(|(_, waker)| waker),
            others: std::mem::take(&mut self.others),
        }
    }
}

/// Wakers to be woken without a lock: a waker may run the file's owner on the spot.
#[must_use = "somebody waits for this"]
#[derive(Default)]
pub struct Woken {
    first: Option<Waker>,
    others: HashMap<u64, Vec<Waker>, BuildHasherDefault<NumberHasher>>,
}

impl Woken {
    /// Wakes them.
    pub fn wake(self) {
        for waker in self
            .first
            .into_iter()
            .chain(self.others.into_values().flatten())
        {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So many requests that wait.
    fn requests(count: usize) -> Vec<(Arc<Count>, Waker)> {
        let request = |_| {
            let count = Arc::new(Count::default());
            let waker = Waker::from(count.clone());
            (count, waker)
        };
        (0..count).map(request).collect()
    }

    fn woken(requests: &[(Arc<Count>, Waker)]) -> Vec<usize> {
        let count = |(count, _): &(Arc<Count>, Waker)| count.0.load(Ordering::Relaxed);
        requests.iter().map(count).collect()
    }

    #[test]
    fn two_requests_at_one_file_are_both_woken() {
        let requests = requests(3);
        let mut waiters = Waiters::default();
        for _ in 0..3 {
            for (index, (_, waker)) in requests.iter().enumerate() {
                let context = Context::from_waker(waker);
                waiters.register([7, 7, 8][index], &context).wake();
            }
        }
        waiters.take().wake();
        assert_eq!(woken(&requests), [1, 1, 1]);
        waiters.take().wake();
        assert_eq!(woken(&requests), [1, 1, 1], "once for each time");
    }

    #[test]
    fn who_is_closed_is_not_woken() {
        let requests = requests(3);
        let mut waiters = Waiters::default();
        for (index, (_, waker)) in requests.iter().enumerate() {
            let context = Context::from_waker(waker);
            waiters.register([7, 8, 7][index], &context).wake();
        }
        waiters.forget(7);
        waiters.take().wake();
        assert_eq!(woken(&requests), [0, 1, 0]);
    }

    #[test]
    fn too_many_at_one_file_ask_again() {
        // One of them stands in front of the others.
        let all = WAKERS_MAX + 4;
        let requests = requests(all);
        let mut waiters = Waiters::default();
        for (_, waker) in &requests {
            waiters.register(7, &Context::from_waker(waker)).wake();
        }
        let early = woken(&requests);
        assert_eq!(early.iter().sum::<usize>(), all - WAKERS_MAX - 1);
        waiters.take().wake();
        assert!(woken(&requests).iter().all(|count| *count == 1));
    }
}
