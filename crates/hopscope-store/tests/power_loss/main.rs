//! The power goes, again and again, at any step, also while the store is recovering: nothing that was
//! acknowledged is missing, nothing is there twice, and the store always starts.
//!
//! Every loss is made of one printed seed, and happens on the disk that those before it left, up to ten in a row.
//! `HOPSCOPE_SEED=170 HOPSCOPE_COUNT=10 cargo test --test power_loss` plays some again.

mod commands;
mod failing;
mod history;

use history::{Told, inspect, live, open};
use hopscope_store::Depth;
use hopscope_store::embedded::WalMode;
use hopscope_store::embedded::sim_dir::{Fault, SimDir};
use hopscope_store::kit::random::{self, Random};
use std::ops::Range;
use std::time::Duration;

const POWER_LOSSES: u64 = 600;

/// Losses of power in one run, on one disk.
const LOSSES_PER_RUN: u64 = 10;

/// Losses of power that are enough to see a defect that shows in most runs.
const FEW: u64 = 10 * LOSSES_PER_RUN;

/// Operations within which a fault strikes, in the lives that have one.
const FAULT_WITHIN: u64 = 40;

type Prepare = fn(&SimDir);

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
