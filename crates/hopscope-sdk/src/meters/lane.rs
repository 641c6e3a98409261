//! [`Lane`]: all series of one destination, partition, group and broker.

use super::Limits;
use super::key::{Owned, Parts};
use super::operation::{Ending, Operation, OperationType};
use super::series::{Count, Instruments, Spread};
use super::table::{CONTEXT_STATE, Counted, Distribution};
use opentelemetry::KeyValue;
use std::sync::{Arc, OnceLock};

/// All series of one destination, partition, group and broker: what [`Meters::lane`](super::Meters::lane) finds.
///
/// `operation` is the client's own word (`send`, `poll`, `ack`). Nothing locks where nothing failed.
#[derive(Debug)]
pub struct Lane {
    names: Owned,
    attributes: Vec<KeyValue>,
    through: Option<Arc<Instruments>>,
    limits: Limits,
    operations: OnceLock<Box<Operation>>,
    /// Messages by what their headers said about where they came from.
    contexts: [OnceLock<Count>; 3],
    queue: OnceLock<Spread>,
    attempts: OnceLock<Spread>,
}

/// How many of the messages that were received carried which context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contexts {
    /// A context that could be read.
    pub found: u64,
    /// None at all.
    pub missing: u64,
    /// One that could not be read.
    pub broken: u64,
}

impl Contexts {
    /// One message with a context.
    pub const FOUND: Self = Self { found: 1, missing: 0, broken: 0 };
    /// One message without.
    pub const MISSING: Self = Self { found: 0, missing: 1, broken: 0 };
    /// One message with a broken one.
    pub const BROKEN: Self = Self { found: 0, missing: 0, broken: 1 };

    /// Messages in all.
    pub fn messages(self) -> u64 {
        self.found + self.missing + self.broken
    }
}

/// Values of `hopscope.context.state`, in the order of [`Contexts`].
const STATES: [&str; 3] = ["found", "missing", "broken"];

impl Lane {
    pub(super) fn new(
        parts: Parts<'_>,
        attributes: Vec<KeyValue>,
        through: Option<Arc<Instruments>>,
        limits: Limits,
    ) -> Self {
        Self {
            names: parts.into(),
            attributes,
            through,
            limits,
            operations: OnceLock::new(),
            contexts: Default::default(),
            queue: OnceLock::new(),
            attempts: OnceLock::new(),
        }
    }

    pub(super) fn is(&self, parts: &Parts<'_>) -> bool {
        self.names.equals(parts)
    }

    /// An operation has ended: how long it took, and nothing about messages.
    pub fn timed(&self, kind: OperationType, operation: &'static str, duration_ns: u64, ending: Ending<'_>) {
        let operation = self.operation(kind, operation);
        operation.with(self.maker(), ending, |points| points.duration.record(duration_ns));
    }

    /// A message was sent by an operation of its own, or was not.
    pub fn sent(&self, operation: &'static str, duration_ns: u64, ending: Ending<'_>) {
        let operation = self.operation(OperationType::Send, operation);
        operation.with(self.maker(), ending, |points| {
            points.duration.record(duration_ns);
            points.add(1);
        });
    }

    /// Messages ended like that in a batch, whose operation is [`timed`](Self::timed) on a lane of its own.
    pub fn sent_in_batch(&self, operation: &'static str, messages: u64, ending: Ending<'_>) {
        let operation = self.operation(OperationType::Send, operation);
        operation.with(self.maker(), ending, |points| points.add(messages));
    }

    /// Messages were handed to the application. This is where a message counts as consumed: once a delivery, not again
    /// when it is processed.
    pub fn received(&self, operation: &'static str, contexts: Contexts) {
        let operation = self.operation(OperationType::Receive, operation);
        operation.with(self.maker(), Ending::Ok, |points| points.add(contexts.messages()));
        let counts = [contexts.found, contexts.missing, contexts.broken];
        for ((slot, state), messages) in self.contexts.iter().zip(STATES).zip(counts) {
            if messages > 0 {
                slot.get_or_init(|| self.count_of_contexts(state)).add(messages);
            }
        }
    }

    /// A message had waited that long before it was received, from when the broker stored it (else: from when its
    /// sender made it). A negative time, which only says that two clocks differ, counts as zero.
    pub fn waited(&self, queue_ns: i64) {
        let spread = || self.maker().spread(Distribution::QueueDuration, &[]);
        self.queue.get_or_init(spread).record(u64::try_from(queue_ns).unwrap_or(0));
    }

    /// A message was received for the `attempt`th time, from 1.
    pub fn attempt(&self, attempt: u32) {
        let spread = || self.maker().spread(Distribution::Attempts, &[]);
        self.attempts.get_or_init(spread).record(attempt.into());
    }

    /// What all series of the lane have.
    pub(super) fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    pub(super) fn operations(&self) -> impl Iterator<Item = &Operation> {
        std::iter::successors(self.operations.get(), |operation| operation.next.get()).map(|boxed| &**boxed)
    }

    /// Messages by context, with the attribute that says which.
    pub(super) fn contexts(&self) -> impl Iterator<Item = (KeyValue, &Count)> {
        let counts = self.contexts.iter().zip(STATES);
        counts.filter_map(|(count, state)| Some((KeyValue::new(CONTEXT_STATE, state), count.get()?)))
    }

    /// Distributions of no single operation.
    pub(super) fn spreads(&self) -> impl Iterator<Item = (Distribution, &Spread)> {
        let both =
            [(Distribution::QueueDuration, self.queue.get()), (Distribution::Attempts, self.attempts.get())];
        both.into_iter().filter_map(|(measure, spread)| Some((measure, spread?)))
    }

    fn operation(&self, kind: OperationType, name: &'static str) -> &Operation {
        Operation::find(&self.operations, kind, name)
    }

    fn maker(&self) -> Maker<'_> {
        Maker { attributes: &self.attributes, through: self.through.as_deref(), limits: self.limits }
    }

    fn count_of_contexts(&self, state: &'static str) -> Count {
        self.maker().count(Counted::Context, &[KeyValue::new(CONTEXT_STATE, state)])
    }
}

/// Makes the series of a lane when they are first needed.
#[derive(Clone, Copy)]
pub(super) struct Maker<'a> {
    attributes: &'a [KeyValue],
    through: Option<&'a Instruments>,
    pub limits: Limits,
}

impl Maker<'_> {
    pub fn spread(self, measure: Distribution, more: &[KeyValue]) -> Spread {
        Spread::new(measure, self.through, || [self.attributes, more].concat())
    }

    pub fn count(self, measure: Counted, more: &[KeyValue]) -> Count {
        Count::new(measure, self.through, || [self.attributes, more].concat())
    }
}
