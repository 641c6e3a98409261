//! Steps on our own path, kept in memory as what would be exported.

use crate::export::envelope::{Envelope, OWN_SCOPE};
use crate::export::{Outlet, Worth};
use crate::meters::Meters;
use crate::pipeline::Pipeline;
use crate::telemetry::Settings;
use crate::{Keep, Sampling, Steps, Telemetry};
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps what [`crate::setup`] would export, without a set-up: its steps are not spans of a tracer.
#[derive(Debug)]
pub struct Records {
    pipeline: Arc<Pipeline>,
    telemetry: Telemetry,
    spans: Spans,
}

#[derive(Clone, Debug)]
struct Spans {
    /// None throws them away.
    kept: Option<Arc<Mutex<Vec<Vec<u8>>>>>,
}

impl Outlet for Spans {
    fn push(&self, span: &[u8], _worth: Worth) {
        if let Some(kept) = &self.kept {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(span.to_vec());
        }
    }
}

impl Records {
    /// With that head decision, and that kept all the same.
    pub fn new(sampling: Sampling, keep: Keep) -> Self {
        Self::to(Spans { kept: Some(Arc::default()) }, sampling, keep)
    }

    /// As [`new`](Self::new), for measurements: what would be exported is made, and thrown away.
    pub fn discarding(sampling: Sampling, keep: Keep) -> Self {
        Self::to(Spans { kept: None }, sampling, keep)
    }

    fn to(spans: Spans, sampling: Sampling, keep: Keep) -> Self {
        let settings = Settings::default();
        let outlet = Arc::new(spans.clone());
        let pipeline = Arc::new(Pipeline::new(sampling, keep, outlet, settings.conventions, settings.limits));
        let telemetry = Telemetry::recording(Arc::clone(&pipeline), Some(Meters::default()), settings);
        Self { pipeline, telemetry, spans }
    }

    /// Telemetry that ends here.
    pub fn telemetry(&self) -> Telemetry {
        self.telemetry.clone()
    }

    /// What was exported so far, as an OTLP `ExportTraceServiceRequest`.
    pub fn request(&self) -> Vec<u8> {
        // As a set-up does it every second.
        self.pipeline.release_progress();
        let mut request = Vec::new();
        let Some(kept) = &self.spans.kept else { return request };
        let spans = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let own = spans.iter().map(|span| (OWN_SCOPE, span.as_slice()));
        Envelope::new(&[]).write_traces(&mut request, own);
        request
    }

    /// What was not exported.
    pub fn steps(&self) -> Steps {
        self.pipeline.steps()
    }
}

impl Default for Records {
    fn default() -> Self {
        Self::new(Sampling::default(), Keep::default())
    }
}
