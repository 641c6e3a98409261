//! [`Trajectory`]: the story of one message, as [`assemble`](crate::assemble) tells it. Types only.

use crate::event::vocabulary;
use crate::{Disposition, Grade, MessageEvent, Outcome, Position, Progress, SpanContext, TraceId};

vocabulary! {
    /// State of one message for one group.
    State {
        /// Sent, and no acknowledgement was seen.
        ProducedUnconfirmed = "produced_unconfirmed",
        /// The broker has it; no group is known.
        Stored = "stored",
        /// The broker holds it back until a time.
        Scheduled = "scheduled",
        /// The group is alive and behind it.
        NotConsumedYet = "not_consumed_yet",
        /// Given to a consumer, no handler seen.
        Fetched = "fetched",
        /// A handler has it.
        Processing = "processing",
        /// Settled well.
        Succeeded = "succeeded",
        /// The last attempt failed and another was asked for.
        FailedWillRetry = "failed_will_retry",
        /// Another attempt is under way.
        Retrying = "retrying",
        /// It went to a dead-letter destination.
        DeadLettered = "dead_lettered",
        /// A filter kept it from the group.
        Filtered = "filtered",
        /// The group's position jumped over it.
        Skipped = "skipped",
        /// It outlived its time to live.
        Expired = "expired",
        /// No queue took it.
        Unroutable = "unroutable",
        /// The group has no living member.
        GroupOffline = "group_offline",
        /// The group passed it and reports nothing.
        NotInstrumented = "not_instrumented",
        /// Nothing lets one say.
        Unknown = "unknown",
    }
}

vocabulary! {
    /// By which rule an event was put to the message.
    Join {
        /// It is the event that the message was asked for by.
        Subject = "subject",
        /// Same creation context.
        Creation = "creation",
        /// Same coordinates.
        Coordinates = "coordinates",
        /// Same message id within one system and destination.
        MessageId = "message_id",
        /// A settle span without link, through its parent.
        Parent = "parent",
    }
}

vocabulary! {
    /// What kind of copy a message is of another.
    CopyKind {
        /// Dead-letter destination.
        DeadLetter = "dead_letter",
        /// Retry topic.
        Retry = "retry",
        /// Sent back from a dead-letter destination.
        Redrive = "redrive",
    }
}

vocabulary! {
    /// End points of latencies. The clock of each is the clock of whoever saw it.
    Point {
        /// Send began (sender's clock).
        SendStart = "send_start",
        /// The broker's acknowledgement reached the sender (sender's clock).
        SendEnd = "send_end",
        /// The broker stored it (broker's clock).
        Stored = "stored",
        /// A consumer was given it (consumer's clock).
        Received = "received",
        /// The handler began (consumer's clock).
        ProcessStart = "process_start",
        /// The outcome was declared (consumer's clock).
        ProcessEnd = "process_end",
        /// The broker confirmed the outcome (consumer's clock).
        Settled = "settled",
    }
}

vocabulary! {
    /// What is missing or odd. Gaps are data, never errors.
    GapKind {
        /// Consumers saw it, its sender reported nothing.
        SenderNotInstrumented = "sender_not_instrumented",
        /// It was sent, and no receiver was seen.
        ReceiverNotSeen = "receiver_not_seen",
        /// A latency across two clocks is negative.
        ClockSkew = "clock_skew",
        /// Evidence arrived long after the fact, or may still arrive.
        LateEvidence = "late_evidence",
        /// The same coordinates name messages with different creation contexts: a topic was made anew.
        PositionReused = "position_reused",
        /// The context in the headers was unreadable, missing or contradictory.
        ContextLost = "context_lost",
        /// A limit of the search was hit.
        LimitHit = "limit_hit",
        /// A span that never ended, or has no duration.
        NeverEnded = "never_ended",
        /// Part of what could have matched was not searched.
        NotSearched = "not_searched",
    }
}

/// The story of one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// Which message.
    pub subject: Subject,
    /// Its own events in order of time, each with the rule that put it here.
    pub events: Vec<JoinedEvent>,
    /// Its send, where one was seen.
    pub sends: Vec<Send>,
    /// One story per group that is known to have to do with it, in order of name.
    pub groups: Vec<GroupStory>,
    /// Messages whose handling caused this one.
    pub causes: Vec<Related>,
    /// Messages that its handling caused.
    pub effects: Vec<Related>,
    /// The message this one is a copy of, and its copies.
    pub copies: Vec<Copy>,
    /// What is missing or odd.
    pub gaps: Vec<Gap>,
    /// The instant this story was told at.
    pub as_of_ns: i64,
}

/// Which message a trajectory is of: everything that names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `messaging.system`.
    pub system: String,
    /// Cluster, or empty.
    pub cluster: String,
    /// Destination.
    pub destination: String,
    /// Address, or empty.
    pub address: String,
    /// Lane, or empty.
    pub lane: String,
    /// Position, where the broker has positions.
    pub position: Option<i64>,
    /// Message ids that were seen, in order of appearance.
    pub message_ids: Vec<String>,
    /// Correlation ids.
    pub correlation_ids: Vec<String>,
    /// Business keys.
    pub keys: Vec<String>,
    /// The context that made it.
    pub creation: Option<SpanContext>,
    /// Traces its events are in, the creation's first.
    pub traces: Vec<TraceId>,
    /// Service that sent it, or empty.
    pub sender: String,
    /// When it was sent: send start, else origin time, else broker time, else the first event.
    pub sent_ns: i64,
    /// Body size.
    pub body_bytes: Option<u64>,
}

impl Subject {
    /// Its coordinates, where it has some.
    pub fn coordinates(&self) -> Option<Position> {
        Some(Position {
            system: self.system.clone(),
            cluster: self.cluster.clone(),
            destination: self.destination.clone(),
            lane: self.lane.clone(),
            position: self.position?,
        })
    }
}

/// An event of the message.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinedEvent {
    /// The event.
    pub event: MessageEvent,
    /// The rule that put it to this message.
    pub by: Join,
}

/// One send.
#[derive(Clone, Debug, PartialEq)]
pub struct Send {
    /// Index into [`Trajectory::events`].
    pub event: usize,
    /// Send start to the broker's acknowledgement.
    pub produce: Option<Latency>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What one group did with the message.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStory {
    /// Group; empty for a receiver that names none.
    pub group: String,
    /// State.
    pub state: State,
    /// How sure one can be of the state.
    pub grade: Grade,
    /// Why this state: the facts it rests on. `Display` says them in English.
    pub why: Why,
    /// Attempts in order.
    pub attempts: Vec<Attempt>,
    /// The progress the state rests on, where it rests on one.
    pub progress: Option<Progress>,
    /// First send to the last settled or processed event of this group.
    pub total: Option<Latency>,
}

/// One delivery to one group and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// From 1, by the broker's own count where it has one, else by order.
    pub number: u32,
    /// Indices into [`Trajectory::events`].
    pub events: Vec<usize>,
    /// The message of the attempt, where a retry made a new copy: its reference.
    pub of_copy: Option<MessageRef>,
    /// How the handler ended.
    pub outcome: Outcome,
    /// What the broker was asked to do.
    pub disposition: Option<Disposition>,
    /// Service and instance that had it.
    pub service: String,
    /// Instance, or empty.
    pub instance: String,
    /// When it began (received, else process start).
    pub start_ns: i64,
    /// When it ended, where it did.
    pub end_ns: Option<i64>,
    /// Stored (or sent, or redelivered) to received.
    pub queue: Option<Latency>,
    /// Received to handler.
    pub wait: Option<Latency>,
    /// Handler to declared outcome.
    pub process: Option<Latency>,
    /// Declared to confirmed.
    pub settle: Option<Latency>,
}

/// A duration between two named points. Negative across two clocks is shown as "≤ skew".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// May be negative across two clocks.
    pub ns: i64,
    /// Begin.
    pub from: Point,
    /// End.
    pub to: Point,
    /// True where begin and end were read from two clocks.
    pub across_clocks: bool,
    /// How far the value may be off, where that is known: e.g. the producer's round trip when the store time
    /// is taken from the acknowledgement.
    pub uncertainty_ns: Option<u64>,
}

/// The facts a state rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its handler said so at that attempt.
    Reported {
        /// Number of the attempt.
        attempt: u32,
    },
    /// "`group` is at `stands_at` of `destination`/`lane`, this message is at `position`."
    Behind {
        /// Group.
        group: String,
        /// Destination.
        destination: String,
        /// Lane.
        lane: String,
        /// Next position the group will read.
        stands_at: i64,
        /// Position of this message.
        position: i64,
        /// When the group was seen there.
        at_ns: i64,
    },
    /// The group's floor passed the message and nothing of it was reported.
    Passed {
        /// Group.
        group: String,
        /// Next position the group will read.
        stands_at: i64,
        /// Position of this message.
        position: i64,
        /// When the group was seen there.
        at_ns: i64,
    },
    /// The message was found in a dead-letter destination, or settled in a way that sends it there.
    DeadLetter {
        /// Dead-letter destination, or empty.
        destination: String,
        /// Reason in the broker's words, or empty.
        reason: String,
    },
    /// Nothing has been heard of the group since.
    Silent {
        /// Group.
        group: String,
        /// Last sign of it.
        last_seen_ns: i64,
    },
    /// The send's own outcome decides.
    Send,
    /// No evidence.
    Nothing,
}

/// Another message, by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// How to ask for it.
    pub message: MessageRef,
    /// The context that made it. Coordinates and ids are used again, and only the evidence about the message itself
    /// shows that: an answer with another context is about another message; ask by this one then.
    pub creation: Option<SpanContext>,
    /// `messaging.system`.
    pub system: String,
    /// Destination.
    pub destination: String,
    /// Service between: that handled one and sent the other.
    pub service: String,
    /// When it was sent.
    pub sent_ns: i64,
    /// End of the handler (or its beginning) to send, or the reverse for causes; clock of `service`.
    pub after_ns: Option<i64>,
    /// Spans between the two, nearest first.
    pub through: Vec<SpanContext>,
}

/// An edge between a message and its copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What kind.
    pub kind: CopyKind,
    /// True when the other one is the original of this message, false when it is a copy of it.
    pub other_is_original: bool,
    /// The other message, where it can be named.
    pub other: Option<MessageRef>,
    /// Its destination.
    pub destination: String,
    /// Group (queue) that made the copy, or empty.
    pub group: String,
    /// Attempts before the copy, where known.
    pub attempts: Option<u32>,
    /// Reason in the broker's words, or in those of who made the copy; or empty.
    pub reason: String,
    /// Type of the error (`error.type`) that it was made for, or empty.
    pub error_type: String,
}

/// Something missing or odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What kind.
    pub kind: GapKind,
    /// One English sentence with the facts in it.
    pub detail: String,
}

/// How to ask for one message again: stable, printable, parsed back by [`std::str::FromStr`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageRef {
    /// By coordinates: `system[@cluster]:destination/lane/position`.
    Position(Position),
    /// By creation context, where that names one message: `ctx:trace-span`.
    Creation(SpanContext),
    /// By message id: `id:system:destination:id`.
    MessageId {
        /// `messaging.system`.
        system: String,
        /// Destination.
        destination: String,
        /// The id.
        id: String,
    },
}
