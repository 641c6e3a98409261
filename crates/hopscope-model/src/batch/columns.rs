//! The columns of a batch and the row that a builder takes: one macro, so that a new field is one line.

use super::lists::retain_masked;
use crate::{Disposition, Grade, SpanContext, SpanId, Stage, Text, TraceId, progress::ProgressKind};

/// Marks an unknown time, position, size or duration in an `i64` column.
pub const UNKNOWN: i64 = i64::MIN;

macro_rules! event_columns {
    ($($(#[$meta:meta])* $name:ident: $ty:ty = $default:expr,)*) => {
        /// One event as a builder takes it: plain values, texts by name. What it does not set is absent.
        #[derive(Clone, Copy, Debug)]
        pub struct EventRow { $($(#[$meta])* pub $name: $ty,)* }

        impl Default for EventRow {
            fn default() -> Self { Self { $($name: $default,)* } }
        }

        /// The columns of a batch, one value an event; read-only outside this crate.
        #[derive(Clone, Debug, Default)]
        pub struct EventColumns { $($(#[$meta])* pub $name: Vec<$ty>,)* }

        impl EventColumns {
            pub(super) fn push(&mut self, row: EventRow) { $(self.$name.push(row.$name);)* }

            pub(super) fn reserve(&mut self, rows: usize) { $(self.$name.reserve(rows);)* }

            pub(super) fn retain(&mut self, mask: &[bool]) {
                $(retain_masked(&mut self.$name, mask);)*
            }

            pub(super) fn rename(&mut self, mut f: impl FnMut(&mut Text)) {
                $(self.$name.iter_mut().for_each(|value| super::forget::Names::rename(value, &mut f));)*
            }

            /// The row of that event.
            pub fn row(&self, index: usize) -> EventRow { EventRow { $($name: self.$name[index],)* } }
        }
    };
}

event_columns! {
    /// What happened.
    stage: Stage = Stage::Work,
    /// The system's own word; the span's name for Work.
    operation: Text = Text::NONE,
    /// Trace of the reporting span, or zero.
    trace: TraceId = TraceId::ZERO,
    /// The reporting span, or zero.
    span: SpanId = SpanId::ZERO,
    /// Its parent, or zero.
    parent: SpanId = SpanId::ZERO,
    /// The context that made the message, or zeros.
    creation: SpanContext = SpanContext::default(),
    /// Begin, ns since the epoch.
    start_ns: i64 = 0,
    /// Duration in ns, or [`UNKNOWN`].
    duration_ns: i64 = UNKNOWN,
    /// Broker's store time, or [`UNKNOWN`].
    broker_ns: i64 = UNKNOWN,
    /// Sender's time of making it, or [`UNKNOWN`].
    origin_ns: i64 = UNKNOWN,
    /// How it ended.
    outcome: OutcomeCode = OutcomeCode::Unknown,
    /// Reason of a failure.
    reason: Text = Text::NONE,
    /// What the broker was asked to do.
    disposition: Option<Disposition> = None,
    /// `messaging.system`.
    system: Text = Text::NONE,
    /// Cluster.
    cluster: Text = Text::NONE,
    /// `host:port` of the broker.
    server: Text = Text::NONE,
    /// Destination.
    destination: Text = Text::NONE,
    /// Address.
    address: Text = Text::NONE,
    /// Lane.
    lane: Text = Text::NONE,
    /// Position, or [`UNKNOWN`].
    position: i64 = UNKNOWN,
    /// Message id.
    message_id: Text = Text::NONE,
    /// Correlation id.
    correlation_id: Text = Text::NONE,
    /// Group.
    group: Text = Text::NONE,
    /// Delivery attempt from 1; 0 is unknown.
    attempt: u32 = 0,
    /// Client id.
    client: Text = Text::NONE,
    /// Service.
    service: Text = Text::NONE,
    /// Service instance.
    instance: Text = Text::NONE,
    /// Body size, or [`UNKNOWN`].
    body_bytes: i64 = UNKNOWN,
    /// How sure one can be.
    grade: Grade = Grade::Observed,
    /// Which of the batch's shared attribute sets (the resource's) belongs to it; 0 is the empty set.
    resource: u32 = 0,
}

/// [`Outcome`] without its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum OutcomeCode {
    Unknown = 0,
    Ok = 1,
    Failed = 2,
}

impl OutcomeCode {
    /// `ok`, `failed` or `unknown`: as [`Outcome::name`](crate::Outcome::name).
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

/// [`Value`] by the names of one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Cell {
    Text(Text),
    Int(i64),
    Double(f64),
    Bool(bool),
    Bytes(Text),
    Json(Text),
}

/// An attribute by the names of one batch.
pub type Attribute = (Text, Cell);

/// [`Progress`] by the names of one batch.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct ProgressRow {
    pub system: Text,
    pub cluster: Text,
    pub server: Text,
    pub destination: Text,
    pub lane: Text,
    pub group: Text,
    pub kind: ProgressKind,
    pub at_ns: i64,
    pub service: Text,
    pub grade: Grade,
}
