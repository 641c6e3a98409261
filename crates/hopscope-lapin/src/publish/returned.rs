//! [`Returned`]: which message was returned.

use hopscope_sdk::Failure;
use hopscope_sdk::opentelemetry::trace::SpanId;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Messages that the broker returned, until whoever sent them asks.
///
/// A return names no delivery tag: lapin puts it beside the next confirm that it completes, which on a channel with
/// several messages on their way may be another's. The headers of the returned message say whose it is.
#[derive(Debug, Default)]
pub(crate) struct Returned(Mutex<VecDeque<(SpanId, Failure)>>);

/// Those whose sender never asks (it dropped the confirm) are forgotten, the oldest first.
const RETURNED_MAX: usize = 1024;

impl Returned {
    pub fn note(&self, made_by: SpanId, failure: Failure) {
        let mut notes = self.lock();
        if notes.len() >= RETURNED_MAX {
            notes.pop_front();
        }
        notes.push_back((made_by, failure));
    }

    pub fn take(&self, made_by: SpanId) -> Option<Failure> {
        let mut notes = self.lock();
        let at = notes.iter().position(|(of, _)| *of == made_by)?;
        notes.remove(at).map(|(_, failure)| failure)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(SpanId, Failure)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sender_is_told_of_its_own_and_the_oldest_are_forgotten() {
        let returned = Returned::default();
        let span = |n: usize| SpanId::from_bytes((n as u64 + 1).to_be_bytes());
        for n in 0..=RETURNED_MAX {
            returned.note(span(n), Failure::new("NO_ROUTE", n));
        }
        assert_eq!(returned.take(span(0)), None);
        assert_eq!(returned.take(span(7)).expect("noted").message(), "7");
        assert_eq!(returned.take(span(7)), None);
    }
}
