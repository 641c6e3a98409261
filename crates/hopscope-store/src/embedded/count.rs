//! Aggregation over one tenant's folder, exact: from the summaries of segments where nothing is asked of single
//! events, else by looking at every event in question.

use super::candidates::{Split, is_open, pages_in_question, rows_in_question};
use super::folder::Folder;
use super::read::{Cancel, Read, Source};
use super::segment::{FILTER, Failed, IDENTITY, Segment, SummaryRow, merged};
use crate::tallying::Tallying;
use crate::{Aggregated, Aggregation, Counted, Dimension, Error, Row};
use hopscope_model::{Batch, EventRef, Outcome};
use std::collections::HashMap;
use std::sync::Arc;

type Rows = HashMap<(Vec<String>, i64), Row>;

impl Folder {
    /// See [`Store::aggregate`](crate::Store::aggregate).
    pub fn aggregate(&self, aggregation: &Aggregation, cancel: &Cancel) -> Result<Aggregated, Error> {
        let mut read = Read::begin(self, cancel)?;
        let mut rows = match aggregation.of {
            Counted::Events => count_events(&mut read, aggregation, cancel)?,
            Counted::Tallies => count_tallies(&mut read, aggregation, cancel)?,
        };
        let mut coverage = read.coverage;
        crate::contract::put_in_order(&mut rows, aggregation.rows_max, &mut coverage);
        Ok(Aggregated { rows, coverage })
    }
}

fn count_events(read: &mut Read<'_>, aggregation: &Aggregation, cancel: &Cancel) -> Result<Vec<Row>, Error> {
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
    Ok(rows.into_values().collect())
}

/// Tallies are read from what is in memory and from the segments that have some of the range; then, from the
/// newest to the oldest, from those that may say what a run had counted before the range.
fn count_tallies(read: &mut Read<'_>, aggregation: &Aggregation, cancel: &Cancel) -> Result<Vec<Row>, Error> {
    let mut tallying = Tallying::new(aggregation);
    let overlaps = |tallying: &Tallying<'_>, segment: &Segment| {
        segment.entry.tally_ns.is_some_and(|at_ns| tallying.overlaps(at_ns))
    };
    let each = |read: &mut Read<'_>, source: usize, with: &mut dyn FnMut(&Batch)| {
        cancel.check()?;
        match &read.sources[source] {
            Source::Table(table, _) => {
                let batches = table.read().batches().to_vec();
                batches.iter().for_each(|batch| with(batch));
            }
            Source::Segment(segment) => {
                let segment = Arc::clone(segment);
                let read_it = segment.with_rest(&mut *with).map_err(Failed::Damaged);
                read.or_damage(&segment, read_it)?;
            }
        }
        Ok::<(), Error>(())
    };
    for source in 0..read.sources.len() {
        if let Source::Segment(segment) = &read.sources[source]
            && !overlaps(&tallying, segment)
        {
            continue;
        }
        each(read, source, &mut |batch| tallying.add(batch))?;
    }
    for source in 0..read.sources.len() {
        let last_ns = match &read.sources[source] {
            Source::Table(..) => i64::MAX,
            Source::Segment(segment) => match segment.entry.tally_ns {
                Some((_, last_ns)) => last_ns,
                None => continue,
            },
        };
        let begun_before = tallying.begun_before(last_ns);
        if begun_before.is_empty() {
            continue;
        }
        each(read, source, &mut |batch| tallying.add_before(batch, &begun_before))?;
    }
    if let Some(why) = tallying.why_not() {
        read.not_searched(why);
    }
    Ok(tallying.finish())
}

fn count_segment(aggregation: &Aggregation, segment: &Segment, cancel: &Cancel) -> Result<Rows, Failed> {
    let mut rows = Rows::new();
    let (since, until) = aggregation.query.range(aggregation.now_ns);
    let (first, last) = segment.entry.start_ns;
    if segment.entry.rows == 0 || last < since || first >= until {
        return Ok(rows);
    }
    let places: Option<Vec<usize>> = aggregation.by.iter().map(|by| place_of(*by)).collect();
    if let Some(places) = places.filter(|_| aggregation.step_ns.is_none())
        && is_open(&aggregation.query)
        && since <= first
        && last < until
    {
        let summed = segment.with_summary(|summary| {
            summary.map(|summary| {
                for row in summary {
                    let values = places.iter().map(|place| row.values[*place].clone()).collect();
                    let SummaryRow { events, failed, first_ns, last_ns, .. } = *row;
                    let (metric, spread, step_ns) = (None, None, 0);
                    add(
                        &mut rows,
                        Row { metric, values, step_ns, events, failed, first_ns, last_ns, spread },
                    );
                }
            })
        })?;
        if summed.is_some() {
            return Ok(rows);
        }
    }
    let in_question = rows_in_question(segment, &aggregation.query)?;
    let pages = pages_in_question(segment, &in_question, &aggregation.query, aggregation.now_ns)?;
    let ranges = merged(pages.into_iter().flat_map(|page| page.rows).collect());
    let split = Split::of(&aggregation.query);
    let ranges = split.rows_with(segment, ranges, cancel)?;
    let columns: &[&[&str]] = &[IDENTITY, FILTER, &["instance"]];
    let columns = if aggregation.by.contains(&Dimension::Instance) { columns } else { &columns[..2] };
    segment.read(&ranges, Some(columns), cancel, |read| {
        for event in read.batch.events() {
            if split.columns.matches(event, aggregation.now_ns) {
                add(&mut rows, row_of(aggregation, &event));
            }
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Place of a dimension in the values of a summary; `None` where it has none.
fn place_of(dimension: Dimension) -> Option<usize> {
    Some(match dimension {
        Dimension::System => 0,
        Dimension::Cluster => 1,
        Dimension::Destination => 2,
        Dimension::Lane => 3,
        Dimension::Group => 4,
        Dimension::Service => 5,
        Dimension::Stage => 6,
        Dimension::Outcome => 7,
        Dimension::Instance | Dimension::Detail => return None,
    })
}

fn row_of(aggregation: &Aggregation, event: &EventRef<'_>) -> Row {
    let start = event.start_ns();
    Row {
        metric: None,
        step_ns: aggregation.step_of(start),
        spread: None,
        values: aggregation.by.iter().map(|by| by.of(event).to_owned()).collect(),
        events: 1,
        failed: u64::from(matches!(event.outcome(), Outcome::Failed { .. })),
        first_ns: start,
        last_ns: start,
    }
}

fn add(rows: &mut Rows, row: Row) {
    let key = (row.values.clone(), row.step_ns);
    match rows.get_mut(&key) {
        Some(sum) => {
            sum.events += row.events;
            sum.failed += row.failed;
            sum.first_ns = sum.first_ns.min(row.first_ns);
            sum.last_ns = sum.last_ns.max(row.last_ns);
        }
        None => drop(rows.insert(key, row)),
    }
}
