//! Rows of a segment as a batch again.

use super::attributes;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, UInt32Type};
use arrow_array::{Array, DictionaryArray, RecordBatch, StringArray};
use hopscope_model::{
    Batch, BatchBuilder, Disposition, EventRow, Grade, MessageEvent, OutcomeCode, Source, SpanContext,
    SpanId, Stage, Tenant, Text, TraceId, UNKNOWN, Value,
};

/// Sets a field of a row.
type Set<T> = fn(&mut EventRow, T);

/// Sets an id of a row; `None` where it has another length.
type TrySet = fn(&mut EventRow, &[u8]) -> Option<()>;

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
    let count = rows.num_rows();
    let mut builder = BatchBuilder::new(tenant.clone(), Source::Otlp, 0);
    builder.reserve(count);
    let mut table = vec![EventRow::default(); count];
    decode_names(rows, &mut table, &mut builder)?;
    decode_ids(rows, &mut table)?;
    decode_numbers(rows, &mut table)?;
    for (column, set) in [
        ("message_id", (|row, text| row.message_id = text) as Set<Text>),
        ("correlation_id", |row, text| row.correlation_id = text),
    ] {
        let Some(texts) = rows.column_by_name(column) else { continue };
        let texts = texts.as_string_opt::<i32>()?;
        for (row, text) in table.iter_mut().zip(texts.iter()) {
            set(row, builder.append(text.unwrap_or_default()));
        }
    }
    let keys = rows.column_by_name("keys").map(|keys| keys.as_list_opt::<i32>()).transpose_none()?;
    let links = rows.column_by_name("links").map(|links| links.as_binary_opt::<i32>()).transpose_none()?;
    for (index, row) in table.into_iter().enumerate() {
        let mut own_keys: Vec<Text> = Vec::new();
        if let Some(keys) = keys.filter(|keys| keys.is_valid(index)) {
            let list = keys.value(index);
            let list: &StringArray = list.as_string_opt()?;
            own_keys.extend(list.iter().map(|key| builder.append(key.unwrap_or_default())));
        }
        let mut own_links: Vec<SpanContext> = Vec::new();
        if let Some(links) = links.filter(|links| links.is_valid(index)) {
            let (links, rest) = links.value(index).as_chunks::<24>();
            own_links.extend(links.iter().map(context_of));
            if !rest.is_empty() {
                return None;
            }
        }
        builder.push(row, &own_links, &own_keys, &[]);
    }
    let (received_ns, sources) = (received_of(rows)?, sources_of(rows)?);
    Some(Rows { batch: builder.finish(), numbers, received_ns, sources, attributes: attributes_of(rows)? })
}

trait TransposeNone<T> {
    /// A column that is not there is no error; one of another type is.
    fn transpose_none(self) -> Option<Option<T>>;
}

impl<T> TransposeNone<T> for Option<Option<T>> {
    fn transpose_none(self) -> Option<Option<T>> {
        match self {
            Some(None) => None,
            Some(some) => Some(some),
            None => Some(None),
        }
    }
}

fn context_of(bytes: &[u8; 24]) -> SpanContext {
    let mut context = SpanContext::default();
    context.trace.0.copy_from_slice(&bytes[..16]);
    context.span.0.copy_from_slice(&bytes[16..]);
    context
}

/// The dictionary column of that name; `Some(None)` where it was not asked for.
fn names<'a>(
    rows: &'a RecordBatch,
    column: &str,
) -> Option<Option<(&'a DictionaryArray<Int32Type>, &'a StringArray)>> {
    let Some(array) = rows.column_by_name(column) else { return Some(None) };
    let names = array.as_dictionary_opt::<Int32Type>()?;
    Some(Some((names, names.values().as_string_opt::<i32>()?)))
}

/// Calls `set` with every row and its name, which `of` made of the text once for each distinct name.
fn each_name<T: Copy + Default>(
    rows: &RecordBatch,
    column: &str,
    table: &mut [EventRow],
    mut of: impl FnMut(&str) -> Option<T>,
    set: impl Fn(&mut EventRow, T),
) -> Option<()> {
    let Some((names, values)) = names(rows, column)? else { return Some(()) };
    let mut known: Vec<Option<T>> = vec![None; values.len()];
    for (row, key) in table.iter_mut().zip(names.keys().iter()) {
        let Some(key) = key else { continue };
        let slot = known.get_mut(usize::try_from(key).ok()?)?;
        if slot.is_none() {
            *slot = Some(of(values.value(usize::try_from(key).ok()?))?);
        }
        set(row, (*slot)?);
    }
    Some(())
}

fn decode_names(rows: &RecordBatch, table: &mut [EventRow], builder: &mut BatchBuilder) -> Option<()> {
    let texts: [(&str, Set<Text>); 12] = [
        ("operation", |row, text| row.operation = text),
        ("reason", |row, text| row.reason = text),
        ("system", |row, text| row.system = text),
        ("cluster", |row, text| row.cluster = text),
        ("server", |row, text| row.server = text),
        ("destination", |row, text| row.destination = text),
        ("address", |row, text| row.address = text),
        ("lane", |row, text| row.lane = text),
        ("group", |row, text| row.group = text),
        ("client", |row, text| row.client = text),
        ("service", |row, text| row.service = text),
        ("instance", |row, text| row.instance = text),
    ];
    for (column, set) in texts {
        each_name(rows, column, table, |name| Some(builder.intern(name)), set)?;
    }
    each_name(
        rows,
        "stage",
        table,
        |name| Stage::from_name(name).map(Some),
        |row, stage| {
            row.stage = stage.unwrap_or(Stage::Work);
        },
    )?;
    each_name(
        rows,
        "grade",
        table,
        |name| Grade::from_name(name).map(Some),
        |row, grade| {
            row.grade = grade.unwrap_or(Grade::Observed);
        },
    )?;
    let disposition = |name: &str| Disposition::from_name(name).map(Some);
    each_name(rows, "disposition", table, disposition, |row, disposition| row.disposition = disposition)?;
    let outcome = |name: &str| match name {
        "unknown" => Some(Some(OutcomeCode::Unknown)),
        "ok" => Some(Some(OutcomeCode::Ok)),
        "failed" => Some(Some(OutcomeCode::Failed)),
        _ => None,
    };
    each_name(rows, "outcome", table, outcome, |row, outcome| {
        row.outcome = outcome.unwrap_or(OutcomeCode::Unknown);
    })
}

fn decode_ids(rows: &RecordBatch, table: &mut [EventRow]) -> Option<()> {
    let columns: [(&str, TrySet); 5] = [
        ("trace", |row, id| id.try_into().ok().map(|id| row.trace = TraceId(id))),
        ("span", |row, id| id.try_into().ok().map(|id| row.span = SpanId(id))),
        ("parent", |row, id| id.try_into().ok().map(|id| row.parent = SpanId(id))),
        ("creation_trace", |row, id| id.try_into().ok().map(|id| row.creation.trace = TraceId(id))),
        ("creation_span", |row, id| id.try_into().ok().map(|id| row.creation.span = SpanId(id))),
    ];
    for (column, set) in columns {
        let Some(ids) = rows.column_by_name(column) else { continue };
        let ids = ids.as_fixed_size_binary_opt()?;
        for (index, row) in table.iter_mut().enumerate() {
            set(row, ids.value(index))?;
        }
    }
    Some(())
}

fn decode_numbers(rows: &RecordBatch, table: &mut [EventRow]) -> Option<()> {
    let columns: [(&str, Set<i64>); 6] = [
        ("start_ns", |row, number| row.start_ns = number),
        ("duration_ns", |row, number| row.duration_ns = number),
        ("broker_ns", |row, number| row.broker_ns = number),
        ("origin_ns", |row, number| row.origin_ns = number),
        ("position", |row, number| row.position = number),
        ("body_bytes", |row, number| row.body_bytes = number),
    ];
    for (column, set) in columns {
        let Some(numbers) = rows.column_by_name(column) else { continue };
        let numbers = numbers.as_primitive_opt::<Int64Type>()?;
        for (row, number) in table.iter_mut().zip(numbers.iter()) {
            set(row, number.unwrap_or(UNKNOWN));
        }
    }
    if let Some(attempts) = rows.column_by_name("attempt") {
        for (row, attempt) in table.iter_mut().zip(attempts.as_primitive_opt::<UInt32Type>()?.iter()) {
            row.attempt = attempt.unwrap_or_default();
        }
    }
    Some(())
}

fn received_of(rows: &RecordBatch) -> Option<Vec<i64>> {
    let Some(received) = rows.column_by_name("received_ns") else { return Some(Vec::new()) };
    Some(received.as_primitive_opt::<Int64Type>()?.values().to_vec())
}

fn sources_of(rows: &RecordBatch) -> Option<Vec<Source>> {
    let Some((names, values)) = names(rows, "source")? else { return Some(Vec::new()) };
    let source = |key: Option<i32>| Source::from_name(values.value(usize::try_from(key?).ok()?));
    names.keys().iter().map(source).collect()
}

fn attributes_of(rows: &RecordBatch) -> Option<Vec<[String; 2]>> {
    let Some(own) = rows.column_by_name("attributes") else { return Some(Vec::new()) };
    let own = own.as_string_opt::<i32>()?;
    let (names, values) = names(rows, "resource")??;
    let shared = |key: Option<i32>| {
        key.and_then(|key| usize::try_from(key).ok())
            .map(|key| values.value(key).to_owned())
            .unwrap_or_default()
    };
    let both = own.iter().zip(names.keys().iter());
    Some(both.map(|(own, key)| [own.unwrap_or_default().to_owned(), shared(key)]).collect())
}
