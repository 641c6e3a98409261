//! [`BatchBuilder`]: the one way to make a batch.

use super::{
    Attribute, Batch, Cell, EventColumns, EventRow, Lists, OutcomeCode, ProgressRow, Tenant, UNKNOWN,
};
use crate::progress::Progress;
use crate::{MessageEvent, Outcome, Source, SpanContext, Text, Texts, Value};

/// Makes a [`Batch`]: intern or append texts, push rows, finish.
#[derive(Debug)]
pub struct BatchBuilder {
    pub(super) batch: Batch,
}

impl BatchBuilder {
    /// An empty batch received at `received_ns`.
    pub fn new(tenant: Tenant, source: Source, received_ns: i64) -> Self {
        let mut resources = Lists::default();
        resources.push(&[]);
        Self {
            batch: Batch {
                tenant,
                source,
                received_ns,
                texts: Texts::default(),
                columns: EventColumns::default(),
                links: Lists::default(),
                keys: Lists::default(),
                attributes: Lists::default(),
                resources,
                progress: Vec::new(),
                tallies: Vec::new(),
                buckets: Lists::default(),
            },
        }
    }

    /// Makes room for that many events.
    pub fn reserve(&mut self, events: usize) {
        self.batch.columns.reserve(events);
    }

    /// Events so far.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// True while nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// For names that repeat.
    pub fn intern(&mut self, string: &str) -> Text {
        self.batch.texts.intern(string)
    }

    /// For ids that do not.
    pub fn append(&mut self, string: &str) -> Text {
        self.batch.texts.append(string)
    }

    /// The string of that name.
    pub fn text(&self, text: Text) -> &str {
        self.batch.texts.get(text)
    }

    /// A shared attribute set (a resource's); its number goes into `EventRow::resource`.
    pub fn resource(&mut self, attributes: &[Attribute]) -> u32 {
        if attributes.is_empty() {
            return 0;
        }
        self.batch.resources.push(attributes);
        self.batch.resources.ends.len() as u32 - 1
    }

    /// One event with its lists. All texts must be this builder's.
    pub fn push(&mut self, row: EventRow, links: &[SpanContext], keys: &[Text], attributes: &[Attribute]) {
        self.batch.columns.push(row);
        self.batch.links.push(links);
        self.batch.keys.push(keys);
        self.batch.attributes.push(attributes);
    }

    /// The columns so far, to read.
    pub fn columns(&self) -> &EventColumns {
        &self.batch.columns
    }

    /// Amends the creation of an event that was pushed: a later one of the batch may tell that it was wrong.
    pub fn set_creation(&mut self, index: usize, creation: SpanContext) {
        self.batch.columns.creation[index] = creation;
    }

    /// One sample of progress.
    pub fn push_progress(&mut self, row: ProgressRow) {
        self.batch.progress.push(row);
    }

    /// One owned event: for tests and for stores that read rows back. Its `received_ns` and `source` are the
    /// batch's.
    pub fn push_event(&mut self, event: &MessageEvent) {
        let signed =
            |value: Option<u64>| value.map_or(UNKNOWN, |value| i64::try_from(value).unwrap_or(i64::MAX));
        let (outcome, reason) = match &event.outcome {
            Outcome::Unknown => (OutcomeCode::Unknown, Text::NONE),
            Outcome::Ok => (OutcomeCode::Ok, Text::NONE),
            Outcome::Failed { reason } => (OutcomeCode::Failed, self.intern(reason)),
        };
        let row = EventRow {
            stage: event.stage,
            operation: self.intern(&event.operation),
            trace: event.trace,
            span: event.span,
            parent: event.parent,
            creation: event.creation.unwrap_or_default(),
            start_ns: event.start_ns,
            duration_ns: signed(event.duration_ns),
            broker_ns: event.broker_ns.unwrap_or(UNKNOWN),
            origin_ns: event.origin_ns.unwrap_or(UNKNOWN),
            outcome,
            reason,
            disposition: event.disposition,
            system: self.intern(&event.system),
            cluster: self.intern(&event.cluster),
            server: self.intern(&event.server),
            destination: self.intern(&event.destination),
            address: self.intern(&event.address),
            lane: self.intern(&event.lane),
            position: event.position.unwrap_or(UNKNOWN),
            message_id: self.append(&event.message_id),
            correlation_id: self.append(&event.correlation_id),
            group: self.intern(&event.group),
            attempt: event.attempt.unwrap_or_default(),
            client: self.intern(&event.client),
            service: self.intern(&event.service),
            instance: self.intern(&event.instance),
            body_bytes: signed(event.body_bytes),
            grade: event.grade,
            resource: 0,
        };
        let keys: Vec<Text> = event.keys.iter().map(|key| self.append(key)).collect();
        let attributes: Vec<Attribute> =
            event.attributes.iter().map(|(key, value)| (self.intern(key), self.cell(value))).collect();
        self.push(row, &event.links, &keys, &attributes);
    }

    /// One owned sample of progress.
    pub fn push_progress_owned(&mut self, progress: &Progress) {
        let row = ProgressRow {
            system: self.intern(&progress.system),
            cluster: self.intern(&progress.cluster),
            server: Text::NONE,
            destination: self.intern(&progress.destination),
            lane: self.intern(&progress.lane),
            group: self.intern(&progress.group),
            kind: progress.kind,
            at_ns: progress.at_ns,
            service: self.intern(&progress.service),
            grade: progress.grade,
        };
        self.push_progress(row);
    }

    fn cell(&mut self, value: &Value) -> Cell {
        match value {
            Value::Text(text) => Cell::Text(self.append(text)),
            Value::Int(number) => Cell::Int(*number),
            Value::Double(number) => Cell::Double(*number),
            Value::Bool(truth) => Cell::Bool(*truth),
            Value::Bytes(text) => Cell::Bytes(self.append(text)),
            Value::Json(text) => Cell::Json(self.append(text)),
        }
    }

    /// The batch.
    pub fn finish(self) -> Batch {
        self.batch
    }
}
