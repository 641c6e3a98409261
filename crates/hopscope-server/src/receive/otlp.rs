//! What OTLP over HTTP and over gRPC have in common: from a body to an acknowledged batch, and every way in
//! which that can be refused.

use super::body::{self, Encoding};
use crate::clock::now_ns;
use crate::config::Config;
use crate::ingest::{Refused, Room, Sink};
use hopscope_model::Batch;
use hopscope_model::Tenant;
use hopscope_wire::DecodeLimits;
use hopscope_wire::otlp::{
    Code, PartialSuccess, decode_json, decode_metrics_json, decode_metrics_protobuf, decode_protobuf,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Bodies up to this size are decoded where they were read: about a millisecond's work.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// What a request is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// How the request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

/// Why a request was not taken. Both transports have a word for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not what it says it is.
    Malformed(String),
    /// Past a limit.
    TooLarge(String),
    /// A content type, encoding, method or path that is not taken here.
    Unsupported(String),
    /// The body did not arrive in time.
    Slow(String),
    /// The connection broke in the middle of the body.
    Broken(String),
    /// Readable, and still not acceptable.
    Invalid(String),
    /// Come back later.
    Busy(String),
    /// Come back later.
    Closed(String),
}

impl Refusal {
    /// A stable word for metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLarge(_) => "too_large",
            Self::Unsupported(_) => "unsupported",
            Self::Slow(_) => "slow",
            Self::Broken(_) => "broken",
            Self::Invalid(_) => "invalid",
            Self::Busy(_) => "busy",
            Self::Closed(_) => "closed",
        }
    }

    /// The gRPC status that says so. Too large is without `RetryInfo`: the same request will not become smaller.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::Invalid(_) => Code::InvalidArgument,
            Self::TooLarge(_) | Self::Busy(_) => Code::ResourceExhausted,
            Self::Unsupported(_) => Code::Unimplemented,
            Self::Slow(_) | Self::Broken(_) | Self::Closed(_) => Code::Unavailable,
        }
    }

    /// When to come back, where that helps.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy(_) => Some(Duration::from_secs(1)),
            Self::Closed(_) => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why)
            | Self::TooLarge(why)
            | Self::Unsupported(why)
            | Self::Slow(why)
            | Self::Broken(why)
            | Self::Invalid(why)
            | Self::Busy(why)
            | Self::Closed(why) => f.write_str(why),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(why) => Self::Invalid(why),
            Refused::Busy(why) => Self::Busy(why),
            Refused::Closed(why) => Self::Closed(why),
        }
    }
}

/// Takes the requests of one signal of one receiver. Cheap to clone.
#[derive(Clone)]
pub(super) struct Intake {
    signal: Signal,
    pub(super) sink: Sink,
    pub(super) limits: Limits,
    /// Bodies being inflated and decoded at once: more than the cores would only cost memory.
    decoding: Arc<Semaphore>,
}

/// Limits of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) body_bytes_max: usize,
    pub(super) inflated_bytes_max: usize,
    pub(super) body_read_max: Duration,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            body_bytes_max: config.body_bytes_max,
            inflated_bytes_max: config.inflated_bytes_max,
            body_read_max: config.body_read_max(),
        }
    }
}

impl Intake {
    pub(super) fn new(signal: Signal, sink: Sink, limits: Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { signal, sink, limits, decoding: Arc::new(Semaphore::new(cores + 1)) }
    }

    /// From a body as it arrived to an acknowledged batch. What it refuses is counted.
    pub(super) async fn take(
        &self,
        body: Vec<u8>,
        encoding: Encoding,
        format: Format,
        room: Room,
    ) -> Result<PartialSuccess, Refusal> {
        self.sink.ledger().bytes(body.len());
        let decoded = self.decode(body, encoding, format, room).await;
        let (decoded, room) = decoded.inspect_err(|refusal| self.count(refusal))?;
        self.sink.accept(decoded.batch, &decoded.left_out, room).await?;
        Ok(decoded.partial_success)
    }

    async fn decode(
        &self,
        body: Vec<u8>,
        encoding: Encoding,
        format: Format,
        mut room: Room,
    ) -> Result<(Decoded, Room), Refusal> {
        let received_ns = now_ns();
        if encoding == Encoding::Identity && body.len() <= INLINE_BYTES_MAX {
            return Ok((decode(self.signal, &body, format, received_ns)?, room));
        }
        let signal = self.signal;
        let closed = |_| Refusal::Closed("the server is stopping".to_owned());
        let _permit = self.decoding.acquire().await.map_err(closed)?;
        let inflated_bytes_max = self.limits.inflated_bytes_max;
        let work = move || {
            let body = body::inflate(encoding, body, &mut room, inflated_bytes_max)?;
            Ok((decode(signal, &body, format, received_ns)?, room))
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(Refusal::Closed(format!("decoding failed: {error}"))))
    }

    /// Counts a refusal that the sink has not counted itself.
    pub(super) fn count(&self, refusal: &Refusal) {
        self.sink.unreadable(refusal.reason(), &refusal.to_string());
    }
}

/// A request that was read.
struct Decoded {
    batch: Batch,
    /// What was left out, by reason.
    left_out: Vec<(&'static str, u64)>,
    partial_success: PartialSuccess,
}

fn decode(signal: Signal, body: &[u8], format: Format, received_ns: i64) -> Result<Decoded, Refusal> {
    let (tenant, limits) = (Tenant::default(), DecodeLimits::default());
    let some = |reasons: &[(&'static str, u64)]| {
        reasons.iter().copied().filter(|(_, count)| *count > 0).collect::<Vec<_>>()
    };
    let decoded = match signal {
        Signal::Traces => match format {
            Format::Protobuf => decode_protobuf(body, &tenant, received_ns, &limits),
            Format::Json => decode_json(body, &tenant, received_ns, &limits),
        }
        .map(|decoded| Decoded {
            batch: decoded.batch,
            left_out: some(&decoded.rejected.by_reason()),
            partial_success: (&decoded.rejected).into(),
        }),
        Signal::Metrics => match format {
            Format::Protobuf => decode_metrics_protobuf(body, &tenant, received_ns, &limits),
            Format::Json => decode_metrics_json(body, &tenant, received_ns, &limits),
        }
        .map(|decoded| Decoded {
            batch: decoded.batch,
            left_out: some(&decoded.not_kept.by_reason()),
            partial_success: (&decoded.not_kept).into(),
        }),
    };
    decoded.map_err(|error| Refusal::Malformed(error.to_string()))
}
