//! [`Around`]: what a step takes place in.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};

/// A context, and the parent of a step in place of the context's own span. As one context it costs an allocation,
/// and most steps never need it as one.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    ambient: Context,
    parent: Option<SpanContext>,
}

impl Around {
    pub fn current() -> Self {
        Context::current().into()
    }

    /// With that parent.
    pub fn under(ambient: Context, parent: SpanContext) -> Self {
        Self { ambient, parent: Some(parent) }
    }

    /// The parent; an invalid one where there is none.
    pub fn parent(&self) -> SpanContext {
        match &self.parent {
            Some(parent) => parent.clone(),
            None => self.ambient.span().span_context().clone(),
        }
    }

    /// As one context.
    pub fn to_context(&self) -> Context {
        match &self.parent {
            Some(parent) => self.ambient.with_remote_span_context(parent.clone()),
            None => self.ambient.clone(),
        }
    }

    /// The context without the parent: its baggage.
    pub fn ambient(&self) -> &Context {
        &self.ambient
    }
}

impl From<Context> for Around {
    fn from(ambient: Context) -> Self {
        Self { ambient, parent: None }
    }
}
