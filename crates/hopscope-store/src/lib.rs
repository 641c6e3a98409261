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
pub mod memory;
mod order;

pub use contract::{
    Aggregated, Aggregation, Appended, CheckReport, Depth, Dimension, Error, ErrorKind, Finding, Found, Page,
    Retained, Retention, Row, Store,
};
