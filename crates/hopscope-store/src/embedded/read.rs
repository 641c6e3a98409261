//! Reads over one tenant's folder: every source proposes rows, the first of them in order are loaded.

use super::candidates::{
    Split, best_first, count, is_open, newest_starts, pages_in_question, rows_in_question,
};
use super::collect::{At, Collect, Direction};
use super::fingerprint::{in_segments, of_key};
use super::folder::Folder;
use super::segment::{Damaged, FILTER, Failed, IDENTITY, KEYS, Segment, ranges_of};
use super::table::Table;
use crate::matching::{event_matches, select_progress};
use crate::order::{cursor, event_bytes, place};
use crate::{Error, ErrorKind, Found, Page};
use hopscope_model::{Batch, Coverage, EventRef, Evidence, Key, Limits, MessageEvent, Progress, Query};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows that are loaded at a time: what an answer holds in memory beyond its own limit.
const LOAD_ROWS: usize = 512;

/// A segment that proposes no more rows than this is read once, with all columns.
const DIRECT_ROWS: usize = 64;

/// Most rows that are held with all columns before it is known that the answer has them.
const LOADED_ROWS_MAX: usize = 4_096;

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

/// Where rows are.
pub(super) enum Source {
    /// In memory, up to this row: what was appended later is not part of the read.
    Table(Arc<Table>, u32),
    Segment(Arc<Segment>),
}

/// One read: its sources, newest first, what it searched, and rows that it has loaded already.
pub(super) struct Read<'a> {
    folder: &'a Folder,
    pub sources: Vec<Source>,
    pub coverage: Coverage,
    pub cancel: Cancel,
    loaded: HashMap<At, MessageEvent>,
}

impl<'a> Read<'a> {
    /// What there is to read, with identities settled.
    pub fn begin(folder: &'a Folder, cancel: &Cancel) -> Result<Self, Error> {
        // The rows are counted before the segments are: a row that is counted was compared, when it was
        // appended, with every table that is not among these segments.
        let before = folder.state();
        let tables = std::iter::once(&before.active).chain(before.frozen.iter().rev());
        let tables: Vec<(Arc<Table>, u32)> =
            tables.map(|table| (Arc::clone(table), table.read().rows() as u32)).collect();
        let state = folder.state();
        let mut read = Self {
            folder,
            sources: Vec::new(),
            coverage: Coverage::default(),
            cancel: cancel.clone(),
            loaded: HashMap::new(),
        };
        for gap in state.gaps.iter() {
            read.not_searched(format!("{}: {}", gap.file, gap.what));
        }
        for (table, rows) in tables {
            if table.log < state.first_log {
                continue;
            }
            for damaged in folder.settle(&table, rows, &state.segments, cancel)? {
                read.not_searched(damaged.to_string());
            }
            let received_ns = table.read().received_ns();
            read.coverage.segments += u64::from(received_ns.is_some());
            widen(&mut read.coverage.received_ns, received_ns);
            read.sources.push(Source::Table(table, rows));
        }
        for segment in state.segments.iter().rev() {
            read.coverage.segments += 1;
            widen(&mut read.coverage.received_ns, Some(segment.entry.received_ns));
            read.sources.push(Source::Segment(Arc::clone(segment)));
        }
        Ok(read)
    }

    pub fn not_searched(&mut self, why: String) {
        self.coverage.complete = false;
        if !self.coverage.why_not.contains(&why) {
            self.coverage.why_not.push(why);
        }
    }

    /// Says what retention dropped, where an answer about what starts at or after `since_ns` might have it.
    pub fn say_what_was_dropped(&mut self, since_ns: i64) {
        if let Some(why) = self.folder.dropped_since(since_ns) {
            self.not_searched(why);
        }
    }

    /// Goes on after damage, which is then said; gives everything else back.
    pub fn or_damage<T>(&mut self, segment: &Segment, result: Result<T, Failed>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Failed::Stopped(error)) => Err(error),
            Err(Failed::Damaged(damaged)) => {
                let damaged: Damaged = self.folder.note(damaged, segment);
                self.not_searched(damaged.to_string());
                Ok(None)
            }
        }
    }

    /// Refuses to hold more than a read may.
    fn within_budget(&self, bytes: usize) -> Result<(), Error> {
        let bytes_max = self.folder.options.read_bytes_max;
        if bytes <= bytes_max {
            return Ok(());
        }
        let message = format!(
            "the read needs more memory than it may have bytes={bytes} read_bytes_max={bytes_max}\nhint: ask for a rarer key, or for a shorter time"
        );
        Err(Error::new(ErrorKind::Invalid, message))
    }

    /// The sources that have events, with the bounds of their starts, in the order in which the answer wants
    /// them; those that are wholly on earlier pages of it are left out.
    fn in_order(&self, collect: &Collect) -> Vec<((i64, i64), u32)> {
        let bounds = |source: &Source| match source {
            Source::Table(table, _) => table.read().start_ns(),
            Source::Segment(segment) => (segment.entry.rows > 0).then_some(segment.entry.start_ns),
        };
        let with_events = self.sources.iter().zip(0..).filter_map(|(of, source)| Some((bounds(of)?, source)));
        let mut order: Vec<_> = with_events.filter(|(start_ns, _)| !collect.is_behind(*start_ns)).collect();
        order.sort_by_key(|(start_ns, _)| collect.rank_of_range(*start_ns));
        order
    }

    /// Calls `each` with every event of a table that counts, and its row.
    pub fn each_of_table(
        &self,
        table: &Table,
        until: u32,
        mut each: impl FnMut(u32, EventRef<'_>),
    ) -> Result<(), Error> {
        // The batches are shared: a long scan does not hold appends up.
        let (batches, sealed_already) = {
            let memtable = table.read();
            (memtable.batches().to_vec(), memtable.sealed_already().clone())
        };
        let mut first = 0;
        for batch in batches {
            self.cancel.check()?;
            let events = batch.events().map(|event| (first + event.index() as u32, event));
            for (row, event) in events.take_while(|(row, _)| *row < until) {
                if !sealed_already.contains(&row) {
                    each(row, event);
                }
            }
            first += batch.len() as u32;
        }
        Ok(())
    }

    /// The chosen rows in order, as far as the limit of bytes allows; at least one.
    fn load(&mut self, rows: &[At], bytes_max: usize) -> Result<Vec<(At, MessageEvent)>, Error> {
        let mut events: Vec<(At, MessageEvent)> = Vec::with_capacity(rows.len().min(LOAD_ROWS));
        let mut bytes = 0;
        for part in rows.chunks(LOAD_ROWS) {
            self.cancel.check()?;
            self.load_part(part)?;
            for at in part {
                // Damaged rows are left out; the coverage says so.
                let Some(event) = self.loaded.remove(at) else { continue };
                bytes += event_bytes(&event);
                if !events.is_empty() && bytes > bytes_max {
                    return Ok(events);
                }
                events.push((*at, event));
            }
        }
        Ok(events)
    }

    fn load_part(&mut self, part: &[At]) -> Result<(), Error> {
        let mut missing: HashMap<u32, Vec<u32>> = HashMap::new();
        for at in part.iter().filter(|at| !self.loaded.contains_key(at)) {
            missing.entry(at.source).or_default().push(at.row);
        }
        for (source, mut rows) in missing {
            match &self.sources[source as usize] {
                Source::Table(table, _) => {
                    let memtable = table.read();
                    let load = |row: u32| (At { source, row }, memtable.event(row).to_owned());
                    self.loaded.extend(rows.into_iter().map(load));
                }
                Source::Segment(segment) => {
                    let segment = Arc::clone(segment);
                    rows.sort_unstable();
                    self.load_segment(source, &segment, &ranges_of(rows.into_iter()), |_| true)?;
                }
            }
        }
        Ok(())
    }

    /// Loads those rows of a segment that are wanted; gives their numbers back.
    fn load_segment(
        &mut self,
        source: u32,
        segment: &Segment,
        ranges: &[Range<u32>],
        wanted: impl Fn(&EventRef<'_>) -> bool,
    ) -> Result<Vec<u32>, Error> {
        let mut found: Vec<(u32, MessageEvent)> = Vec::new();
        let mut odd = false;
        let read = segment.read(ranges, None, &self.cancel, |rows| {
            for event in rows.batch.events().filter(|event| wanted(event)) {
                match rows.event(event.index()) {
                    Some(owned) => found.push((rows.numbers[event.index()], owned)),
                    None => odd = true,
                }
            }
            Ok(())
        });
        self.or_damage(segment, read)?;
        if odd {
            self.not_searched(format!("{}: attributes are none of ours", segment.id()));
        }
        let numbers = found.iter().map(|(row, _)| *row).collect();
        self.loaded.extend(found.into_iter().map(|(row, event)| (At { source, row }, event)));
        Ok(numbers)
    }
}

fn widen(range: &mut Option<(i64, i64)>, other: Option<(i64, i64)>) {
    *range = match (*range, other) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    };
}

impl Folder {
    /// A page of [`Store::events`](crate::Store::events), which may be empty for repeats.
    pub(super) fn page_of_events(
        &self,
        keys: &[Key],
        limits: &Limits,
        after: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Evidence, Error> {
        let after = after.map(place).transpose()?;
        let mut read = Read::begin(self, cancel)?;
        let mut collect = Collect::new(Direction::OldestFirst, after, limits.events_max);
        for (start_ns, source) in read.in_order(&collect) {
            cancel.check()?;
            if !collect.wants_range(start_ns) {
                break;
            }
            match &read.sources[source as usize] {
                Source::Table(table, until) => under_keys_in_table(source, table, *until, keys, &mut collect),
                Source::Segment(segment) => {
                    let segment = Arc::clone(segment);
                    read.under_keys_in_segment(source, &segment, keys, &mut collect)?;
                }
            }
        }
        let (rows, more) = collect.finish();
        let events = read.load(&rows, limits.bytes_max)?;
        let more = more || events.len() < rows.len();
        let next = next_after(&events, more);
        let events = read.without_repeats(events)?;
        if events.is_empty() && next.is_none() && after.is_none() {
            read.say_what_was_dropped(i64::MIN);
        }
        let progress = if after.is_none() { read.progress(keys)? } else { Vec::new() };
        Ok(Evidence { events, progress, coverage: read.coverage, next })
    }

    /// A page of [`Store::search`](crate::Store::search), which may be empty for repeats.
    pub(super) fn page_of_search(&self, query: &Query, page: &Page, cancel: &Cancel) -> Result<Found, Error> {
        let after = page.after.as_deref().map(place).transpose()?;
        let mut read = Read::begin(self, cancel)?;
        let mut collect = Collect::new(Direction::NewestFirst, after, page.events_max);
        let (since, until_ns) = query.range(page.now_ns);
        for (start_ns, source) in read.in_order(&collect) {
            cancel.check()?;
            if !collect.wants_range(start_ns) {
                break;
            }
            match &read.sources[source as usize] {
                Source::Table(table, until) => read.each_of_table(table, *until, |row, event| {
                    if collect.wants_start(event.start_ns()) && query.matches(event, page.now_ns) {
                        collect.offer((event.start_ns(), event.id()), At { source, row });
                    }
                })?,
                Source::Segment(segment) => {
                    if start_ns.0 < until_ns && start_ns.1 >= since {
                        let segment = Arc::clone(segment);
                        let found =
                            read.matching_in_segment(source, &segment, query, page.now_ns, &mut collect);
                        read.or_damage(&segment, found)?;
                    }
                }
            }
        }
        let (rows, more) = collect.finish();
        let events = read.load(&rows, self.options.read_bytes_max)?;
        let next = next_after(&events, more || events.len() < rows.len());
        let events = read.without_repeats(events)?;
        // What was dropped would stand behind a full page.
        if next.is_none() {
            read.say_what_was_dropped(since);
        }
        Ok(Found { events, coverage: read.coverage, next })
    }
}

fn next_after(events: &[(At, MessageEvent)], more: bool) -> Option<String> {
    events.last().filter(|_| more).map(|(_, event)| cursor((event.start_ns, event.id())))
}

fn under_keys_in_table(source: u32, table: &Table, until: u32, keys: &[Key], collect: &mut Collect) {
    let memtable = table.read_indexed(until);
    let mut rows: Vec<u32> = Vec::new();
    for key in keys {
        let Some((_, fingerprint)) = of_key(key) else { continue };
        let proposed = memtable.rows_under(fingerprint).filter(|row| *row < until);
        rows.extend(proposed.filter(|row| event_matches(key, &memtable.event(*row))));
    }
    rows.sort_unstable();
    rows.dedup();
    for row in rows.into_iter().filter(|row| !memtable.is_sealed_already(*row)) {
        collect.offer((memtable.event(row).start_ns(), memtable.id(row)), At { source, row });
    }
}

impl Read<'_> {
    fn under_keys_in_segment(
        &mut self,
        source: u32,
        segment: &Segment,
        keys: &[Key],
        collect: &mut Collect,
    ) -> Result<(), Error> {
        let proposed =
            segment.rows_under(keys.iter().flat_map(in_segments).collect()).map_err(Failed::Damaged);
        let Some(ranges) = self.or_damage(segment, proposed)? else { return Ok(()) };
        self.within_budget(size_of_val(&ranges[..]))?;
        let wanted = |event: &EventRef<'_>| keys.iter().any(|key| event_matches(key, event));
        if count(&ranges) <= DIRECT_ROWS && self.loaded.len() < LOADED_ROWS_MAX {
            for row in self.load_segment(source, segment, &ranges, wanted)? {
                let at = At { source, row };
                if let Some(event) = self.loaded.get(&at) {
                    collect.offer((event.start_ns, event.id()), at);
                }
            }
            return Ok(());
        }
        let cancel = self.cancel.clone();
        let pages = segment.in_pages(&ranges).map_err(Failed::Damaged);
        let read = pages.and_then(|pages| {
            let threads_max = self.folder.options.read_threads_max;
            best_first(collect, pages, threads_max, |ranges, collect| {
                segment.read(ranges, Some(&[IDENTITY, KEYS]), &cancel, |rows| {
                    for event in rows.batch.events().filter(|event| wanted(event)) {
                        let row = rows.numbers[event.index()];
                        if collect.wants_start(event.start_ns()) {
                            collect.offer((event.start_ns(), event.id()), At { source, row });
                        }
                    }
                    Ok(())
                })
            })
        });
        self.or_damage(segment, read)?;
        Ok(())
    }

    /// Offers the rows of a segment that satisfy a query.
    fn matching_in_segment(
        &self,
        source: u32,
        segment: &Segment,
        query: &Query,
        now_ns: i64,
        collect: &mut Collect,
    ) -> Result<(), Failed> {
        let rows = rows_in_question(segment, query)?;
        self.within_budget(size_of_val(&rows[..]))?;
        let pages = pages_in_question(segment, &rows, query, now_ns)?;
        let (range, split) = (query.range(now_ns), Split::of(query));
        let (cancel, threads_max) = (&self.cancel, self.folder.options.read_threads_max);
        let offer = |ranges: &[Range<u32>], columns: &[&[&str]], collect: &mut Collect| {
            segment.read(ranges, Some(columns), cancel, |rows| {
                for event in rows.batch.events() {
                    if collect.wants_start(event.start_ns()) && split.columns.matches(event, now_ns) {
                        let at = At { source, row: rows.numbers[event.index()] };
                        collect.offer((event.start_ns(), event.id()), at);
                    }
                }
                Ok(())
            })
        };
        if is_open(query) {
            let rows = newest_starts(segment, pages, range, collect)?;
            let ranges = ranges_of(rows.into_iter().map(|(_, row)| row));
            return offer(&ranges, &[IDENTITY], collect);
        }
        best_first(collect, pages, threads_max, |ranges, collect| {
            let mut rows = segment.starts(ranges)?;
            rows.retain(|(start, _)| (range.0..range.1).contains(start) && collect.wants_start(*start));
            let rows = ranges_of(rows.into_iter().map(|(_, row)| row));
            let rows = split.rows_with(segment, ranges, rows, cancel)?;
            let columns: &[&[&str]] = if is_open(&split.columns) { &[IDENTITY] } else { &[IDENTITY, FILTER] };
            offer(&rows, columns, collect)
        })
    }

    /// What [`Key::Progress`] asks for.
    fn progress(&mut self, keys: &[Key]) -> Result<Vec<Progress>, Error> {
        let mut chosen = Vec::new();
        for key in keys {
            let Key::Progress(at) = key else { continue };
            let mut candidates: Vec<Progress> = Vec::new();
            for source in 0..self.sources.len() {
                self.cancel.check()?;
                match &self.sources[source] {
                    Source::Table(table, _) => {
                        let batches = table.read().batches().to_vec();
                        let samples = batches.iter().flat_map(|batch| batch.progress_owned());
                        candidates.extend(select_progress(samples, at));
                    }
                    Source::Segment(segment) if segment.entry.progress > 0 => {
                        let segment = Arc::clone(segment);
                        let select = |batch: &Batch| select_progress(batch.progress_owned(), at);
                        let selected = segment.with_rest(select).map_err(Failed::Damaged);
                        candidates.extend(self.or_damage(&segment, selected)?.into_iter().flatten());
                    }
                    Source::Segment(_) => {}
                }
            }
            chosen.extend(select_progress(candidates.into_iter(), at));
        }
        chosen.sort_by_key(|sample| sample.at_ns);
        Ok(chosen)
    }
}
