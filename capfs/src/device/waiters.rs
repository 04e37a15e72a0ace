//! Who is to be woken.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::task::{Context, Waker};

use crate::number_hash::NumberHasher;

/// Wakers at one open file from which on those that were there before are asked whether they still wait: they are woken, and whoever does
/// wait comes back. So a guest that polls for ever, with another waker each time, adds nothing.
const CROWD: usize = 16;

/// Wakers at one open file that are kept at most, however many come back: as many requests as one client may have under way.
const WAKERS_MAX: usize = 1 << 14;

/// The wakers of one event. Each open file that may wait has an id, and each request that waits at it has its own waker, which is the
/// same each time: or all requests at a file share one. To register, and to forget, takes the same time however many files there are.
#[derive(Default)]
pub struct Waiters {
    /// Mostly there is one who waits, for whom nothing is allocated.
    first: Option<(u64, Waker)>,
    others: HashMap<u64, Crowd, BuildHasherDefault<NumberHasher>>,
}

/// Those who wait at one file.
#[derive(Default)]
struct Crowd {
    wakers: Vec<Known>,
    /// How many there may be until they are asked again, if it is more than [`CROWD`].
    roomy: usize,
}

struct Known {
    waker: Waker,
    /// It was woken, and has not come back: it need not be kept.
    asked: bool,
}

impl Crowd {
    /// Adds a waker. What is returned is asked.
    fn register(&mut self, waker: &Waker) -> Vec<Waker> {
        let mut all = self.wakers.iter_mut();
        if let Some(known) = all.find(|known| known.waker.will_wake(waker)) {
            known.asked = false;
            return Vec::new();
        }
        let mut asked = Vec::new();
        if self.wakers.len() >= self.roomy.max(CROWD) {
            self.wakers.retain(|known| !known.asked);
            // More each time: where they all come back, that is soon over.
            self.roomy = (2 * self.wakers.len() + CROWD).min(WAKERS_MAX);
            for known in &mut self.wakers {
                known.asked = true;
                asked.push(known.waker.clone());
            }
        }
        self.wakers.push(Known {
            waker: waker.clone(),
            asked: false,
        });
        asked
    }
}

impl Waiters {
    /// Registers the waker of a request at the file `id`. What is returned is among too many at one file, whoever registers excepted; it
    /// is to be woken once no lock is held.
    pub fn register(&mut self, id: u64, context: &Context<'_>) -> Woken {
        let waker = context.waker();
        match &mut self.first {
            Some((first, known)) if *first == id && known.will_wake(waker) => {}
            None if !self.others.contains_key(&id) => self.first = Some((id, waker.clone())),
            _ => {
                let asked = self.others.entry(id).or_default().register(waker);
                return Woken {
                    asked,
                    ..Woken::default()
                };
            }
        }
        Woken::default()
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
            asked: Vec::new(),
        }
    }
}

/// Wakers to be woken without a lock: a waker may run the file's owner on the spot.
#[must_use = "somebody waits for this"]
#[derive(Default)]
pub struct Woken {
    first: Option<Waker>,
    others: HashMap<u64, Crowd, BuildHasherDefault<NumberHasher>>,
    asked: Vec<Waker>,
}

impl Woken {
    /// Wakes them.
    pub fn wake(self) {
        let others = self.others.into_values().flat_map(|crowd| crowd.wakers);
        let others = others.map(|known| known.waker);
        for waker in self.first.into_iter().chain(others).chain(self.asked) {
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
    fn who_registers_again_once_the_first_is_closed_is_woken_once() {
        let requests = requests(2);
        let mut waiters = Waiters::default();
        for (index, (_, waker)) in requests.iter().enumerate() {
            let context = Context::from_waker(waker);
            waiters.register([7, 8][index], &context).wake();
        }
        waiters.forget(7);
        let context = Context::from_waker(&requests[1].1);
        waiters.register(8, &context).wake();
        waiters.take().wake();
        assert_eq!(woken(&requests), [0, 1]);
    }

    /// Lets each of `requests` wait at one file, and each that is woken wait again, until nobody is woken; how often they did.
    fn settle(waiters: &mut Waiters, requests: &[(Arc<Count>, Waker)]) -> usize {
        let mut seen = vec![0; requests.len()];
        let mut times = 0;
        let mut next: Vec<usize> = (0..requests.len()).collect();
        while !next.is_empty() {
            for index in std::mem::take(&mut next) {
                waiters
                    .register(7, &Context::from_waker(&requests[index].1))
                    .wake();
                times += 1;
            }
            for (index, count) in woken(requests).into_iter().enumerate() {
                if std::mem::replace(&mut seen[index], count) < count {
                    next.push(index);
                }
            }
            assert!(times < 1 << 20, "they wake each other for ever");
        }
        times
    }

    #[test]
    fn one_request_that_is_polled_again_and_again_wakes_nobody() {
        let requests = requests(3);
        let mut waiters = Waiters::default();
        for _ in 0..100 {
            for (_, waker) in &requests {
                waiters.register(7, &Context::from_waker(waker)).wake();
            }
        }
        assert_eq!(woken(&requests), [0, 0, 0]);
    }

    #[test]
    fn however_many_wait_at_one_file_they_come_to_rest_and_are_woken() {
        for count in [CROWD, CROWD + 1, CROWD + 2, 40, 1_000] {
            let requests = requests(count);
            let mut waiters = Waiters::default();
            for _ in 0..3 {
                let times = settle(&mut waiters, &requests);
                assert!(times <= 8 * count, "{count} waited {times} times");
                let before = woken(&requests);
                waiters.take().wake();
                let after = woken(&requests);
                let both = before.iter().zip(&after);
                assert!(both.into_iter().all(|(before, after)| *after == before + 1));
            }
        }
    }

    #[test]
    fn those_that_are_over_are_not_kept() {
        let requests = requests(20_000);
        let mut waiters = Waiters::default();
        for (_, waker) in &requests {
            waiters.register(7, &Context::from_waker(waker)).wake();
        }
        let kept = waiters.others[&7].wakers.len();
        assert!(kept < 2_000, "{kept} of 20,000");
        let early = woken(&requests);
        waiters.take().wake();
        let late = woken(&requests);
        assert!(late.iter().all(|count| (1..=2).contains(count)));
        assert_eq!(early[19_999], 0, "who comes is not woken for it");
    }
}
