//! Numbers that a client gives: tags and fids.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What has a number. The smallest that is free is given next, so that numbers stay small and are used again.
pub(super) struct Numbers<T> {
    all: Vec<Option<T>>,
    free: BinaryHeap<Reverse<usize>>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Numbers {
            all: Vec::new(),
            free: BinaryHeap::new(),
        }
    }
}

impl<T> Numbers<T> {
    /// How many are given.
    pub fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Gives the smallest number that is free, if that is below `end`.
    pub fn give(&mut self, end: usize, value: T) -> Option<usize> {
        match self.free.pop() {
            Some(Reverse(number)) if number < end => {
                self.all[number] = Some(value);
                Some(number)
            }
            Some(none) => {
                self.free.push(none);
                None
            }
            None if self.all.len() < end => {
                self.all.push(Some(value));
                Some(self.all.len() - 1)
            }
            None => None,
        }
    }

    /// What has this number.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.all.get_mut(number)?.as_mut()
    }

    /// Takes a number back, if it is given.
    pub fn take_back(&mut self, number: usize) -> Option<T> {
        let value = self.all.get_mut(number)?.take()?;
        self.free.push(Reverse(number));
        Some(value)
    }

    /// All that have numbers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.all.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_that_is_free_is_given_next() {
        let mut numbers = Numbers::default();
        for number in 0..4 {
            assert_eq!(numbers.give(4, number), Some(number));
        }
        assert_eq!(numbers.give(4, 4), None);
        assert_eq!(numbers.take_back(2), Some(2));
        assert_eq!(numbers.take_back(2), None, "it is given back once");
        assert_eq!(numbers.take_back(1), Some(1));
        assert_eq!(numbers.take_back(4), None);
        assert_eq!((numbers.len(), numbers.give(1, 5)), (2, None));
        assert_eq!((numbers.give(4, 6), numbers.give(4, 7)), (Some(1), Some(2)));
        assert_eq!(numbers.get_mut(1), Some(&mut 6));
        assert_eq!(numbers.iter_mut().count(), 4);
    }
}
