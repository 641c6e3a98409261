//! [`Places`]: where the pages of a Parquet file lie, packed. What the parquet crate keeps of it takes six times
//! the memory, and of a store of a hundred million events that would be more than all caches may hold.

use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use std::ops::Range;
use std::sync::Arc;

/// Where all pages lie.
#[derive(Debug)]
pub(super) struct Places {
    groups: Vec<Group>,
}

/// A row group.
#[derive(Debug)]
pub(super) struct Group {
    /// Its rows in the file.
    pub rows: Range<u32>,
    columns: Vec<Column>,
}

/// One column of a row group.
#[derive(Debug)]
pub(super) struct Column {
    /// Place in the file of its dictionary.
    pub dictionary: Option<Range<u64>>,
    /// Whether its pages are compressed (with zstd).
    pub compressed: bool,
    /// Place in the file of its first page.
    start: u64,
    /// First row of every page, within the group. Mostly shared by all columns.
    first_rows: Arc<[u32]>,
    /// Where every page ends, from the start on: they lie one behind the other.
    ends: Box<[u32]>,
}

/// Rows of one row group from the first row of a page to the last one of a page, in every column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub group: usize,
    /// Within the group.
    pub rows: Range<u32>,
}

impl Places {
    /// Packs what the file says; says why where it is not as we write it.
    pub fn new(metadata: &ParquetMetaData) -> Result<Self, &'static str> {
        let mut groups = Vec::with_capacity(metadata.num_row_groups());
        let mut first = 0u32;
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let index = metadata.page_index_for_row_group(number);
            let count = u32::try_from(group.num_rows()).map_err(|_| "has an odd row group")?;
            let rows = first..first.checked_add(count).ok_or("has too many rows")?;
            let mut columns: Vec<Column> = Vec::with_capacity(group.num_columns());
            for (number, column) in group.columns().iter().enumerate() {
                let pages = index.page_locations(number).ok_or("has no index of pages")?;
                columns.push(Column::new(column, pages, count, columns.last())?);
            }
            first = rows.end;
            groups.push(Group { rows, columns });
        }
        Ok(Self { groups })
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let columns = self.groups.iter().flat_map(|group| &group.columns);
        let of_columns = columns.map(|column| size_of::<Column>() + size_of_val(&*column.ends));
        // The columns of a group mostly share one.
        let rows = self.groups.iter().filter_map(|group| group.columns.first());
        of_columns.sum::<usize>() + rows.map(|column| size_of_val(&*column.first_rows)).sum::<usize>()
    }

    pub fn group(&self, number: usize) -> &Group {
        &self.groups[number]
    }

    /// The pages that have these rows (in order, not overlapping), and what lies between them: one span for
    /// each row group.
    pub fn spans(&self, ranges: &[Range<u32>]) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut rest = ranges;
        for (number, group) in self.groups.iter().enumerate() {
            let behind = rest.partition_point(|range| range.end <= group.rows.start);
            rest = &rest[behind..];
            let within = &rest[..rest.partition_point(|range| range.start < group.rows.end)];
            if let (Some(first), Some(last)) = (within.first(), within.last()) {
                let start = first.start.max(group.rows.start) - group.rows.start;
                let end = last.end.min(group.rows.end) - group.rows.start;
                spans.push(Span { group: number, rows: group.aligned(start..end) });
            }
        }
        spans
    }
}

impl Group {
    pub fn column(&self, number: usize) -> Option<&Column> {
        self.columns.get(number)
    }

    /// These rows (of the group) and those around them, so that in every column pages begin and end with them.
    fn aligned(&self, rows: Range<u32>) -> Range<u32> {
        let count = self.rows.end - self.rows.start;
        let (mut start, mut end) = (rows.start, rows.end);
        loop {
            let (before, after) = (start, end);
            let mut last: Option<&Arc<[u32]>> = None;
            for column in &self.columns {
                let firsts = &column.first_rows;
                if !last.is_some_and(|last| Arc::ptr_eq(last, firsts)) {
                    let behind = firsts.partition_point(|first| *first <= start);
                    start = behind.checked_sub(1).map_or(0, |page| firsts[page]);
                    let next = firsts.partition_point(|first| *first < end);
                    end = firsts.get(next).copied().unwrap_or(count);
                    last = Some(firsts);
                }
            }
            if (start, end) == (before, after) {
                return start..end;
            }
        }
    }
}

impl Column {
    fn new(
        column: &ColumnChunkMetaData,
        pages: &[PageLocation],
        rows: u32,
        before: Option<&Self>,
    ) -> Result<Self, &'static str> {
        const ODD: &str = "has an odd index of pages";
        let compressed = match column.compression() {
            Compression::UNCOMPRESSED => false,
            Compression::ZSTD(_) => true,
            _ => return Err("has pages of a compression that is not known"),
        };
        let start = pages.first().map_or(Some(0), |page| u64::try_from(page.offset).ok()).ok_or(ODD)?;
        let mut ends = Vec::with_capacity(pages.len());
        let mut first_rows: Vec<u32> = Vec::with_capacity(pages.len());
        let mut end = 0u32;
        for page in pages {
            let first = u32::try_from(page.first_row_index).map_err(|_| ODD)?;
            let in_order = first_rows.last().map_or(first == 0, |last| *last < first) && first < rows;
            let bytes = u32::try_from(page.compressed_page_size).map_err(|_| ODD)?;
            if !in_order || u64::try_from(page.offset) != Ok(start + u64::from(end)) {
                return Err(ODD);
            }
            end = end.checked_add(bytes).ok_or(ODD)?;
            first_rows.push(first);
            ends.push(end);
        }
        if pages.is_empty() && rows > 0 {
            return Err(ODD);
        }
        // What lies before the first page is the dictionary.
        let dictionary = match column.dictionary_page_offset() {
            Some(place) => Some(u64::try_from(place).ok().filter(|place| *place < start).ok_or(ODD)?..start),
            None => None,
        };
        let first_rows = match before.filter(|before| *before.first_rows == *first_rows) {
            Some(before) => Arc::clone(&before.first_rows),
            None => first_rows.into(),
        };
        Ok(Self { dictionary, compressed, start, first_rows, ends: ends.into() })
    }

    /// Where the pages of these rows lie, which are those of a [`Span`].
    pub fn pages(&self, rows: &Range<u32>) -> Vec<PageLocation> {
        let from = self.first_rows.partition_point(|first| *first < rows.start);
        let to = self.first_rows.partition_point(|first| *first < rows.end);
        let page = |number: usize| {
            let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
            PageLocation {
                offset: (self.start + u64::from(start)) as i64,
                compressed_page_size: (self.ends[number] - start) as i32,
                first_row_index: i64::from(self.first_rows[number]),
            }
        };
        (from..to).map(page).collect()
    }
}
