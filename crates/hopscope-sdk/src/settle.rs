//! [`Settling`]: from the declared outcome to the broker's confirmation.

use crate::around::Around;
use crate::facts::Facts;
use crate::record::{Ended, Stage};
use crate::step::{Start, Step};
use crate::{Details, Failure, Place, Telemetry};
use opentelemetry::KeyValue;
use smallvec::SmallVec;

/// The broker is being told: a CLIENT span that ends at its confirmation. Dropped without a word its outcome is
/// unknown.
#[derive(Debug)]
#[must_use = "say how it ended: confirm, sent or fail"]
pub struct Settling(Step);

impl Settling {
    pub(crate) fn new(step: Step) -> Self {
        Self(step)
    }

    /// The broker has confirmed it.
    pub fn confirm(self) {
        self.0.end(Ended::Ok);
    }

    /// It was sent, and the broker never confirms this one (a NATS ack, RabbitMQ's `basic.ack`):
    /// `hopscope.confirmed = false`.
    pub fn sent(mut self) {
        self.0.edit(|record| record.is_confirmed = false);
        self.0.end(Ended::Ok);
    }

    /// It did not reach the broker, or was refused.
    pub fn fail(self, failure: impl Into<Failure>) {
        self.0.end(Ended::Failed(failure.into()));
    }

    /// Sets an attribute of your own.
    pub fn set_attribute(&self, attribute: KeyValue) {
        self.0.set([attribute]);
    }

    /// Says that this settlement covers everything before it too: `next` is the next position that the group will
    /// read on the lane.
    pub fn up_to(mut self, next: i64) -> Self {
        self.0.edit(|record| record.progress_next = Some(next));
        self
    }
}

impl Telemetry {
    /// Starts a cumulative settlement: one per commit and lane, not one per message. `place` names the lane, without
    /// a position; `next` is the next position that the group will read on it.
    pub fn settle_up_to(
        &self,
        operation: &'static str,
        place: Place<'_>,
        details: &Details<'_>,
        next: i64,
    ) -> Settling {
        let facts = Facts::new(&place, details, self.settings());
        let start =
            Start { operation, stage: Stage::Settle, around: Around::current(), members: SmallVec::new() };
        Settling(Step::start(self, facts, start)).up_to(next)
    }
}
