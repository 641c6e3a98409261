use super::*;
use arrow_array::{DictionaryArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::basic::ZstdLevel;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::writer::SerializedFileWriter;
use proptest::prelude::*;
use std::sync::Arc;

const PAGE_ROWS: usize = 64;

/// One row group of one column with these names, in arrays of so many rows.
fn file(names: &[Option<String>], at_a_time: usize, codec: Compression) -> Bytes {
    let name = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let schema = Schema::new(vec![Field::new("name", name, true)]);
    let parquet = ArrowSchemaConverter::new().convert(&schema).expect("a schema");
    let mut properties =
        WriterProperties::builder().set_compression(codec).set_data_page_row_count_limit(PAGE_ROWS).build();
    parquet::arrow::add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
    let properties = Arc::new(properties);
    let mut chunk = NamesChunk::new(&parquet.column(0), &properties).expect("a chunk");
    for names in names.chunks(at_a_time) {
        let array: DictionaryArray<Int32Type> = names.iter().map(Option::as_deref).collect();
        chunk.push(&(Arc::new(array) as ArrayRef)).expect("pushed");
    }
    let mut writer =
        SerializedFileWriter::new(Vec::new(), parquet.root_schema_ptr(), properties).expect("a file");
    let mut group = writer.next_row_group().expect("a group");
    let (bytes, close) = chunk.finish().expect("a chunk");
    group.append_column(&bytes, close).expect("appended");
    group.close().expect("closed");
    writer.into_inner().expect("a footer").into()
}

fn read(file: Bytes, selection: Option<RowSelection>) -> Vec<Option<String>> {
    let options = parquet::arrow::arrow_reader::ArrowReaderOptions::new()
        .with_page_index_policy(PageIndexPolicy::Required);
    let mut builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).expect("a reader");
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    let mut names = Vec::new();
    for rows in builder.with_batch_size(50).build().expect("a reader") {
        let rows: RecordBatch = rows.expect("rows");
        let column = rows.column(0).as_dictionary::<Int32Type>();
        let column = column.downcast_dict::<arrow_array::StringArray>().expect("names");
        names.extend(column.into_iter().map(|name| name.map(str::to_owned)));
    }
    names
}

fn runs() -> impl Strategy<Value = Vec<Option<String>>> {
    // Some columns have one name, some a name for every row; runs are as often short as they are long.
    let name = |count: u32| proptest::option::weighted(0.8, 0..count);
    let runs = (1u32..200).prop_flat_map(move |count| {
        proptest::collection::vec((name(count), prop_oneof![1usize..4, 5usize..12, 60usize..140]), 1..40)
    });
    runs.prop_map(|runs| {
        let name = |number: Option<u32>| number.map(|number| format!("name-{number}"));
        runs.into_iter().flat_map(|(number, rows)| vec![name(number); rows]).collect()
    })
}

proptest! {
    #[test]
    fn names_come_back(names in runs(), at_a_time in 1usize..300, zstd: bool, skipped in 0usize..500) {
        let codec = if zstd { Compression::ZSTD(ZstdLevel::default()) } else { Compression::UNCOMPRESSED };
        let file = file(&names, at_a_time, codec);
        prop_assert_eq!(&read(file.clone(), None), &names);
        let skipped = skipped.min(names.len());
        let selection = vec![RowSelector::skip(skipped), RowSelector::select(names.len() - skipped)];
        prop_assert_eq!(read(file, Some(selection.into())), &names[skipped..]);
    }
}

#[test]
fn what_repeats_takes_no_room() {
    let long = vec![Some("a name of some length".to_owned()); 64_000];
    let bytes = file(&long, 1_000, Compression::UNCOMPRESSED).len();
    // A page is its header and two runs.
    assert!(bytes < 64_000 / PAGE_ROWS * 45, "{bytes} bytes");
}
