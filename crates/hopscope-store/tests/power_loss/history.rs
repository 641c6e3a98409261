//! Lives of a store: what it is given, what its clients are told, and whether it still has that.

use hopscope_model::{BatchBuilder, MessageEvent, Query, Source, Stage, Tally, Temporality, Tenant};
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::embedded::{Options, WalMode};
use hopscope_store::kit::random::Random;
use hopscope_store::kit::{self, NOW_NS};
use hopscope_store::{Aggregation, Counted, Depth, Dimension, Page, Retention};
use std::collections::BTreeSet;
use std::sync::Arc;

pub const DAY_NS: i64 = 86_400 * kit::SECOND_NS;

/// Sequence numbers of events, as the store answers them, newest first.
pub fn stored(store: &Driven) -> Result<Vec<u64>, String> {
    let mut page = Page { events_max: 1_000_000, after: None, now_ns: NOW_NS };
    let mut numbers = Vec::new();
    loop {
        let found = store.search(&Query::default(), &page).map_err(|error| error.to_string())?;
        numbers.extend(found.events.iter().filter_map(|event| event.service.parse::<u64>().ok()));
        page.after = found.next;
        if page.after.is_none() {
            return Ok(numbers);
        }
    }
}

/// Sequence numbers of tallies; a number is there as often as it counts.
pub fn counted(store: &Driven) -> Result<Vec<u64>, String> {
    let aggregation = Aggregation {
        of: Counted::Tallies,
        by: vec![Dimension::Service],
        now_ns: NOW_NS,
        rows_max: 1_000_000,
        ..Aggregation::default()
    };
    let rows = store.aggregate(&aggregation).map_err(|error| error.to_string())?.rows;
    let numbers = rows.iter().filter_map(|row| Some((row.values[0].parse::<u64>().ok()?, row.events)));
    Ok(numbers.flat_map(|(number, times)| (0..times).map(move |_| number)).collect())
}

/// A count of 1: cumulative or, of the odd numbers, delta.
pub fn tally(number: u64) -> Tally {
    let temporality = if number.is_multiple_of(2) { Temporality::Cumulative } else { Temporality::Delta };
    Tally { service: number.to_string(), temporality, ..kit::sent(number, 1, 1) }
}

/// What is stored, of events and of tallies alike: which must be the same, of what no policy drops.
pub fn stored_both(store: &Driven, told: &Told) -> Result<Vec<u64>, String> {
    let (mut events, mut tallies) = (stored(store)?, counted(store)?);
    events.sort_unstable();
    tallies.sort_unstable();
    let kept = |numbers: &[u64]| numbers.iter().copied().filter(|number| told.keeps(*number)).collect();
    let (kept_events, kept_tallies): (Vec<u64>, Vec<u64>) = (kept(&events), kept(&tallies));
    if kept_events == kept_tallies {
        return Ok(events);
    }
    Err(format!("{} events and {} tallies differ", kept_events.len(), kept_tallies.len()))
}

pub fn sorted(numbers: Result<Vec<u64>, String>) -> Vec<u64> {
    let mut numbers = numbers.expect("answers");
    numbers.sort_unstable();
    numbers
}

pub fn event(number: u64) -> MessageEvent {
    MessageEvent { service: number.to_string(), ..kit::event(number, number % 1_000, Stage::Work) }
}

/// What clients were told.
#[derive(Default)]
pub struct Told {
    /// The next sequence number.
    pub next: u64,
    /// When each number was received first.
    pub received_ns: Vec<i64>,
    /// What was received before may have been dropped.
    pub keep_since_ns: i64,
    /// Must be there after any loss of power.
    pub promised: BTreeSet<u64>,
    /// Acknowledged in a mode that promises nothing yet.
    pub written: BTreeSet<u64>,
}

impl Told {
    /// Numbers of a new batch, and when it is received. Every sixty numbers are of another day.
    pub fn numbers(&mut self, count: u64) -> (Vec<u64>, i64) {
        let numbers: Vec<u64> = (self.next..self.next + count).collect();
        let received_ns = NOW_NS + (self.next / 60) as i64 * DAY_NS + self.next as i64;
        self.received_ns.extend(numbers.iter().map(|_| received_ns));
        self.next += count;
        (numbers, received_ns)
    }

    /// Whether no policy drops that number.
    pub fn keeps(&self, number: u64) -> bool {
        self.received_ns.get(number as usize).is_none_or(|received| *received >= self.keep_since_ns)
    }

    pub fn acknowledge(&mut self, numbers: Vec<u64>, mode: WalMode) {
        let told = if mode == WalMode::Sync { &mut self.promised } else { &mut self.written };
        told.extend(numbers);
    }
}

/// Appends, seals, merges and drops; whatever fails, it goes on as long as it has something to do.
pub fn live(store: &Driven, mode: WalMode, random: &mut Random, told: &mut Told) {
    for _ in 0..1 + random.below(8) {
        let mut groups = Vec::new();
        for _ in 0..1 + random.below(3) {
            let (numbers, received_ns) = told.numbers(1 + random.below(8));
            let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, received_ns);
            for number in &numbers {
                builder.push_event(&event(*number));
                builder.push_tally_owned(&tally(*number));
            }
            // A client that got no answer sends again; one that got one may too.
            if random.chance(4) && told.next > 20 {
                let again = random.below(told.next - 10);
                builder.push_event(&event(again));
                builder.push_tally_owned(&tally(again));
            }
            groups.push((numbers, builder.finish()));
        }
        let (numbers, batches): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        for (numbers, answer) in numbers.into_iter().zip(store.commit(batches)) {
            if answer.is_ok() {
                told.acknowledge(numbers, mode);
            }
        }
        // What fails here is tried again later, as the threads do.
        if random.chance(6) {
            let _ = store.freeze();
        }
        if random.chance(3) {
            let _ = store.seal_one();
        }
        if random.chance(3) {
            let _ = store.compact_one(random.chance(2));
        }
        if random.chance(12) {
            let oldest = random.below(told.next) as usize;
            told.keep_since_ns = told.keep_since_ns.max(told.received_ns[oldest]);
            let _ = store.retain(&Retention { keep_since_ns: told.keep_since_ns });
        }
        if matches!(mode, WalMode::Interval(_)) && random.chance(3) && store.sync_log().is_ok() {
            told.promised.append(&mut told.written);
        }
    }
}

/// Seals, merges and drops for certain, where nothing fails; whether it came to that.
pub fn be_busy(store: &Driven, told: &mut Told) -> bool {
    // Of three neighbours that are sealed at least two are of one day.
    for _ in 0..4 {
        let (numbers, received_ns) = told.numbers(20);
        let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, received_ns);
        for number in &numbers {
            builder.push_event(&event(*number));
            builder.push_tally_owned(&tally(*number));
        }
        if store.commit(vec![builder.finish()]).swap_remove(0).is_ok() {
            told.acknowledge(numbers, WalMode::Sync);
        }
        let _ = store.freeze();
        while store.seal_one().unwrap_or(false) {}
    }
    let merged = store.compact_one(true).unwrap_or(false);
    let newest_ns = told.received_ns.last().copied().unwrap_or_default();
    told.keep_since_ns = told.keep_since_ns.max(newest_ns - DAY_NS / 2);
    let retained = store.retain(&Retention { keep_since_ns: told.keep_since_ns });
    merged && retained.is_ok_and(|retained| retained.dropped_events > 0)
}

/// Holds what the store has against what clients were told.
pub fn inspect(store: &Driven, told: &Told) -> Result<(), String> {
    let numbers = stored_both(store, told)?;
    let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
    if distinct.len() != numbers.len() {
        return Err(format!("{} events are there twice", numbers.len() - distinct.len()));
    }
    let lost = told.promised.difference(&distinct).filter(|number| told.keeps(**number)).count();
    if lost > 0 {
        return Err(format!("{lost} of {} promised are missing", told.promised.len()));
    }
    if let Some(foreign) = distinct.iter().find(|number| **number >= told.next) {
        return Err(format!("event {foreign} was never sent"));
    }
    let report = store.check(Depth::Full).map_err(|error| error.to_string())?;
    if report.events != numbers.len() as u64 {
        return Err(format!("check counts {} of {}", report.events, numbers.len()));
    }
    Ok(())
}

pub fn options(mode: WalMode) -> Options {
    Options {
        seal_rows: 20,
        compact_rows: 200,
        compact_segments_max: 3,
        wal_mode: mode,
        ..Options::default()
    }
}

pub fn open(disk: &SimDir, mode: WalMode) -> Result<Driven, String> {
    Driven::open(Arc::new(disk.clone()), options(mode)).map_err(|error| format!("does not start: {error}"))
}
