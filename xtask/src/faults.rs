//! `cargo xtask faults`: the store against killed processes, lost power, full disks and flipped bits, at length.
//!
//! A campaign is a test that `cargo test` runs with a smaller count: this chore says which one, how often, and from
//! which seed on. It decides nothing; the test prints its counts and fails with the seed that shows the defect.

use crate::run;
use anyhow::Result;
use clap::{Args, Subcommand};

/// What is done to the store.
#[derive(Clone, Copy, Subcommand)]
pub enum Campaign {
    /// SIGKILL of the real server at random moments under load, while it merges and drops
    Kill(Options),
    /// Losses of power on a simulated disk that forgets, tears and reorders what was not synced, and fails
    PowerLoss(Options),
    /// A disk that is full at every write of a life that seals, merges and drops, for once and for good
    DiskFull(Options),
    /// Flipped bits in files of all kinds
    BitFlips(Options),
}

/// How often, and which.
#[derive(Args, Clone, Copy)]
pub struct Options {
    /// How often (default: what a release needs; `disk-full`: at most so many writes)
    #[arg(long)]
    count: Option<u64>,
    /// The first seed
    #[arg(long)]
    seed: Option<u64>,
    /// Compile with optimisation: longer to build, shorter to run
    #[arg(long)]
    release: bool,
}

/// The test that a campaign is, and how often it is run for a release.
struct Test {
    package: &'static str,
    target: &'static str,
    name: &'static str,
    count: u64,
}

impl Campaign {
    fn parts(self) -> (Test, Options) {
        match self {
            Self::Kill(options) => {
                let name = "kills_lose_nothing_that_was_acknowledged_and_double_nothing";
                (Test { package: "hopscope", target: "kill", name, count: 200 }, options)
            }
            Self::PowerLoss(options) => {
                let name = "many_power_losses_lose_nothing_that_was_acknowledged";
                (Test { package: "hopscope-store", target: "power_loss", name, count: 10_000 }, options)
            }
            Self::DiskFull(options) => {
                let name = "failing::a_disk_that_is_full_at_any_write_loses_nothing";
                (Test { package: "hopscope-store", target: "power_loss", name, count: 10_000 }, options)
            }
            Self::BitFlips(options) => {
                let name = "a_flipped_bit_in_any_file_is_found_and_never_served";
                (Test { package: "hopscope-store", target: "damage", name, count: 5_000 }, options)
            }
        }
    }
}

/// Runs a campaign; false if it found something.
pub fn faults(campaign: Campaign) -> Result<bool> {
    let (test, options) = campaign.parts();
    let mut cargo = run::cargo();
    cargo.args(["test", "--package", test.package, "--test", test.target]);
    if options.release {
        cargo.arg("--release");
    }
    cargo.args(["--", "--exact", test.name, "--nocapture"]);
    cargo.env("HOPSCOPE_COUNT", options.count.unwrap_or(test.count).to_string());
    if let Some(seed) = options.seed {
        cargo.env("HOPSCOPE_SEED", seed.to_string());
    }
    let mut ran = false;
    let status =
        run::copy(&mut cargo, |line| ran |= line.starts_with("test result:") && line.contains(" 1 passed"))?;
    // A test that was renamed would run nothing and succeed.
    Ok(status.success() && ran)
}
