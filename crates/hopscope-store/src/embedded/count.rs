//! Aggregation over one tenant's folder, exact: from the rollups of segments where nothing is asked of single
//! events, else by looking at every event in question.

use super::candidates::{Split, pages_in_question, rows_in_question};
use super::counting::Counting;
use super::folder::Folder;
use super::read::{Cancel, Read, Source};
use super::rolled::count_rolled;
use super::segment::{FILTER, Failed, IDENTITY, MEASURED, Segment, merged};
use super::table::Table;
use crate::tallying::Tallying;
use crate::{Aggregated, Aggregation, Counted, Dimension, Error, Row};
use hopscope_model::query::Time;
use hopscope_model::{Batch, Query};
use std::sync::Arc;

impl Folder {
    /// See [`Store::aggregate`](crate::Store::aggregate).
    pub fn aggregate(&self, aggregation: &Aggregation, cancel: &Cancel) -> Result<Aggregated, Error> {
        let mut read = Read::begin(self, cancel)?;
        let mut rows = match aggregation.of {
            Counted::Events => count_events(&mut read, aggregation, self.options.read_threads_max, cancel)?,
            Counted::Tallies => count_tallies(&mut read, aggregation, cancel)?,
        };
        read.say_what_was_dropped(aggregation.query.range(aggregation.now_ns).0);
        let mut coverage = read.coverage;
        crate::contract::put_in_order(&mut rows, aggregation.rows_max, &mut coverage);
        Ok(Aggregated { rows, coverage })
    }
}

fn count_events(
    read: &mut Read<'_>,
    aggregation: &Aggregation,
    threads_max: usize,
    cancel: &Cancel,
) -> Result<Vec<Row>, Error> {
    let mut counting = Counting::new(aggregation);
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for source in &read.sources {
        cancel.check()?;
        match source {
            Source::Table(table, until) => count_table(&mut counting, aggregation, table, *until, cancel)?,
            Source::Segment(segment) => segments.push(Arc::clone(segment)),
        }
    }
    for segments in segments.chunks(threads_max.max(1)) {
        cancel.check()?;
        // Each counted apart, so that a segment that turns out damaged half way counts nothing.
        let counted = each_on_its_thread(segments, |segment| count_segment(aggregation, segment, cancel));
        for (segment, counted) in segments.iter().zip(counted) {
            let counted = read.or_damage(segment, counted)?;
            counted.into_iter().for_each(|counted| counting.merge(counted));
        }
    }
    Ok(counting.finish())
}

/// Works on all items at a time, the first of them on this thread; what came of it, in their order.
fn each_on_its_thread<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let Some((first, others)) = items.split_first() else { return Vec::new() };
    let work = &work;
    std::thread::scope(|scope| {
        let others: Vec<_> = others.iter().map(|item| scope.spawn(move || work(item))).collect();
        let first = std::iter::once(work(first));
        let others = others
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked)));
        first.chain(others).collect()
    })
}

/// Looks at every event of a table that counts.
fn count_table(
    counting: &mut Counting<'_>,
    aggregation: &Aggregation,
    table: &Table,
    until: u32,
    cancel: &Cancel,
) -> Result<(), Error> {
    // The batches are shared: a long count does not hold appends up.
    let (batches, sealed_already) = {
        let memtable = table.read();
        (memtable.batches().to_vec(), memtable.sealed_already().clone())
    };
    let mut first = 0;
    for batch in &batches {
        if first >= until {
            break;
        }
        cancel.check()?;
        counting.add_batch(batch, |event| {
            let row = first + event.index() as u32;
            let counts = row < until && (sealed_already.is_empty() || !sealed_already.contains(&row));
            counts && aggregation.query.matches(event, aggregation.now_ns)
        });
        first += batch.len() as u32;
    }
    Ok(())
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

fn count_segment<'q>(
    aggregation: &'q Aggregation,
    segment: &Segment,
    cancel: &Cancel,
) -> Result<Counting<'q>, Failed> {
    let mut counting = Counting::new(aggregation);
    let (since, until) = aggregation.query.range(aggregation.now_ns);
    let (first, last) = segment.entry.start_ns;
    if segment.entry.rows > 0 && last >= since && first < until {
        for left in count_rolled(&mut counting, aggregation, segment)? {
            let (since, until) = (Some(Time::At(left.start)), Some(Time::At(left.end)));
            let query = Query { since, until, ..aggregation.query.clone() };
            count_rows(&mut counting, aggregation, &query, segment, cancel)?;
        }
    }
    Ok(counting)
}

/// Looks at every row in question.
fn count_rows(
    counting: &mut Counting<'_>,
    aggregation: &Aggregation,
    query: &Query,
    segment: &Segment,
    cancel: &Cancel,
) -> Result<(), Failed> {
    let in_question = rows_in_question(segment, query)?;
    let pages = pages_in_question(segment, &in_question, query, aggregation.now_ns)?;
    let ranges = merged(pages.into_iter().flat_map(|page| page.rows).collect());
    let split = Split::of(query);
    let ranges = split.rows_with(segment, &ranges, ranges.clone(), cancel)?;
    let mut columns: Vec<&[&str]> = vec![IDENTITY, FILTER];
    if aggregation.by.contains(&Dimension::Instance) {
        columns.push(&["instance"]);
    }
    if aggregation.measured {
        columns.push(MEASURED);
    }
    segment.read(&ranges, Some(&columns), cancel, |read| {
        counting.add_batch(&read.batch, |event| split.columns.matches(event, aggregation.now_ns));
        Ok(())
    })
}
