//! What a store is asked for one message, and what it answers: [`Key`] in, [`Evidence`] out.

use crate::{MessageEvent, Progress, SpanContext, SpanId, TraceId};

/// A way to find events without a time range. Every store answers every kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Every event of a trace, oldest first.
    Trace(TraceId),
    /// The events that this span reported.
    Span(SpanId),
    /// The events whose span has this parent.
    Children(SpanId),
    /// The events of the messages that this context made.
    Creation(SpanContext),
    /// The events with these coordinates.
    Position(Position),
    /// The events with this message id; empty system or destination means any.
    MessageId {
        /// `messaging.system`, or empty.
        system: String,
        /// Destination, or empty.
        destination: String,
        /// The id.
        id: String,
    },
    /// The events with this correlation id.
    Correlation(String),
    /// The events with this business key.
    Business(String),
    /// No events, but progress on this lane: for every group its newest sample of each kind, its newest on
    /// the whole destination, and the first floor that passed `position`.
    Progress(Position),
}

/// Coordinates of one stored copy. Absent cluster, empty: any cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// `messaging.system`.
    pub system: String,
    /// Cluster, or empty for any.
    pub cluster: String,
    /// Destination.
    pub destination: String,
    /// Lane, or empty where the system has none.
    pub lane: String,
    /// Offset, stream sequence, queue offset.
    pub position: i64,
}

/// How much one answer may hold. A limit that was hit shows in [`Evidence::next`], never as silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most events in one answer.
    pub events_max: usize,
    /// About the most bytes of events in one answer.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events_max: 2_000, bytes_max: 16 << 20 }
    }
}

/// Everything a store knows under some keys. Events in order of `(start_ns, id)`, each identity once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The events.
    pub events: Vec<MessageEvent>,
    /// Progress samples, in order of `at_ns`.
    pub progress: Vec<Progress>,
    /// What was searched.
    pub coverage: Coverage,
    /// Where the next page begins; `None` when this was all. Opaque, made by the store.
    pub next: Option<String>,
}

/// What a read searched. Every answer carries it, so that an empty one is never a wrong empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Segments and memory tables looked at (or ruled out by their bounds).
    pub segments: u64,
    /// Earliest and latest `received_ns` of what is stored, where anything is.
    pub received_ns: Option<(i64, i64)>,
    /// True when nothing that could have matched was left out.
    pub complete: bool,
    /// Why not, one sentence each: a quarantined segment with its range, a limit with its name.
    pub why_not: Vec<String>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { segments: 0, received_ns: None, complete: true, why_not: Vec::new() }
    }
}

impl Coverage {
    /// What both searched together.
    pub fn merge(&mut self, other: &Coverage) {
        self.segments = self.segments.max(other.segments);
        self.received_ns = match (self.received_ns, other.received_ns) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
        self.complete &= other.complete;
        for reason in &other.why_not {
            if !self.why_not.contains(reason) {
                self.why_not.push(reason.clone());
            }
        }
    }
}
