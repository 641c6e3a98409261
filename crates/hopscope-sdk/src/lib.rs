#![doc = include_str!("../README.md")]
//!
//! ## With a client of your own
//! What an adapter is made of:
//!
//! ```
//! use hopscope_sdk::{Details, Place, Telemetry};
//! # let mut headers = hopscope_sdk::kit::MapHeaders::default();
//! # fn client_sends(_: &hopscope_sdk::kit::MapHeaders) -> Result<(i32, i64), std::io::Error> { Ok((0, 7)) }
//! let telemetry = Telemetry::global();
//!
//! // The producer: the span ends at the broker's acknowledgement, with the coordinates in it.
//! let place = Place::Kafka { topic: "orders", partition: None, offset: None };
//! let sending = telemetry.send("send", place, &Details { key: "4711", ..Details::default() });
//! sending.inject(&mut headers);
//! match client_sends(&headers) {
//!     Ok((partition, offset)) => {
//!         let stored = Place::Kafka { topic: "orders", partition: Some(partition), offset: Some(offset) };
//!         sending.confirm(stored, &Details::default());
//!     }
//!     Err(error) => sending.fail(&error),
//! }
//!
//! // The consumer: what is known about the message travels beside it, never in it.
//! let place = Place::Kafka { topic: "orders", partition: Some(0), offset: Some(7) };
//! let delivery = telemetry.receive("poll", place, &Details { group: "payment", ..Details::default() }, &headers);
//! let processing = delivery.process();
//! processing.context(); // what the handler sends becomes its child: `run`, `enter`
//! let declared = processing.succeed(); // the process span ends here
//! declared.settle("commit").confirm(); // the settle span ends at the confirmation
//! ```
//!
//! It returns no error, does not panic and does not block in the application, whatever the input and whatever happens to
//! the endpoint. What is lost is counted ([`setup::Guard::counts`]).

mod around;
mod baggage;
pub mod batch;
mod capture;
mod carrier;
mod conventions;
pub mod dead_letter;
mod details;
mod export;
mod facts;
mod failure;
mod formats;
#[cfg(feature = "tonic")]
pub mod grpc;
#[cfg(feature = "tower")]
pub mod http;
mod keep;
pub mod kit;
mod limits;
mod measure;
pub mod meters;
mod notes;
mod per_destination;
mod pipeline;
mod place;
mod process;
mod progress;
mod propagator;
mod receive;
mod record;
mod retry;
mod sampling;
mod send;
mod settle;
pub mod setup;
mod spare;
pub mod spawn;
mod step;
mod system;
mod telemetry;
mod texts;
mod value;
pub mod work;

pub use batch::{ProcessingBatch, SendingBatch};
pub use capture::{Body, Capture};
pub use carrier::{CarrierMut, Origin};
pub use conventions::Conventions;
pub use details::{CopiedFrom, CopyKind, Details, Server};
pub use failure::Failure;
pub use formats::{BaggageRules, Formats, UnknownFormat};
pub use hopscope_model::Disposition;
pub use hopscope_model::context::{Format, Headers};
pub use keep::Keep;
pub use limits::Limits;
pub use per_destination::PerDestination;
pub use pipeline::Steps;
pub use place::Place;
pub use process::{Declared, Outcome, Processing, Run};
pub use propagator::Propagator;
pub use receive::{Delivery, Traced};
pub use retry::{Retry, Verdict};
pub use sampling::{Root, Sampler, Sampling};
pub use send::Sending;
pub use settle::Settling;
pub use telemetry::{Relation, Telemetry};
pub use value::{Attribute, Value};

/// The OpenTelemetry API that this crate is built on, so that an application needs no second version of it.
pub use opentelemetry;
