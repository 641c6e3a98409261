//! [`Footer`]: what a segment's Parquet file says of itself, and in which pages which times are.

use super::checked::{CheckedFile, Damaged};
use super::columns::NAMES;
use super::implied::with_sources;
use super::places::Places;
use arrow_schema::Fields;
use hopscope_model::UNKNOWN;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use std::ops::Range;

/// Bytes of memory of the arrow schema, which the size that Parquet tells does not count.
const SCHEMA_BYTES: usize = 24 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Footer {
    /// Without its index of pages.
    pub parquet: ParquetMetaData,
    pub(super) places: Places,
    fields: Fields,
    /// All columns that have a value.
    pub all: FieldLevels,
    /// Columns of names that have none: they need not be read.
    pub absent: Vec<&'static str>,
    /// Pages of the starts, in order of their rows.
    pub pages: Vec<Page>,
}

/// A page of the starts of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub rows: Range<u32>,
    /// Earliest and latest start in it.
    pub start_ns: (i64, i64),
}

/// Rows of one page that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InPage {
    /// In order, not overlapping.
    pub rows: Vec<Range<u32>>,
    /// Earliest and latest start of the whole page.
    pub start_ns: (i64, i64),
}

impl Footer {
    /// Reads it, and says its bytes of memory.
    pub fn load(file: &CheckedFile, rows: u32, start_ns: (i64, i64)) -> Result<(Self, usize), Damaged> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let odd = |error: ParquetError| file.damaged(error.to_string());
        let parquet = ArrowReaderMetadata::load(file, options).map_err(odd)?;
        // Without an index of pages all rows are as one page: slower, and as right.
        let pages = pages_of(&parquet, rows).unwrap_or_else(|| vec![Page { rows: 0..rows, start_ns }]);
        let places = Places::new(parquet.metadata()).map_err(|what| file.damaged(what.to_owned()))?;
        let fields = parquet.schema().fields().clone();
        let parquet = (**parquet.metadata()).clone().into_builder().set_page_index(None).build();
        let absent = absent_names(&parquet);
        let names = fields.iter().map(|field| field.name().as_str());
        let mask = mask_of(&parquet, &absent, names);
        let all = levels(&parquet, mask, &fields).map_err(odd)?;
        let bytes = parquet.memory_size() + places.bytes() + pages.len() * size_of::<Page>() + SCHEMA_BYTES;
        Ok((Self { parquet, places, fields, all, absent, pages }, bytes))
    }

    /// These columns, and those that are needed to put back what was left out of them.
    pub fn columns(&self, names: &[&[&str]]) -> Result<FieldLevels, ParquetError> {
        let names = with_sources(names.iter().flat_map(|names| names.iter().copied())).into_iter();
        levels(&self.parquet, mask_of(&self.parquet, &self.absent, names), &self.fields)
    }

    /// The pages that these rows (in order, not overlapping) are in.
    pub fn in_pages(&self, ranges: &[Range<u32>]) -> Vec<InPage> {
        let mut found: Vec<InPage> = Vec::new();
        let mut number = 0;
        let mut last = None;
        for range in ranges {
            let mut start = range.start;
            while start < range.end {
                number += self.pages[number..].partition_point(|page| page.rows.end <= start);
                let Some(page) = self.pages.get(number) else { return found };
                let end = range.end.min(page.rows.end);
                match found.last_mut().filter(|_| last == Some(number)) {
                    Some(in_page) => in_page.rows.push(start..end),
                    None => found.push(InPage { rows: vec![start..end], start_ns: page.start_ns }),
                }
                last = Some(number);
                start = end;
            }
        }
        found
    }
}

fn mask_of<'a>(
    parquet: &ParquetMetaData,
    absent: &[&str],
    names: impl Iterator<Item = &'a str>,
) -> ProjectionMask {
    let present = names.filter(|name| !absent.contains(name));
    ProjectionMask::columns(parquet.file_metadata().schema_descr(), present)
}

fn absent_names(parquet: &ParquetMetaData) -> Vec<&'static str> {
    let is_absent = |name: &&'static str| {
        let mut groups = parquet.row_groups().iter();
        groups.all(|group| {
            let column = group.columns().iter().find(|column| column.column_path().string() == **name);
            let nulls = column.and_then(|column| column.statistics()?.null_count_opt());
            nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(group.num_rows()))
        })
    };
    NAMES.into_iter().filter(is_absent).collect()
}

fn levels(
    parquet: &ParquetMetaData,
    mask: ProjectionMask,
    fields: &Fields,
) -> Result<FieldLevels, ParquetError> {
    parquet_to_arrow_field_levels(parquet.file_metadata().schema_descr(), mask, Some(fields))
}

fn pages_of(parquet: &ArrowReaderMetadata, rows: u32) -> Option<Vec<Page>> {
    let metadata = parquet.metadata();
    let mut pages: Vec<Page> = Vec::new();
    let mut first = 0i64;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let column = starts_column(group)?;
        let index = metadata.page_index_for_row_group(number);
        let ColumnIndexMetaData::INT64(bounds) = index.column_index(column)? else { return None };
        let places = index.page_locations(column)?;
        let ends = places.iter().skip(1).map(|place| place.first_row_index).chain([group.num_rows()]);
        for (number, (place, end)) in places.iter().zip(ends).enumerate() {
            let rows = [first + place.first_row_index, first + end].map(u32::try_from);
            let [Ok(start), Ok(end)] = rows else { return None };
            let bounds = match (bounds.min_value(number), bounds.max_value(number)) {
                // An unknown start is a null, which bounds do not count: it comes before all others.
                (Some(least), Some(most)) if bounds.null_count(number) == Some(0) => (*least, *most),
                (_, most) => (UNKNOWN, most.copied().unwrap_or(UNKNOWN)),
            };
            pages.push(Page { rows: start..end, start_ns: bounds });
        }
        first += group.num_rows();
    }
    // What a damaged writer could have said must not lead to rows that are not there, or are skipped.
    let whole = pages.iter().try_fold(0, |at, page| (page.rows.start == at).then_some(page.rows.end));
    (whole == Some(rows)).then_some(pages)
}

fn starts_column(group: &RowGroupMetaData) -> Option<usize> {
    group.columns().iter().position(|column| column.column_path().string() == "start_ns")
}
