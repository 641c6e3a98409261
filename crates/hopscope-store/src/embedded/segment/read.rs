//! [`Segment`]: an open segment. Its files stay on the disk; of them only checksums are in memory, and what the
//! caches hold.

use super::caches::Caches;
use super::checked::{CheckedFile, Damaged};
use super::columns::schema;
pub(crate) use super::decode::Rows;
use super::decode::decode;
use super::draft::remove_files;
use super::filters::Filters;
use super::footer::{Footer, InPage};
use super::implied::put_back;
use super::keys::KeyIndex;
use super::pages::Pages;
use super::rollup::Rollup;
use super::{ExtraParts, SegmentId, sums};
use crate::Error;
use crate::embedded::dir::{Dir, read_whole};
use crate::embedded::fingerprint::Kind;
use crate::embedded::frame;
use crate::embedded::manifest::SegmentEntry;
use crate::embedded::read::Cancel;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::{ArrowError, Schema};
use hopscope_model::{Batch, Tenant};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows that are decoded at a time: one page.
const BATCH_ROWS: usize = 2_048;

/// Columns that an identity and a place in the order are made of.
pub(crate) const IDENTITY: &[&str] = &[
    "start_ns",
    "trace",
    "span",
    "creation_trace",
    "creation_span",
    "stage",
    "system",
    "cluster",
    "destination",
    "lane",
    "position",
    "message_id",
];

/// And those that a key is compared with.
pub(crate) const KEYS: &[&str] = &["parent", "correlation_id", "keys"];

/// And those that a query or an aggregation looks at.
pub(crate) const FILTER: &[&str] =
    &["correlation_id", "keys", "service", "address", "group", "outcome", "duration_ns", "attempt"];

/// And those that are summed up beside them.
pub(crate) const MEASURED: &[&str] = &["broker_ns", "origin_ns", "body_bytes", "disposition"];

/// Which part of the metadata of a file of events its filters are; its footer is the first.
const FILTERS_PART: u8 = 1;

/// Why a read of a segment ended before its end.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Stored bytes are damaged: the rest of the store can still be read.
    Damaged(Damaged),
    /// The whole read is over.
    Stopped(Error),
}

impl From<Damaged> for Failed {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Stopped(error)
    }
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub entry: SegmentEntry,
    tenant: Tenant,
    events: CheckedFile,
    keys: KeyIndex,
    extra: CheckedFile,
    remains: Remains,
}

/// Removes the files of a segment that is no more, once no read holds it.
#[derive(Debug)]
struct Remains {
    dir: Arc<dyn Dir>,
    tenant: Tenant,
    id: SegmentId,
    retired: AtomicBool,
}

impl Drop for Remains {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire)
            && let Err(error) = remove_files(&*self.dir, self.tenant.name(), self.id)
        {
            // The next start removes them: no manifest names them.
            tracing::warn!(tenant = self.tenant.name(), segment = %self.id, %error, "files are left");
        }
    }
}

impl Segment {
    /// Opens the files of a segment; that they are complete is verified, their blocks are when read.
    pub fn open(
        dir: &Arc<dyn Dir>,
        tenant: &Tenant,
        entry: &SegmentEntry,
        caches: &Arc<Caches>,
    ) -> Result<Self, Damaged> {
        let [events, keys, extra, sums_name] = entry.id().file_names();
        let damaged = |what: String| Damaged::new(&sums_name, what);
        let folder = tenant.name();
        let bytes = read_sums(&**dir, folder, &sums_name)?;
        if crc32c::crc32c(&bytes) != entry.sums_crc32c {
            return Err(damaged("checksum does not hold".to_owned()));
        }
        let sums = sums::decode(&bytes).map_err(|malformed| damaged(malformed.0.to_owned()))?;
        let open = |number: usize, name: &str| {
            CheckedFile::open(dir, caches, (folder, name), sums.head.lens[number], sums.of(number))
        };
        let (events, key_file, extra) = (open(0, &events)?, open(1, &keys)?, open(2, &extra)?);
        let keys = KeyIndex::new(key_file, entry.rows, sums.head.keys).map_err(damaged)?;
        let (dir, id, retired) = (Arc::clone(dir), entry.id(), AtomicBool::new(false));
        let remains = Remains { dir, tenant: tenant.clone(), id, retired };
        Ok(Self { entry: entry.clone(), tenant: tenant.clone(), events, keys, extra, remains })
    }

    /// Which one it is.
    pub fn id(&self) -> SegmentId {
        self.entry.id()
    }

    /// To be called once no manifest names it: its files go when the last read lets go of it.
    pub fn retire(&self) {
        self.remains.retired.store(true, Ordering::Release);
    }

    /// What it is, as its own file of checksums says.
    pub fn head(&self) -> Result<sums::Head, Damaged> {
        Self::head_of(&*self.remains.dir, &self.tenant, self.id())
    }

    /// What a complete segment's own file of checksums says of it: to rebuild a lost manifest.
    pub fn head_of(dir: &dyn Dir, tenant: &Tenant, id: SegmentId) -> Result<sums::Head, Damaged> {
        let [.., sums_name] = id.file_names();
        let bytes = read_sums(dir, tenant.name(), &sums_name)?;
        let odd = |what: &str| Damaged::new(&sums_name, what);
        let mut head = sums::decode(&bytes).map_err(|malformed| odd(malformed.0))?.head;
        head.entry.bytes += bytes.len() as u64;
        head.entry.sums_crc32c = crc32c::crc32c(&bytes);
        if head.entry.id() == id { Ok(head) } else { Err(odd("is of another segment")) }
    }

    /// The index by key.
    pub fn keys(&self) -> &KeyIndex {
        &self.keys
    }

    /// Every block of every file.
    pub fn verify(&self) -> Result<(), Damaged> {
        self.events.verify()?;
        self.keys.file().verify()?;
        self.extra.verify()
    }

    /// The segment's own counts, where it has them; and the file that their rows are in.
    pub fn rollup(&self) -> Result<(Arc<Option<Rollup>>, &CheckedFile), Damaged> {
        let rollup = self.extra.metadata(1, || {
            let parts = self.extra_parts()?;
            let rollup = match parts.is_summary {
                _ if parts.rollup.is_empty() => None,
                false => Some(Rollup::load(&self.extra, parts.rollup.start)?),
                true => {
                    let len = (parts.rollup.end - parts.rollup.start) as usize;
                    let json = self.extra.read(parts.rollup.start, len)?;
                    Rollup::from_summary(&json).map_err(|odd| self.extra.damaged(odd.0.to_owned()))?
                }
            };
            let bytes = rollup.as_ref().map_or(0, Rollup::byte_len) + size_of::<Rollup>();
            Ok((rollup, bytes))
        })?;
        Ok((rollup, &self.extra))
    }

    /// All samples of progress, and all tallies.
    pub fn with_rest<T>(&self, with: impl FnOnce(&Batch) -> T) -> Result<T, Damaged> {
        let rest = self.extra.metadata(0, || {
            let rest = self.extra_parts()?.rest;
            let bytes = self.extra.read(rest.start, (rest.end - rest.start) as usize)?;
            let rest = frame::decode(&self.tenant, &bytes);
            let rest: Batch = rest.map_err(|odd| self.extra.damaged(odd.0.to_owned()))?;
            let bytes = size_of::<Batch>() + rest.byte_len();
            Ok((rest, bytes))
        })?;
        Ok(with(&rest))
    }

    fn extra_parts(&self) -> Result<ExtraParts, Damaged> {
        ExtraParts::in_file(&self.extra)
    }

    /// Rows that may be under these fingerprints, in order, merged.
    pub fn rows_under(&self, mut fingerprints: Vec<(Kind, u64)>) -> Result<Vec<Range<u32>>, Damaged> {
        fingerprints.sort_unstable();
        let mut ranges = Vec::new();
        for of_kind in fingerprints.chunk_by(|one, other| one.0 == other.0) {
            let values: Vec<u64> = of_kind.iter().map(|(_, fingerprint)| *fingerprint).collect();
            ranges.extend(self.keys.rows_under(of_kind[0].0, &values)?);
        }
        Ok(merged(ranges))
    }

    /// Start and number of each of these rows (in order, not overlapping).
    pub fn starts(&self, ranges: &[Range<u32>]) -> Result<Vec<(i64, u32)>, Damaged> {
        let count = ranges.iter().map(ExactSizeIterator::len).sum();
        let mut starts = Vec::with_capacity(count);
        let mut numbers = ranges.iter().flat_map(|range| range.clone());
        for rows in self.reader(Some(&[&["start_ns"]]), ranges)? {
            let rows = rows.map_err(|error| self.damaged(&error))?;
            let column = rows.column(0).as_primitive_opt::<Int64Type>();
            let column = column.ok_or_else(|| self.damaged(&"a column has another type"))?;
            let values = column.iter().map(|start| start.unwrap_or(hopscope_model::UNKNOWN));
            starts.extend(values.zip(numbers.by_ref()));
        }
        if starts.len() == count { Ok(starts) } else { Err(self.damaged(&"has fewer rows than it says")) }
    }

    /// The pages that these rows (in order, not overlapping) are in, with bounds of their starts.
    pub fn in_pages(&self, ranges: &[Range<u32>]) -> Result<Vec<InPage>, Damaged> {
        Ok(self.footer()?.in_pages(ranges))
    }

    /// Reads these rows (in order, not overlapping) page by page; `columns: None` reads all of them.
    pub fn read(
        &self,
        ranges: &[Range<u32>],
        columns: Option<&[&[&str]]>,
        cancel: &Cancel,
        mut each: impl FnMut(Rows) -> Result<(), Error>,
    ) -> Result<(), Failed> {
        if ranges.is_empty() {
            return Ok(());
        }
        let mut numbers = ranges.iter().flat_map(|range| range.clone());
        for rows in self.reader(columns, ranges)? {
            cancel.check()?;
            let rows = rows.map_err(|error| self.damaged(&error))?;
            self.events.caches().count_rows(rows.num_rows());
            let numbers: Vec<u32> = numbers.by_ref().take(rows.num_rows()).collect();
            let rows = decode(&self.tenant, &rows, numbers);
            each(rows.ok_or_else(|| self.damaged(&"holds a value that is none of ours"))?)?;
        }
        match numbers.next() {
            None => Ok(()),
            Some(_) => Err(self.damaged(&"has fewer rows than it says").into()),
        }
    }

    /// These rows (in order, not overlapping), a page at a time; `columns: None` reads all of them.
    pub fn arrays(
        &self,
        ranges: &[Range<u32>],
        columns: Option<&[&[&str]]>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + use<>, Damaged> {
        self.reader(columns, ranges)
    }

    /// Some columns of these rows (in order, not overlapping), a page at a time.
    pub fn columns(
        &self,
        columns: &[&str],
        ranges: &[Range<u32>],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + use<>, Damaged> {
        self.events.caches().count_rows(ranges.iter().map(ExactSizeIterator::len).sum());
        self.reader(Some(&[columns]), ranges)
    }

    fn reader(
        &self,
        columns: Option<&[&[&str]]>,
        ranges: &[Range<u32>],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + use<>, Damaged> {
        let footer = self.footer()?;
        let levels = columns.map(|names| footer.columns(names)).transpose();
        let levels = levels.map_err(|error| self.damaged(&error))?;
        let pages = Pages::new(self.events.clone(), Arc::clone(&footer), ranges);
        let selection = Some(pages.selection(ranges));
        let levels = levels.as_ref().unwrap_or(&footer.all);
        let rows = ParquetRecordBatchReader::try_new_with_row_groups(levels, &pages, BATCH_ROWS, selection);
        let wanted =
            |name: &str| columns.is_none_or(|columns| columns.iter().any(|columns| columns.contains(&name)));
        let absent: Vec<&str> = footer.absent.iter().copied().filter(|name| wanted(name)).collect();
        let whole = move |rows| with_absent(put_back(rows)?, &absent);
        Ok(rows.map_err(|error| self.damaged(&error))?.map(move |rows| rows.and_then(&whole)))
    }

    /// Whether any of these rows may have an attribute with one of these fingerprints: see [`Filters`].
    pub fn may_have(&self, rows: &[Range<u32>], fingerprints: &[u64]) -> Result<bool, Damaged> {
        let footer = self.footer()?;
        let filters = self
            .events
            .metadata(FILTERS_PART, || Filters::load(&self.events, footer.parquet.file_metadata()))?;
        let Some(filters) = filters.as_ref() else { return Ok(true) };
        for range in rows {
            if filters.may_have(&self.events, range, fingerprints)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn footer(&self) -> Result<Arc<Footer>, Damaged> {
        self.events.metadata(0, || Footer::load(&self.events, self.entry.rows, self.entry.start_ns))
    }

    /// Damage of the file of events.
    pub fn damaged(&self, what: &dyn std::fmt::Display) -> Damaged {
        self.events.damaged(what.to_string())
    }
}

/// Rows with these columns too, which have no values, in the order of the schema.
fn with_absent(rows: RecordBatch, absent: &[&str]) -> Result<RecordBatch, ArrowError> {
    if absent.is_empty() {
        return Ok(rows);
    }
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for field in schema().fields() {
        let column = match rows.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None if absent.contains(&field.name().as_str()) => {
                new_null_array(field.data_type(), rows.num_rows())
            }
            None => continue,
        };
        // What is stored may have nulls that are put back by then.
        fields.push(Arc::clone(field));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// A segment's file of checksums.
pub(super) fn read_sums(dir: &dyn Dir, folder: &str, name: &str) -> Result<Vec<u8>, Damaged> {
    let file = dir.open(&format!("{folder}/{name}")).map_err(|error| Damaged::unopened(name, &error))?;
    let bytes = read_whole(&*file, sums::SUMS_BYTES_MAX);
    bytes.map_err(|error| Damaged::new(name, format!("cannot read: {error}")))
}

/// Ranges in order, those that touch put together.
pub(crate) fn merged(mut ranges: Vec<Range<u32>>) -> Vec<Range<u32>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u32>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => merged.push(range),
        }
    }
    merged
}

/// Numbers in order as ranges.
pub(crate) fn ranges_of(numbers: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    merged(numbers.map(|number| number..number + 1).collect())
}
