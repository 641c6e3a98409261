//! Out of the process: OTLP bytes, the queue that holds them, and what takes them.
//!
//! [`queue`] holds encoded spans in bounded memory; [`worker`] takes batches out of it and gives them to a [`target`]:
//! an OTLP endpoint ([`otlp_client`], over [`http`] or [`grpc`]) or a topic of a broker ([`topic`]). Nothing here ever
//! makes the application wait.

pub(crate) mod backoff;
pub(crate) mod compress;
pub(crate) mod envelope;
mod grpc;
mod health;
mod http;
pub(crate) mod metrics;
pub(crate) mod otlp;
pub(crate) mod otlp_client;
pub(crate) mod protobuf;
pub(crate) mod queue;
pub(crate) mod target;
pub(crate) mod tls;
pub(crate) mod topic;
pub(crate) mod worker;

/// Takes spans that have ended: the export queue, or a recorder in tests.
pub(crate) trait Outlet: Send + Sync + std::fmt::Debug {
    /// Takes one encoded `Span` of our own scope. Never waits, never fails: what cannot be held is counted there.
    fn push(&self, span: &[u8], worth: Worth);

    /// False: there is nobody to take any, so none need be encoded.
    fn takes_any(&self) -> bool {
        true
    }
}

/// What a span is worth when there is no room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Dropped first.
    Ordinary,
    /// Dropped last: it failed, was retried, dead-lettered or slow.
    Kept,
}
