//! [`EventsFile`]: a segment's Parquet file in the making.
//!
//! Columns of names are encoded here, because their dictionaries are known already: the library would look up the
//! text of every row again. All others are the library's.

mod names;

use super::columns::NAMES;
use super::draft::Summed;
use super::filters;
use super::implied::stored_schema;
use super::write::{Kept, properties};
use arrow_array::RecordBatch;
use arrow_schema::Schema;
use names::NamesChunk;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::add_encoded_arrow_schema_to_metadata;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::Result;
use parquet::file::writer::SerializedFileWriter;
use std::sync::Arc;

/// Rows of one row group: a sealed segment has one. It is in memory until it is full; what is skipped are pages.
pub(super) const ROW_GROUP_ROWS: usize = 524_288;

/// See the module.
pub(super) struct EventsFile {
    writer: SerializedFileWriter<Summed>,
    factory: ArrowRowGroupWriterFactory,
    schema: Arc<Schema>,
    /// Of the row group that is being filled; empty before its first row.
    columns: Vec<Column>,
    rows: usize,
}

enum Column {
    Names(NamesChunk),
    Other(Box<ArrowColumnWriter>),
}

impl EventsFile {
    pub fn new(file: Summed, kept: Kept) -> Result<Self> {
        let schema = stored_schema();
        let mut properties = properties(kept);
        let parquet = ArrowSchemaConverter::new().convert(&schema)?;
        // So that readers get dictionaries back, and not texts.
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let writer = SerializedFileWriter::new(file, parquet.root_schema_ptr(), Arc::new(properties))?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&schema));
        Ok(Self { writer, factory, schema, columns: Vec::new(), rows: 0 })
    }

    /// Adds rows; they have all columns, in the order of the schema.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < rows.num_rows() {
            let count = (rows.num_rows() - from).min(ROW_GROUP_ROWS - self.rows);
            self.push_some(&rows.slice(from, count))?;
            from += count;
            if self.rows == ROW_GROUP_ROWS {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn push_some(&mut self, rows: &RecordBatch) -> Result<()> {
        if self.columns.is_empty() {
            self.columns = self.new_columns()?;
        }
        for ((field, array), column) in self.schema.fields().iter().zip(rows.columns()).zip(&mut self.columns)
        {
            match column {
                Column::Names(chunk) => chunk.push(array)?,
                // Every field of ours is one column of the file.
                Column::Other(writer) => {
                    compute_leaves(field, array)?.iter().try_for_each(|leaf| writer.write(leaf))?;
                }
            }
        }
        self.rows += rows.num_rows();
        Ok(())
    }

    fn new_columns(&self) -> Result<Vec<Column>> {
        let writers = self.factory.create_column_writers(self.writer.flushed_row_groups().len())?;
        let descriptors = self.writer.schema_descr().columns();
        let properties = self.writer.properties();
        let columns = writers.into_iter().zip(descriptors).zip(self.schema.fields());
        let column =
            |((writer, descriptor), field): ((ArrowColumnWriter, &Arc<_>), &Arc<arrow_schema::Field>)| {
                match NAMES.contains(&field.name().as_str()) {
                    true => NamesChunk::new(descriptor, properties).map(Column::Names),
                    false => Ok(Column::Other(Box::new(writer))),
                }
            };
        columns.map(column).collect()
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in self.columns.drain(..) {
            match column {
                Column::Names(chunk) => {
                    let (bytes, close) = chunk.finish()?;
                    group.append_column(&bytes, close)?;
                }
                Column::Other(writer) => writer.close()?.append_to_row_group(&mut group)?,
            }
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    /// Writes the filters and the footer.
    pub fn finish(mut self, filters: filters::Writer) -> Result<Summed> {
        self.flush()?;
        filters.finish(&mut self.writer)?;
        self.writer.into_inner()
    }
}
