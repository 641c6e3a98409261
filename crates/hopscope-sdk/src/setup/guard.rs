//! [`Guard`]: keeps the export going, and ends it.

use super::running::Running;
use crate::Telemetry;
use crate::export::queue::{Counts, Queue};
use crate::pipeline::{Pipeline, Steps};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::Arc;
use std::time::Duration;

/// Keeps the export going. [`shutdown`](Self::shutdown) it at the end of `main`; dropped, it gives what is left at
/// most a second.
#[derive(Debug)]
#[must_use = "dropped at once, nothing is exported"]
pub struct Guard {
    pub(super) provider: SdkTracerProvider,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) running: Running,
    pub(super) telemetry: Telemetry,
}

impl Guard {
    /// Sends what has ended so far, and the metrics as of now, for at most that long, blocking this thread. True when
    /// nothing is left.
    pub fn flush(&self, deadline: Duration) -> bool {
        self.pipeline.release_progress();
        self.running.flush(deadline)
    }

    /// Sends what is left, for at most that long, blocking this thread, and ends the export. What could not be sent
    /// is in the counts, which are those of [`counts`](Self::counts).
    pub fn shutdown(mut self, deadline: Duration) -> Counts {
        self.end(deadline);
        self.counts()
    }

    /// What has become of the spans so far: at the endpoint, or at the topic where there is no endpoint.
    pub fn counts(&self) -> Counts {
        let queue = self.running.otlp.as_ref().or(self.running.topic.as_ref());
        queue.map(Queue::counts).unwrap_or_default()
    }

    /// What has become of the spans at the topic, where there is one.
    pub fn topic_counts(&self) -> Option<Counts> {
        self.running.topic.as_ref().map(Queue::counts)
    }

    /// What has become of the steps that no span was made of, and how many have not ended yet.
    pub fn steps(&self) -> Steps {
        self.pipeline.steps()
    }

    /// What producers and consumers are given that are to be traced by this set-up.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The tracer provider, for settings of OpenTelemetry's that this set-up does not know.
    pub fn provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    fn end(&mut self, deadline: Duration) {
        self.pipeline.release_progress();
        self.running.end(deadline);
        // Its spans have left already; what can still fail here is that it was shut down before.
        let _ = self.provider.shutdown_with_timeout(Duration::ZERO);
    }
}

/// Longest wait when the guard is dropped instead of shut down.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

impl Drop for Guard {
    fn drop(&mut self) {
        self.end(DROP_DEADLINE);
    }
}
