//! [`Spare`]: memory of values that nobody needs any more, for the next ones.

use std::cell::RefCell;
use std::sync::{Mutex, TryLockError};
use std::thread::LocalKey;

/// Values to be used again. Each thread has some of its own; what it has too many of goes to the others, because a step
/// may end on another thread than it began on, always in the same direction.
#[derive(Debug)]
pub(crate) struct Spare<T: 'static> {
    own: &'static LocalKey<RefCell<Vec<T>>>,
    shared: Mutex<Vec<T>>,
}

/// Values that a thread keeps; half of them are handed over at a time. Confirmations come in bursts of hundreds: with
/// room for 32 here, most of a burst's memory was freed and asked for again (0.8 µs a message with Kafka).
const OWN_MAX: usize = 256;

/// Values that wait for a thread that needs them.
const SHARED_MAX: usize = 2048;

impl<T> Spare<T> {
    /// None yet.
    pub const fn new(own: &'static LocalKey<RefCell<Vec<T>>>) -> Self {
        Self { own, shared: Mutex::new(Vec::new()) }
    }

    /// One of them. None also where this thread is about to end.
    pub fn take(&self) -> Option<T> {
        let taken = self.own.try_with(|own| {
            let mut own = own.try_borrow_mut().ok()?;
            if own.is_empty() {
                self.with_shared(|shared| {
                    let rest = shared.len().saturating_sub(OWN_MAX / 2);
                    own.extend(shared.drain(rest..));
                });
            }
            own.pop()
        });
        taken.ok().flatten()
    }

    /// Gives one back. Where there are enough of them it is dropped.
    pub fn put(&self, value: T) {
        let refused = self.own.try_with(|own| {
            let Ok(mut own) = own.try_borrow_mut() else { return Some(value) };
            if own.len() >= OWN_MAX {
                self.with_shared(|shared| {
                    let room = SHARED_MAX.saturating_sub(shared.len()).min(OWN_MAX / 2);
                    let rest = own.len() - room;
                    shared.extend(own.drain(rest..));
                });
            }
            if own.len() >= OWN_MAX {
                return Some(value);
            }
            own.push(value);
            None
        });
        // Outside the borrow: a drop could end a step.
        drop(refused);
    }

    /// Nobody waits for another thread here: then there is nothing to be had, and no room.
    fn with_shared(&self, look: impl FnOnce(&mut Vec<T>)) {
        match self.shared.try_lock() {
            Ok(mut shared) => look(&mut shared),
            // Half-moved values are whole values.
            Err(TryLockError::Poisoned(poisoned)) => look(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static OWN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }
    static SPARE: Spare<u32> = Spare::new(&OWN);

    #[test]
    fn what_one_thread_has_too_many_of_another_gets_and_all_of_it_is_bounded() {
        assert_eq!(SPARE.take(), None);
        (0..2 * (OWN_MAX + SHARED_MAX) as u32).for_each(|value| SPARE.put(value));
        let elsewhere = std::thread::spawn(|| std::iter::from_fn(|| SPARE.take()).count());
        assert_eq!(elsewhere.join().expect("no panic"), SHARED_MAX);
        assert_eq!(std::iter::from_fn(|| SPARE.take()).count(), OWN_MAX);
    }
}
