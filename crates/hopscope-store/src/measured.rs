//! What is summed up of events: how many, how they ended, how large, how long each step took. One event tells it by
//! itself, so it does not depend on which events are stored together, and sums of parts are the sum of the whole.

use crate::sketch::Sketch;
use hopscope_model::{Disposition, EventRef, OutcomeCode, Spread, Stage, UNKNOWN};

/// How long one step of a message took, as one event of it tells.
///
/// The wait from receipt to handler is not among them: two events tell it together, and the trajectory of the message
/// shows it. In its place stands what the last event knows of the whole way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Latency {
    /// Send: from its start to the broker's acknowledgement.
    Produce = 0,
    /// Receive: from the broker's store time, else the sender's time, to its end. Process: the same to its start, for
    /// consumers that tell no Receive; of a consumer that tells both, each has its own rows by stage. Between two
    /// clocks: what is negative counts as 0.
    Queue = 1,
    /// Process: from its start to the declared outcome.
    Process = 2,
    /// Settle: from its start to the confirmation.
    Settle = 3,
    /// Process: from the sender's time to the declared outcome, over all hops before. Between two clocks.
    Total = 4,
}

impl Latency {
    /// All of them, in the order of [`Measured::latencies`].
    pub const ALL: [Self; 5] = [Self::Produce, Self::Queue, Self::Process, Self::Settle, Self::Total];

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Queue => "queue",
            Self::Process => "process",
            Self::Settle => "settle",
            Self::Total => "total",
        }
    }
}

/// What counted events tell beside their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Events of a delivery that was not the first attempt.
    pub retries: u64,
    /// Events that told the broker never to deliver the message again: it dead-letters it, where it has a place for
    /// that.
    pub dead_letters: u64,
    /// Sum of the bodies' sizes, bytes, where they are known.
    pub body_bytes: u64,
    /// Receives and Processes that know neither when the broker stored nor when the sender made the message, so
    /// that they have no time in the queue.
    pub unpaired: u64,
    /// In the order of [`Latency::ALL`]; `None` where no event tells it.
    pub latencies: [Option<Spread>; 5],
}

impl Measured {
    /// How that one spread.
    pub fn latency(&self, latency: Latency) -> Option<&Spread> {
        self.latencies[latency as usize].as_ref()
    }
}

/// What is summed up of one event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub stage: Stage,
    pub failed: bool,
    pub dead_lettered: bool,
    pub start_ns: i64,
    pub duration_ns: Option<i64>,
    pub broker_ns: Option<i64>,
    pub origin_ns: Option<i64>,
    /// 0 where it is unknown.
    pub attempt: u32,
    pub body_bytes: Option<i64>,
}

impl Facts {
    /// Of an event; columns that were not read are as if they were unknown.
    pub fn of(event: &EventRef<'_>) -> Self {
        Self {
            stage: event.stage(),
            failed: event.batch().columns().outcome[event.index()] == OutcomeCode::Failed,
            dead_lettered: event.disposition() == Some(Disposition::Reject),
            start_ns: event.start_ns(),
            duration_ns: event.duration_ns(),
            broker_ns: event.broker_ns(),
            origin_ns: event.origin_ns(),
            attempt: event.attempt().unwrap_or_default(),
            body_bytes: event.body_bytes(),
        }
    }

    /// Whether it is a delivery, which has a time in the queue.
    fn is_delivery(&self) -> bool {
        matches!(self.stage, Stage::Receive | Stage::Process)
    }

    fn stored_ns(&self) -> Option<i64> {
        self.broker_ns.or(self.origin_ns)
    }

    /// Calls `each` with every latency that it tells, ns.
    pub fn each_latency(&self, mut each: impl FnMut(Latency, i64)) {
        let duration_ns = self.duration_ns.filter(|duration| *duration >= 0);
        let end_ns = duration_ns.map(|duration| self.start_ns.saturating_add(duration));
        match (self.stage, duration_ns) {
            (Stage::Send, Some(duration)) => each(Latency::Produce, duration),
            (Stage::Process, Some(duration)) => each(Latency::Process, duration),
            (Stage::Settle, Some(duration)) => each(Latency::Settle, duration),
            _ => {}
        }
        if self.start_ns == UNKNOWN || !self.is_delivery() {
            return;
        }
        let received_ns = match self.stage {
            // A receive span covers the waiting for it, its end is the hand-over.
            Stage::Receive => end_ns.unwrap_or(self.start_ns),
            _ => self.start_ns,
        };
        if let Some(stored_ns) = self.stored_ns() {
            each(Latency::Queue, received_ns.saturating_sub(stored_ns));
        }
        if let (Stage::Process, Some(end_ns), Some(origin_ns)) = (self.stage, end_ns, self.origin_ns) {
            each(Latency::Total, end_ns.saturating_sub(origin_ns));
        }
    }
}

/// Sums over events, but for latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub events: u64,
    pub failed: u64,
    pub retries: u64,
    pub dead_letters: u64,
    pub body_bytes: u64,
    pub unpaired: u64,
    pub first_ns: i64,
    pub last_ns: i64,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            events: 0,
            failed: 0,
            retries: 0,
            dead_letters: 0,
            body_bytes: 0,
            unpaired: 0,
            first_ns: i64::MAX,
            last_ns: i64::MIN,
        }
    }
}

impl Sum {
    /// Of one event.
    pub fn of(facts: &Facts) -> Self {
        Self {
            events: 1,
            failed: u64::from(facts.failed),
            retries: u64::from(facts.attempt > 1),
            dead_letters: u64::from(facts.dead_lettered),
            body_bytes: facts.body_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            unpaired: u64::from(facts.is_delivery() && facts.stored_ns().is_none()),
            first_ns: facts.start_ns,
            last_ns: facts.start_ns,
        }
    }

    pub fn add(&mut self, other: &Self) {
        let add = |one: &mut u64, other: u64| *one = one.saturating_add(other);
        add(&mut self.events, other.events);
        add(&mut self.failed, other.failed);
        add(&mut self.retries, other.retries);
        add(&mut self.dead_letters, other.dead_letters);
        add(&mut self.body_bytes, other.body_bytes);
        add(&mut self.unpaired, other.unpaired);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }

    /// With the latencies of the same events.
    pub fn measured(&self, latencies: &[Sketch; 5]) -> Measured {
        let spread = |sketch: &Sketch| (!sketch.buckets.is_empty()).then(|| sketch.spread());
        Measured {
            retries: self.retries,
            dead_letters: self.dead_letters,
            body_bytes: self.body_bytes,
            unpaired: self.unpaired,
            latencies: latencies.each_ref().map(spread),
        }
    }
}
