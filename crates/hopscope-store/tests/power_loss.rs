//! The power goes, again and again, at any step, also while the store is recovering: nothing that was
//! acknowledged is missing, nothing is there twice, and the store always starts.
//!
//! Every run is made of one printed seed. `HOPSCOPE_SEED=17 cargo test --test power_loss` plays one again.

use hopscope_model::{BatchBuilder, MessageEvent, Query, Source, Stage, Tally, Temporality, Tenant};
use hopscope_store::embedded::Options;
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::kit::{self, NOW_NS, random::Random};
use hopscope_store::{Aggregation, Counted, Depth, Dimension, ErrorKind, Page};
use std::collections::BTreeSet;
use std::sync::Arc;

const POWER_LOSSES: u64 = 1_000;

/// Enough to see a defect that shows in most runs.
const FEW: [u64; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Losses of power in one run, on one disk.
const LOSSES_PER_RUN: u64 = 10;

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

/// What is stored, of events and of tallies alike: which must be the same.
fn stored_both(store: &Driven) -> Result<Vec<u64>, String> {
    let (mut events, mut tallies) = (stored(store)?, counted(store)?);
    events.sort_unstable();
    tallies.sort_unstable();
    if events == tallies {
        return Ok(events);
    }
    Err(format!("{} events and {} tallies differ", events.len(), tallies.len()))
}

fn event(number: u64) -> MessageEvent {
    MessageEvent { service: number.to_string(), ..kit::event(number, number % 1_000, Stage::Work) }
}

/// Appends and seals until the power goes; adds to what was acknowledged.
fn live(store: &Driven, random: &mut Random, next: &mut u64, acknowledged: &mut BTreeSet<u64>) {
    for _ in 0..1 + random.below(6) {
        let mut groups = Vec::new();
        for _ in 0..1 + random.below(3) {
            let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, NOW_NS + *next as i64);
            let numbers: Vec<u64> = (0..1 + random.below(8)).map(|offset| *next + offset).collect();
            *next += numbers.len() as u64;
            for number in &numbers {
                builder.push_event(&event(*number));
                builder.push_tally_owned(&tally(*number));
            }
            // A client that got no answer sends again; one that got one may too.
            if random.chance(4) && *next > 20 {
                let again = random.below(*next - 10);
                builder.push_event(&event(again));
                builder.push_tally_owned(&tally(again));
            }
            groups.push((numbers, builder.finish()));
        }
        let (numbers, batches): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        let mut all_failed = true;
        for (numbers, answer) in numbers.into_iter().zip(store.commit(batches)) {
            if answer.is_ok() {
                all_failed = false;
                acknowledged.extend(numbers);
            }
        }
        if all_failed {
            return;
        }
        if random.chance(6) && store.freeze().is_err() {
            return;
        }
        if random.chance(3) && store.seal_one().is_err() {
            return;
        }
    }
}

/// Plays one seed; what went wrong.
fn play(seed: u64, prepare: Prepare) -> Result<(), String> {
    let mut random = Random(seed);
    let mut disk = SimDir::new();
    let mut acknowledged = BTreeSet::new();
    let mut next = 0;
    let options = Options { seal_rows: 20, ..Options::default() };
    for loss in 0..LOSSES_PER_RUN {
        prepare(&disk);
        let operations_max = if random.chance(3) { 8 } else { 60 };
        disk.cut_power_after(random.below(operations_max));
        // Without power, opening fails: that is a crash during recovery.
        if let Ok(store) = Driven::open(Arc::new(disk.clone()), options.clone()) {
            live(&store, &mut random, &mut next, &mut acknowledged);
        }
        disk = disk.after_power_loss(&mut random);
        let inspected = disk.copied();
        let store = Driven::open(Arc::new(inspected), options.clone())
            .map_err(|error| format!("loss {loss}: does not start: {error}"))?;
        let numbers = stored_both(&store).map_err(|error| format!("loss {loss}: {error}"))?;
        let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
        if distinct.len() != numbers.len() {
            return Err(format!("loss {loss}: {} events are there twice", numbers.len() - distinct.len()));
        }
        let lost: Vec<&u64> = acknowledged.difference(&distinct).collect();
        if !lost.is_empty() {
            return Err(format!(
                "loss {loss}: {} of {} acknowledged are missing",
                lost.len(),
                acknowledged.len()
            ));
        }
        if let Some(foreign) = distinct.iter().find(|number| **number >= next) {
            return Err(format!("loss {loss}: event {foreign} was never sent"));
        }
        let report = store.check(Depth::Full).map_err(|error| error.to_string())?;
        if report.events != numbers.len() as u64 {
            return Err(format!("loss {loss}: check counts {} of {}", report.events, numbers.len()));
        }
    }
    Ok(())
}

fn seeds() -> Vec<u64> {
    match std::env::var("HOPSCOPE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..POWER_LOSSES / LOSSES_PER_RUN).collect(),
    }
}

/// Plays all seeds on two threads, for there are at least two cores everywhere.
fn failures(seeds: &[u64], prepare: Prepare) -> Vec<(u64, String)> {
    let halves = seeds.chunks(seeds.len().div_ceil(2));
    std::thread::scope(|scope| {
        let play_all = |seeds: &[u64]| -> Vec<(u64, String)> {
            seeds.iter().filter_map(|seed| Some((*seed, play(*seed, prepare).err()?))).collect()
        };
        let threads: Vec<_> = halves.map(|half| scope.spawn(move || play_all(half))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn a_thousand_power_losses_lose_nothing_that_was_acknowledged() {
    let seeds = seeds();
    println!("seeds {:?} to {:?}, {LOSSES_PER_RUN} losses of power each", seeds.first(), seeds.last());
    assert_eq!(failures(&seeds, |_| {}), []);
}

#[test]
fn without_the_sync_of_the_log_it_would_show() {
    assert!(failures(&FEW, SimDir::ignore_sync_data).len() > FEW.len() / 2);
}

#[test]
fn without_the_sync_of_the_folder_it_would_show() {
    assert!(failures(&FEW, SimDir::ignore_sync_dir).len() > FEW.len() / 2);
}

#[test]
fn a_kill_loses_nothing_at_all() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut disk = SimDir::new();
        let (mut acknowledged, mut next) = (BTreeSet::new(), 0);
        let options = Options { seal_rows: 20, ..Options::default() };
        for _ in 0..5 {
            disk.cut_power_after(random.below(60));
            if let Ok(store) = Driven::open(Arc::new(disk.clone()), options.clone()) {
                live(&store, &mut random, &mut next, &mut acknowledged);
            }
            disk = disk.after_kill();
            let store = Driven::open(Arc::new(disk.clone()), options.clone()).expect("starts");
            let numbers = stored_both(&store).expect("answers");
            let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
            assert_eq!(distinct.len(), numbers.len(), "seed {seed}");
            assert!(acknowledged.is_subset(&distinct), "seed {seed}");
            assert_eq!(store.check(Depth::Full).expect("checks").findings, [], "seed {seed}");
        }
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = SimDir::new();
    let store =
        Driven::open(Arc::new(disk.clone()), Options { seal_rows: 20, ..Options::default() }).expect("open");
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
    let store = Driven::open(Arc::new(disk.clone()), Options::default()).expect("open");
    let commit = |number: u64| store.commit(vec![kit::batch(NOW_NS, &[event(number)])]).swap_remove(0);
    commit(1).expect("stored");
    disk.fail_syncs(1);
    for number in [2, 3] {
        let error = commit(number).expect_err("the log is broken");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("sync"), "{error}");
    }
    assert_eq!(stored(&store).expect("reads go on"), [1]);
}
