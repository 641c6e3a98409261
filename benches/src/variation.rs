//! [`Variation`]: raw, or traced in one way.

use crate::client::{Broker, Client, Tracing};
use anyhow::Result;
use hopscope_sdk::setup::{Guard, Setup};
use hopscope_sdk::{Keep, Root, Sampler, Sampling};
use std::time::Duration;

/// How a client is traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// Not at all.
    Raw,
    /// Not at all, with a header written and read by hand.
    Header,
    /// That share of messages, with metrics, keep-ring and export.
    Sampled(f64),
    /// That share of messages, with export and nothing else.
    Bare(f64),
}

/// A client, and the telemetry that it was given.
pub struct Variation {
    /// The client.
    pub client: Box<dyn Client>,
    guard: Option<Guard>,
}

impl How {
    /// As figures name it.
    pub fn name(self) -> String {
        match self {
            Self::Raw => "raw".into(),
            Self::Header => "header".into(),
            Self::Sampled(share) => format!("{}%", share * 100.0),
            Self::Bare(share) => format!("{}%, no metrics, no ring", share * 100.0),
        }
    }

    fn setup(self, endpoint: &str) -> Option<Setup> {
        let (share, is_bare) = match self {
            Self::Raw | Self::Header => return None,
            Self::Sampled(share) => (share, false),
            Self::Bare(share) => (share, true),
        };
        Some(Setup {
            service: "bench".into(),
            endpoint: endpoint.into(),
            metrics: Some(!is_bare),
            sampling: Some(Sampling::all(Sampler::ParentBased(Root::Ratio(share)))),
            keep: if is_bare { Keep::NOTHING } else { Keep::default() },
            ..Setup::default()
        })
    }
}

impl Variation {
    /// A client of its own, on a lane of its own.
    pub async fn open(broker: Broker, how: How, endpoint: &str) -> Result<Self> {
        let guard = how.setup(endpoint).map(Setup::start).transpose()?;
        let tracing = match &guard {
            Some(guard) => Tracing::Full(guard.telemetry()),
            None if how == How::Header => Tracing::Header,
            None => Tracing::None,
        };
        let client = broker.open(tracing).await?;
        Ok(Self { client, guard })
    }

    /// What the export was given so far is sent: it belongs to the costs.
    pub fn flush(&self) -> bool {
        self.guard.as_ref().is_none_or(|guard| tokio::task::block_in_place(|| guard.flush(FLUSH)))
    }

    /// What counts what became of the spans, where there are any.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// Ends it.
    pub async fn close(self) {
        self.client.close().await;
        if let Some(guard) = self.guard {
            tokio::task::block_in_place(|| guard.shutdown(Duration::from_secs(1)));
        }
    }
}

/// Longest wait for a sink on this machine.
const FLUSH: Duration = Duration::from_secs(30);
