//! [`Arrays`]: the rows of a record batch by column, taken apart once, so that looking at a row searches for
//! nothing and copies nothing. Columns that were not read are absent in every row.

use crate::embedded::fingerprint::Keyed;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, UInt32Type};
use arrow_array::{
    Array, BinaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    UInt32Array,
};
use hopscope_model::{EventId, Identity, SpanContext, SpanId, Stage, TraceId};
use std::ops::Range;

macro_rules! arrays {
    ($($name:ident: $kind:ident$(<$width:literal>)?,)*) => {
        /// Rows by column. See the module.
        #[derive(Debug)]
        pub(crate) struct Arrays<'a> {
            rows: usize,
            $(pub $name: $kind<'a $(, $width)?>,)*
        }

        impl<'a> Arrays<'a> {
            /// Takes a record batch apart; `None` where a column has another type than ours.
            pub fn of(rows: &'a RecordBatch) -> Option<Self> {
                $(let $name = match rows.column_by_name(stringify!($name)) {
                    Some(column) => $kind::of(column)?,
                    None => Default::default(),
                };)*
                Some(Self { rows: rows.num_rows(), $($name,)* })
            }
        }
    };
}

arrays! {
    stage: Names,
    operation: Names,
    outcome: Names,
    reason: Names,
    disposition: Names,
    system: Names,
    cluster: Names,
    server: Names,
    destination: Names,
    address: Names,
    lane: Names,
    group: Names,
    client: Names,
    service: Names,
    instance: Names,
    source: Names,
    grade: Names,
    resource: Names,
    trace: Ids<16>,
    span: Ids<8>,
    parent: Ids<8>,
    creation_trace: Ids<16>,
    creation_span: Ids<8>,
    start_ns: Numbers,
    duration_ns: Numbers,
    received_ns: Numbers,
    broker_ns: Numbers,
    origin_ns: Numbers,
    position: Numbers,
    body_bytes: Numbers,
    attempt: Counts,
    message_id: Texts,
    correlation_id: Texts,
    attributes: Texts,
    links: Links,
    keys: Keys,
}

impl<'a> Arrays<'a> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// One row, for what asks by row.
    pub fn row(&self, row: usize) -> Row<'_, 'a> {
        Row { arrays: self, row }
    }

    /// The context that made the message of that row; zeros where there is none.
    pub fn creation(&self, row: usize) -> SpanContext {
        SpanContext { trace: TraceId(self.creation_trace.at(row)), span: SpanId(self.creation_span.at(row)) }
    }
}

/// A column of names: few values, many rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names<'a>(Option<(&'a Int32Array, &'a StringArray)>);

impl<'a> Names<'a> {
    fn of(column: &'a dyn Array) -> Option<Self> {
        let names = column.as_dictionary_opt::<Int32Type>()?;
        let values = names.values().as_string_opt::<i32>()?;
        let sound = |key: Option<i32>| key.is_none_or(|key| (key as usize) < values.len());
        debug_assert!(names.keys().iter().all(sound), "arrow checks keys when it makes a dictionary");
        Some(Self(Some((names.keys(), values))))
    }

    /// Number of the row's name in this record batch; `None` where it is absent. Within a record batch, a number
    /// has one name; two numbers may have the same.
    pub fn number(&self, row: usize) -> Option<u32> {
        let (numbers, _) = self.0?;
        numbers.is_valid(row).then(|| numbers.value(row) as u32)
    }

    /// The name of that number.
    pub fn name(&self, number: u32) -> &'a str {
        self.0.map_or("", |(_, names)| names.value(number as usize))
    }

    /// Numbers are below this.
    pub fn count(&self) -> usize {
        self.0.map_or(0, |(_, names)| names.len())
    }

    /// The row's name; empty where it is absent.
    pub fn at(&self, row: usize) -> &'a str {
        self.number(row).map_or("", |number| self.name(number))
    }
}

/// A column of ids of `N` bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids<'a, const N: usize>(&'a [[u8; N]]);

impl<'a, const N: usize> Ids<'a, N> {
    fn of(column: &'a dyn Array) -> Option<Self> {
        let ids: &FixedSizeBinaryArray = column.as_fixed_size_binary_opt()?;
        if ids.value_length() as usize != N || ids.null_count() > 0 {
            return None;
        }
        let (ids_of, rest) = ids.value_data().as_chunks();
        (rest.is_empty() && ids_of.len() == ids.len()).then_some(Self(ids_of))
    }

    /// The row's id; zeros where it is absent.
    pub fn at(&self, row: usize) -> [u8; N] {
        self.0.get(row).copied().unwrap_or([0; N])
    }
}

macro_rules! columns_of_values {
    ($($(#[$meta:meta])* $name:ident($array:ty, $cast:expr) -> $value:ty;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct $name<'a>(Option<&'a $array>);

        impl<'a> $name<'a> {
            fn of(column: &'a dyn Array) -> Option<Self> {
                let cast: fn(&'a dyn Array) -> Option<&'a $array> = $cast;
                cast(column).map(|column| Self(Some(column)))
            }

            /// The row's value, where it is known.
            pub fn at(&self, row: usize) -> Option<$value> {
                self.0.filter(|column| column.is_valid(row)).map(|column| column.value(row))
            }
        }
    )*};
}

columns_of_values! {
    /// A column of integers.
    Numbers(Int64Array, |column| column.as_primitive_opt::<Int64Type>()) -> i64;
    /// A column of counts.
    Counts(UInt32Array, |column| column.as_primitive_opt::<UInt32Type>()) -> u32;
    /// A column of text that hardly repeats.
    Texts(StringArray, |column| column.as_string_opt::<i32>()) -> &'a str;
    /// A column of links, each of 24 bytes.
    Links(BinaryArray, |column| column.as_binary_opt::<i32>()) -> &'a [u8];
}

/// A column of business keys.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys<'a>(Option<(&'a ListArray, &'a StringArray)>);

impl<'a> Keys<'a> {
    fn of(column: &'a dyn Array) -> Option<Self> {
        let lists = column.as_list_opt::<i32>()?;
        Some(Self(Some((lists, lists.values().as_string_opt::<i32>()?))))
    }

    /// The row's keys.
    pub fn at(&self, row: usize) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        let of_row = self.0.filter(|(lists, _)| lists.is_valid(row)).map(|(lists, keys)| {
            let ends = lists.value_offsets();
            (ends[row] as usize..ends[row + 1] as usize, keys)
        });
        let range: Range<usize> = of_row.as_ref().map_or(0..0, |(range, _)| range.clone());
        range.map(move |key| of_row.as_ref().map_or("", |(_, keys)| keys.value(key)))
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'r, 'a> {
    arrays: &'r Arrays<'a>,
    row: usize,
}

impl Row<'_, '_> {
    /// What happened; `None` where the name is none of ours.
    pub fn stage(&self) -> Option<Stage> {
        Stage::from_name(self.arrays.stage.at(self.row))
    }

    /// See [`MessageEvent::id`](hopscope_model::MessageEvent::id).
    pub fn id(&self) -> Option<EventId> {
        Some(EventId::of(&Identity {
            trace: self.trace(),
            span: self.span(),
            stage: self.stage()?,
            creation: self.arrays.creation(self.row),
            system: self.arrays.system.at(self.row),
            cluster: self.arrays.cluster.at(self.row),
            destination: self.destination(),
            lane: self.lane(),
            position: self.position(),
            message_id: self.message_id(),
        }))
    }
}

impl<'a> Keyed<'a> for Row<'_, 'a> {
    fn trace(&self) -> TraceId {
        TraceId(self.arrays.trace.at(self.row))
    }

    fn span(&self) -> SpanId {
        SpanId(self.arrays.span.at(self.row))
    }

    fn parent(&self) -> SpanId {
        SpanId(self.arrays.parent.at(self.row))
    }

    fn creation(&self) -> Option<SpanContext> {
        Some(self.arrays.creation(self.row)).filter(|creation| !creation.is_zero())
    }

    fn position(&self) -> Option<i64> {
        self.arrays.position.at(self.row)
    }

    fn destination(&self) -> &'a str {
        self.arrays.destination.at(self.row)
    }

    fn lane(&self) -> &'a str {
        self.arrays.lane.at(self.row)
    }

    fn message_id(&self) -> &'a str {
        self.arrays.message_id.at(self.row).unwrap_or_default()
    }

    fn correlation_id(&self) -> &'a str {
        self.arrays.correlation_id.at(self.row).unwrap_or_default()
    }

    fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.arrays.keys.at(self.row)
    }
}
