//! The power goes, again and again, at any step, also while the store is recovering: nothing that was
//! acknowledged is missing, nothing is there twice, and the store always starts.
//!
//! Every loss is made of one printed seed, and happens on the disk that those before it left, up to ten in a row.
//! `HOPSCOPE_SEED=170 HOPSCOPE_COUNT=10 cargo test --test power_loss` plays some again.

use hopscope_model::{BatchBuilder, MessageEvent, Query, Source, Stage, Tally, Temporality, Tenant};
use hopscope_store::embedded::sim_dir::{Failure, Fault, Operation, SimDir};
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::embedded::{Options, WalMode};
use hopscope_store::kit::random::Random;
use hopscope_store::kit::{self, NOW_NS, random};
use hopscope_store::{Aggregation, Counted, Depth, Dimension, ErrorKind, Page, Retention};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const POWER_LOSSES: u64 = 600;

/// Operations of a life that are made to fail, about so many one after the other.
const STRIKES: u64 = 12;

/// Losses of power in one run, on one disk.
const LOSSES_PER_RUN: u64 = 10;

/// Losses of power that are enough to see a defect that shows in most runs.
const FEW: u64 = 10 * LOSSES_PER_RUN;

/// Operations within which a fault strikes, in the lives that have one.
const FAULT_WITHIN: u64 = 40;

const DAY_NS: i64 = 86_400 * kit::SECOND_NS;

type Prepare = fn(&SimDir);

/// Sequence numbers of events, as the store answers them, newest first.
fn stored(store: &Driven) -> Result<Vec<u64>, String> {
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
fn counted(store: &Driven) -> Result<Vec<u64>, String> {
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
fn tally(number: u64) -> Tally {
    let temporality = if number.is_multiple_of(2) { Temporality::Cumulative } else { Temporality::Delta };
    Tally { service: number.to_string(), temporality, ..kit::sent(number, 1, 1) }
}

/// What is stored, of events and of tallies alike: which must be the same, of what no policy drops.
fn stored_both(store: &Driven, told: &Told) -> Result<Vec<u64>, String> {
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

fn sorted(numbers: Result<Vec<u64>, String>) -> Vec<u64> {
    let mut numbers = numbers.expect("answers");
    numbers.sort_unstable();
    numbers
}

fn event(number: u64) -> MessageEvent {
    MessageEvent { service: number.to_string(), ..kit::event(number, number % 1_000, Stage::Work) }
}

/// What clients were told.
#[derive(Default)]
struct Told {
    /// The next sequence number.
    next: u64,
    /// When each number was received first.
    received_ns: Vec<i64>,
    /// What was received before may have been dropped.
    keep_since_ns: i64,
    /// Must be there after any loss of power.
    promised: BTreeSet<u64>,
    /// Acknowledged in a mode that promises nothing yet.
    written: BTreeSet<u64>,
}

impl Told {
    /// Numbers of a new batch, and when it is received. Every sixty numbers are of another day.
    fn numbers(&mut self, count: u64) -> (Vec<u64>, i64) {
        let numbers: Vec<u64> = (self.next..self.next + count).collect();
        let received_ns = NOW_NS + (self.next / 60) as i64 * DAY_NS + self.next as i64;
        self.received_ns.extend(numbers.iter().map(|_| received_ns));
        self.next += count;
        (numbers, received_ns)
    }

    /// Whether no policy drops that number.
    fn keeps(&self, number: u64) -> bool {
        self.received_ns.get(number as usize).is_none_or(|received| *received >= self.keep_since_ns)
    }

    fn acknowledge(&mut self, numbers: Vec<u64>, mode: WalMode) {
        let told = if mode == WalMode::Sync { &mut self.promised } else { &mut self.written };
        told.extend(numbers);
    }
}

/// Appends, seals, merges and drops; whatever fails, it goes on as long as it has something to do.
fn live(store: &Driven, mode: WalMode, random: &mut Random, told: &mut Told) {
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

/// Holds what the store has against what clients were told.
fn inspect(store: &Driven, told: &Told) -> Result<(), String> {
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

fn options(mode: WalMode) -> Options {
    Options {
        seal_rows: 20,
        compact_rows: 200,
        compact_segments_max: 3,
        wal_mode: mode,
        ..Options::default()
    }
}

fn open(disk: &SimDir, mode: WalMode) -> Result<Driven, String> {
    Driven::open(Arc::new(disk.clone()), options(mode)).map_err(|error| format!("does not start: {error}"))
}

/// Plays one loss of power for each seed, on one disk; what went wrong.
fn play(seeds: Range<u64>, mode: WalMode, prepare: Prepare) -> Result<(), String> {
    let mut disk = SimDir::new();
    let mut told = Told::default();
    for seed in seeds {
        let mut random = Random(seed);
        prepare(&disk);
        let operations_max = if random.chance(3) { 8 } else { 60 };
        disk.cut_power_after(random.below(operations_max));
        if random.chance(2) {
            disk.fail(Fault::random(&mut random, FAULT_WITHIN));
        }
        // Without power, opening fails: that is a crash during recovery.
        if let Ok(store) = open(&disk, mode) {
            live(&store, mode, &mut random, &mut told);
        }
        disk = disk.after_power_loss(&mut random);
        told.written.clear();
        let inspected = open(&disk.copied(), mode).and_then(|store| inspect(&store, &told));
        inspected.map_err(|error| format!("seed {seed}: {error}"))?;
    }
    Ok(())
}

/// Plays all seeds on two threads, for there are at least two cores everywhere.
fn failures(seeds: Range<u64>, mode: WalMode, prepare: Prepare) -> Vec<String> {
    let half = seeds.start + (seeds.end - seeds.start).div_ceil(2).next_multiple_of(LOSSES_PER_RUN);
    let play_all = |seeds: Range<u64>| -> Vec<String> {
        let runs = seeds.clone().step_by(LOSSES_PER_RUN as usize);
        runs.filter_map(|first| play(first..seeds.end.min(first + LOSSES_PER_RUN), mode, prepare).err())
            .collect()
    };
    std::thread::scope(|scope| {
        let halves = [seeds.start..half.min(seeds.end), half.min(seeds.end)..seeds.end];
        let threads = halves.map(|half| scope.spawn(move || play_all(half)));
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn many_power_losses_lose_nothing_that_was_acknowledged() {
    let seeds = random::seeds(POWER_LOSSES);
    println!("power-loss: seeds {seeds:?}, a loss of power each");
    assert_eq!(failures(seeds.clone(), WalMode::Sync, |_| {}), [""; 0]);
    println!("power-loss: {} losses of power, nothing acknowledged lost or doubled", seeds.end - seeds.start);
}

#[test]
fn a_log_that_is_synced_now_and_then_keeps_what_it_promised() {
    let mode = WalMode::Interval(Duration::from_secs(1));
    assert_eq!(failures(0..FEW, mode, |_| {}), [""; 0]);
}

#[test]
fn a_log_that_is_never_synced_starts_and_doubles_nothing() {
    assert_eq!(failures(0..FEW, WalMode::None, |_| {}), [""; 0]);
}

#[test]
fn without_the_sync_of_the_log_it_would_show() {
    assert!(failures(0..FEW, WalMode::Sync, SimDir::ignore_sync_data).len() > 5);
}

#[test]
fn without_the_sync_of_the_folder_it_would_show() {
    assert!(failures(0..FEW, WalMode::Sync, SimDir::ignore_sync_dir).len() > 5);
}

#[test]
fn a_kill_loses_nothing_at_all_in_any_mode() {
    for mode in [WalMode::Sync, WalMode::Interval(Duration::from_secs(1)), WalMode::None] {
        for seed in 0..20 {
            let mut random = Random(seed);
            let mut disk = SimDir::new();
            let mut told = Told::default();
            for _ in 0..5 {
                disk.cut_power_after(random.below(60));
                if let Ok(store) = open(&disk, mode) {
                    live(&store, mode, &mut random, &mut told);
                }
                disk = disk.after_kill();
                told.promised.append(&mut told.written);
                let store = open(&disk, mode).expect("starts");
                inspect(&store, &told).unwrap_or_else(|error| panic!("seed {seed} {mode:?}: {error}"));
                assert_eq!(store.check(Depth::Full).expect("checks").findings, [], "seed {seed} {mode:?}");
            }
        }
    }
}

/// A life in which something fails, and another one after a loss of power; how many operations the first had.
fn strike(fault: Fault, seed: u64) -> Result<u64, String> {
    let disk = SimDir::new();
    let mut told = Told::default();
    let mut random = Random(seed);
    disk.fail(fault);
    let store = open(&disk, WalMode::Sync).or_else(|_| {
        disk.mend();
        open(&disk, WalMode::Sync)
    })?;
    live(&store, WalMode::Sync, &mut random, &mut told);
    let _ = store.freeze().and_then(|()| store.seal_one());
    inspect(&store, &told).map_err(|error| format!("while it fails: {error}"))?;
    disk.mend();
    let operations = disk.operations();
    while store.seal_one().map_err(|error| format!("mended: {error}"))? {}
    let before = told.promised.len();
    live(&store, WalMode::Sync, &mut random, &mut told);
    if told.promised.len() == before {
        return Err("mended, nothing is taken".to_owned());
    }
    drop(store);
    for after in [disk.after_kill(), disk.after_power_loss(&mut random)] {
        let store = open(&after, WalMode::Sync)?;
        inspect(&store, &told).map_err(|error| format!("after a restart: {error}"))?;
        let findings = store.check(Depth::Full).map_err(|error| error.to_string())?.findings;
        if !findings.is_empty() {
            return Err(format!("after a restart: {findings:?}"));
        }
    }
    Ok(operations)
}

/// Strikes at every operation of a life, or at as many of them as are asked for, once and for good.
fn strike_everywhere(operation: Operation, failure: Failure) -> u64 {
    let lives = random::seeds(STRIKES);
    let (mut runs, mut after, mut longest) = (0, 0, 1);
    while after <= longest {
        for times in [1, u64::MAX] {
            let fault = Fault { operation, after, times, failure };
            let operations = strike(fault, lives.start + after);
            let operations =
                operations.unwrap_or_else(|error| panic!("{fault:?} seed {}: {error}", lives.start + after));
            longest = longest.max(operations);
            runs += 1;
        }
        after += (longest / (lives.end - lives.start)).max(1);
    }
    runs
}

#[test]
fn a_disk_that_is_full_at_any_write_loses_nothing() {
    let runs = strike_everywhere(Operation::Write, Failure::Full);
    println!("disk-full: full at one write after the other, {runs} runs, nothing acknowledged lost");
}

#[test]
fn a_write_that_fails_anywhere_loses_nothing() {
    strike_everywhere(Operation::Write, Failure::Broken);
}

#[test]
fn a_sync_that_fails_anywhere_loses_nothing() {
    strike_everywhere(Operation::Sync, Failure::Broken);
}

#[test]
fn a_manifest_of_which_nobody_knows_whether_it_is_there_costs_nothing() {
    // Four files of the segment and their folder are synced, then the manifest and its folder.
    for failed_sync in [5, 6] {
        for operations in 1..6 {
            let disk = SimDir::new();
            let store = open(&disk, WalMode::Sync).expect("open");
            store.commit(vec![kit::batch(NOW_NS, &[event(1)])]).swap_remove(0).expect("stored");
            store.freeze().expect("a new log");
            let operation = Operation::Sync;
            disk.fail(Fault { operation, after: failed_sync, times: 1, failure: Failure::Broken });
            let sealed = store.seal_one();
            disk.mend();
            // The second try writes over files that the manifest of the first may name.
            disk.cut_power_after(operations);
            let _ = store.seal_one();
            for seed in operations * 1_000..operations * 1_000 + 20 {
                let after = disk.after_power_loss(&mut Random(seed));
                let store = open(&after, WalMode::Sync).expect("starts");
                let what =
                    format!("sync {failed_sync} ({sealed:?}), power for {operations} more, seed {seed}");
                assert_eq!(stored(&store), Ok(vec![1]), "{what}");
            }
        }
    }
}

#[test]
fn a_nearly_full_disk_refuses_before_it_is_full_and_goes_on_by_itself() {
    let disk = SimDir::new();
    let store = open(&disk, WalMode::Sync).expect("open");
    let commit = |number: u64| store.commit(vec![kit::batch(NOW_NS, &[event(number)])]).swap_remove(0);
    commit(0).expect("stored");
    store.freeze().expect("a new log");
    disk.set_bytes_free(Some(Options::default().disk_reserve_bytes));
    let error = commit(1).expect_err("nearly full");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.starts_with("the disk is nearly full bytes_free=268435456"), "{error}");
    assert_eq!(stored(&store).expect("reads go on"), [0]);
    assert!(store.seal_one().expect("sealing has the reserve"));
    disk.set_bytes_free(Some(1 << 30));
    commit(1).expect("by itself");
    assert_eq!(sorted(stored(&store)), [0, 1]);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = SimDir::new();
    let options = Options { disk_reserve_bytes: 0, ..options(WalMode::Sync) };
    let store = Driven::open(Arc::new(disk.clone()), options).expect("open");
    let commit = |number: u64| {
        let batch = kit::batch(NOW_NS, &[event(number)]);
        store.commit(vec![batch]).swap_remove(0)
    };
    let mut acknowledged = 0;
    for free in (0..40).map(|step| step * 13) {
        disk.set_bytes_free(Some(free));
        while commit(acknowledged).is_ok() {
            acknowledged += 1;
            let _ = store.seal_one();
        }
        assert_eq!(commit(acknowledged).expect_err("full").kind, ErrorKind::Unavailable);
        assert_eq!(stored(&store).expect("reads go on").len() as u64, acknowledged);
        disk.set_bytes_free(None);
        while store.seal_one().expect("space again") {}
        commit(acknowledged).expect("space again");
        acknowledged += 1;
    }
    while store.seal_one().expect("space again") {}
    drop(store);
    let store = Driven::open(Arc::new(disk), Options::default()).expect("open");
    assert_eq!(stored(&store).expect("answers").len() as u64, acknowledged);
    assert_eq!(store.check(Depth::Full).expect("checks").findings, []);
}

#[test]
fn a_failed_sync_is_never_acknowledged_later() {
    let disk = SimDir::new();
    let store = open(&disk, WalMode::Sync).expect("open");
    let commit = |number: u64| store.commit(vec![kit::batch(NOW_NS, &[event(number)])]).swap_remove(0);
    commit(1).expect("stored");
    disk.fail(Fault { operation: Operation::Sync, after: 0, times: 1, failure: Failure::Broken });
    let error = commit(2).expect_err("not durable");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(stored(&store).expect("reads go on"), [1]);
    // The next log takes what is sent again, and what comes later.
    commit(2).expect("stored");
    commit(3).expect("stored");
    for seed in 0..20 {
        let after = disk.after_power_loss(&mut Random(seed));
        let store = open(&after, WalMode::Sync).expect("starts");
        assert_eq!(sorted(stored(&store)), [1, 2, 3], "seed {seed}");
        assert_eq!(store.check(Depth::Full).expect("checks").findings, [], "seed {seed}");
    }
    while store.seal_one().expect("sealed") {}
    assert!(disk.files().iter().all(|(path, _)| !path.ends_with("1.wal")), "the broken log goes");
}
