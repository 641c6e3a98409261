//! The [`Store`] contract, its test kit, and its implementations.
//!
//! - [`Store`]: six methods; its documentation is the contract.
//!
//! It is not: a receiver, an HTTP server, a query engine.

mod contract;

pub use contract::{
    Aggregated, Aggregation, Appended, CheckReport, Depth, Dimension, Error, ErrorKind, Finding, Found, Page,
    Retained, Retention, Row, Store,
};
