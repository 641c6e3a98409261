//! Rows out of several record batches as one. Names get one dictionary; the rest is copied as it is.

use super::super::columns::{IDS, NAMES};
use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, Schema};
use std::collections::HashMap;
use std::sync::Arc;

/// A row: which batch, and which row of it.
pub(super) type Place = (usize, usize);

/// These rows, in this order.
pub(super) fn gather(
    schema: &Arc<Schema>,
    batches: &[&RecordBatch],
    places: &[Place],
) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        let arrays = batches.iter().map(|batch| column(batch, field.name()));
        let arrays: Vec<&ArrayRef> = arrays.collect::<Result<_, _>>()?;
        if NAMES.contains(&field.name().as_str()) {
            return names(&arrays, places);
        }
        if let Some((_, width)) = IDS.iter().find(|(name, _)| name == field.name()) {
            return ids(*width, &arrays, places);
        }
        let arrays: Vec<&dyn Array> = arrays.into_iter().map(|array| &**array).collect();
        arrow_select::interleave::interleave(&arrays, places)
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

/// The column of that name.
pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("has no column {name}")))
}

/// Keys and names of a column of names.
pub(super) fn dictionary(array: &dyn Array) -> Result<(&Int32Array, &StringArray), ArrowError> {
    let names = array.as_dictionary_opt::<Int32Type>();
    let both = names.and_then(|names| Some((names.keys(), names.values().as_string_opt::<i32>()?)));
    both.ok_or_else(|| ArrowError::SchemaError("a column of names has another type".to_owned()))
}

/// Every name that occurs once, numbered as they come.
fn names(arrays: &[&ArrayRef], places: &[Place]) -> Result<ArrayRef, ArrowError> {
    let sources: Vec<_> = arrays.iter().map(|array| dictionary(array)).collect::<Result<_, _>>()?;
    let mut numbers: HashMap<&str, i32> = HashMap::new();
    let mut found: Vec<&str> = Vec::new();
    // Of every source the new number of its names, plus one; 0 where it is not known yet.
    let mut known: Vec<Vec<i32>> = sources.iter().map(|(_, names)| vec![0; names.len()]).collect();
    let number = |(batch, row): &Place| {
        let (keys, names) = sources[*batch];
        if keys.is_null(*row) {
            return None;
        }
        let key = keys.value(*row) as usize;
        let slot = &mut known[*batch][key];
        if *slot == 0 {
            let name = names.value(key);
            *slot = 1 + *numbers.entry(name).or_insert_with(|| {
                found.push(name);
                found.len() as i32 - 1
            });
        }
        Some(*slot - 1)
    };
    let keys: Int32Array = places.iter().map(number).collect();
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(found));
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, names)?))
}

fn ids(width: i32, arrays: &[&ArrayRef], places: &[Place]) -> Result<ArrayRef, ArrowError> {
    let odd = || ArrowError::SchemaError("a column of ids has another type".to_owned());
    let sources = arrays.iter().map(|array| array.as_fixed_size_binary_opt().ok_or_else(odd));
    let sources: Vec<_> = sources.collect::<Result<_, _>>()?;
    let mut ids = FixedSizeBinaryBuilder::with_capacity(places.len(), width);
    places.iter().try_for_each(|(batch, row)| ids.append_value(sources[*batch].value(*row)))?;
    Ok(Arc::new(ids.finish()))
}
