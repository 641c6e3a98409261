//! The columns of a segment's Parquet file, and rows of batches as arrow arrays.
//!
//! An absent text is a null. Ids are fixed bytes, zeros where absent. Times are Unix nanoseconds.

use super::attributes;
use arrow_array::builder::{BinaryBuilder, ListBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt32Array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use hopscope_model::{Batch, EventColumns, Text, UNKNOWN};
use std::collections::HashMap;
use std::sync::Arc;

/// Columns that name: few values, many rows.
pub(crate) const NAMES: [&str; 18] = [
    "stage",
    "operation",
    "outcome",
    "reason",
    "disposition",
    "system",
    "cluster",
    "server",
    "destination",
    "address",
    "lane",
    "group",
    "client",
    "service",
    "instance",
    "source",
    "grade",
    "resource",
];

/// Columns of text that hardly repeats.
pub(crate) const TEXTS: [&str; 3] = ["message_id", "correlation_id", "attributes"];

/// Columns of fixed bytes, with their width.
pub(crate) const IDS: [(&str, i32); 5] =
    [("trace", 16), ("span", 8), ("parent", 8), ("creation_trace", 16), ("creation_span", 8)];

/// Columns of integers that may be unknown.
pub(crate) const NUMBERS: [&str; 7] =
    ["start_ns", "duration_ns", "received_ns", "broker_ns", "origin_ns", "position", "body_bytes"];

/// The schema of every segment.
pub(crate) fn schema() -> Arc<Schema> {
    let name = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut fields: Vec<Field> = Vec::new();
    fields.extend(NAMES.map(|column| Field::new(column, name.clone(), true)));
    fields.extend(IDS.map(|(column, width)| Field::new(column, DataType::FixedSizeBinary(width), false)));
    fields.extend(NUMBERS.map(|column| Field::new(column, DataType::Int64, true)));
    fields.push(Field::new("attempt", DataType::UInt32, true));
    fields.extend(TEXTS.map(|column| Field::new(column, DataType::Utf8, true)));
    fields.push(Field::new("links", DataType::Binary, true));
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    fields.push(Field::new("keys", DataType::List(item), true));
    Arc::new(Schema::new(fields))
}

/// Rows of batches as arrays, in the order in which they come: each batch is read once from its begin to its end.
pub(crate) struct Builder<'a> {
    names: Names<'a>,
    /// Of the columns of [`NAMES`] but the last one: number of the name, [`ABSENT`] where there is none.
    numbers: [Vec<i32>; NAMES.len() - 1],
    resources: Vec<i32>,
    ids: [Vec<u8>; IDS.len()],
    values: [Vec<i64>; NUMBERS.len()],
    attempts: Vec<u32>,
    message_ids: StringBuilder,
    correlation_ids: StringBuilder,
    attributes: StringBuilder,
    links: BinaryBuilder,
    keys: ListBuilder<StringBuilder>,
}

const ABSENT: i32 = -1;

/// Names, each once, and sets of attributes of resources as names.
#[derive(Default)]
struct Names<'a> {
    numbers: HashMap<&'a str, i32>,
    names: Vec<&'a str>,
    resource_numbers: HashMap<String, i32>,
    resources: Vec<String>,
}

impl<'a> Names<'a> {
    fn number(&mut self, name: &'a str) -> i32 {
        if name.is_empty() {
            return ABSENT;
        }
        *self.numbers.entry(name).or_insert_with(|| {
            self.names.push(name);
            self.names.len() as i32 - 1
        })
    }

    fn resource(&mut self, json: String) -> i32 {
        *self.resource_numbers.entry(json).or_insert_with_key(|json| {
            self.resources.push(json.clone());
            self.resources.len() as i32 - 1
        })
    }
}

/// Text columns in the order of [`NAMES`]; `None` for those that are of a vocabulary, and for the resource.
const TEXT_OF: [Option<fn(&EventColumns) -> &[Text]>; NAMES.len() - 1] = [
    None,
    Some(|columns| &columns.operation),
    None,
    Some(|columns| &columns.reason),
    None,
    Some(|columns| &columns.system),
    Some(|columns| &columns.cluster),
    Some(|columns| &columns.server),
    Some(|columns| &columns.destination),
    Some(|columns| &columns.address),
    Some(|columns| &columns.lane),
    Some(|columns| &columns.group),
    Some(|columns| &columns.client),
    Some(|columns| &columns.service),
    Some(|columns| &columns.instance),
    None,
    None,
];

impl<'a> Builder<'a> {
    /// For about that many rows.
    pub fn new(rows: usize) -> Self {
        Self {
            names: Names::default(),
            numbers: std::array::from_fn(|_| Vec::with_capacity(rows)),
            resources: Vec::with_capacity(rows),
            ids: IDS.map(|(_, width)| Vec::with_capacity(rows * width as usize)),
            values: std::array::from_fn(|_| Vec::with_capacity(rows)),
            attempts: Vec::with_capacity(rows),
            message_ids: StringBuilder::with_capacity(rows, 0),
            correlation_ids: StringBuilder::with_capacity(rows, 0),
            attributes: StringBuilder::with_capacity(rows, 0),
            links: BinaryBuilder::with_capacity(rows, 0),
            keys: ListBuilder::with_capacity(StringBuilder::new(), rows),
        }
    }

    /// Adds these rows of a batch.
    pub fn push(&mut self, batch: &'a Batch, rows: &[u32]) {
        self.push_names(batch, rows);
        self.push_words(batch, rows);
        self.push_values(batch, rows);
        self.push_texts(batch, rows);
    }

    fn push_names(&mut self, batch: &'a Batch, rows: &[u32]) {
        let (texts, columns) = (batch.texts(), batch.columns());
        const UNASKED: i32 = -2;
        let mut known = vec![UNASKED; texts.len()];
        let Self { names, numbers, .. } = self;
        for (numbers, column) in numbers.iter_mut().zip(TEXT_OF) {
            let Some(column) = column else { continue };
            let column = column(columns);
            numbers.extend(rows.iter().map(|row| {
                let text = column[*row as usize];
                let slot = &mut known[text.index()];
                if *slot == UNASKED {
                    *slot = names.number(texts.get(text));
                }
                *slot
            }));
        }
        let mut known = vec![UNASKED; batch.resources().len()];
        self.resources.extend(rows.iter().map(|row| {
            let resource = columns.resource[*row as usize] as usize;
            let slot = &mut known[resource];
            if *slot == UNASKED {
                *slot = ABSENT;
                if resource != 0 {
                    let mut json = String::new();
                    let event = batch.event(*row as usize);
                    attributes::write(&mut json, texts, event.resource_attributes());
                    *slot = names.resource(json);
                }
            }
            *slot
        }));
    }

    /// Names of a vocabulary.
    fn push_words(&mut self, batch: &'a Batch, rows: &[u32]) {
        let Self { names, numbers, .. } = self;
        let mut push = |column: &str, word: &dyn Fn(usize) -> &'static str| {
            let place = NAMES.iter().position(|name| *name == column).unwrap_or_default();
            // Mostly the same as in the row before.
            let mut last = ("", ABSENT);
            numbers[place].extend(rows.iter().map(|row| {
                let word = word(*row as usize);
                if !std::ptr::eq(word, last.0) {
                    last = (word, names.number(word));
                }
                last.1
            }));
        };
        let columns = batch.columns();
        let source = batch.source().name();
        push("stage", &|row| columns.stage[row].name());
        push("outcome", &|row| columns.outcome[row].name());
        push("disposition", &|row| columns.disposition[row].map_or("", |it| it.name()));
        push("source", &|_| source);
        push("grade", &|row| columns.grade[row].name());
    }

    fn push_values(&mut self, batch: &Batch, rows: &[u32]) {
        let columns = batch.columns();
        let rows = || rows.iter().map(|row| *row as usize);
        let [trace, span, parent, creation_trace, creation_span] = &mut self.ids;
        rows().for_each(|row| trace.extend_from_slice(&columns.trace[row].0));
        rows().for_each(|row| span.extend_from_slice(&columns.span[row].0));
        rows().for_each(|row| parent.extend_from_slice(&columns.parent[row].0));
        for creation in rows().map(|row| &columns.creation[row]) {
            creation_trace.extend_from_slice(&creation.trace.0);
            creation_span.extend_from_slice(&creation.span.0);
        }
        let [start, duration, received, broker, origin, position, body_bytes] = &mut self.values;
        let known = [
            (start, &columns.start_ns),
            (duration, &columns.duration_ns),
            (broker, &columns.broker_ns),
            (origin, &columns.origin_ns),
            (position, &columns.position),
            (body_bytes, &columns.body_bytes),
        ];
        for (values, column) in known {
            values.extend(rows().map(|row| column[row]));
        }
        received.extend(rows().map(|_| batch.received_ns()));
        self.attempts.extend(rows().map(|row| columns.attempt[row]));
    }

    fn push_texts(&mut self, batch: &Batch, rows: &[u32]) {
        let (texts, columns) = (batch.texts(), batch.columns());
        let mut json = String::new();
        for row in rows {
            let row = *row as usize;
            for (column, text) in [
                (&mut self.message_ids, columns.message_id[row]),
                (&mut self.correlation_ids, columns.correlation_id[row]),
            ] {
                column.append_option((text != Text::NONE).then(|| texts.get(text)));
            }
            let event = batch.event(row);
            if event.own_attributes().is_empty() {
                self.attributes.append_null();
            } else {
                json.clear();
                attributes::write(&mut json, texts, event.own_attributes());
                self.attributes.append_value(&json);
            }
            for key in event.keys() {
                self.keys.values().append_value(key);
            }
            self.keys.append(event.keys().len() > 0);
            if event.links().is_empty() {
                self.links.append_null();
            } else {
                let links = event.links().iter();
                let bytes: Vec<u8> =
                    links.flat_map(|link| link.trace.0.into_iter().chain(link.span.0)).collect();
                self.links.append_value(bytes);
            }
        }
    }

    /// The rows.
    pub fn finish(self) -> Result<RecordBatch, ArrowError> {
        let schema = schema();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        let dictionary = |numbers: Vec<i32>, names: &ArrayRef| {
            let valid = valid(&numbers, ABSENT);
            let numbers = Int32Array::try_new(numbers.into(), valid)?;
            DictionaryArray::<Int32Type>::try_new(numbers, Arc::clone(names)).map(Arc::new)
        };
        let names: ArrayRef = Arc::new(StringArray::from_iter_values(self.names.names));
        for numbers in self.numbers {
            arrays.push(dictionary(numbers, &names)?);
        }
        let resources: ArrayRef = Arc::new(StringArray::from_iter_values(self.names.resources));
        arrays.push(dictionary(self.resources, &resources)?);
        for ((_, width), ids) in IDS.into_iter().zip(self.ids) {
            arrays.push(Arc::new(FixedSizeBinaryArray::try_new(width, Buffer::from_vec(ids), None)?));
        }
        for values in self.values {
            let valid = valid(&values, UNKNOWN);
            arrays.push(Arc::new(Int64Array::try_new(values.into(), valid)?));
        }
        let valid = valid(&self.attempts, 0);
        arrays.push(Arc::new(UInt32Array::try_new(self.attempts.into(), valid)?));
        let (mut message_ids, mut correlation_ids) = (self.message_ids, self.correlation_ids);
        let (mut attributes, mut links, mut keys) = (self.attributes, self.links, self.keys);
        arrays.push(Arc::new(message_ids.finish()));
        arrays.push(Arc::new(correlation_ids.finish()));
        arrays.push(Arc::new(attributes.finish()));
        arrays.push(Arc::new(links.finish()));
        arrays.push(Arc::new(keys.finish()));
        RecordBatch::try_new(schema, arrays)
    }
}

/// Which values are not that one; `None` where all are.
fn valid<T: PartialEq>(values: &[T], absent: T) -> Option<NullBuffer> {
    let valid = NullBuffer::new(BooleanBuffer::collect_bool(values.len(), |row| values[row] != absent));
    (valid.null_count() > 0).then_some(valid)
}
