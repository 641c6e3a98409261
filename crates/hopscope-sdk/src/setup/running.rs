//! [`Running`]: the queues, the metrics, and the thread that sends them.

use super::endpoint::{self, METRICS, Signal, TRACES};
use super::environment::Environment;
use super::error::{Error, ErrorKind};
use super::{Export, Setup};
use crate::export::backoff::Backoff;
use crate::export::envelope::Envelope;
use crate::export::metrics::MetricsExport;
use crate::export::otlp_client::OtlpClient;
use crate::export::queue::Queue;
use crate::export::target::Target;
use crate::export::topic::{Topic, TopicSink};
use crate::export::{Outlet, Worth, worker};
use crate::meters::{Collector, Meters, SdkState, Temporality};
use crate::pipeline::Pipeline;
use crate::progress::RELEASE_EVERY;
use opentelemetry::trace::FutureExt;
use opentelemetry::{Context, KeyValue};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use tokio::runtime::Runtime;

/// What a set-up has started.
#[derive(Debug)]
pub(super) struct Running {
    pub otlp: Option<Queue>,
    pub topic: Option<Queue>,
    metrics: Option<MetricsExport>,
    runtime: Option<Runtime>,
}

/// Every step goes into each of the queues.
#[derive(Debug)]
pub(super) struct Each(pub Vec<Queue>);

impl Outlet for Each {
    fn push(&self, span: &[u8], worth: Worth) {
        self.0.iter().for_each(|queue| queue.push(span, worth));
    }

    fn takes_any(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Export {
    fn parts(&self) -> (bool, Option<&Arc<dyn TopicSink>>) {
        match self {
            Self::Otlp => (true, None),
            Self::Topic(sink) => (false, Some(sink)),
            Self::Both(sink) => (true, Some(sink)),
            Self::Nothing => (false, None),
        }
    }
}

impl Running {
    /// Starts the thread, where there is anything to send to.
    pub fn start(export: &Export) -> Result<Self, Error> {
        let runtime = if let (false, None) = export.parts() { None } else { Some(runtime()?) };
        Ok(Self { otlp: None, topic: None, metrics: None, runtime })
    }

    /// Starts what sends spans.
    pub fn start_spans(
        &mut self,
        setup: &Setup,
        environment: Environment<'_>,
        export: &Export,
        envelope: &Arc<Envelope>,
    ) -> Result<(), Error> {
        let (Some(runtime), (has_otlp, sink)) = (&self.runtime, export.parts()) else { return Ok(()) };
        let start = |target: Target, request_bytes_max: usize| {
            let spans_bytes_max = request_bytes_max.saturating_sub(envelope.bytes());
            let queue = Queue::new(setup.batching.limits(environment, spans_bytes_max));
            let envelope = Arc::clone(envelope);
            spawn(runtime, worker::run(queue.clone(), target, envelope, Backoff::default()));
            queue
        };
        if has_otlp {
            self.otlp = Some(start(otlp(setup, environment, TRACES)?, usize::MAX));
        }
        if let Some(sink) = sink {
            self.topic = Some(start(topic(setup, environment, TRACES, sink), sink.message_bytes_max()));
        }
        Ok(())
    }

    /// Starts what releases the commits that are held.
    pub fn start_progress(&self, pipeline: &Arc<Pipeline>) {
        let Some(runtime) = self.runtime.as_ref().filter(|_| !self.queues().is_empty()) else { return };
        let pipeline = Arc::clone(pipeline);
        spawn(runtime, async move {
            loop {
                tokio::time::sleep(RELEASE_EVERY).await;
                pipeline.release_progress();
            }
        });
    }

    /// Starts what reads and sends metrics, where there is anybody to send them to.
    pub fn start_metrics(
        &mut self,
        setup: &Setup,
        environment: Environment<'_>,
        export: &Export,
        resource: Vec<KeyValue>,
        pipeline: &Arc<Pipeline>,
    ) -> Result<Option<Meters>, Error> {
        let (Some(runtime), (has_otlp, sink)) = (&self.runtime, export.parts()) else { return Ok(None) };
        let mut targets = Vec::new();
        if has_otlp {
            targets.push(otlp(setup, environment, METRICS)?);
        }
        targets.extend(sink.map(|sink| topic(setup, environment, METRICS, sink)));
        let bytes_max =
            sink.map_or(REQUEST_BYTES_MAX, |sink| sink.message_bytes_max().min(REQUEST_BYTES_MAX));

        let meters = Meters::new(setup.metrics_limits);
        let temporality = environment
            .parse("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", |name| name.parse().ok())
            .unwrap_or(Temporality::Cumulative);
        let mut collector = Collector::new(meters.clone(), temporality, now_ns());
        let (otlp, topic, pipeline) = (self.otlp.clone(), self.topic.clone(), Arc::clone(pipeline));
        let source = move || {
            let state = state(otlp.as_ref(), topic.as_ref(), &pipeline);
            collector.collect(now_ns(), &resource, &state, bytes_max)
        };
        let interval = setup.batching.metrics_interval(environment);
        let (export, task) = MetricsExport::new(Box::new(source), targets, interval, Backoff::default());
        spawn(runtime, task);
        self.metrics = Some(export);
        Ok(Some(meters))
    }

    /// The endpoint's, then the topic's.
    pub fn queues(&self) -> Vec<Queue> {
        self.otlp.iter().chain(&self.topic).cloned().collect()
    }

    /// Sends what there is by now, for at most that long. True when nothing is left.
    pub fn flush(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let queues = self.queues();
        // All of them are woken before one is waited for.
        queues.iter().for_each(Queue::hurry);
        let asked = self.metrics.as_ref().map(|metrics| (metrics, metrics.hurry()));
        queues.iter().all(|queue| queue.flush(left(until)))
            && asked.is_none_or(|(metrics, asked)| metrics.wait(asked, left(until)))
    }

    /// Sends what there is by now, for at most that long, and ends it. The queues keep their counts.
    pub fn end(&mut self, deadline: Duration) {
        let Some(runtime) = self.runtime.take() else { return };
        let until = Instant::now() + deadline;
        self.flush(deadline);
        self.queues().iter().for_each(|queue| queue.close(left(until)));
        self.metrics.iter().for_each(MetricsExport::close);
        // In the background: a runtime must not be waited for on a thread of another.
        runtime.shutdown_background();
    }
}

/// Metrics of one request.
const REQUEST_BYTES_MAX: usize = 512 * 1024;

/// A runtime of its own: no other thread has to live, or to be a tokio thread, for spans to be sent.
fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("hopscope-export")
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Internal, "the export thread could not be started", error))
}

/// An export is not itself to be traced.
fn spawn(runtime: &Runtime, task: impl Future<Output = ()> + Send + 'static) {
    runtime.spawn(task.with_context(Context::new().with_telemetry_suppressed()));
}

fn otlp(setup: &Setup, environment: Environment<'_>, signal: Signal) -> Result<Target, Error> {
    let client = OtlpClient::new(endpoint::options(setup, environment, signal)?).map_err(|error| {
        Error::new(ErrorKind::Invalid, "the endpoint's certificates cannot be used", error)
    })?;
    Ok(Target::Otlp(Box::new(client)))
}

fn topic(setup: &Setup, environment: Environment<'_>, signal: Signal, sink: &Arc<dyn TopicSink>) -> Target {
    Target::Topic(Topic {
        sink: Arc::clone(sink),
        compression: endpoint::compression(setup, environment, signal),
        timeout: endpoint::timeout(setup, environment, signal),
    })
}

/// What the export says of itself.
fn state(otlp: Option<&Queue>, topic: Option<&Queue>, pipeline: &Pipeline) -> SdkState {
    let steps = pipeline.steps();
    SdkState {
        otlp: otlp.map(Queue::counts),
        topic: topic.map(Queue::counts),
        sampled_away: steps.sampled_away,
        kept: steps.kept,
        unended: steps.open,
    }
}

fn now_ns() -> u64 {
    let since = opentelemetry::time::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}
