//! Numbers that one side of a connection gives, and what each of them stands for.

use std::collections::HashMap;

/// What has a number. 0 is nobody's.
pub(super) struct Numbers<T> {
    /// The last that was given.
    last: u32,
    all: HashMap<u32, T>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Numbers {
            last: 0,
            all: HashMap::new(),
        }
    }
}

impl<T> Numbers<T> {
    /// Gives a number that nothing has: the next, and after 2³² of them the next that is free. There is always one: memory ends long before.
    pub fn give(&mut self, value: T) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1).max(1);
            if !self.all.contains_key(&self.last) {
                self.all.insert(self.last, value);
                return self.last;
            }
        }
    }

    /// What has this number.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.all.get_mut(&number)
    }

    /// Takes a number back.
    pub fn remove(&mut self, number: u32) -> Option<T> {
        self.all.remove(&number)
    }

    /// Takes all numbers back.
    pub fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.all).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_given_twice_also_when_all_were_given() {
        let mut numbers = Numbers::default();
        let first: Vec<u32> = (0..3).map(|value| numbers.give(value)).collect();
        assert_eq!(first, [1, 2, 3]);
        numbers.last = u32::MAX - 1;
        assert_eq!(numbers.give(3), u32::MAX);
        // From the beginning on, without 0 and without those that are held.
        assert_eq!(numbers.remove(2), Some(1));
        assert_eq!((numbers.give(4), numbers.give(5)), (2, 4));
        assert_eq!(numbers.get_mut(1), Some(&mut 0));
        assert_eq!(numbers.get_mut(2), Some(&mut 4));
        assert_eq!(numbers.take().count(), 5);
        assert_eq!(numbers.give(6), 5);
    }
}
