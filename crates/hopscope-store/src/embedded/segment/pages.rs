//! [`Pages`]: the pages of a segment's events that a read wants, for the parquet crate to decode. By itself the
//! crate would go through all row groups and all their pages to those that are wanted, and make a zstd context
//! for every column of each: together more work than all the rest of a look-up.

use super::checked::CheckedFile;
use super::footer::Footer;
use super::places::{Column, Span};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{RowGroups, RowSelection};
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;
use std::ops::Range;
use std::sync::Arc;

/// See the module.
pub(super) struct Pages {
    file: Arc<CheckedFile>,
    footer: Arc<Footer>,
    spans: Vec<Span>,
}

impl Pages {
    /// The pages that have these rows (in order, not overlapping).
    pub fn new(file: CheckedFile, footer: Arc<Footer>, ranges: &[Range<u32>]) -> Self {
        let spans = footer.places.spans(ranges);
        Self { file: Arc::new(file), footer, spans }
    }

    /// The same rows, among those of the pages.
    pub fn selection(&self, ranges: &[Range<u32>]) -> RowSelection {
        let mut selected: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
        let mut before = 0;
        for span in &self.spans {
            let first = self.footer.places.group(span.group).rows.start;
            let rows = first + span.rows.start..first + span.rows.end;
            let from = ranges.partition_point(|range| range.end <= rows.start);
            let within = ranges[from..].iter().take_while(|range| range.start < rows.end);
            let place = |row: u32| before + (row - rows.start) as usize;
            selected.extend(
                within.map(|range| place(range.start.max(rows.start))..place(range.end.min(rows.end))),
            );
            before += rows.len();
        }
        RowSelection::from_consecutive_ranges(selected.into_iter(), before)
    }
}

impl RowGroups for Pages {
    fn num_rows(&self) -> usize {
        self.spans.iter().map(|span| span.rows.len()).sum()
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        let (file, footer) = (Arc::clone(&self.file), Arc::clone(&self.footer));
        Ok(Box::new(OfColumn { file, footer, column, spans: self.spans.clone().into_iter() }))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.spans.iter().map(|span| self.metadata().row_group(span.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.footer.parquet
    }
}

/// The pages of one column, row group by row group.
struct OfColumn {
    file: Arc<CheckedFile>,
    footer: Arc<Footer>,
    column: usize,
    spans: std::vec::IntoIter<Span>,
}

impl Iterator for OfColumn {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        let span = self.spans.next()?;
        let column = self.footer.places.group(span.group).column(self.column);
        let reader = column.ok_or_else(|| ParquetError::General("has too few columns".to_owned()));
        let described = self.footer.parquet.file_metadata().schema_descr().column(self.column);
        let reader = reader.and_then(|column| OfSpan::new(&self.file, described, column, &span.rows));
        Some(reader.map(|reader| Box::new(reader) as _))
    }
}

impl PageIterator for OfColumn {}

/// The pages of one column and span. What reads them believes that they are not compressed.
struct OfSpan {
    dictionary: Option<SerializedPageReader<CheckedFile>>,
    pages: SerializedPageReader<CheckedFile>,
    file: Arc<CheckedFile>,
    compressed: bool,
}

impl OfSpan {
    fn new(
        file: &Arc<CheckedFile>,
        described: ColumnDescPtr,
        column: &Column,
        rows: &Range<u32>,
    ) -> Result<Self> {
        let reader = |pages: Vec<PageLocation>| {
            let start = pages.first().map_or(0, |page| page.offset);
            let bytes = pages.iter().map(|page| i64::from(page.compressed_page_size)).sum();
            let chunk = ColumnChunkMetaData::builder(Arc::clone(&described))
                .set_compression(Compression::UNCOMPRESSED)
                .set_data_page_offset(start)
                .set_total_compressed_size(bytes)
                .build()?;
            SerializedPageReader::new(Arc::clone(file), &chunk, rows.end as usize, Some(pages))
        };
        let dictionary = column.dictionary.as_ref().map(|place| {
            let size = i32::try_from(place.end - place.start)?;
            let place =
                PageLocation { offset: place.start as i64, compressed_page_size: size, first_row_index: 0 };
            reader(vec![place])
        });
        Ok(Self {
            dictionary: dictionary.transpose()?,
            pages: reader(column.pages(rows))?,
            file: Arc::clone(file),
            compressed: column.compressed,
        })
    }

    fn unpacked(&self, page: Page) -> Result<Page> {
        if !self.compressed {
            return Ok(page);
        }
        let unpack = |bytes: Bytes| {
            let unpacked = self.file.caches().unpacked(&bytes);
            unpacked.map_err(|error| ParquetError::External(Box::new(error)))
        };
        match page {
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
            } => Ok(Page::DataPage {
                buf: unpack(buf)?,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
            }),
            Page::DictionaryPage { buf, num_values, encoding, is_sorted } => {
                Ok(Page::DictionaryPage { buf: unpack(buf)?, num_values, encoding, is_sorted })
            }
            // Of which only a part is compressed: no segment has them.
            Page::DataPageV2 { .. } => Err(ParquetError::General("a page of another version".to_owned())),
        }
    }
}

impl Iterator for OfSpan {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for OfSpan {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = match self.dictionary.take() {
            Some(mut dictionary) => dictionary.get_next_page()?,
            None => self.pages.get_next_page()?,
        };
        page.map(|page| self.unpacked(page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        match self.dictionary {
            Some(_) => Ok(Some(PageMetadata { num_rows: None, num_levels: None, is_dict: true })),
            None => self.pages.peek_next_page(),
        }
    }

    fn skip_next_page(&mut self) -> Result<()> {
        match self.dictionary.take() {
            Some(_) => Ok(()),
            None => self.pages.skip_next_page(),
        }
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

#[cfg(test)]
mod tests {
    use super::super::checked::{BLOCK_BYTES, BlockSums, block_sums};
    use super::super::{Caches, merged};
    use super::*;
    use crate::embedded::dir::{Dir, write_all};
    use crate::embedded::options::Options;
    use crate::embedded::sim_dir::SimDir;
    use crate::kit::random::Random;
    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray};
    use arrow_select::concat::concat_batches;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
    use parquet::basic::ZstdLevel;
    use parquet::file::properties::WriterProperties;
    use parquet::schema::types::ColumnPath;

    const ROWS: u32 = 2_000;

    /// Rows of a page.
    const PAGE: usize = 64;

    /// Columns of every kind in several row groups; their pages may end together, or anywhere.
    fn written(random: &mut Random, together: bool) -> Vec<u8> {
        let (keys_max, batch_rows, page_bytes) = if together { (1, PAGE, 1 << 20) } else { (4, 16, 1_000) };
        let mut keys = ListBuilder::new(StringBuilder::new());
        for row in 0..ROWS {
            (0..random.below(keys_max + 1))
                .for_each(|key| keys.values().append_value(format!("{row}-{key}")));
            keys.append(true);
        }
        let mut text = || Some("x".repeat(random.below(60) as usize)).filter(|text| text.len() > 9);
        let texts: StringArray = (0..ROWS).map(|_| text()).collect();
        let names: DictionaryArray<Int32Type> =
            (0..ROWS).map(|row| Some(["one", "two", "three"][row as usize / 7 % 3])).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("start_ns", Arc::new((0..i64::from(ROWS)).collect::<Int64Array>())),
            ("name", Arc::new(names)),
            ("text", Arc::new(texts)),
            ("keys", Arc::new(keys.finish())),
        ];
        let rows = RecordBatch::try_from_iter(columns).expect("rows");
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_column_compression(ColumnPath::from("name"), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(ColumnPath::from("text"), false)
            .set_data_page_row_count_limit(PAGE)
            .set_data_page_size_limit(page_bytes)
            .set_write_batch_size(batch_rows)
            .set_max_row_group_row_count(Some(600));
        let mut writer =
            ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties.build())).expect("a writer");
        writer.write(&rows).expect("written");
        writer.into_inner().expect("a file")
    }

    fn opened(bytes: &[u8]) -> CheckedFile {
        let dir = SimDir::new();
        dir.make_dir("t").expect("made");
        write_all(&dir, "t/events", bytes).expect("written");
        let (dir, caches): (Arc<dyn Dir>, _) = (Arc::new(dir), Arc::new(Caches::new(&Options::default())));
        let sums = BlockSums { block_bytes: BLOCK_BYTES, sums: block_sums(bytes, BLOCK_BYTES) };
        CheckedFile::open(&dir, &caches, ("t", "events"), bytes.len() as u64, sums).expect("sound")
    }

    #[test]
    fn any_rows_are_those_of_the_whole_file() {
        let seed = 12;
        println!("seed={seed}");
        let mut random = Random(seed);
        any_rows(&mut random, true);
        any_rows(&mut random, false);
    }

    fn any_rows(random: &mut Random, together: bool) {
        let bytes = written(random, together);
        let file = opened(&bytes);
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("Parquet");
        let schema = Arc::clone(reader.schema());
        let whole: Vec<RecordBatch> =
            reader.build().expect("a reader").collect::<std::result::Result<_, _>>().expect("rows");
        let whole = concat_batches(&schema, &whole).expect("rows");
        let (footer, _) = Footer::load(&file, ROWS, (0, i64::from(ROWS))).expect("a footer");
        let footer = Arc::new(footer);
        for round in 0..300 {
            let range = |random: &mut Random| {
                let start = random.below(u64::from(ROWS)) as u32;
                let most = 1 << random.below(10);
                start..(start + 1 + random.below(most) as u32).min(ROWS)
            };
            let ranges = merged((0..1 + random.below(4)).map(|_| range(random)).collect());
            let pages = Pages::new(file.clone(), Arc::clone(&footer), &ranges);
            let all = ranges.iter().map(ExactSizeIterator::len).sum::<usize>();
            // Nothing but the pages of one range is gone through.
            if let (true, [one]) = (together, &ranges[..]) {
                let rows_max = one.len() + 2 * (PAGE - 1);
                assert!(pages.num_rows() <= rows_max, "{round} {one:?} {:?}", pages.spans);
            }
            let selection = Some(pages.selection(&ranges));
            let reader =
                ParquetRecordBatchReader::try_new_with_row_groups(&footer.all, &pages, 512, selection);
            let read: Vec<RecordBatch> =
                reader.expect("a reader").collect::<std::result::Result<_, _>>().expect("rows");
            let read = concat_batches(&schema, &read).expect("rows");
            let slices: Vec<RecordBatch> =
                ranges.iter().map(|range| whole.slice(range.start as usize, range.len())).collect();
            assert_eq!(read.num_rows(), all);
            assert_eq!(read, concat_batches(&schema, &slices).expect("rows"), "{round} {ranges:?}");
        }
    }
}
