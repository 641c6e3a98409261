//! What every adapter must pass: functions for the tests of adapter crates.
//!
//! [`carrier`] runs the shared cases against one client's headers; [`Recorder`] keeps finished spans and prints
//! them in a stable form for golden tests; [`exchange`] has what a message there and back must show over every broker;
//! [`recorded`] makes a README's table of what is recorded; [`broker`] finds the real broker.

mod carrier;
pub mod exchange;
mod record;
mod recorded;
mod records;

pub use carrier::{MapHeaders, Pairs, carrier};
pub use exchange::{Arrived, Case};
pub use record::{Recorder, spans};
pub use recorded::{readme_is_current, recorded};
pub use records::Records;

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// The address of a real broker, out of the environment.
///
/// # Panics
/// Where there is none: a test without its broker has not passed.
pub fn broker(variable: &str) -> String {
    match std::env::var(variable) {
        Ok(address) if !address.is_empty() => address,
        _ => panic!(
            "no broker to test against, variable={variable}\nhint: `cargo xtask test` starts one and sets it"
        ),
    }
}

/// A name that no other test run has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", RandomIdGenerator::default().new_span_id())
}
