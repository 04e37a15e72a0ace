//! What a device has under way for its agent, to be given up when the capability is taken away: requests, connections, and those of what was
//! made of it for children. A gate lets nothing more be done; what goes on behind it is ended here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use capfs::device::parts::lock;
use capfs::{MaybeSend, MaybeSync};

/// Something that goes on until it is ended.
pub trait End: MaybeSend + MaybeSync + 'static {
    /// Gives it up, for good. It may be over already.
    fn end(&self);
}

/// All that goes on behind one capability.
#[derive(Clone, Default)]
pub struct Ends(Arc<Shared>);

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    all: Vec<Weak<dyn End>>,
    /// How many there may be before those that are gone are looked for.
    crowded: usize,
}

/// So many are kept without a look at which of them are gone.
const FEW: usize = 16;

impl Ends {
    /// Knows of one thing more, for as long as it lives; where all has been ended, that is, too.
    pub fn add<T: End>(&self, one: &Arc<T>) {
        let weak: Weak<T> = Arc::downgrade(one);
        {
            let mut known = lock(&self.0.known);
            if known.all.len() >= known.crowded.max(FEW) {
                known.all.retain(|one| one.strong_count() > 0);
                known.crowded = 2 * known.all.len();
            }
            known.all.push(weak);
        }
        // Looked at behind the push: whoever ends all either finds it, or is seen here.
        if self.0.over.load(Ordering::SeqCst) {
            one.end();
        }
    }

    /// Those of what is made of it for a child: they end with it, and may end before.
    pub fn narrowed(&self) -> Ends {
        let child = Ends::default();
        self.add(&child.0);
        child
    }

    /// Ends all that there is, and all that will be.
    pub fn end(&self) {
        self.0.end();
    }
}

impl End for Shared {
    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        // Taken out first: what ends may come back here.
        let all = std::mem::take(&mut lock(&self.known).all);
        for one in all.iter().filter_map(Weak::upgrade) {
            one.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl End for Counted {
        fn end(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Counted {
        fn times(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn everything_is_ended_once_and_what_comes_later_too() {
        let ends = Ends::default();
        let child = ends.narrowed();
        let own: Vec<Arc<Counted>> = (0..100).map(|_| Arc::default()).collect();
        own.iter().for_each(|one| ends.add(one));
        let below: Arc<Counted> = Arc::default();
        child.add(&below);
        ends.end();
        ends.end();
        assert!(own.iter().all(|one| one.times() == 1));
        assert_eq!(below.times(), 1);
        let late: Arc<Counted> = Arc::default();
        child.add(&late);
        assert_eq!(late.times(), 1);
    }

    #[test]
    fn a_child_s_end_leaves_its_parent_alone() {
        let ends = Ends::default();
        let own: Arc<Counted> = Arc::default();
        ends.add(&own);
        ends.narrowed().end();
        assert_eq!(own.times(), 0);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let ends = Ends::default();
        for _ in 0..10_000 {
            ends.add(&Arc::<Counted>::default());
        }
        assert!(lock(&ends.0.known).all.len() <= 2 * FEW);
    }
}
