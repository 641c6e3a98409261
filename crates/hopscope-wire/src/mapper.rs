//! [`Mapper`]: spans of any wire format into events and progress of one batch.

use crate::fields::{Fields, Slots};
use crate::messaging;
use crate::names::{Name, Names};
use crate::progress::ProgressLog;
use crate::span::{AttributeView, Attributes, Kind, LinkView, Raw, Remote, SpanView, Status, remote_of};
use crate::words::Words;
use crate::{DecodeLimits, Decoded, Rejected};
use foldhash::fast::RandomState;
use hopscope_model::{
    Attribute, BatchBuilder, Cell, EventRow, OutcomeCode, Source, SpanContext, SpanId, Stage, Tenant, Text,
    TraceId, UNKNOWN,
};
use std::collections::HashMap;

/// Turns the spans of one request into a batch: [`resource`](Self::resource), then its spans, and again;
/// [`finish`](Self::finish) at the end.
///
/// One span with n links to the messages it is about becomes n events. What a link says goes before what its
/// span says. Links that became events are not repeated in their siblings' `links`.
pub struct Mapper<'a> {
    words: Words<'a>,
    limits: DecodeLimits,
    spans: u64,
    rejected: Rejected,
    resource: Resource,
    progress: ProgressLog,
    /// Rows whose creation is their parent, unless that turns out to be a neighbour in the same process.
    parent_made: Vec<usize>,
    scratch: Scratch,
}

/// What the spans of one resource and scope share.
#[derive(Default)]
struct Resource {
    service: Text,
    instance: Text,
    attributes: Vec<Attribute>,
    id: u32,
}

/// Lists that are refilled for every span.
struct Scratch {
    /// Meaning and text of the keys of the span's attributes.
    keys: Vec<(Name, Text)>,
    slots: Slots,
    attributes: Vec<Attribute>,
    links: Vec<SpanContext>,
    business_keys: Vec<Text>,
}

/// Instrumentation scope.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// Name of the instrumentation, or empty.
    pub name: &'a [u8],
    /// Its version, or empty.
    pub version: &'a [u8],
}

impl<'a> Mapper<'a> {
    /// An empty batch, received at `received_ns`.
    pub fn new(tenant: &Tenant, source: Source, received_ns: i64, limits: &DecodeLimits) -> Self {
        let builder = BatchBuilder::new(tenant.clone(), source, received_ns);
        Self {
            words: Words::new(builder, limits.attribute_bytes_max),
            limits: *limits,
            spans: 0,
            rejected: Rejected::default(),
            resource: Resource::default(),
            progress: ProgressLog::default(),
            parent_made: Vec::new(),
            scratch: Scratch {
                keys: Vec::new(),
                slots: [0; 128],
                attributes: Vec::new(),
                links: Vec::new(),
                business_keys: Vec::new(),
            },
        }
    }

    /// Makes room for about that many spans.
    pub fn reserve(&mut self, spans: usize) {
        self.words.builder.reserve(spans.min(self.limits.events_max));
    }

    /// Begins the spans of a resource and scope.
    pub fn resource(&mut self, attributes: &Attributes<'a>, scope: Scope<'a>) {
        let mut resource = Resource::default();
        for AttributeView { key, value } in attributes.items() {
            let (name, key) = self.words.key(key);
            match (name, value) {
                (Name::ServiceName, Raw::Text(text)) => resource.service = self.words.name(text),
                (Name::ServiceInstance, Raw::Text(text)) => resource.instance = self.words.name(text),
                _ => resource.attributes.push((key, cell(&mut self.words, value))),
            }
        }
        for (key, text) in [("otel.scope.name", scope.name), ("otel.scope.version", scope.version)] {
            if !text.is_empty() {
                let text = self.words.name(text);
                resource.attributes.push((self.words.made_name(key), Cell::Text(text)));
            }
        }
        let dropped = attributes.dropped();
        count(&mut self.words, &mut resource.attributes, "hopscope.dropped_attributes", dropped);
        counters(&mut self.words, &mut resource.attributes);
        resource.id = self.words.builder.resource(&resource.attributes);
        self.resource = resource;
    }

    /// One span.
    pub fn span(&mut self, span: &SpanView<'a>) {
        self.spans += 1;
        if span.trace.is_zero() {
            self.rejected.trace_id += 1;
        } else if span.span.is_zero() {
            self.rejected.span_id += 1;
        } else if self.spans > self.limits.spans_max as u64
            || self.words.builder.len() + span.links().len().max(1) > self.limits.events_max
        {
            self.rejected.over_limit += 1;
        } else {
            self.accepted(span);
        }
    }

    fn accepted(&mut self, span: &SpanView<'a>) {
        let present = self.index(span);
        let fields =
            Fields { own: span.attributes.items(), link: &[], slots: &self.scratch.slots, present, taken: 0 };
        let stage = messaging::stage(&fields, span);
        let members = members(stage, span);
        let single = !members.iter(span).any(|_| true);
        self.scratch.links.clear();
        let all = span.links().iter();
        let left = all.filter(|link| !members.has(link) && !link.context.is_zero());
        self.scratch.links.extend(left.map(|link| link.context));
        if single {
            let creation = match stage {
                Stage::Create | Stage::Send => SpanContext { trace: span.trace, span: span.span },
                Stage::Receive | Stage::Process | Stage::Settle | Stage::Broker => {
                    self.made_by_parent(stage, span)
                }
                Stage::Work => SpanContext::default(),
            };
            self.event(span, stage, creation, present);
        } else {
            self.events_of_links(span, stage, members, present);
        }
    }

    /// Looks up the keys of the span's attributes; answers which names have a value.
    #[inline]
    fn index(&mut self, span: &SpanView<'a>) -> Names {
        let Scratch { keys, slots, .. } = &mut self.scratch;
        keys.clear();
        let mut present = 0;
        for (index, attribute) in span.attributes.items().iter().enumerate() {
            let (name, key) = self.words.key(attribute.key);
            keys.push((name, key));
            if name != Name::Other {
                slots[name as usize] = index as u16;
                present |= name.bit();
            }
        }
        present
    }

    /// The remote parent of a span without links, where it has one.
    fn made_by_parent(&mut self, stage: Stage, span: &SpanView<'a>) -> SpanContext {
        let parent = SpanContext { trace: span.trace, span: span.parent };
        if span.parent.is_zero() {
            return SpanContext::default();
        }
        match remote_of(span.flags) {
            Remote::Yes => parent,
            Remote::NotSaid if span.kind == Kind::Consumer && stage != Stage::Settle => {
                self.parent_made.push(self.words.builder.len());
                parent
            }
            _ => SpanContext::default(),
        }
    }

    /// The one event of a span.
    fn event(&mut self, span: &SpanView<'a>, stage: Stage, creation: SpanContext, present: Names) {
        let Scratch { keys, slots, attributes, links, business_keys } = &mut self.scratch;
        let mut fields = Fields { own: span.attributes.items(), link: &[], slots, present, taken: 0 };
        let mut row = self.resource.row(span, stage, creation);
        messaging::fill(&mut fields, &mut self.words, &mut row, business_keys);
        (row.outcome, row.reason) = messaging::outcome(&mut fields, &mut self.words, span);
        attributes.clear();
        self.progress.note(&mut fields, &row, &mut self.words.builder);
        let taken = fields.taken;
        span_attributes(&mut self.words, span, keys, &mut row, taken, present, attributes);
        counters(&mut self.words, attributes);
        self.words.builder.push(row, links, business_keys, attributes);
    }

    /// One event for each link. The span's own attributes are shared by them as a resource set is, so that a
    /// small request cannot become a large batch.
    fn events_of_links(&mut self, span: &SpanView<'a>, stage: Stage, members: Members, present: Names) {
        let own = span.attributes.items();
        let mut shared: Option<(Names, u32)> = None;
        let is_batch = matches!(stage, Stage::Send | Stage::Process) && members.iter(span).nth(1).is_some();
        for (place, link) in (1..).zip(members.iter(span)) {
            let Scratch { keys, slots, attributes, links, business_keys } = &mut self.scratch;
            let of_link = span.attributes_of(link);
            let mut link_slots = *slots;
            let mut link_present = present;
            for (index, attribute) in of_link.iter().enumerate() {
                let (name, _) = self.words.key(attribute.key);
                if name != Name::Other {
                    link_slots[name as usize] = (own.len() + index) as u16;
                    link_present |= name.bit();
                }
            }
            let mut fields =
                Fields { own, link: of_link, slots: &link_slots, present: link_present, taken: 0 };
            let mut row = self.resource.row(span, stage, link.context);
            messaging::fill(&mut fields, &mut self.words, &mut row, business_keys);
            (row.outcome, row.reason) = messaging::outcome(&mut fields, &mut self.words, span);
            self.progress.note(&mut fields, &row, &mut self.words.builder);
            let taken = fields.taken;
            attributes.clear();
            match shared {
                Some((known, id)) if known == taken & present => row.resource = id,
                _ => {
                    span_attributes(&mut self.words, span, keys, &mut row, taken, present, attributes);
                    attributes.extend_from_slice(&self.resource.attributes);
                    row.resource = self.words.builder.resource(attributes);
                    shared = Some((taken & present, row.resource));
                    attributes.clear();
                }
            }
            for attribute in of_link {
                let (name, key) = self.words.key(attribute.key);
                if taken & name.bit() == 0 || name == Name::Other {
                    attributes.push((key, cell(&mut self.words, &attribute.value)));
                }
            }
            if is_batch {
                // Links are in the order of the messages.
                attributes.push((self.words.made_name("hopscope.batch.place"), Cell::Int(place)));
            }
            counters(&mut self.words, attributes);
            self.words.builder.push(row, links, business_keys, attributes);
        }
    }

    /// The batch, and what was left out.
    pub fn finish(mut self) -> Decoded {
        self.unmake_local_parents();
        let mut builder = self.words.builder;
        self.progress.finish(&mut builder);
        Decoded { batch: builder.finish(), spans: self.spans, rejected: self.rejected }
    }

    /// A consumer span whose parent is an ordinary span of the same process was not made by it: the parent is
    /// what the process was doing. A parent that sent is what made the message, local or not.
    fn unmake_local_parents(&mut self) {
        if self.parent_made.is_empty() {
            return;
        }
        let columns = self.words.builder.columns();
        let spans: HashMap<(TraceId, SpanId), usize, RandomState> = (0..columns.span.len())
            .map(|index| ((columns.trace[index], columns.span[index]), index))
            .collect();
        let process = |index: usize| (columns.service[index], columns.instance[index]);
        let local = |row: &usize| {
            spans.get(&(columns.trace[*row], columns.parent[*row])).is_some_and(|&parent| {
                process(parent) == process(*row)
                    && !matches!(columns.stage[parent], Stage::Create | Stage::Send)
            })
        };
        let unmade: Vec<usize> = self.parent_made.iter().copied().filter(local).collect();
        for row in unmade {
            self.words.builder.set_creation(row, SpanContext::default());
        }
    }
}

impl Resource {
    /// The row of a span with everything that attributes do not say.
    fn row(&self, span: &SpanView<'_>, stage: Stage, creation: SpanContext) -> EventRow {
        let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        let duration = span.end_ns.checked_sub(span.start_ns).filter(|_| span.end_ns != 0);
        EventRow {
            stage,
            trace: span.trace,
            span: span.span,
            parent: span.parent,
            creation,
            start_ns: signed(span.start_ns),
            duration_ns: duration.map_or(UNKNOWN, signed),
            service: self.service,
            instance: self.instance,
            resource: self.id,
            ..EventRow::default()
        }
    }
}

/// Which links of a span name the messages that it is about.
#[derive(Clone, Copy)]
enum Members {
    None,
    All,
    /// Those that are not known to be of this process.
    NotLocal,
}

impl Members {
    fn has(self, link: &LinkView) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::NotLocal => remote_of(link.flags) != Remote::No,
        }
    }

    fn iter<'v>(self, span: &'v SpanView<'_>) -> impl Iterator<Item = &'v LinkView> {
        span.links().iter().filter(move |link| self.has(link))
    }
}

fn members(stage: Stage, span: &SpanView<'_>) -> Members {
    match stage {
        _ if span.links().is_empty() => Members::None,
        Stage::Work | Stage::Create | Stage::Broker => Members::None,
        // A client span sends what was created before; a producer span is itself what it injects.
        Stage::Send if span.kind == Kind::Client => Members::All,
        Stage::Send => Members::None,
        // A process span that has its message's context as parent links to the ambient one, which is local.
        Stage::Receive | Stage::Process | Stage::Settle => {
            let foreign = Members::NotLocal.iter(span).next().is_some();
            let remote_parent = !span.parent.is_zero() && remote_of(span.flags) == Remote::Yes;
            match (foreign, remote_parent) {
                (true, _) => Members::NotLocal,
                (false, true) => Members::None,
                (false, false) => Members::All,
            }
        }
    }
}

/// The span's attributes that went into no column, and what else is known of it.
fn span_attributes<'a>(
    words: &mut Words<'a>,
    span: &SpanView<'a>,
    keys: &[(Name, Text)],
    row: &mut EventRow,
    taken: Names,
    present: Names,
    out: &mut Vec<Attribute>,
) {
    for (attribute, (name, key)) in span.attributes.items().iter().zip(keys) {
        if *name == Name::Other || taken & name.bit() == 0 {
            out.push((*key, cell(words, &attribute.value)));
        }
    }
    if !operation_of(words, span, row) {
        let name = Cell::Text(words.name(span.name));
        out.push((words.made_name("hopscope.span_name"), name));
    }
    let reason_said = row.outcome == OutcomeCode::Failed && taken & Name::ErrorType.bit() != 0;
    if !span.status_message.is_empty() && (reason_said || span.status != Status::Error) {
        let message = Cell::Text(words.value(span.status_message));
        out.push((words.made_name("otel.status_description"), message));
    }
    for (name, key, value) in [
        (Name::ExceptionType, "exception.type", &span.exception_type),
        (Name::ExceptionMessage, "exception.message", &span.exception_message),
    ] {
        if let Some(value) = value
            && present & name.bit() == 0
        {
            let value = cell(words, value);
            out.push((words.made_name(key), value));
        }
    }
    if !span.retries().is_empty() {
        let retries = Raw::Json(crate::json_text::retries(span.retries()));
        out.push((words.made_name("hopscope.retries"), cell(words, &retries)));
    }
    if !span.trace_state.is_empty() {
        let state = Cell::Text(words.value(span.trace_state));
        out.push((words.made_name("w3c.tracestate"), state));
    }
    count(words, out, "hopscope.dropped_attributes", span.attributes.dropped());
    count(words, out, "hopscope.dropped_links", span.dropped_links());
}

/// Sets the operation of a Work event to the span's name. True when the name needs no place of its own: it is
/// the operation, or made of operation and destination as the conventions say, or empty.
fn operation_of<'a>(words: &mut Words<'a>, span: &SpanView<'a>, row: &mut EventRow) -> bool {
    if row.stage == Stage::Work {
        row.operation = words.name(span.name);
        return true;
    }
    let name = span.name;
    let operation = words.builder.text(row.operation).as_bytes();
    let destinations = [row.destination, row.address].map(|text| words.builder.text(text).as_bytes());
    name.is_empty()
        || name == operation
        || destinations
            .iter()
            .any(|destination| joined(name, operation, destination) || joined(name, destination, operation))
}

/// True when `name` is `first`, a blank, `second`.
fn joined(name: &[u8], first: &[u8], second: &[u8]) -> bool {
    name.len() == first.len() + 1 + second.len()
        && name.strip_prefix(first).and_then(|rest| rest.strip_prefix(b" ")) == Some(second)
}

fn count(words: &mut Words<'_>, out: &mut Vec<Attribute>, key: &str, number: u64) {
    if number != 0 {
        out.push((words.made_name(key), Cell::Int(i64::try_from(number).unwrap_or(i64::MAX))));
    }
}

/// Says how many texts were cut or replaced since the last time.
fn counters(words: &mut Words<'_>, out: &mut Vec<Attribute>) {
    let (truncated, invalid) = (words.truncated, words.invalid_utf8);
    if truncated | invalid != 0 {
        (words.truncated, words.invalid_utf8) = (0, 0);
        count(words, out, "hopscope.truncated_values", truncated);
        count(words, out, "hopscope.invalid_utf8", invalid);
    }
}

#[inline]
fn cell<'a>(words: &mut Words<'a>, value: &Raw<'a>) -> Cell {
    match value {
        Raw::Text(text) => Cell::Text(words.value(text)),
        Raw::Int(number) => Cell::Int(*number),
        Raw::Bool(truth) => Cell::Bool(*truth),
        Raw::Double(number) => Cell::Double(*number),
        rare => rare_cell(words, rare),
    }
}

#[cold]
fn rare_cell(words: &mut Words<'_>, value: &Raw<'_>) -> Cell {
    let json = match value {
        Raw::Bytes(bytes) => {
            let head = words.cut_bytes(bytes);
            return Cell::Bytes(words.made(&crate::json_text::hex(head)));
        }
        Raw::Texts(list) => &crate::json_text::texts(list),
        Raw::Json(json) => json,
        _ => "null",
    };
    // Half a document is no JSON.
    if words.too_long(json.len()) { Cell::Text(words.made(json)) } else { Cell::Json(words.made(json)) }
}
