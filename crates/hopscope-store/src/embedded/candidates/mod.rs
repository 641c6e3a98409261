//! Candidates: which rows of a segment may be in an answer, by the key index and by the bounds of its pages; and
//! the order to look at them in, so that a full answer ends the read long before the last of them.

mod attributes;
mod needle;

pub(super) use attributes::Split;

use super::collect::Collect;
use super::fingerprint::{Kind, of_term};
use super::segment::rollup::Combination;
use super::segment::{Damaged, Failed, InPage, Segment, merged};
use crate::{Error, ErrorKind};
use hopscope_model::Query;
use hopscope_model::query::{Field, Free, Term};
use std::ops::Range;

/// Pages that are read at first; every step reads twice as many as the one before.
const PAGES_FIRST: usize = 2;

/// Most pages that are read in one step: what is held of them at a time.
const PAGES_MAX: usize = 256;

/// Pages for which a thread is worth its start.
const PAGES_PER_THREAD_MIN: usize = 4;

/// True where a query holds no condition on single events but its range.
pub(super) fn is_open(query: &Query) -> bool {
    query.terms.iter().all(|term| matches!(term, Term::Field { field: Field::State, .. }))
}

/// Rows in order, and how many they are.
pub(super) fn count(ranges: &[Range<u32>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}

/// The rows of a segment that may satisfy a query: by the key index where one of its terms is a key, else all.
pub(super) fn rows_in_question(segment: &Segment, query: &Query) -> Result<Vec<Range<u32>>, Damaged> {
    let mut fewest: Option<Vec<Range<u32>>> = None;
    for term in &query.terms {
        let Some(fingerprints) = fingerprints_of(segment, term)? else { continue };
        let ranges = segment.rows_under(fingerprints)?;
        if fewest.as_ref().is_none_or(|fewest| count(&ranges) < count(fewest)) {
            fewest = Some(ranges);
        }
    }
    let everything = 0..segment.entry.rows;
    Ok(fewest.unwrap_or_else(|| std::iter::once(everything).collect()))
}

/// The pages that these rows are in, without those that are wholly outside of the query's range and those
/// of which a filter knows that no row has an attribute that is asked for.
pub(super) fn pages_in_question(
    segment: &Segment,
    rows: &[Range<u32>],
    query: &Query,
    now_ns: i64,
) -> Result<Vec<InPage>, Damaged> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let (since, until) = query.range(now_ns);
    let mut pages = segment.in_pages(rows)?;
    pages.retain(|page| page.start_ns.0 < until && page.start_ns.1 >= since);
    attributes::narrow_pages(segment, &mut pages, query)?;
    Ok(pages)
}

/// Calls `read` with rows of pages in the order of the answer, of a few pages at first and then of more, until
/// no page that is left could have a row of it; on several threads where there are enough pages.
pub(super) fn best_first(
    collect: &mut Collect,
    pages: Vec<InPage>,
    threads_max: usize,
    read: impl Fn(&[Range<u32>], &mut Collect) -> Result<(), Failed> + Sync,
) -> Result<(), Failed> {
    step_by_step(collect, pages, |pages, collect| {
        let threads = threads_max.min(pages.len() / PAGES_PER_THREAD_MIN).max(1);
        let parts: Vec<_> = pages.chunks(pages.len().div_ceil(threads)).map(rows_of).collect();
        in_parallel(collect, &parts, &read)
    })
}

fn step_by_step(
    collect: &mut Collect,
    mut pages: Vec<InPage>,
    mut read: impl FnMut(&[&InPage], &mut Collect) -> Result<(), Failed>,
) -> Result<(), Failed> {
    pages.retain(|page| !collect.is_behind(page.start_ns));
    pages.sort_by_key(|page| collect.rank_of_range(page.start_ns));
    let mut rest = &pages[..];
    let mut step = PAGES_FIRST;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(step.min(rest.len()));
        let wanted: Vec<&InPage> = now.iter().filter(|page| collect.wants_range(page.start_ns)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        read(&wanted, collect)?;
        rest = later;
        step = (step * 2).min(PAGES_MAX);
    }
    Ok(())
}

fn rows_of(pages: &[&InPage]) -> Vec<Range<u32>> {
    merged(pages.iter().flat_map(|page| page.rows.iter().cloned()).collect())
}

/// Of rows that all match, those that could be in the answer by their starts: what else they hold is not read
/// before.
pub(super) fn newest_starts(
    segment: &Segment,
    pages: Vec<InPage>,
    (since, until): (i64, i64),
    collect: &Collect,
) -> Result<Vec<(i64, u32)>, Failed> {
    let mut best: Vec<(i64, u32)> = Vec::new();
    step_by_step(&mut collect.fork(), pages, |pages, collect| {
        let mut rows = segment.starts(&rows_of(pages))?;
        rows.retain(|(start, _)| (since..until).contains(start) && collect.wants_start(*start));
        best.append(&mut rows);
        best = collect.best_of(std::mem::take(&mut best));
        collect.bound_by(&best);
        Ok(())
    })?;
    Ok(best)
}

/// Reads every part on a thread of its own, the first one on this.
fn in_parallel(
    collect: &mut Collect,
    parts: &[Vec<Range<u32>>],
    read: &(impl Fn(&[Range<u32>], &mut Collect) -> Result<(), Failed> + Sync),
) -> Result<(), Failed> {
    let Some((first, others)) = parts.split_first() else { return Ok(()) };
    std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(others.len());
        for part in others {
            let mut fork = collect.fork();
            threads.push(scope.spawn(move || read(part, &mut fork).map(|()| fork)));
        }
        let own = read(first, collect);
        for thread in threads {
            let fork =
                thread.join().map_err(|_| Error::new(ErrorKind::Internal, "a thread of a read panicked"))?;
            collect.absorb(fork?);
        }
        own
    })
}

/// See [`of_term`]; a word that names a destination or a service of the segment is no key.
fn fingerprints_of(segment: &Segment, term: &Term) -> Result<Option<Vec<(Kind, u64)>>, Damaged> {
    let Some(fingerprints) = of_term(term) else { return Ok(None) };
    if let Term::Free(Free::Word(word)) = term {
        let (rollup, _) = segment.rollup()?;
        let is_name = rollup.as_ref().as_ref().is_none_or(|rollup| {
            let names = [Combination::DESTINATION, Combination::SERVICE];
            let is = |of: &Combination| names.iter().any(|name| rollup.name(of.names[*name]) == word);
            rollup.combinations().iter().any(|(of, _)| is(of))
        });
        if is_name {
            return Ok(None);
        }
    }
    Ok(Some(fingerprints))
}

#[cfg(test)]
mod tests;
