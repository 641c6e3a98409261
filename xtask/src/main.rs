//! Every developer chore, as Rust instead of shell: `cargo xtask <chore>`.
//!
//! Chores start other programs (cargo, brokers, a browser) and read what they print. They hold no logic of the
//! product, and they stay small: this crate is compiled anew on each cold machine before anything else happens.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod api;
mod bench;
mod brokers;
mod capabilities;
mod demo;
mod faults;
mod package;
mod python;
mod run;
mod size;
mod source;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Chores of the Hopscope repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Start, stop or list real brokers for tests (Kafka, RabbitMQ, NATS, RocketMQ), without containers
    #[command(subcommand)]
    Brokers(brokers::Command),
    /// Run every test: brokers up, cargo test, browser tests; the last line counts them
    Test(test::Options),
    /// Everything that must be green before a change lands: format, lints, tidy, test
    Ci,
    /// Check what compilers do not: the map, file names, purity of the model, generated files
    Tidy(tidy::Options),
    /// Play the order flow through four real brokers
    Demo(demo::Options),
    /// Run the benchmarks and compare each figure with its gate
    Bench(bench::Options),
    /// Kill, cut the power, fill the disk or flip bits, again and again, and look for what is lost
    #[command(subcommand)]
    Faults(faults::Campaign),
    /// Package the crates that applications depend on, and look at what is inside
    Package(package::Options),
    /// Compare the public surface of those crates with docs/api, or write it
    Api(api::Options),
    /// Print the size of the code: files, lines, function lengths
    Size,
}

fn main() -> ExitCode {
    if let Some(code) = api::as_rustdoc() {
        return code;
    }
    let result = match Arguments::parse().chore {
        Chore::Brokers(command) => brokers::command(command),
        Chore::Test(options) => test::test(&options),
        Chore::Ci => test::ci(),
        Chore::Tidy(options) => tidy::tidy(&options),
        Chore::Demo(options) => demo::demo(&options),
        Chore::Bench(options) => bench::bench(&options),
        Chore::Faults(campaign) => faults::faults(campaign),
        Chore::Package(options) => package::package(&options),
        Chore::Api(options) => api::api(&options),
        Chore::Size => size::size(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
