//! Which bytes are which batch: OTLP traces and metrics in protobuf and JSON.
//!
//! Bytes in, a [`Batch`] out, and the answers that OTLP wants back. Decoding is by hand over the bytes, into
//! the columns of the batch, without a tree of structures in between: it is the dearest step of the way in.
//!
//! - [`otlp`]: requests, answers, and an encoder of requests for the demo, tests and benches.
//! - [`workload`]: the load that benches and tests share.
//! - [`SpanView`], [`Mapper`]: what every wire format fills, and the one place that knows what the messaging
//!   conventions mean, every generation of them.
//!
//! It is not: I/O, transport, decompression. It panics on no input.

mod error;
mod fields;
mod json_text;
mod mapper;
mod messaging;
mod names;
pub mod order_flow;
pub mod otlp;
mod point;
mod progress;
mod protobuf;
mod rabbitmq;
mod span;
mod tallies;
mod words;
pub mod workload;

pub use error::{Error, ErrorKind};
pub use mapper::{Mapper, Scope};
pub use otlp::{DecodeLimits, Decoded, DecodedMetrics, NotKept, Rejected};
pub use span::{AttributeView, Attributes, Kind, LinkView, Raw, SpanView, Status};

#[cfg(doc)]
use hopscope_model::Batch;

/// What the fuzz target and its stable twin run: any bytes through every decoder. Must not panic.
pub fn fuzz_entry(bytes: &[u8]) {
    let tenant = hopscope_model::Tenant::default();
    let limits = DecodeLimits::default();
    for decoded in
        [otlp::decode_protobuf(bytes, &tenant, 0, &limits), otlp::decode_json(bytes, &tenant, 0, &limits)]
            .into_iter()
            .flatten()
    {
        // Every name of the batch must be readable.
        for event in decoded.batch.events() {
            let _ = (event.to_owned(), event.id());
        }
        assert_eq!(decoded.batch.progress_owned().count(), decoded.batch.progress().len());
    }
    for decoded in [
        otlp::decode_metrics_protobuf(bytes, &tenant, 0, &limits),
        otlp::decode_metrics_json(bytes, &tenant, 0, &limits),
    ]
    .into_iter()
    .flatten()
    {
        assert_eq!(decoded.batch.tallies_owned().count(), decoded.batch.tallies().len());
        assert_eq!(decoded.points, decoded.batch.tallies().len() as u64 + decoded.not_kept.total());
    }
}
