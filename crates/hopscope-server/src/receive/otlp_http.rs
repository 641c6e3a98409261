//! OTLP over HTTP: `POST /v1/traces` and `/v1/metrics` in protobuf and JSON.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>: errors carry a `google.rpc.Status` in the encoding of the
//! request; 429 and 503 say when to come back.

use super::Receiver;
use super::body::{self, ENCODINGS, Encoding};
use super::otlp::{Format, Intake, Limits, Refusal, Signal};
use crate::config::Config;
use crate::ingest::Sink;
use crate::listen::{self, Connections, Protocol};
use hopscope_wire::otlp::{
    encode_response_json, encode_response_protobuf, encode_status_json, encode_status_protobuf,
};
use http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use std::convert::Infallible;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const TRACES: &str = "/v1/traces";
const METRICS: &str = "/v1/metrics";

/// The receiver.
pub struct OtlpHttp {
    listener: TcpListener,
    metrics: Sink,
    limits: Limits,
    connections: Connections,
}

impl OtlpHttp {
    /// On a socket that is bound already. Metrics have an entrance and books of their own.
    pub fn new(listener: TcpListener, config: &Config, metrics: Sink) -> Self {
        Self { listener, metrics, limits: Limits::new(config), connections: Connections::new(config) }
    }
}

impl Receiver for OtlpHttp {
    fn name(&self) -> &str {
        "otlp_http"
    }

    async fn run(self, sink: Sink, stop: CancellationToken) {
        let traces = Intake::new(Signal::Traces, sink, self.limits);
        let metrics = Intake::new(Signal::Metrics, self.metrics, self.limits);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let is_metrics = request.uri().path() == METRICS;
            let intake = if is_metrics { metrics.clone() } else { traces.clone() };
            async move { Ok::<_, Infallible>(answer(&intake, request).await) }
        });
        listen::serve(self.listener, Protocol::Http1, self.connections, service, stop).await;
    }
}

async fn answer(intake: &Intake, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let format = format_of(&request);
    // Whoever sends something else gets JSON, which a person can read.
    let told_in = format.unwrap_or(Format::Json);
    if let Some((status, why)) = misdirected(&request) {
        let refusal = Refusal::Unsupported(why);
        intake.count(&refusal);
        let mut response = refused(&refusal, status, told_in);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        return response;
    }
    match take(intake, request, format).await {
        Ok(body) => {
            let mut response = Response::new(Full::from(body));
            response.headers_mut().insert(CONTENT_TYPE, content_type(told_in));
            response
        }
        Err(refusal) => refused(&refusal, status_of(&refusal), told_in),
    }
}

fn format_of<B>(request: &Request<B>) -> Option<Format> {
    let value = request.headers().get(CONTENT_TYPE)?.as_bytes();
    let essence = value.split(|byte| *byte == b';').next()?.trim_ascii();
    match essence.to_ascii_lowercase().as_slice() {
        b"application/x-protobuf" | b"application/protobuf" => Some(Format::Protobuf),
        b"application/json" => Some(Format::Json),
        _ => None,
    }
}

/// Requests that no body can make right.
fn misdirected<B>(request: &Request<B>) -> Option<(StatusCode, String)> {
    match (request.uri().path(), request.method()) {
        (TRACES | METRICS, &Method::POST) => None,
        (TRACES | METRICS, _) => {
            Some((StatusCode::METHOD_NOT_ALLOWED, "send spans and metrics with POST".to_owned()))
        }
        (path @ ("/v1/logs" | "/v1development/profiles"), _) => {
            let why = format!("not taken here: hopscope takes traces and metrics only path={path}");
            Some((StatusCode::NOT_FOUND, why))
        }
        _ => Some((StatusCode::NOT_FOUND, format!("OTLP is taken at {TRACES} and {METRICS}"))),
    }
}

async fn take(
    intake: &Intake,
    request: Request<Incoming>,
    format: Option<Format>,
) -> Result<Vec<u8>, Refusal> {
    let counted = |refusal: Refusal| {
        intake.count(&refusal);
        refusal
    };
    let unsupported = |why: String| counted(Refusal::Unsupported(why));
    let format = format.ok_or_else(|| {
        unsupported("content-type must be application/x-protobuf or application/json".into())
    })?;
    let encoding = request.headers().get(CONTENT_ENCODING).map_or(b"".as_slice(), HeaderValue::as_bytes);
    let encoding = Encoding::from_name(encoding)
        .ok_or_else(|| unsupported(format!("content-encoding must be one of {ENCODINGS}")))?;
    let mut room = intake.sink.room()?;
    let Limits { body_bytes_max, body_read_max, .. } = intake.limits;
    let body = body::read(request.into_body(), &mut room, body_bytes_max, body_read_max).await;
    let partial_success = intake.take(body.map_err(counted)?, encoding, format, room).await?;
    Ok(match format {
        Format::Protobuf => encode_response_protobuf(&partial_success),
        Format::Json => encode_response_json(&partial_success).into_bytes(),
    })
}

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Malformed(_) | Refusal::Invalid(_) | Refusal::Broken(_) => StatusCode::BAD_REQUEST,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::Slow(_) => StatusCode::REQUEST_TIMEOUT,
        Refusal::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Closed(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn refused(refusal: &Refusal, status: StatusCode, format: Format) -> Response<Full<Bytes>> {
    let (why, retry_after) = (refusal.to_string(), refusal.retry_after());
    let body = match format {
        Format::Protobuf => encode_status_protobuf(refusal.code(), &why, retry_after),
        Format::Json => encode_status_json(refusal.code(), &why, retry_after).into_bytes(),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type(format));
    if let Some(after) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
    }
    match refusal {
        Refusal::Unsupported(_) => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
        }
        // The rest of the body is not read, so the connection is of no more use.
        Refusal::TooLarge(_) | Refusal::Slow(_) => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

fn content_type(format: Format) -> HeaderValue {
    HeaderValue::from_static(match format {
        Format::Protobuf => "application/x-protobuf",
        Format::Json => "application/json",
    })
}
