//! Trace data as messages on a topic of a broker.

use super::compress::Compression;
use super::target::{Signal, Verdict};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The topic (subject, exchange, queue) that trace data goes to where nobody says otherwise.
pub const TRACE_TOPIC: &str = "hopscope.trace";

/// Bytes of a message that every broker takes as it is set up from the start: a little less than 1 MB.
pub const MESSAGE_BYTES_MAX: usize = 900 * 1024;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What [`TopicSink::send`] returns.
pub type SinkFuture<'a> = Pin<Box<dyn Future<Output = Result<(), TopicError>> + Send + 'a>>;

/// Writes messages to one topic of a broker; each adapter crate has one.
///
/// # Contract
/// [`send`](Self::send) returns `Ok` only when the broker has the message. It is called by one task, one message at a
/// time, on a runtime of the exporter's, which has a time limit of its own and may drop the future; a message may then
/// be sent again. The body is an OTLP `ExportTraceServiceRequest` or `ExportMetricsServiceRequest` in protobuf; the
/// headers are to be written beside it, all of them: `content-type` (`application/x-protobuf`), `hopscope-signal`
/// (`traces`, `metrics`) and, where it is compressed, `content-encoding` (`gzip`, `zstd`). What it does must not
/// be traced: it uses the client itself, not a traced wrapper.
pub trait TopicSink: std::fmt::Debug + Send + Sync + 'static {
    /// Sends one message.
    fn send<'a>(&'a self, body: Vec<u8>, headers: &'a [(&'a str, &'a str)]) -> SinkFuture<'a>;

    /// The longest body that the broker takes; [`MESSAGE_BYTES_MAX`] where nobody knows.
    fn message_bytes_max(&self) -> usize;
}

/// Why a message was not taken. Any error becomes [`Later`](Self::Later) by `?`.
#[derive(Debug)]
pub enum TopicError {
    /// The broker may take it later: it is kept and sent again.
    Later(BoxError),
    /// It is too long for the broker: what is in it is sent again in shorter ones. What is too long alone is given up,
    /// and counted.
    TooLarge(BoxError),
    /// It would never take it: it is given up, and counted.
    Never(BoxError),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for TopicError {
    fn from(error: E) -> Self {
        Self::Later(error.into())
    }
}

/// A topic as a target.
#[derive(Debug)]
pub(crate) struct Topic {
    pub sink: Arc<dyn TopicSink>,
    pub compression: Compression,
    pub timeout: Duration,
}

impl Topic {
    pub async fn send(&self, signal: Signal, request: &[u8]) -> Verdict {
        let body = match self.compression.apply(request) {
            Ok(body) => body.into_owned(),
            Err(error) => return Verdict::never(error),
        };
        let (bytes, bytes_max) = (body.len(), self.sink.message_bytes_max());
        if bytes > bytes_max {
            return Verdict::TooLarge {
                why: format!("too long for the topic, bytes={bytes}, bytes_max={bytes_max}"),
            };
        }
        let signal = match signal {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
        };
        let mut headers = vec![("content-type", "application/x-protobuf"), ("hopscope-signal", signal)];
        headers.extend(self.compression.name().map(|name| ("content-encoding", name)));
        match tokio::time::timeout(self.timeout, self.sink.send(body, &headers)).await {
            Ok(Ok(())) => Verdict::TAKEN,
            Ok(Err(TopicError::Later(error))) => Verdict::later(error),
            Ok(Err(TopicError::TooLarge(error))) => Verdict::TooLarge { why: error.to_string() },
            Ok(Err(TopicError::Never(error))) => Verdict::never(error),
            Err(_) => Verdict::later(format_args!("no answer in {:?}", self.timeout)),
        }
    }
}
