//! What a loss of power left, in the hands of the commands: a backup of it that is restored, and what is repaired, are
//! as whole as the store would be.

use crate::LOSSES_PER_RUN;
use crate::history::{Told, inspect, live, open};
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::embedded::{self, Options, RealDir, Snapshot, WalMode};
use hopscope_store::kit::NOW_NS;
use hopscope_store::kit::random::Random;
use std::path::Path;
use std::sync::Arc;

const SEEDS: u64 = 16;

/// A disk after some losses of power, as the last one left it, and what clients were told.
fn lost(seed: u64) -> (SimDir, Told) {
    let mut disk = SimDir::new();
    let mut told = Told::default();
    for seed in seed * LOSSES_PER_RUN..seed * LOSSES_PER_RUN + 4 {
        let mut random = Random(seed);
        disk.cut_power_after(100 + random.below(100));
        if let Ok(store) = open(&disk, WalMode::Sync) {
            live(&store, WalMode::Sync, &mut random, &mut told);
        }
        disk = disk.after_power_loss(&mut random);
    }
    (disk, told)
}

fn check(data: &Path, told: &Told, what: &str) {
    let dir = Arc::new(RealDir::open(data).expect("a folder"));
    let store = Driven::open(dir, Options::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
    inspect(&store, told).unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn what_a_loss_of_power_left_is_backed_up_restored_and_repaired_whole() {
    let mut promised = 0;
    for seed in 0..SEEDS {
        let (disk, told) = lost(seed);
        if told.promised.is_empty() {
            continue;
        }
        promised += told.promised.len();
        let folder = tempfile::tempdir().expect("a folder");
        let [data, backup, restored] = ["data", "backup", "restored"].map(|name| folder.path().join(name));
        disk.copy_to(&data).expect("copied");
        // Nothing was started since the power came back.
        let snapshot = Snapshot::take(&data).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let told_of = embedded::backup(snapshot.path(), &backup, false, NOW_NS);
        let told_of = told_of.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(told_of.damaged, [""; 0], "seed {seed}");
        drop(snapshot);
        embedded::restore(&backup, &restored).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        check(&restored, &told, &format!("seed {seed}, restored"));
        embedded::repair(&data, false).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        check(&data, &told, &format!("seed {seed}, repaired"));
    }
    assert!(promised > 500, "{promised} events were promised: this proves nothing");
}
