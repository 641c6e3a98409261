//! One span from start to its one end.

use crate::Failure;
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// A span that ends exactly once: as declared, or, when dropped before, as unknown (as failed, in a panic).
#[derive(Debug)]
pub(crate) struct Step {
    context: Context,
    open: bool,
    /// The first panic in the work, where it went on to somebody who may yet recover from it.
    panicked: Arc<OnceLock<Failure>>,
}

/// What a span is started with.
pub(crate) struct Start {
    pub operation: &'static str,
    pub operation_type: &'static str,
    pub destination: Option<String>,
    pub kind: SpanKind,
    pub parent: Context,
    pub links: Vec<SpanContext>,
}

impl Step {
    pub fn start<T>(tracer: &T, start: Start, attributes: impl IntoIterator<Item = KeyValue>) -> Self
    where
        T: Tracer,
        T::Span: Send + Sync + 'static,
    {
        let name: Cow<'static, str> = match &start.destination {
            Some(destination) => format!("{} {destination}", start.operation).into(),
            None => start.operation.into(),
        };
        let operation = [
            KeyValue::new("messaging.operation.name", start.operation),
            KeyValue::new("messaging.operation.type", start.operation_type),
        ];
        let links = start.links.into_iter().map(Link::with_context).collect();
        let span = SpanBuilder::from_name(name)
            .with_kind(start.kind)
            .with_attributes(operation.into_iter().chain(attributes))
            .with_links(links)
            .start_with_context(tracer, &start.parent);
        Self { context: start.parent.with_span(span), open: true, panicked: Arc::default() }
    }

    /// The context whose current span this is.
    pub fn context(&self) -> &Context {
        &self.context
    }

    pub fn is_recording(&self) -> bool {
        self.context.span().is_recording()
    }

    pub fn set(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        self.context.span().set_attributes(attributes);
    }

    /// For whoever catches a panic in work that this step covers.
    pub fn panic_watch(&self) -> PanicWatch {
        PanicWatch { context: self.context.clone(), panicked: Arc::clone(&self.panicked) }
    }

    pub fn end_ok(mut self) {
        self.close();
    }

    pub fn end_failed(mut self, failure: &Failure) {
        // The panic is what happened; the declared failure is mostly how a join told it.
        write_failure(&self.context, self.panicked.get().unwrap_or(failure));
        self.close();
    }

    pub fn end_unknown(mut self, reason: &str) {
        self.write_unknown(reason);
        self.close();
    }

    fn write_unknown(&self, reason: &str) {
        self.set([KeyValue::new("hopscope.outcome", "unknown")]);
        if !reason.is_empty() {
            self.set([KeyValue::new("hopscope.outcome.reason", reason.to_owned())]);
        }
    }

    fn close(&mut self) {
        self.open = false;
        self.context.span().end();
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        match self.panicked.get() {
            Some(panic) => write_failure(&self.context, panic),
            None if std::thread::panicking() => write_failure(&self.context, &Failure::new("panic", "")),
            None => self.write_unknown("dropped"),
        }
        self.close();
    }
}

/// Notes a panic for a step that is still open.
#[derive(Clone, Debug)]
pub(crate) struct PanicWatch {
    context: Context,
    panicked: Arc<OnceLock<Failure>>,
}

impl PanicWatch {
    pub fn context(&self) -> &Context {
        &self.context
    }

    pub fn panicked(&self, payload: &(dyn std::any::Any + Send)) {
        // The first one counts.
        let _ = self.panicked.set(Failure::panic(payload));
    }
}

fn write_failure(context: &Context, failure: &Failure) {
    let span = context.span();
    if span.is_recording() {
        span.set_attribute(KeyValue::new("error.type", failure.kind().to_owned()));
        span.set_status(Status::error(failure.message().to_owned()));
    }
}
