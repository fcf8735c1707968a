//! A bounded queue in which the newest displaces the oldest.
//!
//! `heapless::Deque` would do, but for its index arithmetic, which the optimiser cannot prove free of overflow: with
//! overflow checks on, a panic would be reachable.

use heapless::Vec;

/// At most `LENGTH` items, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Ring<T, const LENGTH: usize> {
    /// Grows to its full length once; then its slots are used again.
    slots: Vec<T, LENGTH>,
    /// The slot of the oldest item.
    first: usize,
    length: usize,
}

impl<T: Copy, const LENGTH: usize> Ring<T, LENGTH> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), first: 0, length: 0 }
    }
    /// The slot of the item that has this many older ones; at most `LENGTH` of them.
    const fn slot(&self, older: usize) -> usize {
        let slot = self.first.wrapping_add(older);
        if slot >= LENGTH { slot.wrapping_sub(LENGTH) } else { slot }
    }
    /// Adds the newest item. Whether another had to go for it, or there is no room at all.
    pub(super) fn push(&mut self, item: T) -> bool {
        let displaced = self.length >= LENGTH && {
            self.take_oldest();
            true
        };
        let slot = self.slot(self.length);
        let stored = match self.slots.get_mut(slot) {
            Some(old) => {
                *old = item;
                true
            }
            // Not grown yet: then this is the slot that comes next.
            None => self.slots.push(item).is_ok(),
        };
        if stored {
            self.length = self.length.saturating_add(1);
        }
        displaced
    }
    pub(super) fn take_oldest(&mut self) -> Option<T> {
        let rest = self.length.checked_sub(1)?;
        let oldest = self.slots.get(self.first).copied();
        self.first = self.slot(1);
        self.length = rest;
        oldest
    }
    pub(super) fn newest(&self) -> Option<&T> {
        self.slots.get(self.slot(self.length.checked_sub(1)?))
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.length).map_while(|older| self.slots.get(self.slot(older)))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::VecDeque;

    use super::Ring;

    #[test]
    fn it_behaves_as_a_double_ended_queue() {
        let mut ring: Ring<u32, 3> = Ring::new();
        let mut model = VecDeque::new();
        // Every order of adding and taking that 16 bits can tell.
        for orders in 0..=u16::MAX {
            for order in 0..16_u32 {
                if orders >> order & 1 == 0 {
                    assert_eq!(ring.take_oldest(), model.pop_front());
                } else {
                    let full = model.len() == 3;
                    if full {
                        model.pop_front();
                    }
                    model.push_back(order);
                    assert_eq!(ring.push(order), full);
                }
                assert_eq!(ring.newest(), model.back());
                assert!(ring.iter().eq(model.iter()));
            }
        }
    }

    #[test]
    fn without_room_it_keeps_nothing() {
        let mut ring: Ring<u32, 0> = Ring::new();
        assert!(ring.push(1) && ring.push(2));
        assert_eq!((ring.newest(), ring.iter().count()), (None, 0));
        assert_eq!(ring.take_oldest(), None);
    }
}
