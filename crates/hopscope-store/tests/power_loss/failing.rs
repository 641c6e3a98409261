//! Writes and syncs that fail, and disks that are full: nothing that was acknowledged is missing, and the store goes on
//! by itself.

use crate::history::{Told, be_busy, event, inspect, live, open, options, sorted, stored};
use hopscope_store::embedded::sim_dir::{Failure, Fault, Operation, SimDir};
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::embedded::{Options, WalMode};
use hopscope_store::kit::random::{self, Random};
use hopscope_store::kit::{self, NOW_NS};
use hopscope_store::{Depth, ErrorKind};
use std::sync::Arc;

/// Operations of a life that are made to fail, about so many one after the other.
const STRIKES: u64 = 12;

/// A life, with merging and retention in it, in which something fails, and another one after a loss of power; how many operations the first had.
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
    be_busy(&store, &mut told);
    inspect(&store, &told).map_err(|error| format!("while it fails: {error}"))?;
    disk.mend();
    let operations = disk.operations();
    while store.seal_one().map_err(|error| format!("mended: {error}"))? {}
    let before = told.promised.len();
    live(&store, WalMode::Sync, &mut random, &mut told);
    if told.promised.len() == before {
        return Err("mended, nothing is taken".to_owned());
    }
    if !be_busy(&store, &mut told) {
        return Err("mended, nothing is merged or dropped".to_owned());
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
