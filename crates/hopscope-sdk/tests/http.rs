//! One chain over a queue, HTTP, another queue and gRPC, with real servers and clients.

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use hopscope_sdk::grpc::{self, Caller};
use hopscope_sdk::http::{ClientLayer, ServerLayer};
use hopscope_sdk::kit::{MapHeaders, Recorder};
use hopscope_sdk::opentelemetry::trace::{FutureExt, SpanKind, Status, TraceContextExt};
use hopscope_sdk::opentelemetry::{Context, SpanId, TraceId};
use hopscope_sdk::{Details, Place, Telemetry};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_sdk::trace::SpanData;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

/// A queue: what was sent last.
type Queue = Arc<Mutex<MapHeaders>>;

fn topic(topic: &str) -> Place<'_> {
    Place::Kafka { topic, partition: None, offset: None }
}

fn send(telemetry: &Telemetry, to: &str, queue: &Queue) {
    let sending = telemetry.send("send", topic(to), &Details::default());
    let mut headers = MapHeaders::default();
    sending.inject(&mut headers);
    *queue.lock().expect("not poisoned") = headers;
    sending.accepted();
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// `POST /orders/{id}/ship` sends a message on.
async fn http_service(telemetry: Telemetry, queue: Queue, server: ServerLayer) -> SocketAddr {
    let (listener, address) = listen().await;
    let ship = async move || send(&telemetry, "shipments", &queue);
    let app = axum::Router::new()
        .route("/orders/{id}/ship", post(ship))
        .route("/fails", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .layer(server.with_route(|request| {
            request.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned())
        }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Sends a message on for every call. Which context is current is the layer's work, or else [`Caller`]'s.
struct Grpc {
    telemetry: Telemetry,
    queue: Queue,
    is_intercepted: bool,
}

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let caller = if self.is_intercepted { Caller::of(&request) } else { Context::current() };
        async {
            send(&self.telemetry, "invoices", &self.queue);
            Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
        }
        .with_context(caller)
        .await
    }
}

async fn post_to<S, B>(client: S, url: String, method: &str) -> u16
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
{
    let request = Request::builder().method(method).uri(url).body(Body::empty()).expect("valid");
    client.oneshot(request).await.expect("an answer").status().as_u16()
}

fn find<'a>(spans: &'a [SpanData], name: &str, kind: SpanKind) -> &'a SpanData {
    let found = spans.iter().find(|span| span.name == name && span.span_kind == kind);
    found
        .unwrap_or_else(|| panic!("no {name}: {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>()))
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    span.attributes.iter().find(|set| set.key.as_str() == key).map(|set| set.value.to_string())
}

#[tokio::test]
async fn one_chain_over_queue_http_queue_and_grpc() {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry();
    let (orders, shipments, invoices) = (Queue::default(), Queue::default(), Queue::default());
    let http = http_service(telemetry.clone(), shipments.clone(), ServerLayer::new(telemetry.clone())).await;
    let (listener, grpc) = listen().await;
    let service = Grpc { telemetry: telemetry.clone(), queue: invoices.clone(), is_intercepted: false };
    let server = tonic::transport::Server::builder()
        .layer(ServerLayer::new(telemetry.clone()))
        .add_service(TraceServiceServer::new(service));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    send(&telemetry, "orders", &orders);
    // The consumer of orders calls over HTTP.
    let headers = orders.lock().expect("not poisoned").clone();
    let processing = telemetry.receive("poll", topic("orders"), &Details::default(), &headers).process();
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let client = ServiceBuilder::new().layer(ClientLayer::new(telemetry.clone())).service(client);
    let status = processing.run(post_to(client, format!("http://{http}/orders/4711/ship"), "POST")).await;
    assert_eq!(status, 200);
    let _ = processing.succeed();
    // The consumer of shipments calls over gRPC.
    let headers = shipments.lock().expect("not poisoned").clone();
    let processing = telemetry.receive("poll", topic("shipments"), &Details::default(), &headers).process();
    let channel =
        tonic::transport::Endpoint::from_shared(format!("http://{grpc}")).expect("valid").connect_lazy();
    let mut client = TraceServiceClient::new(ClientLayer::new(telemetry.clone()).layer(channel));
    processing.run(client.export(ExportTraceServiceRequest::default())).await.expect("an answer");
    let _ = processing.succeed();

    let spans = recorder.finished();
    let method = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let chain = [
        ("send orders", SpanKind::Producer),
        ("process orders", SpanKind::Consumer),
        ("POST", SpanKind::Client),
        ("POST /orders/{id}/ship", SpanKind::Server),
        ("send shipments", SpanKind::Producer),
        ("process shipments", SpanKind::Consumer),
        (method, SpanKind::Client),
        (method, SpanKind::Server),
        ("send invoices", SpanKind::Producer),
    ];
    let mut parent = SpanId::INVALID;
    let trace = find(&spans, "send orders", SpanKind::Producer).span_context.trace_id();
    for (name, kind) in chain {
        let span = find(&spans, name, kind);
        assert_eq!((span.span_context.trace_id(), span.parent_span_id), (trace, parent), "{name}");
        parent = span.span_context.span_id();
    }
    let server = find(&spans, "POST /orders/{id}/ship", SpanKind::Server);
    assert!(server.parent_span_is_remote);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/orders/{id}/ship"),
        ("http.response.status_code", "200"),
    ] {
        assert_eq!(attribute(server, key).as_deref(), Some(value), "{key}");
    }
    let client = find(&spans, "POST", SpanKind::Client);
    assert_eq!(attribute(client, "server.address").as_deref(), Some("127.0.0.1"));
    assert_eq!(attribute(client, "server.port"), Some(http.port().to_string()));
    assert_eq!(attribute(client, "http.route"), None, "a path is no route");
    let rpc = find(&spans, method, SpanKind::Server);
    assert_eq!(attribute(rpc, "rpc.method").as_deref(), Some("Export"));
    assert!(Context::current().span().span_context().trace_id() == TraceId::INVALID, "nothing stays behind");
}

#[tokio::test]
async fn interceptors_carry_the_context_without_spans() {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry();
    let invoices = Queue::default();
    let (listener, address) = listen().await;
    let service = Grpc { telemetry: telemetry.clone(), queue: invoices, is_intercepted: true };
    let service = TraceServiceServer::with_interceptor(service, grpc::server_interceptor(telemetry.clone()));
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel =
        tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("valid").connect_lazy();
    let mut client =
        TraceServiceClient::with_interceptor(channel, grpc::client_interceptor(telemetry.clone()));

    let processing =
        telemetry.receive("poll", topic("orders"), &Details::default(), &MapHeaders::default()).process();
    let mut request = tonic::Request::new(ExportTraceServiceRequest::default());
    request.metadata_mut().insert("app", "1".parse().expect("ASCII"));
    processing.run(client.export(request)).await.expect("an answer");
    let _ = processing.succeed();

    let spans = recorder.finished();
    let process = find(&spans, "process orders", SpanKind::Consumer);
    let sent = find(&spans, "send invoices", SpanKind::Producer);
    assert_eq!(sent.parent_span_id, process.span_context.span_id());
    assert!(sent.parent_span_is_remote);
}

#[tokio::test]
async fn layers_without_spans_carry_the_context_alone() {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry();
    let queue = Queue::default();
    let layer = ServerLayer::new(telemetry.clone()).without_spans();
    let address = http_service(telemetry.clone(), queue, layer).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let client = ClientLayer::new(telemetry.clone()).without_spans().layer(client);
    let processing =
        telemetry.receive("poll", topic("orders"), &Details::default(), &MapHeaders::default()).process();
    processing.run(post_to(client, format!("http://{address}/orders/1/ship"), "POST")).await;
    let _ = processing.succeed();
    let spans = recorder.finished();
    assert!(spans.iter().all(|span| span.span_kind != SpanKind::Server), "no span for the request");
    let process = find(&spans, "process orders", SpanKind::Consumer);
    assert_eq!(
        find(&spans, "send shipments", SpanKind::Producer).parent_span_id,
        process.span_context.span_id()
    );
}

#[tokio::test]
async fn failures_and_dropped_requests() {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry();
    let address =
        http_service(telemetry.clone(), Queue::default(), ServerLayer::new(telemetry.clone())).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let client = ClientLayer::new(telemetry.clone()).layer(client);
    assert_eq!(post_to(client.clone(), format!("http://{address}/fails"), "GET").await, 500);
    assert_eq!(post_to(client.clone(), format!("http://{address}/nowhere"), "PURGE").await, 404);

    let mut never = ServerLayer::new(telemetry).layer(tower::service_fn(|_: Request<()>| {
        std::future::pending::<Result<Response<()>, std::convert::Infallible>>()
    }));
    let request = || Request::new(());
    drop(never.call(request()));
    {
        let mut polled = Box::pin(never.call(request()));
        assert!(futures_now_or_never(polled.as_mut()).is_none());
    }
    let spans = recorder.finished();
    let failed = find(&spans, "GET /fails", SpanKind::Server);
    assert_eq!(attribute(failed, "error.type").as_deref(), Some("500"));
    assert!(matches!(failed.status, Status::Error { .. }));
    assert!(matches!(find(&spans, "GET", SpanKind::Client).status, Status::Error { .. }));
    // Nobody's method becomes a name; what the client asked wrongly is its failure, not the server's.
    let wrong = |kind| find(&spans, "HTTP", kind);
    assert_eq!(attribute(wrong(SpanKind::Server), "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(wrong(SpanKind::Server).status, Status::Unset);
    assert_eq!(attribute(wrong(SpanKind::Client), "error.type").as_deref(), Some("404"));
    let dropped: Vec<_> = spans
        .iter()
        .filter(|span| attribute(span, "hopscope.outcome.reason").as_deref() == Some("dropped"))
        .collect();
    assert_eq!(dropped.len(), 2);
}

/// One poll.
fn futures_now_or_never<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
