//! The side that calls.

use super::HttpHeaders;
use super::span::{Responding, Settings};
use crate::{Telemetry, carrier};
use http::{Request, Response};
use opentelemetry::Context;
use opentelemetry::trace::SpanKind;
use std::task::Poll;
use tower_layer::Layer;
use tower_service::Service;

/// Writes the current context into requests, under a CLIENT span.
#[derive(Clone, Debug)]
pub struct ClientLayer(Settings);

impl ClientLayer {
    /// With the formats and the tracer of `telemetry`.
    pub fn new(telemetry: Telemetry) -> Self {
        Self(Settings::new(telemetry))
    }

    /// Context alone, where something else makes the spans.
    pub fn without_spans(mut self) -> Self {
        self.0.spans = false;
        self
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> ClientService<S> {
        ClientService { inner, settings: self.0.clone() }
    }
}

/// A service under [`ClientLayer`].
#[derive(Clone, Debug)]
pub struct ClientService<S> {
    inner: S,
    settings: Settings,
}

impl<S, B, R> Service<Request<B>> for ClientService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Responding<S::Future>;

    fn poll_ready(&mut self, task: &mut std::task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let context = self.settings.begin(SpanKind::Client, &parts, Context::current());
        carrier::inject(self.settings.telemetry.formats(), &context, &mut HttpHeaders(&mut parts.headers));
        let request = Request::from_parts(parts, body);
        let inner = {
            let _entered = context.clone().attach();
            self.inner.call(request)
        };
        Responding::new(inner, context, self.settings.spans.then_some(SpanKind::Client))
    }
}
