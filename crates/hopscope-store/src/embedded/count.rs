//! Aggregation over one tenant's folder, exact: from the summaries of segments where nothing is asked of single
//! events, else by looking at every event in question.

use super::folder::Folder;
use super::read::{Cancel, Read, Source, is_open, rows_in_question};
use super::segment::{FILTER, Failed, IDENTITY, Segment, ranges_of};
use crate::{Aggregated, Aggregation, Dimension, Error, Row};
use hopscope_model::{EventRef, Outcome};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

type Rows = HashMap<Vec<String>, Row>;

impl Folder {
    /// See [`Store::aggregate`](crate::Store::aggregate).
    pub fn aggregate(&self, aggregation: &Aggregation, cancel: &Cancel) -> Result<Aggregated, Error> {
        let mut read = Read::begin(self, cancel)?;
        let mut rows = Rows::new();
        for source in 0..read.sources.len() {
            cancel.check()?;
            match &read.sources[source] {
                Source::Table(table, until) => read.each_of_table(table, *until, |_, event| {
                    if aggregation.query.matches(event, aggregation.now_ns) {
                        add(&mut rows, row_of(aggregation, &event));
                    }
                })?,
                Source::Segment(segment) => {
                    let segment = Arc::clone(segment);
                    // Counted apart, so that a segment that turns out damaged half way counts nothing.
                    let counted = count_segment(aggregation, &segment, cancel);
                    let counted = read.or_damage(&segment, counted)?;
                    counted.into_iter().flat_map(HashMap::into_values).for_each(|row| add(&mut rows, row));
                }
            }
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_by(|one, other| {
            (Reverse(one.events), &one.values).cmp(&(Reverse(other.events), &other.values))
        });
        let mut coverage = read.coverage;
        if rows.len() > aggregation.rows_max {
            coverage.complete = false;
            coverage.why_not.push(crate::contract::rows_left_out(rows.len(), aggregation.rows_max));
            rows.truncate(aggregation.rows_max);
        }
        Ok(Aggregated { rows, coverage })
    }
}

fn count_segment(aggregation: &Aggregation, segment: &Segment, cancel: &Cancel) -> Result<Rows, Failed> {
    let mut rows = Rows::new();
    let (since, until) = aggregation.query.range(aggregation.now_ns);
    let (first, last) = segment.entry.start_ns;
    if segment.entry.rows == 0 || last < since || first >= until {
        return Ok(rows);
    }
    if is_open(&aggregation.query) && since <= first && last < until {
        let summed = segment.with_summary(|summary| {
            summary.map(|summary| {
                for row in summary {
                    let values = aggregation.by.iter().map(|by| row.values[place_of(*by)].clone()).collect();
                    let (events, failed) = (row.events, row.failed);
                    add(
                        &mut rows,
                        Row { values, events, failed, first_ns: row.first_ns, last_ns: row.last_ns },
                    );
                }
            })
        })?;
        if summed.is_some() {
            return Ok(rows);
        }
    }
    let in_question = rows_in_question(segment, &aggregation.query, aggregation.now_ns, |_| true)?;
    let ranges = ranges_of(in_question.into_iter().map(|(_, row)| row));
    segment.read(&ranges, Some(&[IDENTITY, FILTER]), cancel, |read| {
        for event in read.batch.events() {
            if aggregation.query.matches(event, aggregation.now_ns) {
                add(&mut rows, row_of(aggregation, &event));
            }
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Place of a dimension in the values of a summary.
fn place_of(dimension: Dimension) -> usize {
    match dimension {
        Dimension::System => 0,
        Dimension::Cluster => 1,
        Dimension::Destination => 2,
        Dimension::Lane => 3,
        Dimension::Group => 4,
        Dimension::Service => 5,
        Dimension::Stage => 6,
        Dimension::Outcome => 7,
    }
}

fn row_of(aggregation: &Aggregation, event: &EventRef<'_>) -> Row {
    let start = event.start_ns();
    Row {
        values: aggregation.by.iter().map(|by| by.of(event).to_owned()).collect(),
        events: 1,
        failed: u64::from(matches!(event.outcome(), Outcome::Failed { .. })),
        first_ns: start,
        last_ns: start,
    }
}

fn add(rows: &mut Rows, row: Row) {
    match rows.get_mut(&row.values) {
        Some(sum) => {
            sum.events += row.events;
            sum.failed += row.failed;
            sum.first_ns = sum.first_ns.min(row.first_ns);
            sum.last_ns = sum.last_ns.max(row.last_ns);
        }
        None => drop(rows.insert(row.values.clone(), row)),
    }
}
