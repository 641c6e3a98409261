//! The JSON of the API v1. The server writes it, the command line, the web interface and tests read it.
//!
//! Rules: 64-bit integers are strings ([`Int64`]), because browsers round them. Absent is `null` or an empty
//! list, never a made-up value. Stable names (`stage`, `state`, `grade`, ...) are those of `hopscope-model`.
//! Fields are only ever added within v1.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

pub use crate::doctor::{CODES, Check, DoctorAnswer, Fact, Finding};
pub use crate::rates::{Bound, Durations, Flow, Rate, RatesAnswer};
pub use crate::storage::{DroppedDay, StoreAnswer, StoredDay, StoredDestination, StoredGap, StoredTenant};

/// A 64-bit integer, as a decimal string in JSON. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, ToSchema)]
#[schema(value_type = String, example = "1795243117219359043")]
pub struct Int64(pub i64);

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Int64).map_err(|_| de::Error::custom(format!("not a 64-bit integer: {text}")))
    }
}

impl From<i64> for Int64 {
    fn from(value: i64) -> Self {
        Self(value)
    }
}

/// What was searched for an answer, and whether that was all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Coverage {
    /// Segments and memory tables looked at.
    pub segments: u64,
    /// Earliest receive time stored.
    pub from_ns: Option<Int64>,
    /// Latest receive time stored.
    pub to_ns: Option<Int64>,
    /// True when nothing that could have matched was left out.
    pub complete: bool,
    /// Why not, a sentence each.
    pub why_not: Vec<String>,
}

/// An error: what, and what to do next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// Stable code: `invalid`, `not_found`, `busy`, `unavailable`, `internal`.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
    /// True when the same request may succeed later.
    pub retryable: bool,
}

/// Every error answer: `{"error": {...}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorAnswer {
    /// The error.
    pub error: ErrorBody,
}

/// `GET /api/v1/find?q=&limit=&after=`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FindAnswer {
    /// The query as it was understood, in the query's own text form.
    pub query: String,
    /// What each piece of free text was recognised as.
    pub recognised: Vec<Recognised>,
    /// Messages, newest first.
    pub messages: Vec<MessageSummary>,
    /// What was searched.
    pub coverage: Coverage,
    /// Pass as `after` for the next page; `null` on the last.
    pub next: Option<String>,
}

/// One piece of free text and what it was taken for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Recognised {
    /// The text.
    pub text: String,
    /// `trace_id`, `span_id`, `context`, `position`, `word`.
    pub kind: String,
}

/// One message in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessageSummary {
    /// How to ask for it: `/api/v1/messages/{reference}` (percent-encoded), page `/m/{reference}`.
    pub reference: String,
    /// `kafka`, `rabbitmq`, `nats`, `rocketmq` or another.
    pub system: String,
    /// Cluster, or empty.
    pub cluster: String,
    /// Destination.
    pub destination: String,
    /// Subject, routing key, logical topic; or empty.
    pub address: String,
    /// Lane, or empty.
    pub lane: String,
    /// Position, where the broker has positions.
    pub position: Option<Int64>,
    /// First message id seen, or empty.
    pub message_id: String,
    /// Business keys.
    pub keys: Vec<String>,
    /// Trace of its creation, 32 hex digits, or empty.
    pub trace_id: String,
    /// Service that sent it, or empty.
    pub sender: String,
    /// When it was sent.
    pub sent_ns: Int64,
    /// State per group.
    pub groups: Vec<GroupSummary>,
}

/// State of a message for one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupSummary {
    /// Group, or empty for a receiver that names none.
    pub group: String,
    /// `produced_unconfirmed`, `stored`, `scheduled`, `not_consumed_yet`, `fetched`, `processing`, `succeeded`,
    /// `failed_will_retry`, `retrying`, `dead_lettered`, `filtered`, `skipped`, `expired`, `unroutable`,
    /// `group_offline`, `not_instrumented`, `unknown`.
    pub state: String,
    /// `observed`, `broker`, `inferred`.
    pub grade: String,
    /// Number of attempts seen.
    pub attempts: u32,
}

/// `GET /api/v1/messages/{reference}?depth=`: one message and its causal tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessageAnswer {
    /// The message.
    pub message: MessageSummary,
    /// Its story.
    pub trajectory: Trajectory,
    /// Earlier and later messages, this one included, each once, in order of time.
    pub tree: Vec<TreeNode>,
    /// What was searched.
    pub coverage: Coverage,
}

/// The story of one message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trajectory {
    /// Message ids that were seen.
    pub message_ids: Vec<String>,
    /// Correlation ids.
    pub correlation_ids: Vec<String>,
    /// Traces its events are in.
    pub trace_ids: Vec<String>,
    /// Context that made it: `trace-span`, or empty.
    pub creation: String,
    /// Body size.
    pub body_bytes: Option<Int64>,
    /// Its sends.
    pub sends: Vec<Send>,
    /// One story per group.
    pub groups: Vec<GroupStory>,
    /// Its events in order of time.
    pub events: Vec<Event>,
    /// The message this is a copy of, and its copies.
    pub copies: Vec<Copy>,
    /// What is missing or odd.
    pub gaps: Vec<Gap>,
    /// The instant this was told at.
    pub as_of_ns: Int64,
}

/// One send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Send {
    /// Index into `events`.
    pub event: u32,
    /// Send start to the broker's acknowledgement.
    pub produce: Option<Latency>,
    /// `ok`, `failed`, `unknown`.
    pub outcome: String,
    /// Reason of a failure, or empty.
    pub reason: String,
    /// The batch that it was sent in, where it was one.
    pub batch: Option<BatchPlace>,
}

/// What one group did with the message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupStory {
    /// Group, or empty.
    pub group: String,
    /// State, as in [`GroupSummary`].
    pub state: String,
    /// Grade of the state.
    pub grade: String,
    /// The facts the state rests on.
    pub why: Why,
    /// Attempts in order.
    pub attempts: Vec<Attempt>,
    /// First send to this group's last event.
    pub total: Option<Latency>,
}

/// The facts a state rests on: a code with its values, and the same in one English sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// `reported`, `behind`, `passed`, `dead_letter`, `silent`, `send`, `nothing`.
    pub code: String,
    /// One English sentence.
    pub text: String,
    /// Group, for `behind`, `passed`, `silent`.
    pub group: Option<String>,
    /// Destination, for `behind` and `dead_letter`.
    pub destination: Option<String>,
    /// Lane, for `behind`.
    pub lane: Option<String>,
    /// Next position the group will read.
    pub stands_at: Option<Int64>,
    /// Position of this message.
    pub position: Option<Int64>,
    /// When the group was last seen there.
    pub at_ns: Option<Int64>,
    /// Number of the attempt, for `reported`.
    pub attempt: Option<u32>,
    /// Reason, for `dead_letter`.
    pub reason: Option<String>,
}

/// One delivery to one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Indices into `events`.
    pub events: Vec<u32>,
    /// Reference of the copy that was delivered, where a retry made one.
    pub of_copy: Option<String>,
    /// `ok`, `failed`, `unknown`.
    pub outcome: String,
    /// Reason of a failure, or empty.
    pub reason: String,
    /// `accept`, `retry`, `reject`, or `null`.
    pub disposition: Option<String>,
    /// Service that had it.
    pub service: String,
    /// Instance, or empty.
    pub instance: String,
    /// When it began.
    pub start_ns: Int64,
    /// When it ended.
    pub end_ns: Option<Int64>,
    /// In the broker: stored to received.
    pub queue: Option<Latency>,
    /// In the client: received to handler.
    pub wait: Option<Latency>,
    /// In the handler.
    pub process: Option<Latency>,
    /// Declared to confirmed.
    pub settle: Option<Latency>,
    /// Attempts in place that failed within this delivery, in order; the last one is this attempt's own outcome.
    pub retries: Vec<Retry>,
    /// The batch that it was handled in, where it was one.
    pub batch: Option<BatchPlace>,
}

/// An attempt in the handler's own time that failed, and that another followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Retry {
    /// From 1.
    pub attempt: u32,
    /// How long after it the next one began.
    pub delay_ms: Int64,
    /// Type of its error, or empty.
    pub error_type: String,
}

/// A batch: messages that were sent, or handled, in one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchPlace {
    /// Span of the call, `trace-span`: what the messages of the batch have in common.
    pub span: String,
    /// How many messages it had; of a large one that was told in parts, how many this part had.
    pub messages: u32,
    /// Which of them this was, from 1; `null` where nobody says.
    pub place: Option<u32>,
    /// Number of the part, from 1, of a large batch.
    pub part: Option<u32>,
}

/// A duration between two named points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// May be negative across two clocks: show "≤ skew" then.
    pub ns: Int64,
    /// `send_start`, `send_end`, `stored`, `received`, `process_start`, `process_end`, `settled`.
    pub from: String,
    /// As `from`.
    pub to: String,
    /// True where the two were read from two clocks.
    pub across_clocks: bool,
    /// How far off it may be, where known.
    pub uncertainty_ns: Option<Int64>,
}

/// One event with all its attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Identity, 32 hex digits.
    pub id: String,
    /// `create`, `send`, `broker`, `receive`, `process`, `settle`, `work`.
    pub stage: String,
    /// The system's own word; the span's name for `work`.
    pub operation: String,
    /// The rule that put it here: `subject`, `creation`, `coordinates`, `message_id`, `parent`; empty in traces.
    pub joined_by: String,
    /// 32 hex digits, or empty.
    pub trace_id: String,
    /// 16 hex digits, or empty.
    pub span_id: String,
    /// 16 hex digits, or empty.
    pub parent_span_id: String,
    /// Context that made the message, `trace-span`, or empty.
    pub creation: String,
    /// Other links, `trace-span` each.
    pub links: Vec<String>,
    /// Begin.
    pub start_ns: Int64,
    /// Duration, where known.
    pub duration_ns: Option<Int64>,
    /// When the server received it.
    pub received_ns: Int64,
    /// When the broker stored the message.
    pub broker_ns: Option<Int64>,
    /// When the sender made it.
    pub origin_ns: Option<Int64>,
    /// `ok`, `failed`, `unknown`.
    pub outcome: String,
    /// Reason of a failure, or empty.
    pub reason: String,
    /// `accept`, `retry`, `reject`, or `null`.
    pub disposition: Option<String>,
    /// System, or empty for `work`.
    pub system: String,
    /// Cluster, or empty.
    pub cluster: String,
    /// Broker address, or empty.
    pub server: String,
    /// Destination, or empty.
    pub destination: String,
    /// Address, or empty.
    pub address: String,
    /// Lane, or empty.
    pub lane: String,
    /// Position.
    pub position: Option<Int64>,
    /// Message id, or empty.
    pub message_id: String,
    /// Correlation id, or empty.
    pub correlation_id: String,
    /// Business keys.
    pub keys: Vec<String>,
    /// Group, or empty.
    pub group: String,
    /// Delivery attempt.
    pub attempt: Option<u32>,
    /// Client id, or empty.
    pub client: String,
    /// Service, or empty.
    pub service: String,
    /// Instance, or empty.
    pub instance: String,
    /// Body size.
    pub body_bytes: Option<Int64>,
    /// Which way it came in: `otlp`.
    pub source: String,
    /// `observed`, `broker`, `inferred`.
    pub grade: String,
    /// Everything else, in the sender's order.
    pub attributes: Vec<Attribute>,
}

/// An attribute, its value as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attribute {
    /// Name.
    pub key: String,
    /// Value.
    pub value: String,
    /// `text`, `int`, `double`, `bool`, `bytes`, `json`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An edge between a message and its copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Copy {
    /// `dead_letter`, `retry`, `redrive`.
    pub kind: String,
    /// True when the other one is the original.
    pub other_is_original: bool,
    /// Reference of the other, where it can be named.
    pub other: Option<String>,
    /// Its destination.
    pub destination: String,
    /// Group that made the copy, or empty.
    pub group: String,
    /// Attempts before the copy.
    pub attempts: Option<u32>,
    /// Reason, or empty.
    pub reason: String,
    /// Type of the error that it was made for, or empty.
    pub error_type: String,
}

/// Something missing or odd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Gap {
    /// `sender_not_instrumented`, `receiver_not_seen`, `clock_skew`, `late_evidence`, `position_reused`,
    /// `context_lost`, `limit_hit`, `never_ended`, `not_searched`.
    pub kind: String,
    /// One English sentence.
    pub detail: String,
}

/// One message of a causal tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TreeNode {
    /// The message.
    pub message: MessageSummary,
    /// Reference of the message that caused it, where that is in the tree.
    pub caused_by: Option<String>,
    /// Steps from the asked message: negative for causes, 0 for itself, positive for effects.
    pub distance: i32,
    /// Service that handled the cause and sent this one, or empty.
    pub through_service: String,
    /// From the beginning of that handling to this send.
    pub after_ns: Option<Int64>,
    /// True when it has causes or effects that are not in the tree (depth or limit).
    pub more: bool,
}

/// `GET /api/v1/traces/{trace_id}?limit=&after=`: the events of a trace, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceAnswer {
    /// 32 hex digits.
    pub trace_id: String,
    /// A page of events.
    pub events: Vec<Event>,
    /// What was searched.
    pub coverage: Coverage,
    /// Pass as `after` for the next page.
    pub next: Option<String>,
}

/// `GET /api/v1/destinations?since=`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DestinationsAnswer {
    /// Busiest first.
    pub destinations: Vec<Destination>,
    /// What was searched.
    pub coverage: Coverage,
}

/// A destination and what was counted on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Destination {
    /// System.
    pub system: String,
    /// Cluster, or empty.
    pub cluster: String,
    /// Destination.
    pub destination: String,
    /// Groups seen on it.
    pub groups: Vec<String>,
    /// Send events.
    pub sent: Int64,
    /// Process events.
    pub processed: Int64,
    /// Events that failed.
    pub failed: Int64,
    /// Latest event.
    pub last_ns: Int64,
}

/// `GET /api/v1/services?since=`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServicesAnswer {
    /// Busiest first.
    pub services: Vec<Service>,
    /// What was searched.
    pub coverage: Coverage,
}

/// A service and what was counted of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// `service.name`.
    pub service: String,
    /// All events.
    pub events: Int64,
    /// Send events.
    pub sent: Int64,
    /// Process events.
    pub processed: Int64,
    /// Events that failed.
    pub failed: Int64,
    /// Latest event.
    pub last_ns: Int64,
}

/// `GET /api/v1/status`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusAnswer {
    /// Version of the server.
    pub version: String,
    /// When it started.
    pub started_ns: Int64,
    /// Now, by the server's clock.
    pub now_ns: Int64,
    /// Where OTLP is taken: `grpc` and `http` addresses, as they are listening.
    pub otlp_grpc: String,
    /// As `otlp_grpc`.
    pub otlp_http: String,
    /// Folder of the store, or `memory`.
    pub data: String,
    /// Per receiver: received = stored + refused + dropped + queued.
    pub receivers: Vec<Receiver>,
    /// Events stored since start, and duplicates left out.
    pub stored_events: Int64,
    /// As `stored_events`.
    pub duplicate_events: Int64,
    /// What is stored.
    pub coverage: Coverage,
}

/// The conservation of one receiver, in events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Receiver {
    /// `otlp_grpc`, `otlp_http`, or of a source on a broker its name.
    pub name: String,
    /// Taken off the wire.
    pub received: Int64,
    /// Durable.
    pub stored: Int64,
    /// Answered with a refusal: the sender still has them.
    pub refused: Int64,
    /// Left out, by reason.
    pub dropped: Vec<Dropped>,
    /// Under way.
    pub queued: Int64,
    /// Requests that could not be decoded, and why the last one could not.
    pub invalid_requests: Int64,
    /// As `invalid_requests`.
    pub last_error: Option<String>,
    /// The connection to a broker, of receivers that read from one.
    pub connection: Option<Connection>,
}

/// How a receiver stands with its broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    /// Whether it reads now.
    pub up: bool,
    /// Since when that is so.
    pub since_ns: Int64,
    /// Why it does not.
    pub why: Option<String>,
    /// How often it stopped reading.
    pub lost: Int64,
    /// Records that wait at the broker, where it tells.
    pub lag: Option<Int64>,
}

/// Events left out for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Dropped {
    /// Reason: `duplicate`, `invalid_ids`, ...
    pub reason: String,
    /// Events.
    pub events: Int64,
}

/// `GET /api/v1/live`: a server-sent event stream; each `data:` is one of these, at most four a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Live {
    /// Events stored since the last one.
    pub events: Int64,
    /// Traces they are of, at most 100; a longer list is cut and `cut` is true.
    pub trace_ids: Vec<String>,
    /// Destinations they are on, at most 100.
    pub destinations: Vec<String>,
    /// True when a list was cut: reload without looking.
    pub cut: bool,
}
