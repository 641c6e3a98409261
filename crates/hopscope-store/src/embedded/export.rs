//! Events as one Parquet file that any engine reads, and back. The columns are those of a segment, so a segment's own
//! file can be imported too.
//!
//! It is not a backup: progress and tallies are not events.

use super::candidates::{Split, pages_in_question, rows_in_question};
use super::folder::{Folder, io_error};
use super::read::{Cancel, Read, Source};
use super::segment::{FILTER, Failed, IDENTITY, Rows, Segment, decode, merged, ranges_of, schema};
use crate::{Error, ErrorKind};
use hopscope_model::{Batch, BatchBuilder, MessageEvent, Query, Tenant};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of a row group: what engines read in parallel.
const GROUP_ROWS: usize = 262_144;

/// Rows that are read at a time.
const BATCH_ROWS: usize = 8_192;

/// What became of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Events written.
    pub events: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Why it is not all that there should be; empty when it is.
    pub why_not: Vec<String>,
}

impl Folder {
    /// Writes the events that match to a new file. What is in the log only is sealed first.
    pub fn export(&self, query: &Query, now_ns: i64, to: &Path, cancel: &Cancel) -> Result<Exported, Error> {
        if to.exists() {
            let message = format!("the file is there already file={}", to.display());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.seal_all()?;
        let part = with_suffix(to, ".part");
        let file = fs::File::create(&part).map_err(io_error("cannot make the file"))?;
        let written = self.write_events(query, now_ns, file, cancel);
        let exported = written.and_then(|exported| {
            fs::rename(&part, to).map_err(io_error("cannot name the file"))?;
            Ok(exported)
        });
        if exported.is_err() {
            // Nothing half written stays under any name; a failure to remove it changes nothing.
            let _ = fs::remove_file(&part);
        }
        exported
    }

    fn write_events(
        &self,
        query: &Query,
        now_ns: i64,
        file: fs::File,
        cancel: &Cancel,
    ) -> Result<Exported, Error> {
        let mut read = Read::begin(self, cancel)?;
        let durable = file.try_clone().map_err(io_error("cannot write the file"))?;
        let properties = properties(&self.tenant, query);
        let mut writer = ArrowWriter::try_new(file, schema(), Some(properties)).map_err(unwritable)?;
        let mut exported = Exported::default();
        for source in 0..read.sources.len() {
            // Tables hold what was appended after the export began.
            let Source::Segment(segment) = &read.sources[source] else { continue };
            let segment = Arc::clone(segment);
            let rows = matching(&segment, query, now_ns, cancel);
            let Some(rows) = read.or_damage(&segment, rows)? else { continue };
            let ranges = ranges_of(rows.into_iter());
            if ranges.is_empty() {
                continue;
            }
            let batches = segment.arrays(&ranges, None).map_err(Failed::Damaged);
            let Some(batches) = read.or_damage(&segment, batches)? else { continue };
            for batch in batches {
                cancel.check()?;
                let batch = batch.map_err(|error| Failed::Damaged(segment.damaged(&error)));
                let Some(batch) = read.or_damage(&segment, batch)? else { break };
                exported.events += batch.num_rows() as u64;
                writer.write(&batch).map_err(unwritable)?;
            }
        }
        writer.close().map_err(unwritable)?;
        durable.sync_all().map_err(io_error("cannot sync the file"))?;
        exported.bytes = durable.metadata().map_err(io_error("cannot read the file"))?.len();
        exported.why_not = read.coverage.why_not;
        Ok(exported)
    }
}

fn properties(tenant: &Tenant, query: &Query) -> WriterProperties {
    let of = |key: &str, value: String| KeyValue::new(format!("hopscope.{key}"), value);
    WriterProperties::builder()
        .set_created_by("hopscope".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_key_value_metadata(Some(vec![
            of("format", "1".to_owned()),
            of("tenant", tenant.name().to_owned()),
            of("query", query.to_string()),
        ]))
        .build()
}

fn unwritable(error: parquet::errors::ParquetError) -> Error {
    Error::new(ErrorKind::Internal, format!("cannot write the file: {error}")).because(error)
}

/// Numbers of the rows that match, in order.
fn matching(segment: &Segment, query: &Query, now_ns: i64, cancel: &Cancel) -> Result<Vec<u32>, Failed> {
    let (since, until) = query.range(now_ns);
    let (first, last) = segment.entry.start_ns;
    if segment.entry.rows == 0 || first >= until || last < since {
        return Ok(Vec::new());
    }
    let pages = pages_in_question(segment, &rows_in_question(segment, query)?, query, now_ns)?;
    let ranges = merged(pages.into_iter().flat_map(|page| page.rows).collect());
    let split = Split::of(query);
    let ranges = split.rows_with(segment, &ranges, ranges.clone(), cancel)?;
    let mut matching = Vec::new();
    segment.read(&ranges, Some(&[IDENTITY, FILTER]), cancel, |rows| {
        let events = rows.batch.events().filter(|event| split.columns.matches(*event, now_ns));
        matching.extend(events.map(|event| rows.numbers[event.index()]));
        Ok(())
    })?;
    Ok(matching)
}

/// A path with something at its end.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The events of a Parquet file that an export wrote, as batches to append: of each as they were received, so that
/// what is stored already is known again.
#[derive(Debug)]
pub struct Import {
    reader: ParquetRecordBatchReader,
    tenant: Tenant,
    file: String,
    row: u32,
}

impl Import {
    /// Opens a file.
    ///
    /// # Errors
    /// `Invalid` where it is not one of ours.
    pub fn open(path: &Path, tenant: &Tenant) -> Result<Self, Error> {
        let name = path.display().to_string();
        let invalid = |what: String| Error::new(ErrorKind::Invalid, format!("{what} file={name}"));
        let file = fs::File::open(path).map_err(|error| invalid(format!("cannot open: {error}")))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| invalid(format!("not a Parquet file: {error}")))?;
        for field in schema().fields() {
            let found = builder.schema().field_with_name(field.name());
            if found.is_err() {
                return Err(invalid(format!(
                    "not a file of events, a column is missing column={}",
                    field.name()
                )));
            }
            if found.is_ok_and(|found| found.data_type() != field.data_type()) {
                return Err(invalid(format!("a column has another type column={}", field.name())));
            }
        }
        let reader = builder.with_batch_size(BATCH_ROWS).build();
        let reader = reader.map_err(|error| invalid(format!("cannot read: {error}")))?;
        Ok(Self { reader, tenant: tenant.clone(), file: name, row: 0 })
    }

    fn batches_of(&self, rows: &Rows) -> Option<Vec<Batch>> {
        let mut builders: BTreeMap<(i64, &'static str), BatchBuilder> = BTreeMap::new();
        for index in 0..rows.batch.len() {
            let event: MessageEvent = rows.event(index)?;
            let (received_ns, source) = (event.received_ns, event.source);
            let new = || BatchBuilder::new(self.tenant.clone(), source, received_ns);
            builders.entry((received_ns, source.name())).or_insert_with(new).push_event(&event);
        }
        Some(builders.into_values().map(BatchBuilder::finish).collect())
    }
}

impl Iterator for Import {
    type Item = Result<Vec<Batch>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.row;
        let invalid =
            |what: String| Error::new(ErrorKind::Corrupt, format!("{what} file={} row={from}", self.file));
        let rows = match self.reader.next()? {
            Ok(rows) => rows,
            Err(error) => return Some(Err(invalid(format!("cannot read: {error}")))),
        };
        self.row = from.saturating_add(rows.num_rows() as u32);
        let decoded = decode(&self.tenant, &rows, (from..self.row).collect());
        let batches = decoded.and_then(|rows| self.batches_of(&rows));
        Some(batches.ok_or_else(|| invalid("holds a value that is none of ours".to_owned())))
    }
}
