//! The side that is called.

use super::HttpHeaders;
use super::span::{Responding, Settings};
use crate::{Telemetry, carrier};
use http::request::Parts;
use http::{Request, Response};
use opentelemetry::Context;
use opentelemetry::trace::SpanKind;
use std::task::Poll;
use tower_layer::Layer;
use tower_service::Service;

/// Makes the caller's context current for the inner service, under a SERVER span.
#[derive(Clone, Debug)]
pub struct ServerLayer(Settings);

impl ServerLayer {
    /// With the formats and the tracer of `telemetry`.
    pub fn new(telemetry: Telemetry) -> Self {
        Self(Settings::new(telemetry))
    }

    /// Context alone, where something else makes the spans.
    pub fn without_spans(mut self) -> Self {
        self.0.spans = false;
        self
    }

    /// How the route (`/orders/{id}`) is found: mostly the router has left it in the extensions.
    pub fn with_route(mut self, route: fn(&Parts) -> Option<String>) -> Self {
        self.0.route = Some(route);
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> ServerService<S> {
        ServerService { inner, settings: self.0.clone() }
    }
}

/// A service under [`ServerLayer`].
#[derive(Clone, Debug)]
pub struct ServerService<S> {
    inner: S,
    settings: Settings,
}

impl<S, B, R> Service<Request<B>> for ServerService<S>
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
        let (parts, body) = request.into_parts();
        let formats = self.settings.telemetry.formats();
        // The thread's context is nobody's: it is what some other task left, or the server's own.
        let origin = carrier::extract(formats, &HttpHeaders(&parts.headers));
        let context = self.settings.begin(SpanKind::Server, &parts, origin.into_context(&Context::new()));
        let request = Request::from_parts(parts, body);
        let inner = {
            let _entered = context.clone().attach();
            self.inner.call(request)
        };
        Responding::new(inner, context, self.settings.spans.then_some(SpanKind::Server))
    }
}
