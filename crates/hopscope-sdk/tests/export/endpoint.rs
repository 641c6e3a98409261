//! An OTLP endpoint in this process, over HTTP/1 and HTTP/2, with TLS where wanted. It answers as it is told.

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::convert::Infallible;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// What the endpoint says.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status of HTTP, headers, body.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A status of gRPC, further trailers, message.
    Grpc(u32, Vec<(&'static str, String)>, Vec<u8>),
    /// Nothing, ever.
    Hang,
}

/// Everything is fine, over HTTP.
pub fn ok() -> Answer {
    Answer::Http(200, Vec::new(), Vec::new())
}

/// One request, as it arrived.
#[derive(Debug)]
pub struct Arrived {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Arrived {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn spans(&self) -> usize {
        spans(&self.body)
    }
}

/// How many spans are in a request.
pub fn spans(request: &[u8]) -> usize {
    let request = ExportTraceServiceRequest::decode(request).expect("spans");
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

type Script = dyn Fn(usize) -> Answer + Send + Sync;

/// An endpoint: its port, and what arrives. `answer` is asked with the number of the request, from 0.
pub struct Endpoint {
    pub port: u16,
    pub arrived: Receiver<Arrived>,
    /// Metrics, which are always welcome.
    pub metrics: Receiver<ExportMetricsServiceRequest>,
    _runtime: tokio::runtime::Runtime,
}

impl Endpoint {
    pub fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::run(free_port(), None, Box::new(answer))
    }

    /// On a port that is known already.
    pub fn on(
        listener: std::net::TcpListener,
        answer: impl Fn(usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::run(listener, None, Box::new(answer))
    }

    pub fn with_tls(tls: ServerConfig, answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::run(free_port(), Some(tls), Box::new(answer))
    }

    fn run(listener: std::net::TcpListener, tls: Option<ServerConfig>, script: Box<Script>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let port = listener.local_addr().expect("bound").port();
        listener.set_nonblocking(true).expect("a socket");
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("a socket");
        drop(entered);
        let ((spans, arrived), (metrics, metrics_arrived)) = (channel(), channel());
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let inbox = Inbox { spans, metrics, requests: AtomicUsize::new(0), script };
        runtime.spawn(listen(listener, tls, Arc::new(inbox)));
        Self { port, arrived, metrics: metrics_arrived, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn free_port() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// What all connections share.
struct Inbox {
    spans: Sender<Arrived>,
    metrics: Sender<ExportMetricsServiceRequest>,
    requests: AtomicUsize,
    script: Box<Script>,
}

impl Inbox {
    fn take(&self, arrived: Arrived) -> Answer {
        // The test that wanted it may be over.
        if arrived.path.to_ascii_lowercase().contains("metrics") {
            let _ = self.metrics.send(ExportMetricsServiceRequest::decode(&*arrived.body).expect("metrics"));
            return match arrived.header("content-type") {
                Some("application/grpc") => Answer::Grpc(0, Vec::new(), Vec::new()),
                _ => ok(),
            };
        }
        let _ = self.spans.send(arrived);
        (self.script)(self.requests.fetch_add(1, Ordering::SeqCst))
    }
}

async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, inbox: Arc<Inbox>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, inbox) = (tls.clone(), inbox.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, inbox).await,
                // A client that cannot be trusted is a case of the tests.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, inbox).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, inbox: Arc<Inbox>) {
    let service = service_fn(|request| {
        let inbox = inbox.clone();
        async move { Ok::<_, Infallible>(response(inbox.take(arrived(request).await)).await) }
    });
    // The client may go away at any time.
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn arrived(request: Request<Incoming>) -> Arrived {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let is_grpc = head.headers.get("content-type").is_some_and(|value| value == "application/grpc");
    let (body, encoding) = if is_grpc {
        let length = u32::from_be_bytes(body[1..5].try_into().expect("four bytes"));
        assert_eq!(length as usize, body.len() - 5, "one message");
        let encoding = head.headers.get("grpc-encoding");
        assert_eq!(body[0] == 1, encoding.is_some(), "compressed or not");
        (body.slice(5..), encoding)
    } else {
        (body, head.headers.get("content-encoding"))
    };
    let body = match encoding.and_then(|value| value.to_str().ok()) {
        None => body.to_vec(),
        Some("gzip") => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).expect("gzip");
            plain
        }
        Some("zstd") => zstd::stream::decode_all(&*body).expect("zstd"),
        Some(other) => panic!("no such encoding: {other}"),
    };
    Arrived { path: head.uri.path().to_owned(), headers: head.headers, body }
}

async fn response(answer: Answer) -> Response<BoxBody<Bytes, Infallible>> {
    let (status, headers, body) = match answer {
        Answer::Hang => return std::future::pending().await,
        Answer::Http(status, headers, body) => (status, headers, Full::from(body).boxed()),
        Answer::Grpc(code, mut trailers, message) => {
            trailers.push(("grpc-status", code.to_string()));
            let mut framed = vec![0];
            framed.extend((message.len() as u32).to_be_bytes());
            framed.extend(message);
            let trailers = map(trailers);
            let body = Full::from(framed).with_trailers(async move { Some(Ok(trailers)) });
            (200, vec![("content-type", "application/grpc".to_owned())], body.boxed())
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    *response.headers_mut() = map(headers);
    response
}

fn map(pairs: Vec<(&'static str, String)>) -> HeaderMap {
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(value).expect("a value")))
        .collect()
}
