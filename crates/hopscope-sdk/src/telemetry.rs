//! [`Telemetry`]: the handle that every traced wrapper holds.

use crate::Formats;
use opentelemetry::InstrumentationScope;
use opentelemetry::global::{self, BoxedTracer, ObjectSafeTracer};
use opentelemetry::trace::TracerProvider;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

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

/// Tracer, context formats and relation: what [`send`](Telemetry::send) and [`receive`](Telemetry::receive) work
/// with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    tracer: Arc<BoxedTracer>,
    settings: Settings,
}

/// What one sets for an estate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub formats: Formats,
    pub relation: Relation,
}

/// What [`crate::setup`] set for the process; the last one stands, as with OpenTelemetry's own provider.
pub(crate) static GLOBAL: LazyLock<RwLock<Settings>> = LazyLock::new(RwLock::default);

impl Telemetry {
    /// On the global tracer provider, with the formats of [`crate::setup`]. Call it after the set-up: what is made
    /// before it stays silent, as all of OpenTelemetry does.
    pub fn global() -> Self {
        let settings = GLOBAL.read().unwrap_or_else(PoisonError::into_inner).clone();
        Self::of(global::tracer_with_scope(scope()), settings)
    }

    /// On a tracer provider of your own.
    pub fn new<P>(provider: &P) -> Self
    where
        P: TracerProvider,
        P::Tracer: ObjectSafeTracer + Send + Sync + 'static,
    {
        Self::of(BoxedTracer::new(Box::new(provider.tracer_with_scope(scope()))), Settings::default())
    }

    fn of(tracer: BoxedTracer, settings: Settings) -> Self {
        Self(Arc::new(Inner { tracer: Arc::new(tracer), settings }))
    }

    /// The same with other formats.
    pub fn with_formats(mut self, formats: Formats) -> Self {
        Arc::make_mut(&mut self.0).settings.formats = formats;
        self
    }

    /// The same with another relation.
    pub fn with_relation(mut self, relation: Relation) -> Self {
        Arc::make_mut(&mut self.0).settings.relation = relation;
        self
    }

    /// How contexts are read and written.
    pub fn formats(&self) -> &Formats {
        &self.0.settings.formats
    }

    /// How consumers stand to senders.
    pub fn relation(&self) -> Relation {
        self.0.settings.relation
    }

    pub(crate) fn tracer(&self) -> &BoxedTracer {
        &self.0.tracer
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("hopscope")
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

/// The conventions that the attributes follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
