//! [`Tallying`]: from samples of tallies to counts by dimension and time. Every store puts its samples in, in any
//! order and as often as it has them; what comes out is the same.
//!
//! - The samples of a series and start are one *run*. A run's counts are the differences of its samples; a
//!   process that starts again begins a new run, and two processes have two. So nothing is lost by a restart,
//!   nothing counts twice, and a sample that is late falls into its place.
//! - Within a minute only the last sample of a run matters: a store may forget the others ([`thinned`]).
//! - Between two samples nobody knows when something happened: the count is spread evenly over the time
//!   between them, in whole numbers that add up to exactly the count.

use crate::contract::{Aggregation, Dimension, Metric, Row};
use hopscope_model::{
    Batch, BatchBuilder, Cell, EventRow, Measure, OutcomeCode, Query, SeriesId, Spread, TallyRow,
    Temporality, Tenant, Text,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How far behind the end of the asked range samples are looked for: a service that reports less often loses
/// its share of the range's last moments.
pub(crate) const REPORT_NS_MAX: i64 = 5 * MINUTE_NS;

/// Samples that one answer may look at.
const SAMPLES_MAX: usize = 4_000_000;

const MINUTE_NS: i64 = 60_000_000_000;

/// One run: a series since one start.
type RunId = (SeriesId, i64);

/// What was counted until an instant.
#[derive(Clone, Debug)]
struct Value {
    count: u64,
    spread: Option<Spread>,
}

#[derive(Debug)]
struct Run {
    temporality: Temporality,
    /// `None` where the query does not ask for it.
    row: Option<RowKey>,
    failed: bool,
    /// By time of the sample; of a minute the last one.
    samples: BTreeMap<i64, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct RowKey {
    measure: Measure,
    metric: String,
    values: Vec<String>,
    step_ns: i64,
}

/// Counts in the making.
#[derive(Debug)]
pub(crate) struct Tallying<'q> {
    aggregation: &'q Aggregation,
    since_ns: i64,
    until_ns: i64,
    runs: HashMap<RunId, Run>,
    samples: usize,
}

impl<'q> Tallying<'q> {
    pub fn new(aggregation: &'q Aggregation) -> Self {
        let (since_ns, until_ns) = aggregation.query.range(aggregation.now_ns);
        Self { aggregation, since_ns, until_ns, runs: HashMap::new(), samples: 0 }
    }

    /// Whether samples of that range of time say something of the asked one by themselves.
    pub fn overlaps(&self, at_ns: (i64, i64)) -> bool {
        // Whole minutes, or it would depend on what was thinned.
        at_ns.1 >= self.since_ns && at_ns.0 < minute_of(self.until_ns.saturating_add(REPORT_NS_MAX))
    }

    /// All samples of a batch that say something of the range.
    pub fn add(&mut self, batch: &Batch) {
        for (index, row) in batch.tallies().iter().enumerate() {
            if self.overlaps((row.at_ns, row.at_ns)) {
                self.sample(batch, index, row);
            }
        }
    }

    /// The runs of which samples up to `last_ns` may say what they had counted before the range: without, that
    /// would be taken for the range's own.
    pub fn begun_before(&self, last_ns: i64) -> HashSet<RunId> {
        let wants = |(id, run): (&RunId, &Run)| {
            let differs = run.temporality == Temporality::Cumulative && run.row.is_some();
            let known =
                || run.samples.range(..self.since_ns).next_back().is_some_and(|(at, _)| *at >= last_ns);
            (differs && id.1 < self.since_ns.min(last_ns) && !known()).then_some(*id)
        };
        self.runs.iter().filter_map(wants).collect()
    }

    /// Of these runs the samples before the range.
    pub fn add_before(&mut self, batch: &Batch, runs: &HashSet<RunId>) {
        for (index, row) in batch.tallies().iter().enumerate() {
            if row.at_ns < self.since_ns && runs.contains(&(row.series, row.start_ns)) {
                self.sample(batch, index, row);
            }
        }
    }

    fn sample(&mut self, batch: &Batch, index: usize, row: &TallyRow) {
        self.samples += 1;
        if self.samples > SAMPLES_MAX {
            return;
        }
        let aggregation = self.aggregation;
        let run = self.runs.entry((row.series, row.start_ns)).or_insert_with(|| Run {
            temporality: row.temporality,
            row: asked(&aggregation.query, batch, row).then(|| row_key(aggregation, batch, row)),
            failed: row.outcome == OutcomeCode::Failed,
            samples: BTreeMap::new(),
        });
        if run.row.is_none() {
            return;
        }
        let value = || Value { count: row.count, spread: batch.tally_spread(index) };
        if !is_thinned(row) {
            // The same sample twice: which one is kept must not depend on the order.
            let kept = run.samples.entry(row.at_ns).or_insert_with(value);
            if row.count > kept.count {
                *kept = value();
            }
            return;
        }
        let minute = minute_of(row.at_ns);
        let last = run.samples.range(minute..minute.saturating_add(MINUTE_NS)).next_back();
        let better = match last {
            None => None,
            Some((at, last))
                if rank(row.temporality, row.count, row.at_ns) > rank(row.temporality, last.count, *at) =>
            {
                Some(*at)
            }
            Some(_) => return,
        };
        better.map(|worse| run.samples.remove(&worse));
        run.samples.insert(row.at_ns, value());
    }

    /// Why the answer is not complete, where it is not.
    pub fn why_not(&self) -> Option<String> {
        (self.samples > SAMPLES_MAX)
            .then(|| format!("more samples of metrics than one answer looks at samples_max={SAMPLES_MAX}"))
    }

    /// The rows, in no order that matters.
    pub fn finish(self) -> Vec<Row> {
        let mut rows: BTreeMap<RowKey, Row> = BTreeMap::new();
        for ((_, start_ns), run) in &self.runs {
            let Some(key) = run.row.as_ref().filter(|_| self.since_ns < self.until_ns) else { continue };
            match run.temporality {
                Temporality::Cumulative => self.differences(&mut rows, key, run, *start_ns),
                Temporality::Delta => {
                    let mut from = *start_ns;
                    for (at, value) in &run.samples {
                        // All deltas of a start that stands still: each counts from the one before.
                        self.spread_evenly(&mut rows, key, run.failed, (from, *at), value);
                        from = if *start_ns > 0 { *at } else { 0 };
                    }
                }
                Temporality::Level => self.levels(&mut rows, key, run),
            }
        }
        rows.into_values().collect()
    }

    fn differences(&self, rows: &mut BTreeMap<RowKey, Row>, key: &RowKey, run: &Run, start_ns: i64) {
        let mut before: Option<(i64, Value)> = match start_ns {
            // Nobody says since when: the first sample is where counting begins.
            0 => None,
            start => Some((start, Value { count: 0, spread: None })),
        };
        for (at, value) in &run.samples {
            if let Some((from, earlier)) = &before {
                if value.count < earlier.count && start_ns > 0 {
                    // Less than before without a new start: two processes under one name. What the lesser one
                    // counts is within what the other one counted already.
                    continue;
                }
                let counted = if value.count < earlier.count {
                    value.clone()
                } else {
                    let spread = value.spread.as_ref().map(|spread| match &earlier.spread {
                        Some(earlier) => spread.since(earlier),
                        None => spread.clone(),
                    });
                    Value { count: value.count - earlier.count, spread }
                };
                self.spread_evenly(rows, key, run.failed, (*from, *at), &counted);
            }
            before = Some((*at, value.clone()));
        }
    }

    /// Gives every step its share of what was counted in `(from, at]`. How the values spread belongs to the step
    /// in which it was reported: a distribution cannot be divided.
    fn spread_evenly(
        &self,
        rows: &mut BTreeMap<RowKey, Row>,
        key: &RowKey,
        failed: bool,
        (from, at): (i64, i64),
        value: &Value,
    ) {
        // A start that is not told, or not before its sample: all of it happened at the sample.
        let from = if from > 0 && from < at { from } else { at.saturating_sub(1) };
        let until = at.min(self.until_ns);
        let mut begin = from.max(self.since_ns);
        while begin < until {
            let step_ns = self.step_of(begin);
            let end = self.step_end(begin).min(until);
            let share = share_until(value.count, from, at, end) - share_until(value.count, from, at, begin);
            let last = end == at;
            if share > 0 || last {
                let spread = value.spread.as_ref().filter(|_| last);
                add(rows, &RowKey { step_ns, ..key.clone() }, share, failed, (begin, end), spread);
            }
            begin = end;
        }
    }

    /// Of every step the last level.
    fn levels(&self, rows: &mut BTreeMap<RowKey, Row>, key: &RowKey, run: &Run) {
        let mut last: BTreeMap<i64, (i64, u64)> = BTreeMap::new();
        for (at, value) in run.samples.range(self.since_ns..self.until_ns) {
            last.insert(self.step_of(*at), (*at, value.count));
        }
        for (step_ns, (at, count)) in last {
            add(rows, &RowKey { step_ns, ..key.clone() }, count, run.failed, (at, at), None);
        }
    }

    fn step_of(&self, at_ns: i64) -> i64 {
        self.aggregation.step_of(at_ns)
    }

    fn step_end(&self, at_ns: i64) -> i64 {
        let step_ns = self.aggregation.step_ns;
        step_ns.map_or(i64::MAX, |step| self.step_of(at_ns).saturating_add(step.get()))
    }
}

/// How much of `count`, which came evenly from `from` to `to`, had come at `at`.
fn share_until(count: u64, from: i64, to: i64, at: i64) -> u64 {
    let (part, whole) = ((at - from) as u128, (to - from) as u128);
    u64::try_from(u128::from(count) * part / whole).unwrap_or(u64::MAX)
}

fn add(
    rows: &mut BTreeMap<RowKey, Row>,
    key: &RowKey,
    count: u64,
    failed: bool,
    (first_ns, last_ns): (i64, i64),
    spread: Option<&Spread>,
) {
    let row = rows.entry(key.clone()).or_insert_with(|| Row {
        metric: Some(Metric { measure: key.measure, name: key.metric.clone() }),
        values: key.values.clone(),
        step_ns: key.step_ns,
        events: 0,
        failed: 0,
        first_ns,
        last_ns,
        ..Row::default()
    });
    row.events = row.events.saturating_add(count);
    row.failed = row.failed.saturating_add(if failed { count } else { 0 });
    row.first_ns = row.first_ns.min(first_ns);
    row.last_ns = row.last_ns.max(last_ns);
    if let Some(spread) = spread {
        row.spread.get_or_insert_with(Spread::empty).add(spread);
    }
}

fn minute_of(at_ns: i64) -> i64 {
    at_ns.saturating_sub(at_ns.rem_euclid(MINUTE_NS))
}

/// Of two samples in one minute the greater one counts: of a level the latest, and of what never falls the
/// greatest, which is the latest too.
fn rank(temporality: Temporality, count: u64, at_ns: i64) -> (i128, i128) {
    let (count, at) = (i128::from(count), i128::from(at_ns));
    match temporality {
        Temporality::Level => (at, count),
        Temporality::Cumulative | Temporality::Delta => (count, at),
    }
}

/// Whether of a minute one sample is enough: not where each has a count of its own, nor where a restart shows
/// in nothing but a count that falls.
fn is_thinned(row: &TallyRow) -> bool {
    match row.temporality {
        Temporality::Cumulative => row.start_ns > 0,
        Temporality::Delta => false,
        Temporality::Level => true,
    }
}

/// The rank of a minute's last sample, the number of its batch, and its place in it.
type Best = ((i128, i128), usize, usize);

/// For each tally of these batches whether it must be kept: the answers are the same with the others left out.
pub(crate) fn thinned<'b>(batches: impl Iterator<Item = &'b Batch>) -> Vec<Vec<bool>> {
    let mut best: HashMap<(RunId, i64), Best> = HashMap::new();
    let mut seen = HashSet::new();
    let mut masks: Vec<Vec<bool>> = Vec::new();
    for (number, batch) in batches.enumerate() {
        let mut mask = vec![false; batch.tallies().len()];
        for (index, row) in batch.tallies().iter().enumerate() {
            if !is_thinned(row) {
                mask[index] = seen.insert(row.identity());
                continue;
            }
            let rank = rank(row.temporality, row.count, row.at_ns);
            let minute = ((row.series, row.start_ns), minute_of(row.at_ns));
            let slot = best.entry(minute).or_insert((rank, number, index));
            if rank > slot.0 {
                *slot = (rank, number, index);
            }
        }
        masks.push(mask);
    }
    for (_, number, index) in best.into_values() {
        masks[number][index] = true;
    }
    masks
}

fn row_key(aggregation: &Aggregation, batch: &Batch, row: &TallyRow) -> RowKey {
    let text = |text: Text| batch.texts().get(text).to_owned();
    let value = |by: &Dimension| match by {
        Dimension::System => text(row.system),
        Dimension::Cluster => text(row.cluster),
        Dimension::Destination => text(row.destination),
        Dimension::Lane => text(row.lane),
        Dimension::Group => text(row.group),
        Dimension::Service => text(row.service),
        Dimension::Instance => text(row.instance),
        Dimension::Detail => text(row.detail),
        Dimension::Stage => row.stage.name().to_owned(),
        Dimension::Outcome => row.outcome.name().to_owned(),
    };
    let values = aggregation.by.iter().map(value).collect();
    RowKey { measure: row.measure, metric: text(row.metric), values, step_ns: 0 }
}

/// Whether the terms of a query hold for a tally: those that are compared with names, as they would be for an
/// event that has them. Time is the range's.
fn asked(query: &Query, batch: &Batch, row: &TallyRow) -> bool {
    if query.terms.is_empty() {
        return true;
    }
    let mut builder = BatchBuilder::new(Tenant::default(), batch.source(), batch.received_ns());
    let mut text = |text: Text| builder.intern(batch.texts().get(text));
    let event = EventRow {
        stage: row.stage,
        outcome: row.outcome,
        system: text(row.system),
        cluster: text(row.cluster),
        destination: text(row.destination),
        lane: text(row.lane),
        group: text(row.group),
        service: text(row.service),
        ..EventRow::default()
    };
    let none: &[(Text, Cell)] = &[];
    builder.push(event, &[], &[], none);
    let terms = Query { since: None, until: None, ..query.clone() };
    terms.matches(builder.finish().event(0), 0)
}
