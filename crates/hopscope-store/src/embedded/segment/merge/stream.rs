//! [`Stream`]: the rows of one input in their order, a page at a time, each with its place in the whole.

use super::super::columns::{IDS, NAMES};
use super::gather::{Place, column, dictionary, gather};
use super::survey::{Survey, creation_number};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, Schema};
use foldhash::{HashMap, HashMapExt};
use hopscope_model::{SpanContext, UNKNOWN};
use std::sync::Arc;

/// What rows are ordered by, as in a sealed segment: lane, then position or time, then creation and start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowKey {
    lane: u32,
    positioned: bool,
    place: i64,
    creation: SpanContext,
    pub start_ns: i64,
}

/// Rows that were read, with their keys.
pub(super) struct Page {
    pub rows: RecordBatch,
    pub keys: Vec<RowKey>,
}

/// Rows to come, and how they are told from damage.
pub(super) type Source = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// The rows of one input.
pub(super) struct Stream {
    pub input: usize,
    source: Source,
    /// Lane, creation and place of the row before.
    before: Option<(u32, SpanContext, i64)>,
    page: Option<Arc<Page>>,
    at: usize,
}

impl Stream {
    pub fn new(input: usize, source: Source) -> Self {
        Self { input, source, before: None, page: None, at: 0 }
    }

    /// The next row: its page, its place there and its key. `None` when it is over.
    pub fn peek(&mut self, survey: &Survey) -> Result<Option<(&Arc<Page>, usize, RowKey)>, ArrowError> {
        while self.page.as_ref().is_none_or(|page| self.at >= page.keys.len()) {
            let Some(rows) = self.source.next() else { return Ok(None) };
            let rows = rows?;
            let keys = keys_of(&rows, self.input, survey, &mut self.before)?;
            self.page = Some(Arc::new(Page { rows, keys }));
            self.at = 0;
        }
        Ok(self.page.as_ref().map(|page| (page, self.at, page.keys[self.at])))
    }

    /// Goes on to the next row.
    pub fn advance(&mut self) {
        self.at += 1;
    }
}

/// The keys of rows that follow each other.
fn keys_of(
    rows: &RecordBatch,
    input: usize,
    survey: &Survey,
    before: &mut Option<(u32, SpanContext, i64)>,
) -> Result<Vec<RowKey>, ArrowError> {
    let lanes = lanes_of(rows, survey)?;
    let (starts, positions) = (numbers(rows, "start_ns")?, numbers(rows, "position")?);
    let (traces, spans) = (ids(rows, "creation_trace")?, ids(rows, "creation_span")?);
    let mut keys = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let mut creation = SpanContext::default();
        creation.trace.0.copy_from_slice(traces.value(row));
        creation.span.0.copy_from_slice(spans.value(row));
        let (lane, start_ns) = (lanes[row], if starts.is_null(row) { UNKNOWN } else { starts.value(row) });
        let positioned = positions.is_valid(row);
        let place = if positioned {
            *before = None;
            positions.value(row)
        } else {
            // The first row of a creation is its earliest: those behind it go with it.
            let with = before.filter(|(of, same, _)| (*of, *same) == (lane, creation));
            let place = match with {
                Some((_, _, place)) if creation != SpanContext::default() => place,
                _ => survey.places.get(&(input, creation_number(creation))).copied().unwrap_or(start_ns),
            };
            *before = Some((lane, creation, place));
            place
        };
        keys.push(RowKey { lane, positioned, place, creation, start_ns });
    }
    Ok(keys)
}

fn numbers<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Int64Array, ArrowError> {
    let odd = || ArrowError::SchemaError(format!("column {name} has another type"));
    column(rows, name)?.as_primitive_opt::<Int64Type>().ok_or_else(odd)
}

fn ids<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a FixedSizeBinaryArray, ArrowError> {
    let odd = || ArrowError::SchemaError(format!("column {name} has another type"));
    let ids = column(rows, name)?.as_fixed_size_binary_opt().ok_or_else(odd)?;
    let width = IDS.iter().find(|(own, _)| *own == name).map(|(_, width)| *width);
    if Some(ids.value_length()) == width { Ok(ids) } else { Err(odd()) }
}

fn lanes_of(rows: &RecordBatch, survey: &Survey) -> Result<Vec<u32>, ArrowError> {
    let mut columns = Vec::with_capacity(3);
    for name in ["system", "destination", "lane"] {
        debug_assert!(NAMES.contains(&name));
        columns.push(dictionary(column(rows, name)?)?);
    }
    let key = |column: usize, row: usize| {
        let keys = columns[column].0;
        keys.is_valid(row).then(|| keys.value(row))
    };
    let name = |column: usize, key: Option<i32>| key.map_or("", |key| columns[column].1.value(key as usize));
    let mut known: HashMap<[Option<i32>; 3], u32> = HashMap::new();
    let mut last: Option<([Option<i32>; 3], u32)> = None;
    let lanes = (0..rows.num_rows()).map(|row| {
        let keys = [0, 1, 2].map(|column| key(column, row));
        if let Some((_, lane)) = last.filter(|(same, _)| *same == keys) {
            return lane;
        }
        let lane = *known.entry(keys).or_insert_with(|| {
            let names = [0, 1, 2].map(|column| name(column, keys[column]).to_owned());
            survey.lanes.get(&names).copied().unwrap_or(u32::MAX)
        });
        last = Some((keys, lane));
        lane
    });
    Ok(lanes.collect())
}

/// Rows that were taken out of their places, in memory and in order: another stream of the same input.
pub(super) fn put_in_order(
    input: usize,
    schema: &Arc<Schema>,
    rows: &[RecordBatch],
    survey: &Survey,
) -> Result<Option<Stream>, ArrowError> {
    let mut places: Vec<(RowKey, Place)> = Vec::new();
    let mut before = None;
    for (number, rows) in rows.iter().enumerate() {
        let keys = keys_of(rows, input, survey, &mut before)?;
        places.extend(keys.into_iter().enumerate().map(|(row, key)| (key, (number, row))));
    }
    if places.is_empty() {
        return Ok(None);
    }
    places.sort_unstable();
    let (keys, places): (Vec<RowKey>, Vec<Place>) = places.into_iter().unzip();
    let batches: Vec<&RecordBatch> = rows.iter().collect();
    let page = Page { rows: gather(schema, &batches, &places)?, keys };
    let mut stream = Stream::new(input, Box::new(std::iter::empty()));
    stream.page = Some(Arc::new(page));
    Ok(Some(stream))
}
