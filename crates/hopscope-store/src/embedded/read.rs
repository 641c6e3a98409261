//! Reads over one tenant's folder: every source proposes rows, the first of them in order are loaded.

use super::collect::{At, Collect, Direction};
use super::fingerprint::of_key;
use super::folder::{Folder, State};
use super::table::Table;
use crate::matching::{event_matches, select_progress};
use crate::order::{cursor, event_bytes, place};
use crate::{Aggregated, Aggregation, Error, ErrorKind, Found, Page, Row};
use hopscope_model::{Batch, Coverage, Evidence, Key, Limits, MessageEvent, Outcome, Progress, Query};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows that are loaded at a time: what an answer holds in memory beyond its own limit.
const LOAD_ROWS: usize = 512;

/// Tells a read that nobody waits for it any more. Looked at between units of work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn check(&self) -> Result<(), Error> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Unavailable, "the read was given up")),
            false => Ok(()),
        }
    }
}

/// The sources of one read, newest first, and what may be said of their coverage.
struct Read {
    tables: Vec<Arc<Table>>,
    coverage: Coverage,
    cancel: Cancel,
}

impl Read {
    fn begin(folder: &Folder, cancel: &Cancel) -> Self {
        let state: Arc<State> = folder.state();
        let tables: Vec<Arc<Table>> =
            std::iter::once(&state.active).chain(state.frozen.iter().rev()).cloned().collect();
        let mut coverage = Coverage::default();
        for table in &tables {
            let table = table.read();
            coverage.segments += u64::from(!table.is_empty());
            widen(&mut coverage.received_ns, table.received_ns());
        }
        for gap in state.gaps.iter() {
            coverage.complete = false;
            coverage.why_not.push(format!("{}: {}", gap.file, gap.what));
        }
        Self { tables, coverage, cancel: cancel.clone() }
    }

    /// Calls `each` with every batch in memory and a test of which of its rows count.
    fn each_batch(
        &self,
        table: &Table,
        mut each: impl FnMut(u32, &Batch, &dyn Fn(u32) -> bool),
    ) -> Result<(), Error> {
        // The batches are shared: a long scan does not hold appends up.
        let batches = table.read().batches().to_vec();
        let mut row = 0;
        for batch in batches {
            self.cancel.check()?;
            each(row, &batch, &|row| !table.read().is_sealed_already(row));
            row += batch.len() as u32;
        }
        Ok(())
    }

    /// The chosen rows in order, as far as the limit of bytes allows; at least one.
    fn load(&self, rows: &[At], bytes_max: usize) -> Result<Vec<MessageEvent>, Error> {
        let mut events = Vec::with_capacity(rows.len().min(LOAD_ROWS));
        let mut bytes = 0;
        for part in rows.chunks(LOAD_ROWS) {
            self.cancel.check()?;
            for at in part {
                let event = self.tables[at.source as usize].read().event(at.row).to_owned();
                bytes += event_bytes(&event);
                if !events.is_empty() && bytes > bytes_max {
                    return Ok(events);
                }
                events.push(event);
            }
        }
        Ok(events)
    }
}

fn widen(range: &mut Option<(i64, i64)>, other: Option<(i64, i64)>) {
    *range = match (*range, other) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    };
}

fn next_of(events: &[MessageEvent], more: bool) -> Option<String> {
    events.last().filter(|_| more).map(|event| cursor((event.start_ns, event.id())))
}

impl Folder {
    /// See [`Store::events`](crate::Store::events).
    pub fn events(
        &self,
        keys: &[Key],
        limits: &Limits,
        after: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Evidence, Error> {
        let after = after.map(place).transpose()?;
        let read = Read::begin(self, cancel);
        let mut collect = Collect::new(Direction::OldestFirst, after, limits.events_max);
        for (source, table) in read.tables.iter().enumerate() {
            cancel.check()?;
            let table = table.read();
            let mut rows: Vec<u32> = Vec::new();
            for key in keys {
                let Some((_, fingerprint)) = of_key(key) else { continue };
                let proposed = table.rows_under(fingerprint);
                rows.extend(proposed.filter(|row| event_matches(key, &table.event(*row))));
            }
            rows.sort_unstable();
            rows.dedup();
            for row in rows.into_iter().filter(|row| !table.is_sealed_already(*row)) {
                collect
                    .offer((table.event(row).start_ns(), table.id(row)), At { source: source as u32, row });
            }
        }
        let (rows, more) = collect.finish();
        let events = read.load(&rows, limits.bytes_max)?;
        let next = next_of(&events, more || events.len() < rows.len());
        let progress = if after.is_none() { read.progress(keys)? } else { Vec::new() };
        Ok(Evidence { events, progress, coverage: read.coverage, next })
    }

    /// See [`Store::search`](crate::Store::search).
    pub fn search(&self, query: &Query, page: &Page, cancel: &Cancel) -> Result<Found, Error> {
        let after = page.after.as_deref().map(place).transpose()?;
        let read = Read::begin(self, cancel);
        let mut collect = Collect::new(Direction::NewestFirst, after, page.events_max);
        for (source, table) in read.tables.iter().enumerate() {
            read.each_batch(table, |first, batch, counts| {
                for event in batch.events() {
                    let row = first + event.index() as u32;
                    if collect.wants_start(event.start_ns())
                        && query.matches(event, page.now_ns)
                        && counts(row)
                    {
                        collect.offer((event.start_ns(), event.id()), At { source: source as u32, row });
                    }
                }
            })?;
        }
        let (rows, more) = collect.finish();
        let events = read.load(&rows, usize::MAX)?;
        let next = next_of(&events, more);
        Ok(Found { events, coverage: read.coverage, next })
    }

    /// See [`Store::aggregate`](crate::Store::aggregate).
    pub fn aggregate(&self, aggregation: &Aggregation, cancel: &Cancel) -> Result<Aggregated, Error> {
        let mut read = Read::begin(self, cancel);
        let mut rows: HashMap<Vec<String>, Row> = HashMap::new();
        for table in &read.tables {
            read.each_batch(table, |first, batch, counts| {
                for event in batch.events() {
                    if !aggregation.query.matches(event, aggregation.now_ns)
                        || !counts(first + event.index() as u32)
                    {
                        continue;
                    }
                    let values: Vec<String> =
                        aggregation.by.iter().map(|by| by.of(&event).to_owned()).collect();
                    let failed = u64::from(matches!(event.outcome(), Outcome::Failed { .. }));
                    let start = event.start_ns();
                    let row =
                        Row { values: values.clone(), events: 1, failed, first_ns: start, last_ns: start };
                    add(&mut rows, row);
                }
            })?;
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_by(|one, other| {
            (Reverse(one.events), &one.values).cmp(&(Reverse(other.events), &other.values))
        });
        if rows.len() > aggregation.rows_max {
            read.coverage.complete = false;
            read.coverage.why_not.push(crate::contract::rows_left_out(rows.len(), aggregation.rows_max));
            rows.truncate(aggregation.rows_max);
        }
        Ok(Aggregated { rows, coverage: read.coverage })
    }
}

fn add(rows: &mut HashMap<Vec<String>, Row>, row: Row) {
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

impl Read {
    fn progress(&self, keys: &[Key]) -> Result<Vec<Progress>, Error> {
        let mut chosen = Vec::new();
        for key in keys {
            let Key::Progress(at) = key else { continue };
            let mut candidates: Vec<Progress> = Vec::new();
            for table in &self.tables {
                self.cancel.check()?;
                let batches = table.read().batches().to_vec();
                let samples = batches.iter().flat_map(|batch| batch.progress_owned());
                candidates.extend(select_progress(samples, at));
            }
            chosen.extend(select_progress(candidates.into_iter(), at));
        }
        chosen.sort_by_key(|sample| sample.at_ns);
        Ok(chosen)
    }
}
