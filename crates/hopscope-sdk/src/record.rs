//! [`Record`]: one step, as it is written down at its end.

use crate::facts::Facts;
use crate::spare::Spare;
use crate::value::{Sink, Value};
use crate::{CopyKind, Disposition, Failure};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceId};
use opentelemetry::{KeyValue, trace::Event};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Create,
    Send,
    /// A send of messages that have a context of their own each.
    SendBatch,
    Receive,
    Process,
    Settle,
}

impl Stage {
    /// `messaging.operation.type`.
    pub fn operation_type(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Send | Self::SendBatch => "send",
            Self::Receive => "receive",
            Self::Process => "process",
            Self::Settle => "settle",
        }
    }

    pub fn kind(self) -> SpanKind {
        match self {
            Self::Create | Self::Send => SpanKind::Producer,
            Self::SendBatch | Self::Receive | Self::Settle => SpanKind::Client,
            Self::Process => SpanKind::Consumer,
        }
    }
}

/// How a step ended.
#[derive(Clone, Debug, Default)]
pub(crate) enum Ended {
    #[default]
    Ok,
    Failed(Failure),
    /// Nobody said; why, in few words.
    Unknown(Cow<'static, str>),
}

impl Ended {
    fn write(&self, out: &mut dyn Sink) {
        match self {
            Self::Ok => {}
            Self::Failed(failure) => out.text("error.type", failure.kind()),
            Self::Unknown(reason) => {
                out.text("hopscope.outcome", "unknown");
                out.text("hopscope.outcome.reason", reason);
            }
        }
    }
}

/// When a step started, by a clock that does not jump while the step goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started {
    pub unix_ns: u64,
    steady: Instant,
}

/// The wall clock is looked at again after this long; in between the steady clock counts on from it. One clock is read
/// for each point in time instead of two, and what one thread does within a second is in order.
const ANCHOR_AGE_MAX: Duration = Duration::from_secs(1);

impl Started {
    pub fn now() -> Self {
        thread_local! {
            static ANCHOR: Cell<Option<Started>> = const { Cell::new(None) };
        }
        let steady = Instant::now();
        let anchor = ANCHOR.get().filter(|anchor| steady - anchor.steady < ANCHOR_AGE_MAX);
        let anchor = anchor.unwrap_or_else(|| {
            let since = opentelemetry::time::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let anchor = Self { unix_ns: since.as_nanos() as u64, steady };
            ANCHOR.set(Some(anchor));
            anchor
        });
        Self { unix_ns: anchor.unix_ns + (steady - anchor.steady).as_nanos() as u64, steady }
    }

    pub fn elapsed(self) -> Duration {
        self.steady.elapsed()
    }

    pub fn wall(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.unix_ns)
    }
}

/// A message that a step is about, beside the step's own facts.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub context: SpanContext,
    /// What differs from message to message: written on the link.
    pub facts: Option<Arc<Facts>>,
    pub ended: Ended,
}

impl Member {
    pub fn plain(context: SpanContext) -> Self {
        Self { context, facts: None, ended: Ended::Ok }
    }

    /// What differs from the span's own attributes.
    pub fn write(&self, of_span: &[(&'static str, KeyValue)], out: &mut dyn Sink) {
        if let Some(facts) = &self.facts {
            facts.write(false, &mut |key: &'static str, value: Value<'_>| {
                let is_known = of_span.iter().any(|(known, set)| *known == key && value.equals(&set.value));
                if !is_known {
                    out.put(key, value);
                }
            });
        }
        self.ended.write(out);
    }
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub stage: Stage,
    /// The client's own word.
    pub operation: &'static str,
    pub facts: Arc<Facts>,
    pub context: SpanContext,
    pub parent: SpanId,
    pub is_parent_remote: bool,
    pub members: SmallVec<[Member; 1]>,
    pub started: Started,
    pub duration: Duration,
    pub ended: Ended,
    pub disposition: Option<Disposition>,
    /// Whether the broker confirms it at all.
    pub is_confirmed: bool,
    pub progress_next: Option<i64>,
    /// Messages of a batch; none where it is no batch.
    pub batch_messages: Option<usize>,
    /// Attributes that the application or the adapter added.
    pub attributes: Vec<KeyValue>,
    pub events: Vec<Event>,
}

thread_local! {
    static SPARE_OF_THREAD: RefCell<Vec<Box<Record>>> = const { RefCell::new(Vec::new()) };
}
static SPARE: Spare<Box<Record>> = Spare::new(&SPARE_OF_THREAD);

impl Record {
    /// A step that starts now.
    pub fn start(stage: Stage, operation: &'static str, facts: Arc<Facts>) -> Box<Self> {
        let started = Started::now();
        if let Some(mut record) = SPARE.take() {
            (record.stage, record.operation, record.started) = (stage, operation, started);
            std::mem::replace(&mut record.facts, facts).spare();
            return record;
        }
        Box::new(Self {
            stage,
            operation,
            facts,
            context: SpanContext::NONE,
            parent: SpanId::INVALID,
            is_parent_remote: false,
            members: SmallVec::new(),
            started,
            duration: Duration::ZERO,
            ended: Ended::Ok,
            disposition: None,
            is_confirmed: true,
            progress_next: None,
            batch_messages: None,
            attributes: Vec::new(),
            events: Vec::new(),
        })
    }

    /// Gives its memory to the next record.
    pub fn spare(mut self: Box<Self>) {
        self.clear();
        SPARE.put(self);
    }

    /// As a new one, but for what [`start`](Self::start) sets.
    fn clear(&mut self) {
        self.context = SpanContext::NONE;
        (self.parent, self.is_parent_remote) = (SpanId::INVALID, false);
        self.members.clear();
        (self.duration, self.ended) = (Duration::ZERO, Ended::Ok);
        (self.disposition, self.is_confirmed) = (None, true);
        (self.progress_next, self.batch_messages) = (None, None);
        // What a batch or a talkative handler needed is not kept for every step after it.
        if self.members.spilled() {
            self.members = SmallVec::new();
        }
        (self.attributes, self.events) = (Vec::new(), Vec::new());
    }

    pub fn trace(&self) -> TraceId {
        self.context.trace_id()
    }

    pub fn start_ns(&self) -> u64 {
        self.started.unix_ns
    }

    pub fn end_ns(&self) -> u64 {
        self.started.unix_ns.saturating_add(self.duration.as_nanos() as u64)
    }

    pub fn duration(&self) -> Duration {
        // Waiting for messages is no slowness.
        if self.stage == Stage::Receive { Duration::ZERO } else { self.duration }
    }

    pub fn attempt(&self) -> Option<u32> {
        self.facts.attempt()
    }

    pub fn has_failed(&self) -> bool {
        matches!(self.ended, Ended::Failed(_))
            || self.members.iter().any(|member| matches!(member.ended, Ended::Failed(_)))
    }

    pub fn is_dead_letter(&self) -> bool {
        self.facts.copy() == Some(CopyKind::DeadLetter) || self.disposition == Some(Disposition::Reject)
    }

    /// Traces of the messages that this step is about, where they are not its own.
    pub fn linked_traces(&self) -> impl Iterator<Item = TraceId> + '_ {
        let own = self.trace();
        let is_bad = |member: &&Member| self.members.len() == 1 || !matches!(member.ended, Ended::Ok);
        let traces = self.members.iter().filter(is_bad).map(|member| member.context.trace_id());
        traces.filter(move |trace| *trace != own)
    }

    /// Takes away what does not fit into one span of a batch: the messages beyond the limit of links, as many spans
    /// as it takes, and those without a context, one by one. They have the same times; their ids are still to be made.
    pub fn split(&mut self, links_max: usize) -> Vec<Self> {
        if self.batch_messages.is_none() {
            return Vec::new();
        }
        let members = std::mem::take(&mut self.members);
        let (mut linked, mut single): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| member.context.is_valid());
        if linked.is_empty() && !single.is_empty() {
            // Nothing to link to at all: this span is the first message's.
            let first = single.remove(0);
            (self.ended, self.batch_messages) = (first.ended, None);
            self.facts = first.facts.unwrap_or_else(|| Arc::clone(&self.facts));
        }
        let mut parts = Vec::new();
        let mut number = 1;
        while linked.len() > links_max.max(1) {
            let members: SmallVec<[Member; 1]> = linked.drain(linked.len() - links_max.max(1)..).collect();
            number += 1;
            let mut part = Self { members, ..self.clone() };
            part.number(number);
            parts.push(part);
        }
        self.members = linked.into();
        if number > 1 {
            self.number(1);
        } else if self.batch_messages.is_some() {
            self.batch_messages = Some(self.members.len());
        }
        parts.extend(single.into_iter().filter_map(|member| {
            let (facts, ended) = (member.facts?, member.ended);
            Some(Self { facts, ended, batch_messages: None, attributes: Vec::new(), ..self.clone_bare() })
        }));
        parts
    }

    fn number(&mut self, part: i64) {
        self.batch_messages = Some(self.members.len());
        self.attributes.push(KeyValue::new("hopscope.batch.part", part));
    }

    /// A clone without members.
    fn clone_bare(&self) -> Self {
        Self { members: SmallVec::new(), events: Vec::new(), ..self.clone() }
    }

    /// All attributes but those of [`Record::attributes`], in the conventions' newest names.
    pub fn write(&self, out: &mut dyn Sink) {
        out.put("messaging.operation.name", Value::Text(self.operation));
        out.put("messaging.operation.type", Value::Text(self.stage.operation_type()));
        self.facts.write(self.stage == Stage::Settle, out);
        self.write_end(out);
    }

    /// What is known at the end only.
    pub fn write_end(&self, out: &mut dyn Sink) {
        if let Some(messages) = self.batch_messages {
            out.put("messaging.batch.message_count", Value::Int(messages as i64));
        }
        let problems = &self.facts.origin.problems;
        if !problems.is_empty() && self.stage != Stage::Settle {
            let problems: SmallVec<[&str; 4]> = problems.iter().map(String::as_str).collect();
            out.put("hopscope.context.problems", Value::Texts(&problems));
        }
        if self.stage != Stage::Settle {
            out.text(
                "hopscope.context.raw_trace",
                self.facts.origin.raw_trace.as_deref().unwrap_or_default(),
            );
            out.text("hopscope.context.raw_span", self.facts.origin.raw_span.as_deref().unwrap_or_default());
        }
        if let Some(disposition) = self.disposition {
            out.text("hopscope.disposition", disposition.name());
        }
        if !self.is_confirmed {
            out.put("hopscope.confirmed", Value::Bool(false));
        }
        out.int("hopscope.progress.next", self.progress_next);
        self.ended.write(out);
    }

    /// What span and metrics are named after.
    pub fn name(&self) -> Cow<'_, str> {
        let template = self.facts.template();
        if template.is_empty() { self.facts.place().name() } else { template.into() }
    }
}
