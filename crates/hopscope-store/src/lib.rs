//! The [`Store`] contract, its test kit, and its implementations.
//!
//! - [`Store`]: six methods; its documentation is the contract.
//! - [`memory`]: the reference, plain and not durable.
//! - [`embedded`]: one folder, durable.
//! - [`kit`]: the contract as named cases, for every implementation.
//!
//! It is not: a receiver, an HTTP server, a query engine.

mod contract;
pub mod embedded;
pub mod kit;
mod matching;
mod measured;
pub mod memory;
mod order;
mod policy;
mod sketch;
mod tallying;

pub use contract::{
    Aggregated, Aggregation, Appended, CheckReport, Counted, Depth, Dimension, Error, ErrorKind, Finding,
    Found, Metric, Page, Retained, Retention, Row, STEPS_MAX, Store,
};
pub use measured::{Latency, Measured};
pub use policy::{Age, Hold, Policy, Unit, Why};
