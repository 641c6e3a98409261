//! OTLP over gRPC: the unary methods `TraceService/Export` and `MetricsService/Export`.

use super::Receiver;
use super::body::{self, ENCODINGS, Encoding};
use super::grpc_frame::{AnswerBody, PREFIX_BYTES, answer, message_of, refused};
use super::otlp::{Format, Intake, Limits, Refusal, Signal};
use crate::config::Config;
use crate::ingest::Sink;
use crate::listen::{self, Connections, Protocol};
use hopscope_wire::otlp::encode_response_protobuf;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use std::convert::Infallible;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// The receiver.
pub struct OtlpGrpc {
    listener: TcpListener,
    metrics: Sink,
    limits: Limits,
    connections: Connections,
}

impl OtlpGrpc {
    /// On a socket that is bound already. Metrics have an entrance and books of their own.
    pub fn new(listener: TcpListener, config: &Config, metrics: Sink) -> Self {
        Self { listener, metrics, limits: Limits::new(config), connections: Connections::new(config) }
    }
}

impl Receiver for OtlpGrpc {
    fn name(&self) -> &str {
        "otlp_grpc"
    }

    async fn run(self, sink: Sink, stop: CancellationToken) {
        let traces = Intake::new(Signal::Traces, sink, self.limits);
        let metrics = Intake::new(Signal::Metrics, self.metrics, self.limits);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let is_metrics = request.uri().path() == METRICS;
            let intake = if is_metrics { metrics.clone() } else { traces.clone() };
            async move { Ok::<_, Infallible>(export(&intake, request).await) }
        });
        listen::serve(self.listener, Protocol::Http2, self.connections, service, stop).await;
    }
}

async fn export(intake: &Intake, request: Request<Incoming>) -> Response<AnswerBody> {
    let is_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    if request.method() != Method::POST || !request.headers().get(CONTENT_TYPE).is_some_and(is_grpc) {
        let why = "this port speaks gRPC only; OTLP over HTTP has a port of its own";
        let refusal = Refusal::Unsupported(why.to_owned());
        intake.count(&refusal);
        let mut response = refused(&refusal);
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    match take(intake, request).await {
        Ok(message) => answer(&message),
        Err(refusal) => refused(&refusal),
    }
}

async fn take(intake: &Intake, request: Request<Incoming>) -> Result<Vec<u8>, Refusal> {
    let counted = |refusal: Refusal| {
        intake.count(&refusal);
        refusal
    };
    if ![TRACES, METRICS].contains(&request.uri().path()) {
        let path = request.uri().path();
        let why = format!("not taken here: hopscope takes traces and metrics only path={path}");
        return Err(counted(Refusal::Unsupported(why)));
    }
    let encoding = request.headers().get("grpc-encoding").map_or(b"".as_slice(), HeaderValue::as_bytes);
    let encoding = Encoding::from_name(encoding)
        .ok_or_else(|| counted(Refusal::Unsupported(format!("grpc-encoding must be one of {ENCODINGS}"))))?;
    let mut room = intake.sink.room()?;
    let Limits { body_bytes_max, body_read_max, .. } = intake.limits;
    let bytes_max = body_bytes_max + PREFIX_BYTES;
    let body = body::read(request.into_body(), &mut room, bytes_max, body_read_max).await.map_err(counted)?;
    let (compressed, message) = message_of(body).map_err(counted)?;
    let encoding = if compressed { encoding } else { Encoding::Identity };
    let partial_success = intake.take(message, encoding, Format::Protobuf, room).await?;
    Ok(encode_response_protobuf(&partial_success))
}
