//! One call for tracer provider, resource, context formats and OTLP exporter.
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
//! What the code says wins; what it leaves open comes from OpenTelemetry's environment variables
//! (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_*`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`,
//! `OTEL_SPAN_*_LIMIT`), then from a default. Errors are reported here and only here: afterwards nothing fails, blocks
//! or panics in the application, whatever happens to the endpoint, and what is lost is counted
//! ([`Guard::counts`]).
//!
//! It is not: a set-up of metrics and logs, TLS, or an exporter to anything but OTLP yet.

mod queue;

use crate::propagator::Propagator;
use crate::telemetry::{GLOBAL, Settings};
use crate::{Formats, Relation};
use opentelemetry::{Key, KeyValue, global};
use opentelemetry_otlp::{Protocol as OtlpProtocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SdkTracerProvider};
use queue::{Limits, Queue};
use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

pub use queue::Counts;

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
    /// Where to send: `http://host:4317` (gRPC), `http://host:4318` (HTTP; `/v1/traces` is added where there is no
    /// path). Empty leaves it open; the default is this machine.
    pub endpoint: String,
    /// How to send. Open: as the environment says, else gRPC to port 4317 and HTTP to any other.
    pub protocol: Option<Protocol>,
    /// The share of traces that is kept, 0 to 1; what a parent decided stands. Open: as the environment says, else
    /// every trace.
    pub sample_ratio: Option<f64>,
    /// How contexts are read and written, in messages and by OpenTelemetry's global propagator alike.
    pub formats: Formats,
    /// How consumers stand to senders.
    pub relation: Relation,
    /// When to send, and how much to hold.
    pub batching: Batching,
}

/// How to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// When finished spans are sent, and how many are held. `None` leaves it open (`OTEL_BSP_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batching {
    /// Longest time that a finished span waits. Default 5 s.
    pub delay: Option<Duration>,
    /// A batch of that many is sent at once. Default 512.
    pub batch_spans_max: Option<usize>,
    /// More than that many waiting spans are dropped, the newest first, and counted. Default 8192.
    pub queue_spans_max: Option<usize>,
}

impl Batching {
    /// For development: spans are on the page within a fifth of a second.
    pub const DEVELOPMENT: Self =
        Self { delay: Some(Duration::from_millis(200)), batch_spans_max: None, queue_spans_max: None };

    fn limits(self) -> Limits {
        let delay = self.delay.or_else(|| environment("OTEL_BSP_SCHEDULE_DELAY").map(Duration::from_millis));
        let count = |set: Option<usize>, name, default| {
            let count = set.or_else(|| environment(name).and_then(|count| usize::try_from(count).ok()));
            count.unwrap_or(default).max(1)
        };
        let queue_spans_max = count(self.queue_spans_max, "OTEL_BSP_MAX_QUEUE_SIZE", 8192);
        let batch_spans_max =
            count(self.batch_spans_max, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512).min(queue_spans_max);
        Limits { delay: delay.unwrap_or(Duration::from_secs(5)), batch_spans_max, queue_spans_max }
    }
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}

/// Sets everything up for this process under that service name. See [`Setup`] for more.
///
/// # Errors
/// [`ErrorKind::Invalid`]: endpoint or environment make no sense. [`ErrorKind::Internal`]: no thread could be made.
pub fn init(service: impl Into<String>) -> Result<Guard, Error> {
    Setup { service: service.into(), ..Setup::default() }.init()
}

impl Setup {
    /// Sets everything up for this process: the global tracer provider and propagator of OpenTelemetry, and what
    /// [`Telemetry::global`](crate::Telemetry::global) gives from now on.
    ///
    /// # Errors
    /// As [`init`].
    pub fn init(self) -> Result<Guard, Error> {
        let resource = self.resource();
        // A runtime of its own: no other thread has to live, or to be a tokio thread, for spans to be sent.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("hopscope-export")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "the export thread could not be started", error)
            })?;
        let exporter = {
            let _entered = runtime.enter();
            self.exporter()?
        };
        let queue = Queue::start(exporter, &resource, self.batching.limits(), runtime.handle());
        let mut provider =
            SdkTracerProvider::builder().with_resource(resource).with_span_processor(queue.clone());
        if let Some(ratio) = self.sample_ratio {
            provider =
                provider.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))));
        }
        let provider = provider.build();
        let settings = Settings { formats: self.formats, relation: self.relation };
        global::set_text_map_propagator(Propagator::new(settings.formats.clone()));
        global::set_tracer_provider(provider.clone());
        *GLOBAL.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(Guard { provider, queue, runtime: Some(runtime) })
    }

    fn resource(&self) -> Resource {
        let environment = Resource::builder().build();
        let instance = Key::from_static_str("service.instance.id");
        let instance = match environment.get(&instance) {
            Some(instance) if self.instance.is_empty() => instance.to_string(),
            _ if self.instance.is_empty() => random_uuid(),
            _ => self.instance.clone(),
        };
        let mut builder = Resource::builder()
            .with_attribute(KeyValue::new("service.instance.id", instance))
            .with_attributes(self.resource.iter().cloned());
        if !self.service.is_empty() {
            builder = builder.with_service_name(self.service.clone());
        }
        if !self.version.is_empty() {
            builder = builder.with_attribute(KeyValue::new("service.version", self.version.clone()));
        }
        builder.build()
    }

    fn exporter(&self) -> Result<SpanExporter, Error> {
        let builder = SpanExporter::builder();
        let built = match (self.protocol(), self.endpoint.as_str()) {
            (Protocol::Grpc, "") => builder.with_tonic().build(),
            (Protocol::Grpc, endpoint) => builder.with_tonic().with_endpoint(endpoint).build(),
            (Protocol::Http, "") => builder.with_http().with_protocol(OtlpProtocol::HttpBinary).build(),
            (Protocol::Http, endpoint) => {
                let endpoint = with_traces_path(endpoint);
                builder.with_http().with_protocol(OtlpProtocol::HttpBinary).with_endpoint(endpoint).build()
            }
        };
        built.map_err(|error| Error::new(ErrorKind::Invalid, "the exporter could not be made", error))
    }

    fn protocol(&self) -> Protocol {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let named = || {
            variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"))
        };
        let endpoint = || {
            let set = || {
                variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
                    .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))
            };
            if self.endpoint.is_empty() { set().unwrap_or_default() } else { self.endpoint.clone() }
        };
        match (self.protocol, named().as_deref()) {
            (Some(protocol), _) => protocol,
            (None, Some("grpc")) => Protocol::Grpc,
            (None, Some(_)) => Protocol::Http,
            (None, None) if endpoint().trim_end_matches('/').ends_with(":4317") => Protocol::Grpc,
            (None, None) => Protocol::Http,
        }
    }
}

/// The endpoint of OTLP/HTTP has a path; a bare address gets the usual one.
fn with_traces_path(endpoint: &str) -> String {
    let address = endpoint.split_once("://").map_or(endpoint, |(_, address)| address);
    match address.trim_end_matches('/').contains('/') {
        true => endpoint.to_owned(),
        false => format!("{}/v1/traces", endpoint.trim_end_matches('/')),
    }
}

/// A random (version 4) UUID.
fn random_uuid() -> String {
    let mut bytes = RandomIdGenerator::default().new_trace_id().to_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Keeps the export going. [`shutdown`](Self::shutdown) it at the end of `main`; dropped, it gives what is left at
/// most a second.
#[derive(Debug)]
#[must_use = "dropped at once, nothing is exported"]
pub struct Guard {
    provider: SdkTracerProvider,
    queue: Queue,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Guard {
    /// Sends what has ended so far, for at most that long, blocking this thread. True when nothing is left.
    pub fn flush(&self, deadline: Duration) -> bool {
        self.queue.flush(deadline)
    }

    /// Sends what is left, for at most that long, blocking this thread, and ends the export. What could not be sent
    /// is in the counts.
    pub fn shutdown(mut self, deadline: Duration) -> Counts {
        self.end(deadline)
    }

    /// What has become of the spans so far.
    pub fn counts(&self) -> Counts {
        self.queue.counts()
    }

    /// The tracer provider, for settings of OpenTelemetry's that this set-up does not know.
    pub fn provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    fn end(&mut self, deadline: Duration) -> Counts {
        if let Some(runtime) = self.runtime.take() {
            self.queue.close(deadline);
            let _ = self.provider.shutdown_with_timeout(Duration::ZERO);
            // In the background: a runtime must not be waited for on a thread of another.
            runtime.shutdown_background();
        }
        self.queue.counts()
    }
}

/// Longest wait when the guard is dropped instead of shut down.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

impl Drop for Guard {
    fn drop(&mut self) {
        self.end(DROP_DEADLINE);
    }
}

/// Why the set-up failed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Correct the set-up or the environment.
    Invalid,
    /// The system refused a thread.
    Internal,
}

impl Error {
    fn new(
        kind: ErrorKind,
        message: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { kind, message, source: Box::new(source) }
    }

    /// What can be done about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_gets_the_usual_path() {
        for (endpoint, url) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
            ("http://localhost/otlp/v1/traces", "http://localhost/otlp/v1/traces"),
        ] {
            assert_eq!(with_traces_path(endpoint), url);
        }
    }

    #[test]
    fn an_open_protocol_follows_the_usual_port() {
        for (protocol, endpoint, chosen) in [
            (None, "http://localhost:4317", Protocol::Grpc),
            (None, "http://localhost:4318", Protocol::Http),
            (None, "http://localhost:4317/v1/traces", Protocol::Http),
            (Some(Protocol::Grpc), "http://localhost:4318", Protocol::Grpc),
            (Some(Protocol::Http), "http://localhost:4317", Protocol::Http),
        ] {
            let setup = Setup { protocol, endpoint: endpoint.into(), ..Setup::default() };
            assert_eq!(setup.protocol(), chosen, "{endpoint}");
        }
    }

    #[test]
    fn instance_ids_are_random_uuids() {
        let (one, two) = (random_uuid(), random_uuid());
        assert_ne!(one, two);
        let lengths: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!((lengths, &one[14..15]), (vec![8, 4, 4, 4, 12], "4"));
    }
}
