//! Receivers, ingest, read API and web interface.
//!
//! Read [`serve`] first: it is the whole server on one screen. Three hops in: [`receive`] → [`ingest`] → the
//! store. Three hops out: `api` → the store → the model tells the story → JSON.
//!
//! It is not: a place where it is decided what a message is (the model), which bytes mean what (wire), or how
//! anything is kept (store).

mod api;
mod clock;
pub mod config;
mod doctor;
mod error;
pub mod ingest;
mod ledger;
mod listen;
mod live;
mod metrics;
pub mod receive;
mod serve;
pub mod storage;
mod ui;

pub use api::openapi_json;
pub use clock::now_ns;
#[doc(hidden)]
pub use clock::set_now_ns;
pub use config::Config;
pub use error::{Error, ErrorKind};
pub use ledger::{Counts, Ledger};
pub use serve::{Addresses, Running, Server, serve};
