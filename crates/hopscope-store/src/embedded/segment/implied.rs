//! Ids that another column of the same row says as well are left out of a segment's file, as nulls: a message is
//! created in the trace it is sent in, by the span that sends it, and what processes it is that span's child.
//! Random bytes do not compress; together these are a fifth of a segment. Whoever reads a segment gets them back
//! from [`put_back`], anybody else by `coalesce` (see `catalog.rs`).

use super::columns::schema;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch};
use arrow_schema::{ArrowError, Field, Schema};
use std::sync::{Arc, LazyLock};

/// Columns, and the one whose id a null stands for; in the order in which they are put back.
const IMPLIED: [(&str, &str); 3] =
    [("creation_trace", "trace"), ("creation_span", "span"), ("parent", "creation_span")];

/// The schema of a segment's file.
pub(super) fn stored_schema() -> Arc<Schema> {
    static STORED: LazyLock<Arc<Schema>> = LazyLock::new(|| {
        let nullable = |field: &Arc<Field>| {
            let implied = IMPLIED.iter().any(|(column, _)| column == field.name());
            if implied { Arc::new(field.as_ref().clone().with_nullable(true)) } else { Arc::clone(field) }
        };
        Arc::new(Schema::new(schema().fields().iter().map(nullable).collect::<Vec<_>>()))
    });
    Arc::clone(&STORED)
}

/// These columns, and those that are needed to put back what was left out of them.
pub(super) fn with_sources<'a>(columns: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut columns: Vec<&str> = columns.collect();
    for (column, by) in IMPLIED.into_iter().rev() {
        if columns.contains(&column) && !columns.contains(&by) {
            columns.push(by);
        }
    }
    columns
}

/// Rows with all their ids as they are stored.
pub(super) fn left_out(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut columns = rows.columns().to_vec();
    for (column, by) in IMPLIED {
        let (place, ids) = ids(rows, column)?;
        let (_, by) = self::ids(rows, by)?;
        let differs = (0..ids.len()).map(|row| ids.value(row) != by.value(row)).collect::<Vec<bool>>();
        let values = ids.values().clone();
        columns[place] =
            Arc::new(FixedSizeBinaryArray::try_new(ids.value_length(), values, Some(differs.into()))?);
    }
    RecordBatch::try_new(stored_schema(), columns)
}

/// Stored rows with all their ids again. What an id is put back from must be among the columns.
pub(super) fn put_back(mut rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
    for (column, by) in IMPLIED {
        let is_whole = rows.column_by_name(column).is_none_or(|ids| ids.null_count() == 0);
        if is_whole {
            continue;
        }
        let (place, ids) = ids(&rows, column)?;
        let (_, by) = self::ids(&rows, by)?;
        let width = ids.value_length();
        if by.value_length() != width || by.null_count() > 0 {
            return Err(ArrowError::SchemaError(format!("column {column} cannot be put back")));
        }
        let mut whole = Vec::with_capacity(ids.len() * width as usize);
        for row in 0..ids.len() {
            whole.extend_from_slice(if ids.is_null(row) { by.value(row) } else { ids.value(row) });
        }
        let whole: ArrayRef = Arc::new(FixedSizeBinaryArray::try_new(width, whole.into(), None)?);
        let mut columns = rows.columns().to_vec();
        columns[place] = whole;
        rows = RecordBatch::try_new(rows.schema(), columns)?;
    }
    Ok(rows)
}

fn ids<'a>(rows: &'a RecordBatch, column: &str) -> Result<(usize, &'a FixedSizeBinaryArray), ArrowError> {
    let place = rows.schema_ref().index_of(column)?;
    let ids = rows.column(place).as_fixed_size_binary_opt();
    let odd = || ArrowError::SchemaError(format!("column {column} has another type"));
    Ok((place, ids.ok_or_else(odd)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::random::Random;
    use arrow_array::new_null_array;

    /// Rows of which some ids are those of another column, some zeros, some neither.
    fn rows(random: &mut Random, count: usize) -> RecordBatch {
        let schema = schema();
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            arrow_schema::DataType::FixedSizeBinary(width) => {
                // Few ids: the same one is often in several columns of a row.
                let bytes = (0..count)
                    .flat_map(|_| vec![random.below(3) as u8; *width as usize])
                    .collect::<Vec<u8>>();
                Arc::new(FixedSizeBinaryArray::try_new(*width, bytes.into(), None).expect("ids")) as ArrayRef
            }
            other => new_null_array(other, count),
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("rows")
    }

    #[test]
    fn what_is_left_out_is_put_back() {
        let seed = 11;
        println!("seed={seed}");
        let mut random = Random(seed);
        for count in [0, 1, 2, 65, 500] {
            let whole = rows(&mut random, count);
            let stored = left_out(&whole).expect("stored");
            if count == 500 {
                for (column, _) in IMPLIED {
                    let nulls = stored.column_by_name(column).expect("a column").null_count();
                    assert!((100..250).contains(&nulls), "{column} {nulls}");
                }
            }
            let back = put_back(stored.clone()).expect("put back");
            assert_eq!(back.columns(), whole.columns());
            // A part of the columns, and of the rows.
            let names = with_sources(["parent"].into_iter());
            let places: Vec<usize> =
                names.iter().map(|name| stored.schema_ref().index_of(name).expect("a column")).collect();
            let part = put_back(stored.project(&places).expect("projected").slice(count / 3, count / 2));
            let part = part.expect("put back");
            let expected = whole.column_by_name("parent").expect("a column").slice(count / 3, count / 2);
            assert_eq!(part.column_by_name("parent"), Some(&expected));
        }
    }

    #[test]
    fn an_id_is_not_made_up_where_its_source_is_not_read() {
        let stored = left_out(&rows(&mut Random(1), 100)).expect("stored");
        let place = stored.schema_ref().index_of("creation_trace").expect("a column");
        put_back(stored.project(&[place]).expect("projected")).expect_err("no trace");
    }
}
