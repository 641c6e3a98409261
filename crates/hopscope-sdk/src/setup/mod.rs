//! One call for tracer provider, metrics, resource, context formats, sampling and export.
//!
//! ```no_run
//! # fn main() -> Result<(), hopscope_sdk::setup::Error> {
//! let telemetry = hopscope_sdk::setup::init("checkout")?;
//! // ... the application ...
//! telemetry.shutdown(std::time::Duration::from_secs(5));
//! # Ok(())
//! # }
//! ```
//!
//! What the code says wins; what it leaves open comes from OpenTelemetry's environment variables, then from a default.
//! Errors are reported here and only here: afterwards nothing fails, blocks or panics in the application, whatever
//! happens to the endpoint. It may be down, slow, full or wrong for hours: what cannot be sent is kept in bounded memory
//! and tried again, what there is no room for is dropped, the least valuable first, and all of it is counted
//! ([`Guard::counts`]).
//!
//! # Variables that are honoured
//!
//! | Variable | Here |
//! |---|---|
//! | `OTEL_SDK_DISABLED` | `true`: nothing is recorded and no thread is started; contexts are still passed on |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | [`Setup::service`], [`Setup::resource`] |
//! | `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` | [`Setup::spans`], [`Setup::metrics`]; `otlp`, `none` |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | [`Setup::sampling`]; the six of the specification |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL` | [`Setup::endpoint`], [`Setup::protocol`]; `grpc`, `http/protobuf` |
//! | `OTEL_EXPORTER_OTLP_HEADERS` | beside [`Setup::headers`] |
//! | `OTEL_EXPORTER_OTLP_TIMEOUT` | [`Setup::timeout`], milliseconds |
//! | `OTEL_EXPORTER_OTLP_COMPRESSION` | [`Setup::compression`]; `gzip`, `zstd`, `none` |
//! | `OTEL_EXPORTER_OTLP_CERTIFICATE`, `_CLIENT_CERTIFICATE`, `_CLIENT_KEY` | [`Setup::tls`] |
//! | `OTEL_EXPORTER_OTLP_TRACES_*`, `OTEL_EXPORTER_OTLP_METRICS_*` | all of these for one signal; its endpoint is used as it stands |
//! | `OTEL_BSP_SCHEDULE_DELAY`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, `OTEL_BSP_MAX_QUEUE_SIZE` | [`Setup::batching`] |
//! | `OTEL_METRIC_EXPORT_INTERVAL` | [`Batching::metrics_interval`], milliseconds |
//! | `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` | `cumulative`, `delta`, `lowmemory` |
//! | `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`, `_EVENT_COUNT_LIMIT`, `_LINK_COUNT_LIMIT`, `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT` | [`Setup::limits`] |
//! | `OTEL_PROPAGATORS` | [`Setup::formats`] |
//! | `OTEL_SEMCONV_STABILITY_OPT_IN` | [`Setup::conventions`]; `messaging`, `messaging/dup` |
//!
//! A value that makes no sense is told to the log and not used. `OTEL_BSP_EXPORT_TIMEOUT` is not honoured: a batch has no
//! time limit of its own, it is tried until there is no room for it.
//!
//! # It is not
//! A set-up of logs, an exporter to anything but OTLP and topics, or one that goes through an HTTP proxy.

mod batching;
mod endpoint;
mod environment;
mod error;
mod guard;
mod processor;
mod resource;
mod running;

use crate::export::envelope::Envelope;
use crate::meters;
use crate::pipeline::Pipeline;
use crate::propagator::Propagator;
use crate::telemetry::{self, Settings};
use crate::{
    Capture, Conventions, Formats, Keep, Limits, PerDestination, Relation, Sampler, Sampling, Telemetry,
};
use environment::Environment;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use processor::Processor;
use running::{Each, Running};
use std::sync::Arc;
use std::time::Duration;

pub use crate::export::compress::Compression;
pub use crate::export::otlp_client::Protocol;
pub use crate::export::queue::Counts;
pub use crate::export::tls::Tls;
pub use crate::export::topic::{BoxError, MESSAGE_BYTES_MAX, SinkFuture, TRACE_TOPIC, TopicError, TopicSink};
pub use batching::Batching;
pub use error::{Error, ErrorKind};
pub use guard::Guard;

/// Everything that can be set. Start from `Setup::default()`, which leaves everything open.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// `service.name`; empty leaves it open.
    pub service: String,
    /// `service.version`; empty leaves it out.
    pub version: String,
    /// `service.instance.id`; empty lets a random UUID be made, where the environment has none.
    pub instance: String,
    /// More attributes of the resource.
    pub resource: Vec<KeyValue>,
    /// What spans and metrics are given to.
    pub export: Export,
    /// Whether spans are sent. Open: as the environment says, else they are.
    pub spans: Option<bool>,
    /// Whether steps are counted and timed, and the metrics sent. Open: as the environment says, else they are.
    pub metrics: Option<bool>,
    /// Where to send: `http://host:4317` (gRPC), `http://host:4318` (HTTP; `/v1/traces` is added where there is no
    /// path), or the same with `https`. Empty leaves it open; the default is this machine.
    pub endpoint: String,
    /// How to send. Open: as the environment says, else gRPC to port 4317 and HTTP to any other.
    pub protocol: Option<Protocol>,
    /// Headers of every request, beside those of the environment.
    pub headers: Vec<(String, String)>,
    /// Longest wait for an answer. Default 10 s.
    pub timeout: Option<Duration>,
    /// How requests, and messages on a topic, are compressed. Default: not at all.
    pub compression: Option<Compression>,
    /// Certificates, for an `https` endpoint.
    pub tls: Tls,
    /// When to send, and how much to hold.
    pub batching: Batching,
    /// Which traces are kept. Open: as the environment says, else what the parent decided, and without one all.
    pub sampling: Option<Sampling>,
    /// What is kept although the head of its trace said no.
    pub keep: Keep,
    /// How much one span may hold.
    pub limits: Option<Limits>,
    /// Which headers are recorded, and whether keys and hashes of bodies are.
    pub capture: Capture,
    /// How many series of metrics there may be.
    pub metrics_limits: meters::Limits,
    /// Which generation of names is written.
    pub conventions: Option<Conventions>,
    /// How contexts are read and written, in messages and by OpenTelemetry's global propagator alike.
    pub formats: Option<Formats>,
    /// How consumers stand to senders: one for all, or by destination.
    pub relation: PerDestination<Relation>,
    /// False: no context is written into messages for that destination. Default: into all.
    pub inject: Option<PerDestination<bool>>,
}

/// What spans and metrics are given to.
#[derive(Clone, Debug, Default)]
pub enum Export {
    /// An OTLP endpoint.
    #[default]
    Otlp,
    /// A topic of a broker, through an adapter's sink.
    Topic(Arc<dyn TopicSink>),
    /// An OTLP endpoint and a topic, each with a queue of its own: neither waits for the other.
    Both(Arc<dyn TopicSink>),
    /// Nothing: contexts are passed on, and that is all.
    Nothing,
}

impl Export {
    /// A topic of a broker, through that sink of an adapter.
    pub fn topic(sink: impl TopicSink + 'static) -> Self {
        Self::Topic(Arc::new(sink))
    }
}

/// Sets everything up for this process under that service name. See [`Setup`] for more.
///
/// # Errors
/// [`ErrorKind::Invalid`]: endpoint, headers or certificates make no sense. [`ErrorKind::Internal`]: no thread could be
/// made.
pub fn init(service: impl Into<String>) -> Result<Guard, Error> {
    Setup { service: service.into(), ..Setup::default() }.init()
}

impl Setup {
    /// Sets everything up for this process: the global tracer provider and propagator of OpenTelemetry, and what
    /// [`Telemetry::global`] gives from now on.
    ///
    /// # Errors
    /// As [`init`].
    pub fn init(self) -> Result<Guard, Error> {
        let guard = self.start()?;
        global::set_text_map_propagator(Propagator::new(guard.telemetry.formats().clone()));
        global::set_tracer_provider(guard.provider.clone());
        telemetry::set_global(&guard.telemetry);
        Ok(guard)
    }

    /// As [`init`](Self::init), and nothing of the process is touched: what is to be traced is given
    /// [`Guard::telemetry`]. For several of them in one process.
    ///
    /// # Errors
    /// As [`init`].
    pub fn start(self) -> Result<Guard, Error> {
        let environment = environment::PROCESS;
        let is_disabled = environment.is_true("OTEL_SDK_DISABLED");
        let resource = resource::resource(&self);
        let attributes: Vec<_> =
            resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        let envelope = Arc::new(Envelope::new(&attributes));
        let export = if is_disabled { Export::Nothing } else { self.export.clone() };
        let mut running = Running::start(&export)?;
        if is_sent(self.spans, environment, "OTEL_TRACES_EXPORTER") {
            running.start_spans(&self, environment, &export, &envelope)?;
        }

        let nothing = || Sampling::all(Sampler::Never);
        let sampling = if is_disabled { nothing() } else { self.sampling(environment) };
        let keep = if is_disabled { Keep::NOTHING } else { self.keep };
        let settings = self.settings(environment);
        let provider = provider(resource, &sampling, Processor { queues: running.queues(), envelope });
        let (conventions, limits) = (settings.conventions, settings.limits);
        let outlet = Arc::new(Each(running.queues()));
        let pipeline = Arc::new(Pipeline::new(sampling, keep, outlet, conventions, limits));
        running.start_progress(&pipeline);
        let meters = match is_sent(self.metrics, environment, "OTEL_METRICS_EXPORTER") {
            true => running.start_metrics(&self, environment, &export, attributes, &pipeline)?,
            false => None,
        };
        let telemetry = Telemetry::recording(Arc::clone(&pipeline), meters, settings);
        Ok(Guard { provider, pipeline, running, telemetry })
    }

    fn sampling(&self, environment: Environment<'_>) -> Sampling {
        self.sampling.clone().or_else(|| environment.sampling()).unwrap_or_default()
    }

    fn settings(&self, environment: Environment<'_>) -> Settings {
        let formats = || environment.parse("OTEL_PROPAGATORS", |names| names.parse().ok());
        let conventions = || {
            environment
                .text("OTEL_SEMCONV_STABILITY_OPT_IN")
                .and_then(|text| Conventions::of_environment(&text))
        };
        Settings {
            formats: self.formats.clone().or_else(formats).unwrap_or_default(),
            relation: self.relation.clone(),
            inject: self.inject.clone().unwrap_or_else(|| true.into()),
            conventions: self.conventions.or_else(conventions).unwrap_or_default(),
            limits: self.limits.unwrap_or_else(|| limits(environment)),
            capture: self.capture.clone(),
        }
    }
}

/// Whether a signal is sent: what the code says, else the variable.
fn is_sent(said: Option<bool>, environment: Environment<'_>, variable: &str) -> bool {
    let named = || {
        environment.parse(variable, |name| match name {
            "otlp" => Some(true),
            "none" => Some(false),
            _ => None,
        })
    };
    said.or_else(named).unwrap_or(true)
}

fn limits(environment: Environment<'_>) -> Limits {
    let Limits { attributes_max, events_max, links_max, value_bytes_max } = Limits::default();
    let set = |name, default| environment.number(name).unwrap_or(default);
    Limits {
        attributes_max: set("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", attributes_max),
        events_max: set("OTEL_SPAN_EVENT_COUNT_LIMIT", events_max),
        links_max: set("OTEL_SPAN_LINK_COUNT_LIMIT", links_max),
        value_bytes_max: set("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", value_bytes_max),
    }
}

fn provider(resource: Resource, sampling: &Sampling, processor: Processor) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampling.clone())
        .with_span_processor(processor)
        .build()
}
