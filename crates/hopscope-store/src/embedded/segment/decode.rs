//! Rows of a segment as a batch again.

use super::arrays::{Arrays, Names};
use super::attributes;
use arrow_array::RecordBatch;
use hopscope_model::{
    Batch, BatchBuilder, Disposition, EventRow, Grade, MessageEvent, OutcomeCode, Source, SpanContext,
    SpanId, Stage, Tenant, Text, TraceId, UNKNOWN, Value,
};

/// Rows that were read, with what a batch has only once.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The events; columns that were not asked for are absent.
    pub batch: Batch,
    /// Row of the segment of each event.
    pub numbers: Vec<u32>,
    received_ns: Vec<i64>,
    sources: Vec<Source>,
    /// JSON of its own attributes and of its resource's.
    attributes: Vec<[String; 2]>,
}

impl Rows {
    /// When that row was received; its column must have been asked for.
    pub fn received_ns(&self, index: usize) -> i64 {
        self.received_ns.get(index).copied().unwrap_or_default()
    }

    /// The owned event; all columns must have been asked for.
    pub fn event(&self, index: usize) -> Option<MessageEvent> {
        let mut event = self.batch.event(index).to_owned();
        event.received_ns = self.received_ns.get(index).copied().unwrap_or_default();
        event.source = self.sources.get(index).copied().unwrap_or(Source::Otlp);
        let mut attributes: Vec<(String, Value)> = Vec::new();
        for json in self.attributes.get(index).into_iter().flatten().filter(|json| !json.is_empty()) {
            attributes::read(json, &mut attributes)?;
        }
        event.attributes = attributes;
        Some(event)
    }
}

/// The rows of a record batch; `None` where a value is none that we write.
pub(crate) fn decode(tenant: &Tenant, rows: &RecordBatch, numbers: Vec<u32>) -> Option<Rows> {
    let rows = Arrays::of(rows)?;
    let mut builder = BatchBuilder::new(tenant.clone(), Source::Otlp, 0);
    builder.reserve(rows.rows());
    let mut table = vec![EventRow::default(); rows.rows()];
    decode_names(&rows, &mut table, &mut builder)?;
    decode_values(&rows, &mut table);
    for (index, row) in table.iter_mut().enumerate() {
        row.message_id = builder.append(rows.message_id.at(index).unwrap_or_default());
        row.correlation_id = builder.append(rows.correlation_id.at(index).unwrap_or_default());
    }
    let (mut links, mut keys): (Vec<SpanContext>, Vec<Text>) = (Vec::new(), Vec::new());
    for (index, row) in table.into_iter().enumerate() {
        keys.clear();
        keys.extend(rows.keys.at(index).map(|key| builder.append(key)));
        let (of_row, rest) = rows.links.at(index).unwrap_or_default().as_chunks::<24>();
        if !rest.is_empty() {
            return None;
        }
        links.clear();
        links.extend(of_row.iter().map(context_of));
        builder.push(row, &links, &keys, &[]);
    }
    let received_ns = (0..rows.rows()).map(|row| rows.received_ns.at(row).unwrap_or_default()).collect();
    let attributes = |row| [rows.attributes.at(row).unwrap_or_default(), rows.resource.at(row)];
    let attributes = (0..rows.rows()).map(|row| attributes(row).map(str::to_owned)).collect();
    let sources = sources_of(&rows)?;
    Some(Rows { batch: builder.finish(), numbers, received_ns, sources, attributes })
}

fn context_of(bytes: &[u8; 24]) -> SpanContext {
    let mut context = SpanContext::default();
    context.trace.0.copy_from_slice(&bytes[..16]);
    context.span.0.copy_from_slice(&bytes[16..]);
    context
}

/// Calls `set` with every row that has a name, and what `of` made of the name, once for each distinct one.
fn each_name<T: Copy>(
    column: Names<'_>,
    table: &mut [EventRow],
    mut of: impl FnMut(&str) -> Option<T>,
    set: impl Fn(&mut EventRow, T),
) -> Option<()> {
    let mut known: Vec<Option<T>> = vec![None; column.count()];
    for (index, row) in table.iter_mut().enumerate() {
        let Some(number) = column.number(index) else { continue };
        let slot = known.get_mut(number as usize)?;
        if slot.is_none() {
            *slot = Some(of(column.name(number))?);
        }
        set(row, (*slot)?);
    }
    Some(())
}

fn decode_names(rows: &Arrays<'_>, table: &mut [EventRow], builder: &mut BatchBuilder) -> Option<()> {
    let texts: [(Names<'_>, fn(&mut EventRow, Text)); 12] = [
        (rows.operation, |row, text| row.operation = text),
        (rows.reason, |row, text| row.reason = text),
        (rows.system, |row, text| row.system = text),
        (rows.cluster, |row, text| row.cluster = text),
        (rows.server, |row, text| row.server = text),
        (rows.destination, |row, text| row.destination = text),
        (rows.address, |row, text| row.address = text),
        (rows.lane, |row, text| row.lane = text),
        (rows.group, |row, text| row.group = text),
        (rows.client, |row, text| row.client = text),
        (rows.service, |row, text| row.service = text),
        (rows.instance, |row, text| row.instance = text),
    ];
    for (column, set) in texts {
        each_name(column, table, |name| Some(builder.intern(name)), set)?;
    }
    each_name(rows.stage, table, Stage::from_name, |row, stage| row.stage = stage)?;
    each_name(rows.grade, table, Grade::from_name, |row, grade| row.grade = grade)?;
    each_name(rows.disposition, table, Disposition::from_name, |row, disposition| {
        row.disposition = Some(disposition);
    })?;
    let outcomes = [OutcomeCode::Unknown, OutcomeCode::Ok, OutcomeCode::Failed];
    let outcome = |name: &str| outcomes.into_iter().find(|outcome| outcome.name() == name);
    each_name(rows.outcome, table, outcome, |row, outcome| row.outcome = outcome)
}

fn decode_values(rows: &Arrays<'_>, table: &mut [EventRow]) {
    for (index, row) in table.iter_mut().enumerate() {
        row.trace = TraceId(rows.trace.at(index));
        row.span = SpanId(rows.span.at(index));
        row.parent = SpanId(rows.parent.at(index));
        row.creation = rows.creation(index);
        row.start_ns = rows.start_ns.at(index).unwrap_or(UNKNOWN);
        row.duration_ns = rows.duration_ns.at(index).unwrap_or(UNKNOWN);
        row.broker_ns = rows.broker_ns.at(index).unwrap_or(UNKNOWN);
        row.origin_ns = rows.origin_ns.at(index).unwrap_or(UNKNOWN);
        row.position = rows.position.at(index).unwrap_or(UNKNOWN);
        row.body_bytes = rows.body_bytes.at(index).unwrap_or(UNKNOWN);
        row.attempt = rows.attempt.at(index).unwrap_or_default();
    }
}

/// None where they were not read.
fn sources_of(rows: &Arrays<'_>) -> Option<Vec<Source>> {
    if rows.source.count() == 0 {
        return Some(Vec::new());
    }
    (0..rows.rows()).map(|row| Source::from_name(rows.source.at(row))).collect()
}
