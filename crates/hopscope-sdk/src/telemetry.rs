//! [`Telemetry`]: the handle that every traced wrapper holds.

use crate::conventions::Conventions;
use crate::limits::Limits;
use crate::meters::{self, Meters};
use crate::per_destination::PerDestination;
use crate::pipeline::Pipeline;
use crate::{Capture, Formats, Place};
use opentelemetry::InstrumentationScope;
use opentelemetry::global::{BoxedTracer, ObjectSafeTracer};
use opentelemetry::metrics::Meter;
use opentelemetry::trace::TracerProvider;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// How the spans of a consumer stand to the span that made the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relation {
    /// Its child, without a link, whatever the ambient span (which is not recorded then).
    Continue,
    /// A link alone: the consumer's trace is its own.
    Link,
    /// A link always; its child too where no ambient span exists.
    #[default]
    Both,
    /// Nothing.
    None,
}

/// Where spans and metrics go, context formats, relations: what [`send`](Telemetry::send) and
/// [`receive`](Telemetry::receive) work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Telemetry {
    source: Source,
    settings: Option<Arc<Settings>>,
}

#[derive(Clone, Debug)]
enum Source {
    Own(Arc<Inner>),
    /// What [`crate::setup`] set for the process, or will: resolved at the first use after it.
    Global(Arc<Late>),
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub path: Path,
    pub meters: Option<Meters>,
    pub settings: Arc<Settings>,
}

/// What a step is made of.
#[derive(Clone, Debug)]
pub(crate) enum Path {
    /// Records of our own.
    Own(Arc<Pipeline>),
    /// Spans of a tracer of the application's.
    Tracer(Arc<BoxedTracer>),
}

/// What one sets for an estate.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub formats: Formats,
    pub relation: PerDestination<Relation>,
    /// False: no context is written into messages for that destination.
    pub inject: PerDestination<bool>,
    pub conventions: Conventions,
    pub limits: Limits,
    pub capture: Capture,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            formats: Formats::default(),
            relation: Relation::default().into(),
            inject: true.into(),
            conventions: Conventions::default(),
            limits: Limits::default(),
            capture: Capture::default(),
        }
    }
}

/// What the set-up set for the process; the last one stands, as with OpenTelemetry's own provider.
static GLOBAL: RwLock<Option<Arc<Inner>>> = RwLock::new(None);

/// Sets what [`Telemetry::global`] is.
pub(crate) fn set_global(telemetry: &Telemetry) {
    if let Source::Own(inner) = &telemetry.source {
        *GLOBAL.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(inner));
    }
}

impl Telemetry {
    /// What [`crate::setup`] set for this process, or will have set by the first use. Without it, steps become spans
    /// of OpenTelemetry's global tracer provider as it is now.
    pub fn global() -> Self {
        let tracer = opentelemetry::global::tracer_with_scope(scope());
        Self {
            source: Source::Global(Arc::new(Late { found: OnceLock::new(), until_then: Inner::of(tracer) })),
            settings: None,
        }
    }

    /// Spans of a tracer provider of your own, as the messaging conventions want them. Sampling and export are its
    /// business.
    pub fn new<P>(provider: &P) -> Self
    where
        P: TracerProvider,
        P::Tracer: ObjectSafeTracer + Send + Sync + 'static,
    {
        let tracer = BoxedTracer::new(Box::new(provider.tracer_with_scope(scope())));
        Self { source: Source::Own(Arc::new(Inner::of(tracer))), settings: None }
    }

    /// Records of our own.
    pub(crate) fn recording(pipeline: Arc<Pipeline>, meters: Option<Meters>, settings: Settings) -> Self {
        let inner = Inner { path: Path::Own(pipeline), meters, settings: Arc::new(settings) };
        Self { source: Source::Own(Arc::new(inner)), settings: None }
    }

    /// The same, with metrics through a meter of your own.
    pub fn with_meter(self, meter: &Meter) -> Self {
        self.with_meters(Meters::through(meter, meters::Limits::default()))
    }

    /// The same, with these metrics: with limits of your own, or for a [`Collector`](meters::Collector) of your own.
    pub fn with_meters(mut self, meters: Meters) -> Self {
        let settings = Arc::clone(self.settings());
        let inner = Inner { path: self.path().clone(), meters: Some(meters), settings };
        self.source = Source::Own(Arc::new(inner));
        self
    }

    /// The same with other formats.
    pub fn with_formats(self, formats: Formats) -> Self {
        self.with(|settings| settings.formats = formats)
    }

    /// The same with another relation: one for all, or by destination.
    pub fn with_relation(self, relation: impl Into<PerDestination<Relation>>) -> Self {
        let relation = relation.into();
        self.with(|settings| settings.relation = relation)
    }

    /// The same, writing no context into messages for destinations where this is false.
    pub fn with_injection(self, inject: PerDestination<bool>) -> Self {
        self.with(|settings| settings.inject = inject)
    }

    /// The same with another generation of names.
    pub fn with_conventions(self, conventions: Conventions) -> Self {
        self.with(|settings| settings.conventions = conventions)
    }

    /// The same, recording more or less of a message.
    pub fn with_capture(self, capture: Capture) -> Self {
        self.with(|settings| settings.capture = capture)
    }

    fn with(mut self, edit: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::clone(self.settings());
        edit(&mut settings);
        self.settings = Some(Arc::new(settings));
        self
    }

    /// How contexts are read and written.
    pub fn formats(&self) -> &Formats {
        &self.settings().formats
    }

    /// How consumers of that destination stand to senders.
    pub fn relation(&self, destination: &str) -> Relation {
        *self.settings().relation.of(destination)
    }

    /// Whether a context is written into messages for that place.
    pub(crate) fn injects_at(&self, place: &Place<'_>) -> bool {
        *self.settings().inject.of_named(|| place.name())
    }

    pub(crate) fn conventions(&self) -> Conventions {
        self.settings().conventions
    }

    pub(crate) fn settings(&self) -> &Arc<Settings> {
        match &self.settings {
            Some(settings) => settings,
            None => &self.inner().settings,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.inner().path
    }

    pub(crate) fn meters(&self) -> Option<&Meters> {
        self.inner().meters.as_ref()
    }

    fn inner(&self) -> &Inner {
        match &self.source {
            Source::Own(inner) => inner,
            Source::Global(late) => late.get(),
        }
    }
}

impl Inner {
    fn of(tracer: BoxedTracer) -> Self {
        Self { path: Path::Tracer(Arc::new(tracer)), meters: None, settings: Arc::default() }
    }
}

/// The process-wide set-up, looked for until it is there.
#[derive(Debug)]
struct Late {
    found: OnceLock<Arc<Inner>>,
    until_then: Inner,
}

impl Late {
    fn get(&self) -> &Inner {
        if let Some(found) = self.found.get() {
            return found;
        }
        match &*GLOBAL.read().unwrap_or_else(PoisonError::into_inner) {
            Some(global) => self.found.get_or_init(|| Arc::clone(global)),
            None => &self.until_then,
        }
    }
}

pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

/// Name of the instrumentation scope.
pub(crate) const SCOPE: &str = "hopscope";

/// The conventions that the attributes follow.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
