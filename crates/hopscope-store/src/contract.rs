//! [`Store`]: what every store promises, and the values it takes and gives.

use crate::Measured;
use async_trait::async_trait;
use hopscope_model::{
    Batch, Coverage, Evidence, Key, Limits, Measure, MessageEvent, Query, Spread, Stage, Tenant,
};
use std::fmt;
use std::num::NonZero;

/// Keeps what happened to messages.
///
/// - **Durability**: when [`append`](Self::append) answers `Ok`, the batch is on stable storage: after kill -9 or
///   power loss it is there. (A store that keeps nothing on disk says so in its own documentation.)
/// - **Idempotency**: an event whose identity ([`MessageEvent::id`]) is stored already is not stored again and
///   never shows twice in an answer, however old the first one is. The first durable one wins; the same
///   identity with other content is counted in [`Appended::conflicts`] where the store can see it cheaply.
///   Counts ([`aggregate`](Self::aggregate), [`CheckReport::events`]) may include a repeat that was told with
///   a start more than an hour away from the first one's, until the store comes to drop it.
///   A tally is one sample of a run: stored twice it counts once, and in whatever order samples arrive, the
///   counts are the same.
/// - **Visibility**: events, progress and tallies are found by every read that begins after `append` answered, and
///   by no read before they are durable.
/// - **Order**: an append is atomic with respect to a crash: all of the batch or nothing of it.
/// - **Honesty**: every read says what it searched. What could not be read (a quarantined segment, a limit) is
///   in [`Coverage::why_not`]; it is never a silent empty.
/// - **Tenants** never see each other's data.
/// - **Cancellation**: dropping the future of a read stops it; dropping that of an append leaves it either
///   done or undone.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Stores a batch, for [`Batch::tenant`]. Empty batches are `Ok` and store nothing.
    async fn append(&self, batch: Batch) -> Result<Appended, Error>;

    /// The events that match, newest first by `(start_ns, id)`, each identity once. `query`'s state terms
    /// are not looked at ([`Query::states`]).
    async fn search(&self, tenant: &Tenant, query: &Query, page: &Page) -> Result<Found, Error>;

    /// The events and progress under any of the keys, without a time range. `after` is the
    /// [`Evidence::next`] of the page before. The cost depends on what is found, not on what is stored.
    async fn events(
        &self,
        tenant: &Tenant,
        keys: &[Key],
        limits: &Limits,
        after: Option<&str>,
    ) -> Result<Evidence, Error>;

    /// Counts by the asked dimensions, and by time where [`Aggregation::step_ns`] is given: of the events that are
    /// stored, or, where services report metrics, of what they counted themselves. A run of samples (a series
    /// since one start) counts the differences of its samples, spread evenly over the time between them; where
    /// one process reports several times a minute, the minute counts as even. `Invalid` where the range has more
    /// than [`STEPS_MAX`] steps.
    async fn aggregate(&self, tenant: &Tenant, aggregation: &Aggregation) -> Result<Aggregated, Error>;

    /// Drops what the policy no longer keeps, in whole units: what is newer is never touched.
    async fn retain(&self, tenant: &Tenant, retention: &Retention) -> Result<Retained, Error>;

    /// Looks for damage. Reads only; what it finds is what later reads will report as not searched.
    async fn check(&self, depth: Depth) -> Result<CheckReport, Error>;
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Events that were new.
    pub stored: u64,
    /// Events whose identity was already there.
    pub duplicates: u64,
    /// Of the duplicates, those with other content.
    pub conflicts: u64,
    /// Tallies that were new, as far as the store sees it cheaply.
    pub tallies: u64,
}

/// Which part of a search's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most events in the answer.
    pub events_max: usize,
    /// [`Found::next`] of the page before.
    pub after: Option<String>,
    /// Now, ns since the epoch: what `since:1h` counts from.
    pub now_ns: i64,
}

/// A page of search results.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Newest first.
    pub events: Vec<MessageEvent>,
    /// What was searched.
    pub coverage: Coverage,
    /// Where the next page begins; `None` when this was the last, which alone may be empty.
    pub next: Option<String>,
}

/// Most steps that one aggregation divides its range into.
pub const STEPS_MAX: i64 = 1_500;

/// What to count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aggregation {
    /// What the counts are of.
    pub of: Counted,
    /// Group by these, in this order.
    pub by: Vec<Dimension>,
    /// Only what matches; [`Query::default`] for all.
    pub query: Query,
    /// Also by time, in steps of that many ns, counted from the epoch.
    pub step_ns: Option<NonZero<i64>>,
    /// Now, ns since the epoch.
    pub now_ns: i64,
    /// Most rows in the answer; more is said in the coverage.
    pub rows_max: usize,
    /// Also [`Row::measured`]. Of events only.
    pub measured: bool,
}

/// What counts are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Counted {
    /// Events that are stored: fewer than happened where spans are sampled.
    #[default]
    Events,
    /// Tallies: exactly what happened in the services that report metrics.
    Tallies,
}

/// A column to group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Dimension {
    System,
    Cluster,
    Destination,
    Lane,
    Group,
    Service,
    Instance,
    Stage,
    Outcome,
    /// What of a metric; empty for events.
    Detail,
}

/// Counts by dimension.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aggregated {
    /// One row per combination that occurs, most counted first. What two metrics counted is never summed up.
    pub rows: Vec<Row>,
    /// What was searched.
    pub coverage: Coverage,
}

/// One combination and its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The metric, for tallies.
    pub metric: Option<Metric>,
    /// Values in the order of [`Aggregation::by`]; stage and outcome by their stable names.
    pub values: Vec<String>,
    /// Where the step begins; 0 without steps.
    pub step_ns: i64,
    /// Events, or what the metric counted (a level: its last value).
    pub events: u64,
    /// Of them, failed.
    pub failed: u64,
    /// Earliest start; for tallies the begin of the time that is counted.
    pub first_ns: i64,
    /// Latest start; for tallies the end of the time that is counted.
    pub last_ns: i64,
    /// How the values spread, where the metric is a histogram.
    pub spread: Option<Spread>,
    /// What the events tell beside their number, where [`Aggregation::measured`] asks for it.
    pub measured: Option<Box<Measured>>,
}

/// A metric that services report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metric {
    /// What it counts.
    pub measure: Measure,
    /// Its name.
    pub name: String,
}

/// What to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Everything received at or after this instant is kept, ns since the epoch.
    pub keep_since_ns: i64,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Events dropped.
    pub dropped_events: u64,
    /// Bytes given back.
    pub freed_bytes: u64,
}

/// How thoroughly to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Manifest, files, lengths, footers.
    Quick,
    /// Every checksum of every block and every log record.
    Full,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Files looked at.
    pub files: u64,
    /// Bytes looked at.
    pub bytes: u64,
    /// Events in what is sound.
    pub events: u64,
    /// Damage, oldest first; empty when sound.
    pub findings: Vec<Finding>,
}

/// One piece of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// File, relative to the store's folder.
    pub file: String,
    /// One sentence.
    pub what: String,
    /// Received time that may be missing, where it is known.
    pub received_ns: Option<(i64, i64)>,
    /// Events that may be missing, where it is known.
    pub events: Option<u64>,
}

/// Why a store could not.
#[derive(Debug)]
pub struct Error {
    /// What the caller should do.
    pub kind: ErrorKind,
    /// One sentence, lower case, values last.
    pub message: String,
    /// What lies under it.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the caller of a store should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same input will always fail: do not retry.
    Invalid,
    /// Retry later: busy, disk full, closing.
    Unavailable,
    /// Stored bytes are damaged.
    Corrupt,
    /// A defect or an I/O error.
    Internal,
}

impl Error {
    /// An error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same with its cause.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl Dimension {
    /// The value of this dimension: what rows are named by.
    pub fn of<'a>(self, event: &hopscope_model::EventRef<'a>) -> &'a str {
        match self {
            Self::System => event.system(),
            Self::Cluster => event.cluster(),
            Self::Destination => event.destination(),
            Self::Lane => event.lane(),
            Self::Group => event.group(),
            Self::Service => event.service(),
            Self::Instance => event.instance(),
            Self::Stage => Stage::name(event.stage()),
            Self::Outcome => event.outcome_name(),
            Self::Detail => "",
        }
    }
}

impl Aggregation {
    /// Refuses a division of time that is too fine for its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some(step) = self.step_ns else { return Ok(()) };
        let (since, until) = self.query.range(self.now_ns);
        let steps = until.saturating_sub(since) / step.get();
        if step.get() > 0 && steps <= STEPS_MAX {
            return Ok(());
        }
        let message = format!("too many steps of time step_ns={step} steps_max={STEPS_MAX}");
        Err(Error::new(ErrorKind::Invalid, message))
    }

    /// Where the step begins that an instant is in; 0 without steps.
    pub(crate) fn step_of(&self, at_ns: i64) -> i64 {
        self.step_ns.map_or(0, |step| at_ns.saturating_sub(at_ns.rem_euclid(step.get())))
    }
}

/// Puts the rows of an aggregation in order; those past the limit are left out, and the coverage says so.
pub(crate) fn put_in_order(rows: &mut Vec<Row>, rows_max: usize, coverage: &mut Coverage) {
    rows.sort_by(|one, other| {
        let rank = |row: &Row| (std::cmp::Reverse(row.events), row.step_ns);
        (rank(one), &one.metric, &one.values).cmp(&(rank(other), &other.metric, &other.values))
    });
    if rows.len() > rows_max {
        coverage.complete = false;
        coverage
            .why_not
            .push(format!("more rows than asked for rows={rows} rows_max={rows_max}", rows = rows.len()));
        rows.truncate(rows_max);
    }
}
