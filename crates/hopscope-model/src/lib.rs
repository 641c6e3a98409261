//! What a message event is, how events become a trajectory, how a query is written, how headers carry
//! context.
//!
//! Pure: values in, values out. It is not: I/O, a clock, randomness, async, serde. Whoever needs one of those
//! has it at the edge and passes the value in.
//!
//! - [`MessageEvent`], [`Progress`], [`Tally`]: the facts. [`Batch`]: how they travel.
//! - [`Key`], [`Evidence`]: how a store is asked about one message.
//! - [`Trajectory`]: the story that is told from it.

mod assemble;
mod batch;
pub mod context;
mod event;
mod evidence;
mod id;
mod progress;
pub mod query;
mod reference;
mod tally;
mod texts;
mod trajectory;

pub use assemble::{
    EVIDENCE_GRACE_NS, EVIDENCE_LATE_NS, GROUP_FORGOTTEN_NS, GROUP_LIVENESS_NS, RELATED_MAX, WANTED_KEYS_MAX,
    assemble, messages, wants,
};
pub use batch::{
    Attribute, Batch, BatchBuilder, Cell, EventColumns, EventRef, EventRow, Lists, OutcomeCode, ProgressRow,
    TallyRow, Tenant, TextColumn, UNKNOWN,
};
pub use event::{Disposition, Grade, Identity, MessageEvent, Outcome, Source, Stage, Value, system};
pub use evidence::{Coverage, Evidence, Key, Limits, Position};
pub use id::{EventId, SpanContext, SpanId, TraceId};
pub use progress::{Progress, ProgressKind};
pub use query::Query;
pub use reference::RefError;
pub use tally::{Measure, Quantile, SeriesId, Spread, Tally, Temporality};
pub use texts::{Text, Texts};
pub use trajectory::{
    Attempt, Copy, CopyKind, Gap, GapKind, GroupStory, Join, JoinedEvent, Latency, MessageRef, Point,
    Related, Send, State, Subject, Trajectory, Why,
};
