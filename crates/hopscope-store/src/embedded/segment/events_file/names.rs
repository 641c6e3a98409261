//! [`NamesChunk`]: one column of names of one row group, as Parquet has it: a page with each name once, then pages of
//! numbers of names, in runs where they repeat and else in as few bits as they need.

use super::super::numbered::Numbered;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// See the module.
pub(super) struct NamesChunk {
    column: ColumnDescPtr,
    page_rows: usize,
    codec: Compression,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    names: Numbered<String>,
    /// Of the page that is being filled: numbers, [`ABSENT`] where there is no name.
    page: Vec<u32>,
    pages: Vec<Encoded>,
}

/// A page as it will be in the file.
struct Encoded {
    bytes: Vec<u8>,
    uncompressed: usize,
    rows: usize,
    absent: usize,
}

const ABSENT: u32 = u32::MAX;

impl NamesChunk {
    pub fn new(column: &ColumnDescPtr, properties: &WriterProperties) -> Result<Self> {
        let codec = properties.compression(column.path());
        let compressor = match codec {
            Compression::UNCOMPRESSED => None,
            Compression::ZSTD(level) => Some(zstd::bulk::Compressor::new(level.compression_level())?),
            other => return Err(ParquetError::NYI(format!("names compressed by {other}"))),
        };
        Ok(Self {
            column: ColumnDescPtr::clone(column),
            page_rows: properties.data_page_row_count_limit(),
            codec,
            compressor,
            names: Numbered::default(),
            page: Vec::new(),
            pages: Vec::new(),
        })
    }

    /// Adds rows.
    pub fn push(&mut self, array: &ArrayRef) -> Result<()> {
        let other = || ParquetError::General("a column of names has another type".to_owned());
        let dictionary = array.as_dictionary_opt::<Int32Type>().ok_or_else(other)?;
        let (keys, names) =
            (dictionary.keys(), dictionary.values().as_string_opt::<i32>().ok_or_else(other)?);
        // Of each name of the array its number here.
        let mut known: Vec<u32> = vec![ABSENT; names.len()];
        for row in 0..keys.len() {
            let number = if keys.is_null(row) {
                ABSENT
            } else {
                let key = keys.value(row) as usize;
                if known[key] == ABSENT {
                    known[key] = self.names.number(names.value(key));
                }
                known[key]
            };
            self.page.push(number);
            if self.page.len() == self.page_rows {
                self.end_page()?;
            }
        }
        Ok(())
    }

    fn end_page(&mut self) -> Result<()> {
        let rows = self.page.len();
        let present: Vec<u32> = self.page.iter().copied().filter(|number| *number != ABSENT).collect();
        let mut plain = vec![0; 4];
        let absent = rows - present.len();
        if absent == 0 {
            put_runs(&mut plain, &vec![1; rows], 1);
        } else {
            let levels: Vec<u32> = self.page.iter().map(|number| u32::from(*number != ABSENT)).collect();
            put_runs(&mut plain, &levels, 1);
        }
        let levels_len = (plain.len() - 4) as u32;
        plain[..4].copy_from_slice(&levels_len.to_le_bytes());
        // Not none: some readers take no pages of no bits.
        let width = (u32::BITS - present.iter().copied().max().unwrap_or(0).leading_zeros()).max(1);
        plain.push(width as u8);
        put_runs(&mut plain, &present, width);
        self.page.clear();
        let (bytes, uncompressed) = self.compressed(plain)?;
        self.pages.push(Encoded { bytes, uncompressed, rows, absent });
        Ok(())
    }

    fn compressed(&mut self, plain: Vec<u8>) -> Result<(Vec<u8>, usize)> {
        let len = plain.len();
        match &mut self.compressor {
            None => Ok((plain, len)),
            Some(compressor) => Ok((compressor.compress(&plain)?, len)),
        }
    }

    /// The chunk, and what the footer says of it, with offsets from its begin.
    pub fn finish(mut self) -> Result<(Bytes, ColumnCloseResult)> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        let mut names = Vec::new();
        for name in &self.names.all {
            names.extend_from_slice(&(name.len() as u32).to_le_bytes());
            names.extend_from_slice(name.as_bytes());
        }
        let (names, names_len) = self.compressed(names)?;
        let mut sink = TrackedWrite::new(Vec::new());
        let mut writer = SerializedPageWriter::new(&mut sink);
        let page = Page::DictionaryPage {
            buf: names.into(),
            num_values: self.names.all.len() as u32,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let first = writer.write_page(CompressedPage::new(page, names_len))?;
        let mut uncompressed = first.uncompressed_size;
        let mut offsets = OffsetIndexBuilder::new();
        let (mut rows, mut absent) = (0, 0);
        for page in self.pages {
            let data = Page::DataPage {
                buf: page.bytes.into(),
                num_values: page.rows as u32,
                encoding: Encoding::RLE_DICTIONARY,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            };
            let written = writer.write_page(CompressedPage::new(data, page.uncompressed))?;
            offsets.append_row_count(page.rows as i64);
            offsets.append_offset_and_size(written.offset as i64, written.compressed_size as i32);
            uncompressed += written.uncompressed_size;
            (rows, absent) = (rows + page.rows, absent + page.absent);
        }
        writer.close()?;
        let bytes = sink.into_inner()?;
        // The footer is in memory for long: bounds that would take much of it are left out.
        let bound = |name: Option<&String>| {
            name.filter(|name| name.len() <= BOUND_BYTES_MAX).map(|name| ByteArray::from(name.as_str()))
        };
        let (least, most) = (bound(self.names.all.iter().min()), bound(self.names.all.iter().max()));
        let statistics = ValueStatistics::new(least, most, None, Some(absent as u64), false);
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(self.codec)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(uncompressed as i64)
            .set_num_values(rows as i64)
            .set_data_page_offset(first.bytes_written as i64)
            .set_dictionary_page_offset(Some(0))
            .set_statistics(Statistics::from(statistics))
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(offsets.build()),
        };
        Ok((bytes.into(), close))
    }
}

/// Longest name that is told as the least or the most of a column.
const BOUND_BYTES_MAX: usize = 64;

/// Fewest equal numbers that are written as a run.
const RUN_MIN: usize = 8;

/// Appends numbers of at most `width` bits in Parquet's hybrid of runs and packed groups of eight.
fn put_runs(out: &mut Vec<u8>, numbers: &[u32], width: u32) {
    let mut packed = 0;
    let mut at = 0;
    while at < numbers.len() {
        let run = numbers[at..].iter().take_while(|number| **number == numbers[at]).count();
        // A packed group is full but for the last one of all: a run gives it what it lacks.
        let lacks = (at - packed).next_multiple_of(8) - (at - packed);
        if run < RUN_MIN + lacks {
            at += run;
            continue;
        }
        put_packed(out, &numbers[packed..at + lacks], width);
        let run = run - lacks;
        put_varint(out, (run as u64) << 1);
        out.extend_from_slice(&numbers[at + lacks].to_le_bytes()[..width.div_ceil(8) as usize]);
        at += lacks + run;
        packed = at;
    }
    put_packed(out, &numbers[packed..], width);
}

fn put_packed(out: &mut Vec<u8>, numbers: &[u32], width: u32) {
    if numbers.is_empty() {
        return;
    }
    let groups = numbers.len().div_ceil(8);
    put_varint(out, (groups as u64) << 1 | 1);
    let (mut pending, mut filled) = (0u64, 0);
    let padding = groups * 8 - numbers.len();
    for number in numbers.iter().copied().chain(std::iter::repeat_n(0, padding)) {
        pending |= u64::from(number) << filled;
        filled += width;
        while filled >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            filled -= 8;
        }
    }
}

/// Appends a number, seven bits a byte, the least first.
fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests;
