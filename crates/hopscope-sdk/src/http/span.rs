//! The span of one request, from its head to the head of its response.

use crate::Telemetry;
use crate::telemetry::{Path, scope};
use http::request::Parts;
use http::{HeaderMap, Response, header};
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue, global};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Poll, ready};

/// How the route of a request is found: its template (`/orders/{id}`), never its path.
pub(super) type Route = fn(&Parts) -> Option<String>;

/// What the layers of both sides are set up with.
#[derive(Clone)]
pub(super) struct Settings {
    pub telemetry: Telemetry,
    pub spans: bool,
    pub route: Option<Route>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("spans", &self.spans).finish_non_exhaustive()
    }
}

impl Settings {
    pub fn new(telemetry: Telemetry) -> Self {
        Self { telemetry, spans: true, route: None }
    }

    /// The context of a request: with a span of its own, or `parent` as it is.
    pub fn begin(&self, kind: SpanKind, request: &Parts, parent: Context) -> Context {
        if !self.spans {
            return parent;
        }
        let (name, attributes) = self.describe(&kind, request);
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
        let span = match self.telemetry.path() {
            Path::Tracer(tracer) => builder.start_with_context(&**tracer, &parent),
            // These are the application's spans: what is made of records is a message's step.
            Path::Own(_) => builder.start_with_context(&global::tracer_with_scope(scope()), &parent),
        };
        parent.with_span(span)
    }

    fn describe(&self, kind: &SpanKind, request: &Parts) -> (String, Vec<KeyValue>) {
        let method = method(request);
        let mut attributes = vec![KeyValue::new("http.request.method", method)];
        if *kind == SpanKind::Client {
            if let Some(host) = request.uri.host() {
                attributes.push(KeyValue::new("server.address", host.to_owned()));
            }
            if let Some(port) = request.uri.port_u16() {
                attributes.push(KeyValue::new("server.port", i64::from(port)));
            }
        }
        if let Some((service, method)) = grpc_method(request) {
            attributes.push(KeyValue::new("rpc.system", "grpc"));
            attributes.push(KeyValue::new("rpc.service", service.to_owned()));
            attributes.push(KeyValue::new("rpc.method", method.to_owned()));
            return (format!("{service}/{method}"), attributes);
        }
        let Some(route) = self.route.and_then(|route| route(request)) else {
            let name = if method == OTHER { "HTTP" } else { method };
            return (name.to_owned(), attributes);
        };
        let name = format!("{method} {route}");
        attributes.push(KeyValue::new("http.route", route));
        (name, attributes)
    }
}

/// What the conventions write for a method that they do not know: names must not come from whoever calls.
const OTHER: &str = "_OTHER";

fn method(request: &Parts) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == request.method.as_str()).unwrap_or(OTHER)
}

/// Service and method of a call of gRPC: they are its path.
fn grpc_method(request: &Parts) -> Option<(&str, &str)> {
    let kind = request.headers.get(header::CONTENT_TYPE)?.as_bytes();
    let path = request.uri.path().strip_prefix('/').filter(|_| kind.starts_with(b"application/grpc"))?;
    path.split_once('/')
}

pin_project_lite::pin_project! {
    /// The response to come, under the context of its request.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Responding<F> {
        #[pin]
        inner: F,
        context: Context,
        span: Option<SpanKind>,
    }

    impl<F> PinnedDrop for Responding<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.span.take().is_some() {
                let span = this.context.span();
                span.set_attribute(KeyValue::new("hopscope.outcome", "unknown"));
                span.set_attribute(KeyValue::new("hopscope.outcome.reason", "dropped"));
                span.end();
            }
        }
    }
}

impl<F> Responding<F> {
    /// `span` where the span of `context` is to be ended with the response.
    pub(super) fn new(inner: F, context: Context, span: Option<SpanKind>) -> Self {
        Self { inner, context, span }
    }
}

impl<F, B, E> Future for Responding<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _entered = this.context.clone().attach();
            ready!(this.inner.poll(task))
        };
        if let Some(kind) = this.span.take() {
            let span = this.context.span();
            match &result {
                Ok(response) => end(&span, &kind, response.status().as_u16(), response.headers()),
                // The type of an error that anything may be: its text is nobody's to export.
                Err(_) => fail(&span, std::any::type_name::<E>().to_owned()),
            }
            span.end();
        }
        Poll::Ready(result)
    }
}

fn end(span: &opentelemetry::trace::SpanRef<'_>, kind: &SpanKind, status: u16, headers: &HeaderMap) {
    span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
    // A client's mistake is no failure of the server.
    let failed_from = if *kind == SpanKind::Server { 500 } else { 400 };
    if status >= failed_from {
        return fail(span, status.to_string());
    }
    // A response without a body has its outcome in the head; with one it is in the trailers, after the end of this span.
    let code = headers.get("grpc-status").and_then(|code| code.to_str().ok());
    if let Some(code) = code.filter(|code| *code != "0") {
        fail(span, code.to_owned());
    }
}

fn fail(span: &opentelemetry::trace::SpanRef<'_>, error_type: String) {
    span.set_attribute(KeyValue::new("error.type", error_type));
    span.set_status(Status::error(""));
}
