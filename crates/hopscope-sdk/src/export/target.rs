//! [`Target`]: where requests go, and what it says to one.

use super::otlp_client::OtlpClient;
use super::topic::Topic;
use std::time::Duration;

/// What is in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// An `ExportTraceServiceRequest`.
    Traces,
    /// An `ExportMetricsServiceRequest`.
    Metrics,
}

/// Where requests go.
#[derive(Debug)]
pub(crate) enum Target {
    Otlp(Box<OtlpClient>),
    Topic(Topic),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Taken, but for that many of its spans or points.
    Taken { rejected: u64, why: String },
    /// Not now; not before the pause is over, where the target asked for one.
    Later { pause: Option<Duration>, why: String },
    /// Never: the same request would be refused again.
    Never { why: String },
    /// Not as one request: what is in it may be taken in smaller ones.
    TooLarge { why: String },
}

impl Verdict {
    /// Taken as a whole.
    pub const TAKEN: Self = Self::Taken { rejected: 0, why: String::new() };

    pub fn later(why: impl ToString) -> Self {
        Self::Later { pause: None, why: why.to_string() }
    }

    pub fn never(why: impl ToString) -> Self {
        Self::Never { why: why.to_string() }
    }
}

impl Target {
    /// Sends one request, and waits for the answer as long as the target's own time limit.
    pub async fn send(&self, signal: Signal, request: &[u8]) -> Verdict {
        match self {
            Self::Otlp(client) => client.send(request).await,
            Self::Topic(topic) => topic.send(signal, request).await,
        }
    }
}
