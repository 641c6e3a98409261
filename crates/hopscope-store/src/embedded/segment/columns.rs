//! The columns of a segment's Parquet file, and rows of batches as arrow arrays.
//!
//! An absent text is a null. Ids are fixed bytes, zeros where absent. Times are Unix nanoseconds.

use super::attributes;
use crate::embedded::memtable::Memtable;
use arrow_array::builder::{FixedSizeBinaryBuilder, ListBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt32Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use hopscope_model::{Batch, EventColumns, EventRef, Text, UNKNOWN};
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

/// The names of all batches that become one segment, each once.
pub(crate) struct Names<'a> {
    batches: Vec<OfBatch<'a>>,
    /// Number of each name; 0 is the empty one.
    numbers: HashMap<&'a str, u32>,
    names: Vec<&'a str>,
    resource_numbers: HashMap<String, u32>,
    resources: Vec<String>,
}

struct OfBatch<'a> {
    batch: &'a Batch,
    /// By text: its number plus one, 0 where it was not asked for yet.
    texts: Vec<u32>,
    resources: Vec<u32>,
}

impl<'a> Names<'a> {
    pub fn new(table: &'a Memtable) -> Self {
        let batches = table.batches().iter().map(|batch| OfBatch {
            batch,
            texts: vec![0; batch.texts().len()],
            resources: vec![0; batch.resources().len()],
        });
        Self {
            batches: batches.collect(),
            numbers: HashMap::from([("", 0)]),
            names: vec![""],
            resource_numbers: HashMap::new(),
            resources: Vec::new(),
        }
    }

    /// The event at that place.
    pub fn event(&self, at: Place) -> EventRef<'a> {
        self.batches[at.batch as usize].batch.event(at.index as usize)
    }

    /// The number of a name of that batch.
    pub fn number(&mut self, batch: u32, text: Text) -> u32 {
        let of_batch = &mut self.batches[batch as usize];
        let slot = &mut of_batch.texts[text.index()];
        if *slot == 0 {
            let name = of_batch.batch.texts().get(text);
            let names = &mut self.names;
            *slot = 1 + *self.numbers.entry(name).or_insert_with(|| {
                names.push(name);
                names.len() as u32 - 1
            });
        }
        *slot - 1
    }

    fn number_of(&mut self, name: &'static str) -> u32 {
        let names = &mut self.names;
        *self.numbers.entry(name).or_insert_with(|| {
            names.push(name);
            names.len() as u32 - 1
        })
    }

    /// The name of that number.
    pub fn name(&self, number: u32) -> &'a str {
        self.names[number as usize]
    }

    fn resource(&mut self, at: Place, number: u32) -> u32 {
        let of_batch = &mut self.batches[at.batch as usize];
        let slot = &mut of_batch.resources[number as usize];
        if *slot == 0 {
            let mut json = String::new();
            let event = of_batch.batch.event(at.index as usize);
            attributes::write(&mut json, of_batch.batch.texts(), event.resource_attributes());
            let resources = &mut self.resources;
            *slot = 1 + *self.resource_numbers.entry(json).or_insert_with_key(|json| {
                resources.push(json.clone());
                resources.len() as u32 - 1
            });
        }
        *slot - 1
    }
}

/// Where an event lies among the batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub batch: u32,
    pub index: u32,
}

/// These rows as arrays, in this order.
pub(crate) fn record_batch(
    schema: &Arc<Schema>,
    names: &mut Names<'_>,
    places: &[Place],
) -> Result<RecordBatch, ArrowError> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    let mut keys: Vec<Vec<u32>> = Vec::with_capacity(NAMES.len());
    for column in &NAMES[..NAMES.len() - 1] {
        keys.push(names_in(names, places, column));
    }
    let shared: ArrayRef = Arc::new(StringArray::from_iter_values(names.names.iter()));
    for keys in keys {
        let keys: Int32Array = keys.into_iter().map(|key| (key != 0).then_some(key as i32)).collect();
        arrays.push(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::clone(&shared))?));
    }
    let resource = |at: &Place| {
        let number = names.event(*at).batch().columns().resource[at.index as usize];
        (number != 0).then(|| names.resource(*at, number) as i32)
    };
    let keys: Int32Array = places.iter().map(resource).collect();
    let sets: ArrayRef = Arc::new(StringArray::from_iter_values(names.resources.iter()));
    arrays.push(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, sets)?));
    let events = || places.iter().map(|at| names.event(*at));
    arrays.push(ids(16, events().map(|event| event.trace().0))?);
    arrays.push(ids(8, events().map(|event| event.span().0))?);
    arrays.push(ids(8, events().map(|event| event.parent().0))?);
    arrays.push(ids(16, events().map(|event| event.creation().unwrap_or_default().trace.0))?);
    arrays.push(ids(8, events().map(|event| event.creation().unwrap_or_default().span.0))?);
    let columns: [fn(&EventRef<'_>) -> Option<i64>; NUMBERS.len()] = [
        |event| Some(event.start_ns()),
        |event| event.duration_ns(),
        |event| Some(event.batch().received_ns()),
        |event| event.broker_ns(),
        |event| event.origin_ns(),
        |event| event.position(),
        |event| event.body_bytes(),
    ];
    for column in columns {
        let numbers: Int64Array =
            events().map(|event| column(&event).filter(|value| *value != UNKNOWN)).collect();
        arrays.push(Arc::new(numbers));
    }
    arrays.push(Arc::new(events().map(|event| event.attempt()).collect::<UInt32Array>()));
    let mut message_ids = StringBuilder::new();
    let mut correlation_ids = StringBuilder::new();
    let mut own = StringBuilder::new();
    let mut business = ListBuilder::new(StringBuilder::new());
    let mut json = String::new();
    for event in events() {
        message_ids.append_option(Some(event.message_id()).filter(|id| !id.is_empty()));
        correlation_ids.append_option(Some(event.correlation_id()).filter(|id| !id.is_empty()));
        if event.own_attributes().is_empty() {
            own.append_null();
        } else {
            json.clear();
            attributes::write(&mut json, event.batch().texts(), event.own_attributes());
            own.append_value(&json);
        }
        event.keys().for_each(|key| business.values().append_value(key));
        business.append(event.keys().len() > 0);
    }
    arrays.push(Arc::new(message_ids.finish()));
    arrays.push(Arc::new(correlation_ids.finish()));
    arrays.push(Arc::new(own.finish()));
    let links: Vec<Option<Vec<u8>>> = events().map(|event| links_of(&event)).collect();
    arrays.push(Arc::new(BinaryArray::from_iter(links)));
    arrays.push(Arc::new(business.finish()));
    RecordBatch::try_new(Arc::clone(schema), arrays)
}

fn ids<const N: usize>(
    width: i32,
    ids: impl Iterator<Item = [u8; N]> + Clone,
) -> Result<ArrayRef, ArrowError> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(ids.clone().count(), width);
    ids.into_iter().try_for_each(|id| builder.append_value(id))?;
    Ok(Arc::new(builder.finish()) as Arc<dyn Array>)
}

fn links_of(event: &EventRef<'_>) -> Option<Vec<u8>> {
    let links = event.links();
    let bytes = || links.iter().flat_map(|link| link.trace.0.into_iter().chain(link.span.0));
    (!links.is_empty()).then(|| bytes().collect())
}

/// Numbers of the names of one column, 0 for an absent one.
fn names_in(names: &mut Names<'_>, places: &[Place], column: &str) -> Vec<u32> {
    match column {
        "stage" => words(names, places, |event| event.stage().name()),
        "outcome" => words(names, places, |event| event.outcome_name()),
        "disposition" => words(names, places, |event| event.disposition().map_or("", |it| it.name())),
        "source" => words(names, places, |event| event.batch().source().name()),
        "grade" => words(names, places, |event| event.grade().name()),
        "operation" => texts(names, places, |columns| &columns.operation),
        "reason" => texts(names, places, |columns| &columns.reason),
        "system" => texts(names, places, |columns| &columns.system),
        "cluster" => texts(names, places, |columns| &columns.cluster),
        "server" => texts(names, places, |columns| &columns.server),
        "destination" => texts(names, places, |columns| &columns.destination),
        "address" => texts(names, places, |columns| &columns.address),
        "lane" => texts(names, places, |columns| &columns.lane),
        "group" => texts(names, places, |columns| &columns.group),
        "client" => texts(names, places, |columns| &columns.client),
        "service" => texts(names, places, |columns| &columns.service),
        _ => texts(names, places, |columns| &columns.instance),
    }
}

fn texts(names: &mut Names<'_>, places: &[Place], column: fn(&EventColumns) -> &[Text]) -> Vec<u32> {
    let number = |at: &Place| {
        let text = column(names.event(*at).batch().columns())[at.index as usize];
        names.number(at.batch, text)
    };
    places.iter().map(number).collect()
}

/// Words of a vocabulary: mostly the same as in the row before.
fn words(names: &mut Names<'_>, places: &[Place], word: fn(&EventRef<'_>) -> &'static str) -> Vec<u32> {
    let mut last = ("", 0);
    let number = |at: &Place| {
        let word = word(&names.event(*at));
        if word != last.0 {
            last = (word, names.number_of(word));
        }
        last.1
    };
    places.iter().map(number).collect()
}
