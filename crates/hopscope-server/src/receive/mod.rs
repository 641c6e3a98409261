//! Receivers: bytes from a socket or a broker become a batch, and the batch goes into the [`Sink`].

mod amqp;
mod body;
mod grpc_frame;
mod kafka;
mod nats;
mod otlp;
mod otlp_grpc;
mod otlp_http;
mod topic;

pub use amqp::Amqp;
pub use kafka::Kafka;
pub use nats::Nats;
pub use otlp_grpc::OtlpGrpc;
pub use otlp_http::OtlpHttp;

use crate::ingest::Sink;
use std::future::Future;
use tokio_util::sync::CancellationToken;

/// A way in.
///
/// - It acknowledges a batch only after [`Sink::accept`] returned `Ok` for it.
/// - A refusal is told to the sender in the words of its transport: `Invalid` never to be tried again, `Busy`
///   and `Closed` with the time after which to come back.
/// - What it cannot read it counts ([`Sink::unreadable`]) and goes on; no input ends it.
/// - When `stop` fires it takes nothing new, finishes what it has, and returns.
pub trait Receiver: Send + 'static {
    /// Its name in metrics and in the API.
    fn name(&self) -> &str;

    /// Runs until `stop`.
    fn run(self, sink: Sink, stop: CancellationToken) -> impl Future<Output = ()> + Send;
}
