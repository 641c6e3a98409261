//! Sealing: a memtable becomes the files of a segment for every day of receipt in it. The same table always
//! becomes the same segments.

use super::columns::{Names, Place, record_batch, schema};
use super::draft::{Draft, Summed};
use super::{Extra, SummaryRow, day_of, keys, sums};
use crate::embedded::dir::Dir;
use crate::embedded::fingerprint::each_key_in_segment;
use crate::embedded::frame;
use crate::embedded::manifest::SegmentEntry;
use crate::embedded::memtable::Memtable;
use crate::matching::thinned_progress;
use crate::tallying::thinned;
use hopscope_model::{
    Batch, BatchBuilder, EventId, EventRef, Progress, ProgressRow, SpanContext, SpanId, Tenant, Text,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

/// Rows of one page: what one look-up decompresses of every column.
const PAGE_ROWS: usize = 2_048;

/// Rows of one row group: a sealed segment has one.
const ROW_GROUP_ROWS: usize = 524_288;

/// Rows that are arrow arrays at a time.
pub(crate) const CHUNK_ROWS: usize = 16_384;

/// Most combinations of a summary; a segment with more is scanned instead.
pub(crate) const SUMMARY_ROWS_MAX: usize = 65_536;

/// What a table holds of one day of receipt, and is in no older segment.
struct OfDay<'a> {
    day: i32,
    batches: Vec<&'a Batch>,
    places: Vec<Place>,
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
    let mut names = Names::new(table);
    let parts = days_of(tenant, table);
    let days: Vec<i32> = parts.iter().map(|part| part.day).collect();
    let segments = parts.into_iter().map(|part| write_day(dir, tenant, log, &mut names, part, &days));
    segments.collect()
}

fn days_of<'a>(tenant: &Tenant, table: &'a Memtable) -> Vec<OfDay<'a>> {
    let day = |batch: &Arc<Batch>| day_of(batch.received_ns());
    let days: BTreeSet<i32> = table.batches().iter().map(day).collect();
    let parts = days.into_iter().map(|day| {
        let batches = || table.batches().iter().filter(|batch| day_of(batch.received_ns()) == day);
        let batches: Vec<&Batch> = batches().map(|batch| &**batch).collect();
        OfDay { day, places: places_of(table, day), rest: rest_of(tenant, &batches), batches }
    });
    parts.filter(|part| !part.places.is_empty() || !part.rest.is_empty()).collect()
}

/// Rows of a day that count.
fn places_of(table: &Memtable, day: i32) -> Vec<Place> {
    let mut places = Vec::with_capacity(table.rows());
    let mut first = 0;
    for (number, batch) in table.batches().iter().enumerate() {
        let count = batch.len() as u32;
        if day_of(batch.received_ns()) == day {
            let new = (0..count).filter(|index| !table.is_sealed_already(first + index));
            places.extend(new.map(|index| Place { batch: number as u32, index }));
        }
        first += count;
    }
    places
}

fn write_day(
    dir: &dyn Dir,
    tenant: &Tenant,
    log: u64,
    names: &mut Names<'_>,
    part: OfDay<'_>,
    days: &[i32],
) -> io::Result<SegmentEntry> {
    let places = sorted(names, part.places);
    let received = || part.batches.iter().map(|batch| batch.received_ns());
    let starts = || places.iter().map(|at| names.event(*at).start_ns());
    let entry = SegmentEntry {
        log,
        day: Some(part.day),
        generation: 0,
        rows: places.len() as u32,
        progress: part.rest.progress().len() as u32,
        tally_ns: tally_ns(&part.rest),
        received_ns: received().min().zip(received().max()).unwrap_or_default(),
        start_ns: starts().min().zip(starts().max()).unwrap_or_default(),
        bytes: 0,
        sums_crc32c: 0,
    };
    let draft = Draft::new(dir, tenant.name(), entry.id());
    let events = write_events(draft.events()?, names, &places)?;
    let keys = keys_of(names, &places);
    let extra = Extra { summary: summary_of(names, &places), rest: frame::encode(&part.rest) };
    draft.finish(sums::Head::sealed(entry, days), events, keys, &extra)
}

/// Earliest and latest time of tallies.
pub(crate) fn tally_ns(rest: &Batch) -> Option<(i64, i64)> {
    let times = || rest.tallies().iter().map(|row| row.at_ns);
    times().min().zip(times().max())
}

/// These rows so ordered that those of one message lie together: by system, destination and lane; then by
/// position, or else by the time that the first event of the same creation began.
fn sorted(names: &mut Names<'_>, places: Vec<Place>) -> Vec<Place> {
    let lanes = lane_ranks(names, &places);
    let mut first_of: HashMap<SpanContext, i64> = HashMap::new();
    for at in &places {
        let event = names.event(*at);
        if let (None, Some(creation)) = (event.position(), event.creation()) {
            let first = first_of.entry(creation).or_insert(i64::MAX);
            *first = event.start_ns().min(*first);
        }
    }
    let mut keyed: Vec<_> = places
        .iter()
        .zip(lanes)
        .enumerate()
        .map(|(number, (at, lane))| {
            let event = names.event(*at);
            let creation = event.creation().unwrap_or_default();
            let (positioned, place) = match event.position() {
                Some(position) => (1u8, position),
                None => (0, first_of.get(&creation).copied().unwrap_or(event.start_ns())),
            };
            ((lane, positioned, place, creation, event.start_ns()), number as u32)
        })
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, number)| places[number as usize]).collect()
}

/// For every row the rank of its system, destination and lane.
fn lane_ranks(names: &mut Names<'_>, places: &[Place]) -> Vec<u32> {
    let mut numbers: HashMap<[u32; 3], u32> = HashMap::new();
    let mut lanes: Vec<[u32; 3]> = Vec::new();
    let of_row: Vec<u32> = places
        .iter()
        .map(|at| {
            let columns = names.event(*at).batch().columns();
            let index = at.index as usize;
            let lane = [columns.system[index], columns.destination[index], columns.lane[index]]
                .map(|text| names.number(at.batch, text));
            *numbers.entry(lane).or_insert_with(|| {
                lanes.push(lane);
                lanes.len() as u32 - 1
            })
        })
        .collect();
    let mut order: Vec<u32> = (0..lanes.len() as u32).collect();
    order.sort_by_key(|number| lanes[*number as usize].map(|name| names.name(name)));
    let mut ranks = vec![0; lanes.len()];
    for (rank, number) in order.into_iter().enumerate() {
        ranks[number as usize] = rank as u32;
    }
    of_row.into_iter().map(|number| ranks[number as usize]).collect()
}

fn write_events(file: Summed, names: &mut Names<'_>, places: &[Place]) -> io::Result<Summed> {
    let schema = schema();
    let mut writer =
        ArrowWriter::try_new(file, schema.clone(), Some(properties())).map_err(io::Error::other)?;
    for chunk in places.chunks(CHUNK_ROWS) {
        let rows = record_batch(&schema, names, chunk).map_err(io::Error::other)?;
        writer.write(&rows).map_err(io::Error::other)?;
    }
    writer.into_inner().map_err(io::Error::other)
}

/// How events are written.
pub(crate) fn properties() -> WriterProperties {
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_created_by("hopscope".to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        // A row group is in memory until it is full; what is skipped are pages.
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(ColumnPath::from("start_ns"), EnabledStatistics::Page);
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
    let keys = ColumnPath::from(vec!["keys".to_owned(), "list".to_owned(), "item".to_owned()]);
    properties
        .set_column_dictionary_enabled(keys.clone(), false)
        .set_column_statistics_enabled(keys, EnabledStatistics::None)
        .build()
}

fn keys_of(names: &Names<'_>, places: &[Place]) -> (Vec<u8>, Vec<keys::Part>) {
    let mut writer = keys::Writer::default();
    for (row, at) in places.iter().enumerate() {
        index_event(&mut writer, row as u32, &names.event(*at));
    }
    writer.finish()
}

/// Adds all keys of a row to an index.
pub(crate) fn index_event(writer: &mut keys::Writer, row: u32, event: &EventRef<'_>) {
    // Only events without a span are found by their identity.
    let id = if event.span() == SpanId::ZERO { event.id() } else { EventId(0) };
    each_key_in_segment(event, id, |kind, fingerprint| writer.add(row, kind, fingerprint));
}

fn summary_of(names: &mut Names<'_>, places: &[Place]) -> Option<Vec<SummaryRow>> {
    let mut counts: HashMap<([u32; 6], u8, u8), SummaryRow> = HashMap::new();
    for at in places {
        let event = names.event(*at);
        let columns = event.batch().columns();
        let index = at.index as usize;
        let texts: [Text; 6] = [
            columns.system[index],
            columns.cluster[index],
            columns.destination[index],
            columns.lane[index],
            columns.group[index],
            columns.service[index],
        ];
        let numbers = texts.map(|text| names.number(at.batch, text));
        let start = event.start_ns();
        let combination = (numbers, event.stage().code(), columns.outcome[index] as u8);
        let row = counts.entry(combination).or_insert_with(|| SummaryRow {
            values: numbers
                .map(|number| names.name(number).to_owned())
                .into_iter()
                .chain([event.stage().name().to_owned(), event.outcome_name().to_owned()])
                .collect(),
            events: 0,
            failed: 0,
            first_ns: start,
            last_ns: start,
        });
        row.events += 1;
        row.failed += u64::from(matches!(columns.outcome[index], hopscope_model::OutcomeCode::Failed));
        row.first_ns = row.first_ns.min(start);
        row.last_ns = row.last_ns.max(start);
        if counts.len() > SUMMARY_ROWS_MAX {
            return None;
        }
    }
    let mut rows: Vec<SummaryRow> = counts.into_values().collect();
    rows.sort_by(|one, other| one.values.cmp(&other.values));
    Some(rows)
}

/// Of the progress and the tallies of these batches what later reads need, as one batch without events.
pub(crate) fn rest_of(tenant: &Tenant, batches: &[&Batch]) -> Batch {
    let received_ns = batches.iter().map(|batch| batch.received_ns()).min().unwrap_or_default();
    let mut builder = BatchBuilder::new(tenant.clone(), hopscope_model::Source::Otlp, received_ns);
    let samples: Vec<Progress> = batches.iter().flat_map(|batch| batch.progress_owned()).collect();
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
