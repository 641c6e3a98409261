//! [`BatchOutcome`]: which messages of a batch failed.

use crate::Failure;

/// How a handler of a whole batch ended. Indices count from 0, in the order in which the messages were handed over.
///
/// ```
/// use hopscope_sdk::{Failure, work::BatchOutcome};
/// let outcome = BatchOutcome::Partly(vec![(1, Failure::new("Invalid", "no amount"))]);
/// assert_eq!(outcome.failure(0), None);
/// assert_eq!(outcome.failure(1).map(Failure::kind), Some("Invalid"));
/// assert_eq!(outcome.succeeded_before(3), 1, "of three messages, those before the first failed one");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Every message succeeded.
    #[default]
    Ok,
    /// These failed, with their index; all others succeeded. Of two entries for one message the first counts; an index
    /// that the batch does not have says nothing.
    Partly(Vec<(usize, Failure)>),
    /// No message succeeded.
    Failed(Failure),
}

impl BatchOutcome {
    /// The failure of the message at that index; `None` where it succeeded.
    pub fn failure(&self, index: usize) -> Option<&Failure> {
        match self {
            Self::Ok => None,
            Self::Partly(failed) => failed.iter().find(|(at, _)| *at == index).map(|(_, failure)| failure),
            Self::Failed(failure) => Some(failure),
        }
    }

    /// One entry for each message of a batch of that many, in order.
    pub fn each(&self, messages: usize) -> Vec<Option<&Failure>> {
        match self {
            Self::Ok => vec![None; messages],
            Self::Failed(failure) => vec![Some(failure); messages],
            Self::Partly(failed) => {
                let mut each = vec![None; messages];
                for (index, failure) in failed {
                    if let Some(slot) = each.get_mut(*index) {
                        slot.get_or_insert(failure);
                    }
                }
                each
            }
        }
    }

    /// How many of a batch of that many succeeded before the first that failed: as far as a cumulative
    /// acknowledgement may go.
    pub fn succeeded_before(&self, messages: usize) -> usize {
        match self {
            Self::Ok => messages,
            Self::Failed(_) => 0,
            Self::Partly(failed) => {
                failed.iter().map(|(index, _)| *index).min().unwrap_or(messages).min(messages)
            }
        }
    }

    /// True where every message of a batch of that many succeeded.
    pub fn is_ok(&self, messages: usize) -> bool {
        self.succeeded_before(messages) == messages
    }
}

/// A handler that knows only "all" or "nothing".
impl<E> From<Result<(), E>> for BatchOutcome
where
    for<'e> Failure: From<&'e E>,
{
    fn from(result: Result<(), E>) -> Self {
        result.map_or_else(|error| Self::Failed(Failure::from(&error)), |()| Self::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_its_own_end() {
        let (late, early) = (Failure::new("late", ""), Failure::new("early", ""));
        let partly =
            BatchOutcome::Partly(vec![(2, late.clone()), (1, early.clone()), (1, late.clone()), (9, early)]);
        let kinds = |of: &BatchOutcome, n| -> Vec<Option<String>> {
            of.each(n).into_iter().map(|failure| failure.map(|failure| failure.kind().to_owned())).collect()
        };
        assert_eq!(kinds(&partly, 3), [None, Some("early".into()), Some("late".into())]);
        assert_eq!((partly.succeeded_before(3), partly.is_ok(3), partly.is_ok(1)), (1, false, true));
        for index in 0..3 {
            assert_eq!(partly.failure(index), partly.each(3)[index]);
        }
        let failed = BatchOutcome::from(Err(std::fmt::Error));
        assert_eq!((failed.succeeded_before(2), failed.each(2).iter().flatten().count()), (0, 2));
        assert!(BatchOutcome::from(Ok::<(), std::fmt::Error>(())).is_ok(5));
        assert!(failed.is_ok(0), "of no message none failed");
    }
}
