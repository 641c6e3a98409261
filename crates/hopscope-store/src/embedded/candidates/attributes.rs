//! Rows of a segment that have the attributes a query asks for. Attributes are one column of JSON: its bytes are
//! searched as they are, and only what holds the bytes in question is read. Resources are few and shared by rows:
//! each is looked at once.

use super::count;
use super::needle::find;
use crate::embedded::read::Cancel;
use crate::embedded::segment::{Damaged, Failed, InPage, Segment, attributes, fingerprints_of, ranges_of};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, RecordBatch, StringArray};
use hopscope_model::Query;
use hopscope_model::query::Term;
use std::ops::Range;

/// The columns that attributes are in.
const COLUMNS: &[&str] = &["attributes", "resource"];

/// Rows that are skipped in one go where skipping pays.
const SKIPPED_ROWS_MIN: usize = 64;

/// A query in two parts: what it asks of attributes, and what of columns.
#[derive(Debug)]
pub(in crate::embedded) struct Split {
    attributes: Vec<Wanted>,
    /// The query without its terms on attributes.
    pub columns: Query,
}

/// A term on an attribute.
#[derive(Debug)]
struct Wanted {
    negated: bool,
    name: String,
    value: String,
    /// One of these stands in the JSON of every event that has it.
    tokens: Vec<String>,
}

/// Takes out the pages of a segment of which no row has an attribute that is asked for.
pub(super) fn narrow_pages(segment: &Segment, pages: &mut Vec<InPage>, query: &Query) -> Result<(), Damaged> {
    for term in &query.terms {
        let Term::Attribute { negated: false, name, value } = term else { continue };
        let fingerprints = fingerprints_of(name, value);
        let mut left = Vec::with_capacity(pages.len());
        for page in pages.drain(..) {
            if segment.may_have(&page.rows, &fingerprints)? {
                left.push(page);
            }
        }
        *pages = left;
    }
    Ok(())
}

impl Split {
    pub fn of(query: &Query) -> Self {
        let mut columns = query.clone();
        let attributes = columns.terms.extract_if(.., |term| matches!(term, Term::Attribute { .. }));
        let wanted = attributes.filter_map(|term| match term {
            Term::Attribute { negated, name, value } => {
                let tokens = attributes::tokens(&name, &value);
                Some(Wanted { negated, name, value, tokens })
            }
            Term::Free(_) | Term::AnyOf(_) | Term::Field { .. } => None,
        });
        Self { attributes: wanted.collect(), columns }
    }

    /// Of these rows (in order, not overlapping) those that have the attributes. They are some of `whole`, which is
    /// read instead where they are many: to skip one row costs more than to search it.
    pub fn rows_with(
        &self,
        segment: &Segment,
        whole: &[Range<u32>],
        rows: Vec<Range<u32>>,
        cancel: &Cancel,
    ) -> Result<Vec<Range<u32>>, Failed> {
        if self.attributes.is_empty() || rows.is_empty() {
            return Ok(rows);
        }
        let many = rows.len() * SKIPPED_ROWS_MIN > count(whole);
        let ranges = if many { whole } else { &rows[..] };
        let odd = || segment.damaged(&"holds attributes that are none of ours");
        let mut numbers = ranges.iter().flat_map(|range| range.clone());
        let mut asked = rows.iter().flat_map(|range| range.clone()).peekable();
        let mut found: Vec<u32> = Vec::new();
        for batch in segment.columns(COLUMNS, ranges)? {
            cancel.check()?;
            let batch = batch.map_err(|error| segment.damaged(&error))?;
            let mut fit = vec![true; batch.num_rows()];
            for wanted in &self.attributes {
                wanted.narrow(&batch, &mut fit).ok_or_else(odd)?;
            }
            for (fits, number) in fit.into_iter().zip(numbers.by_ref()) {
                if asked.next_if_eq(&number).is_some() && fits {
                    found.push(number);
                }
            }
        }
        match numbers.next() {
            None => Ok(ranges_of(found.into_iter())),
            Some(_) => Err(Damaged::into(segment.damaged(&"has fewer rows than it says"))),
        }
    }
}

impl Wanted {
    /// Takes out the rows that do not satisfy the term; `None` where a value is none of ours.
    fn narrow(&self, rows: &RecordBatch, fit: &mut [bool]) -> Option<()> {
        let mut has = vec![false; fit.len()];
        let shared = rows.column_by_name("resource")?.as_dictionary_opt::<Int32Type>()?;
        let resources = shared.values().as_string_opt::<i32>()?;
        let mut known: Vec<Option<bool>> = vec![None; resources.len()];
        for (has, key) in has.iter_mut().zip(shared.keys()) {
            let Some(key) = key else { continue };
            let key = usize::try_from(key).ok()?;
            let slot = known.get_mut(key)?;
            if slot.is_none() {
                *slot = Some(attributes::has(resources.value(key), &self.name, &self.value)?);
            }
            *has |= *slot == Some(true);
        }
        let own = rows.column_by_name("attributes")?.as_string_opt::<i32>()?;
        for token in &self.tokens {
            self.search(own, token.as_bytes(), &mut has)?;
        }
        fit.iter_mut().zip(has).for_each(|(fits, has)| *fits &= has != self.negated);
        Some(())
    }

    /// Marks the rows that have it among those that hold the token.
    fn search(&self, own: &StringArray, token: &[u8], has: &mut [bool]) -> Option<()> {
        let (bytes, ends) = (own.value_data(), &own.value_offsets()[1..]);
        let until = usize::try_from(*ends.last()?).ok()?;
        let mut at = usize::try_from(own.value_offsets()[0]).ok()?;
        let mut row = 0;
        while let Some(found) = find(bytes.get(at..until)?, token) {
            let found = at + found;
            row += ends[row..].partition_point(|end| *end as usize <= found);
            if !has[row] {
                has[row] = attributes::has(own.value(row), &self.name, &self.value)?;
            }
            at = usize::try_from(ends[row]).ok()?;
        }
        Some(())
    }
}
