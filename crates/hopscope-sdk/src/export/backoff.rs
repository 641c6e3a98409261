//! [`Backoff`]: how long to wait before the next try.

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use std::time::Duration;

/// Waits that double from the first to the longest, each shortened by chance by up to a half, so that the processes
/// of an estate do not all come back in the same moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub first: Duration,
    pub max: Duration,
    tries: u32,
}

impl Backoff {
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, tries: 0 }
    }

    /// It worked: the next wait is the first again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next wait.
    pub fn next(&mut self) -> Duration {
        let whole =
            self.first.saturating_mul(1_u32.checked_shl(self.tries).unwrap_or(u32::MAX)).min(self.max);
        self.tries = (self.tries + 1).min(31);
        let chance = u64::from_be_bytes(RandomIdGenerator::default().new_span_id().to_bytes());
        whole.mul_f64(0.5 + 0.5 * (chance as f64 / u64::MAX as f64))
    }
}

impl Default for Backoff {
    /// From one second to half a minute.
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again() {
        let mut backoff = Backoff::default();
        for whole in [1, 2, 4, 8, 16, 30, 30, 30] {
            let (wait, whole) = (backoff.next(), Duration::from_secs(whole));
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        }
        assert!((0..100).all(|_| backoff.next() >= Duration::from_secs(15)), "no overflow after hours");
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }
}
