//! The JSON of the API v1 ([`api`]) and a typed client for it ([`Client`]).
//!
//! It is not: a cache, a retry policy. Whoever calls decides what to do with [`Error::kind`].

pub mod api;
mod client;
mod doctor;
mod error;
mod live;
mod rates;
mod storage;

pub use client::Client;
pub use error::{Error, ErrorKind};
pub use live::LiveStream;
