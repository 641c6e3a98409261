//! [`Output`]: a segment's events, filters, key index and counts in the making, rows in their order.

use super::arrays::Arrays;
use super::draft::Summed;
use super::events_file::EventsFile;
use super::filters;
use super::implied::left_out;
use super::keys;
use super::rollup::Summing;
use super::write::{Kept, index_rows};
use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

/// See the module.
pub(super) struct Output {
    events: EventsFile,
    filters: filters::Writer,
    keys: keys::Writer,
    summing: Summing,
    /// All rows are counted already.
    counted: bool,
    rows: u32,
    start_ns: Option<(i64, i64)>,
}

/// What was put in.
pub(super) struct Put {
    pub events: Summed,
    pub keys: (Vec<u8>, Vec<keys::Part>),
    /// See [`Extra::rollup`](super::Extra::rollup).
    pub rollup: Vec<u8>,
    pub rows: u32,
    /// Earliest and latest start; zeros without rows.
    pub start_ns: (i64, i64),
}

impl Output {
    /// Writes events into that file.
    pub fn new(file: Summed, kept: Kept) -> Result<Self, ParquetError> {
        let events = EventsFile::new(file, kept)?;
        let (filters, keys, summing) =
            (filters::Writer::default(), keys::Writer::default(), Summing::default());
        Ok(Self { events, filters, keys, summing, counted: false, rows: 0, start_ns: None })
    }

    /// Takes these counts for those of all rows to come.
    pub fn count_by(&mut self, counts: Summing) {
        (self.summing, self.counted) = (counts, true);
    }

    /// Adds rows behind those that there are.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let odd = || ArrowError::InvalidArgumentError("holds a value that is none of ours".to_owned());
        let arrays = Arrays::of(rows).ok_or_else(odd)?;
        index_rows(&mut self.keys, self.rows, &arrays).ok_or_else(odd)?;
        if !self.counted {
            self.summing.add(&arrays);
        }
        self.filters.add(&arrays);
        let starts = (0..arrays.rows()).filter_map(|row| arrays.start_ns.at(row));
        self.start_ns = starts.fold(self.start_ns, |range, start_ns| {
            Some(
                range.map_or((start_ns, start_ns), |(first, last)| (first.min(start_ns), last.max(start_ns))),
            )
        });
        self.rows += arrays.rows() as u32;
        self.events.push(&left_out(rows)?).map_err(|error| ArrowError::ExternalError(Box::new(error)))
    }

    /// All of it.
    pub fn finish(self) -> Result<Put, ParquetError> {
        Ok(Put {
            events: self.events.finish(self.filters)?,
            keys: self.keys.finish(),
            rollup: self.summing.finish().unwrap_or_default(),
            rows: self.rows,
            start_ns: self.start_ns.unwrap_or_default(),
        })
    }
}
