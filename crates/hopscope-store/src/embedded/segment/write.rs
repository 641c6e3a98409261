//! Sealing: a memtable becomes the files of a segment for every day of receipt in it. The same table always
//! becomes the same segments.

use super::arrays::Arrays;
use super::columns::{Builder, TEXTS};
use super::draft::Draft;
use super::output::{Output, Put};
use super::{Extra, SegmentId, day_of, keys, sums};
use crate::embedded::dir::Dir;
use crate::embedded::fingerprint::{Keyed, each_key_in_segment};
use crate::embedded::frame;
use crate::embedded::manifest::SegmentEntry;
use crate::embedded::memtable::Memtable;
use crate::matching::{SortKey, sort_key_of_row, thinned_progress};
use crate::tallying::thinned;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, DataType};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use foldhash::{HashMap, HashMapExt};
use hopscope_model::{Batch, BatchBuilder, EventId, ProgressRow, SpanContext, SpanId, Tenant, Text, UNKNOWN};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Rows of one page: what one look-up decompresses of every column.
const PAGE_ROWS: usize = 2_048;

/// Rows that are arrow arrays at a time.
pub(crate) const CHUNK_ROWS: usize = 16_384;

/// What a table holds of one day of receipt, and is in no older segment.
struct OfDay {
    day: i32,
    /// Earliest and latest receipt.
    received_ns: (i64, i64),
    /// Its events as they were appended.
    rows: RecordBatch,
    /// Progress and tallies.
    rest: Batch,
}

/// Writes the segments of a table, all of it synced, the folder too. None where the table holds nothing that is
/// not in older segments.
pub(crate) fn write(
    dir: &dyn Dir,
    tenant: &Tenant,
    log: u64,
    table: &Memtable,
) -> io::Result<Vec<SegmentEntry>> {
    let day = |batch: &Arc<Batch>| day_of(batch.received_ns());
    let days: BTreeSet<i32> = table.batches().iter().map(day).collect();
    let days: Vec<i32> = days.into_iter().collect();
    let mut parts: Vec<OfDay> = Vec::with_capacity(days.len());
    for day in days {
        let batches = table.batches().iter().filter(|batch| day_of(batch.received_ns()) == day);
        let batches: Vec<&Batch> = batches.map(|batch| &**batch).collect();
        let received = || batches.iter().map(|batch| batch.received_ns());
        let received_ns = received().min().zip(received().max()).unwrap_or_default();
        let part = OfDay { day, received_ns, rows: rows_of(table, day)?, rest: rest_of(tenant, &batches) };
        if part.rows.num_rows() > 0 || !part.rest.is_empty() {
            parts.push(part);
        }
    }
    let days: Vec<i32> = parts.iter().map(|part| part.day).collect();
    parts.iter().map(|part| write_day(dir, tenant, log, part, &days)).collect()
}

/// The rows of a day that are not in older segments, as they were appended.
fn rows_of(table: &Memtable, day: i32) -> io::Result<RecordBatch> {
    let mut builder = Builder::new(table.rows());
    let mut first = 0;
    let anywhere = table.sealed_already().is_empty();
    for batch in table.batches() {
        let count = batch.len() as u32;
        if day_of(batch.received_ns()) == day {
            let new = |row: &u32| anywhere || !table.is_sealed_already(first + row);
            builder.push(batch, &(0..count).filter(new).collect::<Vec<u32>>());
        }
        first += count;
    }
    builder.finish().map_err(io::Error::other)
}

fn write_day(
    dir: &dyn Dir,
    tenant: &Tenant,
    log: u64,
    part: &OfDay,
    days: &[i32],
) -> io::Result<SegmentEntry> {
    let OfDay { day, received_ns, rows, rest } = part;
    let arrays = Arrays::of(rows).ok_or_else(|| io::Error::other("rows have other columns than ours"))?;
    let id = SegmentId { log, day: Some(*day), generation: 0 };
    let draft = Draft::new(dir, tenant.name(), id);
    let mut output = Output::new(draft.events()?, Kept::AWhile).map_err(io::Error::other)?;
    for chunk in order_of(&arrays).chunks(CHUNK_ROWS) {
        take_rows(rows, chunk).and_then(|rows| output.push(&rows)).map_err(io::Error::other)?;
    }
    let Put { events, keys, rollup, rows, start_ns } = output.finish().map_err(io::Error::other)?;
    let entry = SegmentEntry {
        log: id.log,
        day: id.day,
        generation: id.generation,
        rows,
        progress: rest.progress().len() as u32,
        tally_ns: tally_ns(rest),
        received_ns: *received_ns,
        start_ns,
        bytes: 0,
        sums_crc32c: 0,
    };
    let extra = Extra { rollup, rest: frame::encode(rest) };
    draft.finish(sums::Head::sealed(entry, days), events, keys, &extra)
}

/// Earliest and latest time of tallies.
pub(crate) fn tally_ns(rest: &Batch) -> Option<(i64, i64)> {
    let times = || rest.tallies().iter().map(|row| row.at_ns);
    times().min().zip(times().max())
}

/// These rows in this order.
fn take_rows(rows: &RecordBatch, order: &[u32]) -> Result<RecordBatch, ArrowError> {
    let numbers = UInt32Array::from(order.to_vec());
    let column = |column: &ArrayRef| match column.data_type() {
        // Taking lists is slow: each is a call of its own.
        DataType::List(_) => {
            let places: Vec<(usize, usize)> = order.iter().map(|row| (0, *row as usize)).collect();
            interleave(&[column], &places)
        }
        _ => take(column, &numbers, None),
    };
    RecordBatch::try_new(rows.schema(), rows.columns().iter().map(column).collect::<Result<_, _>>()?)
}

/// These rows so ordered that those of one message lie together: by system, destination and lane; then by
/// position, or else by the time that the first event of the same creation began.
fn order_of(rows: &Arrays<'_>) -> Vec<u32> {
    let lanes = lane_ranks(rows);
    let start_ns = |row: usize| rows.start_ns.at(row).unwrap_or(UNKNOWN);
    let mut first_of: HashMap<SpanContext, i64> = HashMap::new();
    for row in (0..rows.rows()).filter(|row| rows.position.at(*row).is_none()) {
        let creation = rows.creation(row);
        if !creation.is_zero() {
            let first = first_of.entry(creation).or_insert(i64::MAX);
            *first = start_ns(row).min(*first);
        }
    }
    let mut keyed: Vec<_> = (0..rows.rows())
        .map(|row| {
            let creation = rows.creation(row);
            let (positioned, place) = match rows.position.at(row) {
                Some(position) => (true, position),
                None => (false, first_of.get(&creation).copied().unwrap_or(start_ns(row))),
            };
            ((lanes[row], positioned, place, creation, start_ns(row)), row as u32)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// For every row the rank of its system, destination and lane.
fn lane_ranks(rows: &Arrays<'_>) -> Vec<u32> {
    let columns = [rows.system, rows.destination, rows.lane];
    let mut numbers: HashMap<[Option<u32>; 3], u32> = HashMap::new();
    let mut lanes: Vec<[&str; 3]> = Vec::new();
    let of_row: Vec<u32> = (0..rows.rows())
        .map(|row| {
            *numbers.entry(columns.map(|column| column.number(row))).or_insert_with(|| {
                lanes.push(columns.map(|column| column.at(row)));
                lanes.len() as u32 - 1
            })
        })
        .collect();
    let mut order: Vec<u32> = (0..lanes.len() as u32).collect();
    order.sort_by_key(|number| lanes[*number as usize]);
    let mut ranks = vec![0; lanes.len()];
    for (rank, number) in order.into_iter().enumerate() {
        ranks[number as usize] = rank as u32;
    }
    of_row.into_iter().map(|number| ranks[number as usize]).collect()
}

/// How long a file of events is kept, which is what compressing it must pay for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Until it is merged: only what repeats much is compressed.
    AWhile,
    Long,
}

/// How events are written.
pub(crate) fn properties(kept: Kept) -> WriterProperties {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default());
    let (most, texts) = match kept {
        Kept::AWhile => (Compression::UNCOMPRESSED, zstd),
        Kept::Long => (zstd, zstd),
    };
    let mut properties = WriterProperties::builder()
        .set_created_by("hopscope".to_owned())
        .set_compression(most)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(ColumnPath::from("start_ns"), EnabledStatistics::Page);
    // Words of a vocabulary are packed in a few bits already, and span ids are random bytes: to decompress them
    // would take longer than to read them.
    for column in ["stage", "outcome", "disposition", "system", "source", "grade", "span"] {
        properties = properties.set_column_compression(ColumnPath::from(column), Compression::UNCOMPRESSED);
    }
    for column in
        ["start_ns", "duration_ns", "received_ns", "broker_ns", "origin_ns", "position", "body_bytes"]
    {
        let column = ColumnPath::from(column);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    let plain =
        ["trace", "span", "parent", "creation_trace", "creation_span", "message_id", "correlation_id"];
    for column in plain.into_iter().chain(["attributes", "links"]) {
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from(column), false)
            .set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::None);
    }
    for column in TEXTS {
        properties = properties.set_column_compression(ColumnPath::from(column), texts);
    }
    let keys = ColumnPath::from(vec!["keys".to_owned(), "list".to_owned(), "item".to_owned()]);
    properties
        .set_column_dictionary_enabled(keys.clone(), false)
        .set_column_statistics_enabled(keys, EnabledStatistics::None)
        .build()
}

/// Adds all keys of rows to an index; `None` where a value is none of ours.
pub(crate) fn index_rows(writer: &mut keys::Writer, first: u32, rows: &Arrays<'_>) -> Option<()> {
    for index in 0..rows.rows() {
        let row = rows.row(index);
        // Only events without a span are found by their identity.
        let id = if row.span() == SpanId::ZERO { row.id()? } else { EventId(0) };
        each_key_in_segment(
            &row,
            || id,
            |kind, fingerprint| writer.add(first + index as u32, kind, fingerprint),
        );
    }
    Some(())
}

/// Of the progress and the tallies of these batches what later reads need, as one batch without events.
pub(crate) fn rest_of(tenant: &Tenant, batches: &[&Batch]) -> Batch {
    let received_ns = batches.iter().map(|batch| batch.received_ns()).min().unwrap_or_default();
    let mut builder = BatchBuilder::new(tenant.clone(), hopscope_model::Source::Otlp, received_ns);
    let mut samples: Vec<SortKey<'_>> = Vec::new();
    for batch in batches {
        samples.extend(batch.progress().iter().map(|row| sort_key_of_row(batch.texts(), row)));
    }
    let mut keep = thinned_progress(&samples).into_iter();
    for batch in batches {
        let mut text = |text: Text| builder.intern(batch.texts().get(text));
        let kept = batch.progress().iter().zip(keep.by_ref()).filter(|(_, keep)| *keep);
        let rows = kept.map(|(row, _)| ProgressRow {
            system: text(row.system),
            cluster: text(row.cluster),
            server: text(row.server),
            destination: text(row.destination),
            lane: text(row.lane),
            group: text(row.group),
            service: text(row.service),
            ..*row
        });
        let rows: Vec<ProgressRow> = rows.collect();
        rows.into_iter().for_each(|row| builder.push_progress(row));
    }
    let keep = thinned(batches.iter().copied());
    for (batch, keep) in batches.iter().zip(keep) {
        let kept = keep.iter().enumerate().filter(|(_, keep)| **keep).map(|(index, _)| index);
        for index in kept {
            let row = batch.tallies()[index].renamed(|text| builder.intern(batch.texts().get(text)));
            builder.push_tally(row, batch.tally_buckets(index));
        }
    }
    builder.finish()
}
