//! A write that has returned before it ended.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use capfs::Errno;
use capfs::device::parts::lock;

/// What tells of a write's end.
pub(super) trait Ending {
    /// Waits for it.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Errno>>;
}

/// The write of a stream that has returned already, if there is one: its bytes are the other side's to write, all of them. Whoever waits for its end and
/// gives up leaves it to the next; clones are the same write.
pub(super) struct Taken<E>(Arc<Mutex<State<E>>>);

struct State<E> {
    ending: Option<E>,
    /// What became of the last one, to be told once.
    owed: Result<(), Errno>,
}

impl<E> Clone for Taken<E> {
    fn clone(&self) -> Self {
        Taken(self.0.clone())
    }
}

impl<E> Default for Taken<E> {
    fn default() -> Self {
        Taken(Arc::new(Mutex::new(State {
            ending: None,
            owed: Ok(()),
        })))
    }
}

impl<E: Ending> Taken<E> {
    /// A write has returned; the one before it has ended.
    pub fn begin(&self, ending: E) {
        lock(&self.0).ending = Some(ending);
    }

    /// Waits until there is none under way.
    pub fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if let Some(ending) = &mut state.ending {
            let outcome = ready!(ending.poll_end(context));
            state.ending = None;
            state.owed = outcome;
        }
        Poll::Ready(())
    }

    /// What became of the last one, if nobody was told.
    pub fn take_owed(&self) -> Result<(), Errno> {
        std::mem::replace(&mut lock(&self.0).owed, Ok(()))
    }

    /// Whether somebody must be told.
    pub fn owes(&self) -> bool {
        lock(&self.0).owed.is_err()
    }

    /// Waits for the end of the last one, and answers what became of it.
    pub async fn ended(&self) -> Result<(), Errno> {
        poll_fn(|context| self.poll_ended(context)).await;
        self.take_owed()
    }

    /// Gives it up.
    pub fn give_up(&self) {
        // Dropped when nothing is locked: the other side is told.
        let given_up = lock(&self.0).ending.take();
        drop(given_up);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    /// A write whose end is told from outside, and that notes when it is given up.
    struct Write(Rc<RefCell<Told>>);

    #[derive(Default)]
    struct Told {
        outcome: Option<Result<(), Errno>>,
        dropped: bool,
    }

    impl Ending for Write {
        fn poll_end(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Errno>> {
            self.0.borrow().outcome.map_or(Poll::Pending, Poll::Ready)
        }
    }

    impl Drop for Write {
        fn drop(&mut self) {
            self.0.borrow_mut().dropped = true;
        }
    }

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_gives_up_waiting_leaves_the_write_and_its_outcome_to_the_next() {
        let (taken, told) = (Taken::default(), Rc::new(RefCell::new(Told::default())));
        taken.begin(Write(told.clone()));
        // A sync that is given up, twice.
        for _ in 0..2 {
            assert!(poll(taken.clone().ended()).is_pending());
            assert!(!told.borrow().dropped, "the write was given up with it");
        }
        told.borrow_mut().outcome = Some(Err(Errno::Pipe));
        assert_eq!(poll(taken.ended()), Poll::Ready(Err(Errno::Pipe)));
        assert!(told.borrow().dropped);
        assert_eq!(poll(taken.ended()), Poll::Ready(Ok(())), "it is told once");
    }

    #[test]
    fn what_is_owed_waits_for_somebody_who_is_told() {
        let (taken, told) = (Taken::default(), Rc::new(RefCell::new(Told::default())));
        taken.begin(Write(told.clone()));
        told.borrow_mut().outcome = Some(Err(Errno::Nospc));
        // Whether there is room: nobody is told by that.
        assert!(poll(poll_fn(|context| taken.poll_ended(context))).is_ready());
        // One that is given up before it begins.
        drop(taken.clone().ended());
        assert!(taken.owes());
        assert_eq!(taken.take_owed(), Err(Errno::Nospc));
        assert!(!taken.owes());
    }

    #[test]
    fn closing_gives_it_up() {
        let (taken, told) = (Taken::default(), Rc::new(RefCell::new(Told::default())));
        taken.begin(Write(told.clone()));
        taken.give_up();
        assert!(told.borrow().dropped);
        assert_eq!(poll(taken.ended()), Poll::Ready(Ok(())));
    }
}
